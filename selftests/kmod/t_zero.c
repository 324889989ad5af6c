// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Whatever an owner wrote, and however he left: the next owner of the same
 * hpages reads zeroes.
 */
#include "kselftest_harness.h"
#include "helpers.h"

#define PATTERN	0x5a
#define HPAGES	"48"
#define GROUP	"slabpool-zero"

FIXTURE(pool) {
	char size[32];
};

/* A small pool, so that one owner has all of it, then the next. */
FIXTURE_SETUP(pool)
{
	ASSERT_TRUE(t_all_settle(20));
	snprintf(self->size, sizeof(self->size), "%lld", t_pool(0).total);
	ASSERT_EQ(0, t_write(T_SYSFS "/decay_ms", "0"));
	ASSERT_EQ(0, t_set_node(0, "nr_hugepages", HPAGES));
	ASSERT_EQ(atoi(HPAGES), t_pool(0).total);
	/* The module looks at each hpage it hands out, and so do we. */
	ASSERT_EQ(0, t_write("/sys/module/slabpool/parameters/verify_zero",
			     "1"));
}

FIXTURE_TEARDOWN(pool)
{
	EXPECT_EQ(0, t_write("/sys/module/slabpool/parameters/verify_zero",
			     "0"));
	EXPECT_TRUE(t_all_settle(20));
	EXPECT_EQ(0, t_sysfs("clients"));
	EXPECT_EQ(0, t_set_node(0, "nr_hugepages", self->size));
	EXPECT_EQ(0, t_write(T_SYSFS "/decay_ms", "10000"));
	EXPECT_EQ(atoll(self->size), t_pool(0).total);
}

/* Fill all of node 0 in a child, which then leaves in the way given. */
static int leave_by(void (*leave)(int fd, char *map, size_t length))
{
	size_t length = t_pool(0).total * t_hpage();
	pid_t pid = fork();

	if (!pid) {
		int fd = t_open();
		char *map = t_map(fd, 0, 0, length, PROT_READ | PROT_WRITE,
				  MAP_SHARED);

		if (map == MAP_FAILED)
			_exit(77);
		memset(map, PATTERN, length);
		leave(fd, map, length);
		_exit(78);
	}
	return t_wait(pid);
}

static void by_munmap(int fd, char *map, size_t length)
{
	munmap(map, length);
	close(fd);
	_exit(0);
}

static void by_close(int fd, char *map, size_t length)
{
	(void)map;
	(void)length;
	close(fd);
	_exit(0);
}

static void by_sigkill(int fd, char *map, size_t length)
{
	(void)fd;
	(void)map;
	(void)length;
	raise(SIGKILL);
}

static void by_exec(int fd, char *map, size_t length)
{
	(void)fd;
	(void)map;
	(void)length;
	execl("/bin/true", "true", NULL);
}

static void by_decommit(int fd, char *map, size_t length)
{
	(void)map;
	_exit(t_decommit(fd, 0, 0, length) != (int)(length / t_hpage()));
}

static void by_exit_of_a_child(int fd, char *map, size_t length)
{
	pid_t pid;

	(void)fd;
	(void)map;
	(void)length;
	pid = fork();
	if (pid)
		_exit(0);
	t_sleep_ms(20);
	_exit(0);
}

/* In a group that has not the memory for what it asks for now. */
static void by_oom_kill(int fd, char *map, size_t length)
{
	size_t at;
	char *more;

	(void)fd;
	(void)map;
	(void)length;
	if (t_enter_group(GROUP))
		_exit(79);
	more = mmap(NULL, 1UL << 28, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (at = 0; at < 1UL << 28; at += 4096)
		more[at] = 1;
	_exit(80);
}

static const struct {
	const char *name;
	void (*leave)(int fd, char *map, size_t length);
	int code;
} ways[] = {
	{ "munmap", by_munmap, 0 },
	{ "close", by_close, 0 },
	{ "SIGKILL", by_sigkill, 128 + SIGKILL },
	{ "exec", by_exec, 0 },
	{ "decommit", by_decommit, 0 },
	{ "a child's exit", by_exit_of_a_child, 0 },
};

TEST_F(pool, what_a_process_wrote_is_gone_however_it_leaves)
{
	unsigned long round;
	unsigned int i;

	for (round = 0; round < t_rounds(2); round++)
		for (i = 0; i < ARRAY_SIZE(ways); i++) {
			EXPECT_EQ(ways[i].code, leave_by(ways[i].leave)) {
				TH_LOG("by %s", ways[i].name);
			}
			if (ways[i].leave == by_exit_of_a_child)
				ASSERT_TRUE(t_settles(0, 20));
			/* At once: the worker has not been everywhere yet. */
			EXPECT_EQ(0, t_stale(0)) {
				TH_LOG("after %s", ways[i].name);
			}
		}
}

TEST_F(pool, what_a_process_wrote_is_gone_after_an_oom_kill)
{
	const char *why = t_make_group(GROUP, "memory");

	if (why)
		SKIP(return, "%s", why);
	ASSERT_EQ(0, t_set_group(GROUP, "memory.max", "33554432"));
	t_set_group(GROUP, "memory.swap.max", "0");
	EXPECT_EQ(128 + SIGKILL, leave_by(by_oom_kill));
	EXPECT_EQ(0, t_stale(0));
	EXPECT_EQ(0, t_remove_group(GROUP));
}

/* What the worker has in hand goes when it has cleared it. */
static bool empty_pool(void)
{
	double end = t_deadline(10);

	if (t_set_node(0, "nr_hugepages", "0"))
		return false;
	while (t_pool(0).total && t_now() < end)
		t_sleep_ms(1);
	return !t_pool(0).total;
}

TEST_F(pool, what_a_process_wrote_is_gone_when_the_pool_shrinks_and_grows)
{
	EXPECT_EQ(0, leave_by(by_munmap));
	ASSERT_TRUE(empty_pool());
	ASSERT_EQ(0, t_set_node(0, "nr_hugepages", HPAGES));
	EXPECT_EQ(atoi(HPAGES), t_pool(0).zeroed);
	EXPECT_EQ(0, t_stale(0));
}

/* Memory whose owner has gone leaves the pool for good: no byte goes along. */
TEST_F(pool, what_a_process_wrote_is_gone_when_the_pool_shrinks_at_once)
{
	size_t length = 64UL << 20;
	char *anon;

	EXPECT_EQ(0, leave_by(by_close));
	ASSERT_TRUE(empty_pool());
	anon = mmap(NULL, length, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	ASSERT_NE(MAP_FAILED, anon);
	EXPECT_TRUE(t_is_filled(anon, 0, length));
	munmap(anon, length);
	ASSERT_EQ(0, t_set_node(0, "nr_hugepages", HPAGES));
	EXPECT_EQ(0, t_stale(0));
}

TEST_HARNESS_MAIN

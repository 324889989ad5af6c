// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * However a process ends, its hpages come back, and nothing it wrote is ever
 * seen by a next owner.
 */
#include "kselftest_harness.h"
#include "helpers.h"

#include <sched.h>

#define CLIENTS		1000
#define VICTIM_HPAGES	24
#define PATTERN		0x5a

FIXTURE(pool) {
	struct t_pool before[2];
	size_t hpage;
};

FIXTURE_SETUP(pool)
{
	int nid;

	ASSERT_TRUE(t_all_settle(20));
	self->hpage = t_hpage();
	for (nid = 0; nid < 2; nid++)
		self->before[nid] = t_pool(nid);
	/* The module looks at each hpage it hands out, and so do we. */
	ASSERT_EQ(0, t_write("/sys/module/slabpool/parameters/verify_zero",
			     "1"));
}

FIXTURE_TEARDOWN(pool)
{
	int nid;

	EXPECT_EQ(0, t_write("/sys/module/slabpool/parameters/verify_zero",
			     "0"));
	EXPECT_TRUE(t_all_settle(20));
	EXPECT_EQ(0, t_sysfs("clients"));
	for (nid = 0; nid < 2; nid++) {
		struct t_pool after = t_pool(nid);

		EXPECT_TRUE(t_equation(after));
		EXPECT_EQ(self->before[nid].total, after.total);
		EXPECT_EQ(self->before[nid].total, after.zeroed);
		EXPECT_EQ(self->before[nid].poisoned, after.poisoned);
	}
}

/* Take all of a node's pool and count the hpages that are not zero. */
static int stale(int nid, size_t hpage)
{
	size_t hpages = t_pool(nid).total, i;
	int fd = t_open(), count = 0;
	char *map = t_take(fd, nid, hpages);

	if (map == MAP_FAILED)
		return -1;
	for (i = 0; i < hpages; i++)
		count += !t_is_filled(map + i * hpage, 0, hpage);
	munmap(map, hpages * hpage);
	close(fd);
	return count;
}

/* Endless work with a client, as wild as the calls allow. */
static void victim(unsigned int seed, size_t hpage)
{
	int fd = t_open(), node = seed & 1;
	size_t at, length;
	char *map;

	srand(seed);
	map = t_map(fd, node, 0, VICTIM_HPAGES * hpage, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_NORESERVE);
	if (map == MAP_FAILED)
		_exit(1);
	for (;;) {
		at = rand() % VICTIM_HPAGES;
		length = 1 + rand() % (VICTIM_HPAGES - at);
		switch (rand() % 4) {
		case 0:
			t_commit(fd, node, at * hpage, length * hpage);
			memset(map + at * hpage, PATTERN, hpage);
			break;
		case 1:
			t_decommit(fd, node, at * hpage, length * hpage);
			t_commit(fd, node, 0, hpage);
			break;
		case 2:
			if (t_take(fd, node, at + 1) != MAP_FAILED)
				memset(map, PATTERN, hpage);
			break;
		case 3:
			t_take(t_open(), node, length);
			break;
		}
	}
}

TEST_F(pool, a_thousand_clients_killed_anywhere_leave_nothing_behind)
{
	int i, code, odd = 0, died = 0;

	srand(4711);
	for (i = 0; i < CLIENTS; i++) {
		unsigned int wait_us = rand() % 8000;
		unsigned int seed = rand();
		pid_t pid = fork();

		ASSERT_LE(0, pid);
		if (!pid)
			victim(seed, self->hpage);
		usleep(wait_us);
		kill(pid, SIGKILL);
		code = t_wait(pid);
		/* A victim that finds the pool empty dies of its own touch. */
		died += code == 128 + SIGBUS;
		odd += code != 128 + SIGKILL && code != 128 + SIGBUS;
		for (code = 0; code < 2; code++) {
			struct t_pool pool = t_pool(code);

			ASSERT_EQ(self->before[code].total, pool.total);
		}
	}
	EXPECT_EQ(0, odd);
	EXPECT_GT(CLIENTS / 2, died);
	ASSERT_TRUE(t_all_settle(20));
	EXPECT_EQ(0, stale(0, self->hpage));
	EXPECT_EQ(0, stale(1, self->hpage));
}

TEST_F(pool, several_clients_killed_at_once_in_a_full_pool)
{
	pid_t pids[8];
	int round, i;

	for (round = 0; round < 20; round++) {
		for (i = 0; i < 8; i++) {
			pids[i] = fork();
			if (!pids[i])
				victim(round * 8 + i, self->hpage);
		}
		usleep(50000);
		for (i = 0; i < 8; i++)
			kill(pids[i], SIGKILL);
		for (i = 0; i < 8; i++)
			t_wait(pids[i]);
	}
	ASSERT_TRUE(t_all_settle(20));
	EXPECT_EQ(0, stale(0, self->hpage));
}

/* Fill all of node 0 in a child, which then leaves in the way given. */
static int leave_by(void (*leave)(int fd, char *map, size_t length),
		    size_t hpage)
{
	size_t length = t_pool(0).total * hpage;
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

TEST_F(pool, what_a_process_wrote_is_gone_however_it_leaves)
{
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
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		EXPECT_EQ(ways[i].code, leave_by(ways[i].leave, self->hpage)) {
			TH_LOG("by %s", ways[i].name);
		}
		t_sleep_ms(i == ARRAY_SIZE(ways) - 1 ? 1000 : 0);
		/* At once, so that the worker has not been everywhere. */
		EXPECT_EQ(0, stale(0, self->hpage)) {
			TH_LOG("after %s", ways[i].name);
		}
	}
}

/* Threads of one client that commit, decommit, touch and map against another. */
static int racer(void *arg)
{
	int fd = *(int *)arg;
	size_t hpage = t_hpage();
	unsigned int seed = syscall(SYS_gettid);

	for (;;) {
		size_t at = rand_r(&seed) % 8, length = 1 + rand_r(&seed) % 8;

		switch (rand_r(&seed) % 3) {
		case 0:
			t_commit(fd, 0, at * hpage, length * hpage);
			break;
		case 1:
			t_decommit(fd, 0, at * hpage, length * hpage);
			break;
		case 2: {
			char *map = t_map(fd, 0, at * hpage, length * hpage,
					  PROT_READ | PROT_WRITE,
					  MAP_SHARED | MAP_POPULATE);

			if (map != MAP_FAILED)
				munmap(map, length * hpage);
			break;
		}
		}
	}
	return 0;
}

TEST_F(pool, threads_racing_in_one_client_keep_the_equation)
{
	int round, i, fd;

	for (round = 0; round < 10; round++) {
		pid_t pid = fork();

		if (!pid) {
			fd = t_open();
			for (i = 0; i < 4; i++) {
				char *stack = malloc(65536);

				clone(racer, stack + 65536,
				      CLONE_VM | CLONE_FS | CLONE_FILES |
				      CLONE_SIGHAND | CLONE_THREAD, &fd);
			}
			for (;;)
				pause();
		}
		usleep(400000);
		kill(pid, SIGKILL);
		EXPECT_EQ(128 + SIGKILL, t_wait(pid));
		ASSERT_TRUE(t_settles(0, 10));
		ASSERT_EQ(self->before[0].total, t_pool(0).total);
	}
}

TEST_HARNESS_MAIN

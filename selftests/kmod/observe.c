// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* What can be seen from outside: fdinfo, tracepoints, debugfs. */
#include "kselftest_harness.h"
#include "helpers.h"

#define TRACING	"/sys/kernel/tracing"
#define DEBUGFS	"/sys/kernel/debug/slabpool"

FIXTURE(client) {
	int fd;
	size_t hpage;
	long long total;
};

FIXTURE_SETUP(client)
{
	ASSERT_TRUE(t_all_settle(10));
	self->fd = t_open();
	ASSERT_LE(0, self->fd);
	self->hpage = t_hpage();
	self->total = t_pool(0).total;
}

FIXTURE_TEARDOWN(client)
{
	close(self->fd);
	EXPECT_TRUE(t_all_settle(10));
}

static char text[1 << 20];

/* All of a file, as a string; NULL when it cannot be read. */
static const char *contents(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t length = 0;
	ssize_t got;

	if (fd < 0)
		return NULL;
	while ((got = read(fd, text + length, sizeof(text) - 1 - length)) > 0)
		length += got;
	close(fd);
	text[length] = '\0';
	return text;
}

TEST_F(client, fdinfo_tells_what_the_client_has)
{
	struct slabpool_ioc_reserve reserve = {
		.size = sizeof(reserve), .node = 1, .count = 3,
	};
	const char *info;
	char path[64];

	ASSERT_EQ(0, t_commit(self->fd, 0, 0, 4 * self->hpage));
	ASSERT_EQ(1, t_decommit(self->fd, 0, 0, self->hpage));
	ASSERT_EQ(0, ioctl(self->fd, SLABPOOL_IOC_RESERVE, &reserve));
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", self->fd);
	info = contents(path);
	ASSERT_NE(NULL, info);
	EXPECT_NE(NULL, strstr(info, "slabpool-charged:\t6\n"));
	EXPECT_NE(NULL, strstr(info, "slabpool-commits:\t4\n"));
	EXPECT_NE(NULL, strstr(info, "slabpool-decommits:\t1\n"));
	EXPECT_NE(NULL, strstr(info, "slabpool-pte-fallbacks:\t0\n"));
	EXPECT_NE(NULL, strstr(info, "slabpool-node0:\tcommitted=3 parked=0 guarantee=0\n"));
	EXPECT_NE(NULL, strstr(info, "slabpool-node1:\tcommitted=0 parked=0 guarantee=3\n"));
}

/* The whole walk of an hpage, there and back. */
static bool walk(int fd, long long total)
{
	size_t hpage = t_hpage();
	char size[32], *map;
	struct iovec iov;
	int pipes[2];

	snprintf(size, sizeof(size), "%lld", total + 1);
	if (t_set_node(0, "nr_hugepages", size))
		return false;
	map = t_take(fd, 0, 2);
	if (map == MAP_FAILED || pipe(pipes))
		return false;
	map[0] = 1;
	iov = (struct iovec){ map, 4096 };
	if (vmsplice(pipes[1], &iov, 1, 0) != 4096)
		return false;
	if (t_decommit(fd, 0, 0, 2 * hpage) != 2)
		return false;
	close(pipes[0]);
	close(pipes[1]);
	munmap(map, 2 * hpage);
	if (t_commit(fd, 0, 0, (total + 2) * hpage) != -ENOMEM)
		return false;
	t_write(T_SYSFS "/decay_ms", "0");
	snprintf(size, sizeof(size), "%lld", total);
	t_set_node(0, "nr_hugepages", size);
	t_write(T_SYSFS "/decay_ms", "10000");
	return t_settles(0, 10) && t_pool(0).total == total;
}

TEST_F(client, the_tracepoints_follow_the_walk)
{
	static const char *const events[] = {
		" grow: node=0 ", " commit: node=0 index=0x100000-0x100001 hpages=2 off_node=0 ret=0",
		" fault: node=0 ", " index=0x100000 base=0", " park: node=0 ",
		" decommit: index=0x100000 hpages=2 parked=1", " zero: node=0 ",
		" ret=-12", " shrink: node=0 ",
	};
	const char *trace;
	unsigned int i;

	if (access(TRACING "/events/slabpool/enable", W_OK))
		SKIP(return, "no tracefs at " TRACING);
	ASSERT_EQ(0, t_write(TRACING "/trace", "\n"));
	ASSERT_EQ(0, t_write(TRACING "/events/slabpool/enable", "1"));
	EXPECT_TRUE(walk(self->fd, self->total));
	EXPECT_EQ(0, t_write(TRACING "/events/slabpool/enable", "0"));
	trace = contents(TRACING "/trace");
	ASSERT_NE(NULL, trace);
	for (i = 0; i < ARRAY_SIZE(events); i++) {
		EXPECT_NE(NULL, strstr(trace, events[i])) {
			TH_LOG("missing:%s", events[i]);
		}
	}
}

TEST_F(client, the_books_are_right_at_every_moment)
{
	double end = t_now() + 4;
	pid_t pids[2];
	int i, rounds = 0;

	if (access(DEBUGFS "/check", W_OK))
		SKIP(return, "no debugfs at /sys/kernel/debug");
	for (i = 0; i < 2; i++) {
		pids[i] = fork();
		if (pids[i])
			continue;
		srand(i);
		while (t_now() < end) {
			struct slabpool_ioc_reserve reserve = {
				.size = sizeof(reserve), .node = i,
				.count = rand() % 8,
			};
			int fd = t_open();

			ioctl(fd, SLABPOOL_IOC_RESERVE, &reserve);
			t_commit(fd, i, 0, (1 + rand() % 12) * self->hpage);
			t_decommit(fd, i, 0, rand() % 12 * self->hpage);
			close(fd);
		}
		_exit(0);
	}
	while (t_now() < end) {
		EXPECT_EQ(0, t_write(DEBUGFS "/check", "1"));
		rounds++;
	}
	EXPECT_LT(10, rounds);
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, t_wait(pids[i]));
}

TEST_F(client, debugfs_shows_each_node_to_root_alone)
{
	const char *state;
	pid_t pid;

	if (access(DEBUGFS "/state", R_OK))
		SKIP(return, "no debugfs at /sys/kernel/debug");
	ASSERT_EQ(0, t_commit(self->fd, 1, 0, 3 * self->hpage));
	state = contents(DEBUGFS "/state");
	ASSERT_NE(NULL, state);
	EXPECT_NE(NULL, strstr(state, "node0: total="));
	EXPECT_NE(NULL, strstr(state, "node1: total="));
	EXPECT_NE(NULL, strstr(state, " used=3 "));
	EXPECT_NE(NULL, strstr(state, " wrong=nothing\n"));
	pid = fork();
	if (!pid)
		_exit(setresuid(4711, 4711, 4711) ||
		      !access(DEBUGFS "/state", R_OK));
	EXPECT_EQ(0, t_wait(pid));
}

TEST_HARNESS_MAIN

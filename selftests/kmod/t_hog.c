// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Nobody, however greedy, takes more than the pool: no memory of the kernel by the
 * way, nothing that makes it kill others, nothing that outlives him.
 */
#include "kselftest_harness.h"
#include "helpers.h"

#include <grp.h>
#include <sys/resource.h>

#define NOBODY		65534
#define OPENERS		1000
#define RW		(PROT_READ | PROT_WRITE)

FIXTURE(pool) {
	long long total[2];
	long long killed;
	struct stat device;
};

/* One number of a file of lines "name number", kB or not. */
static long long line_of(const char *path, const char *name)
{
	FILE *file = fopen(path, "r");
	long long value = -1;
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, name, strlen(name)) &&
		    strchr(" :", line[strlen(name)]))
			value = atoll(line + strlen(name) + 1);
	if (file)
		fclose(file);
	return value;
}

FIXTURE_SETUP(pool)
{
	int nid;

	ASSERT_TRUE(t_all_settle(10));
	for (nid = 0; nid < 2; nid++)
		self->total[nid] = t_pool(nid).total;
	self->killed = line_of("/proc/vmstat", "oom_kill");
	ASSERT_EQ(0, stat(T_DEVICE, &self->device));
}

FIXTURE_TEARDOWN(pool)
{
	int nid;

	/* All of both pools may have to be cleared. */
	EXPECT_TRUE(t_all_settle(60));
	EXPECT_EQ(0, t_sysfs("clients"));
	for (nid = 0; nid < 2; nid++)
		EXPECT_EQ(self->total[nid], t_pool(nid).total);
	EXPECT_EQ(self->killed, line_of("/proc/vmstat", "oom_kill"));
}

/* A child without privileges but for the device's group. */
static pid_t fork_unprivileged(gid_t group)
{
	pid_t pid = fork();

	if (!pid && (setgroups(0, NULL) || setgid(group) || setuid(NOBODY)))
		_exit(99);
	return pid;
}

static int take_all(int fd)
{
	size_t at = 0;
	int node;

	for (node = 0; node < 2; node++)
		while (!t_commit(fd, node, at, t_hpage()))
			at += t_hpage();
	return errno;
}

TEST_F(pool, who_takes_all_gets_no_more_and_leaves_it_behind)
{
	char byte;
	int ready[2];
	pid_t pid;
	int fd;

	ASSERT_EQ(0, pipe(ready));
	pid = fork_unprivileged(self->device.st_gid);
	if (!pid) {
		int error = take_all(t_open());

		/* Again and again, and in every size. */
		for (fd = 0; fd < 200; fd++) {
			int mine = t_open();

			if (t_commit(mine, fd & 1, 0, t_hpage()) != -ENOMEM ||
			    t_take(mine, 0, 1UL << (fd % 20)) != MAP_FAILED)
				_exit(1);
			close(mine);
		}
		if (error != ENOMEM || write(ready[1], "", 1) != 1)
			_exit(2);
		for (;;)
			pause();
	}
	close(ready[1]);
	ASSERT_EQ(1, read(ready[0], &byte, 1));
	EXPECT_EQ(self->total[0], t_pool(0).used);
	EXPECT_EQ(self->total[1], t_pool(1).used);

	/* He is gone: at once the next one has all he had. */
	kill(pid, SIGKILL);
	EXPECT_EQ(128 + SIGKILL, t_wait(pid));
	fd = t_open();
	EXPECT_EQ(0, t_commit(fd, 0, 0, self->total[0] * t_hpage()));
	close(fd);
	close(ready[0]);
}

TEST_F(pool, a_thousand_openers_hold_little_and_leave_nothing)
{
	long long before, during;
	char byte;
	int ready[2];
	pid_t pid;

	ASSERT_EQ(0, pipe(ready));
	before = line_of("/proc/meminfo", "Slab");
	pid = fork();
	if (!pid) {
		struct rlimit many = { 2 * OPENERS, 2 * OPENERS };
		int i;

		setrlimit(RLIMIT_NOFILE, &many);
		for (i = 0; i < OPENERS; i++) {
			int fd = t_open();

			/* Mapped, and asked for far more than there is. */
			if (fd < 0 ||
			    t_map(fd, 0, 0, t_hpage(), PROT_NONE, MAP_SHARED) ==
			    MAP_FAILED ||
			    t_commit(fd, 0, 0, 1UL << 30) != -ENOMEM)
				_exit(1);
		}
		if (write(ready[1], "", 1) != 1)
			_exit(2);
		for (;;)
			pause();
	}
	close(ready[1]);
	ASSERT_EQ(1, read(ready[0], &byte, 1));
	EXPECT_EQ(OPENERS, t_sysfs("clients"));
	during = line_of("/proc/meminfo", "Slab");
	/* File, inode and client; debug kernels add much to each. */
	EXPECT_GT(before + OPENERS * 32, during);
	TH_LOG("%lld kB of slab for %d clients", during - before, OPENERS);
	EXPECT_EQ(0, t_pool(0).used);
	kill(pid, SIGKILL);
	EXPECT_EQ(128 + SIGKILL, t_wait(pid));
	EXPECT_EQ(0, t_sysfs("clients"));
	close(ready[0]);
}

TEST_F(pool, what_cannot_succeed_costs_no_memory)
{
	unsigned long long span = 1ULL << SLABPOOL_NODE_SHIFT;
	long long before = line_of("/proc/meminfo", "Slab");
	struct slabpool_ioc_commit commit = {
		.size = sizeof(commit), .length = span,
	};
	int fd = t_open(), i, node;

	for (i = 0; i < 200; i++)
		for (node = -1; node < 2; node++) {
			commit.offset = SLABPOOL_OFFSET(node, 0);
			ASSERT_EQ(-1, ioctl(fd, SLABPOOL_IOC_COMMIT, &commit));
			ASSERT_EQ(ENOMEM, errno);
		}
	EXPECT_GT(before + 4096, line_of("/proc/meminfo", "Slab"));
	close(fd);
}

/* Sparse: each hpage in a tree of its own, as far apart as offsets go. */
TEST_F(pool, what_succeeds_costs_memory_for_each_hpage_at_most)
{
	long long before = line_of("/proc/meminfo", "Slab");
	unsigned long long byte;
	int fd = t_open(), count = 0;

	for (byte = 0; byte < 1ULL << SLABPOOL_NODE_SHIFT; byte += 1ULL << 33) {
		struct slabpool_ioc_commit commit = {
			.size = sizeof(commit),
			.offset = SLABPOOL_OFFSET(0, byte),
			.length = t_hpage(),
		};

		if (ioctl(fd, SLABPOOL_IOC_COMMIT, &commit))
			break;
		count++;
	}
	EXPECT_LT(self->total[0] / 2, count);
	EXPECT_GT(before + count * 32, line_of("/proc/meminfo", "Slab"));
	close(fd);
}

/* What somebody has a guarantee for is his at once, however full the pool is. */
TEST_F(pool, a_guarantee_is_granted_beside_who_takes_all)
{
	struct slabpool_ioc_reserve reserve = { .size = sizeof(reserve), .count = 6 };
	unsigned long round;
	int fd = t_open(), i;
	double start, longest = 0;
	pid_t pids[2];

	ASSERT_EQ(0, ioctl(fd, SLABPOOL_IOC_RESERVE, &reserve));
	for (i = 0; i < 2; i++) {
		pids[i] = fork_unprivileged(self->device.st_gid);
		if (!pids[i])
			for (;;) {
				int all = t_open();

				take_all(all);
				close(all);
			}
	}
	for (round = 0; round < t_rounds(10); round++) {
		start = t_now();
		ASSERT_EQ(0, t_commit(fd, 0, 0, 6 * t_hpage()));
		if (t_now() - start > longest)
			longest = t_now() - start;
		ASSERT_EQ(6, t_decommit(fd, 0, 0, 6 * t_hpage()));
		t_sleep_ms(2);
	}
	TH_LOG("the longest of %lu commits took %.1f ms", round, longest * 1e3);
	for (i = 0; i < 2; i++) {
		kill(pids[i], SIGKILL);
		t_wait(pids[i]);
	}
	close(fd);
}

/* Try, tell that, and keep what it gave until the gate opens: 1 if one hpage. */
static int try_for_one(int gate[2], int tried[2])
{
	int got = !t_commit(t_open(), 0, 0, t_hpage());
	char byte = 0;

	close(gate[1]);
	if (write(tried[1], &byte, 1) != 1 || read(gate[0], &byte, 1))
		return 99;
	return got;
}

TEST_F(pool, clients_that_race_for_the_last_hpages_share_them_exactly)
{
	unsigned long round;
	int fd = t_open(), i;

	ASSERT_EQ(0, t_commit(fd, 0, 0, (self->total[0] - 5) * t_hpage()));
	for (round = 0; round < t_rounds(20); round++) {
		int gate[2], tried[2], got = 0;
		pid_t pids[16];
		char byte = 0;

		ASSERT_EQ(0, pipe(gate));
		ASSERT_EQ(0, pipe(tried));
		for (i = 0; i < 16; i++) {
			pids[i] = fork_unprivileged(self->device.st_gid);
			if (!pids[i])
				_exit(try_for_one(gate, tried));
		}
		for (i = 0; i < 16; i++)
			ASSERT_EQ(1, read(tried[0], &byte, 1));
		EXPECT_EQ(self->total[0], t_pool(0).used);
		close(gate[1]);
		for (i = 0; i < 16; i++) {
			int code = t_wait(pids[i]);

			EXPECT_LE(code, 1);
			got += code;
		}
		EXPECT_EQ(5, got);
		close(gate[0]);
		close(tried[0]);
		close(tried[1]);
	}
	close(fd);
}

TEST_HARNESS_MAIN

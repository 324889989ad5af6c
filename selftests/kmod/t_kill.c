// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * A process killed anywhere, in a call, in a fault or in its own code, is gone at
 * once, and its hpages come back.
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
	EXPECT_EQ(0, t_stale(0));
	EXPECT_EQ(0, t_stale(1));
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
	EXPECT_EQ(0, t_stale(0));
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

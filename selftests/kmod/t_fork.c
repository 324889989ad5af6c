// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* Children of every kind, each advice about them, whoever of the two ends first. */
#include "kselftest_harness.h"
#include "helpers.h"

#include <sched.h>

#define HPAGES	3

FIXTURE(parent) {
	long long total;
};

FIXTURE_SETUP(parent)
{
	ASSERT_TRUE(t_all_settle(10));
	self->total = t_pool(0).total;
}

FIXTURE_TEARDOWN(parent)
{
	EXPECT_EQ(0, t_pool(0).used);
	EXPECT_EQ(0, t_sysfs("clients"));
	EXPECT_TRUE(t_all_settle(10));
	EXPECT_EQ(self->total, t_pool(0).total);
}

enum kind { FORK, CLONE, CLONE_FDS };

static const char *const kinds[] = { "fork", "clone", "clone files" };

static const struct {
	const char *name;
	int advice;
	int signal;	/* what a touch is for a child with a copy of the mm */
} advices[] = {
	{ "none", MADV_NORMAL, 0 },
	{ "DOFORK", MADV_DOFORK, 0 },
	{ "DONTFORK", MADV_DONTFORK, SIGSEGV },
	/* For private memory only: refused, so it is as without. */
	{ "WIPEONFORK", MADV_WIPEONFORK, 0 },
};

static pid_t make(enum kind kind)
{
	switch (kind) {
	case CLONE:
		return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	case CLONE_FDS:
		return syscall(SYS_clone, SIGCHLD | CLONE_FILES | CLONE_FS, 0,
			       0, 0, 0);
	default:
		return fork();
	}
}

/* Whether the advice was taken as it has to be. */
static bool advise(char *map, size_t length, unsigned int i)
{
	int ret = madvise(map, length, advices[i].advice) ? errno : 0;

	if (advices[i].advice == MADV_WIPEONFORK)
		return ret == EINVAL;
	/* Newest kernels refuse it for every special mapping. */
	if (advices[i].advice == MADV_DOFORK)
		return !ret || ret == EINVAL;
	return !ret;
}

/* What the child finds and does; 0, or which step failed. */
static int child(char *map, int signal, size_t hpage)
{
	if (t_touch(map, false) != signal)
		return 5;
	if (signal)
		return 0;
	if (map[0] != 1 || map[2 * hpage] != 1)
		return 6;
	map[hpage] = 2;
	return 0;
}

/*
 * The family of one cell, in a process of its own: 0, or which step failed.
 * An orphan tells by @orphan, which both share.
 */
static int family(enum kind kind, unsigned int i, bool parent_first,
		  volatile int *orphan)
{
	size_t hpage = t_hpage(), length = HPAGES * hpage;
	int fd = t_open(), pipes[2];
	char *map = t_take(fd, 0, HPAGES), byte;
	pid_t pid;

	if (map == MAP_FAILED || pipe(pipes))
		return 1;
	map[0] = 1;
	map[2 * hpage] = 1;
	if (!advise(map, length, i))
		return 2;
	pid = make(kind);
	if (pid < 0)
		return 3;
	if (!pid) {
		/* Let the parent end before, and see that by the pipe. */
		if (parent_first && kind != CLONE_FDS) {
			close(pipes[1]);
			if (read(pipes[0], &byte, 1))
				_exit(4);
		}
		*orphan = child(map, advices[i].signal, hpage);
		_exit(*orphan);
	}
	if (parent_first)
		return 0;
	if (t_wait(pid))
		return 7;
	if (map[hpage] != (advices[i].signal ? 0 : 2))
		return 8;
	return t_stats(fd, 0).committed == HPAGES ? 0 : 9;
}

/* Wait until the orphans are gone, too. */
static bool all_gone(void)
{
	double end = t_deadline(10);

	while (t_sysfs("clients") && t_now() < end)
		t_sleep_ms(1);
	return !t_sysfs("clients") && !t_pool(0).used;
}

TEST_F(parent, every_child_and_advice_and_end_leaves_nothing)
{
	volatile int *orphan = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
				    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned int kind, i, parent_first;
	unsigned long round;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, (void *)orphan);
	for (round = 0; round < t_rounds(2); round++)
		for (kind = 0; kind < ARRAY_SIZE(kinds); kind++)
			for (i = 0; i < ARRAY_SIZE(advices); i++)
				for (parent_first = 0; parent_first < 2;
				     parent_first++) {
					*orphan = -1;
					pid = fork();
					if (!pid)
						_exit(family(kind, i,
							     parent_first,
							     orphan));
					EXPECT_EQ(0, t_wait(pid)) {
						TH_LOG("%s, %s, %s first",
						       kinds[kind],
						       advices[i].name,
						       parent_first ? "parent" :
						       "child");
					}
					ASSERT_TRUE(all_gone());
					EXPECT_EQ(0, *orphan);
				}
}

/* A child in the parent's address space, until it ends or executes something. */
static int in_the_parents_memory(void *arg)
{
	char *map = arg;

	map[t_hpage()] = 5;
	return munmap(map, t_hpage()) ? 1 : 0;
}

TEST_F(parent, a_child_in_the_same_memory_may_unmap_it)
{
	static char stack[65536] __attribute__((aligned(16)));
	int fd = t_open();
	char *map = t_take(fd, 0, HPAGES);
	pid_t pid;

	ASSERT_NE(MAP_FAILED, map);
	pid = clone(in_the_parents_memory, stack + sizeof(stack),
		    CLONE_VM | CLONE_VFORK | SIGCHLD, map);
	ASSERT_LT(0, pid);
	EXPECT_EQ(0, t_wait(pid));
	EXPECT_EQ(SIGSEGV, t_touch(map, false));
	EXPECT_EQ(5, map[t_hpage()]);
	munmap(map, HPAGES * t_hpage());
	close(fd);
}

TEST_F(parent, vfork_and_exec_cost_the_parent_nothing)
{
	int fd = t_open();
	char *map = t_take(fd, 0, HPAGES);
	pid_t pid;

	ASSERT_NE(MAP_FAILED, map);
	map[0] = 1;
	pid = vfork();
	if (!pid) {
		execl("/bin/true", "true", NULL);
		_exit(127);
	}
	EXPECT_EQ(0, t_wait(pid));
	EXPECT_EQ(1, map[0]);
	EXPECT_EQ(t_hpage() / 1024, t_smaps(map, "FilePmdMapped"));
	munmap(map, HPAGES * t_hpage());
	close(fd);
}

TEST_F(parent, a_tree_of_children_shares_one_client)
{
	size_t hpage = t_hpage();
	int fd = t_open(), depth;
	char *map = t_take(fd, 0, HPAGES);
	pid_t pid = 0;

	ASSERT_NE(MAP_FAILED, map);
	for (depth = 0; depth < 8; depth++) {
		pid = fork();
		if (pid)
			break;
		map[depth * 4096] = depth + 1;
		if (depth == 7)
			_exit(0);
	}
	if (depth)
		_exit(t_wait(pid));
	ASSERT_EQ(0, t_wait(pid));
	for (depth = 0; depth < 8; depth++)
		EXPECT_EQ(depth + 1, map[depth * 4096]);
	EXPECT_EQ(HPAGES, t_pool(0).used);
	munmap(map, HPAGES * hpage);
	close(fd);
}

TEST_F(parent, forks_beside_faults_and_decommits_lose_nothing)
{
	size_t hpage = t_hpage();
	unsigned long round;
	int fd = t_open();
	char *map = t_take(fd, 0, HPAGES);
	pid_t busy;

	ASSERT_NE(MAP_FAILED, map);
	busy = fork();
	if (!busy) {
		for (;;) {
			t_decommit(fd, 0, hpage, hpage);
			t_commit(fd, 0, hpage, hpage);
			t_touch(map + hpage, true);
		}
	}
	for (round = 0; round < t_rounds(300); round++) {
		pid_t pid = fork();

		ASSERT_LE(0, pid);
		if (!pid) {
			t_touch(map + hpage, true);
			map[2 * hpage] = 1;
			_exit(0);
		}
		ASSERT_EQ(0, t_wait(pid));
	}
	kill(busy, SIGKILL);
	EXPECT_EQ(128 + SIGKILL, t_wait(busy));
	munmap(map, HPAGES * hpage);
	close(fd);
}

TEST_HARNESS_MAIN

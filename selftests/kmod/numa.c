// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* Every page is on the node that was asked for, and inside the cpuset. */
#include "kselftest_harness.h"
#include "helpers.h"

#include <numa.h>
#include <numaif.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define PAGES	8192	/* of 4 KiB: 32 MiB, 16 hpages of 2 MiB */

FIXTURE(client) {
	int fd;
	size_t hpage;
	size_t hpages;
};

FIXTURE_SETUP(client)
{
	/* The guest has two nodes. */
	ASSERT_LE(0, t_node(1, "total_hugepages"));
	ASSERT_TRUE(t_all_settle(10));
	self->fd = t_open();
	ASSERT_LE(0, self->fd);
	self->hpage = t_hpage();
	self->hpages = PAGES * 4096UL / self->hpage;
}

FIXTURE_TEARDOWN(client)
{
	close(self->fd);
}

/* Base pages of the mapping that are not on the node. */
static int elsewhere(char *map, int node)
{
	static void *pages[PAGES];
	static int status[PAGES];
	int i, wrong = 0;

	for (i = 0; i < PAGES; i++) {
		pages[i] = map + i * 4096UL;
		*(volatile char *)pages[i] = 1;
	}
	if (move_pages(0, PAGES, pages, NULL, status, 0))
		return -1;
	for (i = 0; i < PAGES; i++)
		wrong += status[i] != node;
	return wrong;
}

TEST_F(client, every_page_is_on_the_node_that_was_asked_for)
{
	int node;

	for (node = 0; node < 2; node++) {
		char *map = t_take(self->fd, node, self->hpages);
		int got = -1;

		ASSERT_NE(MAP_FAILED, map);
		EXPECT_EQ(0, elsewhere(map, node));
		EXPECT_EQ(0, get_mempolicy(&got, NULL, 0, map + 12345,
					   MPOL_F_NODE | MPOL_F_ADDR));
		EXPECT_EQ(node, got);
		munmap(map, self->hpages * self->hpage);
	}
}

static bool run_on(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	return !sched_setaffinity(0, sizeof(cpus), &cpus);
}

TEST_F(client, node_minus_one_is_the_node_of_the_calling_cpu_at_commit)
{
	unsigned int node;
	int cpu;

	for (cpu = 0; cpu < 2; cpu++) {
		char *map;

		ASSERT_TRUE(run_on(cpu));
		ASSERT_EQ(0, getcpu(NULL, &node));
		map = t_map(self->fd, SLABPOOL_NODE_LOCAL, cpu * (1UL << 30),
			    self->hpages * self->hpage, PROT_READ | PROT_WRITE,
			    MAP_SHARED);
		ASSERT_NE(MAP_FAILED, map);
		EXPECT_EQ(0, elsewhere(map, node));
		munmap(map, self->hpages * self->hpage);
	}
}

TEST_F(client, what_another_node_supplied_earlier_is_counted_off_node)
{
	struct slabpool_ioc_commit commit = {
		.size = sizeof(commit),
		.offset = SLABPOOL_OFFSET(SLABPOOL_NODE_LOCAL, 0),
		.length = 3 * self->hpage,
	};
	unsigned int first, second;

	ASSERT_TRUE(run_on(0));
	ASSERT_EQ(0, getcpu(NULL, &first));
	ASSERT_EQ(0, ioctl(self->fd, SLABPOOL_IOC_COMMIT, &commit));
	EXPECT_EQ(0, commit.off_node);
	ASSERT_TRUE(run_on(1));
	ASSERT_EQ(0, getcpu(NULL, &second));
	ASSERT_NE(first, second);
	commit.length = 5 * self->hpage;
	ASSERT_EQ(0, ioctl(self->fd, SLABPOOL_IOC_COMMIT, &commit));
	EXPECT_EQ(2, commit.committed);
	EXPECT_EQ(3, commit.off_node);
	EXPECT_EQ(3, t_stats(self->fd, first).committed);
	EXPECT_EQ(2, t_stats(self->fd, second).committed);
}

TEST_F(client, a_memory_policy_does_not_move_it)
{
	unsigned long other = 1UL << 1;
	char *map;

	ASSERT_EQ(0, set_mempolicy(MPOL_BIND, &other, 64));
	map = t_take(self->fd, 0, self->hpages);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(0, elsewhere(map, 0));
	munmap(map, self->hpages * self->hpage);
}

TEST_F(client, an_empty_pool_does_not_reach_into_the_other_node)
{
	size_t all = t_pool(0).total;
	long long other = t_pool(1).zeroed;

	EXPECT_EQ(MAP_FAILED, t_take(self->fd, 0, all + 1));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_EQ(other, t_pool(1).zeroed);
	EXPECT_EQ(other, t_pool(1).total);
}

TEST_F(client, the_worker_of_a_node_stays_on_its_cpus_at_the_lowest_priority)
{
	struct bitmask *cpus = numa_allocate_cpumask();
	struct bitmask *allowed = numa_allocate_cpumask();
	char name[32];
	pid_t pid;
	int node;

	for (node = 0; node < 2; node++) {
		snprintf(name, sizeof(name), "slabpool/%d", node);
		pid = t_thread_named(name);
		ASSERT_LT(0, pid);
		ASSERT_EQ(0, numa_node_to_cpus(node, cpus));
		ASSERT_LT(0, numa_sched_getaffinity(pid, allowed));
		EXPECT_TRUE(numa_bitmask_equal(cpus, allowed));
		EXPECT_EQ(19, getpriority(PRIO_PROCESS, pid));
	}
	numa_bitmask_free(cpus);
	numa_bitmask_free(allowed);
}

#define GROUP	"/sys/fs/cgroup/slabpool-numa"

/* A child group with node 1's memory only; false with the reason. */
static bool make_cpuset(const char **why)
{
	*why = "no cgroup2";
	mount("none", "/sys/fs/cgroup", "cgroup2", 0, NULL);
	if (access("/sys/fs/cgroup/cgroup.subtree_control", W_OK))
		return false;
	*why = "no cpuset controller";
	if (t_write("/sys/fs/cgroup/cgroup.subtree_control", "+cpuset"))
		return false;
	*why = "cannot make a group";
	if (mkdir(GROUP, 0755) && errno != EEXIST)
		return false;
	*why = "cannot set cpuset.mems";
	return !t_write(GROUP "/cpuset.mems", "1");
}

static int in_cpuset(int fd, size_t hpage)
{
	char pid[32];

	snprintf(pid, sizeof(pid), "%d", getpid());
	if (t_write(GROUP "/cgroup.procs", pid))
		return 1;
	if (t_commit(fd, 0, 0, hpage) != -ENODEV)
		return 2;
	if (t_take(fd, 0, 1) != MAP_FAILED || errno != ENODEV)
		return 3;
	if (t_commit(fd, 1, 0, hpage) != 0)
		return 4;
	/* Reserving takes nothing and is nobody's business. */
	if (t_map(fd, 0, 0, hpage, PROT_NONE, MAP_SHARED) == MAP_FAILED)
		return 5;
	return 0;
}

TEST_F(client, committing_stays_inside_the_cpuset)
{
	const char *why;
	pid_t pid;

	if (!make_cpuset(&why))
		SKIP(return, "%s", why);
	pid = fork();
	if (!pid)
		_exit(in_cpuset(self->fd, self->hpage));
	EXPECT_EQ(0, t_wait(pid));
	EXPECT_EQ(0, t_stats(self->fd, 0).committed);
	EXPECT_EQ(1, t_stats(self->fd, 1).committed);
	EXPECT_EQ(0, rmdir(GROUP));
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Nodes of all kinds: without memory, without CPUs, at various distances.  For the
 * guest with eight nodes; on two much of it is trivially so, and it says what it
 * skips.
 */
#include "kselftest_harness.h"
#include "helpers.h"

#include <numa.h>
#include <numaif.h>
#include <sched.h>

#define NODES	"/sys/devices/system/node"
#define MAX	64

FIXTURE(nodes) {
	int fd;
	size_t hpage;
	int count;			/* numbers below are nodes */
	long long total[MAX];		/* of the pool; -1: there is none */
	int cpu[MAX];			/* one of the node's; -1: it has none */
	int distance[MAX][MAX];
};

/* Is the number in a list like "0-3,7"? */
static bool listed(const char *file, int number)
{
	char path[128], line[256], *at = line;
	int first, last, length;

	snprintf(path, sizeof(path), NODES "/%s", file);
	if (!t_read_line(path, line, sizeof(line)))
		return false;
	while (sscanf(at, "%d%n", &first, &length) == 1) {
		at += length;
		last = first;
		if (sscanf(at, "-%d%n", &last, &length) == 1)
			at += length;
		if (number >= first && number <= last)
			return true;
		at += *at == ',';
	}
	return false;
}

static int cpu_of(int node)
{
	char path[128], line[256];

	snprintf(path, sizeof(path), NODES "/node%d/cpulist", node);
	if (!t_read_line(path, line, sizeof(line)) || !*line)
		return -1;
	return atoi(line);
}

FIXTURE_SETUP(nodes)
{
	char path[128], line[1024], *at;
	int node, other, length;

	ASSERT_TRUE(t_all_settle(20));
	self->hpage = t_hpage();
	for (node = 0; node < MAX && listed("online", node); node++) {
		self->total[node] = t_node(node, "total_hugepages");
		self->cpu[node] = cpu_of(node);
		snprintf(path, sizeof(path), NODES "/node%d/distance", node);
		ASSERT_TRUE(t_read_line(path, line, sizeof(line)));
		at = line;
		for (other = 0; other < MAX &&
		     sscanf(at, "%d%n", &self->distance[node][other],
			    &length) == 1; other++)
			at += length;
	}
	self->count = node;
	ASSERT_LE(2, self->count);
	self->fd = t_open();
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(nodes)
{
	close(self->fd);
	EXPECT_TRUE(t_all_settle(20));
}

TEST_F(nodes, those_with_memory_have_a_pool_and_no_others)
{
	struct slabpool_ioc_info info = { .size = sizeof(info) };
	int node;

	ASSERT_EQ(0, ioctl(self->fd, SLABPOOL_IOC_INFO, &info));
	for (node = 0; node < SLABPOOL_MAX_NODES; node++) {
		bool there = listed("has_memory", node);

		EXPECT_EQ(there, t_node(node, "total_hugepages") >= 0);
		EXPECT_EQ(there, info.node_mask[node / 64] >> node % 64 & 1);
	}
}

TEST_F(nodes, one_without_memory_is_enodev)
{
	struct slabpool_ioc_reserve reserve = { .size = sizeof(reserve) };
	struct slabpool_ioc_stats stats = { .size = sizeof(stats) };
	struct slabpool_ioc_commit commit = {
		.size = sizeof(commit), .flags = SLABPOOL_FALLBACK,
		.length = self->hpage,
	};
	int node, found = 0;

	for (node = 0; node < self->count; node++) {
		if (self->total[node] >= 0)
			continue;
		found++;
		EXPECT_EQ(-ENODEV, t_commit(self->fd, node, 0, self->hpage));
		commit.offset = SLABPOOL_OFFSET(node, 0);
		EXPECT_EQ(-1, ioctl(self->fd, SLABPOOL_IOC_COMMIT, &commit));
		EXPECT_EQ(ENODEV, errno);
		EXPECT_EQ(MAP_FAILED, t_map(self->fd, node, 0, self->hpage,
					    PROT_NONE, MAP_SHARED));
		EXPECT_EQ(ENODEV, errno);
		reserve.node = node;
		EXPECT_EQ(-1, ioctl(self->fd, SLABPOOL_IOC_RESERVE, &reserve));
		EXPECT_EQ(ENODEV, errno);
		stats.node = node;
		EXPECT_EQ(-1, ioctl(self->fd, SLABPOOL_IOC_STATS, &stats));
		EXPECT_EQ(EINVAL, errno);
	}
	if (!found)
		SKIP(return, "each node has memory here");
}

/* The node with a pool that is nearest, with @except left out. */
static int nearest(struct __test_metadata *_metadata,
		   FIXTURE_DATA(nodes) *self, int from, unsigned long except)
{
	int node, best = -1;

	(void)_metadata;
	if (self->total[from] >= 0 && !(except >> from & 1))
		return from;
	for (node = 0; node < self->count; node++) {
		if (self->total[node] < 0 || except >> node & 1)
			continue;
		if (best < 0 || self->distance[from][node] <
		    self->distance[from][best])
			best = node;
	}
	return best;
}

static bool run_on(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	return !sched_setaffinity(0, sizeof(cpus), &cpus);
}

TEST_F(nodes, local_is_the_nearest_with_memory)
{
	unsigned int node;
	int at, want;

	for (at = 0; at < self->count; at++) {
		if (self->cpu[at] < 0)
			continue;
		ASSERT_TRUE(run_on(self->cpu[at]));
		ASSERT_EQ(0, getcpu(NULL, &node));
		want = nearest(_metadata, self, node, 0);
		ASSERT_LE(0, want);
		ASSERT_EQ(0, t_commit(self->fd, SLABPOOL_NODE_LOCAL,
				      at * self->hpage, self->hpage));
		EXPECT_LE(1, t_stats(self->fd, want).committed);
		EXPECT_EQ(1, t_decommit(self->fd, SLABPOOL_NODE_LOCAL,
					at * self->hpage, self->hpage));
	}
}

TEST_F(nodes, memory_of_each_is_on_it)
{
	int node, got;
	char *map;

	for (node = 0; node < self->count; node++) {
		if (self->total[node] < 1)
			continue;
		map = t_take(self->fd, node, 1);
		ASSERT_NE(MAP_FAILED, map);
		map[0] = 1;
		ASSERT_EQ(0, get_mempolicy(&got, NULL, 0, map, MPOL_F_NODE |
					   MPOL_F_ADDR));
		EXPECT_EQ(node, got);
		munmap(map, self->hpage);
	}
}

TEST_F(nodes, fallback_goes_from_the_nearest_to_the_farthest)
{
	struct slabpool_ioc_commit commit = {
		.size = sizeof(commit), .flags = SLABPOOL_FALLBACK,
	};
	int from, step, node, there = 0;
	unsigned long used;
	long long count;

	for (node = 0; node < self->count; node++)
		there += self->total[node] > 0;
	for (from = 0; from < self->count; from++) {
		if (self->total[from] < 1)
			continue;
		commit.offset = SLABPOOL_OFFSET(from, 0);
		for (step = 0, used = 0, count = 0; step < there; step++) {
			node = nearest(_metadata, self, from, used);
			if (self->total[node] < 1)
				break;
			used |= 1UL << node;
			/* One of it, then all the rest of it. */
			commit.length = (count + 1) * self->hpage;
			ASSERT_EQ(0, ioctl(self->fd, SLABPOOL_IOC_COMMIT,
					   &commit));
			EXPECT_EQ(1, t_stats(self->fd, node).committed);
			count += self->total[node];
			commit.length = count * self->hpage;
			ASSERT_EQ(0, ioctl(self->fd, SLABPOOL_IOC_COMMIT,
					   &commit));
			EXPECT_EQ((__u64)self->total[node],
				  t_stats(self->fd, node).committed);
			EXPECT_EQ((__u64)(count - self->total[from]),
				  commit.off_node);
		}
		EXPECT_EQ(there, step);
		EXPECT_EQ(count, t_decommit(self->fd, from, 0,
					    count * self->hpage));
	}
}

TEST_F(nodes, the_worker_of_one_without_cpus_runs_on_the_nearest_that_has)
{
	struct bitmask *cpus = numa_allocate_cpumask();
	struct bitmask *allowed = numa_allocate_cpumask();
	int node, other, best, found = 0;
	char name[32];
	pid_t pid;

	for (node = 0; node < self->count; node++) {
		if (self->total[node] < 0 || self->cpu[node] >= 0)
			continue;
		found++;
		for (other = 0, best = -1; other < self->count; other++) {
			if (self->cpu[other] < 0)
				continue;
			if (best < 0 || self->distance[node][other] <
			    self->distance[node][best])
				best = other;
		}
		snprintf(name, sizeof(name), "slabpool/%d", node);
		pid = t_thread_named(name);
		ASSERT_LT(0, pid);
		ASSERT_EQ(0, numa_node_to_cpus(best, cpus));
		ASSERT_LT(0, numa_sched_getaffinity(pid, allowed));
		EXPECT_TRUE(numa_bitmask_equal(cpus, allowed)) {
			TH_LOG("node %d, nearest with CPUs %d", node, best);
		}
	}
	numa_bitmask_free(cpus);
	numa_bitmask_free(allowed);
	if (!found)
		SKIP(return, "each node with memory has CPUs here");
}

TEST_HARNESS_MAIN

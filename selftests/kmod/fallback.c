// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* What a node lacks comes from the others, when that was asked for. */
#include "kselftest_harness.h"
#include "helpers.h"

#include <sys/mount.h>
#include <sys/stat.h>

FIXTURE(fallback) {
	int fd;
	int hog;
	size_t hpage;
	long long total[2];
	long long fallbacks;
};

FIXTURE_SETUP(fallback)
{
	ASSERT_TRUE(t_all_settle(10));
	self->fd = t_open();
	self->hog = t_open();
	ASSERT_LE(0, self->hog);
	self->hpage = t_hpage();
	self->total[0] = t_pool(0).total;
	self->total[1] = t_pool(1).total;
	ASSERT_LT(16, self->total[0]);
	ASSERT_LT(16, self->total[1]);
	self->fallbacks = t_node(0, "stats/fallbacks");
}

FIXTURE_TEARDOWN(fallback)
{
	close(self->fd);
	close(self->hog);
	EXPECT_EQ(0, t_write(T_SYSFS "/max_client_hugepages", "0"));
	EXPECT_TRUE(t_all_settle(10));
	EXPECT_EQ(self->total[0], t_pool(0).total);
	EXPECT_EQ(self->total[1], t_pool(1).total);
}

static int commit(int fd, int node, size_t at, size_t count,
		  struct slabpool_ioc_commit *in)
{
	*in = (struct slabpool_ioc_commit){
		.size = sizeof(*in), .flags = SLABPOOL_FALLBACK,
		.offset = SLABPOOL_OFFSET(node, at * t_hpage()),
		.length = count * t_hpage(), .off_node = 77, .committed = 77,
	};
	return ioctl(fd, SLABPOOL_IOC_COMMIT, in) ? -errno : 0;
}

static int fill(int fd, int node, size_t count)
{
	return t_commit(fd, node, 0, count * t_hpage());
}

TEST_F(fallback, nothing_comes_from_elsewhere_while_the_node_has_enough)
{
	struct slabpool_ioc_commit in;

	ASSERT_EQ(0, commit(self->fd, 0, 0, self->total[0], &in));
	EXPECT_EQ((__u64)self->total[0], in.committed);
	EXPECT_EQ(0, in.off_node);
	EXPECT_EQ(self->fallbacks, t_node(0, "stats/fallbacks"));
}

TEST_F(fallback, only_what_the_node_lacks_comes_from_another)
{
	long long commits[2] = {
		t_node(0, "stats/commits"), t_node(1, "stats/commits"),
	};
	struct slabpool_ioc_commit in;

	ASSERT_EQ(0, fill(self->hog, 0, self->total[0] - 3));
	ASSERT_EQ(0, commit(self->fd, 0, 0, 8, &in));
	EXPECT_EQ(8, in.committed);
	EXPECT_EQ(5, in.off_node);
	EXPECT_EQ(3, t_stats(self->fd, 0).committed);
	EXPECT_EQ(5, t_stats(self->fd, 1).committed);
	EXPECT_EQ(self->fallbacks + 5, t_node(0, "stats/fallbacks"));
	EXPECT_EQ(commits[0] + self->total[0], t_node(0, "stats/commits"));
	EXPECT_EQ(commits[1] + 5, t_node(1, "stats/commits"));
	/* They count as off-node for whoever asks later, too. */
	ASSERT_EQ(0, commit(self->fd, 0, 0, 9, &in));
	EXPECT_EQ(1, in.committed);
	EXPECT_EQ(6, in.off_node);
}

TEST_F(fallback, the_memory_is_zero_and_can_be_used_and_given_back)
{
	struct slabpool_ioc_commit in;
	char *map;

	ASSERT_EQ(0, fill(self->hog, 0, self->total[0] - 1));
	ASSERT_EQ(0, commit(self->fd, 0, 0, 3, &in));
	map = t_take(self->fd, 0, 3);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_TRUE(t_is_filled(map, 0, 3 * self->hpage));
	memset(map, 1, 3 * self->hpage);
	EXPECT_EQ(3, t_decommit(self->fd, 0, 0, 3 * self->hpage));
	EXPECT_EQ(0, t_pool(1).used);
	munmap(map, 3 * self->hpage);
}

TEST_F(fallback, more_than_all_nodes_have_is_enomem_and_changes_nothing)
{
	long long failures = t_node(0, "stats/commit_failures");
	struct slabpool_ioc_commit in;

	EXPECT_EQ(-ENOMEM, commit(self->fd, 0, 0,
				  self->total[0] + self->total[1] + 1, &in));
	EXPECT_EQ(77, in.committed);
	EXPECT_EQ(77, in.off_node);
	EXPECT_EQ(0, t_pool(0).used);
	EXPECT_EQ(0, t_pool(1).used);
	EXPECT_EQ(failures + 1, t_node(0, "stats/commit_failures"));
	EXPECT_EQ(0, commit(self->fd, 0, 0, self->total[0] + self->total[1],
			    &in));
	EXPECT_EQ((__u64)self->total[1], in.off_node);
}

TEST_F(fallback, a_quota_holds_over_all_nodes)
{
	struct slabpool_ioc_commit in;

	ASSERT_EQ(0, fill(self->hog, 0, self->total[0] - 3));
	ASSERT_EQ(0, t_write(T_SYSFS "/max_client_hugepages", "5"));
	EXPECT_EQ(-EDQUOT, commit(self->fd, 0, 0, 6, &in));
	EXPECT_EQ(0, t_stats(self->fd, SLABPOOL_NODE_LOCAL).committed);
	EXPECT_EQ(0, commit(self->fd, 0, 0, 5, &in));
	EXPECT_EQ(2, in.off_node);
}

TEST_F(fallback, a_guarantee_elsewhere_is_left_alone)
{
	struct slabpool_ioc_reserve reserve = {
		.size = sizeof(reserve), .node = 1, .count = self->total[1] - 2,
	};
	struct slabpool_ioc_commit in;

	ASSERT_EQ(0, ioctl(self->hog, SLABPOOL_IOC_RESERVE, &reserve));
	EXPECT_EQ(-ENOMEM, commit(self->fd, 0, 0, self->total[0] + 3, &in));
	EXPECT_EQ(0, commit(self->fd, 0, 0, self->total[0] + 2, &in));
}

TEST_F(fallback, two_that_race_for_the_rest_do_not_both_fail)
{
	struct slabpool_ioc_commit in;
	int i, failed;
	pid_t pid;

	/* Eight are left on each node, and both want twelve. */
	ASSERT_EQ(0, fill(self->hog, 0, self->total[0] - 8));
	ASSERT_EQ(0, fill(self->hog, 1, self->total[1] - 8));
	for (i = 0; i < 50; i++) {
		int a = t_open(), b = t_open();

		pid = fork();
		if (!pid)
			_exit(!!commit(a, 0, 0, 12, &in));
		failed = !!commit(b, 1, 0, 12, &in);
		failed += t_wait(pid);
		EXPECT_GE(1, failed);
		close(a);
		close(b);
	}
}

#define GROUP	"/sys/fs/cgroup/slabpool-fallback"

static bool make_cpuset(void)
{
	mount("none", "/sys/fs/cgroup", "cgroup2", 0, NULL);
	return !t_write("/sys/fs/cgroup/cgroup.subtree_control", "+cpuset") &&
	       (!mkdir(GROUP, 0755) || errno == EEXIST) &&
	       !t_write(GROUP "/cpuset.mems", "1");
}

static int in_cpuset(int fd, size_t all)
{
	struct slabpool_ioc_commit in;
	char pid[32];

	snprintf(pid, sizeof(pid), "%d", getpid());
	if (t_write(GROUP "/cgroup.procs", pid))
		return 1;
	/* The node asked for is outside: all of it comes from inside. */
	if (commit(fd, 0, 0, 4, &in) || in.off_node != 4)
		return 2;
	/* And no more than inside there is. */
	if (commit(fd, 0, 4, all, &in) != -ENOMEM)
		return 3;
	return 0;
}

TEST_F(fallback, it_stays_inside_the_cpuset)
{
	pid_t pid;

	if (!make_cpuset())
		SKIP(return, "no cpuset controller of cgroup2");
	pid = fork();
	if (!pid)
		_exit(in_cpuset(self->fd, self->total[1]));
	EXPECT_EQ(0, t_wait(pid));
	EXPECT_EQ(0, t_stats(self->fd, 0).committed);
	EXPECT_EQ(4, t_stats(self->fd, 1).committed);
	EXPECT_EQ(0, rmdir(GROUP));
}

TEST_F(fallback, racing_fallbacks_lose_nothing)
{
	double end = t_now() + 4;
	pid_t pids[4];
	int i;

	for (i = 0; i < 4; i++) {
		pids[i] = fork();
		if (pids[i])
			continue;
		srand(i);
		while (t_now() < end) {
			struct slabpool_ioc_commit in;
			int fd = t_open();

			commit(fd, rand() % 2, 0, 1 + rand() % self->total[0],
			       &in);
			t_decommit(fd, 0, 0, 3 * self->hpage);
			close(fd);
		}
		_exit(0);
	}
	for (i = 0; i < 4; i++)
		EXPECT_EQ(0, t_wait(pids[i]));
	EXPECT_TRUE(t_all_settle(10));
	for (i = 0; i < 2; i++)
		EXPECT_EQ(t_node(i, "stats/commits"),
			  t_node(i, "stats/decommits"));
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* The pool grows when a commit needs it, and gives back what it grew by. */
#include "kselftest_harness.h"
#include "helpers.h"

#include <sched.h>
#include <sys/klog.h>

FIXTURE(surplus) {
	int fd;
	int hog;
	size_t hpage;
	long long total[2];
	long long grown, shrunk;
};

static void set_decay(unsigned int ms)
{
	char text[32];

	snprintf(text, sizeof(text), "%u", ms);
	t_write(T_SYSFS "/decay_ms", text);
}

static int set_overcommit(int node, long long count)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", count);
	return t_set_node(node, "nr_overcommit_hugepages", text);
}

static int set_size(int node, long long count)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", count);
	return t_set_node(node, "nr_hugepages", text);
}

/* Wait until a node has that many hpages; what it has then. */
static long long wait_for(int node, long long total, double seconds)
{
	double end = t_deadline(seconds);

	while (t_pool(node).total != total && t_now() < end)
		t_sleep_ms(10);
	return t_pool(node).total;
}

FIXTURE_SETUP(surplus)
{
	int node;

	ASSERT_EQ(10000, t_sysfs("decay_ms"));
	ASSERT_TRUE(t_all_settle(10));
	self->hpage = t_hpage();
	self->fd = t_open();
	self->hog = t_open();
	ASSERT_LE(0, self->hog);
	for (node = 0; node < 2; node++) {
		self->total[node] = t_pool(node).total;
		ASSERT_LT(16, self->total[node]);
		ASSERT_EQ(0, t_node(node, "nr_overcommit_hugepages"));
		ASSERT_EQ(0, t_node(node, "surplus_hugepages"));
		/* The rest is what the tests are about. */
		ASSERT_EQ(0, t_commit(self->hog, node, 0,
				      (self->total[node] - 2) * self->hpage));
	}
	self->grown = t_node(0, "stats/grown");
	self->shrunk = t_node(0, "stats/shrunk");
}

FIXTURE_TEARDOWN(surplus)
{
	int node;

	close(self->fd);
	close(self->hog);
	set_decay(0);
	for (node = 0; node < 2; node++) {
		EXPECT_EQ(0, set_overcommit(node, 0));
		EXPECT_EQ(0, set_size(node, self->total[node]));
		EXPECT_EQ(self->total[node],
			  wait_for(node, self->total[node], 20));
	}
	EXPECT_TRUE(t_all_settle(10));
	set_decay(10000);
}

static int commit(int fd, int node, size_t at, size_t count)
{
	return t_commit(fd, node, at * t_hpage(), count * t_hpage());
}

TEST_F(surplus, a_commit_that_lacks_hpages_lets_the_pool_grow)
{
	char *map;

	ASSERT_EQ(0, set_overcommit(0, 5));
	EXPECT_EQ(5, t_node(0, "nr_overcommit_hugepages"));
	ASSERT_EQ(0, commit(self->fd, 0, 0, 6));
	EXPECT_EQ(self->total[0] + 4, t_pool(0).total);
	EXPECT_EQ(4, t_node(0, "surplus_hugepages"));
	EXPECT_EQ(self->total[0], t_node(0, "nr_hugepages"));
	EXPECT_EQ(self->grown + 4, t_node(0, "stats/grown"));
	map = t_take(self->fd, 0, 6);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_TRUE(t_is_filled(map, 0, 6 * self->hpage));
	munmap(map, 6 * self->hpage);
}

TEST_F(surplus, nothing_grows_while_the_pool_suffices)
{
	ASSERT_EQ(0, set_overcommit(0, 5));
	ASSERT_EQ(0, commit(self->fd, 0, 0, 2));
	EXPECT_EQ(self->grown, t_node(0, "stats/grown"));
}

TEST_F(surplus, nothing_grows_when_that_would_not_suffice)
{
	ASSERT_EQ(0, set_overcommit(0, 5));
	EXPECT_EQ(-ENOMEM, commit(self->fd, 0, 0, 8));
	EXPECT_EQ(self->grown, t_node(0, "stats/grown"));
	EXPECT_EQ(0, commit(self->fd, 0, 0, 7));
	EXPECT_EQ(-ENOMEM, commit(self->fd, 0, 7, 1));
}

TEST_F(surplus, nothing_grows_when_a_quota_is_against_it)
{
	ASSERT_EQ(0, set_overcommit(0, 5));
	ASSERT_EQ(0, t_write(T_SYSFS "/max_client_hugepages", "3"));
	EXPECT_EQ(-EDQUOT, commit(self->fd, 0, 0, 4));
	EXPECT_EQ(self->grown, t_node(0, "stats/grown"));
	EXPECT_EQ(0, t_write(T_SYSFS "/max_client_hugepages", "0"));
}

TEST_F(surplus, mmap_does_not_wait_for_the_pool_to_grow)
{
	ASSERT_EQ(0, set_overcommit(0, 5));
	EXPECT_EQ(MAP_FAILED, t_take(self->fd, 0, 3));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_EQ(self->grown, t_node(0, "stats/grown"));
}

TEST_F(surplus, with_fallback_other_pools_come_first_and_the_nearest_grows)
{
	struct slabpool_ioc_commit in = {
		.size = sizeof(in), .flags = SLABPOOL_FALLBACK,
		.offset = SLABPOOL_OFFSET(0, 0), .length = 4 * self->hpage,
	};

	ASSERT_EQ(0, set_overcommit(0, 3));
	ASSERT_EQ(0, set_overcommit(1, 3));
	ASSERT_EQ(0, ioctl(self->fd, SLABPOOL_IOC_COMMIT, &in));
	EXPECT_EQ(2, in.off_node);
	EXPECT_EQ(0, t_node(0, "surplus_hugepages"));
	in.length = 9 * self->hpage;
	ASSERT_EQ(0, ioctl(self->fd, SLABPOOL_IOC_COMMIT, &in));
	EXPECT_EQ(4, in.off_node);
	EXPECT_EQ(3, t_node(0, "surplus_hugepages"));
	EXPECT_EQ(2, t_node(1, "surplus_hugepages"));
	in.length = 11 * self->hpage;
	EXPECT_EQ(-1, ioctl(self->fd, SLABPOOL_IOC_COMMIT, &in));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_EQ(2, t_node(1, "surplus_hugepages"));
}

TEST_F(surplus, what_is_used_stays_and_what_is_free_decays)
{
	set_decay(2000);
	ASSERT_EQ(0, set_overcommit(0, 8));
	ASSERT_EQ(0, commit(self->fd, 0, 0, 10));
	t_sleep_ms(2500);
	EXPECT_EQ(8, t_node(0, "surplus_hugepages"));
	EXPECT_EQ(10, t_decommit(self->fd, 0, 0, 10 * self->hpage));
	/* Not at once. */
	EXPECT_EQ(8, t_node(0, "surplus_hugepages"));
	EXPECT_EQ(self->total[0], wait_for(0, self->total[0], 20));
	EXPECT_EQ(self->shrunk + 8, t_node(0, "stats/shrunk"));
	/* What was configured never does. */
	t_sleep_ms(2500);
	EXPECT_EQ(self->total[0], t_pool(0).total);
}

TEST_F(surplus, it_decays_along_the_curve)
{
	long long last = 40, now;
	double start, age;

	set_decay(8000);
	ASSERT_EQ(0, set_overcommit(0, 40));
	ASSERT_EQ(0, commit(self->fd, 0, 0, 42));
	start = t_now();
	EXPECT_EQ(42, t_decommit(self->fd, 0, 0, 42 * self->hpage));
	do {
		now = t_node(0, "surplus_hugepages");
		age = t_now() - start;
		EXPECT_GE(last, now);
		last = now;
		/* A curve that a busy machine follows late, but never early. */
		if (age < 1)
			EXPECT_LE(38, now);
		if (age < 3.5)
			EXPECT_LE(20, now);
		t_sleep_ms(50);
	} while (age < 8.5);
	EXPECT_EQ(0, wait_for(0, self->total[0], 10) - self->total[0]);
}

TEST_F(surplus, a_lowered_size_decays_too)
{
	close(self->hog);
	ASSERT_TRUE(t_settles(0, 10));
	set_decay(3000);
	ASSERT_EQ(0, set_size(0, self->total[0] - 8));
	EXPECT_EQ(self->total[0], t_pool(0).total);
	EXPECT_EQ(8, t_node(0, "surplus_hugepages"));
	/* Free is free: it may be taken as long as it is there. */
	EXPECT_EQ(0, commit(self->fd, 0, 0, self->total[0]));
	EXPECT_EQ(self->total[0], t_decommit(self->fd, 0, 0, self->total[0] *
					     self->hpage));
	EXPECT_EQ(self->total[0] - 8, wait_for(0, self->total[0] - 8, 20));
	self->hog = -1;
}

TEST_F(surplus, without_decay_it_goes_at_once)
{
	set_decay(0);
	ASSERT_EQ(0, set_overcommit(0, 4));
	ASSERT_EQ(0, commit(self->fd, 0, 0, 6));
	EXPECT_EQ(6, t_decommit(self->fd, 0, 0, 6 * self->hpage));
	EXPECT_EQ(self->total[0], wait_for(0, self->total[0], 5));
}

TEST_F(surplus, a_shorter_period_counts_for_what_is_there_already)
{
	set_decay(3600 * 1000);
	ASSERT_EQ(0, set_overcommit(0, 4));
	ASSERT_EQ(0, commit(self->fd, 0, 0, 6));
	EXPECT_EQ(6, t_decommit(self->fd, 0, 0, 6 * self->hpage));
	t_sleep_ms(500);
	EXPECT_EQ(4, t_node(0, "surplus_hugepages"));
	set_decay(500);
	EXPECT_EQ(self->total[0], wait_for(0, self->total[0], 10));
}

TEST_F(surplus, the_kernel_may_have_it_and_nothing_more)
{
	set_decay(3600 * 1000);
	ASSERT_EQ(0, set_overcommit(0, 4));
	ASSERT_EQ(0, commit(self->fd, 0, 0, 6));
	ASSERT_EQ(0, t_write("/proc/sys/vm/drop_caches", "2"));
	EXPECT_EQ(4, t_node(0, "surplus_hugepages"));
	EXPECT_EQ(6, t_decommit(self->fd, 0, 0, 6 * self->hpage));
	ASSERT_EQ(0, t_write("/proc/sys/vm/drop_caches", "2"));
	EXPECT_EQ(self->total[0], wait_for(0, self->total[0], 5));
	EXPECT_TRUE(t_settles(1, 0) || t_pool(1).total == self->total[1]);
}

TEST_F(surplus, a_guarantee_keeps_it)
{
	struct slabpool_ioc_reserve reserve = {
		.size = sizeof(reserve), .node = 0, .count = 5,
	};

	set_decay(0);
	ASSERT_EQ(0, set_overcommit(0, 4));
	ASSERT_EQ(0, commit(self->fd, 0, 0, 6));
	ASSERT_EQ(0, ioctl(self->fd, SLABPOOL_IOC_RESERVE, &reserve));
	EXPECT_EQ(6, t_decommit(self->fd, 0, 0, 6 * self->hpage));
	EXPECT_EQ(self->total[0] + 3, wait_for(0, self->total[0] + 3, 5));
	ASSERT_EQ(0, t_write("/proc/sys/vm/drop_caches", "2"));
	t_sleep_ms(200);
	EXPECT_EQ(self->total[0] + 3, t_pool(0).total);
	EXPECT_EQ(0, commit(self->fd, 0, 0, 5));
}

/* Lines of the kernel's log since a mark, with a text in them. */
static int log_lines(const char *mark, const char *text)
{
	static char log[1 << 20];
	int length = klogctl(3, log, sizeof(log) - 1), count = 0;
	char *at;

	if (length < 0)
		return -1;
	log[length] = '\0';
	at = strstr(log, mark);
	while (at && (at = strstr(at + 1, text)) != NULL)
		count++;
	return count;
}

/* More hpages than node 1 can have: its memory counted in them. */
static long long all_of_node1(void)
{
	FILE *info = fopen("/sys/devices/system/node/node1/meminfo", "r");
	long long all = 0;
	unsigned int node;
	char line[128];

	while (info && fgets(line, sizeof(line), info))
		if (sscanf(line, "Node %u MemTotal: %lld", &node, &all) == 2)
			break;
	if (info)
		fclose(info);
	return all / 2048;
}

TEST_F(surplus, when_memory_is_short_what_was_got_is_kept)
{
	long long all = all_of_node1();
	char mark[64];

	ASSERT_LT(self->total[1] + 100, all);
	snprintf(mark, sizeof(mark), "surplus-test %d", getpid());
	ASSERT_EQ(0, t_write("/dev/kmsg", mark));
	ASSERT_EQ(0, set_overcommit(1, all));
	EXPECT_EQ(-ENOMEM, commit(self->fd, 1, 0, all));
	EXPECT_EQ(0, t_stats(self->fd, 1).committed);
	EXPECT_LT(0, t_node(1, "surplus_hugepages"));
	EXPECT_EQ(1, log_lines(mark, "memory is short"));
	EXPECT_EQ(0, log_lines(mark, "Out of memory"));
}

/* Nobody has used it and given it back, which would wake the worker. */
TEST_F(surplus, what_was_got_in_vain_goes_by_itself)
{
	long long all = all_of_node1();

	set_decay(0);
	ASSERT_LT(self->total[1] + 100, all);
	ASSERT_EQ(0, set_overcommit(1, all));
	EXPECT_EQ(-ENOMEM, commit(self->fd, 1, 0, all));
	EXPECT_EQ(self->total[1], wait_for(1, self->total[1], 5));
}

/* The same after a signal: killed while the pool grows for its commit. */
TEST_F(surplus, what_grew_for_a_commit_that_was_killed_goes_by_itself)
{
	long long all = all_of_node1(), grown = self->total[1] + 4;
	double end = t_deadline(20);
	pid_t pid;

	ASSERT_LT(grown + 100, all);
	set_decay(1000);
	ASSERT_EQ(0, set_overcommit(1, all));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(commit(self->fd, 1, 0, (all - self->total[1]) * 3 / 4) != 0);
	while (t_pool(1).total < grown && t_now() < end)
		sched_yield();
	ASSERT_LE(grown, t_pool(1).total);
	EXPECT_EQ(0, kill(pid, SIGKILL));
	EXPECT_EQ(128 + SIGKILL, t_wait(pid));
	EXPECT_EQ(0, t_stats(self->fd, 1).committed);
	EXPECT_EQ(self->total[1], wait_for(1, self->total[1], 5));
}

TEST_F(surplus, nonsense_is_einval_and_changes_nothing)
{
	static const char *const nonsense[] = {
		"x", "-1", "1x", "1 2", " ", "\n", "1.5", "0x10",
		"18446744073709551616", "99999999999",
	};
	unsigned int i;

	ASSERT_EQ(0, set_overcommit(0, 3));
	for (i = 0; i < ARRAY_SIZE(nonsense); i++) {
		EXPECT_EQ(-EINVAL, t_set_node(0, "nr_overcommit_hugepages",
					      nonsense[i]));
		EXPECT_EQ(-EINVAL, t_write(T_SYSFS "/decay_ms", nonsense[i]));
	}
	EXPECT_EQ(3, t_node(0, "nr_overcommit_hugepages"));
	EXPECT_EQ(10000, t_sysfs("decay_ms"));
}

TEST_F(surplus, growing_shrinking_and_reclaim_in_a_race_lose_nothing)
{
	double end = t_now() + 6;
	pid_t pids[3];
	int i;

	close(self->hog);
	self->hog = -1;
	ASSERT_EQ(0, set_overcommit(0, 24));
	for (i = 0; i < 3; i++) {
		pids[i] = fork();
		if (pids[i])
			continue;
		srand(i);
		while (t_now() < end) {
			int fd = t_open();

			commit(fd, 0, 0, 1 + rand() % self->total[0]);
			t_decommit(fd, 0, 0, 5 * self->hpage);
			commit(fd, 0, 0, 9);
			close(fd);
		}
		_exit(0);
	}
	while (t_now() < end) {
		set_decay(rand() % 3 * 20);
		EXPECT_EQ(0, set_size(0, rand() % self->total[0]));
		if (rand() % 4 == 0)
			t_write("/proc/sys/vm/drop_caches", "2");
	}
	for (i = 0; i < 3; i++)
		EXPECT_EQ(0, t_wait(pids[i]));
	set_decay(0);
	EXPECT_EQ(0, set_size(0, self->total[0]));
	EXPECT_EQ(self->total[0], wait_for(0, self->total[0], 20));
	EXPECT_TRUE(t_settles(0, 20));
	EXPECT_EQ(t_node(0, "stats/grown"),
		  t_pool(0).total + t_pool(0).poisoned +
		  t_node(0, "stats/shrunk"));
}

TEST_HARNESS_MAIN

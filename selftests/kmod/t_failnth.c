// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Each call made over and over, failing its first, second, third... allocation
 * or copy, until none is left to fail: every time it ends with success or a
 * documented error, and afterwards all is as it was.
 *
 * Needs a kernel with fault injection: make check-debug has one.
 */
#include "kselftest_harness.h"
#include "helpers.h"

#include <sys/rseq.h>

#define HPAGES	4
#define MOST	5000	/* points of failure in one call, far from reached */

FIXTURE(device) {
	int nth;	/* /proc/thread-self/fail-nth */
	int fd;
	size_t hpage;
	char *map;
	struct t_pool before;
};

/* Let allocations that may sleep fail, too, and tell nobody. */
static bool allow_failures(void)
{
	static const char *const settings[][2] = {
		{ "failslab/ignore-gfp-wait", "N" },
		{ "failslab/verbose", "0" },
		{ "fail_page_alloc/ignore-gfp-wait", "N" },
		{ "fail_page_alloc/ignore-gfp-highmem", "N" },
		{ "fail_page_alloc/min-order", "0" },
		{ "fail_page_alloc/verbose", "0" },
		{ "fail_usercopy/verbose", "0" },
	};
	char path[96];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(settings); i++) {
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s",
			 settings[i][0]);
		if (t_write(path, settings[i][1]))
			return false;
	}
	return true;
}

/*
 * -1 where it cannot be had: then each test has nothing to do.  The C library's
 * restartable sequence is taken away: the kernel looks at it on its way back to
 * the program, which it kills when that fails.
 */
static int open_nth(void)
{
	syscall(SYS_rseq, (char *)__builtin_thread_pointer() + __rseq_offset,
		sizeof(struct rseq), RSEQ_FLAG_UNREGISTER, RSEQ_SIG);
	return allow_failures() ? open("/proc/thread-self/fail-nth",
				       O_RDWR | O_CLOEXEC) : -1;
}

FIXTURE_SETUP(device)
{
	self->nth = open_nth();
	if (self->nth < 0)
		SKIP(return, "this kernel injects no failures");
	ASSERT_TRUE(t_all_settle(10));
	self->before = t_pool(0);
	self->hpage = t_hpage();
	self->fd = t_open();
	ASSERT_LE(0, self->fd);
	self->map = t_map(self->fd, 0, 0, HPAGES * self->hpage,
			  PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE);
	ASSERT_NE(MAP_FAILED, self->map);
}

FIXTURE_TEARDOWN(device)
{
	if (self->nth < 0)
		return;
	munmap(self->map, HPAGES * self->hpage);
	close(self->fd);
	close(self->nth);
	EXPECT_EQ(0, t_sysfs("clients"));
	EXPECT_TRUE(t_all_settle(20));
	EXPECT_EQ(self->before.total, t_pool(0).total);
}

static void arm(int nth, int n)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%d", n);

	if (pwrite(nth, text, length, 0) != length)
		abort();
}

/* Did what was armed fail something in between?  Nothing fails any more. */
static bool fired(int nth)
{
	char text[16] = "";
	ssize_t ret = pread(nth, text, sizeof(text) - 1, 0);

	/* Asking copies, too: it may itself have met the failure. */
	if (ret < 0)
		return false;
	if (atoi(text) == 0)
		return true;
	while (pwrite(nth, "0", 1, 0) != 1)
		;
	return false;
}

/*
 * Run @action with its nth failure for n = 1, 2, ... or from @first on, until none
 * is left.  @action returns 0 or -errno, and @check whether all is well after that,
 * having undone it.
 */
#define SWEEP(action, check)	SWEEP_FROM(1, action, check)
#define SWEEP_FROM(first, action, check)				\
	do {								\
		int n, ret;						\
		bool hit = true;					\
									\
		if (self->nth < 0)					\
			return;						\
		for (n = first; hit && n < MOST; n++) {			\
			arm(self->nth, n);				\
			ret = action;					\
			hit = fired(self->nth);				\
			ASSERT_TRUE(ret == 0 || (hit && documented(ret))) { \
				TH_LOG("failure %d: %s", n,		\
				       strerror(-ret));			\
			}						\
			ASSERT_TRUE(check) {				\
				TH_LOG("failure %d left something", n);	\
			}						\
		}							\
		EXPECT_FALSE(hit);					\
		TH_LOG("%d points of failure", n - 1 - (first));		\
	} while (0)

static bool documented(int ret)
{
	return ret == -ENOMEM || ret == -EFAULT;
}

static int open_device(int *fd)
{
	*fd = t_open();
	return *fd < 0 ? -errno : 0;
}

static bool close_device(int *fd, long long clients)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	return t_sysfs("clients") == clients;
}

TEST_F(device, open_survives_every_failure)
{
	int fd = -1;

	SWEEP(open_device(&fd), close_device(&fd, 1));
}

static int call(int fd, unsigned int cmd, void *arg)
{
	return ioctl(fd, cmd, arg) ? -errno : 0;
}

static int ask_info(int fd)
{
	struct slabpool_ioc_info info = { .size = sizeof(info) };

	return call(fd, SLABPOOL_IOC_INFO, &info);
}

static int ask_stats(int fd)
{
	struct slabpool_ioc_stats stats = { .size = sizeof(stats) };

	return call(fd, SLABPOOL_IOC_STATS, &stats);
}

TEST_F(device, info_survives_every_failure)
{
	SWEEP(ask_info(self->fd), true);
}

TEST_F(device, stats_survive_every_failure)
{
	SWEEP(ask_stats(self->fd), true);
}

/* After a commit: all or, but for an answer that could not be told, nothing. */
static bool all_or_nothing(int fd, size_t hpage)
{
	unsigned long long committed = t_stats(fd, 0).committed;

	t_decommit(fd, 0, 0, 4096 * hpage);
	return (committed == 0 || committed == HPAGES) &&
	       t_stats(fd, 0).committed == 0 && t_pool(0).used == 0;
}

TEST_F(device, commit_survives_every_failure)
{
	SWEEP(t_commit(self->fd, 0, 0, HPAGES * self->hpage),
	      all_or_nothing(self->fd, self->hpage));
}

/* Each slot needs its own part of the tree. */
static int commit_far_apart(int fd, size_t hpage)
{
	return t_commit(fd, 0, 63 * hpage, HPAGES * hpage);
}

TEST_F(device, commit_across_the_client_s_tree_survives_every_failure)
{
	SWEEP(commit_far_apart(self->fd, self->hpage),
	      all_or_nothing(self->fd, self->hpage));
}

static int decommit(int fd, size_t hpage)
{
	int ret = t_decommit(fd, 0, 0, HPAGES * hpage);

	return ret < 0 ? ret : 0;
}

static bool commit_again(int fd, size_t hpage)
{
	unsigned long long committed = t_stats(fd, 0).committed;

	return (committed == 0 || committed == HPAGES) &&
	       !t_commit(fd, 0, 0, HPAGES * hpage);
}

TEST_F(device, decommit_survives_every_failure)
{
	if (self->nth >= 0)
		ASSERT_EQ(0, t_commit(self->fd, 0, 0, HPAGES * self->hpage));
	SWEEP(decommit(self->fd, self->hpage),
	      commit_again(self->fd, self->hpage));
}

static int attach(int fd, char *address, int *got)
{
	struct slabpool_ioc_attach in = {
		.size = sizeof(in), .address = (uintptr_t)address, .fd = -1,
	};
	int ret = call(fd, SLABPOOL_IOC_ATTACH, &in);

	*got = in.fd;
	return ret;
}

/* The lowest free descriptor is what it was: none was lost. */
static bool none_lost(int *got, int lowest)
{
	int fd;

	if (*got >= 0)
		close(*got);
	fd = dup(0);
	close(fd);
	return fd == lowest;
}

TEST_F(device, attach_survives_every_failure)
{
	int got, lowest = dup(0);

	close(lowest);
	SWEEP(attach(self->fd, self->map, &got), none_lost(&got, lowest));
}

static int share(int fd, int *got)
{
	struct slabpool_ioc_share in = { .size = sizeof(in), .fd = -1 };
	int ret = call(fd, SLABPOOL_IOC_SHARE, &in);

	*got = in.fd;
	return ret;
}

TEST_F(device, share_survives_every_failure)
{
	int got, lowest = dup(0);

	close(lowest);
	SWEEP(share(self->fd, &got), none_lost(&got, lowest));
}

static int reserve(int fd, unsigned long long count)
{
	struct slabpool_ioc_reserve in = { .size = sizeof(in), .count = count };

	return call(fd, SLABPOOL_IOC_RESERVE, &in);
}

static bool unreserve(int fd)
{
	unsigned long long guarantee = t_stats(fd, 0).guarantee;

	return (guarantee == 0 || guarantee == HPAGES) && !reserve(fd, 0) &&
	       t_node(0, "reserved_hugepages") == 0;
}

TEST_F(device, reserve_survives_every_failure)
{
	SWEEP(reserve(self->fd, HPAGES), unreserve(self->fd));
}

/* Memory for what the kernel has to note down may still be short. */
TEST_F(device, commit_of_a_guarantee_survives_every_failure)
{
	if (self->nth >= 0)
		ASSERT_EQ(0, reserve(self->fd, HPAGES));
	SWEEP(t_commit(self->fd, 0, 0, HPAGES * self->hpage),
	      all_or_nothing(self->fd, self->hpage));
}

static int snapshot(int fd, int into)
{
	int ret = t_snapshot(fd, into);

	return ret < 0 ? ret : 0;
}

/* Either all is in the picture or nothing, and nothing is claimed for it. */
static bool drop_snapshot(int fd, int *into)
{
	unsigned long long committed = t_stats(*into, 0).committed;

	close(*into);
	*into = t_open();
	return (committed == 0 || committed == HPAGES) && *into >= 0 &&
	       t_stats(fd, 0).committed == HPAGES && t_pool(0).used == HPAGES;
}

TEST_F(device, snapshot_survives_every_failure)
{
	int into = -1;

	if (self->nth >= 0) {
		into = t_open();
		ASSERT_EQ(0, t_commit(self->fd, 0, 0, HPAGES * self->hpage));
	}
	SWEEP(snapshot(self->fd, into), drop_snapshot(self->fd, &into));
	close(into);
}

static int map_committed(int fd, size_t hpage, char **map, int flags)
{
	*map = t_map(fd, 0, 0, HPAGES * hpage, PROT_READ | PROT_WRITE,
		     MAP_SHARED | flags);
	return *map == MAP_FAILED ? -errno : 0;
}

static bool unmap(int fd, size_t hpage, char *map)
{
	if (map != MAP_FAILED && munmap(map, HPAGES * hpage))
		return false;
	return all_or_nothing(fd, hpage);
}

TEST_F(device, mmap_survives_every_failure)
{
	char *map;

	SWEEP(map_committed(self->fd, self->hpage, &map, 0),
	      unmap(self->fd, self->hpage, map));
}

TEST_F(device, mmap_that_populates_survives_every_failure)
{
	char *map;

	SWEEP(map_committed(self->fd, self->hpage, &map, MAP_POPULATE),
	      unmap(self->fd, self->hpage, map));
}

static int unmap_a_piece(char *map)
{
	return munmap(map + 4096, 4096) ? -errno : 0;
}

static bool map_again(int fd, char *map, size_t hpage)
{
	if (mmap(map, HPAGES * hpage, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_FIXED, fd, SLABPOOL_OFFSET(0, 0)) != map)
		return false;
	return !t_touch(map, true) && !t_touch(map + 4096, true);
}

TEST_F(device, a_split_survives_every_failure)
{
	if (self->nth >= 0)
		ASSERT_TRUE(map_again(self->fd, self->map, self->hpage));
	SWEEP(unmap_a_piece(self->map),
	      map_again(self->fd, self->map, self->hpage));
}

/* First touches of the hpages: in fresh page tables, as the first is. */
static int touch_all(char *map, size_t hpage)
{
	int i, signal = 0;

	for (i = 0; i < HPAGES && !signal; i++)
		signal = t_touch(map + i * hpage, i & 1);
	return signal;
}

static bool fresh_tables(int fd, char *map, size_t hpage)
{
	return !munmap(map, HPAGES * hpage) && map_again(fd, map, hpage) &&
	       !munmap(map, HPAGES * hpage) &&
	       mmap(map, HPAGES * hpage, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_FIXED, fd, SLABPOOL_OFFSET(0, 0)) == map;
}

TEST_F(device, a_fault_survives_every_failure)
{
	if (self->nth >= 0)
		ASSERT_EQ(0, t_commit(self->fd, 0, 0, HPAGES * self->hpage));
	/* A fault that fails for want of memory is made again, not a signal. */
	SWEEP(touch_all(self->map, self->hpage),
	      fresh_tables(self->fd, self->map, self->hpage));
}

static bool snapshot_again(int fd, int *into)
{
	bool whole = t_stats(*into, 0).committed == HPAGES;

	close(*into);
	*into = t_open();
	return whole && t_snapshot(fd, *into) == HPAGES;
}

TEST_F(device, a_copy_for_a_snapshot_survives_every_failure)
{
	int into = -1;

	if (self->nth >= 0) {
		into = t_open();
		ASSERT_EQ(0, t_commit(self->fd, 0, 0, HPAGES * self->hpage));
		ASSERT_EQ(HPAGES, t_snapshot(self->fd, into));
	}
	SWEEP(touch_all(self->map, self->hpage),
	      snapshot_again(self->fd, &into));
	close(into);
}

static int store(int file, long long value)
{
	char text[32];
	int length = snprintf(text, sizeof(text), "%lld", value);

	return pwrite(file, text, length, 0) == length ? 0 : -errno;
}

/* What could not be had is not wanted any more. */
static bool grown(int file, long long total)
{
	struct t_pool pool = t_pool(0);

	return pool.total >= total && pool.total <= total + 2 &&
	       t_node(0, "nr_hugepages") == pool.total && !store(file, total) &&
	       t_pool(0).total == total;
}

TEST_F(device, growing_survives_every_failure)
{
	int file = open(T_SYSFS "/node0/nr_hugepages", O_RDWR | O_CLOEXEC);

	ASSERT_LE(0, file);
	/* What is grown shall go at once. */
	ASSERT_EQ(0, t_write(T_SYSFS "/decay_ms", "0"));
	SWEEP(store(file, self->before.total + 2),
	      grown(file, self->before.total));
	EXPECT_EQ(0, t_write(T_SYSFS "/decay_ms", "10000"));
	close(file);
}

static int commit_more(int fd, size_t hpages)
{
	return t_commit(fd, 0, 0, hpages * t_hpage());
}

/* What a pool grew by and could not be used goes again. */
static bool all_or_nothing_grown(int fd, long long total)
{
	unsigned long long committed = t_stats(fd, 0).committed;
	double end = t_deadline(10);

	t_decommit(fd, 0, 0, (total + 2) * t_hpage());
	while (t_pool(0).total != total && t_now() < end)
		t_sleep_ms(1);
	return (!committed || (long long)committed == total + 2) &&
	       t_pool(0).total == total && t_pool(0).used == 0;
}

TEST_F(device, growing_on_demand_survives_every_failure)
{
	char size[32];

	if (self->nth < 0)
		return;
	/* A small pool: all of it is wanted, and two more. */
	snprintf(size, sizeof(size), "%lld", self->before.total);
	ASSERT_EQ(0, t_write(T_SYSFS "/decay_ms", "0"));
	ASSERT_EQ(0, t_set_node(0, "nr_hugepages", "4"));
	ASSERT_EQ(0, t_set_node(0, "nr_overcommit_hugepages", "2"));
	SWEEP(commit_more(self->fd, 4 + 2), all_or_nothing_grown(self->fd, 4));
	EXPECT_EQ(0, t_set_node(0, "nr_overcommit_hugepages", "0"));
	EXPECT_EQ(0, t_set_node(0, "nr_hugepages", size));
	EXPECT_EQ(0, t_write(T_SYSFS "/decay_ms", "10000"));
}

static int fork_and_end(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	if (pid < 0)
		return -errno;
	return t_wait(pid) ? -ECHILD : 0;
}

static bool as_before(int fd, char *map)
{
	return t_stats(fd, 0).committed == HPAGES && !t_touch(map, true) &&
	       t_pool(0).used == HPAGES;
}

TEST_F(device, a_fork_survives_every_failure)
{
	if (self->nth >= 0) {
		ASSERT_EQ(0, t_commit(self->fd, 0, 0, HPAGES * self->hpage));
		/* As much to copy as there can be: page tables, too. */
		ASSERT_EQ(0, munmap(self->map + 4096, 4096));
		ASSERT_EQ(0, touch_all(self->map, self->hpage));
	}
	SWEEP(fork_and_end(), as_before(self->fd, self->map));
}

FIXTURE(module) {
	struct t_image ko;
	char hugepages[512];
	char params[600];
	int nth;
};

FIXTURE_SETUP(module)
{
	self->nth = open_nth();
	if (self->nth < 0)
		SKIP(return, "this kernel injects no failures");
	ASSERT_NE(NULL, getenv("SLABPOOL_KO"));
	ASSERT_TRUE(t_read_image(getenv("SLABPOOL_KO"), &self->ko));
	ASSERT_TRUE(t_read_line("/sys/module/slabpool/parameters/hugepages",
				self->hugepages, sizeof(self->hugepages)));
	snprintf(self->params, sizeof(self->params), "hugepages=%s",
		 self->hugepages);
	ASSERT_EQ(0, t_unload());
}

FIXTURE_TEARDOWN(module)
{
	if (self->nth < 0)
		return;
	EXPECT_EQ(0, t_load(self->ko, self->params));
	EXPECT_TRUE(t_all_settle(20));
}

/* Nothing of it is left, or it can go. */
static bool gone(int ret)
{
	if (!ret)
		return !t_unload();
	return access(T_DEVICE, F_OK) && access(T_SYSFS, F_OK) &&
	       access("/sys/module/slabpool", F_OK);
}

/*
 * How many points come before the kernel parses the parameters: those are its own,
 * and it does not take all of them calmly.
 */
static int points_before_init(int nth, struct t_image ko)
{
	int i, left, most = 0;
	char text[16];

	for (i = 0; i < 5; i++) {
		arm(nth, MOST);
		if (t_load(ko, "hugepages=x") != -EINVAL)
			return -1;
		memset(text, 0, sizeof(text));
		if (pread(nth, text, sizeof(text) - 1, 0) < 0)
			return -1;
		left = atoi(text);
		arm(nth, 0);
		if (MOST - left > most)
			most = MOST - left;
	}
	return most;
}

TEST_F(module, loading_survives_every_failure)
{
	int first;

	if (self->nth < 0)
		return;
	first = points_before_init(self->nth, self->ko);
	ASSERT_LT(0, first);
	SWEEP_FROM(first, t_load(self->ko, "hugepages=0:2,1:1"), gone(ret));
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Whatever in the kernel moves, merges, swaps or collects memory leaves pool
 * memory where it is: same frames, same bytes, and gives up without delay.
 */
#include "kselftest_harness.h"
#include "helpers.h"

#include <sched.h>
#include <stdatomic.h>
#include <numaif.h>
#include <pthread.h>

#define HPAGES	8

/* Newer than this C library, or left out of it. */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE		25
#endif
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE	101
#endif

FIXTURE(region) {
	int fd;
	size_t hpage;
	size_t length;
	char *map;
	uint64_t frames[HPAGES];
};

FIXTURE_SETUP(region)
{
	size_t i;

	ASSERT_TRUE(t_all_settle(10));
	self->fd = t_open();
	ASSERT_LE(0, self->fd);
	self->hpage = t_hpage();
	self->length = HPAGES * self->hpage;
	self->map = t_take(self->fd, 0, HPAGES);
	ASSERT_NE(MAP_FAILED, self->map);
	/* All pages alike, as whoever merges pages likes them. */
	memset(self->map, 0x4d, self->length);
	for (i = 0; i < HPAGES; i++) {
		self->frames[i] = t_pfn(self->map + i * self->hpage);
		ASSERT_NE(0, self->frames[i]);
	}
}

FIXTURE_TEARDOWN(region)
{
	size_t i;

	EXPECT_TRUE(t_is_filled(self->map, 0x4d, self->length));
	for (i = 0; i < HPAGES; i++)
		EXPECT_EQ(self->frames[i],
			  t_pfn(self->map + i * self->hpage));
	/* And nobody has made base pages of it. */
	EXPECT_EQ(self->length / 1024, t_smaps(self->map, "FilePmdMapped"));
	EXPECT_EQ(0, t_stats(self->fd, 0).pte_fallbacks);
	munmap(self->map, self->length);
	close(self->fd);
	EXPECT_TRUE(t_all_settle(10));
}

TEST_F(region, ksm_merges_nothing_of_it)
{
	int ret = madvise(self->map, self->length, MADV_MERGEABLE);

	if (ret && errno == EINVAL && access("/sys/kernel/mm/ksm/run", F_OK))
		SKIP(return, "this kernel has no KSM");
	EXPECT_EQ(0, ret);
	ASSERT_EQ(0, t_write("/sys/kernel/mm/ksm/pages_to_scan", "10000"));
	ASSERT_EQ(0, t_write("/sys/kernel/mm/ksm/sleep_millisecs", "1"));
	ASSERT_EQ(0, t_write("/sys/kernel/mm/ksm/run", "1"));
	t_sleep_ms(500);
	EXPECT_EQ(0, t_write("/sys/kernel/mm/ksm/run", "2"));
	EXPECT_EQ(0, t_write("/sys/kernel/mm/ksm/run", "0"));
}

TEST_F(region, compaction_goes_around_it)
{
	int i;

	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, t_write("/proc/sys/vm/compact_memory", "1"));
}

TEST_F(region, dropping_caches_drops_nothing_of_it)
{
	EXPECT_EQ(0, t_write("/proc/sys/vm/drop_caches", "3"));
}

TEST_F(region, no_call_moves_it_to_the_other_node)
{
	void *pages[HPAGES];
	int nodes[HPAGES], status[HPAGES], i;
	unsigned long from = 1, to = 2;

	for (i = 0; i < HPAGES; i++) {
		pages[i] = self->map + i * self->hpage;
		nodes[i] = 1;
	}
	syscall(SYS_move_pages, 0, HPAGES, pages, nodes, status,
		MPOL_MF_MOVE_ALL);
	for (i = 0; i < HPAGES; i++)
		EXPECT_NE(1, status[i]);
	syscall(SYS_migrate_pages, 0, 64, &from, &to);
	mbind(self->map, self->length, MPOL_BIND, &to, 64,
	      MPOL_MF_MOVE | MPOL_MF_STRICT);
}

TEST_F(region, advice_to_reclaim_or_collapse_it_has_no_effect)
{
	madvise(self->map, self->length, MADV_COLD);
	madvise(self->map, self->length, MADV_PAGEOUT);
	EXPECT_EQ(-1, madvise(self->map, self->length, MADV_FREE));
	EXPECT_EQ(-1, madvise(self->map, self->length, MADV_REMOVE));
	madvise(self->map, self->length, MADV_HUGEPAGE);
	madvise(self->map, self->length, MADV_COLLAPSE);
	EXPECT_EQ(-1, madvise(self->map, self->length, MADV_SOFT_OFFLINE));
}

static atomic_bool stop_balancing;

/* Looks at it from the other node, as long as it takes to be noticed. */
static void *look(void *map)
{
	volatile char *at = map;
	cpu_set_t cpus;
	size_t i;

	CPU_ZERO(&cpus);
	CPU_SET(1, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	while (!stop_balancing)
		for (i = 0; i < HPAGES * 512; i++)
			(void)at[i * 4096];
	return NULL;
}

TEST_F(region, numa_balancing_takes_no_notice_of_it)
{
	static const char *const knob = "/proc/sys/kernel/numa_balancing";
	char before[16];
	pthread_t thread;

	if (!t_read_line(knob, before, sizeof(before)))
		SKIP(return, "this kernel has no NUMA balancing");
	ASSERT_EQ(0, t_write(knob, "1"));
	ASSERT_EQ(0, pthread_create(&thread, NULL, look, self->map));
	t_sleep_ms(2500);
	stop_balancing = true;
	pthread_join(thread, NULL);
	EXPECT_EQ(0, t_write(knob, before));
}

/* The kernel wants memory: it takes it from others, or fails. */
TEST_F(region, memory_pressure_reclaims_nothing_of_it)
{
	const char *why = t_make_group("slabpool-move", "memory");
	pid_t pid;

	if (why)
		SKIP(return, "%s", why);
	ASSERT_EQ(0, t_set_group("slabpool-move", "memory.high", "16777216"));
	pid = fork();
	if (!pid) {
		char *anon;
		int file;

		/* The pool memory is the group's, too, as far as that goes. */
		if (t_enter_group("slabpool-move"))
			_exit(1);
		anon = mmap(NULL, 24UL << 20, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		file = open("/proc/self/exe", O_RDONLY);
		memset(anon, 1, 24UL << 20);
		read(file, anon, 1 << 20);
		_exit(!t_is_filled(self->map, 0x4d, self->length));
	}
	EXPECT_EQ(0, t_wait(pid));
	EXPECT_EQ(0, t_remove_group("slabpool-move"));
}

TEST_F(region, a_memory_block_with_pool_memory_refuses_to_go_offline)
{
	char line[64], path[128];
	unsigned long long size;
	int i;

	if (!t_read_line("/sys/devices/system/memory/block_size_bytes", line,
			 sizeof(line)))
		SKIP(return, "this kernel cannot take memory offline");
	size = strtoull(line, NULL, 16);
	for (i = 0; i < HPAGES; i += HPAGES - 1) {
		snprintf(path, sizeof(path),
			 "/sys/devices/system/memory/memory%llu/state",
			 self->frames[i] * 4096ULL / size);
		EXPECT_GT(0, t_write(path, "offline"));
		ASSERT_TRUE(t_read_line(path, line, sizeof(line)));
		EXPECT_STREQ("online", line);
	}
}

TEST_HARNESS_MAIN

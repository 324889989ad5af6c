// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Running out: NULL and ENOMEM, and the process goes on.  And the bounds that no
 * allocation fails for.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "limit.h"
#include "kselftest_harness.h"
#include "slabpool.h"

/* Each test is a process of its own: the options are read once. */
TEST(over_the_limit_is_null_and_what_is_freed_can_be_had_again)
{
	static void *p[1000];
	struct slabpool_stats stats;
	int n = 0;

	setenv("SLABPOOL_CONF", "limit:64M,background_thread:false", 1);
	while (n < 1000 && (p[n] = slabpool_malloc(SP_MIB)))
		n++;
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_GE(n, 60);
	EXPECT_LE(n, 64);
	EXPECT_EQ(NULL, slabpool_malloc(100 * SP_MIB));
	ASSERT_EQ(0, slabpool_stats(&stats, sizeof(stats)));
	EXPECT_EQ(64 * SP_MIB, stats.limit);
	EXPECT_LE(stats.peak, stats.limit);
	EXPECT_EQ(2, stats.failures);
	for (int i = 0; i < n; i++)
		slabpool_free(p[i]);
	/* The unused hpages make room for an object that needs them adjoining. */
	p[0] = slabpool_malloc(50 * SP_MIB);
	ASSERT_NE(NULL, p[0]);
	memset(p[0], 1, 50 * SP_MIB);
	slabpool_free(p[0]);
}

TEST(small_objects_stop_at_the_limit_too)
{
	struct slabpool_stats stats;
	size_t bytes = 0;
	void **list = NULL, **p;

	setenv("SLABPOOL_CONF", "limit:8M", 1);
	while ((p = slabpool_malloc(64))) {
		*p = list;
		list = p;
		bytes += 64;
	}
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_GE(bytes, 7 * SP_MIB);
	for (; list; list = p) {
		p = *list;
		slabpool_free(list);
	}
	ASSERT_EQ(0, slabpool_stats(&stats, sizeof(stats)));
	EXPECT_LE(stats.peak, 8 * SP_MIB);
	EXPECT_NE(NULL, slabpool_malloc(SP_MIB));
}

TEST(an_object_can_always_be_made_smaller)
{
	static void *p[16];
	int n = 0;

	setenv("SLABPOOL_CONF", "limit:8M", 1);
	while (n < 16 && (p[n] = slabpool_malloc(SP_MIB)))
		n++;
	ASSERT_GE(n, 4);
	errno = 0;
	for (int i = 0; i < n; i++) {
		memset(p[i], i + 1, 5000);
		p[i] = slabpool_realloc(p[i], 5000);
		ASSERT_NE(NULL, p[i]);
		EXPECT_EQ(i + 1, *((unsigned char *)p[i] + 4999));
	}
	EXPECT_EQ(0, errno);
	/* Wherever it is, that is its size now. */
	for (int i = 0; i < n; i++)
		slabpool_free_sized(p[i], 5000);
}

TEST(a_small_address_space_is_enough)
{
	struct rlimit limit = { SP_GIB, SP_GIB };
	size_t bytes = 0;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	SKIP(return, "the sanitizer needs more address space than the test allows");
#endif
	ASSERT_EQ(0, setrlimit(RLIMIT_AS, &limit));
	while (slabpool_malloc(SP_MIB))
		bytes += SP_MIB;
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_GE(bytes, 300 * SP_MIB);
}

TEST(a_bad_option_is_an_error_of_the_first_call)
{
	setenv("SLABPOOL_CONF", "decay:5", 1);
	EXPECT_EQ(-EINVAL, slabpool_init());
	EXPECT_NE(NULL, strstr(slabpool_init_error(), "unknown option 'decay'"));
	EXPECT_EQ(NULL, slabpool_malloc(10));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-EINVAL, slabpool_init());
}

TEST(a_node_that_does_not_exist_is_named)
{
	setenv("SLABPOOL_CONF", "node:63", 1);
	EXPECT_EQ(-EINVAL, slabpool_init());
	EXPECT_NE(NULL, strstr(slabpool_init_error(), "node 63"));
}

TEST(a_source_that_is_demanded_is_not_replaced)
{
	setenv("SLABPOOL_CONF", "backend:device", 1);
	if (access("/dev/slabpool", F_OK) == 0)
		SKIP(return, "the device is here");
	EXPECT_EQ(-ENOENT, slabpool_init());
	EXPECT_NE(NULL, strstr(slabpool_init_error(), "/dev/slabpool"));
	EXPECT_NE(NULL, strstr(slabpool_init_error(), "modprobe slabpool"));
	EXPECT_EQ(NULL, slabpool_malloc(10));
	EXPECT_EQ(ENOENT, errno);
}

#define HPAGES(n)	((uint64_t)(n) << SP_HPAGE_SHIFT)

TEST(without_bounds_decay_alone_says_what_stays)
{
	const struct sp_limits none = { 0 };

	EXPECT_EQ(1, sp_limit_speed(&none, HPAGES(1000)));
	EXPECT_EQ(0, sp_limit_kept(&none, HPAGES(1000), 500));
	EXPECT_EQ(300, sp_limit_stay(&none, HPAGES(1000), 500, 300));
	EXPECT_FALSE(sp_limit_crossed(&none, 0, 1000));
}

TEST(above_the_soft_limit_decay_is_faster)
{
	const struct sp_limits limits = { .soft = HPAGES(10) };

	EXPECT_EQ(1, sp_limit_speed(&limits, HPAGES(10)));
	EXPECT_EQ(10, sp_limit_speed(&limits, HPAGES(10) + 1));
}

TEST(more_than_max_unused_does_not_stay)
{
	const struct sp_limits limits = { .max_unused = HPAGES(10) + 5 };

	EXPECT_EQ(10, sp_limit_stay(&limits, HPAGES(100), 50, 40));
	EXPECT_EQ(7, sp_limit_stay(&limits, HPAGES(100), 50, 7));
	EXPECT_FALSE(sp_limit_crossed(&limits, 9, 10));
	EXPECT_TRUE(sp_limit_crossed(&limits, 10, 11));
	EXPECT_TRUE(sp_limit_crossed(&limits, 0, 50));
	EXPECT_FALSE(sp_limit_crossed(&limits, 11, 12));
}

TEST(the_floor_keeps_what_time_and_amount_would_not)
{
	const struct sp_limits limits = { .max_unused = HPAGES(2), .floor = HPAGES(30) };

	/* 25 in use: 5 more of 40 are kept. */
	EXPECT_EQ(5, sp_limit_kept(&limits, HPAGES(65), 40));
	EXPECT_EQ(5, sp_limit_stay(&limits, HPAGES(65), 40, 0));
	/* Nothing in use: all that there is below it. */
	EXPECT_EQ(20, sp_limit_stay(&limits, HPAGES(20), 20, 0));
	EXPECT_EQ(30, sp_limit_stay(&limits, HPAGES(31), 31, 0));
	/* More in use than that. */
	EXPECT_EQ(0, sp_limit_kept(&limits, HPAGES(70), 10));
	EXPECT_EQ(2, sp_limit_stay(&limits, HPAGES(70), 10, 10));
}

static void *mib[64];

static bool take_mib(int n)
{
	for (int i = 0; i < n; i++) {
		mib[i] = slabpool_malloc(SP_MIB);
		if (!mib[i])
			return false;
	}
	return true;
}

static void give_mib(int n)
{
	for (int i = 0; i < n; i++)
		slabpool_free(mib[i]);
}

TEST(a_release_leaves_the_floor)
{
	struct slabpool_stats stats;

	setenv("SLABPOOL_CONF", "floor:32M,background_thread:false,decay_ms:0", 1);
	ASSERT_TRUE(take_mib(64));
	give_mib(64);
	slabpool_release();
	ASSERT_EQ(0, slabpool_stats(&stats, sizeof(stats)));
	EXPECT_EQ(32 * SP_MIB, stats.committed);
	/* As it is kept, it serves again. */
	ASSERT_TRUE(take_mib(30));
	ASSERT_EQ(0, slabpool_stats(&stats, sizeof(stats)));
	EXPECT_EQ(32 * SP_MIB, stats.committed);
}

TEST(the_floor_goes_before_an_allocation_fails)
{
	setenv("SLABPOOL_CONF", "floor:64M,limit:64M,background_thread:false", 1);
	ASSERT_TRUE(take_mib(60));
	/* Every second hpage stays in use: no two adjoin. */
	for (int i = 0; i < 60; i++)
		if (i / 2 % 2)
			slabpool_free(mib[i]);
	EXPECT_NE(NULL, slabpool_malloc(10 * SP_MIB));
}

TEST(what_a_node_has_too_much_of_goes_back_whatever_its_age)
{
	struct slabpool_stats stats;

	setenv("SLABPOOL_CONF", "max_unused:8M,background_thread:false,decay_ms:1000000", 1);
	ASSERT_TRUE(take_mib(64));
	give_mib(64);
	for (int i = 0; i < 200; i++)
		slabpool_free(slabpool_malloc(100000));
	ASSERT_EQ(0, slabpool_stats(&stats, sizeof(stats)));
	EXPECT_LE(stats.unused, 8 * SP_MIB);
	EXPECT_GE(stats.unused, 4 * SP_MIB);
}

TEST(the_soft_limit_fails_nothing_and_is_counted)
{
	struct slabpool_stats stats;

	setenv("SLABPOOL_CONF", "soft_limit:16M,background_thread:false", 1);
	for (int round = 0; round < 2; round++) {
		ASSERT_TRUE(take_mib(64));
		give_mib(64);
		slabpool_release();
	}
	ASSERT_EQ(0, slabpool_stats(&stats, sizeof(stats)));
	EXPECT_EQ(16 * SP_MIB, stats.soft_limit);
	EXPECT_EQ(2, stats.soft_limit_hits);
}

TEST(an_idle_threads_cache_is_the_nodes)
{
	struct slabpool_stats stats;
	void *p;

	slabpool_thread_idle();		/* before anything: it has none */
	p = slabpool_malloc(100);
	slabpool_thread_idle();
	ASSERT_EQ(0, slabpool_stats(&stats, sizeof(stats)));
	EXPECT_EQ(1, stats.orphans);
	slabpool_free(p);
	slabpool_thread_idle();
	ASSERT_EQ(0, slabpool_stats(&stats, sizeof(stats)));
	EXPECT_EQ(0, stats.orphans);
	EXPECT_EQ(1, stats.caches);
	EXPECT_EQ(0, stats.active);
}

TEST_HARNESS_MAIN

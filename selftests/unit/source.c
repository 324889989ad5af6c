// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * A source that runs out or fails, seen from the node heap: a stand-in in front
 * of the thp source that refuses commits on demand.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "commit.h"
#include "node.h"
#include "source.h"
#include "sys.h"
#include "window.h"
#include "kselftest_harness.h"

static size_t left;		/* hpages the stand-in still has */
static size_t calls, fail_at;	/* refuse every fail_at-th commit; 0: none */

static int scarce_commit(const struct sp_extent *extent, enum sp_touch touch)
{
	size_t n = extent->size >> SP_HPAGE_SHIFT;
	size_t had = __atomic_load_n(&left, __ATOMIC_RELAXED);
	int err;

	do {
		if (n > had || (fail_at && ++calls % fail_at == 0))
			return -ENOMEM;
	} while (!__atomic_compare_exchange_n(&left, &had, had - n, true, __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	err = sp_backend_thp.commit(extent, touch);
	if (err)
		__atomic_add_fetch(&left, n, __ATOMIC_RELAXED);
	return err;
}

static void scarce_decommit(const struct sp_extent *extents, size_t count)
{
	for (size_t i = 0; i < count; i++)
		__atomic_add_fetch(&left, extents[i].size >> SP_HPAGE_SHIFT, __ATOMIC_RELAXED);
	sp_backend_thp.decommit(extents, count);
}

static struct sp_backend scarce;
static const struct sp_backend *const next[] = { &sp_backend_thp };

FIXTURE(source) {
	struct sp_node *node;
	struct sp_commit_counts counts;
};

FIXTURE_SETUP(source)
{
	scarce = sp_backend_thp;
	scarce.commit = scarce_commit;
	scarce.decommit = scarce_decommit;
	sp_node_init(1, 10000, &(struct sp_limits){ 0 });
	self->node = sp_node_get(0);
	ASSERT_EQ(0, sp_window_init(16 * SP_GIB, false));
	sp_source_set(&scarce);
	left = 8;
}

FIXTURE_TEARDOWN(source)
{
	EXPECT_TRUE(sp_node_check(self->node));
}

static struct sp_chunk *huge(struct sp_node *node, size_t hpages)
{
	struct sp_chunk *chunk = sp_node_take_huge(node, hpages, SP_HPAGE);

	if (chunk)
		chunk->state = SP_CHUNK_HUGE;
	return chunk;
}

TEST_F(source, exhausted_without_a_next_one_it_is_out_of_memory)
{
	struct sp_chunk *chunk = huge(self->node, 6);

	ASSERT_NE(NULL, chunk);
	EXPECT_EQ(NULL, huge(self->node, 3));
	sp_commit_counts(&self->counts);
	EXPECT_EQ(6 * SP_HPAGE, self->counts.committed);
	EXPECT_TRUE(sp_node_give_large(chunk, chunk->addr));
	/* What is unused makes room, though it does not adjoin eight free ones. */
	EXPECT_NE(NULL, huge(self->node, 8));
}

TEST_F(source, exhausted_with_a_next_one_it_goes_on_and_counts)
{
	struct sp_chunk *first, *second;

	sp_source_set_fallbacks(next, 1);
	first = huge(self->node, 6);
	second = huge(self->node, 10);
	ASSERT_NE(NULL, first);
	ASSERT_NE(NULL, second);
	memset(second->addr, 1, 10 * SP_HPAGE);
	sp_commit_counts(&self->counts);
	EXPECT_EQ(10, self->counts.fallbacks);
	EXPECT_EQ(16, self->counts.commits);
	EXPECT_TRUE(sp_node_give_large(first, first->addr));
	EXPECT_TRUE(sp_node_give_large(second, second->addr));
	EXPECT_EQ(16 * SP_HPAGE, sp_node_purge(self->node, 0, SP_PURGE_ALL));
	EXPECT_EQ(8, left);
	/* The best source is asked first again. */
	ASSERT_NE(NULL, huge(self->node, 1));
	EXPECT_EQ(7, left);
	sp_commit_counts(&self->counts);
	EXPECT_EQ(SP_HPAGE, self->counts.committed);
	EXPECT_EQ(10, self->counts.fallbacks);
}

TEST_F(source, a_large_object_is_given_back_once_only)
{
	struct sp_chunk *chunk = huge(self->node, 2);

	ASSERT_NE(NULL, chunk);
	EXPECT_FALSE(sp_node_give_large(chunk, chunk->addr + SP_HPAGE));
	EXPECT_TRUE(sp_node_give_large(chunk, chunk->addr));
	EXPECT_FALSE(sp_node_give_large(chunk, chunk->addr));
}

/* Chunks of an hpage each, and what the background thread does about it later. */
static void grow(struct sp_node *node, struct sp_chunk **chunks, size_t n)
{
	static uint64_t now;

	for (size_t i = 0; i < n; i++)
		chunks[i] = sp_node_take_chunk(node, SP_KIND_LARGE, SP_UNITS, 1, 1);
	sp_node_fill_stock(node, now += SP_GIB);
}

TEST_F(source, what_was_used_is_made_ready_ahead)
{
	struct sp_node_counts counts;
	struct sp_chunk *chunks[48];

	left = 100;
	grow(self->node, chunks, 40);
	sp_node_counts(self->node, &counts);
	EXPECT_EQ(40, counts.misses);
	EXPECT_EQ(5, counts.fills);
	EXPECT_EQ(5 * SP_HPAGE, counts.resident);
	EXPECT_EQ(5 * SP_HPAGE, counts.unused);
	EXPECT_EQ(55, left);
	grow(self->node, chunks + 40, 5);
	sp_node_counts(self->node, &counts);
	EXPECT_EQ(40, counts.misses);
	EXPECT_EQ(5, counts.hits);
	EXPECT_EQ(10, counts.fills);
	for (size_t i = 0; i < 45; i++)
		EXPECT_TRUE(chunks[i]->zero);
	/* The next look finds nothing used. */
	grow(self->node, NULL, 0);
	sp_node_counts(self->node, &counts);
	EXPECT_EQ(10, counts.fills);
}

TEST_F(source, the_stock_is_given_up_before_anything_fails)
{
	struct sp_node_counts counts;
	struct sp_chunk *chunks[40];

	left = 48;
	grow(self->node, chunks, 40);
	EXPECT_EQ(3, left);
	EXPECT_NE(NULL, huge(self->node, 8));
	/* Nor does it fight for what there is no more. */
	grow(self->node, chunks, 1);
	EXPECT_EQ(NULL, chunks[0]);
	sp_node_counts(self->node, &counts);
	EXPECT_EQ(5, counts.fills);
	EXPECT_EQ(UINT64_MAX, sp_node_fill_stock(self->node, 1));
}

TEST_F(source, a_purge_takes_the_stock_and_nobody_replaces_it)
{
	struct sp_chunk *chunks[40];

	left = 100;
	grow(self->node, chunks, 40);
	EXPECT_EQ(5 * SP_HPAGE, sp_node_purge(self->node, 0, SP_PURGE_ALL));
	EXPECT_EQ(60, left);
	EXPECT_EQ(UINT64_MAX, sp_node_fill_stock(self->node, UINT64_MAX));
	EXPECT_EQ(60, left);
}

TEST_F(source, decay_takes_the_stock_and_nobody_replaces_it)
{
	uint64_t now = sp_sys_now_ns(), late = now + 11000000000ull;
	struct sp_chunk *chunks[40];

	left = 100;
	grow(self->node, chunks, 40);
	for (; now < late; now += 100000000) {
		sp_node_purge(self->node, now, SP_PURGE_OLD);
		sp_node_fill_stock(self->node, now);
	}
	EXPECT_EQ(60, left);
}

TEST_F(source, what_a_huge_objects_owner_left_untouched_is_populated)
{
	struct sp_chunk *chunks[40], *chunk;
	struct sp_node_counts counts;

	left = 100;
	chunk = huge(self->node, 3);
	grow(self->node, chunks, 40);
	sp_node_counts(self->node, &counts);
	ASSERT_EQ(5, counts.fills);
	EXPECT_TRUE(sp_node_give_large(chunk, chunk->addr));
	sp_node_counts(self->node, &counts);
	EXPECT_EQ(5 * SP_HPAGE, counts.resident);
	EXPECT_EQ(8 * SP_HPAGE, counts.unused);
	/* Whoever needs one gets one that is. */
	grow(self->node, chunks, 4);
	sp_node_counts(self->node, &counts);
	EXPECT_EQ(4, counts.hits);
	/* The untouched ones are populated before others are committed. */
	EXPECT_EQ(9, counts.fills);
	EXPECT_EQ(5 * SP_HPAGE, counts.resident);
	EXPECT_EQ(5 * SP_HPAGE, counts.unused);
	sp_commit_counts(&self->counts);
	EXPECT_EQ(49, self->counts.commits);
}

/* Then calloc() need not clear it again. */
TEST_F(source, a_huge_object_of_clean_hpages_is_known_to_be_zero)
{
	struct sp_chunk *chunks[40], *chunk;

	left = 100;
	grow(self->node, chunks, 40);
	EXPECT_EQ(55, left);
	/* Nothing is used, and the target falls. */
	for (int i = 0; i < 3; i++)
		grow(self->node, NULL, 0);
	chunk = huge(self->node, 3);
	ASSERT_NE(NULL, chunk);
	EXPECT_EQ(55, left);
	EXPECT_TRUE(chunk->zero);
	memset(chunk->addr, 1, SP_HPAGE);
	EXPECT_TRUE(sp_node_give_large(chunk, chunk->addr));
	chunk = huge(self->node, 3);
	ASSERT_NE(NULL, chunk);
	EXPECT_EQ(55, left);
	EXPECT_FALSE(chunk->zero);
}

/* Their owners may never touch them, and what is populated they would have to keep. */
TEST_F(source, huge_objects_leave_the_stock_alone)
{
	struct sp_node_counts counts;
	struct sp_chunk *chunks[40];

	left = 100;
	grow(self->node, chunks, 40);
	for (int i = 0; i < 10; i++)
		EXPECT_NE(NULL, huge(self->node, 2));
	grow(self->node, NULL, 0);
	sp_node_counts(self->node, &counts);
	EXPECT_EQ(5, counts.fills);
	EXPECT_EQ(35, left);
}

static _Atomic bool stop;

static void *fill_always(void *arg)
{
	struct sp_node *node = arg;

	while (!stop) {
		sp_lock(&node->lock);
		sp_stock_miss(&node->stock);
		sp_unlock(&node->lock);
		sp_node_fill_stock(node, 0);
	}
	return NULL;
}

/* The source has 40 hpages and never may one of the first 40 be refused. */
TEST_F(source, nothing_fails_beside_a_thread_that_fills_the_stock)
{
	static struct sp_chunk *chunks[40];
	unsigned int seed = 1;
	pthread_t thread;

	left = 40;
	ASSERT_EQ(0, pthread_create(&thread, NULL, fill_always, self->node));
	for (int round = 0; round < 300; round++) {
		size_t n = 0, taken = 0;

		while (taken < 40) {
			size_t some = 1 + (size_t)rand_r(&seed) % 4;

			some = some < 40 - taken ? some : 40 - taken;
			chunks[n] = huge(self->node, some);
			ASSERT_NE(NULL, chunks[n++]);
			taken += some;
		}
		while (n--)
			ASSERT_TRUE(sp_node_give_large(chunks[n], chunks[n]->addr));
	}
	stop = true;
	ASSERT_EQ(0, pthread_join(thread, NULL));
}

TEST_F(source, failing_at_every_nth_commit_loses_nothing)
{
	static struct sp_chunk *chunks[64];

	for (size_t n = 1; n < 20; n++) {
		unsigned int seed = (unsigned int)n;

		left = 40;
		calls = 0;
		fail_at = n;
		for (int step = 0; step < 3000; step++) {
			struct sp_chunk **c = &chunks[rand_r(&seed) % 64];

			if (*c) {
				sp_node_give_chunk(*c, (*c)->units);
				*c = NULL;
			} else if (step % 50 == 0) {
				sp_node_fill_stock(self->node, 0);
			} else {
				unsigned int units = 1 + (unsigned int)rand_r(&seed) % SP_UNITS;

				*c = sp_node_take_chunk(self->node, SP_KIND_LARGE, units, 1,
							units);
			}
		}
		ASSERT_TRUE(sp_node_check(self->node));
		for (int i = 0; i < 64; i++) {
			if (chunks[i])
				sp_node_give_chunk(chunks[i], chunks[i]->units);
			chunks[i] = NULL;
		}
		sp_node_purge(self->node, 0, SP_PURGE_ALL);
		sp_commit_counts(&self->counts);
		ASSERT_EQ(0, self->counts.committed);
		ASSERT_EQ(40, left);
	}
}

TEST(addresses_that_unused_hpages_hold_are_not_missing)
{
	struct sp_chunk *chunk;
	struct sp_node *node;

	sp_node_init(1, 10000, &(struct sp_limits){ 0 });
	node = sp_node_get(0);
	ASSERT_EQ(0, sp_window_init(16 * SP_HPAGE, false));
	sp_source_set(&sp_backend_thp);
	chunk = huge(node, 10);
	ASSERT_NE(NULL, chunk);
	EXPECT_TRUE(sp_node_give_large(chunk, chunk->addr));
	EXPECT_NE(NULL, huge(node, 12));
	EXPECT_TRUE(sp_node_check(node));
}

/* MADV_POPULATE_WRITE is an unknown advice from now on, as before Linux 5.14. */
static int forget_populate(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MADV_POPULATE_WRITE, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { ARRAY_SIZE(code), code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

TEST(where_the_kernel_cannot_populate_pages_are_touched)
{
	unsigned char resident[SP_HPAGE / 4096];
	struct sp_extent extent;

	sp_node_init(1, 10000, &(struct sp_limits){ 0 });
	ASSERT_EQ(0, sp_window_init(16 * SP_HPAGE, false));
	sp_source_set(&sp_backend_thp);
	ASSERT_EQ(0, forget_populate());
	ASSERT_EQ(0, sp_window_take(&sp_backend_thp, 1, SP_HPAGE, 0, &extent));
	ASSERT_EQ(0, sp_commit(&extent, SP_TOUCH_ALL));
	ASSERT_EQ(0, mincore(extent.addr, SP_HPAGE, resident));
	for (size_t i = 0; i < ARRAY_SIZE(resident); i++)
		ASSERT_TRUE(resident[i] & 1);
}

TEST_HARNESS_MAIN

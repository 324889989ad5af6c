// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* lib/stock.c: how many hpages are kept ready, by arithmetic instead of by growing. */
#include "stock.h"
#include "kselftest_harness.h"

#define MS	1000000ull
#define MOST	SP_STOCK_MAX

/* A heap that uses hpages, and a background thread that has nothing else to do. */
struct heap {
	struct sp_stock stock;
	uint64_t now, ready;
	uint64_t looks, misses, fills, highest;
};

static void use(struct heap *heap, uint64_t n)
{
	while (n--) {
		if (heap->ready) {
			heap->ready--;
			continue;
		}
		sp_stock_miss(&heap->stock);
		heap->misses++;
	}
}

static void look_if_due(struct heap *heap)
{
	if (!sp_stock_due(&heap->stock, heap->now))
		return;
	heap->looks++;
	sp_stock_look(&heap->stock, heap->now, heap->ready, MOST);
	while (heap->ready < heap->stock.target) {
		heap->ready++;
		heap->fills++;
	}
	if (heap->ready > heap->highest)
		heap->highest = heap->ready;
}

/* For @ms milliseconds @n hpages every @gap milliseconds; other work every @tick. */
static void grow(struct heap *heap, uint64_t ms, uint64_t n, uint64_t gap, uint64_t tick)
{
	for (uint64_t at = 1; at <= ms; at++) {
		heap->now += MS;
		if (at % gap == 0)
			use(heap, n);
		if (heap->stock.next_ns != UINT64_MAX || heap->stock.missed || at % tick == 0)
			look_if_due(heap);
	}
}

static void start(struct heap *heap)
{
	*heap = (struct heap){ 0 };
	sp_stock_init(&heap->stock);
}

TEST(a_heap_that_does_not_grow_has_none)
{
	struct heap heap;

	start(&heap);
	grow(&heap, 10000, 0, 1, 1);
	EXPECT_EQ(0, heap.looks);
	EXPECT_EQ(0, heap.ready);
}

/* However slowly: one hpage each so many milliseconds. */
TEST(steady_growth_misses_no_more_once_it_has_begun)
{
	static const uint64_t gaps[] = { 1, 2, 3, 5, 10, 33, 100, 250, 333, 700, 999, 1500,
					 3000 };

	for (size_t i = 0; i < ARRAY_SIZE(gaps); i++) {
		struct heap heap;

		start(&heap);
		grow(&heap, 2 * gaps[i], 1, gaps[i], 1000);
		ASSERT_LE(heap.misses, 2u) TH_LOG("every %llu ms", (unsigned long long)gaps[i]);
		heap.misses = 0;
		grow(&heap, 60000, 1, gaps[i], 1000);
		ASSERT_EQ(0, heap.misses) TH_LOG("every %llu ms", (unsigned long long)gaps[i]);
		ASSERT_LE(heap.highest, 4u) TH_LOG("every %llu ms", (unsigned long long)gaps[i]);
	}
}

TEST(the_stock_follows_the_rate)
{
	uint64_t rates[] = { 1, 2, 4, 8, 15 };

	for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
		struct heap heap;

		start(&heap);
		grow(&heap, 50, rates[i], 1, 1000);
		heap.misses = 0;
		grow(&heap, 1000, rates[i], 1, 1000);
		EXPECT_EQ(0, heap.misses);
		EXPECT_GE(heap.stock.target, 2 * rates[i]);
		EXPECT_LE(heap.stock.target, 4 * rates[i]);
	}
}

TEST(it_never_exceeds_what_it_may_have)
{
	struct sp_stock stock;
	unsigned int seed = 1;
	uint64_t now = 0;

	sp_stock_init(&stock);
	for (int i = 0; i < 100000; i++) {
		uint32_t most = (uint32_t)rand_r(&seed) % (MOST + 1);

		for (int n = rand_r(&seed) % 100; n; n--)
			sp_stock_miss(&stock);
		now += (uint64_t)rand_r(&seed) * 100;
		sp_stock_look(&stock, now, (uint64_t)rand_r(&seed) % 50, most);
		ASSERT_LE(stock.target, most);
	}
}

TEST(when_growth_ends_the_looks_become_rare_and_end)
{
	struct heap heap;
	uint64_t last;

	start(&heap);
	grow(&heap, 1000, 10, 1, 1000);
	EXPECT_GE(heap.stock.target, 20u);
	heap.looks = 0;
	grow(&heap, 100, 0, 1, 1000);
	EXPECT_LE(heap.looks, 8u);
	last = heap.fills;
	grow(&heap, 3000, 0, 1, 1000000);
	EXPECT_LE(heap.looks, 12u);
	EXPECT_EQ(UINT64_MAX, heap.stock.next_ns);
	EXPECT_LE(heap.stock.target, 10u);
	EXPECT_EQ(last, heap.fills);
}

/* hpages that fall out of use and come into use again: there are enough. */
TEST(to_and_fro_is_no_growth)
{
	struct heap heap;

	start(&heap);
	grow(&heap, 10, 1, 1, 1000);
	heap.looks = heap.fills = heap.misses = 0;
	for (int i = 0; i < 5000; i++) {
		heap.ready += 3;
		grow(&heap, 1, 0, 1, 1000);
		use(&heap, 3);
		grow(&heap, 1, 0, 1, 1000);
	}
	EXPECT_EQ(0, heap.misses);
	EXPECT_LE(heap.fills, 4u);
	EXPECT_LE(heap.looks, 40u);
}

TEST(what_decay_takes_is_not_replaced_what_was_used_is)
{
	struct sp_stock stock;

	sp_stock_init(&stock);
	for (int i = 0; i < 4; i++)
		sp_stock_miss(&stock);
	sp_stock_look(&stock, 0, 0, MOST);
	ASSERT_EQ(8, stock.target);
	/* 12 are ready, more than wanted: without 3 of them it is still enough. */
	sp_stock_shrink(&stock, 3, 9);
	EXPECT_EQ(8, stock.target);
	sp_stock_shrink(&stock, 3, 6);
	EXPECT_EQ(6, stock.target);
	/* Callers used 4, decay took one of the other two. */
	sp_stock_shrink(&stock, 1, 1);
	EXPECT_EQ(5, stock.target);
	sp_stock_look(&stock, MS, 1, MOST);
	EXPECT_EQ(8, stock.target);
	sp_stock_shrink(&stock, 8, 0);
	EXPECT_EQ(0, stock.target);
	EXPECT_FALSE(sp_stock_due(&stock, UINT64_MAX));
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: GPL-2.0-only
/* kmod/decay.c, which is arithmetic and nothing of the kernel. */
#include <stdint.h>

typedef uint64_t u64;

#include "../../kmod/decay.c"
#include "kselftest_harness.h"

#define MS	1000000ULL
#define PERIOD	(10000 * MS)

static u64 sum(const struct sp_decay *decay)
{
	u64 total = 0;
	int age;

	for (age = 0; age <= SP_DECAY_STEPS; age++)
		total += decay->backlog[age];
	return total;
}

static u64 limit_at(struct sp_decay *decay, u64 now)
{
	sp_decay_update(decay, now, decay->unused);
	return sp_decay_limit(decay);
}

/* What would be there if all that may not stay went at once. */
static u64 run_to(struct sp_decay *decay, u64 now)
{
	u64 limit = limit_at(decay, now);

	if (decay->unused > limit)
		sp_decay_given(decay, decay->unused - limit);
	return decay->unused;
}

TEST(all_stay_at_first_half_at_half_time_none_at_the_end)
{
	struct sp_decay decay;

	sp_decay_init(&decay, PERIOD, 0);
	sp_decay_update(&decay, 0, 1000);
	EXPECT_EQ(1000, sp_decay_limit(&decay));
	/* 1 - smoothstep(1/4) = 0.8965, of 3/4 = 0.1035 */
	EXPECT_LE(895, limit_at(&decay, PERIOD / 4));
	EXPECT_GE(898, limit_at(&decay, PERIOD / 4));
	EXPECT_LE(499, limit_at(&decay, PERIOD / 2));
	EXPECT_GE(501, limit_at(&decay, PERIOD / 2));
	EXPECT_LE(102, limit_at(&decay, PERIOD * 3 / 4));
	EXPECT_GE(105, limit_at(&decay, PERIOD * 3 / 4));
	EXPECT_EQ(0, limit_at(&decay, PERIOD));
}

TEST(giving_back_as_it_goes_follows_the_same_curve)
{
	struct sp_decay decay;
	u64 now, last = 1000;

	sp_decay_init(&decay, PERIOD, 0);
	sp_decay_update(&decay, 0, 1000);
	for (now = 0; now <= PERIOD; now += 10 * MS) {
		EXPECT_GE(last, run_to(&decay, now));
		last = decay.unused;
		if (now == PERIOD / 2) {
			EXPECT_LE(499, last);
			EXPECT_GE(501, last);
		}
	}
	EXPECT_EQ(0, decay.unused);
}

TEST(a_lone_hpage_stays_for_the_whole_period)
{
	struct sp_decay decay;

	sp_decay_init(&decay, PERIOD, 0);
	sp_decay_update(&decay, 0, 1);
	EXPECT_EQ(1, run_to(&decay, PERIOD - PERIOD / 100));
	EXPECT_EQ(0, run_to(&decay, PERIOD));
}

TEST(what_is_used_again_and_falls_out_again_is_new)
{
	struct sp_decay decay;

	sp_decay_init(&decay, PERIOD, 0);
	sp_decay_update(&decay, 0, 100);
	sp_decay_update(&decay, PERIOD / 2, 0);
	EXPECT_EQ(0, sum(&decay));
	sp_decay_update(&decay, PERIOD / 2, 100);
	EXPECT_EQ(100, sp_decay_limit(&decay));
	EXPECT_EQ(0, limit_at(&decay, PERIOD / 2 + PERIOD));
}

TEST(those_used_again_are_the_ones_that_fell_out_last)
{
	struct sp_decay decay;

	sp_decay_init(&decay, PERIOD, 0);
	sp_decay_update(&decay, 0, 100);
	sp_decay_update(&decay, PERIOD / 2, 200);
	sp_decay_update(&decay, PERIOD / 2, 100);
	EXPECT_LE(49, sp_decay_limit(&decay));
	EXPECT_GE(51, sp_decay_limit(&decay));
}

TEST(without_a_period_none_may_stay)
{
	struct sp_decay decay;

	sp_decay_init(&decay, 0, 5);
	sp_decay_update(&decay, 5, 7);
	EXPECT_EQ(0, sp_decay_limit(&decay));
	EXPECT_EQ(5, sp_decay_due(&decay));
	sp_decay_given(&decay, 7);
	EXPECT_EQ(UINT64_MAX, sp_decay_due(&decay));
}

TEST(it_tells_when_to_look_again)
{
	struct sp_decay decay;
	u64 now = 3, due, rounds = 0;

	sp_decay_init(&decay, PERIOD, now);
	EXPECT_EQ(UINT64_MAX, sp_decay_due(&decay));
	sp_decay_update(&decay, now, 64);
	while (decay.unused) {
		due = sp_decay_due(&decay);
		ASSERT_LT(now, due);
		/* Nothing would have been given back before, something is then. */
		EXPECT_LE(decay.unused, limit_at(&decay, due - 1));
		EXPECT_GT(decay.unused, limit_at(&decay, due));
		now = due;
		run_to(&decay, now);
		rounds++;
	}
	EXPECT_GE(64, rounds);
	EXPECT_GE(3 + PERIOD, now);
}

TEST(a_clock_that_stands_jumps_or_steps_back_does_no_harm)
{
	struct sp_decay decay;

	sp_decay_init(&decay, PERIOD, 1000 * PERIOD);
	sp_decay_update(&decay, 1000 * PERIOD, 10);
	sp_decay_update(&decay, 999 * PERIOD, 10);
	EXPECT_EQ(10, sp_decay_limit(&decay));
	EXPECT_EQ(0, run_to(&decay, UINT64_MAX));
	EXPECT_EQ(0, decay.unused);
}

TEST(a_period_shorter_than_its_steps_is_no_division_by_zero)
{
	struct sp_decay decay;

	sp_decay_init(&decay, SP_DECAY_STEPS - 1, 0);
	sp_decay_update(&decay, 0, 3);
	sp_decay_update(&decay, PERIOD, 3);
	EXPECT_GE(3, sp_decay_limit(&decay));
}

TEST(the_largest_pools_overflow_nothing)
{
	const u64 many = (10ULL << 40) / (2 << 20);
	struct sp_decay decay;
	int i;

	sp_decay_init(&decay, PERIOD, 0);
	for (i = 0; i < 2 * SP_DECAY_STEPS; i++) {
		sp_decay_update(&decay, i * PERIOD / 100, 0);
		sp_decay_update(&decay, i * PERIOD / 100, many);
		EXPECT_LE(many, sp_decay_limit(&decay));
	}
	EXPECT_EQ(0, run_to(&decay, 10 * PERIOD));
}

TEST(the_backlog_is_never_less_than_what_is_unused)
{
	struct sp_decay decay;
	u64 now = 0, unused = 0;
	int i;

	srand(7);
	sp_decay_init(&decay, PERIOD, 0);
	for (i = 0; i < 20000; i++) {
		now += rand() % (50 * MS);
		unused = rand() % 3 ? unused : (u64)(rand() % 100);
		sp_decay_update(&decay, now, unused);
		unused = run_to(&decay, now);
		ASSERT_LE(unused, sum(&decay));
	}
}

TEST_HARNESS_MAIN

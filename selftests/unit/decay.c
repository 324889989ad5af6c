// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* lib/decay.c: what may stay, by arithmetic instead of by sleeping. */
#include "decay.h"
#include "kselftest_harness.h"

#define MS	1000000ull
#define PERIOD	10000ull

static uint64_t sum(const struct sp_decay *decay)
{
	uint64_t total = 0;

	for (unsigned int age = 0; age <= SP_DECAY_STEPS; age++)
		total += decay->backlog[age];
	return total;
}

TEST(all_stay_at_first_half_at_half_time_none_at_the_end)
{
	struct sp_decay decay;

	sp_decay_init(&decay, PERIOD, 0);
	sp_decay_add(&decay, 0, 1000);
	EXPECT_EQ(1000, sp_decay_limit(&decay, 0));
	EXPECT_LE(sp_decay_limit(&decay, PERIOD / 4 * MS), 900u);
	EXPECT_GE(sp_decay_limit(&decay, PERIOD / 4 * MS), 895u);
	EXPECT_LE(sp_decay_limit(&decay, PERIOD / 2 * MS), 501u);
	EXPECT_GE(sp_decay_limit(&decay, PERIOD / 2 * MS), 499u);
	EXPECT_EQ(0, sp_decay_limit(&decay, PERIOD * MS));
}

TEST(the_limit_never_rises_while_nothing_is_added)
{
	struct sp_decay decay;
	uint64_t last = UINT64_MAX;

	sp_decay_init(&decay, PERIOD, 0);
	for (int i = 0; i < 50; i++)
		sp_decay_add(&decay, i * 20 * MS, 10);
	for (uint64_t ms = 1000; ms <= 12000; ms += 7) {
		uint64_t limit = sp_decay_limit(&decay, ms * MS);

		ASSERT_LE(limit, last);
		last = limit;
	}
	EXPECT_EQ(0, last);
}

TEST(a_lone_hpage_stays_until_the_period_is_over)
{
	struct sp_decay decay;

	sp_decay_init(&decay, PERIOD, 5 * MS);
	sp_decay_add(&decay, 5 * MS, 1);
	EXPECT_EQ(1, sp_decay_limit(&decay, (PERIOD - 100) * MS));
	EXPECT_EQ(0, sp_decay_limit(&decay, (PERIOD + 5) * MS));
}

/* What a purger sees that asks again and again, and gives back each time. */
TEST(giving_back_step_by_step_follows_the_curve)
{
	struct sp_decay decay;

	sp_decay_init(&decay, PERIOD, 0);
	sp_decay_add(&decay, 0, 1000);
	for (uint64_t ms = 0; ms <= PERIOD; ms += 25) {
		double x = (double)(ms / 50) * 50 / PERIOD;
		double stay = 1000 * (1 - x * x * x * (x * (6 * x - 15) + 10));
		uint64_t limit = sp_decay_limit(&decay, ms * MS);

		if (decay.total > limit)
			sp_decay_purged(&decay, (uint32_t)(decay.total - limit));
		ASSERT_LE(decay.total, (uint64_t)(stay + 1.5));
		ASSERT_GE(decay.total + 1, (uint64_t)stay);
	}
	EXPECT_EQ(0, decay.total);
}

TEST(reuse_takes_the_newest)
{
	struct sp_decay decay;

	sp_decay_init(&decay, PERIOD, 0);
	sp_decay_add(&decay, 0, 100);
	sp_decay_add(&decay, 5000 * MS, 100);
	sp_decay_reuse(&decay, 100);
	EXPECT_EQ(0, sp_decay_limit(&decay, PERIOD * MS));
	sp_decay_init(&decay, PERIOD, 0);
	sp_decay_add(&decay, 0, 100);
	sp_decay_add(&decay, 5000 * MS, 100);
	sp_decay_purged(&decay, 100);
	EXPECT_LE(49u, sp_decay_limit(&decay, PERIOD * MS));
}

TEST(the_backlog_always_covers_what_is_unused)
{
	struct sp_decay decay;
	uint64_t now = 0, total = 0;
	unsigned int seed = 1;

	sp_decay_init(&decay, PERIOD, now);
	for (int i = 0; i < 100000; i++) {
		uint32_t n = (uint32_t)rand_r(&seed) % 20;
		uint64_t limit;

		now += (uint64_t)(rand_r(&seed) % 1000) * MS / 4;
		switch (rand_r(&seed) % 3) {
		case 0:
			sp_decay_add(&decay, now, n);
			total += n;
			break;
		case 1:
			n = n < total ? n : (uint32_t)total;
			sp_decay_reuse(&decay, n);
			total -= n;
			break;
		case 2:
			limit = sp_decay_limit(&decay, now);
			n = limit < total ? (uint32_t)(total - limit) : 0;
			sp_decay_purged(&decay, n);
			total -= n;
			break;
		}
		ASSERT_EQ(total, decay.total);
		ASSERT_LE(total, sum(&decay));
	}
	/* Nothing added for a period: nothing may stay, whatever was before. */
	EXPECT_EQ(0, sp_decay_limit(&decay, now + (PERIOD + 100) * MS));
}

TEST(a_clock_read_before_the_last_callers_does_no_harm)
{
	struct sp_decay decay;

	sp_decay_init(&decay, PERIOD, 1000 * MS);
	sp_decay_add(&decay, 2000 * MS, 10);
	EXPECT_EQ(10, sp_decay_limit(&decay, 900 * MS));
	EXPECT_LE(sp_decay_next(&decay, 900 * MS), (PERIOD + 2000) * MS);
	EXPECT_EQ(10, sp_decay_limit(&decay, 2000 * MS));
}

TEST(next_is_when_the_limit_begins_to_bind)
{
	struct sp_decay decay;
	uint64_t next;

	sp_decay_init(&decay, PERIOD, 0);
	EXPECT_EQ(UINT64_MAX, sp_decay_next(&decay, 0));
	sp_decay_add(&decay, 0, 500);
	next = sp_decay_next(&decay, 0);
	ASSERT_NE(UINT64_MAX, next);
	EXPECT_LE(500u, sp_decay_limit(&decay, next - 60 * MS));
	EXPECT_GT(500u, sp_decay_limit(&decay, next));
}

TEST(with_period_zero_nothing_may_stay)
{
	struct sp_decay decay;

	sp_decay_init(&decay, 0, 0);
	sp_decay_add(&decay, 1, 7);
	EXPECT_EQ(0, sp_decay_limit(&decay, 1));
	EXPECT_EQ(0, sp_decay_next(&decay, 1));
}

TEST(ten_times_the_speed_is_a_tenth_of_the_time)
{
	struct sp_decay slow, fast;

	sp_decay_init(&slow, PERIOD, 0);
	sp_decay_init(&fast, PERIOD * 10, 0);
	sp_decay_set_speed(&fast, 10);
	sp_decay_add(&slow, 0, 1000);
	sp_decay_add(&fast, 0, 1000);
	/* In steps of the longer period. */
	for (uint64_t ms = PERIOD / 20; ms <= PERIOD; ms += PERIOD / 20)
		EXPECT_EQ(sp_decay_limit(&slow, ms * MS), sp_decay_limit(&fast, ms * MS));
	EXPECT_EQ(0, sp_decay_limit(&fast, PERIOD * MS));
}

TEST_HARNESS_MAIN

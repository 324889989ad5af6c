// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* tools/bench/stats.c: what rounds say together. */
#include <math.h>

#include "../../tools/bench/stats.c"
#include "kselftest_harness.h"

TEST(median_of_an_odd_and_an_even_number)
{
	double odd[] = { 9, 1, 5 }, even[] = { 8, 1, 3, 100 };

	EXPECT_EQ(5, stats_median(odd, 3));
	EXPECT_EQ(5.5, stats_median(even, 4));
	EXPECT_TRUE(isnan(stats_median(NULL, 0)));
}

TEST(fewer_than_five_values_bound_nothing)
{
	double values[] = { 1, 2, 3, 4 };

	EXPECT_TRUE(isnan(stats_median_bound(values, 4)));
}

/* From tables of the sign test: the rank of the one-sided 95 % bound. */
TEST(the_bound_is_the_value_of_the_rank_in_the_tables)
{
	static const struct {
		size_t count, rank;
	} table[] = { { 5, 5 }, { 7, 7 }, { 8, 7 }, { 9, 8 }, { 12, 10 }, { 20, 15 } };
	double values[20];

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		/* In falling order: it sorts by itself. */
		for (size_t v = 0; v < table[i].count; v++)
			values[v] = table[i].count - v;
		EXPECT_EQ(table[i].rank, stats_median_bound(values, table[i].count)) {
			TH_LOG("of %zu values", table[i].count);
		}
	}
}

/* The bound of many samples holds in 95 of 100. */
TEST(the_bound_is_above_the_true_median_as_often_as_it_says)
{
	unsigned int seed = 1, above = 0, samples = 20000;
	double values[9];

	for (unsigned int s = 0; s < samples; s++) {
		for (int i = 0; i < 9; i++)
			values[i] = rand_r(&seed) / (RAND_MAX + 1.0);
		above += stats_median_bound(values, 9) >= 0.5;
	}
	EXPECT_LE(0.95, (double)above / samples);
	EXPECT_GE(0.99, (double)above / samples);
}

TEST(rounds_in_which_either_is_missing_are_left_out)
{
	double ours[] = { 2, NAN, 6, 4 }, theirs[] = { 1, 1, NAN, 8 }, ratios[4];

	ASSERT_EQ(2, stats_ratios(ours, theirs, 4, ratios));
	EXPECT_EQ(2, ratios[0]);
	EXPECT_EQ(0.5, ratios[1]);
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* lib/hpage.c: its units, held against an array of booleans. */
#include <string.h>

#include "hpage.h"
#include "kselftest_harness.h"

TEST(a_new_hpage_is_one_free_run_of_zeroes)
{
	struct sp_hpage hpage;

	sp_hpage_reset(&hpage);
	EXPECT_EQ(SP_UNITS, hpage.longest);
	EXPECT_EQ(0, sp_hpage_find(&hpage, SP_UNITS, 1));
	EXPECT_TRUE(sp_hpage_take(&hpage, 0, SP_UNITS));
	EXPECT_EQ(-1, sp_hpage_find(&hpage, 1, 1));
	EXPECT_EQ(0, hpage.longest);
}

TEST(what_was_used_does_not_count_as_zero)
{
	struct sp_hpage hpage;

	sp_hpage_reset(&hpage);
	EXPECT_TRUE(sp_hpage_take(&hpage, 10, 100));
	sp_hpage_give(&hpage, 10, 100);
	EXPECT_TRUE(sp_hpage_take(&hpage, 0, 10));
	EXPECT_FALSE(sp_hpage_take(&hpage, 10, 1));
	EXPECT_FALSE(sp_hpage_take(&hpage, 109, 2));
	EXPECT_TRUE(sp_hpage_take(&hpage, 111, SP_UNITS - 111));
}

TEST(alignment_is_kept)
{
	struct sp_hpage hpage;

	sp_hpage_reset(&hpage);
	sp_hpage_take(&hpage, 0, 1);
	EXPECT_EQ(1, sp_hpage_find(&hpage, 4, 1));
	EXPECT_EQ(64, sp_hpage_find(&hpage, 4, 64));
	EXPECT_EQ(SP_UNITS / 2, sp_hpage_find(&hpage, SP_UNITS / 2, SP_UNITS / 2));
	EXPECT_EQ(-1, sp_hpage_find(&hpage, SP_UNITS / 2 + 1, SP_UNITS / 2));
}

static int model_find(const bool *used, unsigned int n, unsigned int align)
{
	for (unsigned int at = 0; at + n <= SP_UNITS; at += align) {
		unsigned int i = 0;

		while (i < n && !used[at + i])
			i++;
		if (i == n)
			return (int)at;
	}
	return -1;
}

TEST(random_takes_and_gives_agree_with_a_model)
{
	bool used[SP_UNITS] = { false }, dirty[SP_UNITS] = { false };
	struct { unsigned int at, n; } runs[SP_UNITS];
	unsigned int nruns = 0, seed = 7;
	struct sp_hpage hpage;

	sp_hpage_reset(&hpage);
	for (int step = 0; step < 200000; step++) {
		unsigned int n = 1 + (unsigned int)rand_r(&seed) % (rand_r(&seed) % 4 ? 8 : 80);
		unsigned int align = 1u << (rand_r(&seed) % 4);
		int at = sp_hpage_find(&hpage, n, align);

		ASSERT_EQ(model_find(used, n, align), at);
		if (at >= 0 && rand_r(&seed) % 2) {
			bool zero = true;

			for (unsigned int i = 0; i < n; i++) {
				zero = zero && !dirty[at + (int)i];
				used[at + (int)i] = true;
			}
			ASSERT_EQ(zero, sp_hpage_take(&hpage, (unsigned int)at, n));
			runs[nruns].at = (unsigned int)at;
			runs[nruns++].n = n;
		} else if (nruns) {
			unsigned int pick = (unsigned int)rand_r(&seed) % nruns;

			sp_hpage_give(&hpage, runs[pick].at, runs[pick].n);
			memset(used + runs[pick].at, false, runs[pick].n);
			memset(dirty + runs[pick].at, true, runs[pick].n);
			runs[pick] = runs[--nruns];
		}
		ASSERT_TRUE(sp_hpage_check(&hpage));
		if (step % 5000 == 0 && !nruns) {
			sp_hpage_reset(&hpage);
			memset(dirty, false, sizeof(dirty));
		}
	}
}

TEST_HARNESS_MAIN

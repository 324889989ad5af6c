// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Random calls of the malloc family against the model, in the builds that check the
 * library's own equations.  MODEL_SEED=n makes other ones, SLABPOOL_ROUNDS more.
 */
#include <stdlib.h>

#include "helpers.h"
#include "node.h"
#include "kselftest_harness.h"
#include "model.h"
#include "slabpool.h"

/* Under TSan each step takes ten times as long. */
#ifdef __SANITIZE_THREAD__
#define STEPS	8000
#else
#define STEPS	60000
#endif

static struct model_family family = {
	MODEL_LIBRARY,
};

static bool books_are_right(void)
{
	struct slabpool_stats stats;
	bool right = true;

	for (int id = 0; id < SP_MAX_NODES; id++)
		right = right && (!sp_node_get(id) || sp_node_check(sp_node_get(id)));
	slabpool_release();
	if (slabpool_stats(&stats, sizeof(stats)))
		return false;
	/* An hpage for each kind of chunk may be kept by this thread's cache. */
	return right && stats.committed <= 2 * SP_HPAGE &&
	       stats.commits == stats.decommits + stats.committed / SP_HPAGE;
}

static bool agree(int threads, int lives, long steps, size_t most)
{
	unsigned long seed = t_environment("MODEL_SEED", 20260101);
	const char *wrong = "no addresses for the shadow";

	if (getenv("SLABPOOL_GUEST"))
		steps /= 10;	/* it is emulated */
	if (model_init())
		wrong = model_run(&family, threads, lives, (long)t_rounds(steps), most, seed);
	/* This process does not end by exit(3), which would write it out. */
	printf("# MODEL_SEED=%lu: %s\n", seed, wrong ? wrong : "all agree");
	fflush(stdout);
	return !wrong;
}

TEST(one_thread_agrees_with_the_model)
{
	EXPECT_TRUE(agree(1, 1, 3 * STEPS, 64 * SP_MIB));
	EXPECT_TRUE(books_are_right());
}

TEST(threads_that_swap_objects_agree_with_the_model)
{
	EXPECT_TRUE(agree(6, 3, STEPS / 2, 8 * SP_MIB));
	EXPECT_TRUE(books_are_right());
}

TEST(threads_at_the_limit_agree_with_the_model)
{
	setenv("SLABPOOL_CONF", "limit:32M,decay_ms:0", 1);
	family.may_fail = true;
	EXPECT_TRUE(agree(6, 3, STEPS / 2, 8 * SP_MIB));
	EXPECT_TRUE(books_are_right());
}

TEST(threads_agree_with_the_model_when_it_is_secure)
{
	setenv("SLABPOOL_CONF", "secure:true", 1);
	EXPECT_TRUE(agree(6, 3, STEPS / 2, 8 * SP_MIB));
	EXPECT_TRUE(books_are_right());
}

TEST_HARNESS_MAIN

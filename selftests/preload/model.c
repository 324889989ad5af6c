// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Random calls of the C library's names against the model of selftests/unit/model.h,
 * on each source.  MODEL_SEED=n makes other ones.
 */
#include <malloc.h>

#include "preload.h"
#include "../unit/model.h"

/* Of C23: this C library may not have it, but ours does. */
extern void free_sized(void *ptr, size_t size) __attribute__((weak));

static struct model_family family = {
	.malloc = malloc,
	.calloc = calloc,
	.realloc = realloc,
	.aligned_alloc = aligned_alloc,
	.posix_memalign = posix_memalign,
	.free = free,
	.free_sized = free_sized,
	.usable_size = malloc_usable_size,
};

static void agree(int threads, long steps, size_t most)
{
	uint64_t seed = getenv("MODEL_SEED") ? strtoull(getenv("MODEL_SEED"), NULL, 0) : 20260101;
	const char *wrong;

	note("MODEL_SEED=%llu\n", (unsigned long long)seed);
	check(model_init() && free_sized);
	wrong = model_run(&family, threads, 2, t_emulated() ? steps / 10 : steps, most, seed);
	note("%s\n", wrong ? wrong : "all agree");
	check(!wrong);
	malloc_trim(0);
	check(t_stats().committed <= 24 * T_MIB);
}

static void one_thread(void) { agree(1, 60000, 8 * T_MIB); }
static void threads_that_swap(void) { agree(6, 20000, 4 * T_MIB); }

/* What they ask for does not fit, and every NULL must be one they can live with. */
static void threads_at_the_limit(void)
{
	family.may_fail = true;
	agree(6, 20000, 4 * T_MIB);
}

/* The pool is shared with others: there may not be enough in any case. */
static void threads_without_decay(void)
{
	family.may_fail = true;
	agree(4, 20000, 2 * T_MIB);
}

static const struct t_case cases[] = {
	CASE(one_thread, .seconds = 60),
	CASE(threads_that_swap, .seconds = 60),
	{ .name = "threads_that_swap_secure", .run = threads_that_swap, .conf = "secure:true",
	  .seconds = 60 },
	CASE(threads_at_the_limit, .conf = "limit:24M", .seconds = 60),
	CASE(threads_without_decay, .conf = "decay_ms:0,background_thread:false", .seconds = 60),
};

T_CASES(cases)

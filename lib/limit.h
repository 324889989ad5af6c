/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * The options that bound by amount what decay bounds by time.
 *
 *	limit		committed never rises above it (commit.c)
 *	soft_limit	above it memory decays ten times as fast, and the reclaimer
 *			takes what threads have cached
 *	max_unused	of ready hpages a node keeps no more
 *	floor		decay and slabpool_release() leave committed at that
 *
 * Pure arithmetic, as decay.h; sizes in bytes, 0: no such bound, counts in hpages.
 */
#ifndef SP_LIMIT_H
#define SP_LIMIT_H

#include "internal.h"

struct sp_limits {
	uint64_t soft, max_unused, floor;
};

/* By how much decay is faster now. */
unsigned int sp_limit_speed(const struct sp_limits *limits, uint64_t committed);
/* Of @unused hpages, how many the floor keeps, if nothing else does. */
uint64_t sp_limit_kept(const struct sp_limits *limits, uint64_t committed, uint64_t unused);
/* Of @unused hpages, how many may stay where decay lets @stay. */
uint64_t sp_limit_stay(const struct sp_limits *limits, uint64_t committed, uint64_t unused,
		       uint64_t stay);
/* Of @unused hpages, how many max_unused lets stay. */
uint64_t sp_limit_most(const struct sp_limits *limits, uint64_t unused);
/* Has a node become one that has too many? */
bool sp_limit_crossed(const struct sp_limits *limits, uint64_t before, uint64_t unused);

#endif

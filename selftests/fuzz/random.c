// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* Choices: everything that is chosen is chosen here, and follows from the seed. */
#include "fuzz.h"

u64 rng_next(struct rng *rng)
{
	u64 z = rng->state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* From 0 to @limit - 1; a bias that nobody can measure is no harm here. */
u64 rng_below(struct rng *rng, u64 limit)
{
	return limit ? rng_next(rng) % limit : 0;
}

bool rng_one_in(struct rng *rng, u64 n)
{
	return !rng_below(rng, n);
}

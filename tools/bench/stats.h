/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/* What rounds say together.  Pure arithmetic. */
#ifndef SLABPOOL_BENCH_STATS_H
#define SLABPOOL_BENCH_STATS_H

#include <stddef.h>

/* NAN without values.  The order of @values is changed. */
double stats_median(double *values, size_t count);

/*
 * The upper 95 % bound of the median, from the order of the values alone: nothing is
 * assumed of how they are distributed.  Five values are the least that can tell;
 * NAN with fewer.  (H. A. David and H. N. Nagaraja, "Order Statistics", chapter 7.)
 */
double stats_median_bound(double *values, size_t count);

/*
 * The quotients ours / theirs, round by round, for what was measured in the same
 * round met the same machine.  Rounds in which either is missing (NAN) are left
 * out.  Returns how many there are in @ratios.
 */
size_t stats_ratios(const double *ours, const double *theirs, size_t count, double *ratios);

#endif

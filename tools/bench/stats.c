// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* What rounds say together: medians, paired ratios and how sure they are. */
#include <math.h>
#include <stdlib.h>

#include "stats.h"

static int by_value(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return left < right ? -1 : left > right;
}

double stats_median(double *values, size_t count)
{
	if (!count)
		return NAN;
	qsort(values, count, sizeof(*values), by_value);
	return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/*
 * The k-th smallest of n is below the median when at least k values are, each by the
 * toss of a coin: the least k for which that is at most one of twenty.
 */
double stats_median_bound(double *values, size_t count)
{
	double share = ldexp(1, -(int)count), below = share;
	size_t k = count;

	if (count < 5)
		return NAN;
	/* below: the probability that k or more of them are. */
	while (below + share * k / (count - k + 1) <= 0.05) {
		share *= (double)k / (count - k + 1);
		below += share;
		k--;
	}
	qsort(values, count, sizeof(*values), by_value);
	return values[k - 1];
}

size_t stats_ratios(const double *ours, const double *theirs, size_t count, double *ratios)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++)
		if (!isnan(ours[i]) && !isnan(theirs[i]) && theirs[i] > 0)
			ratios[n++] = ours[i] / theirs[i];
	return n;
}

// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#include "stock.h"

#define PAUSE_MIN_NS	1000000ull
#define PAUSE_MAX_NS	1024000000ull
#define LEAST		2	/* where it stops: one that is used, one that is left */
#define FALL		8	/* a look takes one of so many off the target */

void sp_stock_init(struct sp_stock *stock)
{
	*stock = (struct sp_stock){ .next_ns = UINT64_MAX };
}

void sp_stock_miss(struct sp_stock *stock)
{
	if (stock->missed < SP_STOCK_MAX)
		stock->missed++;
}

bool sp_stock_due(const struct sp_stock *stock, uint64_t now_ns)
{
	if (stock->missed)
		return true;
	return stock->target && (now_ns >= stock->next_ns || stock->next_ns == UINT64_MAX);
}

void sp_stock_look(struct sp_stock *stock, uint64_t now_ns, uint64_t ready, uint32_t most)
{
	uint32_t used = stock->missed, target = stock->target;

	if (ready < target)
		used += target - (uint32_t)ready;
	if (target > LEAST)
		target -= (target + FALL - 1) / FALL;
	if (target < 2 * used)
		target = 2 * used;
	if (used)
		stock->pause_ns = PAUSE_MIN_NS;
	else if (stock->pause_ns <= PAUSE_MAX_NS)
		stock->pause_ns *= 2;
	stock->target = target < most ? target : most;
	stock->missed = 0;
	stock->next_ns = stock->target && stock->pause_ns <= PAUSE_MAX_NS ?
			 now_ns + stock->pause_ns : UINT64_MAX;
}

void sp_stock_shrink(struct sp_stock *stock, uint64_t gone, uint64_t ready)
{
	uint64_t rest = stock->target > gone ? stock->target - gone : 0;

	/* What was more than the target does not count, what callers used does. */
	if (rest < ready)
		rest = ready;
	if (stock->target > rest)
		stock->target = (uint32_t)rest;
}

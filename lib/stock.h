/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * How many populated hpages a node keeps ready ahead of demand.
 *
 * The background thread looks at the ready hpages and makes up for what is short
 * of the target: so much was used since the last look.  Twice that is the next
 * target, which is twice the rate of use times what refilling takes, the pause
 * included.  It falls slowly when less is used.
 *
 * The pause until the next look is a millisecond; each look that finds nothing
 * used doubles it, so that whatever grows steadily, however slowly, finds replaced
 * what it used last.  Beyond a second no look is planned any more, but the
 * thread's other work leads past here as long as threads allocate.
 *
 * Pure arithmetic: no clock, no lock, no memory.  One caller at a time; the node
 * heap's lock serves.
 */
#ifndef SP_STOCK_H
#define SP_STOCK_H

#include "internal.h"

#define SP_STOCK_MAX	32u	/* hpages of a node */
#define SP_STOCK_SHARE	8	/* one of so many that are in use on the node */

struct sp_stock {
	uint32_t target;	/* hpages to be ready; 0: the heap does not grow */
	uint32_t missed;	/* used since the last look that were not ready */
	uint64_t pause_ns;	/* from the last look to the next */
	uint64_t next_ns;	/* the next look; UINT64_MAX: none is planned */
};

void sp_stock_init(struct sp_stock *stock);
/* An hpage was needed and none was ready. */
void sp_stock_miss(struct sp_stock *stock);
/* Is it time to look, or worth it? */
bool sp_stock_due(const struct sp_stock *stock, uint64_t now_ns);
/* @ready hpages are there; set the target, @most or less. */
void sp_stock_look(struct sp_stock *stock, uint64_t now_ns, uint64_t ready, uint32_t most);
/* @gone hpages were given back and @ready are left: they are not to be replaced. */
void sp_stock_shrink(struct sp_stock *stock, uint64_t gone, uint64_t ready);

#endif

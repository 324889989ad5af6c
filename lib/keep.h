/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Large objects that a thread has freed and may want again: up to 256 KiB each, eight at
 * most, 1 MiB together.  A program that needs a buffer for each request gets the same
 * one again, without the node's lock and its search for a run.
 *
 * They stay entered in the map, in a state of their own, so that a second free finds
 * them.  The cache's owner alone looks at the rest.
 */
#ifndef SP_KEEP_H
#define SP_KEEP_H

#include "chunk.h"

#define SP_KEEP		8
#define SP_KEEP_UNITS	((unsigned int)(SP_MIB / SP_UNIT))		/* together */
#define SP_KEEP_MAX	((unsigned int)(256 * SP_KIB / SP_UNIT))	/* one */

struct sp_keep {
	struct sp_chunk *chunk[SP_KEEP];	/* the one freed last comes last */
	uint32_t count, units;
};

/* One of @units units, or of at most an eighth more; NULL: there is none. */
struct sp_chunk *sp_keep_take(struct sp_keep *keep, unsigned int units);
/* @chunk, just freed, whose units are at most SP_KEEP_MAX; older ones make room for it. */
void sp_keep_put(struct sp_keep *keep, struct sp_chunk *chunk);
/* All of them to the node. */
void sp_keep_drop(struct sp_keep *keep);

#endif

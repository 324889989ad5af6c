/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * The library's lock: a futex word, three states (Drepper, "Futexes are
 * tricky", mutex 2).  Not a pthread mutex, because the child of a fork must be
 * able to take it over whatever its state was.
 *
 * LOCK ORDER, outermost first; debug builds check every acquisition:
 *
 *	INIT	the first call
 *	REGION	the table of regions
 *	OWNER	one taker-over of caches, or trimmer of orphans, at a time
 *	PURGE	one purge of ready hpages at a time, its decommits included, and the
 *		commit that it makes room for; or one addition to a stock
 *	NODE	a node heap: its hpages, chunks and ownerless caches; lower node
 *		numbers first
 *	WINDOW	the addresses of the window
 *	META	memory for the library's own structures
 *
 * No lock but PURGE is held during a commit or decommit, except by fork, which
 * holds them all; WINDOW and META are held while addresses are mapped.
 */
#ifndef SP_LOCK_H
#define SP_LOCK_H

#include "internal.h"

enum sp_rank {
	SP_RANK_INIT = 1,
	SP_RANK_REGION,
	SP_RANK_OWNER,
	SP_RANK_PURGE,
	SP_RANK_NODE,
	SP_RANK_WINDOW,
	SP_RANK_META,
};

struct sp_lock {
	_Atomic uint32_t state;		/* 0 free, 1 held, 2 held and waited for */
	uint32_t rank;
};

#define SP_LOCK_INIT(r)	{ 0, (r) }

void sp_lock(struct sp_lock *lock);
void sp_unlock(struct sp_lock *lock);
/* In the child of a fork whose parent held the lock: free it. */
void sp_lock_reset(struct sp_lock *lock);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Who owns a cache: one thread at a time, or the node.
 *
 * A thread announces each operation by busy = 1 before it looks for its cache,
 * and busy = 0 behind it: two plain stores.  The reclaimer marks a thread that is
 * outside with busy = 2, which the thread's next operation erases; a thread still
 * marked a tick later is idle, and its cache is taken over without its help:
 *
 *	reclaimer				thread
 *	(lock) cache = none; FREEZING		busy = 1
 *	membarrier				compiler barrier
 *	(lock) busy == 1 ? give it back		cache == none ? slow path, (lock)
 *	       : ORPHAN				: go on with cache
 *
 * Either the thread sees that its cache is gone, or the reclaimer, behind the
 * membarrier, sees the thread busy: this is Dekker's handshake with the fence of
 * one side moved to the other (Goldblatt, P1202R5).  Without the membarrier both
 * could go on with the cache.
 *
 *	state		list of the node	who may touch it
 *	OWNED		owned			its thread
 *	FREEZING	owned			its thread, if it was inside
 *	ORPHAN		orphans			nobody
 *	SPARE		spare			nobody; it has no chunks, and collects none
 *	AWAY		none			whoever took it off a list
 *
 * sp_me.cache, state and the lists change only under the node's lock, whoever
 * changes them; an operation acts on what it read of its own sp_me.cache last.
 */
#ifndef SP_OWNER_H
#define SP_OWNER_H

#include "cache.h"

struct sp_thread {
	struct sp_cache *_Atomic cache;	/* &sp_cache_none: take the slow path */
	_Atomic uint32_t busy;		/* see above */
	uint32_t phase;			/* see thread.h; its thread only */
	struct sp_cache *mine;		/* the one it had last; its thread only */
};

extern sp_tls struct sp_thread sp_me;
extern struct sp_lock sp_owner_lock;	/* held by who takes over, and trims orphans */

/* Begin an operation; the result may be &sp_cache_none. */
static inline struct sp_cache *sp_owner_enter(void)
{
	atomic_store_explicit(&sp_me.busy, 1, memory_order_relaxed);
	/* Compiler only; sp_owner_take_over() has the processor's half. */
	atomic_signal_fence(memory_order_seq_cst);
	return atomic_load_explicit(&sp_me.cache, memory_order_relaxed);
}

/* End it.  Release pairs with the acquire of busy in owner.c. */
static inline void sp_owner_leave(void)
{
	atomic_store_explicit(&sp_me.busy, 0, memory_order_release);
}

/* Ask the kernel for membarrier; without it idle threads keep their caches. */
void sp_owner_init(void);

/*
 * For a slow path, after sp_owner_enter(): the calling thread's cache, adopted or
 * made when it has none.  @watched: the thread's end will be noticed, so that its
 * cache may be taken over while it lives.  NULL: no memory.
 */
struct sp_cache *sp_owner_get(bool watched);
/* A cache of @node for one operation of whoever asks; NULL: no memory. */
struct sp_cache *sp_owner_borrow(struct sp_node *node);
void sp_owner_return(struct sp_cache *cache);
/* The calling thread's end will be noticed from now on. */
void sp_owner_watch(void);
/* Hand the calling thread's cache to the node; it gets one again when it goes on. */
void sp_owner_idle(void);
/* The thread ends: hand its cache to the node, in O(1) but for empty chunks. */
void sp_owner_exit(void);

/*
 * Make orphans of the node's caches whose threads have been idle since the last
 * call, or with @at_once all that are not in an operation; some hundreds at most.
 */
void sp_owner_take_over(struct sp_node *node, bool at_once);
/* Does the node have caches that could be taken over one day? */
bool sp_owner_watching(struct sp_node *node);
/* Give back the empty chunks of the @most oldest orphans. */
void sp_owner_reclaim(struct sp_node *node, uint64_t most);

/* Before a fork, all locks held: of what others do without one, keep what is whole. */
void sp_owner_fork_prepare(struct sp_node *node);
/* In the child of a fork, all locks held: the other threads are gone. */
void sp_owner_fork_child(struct sp_node *node);

#endif

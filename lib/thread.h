/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/* Threads coming and going, as far as the C library tells. */
#ifndef SP_THREAD_H
#define SP_THREAD_H

#include "owner.h"

enum sp_thread_phase {	/* sp_me.phase */
	SP_THREAD_FRESH,
	SP_THREAD_NOTICED,	/* its end will be noticed */
	SP_THREAD_LEAVING,
};

/*
 * Inside an operation: the thread's cache, if all is prepared for what needs no more
 * than that.  NULL: a slow path must begin.
 */
static inline struct sp_cache *sp_thread_cache(void)
{
	struct sp_cache *cache = atomic_load_explicit(&sp_me.cache, memory_order_relaxed);

	return sp_me.phase == SP_THREAD_NOTICED && cache != &sp_cache_none ? cache : NULL;
}

/*
 * Before a slow path, outside an operation: have this thread's end noticed.
 * May allocate.
 */
void sp_thread_notice(void);
/* Begin a slow path: the thread's cache, or NULL: no memory. */
struct sp_cache *sp_thread_enter(void);
/* End it; a thread whose end would not be noticed lets go of the cache again. */
void sp_thread_leave(void);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Threads coming and going: which cache a thread has, and what becomes of it.
 */
#ifndef SP_THREAD_H
#define SP_THREAD_H

#include "cache.h"

/* The calling thread's cache for a slow path; NULL: no memory. */
struct sp_cache *sp_thread_cache(void);
/* The slow path is over: a thread that is on its way out lets go again. */
void sp_thread_done(void);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/* Threads coming and going, as far as the C library tells. */
#ifndef SP_THREAD_H
#define SP_THREAD_H

#include "owner.h"

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

/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/* The malloc family, for its callers inside the library. */
#ifndef SP_ALLOC_H
#define SP_ALLOC_H

#include "lock.h"

/* Failed allocations so far. */
uint64_t sp_alloc_failures(void);
/* For fork: the lock of a node's cache for slabpool_malloc_onnode(). */
struct sp_lock *sp_alloc_onnode_lock(int node);

#endif

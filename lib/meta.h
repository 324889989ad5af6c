/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Memory for the library's own structures, away from the objects.  It only
 * grows; what is taken stays of its type for the life of the process, so that a
 * stale pointer into it always finds a structure of the kind it expects.
 */
#ifndef SP_META_H
#define SP_META_H

#include "lock.h"

extern struct sp_lock sp_meta_lock;

/* Reserve address space for at most @size bytes. */
int sp_meta_init(size_t size);
/* Zeroed, aligned to a cache line; NULL when memory is out. */
void *sp_meta_alloc(size_t size);
/* The next @size bytes to be taken shall cost no fault; the background thread alone. */
void sp_meta_populate(size_t size);
/* Bytes taken from the kernel. */
size_t sp_meta_bytes(void);

#endif

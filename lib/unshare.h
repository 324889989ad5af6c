/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * The heap's memory across a fork: a snapshot of it, or copies, or - of private
 * mappings - nothing, for the kernel copies those on write.
 *
 * All locks of the library are held throughout, in the parent and in the child.
 */
#ifndef SP_UNSHARE_H
#define SP_UNSHARE_H

#include "backend.h"

/*
 * Before the fork: take snapshots of what can be, and let the parent or the child
 * make an end of them.  -errno: one that could be cannot.
 */
int sp_unshare_snapshot(void);
void sp_unshare_snapshot_parent(void);
void sp_unshare_snapshot_child(void);
/* Before the fork, after the snapshots: must the child copy anything at once? */
bool sp_unshare_must_copy(void);

/* In the child, before sp_unshare_fork_child(): it need not have this memory. */
void sp_unshare_forget(const struct sp_extent *extent);
/*
 * In the child: drop the hpages that other threads of the parent were just
 * getting or giving back, and copy what must be.  Return: hpages that had to go
 * to anonymous memory.
 */
uint64_t sp_unshare_fork_child(void);

#endif

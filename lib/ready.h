/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * A node's whole hpages: taken from the source, empty and ready, kept in stock ahead
 * of demand, given back.  What node.c needs of ready.c; what others may call of it is
 * declared in node.h.  Dividing them is node.c's.
 */
#ifndef SP_READY_H
#define SP_READY_H

#include "node.h"

void sp_ready_init(const struct sp_limits *bounds);

/* The node's lock is held for these. */
void sp_ready_add(struct sp_node *node, struct sp_hpage *hpage, uint64_t now);
/* On its way: whoever holds the lock next must not take it for memory in use. */
void sp_ready_remove(struct sp_node *node, struct sp_hpage *hpage);
/*
 * An hpage to divide, or NULL.  Called and left with the lock held, and let go
 * while the node grows.
 */
struct sp_hpage *sp_ready_obtain(struct sp_node *node);

/* No lock is held for these.  @ready hpages are ready, and @before were. */
void sp_ready_changed(uint64_t before, uint64_t ready);
/*
 * Memory from the best source that has it, each time anew: its pool may have been
 * filled again.  @modest: not at the reserve's cost, of which it shall be a part.
 * 0 or -errno.
 */
int sp_ready_commit(struct sp_node *node, size_t hpages, size_t align,
		    enum sp_touch touch, bool modest, struct sp_extent *extent);
/* Descriptors for so many hpages' chunks shall cost no fault. */
void sp_ready_populate_meta(size_t hpages);
/*
 * Secure: what a huge object held is nobody's to see again, and clearing all of it
 * would touch what its owner never did.
 */
void sp_ready_return(struct sp_node *node, char *addr, size_t hpages);

#endif

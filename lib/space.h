/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * The window: one range of addresses for the whole heap, so that "is this
 * pointer ours" is one comparison, and the map from address to chunk.
 *
 * The window is divided into pieces of 1 GiB.  A piece belongs to no node until
 * its first hpage is taken, then to one node and one source for good.  Addresses are taken and
 * given here; memory comes and goes with sp_space_commit() and
 * sp_space_decommit(), which alone change the committed count.
 */
#ifndef SP_SPACE_H
#define SP_SPACE_H

#include "backend.h"
#include "hpage.h"
#include "lock.h"

#define SP_PIECE	SP_GIB
#define SP_PIECE_HPAGES	(SP_PIECE / SP_HPAGE)
#define SP_MAX_PIECES	1024

struct sp_chunk;

/*
 * Read on every free, written at start-up and when the window grows.  Relaxed
 * loads suffice: whoever holds a pointer got it after the chunk was entered.
 */
extern struct sp_map {
	_Atomic uintptr_t base;			/* the window's first byte */
	_Atomic size_t span;			/* bytes of it that were ever taken */
	struct sp_chunk *_Atomic *_Atomic chunk;	/* one for each unit below span */
} sp_map;

extern struct sp_lock sp_space_lock;

struct sp_space_counts {
	uint64_t committed, peak, limit;	/* bytes */
	uint64_t commits, decommits;		/* hpages so far */
	uint64_t fallbacks;			/* of the commits */
};

/* Bytes of the window. */
size_t sp_space_window(void);
/* Reserve the window, at most @max bytes; @limit 0: none. */
int sp_space_init(size_t max, uint64_t limit, bool leave_out_of_fork);
/*
 * From now on memory comes from @backend.  Called again only while nothing is
 * committed: what an earlier source had reserved is undone.
 */
void sp_space_set_source(const struct sp_backend *backend);
/* When that is exhausted, from the first of these that has some; at start-up. */
void sp_space_set_fallbacks(const struct sp_backend *const *backends, size_t count);

/* Too few pieces for every node and source to have one? */
bool sp_space_is_small(void);
/* The source in use; NULL before there is one. */
const struct sp_backend *sp_space_source(void);
/* The @i-th to ask: 0 the source in use, then the fallbacks; NULL: no more. */
const struct sp_backend *sp_space_source_at(size_t i);

/*
 * Take addresses for @hpages of @backend on @node, the first a multiple of
 * @align bytes.  -ENOMEM: the window is full; other errors: the source refused
 * the piece.
 */
int sp_space_take(const struct sp_backend *backend, size_t hpages, size_t align,
		  int node, struct sp_extent *extent);
/* Give addresses back whose memory is decommitted. */
void sp_space_give(const struct sp_extent *extent);

/* Memory for taken addresses.  -EDQUOT: over the limit. */
int sp_space_commit(const struct sp_extent *extent, enum sp_touch touch);
/* Touch what an earlier commit left to the caller. */
int sp_space_populate(const struct sp_extent *extent);
void sp_space_decommit(const struct sp_extent *extents, size_t count);

/* In the child of a fork, all locks held: it need not have this memory. */
void sp_space_forget(const struct sp_extent *extent);

/* The descriptor of the hpage that holds a taken address. */
struct sp_hpage *sp_space_hpage(const void *addr);
/* The extent of @count hpages from @hpage on. */
struct sp_extent sp_space_extent(const struct sp_hpage *hpage, size_t count, int node);

/*
 * Ready hpages, for finding several that adjoin.  The caller holds the lock of
 * the node the hpage belongs to.
 */
void sp_space_mark_ready(const struct sp_hpage *hpage, bool ready);
/* First of @hpages adjoining ready ones on @node, aligned; NULL: none. */
struct sp_hpage *sp_space_find_ready(size_t hpages, size_t align, int node);

/* Bytes committed now. */
uint64_t sp_space_committed(void);
void sp_space_counts(struct sp_space_counts *counts);
/* Locked down: what it was then. */
uint64_t sp_space_base_pages(void);

/* While calls are forbidden and none is under way: touch what is committed.  0, -errno. */
int sp_space_touch(void);

/*
 * Before a fork, all locks held: take snapshots of what can be, and let the
 * parent or the child make an end of them.  -errno: one that could be cannot.
 */
int sp_space_snapshot(void);
void sp_space_snapshot_parent(void);
void sp_space_snapshot_child(void);
/* Must the child copy anything at once? */
bool sp_space_must_copy(void);
/*
 * In the child: drop the hpages that other threads of the parent were just
 * getting or giving back, and copy what must be.  Return: hpages that had to go
 * to anonymous memory.
 */
uint64_t sp_space_fork_child(void);

#endif

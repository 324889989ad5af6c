/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * The window: one range of addresses for the whole heap, so that "is this
 * pointer ours" is one comparison, and the map from address to chunk.
 *
 * The window is divided into pieces of 1 GiB.  A piece belongs to no node until
 * its first hpage is taken, then to one node and one source for good.  Addresses are
 * taken and given here; the memory behind them comes and goes in commit.c.
 */
#ifndef SP_WINDOW_H
#define SP_WINDOW_H

#include "backend.h"
#include "hpage.h"
#include "lock.h"

#define SP_PIECE	SP_GIB
#define SP_PIECE_HPAGES	(SP_PIECE / SP_HPAGE)
#define SP_PIECE_RUNS	(SP_PIECE_HPAGES / 2)	/* extents with holes between */
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

extern struct sp_lock sp_window_lock;

/* Reserve the window, at most @max bytes. */
int sp_window_init(size_t max, bool leave_out_of_fork);
/* Bytes of the window. */
size_t sp_window_size(void);
/* Too few pieces for every node and source to have one? */
bool sp_window_is_small(void);

/*
 * Take addresses for @hpages of @backend on @node, the first a multiple of
 * @align bytes.  -ENOMEM: the window is full; other errors: the source refused
 * the piece.
 */
int sp_window_take(const struct sp_backend *backend, size_t hpages, size_t align,
		   int node, struct sp_extent *extent);
/* Give addresses back whose memory is decommitted; _locked: the caller has the lock. */
void sp_window_give(const struct sp_extent *extent);
void sp_window_give_locked(const struct sp_extent *extent);

/* The source behind an extent: the pieces it spans have one. */
const struct sp_backend *sp_window_source(const struct sp_extent *extent);
/* The descriptor of the hpage that holds a taken address. */
struct sp_hpage *sp_window_hpage(const void *addr);
/* The extent of @count hpages from @hpage on. */
struct sp_extent sp_window_extent(const struct sp_hpage *hpage, size_t count, int node);

/*
 * Ready hpages, for finding several that adjoin.  The caller holds the lock of
 * the node the hpage belongs to.
 */
void sp_window_mark_ready(const struct sp_hpage *hpage, bool ready);
/* First of @hpages adjoining ready ones on @node, aligned; NULL: none. */
struct sp_hpage *sp_window_find_ready(size_t hpages, size_t align, int node);

/*
 * For those that go through the pieces, from 0 to below sp_window_pieces(), with
 * the lock held.
 */
size_t sp_window_pieces(void);
/* All of piece @p, and its source; NULL: nobody's. */
const struct sp_backend *sp_window_piece(size_t p, struct sp_extent *whole);
/* The runs of taken hpages of piece @p; return: how many. */
size_t sp_window_taken(size_t p, struct sp_extent runs[SP_PIECE_RUNS]);
/* Another source takes piece @p over; what is mapped there is gone. */
int sp_window_reassign(size_t p, const struct sp_backend *backend);
/* While nothing is taken: all pieces become nobody's again. */
void sp_window_clear(void);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * One hpage of the heap: which of its 512 units are taken.  Pure book-keeping
 * without locks or system calls; the node heap's lock guards every field.
 *
 * Equations: nused == set bits of used; longest == longest run of clear bits.
 */
#ifndef SP_HPAGE_H
#define SP_HPAGE_H

#include "list.h"

#define SP_HPAGE_WORDS	(SP_UNITS / 64)

/* Chunks of different kinds do not share an hpage, so that hpages empty whole. */
enum sp_kind {
	SP_KIND_SMALL,	/* objects up to 1 KiB */
	SP_KIND_MEDIUM,	/* up to 32 KiB */
	SP_KIND_LARGE,	/* runs of units, one object each */
	SP_KINDS,
};

enum sp_hpage_state {
	SP_HPAGE_FREE,	/* an address without memory */
	SP_HPAGE_READY,	/* committed, empty, on the node's ready list */
	SP_HPAGE_RUNS,	/* divided into runs of units */
	SP_HPAGE_HUGE,	/* part of an object of several hpages */
};

struct sp_hpage {
	struct sp_list link;	/* a bucket of the node, or its ready list */
	uint64_t used[SP_HPAGE_WORDS];
	uint64_t dirty[SP_HPAGE_WORDS];	/* held data since the commit */
	char *addr;
	uint16_t nused;
	uint16_t longest;
	uint8_t state;
	uint8_t kind;
	bool resident;		/* every page was touched since the commit */
};

/* A new life: nothing used, and nothing dirty. */
void sp_hpage_reset(struct sp_hpage *hpage);
/* First unit of @n free ones, a multiple of @align (in units); -1: none. */
int sp_hpage_find(const struct sp_hpage *hpage, unsigned int n, unsigned int align);
/* Take units that are free; true when they still read zero. */
bool sp_hpage_take(struct sp_hpage *hpage, unsigned int at, unsigned int n);
/* Give back units that are taken; they count as dirty from now on. */
void sp_hpage_give(struct sp_hpage *hpage, unsigned int at, unsigned int n);
/* Does all of it read zero? */
bool sp_hpage_is_clean(const struct sp_hpage *hpage);
/* Do the equations hold? */
bool sp_hpage_check(const struct sp_hpage *hpage);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * The narrow interface to the three memory sources.  Everything above is the
 * same code on all of them.
 *
 * A source serves two customers.  The heap reserves its window of addresses
 * itself and lets the source take it over piece by piece (reserve), then hpage
 * by hpage (commit, decommit).  A region is mapped and unmapped as one.
 *
 * Calls of one source may run on several threads at once, for different
 * extents.  None holds a lock.
 */
#ifndef SP_BACKEND_H
#define SP_BACKEND_H

#include "internal.h"
#include "slabpool.h"
#include "text.h"

/* A range of the window: whole hpages of one node. */
struct sp_extent {
	char *addr;
	size_t size;
	uint64_t byte;	/* of addr, counted from the window's first byte */
	int node;
};

enum sp_touch {
	SP_TOUCH_ALL,	/* resident when commit returns: no fault follows */
	SP_TOUCH_LAZY,	/* the source may leave the first touch to the caller */
	SP_TOUCH_SMALL,	/* likewise, and base pages are wanted where the source
			 * can: the first hpages of a process that may stay small */
};

struct sp_backend {
	const char *name;

	/* See whether the source is there.  0, or -errno and a reason in @why. */
	int (*open)(struct sp_text *why);
	/* Add to @why what is less than it could be; NULL: never anything. */
	void (*note)(struct sp_text *why);
	/* Add to @why what the user can do after commit failed with @err. */
	void (*explain)(struct sp_text *why, int node, int err);

	int (*reserve)(const struct sp_extent *piece);
	/* All of the extent or nothing; it reads zero afterwards. */
	int (*commit)(const struct sp_extent *extent, enum sp_touch touch);
	void (*decommit)(const struct sp_extent *extents, size_t count);
	/* Bytes of the window on base pages now. */
	uint64_t (*base_pages)(const char *window, size_t size);

	/*
	 * Fill in @info from its size and node.  @node_any: the caller did not
	 * insist on the node.
	 */
	int (*region_map)(struct slabpool_region_info *info, bool node_any);
	void (*region_unmap)(const struct slabpool_region_info *info);

	/*
	 * Before a fork: must the child copy the @live hpages there are at once,
	 * or does copy-on-write serve?  In the child: make ready (fresh), then
	 * put private copies of @live in the place of @piece (unshare).  All NULL
	 * where copy-on-write always serves; fresh also where there is nothing to
	 * make ready.
	 */
	bool (*must_copy)(uint64_t live);
	int (*fresh)(void);
	int (*unshare)(const struct sp_extent *piece,
		       const struct sp_extent *live, size_t count);

	/*
	 * Instead, where the source can: before a fork, take a picture of all
	 * there is (snapshot; -errno: it cannot).  The parent lets go of it, the
	 * child makes it its own (snapshot_end), then puts it in the place of
	 * each piece (snapshot_map).  All NULL where the source knows no such
	 * thing.
	 */
	int (*snapshot)(void);
	void (*snapshot_end)(bool child);
	int (*snapshot_map)(const struct sp_extent *piece);
};

extern const struct sp_backend sp_backend_device;
extern const struct sp_backend sp_backend_hugetlb;
extern const struct sp_backend sp_backend_thp;

/* in anon.c: what the anonymous sources share */

/* Reserve @size bytes at a multiple of @align; NULL: no addresses left. */
char *sp_anon_reserve(size_t size, size_t align);
/* Of @size + @align bytes mapped at @p, keep @size at a multiple of @align: return. */
char *sp_anon_trim(char *p, size_t size, size_t align);
/* Drop the memory of a range; afterwards it reads zero whatever happens. */
void sp_anon_drop(void *addr, size_t size);
/* Bytes of [window, window + size) resident on base pages, from smaps. */
uint64_t sp_anon_base_pages(const char *window, size_t size);

#endif

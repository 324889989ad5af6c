/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Memory for addresses of the window, and its account: nothing else changes the
 * committed count, and nothing gets past the limit.
 */
#ifndef SP_COMMIT_H
#define SP_COMMIT_H

#include "backend.h"

struct sp_commit_counts {
	uint64_t committed, peak, limit;	/* bytes */
	uint64_t commits, decommits;		/* hpages so far */
	uint64_t fallbacks;			/* of the commits */
};

/* At start-up; 0: no limit. */
void sp_commit_init(uint64_t limit);

/* Memory for taken addresses.  -EDQUOT: over the limit. */
int sp_commit(const struct sp_extent *extent, enum sp_touch touch);
/* Touch what an earlier commit left to the caller. */
int sp_commit_populate(const struct sp_extent *extent);
void sp_decommit(const struct sp_extent *extents, size_t count);

/* In the child of a fork: it has @live bytes. */
void sp_commit_fork_child(uint64_t live);

/* Bytes committed now. */
uint64_t sp_committed(void);
void sp_commit_counts(struct sp_commit_counts *counts);
/* Bytes of the window on base pages; locked down: when they were measured last. */
uint64_t sp_commit_base_pages(void);
/* Measure them now, whether or not calls are allowed. */
uint64_t sp_commit_measure_base_pages(void);

#endif

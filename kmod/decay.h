/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How many unused hpages may stay, as time goes by.
 *
 * What falls out of use may stay whole for a moment and must be gone after the
 * period; in between the share that may stay follows 1 - smoothstep(age / period),
 * smoothstep(x) = 6x^5 - 15x^4 + 10x^3: to give back starts slowly and ends slowly.
 * (The curve is jemalloc's.)
 *
 * Pure arithmetic: no clock, no lock, no memory.  One caller at a time, for the
 * module that is the node's worker.  It knows nothing of the kernel either, so that
 * a test can compile it.
 */
#ifndef SLABPOOL_DECAY_H
#define SLABPOOL_DECAY_H

#include <linux/types.h>

#define SP_DECAY_STEPS	200

/**
 * struct sp_decay - the unused hpages of a node, by age
 * @period_ns: none may stay longer; 0: none may stay
 * @epoch_ns: when @backlog[0] began
 * @unused: hpages unused now
 * @backlog: hpages that fell out of use and were not used again, by age in
 *	steps; in the last, those of that age or older.  What was given back stays
 *	in it, for the curve speaks of a share of all.
 */
struct sp_decay {
	u64 period_ns;
	u64 epoch_ns;
	u64 unused;
	u64 backlog[SP_DECAY_STEPS + 1];
};

void sp_decay_init(struct sp_decay *decay, u64 period_ns, u64 now_ns);
void sp_decay_update(struct sp_decay *decay, u64 now_ns, u64 unused);
void sp_decay_given(struct sp_decay *decay, u64 count);
u64 sp_decay_limit(const struct sp_decay *decay);
u64 sp_decay_due(const struct sp_decay *decay);

#endif /* SLABPOOL_DECAY_H */

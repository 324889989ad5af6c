/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * How many unused hpages may stay at time t.
 *
 * An hpage that falls out of use may stay whole for a moment and must be gone
 * after the decay period; in between the share that may stay follows
 * 1 - smoothstep(age / period), smoothstep(x) = 6x^5 - 15x^4 + 10x^3, so that
 * giving back starts slowly, and ends slowly.  (The curve is jemalloc's, see its
 * decay.h and smoothstep.h.)
 *
 * The backlog counts, by age, what fell out of use and was not used again.  What
 * was given back stays in it, for it is the share of all that the curve allows;
 * so the backlog sums to no less than the unused hpages there are.
 *
 * Pure arithmetic: no clock, no lock, no memory.  One caller at a time; the node
 * heap's lock serves.
 */
#ifndef SP_DECAY_H
#define SP_DECAY_H

#include "internal.h"

#define SP_DECAY_STEPS	200

struct sp_decay {
	uint64_t step_ns;			/* period / STEPS; 0: nothing may stay */
	uint64_t epoch_ns;			/* when backlog[0] began */
	uint64_t total;				/* unused now */
	unsigned int speed;			/* entries count as so many times as old */
	uint32_t backlog[SP_DECAY_STEPS + 1];	/* by age in steps; the last: that or older */
};

void sp_decay_init(struct sp_decay *decay, uint64_t period_ms, uint64_t now_ns);
/* Decay @speed times as fast, from now on; at first it is 1. */
void sp_decay_set_speed(struct sp_decay *decay, unsigned int speed);
/* @n hpages fell out of use. */
void sp_decay_add(struct sp_decay *decay, uint64_t now_ns, uint32_t n);
/* @n hpages are in use again: the ones that fell out of use last. */
void sp_decay_reuse(struct sp_decay *decay, uint32_t n);
/* @n hpages were given back: the oldest. */
void sp_decay_purged(struct sp_decay *decay, uint32_t n);
/* How many of the unused hpages may stay at @now_ns. */
uint64_t sp_decay_limit(struct sp_decay *decay, uint64_t now_ns);
/* Nanoseconds from @now_ns until fewer may stay than there are; UINT64_MAX: never. */
uint64_t sp_decay_next(struct sp_decay *decay, uint64_t now_ns);

#endif

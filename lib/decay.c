// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#include <string.h>

#include "decay.h"

#define FIXED_SHIFT	24

/* 1 - smoothstep(age / STEPS) in fixed point; age counts whole steps. */
static uint64_t share(unsigned int age)
{
	const uint64_t one = 1ull << FIXED_SHIFT;
	uint64_t x = age * one / SP_DECAY_STEPS;
	uint64_t x2 = x * x >> FIXED_SHIFT;
	uint64_t x3 = x2 * x >> FIXED_SHIFT;
	uint64_t x4 = x3 * x >> FIXED_SHIFT;
	uint64_t x5 = x4 * x >> FIXED_SHIFT;

	if (age >= SP_DECAY_STEPS)
		return 0;
	return one + 15 * x4 - 6 * x5 - 10 * x3;
}

/*
 * What may stay when every entry is @later steps older than now.  Rounded up: a
 * lone hpage stays until the period is over.
 */
static uint64_t limit_in(const struct sp_decay *decay, unsigned int later)
{
	uint64_t sum = 0;

	for (unsigned int age = 0; age <= SP_DECAY_STEPS; age++)
		if (decay->backlog[age])
			sum += decay->backlog[age] * share((age + later) * decay->speed);
	return (sum + (1ull << FIXED_SHIFT) - 1) >> FIXED_SHIFT;
}

/* Let the entries age up to @now_ns. */
static void advance(struct sp_decay *decay, uint64_t now_ns)
{
	unsigned int last = SP_DECAY_STEPS;
	uint64_t steps, old = 0;

	/* Callers read the clock before they take the lock. */
	if (now_ns < decay->epoch_ns)
		return;
	steps = (now_ns - decay->epoch_ns) / decay->step_ns;
	decay->epoch_ns += steps * decay->step_ns;
	if (steps == 0)
		return;
	if (steps > last)
		steps = last;
	for (unsigned int age = last - (unsigned int)steps + 1; age <= last; age++)
		old += decay->backlog[age];
	memmove(decay->backlog + steps, decay->backlog,
		(last + 1 - steps) * sizeof(decay->backlog[0]));
	memset(decay->backlog, 0, steps * sizeof(decay->backlog[0]));
	/* What is older must go: how many there were does not matter any more. */
	old += decay->backlog[last];
	decay->backlog[last] = (uint32_t)(old < decay->total ? old : decay->total);
}

void sp_decay_init(struct sp_decay *decay, uint64_t period_ms, uint64_t now_ns)
{
	memset(decay, 0, sizeof(*decay));
	decay->step_ns = period_ms * 1000000 / SP_DECAY_STEPS;
	decay->epoch_ns = now_ns;
	decay->speed = 1;
}

void sp_decay_set_speed(struct sp_decay *decay, unsigned int speed)
{
	decay->speed = speed;
}

void sp_decay_add(struct sp_decay *decay, uint64_t now_ns, uint32_t n)
{
	if (decay->step_ns)
		advance(decay, now_ns);
	decay->backlog[0] += n;
	decay->total += n;
}

void sp_decay_reuse(struct sp_decay *decay, uint32_t n)
{
	sp_assert(n <= decay->total);
	decay->total -= n;
	for (unsigned int age = 0; n && age <= SP_DECAY_STEPS; age++) {
		uint32_t take = n < decay->backlog[age] ? n : decay->backlog[age];

		decay->backlog[age] -= take;
		n -= take;
	}
}

void sp_decay_purged(struct sp_decay *decay, uint32_t n)
{
	sp_assert(n <= decay->total);
	decay->total -= n;
}

uint64_t sp_decay_limit(struct sp_decay *decay, uint64_t now_ns)
{
	if (decay->total == 0 || decay->step_ns == 0)
		return 0;
	advance(decay, now_ns);
	return limit_in(decay, 0);
}

uint64_t sp_decay_next(struct sp_decay *decay, uint64_t now_ns)
{
	unsigned int low = 0, high = SP_DECAY_STEPS;
	uint64_t low_ns;

	if (decay->total == 0)
		return UINT64_MAX;
	if (decay->step_ns == 0)
		return 0;
	advance(decay, now_ns);
	/* The limit falls with time: find the first step at which it binds. */
	while (low < high) {
		unsigned int middle = (low + high) / 2;

		if (limit_in(decay, middle) < decay->total)
			high = middle;
		else
			low = middle + 1;
	}
	if (low == 0)
		return 0;
	low_ns = decay->epoch_ns + low * decay->step_ns;
	return low_ns > now_ns ? low_ns - now_ns : 0;
}

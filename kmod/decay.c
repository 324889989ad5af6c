// SPDX-License-Identifier: GPL-2.0-only
/* The curve by which surplus goes back to the kernel; see decay.h. */
#include <linux/string.h>

#include "decay.h"

#define ONE	(1ULL << 24)

/* Which share of what is that old may stay, out of ONE. */
static u64 share(unsigned int age)
{
	u64 x = age * ONE / SP_DECAY_STEPS;
	u64 x3 = (x * x / ONE) * x / ONE;
	u64 x4 = x3 * x / ONE;
	u64 x5 = x4 * x / ONE;

	if (age >= SP_DECAY_STEPS)
		return 0;
	return ONE + 15 * x4 - 6 * x5 - 10 * x3;
}

/*
 * What may stay when all is @later steps older.  Rounded up: a lone hpage stays
 * for the whole period.
 */
static u64 limit_in(const struct sp_decay *decay, unsigned int later)
{
	unsigned int age;
	u64 sum = 0;

	for (age = 0; age + later < SP_DECAY_STEPS; age++)
		sum += decay->backlog[age] * share(age + later);
	return (sum + ONE - 1) / ONE;
}

/* All becomes as many steps older as have passed. */
static void grow_old(struct sp_decay *decay, u64 now_ns)
{
	u64 *backlog = decay->backlog;
	u64 step_ns = decay->period_ns / SP_DECAY_STEPS;
	unsigned int age, steps = SP_DECAY_STEPS;
	u64 passed;

	if (!step_ns || now_ns < decay->epoch_ns)
		return;
	passed = (now_ns - decay->epoch_ns) / step_ns;
	decay->epoch_ns += passed * step_ns;
	if (passed < steps)
		steps = passed;
	if (!steps)
		return;

	for (age = SP_DECAY_STEPS - steps; age < SP_DECAY_STEPS; age++)
		backlog[SP_DECAY_STEPS] += backlog[age];
	memmove(backlog + steps, backlog,
		(SP_DECAY_STEPS - steps) * sizeof(*backlog));
	memset(backlog, 0, steps * sizeof(*backlog));
	/* Of the oldest only those count that are still there. */
	if (backlog[SP_DECAY_STEPS] > decay->unused)
		backlog[SP_DECAY_STEPS] = decay->unused;
}

/**
 * sp_decay_init - nothing is unused yet
 * @decay: the decay
 * @period_ns: after which what is unused must be gone; 0: at once
 * @now_ns: the time
 */
void sp_decay_init(struct sp_decay *decay, u64 period_ns, u64 now_ns)
{
	memset(decay, 0, sizeof(*decay));
	decay->period_ns = period_ns;
	decay->epoch_ns = now_ns;
}

/**
 * sp_decay_update - tell the time and how many are unused
 * @decay: the decay
 * @now_ns: the time
 * @unused: hpages; more than last time: the others are new.  Fewer: those that
 *	fell out of use last are in use again.
 */
void sp_decay_update(struct sp_decay *decay, u64 now_ns, u64 unused)
{
	unsigned int age;
	u64 reused, part;

	grow_old(decay, now_ns);
	if (unused >= decay->unused) {
		decay->backlog[0] += unused - decay->unused;
		decay->unused = unused;
		return;
	}
	reused = decay->unused - unused;
	decay->unused = unused;
	for (age = 0; reused && age <= SP_DECAY_STEPS; age++) {
		part = reused < decay->backlog[age] ? reused :
		       decay->backlog[age];
		decay->backlog[age] -= part;
		reused -= part;
	}
}

/**
 * sp_decay_given - tell that hpages were given back
 * @decay: the decay
 * @count: how many, of those that were unused
 */
void sp_decay_given(struct sp_decay *decay, u64 count)
{
	decay->unused -= count;
}

/**
 * sp_decay_limit - how many unused hpages may stay
 * @decay: the decay, up to date
 *
 * Return: their number; it may be more than there are.
 */
u64 sp_decay_limit(const struct sp_decay *decay)
{
	return decay->period_ns ? limit_in(decay, 0) : 0;
}

/**
 * sp_decay_due - when will fewer be allowed than there are?
 * @decay: the decay, up to date
 *
 * Return: the time in ns; U64_MAX: never, for there are none.
 */
u64 sp_decay_due(const struct sp_decay *decay)
{
	unsigned int low = 0, high = SP_DECAY_STEPS, middle;

	if (!decay->unused)
		return ~0ULL;
	if (!decay->period_ns)
		return decay->epoch_ns;
	/* The limit falls with time. */
	while (low < high) {
		middle = (low + high) / 2;
		if (limit_in(decay, middle) < decay->unused)
			high = middle;
		else
			low = middle + 1;
	}
	return decay->epoch_ns + low * (decay->period_ns / SP_DECAY_STEPS);
}

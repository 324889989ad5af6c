/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * May the library make system calls?  Yes, until slabpool_lockdown().
 *
 * Who makes one on behalf of an allocation, a free or decay asks first, and does
 * without where the answer is no:
 *
 *	if (!sp_calls_begin())
 *		return -EPERM;
 *	...
 *	sp_calls_end();
 *
 * Fork, what prints and what ends the program do not ask: they are system calls by
 * themselves.
 */
#ifndef SP_CALLS_H
#define SP_CALLS_H

#include "internal.h"

extern struct sp_calls {
	_Atomic bool forbidden;
	_Atomic uint64_t frozen_ns;	/* the library's time since then; 0: the clock's */
} sp_calls;

/* For shortcuts; who goes on to make a call asks with sp_calls_begin(). */
static inline bool sp_calls_forbidden(void)
{
	return atomic_load_explicit(&sp_calls.forbidden, memory_order_relaxed);
}

/* False, and counted: make none.  True: some are under way until sp_calls_end(). */
bool sp_calls_begin(void);
/* For a call that keeps others from waiting for ever; counted apart if forbidden. */
void sp_calls_insist(void);
void sp_calls_end(void);

/* From now on sp_calls_begin() says no; time stands still at @now_ns. */
void sp_calls_forbid(uint64_t now_ns);
void sp_calls_allow(void);
/* In the child of a fork: the calls of other threads are not under way here. */
void sp_calls_fork_child(void);
/* Wait until none is under way. */
void sp_calls_wait(void);

/* Calls that were not made, and those that were insisted on. */
uint64_t sp_calls_refused(void);
uint64_t sp_calls_insisted(void);

#endif

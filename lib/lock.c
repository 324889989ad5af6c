// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#include "calls.h"
#include "lock.h"
#include "sys.h"

#define SPINS		100	/* about a microsecond; sections are shorter than that */
#define SPINS_LONG	100000	/* a millisecond: the holder does not run */

#ifdef SP_DEBUG
/* Ranks this thread holds, as a bitmap; NODE may be held more than once. */
static sp_tls uint32_t held;
static sp_tls uint32_t nodes_held;

static void rank_acquire(uint32_t rank)
{
	assert((held >> (rank + (rank != SP_RANK_NODE))) == 0);
	held |= 1u << rank;
	nodes_held += rank == SP_RANK_NODE;
}

static void rank_release(uint32_t rank)
{
	assert(held & (1u << rank));
	if (rank == SP_RANK_NODE && --nodes_held)
		return;
	held &= ~(1u << rank);
}
#else
static void rank_acquire(uint32_t rank)
{
	(void)rank;
}

static void rank_release(uint32_t rank)
{
	(void)rank;
}
#endif

/* Acquire pairs with the release in sp_unlock(): the section sees the last one. */
static bool try_lock(struct sp_lock *lock)
{
	uint32_t free = 0;

	return atomic_compare_exchange_strong_explicit(&lock->state, &free, 1,
						       memory_order_acquire,
						       memory_order_relaxed);
}

void sp_lock(struct sp_lock *lock)
{
	int spins = sp_calls_forbidden() ? SPINS_LONG : SPINS;

	rank_acquire(lock->rank);
	for (int i = 0; i < spins; i++) {
		if (try_lock(lock))
			return;
		sp_pause();
	}
	/* Locked down or not: the holder may be waiting for this thread's processor. */
	sp_calls_insist();
	while (atomic_exchange_explicit(&lock->state, 2, memory_order_acquire) != 0)
		sp_sys_futex_wait((uint32_t *)&lock->state, 2, SP_FOREVER);
	sp_calls_end();
}

void sp_unlock(struct sp_lock *lock)
{
	uint32_t alone = 1;

	rank_release(lock->rank);
	if (likely(atomic_compare_exchange_strong_explicit(&lock->state, &alone, 0,
							   memory_order_release,
							   memory_order_relaxed)))
		return;
	/* Begun before the lock is free: who has it next may wait for calls to end. */
	sp_calls_insist();
	atomic_store_explicit(&lock->state, 0, memory_order_release);
	sp_sys_futex_wake((uint32_t *)&lock->state, 1);
	sp_calls_end();
}

void sp_lock_reset(struct sp_lock *lock)
{
	rank_release(lock->rank);
	atomic_store_explicit(&lock->state, 0, memory_order_relaxed);
}

// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#include "calls.h"
#include "sys.h"

#define PAUSE_NS	100000ull

struct sp_calls sp_calls;

static _Atomic uint32_t under_way;
static _Atomic uint64_t refused, insisted;	/* relaxed: statistics */

/*
 * Sequentially consistent, as in sp_calls_wait(): either this thread sees that calls
 * are forbidden, or who forbade them sees that one is under way.
 */
bool sp_calls_begin(void)
{
	atomic_fetch_add(&under_way, 1);
	if (likely(!atomic_load(&sp_calls.forbidden)))
		return true;
	sp_calls_end();
	atomic_fetch_add_explicit(&refused, 1, memory_order_relaxed);
	return false;
}

void sp_calls_insist(void)
{
	atomic_fetch_add(&under_way, 1);
	if (unlikely(atomic_load(&sp_calls.forbidden)))
		atomic_fetch_add_explicit(&insisted, 1, memory_order_relaxed);
}

void sp_calls_end(void)
{
	/* Release pairs with sp_calls_wait(): what the call did is seen there. */
	atomic_fetch_sub_explicit(&under_way, 1, memory_order_release);
}

void sp_calls_forbid(uint64_t now_ns)
{
	atomic_store_explicit(&sp_calls.frozen_ns, now_ns, memory_order_relaxed);
	atomic_store(&sp_calls.forbidden, true);
}

void sp_calls_allow(void)
{
	atomic_store(&sp_calls.forbidden, false);
	atomic_store_explicit(&sp_calls.frozen_ns, 0, memory_order_relaxed);
}

void sp_calls_fork_child(void)
{
	atomic_store_explicit(&under_way, 0, memory_order_relaxed);
	sp_calls_allow();
}

void sp_calls_wait(void)
{
	uint32_t n;

	/* Nobody wakes: a look now and then will do. */
	while ((n = atomic_load(&under_way)))
		sp_sys_futex_wait((uint32_t *)&under_way, n, PAUSE_NS);
}

uint64_t sp_calls_refused(void)
{
	return atomic_load_explicit(&refused, memory_order_relaxed);
}

uint64_t sp_calls_insisted(void)
{
	return atomic_load_explicit(&insisted, memory_order_relaxed);
}

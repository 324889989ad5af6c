// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The end of system calls: the library's thread ends, nobody begins one any more,
 * those under way are waited for, and what is committed is touched, so that no fault
 * follows either.
 */
#include "calls.h"
#include "commit.h"
#include "init.h"
#include "lockdown.h"
#include "locks.h"
#include "ready.h"
#include "reclaim.h"
#include "secure.h"
#include "slabpool.h"
#include "sys.h"
#include "window.h"

enum { OPEN, CLOSING, LOCKED };

static _Atomic int state;

/*
 * Who sleeps for a lock is woken by its holder and wakes the next one himself.  The
 * sleepers are calls under way; when there is none left, the last one may still hold
 * his lock, and has it no more once it was ours.
 */
static void wait_for_calls(void)
{
	sp_calls_wait();
	sp_for_each_lock(sp_lock);
	sp_for_each_lock(sp_unlock);
	sp_calls_wait();
}

/* No call is made any more: what is taken is committed and stays so. */
static int touch_piece(size_t p)
{
	struct sp_extent runs[SP_PIECE_RUNS];
	size_t count;
	int err = 0;

	sp_lock(&sp_window_lock);
	count = sp_window_taken(p, runs);
	sp_unlock(&sp_window_lock);
	for (size_t i = 0; i < count && !err; i++) {
		err = sp_sys_populate(runs[i].addr, runs[i].size);
		sp_secure_populate(runs[i].addr, runs[i].size);
	}
	return err;
}

static int touch_committed(void)
{
	int err = 0;

	for (size_t p = 0; p < sp_window_pieces() && !err; p++)
		err = touch_piece(p);
	return err;
}

static int lock_down(void)
{
	int err;

	sp_reclaim_end();
	/* Descriptors for the chunks that what is there will be divided into. */
	sp_ready_populate_meta(sp_committed() >> SP_HPAGE_SHIFT);
	sp_calls_forbid(sp_sys_now_ns());
	wait_for_calls();
	err = touch_committed();
	sp_commit_measure_base_pages();
	if (err) {
		sp_calls_allow();
		sp_reclaim_resume();
	}
	return err;
}

int slabpool_lockdown(void)
{
	int open = OPEN, err = sp_init();

	if (err)
		return err;
	if (!atomic_compare_exchange_strong(&state, &open, CLOSING))
		return open == LOCKED ? 0 : -EBUSY;
	err = lock_down();
	atomic_store(&state, err ? OPEN : LOCKED);
	return err;
}

void sp_lockdown_fork_child(void)
{
	sp_calls_fork_child();
	if (atomic_load_explicit(&state, memory_order_relaxed) == OPEN)
		return;
	atomic_store_explicit(&state, OPEN, memory_order_relaxed);
	sp_reclaim_resume();
}

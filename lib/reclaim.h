/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Giving back: who asks decay, and when; and making ready ahead of demand.
 *
 * One background thread for the process, started when the process has grown or
 * has several threads; before that, and with background_thread:false, the slow
 * paths of the application's threads give back, for themselves, and nothing is made
 * ready.  The thread sleeps without an alarm when nothing is unused, the heap does
 * not grow and every other thread is idle.
 */
#ifndef SP_RECLAIM_H
#define SP_RECLAIM_H

#include "node.h"

void sp_reclaim_init(bool background, uint64_t decay_ms);
/* A slow path's share of the work, on its own node; no lock held. */
void sp_reclaim_tick(struct sp_node *node);
/* Something fell out of use: the background thread may have to set its alarm. */
void sp_reclaim_wake(void);
/* There is too much of something: a pass must not wait for its alarm. */
void sp_reclaim_press(void);
/* An hpage was needed and not ready: the stock is too small, or there is none. */
void sp_reclaim_hurry(void);
/*
 * Start the background thread unless it runs or is not wanted.  Creates a
 * thread: only from where the application itself could.
 */
void sp_reclaim_start(void);
/* The same when the process is large enough or has several threads. */
void sp_reclaim_start_if_grown(void);
/*
 * The main thread ends before the process does: the C library waits for the
 * last thread, which must not be ours.  What is left to do the application's
 * threads do.
 */
void sp_reclaim_stop(void);
/* The same, with the process going on; returns when there is no such thread. */
void sp_reclaim_end(void);
/* There may be one again. */
void sp_reclaim_resume(void);
/* In the child of a fork the thread is gone. */
void sp_reclaim_fork_child(void);

#endif

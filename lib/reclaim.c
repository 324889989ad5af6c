// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <limits.h>
#include <pthread.h>
#include <signal.h>

#include "calls.h"
#include "commit.h"
#include "owner.h"
#include "reclaim.h"
#include "sys.h"

#define GROWN		(32 * SP_MIB)	/* committed bytes that warrant a thread */
#define STACK		(64 * SP_KIB)
#define ORPHANS		64		/* looked at in a pass, so that a pass is short */
#define TICK_MIN_NS	10000000ull	/* between two looks for idle threads */
#define TICK_MAX_NS	1000000000ull
#define PRESSED		10		/* as often above the soft limit */
#define LEAST_NS	1000000ull	/* between two turns: never spin */
#define SHORT_NS	4000000ull	/* a sleep that is not worth a waking */

enum { ABSENT, STARTING, RUNNING };
enum { AWAKE, WITH_ALARM, WITHOUT_ALARM };

static uint64_t tick_ns;		/* set once by sp_reclaim_init() */
static bool configured;			/* likewise */
static _Atomic bool wanted;		/* set by sp_reclaim_init(), cleared by stop */
static _Atomic int thread;		/* ABSENT ... RUNNING */
static _Atomic uint32_t work;		/* bumped by wakers; the futex */
static _Atomic bool asked;		/* something fell out of use */
static _Atomic int asleep;		/* AWAKE ... WITHOUT_ALARM, or about to be */

/*
 * A thread is idle after one to two ticks without an operation; ten in a decay
 * period, so that its memory begins to decay soon after.
 */
void sp_reclaim_init(bool background, uint64_t decay_ms)
{
	tick_ns = decay_ms * 1000000 / 10;
	if (tick_ns < TICK_MIN_NS)
		tick_ns = TICK_MIN_NS;
	if (tick_ns > TICK_MAX_NS)
		tick_ns = TICK_MAX_NS;
	configured = background;
	wanted = background;
	if (background)
		sp_owner_init();
}

static void pass(struct sp_node *node, uint64_t now)
{
	sp_owner_reclaim(node, ORPHANS);
	sp_node_purge(node, now, SP_PURGE_OLD);
}

/* Before a sleep without an alarm: every orphan, for nobody else will come by. */
static uint64_t last_pass(uint64_t now)
{
	uint64_t next = UINT64_MAX, n;

	for (int id = 0; id < SP_MAX_NODES; id++) {
		struct sp_node *node = sp_node_get(id);

		if (!node)
			continue;
		sp_owner_reclaim(node, UINT64_MAX);
		n = sp_node_next_purge(node, now);
		next = n < next ? n : next;
	}
	return next;
}

/*
 * The background thread's: also look for idle threads, once a tick; above the soft
 * limit for all threads, which get what is not empty back when they go on.
 */
static uint64_t pass_all(uint64_t now, uint64_t *next_tick)
{
	uint64_t next = UINT64_MAX;
	bool pressed = sp_node_is_pressed(), watching = false;
	uint64_t period = pressed ? tick_ns / PRESSED : tick_ns;
	bool tick = now >= *next_tick || *next_tick - now > period;

	if (tick)
		*next_tick = now + period;
	for (int id = 0; id < SP_MAX_NODES; id++) {
		struct sp_node *node = sp_node_get(id);
		uint64_t n;

		if (!node)
			continue;
		if (tick)
			sp_owner_take_over(node, pressed);
		pass(node, now);
		n = sp_node_next_purge(node, now);
		next = n < next ? n : next;
		watching = watching || sp_owner_watching(node);
	}
	if (watching && *next_tick - now < next)
		next = *next_tick - now;
	return next == UINT64_MAX ? last_pass(now) : next;
}

static uint64_t fill_all(uint64_t now)
{
	uint64_t next = UINT64_MAX, n;

	for (int id = 0; id < SP_MAX_NODES; id++) {
		n = sp_node_get(id) ? sp_node_fill_stock(sp_node_get(id), now) : UINT64_MAX;
		next = n < next ? n : next;
	}
	return next;
}

struct plan {
	uint64_t next_tick, next_pass;	/* the clock's time */
};

/*
 * What there is to do: the stock each time, the rest when it is due, when somebody
 * asked for it, and before a sleep in which nobody looks at the stock.
 * Return: nanoseconds until there is more.
 */
static uint64_t work_once(struct plan *plan)
{
	uint64_t now = sp_sys_now_ns();
	uint64_t fill = fill_all(now), next;
	bool pass_too = atomic_exchange(&asked, false);

	if (now < plan->next_pass && fill != UINT64_MAX && !pass_too) {
		next = plan->next_pass - now;
	} else {
		next = pass_all(now, &plan->next_tick);
		plan->next_pass = now + (next < tick_ns ? next : tick_ns);
	}
	return fill < next ? fill : next;
}

static void *background(void *unused)
{
	struct plan plan = { 0 };

	(void)unused;
	atomic_store_explicit(&thread, RUNNING, memory_order_relaxed);
	for (;;) {
		uint32_t seen = atomic_load_explicit(&work, memory_order_acquire);
		uint64_t next;

		/*
		 * Announce the sleep before looking for work.  Sequentially
		 * consistent, as the waker's: either it sees the announcement and
		 * bumps work, or we see what it has changed.  Acquire above pairs
		 * with sp_reclaim_stop(): a new number shows its wish.
		 */
		atomic_store(&asleep, WITHOUT_ALARM);
		if (!atomic_load(&wanted))
			break;
		next = work_once(&plan);
		if (next == UINT64_MAX) {
			sp_sys_futex_wait((uint32_t *)&work, seen, SP_FOREVER);
			continue;
		}
		next = next < LEAST_NS ? LEAST_NS : next;
		/* An alarm is soon enough for what fell out of use. */
		atomic_store_explicit(&asleep, next > SHORT_NS ? WITH_ALARM : AWAKE,
				      memory_order_relaxed);
		sp_sys_futex_wait((uint32_t *)&work, seen, next);
	}
	/* Nobody is to be woken; and, release, sp_reclaim_end() finds no work left. */
	atomic_store_explicit(&asleep, AWAKE, memory_order_relaxed);
	atomic_store_explicit(&thread, ABSENT, memory_order_release);
	return NULL;
}

/* Wake the thread if it sleeps as deep as that; for a pass, or for the stock alone. */
static void wake(int depth, bool pass_too)
{
	/* Pairs with background(): what it is to see was published before. */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load(&asleep) < depth || atomic_exchange(&asleep, AWAKE) == AWAKE)
		return;
	if (pass_too)
		atomic_store(&asked, true);
	atomic_fetch_add_explicit(&work, 1, memory_order_relaxed);
	sp_sys_futex_wake((uint32_t *)&work, 1);
}

void sp_reclaim_wake(void)
{
	wake(WITHOUT_ALARM, true);
}

void sp_reclaim_press(void)
{
	wake(WITH_ALARM, true);
}

void sp_reclaim_hurry(void)
{
	wake(WITH_ALARM, false);
}

void sp_reclaim_stop(void)
{
	atomic_store_explicit(&wanted, false, memory_order_relaxed);
	/* Not wake(): whatever it is doing. */
	atomic_fetch_add(&work, 1);
	sp_sys_futex_wake((uint32_t *)&work, 1);
}

void sp_reclaim_end(void)
{
	sp_reclaim_stop();
	while (atomic_load_explicit(&thread, memory_order_acquire) != ABSENT)
		sp_sys_futex_wait((uint32_t *)&thread, RUNNING, LEAST_NS);
}

void sp_reclaim_resume(void)
{
	atomic_store_explicit(&wanted, configured, memory_order_relaxed);
}

void sp_reclaim_start(void)
{
	int absent = ABSENT;
	pthread_attr_t attr;
	pthread_t id;
	sigset_t all;
	size_t stack = STACK + (size_t)PTHREAD_STACK_MIN;
	int err;

	if (!atomic_load_explicit(&wanted, memory_order_relaxed) ||
	    !atomic_compare_exchange_strong(&thread, &absent, STARTING))
		return;
	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, stack);
	pthread_attr_setsigmask_np(&attr, &all);
	err = pthread_create(&id, &attr, background, NULL);
	if (err == EINVAL) {
		/* The program's thread-local variables need more than that. */
		pthread_attr_setstacksize(&attr, SP_HPAGE * 4);
		err = pthread_create(&id, &attr, background, NULL);
	}
	if (err)
		atomic_store_explicit(&thread, ABSENT, memory_order_relaxed);
	else
		pthread_setname_np(id, "slabpool");
	pthread_attr_destroy(&attr);
}

void sp_reclaim_start_if_grown(void)
{
	struct sp_commit_counts counts;

	if (!atomic_load_explicit(&wanted, memory_order_relaxed) ||
	    atomic_load_explicit(&thread, memory_order_relaxed) != ABSENT)
		return;
	sp_commit_counts(&counts);
	if (counts.committed > GROWN || sp_cache_count() > 1)
		sp_reclaim_start();
}

void sp_reclaim_tick(struct sp_node *node)
{
	if (atomic_load_explicit(&thread, memory_order_relaxed) != RUNNING &&
	    !sp_calls_forbidden())
		pass(node, sp_sys_now_ns());
}

void sp_reclaim_fork_child(void)
{
	atomic_store_explicit(&thread, ABSENT, memory_order_relaxed);
	atomic_store_explicit(&asleep, AWAKE, memory_order_relaxed);
}

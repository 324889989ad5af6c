/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Going to sleep with work left (lib/reclaim.c, owner.c, remote.c), for spin: while the
 * background thread sleeps without an alarm, nothing may be unused and no batch may lie
 * in an orphan's inbox.
 *
 * The background thread looks for what is unused, makes an orphan of a cache, looks
 * into its inbox and goes to sleep, while another thread pushes to that inbox and
 * makes something unused.  Stores of both wait in buffers until a fence; locks are
 * taken to order nothing more than they must.  Each of the words below, left out,
 * must make the model fail:
 *
 *	SLEEP_FENCE	background: announces its sleep, then looks for work
 *	WAKE_FENCE	the other: makes work, then looks who sleeps
 *	STATE_FENCE	background: puts the cache down, then looks into its inbox
 *	WAKE_PUSHER	a push to an orphan's empty inbox looks who sleeps, too
 */
#define PUSHES	2

mtype = { OWNED, ORPHAN };

byte inbox;		/* messages */
mtype state = OWNED;	/* of the cache */
bool unused;
bool sleeping;		/* without an alarm */
byte work;		/* the futex */

byte seen;		/* of it by the background thread, when it went to sleep */
bool asleep, over;	/* for the judge */

/* Stores on their way; those of different words need not keep their order. */
chan states = [4] of { mtype };
chan sleeps = [4] of { bool };
chan frees = [1] of { bool };

inline fence_background()
{
	d_step {
		do
		:: nempty(states) -> states ? state
		:: nempty(sleeps) -> sleeps ? sleeping
		:: empty(states) && empty(sleeps) -> break
		od
	}
}

active proctype memory()
{
end:	do
	:: states ? state
	:: sleeps ? sleeping
	:: frees ? unused
	od
}

/* sp_reclaim_wake() */
inline wake()
{
	if
	:: sleeping ->
		atomic { was = sleeping; sleeping = false }
		if
		:: was -> work++
		:: else
		fi
	:: else
	fi
}

active proctype application()
{
	byte i, head;
	bool was;

	do
	:: i == PUSHES -> break
	:: i < PUSHES ->
		/* One compare-and-swap, and loads behind it. */
		atomic { head = inbox; inbox++ }
		if
#ifdef WAKE_PUSHER
		:: head == 0 && state == ORPHAN -> wake()
#endif
		:: else
		fi;
		i++
	od;
	if
	:: true ->
		frees ! true;
#ifdef WAKE_FENCE
		empty(frees);
#endif
		wake()
	:: true
	fi;
	over = true
}

active proctype background()
{
	do
	:: true ->
		asleep = false;
		seen = work;
		sleeps ! true;
#ifdef SLEEP_FENCE
		fence_background();
#endif
		if
		:: unused -> unused = false
		:: else
		fi;
		/* An orphan stays one: nobody adopts it here. */
		states ! ORPHAN;
#ifdef STATE_FENCE
		fence_background();
#endif
		if
		:: inbox > 0 -> inbox = 0
		:: else
		fi;
		/* The kernel compares, with all stores before it done. */
		fence_background();
		asleep = true;
end:		work != seen
	od
}

active proctype judge()
{
	over && asleep && work == seen && empty(states) && empty(sleeps) && empty(frees);
	assert(inbox == 0 && !unused)
}

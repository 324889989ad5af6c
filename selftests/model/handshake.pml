/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * The handshake of lib/owner.h, for spin: a thread uses its cache without a locked
 * instruction while the reclaimer takes it over.
 *
 * The processor is x86: a thread's stores wait in a buffer and come out in their
 * order, while its loads do not wait for them.  A lock and a membarrier(2) empty the
 * buffer.  Each of the words below, left out, must make the model fail:
 *
 *	MEMBARRIER	the reclaimer's, between hiding the cache and looking at busy
 *	BUSY		the thread's announcement
 *	CAS		the reclaimer's for its mark: a store could undo an announcement
 */
#define OPERATIONS	3	/* of the thread */
#define ROUNDS		2	/* of the reclaimer */

#define OUTSIDE		0	/* busy */
#define INSIDE		1
#define MARKED		2

mtype = { OWNED, FREEZING, ORPHAN, AWAY, WORD_BUSY, WORD_A, WORD_B };

/* The cache: what an operation does to it are two stores. */
byte a, b;
byte done;			/* operations so far, for lost ones */
mtype state = OWNED;
bool has_thread = true;		/* the cache's thread is this one */

byte busy = OUTSIDE;
bool is_none = false;		/* the thread reads sp_cache_none */
bool locked = false;
byte over;			/* processes that have ended */

/* The thread's stores on their way to memory; what it last stored to a. */
chan stores = [8] of { mtype, byte };
byte waiting_a, last_a;

inline store(word, value) { stores ! word, value }

/* The oldest one does. */
inline reach_memory()
{
	if
	:: stores ? WORD_BUSY, busy
	:: stores ? WORD_A, a -> waiting_a--
	:: stores ? WORD_B, b
	fi
}

inline empty_buffer()
{
	d_step {
		do
		:: nempty(stores) -> reach_memory()
		:: empty(stores) -> break
		od
	}
}

inline lock() { atomic { !locked -> locked = true } }
inline unlock() { locked = false }

/* By the thread: it reads its own stores before they are in memory. */
inline use()
{
	atomic {
		value = (waiting_a -> last_a : a);
		store(WORD_A, value + 1);
		waiting_a++;
		last_a = value + 1;
		done++
	}
	store(WORD_B, value + 1);
	value = 0
}

active proctype thread()
{
	byte i, value;
	bool have;

	do
	:: i == OPERATIONS -> break
	:: i < OPERATIONS ->
#ifdef BUSY
		store(WORD_BUSY, INSIDE);
#endif
		have = !is_none;
		if
		:: have -> use()
		:: else ->
			/* The slow path: what the lock does empties the buffer. */
			lock();
			empty_buffer();
			if
			/* It comes too late, or has given the cache back already. */
			:: has_thread ->
				state = OWNED;
				is_none = false;
				have = true
			:: !has_thread && state == ORPHAN ->
				state = OWNED;
				has_thread = true;
				is_none = false;
				have = true
			:: else -> skip	/* another cache serves */
			fi;
			unlock();
			if
			:: have -> use()
			:: else
			fi
		fi;
		store(WORD_BUSY, OUTSIDE);
		i++
	od;
	over++
}

active proctype memory()
{
end:	do
	:: atomic { nempty(stores) -> reach_memory() }
	od
}

active proctype reclaimer()
{
	byte i, frozen;

	do
	:: i == ROUNDS -> break
	:: i < ROUNDS ->
		/* freeze(): at once, or after a tick in which nothing erased the mark */
		lock();
		frozen = false;
		if
		:: state == OWNED && has_thread && busy != INSIDE ->
			if
#ifdef CAS
			:: atomic { busy == OUTSIDE -> busy = MARKED }
#else
			:: busy == OUTSIDE -> busy = MARKED
#endif
			:: true ->
				state = FREEZING;
				is_none = true;
				frozen = true
			fi
		:: else
		fi;
		unlock();
		if
		:: frozen ->
#ifdef MEMBARRIER
			empty_buffer();
#endif
			/* settle() */
			lock();
			if
			:: state == FREEZING && busy == INSIDE ->
				state = OWNED;
				is_none = false
			:: state == FREEZING && busy != INSIDE ->
				state = ORPHAN;
				has_thread = false
			:: else
			fi;
			unlock()
		:: else
		fi;
		/* sp_owner_reclaim() */
		lock();
		if
		:: state == ORPHAN ->
			state = AWAY;
			unlock();
			assert(a == b);
			a++;
			done++;
			b++;
			lock();
			state = ORPHAN
		:: else
		fi;
		unlock();
		i++
	od;
	over++
}

active proctype judge()
{
	over == 2 && empty(stores);
	/* No operation is lost. */
	assert(a == b && a == done)
}

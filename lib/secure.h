/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * secure:true.  Nothing is ever found on the hit paths, which cost the same without
 * it: the free list they look at is empty, and no owner word equals a cache.  So
 * every call comes by here.
 *
 *	mark	one byte, away from the objects, for each 16 bytes of the window:
 *		what the object that begins there is.  A free looks at it first, so
 *		that a second one is found whenever it comes, by whatever thread, as
 *		well as one of any place at which no object begins.
 *	list	a chunk has two; an object goes on either of them at random, and comes
 *		from either.  New ones are shuffled, a few at a time.  Links are hidden by a key of the
 *		process and of their place; where they lead is looked at, and what is
 *		not marked as free is not handed out.
 *	canary	the last 8 bytes of an object, which the caller may not use.
 *
 * A freed object reads zero but for its links, which are wiped when it is handed out.
 *
 *	mark	written by
 *	NONE	nobody: nothing was ever here
 *	FRESH	the owner of the chunk, when it carves
 *	LIVE	the owner, when it hands out
 *	FREED	whoever frees; by an exchange if he is not the owner, so that of two
 *		one is told
 */
#ifndef SP_SECURE_H
#define SP_SECURE_H

#include <string.h>

#include "chunk.h"
#include "fatal.h"

#define SP_CANARY	((uint32_t)sizeof(uint64_t))

/* Set up at start-up, before the first object, then read only; all 0: not secure. */
extern struct sp_secure {
	bool on;
	uint32_t tail;			/* bytes of an object that are ours: SP_CANARY */
	uintptr_t owner;		/* SP_CHUNK_SECURE, for owner words */
	uint64_t key[2];
	uintptr_t mark;			/* where that of address 0 would be */
} sp_secure;

/* 0 or -errno.  The window is there, and nothing in it was taken yet. */
int sp_secure_init(void);
/* End the program for a free of what is marked as @mark. */
_Noreturn void sp_secure_fail(const void *object, uint8_t mark);
/* Marks for the window's bytes in [from, to), both multiples of an hpage. */
int sp_secure_extend(size_t from, size_t to);
/* Marks of these, whoever uses them meanwhile, shall cost no fault; none if not secure. */
void sp_secure_populate(const char *addr, size_t size);

/* @word as it is written at @at, and the reverse; the same word if not secure. */
static inline uintptr_t sp_secure_hide(uintptr_t word, const void *at)
{
	uint64_t pad = ((uintptr_t)at ^ sp_secure.key[0]) * sp_secure.key[1];

	return word ^ pad ^ pad >> 32;
}

static inline struct sp_object *sp_object_next(const struct sp_object *object)
{
	return (struct sp_object *)sp_secure_hide((uintptr_t)object->next, &object->next);
}

static inline void sp_object_set_next(struct sp_object *object, const struct sp_object *next)
{
	object->next = (struct sp_object *)sp_secure_hide((uintptr_t)next, &object->next);
}

/* ---- marks; everything below in secure mode only ------------------------- */

enum { SP_MARK_NONE, SP_MARK_FRESH, SP_MARK_LIVE, SP_MARK_FREED };

static inline _Atomic uint8_t *sp_secure_mark(const void *object)
{
	return (_Atomic uint8_t *)(sp_secure.mark + (uintptr_t)object / SP_ALIGN);
}

static inline uint8_t sp_secure_is(const void *object)
{
	return atomic_load_explicit(sp_secure_mark(object), memory_order_relaxed);
}

static inline void sp_secure_set(const void *object, uint8_t mark)
{
	atomic_store_explicit(sp_secure_mark(object), mark, memory_order_relaxed);
}

static inline bool sp_secure_is_free(const struct sp_object *object)
{
	return sp_secure_is(object) & 1;	/* FRESH and FREED are odd */
}

/* Can @object, which may be anything, be one of @chunk's?  By any thread. */
static inline bool sp_secure_may_be(const struct sp_chunk *chunk, const struct sp_object *object)
{
	size_t at = (size_t)((const char *)object - chunk->addr);

	return at < chunk->units * SP_UNIT && (uintptr_t)object % SP_ALIGN == 0;
}

/* ---- a chunk's objects; by its owner unless said ------------------------- */

static inline uint64_t *sp_secure_canary(const struct sp_chunk *chunk, struct sp_object *object)
{
	return (uint64_t *)((char *)object + chunk->size);
}

/* The low byte, which comes first, ends a string. */
static inline uint64_t sp_secure_canary_for(const uint64_t *at)
{
	return sp_secure_hide(0, at) & ~0xffull;
}

/* A step of Knuth's MMIX generator: the high bits are the good ones. */
static inline uint64_t sp_secure_random(uint64_t *random)
{
	return *random = *random * 6364136223846793005ull + 1442695040888963407ull;
}

static inline bool sp_secure_has_free(const struct sp_chunk *chunk)
{
	return chunk->hidden[0] || chunk->hidden[1];
}

/* As sp_chunk_carve(). */
bool sp_secure_carve(struct sp_chunk *chunk, uint64_t *random);

/* Put the ring's part from @first to @last, or one object, on a list. */
static inline void sp_secure_put(struct sp_chunk *chunk, struct sp_object *first,
				 struct sp_object *last, uint64_t *random)
{
	struct sp_object **list = &chunk->hidden[sp_secure_random(random) >> 63];

	sp_object_set_next(last, *list);
	*list = first;
}

/* An object of a chunk that has one; the caller counts it. */
static inline void *sp_secure_hand_out(struct sp_chunk *chunk, uint64_t *random)
{
	unsigned int which = (unsigned int)(sp_secure_random(random) >> 63);
	struct sp_object *object, *next;
	uint64_t *canary;

	which ^= !chunk->hidden[which];
	object = chunk->hidden[which];
	canary = sp_secure_canary(chunk, object);
	next = sp_object_next(object);
	/*
	 * Somebody wrote to it after its free, or past the end of the one before; or
	 * to the one that led here.
	 */
	if (unlikely(*canary || !sp_secure_is_free(object) ||
		     (next && !sp_secure_may_be(chunk, next))))
		sp_fatal_damaged(object);
	chunk->hidden[which] = next;
	__builtin_prefetch(next, 1);
	__builtin_prefetch(sp_secure_canary(chunk, next), 1);
	__builtin_prefetch(sp_secure_mark(next), 1);
	object->next = NULL;
	object->message = 0;
	*canary = sp_secure_canary_for(canary);
	sp_secure_set(object, SP_MARK_LIVE);
	return object;
}

/* Is it an object, and live?  Wipe it.  By any thread: @own says if it is the owner. */
static inline void sp_secure_retire(struct sp_chunk *chunk, struct sp_object *object, bool own)
{
	uint64_t *canary = sp_secure_canary(chunk, object);
	uint8_t was;

	/* Three places, seldom in a processor's cache: not one after the other. */
	__builtin_prefetch(canary, 1);
	__builtin_prefetch(object, 1);
	was = (uintptr_t)object % SP_ALIGN ? SP_MARK_NONE : sp_secure_is(object);
	if (was == SP_MARK_LIVE && !own)
		was = atomic_exchange_explicit(sp_secure_mark(object), SP_MARK_FREED,
					       memory_order_relaxed);
	if (unlikely(was != SP_MARK_LIVE))
		sp_secure_fail(object, was);
	if (unlikely(*canary != sp_secure_canary_for(canary)))
		sp_fatal_overflow(object);
	sp_secure_set(object, SP_MARK_FREED);
	memset(object, 0, chunk->stride);
}

#endif

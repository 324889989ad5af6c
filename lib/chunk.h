/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * A chunk: a run of units that serves one size class, or one large object.  Its
 * descriptor lives in meta memory and stays a descriptor for ever.
 *
 *	                 owner          free, used, carved    on the list
 *	current          cache          its owner             none; in a bin
 *	available        cache          its owner             the bin's
 *	full             cache|FULL     its owner             none
 *	large, huge      0              nobody                none
 *	kept             0              nobody                none; in a cache, keep.h
 *	unused           0              the node's lock       the node's
 *
 * Equation, at rest: objects handed out = used (less SP_CHUNK_CURRENT while
 * current) = carved - length of free; an object on its way home through a batch
 * or an inbox counts as handed out.  So a chunk with anything in flight is never
 * empty, and its owner cannot change under a thread that frees into it.
 */
#ifndef SP_CHUNK_H
#define SP_CHUNK_H

#include "hpage.h"
#include "size.h"
#include "window.h"

struct sp_object {
	struct sp_object *next;
	uint64_t message;	/* of a batch's last object, see remote.h */
};

/* Added to used while the chunk is a bin's current one: it never falls to 0. */
#define SP_CHUNK_CURRENT	(1 << 30)
/* In the low bits of an owner word, beside the cache. */
#define SP_CHUNK_FULL		1ul
#define SP_CHUNK_SECURE		2ul	/* see secure.h: it equals no cache */
#define SP_CHUNK_FLAGS		(SP_CHUNK_FULL | SP_CHUNK_SECURE)

#define SP_CARVE	(4 * SP_KIB)	/* bytes of fresh objects at a time */

enum sp_chunk_state {
	SP_CHUNK_UNUSED,
	SP_CHUNK_OBJECTS,
	SP_CHUNK_LARGE,		/* one object in units of an hpage */
	SP_CHUNK_HUGE,		/* one object of several hpages */
	SP_CHUNK_KEPT,		/* large, freed, and kept by a cache */
};

struct sp_chunk {
	/* The hit path's line: its owner's but for owner, which all may read. */
	struct sp_object *free;
	_Atomic uintptr_t owner;	/* see the table; relaxed, as sp_map says */
	int32_t used;
	uint32_t carved;
	uint32_t cap;			/* objects that fit */
	uint8_t class;
	_Atomic uint8_t state;		/* enum sp_chunk_state; relaxed */
	bool zero;			/* large, huge: still reads zero */
	uint16_t units;			/* 0: huge */
	uint32_t stride;		/* objects: bytes from one to the next */
	size_t size;			/* bytes of an object that its caller may use */
	char *addr;
	/* The slow path's. */
	struct sp_list link;
	struct sp_node *node;
	size_t hpages;			/* huge: how many */
	struct sp_object *hidden[2];	/* secure: instead of free; its owner's */
} __attribute__((aligned(SP_CACHE_LINE)));

/* Where the map points when no chunk is there: owned by nobody, always empty. */
extern struct sp_chunk sp_no_chunk;

static inline enum sp_chunk_state sp_chunk_state(const struct sp_chunk *chunk)
{
	return atomic_load_explicit(&chunk->state, memory_order_relaxed);
}

static inline void sp_chunk_set_state(struct sp_chunk *chunk, enum sp_chunk_state state)
{
	atomic_store_explicit(&chunk->state, (uint8_t)state, memory_order_relaxed);
}

/* Of all who free the object of a large or huge chunk at once one succeeds. */
static inline bool sp_chunk_retire(struct sp_chunk *chunk, enum sp_chunk_state from,
				   enum sp_chunk_state to)
{
	uint8_t state = (uint8_t)from;

	return atomic_compare_exchange_strong_explicit(&chunk->state, &state, (uint8_t)to,
						       memory_order_relaxed,
						       memory_order_relaxed);
}

static inline struct sp_chunk *sp_chunk_of_unit(size_t offset)
{
	struct sp_chunk *_Atomic *map =
		atomic_load_explicit(&sp_map.chunk, memory_order_relaxed);

	return atomic_load_explicit(&map[offset >> SP_UNIT_SHIFT], memory_order_relaxed);
}

/* The chunk that holds @ptr; &sp_no_chunk when none does. */
static inline struct sp_chunk *sp_chunk_of(const void *ptr)
{
	size_t offset = (uintptr_t)ptr -
			atomic_load_explicit(&sp_map.base, memory_order_relaxed);

	if (unlikely(offset >= atomic_load_explicit(&sp_map.span, memory_order_relaxed)))
		return &sp_no_chunk;
	return sp_chunk_of_unit(offset);
}

/* Point the map's entries for @count units from @addr on at @chunk. */
void sp_chunk_enter(struct sp_chunk *chunk, const char *addr, size_t count);

/*
 * Put objects that were never handed out on the empty free list, at most 4 KiB
 * of them: what is not carved is not touched.  False: none are left.
 */
bool sp_chunk_carve(struct sp_chunk *chunk);

/* Do the equations hold?  The owner, at rest, with nothing in flight. */
bool sp_chunk_check(const struct sp_chunk *chunk);

#endif

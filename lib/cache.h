/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * A thread's cache: for each size class the chunk it allocates from.
 *
 *	sp_me.cache -> cache -> slot[(size + 15) / 16] -> chunk -> free object
 *	                     -> bin[class].current ------^
 *	                     -> bin[class].available -> chunks with free objects
 *	                     -> inbox <- batches of objects freed by others
 *	                     -> out: batches of others' objects on their way
 *
 * Only the owning thread touches a cache, but for owner words, read by all, and
 * the inbox, pushed to by all.  So the hit path has no lock, no atomic
 * read-modify-write and no system call.
 *
 * A cache outlives its thread: on exit, and when the thread is idle, it goes to
 * the node whole, as an orphan (owner.h); the next thread that starts there takes
 * it over, and the reclaimer gives back what is empty in it.  Caches are never
 * freed, so a late push to an inbox is always good.
 */
#ifndef SP_CACHE_H
#define SP_CACHE_H

#include "chunk.h"
#include "keep.h"
#include "node.h"
#include "remote.h"
#include "secure.h"
#include "size.h"

#define SP_SLOTS	(SP_SMALL_MAX / SP_ALIGN + 1)
#define SP_FLUSH_TICKS	64	/* slow paths between two flushes of batches */

enum sp_cache_state {	/* see owner.h */
	SP_CACHE_AWAY,
	SP_CACHE_OWNED,
	SP_CACHE_FREEZING,
	SP_CACHE_ORPHAN,
	SP_CACHE_SPARE,
};

struct sp_bin {
	struct sp_chunk *current;	/* &sp_no_chunk: none */
	struct sp_list available;
	uint32_t grown;			/* chunks taken in a row: they get larger */
};

struct sp_cache {
	struct sp_chunk *slot[SP_SLOTS];	/* bin[class].current, by size */
	struct sp_bin bin[SP_CLASSES];
	struct sp_node *node;
	struct sp_remote remote;
	struct sp_keep keep;
	struct sp_list link;		/* a list of the node; its lock */
	struct sp_thread *thread;	/* owner, while it may be looked at; the lock */
	_Atomic uint8_t state;		/* enum sp_cache_state; the lock */
	uint64_t nchunks;		/* chunks owned */
	uint32_t ticks;			/* slow paths taken */
	bool primed;			/* some available chunk may be empty */
	uint64_t random;		/* secure: the state of its numbers */
} __attribute__((aligned(SP_CACHE_LINE)));

/* A cache without chunks: every allocation takes the slow path. */
extern struct sp_cache sp_cache_none;

/* Secure: what elsewhere is a hit.  NULL: it is none. */
static inline void *sp_cache_take_secure(struct sp_cache *cache, unsigned int class)
{
	struct sp_chunk *chunk = cache->bin[class].current;

	if (unlikely(!sp_secure_has_free(chunk)))
		return NULL;
	chunk->used++;
	return sp_secure_hand_out(chunk, &cache->random);
}

/* Secure: what elsewhere is a hit.  False: it is none. */
static inline bool sp_cache_free_secure(struct sp_cache *cache, struct sp_chunk *chunk,
					struct sp_object *object)
{
	uintptr_t owner = atomic_load_explicit(&chunk->owner, memory_order_relaxed);

	if (unlikely(owner != ((uintptr_t)cache | SP_CHUNK_SECURE) || chunk->used <= 1))
		return false;
	sp_secure_retire(chunk, object, true);
	sp_secure_put(chunk, object, object, &cache->random);
	chunk->used--;
	return true;
}

/*
 * An object from what the cache has; from the node nothing is taken.  NULL: there is
 * none, or it is time for a slow path, which see.
 */
void *sp_cache_refill_own(struct sp_cache *cache, unsigned int class);
/*
 * The slow path of an allocation up to SP_MEDIUM_MAX, of class @class, with
 * @cache: the caller's own, or one that it has locked up.  NULL: out of memory.
 */
void *sp_cache_refill(struct sp_cache *cache, unsigned int class);
/* Free an object that is not on the hit path: see the table in chunk.h. */
void sp_cache_free_slow(struct sp_cache *cache, struct sp_chunk *chunk,
			struct sp_object *object);

/*
 * Free another thread's object, if a batch of its chunk has room for it.  The batch
 * of &sp_cache_none is nobody's, and none is of memory that is no chunk's.
 */
static inline bool sp_cache_free_other(struct sp_cache *cache, struct sp_chunk *chunk,
				       struct sp_object *object)
{
	struct sp_batch *batch = sp_remote_batch(&cache->remote, chunk);
	uint32_t ticks = cache->ticks + 1;

	if (unlikely(batch->chunk != chunk || batch->count == SP_BATCH_MAX - 1 ||
		     ticks % SP_FLUSH_TICKS == 0))
		return false;
	cache->ticks = ticks;
	sp_batch_add(batch, object);
	return true;
}

/*
 * A large object that the caller has freed before.  NULL: there is none, or it is time
 * for a slow path.
 */
void *sp_cache_take_kept(struct sp_cache *cache, size_t size);
/* Free the large object @ptr by keeping it.  False: not this one, or not now. */
bool sp_cache_keep(struct sp_cache *cache, struct sp_chunk *chunk, const void *ptr);
/* Does it have anything that others could use? */
bool sp_cache_holds(const struct sp_cache *cache);

/* A cache of its own for a purpose; nobody else knows it.  NULL: no memory. */
struct sp_cache *sp_cache_new(struct sp_node *node);
/*
 * A slow path was taken: once in a while flush the batches and do a share of the
 * reclaimer's work.  No lock held.
 */
void sp_cache_tick(struct sp_cache *cache);
/*
 * Have the next @n objects of a class without the node.  False: there is no memory for
 * all of them; the cache keeps what there was.
 */
bool sp_cache_prime(struct sp_cache *cache, unsigned int class, size_t n);
/* Give back the calling thread's own empty chunks, and what it keeps. */
void sp_cache_trim(struct sp_cache *cache);
/* Caches made so far. */
uint64_t sp_cache_count(void);

#endif

// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The malloc family.  Hit paths first; everything else is a tail call, so that
 * they keep no frame and no registers.
 */
#include <string.h>

#include "cache.h"
#include "fatal.h"
#include "init.h"
#include "alloc.h"
#include "reclaim.h"
#include "secure.h"
#include "slabpool.h"
#include "thread.h"

#define CALLER	__builtin_return_address(0)

static _Atomic uint64_t failures;	/* relaxed: a statistic */

uint64_t sp_alloc_failures(void)
{
	return atomic_load_explicit(&failures, memory_order_relaxed);
}

static void *fail(int err)
{
	atomic_fetch_add_explicit(&failures, 1, memory_order_relaxed);
	errno = err;
	return NULL;
}

/*
 * Begin a slow path, outside an operation: what comes first may allocate.
 * @notice: have the thread's end noticed.  Not when the C library frees, for it
 * does so on behalf of a thread whose end was announced already.
 * Return: the calling thread's cache, and sp_thread_leave() must follow, always;
 * NULL and errno: none.
 */
static struct sp_cache *enter(const void *caller, bool notice)
{
	bool application = sp_init_is_application(caller);
	struct sp_cache *cache;
	int err = sp_init();

	if (err) {
		errno = -err;
		return NULL;
	}
	if (notice || application)
		sp_thread_notice();
	if (application)
		sp_reclaim_start_if_grown();
	cache = sp_thread_enter();
	if (!cache)
		errno = ENOMEM;
	return cache;
}

/* ---- large objects ------------------------------------------------------ */

/* These return NULL without setting errno. */
static void *alloc_huge(struct sp_node *node, size_t size, size_t align)
{
	struct sp_chunk *chunk;
	size_t hpages = size ? sp_hpages(size) : 1;

	chunk = sp_node_take_huge(node, hpages, align > SP_HPAGE ? align : SP_HPAGE);
	if (!chunk)
		return NULL;
	chunk->size = hpages * SP_HPAGE;
	sp_chunk_set_state(chunk, SP_CHUNK_HUGE);
	return chunk->addr;
}

static void *alloc_large(struct sp_node *node, size_t size, size_t align)
{
	unsigned int units = size ? (unsigned int)(sp_round_up(size, SP_UNIT) / SP_UNIT) : 1;
	unsigned int unit_align = align > SP_UNIT ? (unsigned int)(align / SP_UNIT) : 1;
	struct sp_chunk *chunk;

	if (size > SP_HPAGE || align > SP_HPAGE)
		return alloc_huge(node, size, align);
	chunk = sp_node_take_chunk(node, SP_KIND_LARGE, units, unit_align, 1);
	if (!chunk)
		return NULL;
	chunk->size = units * SP_UNIT;
	sp_chunk_set_state(chunk, SP_CHUNK_LARGE);
	return chunk->addr;
}

/* ---- malloc ------------------------------------------------------------- */

/*
 * Chunks begin on a unit: a class whose size is a multiple of @align will do.  That of
 * a multiple is one, for the steps between classes are powers of two.
 */
static inline unsigned int aligned_class(size_t size, size_t align)
{
	return sp_class_of(sp_round_up(size + !size, align));
}

/* Does a class serve it, and which?  The caller's bytes and our own. */
static inline bool is_classed(size_t size, size_t align)
{
	return size <= SP_MEDIUM_MAX - sp_secure.tail && align <= SP_UNIT;
}

static inline unsigned int class_of(size_t size, size_t align)
{
	size += sp_secure.tail;
	return align <= SP_ALIGN ? sp_class_of(size) : aligned_class(size, align);
}

static void *try_alloc(struct sp_cache *cache, size_t size, size_t align)
{
	if (is_classed(size, align))
		return sp_cache_refill(cache, class_of(size, align));
	sp_cache_tick(cache);
	return alloc_large(cache->node, size, align);
}

static void reclaim_others(void)
{
	for (int id = 0; id < SP_MAX_NODES; id++) {
		struct sp_node *node = sp_node_get(id);

		if (!node)
			continue;
		sp_owner_take_over(node, true);
		sp_owner_reclaim(node, UINT64_MAX);
	}
}

/* @cache is the calling thread's, or borrowed; no lock is held. */
static void *alloc_on(struct sp_cache *cache, size_t size, size_t align)
{
	void *p;

	if (unlikely(size > PTRDIFF_MAX - align))
		return fail(ENOMEM);
	p = try_alloc(cache, size, align);
	if (likely(p))
		return p;
	/* What others freed for us, and what idle and ended threads have, may do. */
	sp_cache_trim(cache);
	reclaim_others();
	p = try_alloc(cache, size, align);
	return p ? p : fail(ENOMEM);
}

/* @caller: who called the library, for what only an application may do. */
static noinline void *alloc_entered(size_t size, size_t align, const void *caller)
{
	struct sp_cache *cache = enter(caller, true);
	void *p = cache ? alloc_on(cache, size, align) : fail(errno);

	sp_thread_leave();
	return p;
}

/* Behind a hit that was none: what the cache has beside its current chunks. */
static inline void *short_of_hit(size_t size, size_t align)
{
	struct sp_cache *cache = sp_thread_cache();
	void *p = NULL;

	if (!cache)
		return NULL;
	if (is_classed(size, align))
		p = sp_cache_refill_own(cache, class_of(size, align));
	else if (align <= SP_UNIT)
		p = sp_cache_take_kept(cache, size);
	if (p)
		sp_owner_leave();
	return p;
}

/* In the operation that hit() began: what a hit is in secure mode; or NULL. */
static inline void *secure_hit(size_t size)
{
	struct sp_cache *cache = atomic_load_explicit(&sp_me.cache, memory_order_relaxed);
	void *p;

	/* Who has a cache has seen what the first call set up. */
	if (cache == &sp_cache_none || !sp_secure.on || !is_classed(size, SP_ALIGN))
		return NULL;
	p = sp_cache_take_secure(cache, class_of(size, SP_ALIGN));
	if (likely(p))
		sp_owner_leave();
	return p;
}

static noinline void *alloc_short_of_hit(size_t size, const void *caller)
{
	void *p = short_of_hit(size, SP_ALIGN);

	return p ? p : alloc_entered(size, SP_ALIGN, caller);
}

static noinline void *alloc_slow(size_t size, const void *caller)
{
	void *p = secure_hit(size);

	return p ? p : alloc_short_of_hit(size, caller);
}

static noinline void *alloc_aligned_slow(size_t size, size_t align, const void *caller)
{
	void *p = short_of_hit(size, align);

	return p ? p : alloc_entered(size, align, caller);
}

/* By a jump from malloc(), so that its caller is ours. */
static noinline void *malloc_slow(size_t size)
{
	return alloc_slow(size, CALLER);
}

/* An object without a slow path; or NULL, and a slow path must follow. */
static inline void *hit(size_t size)
{
	struct sp_cache *cache = sp_owner_enter();
	struct sp_object *object;
	struct sp_chunk *chunk;

	if (likely(size <= SP_SMALL_MAX))
		chunk = cache->slot[(size + SP_ALIGN - 1) / SP_ALIGN];
	else if (size <= SP_MEDIUM_MAX)
		chunk = cache->bin[sp_class_of(size)].current;
	else
		return NULL;
	object = chunk->free;
	if (unlikely(!object))
		return NULL;
	chunk->free = object->next;
	chunk->used++;
	sp_owner_leave();
	return object;
}

static inline void *alloc(size_t size, const void *caller)
{
	void *p = hit(size);

	return likely(p) ? p : alloc_slow(size, caller);
}

void *slabpool_malloc(size_t size)
{
	void *p = hit(size);

	return likely(p) ? p : malloc_slow(size);
}

/* ---- free --------------------------------------------------------------- */

/*
 * With no more than the thread's cache.  Only of a chunk that objects are in is it known
 * that this is inside an operation.
 */
static inline bool free_to_cache(struct sp_chunk *chunk, enum sp_chunk_state state, void *ptr)
{
	struct sp_cache *cache;

	if (state != SP_CHUNK_OBJECTS && state != SP_CHUNK_LARGE)
		return false;
	cache = sp_thread_cache();
	if (!cache)
		return false;
	if (state == SP_CHUNK_LARGE)
		return sp_cache_keep(cache, chunk, ptr);
	sp_cache_free_slow(cache, chunk, ptr);
	return true;
}

static noinline void free_slow(void *ptr)
{
	struct sp_chunk *chunk = sp_chunk_of(ptr);
	enum sp_chunk_state state = sp_chunk_state(chunk);
	bool large = state != SP_CHUNK_OBJECTS;
	int saved = errno;
	struct sp_cache *cache;

	if (!ptr) {
		sp_owner_leave();
		return;
	}
	if (likely(free_to_cache(chunk, state, ptr))) {
		sp_owner_leave();
		errno = saved;
		return;
	}
	/* A huge one goes to the source at once instead, which clears it. */
	if (sp_secure.on && state == SP_CHUNK_LARGE && chunk->addr == ptr)
		memset(ptr, 0, chunk->size);
	if (state == SP_CHUNK_KEPT && chunk->addr == ptr)
		sp_fatal_double_free(ptr);
	/* Once given, a large object's chunk may be anything. */
	if (large && (chunk == &sp_no_chunk || !sp_node_give_large(chunk, ptr)))
		sp_fatal_foreign_free(ptr);
	/* Without memory for a cache the object is lost, not the program. */
	cache = enter(CALLER, false);
	if (cache && !large)
		sp_cache_free_slow(cache, chunk, ptr);
	else if (cache)
		sp_cache_tick(cache);
	sp_thread_leave();
	errno = saved;
}

static noinline void free_secure(struct sp_cache *cache, struct sp_chunk *chunk,
				 struct sp_object *object)
{
	if (likely(sp_cache_free_secure(cache, chunk, object)))
		sp_owner_leave();
	else
		free_slow(object);
}

/* Not in one of the cache's chunks that is on the hit path. */
static noinline void free_miss(struct sp_cache *cache, struct sp_chunk *chunk,
			       struct sp_object *object)
{
	if (sp_cache_free_other(cache, chunk, object))
		sp_owner_leave();
	else if (sp_secure.on)
		free_secure(cache, chunk, object);
	else
		free_slow(object);
}

/* The last one: the chunk is empty and changes its place. */
static noinline void free_last(void *ptr)
{
	struct sp_chunk *chunk = sp_chunk_of(ptr);
	struct sp_object *object = ptr;

	chunk->used++;
	chunk->free = object->next;
	free_slow(ptr);
}

void slabpool_free(void *ptr)
{
	size_t offset = (uintptr_t)ptr - sp_load_folded(sp_map.base);
	struct sp_object *object = ptr;
	struct sp_cache *cache;
	struct sp_chunk *chunk;

	if (unlikely(offset >= sp_load_folded(sp_map.span))) {
		free_slow(ptr);
		return;
	}
	chunk = sp_chunk_of_unit(offset);
	cache = sp_owner_enter();
	/* Somebody else's, or full: it changes its place. */
	if (unlikely(sp_load_folded(chunk->owner) != (uintptr_t)cache)) {
		free_miss(cache, chunk, object);
		return;
	}
	if (unlikely(chunk->free == object))
		sp_fatal_double_free(ptr);
	object->next = chunk->free;
	chunk->free = object;
	if (unlikely(--chunk->used == 0)) {
		free_last(ptr);
		return;
	}
	sp_owner_leave();
}

size_t slabpool_usable_size(const void *ptr)
{
	return ptr ? sp_chunk_of(ptr)->size : 0;
}

/*
 * Did an object ever stay in more than twice its size, for lack of memory for a smaller
 * one?  Relaxed: whoever frees that object came by it behind the realloc().
 */
static _Atomic bool some_are_roomy;

void slabpool_free_sized(void *ptr, size_t size)
{
	size_t room, tail;

	/* Perhaps before the first call: options are not to be looked at yet. */
	if (!ptr)
		return;
	room = slabpool_usable_size(ptr);
	tail = sp_secure.tail;
	/* As far as realloc() lets an object stay where it is; tiny ones too. */
	if (size > room || (size + tail < (room + tail) / 2 && room + tail > SP_ALIGN &&
			    !atomic_load_explicit(&some_are_roomy, memory_order_relaxed)))
		sp_fatal_wrong_size(ptr, size, room);
	slabpool_free(ptr);
}

/* ---- the rest of the family --------------------------------------------- */

void *slabpool_calloc(size_t count, size_t size)
{
	const struct sp_chunk *chunk;
	size_t bytes;
	void *p;

	if (__builtin_mul_overflow(count, size, &bytes))
		return fail(ENOMEM);
	p = alloc(bytes, CALLER);
	if (!p)
		return NULL;
	chunk = sp_chunk_of(p);
	if (sp_chunk_state(chunk) != SP_CHUNK_OBJECTS && chunk->zero)
		return p;
	return memset(p, 0, bytes);
}

void *slabpool_realloc(void *ptr, size_t size)
{
	size_t room = slabpool_usable_size(ptr);
	int saved;
	void *p;

	if (!ptr)
		return alloc(size, CALLER);
	if (room == 0)
		sp_fatal_foreign_free(ptr);
	if (size == 0) {
		slabpool_free(ptr);	/* as glibc does */
		return NULL;
	}
	/* In place while it fits and does not waste more than half. */
	if (size <= room && size >= room / 2)
		return ptr;
	saved = errno;
	p = alloc(size, CALLER);
	if (!p && size <= room) {
		atomic_store_explicit(&some_are_roomy, true, memory_order_relaxed);
		errno = saved;	/* smaller always succeeds */
		return ptr;
	}
	if (!p)
		return NULL;
	memcpy(p, ptr, size < room ? size : room);
	slabpool_free(ptr);
	return p;
}

void *slabpool_aligned_alloc(size_t align, size_t size)
{
	void *p;

	if (!sp_is_power_of_two(align) || align > SP_GIB) {
		errno = EINVAL;
		return NULL;
	}
	if (align <= SP_ALIGN)
		return alloc(size, CALLER);
	p = align <= SP_UNIT && size <= SP_MEDIUM_MAX ?
		hit(sp_class_size(aligned_class(size, align))) : NULL;
	return likely(p) ? p : alloc_aligned_slow(size, align, CALLER);
}

/* ---- objects of another node -------------------------------------------- */

/* With a cache of that node, borrowed for this one object. */
void *slabpool_malloc_onnode(size_t size, int id)
{
	struct sp_cache *cache;
	struct sp_node *node;
	void *p;
	int err;

	if (id == SLABPOOL_NODE_LOCAL)
		return alloc(size, CALLER);
	err = sp_init();
	if (err) {
		errno = -err;
		return NULL;
	}
	node = sp_node_get(id);
	if (!node) {
		errno = EINVAL;
		return NULL;
	}
	cache = sp_owner_borrow(node);
	if (!cache)
		return fail(ENOMEM);
	p = alloc_on(cache, size, SP_ALIGN);
	sp_owner_return(cache);
	return p;
}

/*
 * Objects that no cache keeps: have them all, touch them, and let the node keep what
 * they are made of.
 */
static int prime_large(size_t size, size_t n)
{
	void **all = NULL, **p = NULL;

	for (; n && (p = alloc(size, CALLER)); n--) {
		for (size_t at = 0; at < size; at += 4 * SP_KIB)
			((volatile char *)p)[at] = 0;
		*p = all;
		all = p;
	}
	while (all) {
		p = all;
		all = *p;
		slabpool_free(p);
	}
	return n ? -ENOMEM : 0;
}

int slabpool_prime(size_t size, size_t n)
{
	struct sp_cache *cache;
	int err = sp_init();

	if (err)
		return err;
	if (!is_classed(size, SP_ALIGN))
		return size > PTRDIFF_MAX ? -ENOMEM : prime_large(size, n);
	cache = enter(CALLER, true);
	if (!cache || !sp_cache_prime(cache, class_of(size, SP_ALIGN), n))
		err = -ENOMEM;
	sp_thread_leave();
	return err;
}

void slabpool_thread_idle(void)
{
	sp_owner_idle();
}

size_t slabpool_release(void)
{
	struct sp_cache *cache;
	size_t given = 0;

	if (sp_init())
		return 0;
	cache = enter(CALLER, true);
	if (cache)
		sp_cache_trim(cache);
	sp_thread_leave();
	reclaim_others();
	for (int id = 0; id < SP_MAX_NODES; id++)
		if (sp_node_get(id))
			given += sp_node_purge(sp_node_get(id), 0, SP_PURGE_UNUSED);
	return given;
}

/* ---- the C library's names ---------------------------------------------- */

#ifdef SP_PRELOAD
/* Other names of the same code: a jump saved on each call.  See preload.c. */
#if defined(__clang__)
#define COPY(of)
#else
#define COPY(of)	__attribute__((copy(of)))
#endif
#define NAME(name, of)								\
	extern __typeof__(of) name						\
		__attribute__((alias(#of), visibility("default"))) COPY(of)

NAME(malloc, slabpool_malloc);
NAME(calloc, slabpool_calloc);
NAME(realloc, slabpool_realloc);
NAME(free, slabpool_free);
NAME(aligned_alloc, slabpool_aligned_alloc);
NAME(__libc_malloc, slabpool_malloc);
NAME(__libc_calloc, slabpool_calloc);
NAME(__libc_realloc, slabpool_realloc);
NAME(__libc_free, slabpool_free);
#endif

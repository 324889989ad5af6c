// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#include "cache.h"
#include "fatal.h"
#include "meta.h"
#include "reclaim.h"

#define CHUNK_MAX	(64 * SP_KIB)	/* of small objects; medium ones get more */
#define MEDIUM_FIRST	(16 * SP_KIB)	/* their chunks become empty often, and begin anew */
#define PAGE		(4 * SP_KIB)	/* the smallest that is touched at once */
#define CHUNK_OBJECTS	8		/* at least, where they are larger than that */

/* Set up by the compiler: allocations come before any constructor. */
struct sp_cache sp_cache_none = {
	.slot = { [0 ... SP_SLOTS - 1] = &sp_no_chunk },
	.bin = { [0 ... SP_CLASSES - 1] = { .current = &sp_no_chunk } },
};

static _Atomic uint64_t caches;		/* relaxed: a statistic */

/* ---- a bin's chunks ----------------------------------------------------- */

static void set_current(struct sp_cache *cache, unsigned int class, struct sp_chunk *chunk)
{
	size_t first = class ? sp_class_size(class - 1) / SP_ALIGN + 1 : 0;
	size_t last = sp_class_size(class) / SP_ALIGN;

	cache->bin[class].current = chunk;
	if (sp_secure.on)
		return;		/* nothing is to be found on the hit path */
	for (size_t i = first; i <= last && i < SP_SLOTS; i++)
		cache->slot[i] = chunk;
}

/*
 * Slow start: a thread's first chunk of a class is one unit, or 16 KiB of medium
 * objects, each further one twice as large, so that a thousand threads with a few
 * objects stay small.
 */
static unsigned int chunk_units(const struct sp_bin *bin, size_t size)
{
	size_t most = size * CHUNK_OBJECTS > CHUNK_MAX ? size * CHUNK_OBJECTS : CHUNK_MAX;
	size_t first = size <= SP_SMALL_MAX ? SP_UNIT : MEDIUM_FIRST;
	size_t bytes = first << (bin->grown < 8 ? bin->grown : 8);

	if (bytes < size)
		bytes = size;
	if (bytes > most)
		bytes = most;
	/* Rounding loses less than an eighth, or the chunk holds one object. */
	while (bytes < most && sp_round_up(bytes, SP_UNIT) % size * 8 > bytes)
		bytes += SP_UNIT;
	return (unsigned int)(sp_round_up(bytes, SP_UNIT) >> SP_UNIT_SHIFT);
}

static void set_owner(struct sp_chunk *chunk, const struct sp_cache *cache, uintptr_t full)
{
	atomic_store_explicit(&chunk->owner, (uintptr_t)cache | full | sp_secure.owner,
			      memory_order_relaxed);
}

static struct sp_chunk *new_chunk(struct sp_cache *cache, unsigned int class)
{
	struct sp_bin *bin = &cache->bin[class];
	size_t size = sp_class_size(class);
	enum sp_kind kind = size <= SP_SMALL_MAX ? SP_KIND_SMALL : SP_KIND_MEDIUM;
	struct sp_chunk *chunk;
	unsigned int units;

	if (sp_node_is_pressed())
		bin->grown = 0;
	units = chunk_units(bin, size);
	chunk = sp_node_take_chunk(cache->node, kind, units, 1, units);
	if (!chunk)
		return NULL;
	chunk->free = NULL;
	chunk->hidden[0] = chunk->hidden[1] = NULL;
	chunk->used = 0;
	chunk->carved = 0;
	chunk->cap = (uint32_t)(units * SP_UNIT / size);
	chunk->class = (uint8_t)class;
	chunk->stride = (uint32_t)size;
	chunk->size = size - sp_secure.tail;
	sp_chunk_set_state(chunk, SP_CHUNK_OBJECTS);
	set_owner(chunk, cache, 0);
	bin->grown++;
	cache->nchunks++;
	return chunk;
}

static void drop_chunk(struct sp_cache *cache, struct sp_chunk *chunk)
{
	cache->nchunks--;
	cache->bin[chunk->class].grown = 0;
	sp_node_give_chunk(chunk, chunk->units);
}

/* A chunk that is not current has lost its last object. */
static void chunk_empty(struct sp_cache *cache, struct sp_chunk *chunk)
{
	sp_list_remove(&chunk->link);
	drop_chunk(cache, chunk);
}

/*
 * A full chunk gets an object back: it is worth looking at again.  One of small
 * objects the last of all, for with one object it would be full at once.  (At the head
 * of the list, a server that replaces objects at random took four times as many slow
 * paths.)  One of medium objects the first of all: few of them share a chunk, so that
 * others become empty, and serve other sizes.
 */
static void chunk_unfull(struct sp_cache *cache, struct sp_chunk *chunk)
{
	struct sp_list *available = &cache->bin[chunk->class].available;

	set_owner(chunk, cache, 0);
	if (chunk->stride <= SP_SMALL_MAX)
		sp_list_push_tail(available, &chunk->link);
	else
		sp_list_push(available, &chunk->link);
}

static bool is_full(const struct sp_chunk *chunk)
{
	return atomic_load_explicit(&chunk->owner, memory_order_relaxed) & SP_CHUNK_FULL;
}

/*
 * The current chunk has nothing left to hand out, or is taken out of service; another
 * must be made current.
 */
static void retire_current(struct sp_cache *cache, unsigned int class)
{
	struct sp_chunk *chunk = cache->bin[class].current;

	if (chunk == &sp_no_chunk)
		return;
	chunk->used -= SP_CHUNK_CURRENT;
	if (chunk->used < 0)
		sp_fatal_underflow(chunk->addr);
	if (chunk->used == (int32_t)chunk->cap)
		set_owner(chunk, cache, SP_CHUNK_FULL);
	else
		sp_list_push(&cache->bin[class].available, &chunk->link);
	if (chunk->used == 0)
		chunk_empty(cache, chunk);
}

/* ---- the inbox ---------------------------------------------------------- */

static void splice(struct sp_cache *cache, const struct sp_message *message)
{
	struct sp_chunk *chunk = message->chunk;

	if (sp_secure.on) {
		message->last->message = 0;	/* may lie where the canary does */
		sp_secure_put(chunk, message->first, message->last, &cache->random);
	} else {
		message->last->next = chunk->free;
		chunk->free = message->first;
	}
	if (is_full(chunk))
		chunk_unfull(cache, chunk);
	chunk->used -= (int32_t)message->count;
	if (chunk->used < 0)
		sp_fatal_underflow(message->first);
	if (chunk->used == 0)
		chunk_empty(cache, chunk);
}

static void drain(struct sp_cache *cache)
{
	uintptr_t list = sp_remote_take(&cache->remote);
	struct sp_message message;

	while (list) {
		list = sp_remote_next(list, &message);
		splice(cache, &message);
	}
}

/* ---- slow paths --------------------------------------------------------- */

void sp_cache_tick(struct sp_cache *cache)
{
	if (++cache->ticks % SP_FLUSH_TICKS)
		return;
	sp_remote_flush(&cache->remote);
	if (sp_node_is_pressed())
		sp_cache_trim(cache);
	sp_reclaim_tick(cache->node);
}

/* The oldest chunk with something to hand out; NULL: none has. */
static struct sp_chunk *take_available(struct sp_bin *bin)
{
	struct sp_chunk *chunk;

	if (sp_list_empty(&bin->available))
		return NULL;
	chunk = container_of(bin->available.next, struct sp_chunk, link);
	sp_list_remove(&chunk->link);
	return chunk;
}

/* The next chunk with something to hand out becomes current. */
static bool next_chunk(struct sp_cache *cache, unsigned int class)
{
	struct sp_chunk *chunk;

	retire_current(cache, class);
	chunk = take_available(&cache->bin[class]);
	if (!chunk)
		chunk = new_chunk(cache, class);
	if (chunk)
		chunk->used += SP_CHUNK_CURRENT;
	set_current(cache, class, chunk ? chunk : &sp_no_chunk);
	return chunk;
}

static bool has_free(const struct sp_chunk *chunk)
{
	return chunk->free || (sp_secure.on && sp_secure_has_free(chunk));
}

static bool carve(struct sp_cache *cache, struct sp_chunk *chunk)
{
	return sp_secure.on ? sp_secure_carve(chunk, &cache->random) : sp_chunk_carve(chunk);
}

/* There is one. */
static void *hand_out(struct sp_cache *cache, struct sp_chunk *chunk)
{
	struct sp_object *object = chunk->free;

	chunk->used++;
	if (sp_secure.on)
		return sp_secure_hand_out(chunk, &cache->random);
	chunk->free = object->next;
	return object;
}

void *sp_cache_refill_own(struct sp_cache *cache, unsigned int class)
{
	struct sp_bin *bin = &cache->bin[class];

	if ((cache->ticks + 1) % SP_FLUSH_TICKS == 0)
		return NULL;
	drain(cache);
	while (!has_free(bin->current) && !carve(cache, bin->current)) {
		if (sp_list_empty(&bin->available))
			return NULL;
		next_chunk(cache, class);
	}
	cache->ticks++;
	return hand_out(cache, bin->current);
}

void *sp_cache_refill(struct sp_cache *cache, unsigned int class)
{
	struct sp_bin *bin = &cache->bin[class];

	sp_cache_tick(cache);
	drain(cache);
	while (!has_free(bin->current) && !carve(cache, bin->current))
		if (!next_chunk(cache, class))
			return NULL;
	return hand_out(cache, bin->current);
}

static void free_own(struct sp_cache *cache, struct sp_chunk *chunk,
		     struct sp_object *object)
{
	if (chunk->free == object)
		sp_fatal_double_free(object);
	if (is_full(chunk))
		chunk_unfull(cache, chunk);
	if (sp_secure.on) {
		sp_secure_put(chunk, object, object, &cache->random);
	} else {
		object->next = chunk->free;
		chunk->free = object;
	}
	if (--chunk->used > 0)
		return;
	if (chunk->used < 0)
		sp_fatal_underflow(object);
	chunk_empty(cache, chunk);
}

void sp_cache_free_slow(struct sp_cache *cache, struct sp_chunk *chunk,
			struct sp_object *object)
{
	uintptr_t owner = atomic_load_explicit(&chunk->owner, memory_order_relaxed);
	bool own = (owner & ~SP_CHUNK_FLAGS) == (uintptr_t)cache;

	if (sp_secure.on)
		sp_secure_retire(chunk, object, own);
	if (own) {
		free_own(cache, chunk, object);
		return;
	}
	sp_cache_tick(cache);
	sp_remote_free(&cache->remote, chunk, object);
}

void *sp_cache_take_kept(struct sp_cache *cache, size_t size)
{
	struct sp_chunk *chunk;

	if (size > SP_KEEP_MAX * SP_UNIT || (cache->ticks + 1) % SP_FLUSH_TICKS == 0)
		return NULL;
	chunk = sp_keep_take(&cache->keep, (unsigned int)(sp_round_up(size, SP_UNIT) >> SP_UNIT_SHIFT));
	if (!chunk)
		return NULL;
	cache->ticks++;
	return chunk->addr;
}

/* Secure: what is freed is wiped, and does not come back at once. */
bool sp_cache_keep(struct sp_cache *cache, struct sp_chunk *chunk, const void *ptr)
{
	if (chunk->units > SP_KEEP_MAX || chunk->addr != ptr || chunk->node != cache->node ||
	    sp_secure.on || (cache->ticks + 1) % SP_FLUSH_TICKS == 0 ||
	    !sp_chunk_retire(chunk, SP_CHUNK_LARGE, SP_CHUNK_KEPT))
		return false;
	cache->ticks++;
	sp_keep_put(&cache->keep, chunk);
	return true;
}

bool sp_cache_holds(const struct sp_cache *cache)
{
	return cache->nchunks || cache->keep.count || sp_remote_collects(&cache->remote);
}

/* ---- life of a cache ---------------------------------------------------- */

static void reset(struct sp_cache *cache)
{
	for (size_t i = 0; i < SP_SLOTS; i++)
		cache->slot[i] = &sp_no_chunk;
	for (unsigned int class = 0; class < SP_CLASSES; class++) {
		cache->bin[class].current = &sp_no_chunk;
		sp_list_init(&cache->bin[class].available);
	}
	sp_list_init(&cache->link);
}

struct sp_cache *sp_cache_new(struct sp_node *node)
{
	struct sp_cache *cache = sp_meta_alloc(sizeof(*cache));

	if (!cache)
		return NULL;
	reset(cache);
	cache->node = node;
	/* Where the keys are random, so is this; where not, nobody asks for it. */
	cache->random = sp_secure_hide(0, cache);
	atomic_fetch_add_explicit(&caches, 1, memory_order_relaxed);
	return cache;
}

uint64_t sp_cache_count(void)
{
	return atomic_load_explicit(&caches, memory_order_relaxed);
}

/* Objects that a chunk can still hand out. */
static size_t room(const struct sp_chunk *chunk)
{
	return chunk->cap - ((uint32_t)chunk->used & ~(uint32_t)SP_CHUNK_CURRENT);
}

static size_t room_of_bin(const struct sp_bin *bin)
{
	size_t n = room(bin->current);

	for (struct sp_list *l = bin->available.next; l != &bin->available; l = l->next)
		n += room(container_of(l, struct sp_chunk, link));
	return n;
}

/* What was not carved may never have been touched; nobody's data is there. */
static void touch(const struct sp_chunk *chunk)
{
	char *end = chunk->addr + chunk->units * SP_UNIT;
	char *at = chunk->addr + sp_round_up((size_t)chunk->carved * chunk->stride, PAGE);

	for (; at < end; at += PAGE) {
		*(volatile char *)at = 0;
		if (sp_secure.on)
			sp_secure_set(at, SP_MARK_NONE);
	}
}

bool sp_cache_prime(struct sp_cache *cache, unsigned int class, size_t n)
{
	struct sp_bin *bin = &cache->bin[class];
	struct sp_chunk *chunk;
	size_t have;

	drain(cache);
	have = room_of_bin(bin);
	touch(bin->current);
	while (have < n) {
		chunk = new_chunk(cache, class);
		if (!chunk)
			return false;
		touch(chunk);
		sp_list_push_tail(&bin->available, &chunk->link);
		cache->primed = true;
		have += room(chunk);
	}
	return true;
}

static void drop_primed(struct sp_cache *cache, struct sp_bin *bin)
{
	struct sp_list *l = bin->available.next;

	while (l != &bin->available) {
		struct sp_chunk *chunk = container_of(l, struct sp_chunk, link);

		l = l->next;
		if (chunk->used == 0)
			chunk_empty(cache, chunk);
	}
}

void sp_cache_trim(struct sp_cache *cache)
{
	drain(cache);
	sp_remote_flush(&cache->remote);
	sp_keep_drop(&cache->keep);
	for (unsigned int class = 0; cache->primed && class < SP_CLASSES; class++)
		drop_primed(cache, &cache->bin[class]);
	cache->primed = false;
	for (unsigned int class = 0; class < SP_CLASSES; class++)
		if (cache->bin[class].current->used == SP_CHUNK_CURRENT) {
			retire_current(cache, class);
			set_current(cache, class, &sp_no_chunk);
		}
}

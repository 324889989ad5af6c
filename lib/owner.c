// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#include "calls.h"
#include "owner.h"
#include "reclaim.h"
#include "sys.h"

#define FREEZE_BATCH	256	/* caches frozen with one membarrier */

enum { OUTSIDE, INSIDE, MARKED };	/* sp_thread.busy */

sp_tls struct sp_thread sp_me = { .cache = &sp_cache_none };

struct sp_lock sp_owner_lock = SP_LOCK_INIT(SP_RANK_OWNER);

static bool can_freeze;		/* set once by sp_owner_init() */

void sp_owner_init(void)
{
	can_freeze = sp_sys_membarrier_register() == 0;
}

/* ---- lists; the node's lock is held ------------------------------------- */

static void set_state(struct sp_cache *cache, uint8_t state)
{
	atomic_store_explicit(&cache->state, state, memory_order_relaxed);
}

static uint8_t state_of(const struct sp_cache *cache)
{
	return atomic_load_explicit(&cache->state, memory_order_relaxed);
}

static void take_off(struct sp_cache *cache)
{
	cache->node->norphans -= state_of(cache) == SP_CACHE_ORPHAN;
	sp_list_remove(&cache->link);
	set_state(cache, SP_CACHE_AWAY);
}

/*
 * With chunks, or others' objects that are not on their way yet, it is an orphan and
 * will be looked after; without it serves any purpose.
 */
static void put_down(struct sp_cache *cache)
{
	struct sp_node *node = cache->node;
	bool orphan = sp_cache_holds(cache);

	cache->thread = NULL;
	sp_list_push(orphan ? &node->orphans : &node->spare, &cache->link);
	node->norphans += orphan;
	set_state(cache, orphan ? SP_CACHE_ORPHAN : SP_CACHE_SPARE);
}

/* Whose end nobody would notice, his memory must not be looked at: no list. */
static void hand_out(struct sp_cache *cache, bool watched)
{
	if (watched) {
		cache->thread = &sp_me;
		sp_list_push(&cache->node->owned, &cache->link);
	}
	set_state(cache, SP_CACHE_OWNED);
	sp_me.mine = cache;
	atomic_store_explicit(&sp_me.cache, cache, memory_order_relaxed);
}

/* ---- adoption ----------------------------------------------------------- */

/* The last one first, which has this thread's objects, then the warmest. */
static struct sp_cache *choose(struct sp_node *node)
{
	struct sp_cache *mine = sp_me.mine;
	struct sp_list *from = sp_list_empty(&node->orphans) ? &node->spare : &node->orphans;

	if (mine && mine->node == node && state_of(mine) == SP_CACHE_ORPHAN)
		return mine;
	if (sp_list_empty(from))
		return NULL;
	return container_of(from->next, struct sp_cache, link);
}

static struct sp_cache *adopt(struct sp_node *node, bool watched)
{
	struct sp_cache *cache;

	sp_lock(&node->lock);
	cache = choose(node);
	if (cache) {
		take_off(cache);
		hand_out(cache, watched);
	}
	sp_unlock(&node->lock);
	return cache;
}

/*
 * The cache was hidden from this thread, but the thread is inside: the reclaimer
 * comes too late, or it has seen that and given the cache back already.
 */
static bool thaw(struct sp_cache *mine)
{
	bool still_mine;

	sp_lock(&mine->node->lock);
	still_mine = mine->thread == &sp_me;
	if (still_mine) {
		set_state(mine, SP_CACHE_OWNED);
		atomic_store_explicit(&sp_me.cache, mine, memory_order_relaxed);
	}
	sp_unlock(&mine->node->lock);
	return still_mine;
}

struct sp_cache *sp_owner_get(bool watched)
{
	struct sp_cache *cache = atomic_load_explicit(&sp_me.cache, memory_order_relaxed);
	struct sp_node *node;

	if (likely(cache != &sp_cache_none))
		return cache;
	if (sp_me.mine && thaw(sp_me.mine))
		return sp_me.mine;
	node = sp_node_here();
	cache = adopt(node, watched);
	if (!cache) {
		cache = sp_cache_new(node);
		if (!cache)
			return NULL;
		sp_lock(&node->lock);
		hand_out(cache, watched);
		sp_unlock(&node->lock);
	}
	/* There is a thread to be looked at again. */
	sp_reclaim_wake();
	return cache;
}

struct sp_cache *sp_owner_borrow(struct sp_node *node)
{
	struct sp_list *from;
	struct sp_cache *cache = NULL;

	sp_lock(&node->lock);
	from = sp_list_empty(&node->orphans) ? &node->spare : &node->orphans;
	if (!sp_list_empty(from)) {
		cache = container_of(from->next, struct sp_cache, link);
		take_off(cache);
	}
	sp_unlock(&node->lock);
	return cache ? cache : sp_cache_new(node);
}

void sp_owner_return(struct sp_cache *cache)
{
	sp_lock(&cache->node->lock);
	put_down(cache);
	sp_unlock(&cache->node->lock);
	sp_reclaim_wake();
}

void sp_owner_watch(void)
{
	struct sp_cache *cache = sp_me.mine;

	if (!cache)
		return;
	sp_lock(&cache->node->lock);
	/* Getting here may have allocated, and the cache been taken over since. */
	if (atomic_load_explicit(&sp_me.cache, memory_order_relaxed) == cache && !cache->thread)
		hand_out(cache, true);
	sp_unlock(&cache->node->lock);
}

void sp_owner_idle(void)
{
	struct sp_cache *cache = sp_owner_enter();

	if (cache == &sp_cache_none && sp_me.mine && thaw(sp_me.mine))
		cache = sp_me.mine;
	if (cache != &sp_cache_none) {
		sp_cache_trim(cache);
		sp_lock(&cache->node->lock);
		take_off(cache);
		put_down(cache);
		atomic_store_explicit(&sp_me.cache, &sp_cache_none, memory_order_relaxed);
		sp_unlock(&cache->node->lock);
	}
	sp_owner_leave();
	sp_reclaim_wake();
}

void sp_owner_exit(void)
{
	sp_owner_idle();
	sp_me.mine = NULL;
}

/* ---- taking over -------------------------------------------------------- */

/* Hide the caches of idle threads from them; mark those that may be idle. */
static size_t freeze(struct sp_node *node, bool at_once, struct sp_cache **frozen)
{
	size_t n = 0;

	sp_lock(&node->lock);
	for (struct sp_list *l = node->owned.next; l != &node->owned && n < FREEZE_BATCH;
	     l = l->next) {
		struct sp_cache *cache = container_of(l, struct sp_cache, link);
		struct sp_thread *thread = cache->thread;
		/* Acquire pairs with sp_owner_leave(): its last operation is over. */
		uint32_t busy = atomic_load_explicit(&thread->busy, memory_order_acquire);

		if (thread == &sp_me || busy == INSIDE)
			continue;
		if (busy == OUTSIDE && !at_once) {
			atomic_compare_exchange_strong_explicit(&thread->busy, &busy, MARKED,
								memory_order_acquire,
								memory_order_relaxed);
			continue;
		}
		set_state(cache, SP_CACHE_FREEZING);
		atomic_store_explicit(&thread->cache, &sp_cache_none, memory_order_relaxed);
		frozen[n++] = cache;
	}
	sp_unlock(&node->lock);
	return n;
}

/* Behind the membarrier: who is not inside now will find his cache gone. */
static void settle(struct sp_node *node, struct sp_cache **frozen, size_t n, bool fenced)
{
	sp_lock(&node->lock);
	for (size_t i = 0; i < n; i++) {
		struct sp_cache *cache = frozen[i];
		struct sp_thread *thread = cache->thread;

		if (state_of(cache) != SP_CACHE_FREEZING)
			continue;	/* thawed, or its thread has ended */
		if (!fenced ||
		    atomic_load_explicit(&thread->busy, memory_order_acquire) == INSIDE) {
			set_state(cache, SP_CACHE_OWNED);
			atomic_store_explicit(&thread->cache, cache, memory_order_relaxed);
			continue;
		}
		take_off(cache);
		put_down(cache);
	}
	sp_unlock(&node->lock);
}

void sp_owner_take_over(struct sp_node *node, bool at_once)
{
	struct sp_cache *frozen[FREEZE_BATCH];
	size_t n;

	if (!can_freeze || !sp_calls_begin())
		return;
	sp_lock(&sp_owner_lock);
	n = freeze(node, at_once, frozen);
	if (n)
		settle(node, frozen, n, sp_sys_membarrier() == 0);
	sp_unlock(&sp_owner_lock);
	sp_calls_end();
}

bool sp_owner_watching(struct sp_node *node)
{
	bool watching;

	sp_lock(&node->lock);
	watching = can_freeze && !sp_list_empty(&node->owned);
	sp_unlock(&node->lock);
	return watching;
}

static struct sp_cache *take_oldest_orphan(struct sp_node *node)
{
	struct sp_cache *cache = NULL;

	sp_lock(&node->lock);
	if (!sp_list_empty(&node->orphans)) {
		cache = container_of(node->orphans.prev, struct sp_cache, link);
		take_off(cache);
	}
	sp_unlock(&node->lock);
	return cache;
}

void sp_owner_reclaim(struct sp_node *node, uint64_t most)
{
	struct sp_node_counts counts;
	struct sp_cache *cache;

	/* Once each: those that still own something come back to the list. */
	sp_node_counts(node, &counts);
	if (most > counts.orphans)
		most = counts.orphans;
	do {
		/* Who gives back all that is unused waits for what others are about to. */
		sp_lock(&sp_owner_lock);
		cache = most-- ? take_oldest_orphan(node) : NULL;
		if (cache) {
			/* Pairs with push() in remote.c: its state before its inbox. */
			atomic_thread_fence(memory_order_seq_cst);
			sp_cache_trim(cache);
			sp_lock(&node->lock);
			put_down(cache);
			sp_unlock(&node->lock);
		}
		sp_unlock(&sp_owner_lock);
	} while (cache);
}

/* The caches that the child of a fork goes on with; a spare one's inbox is empty. */
static void for_each_inherited(struct sp_node *node, void (*fn)(struct sp_remote *))
{
	for (struct sp_list *l = node->orphans.next; l != &node->orphans; l = l->next)
		fn(&container_of(l, struct sp_cache, link)->remote);
	if (sp_me.mine && sp_me.mine->node == node)
		fn(&sp_me.mine->remote);
}

void sp_owner_fork_prepare(struct sp_node *node)
{
	for_each_inherited(node, sp_remote_keep);
}

void sp_owner_fork_child(struct sp_node *node)
{
	struct sp_list *l = node->owned.next;

	while (l != &node->owned) {
		struct sp_cache *cache = container_of(l, struct sp_cache, link);

		l = l->next;
		if (cache->thread == &sp_me)
			continue;
		/* Its thread may have been inside: nobody's for ever. */
		take_off(cache);
		cache->thread = NULL;
	}
	for_each_inherited(node, sp_remote_restore);
}

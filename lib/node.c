// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#include "meta.h"
#include "node.h"
#include "ready.h"
#include "secure.h"
#include "sys.h"
#include "window.h"

struct sp_node sp_nodes[SP_MAX_NODES];

/* Set by sp_node_init(), then read only; forced also by options. */
static uint64_t mask;
static int forced = SLABPOOL_NODE_LOCAL;

void sp_node_init(uint64_t nodes, uint64_t decay_ms, const struct sp_limits *bounds)
{
	uint64_t now = sp_sys_now_ns();

	mask = nodes;
	sp_ready_init(bounds);
	for (int id = 0; id < SP_MAX_NODES; id++) {
		struct sp_node *node = &sp_nodes[id];

		if (!(nodes >> id & 1))
			continue;
		node->lock.rank = SP_RANK_NODE;
		node->id = id;
		sp_list_init(&node->ready);
		sp_list_init(&node->chunks);
		sp_list_init(&node->owned);
		sp_list_init(&node->orphans);
		sp_list_init(&node->spare);
		for (int kind = 0; kind < SP_KINDS; kind++)
			for (int b = 0; b < SP_BUCKETS; b++)
				sp_list_init(&node->buckets[kind][b]);
		sp_decay_init(&node->decay, decay_ms, now);
		sp_stock_init(&node->stock);
	}
}

uint64_t sp_node_mask(void)
{
	return mask;
}

struct sp_node *sp_node_get(int id)
{
	return id >= 0 && id < SP_MAX_NODES && (mask >> id & 1) ? &sp_nodes[id] : NULL;
}

void sp_node_force(int id)
{
	forced = id;
}

struct sp_node *sp_node_here(void)
{
	int id = forced >= 0 ? forced : sp_sys_this_node();
	struct sp_node *node = sp_node_get(id);

	/* A node of CPUs without memory: the first that has some. */
	return node ? node : &sp_nodes[__builtin_ctzll(mask)];
}

/* ---- buckets ------------------------------------------------------------ */

/*
 * Buckets 0 to 7 hold hpages whose longest run is that long; from 8 on there are
 * four to a doubling: 8-9, 10-11, ... 448-511, 512.  @up: the first bucket in
 * which every hpage fits @n; otherwise the one in which an hpage with run @n lies.
 */
static unsigned int bucket_of(unsigned int n, bool up)
{
	unsigned int top;

	if (n <= 8)
		return n;
	top = 31 - (unsigned int)__builtin_clz(n);
	if (up) {
		n += (1u << (top - 2)) - 1;
		top = 31 - (unsigned int)__builtin_clz(n);
	}
	return 8 + (top - 3) * 4 + ((n >> (top - 2)) & 3);
}

static void bucket_remove(struct sp_node *node, struct sp_hpage *hpage)
{
	unsigned int b = bucket_of(hpage->longest, false);
	struct sp_list *list = &node->buckets[hpage->kind][b];

	if (hpage->longest == 0)
		return;
	sp_list_remove(&hpage->link);
	if (sp_list_empty(list))
		node->filled[hpage->kind] &= ~(1ull << b);
}

/* Nearly sorted is enough: fuller than the first goes first, else behind it. */
static void bucket_insert(struct sp_node *node, struct sp_hpage *hpage)
{
	unsigned int b = bucket_of(hpage->longest, false);
	struct sp_list *list = &node->buckets[hpage->kind][b];
	struct sp_hpage *first = container_of(list->next, struct sp_hpage, link);

	if (hpage->longest == 0)
		return;		/* full: its first chunk that comes back brings it here */
	if (sp_list_empty(list) || hpage->nused >= first->nused)
		sp_list_push(list, &hpage->link);
	else
		sp_list_insert(&hpage->link, list->next, list->next->next);
	node->filled[hpage->kind] |= 1ull << b;
}

/* The hpage to divide further, and where; -1: none fits. */
static int find_run(struct sp_node *node, enum sp_kind kind, unsigned int units,
		    unsigned int align, struct sp_hpage **found)
{
	uint64_t fits = node->filled[kind] & (~0ull << bucket_of(units, true));

	while (fits) {
		unsigned int b = (unsigned int)__builtin_ctzll(fits);
		struct sp_list *list = &node->buckets[kind][b];
		struct sp_hpage *hpage = container_of(list->next, struct sp_hpage, link);
		int at = sp_hpage_find(hpage, units, align);

		if (at >= 0) {
			*found = hpage;
			return at;
		}
		fits &= fits - 1;	/* only an alignment fails here */
	}
	return -1;
}

/* ---- chunks ------------------------------------------------------------- */

static struct sp_chunk *take_descriptor(struct sp_node *node)
{
	struct sp_chunk *chunk = container_of(node->chunks.next, struct sp_chunk, link);

	if (sp_list_empty(&node->chunks)) {
		chunk = sp_meta_alloc(sizeof(*chunk));
		if (!chunk)
			return NULL;
		sp_list_init(&chunk->link);
		chunk->node = node;
		return chunk;
	}
	sp_list_remove(&chunk->link);
	return chunk;
}

static void give_descriptor(struct sp_node *node, struct sp_chunk *chunk)
{
	sp_chunk_set_state(chunk, SP_CHUNK_UNUSED);
	sp_list_push(&node->chunks, &chunk->link);
}

/* Where there is room; the lock is held, and let go while the node grows. */
static int find_or_add(struct sp_node *node, enum sp_kind kind, unsigned int units,
		       unsigned int align, struct sp_hpage **found)
{
	int at = find_run(node, kind, units, align, found);
	struct sp_hpage *more;

	if (at >= 0)
		return at;
	more = sp_ready_obtain(node);
	if (!more)
		return -1;
	/* Others may have grown too: whose room is not needed is ready for the next. */
	at = find_run(node, kind, units, align, found);
	if (at >= 0) {
		sp_ready_add(node, more, sp_sys_now_ns());
		return at;
	}
	more->state = SP_HPAGE_RUNS;
	more->kind = kind;
	bucket_insert(node, more);
	*found = more;
	return sp_hpage_find(more, units, align);
}

/* Divide an hpage; the lock as above. */
static bool take_run(struct sp_node *node, struct sp_chunk *chunk, enum sp_kind kind,
		     unsigned int units, unsigned int align)
{
	struct sp_hpage *hpage;
	int at = find_or_add(node, kind, units, align, &hpage);

	if (at < 0)
		return false;
	bucket_remove(node, hpage);
	chunk->zero = sp_hpage_take(hpage, (unsigned int)at, units);
	bucket_insert(node, hpage);
	chunk->addr = hpage->addr + (size_t)at * SP_UNIT;
	chunk->units = (uint16_t)units;
	node->active += units * SP_UNIT;
	return true;
}

struct sp_chunk *sp_node_take_chunk(struct sp_node *node, enum sp_kind kind,
				    unsigned int units, unsigned int align,
				    unsigned int entered)
{
	struct sp_chunk *chunk;
	uint64_t before, ready;

	sp_lock(&node->lock);
	before = node->decay.total;
	chunk = take_descriptor(node);
	if (chunk && !take_run(node, chunk, kind, units, align)) {
		give_descriptor(node, chunk);
		chunk = NULL;
	}
	if (chunk)
		sp_chunk_enter(chunk, chunk->addr, entered);
	ready = node->decay.total;
	sp_unlock(&node->lock);
	sp_ready_changed(before, ready);
	return chunk;
}

/*
 * Adjoining ready hpages; the lock is held.  Not at the cost of the stock: the owner
 * of a huge object may never touch it all.
 */
static bool take_ready_huge(struct sp_node *node, struct sp_chunk *chunk, size_t hpages,
			    size_t align)
{
	struct sp_hpage *first = NULL;

	if (node->decay.total >= hpages + node->stock.target)
		first = sp_window_find_ready(hpages, align, node->id);
	if (!first)
		return false;
	chunk->zero = true;
	for (size_t i = 0; i < hpages; i++) {
		struct sp_hpage *hpage = sp_window_hpage(first->addr + i * SP_HPAGE);

		sp_ready_remove(node, hpage);
		hpage->state = SP_HPAGE_HUGE;
		chunk->zero = chunk->zero && sp_hpage_is_clean(hpage);
	}
	sp_decay_reuse(&node->decay, (uint32_t)hpages);
	chunk->addr = first->addr;
	return true;
}

static bool take_fresh_huge(struct sp_node *node, struct sp_chunk *chunk, size_t hpages,
			    size_t align)
{
	struct sp_extent extent;

	if (sp_ready_commit(node, hpages, align, SP_TOUCH_LAZY, false, &extent))
		return false;
	for (size_t i = 0; i < hpages; i++) {
		struct sp_hpage *hpage = sp_window_hpage(extent.addr + i * SP_HPAGE);

		sp_list_init(&hpage->link);
		hpage->addr = extent.addr + i * SP_HPAGE;
		hpage->state = SP_HPAGE_HUGE;
		hpage->resident = false;
		sp_hpage_reset(hpage);
	}
	chunk->addr = extent.addr;
	chunk->zero = true;
	return true;
}

struct sp_chunk *sp_node_take_huge(struct sp_node *node, size_t hpages, size_t align)
{
	struct sp_chunk *chunk;
	bool found;

	sp_lock(&node->lock);
	chunk = take_descriptor(node);
	found = chunk && take_ready_huge(node, chunk, hpages, align);
	sp_unlock(&node->lock);
	if (!chunk)
		return NULL;
	if (!found)
		found = take_fresh_huge(node, chunk, hpages, align);
	sp_lock(&node->lock);
	if (found) {
		chunk->units = 0;
		chunk->hpages = hpages;
		node->active += hpages * SP_HPAGE;
		sp_chunk_enter(chunk, chunk->addr, 1);
	} else {
		give_descriptor(node, chunk);
		chunk = NULL;
	}
	sp_unlock(&node->lock);
	return chunk;
}

/* The lock is held for the four below. */
static void give_run(struct sp_node *node, struct sp_chunk *chunk, uint64_t now)
{
	struct sp_hpage *hpage = sp_window_hpage(chunk->addr);
	unsigned int at = (unsigned int)((size_t)(chunk->addr - hpage->addr) >> SP_UNIT_SHIFT);

	bucket_remove(node, hpage);
	sp_hpage_give(hpage, at, chunk->units);
	node->active -= chunk->units * SP_UNIT;
	if (hpage->nused == 0)
		sp_ready_add(node, hpage, now);
	else
		bucket_insert(node, hpage);
}

static void give_huge(struct sp_node *node, struct sp_chunk *chunk, uint64_t now)
{
	for (size_t i = 0; i < chunk->hpages; i++) {
		struct sp_hpage *hpage = sp_window_hpage(chunk->addr + i * SP_HPAGE);

		for (size_t w = 0; w < SP_HPAGE_WORDS; w++)
			hpage->dirty[w] = ~0ull;
		sp_ready_add(node, hpage, now);
	}
	node->active -= chunk->hpages * SP_HPAGE;
}

/* Secure: on its way to the source, see sp_ready_return(). */
static void let_go_huge(struct sp_node *node, struct sp_chunk *chunk)
{
	for (size_t i = 0; i < chunk->hpages; i++)
		sp_window_hpage(chunk->addr + i * SP_HPAGE)->state = SP_HPAGE_FREE;
	node->active -= chunk->hpages * SP_HPAGE;
}

static void give(struct sp_node *node, struct sp_chunk *chunk, unsigned int entered,
		 uint64_t now)
{
	atomic_store_explicit(&chunk->owner, 0, memory_order_relaxed);
	sp_chunk_enter(&sp_no_chunk, chunk->addr, entered);
	if (chunk->units)
		give_run(node, chunk, now);
	else if (sp_secure.on)
		let_go_huge(node, chunk);
	else
		give_huge(node, chunk, now);
	give_descriptor(node, chunk);
}

void sp_node_give_chunk(struct sp_chunk *chunk, unsigned int entered)
{
	struct sp_node *node = chunk->node;
	uint64_t now = sp_sys_now_ns();
	uint64_t before, ready;

	sp_lock(&node->lock);
	before = node->decay.total;
	give(node, chunk, entered, now);
	ready = node->decay.total;
	sp_unlock(&node->lock);
	sp_ready_changed(before, ready);
}

bool sp_node_give_large(struct sp_chunk *chunk, const void *ptr)
{
	struct sp_node *node = chunk->node;
	uint64_t now = sp_sys_now_ns();
	size_t huge = 0;
	uint64_t before, ready;
	bool ours, is_huge;

	sp_lock(&node->lock);
	is_huge = sp_chunk_state(chunk) == SP_CHUNK_HUGE;
	ours = chunk->addr == ptr &&
	       sp_chunk_retire(chunk, is_huge ? SP_CHUNK_HUGE : SP_CHUNK_LARGE, SP_CHUNK_UNUSED);
	before = node->decay.total;
	if (ours && sp_secure.on && is_huge)
		huge = chunk->hpages;
	if (ours)
		give(node, chunk, 1, now);
	ready = node->decay.total;
	sp_unlock(&node->lock);
	sp_ready_changed(before, ready);
	if (huge)
		sp_ready_return(node, (char *)ptr, huge);
	return ours;
}

void sp_node_counts(struct sp_node *node, struct sp_node_counts *counts)
{
	sp_lock(&node->lock);
	*counts = (struct sp_node_counts){
		.unused = node->decay.total * SP_HPAGE,
		.active = node->active,
		.orphans = node->norphans,
		.resident = node->resident * SP_HPAGE,
		.hits = node->hits,
		.misses = node->misses,
		.fills = node->fills,
	};
	sp_unlock(&node->lock);
}

bool sp_node_check(struct sp_node *node)
{
	uint64_t ready = 0, resident = 0;
	bool ok = true;

	sp_lock(&node->lock);
	for (struct sp_list *l = node->ready.next; l != &node->ready; l = l->next) {
		ready++;
		resident += container_of(l, struct sp_hpage, link)->resident;
	}
	ok = ready == node->decay.total && resident == node->resident;
	for (int kind = 0; kind < SP_KINDS; kind++) {
		for (unsigned int b = 0; b < SP_BUCKETS; b++) {
			struct sp_list *list = &node->buckets[kind][b];

			ok = ok && sp_list_empty(list) == !(node->filled[kind] >> b & 1);
			for (struct sp_list *l = list->next; l != list; l = l->next) {
				struct sp_hpage *h = container_of(l, struct sp_hpage, link);

				ok = ok && sp_hpage_check(h) && h->state == SP_HPAGE_RUNS &&
				     h->nused && h->kind == kind && bucket_of(h->longest, false) == b;
			}
		}
	}
	sp_unlock(&node->lock);
	return ok;
}

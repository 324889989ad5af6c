// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#include "fatal.h"
#include "meta.h"
#include "node.h"
#include "reclaim.h"
#include "secure.h"
#include "sys.h"

#define PURGE_BATCH	64	/* hpages given back with one system call */
#define META_OF_HPAGE	(64 * sizeof(struct sp_chunk))	/* more is rarely needed */

struct sp_node sp_nodes[SP_MAX_NODES];
struct sp_lock sp_purge_lock = SP_LOCK_INIT(SP_RANK_PURGE);

/* Set by sp_node_init(), then read only; forced also by options. */
static uint64_t mask;
static int forced = SLABPOOL_NODE_LOCAL;
static struct sp_limits limits;
static _Atomic uint64_t presses;	/* relaxed: a statistic */

void sp_node_init(uint64_t nodes, uint64_t decay_ms, const struct sp_limits *bounds)
{
	uint64_t now = sp_sys_now_ns();

	mask = nodes;
	limits = *bounds;
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
 * four to a doubling: 8-9, 10-11, ... 224-255, 256.  @up: the first bucket in
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
		node->filled[hpage->kind] &= ~(1u << b);
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
	node->filled[hpage->kind] |= 1u << b;
}

/* The hpage to divide further, and where; -1: none fits. */
static int find_run(struct sp_node *node, enum sp_kind kind, unsigned int units,
		    unsigned int align, struct sp_hpage **found)
{
	uint32_t fits = node->filled[kind] & (~0u << bucket_of(units, true));

	while (fits) {
		unsigned int b = (unsigned int)__builtin_ctz(fits);
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

/* ---- the limits' side --------------------------------------------------- */

bool sp_node_is_pressed(void)
{
	return limits.soft && sp_space_committed() > limits.soft;
}

uint64_t sp_node_presses(void)
{
	return atomic_load_explicit(&presses, memory_order_relaxed);
}

/* Committed has risen by @size. */
static void look_at_growth(size_t size)
{
	uint64_t committed = sp_space_committed();

	if (!limits.soft || committed <= limits.soft || committed - size > limits.soft)
		return;
	atomic_fetch_add_explicit(&presses, 1, memory_order_relaxed);
	sp_reclaim_press();
}

/* @ready hpages are ready, and @before were.  No lock held. */
static void look_at(uint64_t before, uint64_t ready)
{
	if (sp_limit_crossed(&limits, before, ready))
		sp_reclaim_press();
	else if (ready && (before == 0 || limits.floor))
		sp_reclaim_wake();	/* with a floor it may sleep beside some */
}

/* ---- ready hpages ------------------------------------------------------- */

static void make_ready(struct sp_node *node, struct sp_hpage *hpage, uint64_t now)
{
	hpage->state = SP_HPAGE_READY;
	if (hpage->resident)
		sp_list_push(&node->ready, &hpage->link);
	else
		sp_list_push_tail(&node->ready, &hpage->link);
	node->resident += hpage->resident;
	sp_space_mark_ready(hpage, true);
	sp_decay_add(&node->decay, now, 1);
}

/* On its way: whoever holds the lock next must not take it for memory in use. */
static void unready(struct sp_node *node, struct sp_hpage *hpage)
{
	hpage->state = SP_HPAGE_FREE;
	sp_list_remove(&hpage->link);
	node->resident -= hpage->resident;
	sp_space_mark_ready(hpage, false);
}

static struct sp_hpage *pop_ready(struct sp_node *node)
{
	struct sp_hpage *hpage = container_of(node->ready.next, struct sp_hpage, link);

	if (sp_list_empty(&node->ready))
		return NULL;
	unready(node, hpage);
	sp_decay_reuse(&node->decay, 1);
	return hpage;
}

/* How many ready hpages a purge leaves; the lock is held. */
static uint64_t may_stay(struct sp_node *node, uint64_t now_ns, enum sp_purge how)
{
	uint64_t committed = sp_space_committed(), unused = node->decay.total;

	if (how == SP_PURGE_ALL)
		return 0;
	if (how == SP_PURGE_UNUSED)
		return sp_limit_kept(&limits, committed, unused);
	sp_decay_set_speed(&node->decay, sp_limit_speed(&limits, committed));
	return sp_limit_stay(&limits, committed, unused,
			     sp_decay_limit(&node->decay, now_ns));
}

/*
 * The purge lock is held, also during the decommit: who is short of memory must
 * find what another one is just giving back.
 */
static size_t purge(struct sp_node *node, uint64_t now_ns, enum sp_purge how)
{
	struct sp_extent extents[PURGE_BATCH];
	size_t given = 0, n;

	do {
		uint64_t stay, resident;

		n = 0;
		sp_lock(&node->lock);
		stay = may_stay(node, now_ns, how);
		resident = node->resident;
		while (n < PURGE_BATCH && node->decay.total > stay) {
			struct sp_hpage *hpage = container_of(node->ready.prev,
							      struct sp_hpage, link);

			unready(node, hpage);
			sp_decay_purged(&node->decay, 1);
			extents[n++] = sp_space_extent(hpage, 1, node->id);
		}
		if (how != SP_PURGE_OLD)
			sp_stock_init(&node->stock);
		else
			sp_stock_shrink(&node->stock, resident - node->resident, node->resident);
		sp_unlock(&node->lock);
		if (n)
			sp_space_decommit(extents, n);
		for (size_t i = 0; i < n; i++)
			sp_space_give(&extents[i]);
		given += n * SP_HPAGE;
	} while (n == PURGE_BATCH);
	return given;
}

size_t sp_node_purge(struct sp_node *node, uint64_t now_ns, enum sp_purge how)
{
	size_t given;

	sp_lock(&sp_purge_lock);
	given = purge(node, now_ns, how);
	sp_unlock(&sp_purge_lock);
	return given;
}

uint64_t sp_node_next_purge(struct sp_node *node, uint64_t now_ns)
{
	uint64_t next = UINT64_MAX, unused;

	sp_lock(&node->lock);
	unused = node->decay.total;
	/* What the floor keeps nobody has to look at again. */
	if (unused > sp_limit_kept(&limits, sp_space_committed(), unused))
		next = may_stay(node, now_ns, SP_PURGE_OLD) < unused ? 0 :
		       sp_decay_next(&node->decay, now_ns);
	sp_unlock(&node->lock);
	return next;
}

void sp_node_drop_ready(struct sp_node *node, uint64_t decay_ms)
{
	struct sp_hpage *hpage;

	while ((hpage = pop_ready(node))) {
		struct sp_extent extent = sp_space_extent(hpage, 1, node->id);

		sp_space_forget(&extent);
	}
	sp_decay_init(&node->decay, decay_ms, sp_sys_now_ns());
}

void sp_node_fork_child(struct sp_node *node)
{
	sp_stock_init(&node->stock);
}

/* ---- growing ------------------------------------------------------------ */

static int take_from(const struct sp_backend *source, struct sp_node *node,
		     size_t hpages, size_t align, enum sp_touch touch,
		     struct sp_extent *extent)
{
	int err = sp_space_take(source, hpages, align, node->id, extent);

	if (err)
		return err;
	err = sp_space_commit(extent, touch);
	if (err)
		sp_space_give(extent);
	return err;
}

/*
 * Over the limit, no addresses, or the source is empty: our own reserve first.
 * Nobody adds to it meanwhile, and what is just being added is waited for.
 */
static int take_reserve(const struct sp_backend *source, struct sp_node *node,
			size_t hpages, size_t align, enum sp_touch touch,
			struct sp_extent *extent)
{
	int err;

	sp_lock(&sp_purge_lock);
	for (int id = 0; id < SP_MAX_NODES; id++)
		if (sp_node_get(id))
			purge(&sp_nodes[id], 0, SP_PURGE_ALL);
	err = take_from(source, node, hpages, align, touch, extent);
	sp_unlock(&sp_purge_lock);
	return err;
}

/*
 * The best source first, each time: its pool may have been filled again.
 * @modest: not at the reserve's cost, of which it shall be a part.
 */
static int take_committed(struct sp_node *node, size_t hpages, size_t align,
			  enum sp_touch touch, bool modest, struct sp_extent *extent)
{
	const struct sp_backend *source;
	int err = -ENOMEM;

	for (size_t i = 0; (source = sp_space_source_at(i)); i++) {
		err = take_from(source, node, hpages, align, touch, extent);
		if (err && !modest)
			err = take_reserve(source, node, hpages, align, touch, extent);
		if (!err)
			look_at_growth(extent->size);
		if (!err || err == -EDQUOT)
			return err;
	}
	return err;
}

/* An hpage nobody else sees yet, committed.  No lock of a node held. */
static int grow(struct sp_node *node, enum sp_touch touch, bool modest,
		struct sp_hpage **grown)
{
	struct sp_extent extent;
	struct sp_hpage *hpage;
	int err = take_committed(node, 1, SP_HPAGE, touch, modest, &extent);

	if (err)
		return err;
	hpage = sp_space_hpage(extent.addr);
	sp_list_init(&hpage->link);
	hpage->addr = extent.addr;
	hpage->resident = touch == SP_TOUCH_ALL;
	sp_hpage_reset(hpage);
	*grown = hpage;
	return 0;
}

int sp_node_first_hpage(struct sp_node *node)
{
	struct sp_hpage *hpage;
	int err = grow(node, SP_TOUCH_SMALL, false, &hpage);

	if (err)
		return err;
	/* Not populated, and that is meant: a process may never need it all. */
	hpage->resident = true;
	sp_lock(&node->lock);
	make_ready(node, hpage, sp_sys_now_ns());
	sp_unlock(&node->lock);
	return 0;
}

/* Touch what a huge object's owner left untouched.  No lock of a node held. */
static bool make_resident(struct sp_node *node, struct sp_hpage *hpage)
{
	struct sp_extent extent = sp_space_extent(hpage, 1, node->id);

	hpage->resident = sp_space_populate(&extent) == 0;
	if (!hpage->resident) {
		/* The source has dropped it: the address is free. */
		sp_space_decommit(&extent, 1);
		sp_space_give(&extent);
	}
	return hpage->resident;
}

/*
 * An hpage to divide, or NULL.  Called and left with the lock held, and let go
 * while the node grows.
 */
static struct sp_hpage *obtain(struct sp_node *node)
{
	struct sp_hpage *hpage = pop_ready(node);
	int err = 0;

	if (hpage && hpage->resident) {
		node->hits++;
		return hpage;
	}
	node->misses++;
	sp_stock_miss(&node->stock);
	sp_unlock(&node->lock);
	sp_reclaim_hurry();
	if (!hpage || !make_resident(node, hpage))
		err = grow(node, SP_TOUCH_ALL, false, &hpage);
	sp_lock(&node->lock);
	return err ? NULL : hpage;
}

/* ---- the stock ---------------------------------------------------------- */

/* An hpage that is ready but not resident, off the list; NULL: there is none. */
static struct sp_hpage *take_untouched(struct sp_node *node)
{
	struct sp_hpage *hpage = container_of(node->ready.prev, struct sp_hpage, link);

	if (sp_list_empty(&node->ready) || hpage->resident)
		return NULL;
	unready(node, hpage);
	sp_decay_reuse(&node->decay, 1);
	return hpage;
}

/*
 * One hpage, if it is still missing.  Under the purge lock, so that neither a fork
 * nor who is short of memory comes in between.  -errno: there is none to be had.
 */
static int add_to_stock(struct sp_node *node, uint64_t now)
{
	struct sp_hpage *hpage;
	bool missing;
	int err = 0;

	sp_lock(&node->lock);
	missing = node->resident < node->stock.target;
	hpage = missing ? take_untouched(node) : NULL;
	sp_unlock(&node->lock);
	if (!missing)
		return 0;
	if (!hpage || !make_resident(node, hpage))
		err = grow(node, SP_TOUCH_ALL, true, &hpage);
	if (!err)
		sp_secure_populate(hpage->addr, SP_HPAGE);
	sp_lock(&node->lock);
	if (err) {
		sp_stock_init(&node->stock);
	} else {
		make_ready(node, hpage, now);
		node->fills++;
	}
	sp_unlock(&node->lock);
	return err;
}

/* The lock is held.  Where nothing may stay unused, nothing is kept ready either. */
static uint32_t most_in_stock(const struct sp_node *node)
{
	uint64_t share = sp_limit_most(&limits, node->active / SP_HPAGE / SP_STOCK_SHARE);

	if (node->decay.step_ns == 0 || sp_node_is_pressed())
		return 0;
	return share < SP_STOCK_MAX ? (uint32_t)share : SP_STOCK_MAX;
}

uint64_t sp_node_fill_stock(struct sp_node *node, uint64_t now)
{
	struct sp_stock *stock = &node->stock;
	uint32_t target = 0, missing = 0;
	uint64_t next;
	int err = 0;

	sp_lock(&node->lock);
	if (sp_stock_due(stock, now)) {
		sp_stock_look(stock, now, node->resident, most_in_stock(node));
		target = stock->target;
		if (target > node->resident)
			missing = target - (uint32_t)node->resident;
	}
	next = stock->next_ns;
	sp_unlock(&node->lock);
	if (missing)
		sp_meta_populate(target * META_OF_HPAGE);
	while (missing-- && !err) {
		sp_lock(&sp_purge_lock);
		err = add_to_stock(node, now);
		sp_unlock(&sp_purge_lock);
	}
	if (err || next == UINT64_MAX)
		return UINT64_MAX;
	return next > now ? next - now : 0;
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
	chunk->state = SP_CHUNK_UNUSED;
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
	more = obtain(node);
	if (!more)
		return -1;
	/* Others may have grown too: whose room is not needed is ready for the next. */
	at = find_run(node, kind, units, align, found);
	if (at >= 0) {
		make_ready(node, more, sp_sys_now_ns());
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
	look_at(before, ready);
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
		first = sp_space_find_ready(hpages, align, node->id);
	if (!first)
		return false;
	chunk->zero = true;
	for (size_t i = 0; i < hpages; i++) {
		struct sp_hpage *hpage = sp_space_hpage(first->addr + i * SP_HPAGE);

		unready(node, hpage);
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

	if (take_committed(node, hpages, align, SP_TOUCH_LAZY, false, &extent))
		return false;
	for (size_t i = 0; i < hpages; i++) {
		struct sp_hpage *hpage = sp_space_hpage(extent.addr + i * SP_HPAGE);

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
	struct sp_hpage *hpage = sp_space_hpage(chunk->addr);
	unsigned int at = (unsigned int)((size_t)(chunk->addr - hpage->addr) >> SP_UNIT_SHIFT);

	bucket_remove(node, hpage);
	sp_hpage_give(hpage, at, chunk->units);
	node->active -= chunk->units * SP_UNIT;
	if (hpage->nused == 0)
		make_ready(node, hpage, now);
	else
		bucket_insert(node, hpage);
}

static void give_huge(struct sp_node *node, struct sp_chunk *chunk, uint64_t now)
{
	for (size_t i = 0; i < chunk->hpages; i++) {
		struct sp_hpage *hpage = sp_space_hpage(chunk->addr + i * SP_HPAGE);

		for (size_t w = 0; w < SP_HPAGE_WORDS; w++)
			hpage->dirty[w] = ~0ull;
		make_ready(node, hpage, now);
	}
	node->active -= chunk->hpages * SP_HPAGE;
}

/* Secure: on its way to the source, see return_huge(). */
static void let_go_huge(struct sp_node *node, struct sp_chunk *chunk)
{
	for (size_t i = 0; i < chunk->hpages; i++)
		sp_space_hpage(chunk->addr + i * SP_HPAGE)->state = SP_HPAGE_FREE;
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
	look_at(before, ready);
}

/*
 * Secure: what a huge object held is nobody's to see again, and clearing all of it
 * would touch what its owner never did.  No lock held.
 */
static void return_huge(struct sp_node *node, char *addr, size_t hpages)
{
	struct sp_extent extents[PURGE_BATCH];

	while (hpages) {
		size_t n = hpages < PURGE_BATCH ? hpages : PURGE_BATCH;

		/* One by one: they may be of several sources. */
		for (size_t i = 0; i < n; i++, addr += SP_HPAGE)
			extents[i] = sp_space_extent(sp_space_hpage(addr), 1, node->id);
		sp_space_decommit(extents, n);
		for (size_t i = 0; i < n; i++)
			sp_space_give(&extents[i]);
		hpages -= n;
	}
}

bool sp_node_give_large(struct sp_chunk *chunk, const void *ptr)
{
	struct sp_node *node = chunk->node;
	uint64_t now = sp_sys_now_ns();
	size_t huge = 0;
	uint64_t before, ready;
	bool ours;

	sp_lock(&node->lock);
	ours = (chunk->state == SP_CHUNK_LARGE || chunk->state == SP_CHUNK_HUGE) &&
	       chunk->addr == ptr;
	before = node->decay.total;
	if (ours && sp_secure.on && chunk->state == SP_CHUNK_HUGE)
		huge = chunk->hpages;
	if (ours)
		give(node, chunk, 1, now);
	ready = node->decay.total;
	sp_unlock(&node->lock);
	look_at(before, ready);
	if (huge)
		return_huge(node, (char *)ptr, huge);
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

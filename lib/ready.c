// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#include <string.h>

#include "calls.h"
#include "commit.h"
#include "meta.h"
#include "ready.h"
#include "reclaim.h"
#include "secure.h"
#include "source.h"
#include "sys.h"
#include "unshare.h"
#include "window.h"

#define PURGE_BATCH	64	/* hpages given back with one system call */
#define META_OF_HPAGE	(64 * sizeof(struct sp_chunk))	/* more is rarely needed */

struct sp_lock sp_purge_lock = SP_LOCK_INIT(SP_RANK_PURGE);

static struct sp_limits limits;		/* set by sp_ready_init(), then read only */
static _Atomic uint64_t presses;	/* relaxed: a statistic */

/* Hpages of base pages that nobody populated; guarded by sp_purge_lock. */
static struct {
	struct sp_node *node;
	struct sp_hpage *hpage;
} small[SP_KINDS];
static _Atomic unsigned int nsmall;	/* read without it: relaxed, looked at again */

void sp_ready_init(const struct sp_limits *bounds)
{
	limits = *bounds;
}

/* ---- the limits' side --------------------------------------------------- */

bool sp_node_is_pressed(void)
{
	return limits.soft && sp_committed() > limits.soft;
}

uint64_t sp_node_presses(void)
{
	return atomic_load_explicit(&presses, memory_order_relaxed);
}

/* Committed has risen by @size. */
static void look_at_growth(size_t size)
{
	uint64_t committed = sp_committed();

	if (!limits.soft || committed <= limits.soft || committed - size > limits.soft)
		return;
	atomic_fetch_add_explicit(&presses, 1, memory_order_relaxed);
	sp_reclaim_press();
}

void sp_ready_changed(uint64_t before, uint64_t ready)
{
	if (sp_limit_crossed(&limits, before, ready))
		sp_reclaim_press();
	else if (ready && (before == 0 || limits.floor))
		sp_reclaim_wake();	/* with a floor it may sleep beside some */
}

/* ---- ready hpages ------------------------------------------------------- */

void sp_ready_add(struct sp_node *node, struct sp_hpage *hpage, uint64_t now)
{
	hpage->state = SP_HPAGE_READY;
	if (hpage->resident)
		sp_list_push(&node->ready, &hpage->link);
	else
		sp_list_push_tail(&node->ready, &hpage->link);
	node->resident += hpage->resident;
	sp_window_mark_ready(hpage, true);
	sp_decay_add(&node->decay, now, 1);
}

void sp_ready_remove(struct sp_node *node, struct sp_hpage *hpage)
{
	hpage->state = SP_HPAGE_FREE;
	sp_list_remove(&hpage->link);
	node->resident -= hpage->resident;
	sp_window_mark_ready(hpage, false);
}

static struct sp_hpage *pop_ready(struct sp_node *node)
{
	struct sp_hpage *hpage = container_of(node->ready.next, struct sp_hpage, link);

	if (sp_list_empty(&node->ready))
		return NULL;
	sp_ready_remove(node, hpage);
	sp_decay_reuse(&node->decay, 1);
	return hpage;
}

/* How many ready hpages a purge leaves; the lock is held. */
static uint64_t may_stay(struct sp_node *node, uint64_t now_ns, enum sp_purge how)
{
	uint64_t committed = sp_committed(), unused = node->decay.total;

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

			sp_ready_remove(node, hpage);
			sp_decay_purged(&node->decay, 1);
			extents[n++] = sp_window_extent(hpage, 1, node->id);
		}
		if (how != SP_PURGE_OLD)
			sp_stock_init(&node->stock);
		else
			sp_stock_shrink(&node->stock, resident - node->resident, node->resident);
		sp_unlock(&node->lock);
		if (n)
			sp_decommit(extents, n);
		for (size_t i = 0; i < n; i++)
			sp_window_give(&extents[i]);
		given += n * SP_HPAGE;
	} while (n == PURGE_BATCH);
	return given;
}

size_t sp_node_purge(struct sp_node *node, uint64_t now_ns, enum sp_purge how)
{
	size_t given;

	if (!sp_calls_begin())
		return 0;
	sp_lock(&sp_purge_lock);
	given = purge(node, now_ns, how);
	sp_unlock(&sp_purge_lock);
	sp_calls_end();
	return given;
}

uint64_t sp_node_next_purge(struct sp_node *node, uint64_t now_ns)
{
	uint64_t next = UINT64_MAX, unused;

	sp_lock(&node->lock);
	unused = node->decay.total;
	/* What the floor keeps nobody has to look at again. */
	if (unused > sp_limit_kept(&limits, sp_committed(), unused))
		next = may_stay(node, now_ns, SP_PURGE_OLD) < unused ? 0 :
		       sp_decay_next(&node->decay, now_ns);
	sp_unlock(&node->lock);
	return next;
}

void sp_node_drop_ready(struct sp_node *node, uint64_t decay_ms)
{
	struct sp_hpage *hpage;

	while ((hpage = pop_ready(node))) {
		struct sp_extent extent = sp_window_extent(hpage, 1, node->id);

		sp_unshare_forget(&extent);
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
	int err = sp_window_take(source, hpages, align, node->id, extent);

	if (err)
		return err;
	err = sp_commit(extent, touch);
	if (err)
		sp_window_give(extent);
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

int sp_ready_commit(struct sp_node *node, size_t hpages, size_t align,
		    enum sp_touch touch, bool modest, struct sp_extent *extent)
{
	const struct sp_backend *source;
	int err = -ENOMEM;

	if (!sp_calls_begin())
		return -EPERM;
	for (size_t i = 0; (source = sp_source_at(i)); i++) {
		err = take_from(source, node, hpages, align, touch, extent);
		if (err && !modest)
			err = take_reserve(source, node, hpages, align, touch, extent);
		if (!err)
			look_at_growth(extent->size);
		if (!err || err == -EDQUOT)
			break;
	}
	sp_calls_end();
	return err;
}

/* An hpage nobody else sees yet, committed.  No lock of a node held. */
static int grow(struct sp_node *node, enum sp_touch touch, bool modest,
		struct sp_hpage **grown)
{
	struct sp_extent extent;
	struct sp_hpage *hpage;
	int err = sp_ready_commit(node, 1, SP_HPAGE, touch, modest, &extent);

	if (err)
		return err;
	hpage = sp_window_hpage(extent.addr);
	sp_list_init(&hpage->link);
	hpage->addr = extent.addr;
	hpage->resident = touch == SP_TOUCH_ALL;
	sp_hpage_reset(hpage);
	*grown = hpage;
	return 0;
}

/* An hpage that is not populated, for it may never be needed all. */
static int grow_small(struct sp_node *node, struct sp_hpage **grown)
{
	unsigned int n;
	int err = grow(node, SP_TOUCH_SMALL, false, grown);

	if (err)
		return err;
	(*grown)->resident = true;
	sp_lock(&sp_purge_lock);
	n = atomic_load_explicit(&nsmall, memory_order_relaxed);
	if (n < ARRAY_SIZE(small)) {
		small[n].node = node;
		small[n].hpage = *grown;
		atomic_store_explicit(&nsmall, n + 1, memory_order_relaxed);
	}
	sp_unlock(&sp_purge_lock);
	return 0;
}

static bool stays_small(void)
{
	return sp_committed() < SP_KINDS * SP_HPAGE;
}

/*
 * If the process has not stayed small: what it did not touch of the first hpages is
 * touched now, or it would be one day, in the middle of steady use.  One at a time.
 */
static void populate_small(void)
{
	struct sp_node *node;
	struct sp_hpage *hpage;
	unsigned int n;
	bool used;

	/* Locked down, all of them is touched. */
	if (!atomic_load_explicit(&nsmall, memory_order_relaxed) || stays_small() ||
	    sp_calls_forbidden())
		return;
	sp_lock(&sp_purge_lock);
	n = atomic_load_explicit(&nsmall, memory_order_relaxed);
	if (n && sp_calls_begin()) {
		atomic_store_explicit(&nsmall, --n, memory_order_relaxed);
		node = small[n].node;
		hpage = small[n].hpage;
		sp_lock(&node->lock);
		used = hpage->state == SP_HPAGE_READY || hpage->state == SP_HPAGE_RUNS;
		sp_unlock(&node->lock);
		/*
		 * Who would give it back meanwhile waits for the lock.  Only as a part of a
		 * huge object it may go before it is touched, and reads zero all the same.
		 */
		if (used)
			sp_sys_populate(hpage->addr, SP_HPAGE);
		sp_calls_end();
	}
	sp_unlock(&sp_purge_lock);
}

int sp_node_first_hpage(struct sp_node *node)
{
	struct sp_hpage *hpage;
	int err = grow_small(node, &hpage);

	if (err)
		return err;
	sp_lock(&node->lock);
	sp_ready_add(node, hpage, sp_sys_now_ns());
	sp_unlock(&node->lock);
	return 0;
}

/* Touch what a huge object's owner left untouched.  No lock of a node held. */
static bool make_resident(struct sp_node *node, struct sp_hpage *hpage)
{
	struct sp_extent extent = sp_window_extent(hpage, 1, node->id);

	/* Locked down: all that is there was touched, or is just being. */
	hpage->resident = true;
	if (!sp_calls_begin())
		return true;
	hpage->resident = sp_commit_populate(&extent) == 0;
	if (!hpage->resident) {
		/* The source has dropped it: the address is free. */
		sp_decommit(&extent, 1);
		sp_window_give(&extent);
	}
	sp_calls_end();
	return hpage->resident;
}

struct sp_hpage *sp_ready_obtain(struct sp_node *node)
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
	if (hpage && make_resident(node, hpage))
		goto out;
	/*
	 * Of all programs that are started under preload most are shells, compilers and the
	 * like: to clear an hpage for each kind of objects would take longer than they live.
	 */
	if (SP_IS_PRELOAD && stays_small()) {
		err = grow_small(node, &hpage);
		goto out;
	}
	populate_small();
	err = grow(node, SP_TOUCH_ALL, false, &hpage);
out:
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
	sp_ready_remove(node, hpage);
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
		sp_ready_add(node, hpage, now);
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

void sp_ready_populate_meta(size_t hpages)
{
	sp_meta_populate(hpages * META_OF_HPAGE);
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
	populate_small();
	if (missing)
		sp_ready_populate_meta(target);
	while (missing-- && !err) {
		sp_lock(&sp_purge_lock);
		err = add_to_stock(node, now);
		sp_unlock(&sp_purge_lock);
	}
	if (err || next == UINT64_MAX)
		return UINT64_MAX;
	return next > now ? next - now : 0;
}

/* Locked down it cannot go to the source: cleared here, it can be used again. */
static void keep(struct sp_node *node, struct sp_hpage *hpage)
{
	memset(hpage->addr, 0, SP_HPAGE);
	sp_hpage_reset(hpage);
	sp_lock(&node->lock);
	sp_ready_add(node, hpage, sp_sys_now_ns());
	sp_unlock(&node->lock);
}

void sp_ready_return(struct sp_node *node, char *addr, size_t hpages)
{
	struct sp_extent extents[PURGE_BATCH];

	if (!sp_calls_begin()) {
		for (size_t i = 0; i < hpages; i++)
			keep(node, sp_window_hpage(addr + i * SP_HPAGE));
		return;
	}
	while (hpages) {
		size_t n = hpages < PURGE_BATCH ? hpages : PURGE_BATCH;

		/* One by one: they may be of several sources. */
		for (size_t i = 0; i < n; i++, addr += SP_HPAGE)
			extents[i] = sp_window_extent(sp_window_hpage(addr), 1, node->id);
		sp_decommit(extents, n);
		for (size_t i = 0; i < n; i++)
			sp_window_give(&extents[i]);
		hpages -= n;
	}
	sp_calls_end();
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * How large a node's pool is.  Hpages come from the buddy allocator and go back to it
 * here and nowhere else.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/gfp.h>
#include <linux/sched/signal.h>

#include "internal.h"
#include "trace.h"

/*
 * Without __GFP_MOVABLE: nothing may migrate or reclaim it.  The zero flag
 * makes it ready at once, and no slower where the kernel clears anyway.  Neither
 * way of trying ever kills anybody for it.
 */
static struct folio *hpage_alloc(int nid, gfp_t how)
{
	return __folio_alloc(GFP_KERNEL | __GFP_ZERO | __GFP_COMP |
			     __GFP_THISNODE | __GFP_NOWARN | how,
			     HPAGE_PMD_ORDER, nid, NULL);
}

static void hpage_free(struct folio *folio)
{
	folio_clear_dirty(folio);
	folio_clear_referenced(folio);
	folio->private = NULL;
	folio_put(folio);
}

static unsigned long unused_locked(const struct sp_node *node)
{
	unsigned long listed = node->nr[SP_ZEROED] + node->nr[SP_DIRTY];

	if (node->total <= node->target)
		return 0;
	return min3(node->total - node->target, sp_node_spare(node), listed);
}

/**
 * sp_node_unused - free hpages above the wanted number
 * @node: the node
 *
 * Return: how many sp_node_shrink_one() could give back.
 */
unsigned long sp_node_unused(struct sp_node *node)
{
	unsigned long unused;

	spin_lock(&node->lock);
	unused = unused_locked(node);
	spin_unlock(&node->lock);
	return unused;
}

/**
 * sp_node_shrink_one - return one surplus hpage to the buddy allocator
 * @node: the node
 *
 * Return: true when there was one.
 */
bool sp_node_shrink_one(struct sp_node *node)
{
	struct folio *folio = NULL;
	unsigned long total = 0;
	bool poisoned = false;

	/* It leaves the total at once: others decide by what is left. */
	spin_lock(&node->lock);
	if (unused_locked(node)) {
		folio = sp_node_pop_locked(node, SP_DIRTY, SP_USED);
		if (!folio)
			folio = sp_node_pop_locked(node, SP_ZEROED, SP_USED);
		sp_node_leave(node, SP_USED);
		poisoned = sp_hpage_poisoned(folio);
		if (poisoned)
			sp_node_retire_locked(node, folio);
		else
			node->stats.shrunk++;
		sp_node_check_claims(node);
		total = node->total;
	}
	spin_unlock(&node->lock);
	if (folio && !poisoned) {
		trace_shrink(node->nid, folio_pfn(folio), total);
		hpage_free(folio);
	}
	return folio;
}

/* Hpages that are wanted, or allowed when a commit needs them, and not there. */
static unsigned long growth_locked(const struct sp_node *node, bool on_demand)
{
	unsigned long most = node->target + (on_demand ? node->overcommit : 0);

	lockdep_assert_held(&node->lock);

	return most > node->total ? most - node->total : 0;
}

/* False when memory is short. */
static bool grow_one(struct sp_node *node, bool on_demand)
{
	struct folio *folio;
	unsigned long total;
	bool welcome;

	/* What is only allowed is not worth pushing others out. */
	folio = hpage_alloc(node->nid, on_demand ? __GFP_NORETRY :
			    __GFP_RETRY_MAYFAIL);
	if (!folio)
		return false;

	/* Others may have grown it meanwhile. */
	spin_lock(&node->lock);
	welcome = growth_locked(node, on_demand);
	if (welcome) {
		node->total++;
		node->nr[SP_ZEROED]++;
		list_add(&folio->lru, &node->list[SP_ZEROED]);
		node->stats.grown++;
		sp_node_check_sum(node);
	}
	total = node->total;
	spin_unlock(&node->lock);
	if (!welcome) {
		hpage_free(folio);
		return true;
	}
	trace_grow(node->nid, folio_pfn(folio), total);
	wake_up(&node->zeroed);
	return true;
}

/**
 * sp_node_growth - by how much the pool may grow for a commit
 * @node: the node
 *
 * Return: hpages.
 */
unsigned long sp_node_growth(struct sp_node *node)
{
	unsigned long growth;

	spin_lock(&node->lock);
	growth = growth_locked(node, true);
	spin_unlock(&node->lock);
	return growth;
}

/**
 * sp_node_grow - let the pool grow for a commit
 * @node: the node
 * @count: hpages, at most sp_node_growth()
 *
 * What was got is kept, and is surplus that decays.  When the kernel wants some of it
 * back meanwhile, memory is short: to go on would be to take from the pool what it is
 * to get, without end.
 *
 * Return: false when memory is short or a fatal signal arrived.
 */
bool sp_node_grow(struct sp_node *node, unsigned long count)
{
	long reclaims = atomic_long_read(&node->reclaims);
	unsigned long got;

	for (got = 0; got < count; got++) {
		if (fatal_signal_pending(current))
			return false;
		if (!grow_one(node, true) ||
		    atomic_long_read(&node->reclaims) != reclaims) {
			pr_warn_ratelimited("node %d: memory is short, got %lu of %lu hpages for a commit\n",
					    node->nid, got, count);
			return false;
		}
		cond_resched();
	}
	return true;
}

/* Hpages of the wanted number still to be allocated. */
static unsigned long missing(struct sp_node *node)
{
	unsigned long count;

	spin_lock(&node->lock);
	count = growth_locked(node, false);
	spin_unlock(&node->lock);
	return count;
}

/* Settle for what there is: how many is that? */
static unsigned long settle(struct sp_node *node)
{
	unsigned long total;

	spin_lock(&node->lock);
	total = node->total;
	if (node->target > total)
		node->target = total;
	spin_unlock(&node->lock);
	return total;
}

/**
 * sp_node_resize - set the wanted number of hpages
 * @node: the node
 * @target: the number
 *
 * Grows at once by what the buddy allocator gives; when it gives less, the
 * wanted number becomes what was got, and the log says so.  What is above the
 * wanted number becomes surplus: it decays as it is or comes free, or goes at once
 * where there is no decay.
 *
 * Return: 0, -EINVAL when the node cannot hold as many, -EINTR after a signal.
 */
int sp_node_resize(struct sp_node *node, unsigned long target)
{
	int ret = 0;

	if (target > sp_node_capacity(node))
		return -EINVAL;
	if (mutex_lock_killable(&node->resize_lock))
		return -EINTR;

	spin_lock(&node->lock);
	node->target = target;
	spin_unlock(&node->lock);

	while (!ret && missing(node)) {
		if (signal_pending(current)) {
			settle(node);
			ret = -EINTR;
		} else if (!grow_one(node, false)) {
			pr_warn("node %d: memory is short, got %lu of %lu hpages\n",
				node->nid, settle(node), target);
		}
		cond_resched();
	}
	while (!ret && !sp_decay_ms() && sp_node_shrink_one(node)) {
		/* The worker does the rest. */
		if (signal_pending(current))
			break;
		cond_resched();
	}
	mutex_unlock(&node->resize_lock);
	wake_up(&node->work);
	return ret;
}

/**
 * sp_node_set_overcommit - set by how much the pool may grow when a commit needs it
 * @node: the node
 * @overcommit: hpages above the wanted number
 *
 * Return: 0, or -EINVAL when the node cannot hold as many.
 */
int sp_node_set_overcommit(struct sp_node *node, unsigned long overcommit)
{
	if (overcommit > sp_node_capacity(node))
		return -EINVAL;

	spin_lock(&node->lock);
	node->overcommit = overcommit;
	spin_unlock(&node->lock);
	return 0;
}

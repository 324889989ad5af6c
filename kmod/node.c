// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pool of one node: which hpages it owns, in which state each is, and how
 * they come from and go to the buddy allocator.
 *
 *	total == zeroed + dirty + zeroing + parked + used
 *
 *	claimed + reserved <= zeroed + dirty + zeroing
 *
 * Poisoned hpages have left the total, and may be missing on the right of the
 * second line.  A commit first claims its number, then takes: two large commits
 * at once cannot both fail over the last hpages, and a commit that cannot succeed
 * takes nothing.  Out of its guarantee a client may always claim.
 *
 * Nobody here knows clients, only what each holds of a node; nobody else changes an hpage's state.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpuset.h>
#include <linux/gfp.h>
#include <linux/nospec.h>
#include <linux/nodemask.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/topology.h>

#include "internal.h"
#include "trace.h"

static struct sp_node *nodes[MAX_NUMNODES];

/**
 * sp_node_get - the pool of a node
 * @nid: any number
 *
 * Return: the node, or NULL when there is no such node or it has no memory.
 */
struct sp_node *sp_node_get(int nid)
{
	if (nid < 0 || nid >= nr_node_ids)
		return NULL;
	return nodes[array_index_nospec(nid, nr_node_ids)];
}

/**
 * sp_node_next - walk the pools in ascending order
 * @node: where the walk is, NULL to begin
 *
 * Return: the next node, or NULL at the end.
 */
struct sp_node *sp_node_next(const struct sp_node *node)
{
	int nid = node ? node->nid + 1 : 0;

	while (nid < nr_node_ids && !nodes[nid])
		nid++;
	return sp_node_get(nid);
}

/**
 * sp_node_capacity - hpages a node could hold at most
 * @node: the node
 *
 * Return: the number; asking for more is nonsense.
 */
unsigned long sp_node_capacity(struct sp_node *node)
{
	return node_present_pages(node->nid) >> HPAGE_PMD_ORDER;
}

/**
 * sp_node_nearest - the pool nearest to a node
 * @nid: the node; it is the nearest to itself, whatever the distances say
 * @left: nodes to choose from; the one chosen is taken out
 *
 * Return: the node, or NULL when none of them has a pool.
 */
struct sp_node *sp_node_nearest(int nid, nodemask_t *left)
{
	int best = node_isset(nid, *left) && nodes[nid] ? nid : NUMA_NO_NODE;
	int other;

	for_each_node_mask(other, *left) {
		if (best == nid)
			break;
		if (!nodes[other])
			continue;
		if (best == NUMA_NO_NODE ||
		    node_distance(nid, other) < node_distance(nid, best))
			best = other;
	}
	if (best == NUMA_NO_NODE)
		return NULL;
	node_clear(best, *left);
	return nodes[best];
}

/**
 * sp_node_for_commit - the pool a commit asks for
 * @nid: a node, or SLABPOOL_NODE_LOCAL for the one of the calling CPU; where
 *	that has no memory, for the nearest that has
 * @allowed: set to the nodes of the caller's cpuset
 *
 * Return: the node, or NULL when it has no pool.
 */
struct sp_node *sp_node_for_commit(int nid, nodemask_t *allowed)
{
	nodemask_t all = node_states[N_MEMORY];

	*allowed = cpuset_current_mems_allowed;
	if (nid == SLABPOOL_NODE_LOCAL)
		return sp_node_nearest(numa_node_id(), &all);
	return sp_node_get(nid);
}

static unsigned long free_hpages(const struct sp_node *node)
{
	return node->nr[SP_ZEROED] + node->nr[SP_DIRTY] + node->nr[SP_ZEROING];
}

/* In which way a node's counts contradict each other; NULL: in none. */
static const char *contradiction(const struct sp_node *node)
{
	unsigned long sum = 0;
	int state;

	for (state = 0; state < SP_NR_STATES; state++)
		sum += node->nr[state];
	if (sum != node->total)
		return "the states do not add up to the total";
	return NULL;
}

/* Between two steps that belong together this does not hold. */
static const char *broken_promise(const struct sp_node *node)
{
	if (node->claimed + node->reserved > free_hpages(node) + node->poisoned)
		return "more is claimed and reserved than is free";
	return NULL;
}

static void node_check(const struct sp_node *node)
{
#if defined(CONFIG_DEBUG_VM) || defined(SLABPOOL_DEBUG)
	const char *wrong = contradiction(node);

	WARN_ONCE(wrong, "slabpool: node %d: %s\n", node->nid, wrong);
#endif
}

static void claims_check(const struct sp_node *node)
{
#if defined(CONFIG_DEBUG_VM) || defined(SLABPOOL_DEBUG)
	const char *wrong = broken_promise(node);

	WARN_ONCE(wrong, "slabpool: node %d: %s\n", node->nid, wrong);
#endif
}

/**
 * sp_node_move - change the state of an hpage
 * @node: its node, locked by the caller
 * @folio: the hpage
 * @from: the state it is in
 * @to: the state it shall be in
 */
void sp_node_move(struct sp_node *node, struct folio *folio,
		  enum sp_state from, enum sp_state to)
{
	lockdep_assert_held(&node->lock);

	if (from < SP_NR_LISTS)
		list_del(&folio->lru);
	if (to < SP_NR_LISTS)
		list_add(&folio->lru, &node->list[to]);
	node->nr[from]--;
	node->nr[to]++;
	node_check(node);
}

static struct folio *pop_locked(struct sp_node *node, enum sp_state from,
				enum sp_state to)
{
	struct folio *folio;

	folio = list_first_entry_or_null(&node->list[from], struct folio, lru);
	if (folio)
		sp_node_move(node, folio, from, to);
	return folio;
}

/**
 * sp_node_pop - take the hpage first on a list
 * @node: the node
 * @from: the state whose list it is
 * @to: the state the hpage goes to
 *
 * Return: the hpage, or NULL when the list is empty.
 */
struct folio *sp_node_pop(struct sp_node *node, enum sp_state from,
			  enum sp_state to)
{
	struct folio *folio;

	spin_lock(&node->lock);
	folio = pop_locked(node, from, to);
	spin_unlock(&node->lock);
	return folio;
}

static void leave_total(struct sp_node *node, enum sp_state from)
{
	lockdep_assert_held(&node->lock);

	node->nr[from]--;
	node->total--;
	node_check(node);
}

/* It stays allocated, so that the buddy allocator gives it to nobody either. */
static void retire_locked(struct sp_node *node, struct folio *folio)
{
	lockdep_assert_held(&node->lock);

	node->poisoned++;
	pr_err("node %d: hpage at pfn 0x%lx is poisoned, retired\n", node->nid,
	       folio_pfn(folio));
}

/**
 * sp_node_retire - take an hpage out of the pool for good
 * @node: its node
 * @folio: an hpage with a hardware error
 * @from: its state, one without a list
 */
void sp_node_retire(struct sp_node *node, struct folio *folio,
		    enum sp_state from)
{
	spin_lock(&node->lock);
	leave_total(node, from);
	retire_locked(node, folio);
	claims_check(node);
	spin_unlock(&node->lock);
	/* Whoever waits for it waits in vain. */
	wake_up(&node->zeroed);
}

static unsigned long unclaimed(const struct sp_node *node)
{
	unsigned long free = free_hpages(node);

	lockdep_assert_held(&node->lock);

	return free > node->claimed ? free - node->claimed : 0;
}

/* Free hpages that nobody has been promised. */
static unsigned long spare(const struct sp_node *node)
{
	unsigned long left = unclaimed(node);

	return left > node->reserved ? left - node->reserved : 0;
}

/* What of a guarantee is not held. */
static unsigned long outstanding(unsigned long held, unsigned long guarantee)
{
	return guarantee > held ? guarantee - held : 0;
}

/* Why @more hpages that are not there cannot be had. */
static int refusal(const struct sp_holding *holding, unsigned long more)
{
	return more > sp_quota_room(holding->quota) ? -EDQUOT : -ENOMEM;
}

/*
 * Change what is held and guaranteed.  What that adds to the sum of held and set
 * aside must be spare, and is charged; what it takes away is uncharged.  Nothing
 * is charged for a moment only: that could make another's commit fail.
 */
static int holding_set(struct sp_node *node, struct sp_holding *holding,
		       unsigned long held, unsigned long guarantee)
{
	unsigned long before = outstanding(holding->held, holding->guarantee);
	unsigned long after = outstanding(held, guarantee);
	long more = held + after - holding->held - before;
	int ret;

	lockdep_assert_held(&node->lock);

	if (more > 0) {
		if (more > spare(node))
			return refusal(holding, more);
		ret = sp_quota_charge(holding->quota, more);
		if (ret)
			return ret;
	} else if (more < 0) {
		sp_quota_uncharge(holding->quota, -more);
	}
	node->reserved += after - before;
	holding->held = held;
	WRITE_ONCE(holding->guarantee, guarantee);
	return 0;
}

/* Fewer are held: that cannot fail. */
static void let_go(struct sp_node *node, struct sp_holding *holding,
		   unsigned long count)
{
	holding_set(node, holding, holding->held - count, holding->guarantee);
	claims_check(node);
}

/**
 * sp_node_reserve - guarantee hpages to a client
 * @node: the node
 * @holding: the client's
 * @guarantee: how many it may hold in any case, with those it holds already
 *
 * Return: 0, -EDQUOT, or -ENOMEM when there are not as many.
 */
int sp_node_reserve(struct sp_node *node, struct sp_holding *holding,
		    unsigned long guarantee)
{
	int ret;

	if (guarantee > sp_node_capacity(node))
		return -ENOMEM;

	spin_lock(&node->lock);
	ret = holding_set(node, holding, holding->held, guarantee);
	claims_check(node);
	spin_unlock(&node->lock);
	/* What was set aside may now be surplus. */
	wake_up(&node->work);
	return ret;
}

/**
 * sp_node_claim - promise free hpages to a commit, and charge them
 * @node: the node
 * @holding: the client's
 * @count: how many
 *
 * Return: 0, then sp_node_take() or sp_node_unclaim() must follow; -EDQUOT; or
 * -ENOMEM when nothing but the number of free hpages is against it.
 */
int sp_node_claim(struct sp_node *node, struct sp_holding *holding,
		  unsigned long count)
{
	unsigned long own;
	int ret;

	spin_lock(&node->lock);
	own = outstanding(holding->held, holding->guarantee);
	/* Not even a guarantee helps when hpages were poisoned. */
	if (count > unclaimed(node))
		ret = refusal(holding, count - min(count, own));
	else
		ret = holding_set(node, holding, holding->held + count,
				  holding->guarantee);
	if (!ret)
		node->claimed += count;
	claims_check(node);
	spin_unlock(&node->lock);
	return ret;
}

/**
 * sp_node_unclaim - give up a claim
 * @node: the node
 * @holding: the client's
 * @count: as many as were claimed and not taken
 */
void sp_node_unclaim(struct sp_node *node, struct sp_holding *holding,
		     unsigned long count)
{
	spin_lock(&node->lock);
	node->claimed -= count;
	let_go(node, holding, count);
	spin_unlock(&node->lock);
	/* What was claimed may now be surplus. */
	wake_up(&node->work);
}

/**
 * sp_node_available - what a claim could get now
 * @node: the node
 * @holding: the client's
 *
 * Return: hpages; by the time of the claim it may be others.
 */
unsigned long sp_node_available(struct sp_node *node,
				const struct sp_holding *holding)
{
	unsigned long own, count;

	spin_lock(&node->lock);
	own = outstanding(holding->held, holding->guarantee);
	count = min(unclaimed(node), own + spare(node));
	spin_unlock(&node->lock);
	return count;
}

/**
 * sp_node_count - add to a statistic
 * @node: the node
 * @counter: one of its stats
 * @count: how many
 */
void sp_node_count(struct sp_node *node, u64 *counter, u64 count)
{
	spin_lock(&node->lock);
	*counter += count;
	spin_unlock(&node->lock);
}

/**
 * sp_node_untake - move an hpage that a failed commit took back to the pool
 * @node: its node
 * @holding: the client's
 * @folio: the hpage, still zero
 */
void sp_node_untake(struct sp_node *node, struct sp_holding *holding,
		    struct folio *folio)
{
	spin_lock(&node->lock);
	sp_node_move(node, folio, SP_USED, SP_ZEROED);
	let_go(node, holding, 1);
	spin_unlock(&node->lock);
	wake_up(&node->zeroed);
	wake_up(&node->work);
}

/* Is any hpage free, if only one that is being cleared? */
static bool has_free(struct sp_node *node)
{
	bool some;

	spin_lock(&node->lock);
	some = free_hpages(node);
	spin_unlock(&node->lock);
	return some;
}

static bool takeable(struct sp_node *node)
{
	bool ready;

	spin_lock(&node->lock);
	ready = node->nr[SP_ZEROED] || node->nr[SP_DIRTY] ||
		!node->nr[SP_ZEROING];
	spin_unlock(&node->lock);
	return ready;
}

/*
 * An hpage stops being free and the claim shrinks under one hold of the lock: in
 * between it would be missing twice, and others would find the pool empty.
 */
static struct folio *take_zeroed(struct sp_node *node)
{
	struct folio *folio;

	spin_lock(&node->lock);
	folio = pop_locked(node, SP_ZEROED, SP_USED);
	if (folio)
		node->claimed--;
	claims_check(node);
	spin_unlock(&node->lock);
	return folio;
}

static struct folio *take_dirty(struct sp_node *node)
{
	struct folio *folio = sp_node_pop(node, SP_DIRTY, SP_ZEROING);

	if (!folio || !sp_zero_hpage(node, folio))
		return NULL;

	spin_lock(&node->lock);
	sp_node_move(node, folio, SP_ZEROING, SP_USED);
	node->claimed--;
	claims_check(node);
	node->stats.inline_zeroed++;
	spin_unlock(&node->lock);
	/* Whoever waits for what is being cleared must look again. */
	wake_up(&node->zeroed);
	return folio;
}

/* The hpage that was just taken is unfit: the claim stands. */
static void refuse(struct sp_node *node, struct folio *folio)
{
	spin_lock(&node->lock);
	node->claimed++;
	leave_total(node, SP_USED);
	retire_locked(node, folio);
	claims_check(node);
	spin_unlock(&node->lock);
	wake_up(&node->zeroed);
}

/*
 * Memory may go bad while it lies in the pool.  And a free hpage that is not
 * zero any more has bad memory under it, or somebody writes to what is not his.
 * Either way nobody may have it.
 */
static bool verified(struct sp_node *node, struct folio *folio)
{
	bool poisoned = sp_hpage_poisoned(folio);

	if (!poisoned && (!sp_verify_zero() || sp_hpage_is_zero(folio)))
		return true;

	WARN(!poisoned, "slabpool: node %d: pooled hpage is not zero\n",
	     node->nid);
	refuse(node, folio);
	return false;
}

/* Take one hpage of a claim: 0 with *@folio set, -EAGAIN to look again. */
static int take_one(struct sp_node *node, struct folio **folio)
{
	if (fatal_signal_pending(current))
		return -EINTR;

	*folio = take_zeroed(node);
	if (!*folio)
		*folio = take_dirty(node);
	if (*folio)
		return verified(node, *folio) ? 0 : -EAGAIN;

	/* Others are clearing the ones that are left, or they were poisoned. */
	if (wait_event_killable(node->zeroed, takeable(node)))
		return -EINTR;
	return has_free(node) ? -EAGAIN : -ENOMEM;
}

/**
 * sp_node_take - take zeroed hpages that were claimed
 * @node: the node
 * @holding: the client's
 * @count: as many as were claimed
 * @taken: empty list, linked by folio->lru
 *
 * Uses up the claim whatever it returns.
 *
 * Return: 0; or -EINTR after a fatal signal, or -ENOMEM when hpages turned out
 * poisoned meanwhile, and then @taken is empty.
 */
int sp_node_take(struct sp_node *node, struct sp_holding *holding,
		 unsigned long count, struct list_head *taken)
{
	struct folio *folio, *next;
	unsigned long left = count;
	int ret;

	while (left) {
		ret = take_one(node, &folio);
		cond_resched();
		if (ret == -EAGAIN)
			continue;
		if (ret)
			goto err_untake;
		list_add_tail(&folio->lru, taken);
		left--;
	}
	return 0;

err_untake:
	list_for_each_entry_safe(folio, next, taken, lru) {
		list_del(&folio->lru);
		sp_node_untake(node, holding, folio);
		cond_resched();
	}
	sp_node_unclaim(node, holding, left);
	return ret;
}

/* Take an hpage, dirty by preference: for whoever overwrites all of it. */
static struct folio *take_any(struct sp_node *node)
{
	struct folio *folio;

	spin_lock(&node->lock);
	folio = pop_locked(node, SP_DIRTY, SP_USED);
	if (!folio)
		folio = pop_locked(node, SP_ZEROED, SP_USED);
	if (folio)
		node->claimed--;
	claims_check(node);
	spin_unlock(&node->lock);
	return folio;
}

/**
 * sp_node_take_any - take one claimed hpage, whatever bytes it holds
 * @node: the node
 * @holding: the client's
 *
 * For a copy that overwrites all of it.  Uses up one of the claim.  Waits for
 * an hpage to be cleared when all that is free is just being cleared.
 *
 * Return: the hpage, or NULL when hpages turned out poisoned meanwhile.
 */
struct folio *sp_node_take_any(struct sp_node *node,
			       struct sp_holding *holding)
{
	struct folio *folio;

	do {
		wait_event(node->zeroed, takeable(node));
		folio = take_any(node);
		if (folio && sp_hpage_poisoned(folio)) {
			refuse(node, folio);
			continue;
		}
		if (folio) {
			sp_node_count(node, &node->stats.commits, 1);
			return folio;
		}
	} while (has_free(node));

	sp_node_unclaim(node, holding, 1);
	return NULL;
}

/**
 * sp_node_give - return an hpage that nobody can reach any more
 * @node: its node
 * @holding: its client's
 * @folio: the hpage
 * @from: the state it is in, SP_USED or SP_PARKED
 *
 * It is free, uncharged and, where the client was guaranteed it, set aside again
 * in one moment.
 */
void sp_node_give(struct sp_node *node, struct sp_holding *holding,
		  struct folio *folio, enum sp_state from)
{
	spin_lock(&node->lock);
	sp_node_move(node, folio, from, SP_DIRTY);
	let_go(node, holding, 1);
	/* What was parked was counted then. */
	node->stats.decommits += from == SP_USED;
	spin_unlock(&node->lock);
	wake_up(&node->work);
	wake_up(&node->zeroed);
}

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
	return min3(node->total - node->target, spare(node), listed);
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
		folio = pop_locked(node, SP_DIRTY, SP_USED);
		if (!folio)
			folio = pop_locked(node, SP_ZEROED, SP_USED);
		leave_total(node, SP_USED);
		poisoned = sp_hpage_poisoned(folio);
		if (poisoned)
			retire_locked(node, folio);
		else
			node->stats.shrunk++;
		claims_check(node);
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
		node_check(node);
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
 * What was got is kept, and is surplus that decays.
 *
 * Return: false when memory is short or a fatal signal arrived.
 */
bool sp_node_grow(struct sp_node *node, unsigned long count)
{
	unsigned long got;

	for (got = 0; got < count; got++) {
		if (fatal_signal_pending(current))
			return false;
		if (!grow_one(node, true)) {
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

/* Not all of a list: nothing may walk that under the lock. */
static const char *wrong_on_list(const struct sp_node *node, int state)
{
	unsigned int looked = 0;
	struct folio *folio;

	/* The worker has the parked ones elsewhere while it looks at them. */
	if (state == SP_PARKED)
		return NULL;
	list_for_each_entry(folio, &node->list[state], lru) {
		if (folio_nid(folio) != node->nid)
			return "an hpage of another node is on a list";
		if (folio->mapping)
			return "a free hpage belongs to somebody";
		if (++looked == SP_BATCH)
			break;
	}
	if (looked < SP_BATCH && looked != node->nr[state])
		return "a list is not as long as it is said to be";
	return NULL;
}

/**
 * sp_node_books - what a node's fields say, and whether they agree
 * @node: the node
 * @books: filled
 */
void sp_node_books(struct sp_node *node, struct sp_books *books)
{
	int state;

	spin_lock(&node->lock);
	memcpy(books->nr, node->nr, sizeof(books->nr));
	books->total = node->total;
	books->target = node->target;
	books->overcommit = node->overcommit;
	books->claimed = node->claimed;
	books->reserved = node->reserved;
	books->poisoned = node->poisoned;
	books->wrong = contradiction(node) ?: broken_promise(node);
	for (state = 0; state < SP_NR_LISTS && !books->wrong; state++)
		books->wrong = wrong_on_list(node, state);
	spin_unlock(&node->lock);
}

static struct sp_node *node_create(int nid)
{
	struct sp_node *node;
	int i;

	node = kzalloc_node(sizeof(*node), GFP_KERNEL, nid);
	if (!node)
		return NULL;

	node->nid = nid;
	spin_lock_init(&node->lock);
	for (i = 0; i < SP_NR_LISTS; i++)
		INIT_LIST_HEAD(&node->list[i]);
	mutex_init(&node->resize_lock);
	init_waitqueue_head(&node->work);
	init_waitqueue_head(&node->zeroed);
	return node;
}

/* No client, no parked hpage and no worker are left. */
static void node_destroy(struct sp_node *node)
{
	node->target = 0;
	while (sp_node_shrink_one(node))
		cond_resched();
	WARN_ON_ONCE(node->total || node->claimed || node->reserved);
	kfree(node);
}

/**
 * sp_nodes_exit - return every pool to the buddy allocator
 */
void sp_nodes_exit(void)
{
	int nid;

	for (nid = 0; nid < nr_node_ids; nid++) {
		if (nodes[nid])
			node_destroy(nodes[nid]);
		nodes[nid] = NULL;
	}
}

/**
 * sp_nodes_init - make an empty pool for each node with memory
 *
 * Return: 0 or -ENOMEM.
 */
int sp_nodes_init(void)
{
	int nid;

	BUILD_BUG_ON(MAX_NUMNODES > SLABPOOL_MAX_NODES);

	for_each_node_state(nid, N_MEMORY) {
		nodes[nid] = node_create(nid);
		if (!nodes[nid]) {
			sp_nodes_exit();
			return -ENOMEM;
		}
	}
	return 0;
}

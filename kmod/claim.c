// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who is promised how many of a node's hpages, and how they are taken and given
 * back.
 *
 * A commit first claims its number, then takes: two large commits at once cannot both
 * fail over the last hpages, and a commit that cannot succeed takes nothing.  Out of
 * its guarantee a client may always claim.
 *
 * Nobody here knows clients, only what each holds of a node.
 */
#include <linux/sched/signal.h>
#include <linux/wait.h>

#include "internal.h"

static unsigned long unclaimed(const struct sp_node *node)
{
	unsigned long free = sp_node_nr_free(node);

	lockdep_assert_held(&node->lock);

	return free > node->claimed ? free - node->claimed : 0;
}

/**
 * sp_node_spare - free hpages that nobody has been promised
 * @node: the node, locked by the caller
 *
 * Return: their number.
 */
unsigned long sp_node_spare(const struct sp_node *node)
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
		if (more > sp_node_spare(node))
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
	sp_node_check_claims(node);
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
	sp_node_check_claims(node);
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
	sp_node_check_claims(node);
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
	count = min(unclaimed(node), own + sp_node_spare(node));
	spin_unlock(&node->lock);
	return count;
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
	some = sp_node_nr_free(node);
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
	folio = sp_node_pop_locked(node, SP_ZEROED, SP_USED);
	if (folio)
		node->claimed--;
	sp_node_check_claims(node);
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
	sp_node_check_claims(node);
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
	sp_node_leave(node, SP_USED);
	sp_node_retire_locked(node, folio);
	sp_node_check_claims(node);
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
	folio = sp_node_pop_locked(node, SP_DIRTY, SP_USED);
	if (!folio)
		folio = sp_node_pop_locked(node, SP_ZEROED, SP_USED);
	if (folio)
		node->claimed--;
	sp_node_check_claims(node);
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

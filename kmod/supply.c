// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which nodes supply a commit: the one it asks, or with SLABPOOL_FALLBACK that one
 * and the others of the caller's cpuset, nearest first.
 *
 * A commit claims on them, takes, counts; or lets pools grow and begins again.  What
 * is claimed on each stands in the client, under its commit_lock.  Ranges and slots
 * are nobody's business here.
 */
#include <linux/sched.h>

#include "internal.h"

/* Makes claims on several nodes take turns. */
static DEFINE_MUTEX(fallback_lock);

/**
 * sp_supply_unclaim - give up what is claimed on all nodes
 * @client: whose commit it is
 */
void sp_supply_unclaim(struct sp_client *client)
{
	struct sp_node *node;
	unsigned long *claimed;

	lockdep_assert_held(&client->commit_lock);

	for (node = sp_node_next(NULL); node; node = sp_node_next(node)) {
		claimed = &client->node[node->nid].claimed;
		if (*claimed)
			sp_node_unclaim(node, sp_holding_of(client, node),
					*claimed);
		*claimed = 0;
	}
}

/**
 * sp_supply_claim - claim hpages of one node for a commit
 * @client: whose commit it is
 * @node: the node
 * @count: how many
 *
 * Return: as sp_node_claim(); after 0 sp_supply_take() or sp_supply_unclaim() must
 * follow.
 */
int sp_supply_claim(struct sp_client *client, struct sp_node *node,
		    unsigned long count)
{
	int ret = sp_node_claim(node, sp_holding_of(client, node), count);

	if (!ret)
		client->node[node->nid].claimed = count;
	return ret;
}

/* Do the nodes have as many together?  Who cannot succeed claims nothing. */
static int enough(struct sp_client *client, int nid, nodemask_t left,
		  unsigned long count)
{
	unsigned long sum = 0;
	struct sp_node *node;

	while (sum < count) {
		node = sp_node_nearest(nid, &left);
		if (!node)
			return -ENOMEM;
		sum += sp_node_available(node, sp_holding_of(client, node));
	}
	return 0;
}

/**
 * sp_supply_claim_near - claim from the node and then from the nearest others
 * @client: whose commit it is
 * @nid: the node
 * @left: nodes that may supply
 * @count: how many
 *
 * One at a time: of two that would each take a part of what the other needs, both
 * would fail.
 *
 * Return: as sp_supply_claim().
 */
int sp_supply_claim_near(struct sp_client *client, int nid, nodemask_t left,
			 unsigned long count)
{
	struct sp_node *node;
	unsigned long part;
	int ret;

	mutex_lock(&fallback_lock);
	ret = enough(client, nid, left, count);
	while (!ret && count) {
		node = sp_node_nearest(nid, &left);
		if (!node) {
			ret = -ENOMEM;
			break;
		}
		part = min(count, sp_node_available(node,
						    sp_holding_of(client, node)));
		/* Another took it meanwhile: the next node may do. */
		ret = sp_supply_claim(client, node, part);
		if (!ret)
			count -= part;
		else if (ret == -ENOMEM)
			ret = 0;
	}
	if (ret)
		sp_supply_unclaim(client);
	mutex_unlock(&fallback_lock);
	return ret;
}

/**
 * sp_supply_take - take what is claimed, on whatever nodes
 * @client: whose commit it is
 * @taken: empty list, linked by folio->lru
 *
 * Return: 0, and the claims say what was taken; or as sp_node_take(), and then
 * nothing is claimed or taken any more.
 */
int sp_supply_take(struct sp_client *client, struct list_head *taken)
{
	struct folio *folio, *next;
	struct sp_node *node, *done;
	unsigned long claimed;
	LIST_HEAD(part);
	int ret;

	lockdep_assert_held(&client->commit_lock);

	for (node = sp_node_next(NULL); node; node = sp_node_next(node)) {
		claimed = client->node[node->nid].claimed;
		ret = sp_node_take(node, sp_holding_of(client, node), claimed,
				   &part);
		if (ret)
			goto err_untake;
		list_splice_tail_init(&part, taken);
	}
	return 0;

err_untake:
	/* Up to this node they are used up. */
	for (done = sp_node_next(NULL); done != node; done = sp_node_next(done))
		client->node[done->nid].claimed = 0;
	client->node[node->nid].claimed = 0;
	sp_supply_unclaim(client);
	list_for_each_entry_safe(folio, next, taken, lru) {
		list_del(&folio->lru);
		node = sp_node_get(folio_nid(folio));
		sp_node_untake(node, sp_holding_of(client, node), folio);
		cond_resched();
	}
	return ret;
}

/**
 * sp_supply_count - what was claimed is in the client: count it
 * @client: whose commit it is
 * @asked: the node it asked
 *
 * Return: how many hpages are not of @asked.
 */
unsigned long sp_supply_count(struct sp_client *client, struct sp_node *asked)
{
	unsigned long elsewhere = 0;
	unsigned long *claimed;
	struct sp_node *node;

	for (node = sp_node_next(NULL); node; node = sp_node_next(node)) {
		claimed = &client->node[node->nid].claimed;
		if (*claimed)
			sp_node_count(node, &node->stats.commits, *claimed);
		if (node != asked)
			elsewhere += *claimed;
		*claimed = 0;
	}
	if (elsewhere)
		sp_node_count(asked, &asked->stats.fallbacks, elsewhere);
	return elsewhere;
}

/**
 * sp_supply_grow - let pools grow by what a commit lacked, nearest first
 * @client: whose commit it is; no lock is held
 * @nid: the node it asked
 * @from: nodes that may supply
 * @lacked: how many hpages it wanted in all
 *
 * Return: false when they may not, or memory is short.
 */
bool sp_supply_grow(struct sp_client *client, int nid, const nodemask_t *from,
		    unsigned long lacked)
{
	unsigned long there = 0, growth = 0, part;
	nodemask_t left = *from;
	struct sp_node *node;

	while ((node = sp_node_nearest(nid, &left)) != NULL) {
		there += sp_node_available(node, sp_holding_of(client, node));
		growth += sp_node_growth(node);
	}
	/* Somebody gave some back? */
	if (lacked <= there)
		return true;
	lacked -= there;
	/* In vain nothing grows. */
	if (lacked > growth)
		return false;

	left = *from;
	while (lacked) {
		node = sp_node_nearest(nid, &left);
		if (!node)
			return false;
		part = min(lacked, sp_node_growth(node));
		if (!sp_node_grow(node, part))
			return false;
		lacked -= part;
	}
	return true;
}

/**
 * sp_supply_forgo - the commit that pools may have grown for has failed
 * @nid: the node it asked
 * @from: nodes that may have grown
 *
 * What nobody took decays, if the workers hear of it.
 */
void sp_supply_forgo(int nid, nodemask_t from)
{
	struct sp_node *node;

	while ((node = sp_node_nearest(nid, &from)) != NULL)
		wake_up(&node->work);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hpages a client gave back while somebody else (an io_uring buffer, RDMA, a
 * pipe) still has them pinned.  They wait here, visibly, until the last pin is
 * gone; never before does a next owner get them.
 *
 * A parked hpage holds a reference to its client, whose statistics show it and
 * who still pays for it, and one to the module: it may outlive the process, the file and all else.
 */
#include <linux/module.h>

#include "internal.h"
#include "trace.h"

/**
 * sp_hpage_idle - is the pool's reference the only one?
 * @folio: an hpage out of its client and unmapped
 *
 * Return: true when nobody can reach the hpage any more.  False proves
 * nothing: a racing GUP holds a reference for a moment.
 */
bool sp_hpage_idle(struct folio *folio)
{
	/*
	 * Pairs with GUP-fast, which takes a reference and then reads the page
	 * table entry again: either we see its reference, or it sees the entry
	 * gone.
	 */
	smp_mb();
	return folio_ref_count(folio) == 1;
}

/**
 * sp_park - set an hpage aside until its last pin is gone
 * @client: who gave it back
 * @folio: the hpage, in state SP_USED
 */
void sp_park(struct sp_client *client, struct folio *folio)
{
	struct sp_node *node = sp_node_get(folio_nid(folio));

	trace_park(node->nid, folio_pfn(folio), folio_ref_count(folio));
	kref_get(&client->ref);
	__module_get(THIS_MODULE);
	folio->private = client;
	atomic_long_inc(&client->node[node->nid].parked);

	spin_lock(&node->lock);
	sp_node_move(node, folio, SP_USED, SP_PARKED);
	node->stats.decommits++;
	spin_unlock(&node->lock);
	wake_up(&node->work);
}

static void unpark(struct sp_node *node, struct folio *folio)
{
	struct sp_client *client = folio->private;

	folio->private = NULL;
	atomic_long_dec(&client->node[node->nid].parked);
	/*
	 * Before the hpage is seen to be free: then nothing may keep the module.
	 * Its exit waits for the worker, which this is.
	 */
	module_put(THIS_MODULE);
	/* Whoever unpinned it may have marked it dirty or referenced. */
	sp_node_give(node, &client->node[node->nid].holding, folio, SP_PARKED);
	sp_client_put(client);
}

/**
 * sp_park_recheck - return the parked hpages whose last pin is gone
 * @node: the node; only its worker calls this
 */
void sp_park_recheck(struct sp_node *node)
{
	LIST_HEAD(look);
	LIST_HEAD(busy);
	struct folio *folio;

	/* Their state and count stay: only the worker takes from the list. */
	spin_lock(&node->lock);
	list_splice_init(&node->list[SP_PARKED], &look);
	spin_unlock(&node->lock);

	while (!list_empty(&look)) {
		folio = list_first_entry(&look, struct folio, lru);
		if (sp_hpage_idle(folio))
			unpark(node, folio);
		else
			list_move(&folio->lru, &busy);
		cond_resched();
	}

	spin_lock(&node->lock);
	list_splice(&busy, &node->list[SP_PARKED]);
	spin_unlock(&node->lock);
}

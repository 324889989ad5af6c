// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pool of one node: which hpages it owns and in which state each is.
 *
 *	total == zeroed + dirty + zeroing + parked + used
 *
 *	claimed + reserved <= zeroed + dirty + zeroing
 *
 * Poisoned hpages have left the total, and may be missing on the right of the
 * second line.  An hpage changes its state by the functions here, which claim.c and
 * grow.c call, and enters the total in grow.c.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cpuset.h>
#include <linux/nospec.h>
#include <linux/nodemask.h>
#include <linux/slab.h>
#include <linux/topology.h>

#include "internal.h"

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
	if (node->claimed + node->reserved > sp_node_nr_free(node) + node->poisoned)
		return "more is claimed and reserved than is free";
	return NULL;
}

/**
 * sp_node_check_sum - in debug builds, check that the states add up
 * @node: the node, locked by the caller
 */
void sp_node_check_sum(const struct sp_node *node)
{
#if defined(CONFIG_DEBUG_VM) || defined(SLABPOOL_DEBUG)
	const char *wrong = contradiction(node);

	WARN_ONCE(wrong, "slabpool: node %d: %s\n", node->nid, wrong);
#endif
}

/**
 * sp_node_check_claims - in debug builds, check that what was promised is there
 * @node: the node, locked by the caller
 */
void sp_node_check_claims(const struct sp_node *node)
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
	sp_node_check_sum(node);
}

/**
 * sp_node_pop_locked - take the hpage first on a list
 * @node: the node, locked by the caller
 * @from: the state whose list it is
 * @to: the state the hpage goes to
 *
 * Return: the hpage, or NULL when the list is empty.
 */
struct folio *sp_node_pop_locked(struct sp_node *node, enum sp_state from,
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
	folio = sp_node_pop_locked(node, from, to);
	spin_unlock(&node->lock);
	return folio;
}

/**
 * sp_node_leave - an hpage leaves the total
 * @node: its node, locked by the caller
 * @from: the state it is in, one without a list
 */
void sp_node_leave(struct sp_node *node, enum sp_state from)
{
	lockdep_assert_held(&node->lock);

	node->nr[from]--;
	node->total--;
	sp_node_check_sum(node);
}

/**
 * sp_node_retire_locked - keep an hpage that has left the total from everybody
 * @node: its node, locked by the caller
 * @folio: an hpage with a hardware error
 *
 * It stays allocated, so that the buddy allocator gives it to nobody either.
 */
void sp_node_retire_locked(struct sp_node *node, struct folio *folio)
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
	sp_node_leave(node, from);
	sp_node_retire_locked(node, folio);
	sp_node_check_claims(node);
	spin_unlock(&node->lock);
	/* Whoever waits for it waits in vain. */
	wake_up(&node->zeroed);
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

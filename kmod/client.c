// SPDX-License-Identifier: GPL-2.0-only
/*
 * A client: the hpages one open file, and those that share it, hold.  Here, and for
 * copies in snapshot.c, an hpage changes owner between a node's pool and a client, in
 * either direction.
 *
 * The life of an hpage hangs on the file, which each VMA holds, never on
 * counting VMAs: split, move, fork and exit are the core's business.
 *
 * While a client holds a folio, folio->mapping and ->index name its place and
 * the folio is kept dirty: shared futexes, long-term pins and memory-failure
 * look at the mapping, and a clean one could be evicted behind our back.
 */
#include <linux/delay.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "internal.h"
#include "trace.h"

/* How often, and how long in us, a busy hpage is looked at before it parks. */
#define GIVE_TRIES	3
#define GIVE_WAIT_US	50

/* How often a commit lets pools grow: others may take what grew. */
#define MAX_GROWTHS	16

static atomic_t nr_clients = ATOMIC_INIT(0);

/**
 * sp_range_init - check a range of offsets as the ABI defines it
 * @range: filled on success
 * @offset: bytes, as SLABPOOL_OFFSET() makes them
 * @length: bytes
 *
 * Return: 0, or -EINVAL when unaligned, empty, past the node's 2 TiB or in the
 * upper half of the offsets.
 */
int sp_range_init(struct sp_range *range, u64 offset, u64 length)
{
	const u64 span = 1ULL << SLABPOOL_NODE_SHIFT;

	if (offset > S64_MAX || !length || length > span)
		return -EINVAL;
	if (!IS_ALIGNED(offset | length, HPAGE_PMD_SIZE))
		return -EINVAL;
	if ((offset & (span - 1)) + length > span)
		return -EINVAL;

	range->first = offset >> HPAGE_PMD_SHIFT;
	range->last = (offset + length - 1) >> HPAGE_PMD_SHIFT;
	range->nid = (int)(offset >> SLABPOOL_NODE_SHIFT) - 1;
	return 0;
}

/**
 * sp_client_create - make an empty client
 * @mapping: of its own inode, which must outlive sp_client_release()
 * @cred: of whoever opens it
 *
 * Return: the client, to be ended by sp_client_release(), or NULL.
 */
struct sp_client *sp_client_create(struct address_space *mapping,
				   const struct cred *cred)
{
	struct sp_client *client;
	struct sp_node *node;

	client = kzalloc(struct_size(client, node, nr_node_ids),
			 GFP_KERNEL_ACCOUNT);
	if (!client)
		return NULL;
	client->quota = sp_quota_create(cred);
	if (!client->quota) {
		kfree(client);
		return NULL;
	}

	for (node = sp_node_next(NULL); node; node = sp_node_next(node))
		sp_holding_of(client, node)->quota = client->quota;
	kref_init(&client->ref);
	refcount_set(&client->files, 1);
	client->mapping = mapping;
	xa_init_flags(&client->hpages, XA_FLAGS_ACCOUNT);
	mutex_init(&client->commit_lock);
	atomic_inc(&nr_clients);
	return client;
}

static void client_free(struct kref *ref)
{
	struct sp_client *client = container_of(ref, struct sp_client, ref);

	sp_quota_free(client->quota);
	put_pid(client->owner);
	kfree(client);
}

/**
 * sp_client_put - drop a reference
 * @client: may be gone afterwards
 */
void sp_client_put(struct sp_client *client)
{
	kref_put(&client->ref, client_free);
}

/**
 * sp_client_count - clients that are open now
 *
 * Return: their number.
 */
unsigned int sp_client_count(void)
{
	return atomic_read(&nr_clients);
}

/**
 * sp_client_place - make a folio a client's, but for the slot and the figures
 * @client: the client
 * @folio: an hpage that nobody has
 * @index: the offset in hpages
 */
void sp_client_place(struct sp_client *client, struct folio *folio,
		     unsigned long index)
{
	folio->index = index << HPAGE_PMD_ORDER;
	folio->mapping = client->mapping;
	folio_set_dirty(folio);
}

static void own(struct sp_client *client, struct folio *folio,
		unsigned long index)
{
	sp_client_place(client, folio, index);
	atomic_long_inc(&client->node[folio_nid(folio)].committed);
	atomic64_inc(&client->commits);
}

/**
 * sp_client_disown - take a folio from a client, but for the slot
 * @client: the client
 * @folio: an hpage it has, unmapped
 *
 * The folio lock keeps out whoever reaches the mapping through a pin.
 */
void sp_client_disown(struct sp_client *client, struct folio *folio)
{
	folio_lock(folio);
	folio->mapping = NULL;
	folio->index = 0;
	folio_clear_dirty(folio);
	folio_unlock(folio);
	atomic_long_dec(&client->node[folio_nid(folio)].committed);
	atomic64_inc(&client->decommits);
}

/* What a commit of the range would find. */
struct survey {
	unsigned long present;
	unsigned long off_node;
};

static int survey_range(struct sp_client *client, const struct sp_range *range,
			int nid, struct survey *survey)
{
	unsigned long index;
	void *entry;

	*survey = (struct survey){};
	xa_for_each_range(&client->hpages, index, entry, range->first,
			  range->last) {
		survey->present++;
		if (sp_slot_nid(entry) != nid)
			survey->off_node++;
		if (survey->present % SP_BATCH)
			continue;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

/*
 * Fill the slots that reserve_holes() left, from @taken, or empty them again
 * when that is NULL.  The slots exist, so nothing here can fail.
 */
static void fill_reserved(struct sp_client *client,
			  const struct sp_range *range, struct list_head *taken)
{
	XA_STATE(xas, &client->hpages, range->first);
	struct folio *folio = NULL;
	unsigned int batch = 0;
	void *entry;

	lockdep_assert_held(&client->commit_lock);

	xas_lock(&xas);
	xas_for_each(&xas, entry, range->last) {
		if (xa_is_zero(entry)) {
			if (taken) {
				folio = list_first_entry(taken, struct folio,
							 lru);
				list_del(&folio->lru);
				own(client, folio, xas.xa_index);
			}
			xas_store(&xas, folio);
		}
		if (++batch % SP_BATCH)
			continue;
		xas_pause(&xas);
		xas_unlock(&xas);
		cond_resched();
		xas_lock(&xas);
	}
	xas_unlock(&xas);
}

/*
 * Reserve slots for @holes holes.  A decommit running beside may open more:
 * those are its caller's wish and stay open.
 */
static int reserve_holes(struct sp_client *client, const struct sp_range *range,
			 unsigned long holes)
{
	unsigned long index;
	int ret = 0;

	for (index = range->first; holes && index <= range->last; index++) {
		if (index % SP_BATCH == 0) {
			if (fatal_signal_pending(current)) {
				ret = -EINTR;
				break;
			}
			cond_resched();
		}
		if (xa_load(&client->hpages, index))
			continue;
		ret = xa_reserve(&client->hpages, index, GFP_KERNEL_ACCOUNT);
		if (ret)
			break;
		holes--;
	}
	if (ret)
		fill_reserved(client, range, NULL);
	return ret;
}

static int commit_locked(struct sp_client *client, struct sp_node *node,
			 const nodemask_t *from,
			 const struct sp_range *range, struct sp_commit *commit)
{
	LIST_HEAD(taken);
	struct survey survey;
	unsigned long holes;
	int ret;

	lockdep_assert_held(&client->commit_lock);

	ret = survey_range(client, range, node->nid, &survey);
	if (ret)
		return ret;
	holes = range->last - range->first + 1 - survey.present;

	/* Claim first: the range may be far larger than any pool. */
	ret = commit->fallback ?
	      sp_supply_claim_near(client, node->nid, *from, holes) :
	      sp_supply_claim(client, node, holes);
	if (ret == -ENOMEM)
		commit->lacked = holes;
	if (ret)
		return ret;
	ret = reserve_holes(client, range, holes);
	if (ret) {
		sp_supply_unclaim(client);
		return ret;
	}
	ret = sp_supply_take(client, &taken);
	if (ret) {
		fill_reserved(client, range, NULL);
		return ret;
	}

	fill_reserved(client, range, &taken);

	commit->committed = holes;
	commit->off_node = survey.off_node + sp_supply_count(client, node);
	return 0;
}

static int commit_once(struct sp_client *client, struct sp_node *node,
		       const nodemask_t *from, const struct sp_range *range,
		       struct sp_commit *commit)
{
	int ret;

	commit->lacked = 0;
	if (mutex_lock_killable(&client->commit_lock))
		return -EINTR;
	ret = commit_locked(client, node, from, range, commit);
	mutex_unlock(&client->commit_lock);
	return ret;
}

/**
 * sp_client_commit - fill every hole of a range, or change nothing
 * @client: the client
 * @range: checked range
 * @commit: how, and how it went
 *
 * May sleep, and clears hpages when the node has no zeroed one left.  Asks the
 * buddy allocator for hpages only when pools may grow, and then with no lock held:
 * another thread's mmap may wait for it.
 *
 * Return: 0, -ENODEV, -EDQUOT, -ENOMEM, or -EINTR after a fatal signal.
 */
int sp_client_commit(struct sp_client *client, const struct sp_range *range,
		     struct sp_commit *commit)
{
	nodemask_t from;
	struct sp_node *node = sp_node_for_commit(range->nid, &from);
	unsigned int tries = MAX_GROWTHS;
	int ret;

	if (!node || (!commit->fallback && !node_isset(node->nid, from)))
		return -ENODEV;
	if (!commit->fallback)
		from = nodemask_of_node(node->nid);
	/* What grew others may take first, but not again and again. */
	do {
		ret = commit_once(client, node, &from, range, commit);
	} while (ret == -ENOMEM && commit->grow && commit->lacked && tries-- &&
		 sp_supply_grow(client, node->nid, &from, commit->lacked));
	if (ret && commit->grow)
		sp_supply_forgo(node->nid, from);
	if (ret == -ENOMEM)
		sp_node_count(node, &node->stats.commit_failures, 1);
	trace_commit(node->nid, range->first, range->last, commit->committed,
		     commit->off_node, ret);
	return ret;
}

/**
 * sp_client_reserve - guarantee hpages of a node to a client
 * @client: the client
 * @nid: the node
 * @count: how many in all: what it holds of the node is part of them
 *
 * Return: 0, -ENODEV, -EDQUOT or -ENOMEM.
 */
int sp_client_reserve(struct sp_client *client, int nid, u64 count)
{
	nodemask_t allowed;
	struct sp_node *node = sp_node_for_commit(nid, &allowed);

	if (!node || !node_isset(nid, allowed))
		return -ENODEV;
	if (count > ULONG_MAX)
		return -ENOMEM;
	return sp_node_reserve(node, sp_holding_of(client, node), count);
}

/*
 * Hand disowned hpages to their pools.  A second reference is often gone in a
 * moment (a fault or GUP that lost a race); what stays busy is parked.
 */
static unsigned int give_back(struct sp_client *client, struct folio **batch,
			      unsigned int count)
{
	unsigned int i, busy, try;
	struct sp_node *node;

	for (try = 0; count && try < GIVE_TRIES; try++) {
		if (try)
			usleep_range(GIVE_WAIT_US, 2 * GIVE_WAIT_US);
		for (i = 0, busy = 0; i < count; i++) {
			if (!sp_hpage_idle(batch[i])) {
				batch[busy++] = batch[i];
				continue;
			}
			node = sp_node_get(folio_nid(batch[i]));
			sp_node_give(node, sp_holding_of(client, node), batch[i],
				     SP_USED);
		}
		count = busy;
	}
	for (i = 0; i < count; i++)
		sp_park(client, batch[i]);
	return count;
}

/**
 * struct batch - what one hold of the locks took out of a client
 * @folio: hpages to give back
 * @count: their number
 * @gone: slots emptied, including those whose hpage went to a relative
 * @next: where to go on
 * @ret: 0 when there is nothing left, 1 when there may be, -EAGAIN when what is
 *	in slot @next has to be copied to a relative first
 */
struct batch {
	struct folio *folio[SP_BATCH];
	unsigned int count;
	unsigned int gone;
	unsigned long next;
	int ret;
};

/* Empty a slot; what snapshot.c has not dealt with goes into the batch. */
static int detach_one(struct sp_client *client, unsigned long index,
		      void *entry, struct batch *batch)
{
	struct folio *folio = entry;
	int ret = sp_snapshot_vacate(client, index, entry);

	if (ret < 0)
		return ret;
	batch->gone++;
	if (ret)
		return 0;
	xa_erase(&client->hpages, index);
	/* Wait for a fault that found it earlier to have mapped it. */
	folio_lock(folio);
	folio_unlock(folio);
	batch->folio[batch->count++] = folio;
	return 0;
}

/*
 * Take up to SP_BATCH hpages at or after batch->next out of the client and of
 * every mapping.
 */
static void detach_batch(struct sp_client *client, unsigned long last,
			 struct batch *batch)
{
	struct address_space *mapping = client->mapping;
	unsigned long index, first = batch->next;
	void *entry;
	unsigned int i;

	batch->count = 0;
	batch->gone = 0;
	batch->ret = 0;
	filemap_invalidate_lock(mapping);
	sp_snapshot_lock(client);
	xa_for_each_range(&client->hpages, index, entry, first, last) {
		batch->next = index;
		batch->ret = detach_one(client, index, entry, batch);
		if (!batch->ret && batch->gone == SP_BATCH)
			batch->ret = 1;
		if (batch->ret)
			break;
	}
	if (batch->count)
		unmap_mapping_range(mapping, (loff_t)first << HPAGE_PMD_SHIFT,
				    (loff_t)(batch->next - first + 1) <<
				    HPAGE_PMD_SHIFT, 0);
	for (i = 0; i < batch->count; i++)
		sp_client_disown(client, batch->folio[i]);
	sp_snapshot_unlock(client);
	filemap_invalidate_unlock(mapping);
}

/**
 * sp_client_decommit - give a range back; holes are fine
 * @client: the client
 * @range: checked range
 * @hpages: set to the hpages given back
 * @parked: set to those of them that are still pinned
 *
 * Return: 0, or -EINTR when a signal arrived before the end; calling again
 * goes on.
 */
int sp_client_decommit(struct sp_client *client, const struct sp_range *range,
		       u32 *hpages, u32 *parked)
{
	struct batch batch = { .next = range->first };
	unsigned int busy;

	*hpages = 0;
	*parked = 0;
	for (;;) {
		detach_batch(client, range->last, &batch);
		busy = give_back(client, batch.folio, batch.count);
		if (batch.gone)
			trace_decommit(range->first, batch.gone, busy);
		*hpages += batch.gone;
		*parked += busy;
		if (!batch.ret)
			return 0;
		if (batch.ret == -EAGAIN)
			sp_snapshot_push(client, batch.next);
		if (signal_pending(current))
			return -EINTR;
		cond_resched();
	}
}

/**
 * sp_client_show - tell what a client has, for fdinfo
 * @client: the client
 * @seq: where to
 */
void sp_client_show(struct sp_client *client, struct seq_file *seq)
{
	unsigned long committed, parked, guarantee;
	struct sp_node *node;

	seq_printf(seq, "slabpool-charged:\t%lu\n",
		   sp_quota_charged(client->quota));
	seq_printf(seq, "slabpool-commits:\t%lld\n",
		   atomic64_read(&client->commits));
	seq_printf(seq, "slabpool-decommits:\t%lld\n",
		   atomic64_read(&client->decommits));
	seq_printf(seq, "slabpool-pte-fallbacks:\t%lld\n",
		   atomic64_read(&client->pte_fallbacks));
	for (node = sp_node_next(NULL); node; node = sp_node_next(node)) {
		committed = atomic_long_read(&client->node[node->nid].committed);
		parked = atomic_long_read(&client->node[node->nid].parked);
		guarantee = READ_ONCE(sp_holding_of(client, node)->guarantee);
		if (committed || parked || guarantee)
			seq_printf(seq, "slabpool-node%d:\tcommitted=%lu parked=%lu guarantee=%lu\n",
				   node->nid, committed, parked, guarantee);
	}
}

/**
 * sp_client_release - end a client and return all it holds
 * @client: no file and no VMA refers to it any more; may be gone afterwards
 *
 * Clears nothing: the dying task only moves hpages to the dirty lists.
 */
void sp_client_release(struct sp_client *client)
{
	struct folio *batch[SP_BATCH], *folio;
	unsigned int count = 0;
	unsigned long index;
	struct sp_node *node;

	for (node = sp_node_next(NULL); node; node = sp_node_next(node))
		sp_node_reserve(node, sp_holding_of(client, node), 0);
	sp_snapshot_leave(client);
	xa_for_each(&client->hpages, index, folio) {
		sp_client_disown(client, folio);
		batch[count++] = folio;
		if (count < SP_BATCH)
			continue;
		give_back(client, batch, count);
		count = 0;
		cond_resched();
	}
	give_back(client, batch, count);
	xa_destroy(&client->hpages);
	client->mapping = NULL;
	atomic_dec(&nr_clients);
	sp_client_put(client);
}

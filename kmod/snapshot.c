// SPDX-License-Identifier: GPL-2.0-only
/*
 * Snapshots: a client that begins as the picture of another one's hpages and
 * gets copies of its own one by one, when either side first touches an hpage.
 *
 * Clients that are related by snapshots form a chain, each the upper neighbour
 * of the one below it.  A snapshot enters directly below its origin, older ones
 * move down.  A slot of a client holds a folio, is empty (a hole), or is
 * pending: its bytes are those of the nearest folio above.  So
 *
 *	what is above a pending slot, past other pending slots, is a folio;
 *
 *	while the slot below is pending, a folio is not mapped, so nobody writes
 *	to it.
 *
 * Before a client maps an hpage, or gives it up, the slot below must not be
 * pending any more: it gets a copy, or the hpage itself when it is given up.
 * That is all, for any number of snapshots, of snapshots of snapshots, and
 * whichever of them ends first.
 *
 * Each pending slot has a claim on the node its hpage is on, so that the copy
 * cannot fail, and is counted as committed.
 */
#include <linux/highmem.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "internal.h"
#include "trace.h"

/* A slot whose hpage had a hardware error before it could be copied. */
#define LOST		xa_mk_value(MAX_NUMNODES)

/* Slots whose folio was mapped through a mapping inherited from the origin. */
#define INHERITED	XA_MARK_1

static atomic_long_t last_id = ATOMIC_LONG_INIT(0);

static bool is_pending(const void *entry)
{
	return xa_is_value(entry) && entry != LOST;
}

/**
 * sp_slot_nid - the node of the hpage in a slot
 * @entry: what the slot holds, not nothing
 *
 * The folio may be leaving: its node number stays readable.
 *
 * Return: the number, or that of no node when the hpage is lost.
 */
int sp_slot_nid(const void *entry)
{
	return xa_is_value(entry) ? xa_to_value(entry) :
				    folio_nid((struct folio *)entry);
}

static void add_pending(struct sp_client *client, int nid)
{
	atomic_long_inc(&client->node[nid].committed);
	atomic_long_inc(&client->node[nid].pending);
	atomic64_inc(&client->commits);
}

/* The slot is not counted as committed any more, nor is there a copy to make. */
static void drop_pending(struct sp_client *client, int nid)
{
	atomic_long_dec(&client->node[nid].committed);
	atomic_long_dec(&client->node[nid].pending);
	atomic64_inc(&client->decommits);
}

/* The claim for the copy is not needed; @client pays for one hpage less. */
static void unclaim_one(struct sp_client *client, int nid)
{
	struct sp_node *node = sp_node_get(nid);

	sp_node_unclaim(node, sp_holding_of(client, node), 1);
}

static struct sp_client *above(struct sp_client *client)
{
	if (list_is_first(&client->link, &client->chain->members))
		return NULL;
	return list_prev_entry(client, link);
}

static struct sp_client *below(struct sp_client *client)
{
	if (list_is_last(&client->link, &client->chain->members))
		return NULL;
	return list_next_entry(client, link);
}

/* The folio a pending slot stands for. */
static struct folio *stands_for(struct sp_client *client, unsigned long index)
{
	void *entry = NULL;

	while ((client = above(client)) != NULL) {
		entry = xa_load(&client->hpages, index);
		if (!is_pending(entry))
			break;
	}
	/* By the rule above there is one. */
	return WARN_ON_ONCE(!entry || xa_is_value(entry)) ? NULL : entry;
}

/* The next client below that still needs what @client has there. */
static struct sp_client *heir(struct sp_client *client, unsigned long index)
{
	while ((client = below(client)) != NULL) {
		if (!is_pending(xa_load(&client->hpages, index)))
			return NULL;
		/* Who leaves needs nothing, but may be in between. */
		if (!client->leaving)
			return client;
	}
	return NULL;
}

/* Memory that goes bad while it is read must not take the kernel along. */
static bool copy_hpage(struct folio *to, struct folio *from)
{
	unsigned int i;

	if (sp_hpage_poisoned(from))
		return false;
	for (i = 0; i < HPAGE_PMD_NR; i++) {
		if (copy_mc_user_highpage(folio_page(to, i),
					  folio_page(from, i), 0, NULL))
			return false;
		cond_resched();
	}
	return true;
}

/* A copy of @from for @client's pending slot; @from is locked. */
static void fill_pending(struct sp_client *client, unsigned long index,
			 struct folio *from)
{
	int nid = folio_nid(from);
	struct sp_node *node = sp_node_get(nid);
	struct sp_holding *holding = sp_holding_of(client, node);
	struct folio *copy = sp_node_take_any(node, holding);
	void *entry = copy;

	if (copy && !copy_hpage(copy, from)) {
		sp_node_give(node, holding, copy, SP_USED);
		copy = NULL;
	}
	if (copy) {
		sp_client_place(client, copy, index);
		atomic_long_dec(&client->node[nid].pending);
		trace_copy(nid, index);
	} else {
		drop_pending(client, nid);
		entry = LOST;
	}
	/* The slot exists: nothing is allocated. */
	xa_store(&client->hpages, index, entry, GFP_NOWAIT);
}

/* One copy for a pending slot, unless somebody else makes it meanwhile. */
static void copy_to(struct sp_client *client, unsigned long index)
{
	struct folio *from = stands_for(client, index);

	lockdep_assert_held_read(&client->chain->lock);

	/* Whoever copies this hpage, or is just mapping it, has it locked. */
	folio_lock(from);
	if (is_pending(xa_load(&client->hpages, index)) &&
	    stands_for(client, index) == from)
		fill_pending(client, index, from);
	folio_unlock(from);
}

/**
 * sp_snapshot_lock_shared - keep slots from being emptied, and the chain as it is
 * @client: a client whose invalidate lock is held
 */
void sp_snapshot_lock_shared(struct sp_client *client)
{
	if (client->chain)
		down_read(&client->chain->lock);
}

/**
 * sp_snapshot_unlock_shared - the end of it
 * @client: the client
 */
void sp_snapshot_unlock_shared(struct sp_client *client)
{
	if (client->chain)
		up_read(&client->chain->lock);
}

/**
 * sp_snapshot_lock - before slots are emptied
 * @client: a client whose invalidate lock is held
 */
void sp_snapshot_lock(struct sp_client *client)
{
	if (client->chain)
		down_write(&client->chain->lock);
}

/**
 * sp_snapshot_unlock - the end of it
 * @client: the client
 */
void sp_snapshot_unlock(struct sp_client *client)
{
	if (client->chain)
		up_write(&client->chain->lock);
}

/**
 * sp_snapshot_view - who serves a mapping
 * @client: whose file it maps; locked shared
 * @id: 0, or the snapshot the mapping was inherited with
 *
 * Return: @client, or the snapshot, or NULL when that has ended.
 */
struct sp_client *sp_snapshot_view(struct sp_client *client, unsigned long id)
{
	if (!id)
		return client;
	while ((client = below(client)) != NULL)
		if (client->id == id)
			return client;
	return NULL;
}

/**
 * sp_snapshot_find - the hpage to map for a fault
 * @client: who serves it, locked shared
 * @index: the offset in hpages
 * @inherited: through a mapping of the origin
 *
 * Copies one hpage at most.
 *
 * Return: the folio, not yet locked; NULL for a hole; an error pointer: -EAGAIN
 * after a copy, to look again; -EHWPOISON when the hpage is lost.
 */
struct folio *sp_snapshot_find(struct sp_client *client, unsigned long index,
			       bool inherited)
{
	void *entry = xa_load(&client->hpages, index);
	struct sp_client *needy;

	if (!entry || !client->chain)
		return entry;

	needy = heir(client, index);
	if (!needy && is_pending(entry))
		needy = client;
	if (needy) {
		copy_to(needy, index);
		return ERR_PTR(-EAGAIN);
	}
	if (entry == LOST)
		return ERR_PTR(-EHWPOISON);
	if (inherited)
		xa_set_mark(&client->hpages, index, INHERITED);
	return entry;
}

/* Take an hpage out of the mappings of the origin that the snapshot serves. */
static void unmap_inherited(struct sp_client *client, unsigned long index,
			    struct folio *folio)
{
	if (!client->origin || !xa_get_mark(&client->hpages, index, INHERITED))
		return;
	/* Wait for a fault that found it earlier to have mapped it. */
	folio_lock(folio);
	folio_unlock(folio);
	unmap_mapping_range(client->origin->mapping,
			    (loff_t)index << HPAGE_PMD_SHIFT, HPAGE_PMD_SIZE,
			    0);
	xa_clear_mark(&client->hpages, index, INHERITED);
}

/*
 * Leave an hpage that @client gives up to the client below, if that needs it.
 * -EAGAIN: it needs a copy, for there is a pin on the hpage.
 */
static int bequeath(struct sp_client *client, unsigned long index,
		    struct folio *folio)
{
	struct sp_client *next;
	int nid = folio_nid(folio);

	lockdep_assert_held_write(&client->chain->lock);

	unmap_inherited(client, index, folio);
	next = heir(client, index);
	if (!next)
		return 0;
	if (!sp_hpage_idle(folio))
		return -EAGAIN;

	sp_client_disown(client, folio);
	xa_erase(&client->hpages, index);
	sp_client_place(next, folio, index);
	xa_store(&next->hpages, index, folio, GFP_NOWAIT);
	atomic_long_dec(&next->node[nid].pending);
	/* Not @next: it pays for the hpage as it did for the copy. */
	unclaim_one(client, nid);
	return 1;
}

/**
 * sp_snapshot_vacate - see to it that nobody needs a slot that is decommitted
 * @client: the client, locked
 * @index: the offset in hpages
 * @entry: what the slot holds
 *
 * Return: 0, the slot holds a folio as before and nobody else needs it; 1, the
 * slot is empty now; or -EAGAIN, with the lock let go sp_snapshot_push() is
 * needed first.
 */
int sp_snapshot_vacate(struct sp_client *client, unsigned long index,
		       void *entry)
{
	int nid;

	if (!client->chain)
		return 0;
	if (!xa_is_value(entry))
		return bequeath(client, index, entry);
	if (is_pending(entry) && heir(client, index))
		return -EAGAIN;

	xa_erase(&client->hpages, index);
	if (is_pending(entry)) {
		nid = xa_to_value(entry);
		drop_pending(client, nid);
		unclaim_one(client, nid);
	}
	return 1;
}

/**
 * sp_snapshot_push - copy an hpage to the client below, if that needs it
 * @client: the client; no lock is held
 * @index: the offset in hpages
 */
void sp_snapshot_push(struct sp_client *client, unsigned long index)
{
	struct sp_client *next;

	down_read(&client->chain->lock);
	next = heir(client, index);
	if (next)
		copy_to(next, index);
	up_read(&client->chain->lock);
}

static void chain_free(struct kref *ref)
{
	kfree(container_of(ref, struct sp_chain, ref));
}

/* Mappings of a client that ends are gone, and so is what they inherited. */
static void leave_chain(struct sp_client *client)
{
	struct sp_chain *chain = client->chain;
	struct sp_client *other;

	lockdep_assert_held_write(&chain->lock);

	list_del(&client->link);
	list_for_each_entry(other, &chain->members, link)
		if (other->origin == client)
			other->origin = NULL;
	chain->count--;
}

/**
 * sp_snapshot_leave - take a client that ends out of its chain
 * @client: no file and no VMA refers to it any more
 *
 * Leaves in the client the folios that nobody else needs.
 */
void sp_snapshot_leave(struct sp_client *client)
{
	struct sp_chain *chain = client->chain;
	struct sp_node *node;
	unsigned long index;
	unsigned int batch = 0;
	void *entry;

	if (!chain)
		return;

	down_write(&chain->lock);
	/*
	 * From now on inherited mappings find nothing, forks do not inherit, and
	 * no copy is made.
	 */
	if (client->origin)
		cmpxchg(&client->origin->inherit, client->id, 0);
	client->id = 0;
	client->leaving = true;
	xa_for_each(&client->hpages, index, entry) {
		/* What stands for nothing more is dropped below. */
		while (!xa_is_value(entry) &&
		       bequeath(client, index, entry) == -EAGAIN) {
			up_write(&chain->lock);
			sp_snapshot_push(client, index);
			down_write(&chain->lock);
		}
		if (++batch % SP_BATCH)
			continue;
		up_write(&chain->lock);
		cond_resched();
		down_write(&chain->lock);
	}
	leave_chain(client);
	up_write(&chain->lock);
	/* Others may still be on their way out of the lock: not before. */
	kref_put(&chain->ref, chain_free);

	xa_for_each(&client->hpages, index, entry) {
		if (xa_is_value(entry))
			xa_erase(&client->hpages, index);
		if (++batch % SP_BATCH == 0)
			cond_resched();
	}
	for (node = sp_node_next(NULL); node; node = sp_node_next(node))
		sp_node_unclaim(node, sp_holding_of(client, node),
				atomic_long_read(&client->node[node->nid].pending));
}

/* Make pending in @into what @origin has.  A decommit may run beside. */
static int mark_pending(struct sp_client *origin, struct sp_client *into)
{
	unsigned int batch = 0;
	unsigned long index;
	void *entry;
	int ret;

	xa_for_each(&origin->hpages, index, entry) {
		if (!xa_is_value(entry))
			entry = xa_mk_value(folio_nid(entry));
		ret = xa_err(xa_store(&into->hpages, index, entry,
				      GFP_KERNEL_ACCOUNT));
		if (ret)
			return ret;
		if (is_pending(entry))
			add_pending(into, xa_to_value(entry));
		if (++batch % SP_BATCH)
			continue;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

/* Undo it, with the claims of the nodes before @end. */
static void unmark_pending(struct sp_client *into, struct sp_node *end)
{
	struct sp_node *node;
	long pending;

	for (node = sp_node_next(NULL); node; node = sp_node_next(node)) {
		pending = atomic_long_xchg(&into->node[node->nid].pending, 0);
		atomic_long_sub(pending, &into->node[node->nid].committed);
		atomic64_sub(pending, &into->commits);
		if (!end || node->nid < end->nid)
			sp_node_unclaim(node, sp_holding_of(into, node),
					pending);
	}
	xa_destroy(&into->hpages);
}

static int claim_pending(struct sp_client *into)
{
	struct sp_node *node;
	int ret;

	for (node = sp_node_next(NULL); node; node = sp_node_next(node)) {
		ret = sp_node_claim(node, sp_holding_of(into, node),
				    atomic_long_read(&into->node[node->nid].pending));
		if (ret) {
			unmark_pending(into, node);
			return ret;
		}
	}
	return 0;
}

static int mark_and_claim(struct sp_client *origin, struct sp_client *into)
{
	int ret = mark_pending(origin, into);

	if (ret) {
		unmark_pending(into, sp_node_next(NULL));
		return ret;
	}
	return claim_pending(into);
}

/*
 * Forget what was decommitted since it was marked, and wait for faults that
 * found a folio earlier to have mapped it.  No commit ran meanwhile.
 */
static void settle_marks(struct sp_client *origin, struct sp_client *into)
{
	unsigned long index;
	void *mark, *entry;

	xa_for_each(&into->hpages, index, mark) {
		entry = xa_load(&origin->hpages, index);
		if (entry && !xa_is_value(entry)) {
			folio_lock(entry);
			folio_unlock(entry);
		}
		if (!is_pending(mark) || (entry && entry != LOST))
			continue;
		drop_pending(into, xa_to_value(mark));
		unclaim_one(into, xa_to_value(mark));
		xa_store(&into->hpages, index, entry, GFP_NOWAIT);
	}
}

static struct sp_chain *chain_of(struct sp_client *origin)
{
	struct sp_chain *chain = origin->chain;

	if (chain)
		return chain;
	chain = kzalloc(sizeof(*chain), GFP_KERNEL_ACCOUNT);
	if (!chain)
		return NULL;
	kref_init(&chain->ref);
	init_rwsem(&chain->lock);
	INIT_LIST_HEAD(&chain->members);
	list_add(&origin->link, &chain->members);
	chain->count = 1;
	return chain;
}

/* Copies still to be made, on all nodes. */
static u64 count_pending(struct sp_client *into)
{
	struct sp_node *node;
	u64 count = 0;

	for (node = sp_node_next(NULL); node; node = sp_node_next(node))
		count += atomic_long_read(&into->node[node->nid].pending);
	return count;
}

/*
 * The moment of the picture.  Nothing of it may be written to before all of it
 * is unmapped, or a later write could be in it and an earlier one not: so all
 * faults wait for the whole.
 */
static int take_picture(struct sp_chain *chain, struct sp_client *origin,
			struct sp_client *into, u64 *hpages)
{
	lockdep_assert_held_write(&chain->lock);

	if (chain->count > SLABPOOL_MAX_SNAPSHOTS)
		return -EBUSY;

	kref_get(&chain->ref);
	chain->count++;
	list_add(&into->link, &origin->link);
	into->origin = origin;
	into->owner = get_task_pid(current, PIDTYPE_TGID);
	into->id = atomic_long_inc_return(&last_id);
	into->chain = chain;
	settle_marks(origin, into);
	/* With the lock let go a fault may make the first copy. */
	*hpages = count_pending(into);
	unmap_mapping_range(origin->mapping, 0, 0, 0);
	if (origin->origin && xa_marked(&origin->hpages, INHERITED))
		unmap_mapping_range(origin->origin->mapping, 0, 0, 0);
	/* For a fork to read, which holds no lock of ours. */
	WRITE_ONCE(origin->inherit, into->id);
	return 0;
}

/* The committers of both are held, so is the invalidate lock of @into. */
static int create_locked(struct sp_client *origin, struct sp_client *into,
			 u64 *hpages)
{
	struct rw_semaphore *faults = &origin->mapping->invalidate_lock;
	struct sp_chain *chain;
	int ret;

	if (into->chain || !xa_empty(&into->hpages))
		return -EBUSY;
	chain = chain_of(origin);
	if (!chain)
		return -ENOMEM;
	ret = mark_and_claim(origin, into);
	if (ret)
		goto err_chain;

	down_write_nested(faults, SINGLE_DEPTH_NESTING);
	origin->chain = chain;
	down_write(&chain->lock);
	ret = take_picture(chain, origin, into, hpages);
	up_write(&chain->lock);
	up_write(faults);
	if (!ret)
		return 0;

	unmark_pending(into, NULL);
err_chain:
	if (!origin->chain)
		kref_put(&chain->ref, chain_free);
	return ret;
}

/* By address, for two callers may name the same two clients the other way. */
static int lock_committers(struct sp_client *a, struct sp_client *b)
{
	if (a > b)
		swap(a, b);
	if (mutex_lock_killable(&a->commit_lock))
		return -EINTR;
	if (mutex_lock_killable_nested(&b->commit_lock, SINGLE_DEPTH_NESTING)) {
		mutex_unlock(&a->commit_lock);
		return -EINTR;
	}
	return 0;
}

/**
 * sp_snapshot_create - make a client the picture of another
 * @origin: the client
 * @into: another one, which holds nothing and never took part in a snapshot
 * @hpages: set on success to the hpages in the picture
 *
 * Return: 0, -ENOMEM, -EBUSY, or -EINTR after a fatal signal.
 */
int sp_snapshot_create(struct sp_client *origin, struct sp_client *into,
		       u64 *hpages)
{
	int ret;

	ret = lock_committers(origin, into);
	if (ret)
		return ret;
	filemap_invalidate_lock(into->mapping);
	ret = create_locked(origin, into, hpages);
	filemap_invalidate_unlock(into->mapping);
	mutex_unlock(&into->commit_lock);
	mutex_unlock(&origin->commit_lock);
	return ret;
}

/**
 * sp_snapshot_inherit - which snapshot a fork inherits a mapping with
 * @client: whose file is mapped
 *
 * Return: the last one, 0 when there is none or its time is over.
 */
unsigned long sp_snapshot_inherit(struct sp_client *client)
{
	return READ_ONCE(client->inherit);
}

/**
 * sp_snapshot_close - a descriptor of a client is closed
 * @client: the client
 *
 * When the process that made the snapshot closes it, later forks are not meant;
 * nor when it ends or executes another program, which is why it is not known by
 * its address space: that is gone before its descriptors are.
 */
void sp_snapshot_close(struct sp_client *client)
{
	filemap_invalidate_lock_shared(client->mapping);
	sp_snapshot_lock_shared(client);
	if (client->origin && client->owner == task_tgid(current))
		cmpxchg(&client->origin->inherit, client->id, 0);
	sp_snapshot_unlock_shared(client);
	filemap_invalidate_unlock_shared(client->mapping);
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * slabpool: the structures, who guards each field, and what the files call of
 * one another.
 *
 * Lock order, outermost first:
 *
 *	mmap_lock			core; held around ->mmap and ->fault
 *	sp_client.commit_lock		one committer of a client at a time
 *	fallback_lock of supply.c	one claim on several nodes at a time
 *	mapping->invalidate_lock	faults (shared) against decommit
 *	sp_chain.lock			the same among clients related by snapshots
 *	folio lock			a fault holds it until the core has mapped
 *	xa_lock of sp_client.hpages
 *	sp_node.lock			lists, counts; nothing sleeps under it
 *	charge_lock of quota.c		innermost
 *
 * sp_node.resize_lock is taken by writers of nr_hugepages, and accounts_lock of
 * quota.c by who makes or ends a client, with nothing held.
 *
 * A snapshot takes the commit_lock of both clients, by address, then the
 * invalidate_lock of the new one and that of its origin.
 */
#ifndef SLABPOOL_INTERNAL_H
#define SLABPOOL_INTERNAL_H

#include <linux/atomic.h>
#include <linux/fs.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/nodemask.h>
#include <linux/refcount.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/xarray.h>

#include <linux/slabpool.h>

#include "decay.h"

/* Hpages handled under one lock hold, at most. */
#define SP_BATCH	16

/**
 * enum sp_state - where an hpage of a node's total is
 * @SP_ZEROED: free and zero, ready to be handed out
 * @SP_DIRTY: free, still holds its last owner's bytes
 * @SP_PARKED: given back, but somebody still has it pinned
 * @SP_NR_LISTS: number of the states that have a list
 * @SP_ZEROING: being cleared by the worker or by a committing task
 * @SP_USED: held by a client, or on its way into one
 * @SP_NR_STATES: their number
 *
 * The first three are kept on a list of the node, the others are not.
 */
enum sp_state {
	SP_ZEROED,
	SP_DIRTY,
	SP_PARKED,
	SP_NR_LISTS,
	SP_ZEROING = SP_NR_LISTS,
	SP_USED,
	SP_NR_STATES,
};

/**
 * enum sp_limit - what can be limited
 * @SP_LIMIT_CLIENT: hpages charged to one client
 * @SP_LIMIT_USER: hpages charged to one uid
 * @SP_NR_LIMITS: their number
 */
enum sp_limit {
	SP_LIMIT_CLIENT,
	SP_LIMIT_USER,
	SP_NR_LIMITS,
};

struct seq_file;
struct sp_quota;

/**
 * struct sp_node_stats - cumulative counts, guarded by sp_node.lock
 * @commits: hpages handed to clients
 * @decommits: hpages clients gave back, by decommit or close
 * @commit_failures: commits refused for lack of hpages, not by a quota
 * @fallbacks: hpages other nodes supplied to commits that asked for this one
 * @inline_zeroed: hpages a committing task had to clear itself
 * @zeroed: hpages cleared, by the worker or inline
 * @zero_ns: time that took
 * @grown: hpages taken from the buddy allocator
 * @shrunk: hpages returned to it
 */
struct sp_node_stats {
	u64 commits;
	u64 decommits;
	u64 commit_failures;
	u64 fallbacks;
	u64 inline_zeroed;
	u64 zeroed;
	u64 zero_ns;
	u64 grown;
	u64 shrunk;
};

/**
 * struct sp_node - the pool of one NUMA node
 * @nid: its number; set once
 * @lock: guards what says so
 * @list: hpages by state, linked by folio->lru; guarded by @lock
 * @nr: hpages in each state; their sum is @total; guarded by @lock
 * @total: hpages owned, without the poisoned; guarded by @lock
 * @target: hpages wanted (nr_hugepages); guarded by @lock
 * @overcommit: hpages it may grow above @target when a commit needs them; guarded
 *	by @lock
 * @claimed: free hpages promised to commits under way and for the copies of
 *	snapshots; guarded by @lock
 * @reserved: free hpages set aside for guarantees; guarded by @lock
 * @poisoned: hpages with a hardware error, kept for ever; guarded by @lock
 * @stats: guarded by @lock
 * @pte_fallbacks: atomic, relaxed: statistics
 * @reclaims: how often the kernel took surplus back; atomic, without order: who grows
 *	the pool looks whether it changes
 * @resize_lock: one writer of @target at a time
 * @decay: of the surplus; the worker alone
 * @worker: thread that zeroes, shrinks and unparks; set once
 * @work: where @worker waits
 * @zeroed: where commits wait for an hpage that is being cleared
 * @kobj: nodeN in sysfs; set once
 */
struct sp_node {
	int nid;
	spinlock_t lock; /* see above */
	struct list_head list[SP_NR_LISTS];
	unsigned long nr[SP_NR_STATES];
	unsigned long total;
	unsigned long target;
	unsigned long overcommit;
	unsigned long claimed;
	unsigned long reserved;
	unsigned long poisoned;
	struct sp_node_stats stats;
	atomic64_t pte_fallbacks;
	atomic_long_t reclaims;
	struct mutex resize_lock; /* see above */
	struct sp_decay decay;
	struct task_struct *worker;
	wait_queue_head_t work;
	wait_queue_head_t zeroed;
	struct kobject *kobj;
};

/**
 * struct sp_holding - what a client has of one node
 * @quota: who pays for it; set once
 * @held: hpages committed, parked or claimed; guarded by sp_node.lock
 * @guarantee: hpages it may hold in any case; written under sp_node.lock
 *
 * What of the guarantee is not held is set aside in the node, and what is held
 * or set aside is charged.
 */
struct sp_holding {
	struct sp_quota *quota;
	unsigned long held;
	unsigned long guarantee;
};

/**
 * struct sp_chain - clients that are related by snapshots
 * @ref: its members
 * @lock: held shared by faults, exclusive to empty slots, to join and to leave
 * @members: by sp_client.link, a snapshot directly below its origin; guarded
 *	by @lock
 * @count: their number; guarded by @lock
 */
struct sp_chain {
	struct kref ref;
	struct rw_semaphore lock; /* see above */
	struct list_head members;
	unsigned int count;
};

/**
 * struct sp_client - what an open file holds, and those made of it by SHARE
 * @ref: the files together, and each of its parked hpages
 * @files: open files; the last one ends it
 * @mapping: of the inode this client alone has, so that unmapping reaches
 *	nobody else's; set once, valid until release
 * @quota: who pays for what it has; set once
 * @hpages: folios, or what snapshot.c puts there, by offset in hpages.  Commit
 *	adds under @commit_lock, decommit removes under the invalidate lock and
 *	that of @chain, release is alone
 * @commit_lock: makes commits of one client take turns, so that a failing one
 *	takes back nothing another has relied on
 * @commits: atomic, relaxed: statistics
 * @decommits: likewise
 * @pte_fallbacks: likewise
 * @chain: NULL without relatives; set once, under @commit_lock and the
 *	invalidate lock
 * @link: place in @chain; guarded by its lock
 * @origin: whose snapshot this is, NULL when none or ended; guarded likewise
 * @owner: process that made the snapshot, only to compare; guarded likewise
 * @id: of this snapshot, 0 for none; guarded likewise
 * @leaving: no copies are made for it any more; guarded likewise
 * @inherit: snapshot of this client that forks inherit, 0 for none; written
 *	under @chain's lock, read by forks without
 * @node: by node number: what the node knows of it; hpages claimed by the commit
 *	under way, guarded by @commit_lock; hpages it has, copies still to be made
 *	among them, and hpages given back but pinned, all atomic, relaxed:
 *	@pending is guarded like the slots, the others are statistics
 */
struct sp_client {
	struct kref ref;
	refcount_t files;
	struct address_space *mapping;
	struct sp_quota *quota;
	struct xarray hpages;
	struct mutex commit_lock; /* see above */
	atomic64_t commits;
	atomic64_t decommits;
	atomic64_t pte_fallbacks;
	struct sp_chain *chain;
	struct list_head link;
	struct sp_client *origin;
	struct pid *owner;
	unsigned long id;
	bool leaving;
	unsigned long inherit;
	struct {
		struct sp_holding holding;
		unsigned long claimed;
		atomic_long_t committed;
		atomic_long_t pending;
		atomic_long_t parked;
	} node[];
};

/**
 * struct sp_range - a checked range of a client's offsets
 * @first: first hpage
 * @last: last hpage
 * @nid: node the offset names, or SLABPOOL_NODE_LOCAL
 */
struct sp_range {
	unsigned long first;
	unsigned long last;
	int nid;
};

/**
 * struct sp_commit - how to commit, and how it went
 * @fallback: in: other nodes may supply what the node lacks
 * @grow: in: pools may grow, which is slow: not inside ->mmap
 * @lacked: out with -ENOMEM: holes for which there were not enough hpages; 0 when
 *	something else was short
 * @committed: out: hpages added
 * @off_node: out: hpages of the range that are on another node
 */
struct sp_commit {
	bool fallback;
	bool grow;
	unsigned long lacked;
	u64 committed;
	u64 off_node;
};

/**
 * struct sp_books - what a node's fields said at one moment
 * @nr: as in struct sp_node
 * @total: as in struct sp_node
 * @target: as in struct sp_node
 * @overcommit: as in struct sp_node
 * @claimed: as in struct sp_node
 * @reserved: as in struct sp_node
 * @poisoned: as in struct sp_node
 * @wrong: NULL, or in which way they contradict each other
 */
struct sp_books {
	unsigned long nr[SP_NR_STATES];
	unsigned long total;
	unsigned long target;
	unsigned long overcommit;
	unsigned long claimed;
	unsigned long reserved;
	unsigned long poisoned;
	const char *wrong;
};

static inline struct sp_holding *sp_holding_of(struct sp_client *client,
					       const struct sp_node *node)
{
	return &client->node[node->nid].holding;
}

/* in main.c */
bool sp_verify_zero(void);

/* in dev.c */
extern const struct file_operations sp_dev_fops;
struct file *sp_dev_share(struct file *file, int flags);
int sp_dev_init(void);
void sp_dev_exit(void);

/* in ioctl.c */
long sp_ioctl(struct file *file, unsigned int cmd, unsigned long arg);

/* in vma.c */
int sp_vma_mmap(struct file *file, struct vm_area_struct *vma);
bool sp_vma_inherited(struct file *file, unsigned long start,
		      unsigned long end);

/* in client.c */
int sp_range_init(struct sp_range *range, u64 offset, u64 length);
struct sp_client *sp_client_create(struct address_space *mapping,
				   const struct cred *cred);
void sp_client_release(struct sp_client *client);
void sp_client_put(struct sp_client *client);
void sp_client_place(struct sp_client *client, struct folio *folio,
		     unsigned long index);
void sp_client_disown(struct sp_client *client, struct folio *folio);
int sp_client_commit(struct sp_client *client, const struct sp_range *range,
		     struct sp_commit *commit);
int sp_client_reserve(struct sp_client *client, int nid, u64 count);
int sp_client_decommit(struct sp_client *client, const struct sp_range *range,
		       u32 *hpages, u32 *parked);
void sp_client_show(struct sp_client *client, struct seq_file *seq);
unsigned int sp_client_count(void);

/* in supply.c */
void sp_supply_unclaim(struct sp_client *client);
int sp_supply_claim(struct sp_client *client, struct sp_node *node,
		    unsigned long count);
int sp_supply_claim_near(struct sp_client *client, int nid, nodemask_t left,
			 unsigned long count);
int sp_supply_take(struct sp_client *client, struct list_head *taken);
unsigned long sp_supply_count(struct sp_client *client, struct sp_node *asked);
bool sp_supply_grow(struct sp_client *client, int nid, const nodemask_t *from,
		    unsigned long lacked);
void sp_supply_forgo(int nid, nodemask_t from);

/* in snapshot.c */
int sp_slot_nid(const void *entry);
void sp_snapshot_lock_shared(struct sp_client *client);
void sp_snapshot_unlock_shared(struct sp_client *client);
void sp_snapshot_lock(struct sp_client *client);
void sp_snapshot_unlock(struct sp_client *client);
struct sp_client *sp_snapshot_view(struct sp_client *client, unsigned long id);
struct folio *sp_snapshot_find(struct sp_client *client, unsigned long index,
			       bool inherited);
int sp_snapshot_vacate(struct sp_client *client, unsigned long index,
		       void *entry);
void sp_snapshot_push(struct sp_client *client, unsigned long index);
void sp_snapshot_leave(struct sp_client *client);
int sp_snapshot_create(struct sp_client *origin, struct sp_client *into,
		       u64 *hpages);
unsigned long sp_snapshot_inherit(struct sp_client *client);
void sp_snapshot_close(struct sp_client *client);

/* in quota.c */
struct sp_quota *sp_quota_create(const struct cred *cred);
void sp_quota_free(struct sp_quota *quota);
unsigned long sp_quota_room(const struct sp_quota *quota);
unsigned long sp_quota_charged(const struct sp_quota *quota);
int sp_quota_charge(struct sp_quota *quota, unsigned long count);
void sp_quota_uncharge(struct sp_quota *quota, unsigned long count);
unsigned long sp_quota_limit(enum sp_limit which);
void sp_quota_set_limit(enum sp_limit which, unsigned long limit);

/* in node.c */
/* All that is free, if only one that is being cleared; the caller has the lock. */
static inline unsigned long sp_node_nr_free(const struct sp_node *node)
{
	return node->nr[SP_ZEROED] + node->nr[SP_DIRTY] + node->nr[SP_ZEROING];
}

struct sp_node *sp_node_get(int nid);
struct sp_node *sp_node_next(const struct sp_node *node);
unsigned long sp_node_capacity(struct sp_node *node);
struct sp_node *sp_node_nearest(int nid, nodemask_t *left);
struct sp_node *sp_node_for_commit(int nid, nodemask_t *allowed);
void sp_node_check_sum(const struct sp_node *node);
void sp_node_check_claims(const struct sp_node *node);
void sp_node_move(struct sp_node *node, struct folio *folio,
		  enum sp_state from, enum sp_state to);
struct folio *sp_node_pop_locked(struct sp_node *node, enum sp_state from,
				 enum sp_state to);
struct folio *sp_node_pop(struct sp_node *node, enum sp_state from,
			  enum sp_state to);
void sp_node_leave(struct sp_node *node, enum sp_state from);
void sp_node_retire_locked(struct sp_node *node, struct folio *folio);
void sp_node_retire(struct sp_node *node, struct folio *folio,
		    enum sp_state from);
void sp_node_count(struct sp_node *node, u64 *counter, u64 count);
void sp_node_books(struct sp_node *node, struct sp_books *books);
int sp_nodes_init(void);
void sp_nodes_exit(void);

/* in claim.c */
unsigned long sp_node_spare(const struct sp_node *node);
int sp_node_reserve(struct sp_node *node, struct sp_holding *holding,
		    unsigned long guarantee);
int sp_node_claim(struct sp_node *node, struct sp_holding *holding,
		  unsigned long count);
void sp_node_unclaim(struct sp_node *node, struct sp_holding *holding,
		     unsigned long count);
unsigned long sp_node_available(struct sp_node *node,
				const struct sp_holding *holding);
void sp_node_untake(struct sp_node *node, struct sp_holding *holding,
		    struct folio *folio);
int sp_node_take(struct sp_node *node, struct sp_holding *holding,
		 unsigned long count, struct list_head *taken);
struct folio *sp_node_take_any(struct sp_node *node,
			       struct sp_holding *holding);
void sp_node_give(struct sp_node *node, struct sp_holding *holding,
		  struct folio *folio, enum sp_state from);

/* in grow.c */
unsigned long sp_node_unused(struct sp_node *node);
bool sp_node_shrink_one(struct sp_node *node);
unsigned long sp_node_growth(struct sp_node *node);
bool sp_node_grow(struct sp_node *node, unsigned long count);
int sp_node_resize(struct sp_node *node, unsigned long target);
int sp_node_set_overcommit(struct sp_node *node, unsigned long overcommit);

/* in park.c */
bool sp_hpage_idle(struct folio *folio);
void sp_park(struct sp_client *client, struct folio *folio);
void sp_park_recheck(struct sp_node *node);

/* in zero.c */
bool sp_hpage_poisoned(struct folio *folio);
bool sp_hpage_is_zero(struct folio *folio);
bool sp_zero_hpage(struct sp_node *node, struct folio *folio);
int sp_zero_init(void);
void sp_zero_exit(void);

/* in shrink.c */
unsigned int sp_decay_ms(void);
void sp_set_decay_ms(unsigned int ms);
bool sp_shrink_has_news(struct sp_node *node);
bool sp_shrink_by_decay(struct sp_node *node, unsigned long *timeout);
int sp_shrink_init(void);
void sp_shrink_exit(void);

/* in sysfs.c */
extern const struct attribute_group *sp_sysfs_groups[];
void sp_sysfs_init(struct device *dev);
void sp_sysfs_exit(void);

/* in debugfs.c */
void sp_debugfs_init(void);
void sp_debugfs_exit(void);

#endif /* SLABPOOL_INTERNAL_H */

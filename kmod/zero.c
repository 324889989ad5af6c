// SPDX-License-Identifier: GPL-2.0-only
/*
 * Clearing: nothing enters a zeroed list, or reaches an owner, but through
 * sp_zero_hpage() or fresh from the buddy allocator with __GFP_ZERO.
 *
 * One worker a node does it beside the application: on that node's
 * housekeeping CPUs, never on isolated or nohz_full ones, at the lowest
 * priority.  It also returns surplus and looks at parked hpages, so that one
 * thread is all that ever runs on the pool's behalf.
 */
#include <linux/highmem.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/sched.h>
#include <linux/sched/isolation.h>
#include <linux/string.h>
#include <linux/topology.h>

#include "compat.h"
#include "internal.h"
#include "trace.h"

/* A pin that goes is noticed this soon. */
#define PARK_INTERVAL	(HZ / 10)

/**
 * sp_hpage_poisoned - has any of its base pages a hardware error?
 * @folio: the hpage
 *
 * Memory failure ignores pages that are not on the LRU, so we must look.
 *
 * Return: true when one has.
 */
bool sp_hpage_poisoned(struct folio *folio)
{
	unsigned int i;

	for (i = 0; i < HPAGE_PMD_NR; i++)
		if (PageHWPoison(folio_page(folio, i)))
			return true;
	return false;
}

static bool is_zero(struct page *page)
{
	void *addr = kmap_local_page(page);
	bool zero = !memchr_inv(addr, 0, PAGE_SIZE);

	kunmap_local(addr);
	return zero;
}

/**
 * sp_hpage_is_zero - does an hpage hold nothing but zeroes?
 * @folio: the hpage
 *
 * Return: true when so.
 */
bool sp_hpage_is_zero(struct folio *folio)
{
	unsigned int i;

	for (i = 0; i < HPAGE_PMD_NR; i++) {
		if (!is_zero(folio_page(folio, i)))
			return false;
		cond_resched();
	}
	return true;
}

/**
 * sp_zero_hpage - clear an hpage, or retire it when it is poisoned
 * @node: its node
 * @folio: the hpage, in state SP_ZEROING
 *
 * Return: true when it is zero now, false when it has left the pool.
 */
bool sp_zero_hpage(struct sp_node *node, struct folio *folio)
{
	u64 start = ktime_get_ns(), took;
	unsigned int i;

	if (sp_hpage_poisoned(folio)) {
		sp_node_retire(node, folio, SP_ZEROING);
		return false;
	}

	for (i = 0; i < HPAGE_PMD_NR; i++) {
		clear_highpage(folio_page(folio, i));
		cond_resched();
	}

	took = ktime_get_ns() - start;
	trace_zero(node->nid, folio_pfn(folio), took);
	spin_lock(&node->lock);
	node->stats.zeroed++;
	node->stats.zero_ns += took;
	spin_unlock(&node->lock);
	return true;
}

static void zero_next(struct sp_node *node)
{
	struct folio *folio = sp_node_pop(node, SP_DIRTY, SP_ZEROING);

	if (!folio || !sp_zero_hpage(node, folio))
		return;

	spin_lock(&node->lock);
	sp_node_move(node, folio, SP_ZEROING, SP_ZEROED);
	spin_unlock(&node->lock);
	wake_up(&node->zeroed);
}

static bool has_parked(struct sp_node *node)
{
	bool parked;

	spin_lock(&node->lock);
	parked = node->nr[SP_PARKED];
	spin_unlock(&node->lock);
	return parked;
}

static bool has_dirty(struct sp_node *node)
{
	bool dirty;

	spin_lock(&node->lock);
	dirty = node->nr[SP_DIRTY];
	spin_unlock(&node->lock);
	return dirty;
}

static bool has_work(struct sp_node *node, bool watching)
{
	return kthread_should_stop() || has_dirty(node) ||
	       sp_shrink_has_news(node) || has_parked(node) != watching;
}

static int worker(void *arg)
{
	struct sp_node *node = arg;
	unsigned long due = jiffies, timeout = MAX_SCHEDULE_TIMEOUT;
	bool watching;

	set_user_nice(current, MAX_NICE);
	while (!kthread_should_stop()) {
		/* Without parked hpages and surplus there is no timer. */
		watching = has_parked(node);
		if (watching)
			timeout = min_t(unsigned long, timeout, PARK_INTERVAL);
		wait_event_idle_timeout(node->work, has_work(node, watching),
					timeout);
		if (watching && time_after_eq(jiffies, due)) {
			sp_park_recheck(node);
			due = jiffies + PARK_INTERVAL;
		}
		if (!sp_shrink_by_decay(node, &timeout))
			zero_next(node);
		cond_resched();
	}
	return 0;
}

static bool housekeeping_cpus_of(int nid, struct cpumask *mask)
{
	/* Newer kernels replace the masks while they run. */
	rcu_read_lock();
	cpumask_and(mask, cpumask_of_node(nid),
		    housekeeping_cpumask(HK_TYPE_DOMAIN));
	/* The tick's housekeepers are the CPUs that are not nohz_full. */
	cpumask_and(mask, mask, housekeeping_cpumask(HK_TYPE_TICK));
	rcu_read_unlock();
	return cpumask_intersects(mask, cpu_online_mask);
}

/* The node's own housekeeping CPUs, else those of the nearest node with any. */
static bool choose_cpus(int nid, struct cpumask *mask)
{
	int other, best = NUMA_NO_NODE;

	if (housekeeping_cpus_of(nid, mask))
		return true;

	for_each_online_node(other) {
		if (!housekeeping_cpus_of(other, mask))
			continue;
		if (best == NUMA_NO_NODE ||
		    node_distance(nid, other) < node_distance(nid, best))
			best = other;
	}
	return best != NUMA_NO_NODE && housekeeping_cpus_of(best, mask);
}

static int worker_start(struct sp_node *node)
{
	struct task_struct *task;
	cpumask_var_t mask;

	if (!alloc_cpumask_var(&mask, GFP_KERNEL))
		return -ENOMEM;

	task = kthread_create_on_node(worker, node, node->nid, "slabpool/%d",
				      node->nid);
	if (IS_ERR(task)) {
		free_cpumask_var(mask);
		return PTR_ERR(task);
	}
	if (choose_cpus(node->nid, mask))
		sp_kthread_affine(task, mask);
	free_cpumask_var(mask);

	node->worker = task;
	wake_up_process(task);
	return 0;
}

/**
 * sp_zero_exit - stop the workers
 */
void sp_zero_exit(void)
{
	struct sp_node *node;

	for (node = sp_node_next(NULL); node; node = sp_node_next(node)) {
		if (node->worker)
			kthread_stop(node->worker);
		node->worker = NULL;
	}
}

/**
 * sp_zero_init - start a worker for each node
 *
 * Return: 0 or a negative errno.
 */
int sp_zero_init(void)
{
	struct sp_node *node;
	int ret;

	for (node = sp_node_next(NULL); node; node = sp_node_next(node)) {
		ret = worker_start(node);
		if (ret) {
			sp_zero_exit();
			return ret;
		}
	}
	return 0;
}

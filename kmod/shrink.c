// SPDX-License-Identifier: GPL-2.0-only
/*
 * Surplus, that is what a node owns above nr_hugepages, goes back to the kernel:
 * by and by along the curve of decay.c, which the node's worker asks, and at once
 * when the kernel is short of memory.  The configured size never does, nor does
 * what a client was guaranteed.
 *
 * The kernel may ask in the middle of any allocation: nothing here takes a lock but
 * a node's.
 */
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/shrinker.h>
#include <linux/wait.h>

#include "compat.h"
#include "internal.h"

/* Written by sysfs, read by anybody. */
static unsigned int decay_ms = 10000;

static struct shrinker *shrinker;

/**
 * sp_decay_ms - how long surplus may stay
 *
 * Return: milliseconds; 0: it goes at once.
 */
unsigned int sp_decay_ms(void)
{
	return READ_ONCE(decay_ms);
}

/**
 * sp_set_decay_ms - set how long surplus may stay
 * @ms: milliseconds, also for the surplus there is
 */
void sp_set_decay_ms(unsigned int ms)
{
	struct sp_node *node;

	WRITE_ONCE(decay_ms, ms);
	for (node = sp_node_next(NULL); node; node = sp_node_next(node))
		wake_up(&node->work);
}

static u64 period_ns(void)
{
	return (u64)sp_decay_ms() * NSEC_PER_MSEC;
}

/**
 * sp_shrink_has_news - must sp_shrink_by_decay() be called before its time?
 * @node: the node; only its worker calls this
 *
 * Return: true when there is more or less surplus than it knew, or another period.
 */
bool sp_shrink_has_news(struct sp_node *node)
{
	return sp_node_unused(node) != node->decay.unused ||
	       period_ns() != node->decay.period_ns;
}

/**
 * sp_shrink_by_decay - give one hpage back if it is due
 * @node: the node; only its worker calls this
 * @timeout: set to the jiffies until it should be called again
 *
 * Return: true when one was given back.
 */
bool sp_shrink_by_decay(struct sp_node *node, unsigned long *timeout)
{
	struct sp_decay *decay = &node->decay;
	u64 now = ktime_get_ns(), due;

	if (decay->period_ns != period_ns())
		sp_decay_init(decay, period_ns(), now);
	sp_decay_update(decay, now, sp_node_unused(node));
	if (decay->unused > sp_decay_limit(decay) && sp_node_shrink_one(node)) {
		sp_decay_given(decay, 1);
		*timeout = 0;
		return true;
	}

	*timeout = MAX_SCHEDULE_TIMEOUT;
	if (decay->unused) {
		due = sp_decay_due(decay);
		*timeout = 1 + (due > now ? nsecs_to_jiffies(due - now) : 0);
	}
	return false;
}

/* In base pages, as the kernel weighs what it could have. */
static unsigned long count_surplus(struct shrinker *unused,
				   struct shrink_control *sc)
{
	struct sp_node *node = sp_node_get(sc->nid);

	return node ? sp_node_unused(node) << HPAGE_PMD_ORDER : 0;
}

static unsigned long scan_surplus(struct shrinker *unused,
				  struct shrink_control *sc)
{
	unsigned long left = DIV_ROUND_UP(sc->nr_to_scan, HPAGE_PMD_NR);
	struct sp_node *node = sp_node_get(sc->nid);
	unsigned long freed = 0;

	while (node && left-- && sp_node_shrink_one(node))
		freed += HPAGE_PMD_NR;
	if (!freed)
		return SHRINK_STOP;
	atomic_long_inc(&node->reclaims);
	return freed;
}

/**
 * sp_shrink_init - let the kernel ask for surplus
 *
 * Return: 0 or -ENOMEM.
 */
int sp_shrink_init(void)
{
	shrinker = sp_shrinker_register(count_surplus, scan_surplus,
					HPAGE_PMD_NR);
	return shrinker ? 0 : -ENOMEM;
}

/**
 * sp_shrink_exit - it may not ask any more
 */
void sp_shrink_exit(void)
{
	sp_shrinker_unregister(shrinker);
}

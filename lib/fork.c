// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * fork(2): the forking thread holds every lock of the library across it, so that
 * the child finds all structures in order.
 *
 * The anonymous sources are private mappings: the kernel copies on write.  The
 * device's mapping is shared; with fork:snapshot the module makes a picture of it
 * before the fork, which the child inherits and then maps in its place.  Threads
 * of the parent may write throughout.
 *
 * Where neither serves - fork:copy, a pool that cannot supply the copies, a
 * hugetlb pool that is short - the child replaces the heap by copies at once, and
 * the parent's forking thread waits until that is done; other threads of the
 * parent wait when they come to a slow path, and are seen writing before they do.
 * It learns of the end by a pipe, whose write end dies with the child.
 *
 * In any case the heap in the child is not of the same moment as the rest of
 * its memory.  What the locks guard did not change meanwhile; of what other
 * threads do without, only the inboxes reach what the child goes on with, and of
 * these it forgets what came after the locks.
 *
 * Caches of the parent's other threads stay theirs in the child, that is
 * nobody's: a thread may have been in the middle of a hit path.  What they hold
 * is lost to the child; frees into their chunks are still good.
 */
#include <pthread.h>
#include <unistd.h>

#include "fork.h"
#include "init.h"
#include "lockdown.h"
#include "locks.h"
#include "node.h"
#include "owner.h"
#include "reclaim.h"
#include "source.h"
#include "sys.h"
#include "text.h"
#include "unshare.h"

/* These are used by one thread at a time: the one that holds the locks. */
static bool copying;
static int done[2] = { -1, -1 };
static uint64_t fallbacks;
static uint64_t copies;
static int refusal;	/* why there was no snapshot, 0: there was one */

static void prepare(void)
{
	sp_for_each_lock(sp_lock);
	for (int id = 0; id < SP_MAX_NODES; id++)
		if (sp_node_get(id))
			sp_owner_fork_prepare(&sp_nodes[id]);
	refusal = 0;
	copying = false;
	/* With fork:none there is no heap in the child. */
	if (!sp_source() || sp_conf.fork == SP_FORK_NONE)
		return;
	if (sp_conf.fork == SP_FORK_SNAPSHOT)
		refusal = sp_unshare_snapshot();
	copying = sp_unshare_must_copy();
	if (copying && sp_sys_pipe(done))
		done[0] = done[1] = -1;
}

/* Once: a server may fork again and again. */
static void say_copied(void)
{
	char buf[256];
	struct sp_text text = SP_TEXT(buf);

	if (!sp_conf.verbose || copies != 1)
		return;
	sp_text_add(&text, "slabpool: fork: no snapshot: ");
	sp_text_add_error(&text, refusal);
	sp_text_add(&text, "; the child copies the heap at once");
	sp_text_line(&text, STDERR_FILENO);
}

static void in_parent(void)
{
	char byte;

	sp_unshare_snapshot_parent();
	if (done[0] >= 0) {
		sp_sys_close(done[1]);
		sp_sys_read(done[0], &byte, 1);	/* until the child closes its end */
		sp_sys_close(done[0]);
		done[0] = done[1] = -1;
	}
	if (refusal) {
		copies++;
		say_copied();
	}
	sp_for_each_lock(sp_unlock);
}

static void in_child(void)
{
	bool heap = sp_source() && sp_conf.fork != SP_FORK_NONE;

	/* From here on what is given back is the child's own. */
	sp_unshare_snapshot_child();
	for (int id = 0; id < SP_MAX_NODES; id++) {
		if (!sp_node_get(id))
			continue;
		if (copying)
			sp_node_drop_ready(&sp_nodes[id], sp_conf.decay_ms);
		sp_node_fork_child(&sp_nodes[id]);
		sp_owner_fork_child(&sp_nodes[id]);
	}
	if (heap)
		fallbacks = sp_unshare_fork_child();
	copies = 0;
	if (done[0] >= 0) {
		sp_sys_close(done[0]);
		sp_sys_close(done[1]);
		done[0] = done[1] = -1;
	}
	sp_reclaim_fork_child();
	sp_lockdown_fork_child();
	sp_for_each_lock(sp_lock_reset);
}

void sp_fork_init(void)
{
	pthread_atfork(prepare, in_parent, in_child);
}

uint64_t sp_fork_fallbacks(void)
{
	return fallbacks;
}

uint64_t sp_fork_copies(void)
{
	return copies;
}

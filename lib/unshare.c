// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#include <string.h>
#include <sys/mman.h>

#include "commit.h"
#include "fatal.h"
#include "source.h"
#include "sys.h"
#include "unshare.h"
#include "window.h"

/*
 * By position in the order of sp_source_at(): the sources to copy from, and
 * those there is a snapshot of.
 */
static bool copied[SP_MAX_SOURCES];
static bool pictured[SP_MAX_SOURCES];

static bool is_copied(const struct sp_backend *backend)
{
	for (size_t i = 0; i < ARRAY_SIZE(copied); i++)
		if (copied[i] && backend == sp_source_at(i))
			return true;
	return false;
}

void sp_unshare_forget(const struct sp_extent *extent)
{
	const struct sp_backend *backend = sp_window_source(extent);

	/* What is not copied is still there, and must read zero when it is next taken. */
	if (!is_copied(backend))
		backend->decommit(extent, 1);
	sp_window_give_locked(extent);
}

/*
 * The pool could not supply the copies: give the child ordinary memory at the
 * same addresses instead of letting fork() fail late.  Return: 0 or -errno.
 */
static int unshare_to_thp(size_t p, const struct sp_extent *piece,
			  const struct sp_extent *live, size_t count)
{
	char *copy = sp_anon_reserve(piece->size, SP_HPAGE);
	int err;

	if (!copy)
		return -ENOMEM;
	sp_sys_advise(copy, piece->size, MADV_HUGEPAGE);
	for (size_t i = 0; i < count; i++) {
		char *to = copy + (live[i].addr - piece->addr);

		err = sp_sys_protect_rw(to, live[i].size);
		if (err)
			goto unmap_copy;
		memcpy(to, live[i].addr, live[i].size);
	}
	/* One VMA at a time can move; the reservation takes the window first. */
	err = sp_window_reassign(p, &sp_backend_thp);
	for (size_t i = 0; i < count && !err; i++)
		err = sp_sys_move(copy + (live[i].addr - piece->addr), live[i].addr,
				  live[i].size);
unmap_copy:
	sp_sys_unmap(copy, piece->size);
	return err;
}

/* Return: the hpages that had to go to anonymous memory. */
static uint64_t unshare_piece(size_t p, bool orphaned)
{
	struct sp_extent live[SP_PIECE_RUNS], whole;
	const struct sp_backend *backend = sp_window_piece(p, &whole);
	size_t count = sp_window_taken(p, live);
	uint64_t size = 0;

	if (!orphaned && backend->unshare(&whole, live, count) == 0)
		return 0;
	if (unshare_to_thp(p, &whole, live, count))
		sp_fatal_source("fork: no memory to copy the heap for the child");
	for (size_t i = 0; i < count; i++)
		size += live[i].size;
	return size >> SP_HPAGE_SHIFT;
}

int sp_unshare_snapshot(void)
{
	int first = 0, err;

	for (size_t i = 0; i < ARRAY_SIZE(pictured); i++) {
		const struct sp_backend *backend = sp_source_at(i);

		if (!backend || !backend->snapshot)
			continue;
		err = backend->snapshot();
		pictured[i] = !err;
		first = first ? first : err;
	}
	return first;
}

void sp_unshare_snapshot_parent(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(pictured); i++) {
		if (pictured[i])
			sp_source_at(i)->snapshot_end(false);
		pictured[i] = false;
	}
}

static void map_snapshot_of(const struct sp_backend *backend)
{
	struct sp_extent whole;

	backend->snapshot_end(true);
	for (size_t p = 0; p < sp_window_pieces(); p++)
		if (sp_window_piece(p, &whole) == backend && backend->snapshot_map(&whole))
			sp_fatal_source("fork: the child cannot map the heap's snapshot");
}

void sp_unshare_snapshot_child(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(pictured); i++) {
		if (pictured[i])
			map_snapshot_of(sp_source_at(i));
		pictured[i] = false;
	}
}

bool sp_unshare_must_copy(void)
{
	uint64_t live = sp_committed() >> SP_HPAGE_SHIFT;
	bool any = false;

	for (size_t i = 0; i < ARRAY_SIZE(copied); i++) {
		const struct sp_backend *backend = sp_source_at(i);

		copied[i] = backend && !pictured[i] && backend->must_copy &&
			    backend->must_copy(live);
		any = any || copied[i];
	}
	return any;
}

static uint64_t unshare_all_of(const struct sp_backend *backend)
{
	/* Without a client of its own the child must never use the parent's. */
	bool orphaned = backend->fresh && backend->fresh();
	struct sp_extent whole;
	uint64_t anonymous = 0;

	for (size_t p = 0; p < sp_window_pieces(); p++)
		if (sp_window_piece(p, &whole) == backend)
			anonymous += unshare_piece(p, orphaned);
	if (orphaned)
		sp_source_replace(&sp_backend_thp);
	return anonymous;
}

/*
 * Addresses are taken before memory is committed and given after it is gone, and
 * no lock is held in between; the descriptor's state, which changes under the
 * node's lock, says what is really in use.  Return: bytes of @run that are.
 */
static uint64_t drop_in_flight(const struct sp_extent *run)
{
	uint64_t live = run->size;

	for (size_t at = 0; at < run->size; at += SP_HPAGE) {
		/* The descriptor may not know its address yet. */
		struct sp_extent extent = { run->addr + at, SP_HPAGE, run->byte + at, run->node };

		if (sp_window_hpage(extent.addr)->state != SP_HPAGE_FREE)
			continue;
		sp_unshare_forget(&extent);
		live -= SP_HPAGE;
	}
	return live;
}

uint64_t sp_unshare_fork_child(void)
{
	uint64_t anonymous = 0, live = 0;

	for (size_t p = 0; p < sp_window_pieces(); p++) {
		struct sp_extent runs[SP_PIECE_RUNS];
		size_t count = sp_window_taken(p, runs);

		for (size_t i = 0; i < count; i++)
			live += drop_in_flight(&runs[i]);
	}
	sp_commit_fork_child(live);

	for (size_t i = 0; i < ARRAY_SIZE(copied); i++)
		if (copied[i])
			anonymous += unshare_all_of(sp_source_at(i));
	return anonymous;
}

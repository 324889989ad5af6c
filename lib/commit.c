// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#include "calls.h"
#include "commit.h"
#include "source.h"
#include "window.h"

static uint64_t limit;

/* Relaxed: sums that hold at every moment, read for statistics and the limit. */
static _Atomic uint64_t committed, peak, commits, decommits, fallbacks;

void sp_commit_init(uint64_t max_committed)
{
	limit = max_committed;
}

static void raise_peak(uint64_t now)
{
	uint64_t seen = atomic_load_explicit(&peak, memory_order_relaxed);

	while (now > seen &&
	       !atomic_compare_exchange_weak_explicit(&peak, &seen, now,
						      memory_order_relaxed,
						      memory_order_relaxed))
		;
}

/* Count @size first and take it back when it is too much: exact under races. */
static int charge(uint64_t size)
{
	uint64_t now = atomic_fetch_add_explicit(&committed, size, memory_order_relaxed) + size;

	if (limit && now > limit) {
		atomic_fetch_sub_explicit(&committed, size, memory_order_relaxed);
		return -EDQUOT;
	}
	raise_peak(now);
	return 0;
}

static void uncharge(uint64_t size)
{
	atomic_fetch_sub_explicit(&committed, size, memory_order_relaxed);
}

int sp_commit(const struct sp_extent *extent, enum sp_touch touch)
{
	const struct sp_backend *backend = sp_window_source(extent);
	uint64_t hpages = extent->size >> SP_HPAGE_SHIFT;
	int err = charge(extent->size);

	if (err)
		return err;
	err = backend->commit(extent, touch);
	if (err) {
		uncharge(extent->size);
		return err;
	}
	atomic_fetch_add_explicit(&commits, hpages, memory_order_relaxed);
	if (backend != sp_source())
		atomic_fetch_add_explicit(&fallbacks, hpages, memory_order_relaxed);
	return 0;
}

int sp_commit_populate(const struct sp_extent *extent)
{
	return sp_window_source(extent)->commit(extent, SP_TOUCH_ALL);
}

void sp_decommit(const struct sp_extent *extents, size_t count)
{
	uint64_t size = 0;

	while (count) {
		const struct sp_backend *backend = sp_window_source(extents);
		size_t n = 0;

		for (; n < count && sp_window_source(&extents[n]) == backend; n++)
			size += extents[n].size;
		backend->decommit(extents, n);
		extents += n;
		count -= n;
	}
	uncharge(size);
	atomic_fetch_add_explicit(&decommits, size >> SP_HPAGE_SHIFT,
				  memory_order_relaxed);
}

void sp_commit_fork_child(uint64_t live)
{
	atomic_store_explicit(&committed, live, memory_order_relaxed);
}

uint64_t sp_committed(void)
{
	return atomic_load_explicit(&committed, memory_order_relaxed);
}

void sp_commit_counts(struct sp_commit_counts *counts)
{
	counts->committed = atomic_load_explicit(&committed, memory_order_relaxed);
	counts->peak = atomic_load_explicit(&peak, memory_order_relaxed);
	counts->commits = atomic_load_explicit(&commits, memory_order_relaxed);
	counts->decommits = atomic_load_explicit(&decommits, memory_order_relaxed);
	counts->fallbacks = atomic_load_explicit(&fallbacks, memory_order_relaxed);
	counts->limit = limit;
}

static _Atomic uint64_t base_pages;	/* bytes when they were measured last */

uint64_t sp_commit_measure_base_pages(void)
{
	const char *window = (char *)atomic_load_explicit(&sp_map.base, memory_order_relaxed);
	size_t size = sp_window_size();
	uint64_t bytes = atomic_load_explicit(&fallbacks, memory_order_relaxed) ?
			 sp_anon_base_pages(window, size) : sp_source()->base_pages(window, size);

	atomic_store_explicit(&base_pages, bytes, memory_order_relaxed);
	return bytes;
}

uint64_t sp_commit_base_pages(void)
{
	uint64_t bytes;

	if (sp_calls_forbidden() || !sp_calls_begin())
		return atomic_load_explicit(&base_pages, memory_order_relaxed);
	bytes = sp_commit_measure_base_pages();
	sp_calls_end();
	return bytes;
}

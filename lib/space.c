// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#include <string.h>
#include <sys/mman.h>

#include "calls.h"
#include "chunk.h"
#include "fatal.h"
#include "meta.h"
#include "secure.h"
#include "space.h"
#include "sys.h"

#define MIN_WINDOW	(16 * SP_MIB)
#define MAP_STEP	(64 * SP_KIB)	/* of the map, made writable at a time */
#define PIECE_WORDS	(SP_PIECE_HPAGES / 64)

struct piece {
	const struct sp_backend *backend;	/* NULL: nobody's yet */
	struct sp_hpage *hpages;	/* set once, when the node is */
	int node;
	uint32_t nfree;			/* clear bits of taken */
	uint64_t taken[PIECE_WORDS];	/* guarded by sp_space_lock, as the above */
	uint64_t ready[PIECE_WORDS];	/* guarded by the node's lock */
};

struct sp_map sp_map;
struct sp_lock sp_space_lock = SP_LOCK_INIT(SP_RANK_SPACE);

static struct piece pieces[SP_MAX_PIECES];
static size_t npieces;	/* from here on none was ever anybody's; sp_space_lock */
/* Set at start-up; source once more by a child that gets no client of its own. */
static const struct sp_backend *source;
static const struct sp_backend *fallback[2];
static char *window;
static size_t window_hpages;
static bool dontfork;
static uint64_t limit;

/* Relaxed: sums that hold at every moment, read for statistics and the limit. */
static _Atomic uint64_t committed, peak, commits, decommits, fallbacks;

static void *reserve_aligned(size_t size, size_t align)
{
	char *p, *aligned;
	int err;

	p = sp_sys_reserve(size + align, &err);
	if (!p)
		return NULL;
	aligned = (char *)sp_round_up((uintptr_t)p, align);
	/* Where addresses are plenty, the rest is not worth two system calls. */
	if (size > 8 * SP_PIECE)
		return aligned;
	if (aligned > p)
		sp_sys_unmap(p, (size_t)(aligned - p));
	sp_sys_unmap(aligned + size, (size_t)(p + align - aligned));
	return aligned;
}

int sp_space_init(size_t max, uint64_t max_committed, bool leave_out_of_fork)
{
	size_t size = max & ~(SP_HPAGE - 1);
	void *map;
	int err;

	for (; size >= MIN_WINDOW; size = size / 2 & ~(SP_HPAGE - 1)) {
		window = reserve_aligned(size, size > 8 * SP_PIECE ? SP_PIECE : SP_HPAGE);
		if (window)
			break;
	}
	if (!window)
		return -ENOMEM;
	map = sp_sys_reserve(sp_round_up(size / SP_UNIT * sizeof(void *), MAP_STEP), &err);
	if (!err)
		err = sp_meta_init(size / 32 + 4 * SP_MIB);
	if (err)
		return err;
	window_hpages = size / SP_HPAGE;
	limit = max_committed;
	dontfork = leave_out_of_fork;
	atomic_store_explicit(&sp_map.chunk, map, memory_order_relaxed);
	atomic_store_explicit(&sp_map.base, (uintptr_t)window, memory_order_relaxed);
	return 0;
}

size_t sp_space_window(void)
{
	return window_hpages * SP_HPAGE;
}

static size_t index_of(const void *addr)
{
	return (size_t)((const char *)addr - window) >> SP_HPAGE_SHIFT;
}

/* How many hpages piece @p has: the last one may be short. */
static size_t piece_hpages(size_t p)
{
	size_t left = window_hpages - p * SP_PIECE_HPAGES;

	return left < SP_PIECE_HPAGES ? left : SP_PIECE_HPAGES;
}

static struct sp_extent extent_at(size_t index, size_t count, int node)
{
	return (struct sp_extent){
		.addr = window + index * SP_HPAGE,
		.size = count * SP_HPAGE,
		.byte = (uint64_t)index * SP_HPAGE,
		.node = node,
	};
}

struct sp_extent sp_space_extent(const struct sp_hpage *hpage, size_t count, int node)
{
	return extent_at(index_of(hpage->addr), count, node);
}

struct sp_hpage *sp_space_hpage(const void *addr)
{
	size_t index = index_of(addr);

	return &pieces[index / SP_PIECE_HPAGES].hpages[index % SP_PIECE_HPAGES];
}

/* ---- finding a run of addresses ----------------------------------------- */

/* What is looked for: adjoining hpages that are ready, or of @fresh's not taken. */
struct wish {
	size_t hpages;
	size_t align;				/* bytes */
	int node;
	const struct sp_backend *fresh;		/* NULL: ready ones */
};

static bool usable(const struct piece *piece, const struct wish *wish)
{
	if (wish->fresh && !piece->backend)
		return true;
	if (!piece->backend || piece->node != wish->node)
		return false;
	return !wish->fresh || (piece->backend == wish->fresh && piece->nfree);
}

/*
 * The index of the first hpage of those wished for; SIZE_MAX: there are none.
 * First fit keeps the window short; a piece of another node and a word without a
 * candidate are skipped whole, so that the cost is one step for each piece and
 * for each 64 hpages.  Ready hpages of several sources may adjoin: a commit is
 * behind them, and each goes back to its own.
 */
static size_t find(const struct wish *wish)
{
	size_t start = 0, run = 0, i = 0;

	while (i < window_hpages) {
		const struct piece *piece = &pieces[i / SP_PIECE_HPAGES];
		size_t word = i % SP_PIECE_HPAGES / 64;
		uint64_t candidates = wish->fresh ? ~piece->taken[word] : piece->ready[word];

		if (i % SP_PIECE_HPAGES == 0 && !usable(piece, wish)) {
			run = 0;
			i += SP_PIECE_HPAGES;
			continue;
		}
		if (i % 64 == 0 && !candidates) {
			run = 0;
			i += 64;
			continue;
		}
		if (!(candidates >> (i % 64) & 1)) {
			run = 0;
		} else if (run) {
			run++;
		} else if (((uintptr_t)window + i * SP_HPAGE) % wish->align == 0) {
			start = i;
			run = 1;
		}
		if (run == wish->hpages)
			return start;
		i++;
	}
	return SIZE_MAX;
}

static bool beyond_span(size_t index, size_t n)
{
	return (index + n) * SP_HPAGE >
	       atomic_load_explicit(&sp_map.span, memory_order_relaxed);
}

/*
 * Make the map below the new span readable and point it at no chunk, so that a
 * foreign pointer into any hole is found out.
 */
static int extend_span(size_t hpages)
{
	size_t from = atomic_load_explicit(&sp_map.span, memory_order_relaxed) >> SP_UNIT_SHIFT;
	size_t to = hpages * SP_UNITS;
	struct sp_chunk *_Atomic *map = atomic_load_explicit(&sp_map.chunk, memory_order_relaxed);
	size_t first = sp_round_up(from * sizeof(*map), MAP_STEP);
	size_t last = sp_round_up(to * sizeof(*map), MAP_STEP);
	int err = last > first ? sp_sys_protect_rw((char *)map + first, last - first) : 0;

	if (!err)
		err = sp_secure_extend(from << SP_UNIT_SHIFT, to << SP_UNIT_SHIFT);
	if (err)
		return err;
	for (size_t unit = from; unit < to; unit++)
		atomic_store_explicit(&map[unit], &sp_no_chunk, memory_order_relaxed);
	/* Release pairs with the data dependency in free: base, map, then span. */
	atomic_store_explicit(&sp_map.span, to << SP_UNIT_SHIFT, memory_order_release);
	return 0;
}

static void reserve_again(const struct sp_extent *extent)
{
	int err;

	/* The same size over a mapping that is there: nothing to fail. */
	sp_sys_map_fd(extent->addr, extent->size, PROT_NONE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0, &err);
}

void sp_space_set_source(const struct sp_backend *backend)
{
	for (size_t p = 0; p < npieces; p++) {
		struct sp_extent extent = extent_at(p * SP_PIECE_HPAGES, piece_hpages(p), 0);

		if (!pieces[p].backend)
			continue;
		sp_assert(pieces[p].nfree == piece_hpages(p));
		reserve_again(&extent);
		pieces[p].backend = NULL;
	}
	source = backend;
}

void sp_space_set_fallbacks(const struct sp_backend *const *backends, size_t count)
{
	sp_assert(count <= ARRAY_SIZE(fallback));
	for (size_t i = 0; i < count; i++)
		fallback[i] = backends[i];
}

bool sp_space_is_small(void)
{
	return window_hpages < 16 * SP_PIECE_HPAGES;
}

const struct sp_backend *sp_space_source(void)
{
	return source;
}

const struct sp_backend *sp_space_source_at(size_t i)
{
	if (i == 0)
		return source;
	return i <= ARRAY_SIZE(fallback) ? fallback[i - 1] : NULL;
}

/* Give piece @p to @node: descriptors, and the source takes the addresses over. */
static int assign(size_t p, int node, const struct sp_backend *backend)
{
	struct piece *piece = &pieces[p];
	size_t n = piece_hpages(p);
	struct sp_extent extent = extent_at(p * SP_PIECE_HPAGES, n, node);
	int err;

	if (!piece->hpages)
		piece->hpages = sp_meta_alloc(n * sizeof(*piece->hpages));
	if (!piece->hpages)
		return -ENOMEM;
	err = backend->reserve(&extent);
	if (err) {
		reserve_again(&extent);
		return err;
	}
	if (dontfork)
		sp_sys_advise(extent.addr, extent.size, MADV_DONTFORK);
	piece->backend = backend;
	piece->nfree = (uint32_t)n;
	piece->node = node;
	if (npieces <= p)
		npieces = p + 1;
	return 0;
}

static void set_taken(size_t index, size_t n, bool taken)
{
	for (size_t i = index; i < index + n; i++) {
		struct piece *piece = &pieces[i / SP_PIECE_HPAGES];
		uint64_t bit = 1ull << (i % 64);
		uint64_t *word = &piece->taken[i % SP_PIECE_HPAGES / 64];

		sp_assert(!(*word & bit) == taken);
		*word ^= bit;
		piece->nfree += taken ? -1u : 1u;
	}
}

static int take(const struct wish *wish, size_t *index)
{
	size_t i = find(wish), n = wish->hpages;
	int err;

	if (i == SIZE_MAX)
		return -ENOMEM;
	for (size_t p = i / SP_PIECE_HPAGES; p <= (i + n - 1) / SP_PIECE_HPAGES; p++) {
		err = !pieces[p].backend ? assign(p, wish->node, wish->fresh) : 0;
		if (err)
			return err;
	}
	err = beyond_span(i, n) ? extend_span(i + n) : 0;
	if (err)
		return err;
	set_taken(i, n, true);
	*index = i;
	return 0;
}

int sp_space_take(const struct sp_backend *backend, size_t hpages, size_t align,
		  int node, struct sp_extent *extent)
{
	const struct wish wish = { hpages, align, node, backend };
	size_t index = 0;
	int err;

	sp_lock(&sp_space_lock);
	err = take(&wish, &index);
	sp_unlock(&sp_space_lock);
	if (!err)
		*extent = extent_at(index, hpages, node);
	return err;
}

void sp_space_give(const struct sp_extent *extent)
{
	sp_lock(&sp_space_lock);
	set_taken(index_of(extent->addr), extent->size >> SP_HPAGE_SHIFT, false);
	sp_unlock(&sp_space_lock);
}

/* ---- memory ------------------------------------------------------------- */

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

/* Pieces that one extent spans have one source: usable() saw to that. */
static const struct sp_backend *backend_of(const struct sp_extent *extent)
{
	return pieces[index_of(extent->addr) / SP_PIECE_HPAGES].backend;
}

int sp_space_commit(const struct sp_extent *extent, enum sp_touch touch)
{
	uint64_t hpages = extent->size >> SP_HPAGE_SHIFT;
	int err = charge(extent->size);

	if (err)
		return err;
	err = backend_of(extent)->commit(extent, touch);
	if (err) {
		uncharge(extent->size);
		return err;
	}
	atomic_fetch_add_explicit(&commits, hpages, memory_order_relaxed);
	if (backend_of(extent) != source)
		atomic_fetch_add_explicit(&fallbacks, hpages, memory_order_relaxed);
	return 0;
}

int sp_space_populate(const struct sp_extent *extent)
{
	return backend_of(extent)->commit(extent, SP_TOUCH_ALL);
}

void sp_space_decommit(const struct sp_extent *extents, size_t count)
{
	uint64_t size = 0;

	while (count) {
		const struct sp_backend *backend = backend_of(extents);
		size_t n = 0;

		for (; n < count && backend_of(&extents[n]) == backend; n++)
			size += extents[n].size;
		backend->decommit(extents, n);
		extents += n;
		count -= n;
	}
	uncharge(size);
	atomic_fetch_add_explicit(&decommits, size >> SP_HPAGE_SHIFT,
				  memory_order_relaxed);
}

/*
 * By position in the order of sp_space_source_at(): the sources to copy from, and
 * those there is a snapshot of.
 */
static bool copied[1 + ARRAY_SIZE(fallback)];
static bool pictured[ARRAY_SIZE(copied)];

static bool is_copied(const struct sp_backend *backend)
{
	for (size_t i = 0; i < ARRAY_SIZE(copied); i++)
		if (copied[i] && backend == sp_space_source_at(i))
			return true;
	return false;
}

void sp_space_forget(const struct sp_extent *extent)
{
	/* What is not copied is still there, and must read zero when it is next taken. */
	if (!is_copied(backend_of(extent)))
		backend_of(extent)->decommit(extent, 1);
	set_taken(index_of(extent->addr), extent->size >> SP_HPAGE_SHIFT, false);
	uncharge(extent->size);
}

/* ---- ready hpages ------------------------------------------------------- */

void sp_space_mark_ready(const struct sp_hpage *hpage, bool ready)
{
	size_t i = index_of(hpage->addr);
	uint64_t bit = 1ull << (i % 64);
	uint64_t *word = &pieces[i / SP_PIECE_HPAGES].ready[i % SP_PIECE_HPAGES / 64];

	sp_assert(!(*word & bit) == ready);
	*word = ready ? *word | bit : *word & ~bit;
}

struct sp_hpage *sp_space_find_ready(size_t hpages, size_t align, int node)
{
	const struct wish wish = { hpages, align, node, NULL };
	size_t i;

	/* The lock keeps pieces from changing hands during the walk. */
	sp_lock(&sp_space_lock);
	i = find(&wish);
	sp_unlock(&sp_space_lock);
	return i == SIZE_MAX ? NULL : sp_space_hpage(window + i * SP_HPAGE);
}

/* ---- statistics --------------------------------------------------------- */

uint64_t sp_space_committed(void)
{
	return atomic_load_explicit(&committed, memory_order_relaxed);
}

void sp_space_counts(struct sp_space_counts *counts)
{
	counts->committed = atomic_load_explicit(&committed, memory_order_relaxed);
	counts->peak = atomic_load_explicit(&peak, memory_order_relaxed);
	counts->commits = atomic_load_explicit(&commits, memory_order_relaxed);
	counts->decommits = atomic_load_explicit(&decommits, memory_order_relaxed);
	counts->fallbacks = atomic_load_explicit(&fallbacks, memory_order_relaxed);
	counts->limit = limit;
}

static _Atomic uint64_t base_pages;	/* bytes when they were measured last */

static uint64_t measure_base_pages(void)
{
	size_t size = window_hpages * SP_HPAGE;
	uint64_t bytes = atomic_load_explicit(&fallbacks, memory_order_relaxed) ?
			 sp_anon_base_pages(window, size) : source->base_pages(window, size);

	atomic_store_explicit(&base_pages, bytes, memory_order_relaxed);
	return bytes;
}

uint64_t sp_space_base_pages(void)
{
	uint64_t bytes;

	if (sp_calls_forbidden() || !sp_calls_begin())
		return atomic_load_explicit(&base_pages, memory_order_relaxed);
	bytes = measure_base_pages();
	sp_calls_end();
	return bytes;
}

/* ---- lockdown ----------------------------------------------------------- */

/*
 * The taken hpages of piece @p as extents, whose number is returned; @runs has room
 * for as many as there can be.
 */
static size_t taken_runs(size_t p, struct sp_extent runs[SP_PIECE_HPAGES / 2], size_t *hpages)
{
	const struct piece *piece = &pieces[p];
	size_t count = 0;

	*hpages = 0;
	for (size_t i = 0; i < piece_hpages(p); i++) {
		if (!(piece->taken[i / 64] >> (i % 64) & 1))
			continue;
		++*hpages;
		if (i && (piece->taken[(i - 1) / 64] >> ((i - 1) % 64) & 1))
			runs[count - 1].size += SP_HPAGE;
		else
			runs[count++] = extent_at(p * SP_PIECE_HPAGES + i, 1, piece->node);
	}
	return count;
}

static int touch_piece(size_t p)
{
	struct sp_extent runs[SP_PIECE_HPAGES / 2];
	size_t count, hpages;
	int err = 0;

	sp_lock(&sp_space_lock);
	count = pieces[p].backend ? taken_runs(p, runs, &hpages) : 0;
	sp_unlock(&sp_space_lock);
	/* Nothing is given back meanwhile: what is taken is committed and stays so. */
	for (size_t i = 0; i < count && !err; i++) {
		err = sp_sys_populate(runs[i].addr, runs[i].size);
		sp_secure_populate(runs[i].addr, runs[i].size);
	}
	return err;
}

int sp_space_touch(void)
{
	int err = 0;

	for (size_t p = 0; p < npieces && !err; p++)
		err = touch_piece(p);
	measure_base_pages();
	return err;
}

/* ---- fork --------------------------------------------------------------- */

/*
 * The pool could not supply the copies: give the child ordinary memory at the
 * same addresses instead of letting fork() fail late.  Return: 0 or -errno.
 */
static int unshare_to_thp(const struct sp_extent *piece, const struct sp_extent *live,
			  size_t count)
{
	char *copy = reserve_aligned(piece->size, SP_HPAGE);
	int err = 0;

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
	reserve_again(piece);
	sp_backend_thp.reserve(piece);
	for (size_t i = 0; i < count && !err; i++)
		err = sp_sys_move(copy + (live[i].addr - piece->addr), live[i].addr,
				  live[i].size);
unmap_copy:
	sp_sys_unmap(copy, piece->size);
	return err;
}

static uint64_t unshare_piece(size_t p, bool orphaned)
{
	struct piece *piece = &pieces[p];
	struct sp_extent live[SP_PIECE_HPAGES / 2];
	struct sp_extent whole = extent_at(p * SP_PIECE_HPAGES, piece_hpages(p), piece->node);
	size_t hpages, count = taken_runs(p, live, &hpages);

	if (!orphaned && piece->backend->unshare(&whole, live, count) == 0)
		return 0;
	piece->backend = &sp_backend_thp;
	if (unshare_to_thp(&whole, live, count))
		sp_fatal_source("fork: no memory to copy the heap for the child");
	return hpages;
}

int sp_space_snapshot(void)
{
	int first = 0, err;

	for (size_t i = 0; i < ARRAY_SIZE(pictured); i++) {
		const struct sp_backend *backend = sp_space_source_at(i);

		if (!backend || !backend->snapshot)
			continue;
		err = backend->snapshot();
		pictured[i] = !err;
		first = first ? first : err;
	}
	return first;
}

void sp_space_snapshot_parent(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(pictured); i++) {
		if (pictured[i])
			sp_space_source_at(i)->snapshot_end(false);
		pictured[i] = false;
	}
}

static void map_snapshot_of(const struct sp_backend *backend)
{
	backend->snapshot_end(true);
	for (size_t p = 0; p < npieces; p++) {
		struct sp_extent whole;

		if (pieces[p].backend != backend)
			continue;
		whole = extent_at(p * SP_PIECE_HPAGES, piece_hpages(p), pieces[p].node);
		if (backend->snapshot_map(&whole))
			sp_fatal_source("fork: the child cannot map the heap's snapshot");
	}
}

void sp_space_snapshot_child(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(pictured); i++) {
		if (pictured[i])
			map_snapshot_of(sp_space_source_at(i));
		pictured[i] = false;
	}
}

bool sp_space_must_copy(void)
{
	uint64_t live = atomic_load_explicit(&committed, memory_order_relaxed) / SP_HPAGE;
	bool any = false;

	for (size_t i = 0; i < ARRAY_SIZE(copied); i++) {
		const struct sp_backend *backend = sp_space_source_at(i);

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
	uint64_t anonymous = 0;

	for (size_t p = 0; p < npieces; p++)
		if (pieces[p].backend == backend)
			anonymous += unshare_piece(p, orphaned);
	if (orphaned)
		source = &sp_backend_thp;
	return anonymous;
}

/*
 * Addresses are taken before memory is committed and given after it is gone, and
 * no lock is held in between; the descriptor's state, which changes under the
 * node's lock, says what is really in use.
 */
static uint64_t drop_in_flight(size_t p)
{
	struct piece *piece = &pieces[p];
	uint64_t live = 0;

	for (size_t i = 0; i < piece_hpages(p); i++) {
		struct sp_extent extent = extent_at(p * SP_PIECE_HPAGES + i, 1, piece->node);

		if (!(piece->taken[i / 64] >> (i % 64) & 1))
			continue;
		if (piece->hpages[i].state != SP_HPAGE_FREE) {
			live++;
			continue;
		}
		set_taken(p * SP_PIECE_HPAGES + i, 1, false);
		/* In a shared mapping it is the parent's to give back. */
		if (!is_copied(piece->backend))
			piece->backend->decommit(&extent, 1);
	}
	return live;
}

uint64_t sp_space_fork_child(void)
{
	uint64_t anonymous = 0, live = 0;

	for (size_t p = 0; p < npieces; p++)
		live += pieces[p].backend ? drop_in_flight(p) : 0;
	atomic_store_explicit(&committed, live * SP_HPAGE, memory_order_relaxed);

	for (size_t i = 0; i < ARRAY_SIZE(copied); i++)
		if (copied[i])
			anonymous += unshare_all_of(sp_space_source_at(i));
	return anonymous;
}

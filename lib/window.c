// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#include <sys/mman.h>

#include "chunk.h"
#include "fatal.h"
#include "meta.h"
#include "secure.h"
#include "sys.h"
#include "window.h"

#define MIN_WINDOW	(16 * SP_MIB)
#define MAP_STEP	(64 * SP_KIB)	/* of the map, made writable at a time */
#define PIECE_WORDS	(SP_PIECE_HPAGES / 64)

struct piece {
	const struct sp_backend *backend;	/* NULL: nobody's yet */
	struct sp_hpage *hpages;	/* set once, when the node is */
	int node;
	uint32_t nfree;			/* clear bits of taken */
	uint64_t taken[PIECE_WORDS];	/* guarded by sp_window_lock, as the above */
	uint64_t ready[PIECE_WORDS];	/* guarded by the node's lock */
};

struct sp_map sp_map;
struct sp_lock sp_window_lock = SP_LOCK_INIT(SP_RANK_WINDOW);

static struct piece pieces[SP_MAX_PIECES];
static size_t npieces;	/* from here on none was ever anybody's; sp_window_lock */
static char *window;
static size_t window_hpages;
static bool dontfork;

int sp_window_init(size_t max, bool leave_out_of_fork)
{
	size_t size = max & ~(SP_HPAGE - 1);
	void *map;
	int err;

	for (; size >= MIN_WINDOW; size = size / 2 & ~(SP_HPAGE - 1)) {
		window = sp_anon_reserve(size, size > 8 * SP_PIECE ? SP_PIECE : SP_HPAGE);
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
	dontfork = leave_out_of_fork;
	atomic_store_explicit(&sp_map.chunk, map, memory_order_relaxed);
	atomic_store_explicit(&sp_map.base, (uintptr_t)window, memory_order_relaxed);
	return 0;
}

size_t sp_window_size(void)
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

struct sp_extent sp_window_extent(const struct sp_hpage *hpage, size_t count, int node)
{
	return extent_at(index_of(hpage->addr), count, node);
}

struct sp_hpage *sp_window_hpage(const void *addr)
{
	size_t index = index_of(addr);

	return &pieces[index / SP_PIECE_HPAGES].hpages[index % SP_PIECE_HPAGES];
}

size_t sp_window_pieces(void)
{
	return npieces;
}

const struct sp_backend *sp_window_piece(size_t p, struct sp_extent *whole)
{
	*whole = extent_at(p * SP_PIECE_HPAGES, piece_hpages(p), pieces[p].node);
	return pieces[p].backend;
}

const struct sp_backend *sp_window_source(const struct sp_extent *extent)
{
	return pieces[index_of(extent->addr) / SP_PIECE_HPAGES].backend;
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

void sp_window_clear(void)
{
	for (size_t p = 0; p < npieces; p++) {
		struct sp_extent whole;

		if (!sp_window_piece(p, &whole))
			continue;
		sp_assert(pieces[p].nfree == piece_hpages(p));
		reserve_again(&whole);
		pieces[p].backend = NULL;
	}
}

int sp_window_reassign(size_t p, const struct sp_backend *backend)
{
	struct sp_extent whole;

	sp_window_piece(p, &whole);
	reserve_again(&whole);
	pieces[p].backend = backend;
	return backend->reserve(&whole);
}

bool sp_window_is_small(void)
{
	return window_hpages < 16 * SP_PIECE_HPAGES;
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

int sp_window_take(const struct sp_backend *backend, size_t hpages, size_t align,
		  int node, struct sp_extent *extent)
{
	const struct wish wish = { hpages, align, node, backend };
	size_t index = 0;
	int err;

	sp_lock(&sp_window_lock);
	err = take(&wish, &index);
	sp_unlock(&sp_window_lock);
	if (!err)
		*extent = extent_at(index, hpages, node);
	return err;
}

void sp_window_give_locked(const struct sp_extent *extent)
{
	set_taken(index_of(extent->addr), extent->size >> SP_HPAGE_SHIFT, false);
}

void sp_window_give(const struct sp_extent *extent)
{
	sp_lock(&sp_window_lock);
	sp_window_give_locked(extent);
	sp_unlock(&sp_window_lock);
}

size_t sp_window_taken(size_t p, struct sp_extent runs[SP_PIECE_RUNS])
{
	const struct piece *piece = &pieces[p];
	size_t count = 0;

	for (size_t i = 0; i < piece_hpages(p); i++) {
		if (!(piece->taken[i / 64] >> (i % 64) & 1))
			continue;
		if (i && (piece->taken[(i - 1) / 64] >> ((i - 1) % 64) & 1))
			runs[count - 1].size += SP_HPAGE;
		else
			runs[count++] = extent_at(p * SP_PIECE_HPAGES + i, 1, piece->node);
	}
	return count;
}

/* ---- ready hpages ------------------------------------------------------- */

void sp_window_mark_ready(const struct sp_hpage *hpage, bool ready)
{
	size_t i = index_of(hpage->addr);
	uint64_t bit = 1ull << (i % 64);
	uint64_t *word = &pieces[i / SP_PIECE_HPAGES].ready[i % SP_PIECE_HPAGES / 64];

	sp_assert(!(*word & bit) == ready);
	*word = ready ? *word | bit : *word & ~bit;
}

struct sp_hpage *sp_window_find_ready(size_t hpages, size_t align, int node)
{
	const struct wish wish = { hpages, align, node, NULL };
	size_t i;

	/* The lock keeps pieces from changing hands during the walk. */
	sp_lock(&sp_window_lock);
	i = find(&wish);
	sp_unlock(&sp_window_lock);
	return i == SIZE_MAX ? NULL : sp_window_hpage(window + i * SP_HPAGE);
}

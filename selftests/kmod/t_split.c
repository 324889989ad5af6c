// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * A piece of a mapping, cut out at any base page, is treated by each call that
 * can cut as that call says; the rest keeps its contents and nothing is lost.
 */
#include "kselftest_harness.h"
#include "helpers.h"

#include <numaif.h>

#define PAGE	4096UL
#define HPAGES	2
#define RW	(PROT_READ | PROT_WRITE)

FIXTURE(region) {
	int fd;
	size_t length;
	size_t pages;
};

FIXTURE_SETUP(region)
{
	ASSERT_TRUE(t_all_settle(10));
	self->fd = t_open();
	ASSERT_LE(0, self->fd);
	self->length = HPAGES * t_hpage();
	self->pages = self->length / PAGE;
}

FIXTURE_TEARDOWN(region)
{
	close(self->fd);
	EXPECT_EQ(0, t_pool(0).used);
	EXPECT_TRUE(t_all_settle(10));
}

/* What a cell finds inside the piece; outside all is as it was. */
enum inside {
	INTACT,
	READ_ONLY,	/* a write is SIGSEGV, the contents are there */
	NO_ACCESS,	/* SIGSEGV, the contents are there after an mprotect */
	GONE,		/* SIGSEGV, nothing is mapped */
	ZERO,		/* something else is mapped there */
};

static int cut_munmap(int fd, char *at, size_t length)
{
	(void)fd;
	return munmap(at, length);
}

static int cut_read_only(int fd, char *at, size_t length)
{
	(void)fd;
	return mprotect(at, length, PROT_READ);
}

static int cut_no_access(int fd, char *at, size_t length)
{
	(void)fd;
	return mprotect(at, length, PROT_NONE);
}

static int cut_mlock(int fd, char *at, size_t length)
{
	(void)fd;
	return mlock(at, length) || munlock(at, length);
}

static int cut_bind(int fd, char *at, size_t length)
{
	unsigned long other = 1UL << 1;

	(void)fd;
	return mbind(at, length, MPOL_BIND, &other, 64, 0);
}

static int cut_overlay(int fd, char *at, size_t length)
{
	(void)fd;
	return mmap(at, length, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		    -1, 0) == MAP_FAILED;
}

/* Refused where it is not aligned, but then the core has unmapped already. */
static int cut_overlay_of_its_own(int fd, char *at, size_t length)
{
	char *map = mmap(at, length, RW, MAP_SHARED | MAP_FIXED, fd,
			 SLABPOOL_OFFSET(0, 64UL * t_hpage()));

	if (map == MAP_FAILED)
		return errno != EINVAL;
	return munmap(map, length) ||
	       t_decommit(fd, 0, 64UL * t_hpage(), length) < 0;
}

#define CUT_BY_ADVICE(name, advice)					\
static int cut_##name(int fd, char *at, size_t length)			\
{									\
	(void)fd;							\
	return madvise(at, length, advice);				\
}

CUT_BY_ADVICE(dontneed, MADV_DONTNEED)
CUT_BY_ADVICE(pageout, MADV_PAGEOUT)
CUT_BY_ADVICE(nohugepage, MADV_NOHUGEPAGE)
CUT_BY_ADVICE(dontfork, MADV_DONTFORK)
CUT_BY_ADVICE(sequential, MADV_SEQUENTIAL)

static int cut_msync(int fd, char *at, size_t length)
{
	(void)fd;
	return msync(at, length, MS_SYNC | MS_INVALIDATE);
}

static const struct {
	const char *name;
	int (*cut)(int fd, char *at, size_t length);
	enum inside inside;
} ways[] = {
	{ "munmap", cut_munmap, GONE },
	{ "mprotect to read", cut_read_only, READ_ONLY },
	{ "mprotect to none", cut_no_access, NO_ACCESS },
	{ "mlock", cut_mlock, INTACT },
	{ "mbind", cut_bind, INTACT },
	{ "anonymous overlay", cut_overlay, ZERO },
	{ "overlay of its own", cut_overlay_of_its_own, GONE },
	{ "MADV_DONTNEED", cut_dontneed, INTACT },
	{ "MADV_PAGEOUT", cut_pageout, INTACT },
	{ "MADV_NOHUGEPAGE", cut_nohugepage, INTACT },
	{ "MADV_DONTFORK", cut_dontfork, INTACT },
	{ "MADV_SEQUENTIAL", cut_sequential, INTACT },
	{ "msync", cut_msync, INTACT },
};

static uint64_t *word(char *map, size_t page)
{
	return (uint64_t *)(map + page * PAGE);
}

/* Pages of [from, to) that do not hold their number. */
static size_t damaged(char *map, size_t from, size_t to)
{
	size_t page, count = 0;

	for (page = from; page < to; page++)
		count += *word(map, page) != (page | 1ULL << 40);
	return count;
}

static bool inside_is(enum inside inside, char *map, size_t from, size_t to)
{
	char *first = map + from * PAGE, *last = map + to * PAGE - 1;

	switch (inside) {
	case READ_ONLY:
		if (t_touch(first, true) != SIGSEGV ||
		    t_touch(last, true) != SIGSEGV)
			return false;
		return !damaged(map, from, to);
	case NO_ACCESS:
		if (t_touch(first, false) != SIGSEGV ||
		    t_touch(last, false) != SIGSEGV ||
		    mprotect(first, (to - from) * PAGE, RW))
			return false;
		return !damaged(map, from, to);
	case GONE:
		return t_touch(first, false) == SIGSEGV &&
		       t_touch(last, false) == SIGSEGV;
	case ZERO:
		return t_is_filled(first, 0, (to - from) * PAGE);
	default:
		return !damaged(map, from, to);
	}
}

/*
 * Edges of the grid in base pages: all around the hpages' own, and as many
 * evenly between as there are rounds.
 */
static size_t make_grid(size_t *grid, size_t pages, size_t between)
{
	size_t each = pages / HPAGES, page, count = 0;

	for (page = 0; page <= pages; page++) {
		size_t in = page % each;

		if (in <= (page > pages / 2 ? 0 : 1) || in == each - 1 ||
		    page == each / 2 || page % (pages / between) == 0)
			grid[count++] = page;
	}
	return count;
}

/* One cell; false when something is not as it should be. */
static bool cell(int fd, int way, size_t from, size_t to)
{
	size_t pages = HPAGES * t_hpage() / PAGE, page;
	char *map = t_take(fd, 0, HPAGES);
	bool good;

	if (map == MAP_FAILED)
		return false;
	for (page = 0; page < pages; page++)
		*word(map, page) = page | 1ULL << 40;
	good = !ways[way].cut(fd, map + from * PAGE, (to - from) * PAGE) &&
	       !damaged(map, 0, from) && !damaged(map, to, pages) &&
	       inside_is(ways[way].inside, map, from, to);
	munmap(map, pages * PAGE);
	return good;
}

TEST_F(region, a_piece_cut_out_anywhere_leaves_the_rest_alone)
{
	size_t between = t_rounds(1) < self->pages ? t_rounds(1) : self->pages;
	size_t *grid = calloc(self->pages + 1, sizeof(*grid));
	size_t edges, from, to;
	unsigned int way;

	edges = make_grid(grid, self->pages, between);
	ASSERT_LT(5, edges);
	for (way = 0; way < ARRAY_SIZE(ways); way++)
		for (from = 0; from < edges; from++)
			for (to = from + 1; to < edges; to++)
				EXPECT_TRUE(cell(self->fd, way, grid[from],
						 grid[to])) {
					TH_LOG("%s of base pages %zu to %zu",
					       ways[way].name, grid[from],
					       grid[to]);
				}
	EXPECT_EQ(HPAGES, t_stats(self->fd, 0).committed);
	free(grid);
}

TEST_F(region, every_other_base_page_may_be_unmapped)
{
	char *map = t_take(self->fd, 0, HPAGES);
	size_t page;

	ASSERT_NE(MAP_FAILED, map);
	for (page = 0; page < self->pages; page++)
		*word(map, page) = page | 1ULL << 40;
	for (page = 0; page < self->pages; page += 2)
		ASSERT_EQ(0, munmap(map + page * PAGE, PAGE));
	for (page = 0; page < self->pages; page++) {
		int gone = page % 2 ? 0 : SIGSEGV;

		ASSERT_EQ(gone, t_touch(map + page * PAGE, false));
		ASSERT_TRUE(gone || !damaged(map, page, page + 1));
	}

	/* All of them at once, from what is still mapped, and still one hpage. */
	EXPECT_EQ(HPAGES, t_decommit(self->fd, 0, 0, self->length));
	EXPECT_EQ(SIGBUS, t_touch(map + PAGE, false));
	EXPECT_EQ(0, t_pool(0).used);
	EXPECT_EQ(0, munmap(map, self->length));
}

TEST_F(region, the_pieces_hold_the_file_until_the_last_is_gone)
{
	char *map = t_take(self->fd, 0, HPAGES);
	size_t page;

	ASSERT_NE(MAP_FAILED, map);
	close(self->fd);
	for (page = self->pages - 1; page > 0; page /= 2)
		ASSERT_EQ(0, munmap(map + page * PAGE, PAGE));
	EXPECT_EQ(HPAGES, t_pool(0).used);
	ASSERT_EQ(0, munmap(map + PAGE, self->length - PAGE));
	EXPECT_EQ(HPAGES, t_pool(0).used);
	EXPECT_EQ(0, t_touch(map, true));
	ASSERT_EQ(0, munmap(map, PAGE));
	EXPECT_EQ(0, t_pool(0).used);
}

TEST_HARNESS_MAIN

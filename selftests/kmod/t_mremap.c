// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* mremap in every mode to every size: moves, shrinks, and never grows. */
#include "kselftest_harness.h"
#include "helpers.h"

#define HPAGES	4
#define ROOM	16	/* hpages */
#define RW	(PROT_READ | PROT_WRITE)
#define UNMAP	MREMAP_DONTUNMAP
#define FIXED	(MREMAP_FIXED | MREMAP_MAYMOVE)

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP	4
#endif

/* What a fixed move may clear away: as far as the largest size reaches. */
#if UINTPTR_MAX > UINT32_MAX
#define LARGEST	(1LL << 32)
#else
#define LARGEST	(1LL << 28)
#endif

FIXTURE(region) {
	int fd;
	size_t hpage;
	size_t length;
	char *room;	/* addresses nobody else takes, aligned */
	char *map;	/* the region, free addresses behind it */
};

FIXTURE_SETUP(region)
{
	size_t room;
	char *any;

	ASSERT_TRUE(t_all_settle(10));
	self->fd = t_open();
	ASSERT_LE(0, self->fd);
	self->hpage = t_hpage();
	self->length = HPAGES * self->hpage;
	room = (ROOM + 1) * self->hpage + LARGEST;
	any = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, any);
	self->room = (char *)(((uintptr_t)any + self->hpage - 1) &
			      -self->hpage);
}

FIXTURE_TEARDOWN(region)
{
	close(self->fd);
	EXPECT_TRUE(t_all_settle(10));
}

/* The region at the room's start, the rest of the room empty. */
static char *place(int fd, char *room, size_t hpage)
{
	char *map;

	munmap(room, ROOM * hpage);
	map = mmap(room, HPAGES * hpage, RW, MAP_SHARED | MAP_FIXED, fd,
		   SLABPOOL_OFFSET(0, 0));
	if (map != MAP_FAILED) {
		size_t i;

		for (i = 0; i < HPAGES; i++)
			map[i * hpage + 9] = i + 1;
	}
	return map;
}

static bool holds(const char *map, size_t hpages, size_t hpage)
{
	size_t i;

	for (i = 0; i < hpages; i++)
		if (map[i * hpage + 9] != (char)(i + 1))
			return false;
	return true;
}

static const struct {
	const char *name;
	int flags;
} modes[] = {
	{ "in place", 0 },
	{ "may move", MREMAP_MAYMOVE },
	{ "fixed", FIXED },
	{ "may move, keep the old", MREMAP_MAYMOVE | UNMAP },
	{ "fixed, keep the old", FIXED | UNMAP },
};

/* What the call has to answer: 0 or an errno. */
static int expected(int flags, size_t was, size_t becomes)
{
	/* Nobody may leave a hole behind that is not his to fill again. */
	if (!becomes || flags & UNMAP)
		return EINVAL;
	return becomes > was ? EFAULT : 0;
}

TEST_F(region, every_mode_and_size_does_as_documented_and_none_grows)
{
	const long long by[] = {
		-(long long)self->length, -4096, 0, 4096,
		-(long long)self->hpage, self->hpage, self->length,
		LARGEST / 4, LARGEST,
	};
	char *to = self->room + 8 * self->hpage;
	unsigned int mode, i;

	for (mode = 0; mode < ARRAY_SIZE(modes); mode++) {
		for (i = 0; i < ARRAY_SIZE(by); i++) {
			size_t becomes = self->length + by[i];
			int flags = modes[mode].flags, want;
			char *map, *got;

			map = place(self->fd, self->room, self->hpage);
			ASSERT_EQ(self->room, map);
			want = expected(flags, self->length, becomes);
			errno = 0;
			got = mremap(map, self->length, becomes, flags, to);
			EXPECT_EQ(want, got == MAP_FAILED ? errno : 0) {
				TH_LOG("%s by %lld", modes[mode].name, by[i]);
			}
			/* Wherever it is now, nothing can be read behind it. */
			if (got == MAP_FAILED) {
				got = map;
				becomes = self->length;
			}
			EXPECT_TRUE(holds(got, becomes / self->hpage,
					  self->hpage));
			EXPECT_EQ(SIGSEGV, t_touch(got + becomes, false));
			EXPECT_EQ(SIGSEGV, t_touch(got + self->length, false));
			if (got == to)
				EXPECT_EQ(SIGSEGV, t_touch(map, false));
			munmap(got, becomes);
			EXPECT_EQ(HPAGES, t_stats(self->fd, 0).committed);
		}
	}
}

TEST_F(region, a_second_mapping_by_an_old_length_of_zero_is_refused)
{
	char *map = place(self->fd, self->room, self->hpage);

	ASSERT_EQ(self->room, map);
	EXPECT_EQ(MAP_FAILED, mremap(map, 0, self->length, MREMAP_MAYMOVE));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(MAP_FAILED, mremap(map, 0, 4096, MREMAP_MAYMOVE));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_TRUE(holds(map, HPAGES, self->hpage));
	munmap(map, self->length);
}

TEST_F(region, a_part_moves_and_both_parts_stay_what_they_were)
{
	char *map = place(self->fd, self->room, self->hpage);
	char *to = self->room + 8 * self->hpage;

	ASSERT_EQ(self->room, map);
	ASSERT_EQ(to, mremap(map + self->hpage, self->hpage, self->hpage, FIXED,
			     to));
	EXPECT_EQ(2, to[9]);
	EXPECT_EQ(1, map[9]);
	EXPECT_EQ(SIGSEGV, t_touch(map + self->hpage, false));
	EXPECT_EQ(3, map[2 * self->hpage + 9]);
	EXPECT_EQ(self->hpage / 1024, t_smaps(to, "FilePmdMapped"));

	/* Decommit finds it where it is now. */
	EXPECT_EQ(HPAGES, t_decommit(self->fd, 0, 0, self->length));
	EXPECT_EQ(SIGBUS, t_touch(to, false));
	munmap(to, self->hpage);
	munmap(map, self->length);
}

TEST_F(region, a_piece_of_an_hpage_moves_only_to_where_it_would_fit)
{
	char *map = place(self->fd, self->room, self->hpage);
	char *to = self->room + 8 * self->hpage;

	ASSERT_EQ(self->room, map);
	/* 4 KiB behind an hpage's start belong 4 KiB behind another's. */
	EXPECT_EQ(MAP_FAILED, mremap(map + 4096, 8192, 8192, FIXED, to));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_TRUE(holds(map, HPAGES, self->hpage));
	map[4096] = 77;
	EXPECT_EQ(to + 4096, mremap(map + 4096, 8192, 8192, FIXED, to + 4096));
	EXPECT_EQ(77, to[4096]);
	EXPECT_EQ(SIGSEGV, t_touch(map + 4096, false));
	munmap(to, self->hpage);
	munmap(map, self->length);
}

TEST_F(region, moving_to_and_fro_loses_nothing)
{
	char *map = place(self->fd, self->room, self->hpage);
	char *there = self->room + 8 * self->hpage, *next;
	unsigned long round;

	ASSERT_EQ(self->room, map);
	for (round = 0; round < t_rounds(500); round++) {
		next = map == there ? self->room : there;
		ASSERT_EQ(next, mremap(map, self->length, self->length, FIXED,
				       next));
		map = next;
		ASSERT_TRUE(holds(map, HPAGES, self->hpage));
	}
	EXPECT_EQ(HPAGES, t_stats(self->fd, 0).committed);
	EXPECT_EQ(0, t_stats(self->fd, 0).pte_fallbacks);
	munmap(map, self->length);
}

TEST_HARNESS_MAIN

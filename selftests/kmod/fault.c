// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* What a touch does: one fault an hpage, zeroes, or SIGBUS. */
#include "kselftest_harness.h"
#include "helpers.h"

#include <sys/prctl.h>
#include <sys/resource.h>

FIXTURE(client) {
	int fd;
	size_t hpage;
};

FIXTURE_SETUP(client)
{
	ASSERT_TRUE(t_all_settle(10));
	self->fd = t_open();
	ASSERT_LE(0, self->fd);
	self->hpage = t_hpage();
}

FIXTURE_TEARDOWN(client)
{
	close(self->fd);
	EXPECT_TRUE(t_all_settle(10));
}

static long minor_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

static unsigned long long fallbacks(int fd)
{
	return t_stats(fd, SLABPOOL_NODE_LOCAL).pte_fallbacks;
}

TEST_F(client, mapping_64_mib_takes_32_faults)
{
	size_t length = 64UL << 20, at;
	volatile char *map = t_take(self->fd, 0, length / self->hpage);
	long before;

	ASSERT_NE(MAP_FAILED, (char *)map);
	minor_faults();
	before = minor_faults();
	for (at = 0; at < length; at += 4096)
		map[at] = 1;
	EXPECT_EQ((long)(length / self->hpage), minor_faults() - before);
	EXPECT_EQ(65536, t_smaps((char *)map, "FilePmdMapped"));
	EXPECT_EQ(65536, t_smaps((char *)map, "Rss"));
	EXPECT_EQ(0, fallbacks(self->fd));
	munmap((char *)map, length);
}

TEST_F(client, reading_first_also_maps_whole_hpages)
{
	volatile char *map = t_take(self->fd, 1, 2);
	long before;

	ASSERT_NE(MAP_FAILED, (char *)map);
	minor_faults();
	before = minor_faults();
	EXPECT_EQ(0, map[123]);
	EXPECT_EQ(0, map[2 * self->hpage - 1]);
	EXPECT_EQ(2, minor_faults() - before);
	EXPECT_EQ(2 * self->hpage / 1024,
		  t_smaps((char *)map, "FilePmdMapped"));
	munmap((char *)map, 2 * self->hpage);
}

TEST_F(client, memory_is_zero_when_it_is_handed_out)
{
	size_t length = 64 * self->hpage;
	char *map = t_take(self->fd, 0, 64);

	ASSERT_NE(MAP_FAILED, map);
	EXPECT_TRUE(t_is_filled(map, 0, length));
	munmap(map, length);
}

TEST_F(client, memory_is_zero_again_after_decommit_and_commit)
{
	char *map = t_take(self->fd, 0, 8);

	ASSERT_NE(MAP_FAILED, map);
	memset(map, 0xa5, 8 * self->hpage);
	EXPECT_EQ(2, t_decommit(self->fd, 0, self->hpage, 2 * self->hpage));
	EXPECT_EQ(SIGBUS, t_touch(map + self->hpage, false));
	EXPECT_EQ(SIGBUS, t_touch(map + 3 * self->hpage - 1, true));
	EXPECT_EQ(0, t_commit(self->fd, 0, 0, 8 * self->hpage));
	EXPECT_TRUE(t_is_filled(map, 0xa5, self->hpage));
	EXPECT_TRUE(t_is_filled(map + self->hpage, 0, 2 * self->hpage));
	EXPECT_TRUE(t_is_filled(map + 3 * self->hpage, 0xa5, 5 * self->hpage));
	munmap(map, 8 * self->hpage);
}

TEST_F(client, what_is_not_committed_is_sigbus_for_a_touch_and_an_error_else)
{
	char *map = t_map(self->fd, 0, 0, self->hpage, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_NORESERVE);
	int zero = open("/dev/zero", O_RDONLY);

	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(SIGBUS, t_touch(map, false));
	EXPECT_EQ(SIGBUS, t_touch(map + self->hpage - 1, true));
	EXPECT_EQ(-1, read(zero, map, 4096));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, madvise(map, self->hpage, MADV_POPULATE_WRITE));
	munmap(map, self->hpage);
	close(zero);
}

TEST_F(client, a_partial_munmap_falls_back_to_base_pages_with_contents_intact)
{
	char *map = t_take(self->fd, 0, 2);
	long long before = t_node(0, "stats/pte_fallbacks");
	size_t at;

	ASSERT_NE(MAP_FAILED, map);
	for (at = 0; at < 2 * self->hpage; at += 4096)
		*(size_t *)(map + at) = at;
	ASSERT_EQ(0, fallbacks(self->fd));
	ASSERT_EQ(0, munmap(map + 4096, 4096));

	for (at = 0; at < 2 * self->hpage; at += 4096)
		if (at != 4096)
			EXPECT_EQ(at, *(size_t *)(map + at));
	EXPECT_EQ(SIGSEGV, t_touch(map + 4096, false));
	EXPECT_LT(0, fallbacks(self->fd));
	EXPECT_EQ((long long)fallbacks(self->fd),
		  t_node(0, "stats/pte_fallbacks") - before);

	/* The hole can be filled again, by the same page. */
	EXPECT_EQ(2, t_stats(self->fd, 0).committed);
	munmap(map, 2 * self->hpage);
	map = t_take(self->fd, 0, 2);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(4096, *(size_t *)(map + 4096));
	munmap(map, 2 * self->hpage);
}

TEST_F(client, mprotect_of_a_piece_keeps_contents_and_protection)
{
	char *map = t_take(self->fd, 0, 1);

	ASSERT_NE(MAP_FAILED, map);
	memset(map, 3, self->hpage);
	ASSERT_EQ(0, mprotect(map + 8192, 4096, PROT_READ));
	EXPECT_EQ(SIGSEGV, t_touch(map + 8192, true));
	EXPECT_EQ(0, t_touch(map + 8192, false));
	EXPECT_EQ(0, t_touch(map + 4096, false));
	EXPECT_TRUE(t_is_filled(map, 3, self->hpage));
	munmap(map, self->hpage);
}

TEST_F(client, madv_dontneed_refaults_the_same_contents)
{
	char *map = t_take(self->fd, 0, 2);

	ASSERT_NE(MAP_FAILED, map);
	memset(map, 0x3c, 2 * self->hpage);
	EXPECT_EQ(0, madvise(map, 2 * self->hpage, MADV_DONTNEED));
	EXPECT_TRUE(t_is_filled(map, 0x3c, 2 * self->hpage));
	EXPECT_EQ(0, madvise(map, 2 * self->hpage, MADV_PAGEOUT));
	EXPECT_TRUE(t_is_filled(map, 0x3c, 2 * self->hpage));
	munmap(map, 2 * self->hpage);
}

TEST_F(client, base_pages_because_thp_is_disabled_are_counted)
{
	char *map = t_take(self->fd, 0, 1);
	long before, faults;
	size_t at;

	ASSERT_NE(MAP_FAILED, map);
	minor_faults();
	ASSERT_EQ(0, prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	before = minor_faults();
	for (at = 0; at < self->hpage; at += 4096)
		map[at] = 1;
	faults = minor_faults() - before;
	/* Either the kernel maps hpages all the same, or each is counted. */
	EXPECT_EQ(t_smaps(map, "FilePmdMapped") ? 0 : faults,
		  (long)fallbacks(self->fd));
	munmap(map, self->hpage);
}

TEST_HARNESS_MAIN

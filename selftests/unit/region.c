// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* lib/region.c: whole hpages that stay where they are. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "internal.h"
#include "kselftest_harness.h"
#include "slabpool.h"

TEST(a_region_is_aligned_reads_zero_and_says_what_it_is)
{
	struct slabpool_region_info info;
	unsigned char *p = slabpool_region_map(5 * SP_MIB, SLABPOOL_NODE_LOCAL, 0);

	ASSERT_NE(NULL, p);
	EXPECT_EQ(0, (uintptr_t)p % SP_HPAGE);
	for (size_t i = 0; i < 6 * SP_MIB; i += 64)
		ASSERT_EQ(0, p[i]);
	memset(p, 1, 6 * SP_MIB);
	ASSERT_EQ(0, slabpool_region_query(p + 12345, &info));
	EXPECT_EQ((void *)p, info.addr);
	EXPECT_EQ(6 * SP_MIB, info.size);
	EXPECT_GE(info.node, 0);
	EXPECT_TRUE(info.page_size == SP_HPAGE || info.page_size == 4096);
	EXPECT_EQ(0, slabpool_region_unmap(p));
	EXPECT_EQ(-EINVAL, slabpool_region_query(p, &info));
}

TEST(nonsense_is_refused)
{
	struct slabpool_region_info info;
	char *p;

	EXPECT_EQ(NULL, slabpool_region_map(0, SLABPOOL_NODE_LOCAL, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(NULL, slabpool_region_map(SP_MIB, 63, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(NULL, slabpool_region_map(SP_MIB, SLABPOOL_NODE_LOCAL, 1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(NULL, slabpool_region_map(SIZE_MAX, SLABPOOL_NODE_LOCAL, 0));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_EQ(-EINVAL, slabpool_region_unmap(NULL));
	EXPECT_EQ(-EINVAL, slabpool_region_query(&info, &info));
	p = slabpool_region_map(SP_MIB, SLABPOOL_NODE_LOCAL, 0);
	ASSERT_NE(NULL, p);
	EXPECT_EQ(-EINVAL, slabpool_region_unmap(p + SP_HPAGE / 2));
	EXPECT_EQ(0, slabpool_region_unmap(p));
	EXPECT_EQ(-EINVAL, slabpool_region_unmap(p));
}

TEST(regions_come_and_go_without_leaving_anything)
{
	static char *p[50];

	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 50; i++) {
			p[i] = slabpool_region_map(SP_HPAGE, SLABPOOL_NODE_LOCAL, 0);
			ASSERT_NE(NULL, p[i]);
			p[i][0] = 1;
		}
		for (int i = 49; i >= 0; i--)
			ASSERT_EQ(0, slabpool_region_unmap(p[i]));
	}
}

/* They may be registered for DMA: a child's existence must not move a page. */
TEST(a_fork_leaves_the_pages_where_they_are)
{
	uint64_t before, after;
	unsigned char *p = slabpool_region_map(SP_HPAGE, SLABPOOL_NODE_LOCAL, 0);
	int pagemap = open("/proc/self/pagemap", O_RDONLY);
	off_t at = (off_t)((uintptr_t)p / 4096 * 8);
	pid_t pid;

	ASSERT_NE(NULL, p);
	p[0] = 1;
	ASSERT_EQ(8, pread(pagemap, &before, 8, at));
	if (!(before & ((1ull << 55) - 1)))
		SKIP(return, "page frame numbers are shown to root only");
	pid = fork();
	ASSERT_GE(pid, 0);
	if (pid == 0) {
		pause();
		_exit(0);
	}
	p[0] = 2;
	EXPECT_EQ(8, pread(pagemap, &after, 8, at));
	EXPECT_EQ(before & ((1ull << 55) - 1), after & ((1ull << 55) - 1));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(pagemap);
	EXPECT_EQ(0, slabpool_region_unmap(p));
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* What the pool is for: no clearing on the way to memory. */
#include "kselftest_harness.h"
#include "helpers.h"

#define LENGTH	(64UL << 20)
#define ROUNDS	5

FIXTURE(machine) {
	int fd;
};

FIXTURE_SETUP(machine)
{
	self->fd = -1;
}

FIXTURE_TEARDOWN(machine)
{
	t_write("/proc/sys/vm/nr_hugepages", "0");
}

/* Seconds for mmap + MAP_POPULATE, best of a few; negative when it failed. */
static double from_pool(void)
{
	double best = 1e9, start, took;
	char *map;
	int i, fd;

	for (i = 0; i < ROUNDS; i++) {
		if (!t_all_settle(10))
			return -1;
		fd = t_open();
		start = t_now();
		map = t_map(fd, 0, 0, LENGTH, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_POPULATE);
		took = t_now() - start;
		if (map == MAP_FAILED ||
		    t_smaps(map, "FilePmdMapped") != LENGTH / 1024)
			return -1;
		munmap(map, LENGTH);
		close(fd);
		if (took < best)
			best = took;
	}
	return best;
}

static double from_hugetlb(void)
{
	double best = 1e9, start, took;
	char *map;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		start = t_now();
		map = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB |
			   MAP_POPULATE, -1, 0);
		took = t_now() - start;
		if (map == MAP_FAILED)
			return -1;
		munmap(map, LENGTH);
		if (took < best)
			best = took;
	}
	return best;
}

TEST_F_TIMEOUT(machine, mapping_64_mib_is_50_times_faster_than_hugetlbfs, 120)
{
	double pool, hugetlb;
	char line[32];

	ASSERT_EQ(0, t_write("/proc/sys/vm/nr_hugepages", "32"));
	ASSERT_TRUE(t_read_line("/proc/sys/vm/nr_hugepages", line,
				sizeof(line)));
	if (atoi(line) < 32)
		SKIP(return, "only %s hugetlb pages to be had", line);

	pool = from_pool();
	hugetlb = from_hugetlb();
	ASSERT_LT(0, pool);
	ASSERT_LT(0, hugetlb);
	TH_LOG("pool %.0f us, hugetlbfs %.0f us: %.0f times", pool * 1e6,
	       hugetlb * 1e6, hugetlb / pool);
	EXPECT_LE(50, hugetlb / pool);
}

TEST_HARNESS_MAIN

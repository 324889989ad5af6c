// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * A base page with a hardware error: its hpage leaves the pool wherever it is,
 * is counted, and nobody ever gets it again; its owner alone has a SIGBUS.
 */
#include "kselftest_harness.h"
#include "helpers.h"

#define NODE	1
#define KPF_HWPOISON	19

FIXTURE(client) {
	int fd;
	size_t hpage;
	struct t_pool before;
};

FIXTURE_SETUP(client)
{
	ASSERT_TRUE(t_all_settle(10));
	self->fd = t_open();
	ASSERT_LE(0, self->fd);
	self->hpage = t_hpage();
	self->before = t_pool(NODE);
}

/* Leave the pool as large as it was. */
FIXTURE_TEARDOWN(client)
{
	char size[32];

	close(self->fd);
	snprintf(size, sizeof(size), "%lld", self->before.total);
	EXPECT_EQ(0, t_set_node(NODE, "nr_hugepages", size));
	EXPECT_TRUE(t_all_settle(10));
	EXPECT_EQ(self->before.total, t_pool(NODE).total);
}

/* As if the memory controller had reported it; false if this kernel cannot. */
static bool poison(uint64_t pfn)
{
	uint64_t flags = 0;
	char address[32];
	int fd;

	snprintf(address, sizeof(address), "0x%llx",
		 (unsigned long long)pfn * 4096);
	t_write("/sys/devices/system/memory/hard_offline_page", address);
	fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || pread(fd, &flags, sizeof(flags),
			    (off_t)(pfn * sizeof(flags))) != sizeof(flags))
		flags = 0;
	close(fd);
	return flags >> KPF_HWPOISON & 1;
}

/* The frame of an hpage that is free again when this returns. */
static uint64_t free_frame(int fd, size_t hpage)
{
	char *map = t_take(fd, NODE, 1);
	uint64_t pfn;

	if (map == MAP_FAILED)
		return 0;
	map[0] = 1;
	pfn = t_pfn(map);
	munmap(map, hpage);
	t_decommit(fd, NODE, 0, hpage);
	t_settles(NODE, 10);
	return pfn;
}

static bool retired(long long count)
{
	double end = t_deadline(10);

	while (t_node(NODE, "poisoned_hugepages") != count && t_now() < end)
		t_sleep_ms(20);
	return t_node(NODE, "poisoned_hugepages") == count;
}

/* Hand out all of the pool, again and again: how often is that frame among it? */
static unsigned long handed_out(int fd, uint64_t pfn, size_t hpage)
{
	size_t hpages = t_pool(NODE).total, i;
	unsigned long round, count = 0;

	for (round = 0; round < t_rounds(3); round++) {
		char *map = t_take(fd, NODE, hpages);

		if (map == MAP_FAILED)
			return -1;
		for (i = 0; i < hpages; i++) {
			map[i * hpage] = 1;
			count += t_pfn(map + i * hpage) == pfn;
		}
		munmap(map, hpages * hpage);
		t_decommit(fd, NODE, 0, hpages * hpage);
	}
	return count;
}

TEST_F(client, a_free_hpage_that_is_poisoned_is_never_handed_out)
{
	long long all = self->before.total;
	uint64_t pfn = free_frame(self->fd, self->hpage);

	ASSERT_NE(0, pfn);
	if (!poison(pfn + 200))
		SKIP(return, "this kernel cannot inject a hardware error");
	/* Whoever wants all of the pool finds out; nothing of it is lost. */
	EXPECT_EQ(-ENOMEM, t_commit(self->fd, NODE, 0, all * self->hpage));
	EXPECT_EQ(self->before.poisoned + 1, t_pool(NODE).poisoned);
	EXPECT_EQ(all - 1, t_pool(NODE).total);
	EXPECT_TRUE(t_equation(t_pool(NODE)));
	EXPECT_EQ(0, t_pool(NODE).used);
	EXPECT_EQ(0, handed_out(self->fd, pfn, self->hpage));
}

TEST_F(client, a_free_hpage_that_is_poisoned_is_not_given_to_the_kernel)
{
	uint64_t pfn = free_frame(self->fd, self->hpage);

	ASSERT_NE(0, pfn);
	if (!poison(pfn + 511))
		SKIP(return, "this kernel cannot inject a hardware error");
	ASSERT_EQ(0, t_write(T_SYSFS "/decay_ms", "0"));
	ASSERT_EQ(0, t_set_node(NODE, "nr_hugepages", "0"));
	EXPECT_EQ(0, t_write(T_SYSFS "/decay_ms", "10000"));
	EXPECT_EQ(0, t_pool(NODE).total);
	EXPECT_EQ(self->before.poisoned + 1, t_pool(NODE).poisoned);
}

TEST_F(client, a_parked_hpage_that_is_poisoned_is_retired_when_unpinned)
{
	char *map = t_take(self->fd, NODE, 1);
	struct iovec iov = { map, 4096 };
	int pipes[2];
	uint64_t pfn;

	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, pipe(pipes));
	map[0] = 1;
	pfn = t_pfn(map);
	ASSERT_EQ(4096, vmsplice(pipes[1], &iov, 1, 0));
	ASSERT_EQ(1, t_decommit(self->fd, NODE, 0, self->hpage));
	ASSERT_EQ(1, t_pool(NODE).parked);
	if (!poison(pfn + 77)) {
		close(pipes[0]);
		close(pipes[1]);
		SKIP(goto out, "this kernel cannot inject a hardware error");
	}
	EXPECT_EQ(1, t_pool(NODE).parked);
	close(pipes[0]);
	close(pipes[1]);
	EXPECT_TRUE(retired(self->before.poisoned + 1));
	EXPECT_EQ(self->before.total - 1, t_pool(NODE).total);
	EXPECT_EQ(0, handed_out(self->fd, pfn, self->hpage));
out:
	munmap(map, self->hpage);
}

TEST_F(client, a_mapped_hpage_that_is_poisoned_is_sigbus_for_its_owner)
{
	char *map = t_take(self->fd, NODE, 1);
	uint64_t pfn;
	int code;

	ASSERT_NE(MAP_FAILED, map);
	*(volatile char *)map = 1;
	/* Where it is mapped, some kernels leave it so. */
	ASSERT_EQ(0, madvise(map, self->hpage, MADV_DONTNEED));
	code = t_inject(map + 8192);
	if (code)
		SKIP(goto out, "this kernel cannot inject: %s", strerror(code));

	/*
	 * Only the bad base page is lost to its owner.  Some kernels map it
	 * along with a good neighbour: an injected error cannot stop them, a
	 * real one is the processor's to report.
	 */
	EXPECT_EQ(SIGBUS, t_touch(map + 8192, false));
	EXPECT_EQ(SIGBUS, t_touch(map + 8192, true));
	EXPECT_EQ(1, map[0]);
	EXPECT_EQ(0, t_touch(map + self->hpage - 1, true));

	pfn = t_pfn(map);
	EXPECT_EQ(1, t_decommit(self->fd, NODE, 0, self->hpage));
	EXPECT_TRUE(retired(self->before.poisoned + 1));
	EXPECT_EQ(self->before.total - 1, t_pool(NODE).total);
	EXPECT_TRUE(t_equation(t_pool(NODE)));
	EXPECT_EQ(0, handed_out(self->fd, pfn, self->hpage));
out:
	munmap(map, self->hpage);
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* mmap in all its forms: what it commits, and what it refuses. */
#include "kselftest_harness.h"
#include "helpers.h"

#define RW	(PROT_READ | PROT_WRITE)

/*
 * Far more than any pool, as far as there are addresses for it; and a node there
 * is not, the last that mmap(2) can name: to 32-bit programs it gives 44 bits.
 */
#if UINTPTR_MAX > UINT32_MAX
#define HUGE_LENGTH	(1UL << 41)
#define LAST_NODE	((1ULL << 63) - (1ULL << SLABPOOL_NODE_SHIFT))
#else
#define HUGE_LENGTH	(1UL << 30)
#define LAST_NODE	((1ULL << 44) - (1ULL << SLABPOOL_NODE_SHIFT))
#endif

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
	self->before = t_pool(0);
}

FIXTURE_TEARDOWN(client)
{
	close(self->fd);
	EXPECT_TRUE(t_all_settle(10));
	EXPECT_EQ(self->before.total, t_pool(0).total);
}

static unsigned long long committed(int fd)
{
	return t_stats(fd, SLABPOOL_NODE_LOCAL).committed;
}

TEST_F(client, shared_mapping_is_committed_when_the_call_returns)
{
	char *map = t_take(self->fd, 0, 4);

	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(4, committed(self->fd));
	EXPECT_EQ(0, (uintptr_t)map % self->hpage);
	EXPECT_TRUE(t_is_filled(map, 0, 4 * self->hpage));
	munmap(map, 4 * self->hpage);
	EXPECT_EQ(4, committed(self->fd));
}

TEST_F(client, hpages_go_back_with_the_last_mapping_when_the_file_is_closed)
{
	char *map = t_take(self->fd, 0, 4);

	ASSERT_NE(MAP_FAILED, map);
	close(self->fd);
	memset(map, 7, 4 * self->hpage);
	EXPECT_EQ(4, t_pool(0).used);
	munmap(map, 4 * self->hpage);
	EXPECT_EQ(0, t_pool(0).used);
}

TEST_F(client, prot_none_reserves_addresses_only)
{
	char *map = t_map(self->fd, 0, 0, 4 * self->hpage, PROT_NONE, MAP_SHARED);

	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(0, committed(self->fd));
	ASSERT_EQ(0, mprotect(map, 4 * self->hpage, RW));
	EXPECT_EQ(SIGBUS, t_touch(map, false));
	ASSERT_EQ(0, t_commit(self->fd, 0, self->hpage, self->hpage));
	EXPECT_EQ(SIGBUS, t_touch(map, true));
	EXPECT_EQ(0, t_touch(map + self->hpage, true));
	munmap(map, 4 * self->hpage);
}

TEST_F(client, map_noreserve_reserves_addresses_only)
{
	char *map = t_map(self->fd, 0, 0, 4 * self->hpage, RW,
			  MAP_SHARED | MAP_NORESERVE);

	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(0, committed(self->fd));
	EXPECT_EQ(SIGBUS, t_touch(map, true));
	munmap(map, 4 * self->hpage);
}

TEST_F(client, a_reservation_may_be_far_larger_than_the_pool)
{
	size_t length = HUGE_LENGTH;
	char *map = t_map(self->fd, 1, 0, length, PROT_NONE, MAP_SHARED);

	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(0, munmap(map, length));
}

TEST_F(client, a_later_mapping_commits_the_holes_of_a_reservation)
{
	char *map = t_map(self->fd, 0, 0, 4 * self->hpage, PROT_NONE, MAP_SHARED);
	char *over;

	ASSERT_NE(MAP_FAILED, map);
	over = mmap(map + self->hpage, 2 * self->hpage, RW,
		    MAP_SHARED | MAP_FIXED, self->fd,
		    SLABPOOL_OFFSET(0, self->hpage));
	ASSERT_EQ(map + self->hpage, over);
	EXPECT_EQ(2, committed(self->fd));
	EXPECT_EQ(0, t_touch(over, true));
	munmap(map, 4 * self->hpage);
}

TEST_F(client, map_populate_leaves_no_fault_for_later)
{
	char *map = t_map(self->fd, 0, 0, 4 * self->hpage, RW,
			  MAP_SHARED | MAP_POPULATE);

	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(4 * self->hpage / 1024, t_smaps(map, "FilePmdMapped"));
	munmap(map, 4 * self->hpage);
}

TEST_F(client, map_private_commits_nothing)
{
	char *map = t_map(self->fd, 0, 0, 2 * self->hpage, RW, MAP_PRIVATE);

	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(0, committed(self->fd));
	EXPECT_EQ(SIGBUS, t_touch(map, true));
	munmap(map, 2 * self->hpage);
}

TEST_F(client, map_private_reads_the_client_and_keeps_writes_to_itself)
{
	char *shared = t_take(self->fd, 0, 1);
	char *private = t_map(self->fd, 0, 0, self->hpage, RW, MAP_PRIVATE);

	ASSERT_NE(MAP_FAILED, shared);
	ASSERT_NE(MAP_FAILED, private);
	shared[0] = 1;
	shared[8192] = 1;
	EXPECT_EQ(1, private[0]);
	private[0] = 2;
	EXPECT_EQ(2, private[0]);
	EXPECT_EQ(1, shared[0]);
	shared[8192] = 3;
	EXPECT_EQ(3, private[8192]);

	/* The private copy is not the pool's to take back. */
	EXPECT_EQ(1, t_decommit(self->fd, 0, 0, self->hpage));
	EXPECT_EQ(2, private[0]);
	EXPECT_EQ(SIGBUS, t_touch(private + 8192, false));
	munmap(shared, self->hpage);
	munmap(private, self->hpage);
}

TEST_F(client, the_same_range_mapped_twice_is_the_same_memory)
{
	char *one = t_take(self->fd, 0, 2), *two = t_take(self->fd, 0, 2);

	ASSERT_NE(MAP_FAILED, one);
	ASSERT_NE(MAP_FAILED, two);
	EXPECT_NE(one, two);
	EXPECT_EQ(2, committed(self->fd));
	one[self->hpage + 3] = 9;
	EXPECT_EQ(9, two[self->hpage + 3]);
	munmap(one, 2 * self->hpage);
	EXPECT_EQ(9, two[self->hpage + 3]);
	munmap(two, 2 * self->hpage);
}

TEST_F(client, another_client_has_other_memory_at_the_same_offset)
{
	int other = t_open();
	char *mine = t_take(self->fd, 0, 1), *its = t_take(other, 0, 1);

	ASSERT_NE(MAP_FAILED, mine);
	ASSERT_NE(MAP_FAILED, its);
	memset(mine, 1, self->hpage);
	EXPECT_TRUE(t_is_filled(its, 0, self->hpage));
	memset(its, 2, self->hpage);

	/* Unmapping one reaches nothing of the other. */
	EXPECT_EQ(1, t_decommit(self->fd, 0, 0, self->hpage));
	EXPECT_TRUE(t_is_filled(its, 2, self->hpage));
	EXPECT_EQ(SIGBUS, t_touch(mine, false));
	munmap(mine, self->hpage);
	munmap(its, self->hpage);
	close(other);
}

static int map_error(int fd, void *address, size_t length, int prot, int flags,
		     __u64 offset)
{
	char *map = mmap(address, length, prot, flags, fd, offset);

	if (map == MAP_FAILED)
		return errno;
	munmap(map, length);
	return 0;
}

TEST_F(client, what_is_not_a_multiple_of_the_hpage_size_is_refused)
{
	size_t hp = self->hpage;

	EXPECT_EQ(EINVAL, map_error(self->fd, NULL, hp, RW, MAP_SHARED,
				    SLABPOOL_OFFSET(0, 4096)));
	EXPECT_EQ(EINVAL, map_error(self->fd, NULL, hp, RW, MAP_SHARED,
				    SLABPOOL_OFFSET(0, hp / 2)));
	EXPECT_EQ(EINVAL, map_error(self->fd, NULL, 4096, RW, MAP_SHARED,
				    SLABPOOL_OFFSET(0, 0)));
	EXPECT_EQ(EINVAL, map_error(self->fd, NULL, hp + 4096, RW, MAP_SHARED,
				    SLABPOOL_OFFSET(0, 0)));
	EXPECT_EQ(EINVAL, map_error(self->fd, NULL, hp - 4096, RW, MAP_PRIVATE,
				    SLABPOOL_OFFSET(0, 0)));
	EXPECT_EQ(EINVAL, map_error(self->fd, NULL, hp - 4096, PROT_NONE,
				    MAP_SHARED, SLABPOOL_OFFSET(0, 0)));
	EXPECT_EQ(EINVAL, map_error(self->fd, NULL, 0, RW, MAP_SHARED,
				    SLABPOOL_OFFSET(0, 0)));
	EXPECT_EQ(0, committed(self->fd));
}

TEST_F(client, an_unaligned_fixed_address_is_refused)
{
	char *room = mmap(NULL, 4 * self->hpage, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *inside = (char *)(((uintptr_t)room + self->hpage - 1) &
				-self->hpage);

	ASSERT_NE(MAP_FAILED, room);
	EXPECT_EQ(EINVAL, map_error(self->fd, inside + 4096, self->hpage, RW,
				    MAP_SHARED | MAP_FIXED,
				    SLABPOOL_OFFSET(0, 0)));
	EXPECT_EQ(0, committed(self->fd));
	EXPECT_EQ(0, map_error(self->fd, inside, self->hpage, RW,
			       MAP_SHARED | MAP_FIXED, SLABPOOL_OFFSET(0, 0)));
	munmap(room, 4 * self->hpage);
}

TEST_F(client, an_offset_out_of_range_is_refused)
{
	EXPECT_EQ(EINVAL, map_error(self->fd, NULL, self->hpage, RW, MAP_SHARED,
				    1ULL << 63));
	EXPECT_EQ(EINVAL, map_error(self->fd, NULL, 2 * self->hpage, RW,
				    MAP_SHARED,
				    SLABPOOL_OFFSET(1, 0) - self->hpage));
	EXPECT_EQ(0, committed(self->fd));
}

TEST_F(client, a_node_that_does_not_exist_is_enodev)
{
	EXPECT_EQ(ENODEV, map_error(self->fd, NULL, self->hpage, RW, MAP_SHARED,
				    SLABPOOL_OFFSET(2, 0)));
	EXPECT_EQ(ENODEV, map_error(self->fd, NULL, self->hpage, PROT_NONE,
				    MAP_SHARED, SLABPOOL_OFFSET(5, 0)));
	EXPECT_EQ(ENODEV, map_error(self->fd, NULL, self->hpage, RW, MAP_SHARED,
				    LAST_NODE));
}

TEST_F(client, more_than_the_pool_has_is_enomem_and_changes_nothing)
{
	size_t hpages = self->before.total + 1;
	long long failures = t_node(0, "stats/commit_failures");
	struct t_pool after;

	ASSERT_EQ(MAP_FAILED, t_take(self->fd, 0, hpages));
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_EQ(MAP_FAILED, t_take(self->fd, 0, HUGE_LENGTH / t_hpage()));
	EXPECT_EQ(ENOMEM, errno);
	after = t_pool(0);
	EXPECT_EQ(0, memcmp(&self->before, &after, sizeof(after)));
	EXPECT_EQ(0, t_stats(self->fd, 0).commits);
	EXPECT_EQ(failures + 2, t_node(0, "stats/commit_failures"));
}

TEST_F(client, all_of_the_pool_can_be_had_and_not_one_more)
{
	char *all = t_take(self->fd, 0, self->before.total);

	ASSERT_NE(MAP_FAILED, all);
	EXPECT_EQ(0, t_pool(0).zeroed);
	EXPECT_EQ(self->before.total, t_pool(0).used);
	EXPECT_EQ(-ENOMEM, t_commit(self->fd, 0,
				    self->before.total * self->hpage,
				    self->hpage));
	EXPECT_EQ(0, t_commit(self->fd, 0, 0,
			      self->before.total * self->hpage));

	/* At once again, though the worker has not cleared it yet. */
	EXPECT_EQ(self->before.total,
		  t_decommit(self->fd, 0, 0,
			     self->before.total * self->hpage));
	EXPECT_EQ(0, t_commit(self->fd, 0, 0,
			      self->before.total * self->hpage));
	EXPECT_TRUE(t_is_filled(all, 0, self->before.total * self->hpage));
	munmap(all, self->before.total * self->hpage);
}

TEST_F(client, prot_exec_is_refused_now_and_later)
{
	char *map = t_take(self->fd, 0, 1);

	EXPECT_EQ(EPERM, map_error(self->fd, NULL, self->hpage,
				   PROT_READ | PROT_EXEC, MAP_SHARED,
				   SLABPOOL_OFFSET(0, 0)));
	EXPECT_EQ(EPERM, map_error(self->fd, NULL, self->hpage,
				   PROT_READ | PROT_EXEC, MAP_PRIVATE,
				   SLABPOOL_OFFSET(0, 0)));
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(-1, mprotect(map, self->hpage, PROT_READ | PROT_EXEC));
	EXPECT_EQ(EACCES, errno);
	munmap(map, self->hpage);
}

TEST_F(client, a_read_only_descriptor_is_never_mapped_writable)
{
	int rofd = open(T_DEVICE, O_RDONLY);
	char *map;

	ASSERT_LE(0, rofd);
	EXPECT_EQ(EACCES, map_error(rofd, NULL, self->hpage, RW, MAP_SHARED,
				    SLABPOOL_OFFSET(0, 0)));
	map = t_map(rofd, 0, 0, self->hpage, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(0, committed(rofd));
	EXPECT_EQ(SIGBUS, t_touch(map, false));
	EXPECT_EQ(-1, mprotect(map, self->hpage, RW));
	EXPECT_EQ(EACCES, errno);
	munmap(map, self->hpage);
	close(rofd);
}

TEST_F(client, a_write_only_descriptor_cannot_be_mapped)
{
	int wofd = open(T_DEVICE, O_WRONLY);

	ASSERT_LE(0, wofd);
	EXPECT_EQ(EACCES, map_error(wofd, NULL, self->hpage, PROT_WRITE,
				    MAP_SHARED, SLABPOOL_OFFSET(0, 0)));
	close(wofd);
}

TEST_F(client, a_mapping_cannot_grow)
{
	char *map = t_take(self->fd, 0, 1);
	static const size_t by[] = { 4096, 1 << 21, HUGE_LENGTH };
	unsigned int i;

	ASSERT_NE(MAP_FAILED, map);
	for (i = 0; i < ARRAY_SIZE(by); i++) {
		EXPECT_EQ(MAP_FAILED, mremap(map, self->hpage,
					     self->hpage + by[i],
					     MREMAP_MAYMOVE));
		EXPECT_EQ(EFAULT, errno);
	}
	munmap(map, self->hpage);
}

TEST_F(client, a_mapping_moves_to_aligned_addresses_only)
{
	char *map = t_take(self->fd, 0, 1);
	char *room = mmap(NULL, 4 * self->hpage, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *to = (char *)(((uintptr_t)room + self->hpage - 1) & -self->hpage);

	ASSERT_NE(MAP_FAILED, map);
	map[77] = 5;
	EXPECT_EQ(MAP_FAILED, mremap(map, self->hpage, self->hpage,
				     MREMAP_MAYMOVE | MREMAP_FIXED,
				     to + 4096));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(5, map[77]);
	ASSERT_EQ(to, mremap(map, self->hpage, self->hpage,
			     MREMAP_MAYMOVE | MREMAP_FIXED, to));
	EXPECT_EQ(5, to[77]);
	EXPECT_EQ(self->hpage / 1024, t_smaps(to, "FilePmdMapped"));
	munmap(to, self->hpage);
}

TEST_F(client, a_failed_commit_of_a_range_with_something_in_it_keeps_that)
{
	size_t hpages = self->before.total;

	ASSERT_EQ(0, t_commit(self->fd, 0, 3 * self->hpage, self->hpage));
	EXPECT_EQ(-ENOMEM, t_commit(self->fd, 0, 0, (hpages + 1) * self->hpage));
	EXPECT_EQ(1, committed(self->fd));
	EXPECT_EQ(1, t_decommit(self->fd, 0, 0, (hpages + 1) * self->hpage));
}

/* The core would take a hint of 4 KiB alignment as it is. */
TEST_F(client, an_unaligned_hint_still_gives_an_aligned_address)
{
	char *spot = mmap(NULL, 4 * self->hpage, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *map;

	ASSERT_NE(MAP_FAILED, spot);
	munmap(spot, 4 * self->hpage);
	map = mmap(spot + 4096, self->hpage, RW, MAP_SHARED, self->fd,
		   SLABPOOL_OFFSET(0, 0));
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(0, (uintptr_t)map % self->hpage);
	memset(map, 1, self->hpage);
	munmap(map, self->hpage);
}

/*
 * Each takes and returns a little less than half of the pool: together they never
 * want more than there is, so that neither may ever be refused.
 */
TEST_F(client, two_that_together_want_less_than_the_pool_never_fail)
{
	size_t length = (self->before.total / 2 - 1) * self->hpage;
	double end = t_now() + 5;
	pid_t pids[2];
	int i;

	for (i = 0; i < 2; i++) {
		int fd;

		pids[i] = fork();
		if (pids[i])
			continue;
		fd = t_open();
		while (t_now() < end) {
			if (t_commit(fd, 0, 0, length))
				_exit(1);
			if (t_decommit(fd, 0, 0, length) < 0)
				_exit(2);
		}
		_exit(0);
	}
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, t_wait(pids[i]));
}

TEST_HARNESS_MAIN

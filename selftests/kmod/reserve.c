// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* A guarantee is kept, whatever others do; and nothing more than it is kept. */
#include "kselftest_harness.h"
#include "helpers.h"

FIXTURE(guarantee) {
	int fd;
	int hog;
	size_t hpage;
	long long total;
	char size[32];
};

FIXTURE_SETUP(guarantee)
{
	ASSERT_TRUE(t_all_settle(10));
	self->fd = t_open();
	self->hog = t_open();
	ASSERT_LE(0, self->hog);
	self->hpage = t_hpage();
	self->total = t_pool(0).total;
	ASSERT_LT(16, self->total);
	snprintf(self->size, sizeof(self->size), "%lld", self->total);
}

FIXTURE_TEARDOWN(guarantee)
{
	close(self->fd);
	close(self->hog);
	EXPECT_EQ(0, t_write(T_SYSFS "/max_client_hugepages", "0"));
	EXPECT_EQ(0, t_set_node(0, "nr_hugepages", self->size));
	EXPECT_TRUE(t_all_settle(10));
	EXPECT_EQ(0, t_node(0, "reserved_hugepages"));
	EXPECT_EQ(self->total, t_pool(0).total);
}

static int reserve(int fd, int node, unsigned long long count)
{
	struct slabpool_ioc_reserve in = {
		.size = sizeof(in), .node = node, .count = count,
	};

	return ioctl(fd, SLABPOOL_IOC_RESERVE, &in) ? -errno : 0;
}

static int commit(int fd, size_t at, size_t count)
{
	return t_commit(fd, 0, at * t_hpage(), count * t_hpage());
}

TEST_F(guarantee, others_do_not_get_what_is_set_aside)
{
	ASSERT_EQ(0, reserve(self->fd, 0, 5));
	EXPECT_EQ(5, t_node(0, "reserved_hugepages"));
	EXPECT_EQ(5, t_stats(self->fd, 0).guarantee);
	EXPECT_EQ(0, t_stats(self->fd, 1).guarantee);
	EXPECT_EQ(5, t_stats(self->fd, SLABPOOL_NODE_LOCAL).guarantee);
	EXPECT_EQ(self->total, t_pool(0).zeroed);
	EXPECT_EQ(-ENOMEM, commit(self->hog, 0, self->total - 4));
	EXPECT_EQ(0, commit(self->hog, 0, self->total - 5));
	EXPECT_EQ(-ENOMEM, commit(self->hog, self->total, 1));
	EXPECT_EQ(0, commit(self->fd, 0, 5));
	EXPECT_EQ(0, t_node(0, "reserved_hugepages"));
	EXPECT_EQ(-ENOMEM, commit(self->fd, 5, 1));
}

TEST_F(guarantee, mmap_draws_on_it_too)
{
	char *map;

	ASSERT_EQ(0, reserve(self->fd, 0, 5));
	ASSERT_EQ(0, commit(self->hog, 0, self->total - 5));
	EXPECT_EQ(MAP_FAILED, t_take(self->fd, 0, 6));
	EXPECT_EQ(ENOMEM, errno);
	map = t_take(self->fd, 0, 5);
	EXPECT_NE(MAP_FAILED, map);
	munmap(map, 5 * self->hpage);
}

TEST_F(guarantee, what_is_held_already_is_part_of_it)
{
	ASSERT_EQ(0, commit(self->fd, 0, 3));
	ASSERT_EQ(0, reserve(self->fd, 0, 5));
	EXPECT_EQ(2, t_node(0, "reserved_hugepages"));
	ASSERT_EQ(0, reserve(self->fd, 0, 2));
	EXPECT_EQ(0, t_node(0, "reserved_hugepages"));
	EXPECT_EQ(3, t_stats(self->fd, 0).committed);
	/* It says how many in all, not how many more. */
	ASSERT_EQ(0, reserve(self->fd, 0, 4));
	ASSERT_EQ(0, reserve(self->fd, 0, 4));
	EXPECT_EQ(1, t_node(0, "reserved_hugepages"));
}

TEST_F(guarantee, what_is_given_back_is_set_aside_again)
{
	ASSERT_EQ(0, reserve(self->fd, 0, 4));
	ASSERT_EQ(0, commit(self->fd, 0, 6));
	ASSERT_EQ(0, commit(self->hog, 0, self->total - 6));
	EXPECT_EQ(3, t_decommit(self->fd, 0, 0, 3 * self->hpage));
	EXPECT_EQ(1, t_node(0, "reserved_hugepages"));
	EXPECT_EQ(0, commit(self->hog, self->total, 2));
	EXPECT_EQ(-ENOMEM, commit(self->hog, self->total + 2, 1));
	EXPECT_EQ(3, t_decommit(self->fd, 0, 3 * self->hpage,
				3 * self->hpage));
	EXPECT_EQ(-ENOMEM, commit(self->hog, self->total + 2, 1));
	EXPECT_EQ(0, commit(self->fd, 0, 4));
}

TEST_F(guarantee, a_parked_hpage_is_part_of_it)
{
	char *map = t_take(self->fd, 0, 1);
	struct iovec iov = { map, 4096 };
	int pipes[2];
	double end;

	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, reserve(self->fd, 0, 3));
	map[0] = 1;
	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(4096, vmsplice(pipes[1], &iov, 1, 0));
	ASSERT_EQ(1, t_decommit(self->fd, 0, 0, self->hpage));
	EXPECT_EQ(1, t_stats(self->fd, 0).parked);
	EXPECT_EQ(2, t_node(0, "reserved_hugepages"));
	close(pipes[0]);
	close(pipes[1]);
	for (end = t_deadline(5); t_now() < end; t_sleep_ms(10))
		if (t_node(0, "reserved_hugepages") == 3)
			break;
	EXPECT_EQ(3, t_node(0, "reserved_hugepages"));
	EXPECT_EQ(0, t_stats(self->fd, 0).parked);
	munmap(map, self->hpage);
}

TEST_F(guarantee, more_than_there_is_to_spare_is_enomem_and_changes_nothing)
{
	ASSERT_EQ(0, reserve(self->fd, 0, 5));
	EXPECT_EQ(-ENOMEM, reserve(self->fd, 0, self->total + 1));
	EXPECT_EQ(-ENOMEM, reserve(self->fd, 0, 1ULL << 40));
	EXPECT_EQ(-ENOMEM, reserve(self->fd, 0, UINT64_MAX));
	EXPECT_EQ(-ENOMEM, reserve(self->hog, 0, self->total - 4));
	EXPECT_EQ(5, t_stats(self->fd, 0).guarantee);
	EXPECT_EQ(0, t_stats(self->hog, 0).guarantee);
	EXPECT_EQ(0, reserve(self->hog, 0, self->total - 5));
	EXPECT_EQ(self->total, t_node(0, "reserved_hugepages"));
	EXPECT_EQ(0, reserve(self->fd, 0, 0));
	EXPECT_EQ(0, reserve(self->hog, 0, self->total));
}

TEST_F(guarantee, it_is_charged_when_it_is_given)
{
	ASSERT_EQ(0, t_write(T_SYSFS "/max_client_hugepages", "6"));
	EXPECT_EQ(-EDQUOT, reserve(self->fd, 0, 7));
	ASSERT_EQ(0, reserve(self->fd, 0, 4));
	ASSERT_EQ(0, commit(self->fd, 0, 1));
	EXPECT_EQ(-EDQUOT, reserve(self->fd, 1, 3));
	EXPECT_EQ(0, reserve(self->fd, 1, 2));
	/* And is not charged again when it is used. */
	ASSERT_EQ(0, t_write(T_SYSFS "/max_client_hugepages", "1"));
	EXPECT_EQ(0, commit(self->fd, 0, 4));
	EXPECT_EQ(-EDQUOT, commit(self->fd, 4, 1));
	EXPECT_EQ(4, t_decommit(self->fd, 0, 0, 4 * self->hpage));
	EXPECT_EQ(0, commit(self->fd, 7, 4));
}

TEST_F(guarantee, the_pool_does_not_shrink_below_it)
{
	double end;

	ASSERT_EQ(0, t_write(T_SYSFS "/decay_ms", "0"));
	ASSERT_EQ(0, reserve(self->fd, 0, 7));
	ASSERT_EQ(0, commit(self->fd, 0, 2));
	ASSERT_EQ(0, t_set_node(0, "nr_hugepages", "0"));
	for (end = t_deadline(30); t_now() < end; t_sleep_ms(10))
		if (t_pool(0).total == 7)
			break;
	EXPECT_EQ(7, t_pool(0).total);
	t_sleep_ms(300);
	EXPECT_EQ(7, t_pool(0).total);
	EXPECT_EQ(0, commit(self->fd, 0, 7));
	EXPECT_EQ(0, reserve(self->fd, 0, 0));
	close(self->fd);
	for (end = t_deadline(30); t_now() < end; t_sleep_ms(10))
		if (t_pool(0).total == 0)
			break;
	EXPECT_EQ(0, t_pool(0).total);
	EXPECT_EQ(0, t_write(T_SYSFS "/decay_ms", "10000"));
}

TEST_F(guarantee, it_ends_with_the_client)
{
	char *map = t_map(self->fd, 0, 0, self->hpage, PROT_NONE, MAP_SHARED);

	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, reserve(self->fd, 0, 7));
	close(self->fd);
	EXPECT_EQ(7, t_node(0, "reserved_hugepages"));
	munmap(map, self->hpage);
	EXPECT_EQ(0, t_node(0, "reserved_hugepages"));
}

TEST_F(guarantee, a_node_that_cannot_be_meant_is_refused)
{
	EXPECT_EQ(-EINVAL, reserve(self->fd, SLABPOOL_NODE_LOCAL, 1));
	EXPECT_EQ(-EINVAL, reserve(self->fd, INT32_MIN, 1));
	EXPECT_EQ(-ENODEV, reserve(self->fd, 999, 1));
	EXPECT_EQ(-ENODEV, reserve(self->fd, INT32_MAX, 0));
}

TEST_F(guarantee, hogs_never_make_a_guaranteed_commit_fail)
{
	double end = t_now() + 5;
	pid_t pids[2];
	int i, rounds = 0;

	ASSERT_EQ(0, reserve(self->fd, 0, 8));
	for (i = 0; i < 2; i++) {
		pids[i] = fork();
		if (pids[i])
			continue;
		while (t_now() < end) {
			int fd = t_open(), at = 0;

			/* All there is, by halves. */
			for (size_t n = t_pool(0).total; n; n /= 2)
				if (!commit(fd, at, n))
					at += n;
			reserve(fd, 0, at + 2);
			close(fd);
		}
		_exit(0);
	}
	while (t_now() < end) {
		ASSERT_EQ(0, commit(self->fd, 0, 8));
		ASSERT_EQ(8, t_decommit(self->fd, 0, 0, 8 * self->hpage));
		rounds++;
	}
	EXPECT_LT(10, rounds);
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, t_wait(pids[i]));
	EXPECT_EQ(8, t_node(0, "reserved_hugepages"));
}

TEST_HARNESS_MAIN

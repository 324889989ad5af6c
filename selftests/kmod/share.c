// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* One client through several descriptors, some of which may only look. */
#include "kselftest_harness.h"
#include "helpers.h"

#include <sys/resource.h>

#define RW	(PROT_READ | PROT_WRITE)

FIXTURE(share) {
	int fd;
	int look;
	size_t hpage;
	char *map;
};

/* A new descriptor, or -errno. */
static int share(int fd, unsigned int flags)
{
	struct slabpool_ioc_share in = {
		.size = sizeof(in), .flags = flags, .fd = -77,
	};

	if (!ioctl(fd, SLABPOOL_IOC_SHARE, &in))
		return in.fd;
	return in.fd == -77 ? -errno : -777;
}

FIXTURE_SETUP(share)
{
	ASSERT_TRUE(t_all_settle(10));
	self->hpage = t_hpage();
	self->fd = t_open();
	ASSERT_LE(0, self->fd);
	self->map = t_take(self->fd, 0, 2);
	ASSERT_NE(MAP_FAILED, self->map);
	memset(self->map, 1, 2 * self->hpage);
	self->look = share(self->fd, SLABPOOL_SHARE_RDONLY);
	ASSERT_LE(0, self->look);
}

FIXTURE_TEARDOWN(share)
{
	munmap(self->map, 2 * self->hpage);
	close(self->fd);
	close(self->look);
	EXPECT_TRUE(t_all_settle(10));
	EXPECT_EQ(0, t_sysfs("clients"));
}

static char *map_all(int fd, int prot, int flags)
{
	return t_map(fd, 0, 0, 2 * t_hpage(), prot, flags);
}

TEST_F(share, both_descriptors_are_one_client)
{
	int other = share(self->fd, 0);
	char *map;

	ASSERT_LE(0, other);
	EXPECT_EQ(O_RDWR, fcntl(other, F_GETFL) & O_ACCMODE);
	EXPECT_EQ(FD_CLOEXEC, fcntl(other, F_GETFD));
	EXPECT_EQ(1, t_sysfs("clients"));
	EXPECT_EQ(2, t_stats(other, 0).committed);
	ASSERT_EQ(0, t_commit(other, 0, 2 * self->hpage, self->hpage));
	EXPECT_EQ(3, t_stats(self->fd, 0).committed);
	map = map_all(other, RW, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	map[5] = 42;
	EXPECT_EQ(42, self->map[5]);
	munmap(map, 2 * self->hpage);
	close(other);
}

TEST_F(share, the_client_lives_as_long_as_one_of_them)
{
	char *map;

	munmap(self->map, 2 * self->hpage);
	close(self->fd);
	EXPECT_EQ(2, t_pool(0).used);
	map = map_all(self->look, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	close(self->look);
	EXPECT_TRUE(t_is_filled(map, 1, 2 * self->hpage));
	munmap(map, 2 * self->hpage);
	EXPECT_EQ(0, t_pool(0).used);
	EXPECT_EQ(0, t_sysfs("clients"));
}

TEST_F(share, a_read_only_one_sees_what_the_other_writes)
{
	char *map = map_all(self->look, PROT_READ, MAP_SHARED);

	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(O_RDONLY, fcntl(self->look, F_GETFL) & O_ACCMODE);
	EXPECT_TRUE(t_is_filled(map, 1, 2 * self->hpage));
	self->map[7] = 7;
	EXPECT_EQ(7, map[7]);
	EXPECT_EQ(2, t_decommit(self->fd, 0, 0, 2 * self->hpage));
	EXPECT_EQ(SIGBUS, t_touch(map, false));
	munmap(map, 2 * self->hpage);
}

TEST_F(share, a_read_only_one_cannot_be_mapped_writable)
{
	char *map;

	EXPECT_EQ(MAP_FAILED, map_all(self->look, RW, MAP_SHARED));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(MAP_FAILED, map_all(self->look, PROT_WRITE, MAP_SHARED));
	EXPECT_EQ(EACCES, errno);
	map = map_all(self->look, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(-1, mprotect(map, 2 * self->hpage, RW));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(SIGSEGV, t_touch(map, true));
	munmap(map, 2 * self->hpage);
	map = map_all(self->look, PROT_NONE, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(-1, mprotect(map, self->hpage, PROT_WRITE));
	EXPECT_EQ(EACCES, errno);
	munmap(map, 2 * self->hpage);
}

TEST_F(share, a_read_only_mapping_is_not_written_by_the_kernel_either)
{
	char *map = map_all(self->look, PROT_READ, MAP_SHARED), byte = 9;
	int mem = open("/proc/self/mem", O_RDWR), zero = open("/dev/zero", 0);

	ASSERT_NE(MAP_FAILED, map);
	ASSERT_LE(0, mem);
	EXPECT_EQ(-1, pwrite(mem, &byte, 1, (uintptr_t)map));
	EXPECT_EQ(-1, read(zero, map, 4096));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_NE(0, madvise(map, self->hpage, MADV_REMOVE));
	EXPECT_TRUE(t_is_filled(self->map, 1, 2 * self->hpage));
	close(mem);
	close(zero);
	munmap(map, 2 * self->hpage);
}

TEST_F(share, what_is_written_to_a_private_mapping_stays_private)
{
	char *map = map_all(self->look, RW, MAP_PRIVATE);

	ASSERT_NE(MAP_FAILED, map);
	map[0] = 3;
	EXPECT_EQ(3, map[0]);
	EXPECT_EQ(1, self->map[0]);
	munmap(map, 2 * self->hpage);
}

TEST_F(share, a_read_only_one_changes_nothing)
{
	struct slabpool_ioc_reserve reserve = {
		.size = sizeof(reserve), .count = 5,
	};
	char *map;

	EXPECT_EQ(-EBADF, t_commit(self->look, 0, 0, 4 * self->hpage));
	EXPECT_EQ(-EBADF, t_decommit(self->look, 0, 0, self->hpage));
	EXPECT_EQ(-1, ioctl(self->look, SLABPOOL_IOC_RESERVE, &reserve));
	EXPECT_EQ(EBADF, errno);
	EXPECT_EQ(-1, write(self->look, "x", 1));
	EXPECT_EQ(-1, ftruncate(self->look, 0));
	EXPECT_EQ(-1, fallocate(self->look, FALLOC_FL_PUNCH_HOLE |
				FALLOC_FL_KEEP_SIZE, 0, self->hpage));
	/* Mapping commits nothing either. */
	map = t_map(self->look, 0, 0, 4 * self->hpage, PROT_READ, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(2, t_stats(self->fd, 0).committed);
	EXPECT_EQ(SIGBUS, t_touch(map + 3 * self->hpage, false));
	munmap(map, 4 * self->hpage);
}

TEST_F(share, nobody_is_given_more_than_he_has)
{
	int wronly = open(T_DEVICE, O_WRONLY), fd;

	EXPECT_EQ(-EBADF, share(self->look, 0));
	EXPECT_EQ(-EBADF, share(wronly, SLABPOOL_SHARE_RDONLY));
	fd = share(wronly, 0);
	EXPECT_EQ(O_WRONLY, fcntl(fd, F_GETFL) & O_ACCMODE);
	close(fd);
	fd = share(self->look, SLABPOOL_SHARE_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(2, t_stats(fd, 0).committed);
	EXPECT_EQ(MAP_FAILED, map_all(fd, RW, MAP_SHARED));
	close(fd);
	close(wronly);
}

TEST_F(share, to_open_a_read_only_one_again_leads_to_another_client)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", self->look);
	fd = open(path, O_RDWR);
	if (fd < 0)
		return;
	EXPECT_EQ(0, t_stats(fd, 0).committed);
	EXPECT_EQ(2, t_sysfs("clients"));
	close(fd);
}

TEST_F(share, attach_gives_no_more_than_the_mapping_has)
{
	struct slabpool_ioc_attach in = { .size = sizeof(in) };
	char *map = map_all(self->look, PROT_READ, MAP_SHARED);

	ASSERT_NE(MAP_FAILED, map);
	in.address = (uintptr_t)map;
	ASSERT_EQ(0, ioctl(self->fd, SLABPOOL_IOC_ATTACH, &in));
	EXPECT_EQ(O_RDONLY, fcntl(in.fd, F_GETFL) & O_ACCMODE);
	EXPECT_EQ(-EBADF, t_commit(in.fd, 0, 0, self->hpage));
	close(in.fd);
	munmap(map, 2 * self->hpage);
}

TEST_F(share, without_a_free_descriptor_it_is_emfile_and_leaves_nothing)
{
	struct rlimit few = { .rlim_cur = 3, .rlim_max = 4096 }, before;

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &before));
	few.rlim_max = before.rlim_max;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &few));
	EXPECT_EQ(-EMFILE, share(self->fd, SLABPOOL_SHARE_RDONLY));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &before));
	EXPECT_EQ(1, t_sysfs("clients"));
}

TEST_F(share, whoever_opened_it_goes_on_paying)
{
	int fd;

	ASSERT_EQ(0, t_write(T_SYSFS "/max_client_hugepages", "3"));
	fd = share(self->fd, 0);
	EXPECT_EQ(-EDQUOT, t_commit(fd, 0, 2 * self->hpage, 2 * self->hpage));
	EXPECT_EQ(0, t_commit(fd, 0, 2 * self->hpage, self->hpage));
	EXPECT_EQ(0, t_write(T_SYSFS "/max_client_hugepages", "0"));
	close(fd);
}

TEST_F(share, sharing_and_closing_in_a_race_loses_nothing)
{
	double end = t_now() + 3;
	pid_t pids[3];
	int i;

	for (i = 0; i < 3; i++) {
		pids[i] = fork();
		if (pids[i])
			continue;
		while (t_now() < end) {
			int fd = share(self->fd, i ? SLABPOOL_SHARE_RDONLY : 0);
			char *map = map_all(fd, PROT_READ, MAP_SHARED);

			close(fd);
			if (map == MAP_FAILED || map[9] != 1)
				_exit(1);
			munmap(map, 2 * t_hpage());
		}
		_exit(0);
	}
	for (i = 0; i < 3; i++)
		EXPECT_EQ(0, t_wait(pids[i]));
	EXPECT_EQ(1, t_sysfs("clients"));
}

TEST_HARNESS_MAIN

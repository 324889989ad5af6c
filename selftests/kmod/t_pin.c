// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Pool memory as a target of I/O, and pins that outlive the memory's owner:
 * the hpage is parked, nobody else gets it, and it returns when unpinned.
 */
#include "kselftest_harness.h"
#include "helpers.h"

#include <liburing.h>

#define PATTERN		0x77
#define FILE_SIZE	(4UL << 20)

FIXTURE(client) {
	int fd;
	size_t hpage;
	long long total;
};

FIXTURE_SETUP(client)
{
	ASSERT_TRUE(t_all_settle(10));
	self->fd = t_open();
	ASSERT_LE(0, self->fd);
	self->hpage = t_hpage();
	self->total = t_pool(0).total;
}

FIXTURE_TEARDOWN(client)
{
	close(self->fd);
	EXPECT_TRUE(t_all_settle(10));
	EXPECT_EQ(self->total, t_pool(0).total);
}

/* A file opened for direct I/O and already unlinked, or -1. */
static int direct_file(void)
{
	const char *folders[] = {
		getenv("SLABPOOL_RESULTS"), "/var/tmp", "/tmp", "/dev/shm",
	};
	char path[512];
	unsigned int i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(folders); i++) {
		if (!folders[i])
			continue;
		snprintf(path, sizeof(path), "%s/direct.%d", folders[i],
			 getpid());
		fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT, 0600);
		unlink(path);
		if (fd >= 0)
			return fd;
	}
	return -1;
}

TEST_F(client, o_direct_reads_into_and_writes_from_pool_memory)
{
	int file = direct_file();
	char *map;
	size_t at;

	if (file < 0)
		SKIP(return, "no file system here takes O_DIRECT: %s",
		     strerror(errno));
	map = t_take(self->fd, 0, 4);
	ASSERT_NE(MAP_FAILED, map);
	for (at = 0; at < FILE_SIZE; at += 4)
		*(unsigned int *)(map + at) = at * 2654435761U;
	/* Across the edge of an hpage, too. */
	ASSERT_EQ(FILE_SIZE, pwrite(file, map, FILE_SIZE, 0));
	ASSERT_EQ(FILE_SIZE, pread(file, map + 2 * self->hpage, FILE_SIZE, 0));
	EXPECT_EQ(0, memcmp(map, map + 2 * self->hpage, FILE_SIZE));
	EXPECT_EQ(4 * self->hpage / 1024, t_smaps(map, "FilePmdMapped"));
	munmap(map, 4 * self->hpage);
	close(file);
}

/* Pin the first base page of the memory in a pipe. */
static bool pin(int pipes[2], char *map)
{
	struct iovec iov = { map, 4096 };

	return !pipe(pipes) && vmsplice(pipes[1], &iov, 1, 0) == 4096;
}

TEST_F(client, a_pin_that_outlives_decommit_parks_the_hpage)
{
	struct slabpool_range range;
	char *map = t_take(self->fd, 0, 3);
	char bytes[4096];
	int pipes[2];

	ASSERT_NE(MAP_FAILED, map);
	memset(map, PATTERN, 3 * self->hpage);
	ASSERT_TRUE(pin(pipes, map + self->hpage));
	ASSERT_EQ(0, t_decommit_range(self->fd, 0, 0, 3 * self->hpage, &range));
	EXPECT_EQ(3, range.hpages);
	EXPECT_EQ(1, range.parked);
	EXPECT_EQ(1, t_pool(0).parked);
	EXPECT_TRUE(t_equation(t_pool(0)));
	EXPECT_EQ(1, t_stats(self->fd, 0).parked);
	EXPECT_EQ(0, t_stats(self->fd, 0).committed);
	EXPECT_EQ(SIGBUS, t_touch(map + self->hpage, false));

	/* It stays as long as the pin does, and so do its bytes. */
	t_sleep_ms(500);
	EXPECT_EQ(1, t_pool(0).parked);
	EXPECT_EQ(4096, read(pipes[0], bytes, sizeof(bytes)));
	EXPECT_TRUE(t_is_filled(bytes, PATTERN, sizeof(bytes)));
	EXPECT_TRUE(t_unparks(0, 5));
	EXPECT_EQ(0, t_stats(self->fd, 0).parked);
	close(pipes[0]);
	close(pipes[1]);
	munmap(map, 3 * self->hpage);
}

TEST_F(client, nobody_else_gets_a_parked_hpage)
{
	char *map = t_take(self->fd, 0, 1), *rest;
	int other = t_open(), pipes[2];
	char bytes[4096];

	ASSERT_NE(MAP_FAILED, map);
	memset(map, PATTERN, self->hpage);
	ASSERT_TRUE(pin(pipes, map));
	ASSERT_EQ(1, t_decommit(self->fd, 0, 0, self->hpage));

	/* All but the parked one can be had, and nothing of it is in there. */
	EXPECT_EQ(-ENOMEM, t_commit(other, 0, 0, self->total * self->hpage));
	rest = t_take(other, 0, self->total - 1);
	ASSERT_NE(MAP_FAILED, rest);
	EXPECT_TRUE(t_is_filled(rest, 0, (self->total - 1) * self->hpage));
	memset(rest, 0x11, (self->total - 1) * self->hpage);
	EXPECT_EQ(4096, read(pipes[0], bytes, sizeof(bytes)));
	EXPECT_TRUE(t_is_filled(bytes, PATTERN, sizeof(bytes)));
	EXPECT_TRUE(t_unparks(0, 5));
	EXPECT_TRUE(t_is_filled(rest, 0x11, (self->total - 1) * self->hpage));
	EXPECT_EQ(0, t_commit(other, 0, 0, self->total * self->hpage));
	close(pipes[0]);
	close(pipes[1]);
	close(other);
	munmap(rest, (self->total - 1) * self->hpage);
	munmap(map, self->hpage);
}

TEST_F(client, a_pin_that_outlives_the_process_parks_the_hpage)
{
	int pipes[2], ready[2];
	char bytes[4096], byte;
	pid_t pid;

	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(0, pipe(ready));
	pid = fork();
	if (!pid) {
		char *map = t_take(t_open(), 0, 2);
		struct iovec iov = { map, 4096 };

		if (map == MAP_FAILED)
			_exit(1);
		memset(map, PATTERN, 2 * self->hpage);
		if (vmsplice(pipes[1], &iov, 1, 0) != 4096 ||
		    write(ready[1], "", 1) != 1)
			_exit(2);
		for (;;)
			pause();
	}
	close(ready[1]);
	ASSERT_EQ(1, read(ready[0], &byte, 1));
	kill(pid, SIGKILL);
	ASSERT_EQ(128 + SIGKILL, t_wait(pid));
	EXPECT_EQ(1, t_pool(0).parked);
	EXPECT_EQ(0, t_pool(0).used);
	EXPECT_EQ(4096, read(pipes[0], bytes, sizeof(bytes)));
	EXPECT_TRUE(t_is_filled(bytes, PATTERN, sizeof(bytes)));
	EXPECT_TRUE(t_unparks(0, 5));
	close(pipes[0]);
	close(pipes[1]);
	close(ready[0]);
}

TEST_F(client, a_shrunk_pool_waits_for_its_parked_hpages)
{
	char *map = t_take(self->fd, 0, 1);
	char size[32];
	double end;
	int pipes[2];

	ASSERT_NE(MAP_FAILED, map);
	ASSERT_TRUE(pin(pipes, map));
	ASSERT_EQ(1, t_decommit(self->fd, 0, 0, self->hpage));
	ASSERT_EQ(0, t_write(T_SYSFS "/decay_ms", "0"));
	ASSERT_EQ(0, t_set_node(0, "nr_hugepages", "0"));
	EXPECT_EQ(1, t_pool(0).total);
	EXPECT_EQ(1, t_pool(0).parked);
	close(pipes[0]);
	close(pipes[1]);
	for (end = t_deadline(2); t_pool(0).total && t_now() < end;)
		t_sleep_ms(5);
	EXPECT_EQ(0, t_pool(0).total);
	munmap(map, self->hpage);
	snprintf(size, sizeof(size), "%lld", self->total);
	ASSERT_EQ(0, t_set_node(0, "nr_hugepages", size));
	ASSERT_EQ(0, t_write(T_SYSFS "/decay_ms", "10000"));
}

/* Give the hpage up in the way @way says; what was mapped is not any more. */
static void give_up(int way, int fd, char *map, size_t hpage)
{
	if (way == 0)
		t_decommit(fd, 0, 0, hpage);
	munmap(map, hpage);
	if (way == 1)
		t_decommit(fd, 0, 0, hpage);
	close(fd);
}

/*
 * All of the pool that is left goes to a next owner, who fills it before the
 * pinned bytes are read: neither sees the other's.
 */
TEST_F(client, pins_and_next_owners_never_meet_in_any_order)
{
	double start, shortest = 1000;
	unsigned int seed = 1;
	unsigned long round;
	char size[32];

	ASSERT_EQ(0, t_write(T_SYSFS "/decay_ms", "0"));
	ASSERT_EQ(0, t_set_node(0, "nr_hugepages", "4"));
	for (round = 0; round < t_rounds(40); round++) {
		int fd = t_open(), other = t_open(), pipes[2];
		char *map = t_take(fd, 0, 1), *rest;
		size_t at = rand_r(&seed) % 512 * 4096;
		char bytes[4096];

		ASSERT_NE(MAP_FAILED, map);
		memset(map + at, PATTERN, 4096);
		ASSERT_TRUE(pin(pipes, map + at));
		give_up(round % 3, fd, map, self->hpage);
		EXPECT_EQ(1, t_pool(0).parked);
		rest = t_take(other, 0, 3);
		ASSERT_NE(MAP_FAILED, rest);
		EXPECT_TRUE(t_is_filled(rest, 0, 3 * self->hpage));
		memset(rest, 0x11, 3 * self->hpage);
		ASSERT_EQ(4096, read(pipes[0], bytes, sizeof(bytes)));
		EXPECT_TRUE(t_is_filled(bytes, PATTERN, sizeof(bytes)));
		start = t_now();
		EXPECT_TRUE(t_unparks(0, 5));
		if (t_now() - start < shortest)
			shortest = t_now() - start;
		EXPECT_TRUE(t_is_filled(rest, 0x11, 3 * self->hpage));
		munmap(rest, 3 * self->hpage);
		close(pipes[0]);
		close(pipes[1]);
		close(other);
	}
	/* Machines may be busy, but not each time: a second, as promised. */
	EXPECT_GT(1, shortest);
	snprintf(size, sizeof(size), "%lld", self->total);
	ASSERT_EQ(0, t_set_node(0, "nr_hugepages", size));
	EXPECT_EQ(0, t_write(T_SYSFS "/decay_ms", "10000"));
}

/* An io_uring with the memory registered: 0, or -errno of the registration. */
static int registered_ring(struct io_uring *ring, char *map, size_t length)
{
	struct iovec iov = { map, length };
	int ret = io_uring_queue_init(4, ring, 0);

	if (ret)
		return ret;
	ret = io_uring_register_buffers(ring, &iov, 1);
	if (ret)
		io_uring_queue_exit(ring);
	return ret;
}

/* Before 6.5 file-backed buffers, but for shmem and hugetlbfs, are refused. */
static bool kernel_refuses_fixed_buffers(void)
{
	char release[64];
	int major, minor;

	if (!t_read_line("/proc/sys/kernel/osrelease", release,
			 sizeof(release)) ||
	    sscanf(release, "%d.%d", &major, &minor) != 2)
		return false;
	return major < 6 || (major == 6 && minor < 5);
}

static int read_fixed(struct io_uring *ring, int file, char *to, size_t length)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	struct io_uring_cqe *cqe;
	int ret;

	io_uring_prep_read_fixed(sqe, file, to, length, 0, 0);
	ret = io_uring_submit_and_wait(ring, 1);
	if (ret != 1)
		return -1;
	if (io_uring_wait_cqe(ring, &cqe))
		return -2;
	ret = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return ret;
}

TEST_F(client, io_uring_registers_pool_memory_where_the_kernel_allows)
{
	char *map = t_take(self->fd, 0, 2);
	struct io_uring ring;
	int file, ret;

	ASSERT_NE(MAP_FAILED, map);
	ret = registered_ring(&ring, map, 2 * self->hpage);
	if (kernel_refuses_fixed_buffers()) {
		EXPECT_EQ(-EOPNOTSUPP, ret);
	} else {
		ASSERT_EQ(0, ret);
		file = open("/proc/self/exe", O_RDONLY);
		EXPECT_EQ(4096, read_fixed(&ring, file,
					   map + self->hpage - 2048, 4096));
		EXPECT_EQ(0, memcmp("\177ELF", map + self->hpage - 2048, 4));
		close(file);
		io_uring_queue_exit(&ring);
	}
	munmap(map, 2 * self->hpage);
}

TEST_F(client, late_io_to_a_registered_buffer_reaches_no_next_owner)
{
	struct slabpool_range range;
	struct io_uring ring;
	char *map, *rest;
	int other, file;

	if (kernel_refuses_fixed_buffers())
		SKIP(return, "this kernel registers no file-backed buffers");
	other = t_open();
	file = open("/proc/self/exe", O_RDONLY);
	map = t_take(self->fd, 0, 1);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, registered_ring(&ring, map, self->hpage));
	ASSERT_EQ(0, t_decommit_range(self->fd, 0, 0, self->hpage, &range));
	EXPECT_EQ(1, range.parked);

	rest = t_take(other, 0, self->total - 1);
	ASSERT_NE(MAP_FAILED, rest);
	memset(rest, 0x22, (self->total - 1) * self->hpage);
	EXPECT_EQ(4096, read_fixed(&ring, file, map, 4096));
	EXPECT_TRUE(t_is_filled(rest, 0x22, (self->total - 1) * self->hpage));
	EXPECT_EQ(1, t_pool(0).parked);

	ASSERT_EQ(0, io_uring_unregister_buffers(&ring));
	EXPECT_TRUE(t_unparks(0, 5));
	io_uring_queue_exit(&ring);
	close(other);
	close(file);
	munmap(rest, (self->total - 1) * self->hpage);
	munmap(map, self->hpage);
}

TEST_HARNESS_MAIN

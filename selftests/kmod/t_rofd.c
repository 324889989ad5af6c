// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Memory somebody may only read, attacked by every route by which the kernel
 * writes on somebody's behalf: its contents never change.
 */
#include "kselftest_harness.h"
#include "helpers.h"

#include <liburing.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#define MARK	0x3e

FIXTURE(memory) {
	int fd;
	size_t hpage;
	char *writable;	/* of the same client, to look and to mark */
	char *map;	/* what is attacked */
};

FIXTURE_VARIANT(memory) {
	int flags;
	int prot;
	bool shared;	/* through a descriptor of SHARE that may only look */
};

/* A shared mapping nobody made writable. */
FIXTURE_VARIANT_ADD(memory, shared) {
	.flags = MAP_SHARED, .prot = PROT_READ,
};
/* A private one: a debugger's writes are its own copy. */
FIXTURE_VARIANT_ADD(memory, private) {
	.flags = MAP_PRIVATE, .prot = PROT_READ,
};
FIXTURE_VARIANT_ADD(memory, private_writable) {
	.flags = MAP_PRIVATE, .prot = PROT_READ | PROT_WRITE,
};

/* Of somebody to whom the memory was only shown. */
FIXTURE_VARIANT_ADD(memory, shown) {
	.flags = MAP_SHARED, .prot = PROT_READ, .shared = true,
};
FIXTURE_VARIANT_ADD(memory, shown_privately) {
	.flags = MAP_PRIVATE, .prot = PROT_READ | PROT_WRITE, .shared = true,
};

FIXTURE_SETUP(memory)
{
	struct slabpool_ioc_share share = {
		.size = sizeof(share), .flags = SLABPOOL_SHARE_RDONLY,
	};
	int fd;

	ASSERT_TRUE(t_all_settle(10));
	self->fd = t_open();
	ASSERT_LE(0, self->fd);
	self->hpage = t_hpage();
	self->writable = t_take(self->fd, 0, 2);
	ASSERT_NE(MAP_FAILED, self->writable);
	memset(self->writable, MARK, 2 * self->hpage);
	fd = self->fd;
	if (variant->shared) {
		ASSERT_EQ(0, ioctl(fd, SLABPOOL_IOC_SHARE, &share));
		fd = share.fd;
	}
	self->map = t_map(fd, 0, 0, 2 * self->hpage, variant->prot,
			  variant->flags);
	ASSERT_NE(MAP_FAILED, self->map);
	if (variant->shared)
		close(fd);
}

FIXTURE_TEARDOWN(memory)
{
	/* What was done is done to this client's memory: never. */
	EXPECT_TRUE(t_is_filled(self->writable, MARK, 2 * self->hpage));
	EXPECT_EQ(2, t_stats(self->fd, 0).committed);
	munmap(self->map, 2 * self->hpage);
	munmap(self->writable, 2 * self->hpage);
	close(self->fd);
	EXPECT_TRUE(t_all_settle(10));
}

/* May the caller, by his mapping, have his own copy of what he writes? */
static bool copies(int flags)
{
	return flags == MAP_PRIVATE;
}

/*
 * May anybody write by /proc/PID/mem what the mapping's protection forbids?  Since
 * Linux 6.12 that can be switched off (proc_mem.force_override), and Debian's has it
 * for debuggers only.
 */
static bool is_forced(void)
{
	char *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	bool forced = pwrite(mem, "x", 1, (off_t)(uintptr_t)page) == 1;

	close(mem);
	munmap(page, 4096);
	return forced;
}

/* A child that stands still with the memory, for others to write into. */
static pid_t victim(void)
{
	pid_t pid = fork();

	if (!pid)
		for (;;)
			pause();
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	t_wait(pid);
}

TEST_F(memory, ptrace_poke_changes_nothing_of_it)
{
	pid_t pid = victim();
	long ret;

	ASSERT_EQ(0, ptrace(PTRACE_ATTACH, pid, NULL, NULL));
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	ret = ptrace(PTRACE_POKEDATA, pid, self->map + 4096, (void *)-1L);
	EXPECT_EQ(copies(variant->flags) ? 0 : -1, ret);
	errno = 0;
	ret = ptrace(PTRACE_PEEKDATA, pid, self->map + 8192, NULL);
	EXPECT_EQ(0, errno);
	EXPECT_EQ(MARK, (char)ret);
	end(pid);
}

TEST_F(memory, proc_mem_changes_nothing_of_it)
{
	pid_t pid = victim();
	char path[64], bytes[8192];
	bool written = copies(variant->flags) && ((variant->prot & PROT_WRITE) || is_forced());
	ssize_t ret;
	int mem;

	memset(bytes, 0x11, sizeof(bytes));
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	mem = open(path, O_RDWR);
	ASSERT_LE(0, mem);
	ret = pwrite(mem, bytes, sizeof(bytes),
		     (off_t)(uintptr_t)(self->map + self->hpage - 4096));
	EXPECT_EQ(written ? (ssize_t)sizeof(bytes) : -1, ret);
	close(mem);
	end(pid);

	/* Into oneself, too. */
	mem = open("/proc/self/mem", O_RDWR);
	ret = pwrite(mem, bytes, 100, (off_t)(uintptr_t)self->map);
	EXPECT_EQ(written ? 100 : -1, ret);
	close(mem);
}

TEST_F(memory, process_vm_writev_changes_nothing_of_it)
{
	pid_t pid = victim();
	char bytes[4096] = "x";
	struct iovec from = { bytes, sizeof(bytes) };
	struct iovec to = { self->map, sizeof(bytes) };
	ssize_t ret = process_vm_writev(pid, &from, 1, &to, 1, 0);

	/* Unlike a debugger it asks for what the mapping allows. */
	EXPECT_EQ(variant->prot & PROT_WRITE ? (ssize_t)sizeof(bytes) : -1,
		  ret);
	end(pid);
}

TEST_F(memory, read_into_it_changes_nothing_of_it)
{
	int zero = open("/dev/zero", O_RDONLY);
	bool may = variant->prot & PROT_WRITE;

	ASSERT_LE(0, zero);
	EXPECT_EQ(may ? 8192 : -1, read(zero, self->map + 4096, 8192));
	if (!may)
		EXPECT_EQ(EFAULT, errno);
	close(zero);
}

TEST_F(memory, a_registered_buffer_is_never_written_to)
{
	struct iovec iov = { self->map, self->hpage };
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	struct io_uring ring;
	int ret, zero;

	ASSERT_EQ(0, io_uring_queue_init(4, &ring, 0));
	ret = io_uring_register_buffers(&ring, &iov, 1);
	/* It pins for writing: a copy at most, if the mapping has one. */
	if (!(variant->prot & PROT_WRITE))
		EXPECT_GT(0, ret);
	if (!ret) {
		zero = open("/dev/zero", O_RDONLY);
		sqe = io_uring_get_sqe(&ring);
		io_uring_prep_read_fixed(sqe, zero, self->map, 4096, 0, 0);
		ASSERT_EQ(1, io_uring_submit_and_wait(&ring, 1));
		ASSERT_EQ(0, io_uring_wait_cqe(&ring, &cqe));
		io_uring_cqe_seen(&ring, cqe);
		close(zero);
	}
	io_uring_queue_exit(&ring);
}

TEST_F(memory, a_plain_ring_read_changes_nothing_of_it)
{
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	struct io_uring ring;
	int zero = open("/dev/zero", O_RDONLY);
	bool may = variant->prot & PROT_WRITE;

	ASSERT_EQ(0, io_uring_queue_init(4, &ring, 0));
	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_read(sqe, zero, self->map + 100, 5000, 0);
	ASSERT_EQ(1, io_uring_submit_and_wait(&ring, 1));
	ASSERT_EQ(0, io_uring_wait_cqe(&ring, &cqe));
	EXPECT_EQ(may ? 5000 : -EFAULT, cqe->res);
	io_uring_cqe_seen(&ring, cqe);
	io_uring_queue_exit(&ring);
	close(zero);
}

TEST_F(memory, a_pipe_that_holds_its_pages_gives_no_way_to_write_them)
{
	struct iovec iov = { self->map, 8192 };
	char bytes[8192];
	int pipes[2];

	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(8192, vmsplice(pipes[1], &iov, 1, SPLICE_F_GIFT));
	/* Appended to the pipe's last page if that were thought to be its own. */
	ASSERT_EQ(3, write(pipes[1], "abc", 3));
	EXPECT_EQ(8192, read(pipes[0], bytes, 8192));
	EXPECT_TRUE(t_is_filled(bytes, MARK, 8192));
	EXPECT_EQ(3, read(pipes[0], bytes, 8192));
	close(pipes[0]);
	close(pipes[1]);
}

TEST_F(memory, a_private_write_is_seen_by_nobody_else)
{
	pid_t pid;

	if (!(variant->prot & PROT_WRITE)) {
		EXPECT_EQ(SIGSEGV, t_touch(self->map, true));
		return;
	}
	memset(self->map, 0x21, self->hpage);
	pid = fork();
	if (!pid) {
		memset(self->map + 4096, 0x22, 4096);
		_exit(!t_is_filled(self->writable, MARK, self->hpage));
	}
	EXPECT_EQ(0, t_wait(pid));
	EXPECT_TRUE(t_is_filled(self->map, 0x21, self->hpage));
	self->writable[self->hpage] = 0x23;
	EXPECT_EQ(0x23, self->map[self->hpage]);
	self->writable[self->hpage] = MARK;
}

/* A race between the copy of a private page and throwing that away. */
TEST_F(memory, a_debugger_s_write_racing_dontneed_changes_nothing)
{
	bool written = copies(variant->flags) && ((variant->prot & PROT_WRITE) || is_forced());
	unsigned long round;
	pid_t pid = fork();
	char path[64];
	int mem;

	if (!pid)
		for (;;)
			madvise(self->map, 4096, MADV_DONTNEED);
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	mem = open(path, O_RDWR);
	ASSERT_LE(0, mem);
	for (round = 0; round < t_rounds(500); round++)
		EXPECT_EQ(written ? 8 : -1,
			  pwrite(mem, "dirtycow", 8,
				 (off_t)(uintptr_t)self->map));
	close(mem);
	end(pid);
}

FIXTURE(descriptor) {
	int fd;
	int rofd;
	size_t hpage;
};

FIXTURE_SETUP(descriptor)
{
	self->fd = t_open();
	self->rofd = open(T_DEVICE, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, self->rofd);
	self->hpage = t_hpage();
}

FIXTURE_TEARDOWN(descriptor)
{
	EXPECT_EQ(0, t_stats(self->rofd, SLABPOOL_NODE_LOCAL).commits);
	close(self->rofd);
	close(self->fd);
	EXPECT_TRUE(t_all_settle(10));
}

TEST_F(descriptor, one_for_reading_commits_by_no_call)
{
	char *map = t_map(self->rofd, 0, 0, self->hpage, PROT_READ,
			  MAP_SHARED | MAP_POPULATE);

	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(-EBADF, t_commit(self->rofd, 0, 0, self->hpage));
	EXPECT_EQ(-EBADF, t_decommit(self->rofd, 0, 0, self->hpage));
	EXPECT_NE(0, madvise(map, self->hpage, MADV_POPULATE_READ));
	EXPECT_NE(0, madvise(map, self->hpage, MADV_POPULATE_WRITE));
	EXPECT_EQ(SIGBUS, t_touch(map, false));
	EXPECT_EQ(SIGSEGV, t_touch(map, true));
	munmap(map, self->hpage);
}

TEST_F(descriptor, opening_it_again_for_writing_is_another_client)
{
	char path[64];
	char *map;
	int again;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", self->rofd);
	again = open(path, O_RDWR);
	ASSERT_LE(0, again);
	map = t_take(again, 0, 1);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(1, t_stats(again, 0).committed);
	EXPECT_EQ(0, t_stats(self->rofd, 0).committed);
	munmap(map, self->hpage);
	close(again);
}

TEST_HARNESS_MAIN

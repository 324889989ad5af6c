// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The one file that talks to the kernel.
 *
 * What libnuma has goes through syscall(2) too, for libnuma allocates.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "calls.h"
#include "sys.h"

/*
 * open, close, read and write of the C library are cancellation points: a thread
 * would leave from here with locks held.  syscall(2) is none.
 */

/* Turn libc's -1 and errno into -errno and put the caller's errno back. */
static long result(long ret, int saved)
{
	if (ret == -1)
		ret = -errno;
	errno = saved;
	return ret;
}

static void *map(void *addr, size_t size, int prot, int flags, int fd,
		 uint64_t offset, int *err)
{
	int saved = errno;
	void *p = mmap(addr, size, prot, flags, fd, (off_t)offset);

	*err = p == MAP_FAILED ? -errno : 0;
	errno = saved;
	return p == MAP_FAILED ? NULL : p;
}

void *sp_sys_reserve(size_t size, int *err)
{
	return map(NULL, size, PROT_NONE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0, err);
}

void *sp_sys_map_fd(void *addr, size_t size, int prot, int flags, int fd,
		    uint64_t offset, int *err)
{
	return map(addr, size, prot, flags, fd, offset, err);
}

int sp_sys_unmap(void *addr, size_t size)
{
	int saved = errno;

	return (int)result(munmap(addr, size), saved);
}

int sp_sys_protect_rw(void *addr, size_t size)
{
	int saved = errno;

	return (int)result(mprotect(addr, size, PROT_READ | PROT_WRITE), saved);
}

int sp_sys_move(void *from, void *to, size_t size)
{
	int err, saved = errno;
	void *p = mremap(from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to);

	err = p == MAP_FAILED ? -errno : 0;
	errno = saved;
	return err;
}

int sp_sys_advise(void *addr, size_t size, int advice)
{
	int saved = errno;

	return (int)result(madvise(addr, size, advice), saved);
}

int sp_sys_populate(void *addr, size_t size)
{
	int err = sp_sys_advise(addr, size, MADV_POPULATE_WRITE);

	if (err != -EINVAL)
		return err;
	/* Before Linux 5.14.  Each page is written, and nothing is changed. */
	for (size_t at = 0; at < size; at += 4 * SP_KIB)
		atomic_fetch_add_explicit((_Atomic char *)addr + at, 0, memory_order_relaxed);
	return 0;
}

static bool one_node;

/* The kernel takes no mask that is too short for all nodes there may ever be. */
bool sp_sys_find_one_node(void)
{
	unsigned long mask = 0;
	int saved = errno;

	one_node = result(syscall(SYS_get_mempolicy, NULL, &mask, 1, NULL,
				  MPOL_F_MEMS_ALLOWED), saved) == 0;
	return one_node;
}

int sp_sys_bind(void *addr, size_t size, int node, bool strict)
{
	unsigned long mask[SP_MAX_NODES / (8 * sizeof(long)) + 1] = { 0 };
	int saved = errno;

	if (one_node)
		return 0;
	mask[(size_t)node / (8 * sizeof(long))] |= 1ul << ((size_t)node % (8 * sizeof(long)));
	return (int)result(syscall(SYS_mbind, addr, size,
				   strict ? MPOL_BIND : MPOL_PREFERRED, mask,
				   SP_MAX_NODES + 1, 0), saved);
}

int sp_sys_close(int fd)
{
	int saved = errno;

	return (int)result(syscall(SYS_close, fd), saved);
}

int sp_sys_dup_high(int fd)
{
	int saved = errno;

	return (int)result(fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1), saved);
}

int sp_sys_keep_off_stdio(int fd)
{
	int high;

	if (fd < 0 || fd > STDERR_FILENO)
		return fd;
	high = sp_sys_dup_high(fd);
	sp_sys_close(fd);
	return high;
}

int sp_sys_open(const char *path, int flags)
{
	int saved = errno;

	return sp_sys_keep_off_stdio((int)result(syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0), saved));
}

ssize_t sp_sys_read(int fd, void *buf, size_t size)
{
	int saved = errno;
	ssize_t ret;

	do {
		ret = syscall(SYS_read, fd, buf, size);
	} while (ret == -1 && errno == EINTR);
	return result(ret, saved);
}

ssize_t sp_sys_write(int fd, const void *buf, size_t size)
{
	int saved = errno;
	size_t done = 0;
	ssize_t ret = 0;

	while (done < size) {
		ret = syscall(SYS_write, fd, (const char *)buf + done, size - done);
		if (ret > 0)
			done += (size_t)ret;
		else if (ret == 0 || errno != EINTR)
			break;
	}
	return done == size ? (ssize_t)size : result(ret, saved);
}

int sp_sys_pipe(int fds[2])
{
	int saved = errno;
	int err = (int)result(pipe2(fds, O_CLOEXEC), saved);

	if (err)
		return err;
	fds[0] = sp_sys_keep_off_stdio(fds[0]);
	fds[1] = sp_sys_keep_off_stdio(fds[1]);
	if (fds[0] >= 0 && fds[1] >= 0)
		return 0;
	err = fds[0] < 0 ? fds[0] : fds[1];
	sp_sys_close(fds[0] < 0 ? fds[1] : fds[0]);
	return err;
}

int sp_sys_ioctl(int fd, unsigned long cmd, void *arg)
{
	int saved = errno;

	return (int)result(ioctl(fd, cmd, arg), saved);
}

int sp_sys_identity(int fd, uint64_t id[2])
{
	struct stat st;
	int saved = errno;
	int ret = (int)result(fstat(fd, &st), saved);

	if (ret == 0) {
		id[0] = st.st_dev;
		id[1] = st.st_ino;
	}
	return ret;
}

void sp_sys_futex_wait(uint32_t *word, uint32_t value, uint64_t timeout_ns)
{
	struct timespec ts = {
		.tv_sec = (time_t)(timeout_ns / 1000000000u),
		.tv_nsec = (long)(timeout_ns % 1000000000u),
	};
	int saved = errno;

	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value,
		timeout_ns == SP_FOREVER ? NULL : &ts, NULL, 0);
	errno = saved;
}

void sp_sys_futex_wake(uint32_t *word, int waiters)
{
	int saved = errno;

	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, waiters, NULL, NULL, 0);
	errno = saved;
}

int sp_sys_membarrier_register(void)
{
	int saved = errno;

	return (int)result(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED,
				   0, 0), saved);
}

int sp_sys_membarrier(void)
{
	int saved = errno;

	return (int)result(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0),
			   saved);
}

int sp_sys_random(void *buf, size_t size)
{
	int saved = errno;
	ssize_t n = result(getrandom(buf, size, GRND_NONBLOCK), saved);

	if (n < 0)
		return (int)n;
	return (size_t)n == size ? 0 : -EIO;
}

uint64_t sp_sys_now_ns(void)
{
	uint64_t frozen = atomic_load_explicit(&sp_calls.frozen_ns, memory_order_relaxed);
	struct timespec ts;

	/* Not every machine's clock can be read without a system call. */
	if (unlikely(frozen))
		return frozen;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

int sp_sys_this_node(void)
{
	unsigned int cpu, node;
	int saved = errno;

	if (result(getcpu(&cpu, &node), saved) < 0)
		return 0;
	return (int)node;
}

bool sp_sys_is_main_thread(void)
{
	return gettid() == getpid();
}

int sp_sys_thp_disabled(void)
{
	int saved = errno;

	return result(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), saved) == 1;
}

uint64_t sp_sys_address_limit(void)
{
	struct rlimit limit;
	int saved = errno;

	if (result(getrlimit(RLIMIT_AS, &limit), saved) < 0 ||
	    limit.rlim_cur == RLIM_INFINITY)
		return UINT64_MAX;
	return limit.rlim_cur;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Every system call of the library.  Nothing here allocates; each returns a
 * value or -errno and leaves errno alone, so that free() can.
 */
#ifndef SP_SYS_H
#define SP_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Address space: @addr NULL lets the kernel choose.  Failure: NULL, *@err set. */
void *sp_sys_reserve(size_t size, int *err);
void *sp_sys_map_fd(void *addr, size_t size, int prot, int flags, int fd,
		    uint64_t offset, int *err);
int sp_sys_unmap(void *addr, size_t size);
int sp_sys_protect_rw(void *addr, size_t size);
int sp_sys_move(void *from, void *to, size_t size);
int sp_sys_advise(void *addr, size_t size, int advice);
/* Anonymous memory that others may write to meanwhile: no fault follows. */
int sp_sys_populate(void *addr, size_t size);
/*
 * Has this machine one node, whatever is plugged in?  By one system call, where it can be
 * seen thus; sp_sys_bind() knows it from then on, and does nothing.
 */
bool sp_sys_find_one_node(void);
/* New pages of the range come from @node; not strict: or from another one. */
int sp_sys_bind(void *addr, size_t size, int node, bool strict);

/*
 * A program that closed its standard descriptors expects their numbers to be the
 * next ones it gets: move @fd away from them.  open and pipe do so themselves.
 */
int sp_sys_keep_off_stdio(int fd);
/* A second descriptor, close-on-exec, with a number above the standard ones. */
int sp_sys_dup_high(int fd);
int sp_sys_open(const char *path, int flags);
int sp_sys_close(int fd);
ssize_t sp_sys_read(int fd, void *buf, size_t size);
ssize_t sp_sys_write(int fd, const void *buf, size_t size);
int sp_sys_pipe(int fds[2]);
int sp_sys_ioctl(int fd, unsigned long cmd, void *arg);
/* Device and inode of a descriptor: who it is, whatever its number. */
int sp_sys_identity(int fd, uint64_t id[2]);

void sp_sys_futex_wait(uint32_t *word, uint32_t value, uint64_t timeout_ns);
void sp_sys_futex_wake(uint32_t *word, int waiters);

/* 0 when this process may use the other one from now on. */
int sp_sys_membarrier_register(void);
/* Every running thread of this process passes a full memory barrier; or -errno. */
int sp_sys_membarrier(void);

/* Bytes nobody can foresee, at most 256; -EAGAIN too early after boot. */
int sp_sys_random(void *buf, size_t size);
/* Stands still while system calls are forbidden. */
uint64_t sp_sys_now_ns(void);
bool sp_sys_is_main_thread(void);
/* The node of the CPU this thread runs on. */
int sp_sys_this_node(void);
/* PR_GET_THP_DISABLE: 1 when this process gets no huge pages. */
int sp_sys_thp_disabled(void);
/* Bytes of address space this process may still have; UINT64_MAX: no limit. */
uint64_t sp_sys_address_limit(void);

/* No timeout for sp_sys_futex_wait(). */
#define SP_FOREVER	UINT64_MAX

#endif

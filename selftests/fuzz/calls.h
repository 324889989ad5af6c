/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/* The calls of the grammar: what the files that do them share with its table. */
#ifndef SLABPOOL_FUZZ_CALLS_H
#define SLABPOOL_FUZZ_CALLS_H

#include "fuzz.h"

/* In a decommit. */
#define MAX_ENTRIES	4

/* What is longer is not asked for at a fixed address: we live there. */
#define LONGEST_FIXED	(1ULL << 42)

/* Besides MAP_*: anywhere, and a base page off the cell. */
#define MAP_ANYWHERE	(1ULL << 40)
#define MAP_UNALIGNED	(1ULL << 41)

/*
 * How a structure is handed over: its size, the bytes past it, and where it
 * lies.
 */
enum shape {
	PLAIN, OLD, SHORT, EMPTY, LONG, TAIL, PAGEFUL, HUGE_SIZE, NOWHERE, KERNEL,
	READONLY, EDGE, OWN, OWN_RANGES, NO_RANGES,
};

enum fd_op {
	READ, WRITE, FSYNC, TRUNCATE, PUNCH, FADVISE, SYNC_RANGE, SEEK, POLL, SENDFILE, LOCK,
};

enum vm_op {
	MLOCK, LOCK_ONFAULT, MUNLOCK, MSYNC, MINCORE, MBIND, INTERLEAVE, MOVE_PAGES, MEMBARRIER,
};

enum uring_op { REGISTER, READ_FIXED, UNREGISTER };

/* A descriptor, -1 for none, its client, and the mode it was opened with. */
struct slot {
	int fd;
	int client;
	int mode;
};

static inline long answer(long ret)
{
	return ret < 0 ? -errno : ret;
}

/* in slots.c */
struct slot slot_get(u64 number);
long slot_set(u64 number, int fd, int client, int mode);
bool writes(const struct slot *slot);
long call_open(const u64 *v);
long call_reopen(const u64 *v);
long call_close(const u64 *v);
long call_dup(const u64 *v);
long call_give(const u64 *v);
long call_take(const u64 *v);
long call_file(const u64 *v);
long call_fdinfo(const u64 *v);

/* in device.c */
void device_setup(void);
void device_forked(void);
char *user_page(unsigned int page);
long call_info(const u64 *v);
long call_commit(const u64 *v);
long call_decommit(const u64 *v);
long call_attach(const u64 *v);
long call_stats(const u64 *v);
long call_share(const u64 *v);
long call_snapshot(const u64 *v);
long call_reserve(const u64 *v);
long call_ioctl(const u64 *v);

/* in memory.c */
void memory_forked(void);
long call_mmap(const u64 *v);
long call_munmap(const u64 *v);
long call_mprotect(const u64 *v);
long call_mremap(const u64 *v);
long call_remap(const u64 *v);
long call_madvise(const u64 *v);
long call_vm(const u64 *v);
long call_stamp(const u64 *v);
long call_look(const u64 *v);
long call_poke(const u64 *v);
long call_memwrite(const u64 *v);

/* in pins.c */
void pins_forked(void);
long call_pin(const u64 *v);
long call_unpin(const u64 *v);
long call_uring(const u64 *v);

#endif /* SLABPOOL_FUZZ_CALLS_H */

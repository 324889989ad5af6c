/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * libslabpool: memory for services that must not wait for the kernel.
 *
 * The library takes whole huge pages (hpages, 2 MiB) from one of three
 * sources, carves them into objects behind per-thread caches, and gives them
 * back by decay.  The source is chosen at the first call, by the variable
 * SLABPOOL_CONF, a list of key:value pairs (slabpool(7) has the table):
 *
 *	device	/dev/slabpool: zeroed beforehand, pinned, on the node asked for
 *	hugetlb	the kernel's hugetlb pool
 *	thp	anonymous memory with MADV_HUGEPAGE
 *	auto	the first of these that works, and when that is exhausted the
 *		next, counted (the default)
 *
 * Conventions: sizes are bytes.  Functions return 0 or -errno, or a pointer,
 * NULL with errno set.  Every function may be called from any thread, but not
 * from a signal handler.
 */
#ifndef SLABPOOL_H
#define SLABPOOL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SLABPOOL_VERSION_MAJOR	0
#define SLABPOOL_VERSION_MINOR	1

#define SLABPOOL_API __attribute__((visibility("default")))

/* The node of the CPU a thread runs on. */
#define SLABPOOL_NODE_LOCAL	(-1)

/**
 * slabpool_init - read SLABPOOL_CONF and open the memory source
 *
 * Every other function calls it when it was not called before; call it to see
 * the error.  Later calls return the first one's result.
 *
 * Return: 0; -EINVAL for a SLABPOOL_CONF that names an unknown option or value;
 * -ENODEV, -EACCES, -ENOMEM, ... when the source it demands cannot be had.
 * slabpool_init_error() has the sentence.
 */
SLABPOOL_API int slabpool_init(void);

/**
 * slabpool_init_error - why slabpool_init() failed, or why the source in use is
 * not a better one
 *
 * Return: a string that is never freed; "" when there is nothing to say.
 */
SLABPOOL_API const char *slabpool_init_error(void);

/* ---- the malloc family -------------------------------------------------- */

/*
 * As the C library's functions of the same names, with these promises: 16-byte
 * alignment, a unique pointer for size 0, ENOMEM for sizes above PTRDIFF_MAX,
 * memory of the node on which the calling thread began to allocate, errno
 * untouched by free.  A pointer that
 * did not come from here, or was freed the moment before, ends the program with
 * one line on stderr; secure:true finds more, see slabpool(7).
 */
SLABPOOL_API void *slabpool_malloc(size_t size)
	__attribute__((malloc, alloc_size(1)));
SLABPOOL_API void *slabpool_calloc(size_t count, size_t size)
	__attribute__((malloc, alloc_size(1, 2)));
SLABPOOL_API void *slabpool_realloc(void *ptr, size_t size)
	__attribute__((alloc_size(2)));
/* @align: a power of two, up to 1 GiB.  EINVAL otherwise. */
SLABPOOL_API void *slabpool_aligned_alloc(size_t align, size_t size)
	__attribute__((malloc, alloc_align(1), alloc_size(2)));
SLABPOOL_API void slabpool_free(void *ptr);
/* @size: what the object was asked with; another size ends the program. */
SLABPOOL_API void slabpool_free_sized(void *ptr, size_t size);
/* Bytes that may be used behind @ptr; 0 for NULL. */
SLABPOOL_API size_t slabpool_usable_size(const void *ptr);

/**
 * slabpool_malloc_onnode - an object on a given node
 * @size: bytes
 * @node: a NUMA node, or SLABPOOL_NODE_LOCAL
 *
 * Slower than slabpool_malloc(): it takes locks.  The object is an ordinary
 * one for slabpool_free() and the rest of the family.
 *
 * Return: NULL with EINVAL (no such node) or ENOMEM.
 */
SLABPOOL_API void *slabpool_malloc_onnode(size_t size, int node)
	__attribute__((malloc, alloc_size(1)));

/**
 * slabpool_release - give back at once what is unused
 *
 * That is what the caches of this thread, of ended threads and of those not just
 * inside a call have, and the hpages that are empty, down to the option floor.
 *
 * Return: bytes given back to the source.
 */
SLABPOOL_API size_t slabpool_release(void);

/**
 * slabpool_prime - have the memory of the next allocations now
 * @size: of each
 * @n: how many
 *
 * The next @n objects of @size bytes that the calling thread allocates need no memory
 * from the source and touch none for the first time.  Up to 32 KiB they are in its
 * cache; larger ones are with the node, where other threads may be faster.  This
 * holds until decay or slabpool_release() takes what is unused: profile:realtime has
 * no decay.  With secure:true it has no effect above 2 MiB.
 *
 * Return: 0; -ENOMEM, with what could be had primed; what slabpool_init() gave.
 */
SLABPOOL_API int slabpool_prime(size_t size, size_t n);

/**
 * slabpool_thread_idle - the calling thread will not allocate for a while
 *
 * What its cache holds goes to the node now, from where other threads take it and
 * decay gives it back.  The thread gets a cache again with its next call.
 */
SLABPOOL_API void slabpool_thread_idle(void);

/**
 * slabpool_lockdown - from now on the library makes no system call
 *
 * All memory that is committed is touched first, and the library's own thread ends.
 * Then allocations are served from what there is, and what is freed stays: nothing
 * decays.  What would need a system call fails: an allocation that the heap has no
 * room for is NULL with ENOMEM, slabpool_prime() -ENOMEM, slabpool_region_map() and
 * slabpool_region_unmap() EPERM, slabpool_release() gives back nothing.  This is
 * counted (calls_refused).  So prime before (slabpool_prime()).
 *
 * Three exceptions.  Who has waited for one of the library's locks for about a
 * millisecond sleeps, for its holder may be waiting for this very processor
 * (calls_insisted).  fork(2) is a system call, and makes more; its child is not
 * locked down.  What ends the program or prints statistics writes.
 *
 * For the whole process, and for good.  No other thread makes one either once this
 * has returned.
 *
 * Return: 0, also when it was so already; -EBUSY when another thread is just doing
 * it; -ENOMEM, or another error of madvise(2), when what is committed cannot be
 * touched, and nothing has changed; what slabpool_init() gave.
 */
SLABPOOL_API int slabpool_lockdown(void);

/* ---- regions ------------------------------------------------------------ */

/*
 * A region is a range of whole hpages for the application's own use: rings,
 * packet buffers, registered memory.  Address and pages stay the same until it
 * is unmapped.  Its first byte is aligned to the hpage size and it reads zero.
 */

/**
 * struct slabpool_region_info - what an application needs for DMA and sharing
 * @addr: first byte
 * @size: bytes, a multiple of @page_size or of the base page (see there)
 * @offset: where the region begins in @fd, for mmap(2)
 * @page_size: bytes of the pages really behind it: the hpage size, or the base
 *	page size when the source could not give hpages
 * @node: the node asked for
 * @fd: descriptor of the device client behind it, owned by the region: do not
 *	close it; -1 on the other sources
 */
struct slabpool_region_info {
	void *addr;
	size_t size;
	uint64_t offset;
	size_t page_size;
	int node;
	int fd;
};

/**
 * slabpool_region_map - map and populate a region
 * @size: bytes, rounded up to whole hpages
 * @node: a NUMA node, or SLABPOOL_NODE_LOCAL
 * @flags: 0; no flag is defined yet
 *
 * Return: the address; NULL with EINVAL (size 0, unknown flag, no such node),
 * ENOMEM (the node cannot supply it), or what opening the source gave.
 */
SLABPOOL_API void *slabpool_region_map(size_t size, int node, unsigned int flags);

/**
 * slabpool_region_unmap - unmap a region and give its hpages back
 * @addr: what slabpool_region_map() returned
 *
 * Return: 0; -EINVAL when @addr is no region.
 */
SLABPOOL_API int slabpool_region_unmap(void *addr);

/**
 * slabpool_region_query - describe the region that holds an address
 * @addr: any address inside a region
 * @info: filled in; owned by the caller
 *
 * Return: 0; -EINVAL when @addr is in no region.
 */
SLABPOOL_API int slabpool_region_query(const void *addr,
				       struct slabpool_region_info *info);

/* ---- statistics --------------------------------------------------------- */

/**
 * struct slabpool_stats - one moment of the process heap; regions left out
 * @committed: bytes of hpages taken from the source
 * @active: bytes of these handed out to threads and large objects
 * @unused: bytes of empty hpages kept, on their way back by decay
 * @peak: the highest @committed so far
 * @limit: bound on @committed; 0 when there is none
 * @commits: hpages taken so far
 * @decommits: hpages given back so far
 * @fallbacks: of @commits, hpages that the source in use could not supply and
 *	the next one did (backend:auto only)
 * @base_pages: bytes now on base pages, the first hpages included; measured
 *	for the anonymous sources, reported by the kernel's counter on the device
 * @failures: allocations that returned NULL
 * @caches: thread caches made so far; they are used again
 * @orphans: caches with memory whose thread has gone or is idle
 * @fork_fallbacks: hpages that a forked child had to copy to anonymous memory
 *	because the pool could not supply them
 * @fork_copies: forks of this process whose child copied the heap at once because
 *	there was no snapshot (fork:snapshot on the device only)
 * @stock: bytes of @unused that are populated: growth into them is neither a system
 *	call nor a fault
 * @stock_hits: hpages needed for objects up to 2 MiB that were there so
 * @stock_misses: those that were not: the caller waited for the kernel
 * @stock_fills: hpages that the library's thread populated ahead of demand
 * @soft_limit: above so many @committed memory goes back faster; 0: there is none
 * @soft_limit_hits: how often @committed has risen above it
 * @calls_refused: after slabpool_lockdown(), system calls that were needed and not made
 * @calls_insisted: those that were made, by threads that waited too long for a lock
 */
struct slabpool_stats {
	uint64_t committed;
	uint64_t active;
	uint64_t unused;
	uint64_t peak;
	uint64_t limit;
	uint64_t commits;
	uint64_t decommits;
	uint64_t fallbacks;
	uint64_t base_pages;
	uint64_t failures;
	uint64_t caches;
	uint64_t orphans;
	uint64_t fork_fallbacks;
	uint64_t fork_copies;
	uint64_t stock;
	uint64_t stock_hits;
	uint64_t stock_misses;
	uint64_t stock_fills;
	uint64_t soft_limit;
	uint64_t soft_limit_hits;
	uint64_t calls_refused;
	uint64_t calls_insisted;
};

/**
 * slabpool_stats - read the statistics
 * @stats: filled in
 * @size: sizeof(*@stats) of the caller: older callers get the older fields
 *
 * Return: 0; -EINVAL when @size is 0; what slabpool_init() gave.
 */
SLABPOOL_API int slabpool_stats(struct slabpool_stats *stats, size_t size);

/* slabpool_stats_print(): a JSON object instead of lines of text. */
#define SLABPOOL_STATS_JSON	(1u << 0)

/**
 * slabpool_stats_print - write the statistics, the source in use and why it is
 * not a better one
 * @fd: a descriptor open for writing
 * @flags: 0 or SLABPOOL_STATS_JSON
 *
 * Return: 0; -EINVAL for an unknown flag; what write(2) gave.
 */
SLABPOOL_API int slabpool_stats_print(int fd, unsigned int flags);

#ifdef __cplusplus
}
#endif

#endif /* SLABPOOL_H */

// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * libslabpool-malloc.so: the C and C++ allocation functions of any program.
 * malloc, calloc, realloc, free and aligned_alloc are other names of the
 * library's functions, see the end of alloc.c; what is left is here.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fatal.h"
#include "init.h"
#include "reclaim.h"
#include "size.h"
#include "slabpool.h"

/* Half of these names stand in no header: they are the linker's. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

#define EXPORT	SLABPOOL_API

/* ---- C ------------------------------------------------------------------ */

EXPORT void *reallocarray(void *ptr, size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return slabpool_realloc(ptr, bytes);
}

/* Neither errno nor *@out changes when it fails. */
EXPORT int posix_memalign(void **out, size_t align, size_t size)
{
	int saved = errno, err;
	void *p;

	if (align % sizeof(void *) || !sp_is_power_of_two(align))
		return EINVAL;
	p = slabpool_aligned_alloc(align, size);
	err = errno;
	errno = saved;
	if (!p)
		return err;
	*out = p;
	return 0;
}

EXPORT void *memalign(size_t align, size_t size)
{
	size_t power = SP_ALIGN;

	/* glibc rounds an odd alignment up. */
	while (power < align && power <= SP_GIB)
		power *= 2;
	return slabpool_aligned_alloc(power, size);
}

EXPORT void *valloc(size_t size)
{
	return slabpool_aligned_alloc((size_t)getpagesize(), size);
}

EXPORT void *pvalloc(size_t size)
{
	size_t page = (size_t)getpagesize();

	if (size > PTRDIFF_MAX - page) {
		errno = ENOMEM;
		return NULL;
	}
	return slabpool_aligned_alloc(page, sp_round_up(size, page));
}

EXPORT size_t malloc_usable_size(void *ptr)
{
	return slabpool_usable_size(ptr);
}

EXPORT void cfree(void *ptr)
{
	slabpool_free(ptr);
}

EXPORT void free_sized(void *ptr, size_t size)
{
	slabpool_free_sized(ptr, size);
}

EXPORT void free_aligned_sized(void *ptr, size_t align, size_t size)
{
	(void)align;
	(void)size;	/* an aligned object may be of a larger class */
	slabpool_free(ptr);
}

EXPORT int malloc_trim(size_t pad)
{
	(void)pad;
	return slabpool_release() != 0;
}

EXPORT struct mallinfo2 mallinfo2(void)
{
	struct slabpool_stats stats = { 0 };
	struct mallinfo2 info = { 0 };

	slabpool_stats(&stats, sizeof(stats));
	info.arena = stats.committed;
	info.uordblks = stats.active;
	info.fordblks = stats.committed - stats.active;
	info.keepcost = stats.unused;
	return info;
}

EXPORT struct mallinfo mallinfo(void)
{
	struct mallinfo2 wide = mallinfo2();

	return (struct mallinfo){
		.arena = (int)wide.arena,
		.uordblks = (int)wide.uordblks,
		.fordblks = (int)wide.fordblks,
		.keepcost = (int)wide.keepcost,
	};
}

EXPORT int malloc_info(int options, FILE *stream)
{
	struct slabpool_stats stats = { 0 };

	if (options)
		return EINVAL;
	slabpool_stats(&stats, sizeof(stats));
	fprintf(stream, "<malloc version=\"slabpool-1\">\n"
		"<system type=\"current\" size=\"%llu\"/>\n"
		"<system type=\"max\" size=\"%llu\"/>\n</malloc>\n",
		(unsigned long long)stats.committed, (unsigned long long)stats.peak);
	return 0;
}

EXPORT void malloc_stats(void)
{
	slabpool_stats_print(STDERR_FILENO, 0);
}

/* Its parameters are those of another allocator: nothing is set. */
EXPORT int mallopt(int parameter, int value)
{
	(void)parameter;
	(void)value;
	return 0;
}

EXPORT void *__libc_memalign(size_t align, size_t size)
{
	return memalign(align, size);
}

EXPORT void *__libc_valloc(size_t size)
{
	return valloc(size);
}

EXPORT void *__libc_pvalloc(size_t size)
{
	return pvalloc(size);
}

EXPORT int __posix_memalign(void **out, size_t align, size_t size)
{
	return posix_memalign(out, align, size);
}

/* ---- threads ------------------------------------------------------------ */

/*
 * The application has several threads now, and this is a place where creating
 * one more is safe.
 */
EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attr,
			  void *(*start)(void *), void *arg)
{
	static int (*_Atomic real)(pthread_t *, const pthread_attr_t *,
				   void *(*)(void *), void *);
	int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

	create = atomic_load_explicit(&real, memory_order_relaxed);
	if (!create) {
		*(void **)&create = dlsym(RTLD_NEXT, "pthread_create");
		atomic_store_explicit(&real, create, memory_order_relaxed);
	}
	if (sp_init() == 0)
		sp_reclaim_start();
	return create(thread, attr, start, arg);
}

/* ---- C++ ---------------------------------------------------------------- */

/*
 * When memory is out, operator new runs the new-handler and throws, and the
 * nothrow forms catch: that is libstdc++'s work, the next one in search order or,
 * for a C++ library that a C program has opened for itself, where the caller
 * finds it.  Return: NULL when there is none.
 */
static void *next_new(const char *symbol, const void *caller)
{
	void *p = dlsym(RTLD_NEXT, symbol), *handle;
	Dl_info info;

	if (p || !dladdr(caller, &info))
		return p;
	handle = dlopen(info.dli_fname, RTLD_NOLOAD | RTLD_LAZY);
	if (!handle)
		return NULL;
	p = dlsym(handle, symbol);
	dlclose(handle);
	return p;
}

static void *new_failed(const char *symbol, size_t size, const void *caller)
{
	void *(*next)(size_t);

	*(void **)&next = next_new(symbol, caller);
	if (!next)
		sp_fatal_new(size);
	return next(size);
}

static void *new_aligned_failed(const char *symbol, size_t size, size_t align,
				const void *caller)
{
	void *(*next)(size_t, size_t);

	*(void **)&next = next_new(symbol, caller);
	if (!next)
		sp_fatal_new(size);
	return next(size, align);
}

static void *new_nothrow_failed(const char *symbol, size_t size, const void *nothrow,
				const void *caller)
{
	void *(*next)(size_t, const void *);

	*(void **)&next = next_new(symbol, caller);
	return next ? next(size, nothrow) : NULL;
}

static void *new_aligned_nothrow_failed(const char *symbol, size_t size, size_t align,
					const void *nothrow, const void *caller)
{
	void *(*next)(size_t, size_t, const void *);

	*(void **)&next = next_new(symbol, caller);
	return next ? next(size, align, nothrow) : NULL;
}

#define CALLER	__builtin_return_address(0)

/* operator new(size_t), new[](size_t), and their std::align_val_t forms. */
EXPORT void *_Znwm(size_t size)
{
	void *p = slabpool_malloc(size);

	return likely(p) ? p : new_failed("_Znwm", size, CALLER);
}

EXPORT void *_Znam(size_t size)
{
	void *p = slabpool_malloc(size);

	return likely(p) ? p : new_failed("_Znam", size, CALLER);
}

EXPORT void *_ZnwmSt11align_val_t(size_t size, size_t align)
{
	void *p = slabpool_aligned_alloc(align, size);

	return likely(p) ? p : new_aligned_failed("_ZnwmSt11align_val_t", size, align, CALLER);
}

EXPORT void *_ZnamSt11align_val_t(size_t size, size_t align)
{
	void *p = slabpool_aligned_alloc(align, size);

	return likely(p) ? p : new_aligned_failed("_ZnamSt11align_val_t", size, align, CALLER);
}

/* The std::nothrow_t forms. */
EXPORT void *_ZnwmRKSt9nothrow_t(size_t size, const void *nothrow)
{
	void *p = slabpool_malloc(size);

	return likely(p) ? p :
	       new_nothrow_failed("_ZnwmRKSt9nothrow_t", size, nothrow, CALLER);
}

EXPORT void *_ZnamRKSt9nothrow_t(size_t size, const void *nothrow)
{
	void *p = slabpool_malloc(size);

	return likely(p) ? p :
	       new_nothrow_failed("_ZnamRKSt9nothrow_t", size, nothrow, CALLER);
}

EXPORT void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t size, size_t align,
						const void *nothrow)
{
	void *p = slabpool_aligned_alloc(align, size);

	return likely(p) ? p :
	       new_aligned_nothrow_failed("_ZnwmSt11align_val_tRKSt9nothrow_t", size, align,
					  nothrow, CALLER);
}

EXPORT void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t size, size_t align,
						const void *nothrow)
{
	void *p = slabpool_aligned_alloc(align, size);

	return likely(p) ? p :
	       new_aligned_nothrow_failed("_ZnamSt11align_val_tRKSt9nothrow_t", size, align,
					  nothrow, CALLER);
}

/* Every operator delete: what it knows beyond the pointer is not needed. */
#define DELETE(symbol, ...)				\
	EXPORT void symbol(void *ptr, ##__VA_ARGS__)	\
	{						\
		slabpool_free(ptr);			\
	}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
DELETE(_ZdlPv)
DELETE(_ZdaPv)
DELETE(_ZdlPvm, size_t size)
DELETE(_ZdaPvm, size_t size)
DELETE(_ZdlPvSt11align_val_t, size_t align)
DELETE(_ZdaPvSt11align_val_t, size_t align)
DELETE(_ZdlPvmSt11align_val_t, size_t size, size_t align)
DELETE(_ZdaPvmSt11align_val_t, size_t size, size_t align)
DELETE(_ZdlPvRKSt9nothrow_t, const void *nothrow)
DELETE(_ZdaPvRKSt9nothrow_t, const void *nothrow)
DELETE(_ZdlPvSt11align_val_tRKSt9nothrow_t, size_t align, const void *nothrow)
DELETE(_ZdaPvSt11align_val_tRKSt9nothrow_t, size_t align, const void *nothrow)
#pragma GCC diagnostic pop

// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * A thread's cache is handed over by the destructor of a thread-specific key.
 * Other keys' destructors and the C library itself may allocate after ours ran;
 * each such slow path then borrows a cache for its own duration only, and so does
 * a thread that never allocated, for which the C library frees behind its end.
 *
 * The constructor here does what init.c must not: it needs a C library that is
 * up.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <link.h>
#include <pthread.h>
#include <sys/auxv.h>

#include "calls.h"
#include "fork.h"
#include "init.h"
#include "reclaim.h"
#include "sys.h"
#include "thread.h"

static pthread_key_t key;
static _Atomic bool constructed;	/* release: key and ranges are set */

/* Text of the C library and the loader: their callers may hold their locks. */
static struct range { uintptr_t low, high; } system_text[2];

static void on_exit_of_thread(void *key_value)
{
	(void)key_value;
	sp_me.phase = SP_THREAD_LEAVING;
	sp_owner_exit();
	/* Locked down there is nothing to stop. */
	if (!sp_calls_forbidden() && sp_sys_is_main_thread())
		sp_reclaim_stop();
}

void sp_thread_notice(void)
{
	if (likely(sp_me.phase != SP_THREAD_FRESH) ||
	    !atomic_load_explicit(&constructed, memory_order_acquire))
		return;
	/*
	 * The key's slot lies in the thread's own structure as long as the key
	 * is one of the first 32; otherwise this allocates, and comes by here
	 * again.  The value only has to be something.
	 */
	sp_me.phase = SP_THREAD_NOTICED;
	if (pthread_setspecific(key, &key)) {
		sp_me.phase = SP_THREAD_LEAVING;	/* each slow path borrows */
		return;
	}
	sp_owner_watch();
}

struct sp_cache *sp_thread_enter(void)
{
	sp_owner_enter();
	return sp_owner_get(sp_me.phase == SP_THREAD_NOTICED);
}

void sp_thread_leave(void)
{
	sp_owner_leave();
	if (unlikely(sp_me.phase != SP_THREAD_NOTICED) &&
	    atomic_load_explicit(&constructed, memory_order_acquire))
		sp_owner_exit();
}

static int find_system_text(struct dl_phdr_info *info, size_t size, void *count)
{
	uintptr_t low = UINTPTR_MAX, high = 0;
	uintptr_t libc = (uintptr_t)&pthread_create, loader = getauxval(AT_BASE);
	size_t *n = count;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *phdr = &info->dlpi_phdr[i];
		uintptr_t at = info->dlpi_addr + phdr->p_vaddr;

		if (phdr->p_type != PT_LOAD)
			continue;
		low = at < low ? at : low;
		high = at + phdr->p_memsz > high ? at + phdr->p_memsz : high;
	}
	if ((libc >= low && libc < high) || (loader >= low && loader < high))
		system_text[(*n)++] = (struct range){ low, high };
	return *n == ARRAY_SIZE(system_text);
}

bool sp_init_is_application(const void *caller)
{
	uintptr_t at = (uintptr_t)caller;

	if (!at || !atomic_load_explicit(&constructed, memory_order_acquire))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(system_text); i++)
		if (at >= system_text[i].low && at < system_text[i].high)
			return false;
	return true;
}

__attribute__((constructor)) static void construct(void)
{
	size_t count = 0;

	sp_fork_init();
	if (pthread_key_create(&key, on_exit_of_thread))
		return;
	dl_iterate_phdr(find_system_text, &count);
	atomic_store_explicit(&constructed, true, memory_order_release);
	/* The main thread's end matters even when it never allocates. */
	sp_thread_notice();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/* Sizes, compiler words and helpers without state.  No logic. */
#ifndef SP_INTERNAL_H
#define SP_INTERNAL_H

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define likely(x)	__builtin_expect(!!(x), 1)
#define unlikely(x)	__builtin_expect(!!(x), 0)
#define noinline	__attribute__((noinline))
#define container_of(ptr, type, member) \
	((type *)((char *)(ptr) - offsetof(type, member)))
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/*
 * Initial-exec: one load relative to the thread pointer, and no call into the
 * dynamic loader, which itself allocates.  Costs static TLS: keep it under 64
 * bytes in all.
 */
#define sp_tls		__thread __attribute__((tls_model("initial-exec")))

/*
 * A relaxed load of an aligned word, on the hit path.  gcc makes an instruction of its
 * own of each atomic load; this one it may fold into the comparison that uses it.
 * For words that are used once and need no order: were they read twice, the two
 * could differ.
 */
#if defined(__SANITIZE_THREAD__) || defined(__clang__)
#define sp_load_folded(word)	atomic_load_explicit(&(word), memory_order_relaxed)
#else
#define sp_load_folded(word)	(*(uintptr_t *)&(word))
_Static_assert(sizeof(uintptr_t) == sizeof(_Atomic uintptr_t), "an atomic word is a word");
#endif

/* The malloc replacement: for programs that know nothing of this library. */
#ifdef SP_PRELOAD
#define SP_IS_PRELOAD	true
#else
#define SP_IS_PRELOAD	false
#endif

#define SP_CACHE_LINE	64

/* An hpage, and the unit in which it is divided into chunks. */
#define SP_HPAGE_SHIFT	21
#define SP_HPAGE	((size_t)1 << SP_HPAGE_SHIFT)
#define SP_UNIT_SHIFT	12
#define SP_UNIT		((size_t)1 << SP_UNIT_SHIFT)
#define SP_UNITS	(SP_HPAGE / SP_UNIT)

#define SP_KIB		((size_t)1 << 10)
#define SP_MIB		((size_t)1 << 20)
#define SP_GIB		((size_t)1 << 30)

#define SP_MAX_NODES	64

static inline size_t sp_round_up(size_t n, size_t power_of_two)
{
	return (n + power_of_two - 1) & ~(power_of_two - 1);
}

static inline size_t sp_hpages(size_t bytes)
{
	return (bytes + SP_HPAGE - 1) >> SP_HPAGE_SHIFT;
}

static inline bool sp_is_power_of_two(size_t n)
{
	return n && !(n & (n - 1));
}

/* Tell the core that this is a wait loop. */
static inline void sp_pause(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/*
 * Check of the library's own structures; compiled into the sanitized and debug
 * builds (-DSP_DEBUG), where the unit tests run.
 */
#ifdef SP_DEBUG
#define sp_assert(x)	assert(x)
#else
#define sp_assert(x)	((void)sizeof(!(x)))
#endif

#endif

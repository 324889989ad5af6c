// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* The malloc family does what the C library's does, and what slabpool.h adds. */
#include <limits.h>
#include <malloc.h>
#include <sched.h>

#include "preload.h"


static const size_t sizes[] = {
	0, 1, 8, 15, 16, 17, 31, 32, 33, 100, 127, 128, 129, 160, 161, 500, 1023, 1024, 1025,
	4095, 4096, 4097, 8191, 8192, 8193, 30000, 32767, 32768, 32769, 65536, 100000,
	1048576, 2097151, 2097152, 2097153, 5000000, 33554432,
};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

static void is_loaded(void)
{
	Dl_info info;

	check(dladdr((void *)(uintptr_t)malloc, &info));
	check(strstr(info.dli_fname, "slabpool-malloc"));
	check(t_stats().committed > 0);
}

static void alignment_16(void)
{
	for (size_t i = 0; i < SIZES; i++)
		for (int n = 0; n < 5; n++) {
			char *p = malloc(sizes[i]);

			check(p && (uintptr_t)p % 16 == 0);
			memset(p, 0xa5, sizes[i]);
			hide(p);
			if (n % 2)
				free(p);
		}
}

static void size_zero_unique(void)
{
	void *p[1000];

	for (int i = 0; i < 1000; i++) {
		p[i] = i % 2 ? calloc(0, i) : malloc(hide((size_t)0));
		check(p[i]);
		for (int k = 0; k < i; k++)
			check(p[k] != p[i]);
	}
	for (int i = 0; i < 1000; i++)
		free(p[i]);
}

static void too_large(void)
{
	size_t over = (size_t)PTRDIFF_MAX + 1;
	void *p = malloc(100);

	errno = 0;
	check(!malloc(hide(over)) && errno == ENOMEM);
	errno = 0;
	check(!malloc(hide((size_t)-1)) && errno == ENOMEM);
	errno = 0;
	check(!malloc(hide((size_t)1 << 46)) && errno == ENOMEM);
	errno = 0;
	check(!calloc(hide((size_t)1 << 33), hide((size_t)1 << 33)) && errno == ENOMEM);
	errno = 0;
	check(!calloc(hide((size_t)-1), 2) && errno == ENOMEM);
	errno = 0;
	check(!calloc(hide(over), 1) && errno == ENOMEM);
	errno = 0;
	check(!reallocarray(p, hide((size_t)1 << 33), hide((size_t)1 << 33)) && errno == ENOMEM);
	errno = 0;
	check(!realloc(p, hide(over)) && errno == ENOMEM);
	errno = 0;
	check(!realloc(p, hide((size_t)-1)) && errno == ENOMEM);
	errno = 0;
	check(!aligned_alloc(64, hide((size_t)-64)) && errno == ENOMEM);
	errno = 0;
	check(!aligned_alloc(hide((size_t)1 << 30), hide((size_t)PTRDIFF_MAX)) && errno == ENOMEM);
	errno = 0;
	check(!memalign(64, hide((size_t)-1)) && errno == ENOMEM);
	errno = 0;
	check(!valloc(hide((size_t)-1)) && errno == ENOMEM);
	errno = 0;
	check(!pvalloc(hide((size_t)-1)) && errno == ENOMEM);
	/* p is as it was. */
	t_fill(p, 100, 3);
	check(t_is_filled(p, 100, 3));
	free(p);
}

static void posix_memalign_errors(void)
{
	void *p = (void *)0x1234;

	static const size_t bad[] = { 0, 1, 2, 4, 3, 12, 24, 48, 100, 4097 };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		errno = 77;
		check(posix_memalign(&p, hide(bad[i]), 10) == EINVAL);
		check(errno == 77 && p == (void *)0x1234);
	}
	errno = 77;
	check(posix_memalign(&p, 64, hide((size_t)-1)) == ENOMEM);
	check(errno == 77 && p == (void *)0x1234);
	check(posix_memalign(&p, 8, 10) == 0 && errno == 77);
	free(p);
	check(posix_memalign(&p, 4096, 0) == 0 && p && (uintptr_t)p % 4096 == 0);
	free(p);
}

static void all_alignments(void)
{
	for (size_t align = 1; align <= (size_t)1 << 30; align *= 2) {
		static const size_t of[] = { 0, 1, 24, 100, 3000, 20000, 70000, 3000000 };

		/* The device and hugetlb hold what they commit: keep to small ones. */
		for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++) {
			char *p[3];

			for (int k = 0; k < 3; k++) {
				p[k] = aligned_alloc(hide(align), hide(of[i]));
				check(p[k] && (uintptr_t)p[k] % align == 0);
				check(malloc_usable_size(p[k]) >= of[i]);
				t_fill(p[k], of[i], (uint64_t)k);
			}
			for (int k = 0; k < 3; k++) {
				check(t_is_filled(p[k], of[i], (uint64_t)k));
				free(p[k]);
			}
		}
	}
	errno = 0;
	check(!aligned_alloc(hide((size_t)48), 100) && errno == EINVAL);
	errno = 0;
	check(!aligned_alloc(hide((size_t)0), 100) && errno == EINVAL);
}

/* Never a pointer aligned to less than was asked for. */
static void alignment_above_1_gib(void)
{
	for (size_t align = (size_t)2 << 30; align; align *= 2) {
		void *p;

		errno = 0;
		p = memalign(hide(align), 64);
		check(p ? (uintptr_t)p % align == 0 : errno == EINVAL || errno == ENOMEM);
		free(p);
		errno = 0;
		p = aligned_alloc(hide(align), 64);
		check(p ? (uintptr_t)p % align == 0 : errno == EINVAL || errno == ENOMEM);
		free(p);
	}
}

static void memalign_valloc_pvalloc(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *p;

	for (size_t align = 1; align <= 65536; align = align * 2 + align % 3) {
		p = memalign(hide(align), 100);
		/* An odd one is rounded up, as glibc does. */
		check(p && (align & (align - 1) || (uintptr_t)p % align == 0));
		memset(p, 1, 100);
		free(p);
	}
	for (size_t i = 0; i < SIZES; i++) {
		p = valloc(sizes[i]);
		check(p && (uintptr_t)p % page == 0);
		free(p);
		p = pvalloc(sizes[i]);
		check(p && (uintptr_t)p % page == 0);
		check(malloc_usable_size(p) >= (sizes[i] + page - 1) / page * page);
		free(p);
	}
}

static void calloc_is_zero(void)
{
	uint64_t seed = 7;

	for (int round = 0; round < 30; round++) {
		char *p[SIZES];

		for (size_t i = 0; i < SIZES; i++) {
			p[i] = calloc(1, sizes[i]);
			check(p[i] && t_is_zero(p[i], sizes[i]));
			memset(p[i], 0xff, sizes[i]);
		}
		for (size_t i = 0; i < SIZES; i++)
			if (t_random(&seed) & 3)
				free(p[(i + (size_t)round) % SIZES]), p[(i + (size_t)round) % SIZES] = NULL;
		for (size_t i = 0; i < SIZES; i++)
			free(p[i]);
		if (round % 10 == 9)
			malloc_trim(0);
	}
}

/* The source cannot drop pages that the program locked: they are not zero. */
static void calloc_is_zero_when_locked(void)
{
	char *p;

	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		return;
	for (int round = 0; round < 4; round++) {
		char *small[600];

		p = malloc(20 * T_MIB);
		check(p);
		memset(p, 0xff, 20 * T_MIB);
		for (int i = 0; i < 600; i++) {
			small[i] = malloc(20000);
			check(small[i]);
			memset(small[i], 0xff, 20000);
		}
		free(p);
		for (int i = 0; i < 600; i++)
			free(small[i]);
		malloc_trim(0);
		p = calloc(1, 20 * T_MIB);
		check(p && t_is_zero(p, 20 * T_MIB));
		free(p);
		p = calloc(1, 300000);
		check(p && t_is_zero(p, 300000));
		free(p);
		malloc_trim(0);
	}
}

static void usable_size(void)
{
	check(malloc_usable_size(NULL) == 0);
	for (size_t i = 0; i < SIZES; i++) {
		char *p = malloc(sizes[i]);
		size_t room = malloc_usable_size(p);

		check(room >= sizes[i] && room > 0);
		/* At most a fifth is rounding above the smallest classes. */
		check(sizes[i] < 128 || sizes[i] > 32768 || room <= sizes[i] + sizes[i] / 4);
		memset(p, 0x5a, room);
		free(p);
	}
}

static void realloc_semantics(void)
{
	uint64_t seed = 1;
	char *p = realloc(NULL, 100), *q;

	check(p);
	t_fill(p, 100, 1);
	q = realloc(p, hide((size_t)0));
	check(!q);		/* as glibc: freed, NULL */
	q = realloc(NULL, hide((size_t)0));
	check(q);
	free(q);
	for (int round = 0; round < 200; round++) {
		size_t size = sizes[t_random(&seed) % SIZES] + 1;

		p = malloc(size);
		check(p);
		t_fill(p, size, (uint64_t)round);
		for (int k = 0; k < 6; k++) {
			size_t to = sizes[t_random(&seed) % SIZES] + 1;

			p = realloc(p, to);
			check(p && (uintptr_t)p % 16 == 0);
			check(t_is_filled(p, size < to ? size : to, (uint64_t)round));
			check(malloc_usable_size(p) >= to);
			t_fill(p, to, (uint64_t)round);
			size = to;
		}
		free(p);
	}
	p = reallocarray(NULL, 10, 10);
	check(p);
	p = reallocarray(p, 100, 100);
	check(p && malloc_usable_size(p) >= 10000);
	free(p);
}

static void free_keeps_errno(void)
{
	for (size_t i = 0; i < SIZES; i++) {
		void *p = malloc(sizes[i]);

		errno = 4321;
		free(p);
		check(errno == 4321);
		p = malloc(sizes[i]);
		check(p && errno == 4321);	/* success does not touch it either */
		free(p);
		free(NULL);
		check(errno == 4321);
	}
}

static void sized_frees(void)
{
	void (*sized)(void *, size_t) = (void (*)(void *, size_t))t_symbol("free_sized");
	void (*aligned)(void *, size_t, size_t) =
		(void (*)(void *, size_t, size_t))t_symbol("free_aligned_sized");

	for (size_t i = 0; i < SIZES; i++) {
		sized(malloc(sizes[i]), sizes[i]);
		sized(calloc(1, sizes[i]), sizes[i]);
		aligned(aligned_alloc(256, sizes[i]), 256, sizes[i]);
	}
	sized(NULL, 0);
	sized(NULL, 100);
}

/* The size of an object is what realloc was asked for last (C23 7.24.3.4). */
static void sized_free_after_realloc(void)
{
	void (*sized)(void *, size_t) = (void (*)(void *, size_t))t_symbol("free_sized");

	for (size_t from = 16; from < 4000; from += 16)
		for (size_t to = from / 3 + 1; to < from * 2; to += 1 + from / 7)
			sized(realloc(malloc(from), to), to);
}

static void introspection(void)
{
	struct mallinfo2 before = mallinfo2(), after;
	size_t size = 64 * T_MIB;
	FILE *null = fopen("/dev/null", "w");
	char *p = malloc(size);

	check(p);
	after = mallinfo2();
	check(after.arena >= before.arena + size - T_HPAGE);
	check(after.uordblks >= before.uordblks + size);
	check(after.uordblks + after.fordblks == after.arena);
	free(p);
	after = mallinfo2();
	check(after.uordblks < before.uordblks + size);
	malloc_trim(0);
	check(t_stats().committed < size);
	check(malloc_info(0, null) == 0);
	check(malloc_info(1, null) == EINVAL);
	check(mallopt(M_MMAP_THRESHOLD, 100) == 0 || 1);
	fclose(null);
}

/* What was given back is gone from the process too, not just from the sums. */
static long resident_kb(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	long size, rss = -1;

	check(f && fscanf(f, "%ld %ld", &size, &rss) == 2);
	fclose(f);
	return rss * (sysconf(_SC_PAGESIZE) / 1024);
}

static void trim_gives_back(void)
{
	long before = resident_kb();
	char *p = malloc(100 * T_MIB);

	check(p);
	memset(p, 1, 100 * T_MIB);
	hide(p);
	check(resident_kb() > before + 90 * 1024);
	free(p);
	check(malloc_trim(0) == 1);
	check(resident_kb() < before + 8 * 1024);
}

/* An object of each kind is not an hpage of each kind. */
static void small_process_stays_small(void)
{
	static const size_t sizes[] = { 100, 5000, 50000 };
	long before = resident_kb();

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		char *p = malloc(sizes[i]);

		check(p);
		memset(p, 1, sizes[i]);
		hide(p);
	}
	check(resident_kb() < before + 512);
}

/* ---- threads and their ends --------------------------------------------- */

static pthread_key_t keys[8];
static _Atomic int destroyed;
static _Thread_local int rounds;

static void late(void *value)
{
	/* Again and again, so that the library's own destructor is long past. */
	char *p[64];

	for (int i = 0; i < 64; i++) {
		p[i] = malloc((size_t)i * 50);
		check(p[i]);
		memset(p[i], i, (size_t)i * 50);
	}
	for (int i = 0; i < 64; i++)
		free(p[i]);
	free(value);
	destroyed++;
	if (++rounds < 24)
		pthread_setspecific(keys[rounds % 8], malloc(200));
}

static void *with_keys(void *unused)
{
	(void)unused;
	for (int i = 0; i < 8; i++)
		pthread_setspecific(keys[i], malloc(100));
	return malloc(333);
}

static void malloc_in_late_key_destructors(void)
{
	uint64_t caches;

	for (int i = 0; i < 8; i++)
		check(pthread_key_create(&keys[i], late) == 0);
	for (int n = 0; n < 100; n++) {
		pthread_t thread;
		void *left;

		check(pthread_create(&thread, NULL, with_keys, NULL) == 0);
		check(pthread_join(thread, &left) == 0);
		free(left);
	}
	check(destroyed >= 100 * 8);
	caches = t_stats().caches;
	check(caches < 10);	/* each thread takes over the cache of one before */
}

extern int __cxa_thread_atexit_impl(void (*)(void *), void *, void *);
extern void *__dso_handle;

static void *with_tls_destructor(void *unused)
{
	(void)unused;
	for (int i = 0; i < 3; i++)
		__cxa_thread_atexit_impl(late, malloc(50), &__dso_handle);
	rounds = 100;
	return NULL;
}

static void malloc_in_tls_destructors(void)
{
	for (int n = 0; n < 100; n++) {
		pthread_t thread;

		check(pthread_create(&thread, NULL, with_tls_destructor, NULL) == 0);
		check(pthread_join(thread, NULL) == 0);
	}
	check(destroyed == 300);
}

static void *touch_and_leave(void *unused)
{
	char *p[200];

	for (int i = 0; i < 200; i++) {
		p[i] = malloc(20000);
		check(p[i]);
		memset(p[i], 1, 20000);
	}
	for (int i = 0; i < 200; i++)
		free(p[i]);
	return unused;
}

/* What threads had in their caches is not lost when they end. */
static void thread_exit_frees(void)
{
	uint64_t committed = 0;
	cpu_set_t here;

	/* On another node they would take memory of that node. */
	CPU_ZERO(&here);
	CPU_SET(sched_getcpu(), &here);
	check(sched_setaffinity(0, sizeof(here), &here) == 0);
	for (int n = 0; n < 300; n++) {
		pthread_t thread;

		check(pthread_create(&thread, NULL, touch_and_leave, NULL) == 0);
		check(pthread_join(thread, NULL) == 0);
		if (n == 20)
			committed = t_stats().committed;
	}
	check(t_stats().committed <= committed + T_HPAGE);
	malloc_trim(0);
	check(t_stats().committed <= 6 * T_HPAGE);
}

static void *detached(void *unused)
{
	free(malloc(1000));
	destroyed++;
	return unused;
}

static void detached_threads(void)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	for (int n = 0; n < 500; n++) {
		while (pthread_create(&thread, &attr, detached, NULL))
			t_sleep_ms(1);
	}
	while (destroyed < 500)
		t_sleep_ms(1);
	pthread_exit(NULL);	/* the first thread's own end is one too */
}

static _Atomic bool go;

static void *only_wait(void *unused)
{
	destroyed++;
	while (!go)
		t_sleep_ms(1);
	return unused;
}

/*
 * Of threads that allocated nothing the C library frees what belongs to them when
 * they have ended already: nothing may be left in what was their memory.
 */
static void detached_threads_that_never_allocate(void)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	for (int round = 0; round < 20; round++) {
		go = false;
		destroyed = 0;
		for (int n = 0; n < 16; n++)
			check(pthread_create(&thread, &attr, only_wait, &go) == 0);
		while (destroyed < 16)
			t_sleep_ms(1);
		go = true;
		t_sleep_ms(20);
		/* Looks for idle threads, the ended ones must not be among them. */
		malloc_trim(0);
	}
}

static void *cancelled(void *unused)
{
	pthread_cancel(pthread_self());
	destroyed = malloc(10) ? 1 : 2;		/* no cancellation point */
	pthread_testcancel();
	return unused;
}

/* A thread that is ended in its first allocation would leave a lock held. */
static void cancellation(void)
{
	pthread_t thread;
	void *result;

	check(pthread_create(&thread, NULL, cancelled, NULL) == 0);
	check(pthread_join(thread, &result) == 0);
	check(result == PTHREAD_CANCELED && destroyed == 1);
	free(malloc(10));
}

static void at_exit(void)
{
	char *p = calloc(1, 10000);

	check(p);
	free(p);
	p = malloc(10 * T_MIB);
	check(p);
	free(p);
}

static void malloc_in_atexit(void)
{
	for (int i = 0; i < 40; i++)
		atexit(at_exit);
	exit(0);
}

/* ---- other libraries ---------------------------------------------------- */

static void dlopen_dlclose(void)
{
	for (int i = 0; i < 50; i++) {
		void *lib = dlopen("libm.so.6", RTLD_NOW | RTLD_LOCAL);
		void *cxx = dlopen("libstdc++.so.6", RTLD_LAZY | RTLD_LOCAL);

		check(lib);
		check(!dlopen("/nowhere/libnone.so", RTLD_NOW) && dlerror());
		check(!dlsym(lib, "no_such_symbol") && dlerror());
		check(dlclose(lib) == 0);
		if (cxx)
			check(dlclose(cxx) == 0);
	}
}

static void *leave_id(void *unused)
{
	check(setgid(getgid()) == 0 && setuid(getuid()) == 0);
	return unused;
}

/* setuid(2) interrupts every thread by a signal, the library's own too. */
static void setuid_with_threads(void)
{
	pthread_t thread;

	free(malloc(100 * T_MIB));
	check(pthread_create(&thread, NULL, leave_id, NULL) == 0);
	check(pthread_join(thread, NULL) == 0);
	check(setuid(getuid()) == 0);
}

static const struct t_case cases[] = {
	CASE(is_loaded),
	CASE(alignment_16),
	CASE(size_zero_unique),
	CASE(too_large),
	CASE(posix_memalign_errors),
	CASE(all_alignments),
	CASE(alignment_above_1_gib),
	CASE(memalign_valloc_pvalloc),
	CASE(calloc_is_zero),
	CASE(calloc_is_zero_when_locked),
	CASE(usable_size),
	CASE(realloc_semantics),
	CASE(free_keeps_errno),
	CASE(sized_frees),
	CASE(sized_free_after_realloc),
	CASE(introspection),
	CASE(trim_gives_back, .flags = T_THP),	/* resident: not said of the others */
	CASE(small_process_stays_small, .flags = T_THP),
	CASE(malloc_in_late_key_destructors),
	CASE(malloc_in_tls_destructors),
	CASE(thread_exit_frees),
	CASE(detached_threads),
	CASE(detached_threads_that_never_allocate),
	CASE(cancellation),
	CASE(malloc_in_atexit),
	CASE(dlopen_dlclose),
	CASE(setuid_with_threads),
};

T_CASES(cases)

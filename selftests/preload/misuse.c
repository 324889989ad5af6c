// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Each sin ends the program by SIGABRT with one exact line, and only that; with
 * secure:true these and more.
 */
#include <malloc.h>

#include "preload.h"

static void twice(size_t size)
{
	char *p = malloc(size), *again = hide(p);

	check(p);
	free(p);
	free(again);
}

static void small_twice(void) { twice(48); }
static void medium_twice(void) { twice(20000); }
static void large_twice(void) { twice(300000); }
static void huge_twice(void) { twice(5 * T_MIB); }
static void kept_twice(void) { twice(100000); }

static void *free_twice(void *p)
{
	void *again = hide(p);

	free(p);
	free(again);
	return NULL;
}

/* The object of another thread goes home in a batch: the second is seen too. */
static void other_thread_twice(void)
{
	void *p = malloc(48), *keep = malloc(48);
	pthread_t thread;

	check(p && keep);
	pthread_create(&thread, NULL, free_twice, p);
	pthread_join(thread, NULL);
}

/* Its thread keeps it for itself; another one knows nothing of that. */
static void kept_twice_by_two_threads(void)
{
	void *p = malloc(100000), *again = hide(p);
	pthread_t thread;

	check(p);
	free(p);
	pthread_create(&thread, NULL, free_twice, again);
	pthread_join(thread, NULL);
}

static void realloc_freed_kept(void)
{
	char *p = malloc(100000), *again = hide(p);

	check(p);
	free(p);
	again = realloc(again, 100000);
	hide(again);
}

static char in_data[64];

static void of_data(void) { free(hide(&in_data[0])); }

static void of_stack(void)
{
	char on_stack[64];

	free(hide(&on_stack[0]));
}

static void of_code(void) { free(hide((void *)(uintptr_t)of_stack)); }

static void of_other_mapping(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	check(p != MAP_FAILED);
	free(p);
}

static void of_wild(void) { free(hide((void *)(uintptr_t)0xdead0000beef0000ull)); }

static void inside_of(size_t size, size_t at)
{
	char *p = malloc(size);

	check(p);
	free(hide(p + at));
}

static void inside_large(void) { inside_of(300000, 16); }
static void far_inside_large(void) { inside_of(300000, 200000); }
static void inside_huge(void) { inside_of(9 * T_MIB, 5 * T_MIB); }

/* Addresses of the heap that nothing was ever put at. */
static void never_handed_out(void)
{
	uintptr_t p = (uintptr_t)malloc(300000);

	check(p);
	free(hide((void *)((p & ~(T_HPAGE - 1)) + T_HPAGE - 8192)));
}

static void realloc_foreign(void)
{
	void *p = realloc(hide((void *)&in_data[0]), 100);

	hide(p);
}

static void realloc_freed_huge(void)
{
	void *p = malloc(5 * T_MIB), *again = hide(p);

	check(p);
	free(p);
	p = realloc(again, 100);
	hide(p);
}

static void sized_wrong(size_t size, size_t said)
{
	void (*free_sized)(void *, size_t) = (void (*)(void *, size_t))t_symbol("free_sized");
	void *p = malloc(size);

	check(p);
	free_sized(p, said);
}

static void sized_too_large(void) { sized_wrong(100, 300); }
static void sized_too_small(void) { sized_wrong(300, 20); }
static void sized_large_too_large(void) { sized_wrong(100000, 3000000); }

/* ---- with secure:true only ----------------------------------------------- */

static void late_twice_of(size_t size)
{
	void *more[100], *keep[9];
	char *p, *again;

	/* In a chunk with others, which stays when it goes. */
	for (int i = 0; i < 8; i++)
		keep[i] = malloc(size);
	p = malloc(size);
	again = hide(p);
	keep[8] = malloc(size);
	check(p && keep[8]);
	free(p);
	for (int i = 0; i < 100; i++)
		more[i] = malloc(1000);
	for (int i = 0; i < 100; i++)
		free(more[i]);
	more[0] = malloc(size * 2);
	free(more[0]);
	hide(keep[0]);
	free(again);
}

static void small_late_twice(void) { late_twice_of(48); }
static void tiny_late_twice(void) { late_twice_of(1); }
static void medium_late_twice(void) { late_twice_of(20000); }

static void *free_all_then_first(void *arg)
{
	void **p = arg, *first = hide(p[0]);

	for (int i = 0; i < 200; i++)
		free(p[i]);
	free(first);
	return NULL;
}

/* Its batch has gone home meanwhile. */
static void other_thread_late_twice(void)
{
	void *p[200], *keep = malloc(48);
	pthread_t thread;

	check(keep);
	for (int i = 0; i < 200; i++)
		check(p[i] = malloc(48));
	pthread_create(&thread, NULL, free_all_then_first, p);
	pthread_join(thread, NULL);
}

/* One thread frees, another one frees the same later. */
static void *free_it(void *p)
{
	free(p);
	return NULL;
}

static void twice_by_two_threads(void)
{
	void *p = malloc(48), *again = hide(p), *keep = malloc(48);
	pthread_t thread;

	check(p && keep);
	pthread_create(&thread, NULL, free_it, p);
	pthread_join(thread, NULL);
	free(again);
}

static void inside_small(void) { inside_of(200, 16); }
static void askew_inside_small(void) { inside_of(200, 8); }
static void inside_medium(void) { inside_of(20000, 4096); }

static void overflow_of(size_t size, size_t at)
{
	char *p = malloc(size);

	check(p);
	hide(p)[malloc_usable_size(p) + at] = 1;
	free(p);
}

static void overflow_by_a_byte(void) { overflow_of(24, 0); }
static void overflow_of_medium(void) { overflow_of(20000, 3); }

static void overflow_by_a_string(void)
{
	char *p = malloc(40), *to = hide(p);

	check(p);
	for (size_t i = 0; i <= malloc_usable_size(p); i++)
		to[i] = 'x';
	free(p);
}

static void overflow_freed_by_other_thread(void)
{
	char *p = malloc(40);
	pthread_t thread;

	check(p);
	hide(p)[malloc_usable_size(p) + 1] = 1;
	pthread_create(&thread, NULL, free_it, p);
	pthread_join(thread, NULL);
}

static void written_after_free(void)
{
	void *more[1000];
	char *p = malloc(100), *late = hide(p);

	check(p);
	free(p);
	memset(late, 0x41, 16);
	for (int i = 0; i < 1000; i++)
		more[i] = malloc(100);
	hide(more[0]);
}

#define FREE	"slabpool: fatal: free of a pointer that is not an object: 0x"
#define TWICE	"slabpool: fatal: double free of 0x"
#define SIZE	"slabpool: fatal: free_sized of 0x"
#define PAST	"slabpool: fatal: write past the end of 0x"
#define LATE	"slabpool: fatal: write to the freed object 0x"
#define FATAL(sin, line) CASE(sin, .err = line, .signal = SIGABRT)
#define SECURE(sin, line) {						\
	.name = "secure_" #sin, .run = sin, .conf = "secure:true",	\
	.err = line, .signal = SIGABRT,					\
}

static const struct t_case cases[] = {
	FATAL(small_twice, TWICE),
	FATAL(medium_twice, "slabpool: fatal: "),	/* its chunk may be gone */
	FATAL(large_twice, FREE),
	FATAL(huge_twice, FREE),
	FATAL(kept_twice, TWICE),
	FATAL(kept_twice_by_two_threads, TWICE),
	FATAL(other_thread_twice, TWICE),
	FATAL(of_data, FREE),
	FATAL(of_stack, FREE),
	FATAL(of_code, FREE),
	FATAL(of_other_mapping, FREE),
	FATAL(of_wild, FREE),
	FATAL(inside_large, FREE),
	FATAL(far_inside_large, FREE),
	FATAL(inside_huge, FREE),
	FATAL(never_handed_out, FREE),
	FATAL(realloc_foreign, FREE),
	FATAL(realloc_freed_huge, FREE),
	FATAL(realloc_freed_kept, FREE),
	FATAL(sized_too_large, SIZE),
	FATAL(sized_too_small, SIZE),
	FATAL(sized_large_too_large, SIZE),
	SECURE(small_twice, TWICE),
	SECURE(medium_twice, "slabpool: fatal: "),
	SECURE(large_twice, FREE),
	SECURE(huge_twice, FREE),
	SECURE(other_thread_twice, TWICE),
	SECURE(of_data, FREE),
	SECURE(of_stack, FREE),
	SECURE(of_other_mapping, FREE),
	SECURE(of_wild, FREE),
	SECURE(inside_large, FREE),
	SECURE(inside_huge, FREE),
	SECURE(never_handed_out, FREE),
	SECURE(realloc_foreign, FREE),
	SECURE(realloc_freed_huge, FREE),
	SECURE(kept_twice, FREE),
	SECURE(sized_too_large, SIZE),
	SECURE(sized_too_small, SIZE),
	SECURE(small_late_twice, TWICE),
	SECURE(tiny_late_twice, TWICE),
	SECURE(medium_late_twice, TWICE),
	SECURE(other_thread_late_twice, TWICE),
	SECURE(twice_by_two_threads, TWICE),
	SECURE(inside_small, FREE),
	SECURE(askew_inside_small, FREE),
	SECURE(inside_medium, FREE),
	SECURE(overflow_by_a_byte, PAST),
	SECURE(overflow_of_medium, PAST),
	SECURE(overflow_by_a_string, PAST),
	SECURE(overflow_freed_by_other_thread, PAST),
	SECURE(written_after_free, LATE),
};

T_CASES(cases)

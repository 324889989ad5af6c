// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * What each path of the allocator costs, in instructions: this program runs itself
 * under callgrind, twice for each path, and the difference of two runs by that of
 * their operations is what one costs, whatever came before.  Loop and calls of the
 * test are taken off by a path that does nothing.
 *
 *	paths PATH COUNT	do that many operations
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "slabpool.h"

/* Calls cost what they cost, and what they get is used. */
static void use(void *p)
{
	__asm__ volatile("" : : "r"(p) : "memory");
}

__attribute__((noinline)) static void *nothing(size_t size)
{
	__asm__ volatile("" : "+r"(size));
	return (void *)size;
}

static void two_calls(size_t count)
{
	for (size_t i = 0; i < count; i++) {
		void *p = nothing(64);

		use(p);
		nothing((size_t)p);
	}
}

static void pairs(size_t count, size_t size)
{
	for (size_t i = 0; i < count; i++) {
		void *p = slabpool_malloc(size);

		use(p);
		slabpool_free(p);
	}
}

static void pairs_small(size_t count)	{ pairs(count, 64); }
static void pairs_medium(size_t count)	{ pairs(count, 4096); }
static void pairs_run(size_t count)	{ pairs(count, 100 << 10); }
static void pairs_hpages(size_t count)	{ pairs(count, 8 << 20); }

static void aligned(size_t count)
{
	for (size_t i = 0; i < count; i++)
		slabpool_free(slabpool_aligned_alloc(64, 64));
}

static void cleared(size_t count)
{
	for (size_t i = 0; i < count; i++)
		slabpool_free(slabpool_calloc(1, 64));
}

static void in_place(size_t count)
{
	void *p = slabpool_malloc(64);

	for (size_t i = 0; i < count; i++)
		p = slabpool_realloc(p, 49 + i % 16);
	slabpool_free(p);
}

/* Objects that are never needed again: all slow paths of growing, by their share. */
static void fresh(size_t count)
{
	for (size_t i = 0; i < count; i++)
		use(slabpool_malloc(64));
}

#define HELD	10000

/* Some of many, at random: chunks become full, and not so any more. */
static void replaced(size_t count)
{
	static void *held[HELD];
	unsigned int x = 1;

	for (size_t i = 0; i < count; i++) {
		x = x * 1103515245 + 12345;
		slabpool_free(held[(x >> 8) % HELD]);
		held[(x >> 8) % HELD] = slabpool_malloc(64);
	}
}

/* It is read at the first allocation, which is none of main()'s. */
static void secure(void)
{
	setenv("SLABPOOL_CONF", "secure:true", 1);
}

static void pairs_secure(size_t count)
{
	secure();
	pairs(count, 64);
}

static void replaced_secure(size_t count)
{
	secure();
	replaced(count);
}

/* One thread allocates, another frees, in turns of many: the whole way back too. */
static pthread_barrier_t turn;
static void *handed[HELD];

static void *frees(void *count)
{
	for (size_t i = 0; i < (size_t)count; i += HELD) {
		pthread_barrier_wait(&turn);
		for (size_t k = 0; k < HELD; k++)
			slabpool_free(handed[k]);
		pthread_barrier_wait(&turn);
	}
	return NULL;
}

static void remote(size_t count)
{
	pthread_t other;

	pthread_barrier_init(&turn, NULL, 2);
	if (pthread_create(&other, NULL, frees, (void *)count))
		exit(1);
	for (size_t i = 0; i < count; i += HELD) {
		for (size_t k = 0; k < HELD; k++)
			handed[k] = slabpool_malloc(64);
		pthread_barrier_wait(&turn);
		pthread_barrier_wait(&turn);
	}
	pthread_join(other, NULL);
}

static void *one_pair(void *unused)
{
	pairs(1, 64);
	return unused;
}

static void *no_pair(void *unused)
{
	return unused;
}

static void threads(size_t count, void *(*run)(void *))
{
	pthread_t thread;

	for (size_t i = 0; i < count; i++) {
		if (pthread_create(&thread, NULL, run, NULL))
			exit(1);
		pthread_join(thread, NULL);
	}
}

static void threads_with(size_t count)		{ threads(count, one_pair); }
static void threads_without(size_t count)	{ threads(count, no_pair); }

/*
 * @most: instructions an operation may take; @base: the path whose cost is none of the
 * allocator's.
 */
static const struct path {
	const char *name;
	void (*run)(size_t count);
	size_t count;
	const char *base;
	double most;
	const char *what;
} paths[] = {
	{ "calls",	two_calls,	20000,	NULL,		20,	"two calls and a loop" },
	{ "threads0",	threads_without, 50,	NULL,		1e6,	"create and join" },
	{ "small",	pairs_small,	20000,	"calls",	38,	"malloc + free, 64 bytes" },
	{ "medium",	pairs_medium,	20000,	"calls",	50,	"malloc + free, 4 KiB" },
	{ "aligned",	aligned,	20000,	"calls",	80,	"aligned_alloc + free, 64 bytes" },
	{ "cleared",	cleared,	20000,	"calls",	80,	"calloc + free, 64 bytes" },
	{ "in_place",	in_place,	20000,	NULL,		65,	"realloc in place" },
	{ "replaced",	replaced,	50000,	NULL,		85,	"replace one of 10,000 at random, 64 bytes" },
	{ "fresh",	fresh,		50000,	NULL,		40,	"malloc of memory never used before, 64 bytes" },
	{ "remote",	remote,		100000,	NULL,		100,	"malloc here, free there, 64 bytes" },
	{ "run",	pairs_run,	20000,	"calls",	400,	"malloc + free, 100 KiB" },
	{ "hpages",	pairs_hpages,	2000,	"calls",	2300,	"malloc + free, 8 MiB" },
	{ "threads",	threads_with,	50,	"threads0",	5000,	"a thread's first malloc + free, and its end" },
	{ "secure",	pairs_secure,	20000,	"calls",	240,	"malloc + free, 64 bytes, secure" },
	{ "secured",	replaced_secure,	50000,	NULL,		270,	"replace one of 10,000, 64 bytes, secure" },
};

static const struct path *path_of(const char *name)
{
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		if (!strcmp(paths[i].name, name))
			return &paths[i];
	return NULL;
}

/* Instructions of a whole run; negative: there was none. */
static double run_of(const struct path *path, size_t count)
{
	char self[256] = "", command[512], line[256];
	double collected = -1;
	FILE *output;

	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		return -1;
	snprintf(command, sizeof(command),
		 "valgrind --tool=callgrind --callgrind-out-file=/dev/null '%s' %s %zu 2>&1",
		 self, path->name, count);
	output = popen(command, "r");
	while (output && fgets(line, sizeof(line), output))
		sscanf(line, "==%*d== Collected : %lf", &collected);
	if (!output || pclose(output))
		return -1;
	return collected;
}

static double cost_of(const struct path *path)
{
	double one = run_of(path, path->count), two = run_of(path, 2 * path->count);

	return one < 0 || two < 0 ? -1e9 : (two - one) / (double)path->count;
}

FIXTURE(path) {
};

FIXTURE_VARIANT(path) {
	const char *name;
};

FIXTURE_SETUP(path)
{
}

FIXTURE_TEARDOWN(path)
{
}

#define PATH(n)	FIXTURE_VARIANT_ADD(path, n) { .name = #n }

PATH(small);
PATH(medium);
PATH(aligned);
PATH(cleared);
PATH(in_place);
PATH(replaced);
PATH(fresh);
PATH(remote);
PATH(run);
PATH(hpages);
PATH(threads);
PATH(secure);
PATH(secured);

TEST_F(path, takes_no_more_instructions_than_promised)
{
	const struct path *path = path_of(variant->name);
	double cost = cost_of(path), base = path->base ? cost_of(path_of(path->base)) : 0;

	TH_LOG("%-46s %8.1f, promised %.0f", path->what, cost - base, path->most);
	EXPECT_LT(0, cost - base);
	EXPECT_LE(cost - base, path->most);
}

int main(int argc, char **argv)
{
	if (argc == 3 && path_of(argv[1])) {
		path_of(argv[1])->run(strtoul(argv[2], NULL, 10));
		return 0;
	}
	return test_harness_run(argc, argv);
}

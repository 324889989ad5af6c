// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Growth and collapse: two threads grow to 512 MiB together, each call timed, free
 * 98 % of it at random, and sleep.  How long did the slowest calls take, and what
 * is left of the memory when the threads have slept for a while?
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#else
#error "a clock that is read in a few instructions is missing for this architecture"
#endif

#include "work.h"

#define BYTES		(256ul << 20)	/* for each thread */
#define KEPT		50		/* one of so many */
#define SAMPLE_MS	20

/* ---- latencies ---------------------------------------------------------- */

/* Ticks: 32 buckets for each power of two, so an error of 3 %. */
#define STEPS	5
#define BUCKETS	(64 << STEPS)

struct histogram {
	uint64_t counts[BUCKETS];
	uint64_t total, most;
};

static unsigned int bucket_of(uint64_t ticks)
{
	unsigned int top;

	if (ticks < 1 << STEPS)
		return ticks;
	top = 63 - __builtin_clzll(ticks);
	return ((top - STEPS + 1) << STEPS) | ((ticks >> (top - STEPS)) & ((1 << STEPS) - 1));
}

/* The least number of ticks of a bucket. */
static uint64_t least_of(unsigned int bucket)
{
	unsigned int top = bucket >> STEPS;

	if (!top)
		return bucket;
	return ((1ull << STEPS) | (bucket & ((1 << STEPS) - 1))) << (top - 1);
}

static inline void record(struct histogram *h, uint64_t ticks)
{
	h->counts[bucket_of(ticks)]++;
	h->total++;
	if (ticks > h->most)
		h->most = ticks;
}

static void merge(struct histogram *into, const struct histogram *from)
{
	for (unsigned int i = 0; i < BUCKETS; i++)
		into->counts[i] += from->counts[i];
	into->total += from->total;
	into->most = into->most > from->most ? into->most : from->most;
}

static double quantile(const struct histogram *h, double share)
{
	uint64_t rank = h->total * share, seen = 0;

	for (unsigned int i = 0; i < BUCKETS; i++) {
		seen += h->counts[i];
		if (seen > rank)
			return least_of(i);
	}
	return h->most;
}

static inline uint64_t ticks(void)
{
	unsigned int cpu;

	return __rdtscp(&cpu);
}

static double ticks_per_ns(void)
{
	struct timespec rest = { .tv_nsec = 20000000 };
	double begin = work_now();
	uint64_t from = ticks();

	nanosleep(&rest, NULL);
	return (ticks() - from) / ((work_now() - begin) * 1e9);
}

/* ---- the threads -------------------------------------------------------- */

struct grower {
	uint64_t random;
	size_t bytes;
	size_t count, room;
	void **objects;
	struct histogram allocs, frees, empty;
};

static pthread_barrier_t collapsed;

static void grow(struct grower *grower)
{
	size_t grown = 0;

	while (grown < grower->bytes && grower->count < grower->room) {
		size_t size = work_size(&grower->random);
		uint64_t begin = ticks();
		void *p = malloc(size);

		record(&grower->allocs, ticks() - begin);
		if (!p)
			abort();
		work_touch(p, size);
		grower->objects[grower->count++] = p;
		grown += size;
		begin = ticks();
		record(&grower->empty, ticks() - begin);
	}
}

/* In random order: an object's neighbours stay a while. */
static void collapse(struct grower *grower)
{
	for (size_t i = grower->count; i > 1; i--) {
		size_t other = work_random(&grower->random) % i;
		void *p = grower->objects[other];

		grower->objects[other] = grower->objects[i - 1];
		grower->objects[i - 1] = p;
	}
	for (size_t i = 0; i < grower->count; i++) {
		uint64_t begin;

		if (i % KEPT == 0)
			continue;
		begin = ticks();
		free(grower->objects[i]);
		record(&grower->frees, ticks() - begin);
		grower->objects[i] = NULL;
	}
}

/* The threads are there, idle, while memory is given back: no help from them. */
static void *grow_and_collapse(void *arg)
{
	grow(arg);
	collapse(arg);
	pthread_barrier_wait(&collapsed);
	pthread_barrier_wait(&collapsed);
	return NULL;
}

/* ---- memory over time --------------------------------------------------- */

static _Atomic int sampling;

static void *sample(void *arg)
{
	double begin = work_now();

	while (sampling) {
		work_point("memory", work_now() - begin, work_memory() / 1024);
		usleep(SAMPLE_MS * 1000);
	}
	return arg;
}

static int by_address(const void *a, const void *b)
{
	uintptr_t left = *(const uintptr_t *)a, right = *(const uintptr_t *)b;

	return left < right ? -1 : left > right;
}

/* KiB of the distinct 2 MiB pages that the kept objects lie in: none can give less. */
static double live_hpages(struct grower *growers, unsigned int threads)
{
	size_t room = 0, count = 0, distinct = 0;
	uintptr_t *pages;

	for (unsigned int t = 0; t < threads; t++)
		room += growers[t].count / KEPT + 1;
	pages = calloc(room, sizeof(*pages));
	for (unsigned int t = 0; t < threads; t++)
		for (size_t i = 0; i < growers[t].count && count < room; i++)
			if (growers[t].objects[i])
				pages[count++] = (uintptr_t)growers[t].objects[i] >> 21;
	qsort(pages, count, sizeof(*pages), by_address);
	for (size_t i = 0; i < count; i++)
		distinct += !i || pages[i] != pages[i - 1];
	free(pages);
	return distinct * 2048.0;
}

static void say_latencies(const char *name, const struct histogram *h, double per_ns)
{
	static const double shares[] = { 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999 };
	char metric[32];

	for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++)
		work_point(name, shares[i], quantile(h, shares[i]) / per_ns);
	work_point(name, 1, h->most / per_ns);
	snprintf(metric, sizeof(metric), "%s_p9999_ns", name);
	work_metric(metric, quantile(h, 0.9999) / per_ns);
	snprintf(metric, sizeof(metric), "%s_max_ns", name);
	work_metric(metric, h->most / per_ns);
}

/* The coordinator and the sampler are threads too: two CPUs are enough for all. */
void work_growth(const struct work *work)
{
	size_t bytes = work_count(work, BYTES), room = bytes / 256 + 64;
	struct grower *growers = calloc(2, sizeof(*growers));
	double per_ns = ticks_per_ns(), before;
	pthread_t sampler, threads[2];

	for (unsigned int t = 0; t < 2; t++) {
		growers[t] = (struct grower){ .random = 2463534242ull + t, .bytes = bytes,
					      .room = room };
		growers[t].objects = malloc(room * sizeof(void *));
		memset(growers[t].objects, 1, room * sizeof(void *));	/* not counted later */
	}
	pthread_barrier_init(&collapsed, NULL, 3);
	sampling = 1;
	if (pthread_create(&sampler, NULL, sample, NULL))
		abort();
	before = work_memory();
	for (unsigned int t = 0; t < 2; t++)
		if (pthread_create(&threads[t], NULL, grow_and_collapse, &growers[t]))
			abort();
	pthread_barrier_wait(&collapsed);
	usleep(work->idle * 1e6);
	work_metric("left_kib", work_memory() - before);
	work_metric("live_kib", live_hpages(growers, 2));
	pthread_barrier_wait(&collapsed);
	for (unsigned int t = 0; t < 2; t++)
		pthread_join(threads[t], NULL);
	sampling = 0;
	pthread_join(sampler, NULL);
	work_metric("peak_kib", work_peak());
	merge(&growers[0].allocs, &growers[1].allocs);
	merge(&growers[0].frees, &growers[1].frees);
	merge(&growers[0].empty, &growers[1].empty);
	say_latencies("malloc", &growers[0].allocs, per_ns);
	say_latencies("free", &growers[0].frees, per_ns);
	say_latencies("empty", &growers[0].empty, per_ns);
}

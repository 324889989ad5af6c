// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Threads fill objects with patterns, read them again, hand them to each other,
 * resize and free them, end and are born again.  Whatever the allocator mixes up
 * shows as a pattern that is not there.  STRESS_SEED repeats a run.
 */
#include <stdatomic.h>

#include "preload.h"

#define WORKERS	4
#define LIVES	6		/* of each worker */
#define OWN	200		/* objects that a worker keeps */
#define SHARED	512		/* places where objects change hands */

struct object {
	size_t size, align;
	uint64_t seed;
	char data[];
};

static struct object *_Atomic shared[SHARED];
static _Atomic uint64_t operations;
static uint64_t first_seed = 20260101;

/* As programs ask: mostly small, a few of everything. */
static size_t some_size(uint64_t *seed)
{
	uint64_t r = t_random(seed);
	unsigned int kind = r % 1000;

	r >>= 32;
	if (kind < 800)
		return r % 512;
	if (kind < 950)
		return r % 8192;
	if (kind < 990)
		return r % 65536;
	if (kind < 998)
		return r % 1048576;
	return r % (5 * T_MIB);
}

static void verify(const struct object *o)
{
	check((uintptr_t)o % o->align == 0);
	check(t_is_filled(o->data, o->size, o->seed));
}

static void fill(struct object *o, size_t size, size_t align, uint64_t seed)
{
	o->size = size;
	o->align = align;
	o->seed = seed;
	t_fill(o->data, size, seed);
}

static struct object *create(uint64_t *seed)
{
	size_t size = some_size(seed), room = sizeof(struct object) + size, align = 16;
	struct object *o = NULL;
	uint64_t how = t_random(seed) >> 32;

	if (how % 16 == 0) {
		align <<= how / 16 % 9;
		o = aligned_alloc(align, room);
	} else if (how % 16 == 1) {
		o = calloc(1, room);
		check(o && t_is_zero(o, room));
	} else {
		o = malloc(room);
	}
	check(o);
	fill(o, size, align, t_random(seed));
	return o;
}

static struct object *resize(struct object *o, uint64_t *seed)
{
	size_t size = some_size(seed);
	size_t both = size < o->size ? size : o->size;

	o = realloc(o, sizeof(*o) + size);
	check(o);
	check(t_is_filled(o->data, both, o->seed));
	fill(o, size, 16, t_random(seed));
	return o;
}

static void destroy(struct object *o)
{
	if (!o)
		return;
	verify(o);
	memset(o, 0xdd, sizeof(*o));
	free(hide(o));
}

static void step(struct object **own, uint64_t *seed)
{
	uint64_t r = t_random(seed) >> 16;
	struct object **at = &own[r % OWN];
	unsigned int kind = r / OWN % 16;

	if (!*at) {
		*at = create(seed);
	} else if (kind < 8) {
		destroy(*at);
		*at = NULL;
	} else if (kind < 12) {
		verify(*at);
		*at = atomic_exchange(&shared[t_random(seed) % SHARED], *at);
	} else if (kind < 14) {
		*at = resize(*at, seed);
	} else {
		verify(*at);
	}
}

static double life_seconds;
static bool naps;

/* About as long as it takes to be taken for idle: to wake while that happens. */
static void nap(uint64_t *seed)
{
	if (naps && t_random(seed) % 4 == 0)
		t_sleep_ms(8 + (long)(t_random(seed) % 20));
}

static void *worker(void *arg)
{
	struct object **own = calloc(OWN, sizeof(*own));
	uint64_t seed = first_seed * 31 + (uintptr_t)arg + 1, n = 0;
	double until = t_now() + life_seconds;

	check(own);
	while (t_now() < until) {
		for (int i = 0; i < 500; i++, n++)
			step(own, &seed);
		nap(&seed);
	}
	operations += n;
	/* Half of what it has goes to others. */
	for (int i = 0; i < OWN; i++)
		destroy(i % 2 ? own[i] :
			atomic_exchange(&shared[t_random(&seed) % SHARED], own[i]));
	free(own);
	return NULL;
}

static void run(double seconds)
{
	pthread_t thread[WORKERS];
	struct slabpool_stats stats;

	if (getenv("STRESS_SEED"))
		first_seed = strtoull(getenv("STRESS_SEED"), NULL, 0);
	note("STRESS_SEED=%llu\n", (unsigned long long)first_seed);
	life_seconds = seconds / LIVES;
	for (uintptr_t n = 0; n < LIVES * WORKERS; n += WORKERS) {
		for (uintptr_t i = 0; i < WORKERS; i++)
			check(pthread_create(&thread[i], NULL, worker, (void *)(n + i)) == 0);
		for (int i = 0; i < WORKERS; i++)
			pthread_join(thread[i], NULL);
	}
	for (int i = 0; i < SHARED; i++)
		destroy(atomic_exchange(&shared[i], NULL));
	note("%llu operations\n", (unsigned long long)operations);
	check(operations > 3000);
	/* All is freed: little may be left once everybody is gone. */
	t_lib(slabpool_release)();
	stats = t_stats();
	note("committed %llu, peak %llu\n", (unsigned long long)stats.committed,
	     (unsigned long long)stats.peak);
	check(stats.committed <= 24 * T_MIB);
}

static void patterns(void) { run(5); }
static void patterns_inline_decay(void) { run(2); }
static void patterns_no_decay_time(void) { run(2); }

/* Threads that sleep lose their caches to the background, and go on with others. */
static void patterns_of_idle_threads(void)
{
	naps = true;
	run(6);
}

/* One makes, the other frees: memory must come round, not grow. */
static _Atomic bool all_made;

static void *consume(void *unused)
{
	bool last, any;

	do {
		last = all_made;	/* before the look: what is made later counts */
		any = false;
		for (int i = 0; i < SHARED; i++) {
			struct object *o = atomic_exchange(&shared[i], NULL);

			any = any || o;
			destroy(o);
		}
		if (!any)
			t_sleep_ms(1);
	} while (any || !last);
	return unused;
}

static void producer_consumer(void)
{
	double until = t_now() + 3;
	uint64_t seed = first_seed, n = 0;
	pthread_t thread;

	check(pthread_create(&thread, NULL, consume, NULL) == 0);
	while (t_now() < until) {
		struct object *expected = NULL, *o;
		size_t size = 1 + t_random(&seed) % 300;

		o = malloc(sizeof(*o) + size);
		check(o);
		fill(o, size, 16, t_random(&seed));
		for (int i = (int)(t_random(&seed) % SHARED);
		     !atomic_compare_exchange_weak(&shared[i], &expected, o);
		     i = (i + 1) % SHARED)
			expected = NULL;
		n++;
	}
	all_made = true;
	pthread_join(thread, NULL);
	note("%llu objects, peak %llu\n", (unsigned long long)n,
	     (unsigned long long)t_stats().peak);
	check(t_stats().peak <= 24 * T_MIB);
}

#define SECURE(function) {						\
	.name = "secure_" #function, .run = function, .seconds = 60,	\
	.conf = "secure:true,decay_ms:20",				\
}

static const struct t_case cases[] = {
	CASE(patterns, .seconds = 60),
	CASE(patterns_inline_decay, .conf = "background_thread:false,decay_ms:100", .seconds = 60),
	CASE(patterns_no_decay_time, .conf = "decay_ms:0", .seconds = 60),
	CASE(patterns_of_idle_threads, .conf = "decay_ms:20", .seconds = 60),
	CASE(producer_consumer, .seconds = 60),
	SECURE(patterns),
	SECURE(patterns_of_idle_threads),
	SECURE(producer_consumer),
};

T_CASES(cases)

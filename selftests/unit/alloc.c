// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The malloc family as a whole against a model: every object is filled with a
 * pattern of its own, which must be there when it is freed, and no two objects
 * may overlap.  Then the node heap's equations must hold.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "cache.h"
#include "kselftest_harness.h"
#include "slabpool.h"

#define OBJECTS	2000

/* Under TSan each step takes ten times as long. */
#ifdef __SANITIZE_THREAD__
#define STEPS(n)	((n) / 10)
#else
#define STEPS(n)	(n)
#endif

struct object {
	unsigned char *at;
	size_t size;
	unsigned char pattern;
};

static bool nodes_are_sane(void)
{
	bool sane = true;

	for (int id = 0; id < SP_MAX_NODES; id++)
		if (sp_node_get(id))
			sane = sane && sp_node_check(sp_node_get(id));
	return sane;
}

static size_t random_size(unsigned int *seed)
{
	switch (rand_r(seed) % 16) {
	case 0: return (size_t)rand_r(seed) % (rand_r(seed) % 8 ? SP_UNIT : 3 * SP_HPAGE);
	case 1: return (size_t)rand_r(seed) % (256 * SP_KIB);
	case 2: case 3: case 4: return (size_t)rand_r(seed) % SP_MEDIUM_MAX;
	default: return (size_t)rand_r(seed) % 600;
	}
}

/* Filling all of a large object would be all the test does: ends and middle. */
static void mark(struct object *o)
{
	size_t n = o->size < 256 ? o->size : 256;

	memset(o->at, o->pattern, n);
	memset(o->at + (o->size - n) / 2, o->pattern, n);
	memset(o->at + o->size - n, o->pattern, n);
}

static bool is_marked(const struct object *o)
{
	size_t n = o->size < 256 ? o->size : 256;

	for (size_t i = 0; i < n; i++)
		if (o->at[i] != o->pattern || o->at[(o->size - n) / 2 + i] != o->pattern ||
		    o->at[o->size - n + i] != o->pattern)
			return false;
	return true;
}

static bool make(struct object *o, unsigned int *seed)
{
	size_t align = (size_t)16 << (rand_r(seed) % 10);

	o->size = random_size(seed);
	o->pattern = (unsigned char)rand_r(seed);
	switch (rand_r(seed) % 4) {
	case 0:
		o->at = slabpool_aligned_alloc(align, o->size);
		if ((uintptr_t)o->at % align)
			return false;
		break;
	case 1:
		o->at = slabpool_calloc(1, o->size);
		for (size_t i = 0; o->at && i < o->size; i += o->size / 4096 + 1)
			if (o->at[i])
				return false;
		break;
	default:
		o->at = slabpool_malloc(o->size);
	}
	if (!o->at || (uintptr_t)o->at % 16 || slabpool_usable_size(o->at) < o->size)
		return false;
	mark(o);
	return true;
}

static bool resize(struct object *o, unsigned int *seed)
{
	size_t size = random_size(seed) + 1;
	struct object kept = *o;
	unsigned char *at = slabpool_realloc(o->at, size);

	if (!at)
		return false;
	/* Its beginning is what it was. */
	kept.at = at;
	for (size_t i = 0; i < 256 && i < size && i < kept.size; i++)
		if (at[i] != kept.pattern)
			return false;
	o->at = at;
	o->size = size;
	mark(o);
	return true;
}

static bool churn(struct object *objects, int steps, unsigned int seed)
{
	for (int i = 0; i < steps; i++) {
		struct object *o = &objects[rand_r(&seed) % OBJECTS];

		if (!o->at) {
			if (!make(o, &seed))
				return false;
			continue;
		}
		if (!is_marked(o))
			return false;
		if (rand_r(&seed) % 4 == 0) {
			if (!resize(o, &seed))
				return false;
			continue;
		}
		slabpool_free(o->at);
		o->at = NULL;
	}
	return true;
}

static bool drop_all(struct object *objects)
{
	for (int i = 0; i < OBJECTS; i++) {
		if (objects[i].at && !is_marked(&objects[i]))
			return false;
		slabpool_free(objects[i].at);
		objects[i].at = NULL;
	}
	return true;
}

TEST(random_calls_on_one_thread_keep_every_object_intact)
{
	static struct object objects[OBJECTS];

	ASSERT_EQ(0, slabpool_init());
	ASSERT_TRUE(churn(objects, STEPS(100000), 1));
	EXPECT_TRUE(nodes_are_sane());
	ASSERT_TRUE(drop_all(objects));
	EXPECT_TRUE(nodes_are_sane());
}

/* Objects move between threads through a shared table. */
static struct object shared[8][OBJECTS];

static void *worker(void *arg)
{
	intptr_t me = (intptr_t)arg;

	return (void *)(intptr_t)churn(shared[me], STEPS(15000), (unsigned int)me + 1);
}

TEST(threads_that_inherit_each_others_objects_keep_them_intact)
{
	pthread_t threads[4];
	void *ok;

	for (int round = 0; round < 4; round++) {
		for (intptr_t i = 0; i < 4; i++)
			ASSERT_EQ(0, pthread_create(&threads[i], NULL, worker,
						    (void *)((i + round) % 8)));
		for (int i = 0; i < 4; i++) {
			ASSERT_EQ(0, pthread_join(threads[i], &ok));
			ASSERT_NE(NULL, ok);
		}
	}
	EXPECT_TRUE(nodes_are_sane());
	for (int i = 0; i < 8; i++)
		ASSERT_TRUE(drop_all(shared[i]));
	slabpool_release();
	EXPECT_TRUE(nodes_are_sane());
}

/* One thread allocates, another frees, without a pause. */
#define RING	512
static void *_Atomic ring[RING];

static void *consumer(void *unused)
{
	(void)unused;
	for (int i = 0; i < 300000; i++) {
		void *p;

		while (!(p = atomic_exchange_explicit(&ring[i % RING], NULL,
						      memory_order_acquire)))
			sched_yield();
		if (*(int *)p != i)
			return "wrong content";
		slabpool_free(p);
	}
	return NULL;
}

TEST(remote_frees_come_home_and_memory_stays_bounded)
{
	struct slabpool_stats stats;
	pthread_t thread;
	void *error;

	ASSERT_EQ(0, pthread_create(&thread, NULL, consumer, NULL));
	for (int i = 0; i < 300000; i++) {
		int *p = slabpool_malloc((size_t)i % 200 + 4);

		ASSERT_NE(NULL, p);
		*p = i;
		while (atomic_load_explicit(&ring[i % RING], memory_order_relaxed))
			sched_yield();
		atomic_store_explicit(&ring[i % RING], p, memory_order_release);
	}
	ASSERT_EQ(0, pthread_join(thread, &error));
	EXPECT_EQ(NULL, error);
	ASSERT_EQ(0, slabpool_stats(&stats, sizeof(stats)));
	/* 512 objects of at most 204 bytes live, and some thousands in flight. */
	EXPECT_LE(stats.committed, 4 * SP_HPAGE);
}

TEST(all_memory_goes_back_when_all_is_freed)
{
	static void *p[20000];
	struct slabpool_stats stats;

	for (int i = 0; i < 20000; i++)
		ASSERT_NE(NULL, p[i] = slabpool_malloc((size_t)i % 30000));
	ASSERT_EQ(0, slabpool_stats(&stats, sizeof(stats)));
	EXPECT_GE(stats.active, 190 * SP_MIB);
	for (int i = 0; i < 20000; i++)
		slabpool_free(p[i]);
	EXPECT_GE(slabpool_release(), 190 * SP_MIB);
	ASSERT_EQ(0, slabpool_stats(&stats, sizeof(stats)));
	EXPECT_EQ(0, stats.unused);
	EXPECT_LE(stats.committed, SP_HPAGE);
	EXPECT_EQ(stats.commits, stats.decommits + stats.committed / SP_HPAGE);
}

static void *alloc_and_leave(void *out)
{
	for (int i = 0; i < 1000; i++)
		((void **)out)[i] = slabpool_malloc(1000);
	return NULL;
}

TEST(an_ended_threads_memory_is_used_again_or_goes_back)
{
	static void *p[1000];
	struct slabpool_stats stats;
	pthread_t thread;

	for (int round = 0; round < 200; round++) {
		ASSERT_EQ(0, pthread_create(&thread, NULL, alloc_and_leave, p));
		ASSERT_EQ(0, pthread_join(thread, NULL));
		for (int i = 0; i < 1000; i++)
			slabpool_free(p[i]);
	}
	ASSERT_EQ(0, slabpool_stats(&stats, sizeof(stats)));
	EXPECT_LE(stats.caches, 3);	/* not one for each thread there ever was */
	EXPECT_LE(stats.committed, 4 * SP_HPAGE);
	slabpool_release();
	ASSERT_EQ(0, slabpool_stats(&stats, sizeof(stats)));
	EXPECT_LE(stats.committed, SP_HPAGE);
}

static void *leave_one(void *out)
{
	*(void **)out = slabpool_malloc(100);
	return NULL;
}

TEST(orphans_that_keep_an_object_do_not_hold_up_a_release)
{
	void *p[20];
	pthread_t thread[20];
	struct slabpool_stats stats;

	for (int i = 0; i < 20; i++)
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, leave_one, &p[i]));
	for (int i = 0; i < 20; i++)
		ASSERT_EQ(0, pthread_join(thread[i], NULL));
	slabpool_release();
	for (int i = 0; i < 20; i++)
		slabpool_free(p[i]);
	slabpool_release();
	ASSERT_EQ(0, slabpool_stats(&stats, sizeof(stats)));
	EXPECT_LE(stats.committed, 2 * SP_HPAGE);
}

TEST(huge_objects_reuse_what_the_last_one_left)
{
	struct slabpool_stats stats;

	for (int i = 0; i < 100; i++) {
		char *p = slabpool_malloc(20 * SP_MIB);

		ASSERT_NE(NULL, p);
		p[0] = p[20 * SP_MIB - 1] = 1;
		slabpool_free(p);
	}
	ASSERT_EQ(0, slabpool_stats(&stats, sizeof(stats)));
	EXPECT_LE(stats.committed, 24 * SP_MIB);
}

TEST(alignments_up_to_a_gigabyte_and_no_others)
{
	/* volatile: the compiler would refuse them already. */
	static const volatile size_t bad[] = { 2 * SP_GIB, 48, 0 };

	for (size_t align = 1; align <= SP_GIB; align *= 2) {
		char *p = slabpool_aligned_alloc(align, 100);

		ASSERT_NE(NULL, p);
		EXPECT_EQ(0, (uintptr_t)p % align);
		p[99] = 1;
		slabpool_free(p);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(NULL, slabpool_aligned_alloc(bad[i], 100));
		EXPECT_EQ(EINVAL, errno);
	}
}

TEST(impossible_sizes_are_refused_and_counted)
{
	/* volatile: the compiler would refuse them already. */
	volatile size_t most = PTRDIFF_MAX;
	struct slabpool_stats stats;

	ASSERT_EQ(0, slabpool_init());
	errno = 0;
	EXPECT_EQ(NULL, slabpool_malloc(most + 1));
	EXPECT_EQ(ENOMEM, errno);
	errno = 0;
	EXPECT_EQ(NULL, slabpool_calloc(most, 4));
	EXPECT_EQ(ENOMEM, errno);
	errno = 0;
	EXPECT_EQ(NULL, slabpool_malloc(most));
	EXPECT_EQ(ENOMEM, errno);
	ASSERT_EQ(0, slabpool_stats(&stats, sizeof(stats)));
	EXPECT_EQ(3, stats.failures);
}

TEST(an_object_on_a_node_is_an_ordinary_object)
{
	struct sp_node *node;
	char *p[100];

	ASSERT_EQ(0, slabpool_init());
	node = sp_node_here();
	for (int i = 0; i < 100; i++) {
		p[i] = slabpool_malloc_onnode((size_t)i * 1000, node->id);
		ASSERT_NE(NULL, p[i]);
		EXPECT_EQ(node, sp_chunk_of(p[i])->node);
	}
	for (int i = 0; i < 100; i++)
		slabpool_free(p[i]);
	EXPECT_EQ(NULL, slabpool_malloc_onnode(10, SP_MAX_NODES));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(NULL, slabpool_malloc_onnode(10, -2));
	EXPECT_EQ(EINVAL, errno);
}

TEST(what_is_primed_is_in_the_cache_and_goes_when_it_is_not_wanted)
{
	static const size_t sizes[] = { 1, 64, 1000, 5000, 32000 };
	struct slabpool_stats before, after;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		ASSERT_EQ(0, slabpool_prime(sizes[i], 3000));
		ASSERT_EQ(0, slabpool_stats(&before, sizeof(before)));
		for (int n = 0; n < 3000; n++)
			ASSERT_NE(NULL, slabpool_malloc(sizes[i]));
		ASSERT_EQ(0, slabpool_stats(&after, sizeof(after)));
		EXPECT_EQ(before.active, after.active);
		/* There are enough already. */
		EXPECT_EQ(0, slabpool_prime(sizes[i], 0));
	}
	EXPECT_EQ(0, slabpool_prime(100, 20000));
	ASSERT_EQ(0, slabpool_stats(&after, sizeof(after)));
	EXPECT_GE(after.active, before.active + 1 * SP_MIB);
	slabpool_release();
	ASSERT_EQ(0, slabpool_stats(&after, sizeof(after)));
	EXPECT_LE(after.active, before.active + SP_UNIT);
	EXPECT_TRUE(nodes_are_sane());
}

static uint64_t active(void)
{
	struct slabpool_stats stats = { 0 };

	slabpool_stats(&stats, sizeof(stats));
	return stats.active;
}

static void *free_it(void *p)
{
	slabpool_free(p);
	return NULL;
}

TEST(a_thread_keeps_the_buffers_it_freed_last)
{
	char *p[20], *q;
	pthread_t thread;
	uint64_t before;

	setenv("SLABPOOL_CONF", "background_thread:false", 1);
	slabpool_free(slabpool_malloc(1));
	before = active();
	/* The same one comes back, as if it were new. */
	p[0] = slabpool_malloc(100000);
	ASSERT_NE(NULL, p[0]);
	memset(p[0], 0xaa, 100000);
	slabpool_free(p[0]);
	EXPECT_EQ(0, slabpool_usable_size(p[0]));
	q = slabpool_calloc(1, 100000);
	EXPECT_EQ(p[0], q);
	for (int i = 0; i < 100000; i++)
		ASSERT_EQ(0, q[i]);
	EXPECT_EQ(sp_round_up(100000, SP_UNIT), slabpool_usable_size(q));
	slabpool_free(q);
	/* A little smaller is as good, a quarter is not, nor is what needs an alignment. */
	q = slabpool_malloc(95000);
	EXPECT_EQ(p[0], q);
	slabpool_free(q);
	q = slabpool_malloc(70000);
	EXPECT_NE(p[0], q);
	slabpool_free(q);
	q = slabpool_aligned_alloc(SP_HPAGE, 100000);
	EXPECT_EQ(0, (uintptr_t)q % SP_HPAGE);
	slabpool_free(q);

	/* 1 MiB together, and eight. */
	for (int i = 0; i < 20; i++)
		p[i] = slabpool_malloc(200 * SP_KIB);
	for (int i = 0; i < 20; i++)
		slabpool_free(p[i]);
	EXPECT_GE(before + SP_MIB, active());
	for (int i = 0; i < 20; i++)
		p[i] = slabpool_malloc(40 * SP_KIB);
	for (int i = 0; i < 20; i++)
		slabpool_free(p[i]);
	EXPECT_GE(before + 8 * 40 * SP_KIB, active());
	/* Nothing is kept by who ends, is idle, or gives all back. */
	slabpool_thread_idle();
	EXPECT_GE(before, active());
	p[0] = slabpool_malloc(200 * SP_KIB);
	ASSERT_EQ(0, pthread_create(&thread, NULL, free_it, p[0]));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_GE(before, active());
	slabpool_free(slabpool_malloc(200 * SP_KIB));
	slabpool_release();
	EXPECT_GE(before, active());
	EXPECT_TRUE(nodes_are_sane());
}

TEST(free_keeps_errno)
{
	void *small = slabpool_malloc(10), *large = slabpool_malloc(SP_MIB);
	void *huge = slabpool_malloc(8 * SP_MIB);

	errno = 77;
	slabpool_free(small);
	slabpool_free(large);
	slabpool_free(huge);
	slabpool_free(NULL);
	EXPECT_EQ(77, errno);
}

TEST(a_chunk_adds_up_whatever_was_allocated_and_freed)
{
	void *p[300];
	struct sp_chunk *chunk;

	for (int i = 0; i < 300; i++)
		p[i] = slabpool_malloc(48);
	for (int i = 0; i < 300; i += 3)
		slabpool_free(p[i]);
	for (int i = 1; i < 300; i += 3) {
		chunk = sp_chunk_of(p[i]);
		EXPECT_EQ(slabpool_usable_size(p[i]), chunk->size);
		EXPECT_TRUE(sp_chunk_check(chunk));
	}
}

TEST_HARNESS_MAIN

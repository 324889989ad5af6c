// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * lib/owner.c: caches change hands while their threads work.  A reclaimer that
 * takes over without pause must never meet a thread inside an operation: every
 * object keeps its pattern, and every chunk adds up.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "owner.h"
#include "kselftest_harness.h"
#include "slabpool.h"

#define WORKERS	4
#define OBJECTS	300

#ifdef __SANITIZE_THREAD__
#define STEPS	100000
#else
#define STEPS	2000000
#endif

static _Atomic bool stop;
static _Atomic uint64_t taken_over;

static void *take_over_always(void *node)
{
	struct sp_node_counts counts;

	while (!atomic_load(&stop)) {
		sp_owner_take_over(node, true);
		sp_node_counts(node, &counts);
		taken_over += counts.orphans;
		sp_owner_reclaim(node, UINT64_MAX);
	}
	return NULL;
}

/* Each worker's objects; a neighbour frees some of them. */
static unsigned char *_Atomic objects[WORKERS][OBJECTS];

static void *work(void *arg)
{
	unsigned int me = (unsigned int)(uintptr_t)arg, seed = me + 1;

	for (int i = 0; i < STEPS; i++) {
		unsigned int whose = rand_r(&seed) % 8 ? me : (me + 1) % WORKERS;
		unsigned int at = (unsigned int)rand_r(&seed) % OBJECTS;
		unsigned char *p = atomic_exchange(&objects[whose][at], NULL);
		size_t size = 16 + at * 3;

		if (p) {
			for (size_t b = 0; b < size; b += size / 4)
				if (p[b] != (unsigned char)at)
					return "an object has changed";
			slabpool_free(p);
			continue;
		}
		p = slabpool_malloc(size);
		if (!p)
			return "out of memory";
		memset(p, (int)at, size);
		p = atomic_exchange(&objects[whose][at], p);
		slabpool_free(p);
		/* Now and then long enough outside for a slow reclaimer. */
		if (i % 4096 == 0)
			sched_yield();
	}
	return NULL;
}

TEST(a_cache_is_never_taken_from_inside_an_operation)
{
	pthread_t workers[WORKERS], reclaimer;
	struct sp_node *node;
	void *error;

	setenv("SLABPOOL_CONF", "background_thread:true,decay_ms:60000", 1);
	ASSERT_EQ(0, slabpool_init());
	node = sp_node_here();
	ASSERT_EQ(0, pthread_create(&reclaimer, NULL, take_over_always, node));
	for (uintptr_t i = 0; i < WORKERS; i++)
		ASSERT_EQ(0, pthread_create(&workers[i], NULL, work, (void *)i));
	for (int i = 0; i < WORKERS; i++) {
		ASSERT_EQ(0, pthread_join(workers[i], &error));
		EXPECT_EQ(NULL, error);
	}
	stop = true;
	ASSERT_EQ(0, pthread_join(reclaimer, NULL));
	EXPECT_GT(atomic_load(&taken_over) + 0, 100);
	EXPECT_TRUE(sp_node_check(node));
	for (int i = 0; i < WORKERS; i++) {
		for (int at = 0; at < OBJECTS; at++) {
			slabpool_free(objects[i][at]);
		}
	}
	slabpool_release();
	EXPECT_TRUE(sp_node_check(node));
}

static void *_Atomic garbage[20000];
static _Atomic int phase;

static void *allocate_then_sleep(void *unused)
{
	(void)unused;
	for (int i = 0; i < 20000; i++)
		garbage[i] = slabpool_malloc(5000);
	phase = 1;
	while (phase != 2)
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	/* It wakes, and finds itself a cache. */
	return slabpool_malloc(100) ? NULL : "no cache";
}

static void allocate_free_and_wait(struct __test_metadata *_metadata, const char *conf)
{
	struct slabpool_stats stats;
	pthread_t thread;
	void *error;

	setenv("SLABPOOL_CONF", conf, 1);
	ASSERT_EQ(0, pthread_create(&thread, NULL, allocate_then_sleep, NULL));
	while (phase != 1)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	for (int i = 0; i < 20000; i++)
		slabpool_free(garbage[i]);
	ASSERT_EQ(0, slabpool_stats(&stats, sizeof(stats)));
	EXPECT_GE(stats.committed, 90 * SP_MIB);
	nanosleep(&(struct timespec){ .tv_sec = 3 }, NULL);
	ASSERT_EQ(0, slabpool_stats(&stats, sizeof(stats)));
	EXPECT_LE(stats.committed, 8 * SP_MIB);
	phase = 2;
	ASSERT_EQ(0, pthread_join(thread, &error));
	EXPECT_EQ(NULL, error);
}

TEST(a_sleeping_threads_memory_goes_back_without_its_help)
{
	allocate_free_and_wait(_metadata, "decay_ms:500");
}

TEST(a_release_reaches_a_sleeping_thread_at_once)
{
	struct slabpool_stats stats;
	pthread_t thread;

	setenv("SLABPOOL_CONF", "decay_ms:60000", 1);
	ASSERT_EQ(0, pthread_create(&thread, NULL, allocate_then_sleep, NULL));
	while (phase != 1)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	for (int i = 0; i < 20000; i++)
		slabpool_free(garbage[i]);
	nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
	slabpool_release();
	ASSERT_EQ(0, slabpool_stats(&stats, sizeof(stats)));
	EXPECT_LE(stats.committed, 8 * SP_MIB);
	phase = 2;
	ASSERT_EQ(0, pthread_join(thread, NULL));
}

static void *free_then_sleep(void *object)
{
	slabpool_free(object);
	phase = 1;
	while (phase != 2)
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	return NULL;
}

/* It owns nothing itself, but has another's object on its way. */
TEST(what_a_sleeping_thread_freed_goes_back_though_it_never_allocated)
{
	struct slabpool_stats stats;
	pthread_t thread;

	setenv("SLABPOOL_CONF", "decay_ms:60000", 1);
	ASSERT_EQ(0, pthread_create(&thread, NULL, free_then_sleep, slabpool_malloc(5000)));
	while (phase != 1)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	/* Off the thread's hands, into ours, and from there to the node. */
	for (int i = 0; i < 200; i++) {
		slabpool_release();
		ASSERT_EQ(0, slabpool_stats(&stats, sizeof(stats)));
		if (!stats.active)
			break;
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	}
	EXPECT_EQ(0, stats.active);
	phase = 2;
	ASSERT_EQ(0, pthread_join(thread, NULL));
}

#define ENDED	200

static void *_Atomic left_behind[ENDED][4];

static void *allocate_and_end(void *which)
{
	for (int i = 0; i < 4; i++)
		left_behind[(uintptr_t)which][i] = slabpool_malloc(28000);
	/* All at once: no thread shall adopt what another leaves. */
	phase++;
	while (phase < ENDED)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	return NULL;
}

TEST(what_many_ended_threads_left_goes_back_too)
{
	static pthread_t threads[ENDED];
	struct slabpool_stats stats;
	pthread_attr_t attr;

	setenv("SLABPOOL_CONF", "decay_ms:500", 1);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 128 * SP_KIB);
	for (uintptr_t i = 0; i < ENDED; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], &attr, allocate_and_end, (void *)i));
	for (int i = 0; i < ENDED; i++)
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
	for (int i = 0; i < ENDED; i++)
		for (int n = 0; n < 4; n++)
			slabpool_free(left_behind[i][n]);
	nanosleep(&(struct timespec){ .tv_sec = 3 }, NULL);
	ASSERT_EQ(0, slabpool_stats(&stats, sizeof(stats)));
	EXPECT_EQ(0, stats.orphans);
	EXPECT_LE(stats.committed, 8 * SP_MIB);
}

TEST(objects_of_a_named_node_go_back_too)
{
	static void *p[1000];
	struct slabpool_stats stats;
	struct sp_node *node;

	setenv("SLABPOOL_CONF", "decay_ms:60000", 1);
	ASSERT_EQ(0, slabpool_init());
	node = sp_node_here();
	for (int i = 0; i < 1000; i++) {
		p[i] = slabpool_malloc_onnode(20000, node->id);
		ASSERT_NE(NULL, p[i]);
	}
	for (int i = 0; i < 1000; i++)
		slabpool_free(p[i]);
	slabpool_release();
	ASSERT_EQ(0, slabpool_stats(&stats, sizeof(stats)));
	EXPECT_LE(stats.committed, 4 * SP_MIB);
}

TEST_HARNESS_MAIN

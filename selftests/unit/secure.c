// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* secure:true from inside; what it says of misuse is tested in preload/misuse.c. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "cache.h"
#include "kselftest_harness.h"
#include "secure.h"
#include "slabpool.h"

#define OBJECTS	1000

static const size_t sizes[] = { 1, 8, 9, 16, 48, 100, 1000, 1024, 5000, 32000, 32768 };

static void *p[OBJECTS];

__attribute__((constructor)) static void choose_secure(void)
{
	setenv("SLABPOOL_CONF", "secure:true", 1);
}

/* Of a freed object the first two words are links. */
static bool is_wiped(const char *at, size_t size)
{
	for (size_t i = sizeof(struct sp_object); i < size; i++)
		if (at[i])
			return false;
	return true;
}

TEST(nothing_is_ever_found_on_the_hit_path)
{
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct sp_chunk *chunk;

		p[i] = slabpool_malloc(sizes[i]);
		ASSERT_NE(NULL, p[i]);
		chunk = sp_chunk_of(p[i]);
		EXPECT_EQ(NULL, chunk->free);
		if (chunk->state == SP_CHUNK_OBJECTS)
			EXPECT_EQ(SP_CHUNK_SECURE, chunk->owner & SP_CHUNK_SECURE);
	}
}

TEST(an_alignment_holds_in_the_first_call)
{
	p[0] = slabpool_aligned_alloc(4096, 4096);
	ASSERT_NE(NULL, p[0]);
	EXPECT_EQ(0, (uintptr_t)p[0] % 4096);
}

TEST(every_usable_byte_may_be_used)
{
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			size_t usable;

			p[i] = slabpool_malloc(sizes[i]);
			ASSERT_NE(NULL, p[i]);
			usable = slabpool_usable_size(p[i]);
			EXPECT_GE(usable, sizes[i]);
			memset(p[i], 0xff, usable);
		}
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
			slabpool_free_sized(p[i], sizes[i]);
	}
}

TEST(a_freed_object_reads_zero)
{
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		void *keep = slabpool_malloc(sizes[i]);
		char *gone = slabpool_malloc(sizes[i]);
		size_t usable = slabpool_usable_size(gone);

		ASSERT_NE(NULL, keep);
		memset(gone, 0xff, usable);
		/* volatile: the compiler knows what free() is. */
		slabpool_free(*(void *volatile *)&gone);
		EXPECT_TRUE(is_wiped(gone, usable));
	}
}

static void *free_all(void *unused)
{
	for (int i = 0; i < OBJECTS; i++)
		slabpool_free(p[i]);
	return unused;
}

TEST(what_another_thread_freed_comes_back_wiped)
{
	void *keep[OBJECTS], *back[OBJECTS];
	pthread_t thread;
	int again = 0;

	for (int i = 0; i < OBJECTS; i++) {
		ASSERT_NE(NULL, p[i] = slabpool_malloc(200));
		ASSERT_NE(NULL, keep[i] = slabpool_malloc(200));
		memset(p[i], 0xff, 200);
	}
	ASSERT_EQ(0, pthread_create(&thread, NULL, free_all, NULL));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	for (int i = 0; i < OBJECTS; i++) {
		static const char zero[200];

		ASSERT_NE(NULL, back[i] = slabpool_malloc(200));
		for (int j = 0; j < OBJECTS; j++)
			if (back[i] == p[j]) {
				again++;
				EXPECT_EQ(0, memcmp(back[i], zero, sizeof(zero)));
			}
	}
	EXPECT_GE(again, OBJECTS / 2);
}

TEST(objects_do_not_come_in_the_order_of_their_addresses)
{
	int up = 0;

	for (int i = 0; i < OBJECTS; i++)
		ASSERT_NE(NULL, p[i] = slabpool_malloc(100));
	for (int i = 1; i < OBJECTS; i++)
		up += p[i] > p[i - 1];
	EXPECT_GE(up, OBJECTS / 4);
	EXPECT_LE(up, OBJECTS - OBJECTS / 8);
	free_all(NULL);
	up = 0;
	for (int i = 0; i < OBJECTS; i++)
		up += slabpool_malloc(100) == p[OBJECTS - 1 - i];
	EXPECT_LE(up, OBJECTS / 8);	/* not the last one first */
}

TEST(a_huge_object_goes_to_the_source_at_once)
{
	struct slabpool_stats stats;
	char *huge = slabpool_malloc(20 * SP_MIB);
	uint64_t before;

	ASSERT_NE(NULL, huge);
	ASSERT_EQ(0, slabpool_stats(&stats, sizeof(stats)));
	before = stats.committed;
	slabpool_free(huge);
	ASSERT_EQ(0, slabpool_stats(&stats, sizeof(stats)));
	EXPECT_EQ(before - 20 * SP_MIB, stats.committed);
}

TEST(a_chunk_adds_up_in_secure_mode_too)
{
	for (int i = 0; i < OBJECTS; i++)
		p[i] = slabpool_malloc(48);
	for (int i = 0; i < OBJECTS; i += 3)
		slabpool_free(p[i]);
	for (int i = 1; i < OBJECTS; i += 3)
		EXPECT_TRUE(sp_chunk_check(sp_chunk_of(p[i])));
}

TEST_HARNESS_MAIN

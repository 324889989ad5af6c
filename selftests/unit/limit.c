// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* Running out: NULL and ENOMEM, and the process goes on. */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "internal.h"
#include "kselftest_harness.h"
#include "slabpool.h"

/* Each test is a process of its own: the options are read once. */
TEST(over_the_limit_is_null_and_what_is_freed_can_be_had_again)
{
	static void *p[1000];
	struct slabpool_stats stats;
	int n = 0;

	setenv("SLABPOOL_CONF", "limit:64M,background_thread:false", 1);
	while (n < 1000 && (p[n] = slabpool_malloc(SP_MIB)))
		n++;
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_GE(n, 60);
	EXPECT_LE(n, 64);
	EXPECT_EQ(NULL, slabpool_malloc(100 * SP_MIB));
	ASSERT_EQ(0, slabpool_stats(&stats, sizeof(stats)));
	EXPECT_EQ(64 * SP_MIB, stats.limit);
	EXPECT_LE(stats.peak, stats.limit);
	EXPECT_EQ(2, stats.failures);
	for (int i = 0; i < n; i++)
		slabpool_free(p[i]);
	/* The unused hpages make room for an object that needs them adjoining. */
	p[0] = slabpool_malloc(50 * SP_MIB);
	ASSERT_NE(NULL, p[0]);
	memset(p[0], 1, 50 * SP_MIB);
	slabpool_free(p[0]);
}

TEST(small_objects_stop_at_the_limit_too)
{
	struct slabpool_stats stats;
	size_t bytes = 0;
	void **list = NULL, **p;

	setenv("SLABPOOL_CONF", "limit:8M", 1);
	while ((p = slabpool_malloc(64))) {
		*p = list;
		list = p;
		bytes += 64;
	}
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_GE(bytes, 7 * SP_MIB);
	for (; list; list = p) {
		p = *list;
		slabpool_free(list);
	}
	ASSERT_EQ(0, slabpool_stats(&stats, sizeof(stats)));
	EXPECT_LE(stats.peak, 8 * SP_MIB);
	EXPECT_NE(NULL, slabpool_malloc(SP_MIB));
}

TEST(an_object_can_always_be_made_smaller)
{
	static void *p[16];
	int n = 0;

	setenv("SLABPOOL_CONF", "limit:8M", 1);
	while (n < 16 && (p[n] = slabpool_malloc(SP_MIB)))
		n++;
	ASSERT_GE(n, 4);
	errno = 0;
	for (int i = 0; i < n; i++) {
		memset(p[i], i + 1, 5000);
		p[i] = slabpool_realloc(p[i], 5000);
		ASSERT_NE(NULL, p[i]);
		EXPECT_EQ(i + 1, *((unsigned char *)p[i] + 4999));
	}
	EXPECT_EQ(0, errno);
	/* Wherever it is, that is its size now. */
	for (int i = 0; i < n; i++)
		slabpool_free_sized(p[i], 5000);
}

TEST(a_small_address_space_is_enough)
{
	struct rlimit limit = { SP_GIB, SP_GIB };
	size_t bytes = 0;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	SKIP(return, "the sanitizer needs more address space than the test allows");
#endif
	ASSERT_EQ(0, setrlimit(RLIMIT_AS, &limit));
	while (slabpool_malloc(SP_MIB))
		bytes += SP_MIB;
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_GE(bytes, 300 * SP_MIB);
}

TEST(a_bad_option_is_an_error_of_the_first_call)
{
	setenv("SLABPOOL_CONF", "decay:5", 1);
	EXPECT_EQ(-EINVAL, slabpool_init());
	EXPECT_NE(NULL, strstr(slabpool_init_error(), "unknown option 'decay'"));
	EXPECT_EQ(NULL, slabpool_malloc(10));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-EINVAL, slabpool_init());
}

TEST(a_node_that_does_not_exist_is_named)
{
	setenv("SLABPOOL_CONF", "node:63", 1);
	EXPECT_EQ(-EINVAL, slabpool_init());
	EXPECT_NE(NULL, strstr(slabpool_init_error(), "node 63"));
}

TEST(a_source_that_is_demanded_is_not_replaced)
{
	setenv("SLABPOOL_CONF", "backend:device", 1);
	if (access("/dev/slabpool", F_OK) == 0)
		SKIP(return, "the device is here");
	EXPECT_EQ(-ENOENT, slabpool_init());
	EXPECT_NE(NULL, strstr(slabpool_init_error(), "/dev/slabpool"));
	EXPECT_NE(NULL, strstr(slabpool_init_error(), "modprobe slabpool"));
	EXPECT_EQ(NULL, slabpool_malloc(10));
	EXPECT_EQ(ENOENT, errno);
}

TEST_HARNESS_MAIN

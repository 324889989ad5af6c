// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The same memory by many names, and each call that changes something made on
 * two CPUs at the same moment.
 */
#include "kselftest_harness.h"
#include "helpers.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define HPAGES	2
#define ALIASES	8
#define RW	(PROT_READ | PROT_WRITE)

FIXTURE(client) {
	int fd;
	size_t hpage;
	size_t length;
};

FIXTURE_SETUP(client)
{
	ASSERT_TRUE(t_all_settle(10));
	self->fd = t_open();
	ASSERT_LE(0, self->fd);
	self->hpage = t_hpage();
	self->length = HPAGES * self->hpage;
}

FIXTURE_TEARDOWN(client)
{
	close(self->fd);
	EXPECT_EQ(0, t_pool(0).used);
	EXPECT_EQ(0, t_sysfs("clients"));
	EXPECT_TRUE(t_all_settle(10));
}

static int attach(int fd, char *address)
{
	struct slabpool_ioc_attach in = {
		.size = sizeof(in), .address = (uintptr_t)address,
	};

	return ioctl(fd, SLABPOOL_IOC_ATTACH, &in) ? -errno : in.fd;
}

TEST_F(client, every_alias_shows_the_same_frames_and_decommit_reaches_all)
{
	int twin = dup(self->fd), i;
	char *maps[ALIASES];
	uint64_t pfn;

	for (i = 0; i < ALIASES; i++) {
		int fd = i % 3 == 0 ? self->fd : i % 3 == 1 ? twin :
			 attach(self->fd, maps[0]);

		ASSERT_LE(0, fd);
		maps[i] = t_take(fd, 0, HPAGES);
		ASSERT_NE(MAP_FAILED, maps[i]);
		maps[i][self->hpage + i] = i + 1;
		if (i % 3 == 2)
			close(fd);
	}
	pfn = t_pfn(maps[0] + self->hpage);
	EXPECT_NE(0, pfn);
	for (i = 0; i < ALIASES; i++) {
		EXPECT_EQ(ALIASES, maps[i][self->hpage + ALIASES - 1]);
		EXPECT_EQ(pfn, t_pfn(maps[i] + self->hpage));
	}
	EXPECT_EQ(HPAGES, t_stats(self->fd, 0).committed);

	EXPECT_EQ(1, t_decommit(twin, 0, self->hpage, self->hpage));
	for (i = 0; i < ALIASES; i++) {
		EXPECT_EQ(SIGBUS, t_touch(maps[i] + self->hpage, i & 1));
		EXPECT_EQ(0, t_touch(maps[i], false));
	}
	for (i = 0; i < ALIASES; i++)
		munmap(maps[i], self->length);
	close(twin);
}

TEST_F(client, an_alias_in_another_process_goes_with_it_alone)
{
	char *map = t_take(self->fd, 0, HPAGES);
	unsigned long round;

	ASSERT_NE(MAP_FAILED, map);
	for (round = 0; round < t_rounds(50); round++) {
		pid_t pid = fork();

		if (!pid) {
			char *own = t_take(self->fd, 0, HPAGES);

			if (own == MAP_FAILED)
				_exit(1);
			own[round % self->length] = round;
			raise(round % 2 ? SIGKILL : SIGTERM);
		}
		ASSERT_EQ(128 + (round % 2 ? SIGKILL : SIGTERM), t_wait(pid));
		ASSERT_EQ((char)round, map[round % self->length]);
	}
	EXPECT_EQ(HPAGES, t_pool(0).used);
	munmap(map, self->length);
}

/* One of two calls made at once; the results, summed, are checked afterwards. */
struct side {
	int (*call)(int fd, size_t hpage);
	int fd;
	int cpu;
	int result;
	unsigned long rounds;
	pthread_barrier_t *barrier;
};

static int commit(int fd, size_t hpage)
{
	struct slabpool_ioc_commit commit = {
		.size = sizeof(commit),
		.offset = SLABPOOL_OFFSET(0, 0),
		.length = HPAGES * hpage,
	};

	return ioctl(fd, SLABPOOL_IOC_COMMIT, &commit) ? -errno :
							 (int)commit.committed;
}

static int decommit(int fd, size_t hpage)
{
	return t_decommit(fd, 0, 0, HPAGES * hpage);
}

static int map_and_unmap(int fd, size_t hpage)
{
	char *map = t_take(fd, 0, HPAGES);

	if (map == MAP_FAILED)
		return -errno;
	t_touch(map + hpage, true);
	return munmap(map, HPAGES * hpage);
}

static int again_and_close(int fd, size_t hpage)
{
	char *map = t_map(fd, 0, 0, hpage, PROT_NONE, MAP_SHARED);
	int twin = attach(fd, map);

	munmap(map, hpage);
	return twin < 0 ? twin : close(twin);
}

static void *run(void *arg)
{
	struct side *side = arg;
	size_t hpage = t_hpage();
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(side->cpu, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	for (; side->rounds; side->rounds--) {
		pthread_barrier_wait(side->barrier);
		side->result = side->call(side->fd, hpage);
		pthread_barrier_wait(side->barrier);
		/* Here the other thread checks and prepares the next round. */
		pthread_barrier_wait(side->barrier);
	}
	return NULL;
}

FIXTURE(pair) {
	int fd;
};

FIXTURE_VARIANT(pair) {
	int (*call[2])(int fd, size_t hpage);
	int before;	/* hpages committed at the start of a round */
	int sum;	/* of the two results, -1 for what cannot be said */
};

FIXTURE_VARIANT_ADD(pair, commit_commit) {
	.call = { commit, commit }, .sum = HPAGES,
};
FIXTURE_VARIANT_ADD(pair, decommit_decommit) {
	.call = { decommit, decommit }, .before = HPAGES, .sum = HPAGES,
};
FIXTURE_VARIANT_ADD(pair, commit_decommit) {
	.call = { commit, decommit }, .before = 1, .sum = -1,
};
FIXTURE_VARIANT_ADD(pair, mmap_decommit) {
	.call = { map_and_unmap, decommit }, .sum = -1,
};
FIXTURE_VARIANT_ADD(pair, mmap_mmap) {
	.call = { map_and_unmap, map_and_unmap }, .sum = 0,
};
FIXTURE_VARIANT_ADD(pair, mmap_commit) {
	.call = { map_and_unmap, commit }, .sum = -1,
};
FIXTURE_VARIANT_ADD(pair, attach_attach) {
	.call = { again_and_close, again_and_close }, .sum = 0,
};
FIXTURE_VARIANT_ADD(pair, attach_decommit) {
	.call = { again_and_close, decommit }, .before = HPAGES,
	.sum = HPAGES,
};

FIXTURE_SETUP(pair)
{
	ASSERT_TRUE(t_all_settle(10));
	self->fd = t_open();
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(pair)
{
	close(self->fd);
	EXPECT_TRUE(t_all_settle(10));
	EXPECT_EQ(0, t_sysfs("clients"));
}

TEST_F(pair, at_the_same_moment_add_up)
{
	unsigned long rounds = t_rounds(60), round;
	struct slabpool_ioc_stats stats;
	pthread_barrier_t barrier;
	struct side sides[2];
	pthread_t thread;
	int i;

	pthread_barrier_init(&barrier, NULL, 2);
	for (i = 0; i < 2; i++)
		sides[i] = (struct side){
			.call = variant->call[i], .fd = self->fd, .cpu = i,
			.rounds = rounds, .barrier = &barrier,
		};
	ASSERT_EQ(0, pthread_create(&thread, NULL, run, &sides[1]));
	for (round = 0; round < rounds; round++) {
		decommit(self->fd, t_hpage());
		if (variant->before)
			ASSERT_EQ(0, t_commit(self->fd, 0, 0,
					      variant->before * t_hpage()));
		pthread_barrier_wait(&barrier);
		sides[0].result = sides[0].call(self->fd, t_hpage());
		pthread_barrier_wait(&barrier);
		stats = t_stats(self->fd, 0);
		ASSERT_LE(0, sides[0].result);
		ASSERT_LE(0, sides[1].result);
		if (variant->sum >= 0)
			ASSERT_EQ(variant->sum,
				  sides[0].result + sides[1].result);
		ASSERT_EQ(stats.committed, stats.commits - stats.decommits);
		ASSERT_EQ((long long)stats.committed, t_pool(0).used);
		pthread_barrier_wait(&barrier);
	}
	pthread_join(thread, NULL);
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * What an hpage costs its caller, in instructions: for a guest whose clock advances
 * by a nanosecond an instruction (selftests/vm/guest --icount).  Thread time: the one
 * CPU is shared with the zero worker.  The least of several rounds is exact; what is
 * above it was interrupted by the timer.
 */
#include "kselftest_harness.h"
#include "helpers.h"

#define MOST	1024UL		/* hpages */
#define ROUNDS	3

/* Instructions of this thread so far. */
static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

struct cost { uint64_t commit, fault, decommit, close; };

/* Of @n hpages together, each of them touched once. */
static bool measure(size_t n, struct cost *cost)
{
	size_t length = n * t_hpage();
	uint64_t start;
	char *map;
	int fd;

	*cost = (struct cost){ UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX };
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t fault = UINT64_MAX;
		struct slabpool_range range;

		if (!t_all_settle(60))
			return false;
		fd = t_open();
		map = t_map(fd, 0, 0, length, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_NORESERVE);
		if (map == MAP_FAILED)
			return false;
		start = now();
		if (t_commit(fd, 0, 0, length))
			return false;
		cost->commit = least(cost->commit, now() - start);
		for (size_t i = 0; i < n; i++) {
			start = now();
			*(volatile char *)(map + i * t_hpage()) = 0;
			fault = least(fault, now() - start);
		}
		cost->fault = least(cost->fault, fault);
		start = now();
		if (t_decommit_range(fd, 0, 0, length, &range) || range.hpages != n)
			return false;
		cost->decommit = least(cost->decommit, now() - start);

		if (t_commit(fd, 0, 0, length))
			return false;
		munmap(map, length);
		start = now();
		close(fd);
		cost->close = least(cost->close, now() - start);
	}
	return true;
}

FIXTURE(counted) {
	uint64_t nothing;	/* what reading the clock takes */
};

FIXTURE_SETUP(counted)
{
	uint64_t count = 1000000, loop = UINT64_MAX, start;

	self->nothing = UINT64_MAX;
	for (int round = 0; round < ROUNDS; round++) {
		start = now();
		self->nothing = least(self->nothing, now() - start);
		start = now();
		asm volatile("mov %0, %%rcx\n1:\tdec %%rcx\n\tjnz 1b" :: "r"(count) : "rcx", "cc");
		loop = least(loop, now() - start);
	}
	if (loop < 2 * count || loop > 2 * count + 10000)
		SKIP(return, "the clock does not count instructions (guest --icount)");
	ASSERT_LE(0, t_node(0, "total_hugepages"));
	if (t_node(0, "total_hugepages") < (long long)MOST)
		SKIP(return, "the pool of node 0 has less than %lu hpages", MOST);
}

FIXTURE_TEARDOWN(counted)
{
}

/* Largest over least of each column, in per cent. */
static unsigned int spread(const uint64_t *values, size_t count)
{
	uint64_t low = UINT64_MAX, high = 0;

	for (size_t i = 0; i < count; i++) {
		low = least(low, values[i]);
		high = values[i] > high ? values[i] : high;
	}
	return (unsigned int)(high * 100 / low);
}

TEST_F(counted, an_hpage_costs_the_same_whether_there_are_64_or_1024)
{
	static const size_t sizes[] = { 64, 256, MOST };
	enum { COUNT = sizeof(sizes) / sizeof(sizes[0]) };
	uint64_t commit[COUNT], decommit[COUNT], at_close[COUNT], fault[COUNT];
	struct cost one, cost;

	ASSERT_TRUE(measure(1, &one));
	TH_LOG("instructions, reading the clock: %llu, in each figure below",
	       (unsigned long long)self->nothing);
	TH_LOG("instructions, one hpage: commit %llu, fault %llu, decommit %llu, close %llu",
	       (unsigned long long)one.commit, (unsigned long long)one.fault,
	       (unsigned long long)one.decommit, (unsigned long long)one.close);
	for (int i = 0; i < COUNT; i++) {
		ASSERT_TRUE(measure(sizes[i], &cost));
		/* Of each further one: a call and a file's end have a cost of their own. */
		commit[i] = (cost.commit - one.commit) / (sizes[i] - 1);
		fault[i] = cost.fault;
		decommit[i] = (cost.decommit - one.decommit) / (sizes[i] - 1);
		at_close[i] = (cost.close - one.close) / (sizes[i] - 1);
		TH_LOG("instructions per further hpage of %4zu: commit %llu, fault %llu, decommit %llu, close %llu",
		       sizes[i], (unsigned long long)commit[i], (unsigned long long)fault[i],
		       (unsigned long long)decommit[i], (unsigned long long)at_close[i]);
	}
	EXPECT_GE(115, spread(commit, COUNT));
	EXPECT_GE(115, spread(fault, COUNT));
	EXPECT_GE(115, spread(decommit, COUNT));
	EXPECT_GE(115, spread(at_close, COUNT));
}

TEST_F(counted, an_hpage_costs_the_same_whether_1_client_has_some_or_64_have)
{
	struct cost alone, crowd;
	int fds[63];

	ASSERT_TRUE(measure(64, &alone));
	for (int i = 0; i < 63; i++) {
		fds[i] = t_open();
		ASSERT_LE(0, fds[i]);
		ASSERT_EQ(0, t_commit(fds[i], 0, 0, 8 * t_hpage()));
	}
	/* The pool does not settle with them there. */
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t start;
		int fd = t_open();

		if (!round)
			crowd.commit = UINT64_MAX;
		while (t_node(0, "dirty_hugepages"))
			t_sleep_ms(10);
		start = now();
		ASSERT_EQ(0, t_commit(fd, 0, 0, 64 * t_hpage()));
		crowd.commit = least(crowd.commit, now() - start);
		close(fd);
	}
	for (int i = 0; i < 63; i++)
		close(fds[i]);
	TH_LOG("instructions per hpage, 64 hpages: commit %llu alone, %llu among 63 clients",
	       (unsigned long long)alone.commit / 64, (unsigned long long)crowd.commit / 64);
	EXPECT_GE(115 * alone.commit, 100 * crowd.commit);
}

/*
 * Faults wait while a decommit holds the client's invalidate lock, and it does so
 * for 16 hpages at a time: less than copying one takes.
 */
TEST_F(counted, a_decommit_holds_faults_up_for_less_than_a_copy)
{
	enum { HELD = 16 };
	uint64_t copy = UINT64_MAX, held = UINT64_MAX, start;
	const size_t length = HELD * t_hpage();
	struct slabpool_range range;
	int fd = t_open();
	char *map;

	map = t_map(fd, 0, 0, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE);
	ASSERT_NE(MAP_FAILED, map);
	for (int round = 0; round < ROUNDS; round++) {
		ASSERT_EQ(0, t_commit(fd, 0, 0, length));
		ASSERT_EQ(0, madvise(map, length, MADV_POPULATE_WRITE));
		start = now();
		memcpy(map + t_hpage(), map, t_hpage());
		copy = least(copy, now() - start);
		start = now();
		ASSERT_EQ(0, t_decommit_range(fd, 0, 0, length, &range));
		held = least(held, now() - start);
		ASSERT_EQ((unsigned int)HELD, range.hpages);
	}
	munmap(map, length);
	close(fd);
	TH_LOG("instructions: decommit of %d hpages %llu, copying one %llu", HELD,
	       (unsigned long long)held, (unsigned long long)copy);
	EXPECT_LT(held, copy);
}

TEST_HARNESS_MAIN

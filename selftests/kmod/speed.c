// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * What the pool is for: no clearing on the way to memory, and none on the way back
 * in the task that leaves.
 *
 * Times are compared with others of the same run.  The least of several rounds is
 * taken, and a comparison that goes wrong is repeated a few times: an emulated CPU
 * stands still when its host has other things to do.
 */
#include <pthread.h>
#include <sched.h>
#include <sys/utsname.h>

#include "kselftest_harness.h"
#include "helpers.h"

#define ROUNDS	3
#define TRIES	4

#define HUGETLB_OF_NODE	\
	"/sys/devices/system/node/node%d/hugepages/hugepages-2048kB/nr_hugepages"

/* Hpages of hugetlbfs on a node, as many of them as there are to be had. */
static int set_hugetlb(int nid, unsigned int hpages)
{
	char path[128], line[32];

	snprintf(path, sizeof(path), HUGETLB_OF_NODE, nid);
	snprintf(line, sizeof(line), "%u", hpages);
	if (t_write(path, line) || !t_read_line(path, line, sizeof(line)))
		return -1;
	return atoi(line);
}

static int set_pool(int nid, long long hpages)
{
	char line[32];

	snprintf(line, sizeof(line), "%lld", hpages);
	return t_set_node(nid, "nr_hugepages", line);
}

FIXTURE(machine) {
	long long hpages[2];	/* of the pools, as the test finds them */
};

FIXTURE_SETUP(machine)
{
	for (int nid = 0; nid < 2; nid++)
		self->hpages[nid] = t_node(nid, "nr_hugepages");
}

FIXTURE_TEARDOWN(machine)
{
	for (int nid = 0; nid < 2; nid++) {
		set_hugetlb(nid, 0);
		EXPECT_EQ(0, set_pool(nid, self->hpages[nid]));
	}
}

/* Seconds for mmap + MAP_POPULATE, best of a few; negative when it failed. */
static double from_pool(size_t length)
{
	double best = 1e9, start, took;
	char *map;
	int i, fd;

	for (i = 0; i < ROUNDS; i++) {
		if (!t_all_settle(60))
			return -1;
		fd = t_open();
		start = t_now();
		map = t_map(fd, 0, 0, length, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_POPULATE);
		took = t_now() - start;
		if (map == MAP_FAILED ||
		    t_smaps(map, "FilePmdMapped") != (long)(length / 1024))
			return -1;
		munmap(map, length);
		close(fd);
		if (took < best)
			best = took;
	}
	return best;
}

static double from_hugetlb(size_t length)
{
	double best = 1e9, start, took;
	char *map;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		start = t_now();
		map = mmap(NULL, length, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB |
			   MAP_POPULATE, -1, 0);
		took = t_now() - start;
		if (map == MAP_FAILED)
			return -1;
		munmap(map, length);
		if (took < best)
			best = took;
	}
	return best;
}

/* On nodes of their own, so that both find memory. */
static void compare(struct __test_metadata *_metadata, size_t length, double least)
{
	unsigned int hpages = length / t_hpage();
	double pool, hugetlb, times = 0;

	ASSERT_EQ(0, set_pool(1, 0));
	ASSERT_EQ(0, set_pool(0, hpages));
	if (t_node(0, "nr_hugepages") < hpages)
		SKIP(return, "node 0 has no %u hpages for the pool", hpages);
	if (set_hugetlb(1, hpages) < (int)hpages)
		SKIP(return, "node 1 has no %u hpages for hugetlbfs", hpages);

	for (int try = 0; try < TRIES && times < least; try++) {
		pool = from_pool(length);
		hugetlb = from_hugetlb(length);
		ASSERT_LT(0, pool);
		ASSERT_LT(0, hugetlb);
		times = hugetlb / pool;
		TH_LOG("%zu MiB: pool %.0f us, hugetlbfs %.0f us: %.0f times",
		       length >> 20, pool * 1e6, hugetlb * 1e6, times);
	}
	EXPECT_LE(least, times);
}

TEST_F(machine, mapping_64_mib_is_50_times_faster_than_hugetlbfs)
{
	compare(_metadata, 64UL << 20, 50);
}

TEST_F(machine, mapping_1_gib_is_100_times_faster_than_hugetlbfs)
{
	compare(_metadata, 1UL << 30, 100);
}

/* ---- beside others ------------------------------------------------------ */

static _Atomic bool stop;

static void *protect_in_a_loop(void *unused)
{
	char *map = mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	while (!stop) {
		mprotect(map, 4096, PROT_READ);
		mprotect(map, 4096, PROT_READ | PROT_WRITE);
	}
	munmap(map, 2 * 4096);
	return unused;
}

/* Mean seconds of the first touch of an hpage, the best of a few rounds. */
static double first_touch(char *map, size_t hpages)
{
	double best = 1e9;

	for (int round = 0; round < ROUNDS; round++) {
		double start, took;

		madvise(map, hpages * t_hpage(), MADV_DONTNEED);
		start = t_now();
		for (size_t i = 0; i < hpages; i++)
			*(volatile char *)(map + i * t_hpage()) = 1;
		took = (t_now() - start) / hpages;
		if (took < best)
			best = took;
	}
	return best;
}

TEST_F(machine, a_first_touch_does_not_wait_for_mprotect)
{
	struct utsname name;
	double quiet, beside, times = 1e9;
	pthread_t thread;
	char *map;
	int fd = t_open();

	map = t_take(fd, 0, 128);
	ASSERT_NE(MAP_FAILED, map);
	for (int try = 0; try < TRIES && times >= 3; try++) {
		quiet = first_touch(map, 128);
		stop = false;
		ASSERT_EQ(0, pthread_create(&thread, NULL, protect_in_a_loop, NULL));
		t_sleep_ms(20);
		beside = first_touch(map, 128);
		stop = true;
		pthread_join(thread, NULL);
		times = beside / quiet;
		TH_LOG("first touch: quiet %.1f us, beside an mprotect loop %.1f us",
		       quiet * 1e6, beside * 1e6);
	}
	munmap(map, 128 * t_hpage());
	close(fd);
	if (!uname(&name) && !strncmp(name.release, "6.1.", 4))
		SKIP(return, "Linux 6.1 has one lock for all mappings of a process");
	EXPECT_GT(3, times);
}

/* ---- leaving ------------------------------------------------------------ */

#define HELD	128UL

/* Seconds that clearing an hpage took the worker, in the mean. */
static double clearing(void)
{
	return t_node(0, "stats/zero_ns") / 1e9 / t_node(0, "stats/zeroed");
}

static double by_close(int fd, char *map)
{
	double start;

	munmap(map, HELD * t_hpage());
	start = t_now();
	close(fd);
	return t_now() - start;
}

static double by_munmap(int fd, char *map)
{
	double start;

	close(fd);
	start = t_now();
	munmap(map, HELD * t_hpage());
	return t_now() - start;
}

static double by_kill(int fd, char *map)
{
	pid_t pid = fork();
	double start;

	if (!pid)
		for (;;)
			pause();
	munmap(map, HELD * t_hpage());
	close(fd);
	start = t_now();
	kill(pid, SIGKILL);
	t_wait(pid);
	return t_now() - start;
}

/* The best of a few, for a client whose hpages have all been written to. */
static double leaving(double (*how)(int fd, char *map))
{
	double best = 1e9;

	for (int round = 0; round < ROUNDS; round++) {
		int fd = t_open();
		double took;
		char *map;

		t_all_settle(60);
		map = t_take(fd, 0, HELD);
		if (map == MAP_FAILED)
			return -1;
		for (size_t i = 0; i < HELD; i++)
			map[i * t_hpage()] = 1;
		took = how(fd, map);
		best = took < best ? took : best;
	}
	return best;
}

TEST_F(machine, nobody_clears_what_he_leaves)
{
	static const struct {
		const char *name;
		double (*how)(int fd, char *map);
	} ways[] = {
		{ "close", by_close },
		{ "munmap", by_munmap },
		{ "kill", by_kill },
	};

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		double times = 0;

		for (int try = 0; try < TRIES && times < 100; try++) {
			double took = leaving(ways[i].how);
			double zeroing = clearing() * HELD;

			ASSERT_LE(0, took);
			times = zeroing / took;
			TH_LOG("%s of %lu hpages: %.0f us, clearing them takes %.0f us: %.0f times",
			       ways[i].name, HELD, took * 1e6, zeroing * 1e6, times);
		}
		EXPECT_LE(100, times);
	}
}

static void pin(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
}

/* Keep the worker of node 0 clearing, from a CPU of another node. */
static void *take_and_give(void *unused)
{
	pin(1);
	while (!stop) {
		int fd = t_open();

		t_commit(fd, 0, 0, 128 * t_hpage());
		close(fd);
		while (!stop && t_node(0, "dirty_hugepages") > 64)
			t_sleep_ms(1);
	}
	return unused;
}

/* Mean microseconds from the timer to the thread on CPU 0, by cyclictest. */
static int wake_up_latency(void)
{
	FILE *pipe = popen("cyclictest -q -m -t1 -a0 -p80 -i1000 -l1500", "r");
	char line[256];
	int mean = -1;

	while (pipe && fgets(line, sizeof(line), pipe)) {
		char *at = strstr(line, "Avg:");

		if (at)
			mean = atoi(at + 4);
	}
	return pipe && !pclose(pipe) ? mean : -1;
}

/* An idle CPU wakes up at another speed, and an emulated one even more so. */
static pid_t keep_busy(int cpu)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	pin(cpu);
	if (nice(19) < 0)
		_exit(1);
	for (;;)
		;
}

TEST_F(machine, the_worker_delays_no_real_time_thread)
{
	int idle = 0, pairs = 0, within = 0, round;
	pid_t hogs[2];

	if (system("cyclictest --help > /dev/null 2>&1") == 127 << 8)
		SKIP(return, "no cyclictest here (Debian: rt-tests)");
	t_all_settle(60);
	for (int cpu = 0; cpu < 2; cpu++)
		hogs[cpu] = keep_busy(cpu);
	/* By pairs, for what else runs on the host comes and goes: half of them must do. */
	for (round = 0; pairs < ROUNDS || (pairs < TRIES * ROUNDS && 2 * within < pairs);
	     round++) {
		bool clearing = round % 2;
		pthread_t thread;
		int mean;

		stop = !clearing;
		ASSERT_EQ(0, pthread_create(&thread, NULL, take_and_give, NULL));
		mean = wake_up_latency();
		stop = true;
		pthread_join(thread, NULL);
		ASSERT_LE(0, mean);
		if (!clearing) {
			idle = mean;
		} else {
			TH_LOG("wake-up latency: %d us with an idle pool, %d us while the worker clears",
			       idle, mean);
			pairs++;
			within += mean <= idle * 1.2;
			/* The worker is to be done before the next idle round. */
			for (int cpu = 0; cpu < 2; cpu++)
				kill(hogs[cpu], SIGSTOP);
			t_all_settle(60);
			for (int cpu = 0; cpu < 2; cpu++)
				kill(hogs[cpu], SIGCONT);
		}
	}
	for (int cpu = 0; cpu < 2; cpu++) {
		kill(hogs[cpu], SIGKILL);
		t_wait(hogs[cpu]);
	}
	EXPECT_LE(pairs, 2 * within);
}

TEST_HARNESS_MAIN

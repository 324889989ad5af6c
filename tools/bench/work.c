// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* What the workloads have in common: clocks, memory, threads, random sizes. */
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "slabpool.h"
#include "work.h"

size_t work_count(const struct work *work, size_t n)
{
	double count = n * work->scale;

	return count < 1 ? 1 : count;
}

void work_metric(const char *name, double value)
{
	printf("metric %s %.9g\n", name, value);
}

void work_point(const char *curve, double x, double y)
{
	printf("curve %s %.9g %.9g\n", curve, x, y);
}

static double seconds(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

double work_now(void)
{
	return seconds(CLOCK_MONOTONIC);
}

double work_cpu(void)
{
	return seconds(CLOCK_PROCESS_CPUTIME_ID);
}

/* Resident memory is two lines of this file: hugetlb is not in the first. */
static double status_kib(const char *resident)
{
	FILE *file = fopen("/proc/self/status", "re");
	char line[256];
	double sum = 0, kib;

	while (file && fgets(line, sizeof(line), file)) {
		char *colon = strchr(line, ':');

		if (!colon)
			continue;
		*colon = '\0';
		if ((!strcmp(line, resident) || !strcmp(line, "HugetlbPages")) &&
		    sscanf(colon + 1, "%lf", &kib) == 1)
			sum += kib;
	}
	if (file)
		fclose(file);
	return sum;
}

double work_memory(void)
{
	return status_kib("VmRSS");
}

double work_peak(void)
{
	return status_kib("VmHWM");
}

void work_pin(unsigned int thread)
{
	static cpu_set_t allowed;
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	cpu_set_t one;
	int nth, cpu;

	/* The first caller still has all the CPUs of the process. */
	pthread_mutex_lock(&lock);
	if (!CPU_COUNT(&allowed))
		sched_getaffinity(0, sizeof(allowed), &allowed);
	pthread_mutex_unlock(&lock);

	nth = thread % CPU_COUNT(&allowed);
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed) && nth-- == 0)
			break;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

struct start {
	unsigned int number;
	pthread_barrier_t *all;
	void *(*fn)(void *);
	void *arg;
};

static void *started(void *argument)
{
	struct start *start = argument;

	work_pin(start->number);
	pthread_barrier_wait(start->all);
	return start->fn(start->arg);
}

double work_run(unsigned int threads, void *(*fn)(void *), void *args, size_t arg_size)
{
	struct start starts[WORK_THREADS_MAX];
	pthread_t ids[WORK_THREADS_MAX];
	pthread_barrier_t all;
	double begin;

	pthread_barrier_init(&all, NULL, threads + 1);
	for (unsigned int t = 0; t < threads; t++) {
		starts[t] = (struct start){ t, &all, fn, (char *)args + t * arg_size };
		if (pthread_create(&ids[t], NULL, started, &starts[t])) {
			perror("slabpool-bench: thread");
			exit(1);
		}
	}
	begin = work_now();
	pthread_barrier_wait(&all);
	for (unsigned int t = 0; t < threads; t++)
		pthread_join(ids[t], NULL);
	pthread_barrier_destroy(&all);
	return work_now() - begin;
}

uint64_t work_random(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * 0x2545f4914f6cdd1d;
}

/*
 * 16 to 1024 bytes for nine of ten, evenly over the powers of two; to 32 KiB for
 * one of ten; to 256 KiB for one of a thousand.
 */
size_t work_size(uint64_t *state)
{
	uint64_t random = work_random(state);
	unsigned int kind = random % 1000, from = 4, powers = 6;

	if (kind == 0) {
		from = 15;
		powers = 3;
	} else if (kind < 100) {
		from = 10;
		powers = 5;
	}
	from += (random >> 16) % powers;
	return ((size_t)1 << from) + ((random >> 32) & (((size_t)1 << from) - 1));
}

void work_touch(void *p, size_t size)
{
	char *bytes = p;

	for (size_t at = 0; at < size; at += 4096)
		bytes[at] = 1;
	bytes[size - 1] = 1;
}

/* Which malloc it is: whoever preloads something wants to see it in effect. */
static void say_malloc(void)
{
	Dl_info info;

	if (dladdr((void *)malloc, &info) && info.dli_fname)
		printf("malloc %s\n", info.dli_fname);
}

/* What ours has to say of itself: there is no such function in other mallocs. */
#pragma weak slabpool_stats_print
static void say_stats(void)
{
	fflush(stdout);
	if (slabpool_stats_print)
		slabpool_stats_print(STDOUT_FILENO, SLABPOOL_STATS_JSON);
}

static const struct {
	const char *name;
	void (*run)(const struct work *work);
} works[] = {
	{ "pairs", work_pairs },   { "mix", work_mix },	    { "larson", work_larson },
	{ "pipe", work_pipe },	   { "churn", work_churn }, { "crowd", work_crowd },
	{ "growth", work_growth }, { "nothing", work_nothing },
};

/* For what is measured from outside. */
void work_nothing(const struct work *work)
{
	(void)work;
}

int work_main(const char *name, const struct work *work)
{
	for (size_t i = 0; i < sizeof(works) / sizeof(works[0]); i++) {
		if (strcmp(works[i].name, name))
			continue;
		say_malloc();
		works[i].run(work);
		say_stats();
		return 0;
	}
	fprintf(stderr, "slabpool-bench: no workload %s\n", name);
	return 2;
}

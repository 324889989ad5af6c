// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Coverage of the module, from a kernel with CONFIG_KCOV and a module built with
 * KCOV_INSTRUMENT := y.  Without it everything here does nothing, and the fuzzer
 * is blind.
 *
 * What makes a program worth keeping is a new edge, that is a pair of points one
 * after the other in one call.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/kcov.h>

#include "fuzz.h"

#define DEVICE_KCOV	"/sys/kernel/debug/kcov"
#define MODULE_TEXT	"/sys/module/slabpool/sections/.text"
/* Of one call. */
#define MAX_TRACE	(16 << 10)
#define NR_EDGES	(1 << 16)
#define MAX_POINTS	(1 << 14)

/* Each thread and its child have one, opened once and enabled by whoever runs. */
#define NR_TRACES	(2 * NR_THREADS)

static struct {
	int fd;
	unsigned long *words;
} traces[NR_TRACES];

struct coverage {
	atomic_uchar edge[NR_EDGES];
	_Atomic u64 point[MAX_POINTS];
	atomic_uint nr_points;
};

static struct coverage *coverage;
static unsigned char known[NR_EDGES];
static _Thread_local unsigned long *trace;

static bool trace_open(unsigned int number)
{
	int fd = open(DEVICE_KCOV, O_RDWR | O_CLOEXEC);
	void *words;

	if (fd < 0)
		return false;
	if (ioctl(fd, KCOV_INIT_TRACE, MAX_TRACE))
		return false;
	words = mmap(NULL, MAX_TRACE * sizeof(unsigned long),
		     PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (words == MAP_FAILED)
		return false;
	traces[number].fd = fd;
	traces[number].words = words;
	return true;
}

/* Once.  False when this kernel has none of it. */
bool kcov_open(void)
{
	unsigned int i;

	for (i = 0; i < NR_TRACES; i++)
		if (!trace_open(i))
			return false;
	coverage = shared_alloc(sizeof(*coverage));
	return true;
}

void kcov_enable(unsigned int task)
{
	trace = NULL;
	if (coverage && !ioctl(traces[task].fd, KCOV_ENABLE, KCOV_TRACE_PC))
		trace = traces[task].words;
}

void kcov_begin(void)
{
	if (trace)
		__atomic_store_n(&trace[0], 0, __ATOMIC_RELAXED);
}

static u64 mix(u64 z)
{
	z = (z ^ (z >> 33)) * 0xff51afd7ed558ccd;
	return z ^ (z >> 33);
}

/* A set, by open addressing; full is full. */
static void remember_point(u64 point)
{
	unsigned int at = mix(point) % MAX_POINTS, tries;
	u64 old;

	for (tries = 0; tries < MAX_POINTS; tries++) {
		old = 0;
		if (atomic_load(&coverage->point[at]) == point)
			return;
		if (atomic_compare_exchange_strong(&coverage->point[at], &old, point)) {
			atomic_fetch_add(&coverage->nr_points, 1);
			return;
		}
		if (old == point)
			return;
		at = (at + 1) % MAX_POINTS;
	}
}

/* The module's code is all that is instrumented, so every point is one of ours. */
void kcov_collect(void)
{
	unsigned long count, i;
	u64 last = 0;

	if (!trace)
		return;
	count = __atomic_load_n(&trace[0], __ATOMIC_RELAXED);
	for (i = 1; i <= count && i < MAX_TRACE; i++) {
		remember_point(trace[i]);
		atomic_store(&coverage->edge[mix(last * 3 + trace[i]) % NR_EDGES], 1);
		last = trace[i];
	}
}

/* Before a program. */
void kcov_reset(void)
{
	if (coverage)
		memset(coverage->edge, 0, sizeof(coverage->edge));
}

/* How many edges the program has shown that none had shown before. */
unsigned int kcov_news(void)
{
	unsigned int i, news = 0;

	for (i = 0; coverage && i < NR_EDGES; i++) {
		if (!atomic_load(&coverage->edge[i]) || known[i])
			continue;
		known[i] = 1;
		news++;
	}
	return news;
}

unsigned int kcov_points(void)
{
	return coverage ? atomic_load(&coverage->nr_points) : 0;
}

/* All points so far, as offsets into the module's text, for addr2line. */
void kcov_write(FILE *to)
{
	unsigned long long text = 0;
	FILE *file = fopen(MODULE_TEXT, "r");
	unsigned int i;

	if (file) {
		if (fscanf(file, "%llx", &text) != 1)
			text = 0;
		fclose(file);
	}
	for (i = 0; coverage && i < MAX_POINTS; i++)
		if (coverage->point[i])
			fprintf(to, "0x%llx\n",
				(unsigned long long)coverage->point[i] - text);
}

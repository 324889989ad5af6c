/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * The side of slabpool-bench that is measured: a process that runs one workload on
 * whatever malloc it was started with and prints what it found, a line each:
 *
 *	metric NAME VALUE
 *	curve NAME X Y
 *
 * May touch: malloc, threads, clocks, /proc/self.  Nothing here knows of peers.
 */
#ifndef SLABPOOL_BENCH_WORK_H
#define SLABPOOL_BENCH_WORK_H

#include <stddef.h>
#include <stdint.h>

#define WORK_THREADS_MAX	256

/* What a workload is run with. */
struct work {
	unsigned int threads;	/* 1 to WORK_THREADS_MAX */
	double scale;		/* of the number of operations */
	double idle;		/* seconds to wait for memory to go back */
};

/* ---- for the workloads (work.c) ----------------------------------------- */

/* Operations: @n scaled, at least 1. */
size_t work_count(const struct work *work, size_t n);

void work_metric(const char *name, double value);
void work_point(const char *curve, double x, double y);

/* Seconds: of the clock on the wall, and of the CPU for the whole process. */
double work_now(void);
double work_cpu(void);

/* Resident memory now, and the most so far (getrusage counts no hugetlb), in KiB. */
double work_memory(void);
double work_peak(void);

/* The calling thread stays on one CPU of those the process has. */
void work_pin(unsigned int thread);

/* Run @fn on the threads, each pinned; returns the seconds until the last was done. */
double work_run(unsigned int threads, void *(*fn)(void *), void *args, size_t arg_size);

/* xorshift64*: the same numbers for each malloc. */
uint64_t work_random(uint64_t *state);

/* A size as services ask for them: most are small, a few fill pages. */
size_t work_size(uint64_t *state);

/* Write to each page of it, as whoever asked for memory does. */
void work_touch(void *p, size_t size);

/* Make the compiler believe that somebody else has seen it. */
static inline void work_escape(void *p)
{
	__asm__ volatile("" : : "r"(p) : "memory");
}

/* ---- the workloads, a file each ----------------------------------------- */

void work_pairs(const struct work *work);
void work_mix(const struct work *work);
void work_larson(const struct work *work);
void work_pipe(const struct work *work);
void work_churn(const struct work *work);
void work_crowd(const struct work *work);
void work_growth(const struct work *work);
void work_nothing(const struct work *work);

/* The workload of that name, as the main program of this process; the exit code. */
int work_main(const char *name, const struct work *work);

#endif

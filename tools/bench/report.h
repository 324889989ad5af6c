/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * What all rounds found, as a table, as JSON and as pictures.  The results are one
 * object: {WORKLOAD: {PEER: [round, ...]}}, a round being what run.h says, or null.
 */
#ifndef SLABPOOL_BENCH_REPORT_H
#define SLABPOOL_BENCH_REPORT_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdio.h>

#include "peers.h"
#include "run.h"

#define REPORT_ROUNDS_MAX	1000

struct report {
	const struct workload *workloads;
	size_t workload_count;
	const struct peers *peers;
	unsigned int rounds;	/* up to REPORT_ROUNDS_MAX */
	json_object *results;
};

/* Median of a metric over the rounds; NAN: there is none. */
double report_median(const struct report *report, const char *workload, const char *peer,
		     const char *metric);

/* The curve of one round: the first that has it.  NULL: none. */
json_object *report_curve(const struct report *report, const char *workload, const char *peer,
			  const char *curve);

void report_table(const struct report *report, FILE *out);

/* The machine, the medians and ratios, and every value: a new object. */
json_object *report_json(const struct report *report);

/* throughput.svg, malloc.svg, free.svg, memory.svg, by gnuplot.  False: it has been said. */
bool report_pictures(const struct report *report, const char *folder);

#endif

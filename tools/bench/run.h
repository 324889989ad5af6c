/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * One workload on one malloc, in a process of its own: start it, believe it only if
 * it really had that malloc, and collect what it found.
 */
#ifndef SLABPOOL_BENCH_RUN_H
#define SLABPOOL_BENCH_RUN_H

#include <json-c/json.h>
#include <signal.h>
#include <stdbool.h>

#include "peers.h"
#include "work.h"

struct workload {
	const char *name;
	const char *what;	/* a few words for the table */
	const char *metric;	/* the one that is compared; less is better */
	const char *unit;
	unsigned int every;	/* takes part in every so many rounds */
	bool (*run)(const struct workload *workload, const struct peer *peer,
		    const struct work *work, json_object *found);
};

/* Set by SIGINT and SIGTERM: end, and keep what there is. */
extern volatile sig_atomic_t run_stopped;

/*
 * Each adds to @found what it measured: "metrics" {name: value}, "curves" {name:
 * [[x, y], ...]} and, of ours, "stats".  False: it failed, which has been said, or
 * was stopped.
 */
bool run_work(const struct workload *workload, const struct peer *peer, const struct work *work,
	      json_object *found);
bool run_start(const struct workload *workload, const struct peer *peer, const struct work *work,
	       json_object *found);
bool run_redis(const struct workload *workload, const struct peer *peer, const struct work *work,
	       json_object *found);

#endif

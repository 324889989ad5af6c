// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Thread churn: threads that live for 200 objects, one after the other and eight at
 * a time; what creating and joining them costs anyway is taken off, measured in
 * turns with it.
 */
#include <pthread.h>
#include <stdlib.h>

#include "work.h"

#define OBJECTS	200
#define TURNS	20
#define MOST	8	/* at once */

static void *live(void *arg)
{
	uint64_t random = (uintptr_t)arg + 123456789;
	void *objects[OBJECTS];

	for (int i = 0; i < OBJECTS; i++) {
		objects[i] = malloc(16 + work_random(&random) % 500);
		*(char *)objects[i] = 1;
	}
	for (int i = 0; i < OBJECTS; i++)
		free(objects[i]);
	return NULL;
}

static void *exist(void *arg)
{
	return arg;
}

/* CPU seconds for so many threads, at once so many of them. */
static double lives(size_t count, size_t at_once, void *(*fn)(void *))
{
	pthread_t threads[MOST];
	double begin = work_cpu();

	for (size_t done = 0; done < count; done += at_once) {
		for (size_t t = 0; t < at_once; t++)
			if (pthread_create(&threads[t], NULL, fn, (void *)(done + t)))
				abort();
		for (size_t t = 0; t < at_once; t++)
			pthread_join(threads[t], NULL);
	}
	return work_cpu() - begin;
}

static double churn(size_t count, size_t at_once)
{
	double lived = 0, existed = 0;

	for (int turn = 0; turn < TURNS; turn++) {
		lived += lives(count, at_once, live);
		existed += lives(count, at_once, exist);
	}
	return (lived - existed) / (TURNS * count) * 1e9;
}

void work_churn(const struct work *work)
{
	size_t count = work_count(work, 400);

	count = (count + MOST - 1) / MOST * MOST;
	work_metric("ns", churn(count, 1));
	work_metric("eight_ns", churn(count, MOST));
}

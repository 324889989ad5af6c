// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* A crowd: 1,000 threads that hold 200 objects each, and what memory that takes. */
#include <pthread.h>
#include <stdlib.h>

#include "work.h"

#define OBJECTS	200

static pthread_barrier_t full;

static void *hold(void *arg)
{
	uint64_t random = (uintptr_t)arg + 521288629;
	void *objects[OBJECTS];

	for (int i = 0; i < OBJECTS; i++) {
		size_t size = 16 + work_random(&random) % 1000;

		objects[i] = malloc(size);
		work_touch(objects[i], size);
	}
	pthread_barrier_wait(&full);	/* all of them hold */
	pthread_barrier_wait(&full);	/* and were counted */
	for (int i = 0; i < OBJECTS; i++)
		free(objects[i]);
	return NULL;
}

void work_crowd(const struct work *work)
{
	size_t count = work_count(work, 1000);
	pthread_t *threads = calloc(count, sizeof(*threads));
	pthread_attr_t attr;
	double before;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	pthread_barrier_init(&full, NULL, count + 1);
	before = work_memory();
	for (size_t t = 0; t < count; t++)
		if (pthread_create(&threads[t], &attr, hold, (void *)t))
			abort();
	pthread_barrier_wait(&full);
	work_metric("kib", (work_memory() - before) / count);
	pthread_barrier_wait(&full);
	for (size_t t = 0; t < count; t++)
		pthread_join(threads[t], NULL);
	free(threads);
}

// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * A server after Larson and Krishnan ("Memory allocation for long-running server
 * applications", ISMM 1998): threads replace objects of a set at random, end after
 * a while, and a new thread goes on with the set, so that objects are freed by
 * others than those who asked for them.
 */
#include <pthread.h>
#include <stdlib.h>

#include "work.h"

#define HELD		2000
#define GENERATIONS	20

struct server {
	uint64_t random;
	size_t count;		/* operations of each generation */
	unsigned int number;
	void *slots[HELD];
};

static void *generation(void *arg)
{
	struct server *server = arg;

	work_pin(server->number);
	for (size_t i = 0; i < server->count; i++) {
		uint64_t random = work_random(&server->random);
		void **slot = &server->slots[random % HELD];
		size_t size = 16 + (random >> 32) % 1009;

		free(*slot);
		*slot = malloc(size);
		if (!*slot)
			abort();
		*(char *)*slot = 1;
	}
	return NULL;
}

static void *generations(void *arg)
{
	pthread_t next;

	for (int i = 0; i < GENERATIONS; i++)
		if (pthread_create(&next, NULL, generation, arg) || pthread_join(next, NULL))
			abort();
	return NULL;
}

void work_larson(const struct work *work)
{
	struct server *servers = calloc(work->threads, sizeof(*servers));
	size_t count = work_count(work, 200000);
	double took, begin;

	for (unsigned int t = 0; t < work->threads; t++) {
		servers[t].random = 362436069ull + t;
		servers[t].count = count;
		servers[t].number = t;
	}
	begin = work_cpu();
	took = work_run(work->threads, generations, servers, sizeof(*servers));
	work_metric("ns", took / (count * GENERATIONS) * 1e9);
	work_metric("cpu_ns", (work_cpu() - begin) / (count * GENERATIONS * work->threads) * 1e9);
	work_metric("peak_kib", work_peak());
}

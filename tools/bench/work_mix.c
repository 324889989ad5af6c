// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Service mix: each thread replaces objects at random among those it holds, of the
 * sizes services ask for, and writes to every page of them.
 */
#include <stdlib.h>

#include "work.h"

#define HELD	20000

struct service {
	uint64_t random;
	size_t count;
	void **slots;
};

static void *serve(void *arg)
{
	struct service *service = arg;

	for (size_t i = 0; i < service->count; i++) {
		void **slot = &service->slots[work_random(&service->random) % HELD];
		size_t size = work_size(&service->random);

		free(*slot);
		*slot = malloc(size);
		if (!*slot)
			abort();
		work_touch(*slot, size);
	}
	for (size_t i = 0; i < HELD; i++)
		free(service->slots[i]);
	return NULL;
}

void work_mix(const struct work *work)
{
	struct service services[WORK_THREADS_MAX];
	size_t count = work_count(work, 1500000);
	double took, begin;

	for (unsigned int t = 0; t < work->threads; t++)
		services[t] = (struct service){ 88172645463325252ull + t, count,
						calloc(HELD, sizeof(void *)) };
	begin = work_cpu();
	took = work_run(work->threads, serve, services, sizeof(services[0]));
	work_metric("ns", took / count * 1e9);
	work_metric("cpu_ns", (work_cpu() - begin) / (count * work->threads) * 1e9);
	work_metric("peak_kib", work_peak());
	for (unsigned int t = 0; t < work->threads; t++)
		free(services[t].slots);
}

// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* Fixed pairs: malloc and free of one size in a loop, the hit path and nothing else. */
#include <math.h>
#include <stdlib.h>

#include "work.h"

void work_pairs(const struct work *work)
{
	static const size_t sizes[] = { 16, 64, 256, 1024, 4096, 16384 };
	size_t kinds = sizeof(sizes) / sizeof(sizes[0]), count = work_count(work, 4000000);
	double logs = 0;

	work_pin(0);
	for (size_t kind = 0; kind < kinds; kind++) {
		double begin = work_cpu();

		for (size_t i = 0; i < count; i++) {
			void *p = malloc(sizes[kind]);

			work_escape(p);
			free(p);
		}
		logs += log((work_cpu() - begin) / count * 1e9);
	}
	work_metric("ns", exp(logs / kinds));
}

// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <slabpool.h>

int main(void)
{
	char *ring = slabpool_region_map(64 << 20, SLABPOOL_NODE_LOCAL, 0);
	char *name = slabpool_malloc(100);

	if (!ring || !name) {
		fprintf(stderr, "slabpool: %s\n", slabpool_init_error());
		return 1;
	}
	strcpy(name, "gateway");		/* from this thread's cache: no lock */
	memcpy(ring, name, strlen(name) + 1);	/* populated: no page fault */
	slabpool_stats_print(STDOUT_FILENO, 0);
	slabpool_free(name);
	return slabpool_region_unmap(ring) != 0;
}

// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * zeroscan NODE...: take every free hpage of the nodes' pools and look at every
 * byte of them.  Fails when one is not zero, or when an hpage cannot be had.
 */
#include <fcntl.h>
#include <linux/slabpool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HPAGE	(2ul << 20)

static unsigned long free_hpages(int node)
{
	unsigned long n = 0;
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/class/misc/slabpool/node%d/zeroed_hugepages", node);
	file = fopen(path, "r");
	if (!file || fscanf(file, "%lu", &n) != 1)
		n = 0;
	if (file)
		fclose(file);
	return n;
}

static size_t words_not_zero(const uint64_t *p, size_t bytes)
{
	size_t count = 0;

	for (size_t i = 0; i < bytes / sizeof(*p); i++)
		count += p[i] != 0;
	return count;
}

static int scan(int node)
{
	size_t n = free_hpages(node), bad;
	int fd = open("/dev/slabpool", O_RDWR | O_CLOEXEC);
	void *p;

	if (n == 0 || fd < 0) {
		printf("  node %d: nothing to look at\n", node);
		return 1;
	}
	p = mmap(NULL, n * HPAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
		 (off_t)SLABPOOL_OFFSET(node, 0));
	close(fd);
	if (p == MAP_FAILED) {
		perror("  mmap");
		return 1;
	}
	bad = words_not_zero(p, n * HPAGE);
	printf("  node %d: %zu hpages, %zu MiB read, words that are not zero: %zu\n", node, n,
	       n * HPAGE >> 20, bad);
	munmap(p, n * HPAGE);
	return bad != 0;
}

int main(int argc, char **argv)
{
	int failed = argc < 2;

	for (int i = 1; i < argc; i++)
		failed |= scan(atoi(argv[i]));
	return failed;
}

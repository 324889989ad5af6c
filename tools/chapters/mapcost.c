// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * mapcost MIB NODE ROUNDS: what it costs to get memory that can be used without
 * a fault, from each source in turn, and what kind of memory it is then.
 *
 * One round maps, populates, looks at the result and unmaps.  The first round
 * is for warming up; the median of the others is shown.  A source that is not
 * there is shown as such.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <linux/mman.h>
#include <linux/slabpool.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define HPAGE		(2ul << 20)
#define ROUNDS_MAX	32
#define POOL		"/sys/class/misc/slabpool/node%d/%s"

static size_t size;
static int node;

struct result {
	double ms[ROUNDS_MAX];
	long faults;		/* of the last round, as the ones below */
	size_t huge;		/* bytes mapped by 2 MiB pages */
	size_t on_node;		/* hpages of SIZE whose first byte is on the node */
};

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static long faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt + usage.ru_majflt;
}

static unsigned long pool_value(const char *name)
{
	unsigned long value = 0;
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), POOL, node, name);
	file = fopen(path, "r");
	if (!file)
		return 0;
	if (fscanf(file, "%lu", &value) != 1)
		value = 0;
	fclose(file);
	return value;
}

/* ---- the sources: each maps SIZE bytes, or returns NULL with errno ------- */

static char *map(size_t bytes, int flags, int fd, off_t offset)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, offset);

	return p == MAP_FAILED ? NULL : p;
}

static void bind(char *p)
{
	unsigned long mask = 1ul << node;

	syscall(SYS_mbind, p, size, MPOL_BIND, &mask, 8 * sizeof(mask), 0);
}

/* What an earlier round gave back has to be clean again: it always is in the
 * pool's normal life, and cleaning is not what is measured here. */
static void wait_for_zeroed(void)
{
	for (int i = 0; i < 3000 && pool_value("zeroed_hugepages") < size / HPAGE; i++)
		usleep(10000);
}

static char *map_pool(void)
{
	int fd = open("/dev/slabpool", O_RDWR | O_CLOEXEC);
	char *p;

	if (fd < 0)
		return NULL;
	p = map(size, MAP_SHARED, fd, (off_t)SLABPOOL_OFFSET(node, 0));
	close(fd);
	return p;
}

static char *map_hugetlb(void)
{
	char *p = map(size, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_2MB, -1, 0);

	if (p)
		bind(p);
	return p;
}

static char *map_aligned(int advice)
{
	char *p = map(size + HPAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t skip;

	if (!p)
		return NULL;
	skip = -(uintptr_t)p & (HPAGE - 1);
	if (skip)
		munmap(p, skip);
	munmap(p + skip + size, HPAGE - skip);
	bind(p + skip);
	madvise(p + skip, size, advice);
	return p + skip;
}

static char *map_thp(void)
{
	return map_aligned(MADV_HUGEPAGE);
}

static char *map_base(void)
{
	return map_aligned(MADV_NOHUGEPAGE);
}

/* ---- looking at the result ---------------------------------------------- */

static size_t huge_bytes(const char *p)
{
	FILE *file = fopen("/proc/self/smaps", "r");
	unsigned long low, high, kib;
	size_t huge = 0;
	bool here = false;
	char line[512];

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx-%lx ", &low, &high) == 2)
			here = (uintptr_t)p < high && (uintptr_t)p + size > low;
		else if (here && (sscanf(line, "AnonHugePages: %lu", &kib) == 1 ||
				  sscanf(line, "FilePmdMapped: %lu", &kib) == 1 ||
				  sscanf(line, "Private_Hugetlb: %lu", &kib) == 1 ||
				  sscanf(line, "Shared_Hugetlb: %lu", &kib) == 1))
			huge += kib << 10;
	}
	if (file)
		fclose(file);
	return huge;
}

static size_t hpages_on_node(char *p)
{
	size_t count = 0;

	for (size_t at = 0; at < size; at += HPAGE) {
		int where = -1;

		if (syscall(SYS_get_mempolicy, &where, NULL, 0, p + at,
			    MPOL_F_NODE | MPOL_F_ADDR) == 0 && where == node)
			count++;
	}
	return count;
}

/* 0, or an errno. */
static int round_of(char *(*source)(void), double *ms, struct result *result)
{
	long before = faults();
	double start = now_ms();
	char *p = source();
	int err = 0;

	if (!p)
		return errno;
	if (madvise(p, size, MADV_POPULATE_WRITE))
		err = errno;
	*ms = now_ms() - start;
	result->faults = faults() - before;
	result->huge = huge_bytes(p);
	result->on_node = hpages_on_node(p);
	munmap(p, size);
	return err;
}

/* ---- the table ---------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print_row(const char *name, struct result *result, int rounds, double *base)
{
	double median;
	char pages[32];

	qsort(result->ms, (size_t)rounds, sizeof(double), compare);
	median = result->ms[rounds / 2];
	if (*base == 0)
		*base = median;
	if (result->huge == size)
		strcpy(pages, "2 MiB");
	else if (result->huge == 0)
		strcpy(pages, "4 KiB");
	else
		snprintf(pages, sizeof(pages), "%zu%% 2 MiB", result->huge * 100 / size);
	printf("  %-22s %10.2f %8.1fx %10ld %10s %7zu/%zu\n", name, median, median / *base,
	       result->faults, pages, result->on_node, size / HPAGE);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		char *(*source)(void);
	} rows[] = {
		{ "slabpool", map_pool },
		{ "hugetlbfs", map_hugetlb },
		{ "THP (MADV_HUGEPAGE)", map_thp },
		{ "base pages", map_base },
	};
	int rounds = argc == 4 ? atoi(argv[3]) : 0;
	double base = 0, warm_up;

	if (rounds < 1 || rounds > ROUNDS_MAX) {
		fprintf(stderr, "usage: mapcost MIB NODE ROUNDS\n");
		return 2;
	}
	size = strtoul(argv[1], NULL, 10) << 20;
	node = atoi(argv[2]);
	printf("  %-22s %10s %9s %10s %10s %10s\n", "source", "ms", "", "faults", "page size",
	       "on node");
	for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
		struct result result = { 0 };
		int err;

		wait_for_zeroed();
		err = round_of(rows[r].source, &warm_up, &result);
		for (int i = 0; i < rounds && !err; i++) {
			wait_for_zeroed();
			err = round_of(rows[r].source, &result.ms[i], &result);
		}
		if (err)
			printf("  %-22s not to be had: %s\n", rows[r].name, strerror(err));
		else
			print_row(rows[r].name, &result, rounds, &base);
		if (err && rows[r].source == map_pool)
			return 1;
		fflush(stdout);
	}
	return 0;
}

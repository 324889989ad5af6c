// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * What the sources of anonymous memory share.
 *
 * What page size did we really get?  /proc/self/smaps knows: for each mapping
 * its resident bytes (Rss) and how many of them are mapped huge.  Slow, and for
 * statistics only.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "backend.h"
#include "sys.h"

/* Since Linux 5.18; bookworm's headers of libc do not have it. */
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED	24
#endif

/*
 * Memory locked by mlockall() is not dropped by MADV_DONTNEED, and on older
 * kernels by nothing: then at least it must read zero.
 */
void sp_anon_drop(void *addr, size_t size)
{
	if (sp_sys_advise(addr, size, MADV_DONTNEED) &&
	    sp_sys_advise(addr, size, MADV_DONTNEED_LOCKED))
		memset(addr, 0, size);
}

char *sp_anon_trim(char *p, size_t size, size_t align)
{
	char *aligned = (char *)sp_round_up((uintptr_t)p, align);

	if (aligned > p)
		sp_sys_unmap(p, (size_t)(aligned - p));
	sp_sys_unmap(aligned + size, (size_t)(p + align - aligned));
	return aligned;
}

char *sp_anon_reserve(size_t size, size_t align)
{
	int err;
	char *p = sp_sys_reserve(size + align, &err);

	if (!p)
		return NULL;
	/* Where addresses are plenty, the rest is not worth two system calls. */
	if (size > 8 * SP_GIB)
		return (char *)sp_round_up((uintptr_t)p, align);
	return sp_anon_trim(p, size, align);
}

struct scan {
	const char *low, *high;	/* the window */
	bool inside;		/* the mapping being read lies in it */
	uint64_t rss, huge;	/* KiB */
};

/* Read a number in @base; *@s is left behind it. */
static uint64_t number(const char **s, unsigned int base)
{
	uint64_t n = 0;

	for (;; (*s)++) {
		unsigned int c = (unsigned char)**s, digit;

		if (c >= '0' && c <= '9')
			digit = c - '0';
		else if (c >= 'a' && c <= 'f')
			digit = c - 'a' + 10;
		else
			return n;
		if (digit >= base)
			return n;
		n = n * base + digit;
	}
}

static uint64_t value(const char *line)
{
	line += strcspn(line, "0123456789");
	return number(&line, 10);
}

static void read_line(struct scan *scan, const char *line)
{
	static const char *const huge[] = {
		"AnonHugePages:", "ShmemPmdMapped:", "FilePmdMapped:",
	};
	const char *at = line;
	uint64_t start = number(&at, 16);

	if (*at == '-') {
		scan->inside = (const char *)start >= scan->low &&
			       (const char *)start < scan->high;
		return;
	}
	if (!scan->inside)
		return;
	if (strncmp(line, "Rss:", 4) == 0)
		scan->rss += value(line);
	for (size_t i = 0; i < ARRAY_SIZE(huge); i++)
		if (strncmp(line, huge[i], strlen(huge[i])) == 0)
			scan->huge += value(line);
}

uint64_t sp_anon_base_pages(const char *window, size_t size)
{
	struct scan scan = { .low = window, .high = window + size };
	char buf[1024];
	size_t have = 0;
	ssize_t n;
	int fd = sp_sys_open("/proc/self/smaps", O_RDONLY);

	if (fd < 0)
		return 0;
	while ((n = sp_sys_read(fd, buf + have, sizeof(buf) - 1 - have)) > 0) {
		char *line = buf, *end;

		have += (size_t)n;
		buf[have] = '\0';
		while ((end = strchr(line, '\n'))) {
			*end = '\0';
			read_line(&scan, line);
			line = end + 1;
		}
		have = (size_t)(buf + have - line);
		if (have == sizeof(buf) - 1)
			have = 0;	/* a line longer than the buffer: a path */
		memmove(buf, line, have);
	}
	sp_sys_close(fd);
	return scan.rss > scan.huge ? (scan.rss - scan.huge) * SP_KIB : 0;
}

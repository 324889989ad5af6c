// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Core dumps hold pool memory when asked to and not otherwise; a debugger comes,
 * looks, writes and goes.
 */
#include "kselftest_harness.h"
#include "helpers.h"

#include <sys/ptrace.h>
#include <sys/resource.h>

#define PATTERN		0xd7
#define HPAGES		2
#define CORE_PATTERN	"/proc/sys/kernel/core_pattern"
#define CORE		"/tmp/slabpool-core"

FIXTURE(process) {
	char pattern[256];
	size_t hpage;
	size_t length;
};

FIXTURE_SETUP(process)
{
	ASSERT_TRUE(t_all_settle(10));
	ASSERT_TRUE(t_read_line(CORE_PATTERN, self->pattern,
				sizeof(self->pattern)));
	ASSERT_EQ(0, t_write(CORE_PATTERN, CORE));
	self->hpage = t_hpage();
	self->length = HPAGES * self->hpage;
}

FIXTURE_TEARDOWN(process)
{
	EXPECT_EQ(0, t_write(CORE_PATTERN, self->pattern));
	unlink(CORE);
	EXPECT_EQ(0, t_pool(0).used);
	EXPECT_TRUE(t_all_settle(10));
}

/* Die of SIGABRT with patterned pool memory. */
static void dump(const char *filter, int advice, size_t length)
{
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
	char *map = t_take(t_open(), 0, HPAGES);

	if (map == MAP_FAILED || t_write("/proc/self/coredump_filter", filter))
		_exit(1);
	memset(map, PATTERN, length);
	if (advice)
		madvise(map, length, advice);
	setrlimit(RLIMIT_CORE, &all);
	signal(SIGABRT, SIG_DFL);
	raise(SIGABRT);
}

/* Whole base pages of the pattern in the dump; -1 when there is none. */
static long patterned_pages(void)
{
	int fd = open(CORE, O_RDONLY | O_CLOEXEC);
	char page[4096];
	long count = 0;

	if (fd < 0)
		return -1;
	/* Memory lies at multiples of the page size in it. */
	while (read(fd, page, sizeof(page)) == sizeof(page))
		count += t_is_filled(page, PATTERN, sizeof(page));
	close(fd);
	return count;
}

static long dumped(const char *filter, int advice, size_t length)
{
	pid_t pid;

	unlink(CORE);
	pid = fork();
	if (!pid)
		dump(filter, advice, length);
	return t_wait(pid) == 128 + SIGABRT ? patterned_pages() : -2;
}

TEST_F(process, a_core_dump_holds_no_pool_memory_by_default)
{
	EXPECT_EQ(0, dumped("0x33", 0, self->length));
}

TEST_F(process, a_core_dump_holds_all_of_it_when_the_filter_asks)
{
	EXPECT_EQ(self->length / 4096, dumped("0x3b", 0, self->length));
}

TEST_F(process, what_its_owner_keeps_from_dumps_is_not_in_them)
{
	EXPECT_EQ(0, dumped("0x3b", MADV_DONTDUMP, self->length));
}

static pid_t stopped_child(char *map)
{
	pid_t pid = fork();

	if (!pid)
		for (;;)
			(*(volatile unsigned int *)(map + 64))++;
	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) ||
	    ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) ||
	    waitpid(pid, NULL, 0) != pid)
		return -1;
	return pid;
}

TEST_F(process, a_debugger_reads_writes_and_leaves_it_as_it_was)
{
	int fd = t_open();
	char *map = t_take(fd, 0, HPAGES);
	unsigned int count;
	unsigned long round;
	pid_t pid;

	ASSERT_NE(MAP_FAILED, map);
	memset(map, PATTERN, self->length);
	for (round = 0; round < t_rounds(20); round++) {
		pid = stopped_child(map);
		ASSERT_LT(0, pid);
		errno = 0;
		EXPECT_EQ((char)PATTERN,
			  (char)ptrace(PTRACE_PEEKDATA, pid,
				       map + self->hpage + 8, NULL));
		EXPECT_EQ(0, errno);
		/* Shared memory: what it writes there, all see. */
		EXPECT_EQ(0, ptrace(PTRACE_POKEDATA, pid, map + 4096,
				    (void *)round));
		EXPECT_EQ(round, *(unsigned long *)(map + 4096));
		count = *(volatile unsigned int *)(map + 64);
		EXPECT_EQ(0, ptrace(PTRACE_DETACH, pid, NULL, NULL));
		while (count == *(volatile unsigned int *)(map + 64))
			t_sleep_ms(1);
		kill(pid, SIGKILL);
		EXPECT_EQ(128 + SIGKILL, t_wait(pid));
	}
	munmap(map, self->length);
	close(fd);
}

/* What is not committed is an error for the debugger, no signal for anybody. */
TEST_F(process, a_debugger_finds_holes_unreadable)
{
	int fd = t_open();
	char *map = t_take(fd, 0, HPAGES);
	pid_t pid;

	ASSERT_NE(MAP_FAILED, map);
	pid = stopped_child(map);
	ASSERT_LT(0, pid);
	ASSERT_EQ(1, t_decommit(fd, 0, self->hpage, self->hpage));
	errno = 0;
	EXPECT_EQ(-1, ptrace(PTRACE_PEEKDATA, pid, map + self->hpage, NULL));
	EXPECT_EQ(EIO, errno);
	EXPECT_EQ(-1, ptrace(PTRACE_POKEDATA, pid, map + self->hpage, NULL));
	EXPECT_EQ(0, ptrace(PTRACE_DETACH, pid, NULL, NULL));
	kill(pid, SIGKILL);
	EXPECT_EQ(128 + SIGKILL, t_wait(pid));
	munmap(map, self->length);
	close(fd);
}

/* A checkpoint begins by reading these; each answers, nobody is harmed. */
TEST_F(process, what_describes_a_process_describes_its_pool_memory)
{
	static const char *const files[] = {
		"maps", "smaps", "smaps_rollup", "pagemap", "numa_maps", "statm",
	};
	int fd = t_open();
	char *map = t_take(fd, 0, HPAGES), path[96], bytes[65536];
	unsigned int i;
	int file;

	ASSERT_NE(MAP_FAILED, map);
	memset(map, PATTERN, self->length);
	munmap(map + 4096, 4096);
	for (i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "/proc/self/%s", files[i]);
		file = open(path, O_RDONLY);
		ASSERT_LE(0, file);
		EXPECT_LT(0, read(file, bytes, sizeof(bytes))) {
			TH_LOG("%s: %s", files[i], strerror(errno));
		}
		close(file);
	}
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx",
		 (unsigned long)map, (unsigned long)map + 4096);
	EXPECT_EQ(0, access(path, F_OK));
	/* Opened that way it is as good as a new client. */
	file = open(path, O_RDWR);
	if (file >= 0) {
		EXPECT_EQ(0, t_stats(file, 0).committed);
		close(file);
	}
	EXPECT_TRUE(t_is_filled(map + 8192, PATTERN, self->length - 8192));
	munmap(map, self->length);
	close(fd);
}

TEST_HARNESS_MAIN

/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * What the tests of the module have in common.  Everything is prefixed t_, and
 * nothing here decides whether a test passes.
 */
#ifndef SLABPOOL_SELFTESTS_HELPERS_H
#define SLABPOOL_SELFTESTS_HELPERS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/slabpool.h>

#define T_DEVICE	"/dev/slabpool"
#define T_SYSFS		"/sys/class/misc/slabpool"

/* The number in a variable of the environment, or what stands for it. */
static inline unsigned long t_environment(const char *name,
					  unsigned long otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoul(text, NULL, 10) : otherwise;
}

/*
 * The harness limits each test by alarm(2).  Programs are linked with
 * --wrap=alarm, so that a slow machine is given SLABPOOL_PATIENCE times as long.
 */
__attribute__((weak)) unsigned int __real_alarm(unsigned int seconds);
__attribute__((weak)) unsigned int __wrap_alarm(unsigned int seconds);

unsigned int __wrap_alarm(unsigned int seconds)
{
	return __real_alarm(seconds * t_environment("SLABPOOL_PATIENCE", 1));
}

/* How often to do what is done often: SLABPOOL_ROUNDS times the usual. */
static inline unsigned long t_rounds(unsigned long usual)
{
	return usual * t_environment("SLABPOOL_ROUNDS", 1);
}

static inline int t_open(void)
{
	return open(T_DEVICE, O_RDWR | O_CLOEXEC);
}

static inline double t_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static inline void t_sleep_ms(unsigned int ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000L };

	while (nanosleep(&ts, &ts) && errno == EINTR)
		;
}

/* First line of a file, without its newline; false when it cannot be read. */
static inline bool t_read_line(const char *path, char *line, int size)
{
	FILE *file = fopen(path, "r");
	bool good;

	if (!file)
		return false;
	good = fgets(line, size, file) != NULL;
	fclose(file);
	if (good)
		line[strcspn(line, "\n")] = '\0';
	return good;
}

/* One write(2) of the text: 0 or -errno. */
static inline int t_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		ret = errno ? -errno : -EIO;
	close(fd);
	return ret;
}

/* The number in a file of sysfs, -1 when there is none. */
static inline long long t_sysfs(const char *name)
{
	char path[256], line[64];

	snprintf(path, sizeof(path), T_SYSFS "/%s", name);
	return t_read_line(path, line, sizeof(line)) ? atoll(line) : -1;
}

static inline long long t_node(int nid, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "node%d/%s", nid, name);
	return t_sysfs(path);
}

static inline int t_set_node(int nid, const char *name, const char *text)
{
	char path[256];

	snprintf(path, sizeof(path), T_SYSFS "/node%d/%s", nid, name);
	return t_write(path, text);
}

static inline size_t t_hpage(void)
{
	static size_t size;

	if (!size)
		size = t_sysfs("hugepage_size");
	return size;
}

struct t_pool {
	long long total, zeroed, dirty, used, parked, poisoned;
};

static inline struct t_pool t_pool(int nid)
{
	return (struct t_pool){
		.total = t_node(nid, "total_hugepages"),
		.zeroed = t_node(nid, "zeroed_hugepages"),
		.dirty = t_node(nid, "dirty_hugepages"),
		.used = t_node(nid, "used_hugepages"),
		.parked = t_node(nid, "parked_hugepages"),
		.poisoned = t_node(nid, "poisoned_hugepages"),
	};
}

static inline bool t_equation(struct t_pool pool)
{
	return pool.total == pool.zeroed + pool.dirty + pool.used + pool.parked;
}

/*
 * Until when to wait for what an idle machine has done within those seconds.  On
 * a busy one it takes a multiple, which is no reason to fail.
 */
static inline double t_deadline(double seconds)
{
	return t_now() + 10 * seconds;
}

/* Wait until nothing of a node is used and all of it is zeroed. */
static inline bool t_settles(int nid, double seconds)
{
	double end = t_deadline(seconds);
	struct t_pool pool;

	do {
		pool = t_pool(nid);
		if (pool.total >= 0 && pool.zeroed == pool.total)
			return true;
		t_sleep_ms(10);
	} while (t_now() < end);
	return false;
}

static inline bool t_all_settle(double seconds)
{
	int nid;

	for (nid = 0; nid < SLABPOOL_MAX_NODES; nid++)
		if (t_node(nid, "total_hugepages") >= 0 &&
		    !t_settles(nid, seconds))
			return false;
	return true;
}

/* Wait until nothing of a node is pinned any more. */
static inline bool t_unparks(int nid, double seconds)
{
	double end = t_deadline(seconds);

	do {
		if (t_node(nid, "parked_hugepages") == 0)
			return true;
		t_sleep_ms(5);
	} while (t_now() < end);
	return false;
}

/* mmap(2) at an address of the kernel's choice. */
static inline char *t_map(int fd, int node, size_t byte, size_t length, int prot,
			  int flags)
{
	return mmap(NULL, length, prot, flags, fd, SLABPOOL_OFFSET(node, byte));
}

/* Hand out @hpages of a node, MAP_FAILED with errno otherwise. */
static inline char *t_take(int fd, int node, size_t hpages)
{
	return t_map(fd, node, 0, hpages * t_hpage(), PROT_READ | PROT_WRITE,
		     MAP_SHARED);
}

static inline int t_commit(int fd, int node, size_t byte, size_t length)
{
	struct slabpool_ioc_commit commit = {
		.size = sizeof(commit),
		.offset = SLABPOOL_OFFSET(node, byte),
		.length = length,
	};

	return ioctl(fd, SLABPOOL_IOC_COMMIT, &commit) ? -errno : 0;
}

/* One range; the entry with its answers is left in @range. */
static inline int t_decommit_range(int fd, int node, size_t byte, size_t length,
				   struct slabpool_range *range)
{
	struct slabpool_ioc_decommit decommit = {
		.size = sizeof(decommit),
		.ranges = (uintptr_t)range,
		.count = 1,
	};

	*range = (struct slabpool_range){
		.offset = SLABPOOL_OFFSET(node, byte),
		.length = length,
	};
	if (ioctl(fd, SLABPOOL_IOC_DECOMMIT, &decommit))
		return -errno;
	return range->error;
}

/* Hpages given back, or -errno. */
static inline int t_decommit(int fd, int node, size_t byte, size_t length)
{
	struct slabpool_range range;
	int ret = t_decommit_range(fd, node, byte, length, &range);

	return ret ? ret : (int)range.hpages;
}

static inline struct slabpool_ioc_stats t_stats(int fd, int node)
{
	struct slabpool_ioc_stats stats = {
		.size = sizeof(stats),
		.node = node,
	};

	if (ioctl(fd, SLABPOOL_IOC_STATS, &stats))
		memset(&stats, 0xff, sizeof(stats));
	return stats;
}

/* Make client @into the picture of @fd: hpages in it, or -errno. */
static inline int t_snapshot(int fd, int into)
{
	struct slabpool_ioc_snapshot snapshot = {
		.size = sizeof(snapshot),
		.into = into,
	};

	return ioctl(fd, SLABPOOL_IOC_SNAPSHOT, &snapshot) ?
	       -errno : (int)snapshot.hpages;
}

static inline bool t_is_filled(const void *memory, int byte, size_t length)
{
	const unsigned char *p = memory;

	return p[0] == (unsigned char)byte && !memcmp(p, p + 1, length - 1);
}

/* Take all of a node's pool and count the hpages that are not zero. */
static inline int t_stale(int nid)
{
	size_t hpages = t_pool(nid).total, i;
	int fd = t_open(), count = 0;
	char *map = t_take(fd, nid, hpages);

	if (map == MAP_FAILED) {
		close(fd);
		return -1;
	}
	for (i = 0; i < hpages; i++)
		count += !t_is_filled(map + i * t_hpage(), 0, t_hpage());
	munmap(map, hpages * t_hpage());
	close(fd);
	return count;
}

/* kB of one line of the mapping's smaps entry, -1 when there is none. */
static inline long t_smaps(const void *address, const char *field)
{
	FILE *file = fopen("/proc/self/smaps", "r");
	unsigned long start, end;
	bool inside = false;
	char line[512];
	long kb = -1;

	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			inside = (uintptr_t)address >= start &&
				 (uintptr_t)address < end;
		else if (inside && !strncmp(line, field, strlen(field)) &&
			 line[strlen(field)] == ':')
			kb = atol(line + strlen(field) + 1);
	}
	fclose(file);
	return kb;
}

static sigjmp_buf t_trap __attribute__((unused));

static inline void t_on_signal(int signal)
{
	siglongjmp(t_trap, signal);
}

/* The signal that reading (or writing) a byte raises, 0 for none. */
static inline int t_touch(volatile char *address, bool write)
{
	struct sigaction action = { .sa_handler = t_on_signal };
	struct sigaction old_bus, old_segv;
	int signal;

	sigaction(SIGBUS, &action, &old_bus);
	sigaction(SIGSEGV, &action, &old_segv);
	signal = sigsetjmp(t_trap, 1);
	if (!signal) {
		if (write)
			*address = 1;
		else
			(void)*address;
	}
	sigaction(SIGBUS, &old_bus, NULL);
	sigaction(SIGSEGV, &old_segv, NULL);
	return signal;
}

/* The page frame behind an address that was touched; 0 when nothing is mapped. */
static inline uint64_t t_pfn(const void *address)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;

	if (pread(fd, &entry, sizeof(entry),
		  (off_t)((uintptr_t)address / 4096 * sizeof(entry))) !=
	    (ssize_t)sizeof(entry))
		entry = 0;
	close(fd);
	return entry >> 63 ? entry & ((1ULL << 55) - 1) : 0;
}

/* A module's file, read once: what is loaded at the end is what was tested. */
struct t_image {
	void *bytes;
	size_t length;
};

static inline bool t_read_image(const char *path, struct t_image *image)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got;

	image->length = lseek(fd, 0, SEEK_END);
	image->bytes = malloc(image->length);
	got = pread(fd, image->bytes, image->length, 0);
	close(fd);
	return got > 0 && (size_t)got == image->length;
}

static inline int t_load(struct t_image ko, const char *params)
{
	return syscall(SYS_init_module, ko.bytes, ko.length, params) ?
	       -errno : 0;
}

static inline int t_unload(void)
{
	return syscall(SYS_delete_module, "slabpool", O_NONBLOCK) ? -errno : 0;
}

#define T_CGROUP	"/sys/fs/cgroup"

/* A group below the root of cgroup2 with a controller: NULL, or why not. */
static inline const char *t_make_group(const char *name, const char *controller)
{
	char path[128], control[64];

	mount("none", T_CGROUP, "cgroup2", 0, NULL);
	if (access(T_CGROUP "/cgroup.subtree_control", W_OK))
		return "no cgroup2 here";
	snprintf(control, sizeof(control), "+%s", controller);
	if (t_write(T_CGROUP "/cgroup.subtree_control", control))
		return "this cgroup2 has not the controller";
	snprintf(path, sizeof(path), T_CGROUP "/%s", name);
	return mkdir(path, 0755) && errno != EEXIST ? "cannot make a group" :
						      NULL;
}

static inline int t_set_group(const char *name, const char *file,
			      const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), T_CGROUP "/%s/%s", name, file);
	return t_write(path, text);
}

/* Move the caller into the group. */
static inline int t_enter_group(const char *name)
{
	return t_set_group(name, "cgroup.procs", "0");
}

static inline int t_remove_group(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), T_CGROUP "/%s", name);
	return rmdir(path);
}

/* Wait for a child: its exit code, or 128 + signal. */
static inline int t_wait(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* A memory error in the base page there, which is shared: 0 or an errno. */
static inline int t_inject(char *page)
{
	pid_t pid = fork();
	int code;

	if (!pid) {
		if (!madvise(page, 4096, MADV_HWPOISON) || errno == EIO ||
		    errno == EBUSY)
			_exit(0);
		_exit(errno);
	}
	code = t_wait(pid);
	/* Some kernels kill whoever has it mapped. */
	return code == 128 + SIGBUS ? 0 : code;
}

/* The kernel thread of that name, 0 when there is none. */
static inline pid_t t_thread_named(const char *name)
{
	struct dirent *entry;
	char path[300], line[64];
	DIR *proc = opendir("/proc");
	pid_t pid = 0;

	while (!pid && proc && (entry = readdir(proc)) != NULL) {
		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		if (t_read_line(path, line, sizeof(line)) &&
		    !strcmp(line, name))
			pid = atoi(entry->d_name);
	}
	if (proc)
		closedir(proc);
	return pid;
}

#endif /* SLABPOOL_SELFTESTS_HELPERS_H */

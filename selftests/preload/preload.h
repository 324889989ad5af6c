/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * What the programs here have in common.  Each is a table of cases; each case
 * is run on every memory source that can be had, in a process of its own that
 * the program starts by executing itself, with the preloaded malloc (or with
 * libslabpool.so.1 beside the C library's malloc: T_LINKED).  The supervisor
 * itself uses the C library's malloc, kills what hangs, and reads stderr: a case
 * writes nothing there but the one line it is meant to.
 */
#ifndef SLABPOOL_SELFTESTS_PRELOAD_H
#define SLABPOOL_SELFTESTS_PRELOAD_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "slabpool.h"

#define T_HPAGE		((size_t)2 << 20)
#define T_MIB		((size_t)1 << 20)
#define T_HUGETLB_PAGES	"256"

#define T_THP		1u	/* the source a case wants; none: all of them */
#define T_HUGETLB	2u
#define T_DEVICE	4u
#define T_NO_DEVICE	8u	/* only where there is no device */
#define T_PLAIN		16u	/* once, without backend: in SLABPOOL_CONF */
#define T_LINKED	32u	/* not preloaded */
#define T_ROOT		64u
#define T_GUEST		128u	/* changes the machine: in the guest only */

struct t_case {
	const char *name;
	void (*run)(void);
	const char *conf;		/* more of SLABPOOL_CONF */
	const char *err;		/* in the one line on stderr; NULL: none */
	unsigned int flags;
	int seconds;			/* 0: 20; more in an emulated machine */
	int signal, code;		/* how it ends */
	void (*before)(void);		/* in the new process, before exec */
};

#define CASE(function, ...) { .name = #function, .run = function, ##__VA_ARGS__ }

/* ---- in the case -------------------------------------------------------- */

/* Says where and ends the process at once: no handler runs on broken ground. */
#define check(x) do {							\
	if (!(x)) {							\
		dprintf(STDOUT_FILENO, "%s:%d: not so: %s (errno %d)\n",	\
			__FILE__, __LINE__, #x, errno);			\
		_exit(1);						\
	}								\
} while (0)

#define note(...) dprintf(STDOUT_FILENO, __VA_ARGS__)

/* What the compiler must take as it comes. */
#define hide(x) __extension__ ({			\
	__typeof__((x) + 0) hidden_ = (x);			\
	__asm__ volatile("" : "+r"(hidden_) : : "memory");	\
	hidden_;					\
})

static inline bool t_emulated(void)
{
	return getenv("SLABPOOL_GUEST") != NULL;
}

static inline double t_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static inline void t_sleep_ms(long ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000L };

	while (nanosleep(&ts, &ts) && errno == EINTR)
		;
}

/* A function of the library, which these programs are not linked with. */
static inline void *t_symbol(const char *name)
{
	void *symbol = dlsym(RTLD_DEFAULT, name);

	if (!symbol) {
		note("no %s in this process: the library was not loaded\n", name);
		_exit(1);
	}
	return symbol;
}

#define t_lib(name) ((__typeof__(&name))t_symbol(#name))

static inline struct slabpool_stats t_stats(void)
{
	struct slabpool_stats stats;
	int err = t_lib(slabpool_stats)(&stats, sizeof(stats));

	check(err == 0);
	return stats;
}

/* xorshift64*: the same numbers on every machine. */
static inline uint64_t t_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 2685821657736338717ull;
}

#define T_EXCHANGE	64

/* Until *@stop: allocate, hand over to others, free what others made. */
static inline void t_churn(void *_Atomic *exchange, const _Atomic bool *stop, uint64_t seed)
{
	while (!*stop) {
		uint64_t r = t_random(&seed);
		size_t size = r % 64 == 0 ? 300000 : r % 8 == 0 ? 5000 : r % 700;
		char *p = malloc(size + 1);

		check(p);
		p[0] = p[size] = (char)r;
		free(atomic_exchange(&exchange[(r >> 32) % T_EXCHANGE], p));
	}
}

/* Every byte depends on its place and the seed; cheap enough for gigabytes. */
static inline void t_fill(void *p, size_t size, uint64_t seed)
{
	uint64_t word = seed * 0x9e3779b97f4a7c15ull + 1;
	unsigned char *at = p;

	for (; size >= 8; size -= 8, at += 8, word += 0x9e3779b97f4a7c15ull)
		memcpy(at, &word, 8);
	memcpy(at, &word, size);
}

static inline bool t_is_filled(const void *p, size_t size, uint64_t seed)
{
	uint64_t word = seed * 0x9e3779b97f4a7c15ull + 1;
	const unsigned char *at = p;

	for (; size >= 8; size -= 8, at += 8, word += 0x9e3779b97f4a7c15ull)
		if (memcmp(at, &word, 8))
			return false;
	return memcmp(at, &word, size) == 0;
}

static inline bool t_is_zero(const void *p, size_t size)
{
	const unsigned char *at = p;

	return size == 0 || (at[0] == 0 && memcmp(at, at + 1, size - 1) == 0);
}

/* Wait for a child: its exit code, or 128 + signal. */
static inline int t_wait(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) != pid)
		if (errno != EINTR)
			return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- the supervisor ----------------------------------------------------- */

struct t_result {
	int status;
	bool hung;
	char out[8192], err[8192];
};

static inline void t_read_all(int fd, char *buf, size_t size)
{
	ssize_t n = pread(fd, buf, size - 1, 0);

	buf[n > 0 ? n : 0] = '\0';
	close(fd);
}

static inline void t_start(const struct t_case *c, const char *source, int out, int err)
{
	char conf[512], lib[4096];

	snprintf(lib, sizeof(lib), "%s", getenv("SLABPOOL_PRELOAD"));
	if (c->flags & T_LINKED)
		strcpy(strrchr(lib, '/'), "/libslabpool.so.1");
	snprintf(conf, sizeof(conf), "%s%s%s%s", source ? "backend:" : "",
		 source ? source : "", source && c->conf ? "," : "",
		 c->conf ? c->conf : "");
	setenv("LD_PRELOAD", lib, 1);
	setenv("SLABPOOL_CONF", conf, 1);
	setpgid(0, 0);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	close(out);
	close(err);
	if (c->before)
		c->before();
	execl("/proc/self/exe", program_invocation_name, "--case", c->name, NULL);
	_exit(126);
}

static inline void t_run(const struct t_case *c, const char *source, struct t_result *r)
{
	int out = memfd_create("out", 0), err = memfd_create("err", 0);
	double end = t_now() + (c->seconds ? c->seconds : 20) * (t_emulated() ? 24 : 6);
	pid_t pid = fork();

	if (pid == 0)
		t_start(c, source, out, err);
	r->hung = false;
	while (waitpid(pid, &r->status, WNOHANG) == 0) {
		if (t_now() > end) {
			r->hung = true;
			kill(-pid, SIGKILL);
			waitpid(pid, &r->status, 0);
			break;
		}
		t_sleep_ms(2);
	}
	kill(-pid, SIGKILL);	/* what it may have left behind */
	t_read_all(out, r->out, sizeof(r->out));
	t_read_all(err, r->err, sizeof(r->err));
}

static inline void t_quote(const char *what, const char *text)
{
	while (*text) {
		int len = (int)strcspn(text, "\n");

		printf("# %s: %.*s\n", what, len, text);
		text += len + (text[len] == '\n');
	}
}

/* What went otherwise than the table says, or NULL. */
static inline const char *t_judge(const struct t_case *c, const struct t_result *r)
{
	const char *end = strchr(r->err, '\n');

	if (r->hung)
		return "hung";
	if (c->signal && !(WIFSIGNALED(r->status) && WTERMSIG(r->status) == c->signal))
		return "did not end by the signal it should";
	if (!c->signal && !(WIFEXITED(r->status) && WEXITSTATUS(r->status) == c->code))
		return "ended otherwise than it should";
	if (!c->err)
		return r->err[0] ? "wrote to stderr" : NULL;
	if (!end || end[1])
		return "not exactly one line on stderr";
	return strstr(r->err, c->err) ? NULL : "another line on stderr than it should be";
}

static inline int t_write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), ret = -1;

	if (fd < 0)
		return -1;
	if (write(fd, text, strlen(text)) == (ssize_t)strlen(text))
		ret = 0;
	close(fd);
	return ret;
}

#define T_NR_HUGEPAGES	"/proc/sys/vm/nr_hugepages"

static inline void t_read_file(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, buf, size - 1);

	buf[n > 0 ? n : 0] = '\0';
	if (fd >= 0)
		close(fd);
}

/* Pages for the hugetlb source, for the time of the test; false: none. */
static inline bool t_get_hugetlb(char *before, size_t size)
{
	char now[32];

	/* One test at a time sets their number; unlocked by the end of this process. */
	flock(open(T_NR_HUGEPAGES, O_RDONLY | O_CLOEXEC), LOCK_EX);
	t_read_file(T_NR_HUGEPAGES, before, size);
	if (atoi(before) >= atoi(T_HUGETLB_PAGES))
		return true;
	if (t_write_file(T_NR_HUGEPAGES, T_HUGETLB_PAGES))
		return false;
	t_read_file(T_NR_HUGEPAGES, now, sizeof(now));
	if (atoi(now) >= atoi(T_HUGETLB_PAGES))
		return true;
	t_write_file(T_NR_HUGEPAGES, before);
	return false;
}

struct t_source {
	const char *name;
	unsigned int flag;
	const char *missing;	/* why it cannot be had */
};

static inline bool t_has_device(void)
{
	return access("/dev/slabpool", R_OK | W_OK) == 0;
}

static inline bool t_applies(const struct t_case *c, const struct t_source *s)
{
	unsigned int wanted = c->flags & (T_THP | T_HUGETLB | T_DEVICE);

	if (c->flags & T_PLAIN)
		return s->flag == T_PLAIN;
	return s->flag != T_PLAIN && (!wanted || (wanted & s->flag));
}

static inline const char *t_skip(const struct t_case *c)
{
	if ((c->flags & T_NO_DEVICE) && t_has_device())
		return "the device is here";
	if ((c->flags & T_GUEST) && !t_emulated())
		return "it changes the machine: in the guest only";
	return (c->flags & T_ROOT) && geteuid() ? "not root" : NULL;
}

/* One case on one source: a line of KTAP, and what there was to see if it failed. */
static inline bool t_report(const struct t_case *c, const struct t_source *s, int n)
{
	const char *skip = t_skip(c), *wrong = NULL;
	double start = t_now();
	static struct t_result r;

	if (!skip) {
		t_run(c, s->name, &r);
		wrong = t_judge(c, &r);
	}
	if (wrong) {
		printf("# %s: %s, exit status 0x%x\n", c->name, wrong, (unsigned int)r.status);
		t_quote("stdout", r.out);
		t_quote("stderr", r.err);
	}
	if (t_now() - start > 5)
		printf("# %s: %.1f s\n", c->name, t_now() - start);
	printf("%sok %d %s%s%s%s%s\n", wrong ? "not " : "", n, c->name, s->name ? " on " : "",
	       s->name ? s->name : "", skip ? " # SKIP " : "", skip ? skip : "");
	return !wrong;
}

/* All cases of a source; a source that cannot be had is skipped in one line. */
static inline bool t_on_source(const struct t_source *s, const struct t_case *cases,
			       size_t count, const char *only, int *n)
{
	const char *wanted = getenv("T_SOURCE");
	char pages[32] = "";
	/* An emulated machine is slow, and the other sources are tested outside. */
	bool elsewhere = t_emulated() && t_has_device() &&
			 (s->flag == T_THP || s->flag == T_HUGETLB);
	bool good = true, need = false;
	bool missing;

	if (wanted ? strcmp(wanted, s->name ? s->name : "") : elsewhere)
		return true;
	missing = (s->flag == T_DEVICE && !t_has_device()) ||
		  (s->flag == T_HUGETLB && !t_get_hugetlb(pages, sizeof(pages)));
	for (size_t i = 0; i < count; i++) {
		if (!t_applies(&cases[i], s) || (only && strcmp(only, cases[i].name)))
			continue;
		need = true;
		if (missing)
			continue;
		fflush(stdout);
		good &= t_report(&cases[i], s, ++*n);
	}
	if (s->flag == T_HUGETLB && !missing)
		t_write_file(T_NR_HUGEPAGES, pages);
	if (missing && need)
		printf("ok %d source %s # SKIP %s\n", ++*n, s->name, s->missing);
	return good;
}

static inline int t_all(const struct t_case *cases, size_t count, const char *only)
{
	static const struct t_source sources[] = {
		{ NULL, T_PLAIN, NULL },
		{ "thp", T_THP, NULL },
		{ "hugetlb", T_HUGETLB, "no hugetlb pages can be had" },
		{ "device", T_DEVICE, "no /dev/slabpool here" },
	};
	bool good = true;
	int n = 0;

	printf("TAP version 13\n");
	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++)
		good &= t_on_source(&sources[i], cases, count, only, &n);
	printf("1..%d\n", n);
	return good ? 0 : 1;
}

/*
 * PROGRAM [CASE]: all cases, or one, on all sources; in the guest, where the device
 * is, on that.  T_SOURCE=thp and the like: on that source only.
 */
static inline int t_main(int argc, char **argv, const struct t_case *cases, size_t count)
{
	if (argc > 2 && strcmp(argv[1], "--case") == 0) {
		for (size_t i = 0; i < count; i++) {
			if (strcmp(argv[2], cases[i].name))
				continue;
			cases[i].run();
			return 0;
		}
		return 126;
	}
	/* Supervise from an ordinary process. */
	if (getenv("LD_PRELOAD")) {
		if (!getenv("SLABPOOL_PRELOAD"))
			setenv("SLABPOOL_PRELOAD", getenv("LD_PRELOAD"), 1);
		unsetenv("LD_PRELOAD");
		execv("/proc/self/exe", argv);
	}
	if (!getenv("SLABPOOL_PRELOAD")) {
		printf("SLABPOOL_PRELOAD does not name libslabpool-malloc.so\n");
		return 1;
	}
	signal(SIGPIPE, SIG_IGN);
	return t_all(cases, count, argc > 1 ? argv[1] : NULL);
}

#define T_CASES(cases)							\
int main(int argc, char **argv)						\
{									\
	return t_main(argc, argv, cases, sizeof(cases) / sizeof((cases)[0]));	\
}

#endif /* SLABPOOL_SELFTESTS_PRELOAD_H */

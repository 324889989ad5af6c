// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * SLABPOOL_CONF, limits, and surroundings that programs really have: few
 * addresses, closed descriptors, another user's rights.
 */
#include <malloc.h>
#include <stdatomic.h>
#include <sys/auxv.h>
#include <sys/stat.h>

#include "preload.h"

static void is_fine(void)
{
	char *p = malloc(1000);

	check(p);
	free(p);
}

/* ---- options ------------------------------------------------------------ */

struct bad { const char *conf, *names; };

static const struct bad bad[] = {
	{ "decay_sm:10", "'decay_sm'" },
	{ "Backend:thp", "'Backend'" },
	{ "decay_ms", "'decay_ms'" },
	{ "decay_ms:", "'decay_ms'" },
	{ "decay_ms:abc", "'decay_ms'" },
	{ "decay_ms:-1", "'decay_ms'" },
	{ "decay_ms:1.5", "'decay_ms'" },
	{ "decay_ms:1K", "'decay_ms'" },
	{ "decay_ms: 10", "'decay_ms'" },
	{ "decay_ms:99999999999999999999999", "'decay_ms'" },
	{ "backend:hpages", "'backend'" },
	{ "backend:", "'backend'" },
	{ "node:64", "'node'" },
	{ "node:x", "'node'" },
	{ "limit:M", "'limit'" },
	{ "limit:64X", "'limit'" },
	{ "limit:64MB", "'limit'" },
	{ "limit:16777216T", "'limit'" },
	{ "limit:1:2", "'limit'" },
	{ "fork:vfork", "'fork'" },
	{ "background_thread:yes", "'background_thread'" },
	{ "verbose:1", "'verbose'" },
	{ "stats_print:TRUE", "'stats_print'" },
	{ "abort_conf:no", "'abort_conf'" },
	{ ":", "''" },
	{ "=", "'='" },
	{ "limit:64M,oops", "'oops'" },
	{ "oops,limit:64M", "'oops'" },
	{ "limit:64M;decay_ms:3", "'limit'" },
	{ "oops:1,oops:2,backend:x", "'oops'" },
	{ "decay_ms:\n1", "'decay_ms'" },
	{ "\033[2Jx", "unknown option" },
};

static const char *const good[] = {
	"", ",", ",,,", "backend:auto", "backend:thp", "node:0", "decay_ms:0", "decay_ms:1",
	"decay_ms:86400000", "limit:0", "limit:64M", "limit:64m", "limit:1G", "limit:1T",
	"limit:65536K", "limit:100000000", "soft_limit:64M", "max_unused:8M", "floor:16M",
	"secure:true", "profile:server", "profile:small", "fork:snapshot", "fork:copy", "fork:none", "background_thread:true",
	"background_thread:false", "verbose:false", "stats_print:false", "abort_conf:true",
	"abort_conf:false", ",decay_ms:5,", "decay_ms:5,decay_ms:6,backend:thp,limit:1G",
};

static void good_values(void)
{
	static struct t_result r;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct t_case c = { .name = "is_fine", .conf = good[i] };

		t_run(&c, NULL, &r);
		if (t_judge(&c, &r)) {
			note("%s: %s\n%s\n", good[i], t_judge(&c, &r), r.err);
			_exit(1);
		}
	}
}

static bool readable(const char *s)
{
	for (; *s && *s != '\n'; s++)
		if ((unsigned char)*s < ' ')
			return false;
	return true;
}

/* One line that names it, and the program runs as if nothing had been said. */
static void bad_values(void)
{
	static struct t_result r;
	bool right = true;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct t_case c = { .name = "is_fine", .conf = bad[i].conf,
				    .err = bad[i].names };

		t_run(&c, NULL, &r);
		if (!t_judge(&c, &r) && readable(r.err) &&
		    strncmp(r.err, "slabpool: SLABPOOL_CONF: ", 25) == 0)
			continue;
		note("%s: %s: %s", bad[i].conf, t_judge(&c, &r), r.err);
		right = false;
	}
	check(right);
}

static void bad_values_abort(void)
{
	static struct t_result r;
	char conf[256];

	for (size_t i = 0; i < 2 * sizeof(bad) / sizeof(bad[0]); i++) {
		const struct bad *b = &bad[i / 2];
		struct t_case c = { .name = "is_fine", .conf = conf,
				    .err = b->names, .code = 1 };

		if (strchr(b->conf, '\n') || strncmp(b->conf, "abort", 5) == 0)
			continue;
		snprintf(conf, sizeof(conf), "%s%s%s", i % 2 ? "abort_conf:true," : "",
			 b->conf, i % 2 ? "" : ",abort_conf:true");
		t_run(&c, NULL, &r);
		if (t_judge(&c, &r)) {
			note("%s: %s\n%s", conf, t_judge(&c, &r), r.err);
			_exit(1);
		}
	}
}

static void linked_says(void)
{
	const char *names = getenv("T_NAMES") ? getenv("T_NAMES") : "'oops'";

	check(t_lib(slabpool_init)() == -EINVAL);
	check(t_lib(slabpool_init)() == -EINVAL);
	check(strstr(t_lib(slabpool_init_error)(), names));
	errno = 0;
	check(!t_lib(slabpool_malloc)(100) && errno == EINVAL);
	errno = 0;
	check(!t_lib(slabpool_region_map)(100, -1, 0) && errno == EINVAL);
	check(t_lib(slabpool_release)() == 0);
	check(malloc(100));	/* the C library's */
}

static void bad_values_linked(void)
{
	static struct t_result r;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct t_case c = { .name = "linked_says", .conf = bad[i].conf,
				    .flags = T_LINKED };

		setenv("T_NAMES", bad[i].names, 1);
		t_run(&c, NULL, &r);
		if (t_judge(&c, &r)) {
			note("%s: %s\n%s%s", bad[i].conf, t_judge(&c, &r), r.out, r.err);
			_exit(1);
		}
	}
}

/* Names that only look alike, behind much else. */
static void other_variables(void)
{
	char *much = calloc(1, 100001);

	memset(much, 'x', 100000);
	setenv("A", much, 1);
	setenv("XSLABPOOL_CONF", "oops", 1);
	setenv("SLABPOOL_CONFIG", "oops", 1);
	setenv("SLABPOOL_CON", "oops", 1);
	setenv("B", "SLABPOOL_CONF=oops", 1);
}

static void option_is_read(void)
{
	check(t_stats().limit == 64 * T_MIB);
}

static void set_late(void)
{
	free(malloc(10));
	setenv("SLABPOOL_CONF", "oops", 1);
	free(malloc(3 * T_MIB));
	check(t_lib(slabpool_init)() == 0);
}

static void statistics_at_exit(void)
{
	static struct t_result r;
	struct t_case c = { .name = "is_fine", .conf = "stats_print:true" };

	t_run(&c, NULL, &r);
	check(r.status == 0);
	check(strstr(r.err, "slabpool: source ") && strstr(r.err, "slabpool: committed "));
	check(strstr(r.err, "slabpool: fork_fallbacks "));
}

/* ---- a source that cannot be had ---------------------------------------- */

static void linked_without_device(void)
{
	int err = t_lib(slabpool_init)();

	check(err == -ENOENT || err == -ENODEV || err == -ENXIO);
	check(strstr(t_lib(slabpool_init_error)(), "/dev/slabpool: "));
	errno = 0;
	check(!t_lib(slabpool_malloc)(100) && errno);
}

static void linked_auto(void)
{
	char *p;

	check(t_lib(slabpool_init)() == 0);
	/* Why it is not a better one. */
	check(strstr(t_lib(slabpool_init_error)(), "/dev/slabpool: "));
	p = t_lib(slabpool_malloc)(100);
	check(p);
	t_lib(slabpool_free)(p);
}

static void empty_hugetlb_pool(void)
{
	static struct t_result r;
	struct t_case c = { .name = "is_fine", .conf = "backend:hugetlb", .code = 1,
			    .err = "slabpool: hugetlb: no page" };
	char text[32];

	t_read_file(T_NR_HUGEPAGES, text, sizeof(text));
	if (atoi(text))
		return;		/* not now */
	t_run(&c, NULL, &r);
	note("%s", r.err);
	check(!t_judge(&c, &r));
}

/* ---- limits ------------------------------------------------------------- */

static void *_Atomic held[4000];

static void *fill_up(void *unused)
{
	(void)unused;
	for (int i = 0; i < 4000; i++) {
		char *p = malloc(30000);

		if (!p) {
			check(errno == ENOMEM);
			return NULL;
		}
		memset(p, 1, 30000);
		free(atomic_exchange(&held[i], p));
	}
	check(!"120 MB in 64 MiB");
	return NULL;
}

static void hard_limit(void)
{
	uint64_t limit = t_stats().limit;
	pthread_t thread;
	char *p;

	check(limit == 64 * T_MIB);
	for (int round = 0; round < 5; round++) {
		uint64_t failures = t_stats().failures;

		errno = 0;
		p = malloc(100 * T_MIB);
		check(!p && errno == ENOMEM);
		errno = 0;
		check(!calloc(1, 64 * T_MIB + 1) && errno == ENOMEM);
		check(t_stats().failures >= failures + 2);
		fill_up(NULL);
		check(t_stats().committed <= limit);
		check(t_stats().peak <= limit);
		/* It goes on: what was freed can be had again, also in one piece. */
		for (int i = 0; i < 4000; i++)
			free(atomic_exchange(&held[i], NULL));
		p = malloc(40 * T_MIB);
		check(p);
		memset(p, 1, 40 * T_MIB);
		free(hide(p));
		/* And by another thread: what the first keeps is little. */
		check(pthread_create(&thread, NULL, fill_up, NULL) == 0);
		pthread_join(thread, NULL);
		for (int i = 0; i < 4000; i++)
			free(atomic_exchange(&held[i], NULL));
	}
}

/* What a thread that has gone left unused counts before NULL is said. */
static void *fill_and_free(void *unused)
{
	for (int i = 0; i < 1600; i++)
		held[i] = malloc(30000);
	for (int i = 0; i < 1600; i++)
		free(atomic_exchange(&held[i], NULL));
	return unused;
}

static void limit_reclaims_orphans(void)
{
	pthread_t thread;
	char *p;

	check(pthread_create(&thread, NULL, fill_and_free, NULL) == 0);
	pthread_join(thread, NULL);
	p = malloc(50 * T_MIB);
	check(p);
	free(p);
}

/* What others free is back in time, too: it lies in the thread's own inbox. */
static void *free_held(void *unused)
{
	for (int i = 0; i < 4000; i++)
		free(atomic_exchange(&held[i], NULL));
	return unused;
}

static void limit_reclaims_remote_frees(void)
{
	pthread_t thread;
	char *p;

	for (int i = 0; i < 1600; i++) {
		held[i] = p = malloc(30000);
		check(p);
	}
	check(pthread_create(&thread, NULL, free_held, NULL) == 0);
	pthread_join(thread, NULL);
	p = malloc(50 * T_MIB);
	check(p);
	free(p);
}

static void set_address_limit(size_t bytes)
{
	struct rlimit limit = { bytes, bytes };

	setrlimit(RLIMIT_AS, &limit);
}

static void as_1_gib(void) { set_address_limit((size_t)1 << 30); }
static void as_192_mib(void) { set_address_limit(192 * T_MIB); }

static void exhaust(size_t at_least)
{
	size_t n = 0;
	char **first = NULL;

	for (char **p; (p = malloc(T_MIB)); n++) {
		*p = (char *)first;
		first = p;
	}
	check(errno == ENOMEM);
	note("%zu MiB\n", n);
	check(n * T_MIB >= at_least);
	while (first) {
		char **next = (char **)*first;

		free(first);
		first = next;
	}
	for (int i = 0; i < 1000; i++)
		free(malloc((size_t)i * 100));
}

static void under_1_gib_of_addresses(void)
{
	char *p = calloc(1, 100 * T_MIB);

	check(p);
	memset(p, 1, 100 * T_MIB);
	free(hide(p));
	exhaust(300 * T_MIB);
}

static void under_192_mib_of_addresses(void)
{
	exhaust(40 * T_MIB);
}

/* ---- descriptors -------------------------------------------------------- */

static void use_much(void)
{
	for (int round = 0; round < 3; round++) {
		char *p[200];

		for (int i = 0; i < 200; i++) {
			p[i] = calloc(1, 200000);
			check(p[i] && t_is_zero(p[i], 200000));
			memset(p[i], 1, 200000);
		}
		for (int i = 0; i < 200; i++)
			free(p[i]);
		malloc_trim(0);
	}
}

static void closefrom_then_go_on(void)
{
	pid_t pid;

	use_much();
	closefrom(3);
	use_much();
	/* The numbers are in use again, for something else. */
	for (int fd = 3; fd < 20; fd++)
		check(dup2(STDOUT_FILENO, fd) == fd);
	use_much();
	for (int fd = 3; fd < 20; fd++)
		check(close(fd) == 0);
	closefrom(3);
	pid = fork();
	if (pid == 0) {
		use_much();
		_exit(0);
	}
	check(t_wait(pid) == 0);
	use_much();
}

static void close_all(void)
{
	close(0);
	close(1);
	close(2);
}

/* A daemon opens /dev/null three times and takes the numbers for granted. */
static void nothing_open_at_start(void)
{
	use_much();
	if (open("/dev/null", O_RDWR) != 0)
		_exit(10);
	if (open("/dev/null", O_RDWR) != 1)
		_exit(11);
	if (open("/dev/null", O_RDWR) != 2)
		_exit(12);
	use_much();
}

/* What is said when nobody listens is said to nobody, and to no file. */
static void complaint_without_stderr(void)
{
	is_fine();
	_exit(7);
}

static void close_others(void) { closefrom(3); }

static void leaves_no_descriptor(void)
{
	/* 0, 1, 2; the device's client is the library's only one. */
	int fds = 0;

	use_much();
	for (int fd = 3; fd < 100; fd++) {
		char link[64], to[64] = "";

		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		if (readlink(link, to, sizeof(to) - 1) < 0)
			continue;
		if (strcmp(to, "/dev/slabpool")) {
			note("%d: %s\n", fd, to);
			_exit(1);
		}
		check(fcntl(fd, F_GETFD) & FD_CLOEXEC);
		fds++;
	}
	check(fds <= 1);
}

/* ---- rights ------------------------------------------------------------- */

/* Run set-user-ID by somebody else: the environment is not ours to believe. */
static void secure_says(void)
{
	char path[4096];
	void *lib;
	int (*init)(void);

	if (!getauxval(AT_SECURE))
		_exit(4);
	snprintf(path, sizeof(path), "%s", getenv("T_LIBRARY"));
	lib = dlopen(path, RTLD_NOW);
	if (!lib)
		_exit(4);
	*(void **)&init = dlsym(lib, "slabpool_init");
	check(init && init() == 0);
}

static void secure_ignores_environment(void)
{
	char dir[] = "/tmp/slabpool-XXXXXX", command[8192], program[64], lib[64];
	int status;

	check(mkdtemp(dir));
	snprintf(program, sizeof(program), "%s/program", dir);
	snprintf(lib, sizeof(lib), "%s/lib.so", dir);
	unsetenv("LD_PRELOAD");
	snprintf(command, sizeof(command),
		 "chmod 755 %s && cp /proc/%d/exe %s && cp '%.*s/libslabpool.so.1' %s && "
		 "chmod 4755 %s && cd / && T_LIBRARY=%s SLABPOOL_CONF=oops:1 "
		 "setpriv --reuid=65534 --clear-groups %s --case secure_says",
		 dir, getpid(), program,
		 (int)(strrchr(getenv("SLABPOOL_PRELOAD"), '/') - getenv("SLABPOOL_PRELOAD")),
		 getenv("SLABPOOL_PRELOAD"), lib, program, lib, program);
	status = system(command);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	check(system(command) == 0);
	note("status %x\n", (unsigned int)status);
	/* 4: this file system knows no set-user-ID. */
	check(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 4));
}

/* ---- one engine --------------------------------------------------------- */

static void both_libraries(void)
{
	char lib[4096], both[8192];

	snprintf(lib, sizeof(lib), "%s", getenv("LD_PRELOAD"));
	strcpy(strrchr(lib, '/'), "/libslabpool.so.1");
	snprintf(both, sizeof(both), "%s:%s", getenv("LD_PRELOAD"), lib);
	setenv("LD_PRELOAD", both, 1);
}

static void one_engine(void)
{
	char *p = malloc(100), *q = t_lib(slabpool_malloc)(100);

	check(p && q);
	free(q);
	t_lib(slabpool_free)(p);
}

/* A program linked with the library, beside the C library's malloc. */
static void beside_glibc(void)
{
	for (int i = 0; i < 1000; i++) {
		size_t size = (size_t)i * 37;
		char *p = malloc(size), *q = t_lib(slabpool_calloc)(1, size);

		check(p && q && t_is_zero(q, size));
		memset(q, 1, size);
		free(p);
		t_lib(slabpool_free)(q);
	}
	check(t_lib(slabpool_release)() < 100 * T_MIB);
}

static const struct t_case cases[] = {
	CASE(is_fine),
	CASE(good_values, .flags = T_PLAIN, .seconds = 60),
	CASE(bad_values, .flags = T_PLAIN, .seconds = 60),
	CASE(bad_values_abort, .flags = T_PLAIN, .seconds = 60),
	CASE(bad_values_linked, .flags = T_PLAIN, .seconds = 60),
	{ .name = "linked_says", .run = linked_says, .flags = T_PLAIN | T_LINKED,
	  .conf = "oops", .before = NULL },
	CASE(option_is_read, .conf = "limit:64M"),
	{ .name = "other_variables", .run = option_is_read, .conf = "limit:64M",
	  .before = other_variables },
	CASE(set_late),
	{ .name = "verbose", .run = is_fine, .conf = "verbose:true", .err = "slabpool: source " },
	CASE(statistics_at_exit, .flags = T_PLAIN),
	{ .name = "demands_device", .run = is_fine, .conf = "backend:device",
	  .err = "slabpool: /dev/slabpool: ", .code = 1, .flags = T_PLAIN | T_NO_DEVICE },
	CASE(linked_without_device, .conf = "backend:device",
	     .flags = T_PLAIN | T_LINKED | T_NO_DEVICE),
	CASE(linked_auto, .flags = T_PLAIN | T_LINKED | T_NO_DEVICE),
	CASE(empty_hugetlb_pool, .flags = T_PLAIN),
	{ .name = "node_that_is_not", .run = is_fine, .conf = "node:63",
	  .err = "node 63", .code = 1, .flags = T_THP },
	CASE(hard_limit, .conf = "limit:64M"),
	CASE(limit_reclaims_orphans, .conf = "limit:64M"),
	CASE(limit_reclaims_remote_frees, .conf = "limit:64M"),
	CASE(under_1_gib_of_addresses, .before = as_1_gib, .flags = T_THP | T_HUGETLB),
	CASE(under_192_mib_of_addresses, .before = as_192_mib, .flags = T_THP | T_HUGETLB),
	CASE(closefrom_then_go_on),
	CASE(nothing_open_at_start, .before = close_all),
	{ .name = "complaint_without_stderr", .run = complaint_without_stderr, .conf = "oops",
	  .before = close_all, .code = 7 },
	CASE(leaves_no_descriptor, .before = close_others),
	CASE(secure_says, .code = 4, .flags = T_PLAIN),
	CASE(secure_ignores_environment, .flags = T_PLAIN | T_ROOT),
	CASE(one_engine, .before = both_libraries),
	{ .name = "beside_glibc", .run = beside_glibc, .flags = T_LINKED },
};

T_CASES(cases)

// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * slabpool-run: start a program with libslabpool as its malloc.
 *
 * Everything that can go wrong is found out before the program starts: a child
 * of ours asks the library itself what it makes of the options, and takes and
 * returns one hpage.  So a service never comes up on another memory source than
 * the one demanded.  Then the environment is set and the program takes over
 * this process; its exit status is ours.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "library.h"
#include "slabpool.h"

#define CONF_MAX	1023	/* the library reads no more before libc is up */
#define CPUS_MAX	8192
#define DUMP_SHARED	(1ul << 3)	/* core(5): shared file mappings */

enum { EXIT_USAGE = 2, EXIT_UNAVAILABLE = 126, EXIT_NOT_FOUND = 127 };

static char conf[CONF_MAX + 1];
static char library[PATH_MAX];
static bool verbose;

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void die(int status, const char *format, ...)
	__attribute__((format(printf, 2, 3), noreturn));

static void line(const char *format, va_list args)
{
	fputs("slabpool-run: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
}

static void say(const char *format, ...)
{
	va_list args;

	if (!verbose)
		return;
	va_start(args, format);
	line(format, args);
	va_end(args);
}

static void die(int status, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	line(format, args);
	va_end(args);
	exit(status);
}

/* ---- options ------------------------------------------------------------ */

static const char usage_text[] =
"usage: slabpool-run [OPTIONS] [--] COMMAND [ARG...]\n"
"\n"
"Runs COMMAND with libslabpool in the place of malloc.\n"
"\n"
"  -n, --node N          memory from node N, threads on the CPUs of node N\n"
"  -b, --backend SOURCE  auto (default), device, hugetlb or thp; COMMAND does\n"
"                        not start when the source cannot be had\n"
"  -l, --limit SIZE      take at most SIZE from the source (512M, 4G, ...)\n"
"  -c, --conf KEY:VALUE  any option of SLABPOOL_CONF, see slabpool(7)\n"
"  -s, --stats           print the heap's statistics when COMMAND exits\n"
"  -v, --verbose         say which source it is, and why not a better one\n"
"      --library FILE    this " LIBRARY " instead of the one found\n"
"  -h, --help            this text\n"
"  -V, --version         the version\n"
"\n"
"Options are added to those in the variable SLABPOOL_CONF, and win over them.\n"
"Exit status: that of COMMAND; 2 a bad option, 126 the source is not to be had\n"
"or COMMAND cannot run on it, 127 there is no COMMAND.\n";

/* Append "key:value"; @key NULL: @value is that already. */
static void add_conf(const char *key, const char *value)
{
	size_t at = strlen(conf);
	int n = snprintf(conf + at, sizeof(conf) - at, "%s%s%s%s", at ? "," : "",
			 key ? key : "", key ? ":" : "", value);

	if (n < 0 || (size_t)n >= sizeof(conf) - at)
		die(EXIT_USAGE, "the options are too long: SLABPOOL_CONF has %d characters at most",
		    CONF_MAX);
}

/* A node number on its own: a comma would smuggle in another option. */
static void add_word(const char *option, const char *value)
{
	if (strchr(value, ',') || !*value)
		die(EXIT_USAGE, "--%s cannot be '%s'", option, value);
	add_conf(option, value);
}

/* Returns the node asked for, or -1. */
static long read_options(int argc, char **argv)
{
	static const struct option options[] = {
		{ "node",	required_argument, NULL, 'n' },
		{ "backend",	required_argument, NULL, 'b' },
		{ "limit",	required_argument, NULL, 'l' },
		{ "conf",	required_argument, NULL, 'c' },
		{ "stats",	no_argument,	   NULL, 's' },
		{ "verbose",	no_argument,	   NULL, 'v' },
		{ "library",	required_argument, NULL, 'L' },
		{ "help",	no_argument,	   NULL, 'h' },
		{ "version",	no_argument,	   NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	const char *inherited = getenv("SLABPOOL_CONF");
	long node = -1;
	int c;

	if (inherited && *inherited)
		add_conf(NULL, inherited);
	while ((c = getopt_long(argc, argv, "+n:b:l:c:svhV", options, NULL)) != -1) {
		switch (c) {
		case 'n':
			add_word("node", optarg);
			node = strtol(optarg, NULL, 10);
			break;
		case 'b':
			add_word("backend", optarg);
			break;
		case 'l':
			add_word("limit", optarg);
			break;
		case 'c':
			add_conf(NULL, optarg);
			break;
		case 's':
			add_conf("stats_print", "true");
			break;
		case 'v':
			verbose = true;
			break;
		case 'L':
			if (!realpath(optarg, library))
				die(EXIT_USAGE, "--library %s: %s", optarg, strerror(errno));
			break;
		case 'h':
			fputs(usage_text, stdout);
			exit(EXIT_SUCCESS);
		case 'V':
			printf("slabpool-run %d.%d\n", SLABPOOL_VERSION_MAJOR,
			       SLABPOOL_VERSION_MINOR);
			exit(EXIT_SUCCESS);
		default:
			fputs("Try 'slabpool-run --help'.\n", stderr);
			exit(EXIT_USAGE);
		}
	}
	if (optind == argc)
		die(EXIT_USAGE, "no command given; try 'slabpool-run --help'");
	return node;
}

/* ---- the library -------------------------------------------------------- */

/* What the loader would skip with a mere warning, or in silence. */
static void check_library(void)
{
	if (!*library && !find_library(library))
		die(EXIT_UNAVAILABLE, "no " LIBRARY " in %s/../lib nor in %s; name it with --library",
		    library, library);
	if (strpbrk(library, " :"))
		die(EXIT_UNAVAILABLE, "%s: a space or colon in its path cannot stand in LD_PRELOAD",
		    library);
	if (access(library, R_OK))
		die(EXIT_UNAVAILABLE, "%s: %s", library, strerror(errno));
}

/* ---- the source --------------------------------------------------------- */

/* In the child: its heap is gone when it exits.  What the options make the
 * library print belongs to COMMAND, which prints it again. */
static void ask_library(int out)
{
	int nowhere = open("/dev/null", O_WRONLY);
	int err;

	dup2(nowhere, STDERR_FILENO);
	setenv("SLABPOOL_CONF", conf, 1);
	err = slabpool_init();
	if (err == -EDQUOT) {
		dprintf(out, "the limit is below one hpage (2M), which every process takes");
		_exit(EXIT_USAGE);
	}
	if (err) {
		dprintf(out, "%s", slabpool_init_error());
		_exit(err == -EINVAL ? EXIT_USAGE : EXIT_UNAVAILABLE);
	}
	slabpool_stats_print(out, 0);
	_exit(EXIT_SUCCESS);
}

/* The rest of the line of @text that begins with @label. */
static const char *value_of(const char *text, const char *label)
{
	static char value[512];
	const char *at = strstr(text, label);

	if (!at)
		return "";
	at += strlen(label);
	snprintf(value, sizeof(value), "%.*s", (int)strcspn(at, "\n"), at);
	return value;
}

static void check_source(void)
{
	char text[4096];
	size_t len = 0;
	int ends[2], status;
	ssize_t n;
	pid_t pid;

	if (pipe(ends) || (pid = fork()) < 0)
		die(EXIT_UNAVAILABLE, "cannot ask the library: %s", strerror(errno));
	if (pid == 0)
		ask_library(ends[1]);
	close(ends[1]);
	while (len < sizeof(text) - 1 &&
	       (n = read(ends[0], text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	close(ends[0]);
	waitpid(pid, &status, 0);
	if (!WIFEXITED(status))
		die(EXIT_UNAVAILABLE, "the library died of signal %d", WTERMSIG(status));
	if (WEXITSTATUS(status))
		die(WEXITSTATUS(status), "%s", text);
	say("source %s", value_of(text, "slabpool: source "));
	if (strcmp(value_of(text, "slabpool: why not a better one: "), "-") != 0)
		say("not a better one: %s", value_of(text, "slabpool: why not a better one: "));
}

/* ---- the command -------------------------------------------------------- */

/* As execvp() would find it; "" when it would not. */
static void find_command(const char *name, char path[PATH_MAX])
{
	const char *dirs = getenv("PATH");
	struct stat st;

	if (strchr(name, '/')) {
		snprintf(path, PATH_MAX, "%s", name);
		return;
	}
	for (dirs = dirs ? dirs : "/bin:/usr/bin"; *dirs; dirs += *dirs == ':') {
		int len = (int)strcspn(dirs, ":");

		snprintf(path, PATH_MAX, "%.*s/%s", len ? len : 1, len ? dirs : ".", name);
		if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0)
			return;
		dirs += len;
	}
	path[0] = '\0';
}

static bool has_interpreter(int fd, const Elf64_Ehdr *header)
{
	for (int i = 0; i < header->e_phnum; i++) {
		Elf64_Phdr phdr;

		if (pread(fd, &phdr, sizeof(phdr), (off_t)(header->e_phoff +
			  (size_t)i * sizeof(phdr))) == sizeof(phdr) &&
		    phdr.p_type == PT_INTERP)
			return true;
	}
	return false;
}

/* Will the program start with more rights than ours (AT_SECURE)? */
static bool raises_privileges(const char *path, const struct stat *st)
{
	if ((st->st_mode & S_ISUID) && st->st_uid != geteuid())
		return true;
	if ((st->st_mode & S_ISGID) && st->st_gid != getegid())
		return true;
	return geteuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0;
}

/*
 * Programs that LD_PRELOAD does not reach would run, on another malloc.  What
 * is not ELF is a script, whose interpreter the kernel starts.
 */
static void check_command(const char *name)
{
	Elf64_Ehdr header, own;
	char path[PATH_MAX];
	struct stat st;
	int fd, self;

	find_command(name, path);
	if (!*path || stat(path, &st))
		die(EXIT_NOT_FOUND, "%s: command not found", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;		/* executable but not readable: exec knows better */
	if (pread(fd, &header, sizeof(header), 0) != sizeof(header) ||
	    memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) {
		close(fd);
		return;
	}
	self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (pread(self, &own, sizeof(own), 0) == sizeof(own) &&
	    (header.e_machine != own.e_machine ||
	     header.e_ident[EI_CLASS] != own.e_ident[EI_CLASS]))
		die(EXIT_UNAVAILABLE, "%s: built for another machine type than " LIBRARY, path);
	close(self);
	if (!has_interpreter(fd, &header))
		die(EXIT_UNAVAILABLE, "%s: statically linked, its malloc cannot be replaced", path);
	if (raises_privileges(path, &st))
		die(EXIT_UNAVAILABLE, "%s: it raises its privileges, so the loader refuses " LIBRARY,
		    path);
	close(fd);
}

/* ---- CPUs, core dumps, environment -------------------------------------- */

/* Add a list such as "0-3,8" to @set. */
static void parse_cpus(const char *s, cpu_set_t *set, size_t size)
{
	while (*s >= '0' && *s <= '9') {
		char *end;
		unsigned long first = strtoul(s, &end, 10), last = first;

		if (*end == '-')
			last = strtoul(end + 1, &end, 10);
		for (; first <= last && first < CPUS_MAX; first++)
			CPU_SET_S(first, size, set);
		s = end + (*end == ',');
	}
}

/* Narrow the CPUs this process may use, never widen them. */
static void bind_to_node(long node)
{
	size_t size = CPU_ALLOC_SIZE(CPUS_MAX);
	cpu_set_t *cpus = CPU_ALLOC(CPUS_MAX), *allowed = CPU_ALLOC(CPUS_MAX);
	char path[64], list[4096] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%ld/cpulist", node);
	file = fopen(path, "re");
	if (!file || !fgets(list, sizeof(list), file))
		list[0] = '\0';
	if (file)
		fclose(file);
	list[strcspn(list, "\n")] = '\0';
	CPU_ZERO_S(size, cpus);
	CPU_ZERO_S(size, allowed);
	parse_cpus(list, cpus, size);
	if (!*list)
		say("node %ld has no CPUs: the threads run on any", node);
	else if (sched_getaffinity(0, size, allowed) == 0) {
		CPU_AND_S(size, cpus, cpus, allowed);
		if (CPU_COUNT_S(size, cpus) && sched_setaffinity(0, size, cpus) == 0)
			say("threads on the CPUs of node %ld: %s", node, list);
		else
			say("this process may use no CPU of node %ld (%s): the threads run on any",
			    node, list);
	}
	CPU_FREE(cpus);
	CPU_FREE(allowed);
}

/* The pool is a shared file mapping; core dumps leave those out by default. */
static void dump_pool_memory(void)
{
	FILE *file = fopen("/proc/self/coredump_filter", "r+e");
	unsigned long bits;

	if (!file)
		return;
	if (fscanf(file, "%lx", &bits) == 1) {
		rewind(file);
		fprintf(file, "0x%lx\n", bits | DUMP_SHARED);
	}
	fclose(file);
}

static void set_environment(void)
{
	const char *before = getenv("LD_PRELOAD");
	char *preload;

	if (asprintf(&preload, "%s%s%s", library, before && *before ? ":" : "",
		     before ? before : "") < 0 ||
	    setenv("LD_PRELOAD", preload, 1) || setenv("SLABPOOL_CONF", conf, 1))
		die(EXIT_UNAVAILABLE, "%s", strerror(ENOMEM));
	free(preload);
}

int main(int argc, char **argv)
{
	long node = read_options(argc, argv);

	check_library();
	check_source();
	check_command(argv[optind]);
	if (node >= 0)
		bind_to_node(node);
	dump_pool_memory();
	set_environment();
	execvp(argv[optind], argv + optind);
	die(errno == ENOENT ? EXIT_NOT_FOUND : EXIT_UNAVAILABLE, "%s: %s", argv[optind],
	    strerror(errno));
}

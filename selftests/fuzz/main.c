// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* slabpool-fuzz: the command line, the corpus, and what becomes of a finding. */
#include <dirent.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"

#define MAX_CORPUS	2048
/* How often a program is run to see a race again. */
#define REPLAYS		5
/* The test: below half a minute on an emulated machine. */
#define CHECK_SEED	1
#define CHECK_PROGRAMS	100

size_t hpage;

static struct {
	u64 seed;
	u64 programs;
	unsigned int seconds;
	unsigned int pool;
	unsigned int times;
	unsigned int findings;
	const char *corpus;
	const char *save;
	bool blind;
	bool verbose;
} options = { .programs = ~0ULL, .pool = 12, .times = 1, .findings = 10 };

static struct program *corpus[MAX_CORPUS];
static unsigned int corpus_size;
static unsigned int findings;

static void usage(FILE *to)
{
	fprintf(to,
		"usage: slabpool-fuzz run [OPTIONS]          make programs up and run them\n"
		"       slabpool-fuzz replay [OPTIONS] FILE...    run these\n"
		"       slabpool-fuzz minimise [OPTIONS] FILE     print a smaller one that finds the same\n"
		"       slabpool-fuzz check [FOLDER]         the test: the folder's programs, then some more\n"
		"       slabpool-fuzz list                   the calls and what they take\n"
		"\n"
		"  --seed N       where choices begin (default: the time)\n"
		"  --programs N   stop after so many (default: never)\n"
		"  --seconds N    stop after so long (default: never)\n"
		"  --pool N       hpages of each node meanwhile (default: 12)\n"
		"  --findings N   stop after so many (default: 10)\n"
		"  --corpus DIR   begin with the programs there\n"
		"  --save DIR     keep there what reached new code, findings, and the one running\n"
		"  --times N      run each so often (replay; default: 1)\n"
		"  --blind        do not look at coverage: the seed alone decides\n"
		"  --verbose      print each program with what its calls returned\n");
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* NULL, having said why. */
static struct program *load(const char *path)
{
	struct program *program = malloc(sizeof(*program));
	FILE *file = fopen(path, "r");
	char error[MAX_TEXT];
	bool good = false;

	if (!file) {
		perror(path);
	} else {
		good = gram_read(file, program, error, sizeof(error));
		if (!good)
			fprintf(stderr, "%s: %s\n", path, error);
		fclose(file);
	}
	if (good)
		return program;
	free(program);
	return NULL;
}

static void save(const char *name, const struct program *program, const char *text)
{
	char path[512];
	FILE *file;

	if (!options.save)
		return;
	snprintf(path, sizeof(path), "%s/%s.txt", options.save, name);
	file = fopen(path, "w");
	if (!file) {
		perror(path);
		exit(2);
	}
	fprintf(file, "# %s\n", text);
	gram_write(file, program);
	fclose(file);
}

static void print_results(const struct program *program,
			  const struct outcome *outcome)
{
	struct program one = { .count = 1 };
	unsigned int i;

	for (i = 0; i < program->count; i++) {
		one.line[0] = program->line[i];
		gram_write(stdout, &one);
		if (program->line[i].call)
			printf("\t# %s\n", outcome->result[i] < 0 ?
			       errno_name(-outcome->result[i]) : "ok");
	}
}

static const struct outcome *run(const struct program *program)
{
	const struct outcome *outcome = exec_run(program);

	if (options.verbose)
		print_results(program, outcome);
	pool_restore();
	return outcome;
}

static void report(const struct program *program, const struct outcome *outcome,
		   const char *origin)
{
	char name[64];

	printf("FINDING: %s\n# %s\n", outcome->text, origin);
	gram_write(stdout, program);
	snprintf(name, sizeof(name), "finding-%u", findings++);
	save(name, program, outcome->text);
}

static void keep(const struct program *program, const char *origin)
{
	char name[64];

	if (corpus_size == MAX_CORPUS)
		return;
	corpus[corpus_size] = malloc(sizeof(*program));
	*corpus[corpus_size++] = *program;
	snprintf(name, sizeof(name), "corpus-%llx-%u",
		 (unsigned long long)options.seed, corpus_size);
	save(name, program, origin);
}

static int text_files(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name);

	return length > 4 && !strcmp(entry->d_name + length - 4, ".txt");
}

/* The programs of a folder, in the order of their names. */
static int scan(const char *folder, struct dirent ***entries)
{
	int count = scandir(folder, entries, text_files, alphasort);

	if (count < 0) {
		perror(folder);
		exit(2);
	}
	return count;
}

static void load_corpus(void)
{
	struct dirent **entries;
	struct program *program;
	char path[512];
	int count, i;

	if (!options.corpus)
		return;
	count = scan(options.corpus, &entries);
	for (i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s/%s", options.corpus, entries[i]->d_name);
		program = load(path);
		if (!program)
			exit(2);
		run(program);
		if (kcov_news() || options.blind)
			keep(program, "from the corpus given");
		free(program);
		free(entries[i]);
	}
	free(entries);
}

static void make(struct program *program, struct rng *rng)
{
	if (!corpus_size || rng_one_in(rng, 4)) {
		gram_generate(program, rng);
		return;
	}
	*program = *corpus[rng_below(rng, corpus_size)];
	gram_mutate(program, corpus[rng_below(rng, corpus_size)], rng);
}

static void say(u64 programs, double seconds)
{
	printf("%llu programs in %.0f s, %u kept, %u points of the module, %u findings\n",
	       (unsigned long long)programs, seconds, corpus_size, kcov_points(),
	       findings);
	fflush(stdout);
}

/* The n-th program follows from the seed and, unless blind, from what was kept. */
static void fuzz(void)
{
	double start = now(), told = start;
	const struct outcome *outcome;
	struct program program;
	char origin[96];
	struct rng rng;
	u64 i;

	for (i = 0; i < options.programs && findings < options.findings; i++) {
		if (options.seconds && now() - start > options.seconds)
			break;
		rng.state = options.seed;
		rng.state = rng_next(&rng) + i;
		make(&program, &rng);
		snprintf(origin, sizeof(origin), "seed %llu, program %llu",
			 (unsigned long long)options.seed, (unsigned long long)i);
		/* Should the machine go down with it. */
		save("running", &program, origin);
		outcome = run(&program);
		if (outcome->found)
			report(&program, outcome, origin);
		if (kcov_news())
			keep(&program, origin);
		if (now() - told > 10) {
			told = now();
			say(i + 1, told - start);
		}
	}
	say(i, now() - start);
}

static void write_points(void)
{
	char path[512];
	FILE *file;

	if (!options.save || options.blind)
		return;
	snprintf(path, sizeof(path), "%s/points", options.save);
	file = fopen(path, "w");
	if (!file)
		return;
	kcov_write(file);
	fclose(file);
}

static int command_run(void)
{
	printf("seed %llu%s\n", (unsigned long long)options.seed,
	       options.blind ? ", blind" : "");
	load_corpus();
	fuzz();
	write_points();
	return findings ? 1 : 0;
}

/* The first finding of so many runs, or none. */
static const struct outcome *replay(const struct program *program,
				    unsigned int times)
{
	const struct outcome *outcome;

	do
		outcome = run(program);
	while (!outcome->found && --times);
	return outcome;
}

static int command_replay(char *const *files)
{
	const struct outcome *outcome;
	struct program *program;

	for (; *files; files++) {
		program = load(*files);
		if (!program)
			return 2;
		outcome = replay(program, options.times);
		if (outcome->found)
			report(program, outcome, *files);
		free(program);
	}
	printf("%u findings\n", findings);
	return findings ? 1 : 0;
}

static int command_minimise(const char *file)
{
	struct program *program = file ? load(file) : NULL;
	const struct outcome *outcome;
	char text[MAX_TEXT];

	if (!program)
		return 2;
	outcome = replay(program, REPLAYS);
	if (!outcome->found) {
		fprintf(stderr, "%s: finds nothing in %d runs\n", file, REPLAYS);
		return 1;
	}
	snprintf(text, sizeof(text), "%s", outcome->text);
	if (!minimise(program, text, REPLAYS))
		fprintf(stderr, "%s: does not find the same again\n", file);
	printf("# %s\n", text);
	gram_write(stdout, program);
	free(program);
	return 0;
}

static void result(bool good, unsigned int number, const char *name)
{
	printf("%s %u %s\n", good ? "ok" : "not ok", number, name);
	fflush(stdout);
}

static unsigned int check_regressions(const char *folder, struct dirent **entries,
				      int count)
{
	const struct outcome *outcome;
	struct program *program;
	unsigned int failed = 0;
	char path[512];
	int i;

	for (i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
		program = load(path);
		outcome = program ? replay(program, options.times) : NULL;
		if (outcome && outcome->found)
			report(program, outcome, path);
		failed += !outcome || outcome->found;
		result(outcome && !outcome->found, i + 1, entries[i]->d_name);
		free(program);
	}
	return failed;
}

/* As a test: each program of the folder, then a fixed number made up, blind. */
static int command_check(const char *folder)
{
	struct dirent **entries = NULL;
	int count = folder ? scan(folder, &entries) : 0;
	unsigned int failed, before;

	printf("TAP version 13\n1..%d\n", count + 1);
	failed = check_regressions(folder, entries, count);
	options.blind = true;
	options.seed = CHECK_SEED;
	options.programs = CHECK_PROGRAMS;
	before = findings;
	fuzz();
	failed += findings != before;
	result(findings == before, count + 1, "programs made up find nothing");
	return failed ? 1 : 0;
}

enum { SEED = 1, PROGRAMS, SECONDS, POOL, TIMES, FINDINGS, CORPUS, SAVE, BLIND, VERBOSE, HELP };

static const struct option long_options[] = {
	{ "seed", required_argument, NULL, SEED },
	{ "programs", required_argument, NULL, PROGRAMS },
	{ "seconds", required_argument, NULL, SECONDS },
	{ "pool", required_argument, NULL, POOL },
	{ "times", required_argument, NULL, TIMES },
	{ "findings", required_argument, NULL, FINDINGS },
	{ "corpus", required_argument, NULL, CORPUS },
	{ "save", required_argument, NULL, SAVE },
	{ "blind", no_argument, NULL, BLIND },
	{ "verbose", no_argument, NULL, VERBOSE },
	{ "help", no_argument, NULL, HELP },
	{ NULL, 0, NULL, 0 },
};

static u64 number(const char *text)
{
	char *end;
	u64 value = strtoull(text, &end, 0);

	if (end == text || *end) {
		fprintf(stderr, "slabpool-fuzz: '%s' is not a number\n", text);
		exit(2);
	}
	return value;
}

static void parse_options(int argc, char **argv)
{
	int option;

	options.seed = time(NULL);
	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (option) {
		case SEED:	options.seed = number(optarg);	break;
		case PROGRAMS:	options.programs = number(optarg);	break;
		case SECONDS:	options.seconds = number(optarg);	break;
		case POOL:	options.pool = number(optarg);	break;
		case TIMES:	options.times = number(optarg);	break;
		case FINDINGS:	options.findings = number(optarg);	break;
		case CORPUS:	options.corpus = optarg;	break;
		case SAVE:	options.save = optarg;	break;
		case BLIND:	options.blind = true;	break;
		case VERBOSE:	options.verbose = true;	break;
		case HELP:
			usage(stdout);
			exit(0);
		default:
			usage(stderr);
			exit(2);
		}
	}
	if (!options.times)
		options.times = 1;
}

static int command(char **arguments)
{
	const char *name = *arguments++;

	if (!strcmp(name, "run") && !*arguments)
		return command_run();
	if (!strcmp(name, "replay") && *arguments)
		return command_replay(arguments);
	if (!strcmp(name, "minimise"))
		return command_minimise(*arguments);
	if (!strcmp(name, "check"))
		return command_check(*arguments);
	usage(stderr);
	return 2;
}

int main(int argc, char **argv)
{
	long long size = sysfs_number("hugepage_size");
	int ret;

	parse_options(argc, argv);
	hpage = size > 0 ? (size_t)size : 2UL << 20;
	if (!argv[optind]) {
		usage(stderr);
		return 2;
	}
	if (!strcmp(argv[optind], "list")) {
		gram_list(stdout);
		return 0;
	}
	if (size < 0 || geteuid()) {
		printf("1..0 # SKIP no module, or not root\n");
		return 4;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	exec_setup();
	calls_setup();
	kmsg_open();
	if (!options.blind)
		options.blind = !kcov_open();
	pool_start(options.pool);
	ret = command(argv + optind);
	pool_end();
	return ret;
}

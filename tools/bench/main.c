// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * slabpool-bench: workloads on several mallocs, side by side.
 *
 * Each workload runs on each malloc in a process of its own, in turns: all of them
 * in every round, each round in another order, so that what changes on the machine
 * meets all alike.  Results are medians, and quotients within a round.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "peers.h"
#include "report.h"
#include "run.h"
#include "slabpool.h"
#include "work.h"

static const struct workload all_workloads[] = {
	{ "pairs", "malloc + free, one size", "ns", "ns", 1, run_work },
	{ "mix", "service mix, an operation", "ns", "ns", 1, run_work },
	{ "larson", "server, an operation", "ns", "ns", 1, run_work },
	{ "pipe", "remote free, an object", "ns", "ns", 1, run_work },
	{ "churn", "a thread of 200 objects", "ns", "ns", 1, run_work },
	{ "crowd", "1000 threads, memory each", "kib", "KiB", 1, run_work },
	{ "start", "dash -c :", "us", "us", 1, run_start },
	{ "redis", "redis, a request", "us", "us", 1, run_redis },
	{ "growth", "left after growth", "left_kib", "KiB", 3, run_work },
};

#define WORKLOADS	(sizeof(all_workloads) / sizeof(all_workloads[0]))

enum { EXIT_USAGE = 2 };

static struct workload workloads[WORKLOADS];
static size_t workload_count;
static struct peers peers;
static struct work work = { .threads = 2, .scale = 1, .idle = 11 };
static unsigned int rounds = 9;
static const char *json_path, *svg_folder;
static bool quiet;

static const char usage_text[] =
"usage: slabpool-bench [OPTIONS]\n"
"\n"
"Runs workloads on libslabpool and on other mallocs, in turns, and compares them.\n"
"\n"
"  -w, --workload NAME[,NAME...]  only these (default: all, see --list)\n"
"  -p, --peer NAME[,NAME...]      only these (default: all that are installed)\n"
"  -a, --add NAME=LIBRARY[,VARIABLE=VALUE]\n"
"                                 one more malloc, to be preloaded, or another\n"
"                                 library for a known name\n"
"  -r, --rounds N                 rounds (default: 9; below 5 there is no bound)\n"
"  -t, --threads N                threads of mix and larson (default: 2)\n"
"  -x, --scale X                  times as many operations (default: 1)\n"
"  -i, --idle SECONDS             sleep of growth, before it looks what is left\n"
"                                 (default: 11, one more than the usual decay)\n"
"  -Q, --quick                    1 round, a fiftieth of the operations, no sleep:\n"
"                                 to see that it works\n"
"  -j, --json FILE                all values, medians and ratios (- for the output)\n"
"  -s, --svg FOLDER               throughput.svg, malloc.svg, free.svg, memory.svg\n"
"  -q, --quiet                    no progress\n"
"  -l, --list                     the workloads and the mallocs found\n"
"  -h, --help                     this text\n"
"  -V, --version                  the version\n"
"\n"
"Ctrl-C ends it early: what was measured until then is reported and written.\n"
"SLABPOOL_CONF holds for libslabpool here as anywhere. Exit status: 0; 1 something\n"
"could not be measured or written; 2 a bad option.\n";

static void die(const char *what, const char *value)
{
	fprintf(stderr, "slabpool-bench: %s '%s'; try 'slabpool-bench --help'\n", what, value);
	exit(EXIT_USAGE);
}

static double number(const char *option, const char *text, double least, double most)
{
	char *end;
	double value = strtod(text, &end);

	if (*end || end == text || !(value >= least && value <= most)) {
		fprintf(stderr, "slabpool-bench: --%s takes a number from %g to %g, not '%s'\n",
			option, least, most, text);
		exit(EXIT_USAGE);
	}
	return value;
}

static void select_workloads(const char *text)
{
	workload_count = 0;
	while (*text) {
		size_t length = strcspn(text, ","), i;

		for (i = 0; i < WORKLOADS; i++)
			if (strlen(all_workloads[i].name) == length &&
			    !strncmp(all_workloads[i].name, text, length))
				break;
		if (i == WORKLOADS || workload_count == WORKLOADS)
			die("no workload", text);
		workloads[workload_count++] = all_workloads[i];
		text += length + (text[length] == ',');
	}
}

static void list(void)
{
	for (size_t i = 0; i < WORKLOADS; i++)
		printf("workload\t%s\t%s\n", all_workloads[i].name, all_workloads[i].what);
	for (size_t i = 0; i < peers.count; i++) {
		const struct peer *peer = &peers.list[i];

		printf("malloc\t%s\t%s\t%s\n", peer->name,
		       *peer->library ? peer->library : "the C library", peer->settings);
	}
}

/* The name of a workload to be this process's only one, or NULL. */
static const char *read_options(int argc, char **argv)
{
	static const struct option options[] = {
		{ "workload", required_argument, NULL, 'w' },
		{ "peer", required_argument, NULL, 'p' },
		{ "add", required_argument, NULL, 'a' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "threads", required_argument, NULL, 't' },
		{ "scale", required_argument, NULL, 'x' },
		{ "idle", required_argument, NULL, 'i' },
		{ "quick", no_argument, NULL, 'Q' },
		{ "json", required_argument, NULL, 'j' },
		{ "svg", required_argument, NULL, 's' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "list", no_argument, NULL, 'l' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ "work", required_argument, NULL, 'W' },	/* for our own use */
		{ NULL, 0, NULL, 0 },
	};
	const char *only = NULL, *chosen = NULL;
	bool listing = false;
	int c;

	memcpy(workloads, all_workloads, sizeof(workloads));
	workload_count = WORKLOADS;
	while ((c = getopt_long(argc, argv, "w:p:a:r:t:x:i:Qj:s:qlhV", options, NULL)) != -1) {
		switch (c) {
		case 'w':
			select_workloads(optarg);
			break;
		case 'p':
			chosen = optarg;
			break;
		case 'a':
			if (!peers_add(&peers, optarg))
				die("no malloc is", optarg);
			break;
		case 'r':
			rounds = number("rounds", optarg, 1, REPORT_ROUNDS_MAX);
			break;
		case 't':
			work.threads = number("threads", optarg, 1, WORK_THREADS_MAX);
			break;
		case 'x':
			work.scale = number("scale", optarg, 1e-6, 1000);
			break;
		case 'i':
			work.idle = number("idle", optarg, 0, 3600);
			break;
		case 'Q':
			rounds = 1;
			work.scale = 0.02;
			work.idle = 0;
			break;
		case 'j':
			json_path = optarg;
			break;
		case 's':
			svg_folder = optarg;
			break;
		case 'q':
			quiet = true;
			break;
		case 'l':
			listing = true;
			break;
		case 'h':
			fputs(usage_text, stdout);
			exit(EXIT_SUCCESS);
		case 'V':
			printf("slabpool-bench %d.%d\n", SLABPOOL_VERSION_MAJOR,
			       SLABPOOL_VERSION_MINOR);
			exit(EXIT_SUCCESS);
		case 'W':
			only = optarg;
			break;
		default:
			fputs("Try 'slabpool-bench --help'.\n", stderr);
			exit(EXIT_USAGE);
		}
	}
	if (optind < argc)
		die("what is", argv[optind]);
	if (only)
		return only;
	peers_find(&peers);
	if (chosen && !peers_select(&peers, &chosen))
		die("no malloc", chosen);
	if (listing) {
		list();
		exit(EXIT_SUCCESS);
	}
	return NULL;
}

static void stop(int signal)
{
	(void)signal;
	run_stopped = 1;
}

/* On a terminal one line that changes, elsewhere nothing. */
static void progress(unsigned int round, const char *workload, const char *peer)
{
	if (!quiet && isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[Kround %u of %u: %s on %s", round + 1, rounds, workload,
			peer);
}

static json_object *rounds_of(json_object *results, const char *workload, const char *peer)
{
	json_object *of, *list;

	if (!json_object_object_get_ex(results, workload, &of)) {
		of = json_object_new_object();
		json_object_object_add(results, workload, of);
	}
	if (!json_object_object_get_ex(of, peer, &list)) {
		list = json_object_new_array();
		json_object_object_add(of, peer, list);
	}
	return list;
}

/* False: something went wrong that was not the user's wish. */
static bool measure(json_object *results, unsigned int round, const struct workload *workload)
{
	bool ok = true;

	if (round % workload->every)
		return true;
	for (size_t i = 0; i < peers.count && !run_stopped; i++) {
		const struct peer *peer = &peers.list[(i + round) % peers.count];
		json_object *found = json_object_new_object();

		progress(round, workload->name, peer->name);
		if (workload->run(workload, peer, &work, found)) {
			json_object_array_put_idx(rounds_of(results, workload->name, peer->name),
						  round, found);
			continue;
		}
		json_object_put(found);
		ok = ok && run_stopped;
	}
	return ok;
}

static bool write_json(const struct report *report)
{
	json_object *all = report_json(report);
	int err;

	if (!strcmp(json_path, "-")) {
		puts(json_object_to_json_string_ext(all, JSON_C_TO_STRING_PRETTY));
		err = fflush(stdout);
	} else {
		err = json_object_to_file_ext(json_path, all, JSON_C_TO_STRING_PRETTY);
		if (err)
			fprintf(stderr, "slabpool-bench: %s: %s\n", json_path, strerror(errno));
	}
	json_object_put(all);
	return !err;
}

int main(int argc, char **argv)
{
	const char *only = read_options(argc, argv);
	struct sigaction stopping = { .sa_handler = stop };
	struct report report;
	unsigned int round;
	bool ok = true;

	if (only)
		return work_main(only, &work);
	if (svg_folder && mkdir(svg_folder, 0777) && errno != EEXIST) {
		fprintf(stderr, "slabpool-bench: %s: %s\n", svg_folder, strerror(errno));
		return EXIT_FAILURE;
	}
	sigaction(SIGINT, &stopping, NULL);
	sigaction(SIGTERM, &stopping, NULL);
	report = (struct report){ workloads, workload_count, &peers, 0, json_object_new_object() };
	for (round = 0; round < rounds && !run_stopped; round++) {
		for (size_t w = 0; w < workload_count && !run_stopped; w++)
			ok = measure(report.results, round, &workloads[w]) && ok;
		report.rounds = round + 1;
	}
	if (!quiet && isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K");
	report_table(&report, json_path && !strcmp(json_path, "-") ? stderr : stdout);
	if (json_path)
		ok = write_json(&report) && ok;
	if (svg_folder)
		ok = report_pictures(&report, svg_folder) && ok;
	json_object_put(report.results);
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

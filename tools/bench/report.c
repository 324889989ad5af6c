// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* What all rounds found, as a table and as JSON. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "report.h"
#include "stats.h"

/* ---- out of the results ------------------------------------------------- */

/* NULL: the peer did not take part in that round, or failed. */
static json_object *round_of(const struct report *report, const char *workload, const char *peer,
			     size_t round)
{
	json_object *peers, *rounds;

	if (!json_object_object_get_ex(report->results, workload, &peers) ||
	    !json_object_object_get_ex(peers, peer, &rounds))
		return NULL;
	return json_object_array_get_idx(rounds, round);
}

static double metric_of(const struct report *report, const char *workload, const char *peer,
			const char *metric, size_t round)
{
	json_object *found = round_of(report, workload, peer, round), *metrics, *value;

	if (!found || !json_object_object_get_ex(found, "metrics", &metrics) ||
	    !json_object_object_get_ex(metrics, metric, &value))
		return NAN;
	return json_object_get_double(value);
}

static void metrics_of(const struct report *report, const char *workload, const char *peer,
		       const char *metric, double *values)
{
	for (size_t round = 0; round < report->rounds; round++)
		values[round] = metric_of(report, workload, peer, metric, round);
}

double report_median(const struct report *report, const char *workload, const char *peer,
		     const char *metric)
{
	double values[REPORT_ROUNDS_MAX];
	size_t count = 0;

	for (size_t round = 0; round < report->rounds; round++) {
		double value = metric_of(report, workload, peer, metric, round);

		if (!isnan(value))
			values[count++] = value;
	}
	return stats_median(values, count);
}

json_object *report_curve(const struct report *report, const char *workload, const char *peer,
			  const char *curve)
{
	for (size_t round = 0; round < report->rounds; round++) {
		json_object *found = round_of(report, workload, peer, round), *curves, *points;

		if (found && json_object_object_get_ex(found, "curves", &curves) &&
		    json_object_object_get_ex(curves, curve, &points))
			return points;
	}
	return NULL;
}

/* ---- ours and the best of the others ------------------------------------ */

struct verdict {
	const char *best;	/* the peer with the least median; NULL: none */
	double ratio;		/* ours to that: median of the rounds' quotients */
	double bound;		/* its upper 95 % bound; NAN: too few rounds */
};

static struct verdict compare(const struct report *report, const char *workload, const char *metric)
{
	double ours[REPORT_ROUNDS_MAX], theirs[REPORT_ROUNDS_MAX], ratios[REPORT_ROUNDS_MAX];
	struct verdict verdict = { NULL, NAN, NAN };
	double least = INFINITY;
	size_t count;

	for (size_t i = 0; i < report->peers->count; i++) {
		const char *peer = report->peers->list[i].name;
		double median = report_median(report, workload, peer, metric);

		if (strcmp(peer, PEER_OURS) && median < least) {
			least = median;
			verdict.best = peer;
		}
	}
	if (!verdict.best)
		return verdict;
	metrics_of(report, workload, PEER_OURS, metric, ours);
	metrics_of(report, workload, verdict.best, metric, theirs);
	count = stats_ratios(ours, theirs, report->rounds, ratios);
	verdict.ratio = stats_median(ratios, count);
	verdict.bound = stats_median_bound(ratios, count);
	return verdict;
}

/* ---- the table ---------------------------------------------------------- */

/* Beside the one that is compared: what else a line is worth. */
static const struct {
	const char *workload, *metric, *what, *unit;
} more[] = {
	{ "mix", "cpu_ns", "CPU time", "ns" },
	{ "mix", "peak_kib", "peak memory", "KiB" },
	{ "larson", "cpu_ns", "CPU time", "ns" },
	{ "churn", "eight_ns", "eight at once", "ns" },
	{ "growth", "malloc_p9999_ns", "malloc, 99.99 %", "ns" },
	{ "growth", "malloc_max_ns", "malloc, slowest", "ns" },
	{ "growth", "free_p9999_ns", "free, 99.99 %", "ns" },
	{ "growth", "free_max_ns", "free, slowest", "ns" },
	{ "growth", "empty_max_ns", "nothing, slowest", "ns" },
	{ "growth", "live_kib", "2 MiB pages in use", "KiB" },
};

#define MORE	(sizeof(more) / sizeof(more[0]))

static void line(const struct report *report, FILE *out, const char *workload, const char *metric,
		 const char *what, const char *unit)
{
	struct verdict verdict = compare(report, workload, metric);

	fprintf(out, "%-27.27s %-4s", what, unit);
	for (size_t i = 0; i < report->peers->count; i++) {
		double median = report_median(report, workload, report->peers->list[i].name,
					      metric);

		if (isnan(median))
			fprintf(out, " %14s", "-");
		else
			fprintf(out, " %14.*f", median < 1000 ? 1 : 0, median);
	}
	if (!isnan(verdict.ratio))
		fprintf(out, "  %6.2f of %s", verdict.ratio, verdict.best);
	if (!isnan(verdict.bound))
		fprintf(out, ", at most %.2f", verdict.bound);
	fputc('\n', out);
}

void report_table(const struct report *report, FILE *out)
{
	fprintf(out, "\nMedians of %u rounds, less is better; how " PEER_OURS
		     " compares with the best of the others,\n"
		     "by quotients within a round, and their upper 95 %% bound:\n\n%32s",
		report->rounds, "");
	for (size_t i = 0; i < report->peers->count; i++)
		fprintf(out, " %14.14s", report->peers->list[i].name);
	fputc('\n', out);
	for (size_t w = 0; w < report->workload_count; w++) {
		const struct workload *workload = &report->workloads[w];

		line(report, out, workload->name, workload->metric, workload->what,
		     workload->unit);
		for (size_t i = 0; i < MORE; i++)
			if (!strcmp(more[i].workload, workload->name))
				line(report, out, workload->name, more[i].metric, more[i].what,
				     more[i].unit);
	}
}

/* ---- JSON --------------------------------------------------------------- */

static void add_text(json_object *into, const char *name, const char *text)
{
	json_object_object_add(into, name, json_object_new_string(text));
}

/* The first line of a file, or the value behind ": " of the line that begins so. */
static void add_line(json_object *into, const char *name, const char *path, const char *begins)
{
	FILE *file = fopen(path, "re");
	char line[512];

	while (file && fgets(line, sizeof(line), file)) {
		char *value = strchr(line, ':');

		line[strcspn(line, "\n")] = '\0';
		if (!begins)
			add_text(into, name, line);
		else if (strncmp(line, begins, strlen(begins)) || !value)
			continue;
		else
			add_text(into, name, value + 1 + strspn(value + 1, " \t"));
		break;
	}
	if (file)
		fclose(file);
}

static json_object *machine(void)
{
	json_object *facts = json_object_new_object();
	struct utsname name;

	if (!uname(&name))
		add_text(facts, "kernel", name.release);
	json_object_object_add(facts, "cpus",
			       json_object_new_int64(sysconf(_SC_NPROCESSORS_ONLN)));
	add_line(facts, "cpu", "/proc/cpuinfo", "model name");
	add_line(facts, "memory", "/proc/meminfo", "MemTotal");
	add_line(facts, "thp", "/sys/kernel/mm/transparent_hugepage/enabled", NULL);
	add_line(facts, "load", "/proc/loadavg", NULL);
	return facts;
}

/* Not a number is not JSON. */
static void add_number(json_object *into, const char *name, double value)
{
	json_object_object_add(into, name, isnan(value) ? NULL : json_object_new_double(value));
}

static json_object *summary_of(const struct report *report, const char *workload,
			       const char *metric, const char *unit)
{
	json_object *summary = json_object_new_object(), *medians = json_object_new_object();
	struct verdict verdict = compare(report, workload, metric);

	for (size_t i = 0; i < report->peers->count; i++) {
		const char *peer = report->peers->list[i].name;

		add_number(medians, peer, report_median(report, workload, peer, metric));
	}
	add_text(summary, "workload", workload);
	add_text(summary, "metric", metric);
	add_text(summary, "unit", unit);
	json_object_object_add(summary, "medians", medians);
	json_object_object_add(summary, "best",
			       verdict.best ? json_object_new_string(verdict.best) : NULL);
	add_number(summary, "ratio", verdict.ratio);
	add_number(summary, "bound", verdict.bound);
	return summary;
}

json_object *report_json(const struct report *report)
{
	json_object *all = json_object_new_object(), *list = json_object_new_array();
	json_object *peers = json_object_new_object();

	for (size_t i = 0; i < report->peers->count; i++) {
		const struct peer *peer = &report->peers->list[i];
		json_object *facts = json_object_new_object();

		add_text(facts, "library", peer->library);
		add_text(facts, "settings", peer->settings);
		json_object_object_add(peers, peer->name, facts);
	}
	for (size_t w = 0; w < report->workload_count; w++) {
		const struct workload *workload = &report->workloads[w];

		json_object_array_add(list, summary_of(report, workload->name, workload->metric,
						       workload->unit));
		for (size_t i = 0; i < MORE; i++)
			if (!strcmp(more[i].workload, workload->name))
				json_object_array_add(list, summary_of(report, workload->name,
								       more[i].metric,
								       more[i].unit));
	}
	json_object_object_add(all, "machine", machine());
	json_object_object_add(all, "peers", peers);
	json_object_object_add(all, "rounds", json_object_new_int64(report->rounds));
	json_object_object_add(all, "summary", list);
	json_object_object_add(all, "results", json_object_get(report->results));
	return all;
}

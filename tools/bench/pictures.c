// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* What all rounds found, as pictures: gnuplot draws them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

/* gnuplot, told where the picture goes.  What it complains about is seen. */
static FILE *plot(const char *folder, const char *name, const char *title)
{
	FILE *out = popen("gnuplot", "w");

	if (out)
		fprintf(out,
			"set terminal svg size 900,500 enhanced background rgb 'white'\n"
			"set output '%s/%s.svg'\n"
			"set title '%s'\n"
			"set grid\n"
			"set key outside right top noenhanced\n",
			folder, name, title);
	return out;
}

static bool drawn(FILE *out, const char *name)
{
	if (!pclose(out))
		return true;
	fprintf(stderr, "slabpool-bench: no %s.svg: gnuplot failed (Debian: gnuplot-nox)\n", name);
	return false;
}

/* The speed of each, the fastest of a workload being 1.  Memory has no speed. */
static bool throughput(const struct report *report, const char *folder)
{
	FILE *out = plot(folder, "throughput", "speed, the fastest of each workload is 1");

	if (!out)
		return false;
	fputs("$data << END\nworkload", out);
	for (size_t i = 0; i < report->peers->count; i++)
		fprintf(out, " %s", report->peers->list[i].name);
	for (size_t w = 0; w < report->workload_count; w++) {
		const struct workload *workload = &report->workloads[w];
		double least = INFINITY, medians[PEERS_MAX];

		if (!strcmp(workload->unit, "KiB"))
			continue;
		for (size_t i = 0; i < report->peers->count; i++) {
			medians[i] = report_median(report, workload->name,
						   report->peers->list[i].name, workload->metric);
			if (medians[i] < least)
				least = medians[i];
		}
		fprintf(out, "\n%s", workload->name);
		for (size_t i = 0; i < report->peers->count; i++) {
			if (medians[i] > 0)
				fprintf(out, " %g", least / medians[i]);
			else
				fputs(" ?", out);
		}
	}
	fprintf(out,
		"\nEND\n"
		"set datafile missing '?'\n"
		"set style data histogram\nset style histogram clustered gap 1\n"
		"set style fill solid\nset yrange [0:1.05]\n"
		"plot for [i=2:%zu] $data using i:xtic(1) title columnheader(i)\n",
		report->peers->count + 1);
	return drawn(out, "throughput");
}

/* The curves of all peers in one picture; @shape: how one is drawn. */
static bool curves(const struct report *report, FILE *out, const char *curve, const char *shape)
{
	const char *comma = "plot";

	for (size_t i = 0; i < report->peers->count; i++) {
		json_object *points = report_curve(report, "growth", report->peers->list[i].name,
						   curve);
		size_t count = points ? json_object_array_length(points) : 0;

		fprintf(out, "$peer%zu << END\n", i);
		for (size_t p = 0; p < count; p++) {
			json_object *point = json_object_array_get_idx(points, p);

			fprintf(out, "%.9g %.9g\n",
				json_object_get_double(json_object_array_get_idx(point, 0)),
				json_object_get_double(json_object_array_get_idx(point, 1)));
		}
		fputs("END\n", out);
	}
	for (size_t i = 0; i < report->peers->count; i++) {
		const char *peer = report->peers->list[i].name;

		if (!report_curve(report, "growth", peer, curve))
			continue;
		fprintf(out, "%s $peer%zu %s title '%s'", comma, i, shape, peer);
		comma = ",";
	}
	fputc('\n', out);
	return drawn(out, curve);
}

/* To the right, ten times as rare at each step; the last step is the slowest call. */
static bool latency(const struct report *report, const char *folder, const char *call)
{
	char title[64];
	FILE *out;

	snprintf(title, sizeof(title), "%s: nanoseconds, through growth and collapse", call);
	out = plot(folder, call, title);
	if (!out)
		return false;
	/* A per cent sign in a label begins a format. */
	fputs("set logscale y\n"
	      "set xtics ('50 %%' 0.3, '90 %%' 1, '99 %%' 2, '99.9 %%' 3, '99.99 %%' 4, "
	      "'99.999 %%' 5, 'slowest' 6)\n",
	      out);
	return curves(report, out, call,
		      "using ($1 < 1 ? -log10(1 - $1) : 6):2 with linespoints");
}

static bool memory(const struct report *report, const char *folder)
{
	FILE *out = plot(folder, "memory", "resident MiB over seconds: growth, collapse, sleep");

	return out && curves(report, out, "memory", "using 1:2 with lines");
}

bool report_pictures(const struct report *report, const char *folder)
{
	bool ok = throughput(report, folder);

	if (!report_curve(report, "growth", PEER_OURS, "malloc"))
		return ok;
	ok = latency(report, folder, "malloc") && ok;
	ok = latency(report, folder, "free") && ok;
	return memory(report, folder) && ok;
}

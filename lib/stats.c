// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* Statistics: read, and written as text or JSON without allocating. */
#include <string.h>
#include <unistd.h>

#include "alloc.h"
#include "cache.h"
#include "calls.h"
#include "commit.h"
#include "fork.h"
#include "init.h"
#include "slabpool.h"
#include "source.h"
#include "stats.h"
#include "sys.h"
#include "text.h"

static void collect(struct slabpool_stats *stats)
{
	struct sp_commit_counts counts;

	sp_commit_counts(&counts);
	*stats = (struct slabpool_stats){
		.committed = counts.committed,
		.peak = counts.peak,
		.limit = counts.limit,
		.commits = counts.commits,
		.decommits = counts.decommits,
		.fallbacks = counts.fallbacks,
		.base_pages = sp_commit_base_pages(),
		.failures = sp_alloc_failures(),
		.caches = sp_cache_count(),
		.fork_fallbacks = sp_fork_fallbacks(),
		.fork_copies = sp_fork_copies(),
		.soft_limit = sp_conf.soft_limit,
		.soft_limit_hits = sp_node_presses(),
		.calls_refused = sp_calls_refused(),
		.calls_insisted = sp_calls_insisted(),
	};
	for (int id = 0; id < SP_MAX_NODES; id++) {
		struct sp_node_counts node;

		if (!sp_node_get(id))
			continue;
		sp_node_counts(sp_node_get(id), &node);
		stats->unused += node.unused;
		stats->active += node.active;
		stats->orphans += node.orphans;
		stats->stock += node.resident;
		stats->stock_hits += node.hits;
		stats->stock_misses += node.misses;
		stats->stock_fills += node.fills;
	}
}

int slabpool_stats(struct slabpool_stats *stats, size_t size)
{
	struct slabpool_stats all;
	int err = sp_init();

	if (err)
		return err;
	if (size == 0)
		return -EINVAL;
	collect(&all);
	memset(stats, 0, size);
	memcpy(stats, &all, size < sizeof(all) ? size : sizeof(all));
	return 0;
}

static const struct {
	const char *name;
	size_t field;
	const char *unit;
} fields[] = {
#define FIELD(name, unit) { #name, offsetof(struct slabpool_stats, name), unit }
	FIELD(committed, " bytes"),
	FIELD(active, " bytes"),
	FIELD(unused, " bytes"),
	FIELD(peak, " bytes"),
	FIELD(limit, " bytes"),
	FIELD(commits, " hpages"),
	FIELD(decommits, " hpages"),
	FIELD(fallbacks, " hpages"),
	FIELD(base_pages, " bytes"),
	FIELD(failures, ""),
	FIELD(caches, ""),
	FIELD(orphans, ""),
	FIELD(fork_fallbacks, " hpages"),
	FIELD(fork_copies, ""),
	FIELD(stock, " bytes"),
	FIELD(stock_hits, " hpages"),
	FIELD(stock_misses, " hpages"),
	FIELD(stock_fills, " hpages"),
	FIELD(soft_limit, " bytes"),
	FIELD(soft_limit_hits, ""),
	FIELD(calls_refused, ""),
	FIELD(calls_insisted, ""),
};

/* A JSON string's inside: the library's own sentences need no more than this. */
static void add_quoted(struct sp_text *text, const char *s)
{
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			sp_text_add(text, "\\");
		sp_text_add_n(text, s, 1);
	}
}

static void add_fields(struct sp_text *text, const struct slabpool_stats *stats, bool json)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		uint64_t value;

		memcpy(&value, (const char *)stats + fields[i].field, sizeof(value));
		sp_text_add(text, json ? ",\"" : "slabpool: ");
		sp_text_add(text, fields[i].name);
		sp_text_add(text, json ? "\":" : " ");
		sp_text_add_u64(text, value);
		sp_text_add(text, json ? "" : fields[i].unit);
		sp_text_add(text, json ? "" : "\n");
	}
}

int slabpool_stats_print(int fd, unsigned int flags)
{
	bool json = flags & SLABPOOL_STATS_JSON;
	struct slabpool_stats stats;
	char buf[2048];
	struct sp_text text = SP_TEXT(buf);
	int err;

	if (flags & ~SLABPOOL_STATS_JSON)
		return -EINVAL;
	err = slabpool_stats(&stats, sizeof(stats));
	if (err)
		return err;
	sp_text_add(&text, json ? "{\"source\":\"" : "slabpool: source ");
	sp_text_add(&text, sp_source()->name);
	sp_text_add(&text, json ? "\",\"why\":\"" : "\nslabpool: why not a better one: ");
	add_quoted(&text, slabpool_init_error()[0] ? slabpool_init_error() : "-");
	sp_text_add(&text, json ? "\"" : "\n");
	add_fields(&text, &stats, json);
	if (!json) {
		/* The lines end themselves; sp_text_line() adds the last end. */
		text.len--;
		return sp_text_line(&text, fd);
	}
	sp_text_add(&text, "}");
	return sp_text_line(&text, fd);
}

/* Many programs close stderr before they end: keep a way to it. */
static int at_exit = STDERR_FILENO;

void sp_stats_init(void)
{
	int fd = sp_conf.stats_print ? sp_sys_dup_high(STDERR_FILENO) : -1;

	if (fd >= 0)
		at_exit = fd;
}

__attribute__((destructor)) static void print_at_exit(void)
{
	if (sp_conf.stats_print)
		slabpool_stats_print(at_exit, 0);
}

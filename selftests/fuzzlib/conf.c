// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * SLABPOOL_CONF.  The first two bytes are the room for the complaint, the rest is the
 * text: a whole text must give what its entries give one by one, a good one must give
 * the same again when it is written from its values, and a complaint is a short line.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"

#define ROOM	600

static void demand(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "not so: %s\n", what);
	abort();
}

static bool same(const struct sp_conf *a, const struct sp_conf *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static int parse(const char *text, struct sp_conf *conf)
{
	char why[ROOM];

	return sp_conf_parse(text, conf, why, sizeof(why));
}

static void check_complaint(const char *why, size_t room, int ret)
{
	size_t len = strnlen(why, room);

	demand(len < room, "the complaint ends within its room");
	demand(ret == 0 || ret == -EINVAL, "0 or -EINVAL");
	demand(ret ? len > 0 || room == 1 : len == 0, "a complaint, and only for what is wrong");
	for (size_t i = 0; i < len; i++)
		demand(!iscntrl((unsigned char)why[i]), "the complaint is one line");
}

/* What the manual says each option takes. */
static void check_values(const struct sp_conf *conf)
{
	demand(conf->backend <= SP_BACKEND_THP, "backend");
	demand(conf->node < SP_MAX_NODES || conf->node == UINT64_MAX, "node");
	demand(conf->decay_ms <= 24ull * 3600 * 1000, "decay_ms");
	demand(conf->limit <= UINT64_MAX / 2, "limit");
	demand(conf->fork <= SP_FORK_NONE, "fork");
	demand(conf->profile <= SP_PROFILE_SMALL, "profile");
	demand(conf->background_thread <= 1 && conf->verbose <= 1, "background_thread, verbose");
	demand(conf->stats_print <= 1 && conf->abort_conf <= 1, "stats_print, abort_conf");
}

/* One by one, in their order; a bad one changes nothing. */
static int parse_entries(const char *text, struct sp_conf *conf)
{
	int ret = 0;

	while (*text) {
		size_t len = strcspn(text, ",");
		struct sp_conf before = *conf;
		char *entry = strndup(text, len);

		if (parse(entry, conf)) {
			demand(same(conf, &before), "a bad entry changes nothing");
			ret = -EINVAL;
		}
		free(entry);
		text += len + (text[len] == ',');
	}
	return ret;
}

static void write_and_read_again(const struct sp_conf *conf)
{
	static const char *const backend[] = { "auto", "device", "hugetlb", "thp" };
	static const char *const fork[] = { "snapshot", "copy", "none" };
	static const char *const profile[] = { "server", "throughput", "realtime", "small" };
	static const char *const boolean[] = { "false", "true" };
	struct sp_conf again = sp_conf_default;
	char text[600], node[40] = "";

	if (conf->node != UINT64_MAX)
		snprintf(node, sizeof(node), ",node:%llu", (unsigned long long)conf->node);
	snprintf(text, sizeof(text), "profile:%s,backend:%s%s,decay_ms:%llu,limit:%llu,soft_limit:%llu,"
		 "max_unused:%llu,floor:%llu,fork:%s,secure:%s,"
		 "background_thread:%s,verbose:%s,stats_print:%s,abort_conf:%s",
		 profile[conf->profile], backend[conf->backend], node, (unsigned long long)conf->decay_ms,
		 (unsigned long long)conf->limit, (unsigned long long)conf->soft_limit,
		 (unsigned long long)conf->max_unused, (unsigned long long)conf->floor,
		 fork[conf->fork], boolean[conf->secure],
		 boolean[conf->background_thread], boolean[conf->verbose],
		 boolean[conf->stats_print], boolean[conf->abort_conf]);
	demand(parse(text, &again) == 0 && same(conf, &again), "values written are values read");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_conf whole = sp_conf_default, pieces = sp_conf_default;
	char *text, *why;
	size_t room;
	int ret;

	if (size < 2)
		return 0;
	room = (data[0] | (size_t)data[1] << 8) % ROOM + 1;
	text = strndup((const char *)data + 2, size - 2);
	why = malloc(room);	/* a byte behind it is an error */
	memset(why, 'x', room);
	ret = sp_conf_parse(text, &whole, why, room);
	check_complaint(why, room, ret);
	check_values(&whole);
	demand(parse_entries(text, &pieces) == ret && same(&whole, &pieces),
	       "the whole is its entries");
	write_and_read_again(&whole);
	free(why);
	free(text);
	return 0;
}

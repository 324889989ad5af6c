// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "conf.h"
#include "sys.h"
#include "text.h"

#define VARIABLE	"SLABPOOL_CONF"

enum kind { WORD, NUMBER, SIZE };

struct option {
	const char *name;
	size_t field;			/* offset in struct sp_conf, a uint64_t */
	enum kind kind;
	const char *const *words;	/* WORD: value n is words[n] */
	uint64_t max;			/* NUMBER, SIZE */
};

static const char *const backends[] = { "auto", "device", "hugetlb", "thp", NULL };
static const char *const profiles[] = { "server", "throughput", "realtime", "small", NULL };
static const char *const forks[] = { "snapshot", "copy", "none", NULL };
static const char *const booleans[] = { "false", "true", NULL };

#define FIELD(name)	#name, offsetof(struct sp_conf, name)

#define DAY_MS	(24ull * 3600 * 1000)

static const struct option options[] = {
	{ FIELD(profile),		WORD,	profiles, 0 },
	{ FIELD(backend),		WORD,	backends, 0 },
	{ FIELD(node),			NUMBER,	NULL, SP_MAX_NODES - 1 },
	{ FIELD(decay_ms),		NUMBER,	NULL, DAY_MS },
	{ FIELD(limit),			SIZE,	NULL, UINT64_MAX / 2 },
	{ FIELD(soft_limit),		SIZE,	NULL, UINT64_MAX / 2 },
	{ FIELD(max_unused),		SIZE,	NULL, UINT64_MAX / 2 },
	{ FIELD(floor),			SIZE,	NULL, UINT64_MAX / 2 },
	{ FIELD(fork),			WORD,	forks, 0 },
	{ FIELD(secure),		WORD,	booleans, 0 },
	{ FIELD(background_thread),	WORD,	booleans, 0 },
	{ FIELD(verbose),		WORD,	booleans, 0 },
	{ FIELD(stats_print),		WORD,	booleans, 0 },
	{ FIELD(abort_conf),		WORD,	booleans, 0 },
};

const struct sp_conf sp_conf_default = {
	.node = UINT64_MAX,
	.decay_ms = 10000,
	.background_thread = 1,
};

/* What a profile sets; the table in slabpool(7) says the same. */
static void set_profile(struct sp_conf *conf, uint64_t profile)
{
	static const struct { uint64_t decay_ms, max_unused, background_thread; } sets[] = {
		[SP_PROFILE_SERVER] = { 10000, 0, 1 },
		[SP_PROFILE_THROUGHPUT] = { 60000, 0, 1 },
		[SP_PROFILE_REALTIME] = { DAY_MS, 0, 0 },
		[SP_PROFILE_SMALL] = { 1000, 8 * SP_MIB, 0 },
	};

	conf->decay_ms = sets[profile].decay_ms;
	conf->max_unused = sets[profile].max_unused;
	conf->background_thread = sets[profile].background_thread;
}

struct span {
	const char *at;
	size_t len;
};

static bool is(struct span s, const char *word)
{
	return strlen(word) == s.len && memcmp(s.at, word, s.len) == 0;
}

static bool parse_word(struct span s, const struct option *option, uint64_t *value)
{
	for (uint64_t n = 0; option->words[n]; n++) {
		if (is(s, option->words[n])) {
			*value = n;
			return true;
		}
	}
	return false;
}

/* Bits to shift by for a unit letter; -1: not a unit. */
static int unit_shift(char c)
{
	switch (c) {
	case 'K': case 'k': return 10;
	case 'M': case 'm': return 20;
	case 'G': case 'g': return 30;
	case 'T': case 't': return 40;
	default: return -1;
	}
}

static bool parse_number(struct span s, const struct option *option, uint64_t *value)
{
	int shift = 0;
	uint64_t n = 0;

	if (option->kind == SIZE && s.len > 1 && unit_shift(s.at[s.len - 1]) > 0)
		shift = unit_shift(s.at[--s.len]);
	if (s.len == 0)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (s.at[i] < '0' || s.at[i] > '9' || n > UINT64_MAX / 10 - 1)
			return false;
		n = n * 10 + (uint64_t)(s.at[i] - '0');
	}
	if (n > option->max >> shift)
		return false;
	*value = n << shift;
	return true;
}

static void expect(struct sp_text *why, const struct option *option)
{
	if (option->kind == WORD) {
		for (int n = 0; option->words[n]; n++) {
			sp_text_add(why, n ? " or " : "");
			sp_text_add(why, option->words[n]);
		}
		return;
	}
	sp_text_add(why, option->kind == SIZE ? "a size such as 512M, at most " :
						"a number, at most ");
	sp_text_add_u64(why, option->max);
}

static void say_bad_value(struct sp_text *why, const struct option *option,
			  struct span value)
{
	sp_text_add(why, VARIABLE ": option '");
	sp_text_add(why, option->name);
	sp_text_add(why, "' cannot be '");
	sp_text_add_foreign(why, value.at, value.len);
	sp_text_add(why, "'; it takes ");
	expect(why, option);
}

static void say_unknown(struct sp_text *why, struct span key)
{
	sp_text_add(why, VARIABLE ": unknown option '");
	sp_text_add_foreign(why, key.at, key.len);
	sp_text_add(why, "'; known are");
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		sp_text_add(why, i ? ", " : " ");
		sp_text_add(why, options[i].name);
	}
}

static bool parse_entry(struct span entry, struct sp_conf *conf, struct sp_text *why)
{
	const char *colon = memchr(entry.at, ':', entry.len);
	struct span key = { entry.at, colon ? (size_t)(colon - entry.at) : entry.len };
	struct span value = { entry.at + key.len, 0 };
	uint64_t number;

	if (colon)
		value = (struct span){ colon + 1, entry.len - key.len - 1 };
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		const struct option *option = &options[i];

		if (!is(key, option->name))
			continue;
		if (option->kind == WORD ? !parse_word(value, option, &number) :
					   !parse_number(value, option, &number)) {
			say_bad_value(why, option, value);
			return false;
		}
		memcpy((char *)conf + option->field, &number, sizeof(number));
		if (option->field == offsetof(struct sp_conf, profile))
			set_profile(conf, number);
		return true;
	}
	say_unknown(why, key);
	return false;
}

int sp_conf_parse(const char *text, struct sp_conf *conf, char *why, size_t why_size)
{
	char ignored[8];
	int ret = 0;

	why[0] = '\0';
	while (*text) {
		struct span entry = { text, strcspn(text, ",") };
		struct sp_text first = { why, why_size, 0 };
		struct sp_text rest = SP_TEXT(ignored);

		text += entry.len + (text[entry.len] == ',');
		if (entry.len && !parse_entry(entry, conf, ret ? &rest : &first))
			ret = -EINVAL;
	}
	return ret;
}

/*
 * The dynamic loader allocates before libc has set environ, and the first
 * allocation reads the options: take them from the kernel's copy then.
 * Return: the value, cut to @size - 1, or NULL.
 */
static const char *from_proc(char *buf, size_t size)
{
	int fd = sp_sys_open("/proc/self/environ", O_RDONLY);
	size_t at = 0, name = 0;
	bool match = true, value = false;
	char block[512];
	ssize_t n;

	if (fd < 0)
		return NULL;
	while ((n = sp_sys_read(fd, block, sizeof(block))) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			char c = block[i];

			if (c == '\0' && value)
				goto found;
			if (value) {
				if (at < size - 1)
					buf[at++] = c;
			} else if (c == '\0') {
				match = true;
				name = 0;
			} else if (match && c == '=' && name == strlen(VARIABLE)) {
				value = true;
			} else {
				match = match && name < strlen(VARIABLE) &&
					c == VARIABLE[name];
				name++;
			}
		}
	}
found:
	sp_sys_close(fd);
	buf[at] = '\0';
	return value ? buf : NULL;
}

static const char *from_environ(void)
{
	size_t len = strlen(VARIABLE);

	for (char **e = environ; *e; e++)
		if (strncmp(*e, VARIABLE, len) == 0 && (*e)[len] == '=')
			return *e + len + 1;
	return NULL;
}

int sp_conf_read(struct sp_conf *conf, char *why, size_t why_size)
{
	char buf[1024];
	const char *text;

	*conf = sp_conf_default;
	why[0] = '\0';
	if (getauxval(AT_SECURE))
		return 0;
	text = environ ? from_environ() : from_proc(buf, sizeof(buf));
	return text ? sp_conf_parse(text, conf, why, why_size) : 0;
}

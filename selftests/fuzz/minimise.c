// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* Making a program smaller as long as it still finds the same. */
#include <ctype.h>
#include <string.h>

#include "fuzz.h"

/* Two findings are the same when they differ in numbers at most. */
bool same_finding(const char *one, const char *other)
{
	while (*one && *other) {
		if (isxdigit(*one) || isxdigit(*other)) {
			while (isxdigit(*one))
				one++;
			while (isxdigit(*other))
				other++;
		} else if (*one++ != *other++) {
			return false;
		}
	}
	return *one == *other;
}

/* What depends on a race does not show each time. */
static bool still(const struct program *program, const char *text,
		  unsigned int tries)
{
	const struct outcome *outcome;

	while (tries--) {
		outcome = exec_run(program);
		pool_restore();
		if (outcome->found && same_finding(outcome->text, text))
			return true;
	}
	return false;
}

static bool without(struct program *program, unsigned int at, unsigned int count,
		    const char *text, unsigned int tries)
{
	struct program shorter = *program;

	gram_delete(&shorter, at, count);
	if (!still(&shorter, text, tries))
		return false;
	*program = shorter;
	return true;
}

/* Once, and by the first thread of its process, and by the first of all. */
static void simplify_line(struct program *program, unsigned int at,
			  const char *text, unsigned int tries)
{
	struct program simpler = *program;
	struct line *line = &simpler.line[at];

	line->times = 1;
	line->thread = 0;
	if (!memcmp(line, &program->line[at], sizeof(*line)))
		return;
	if (still(&simpler, text, tries)) {
		*program = simpler;
		return;
	}
	simpler = *program;
	line->times = 1;
	if (program->line[at].times > 1 && still(&simpler, text, tries))
		*program = simpler;
}

/* False when it does not find it again at all. */
bool minimise(struct program *program, const char *text, unsigned int tries)
{
	unsigned int at, count;

	if (!still(program, text, 4 * tries))
		return false;
	for (count = program->count / 2; count; count /= 2) {
		for (at = 0; at + count <= program->count;)
			if (!without(program, at, count, text, tries))
				at += count;
	}
	for (at = 0; at < program->count; at++)
		if (program->line[at].call)
			simplify_line(program, at, text, tries);
	return true;
}

// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Programs: how they are written, read, made up and changed.  What there is to
 * call is in the table of calls.c; nothing here knows any call but fork.
 *
 *	# a comment
 *	a open fd=0 mode=rw
 *	a*20 commit fd=0 node=1 at=2h length=3h flags=0 shape=plain
 *	sync
 *	b look cell=3 = ok
 *
 * A line is a thread, optionally how many times, the call, its arguments by
 * name, and optionally what it must return: ok or the name of an error.
 */
#include <stdlib.h>
#include <string.h>

#include "gram.h"

/* One value in so many is an odd one. */
#define ODD_ONE_IN	12
/* Whoever is told to write a program of this many lines can be long done. */
#define USUAL_LINES	36

static const struct value errors[] = {
	{ "EPERM", EPERM }, { "ENOENT", ENOENT }, { "EINTR", EINTR }, { "EIO", EIO },
	{ "E2BIG", E2BIG }, { "EBADF", EBADF }, { "EAGAIN", EAGAIN }, { "ENOMEM", ENOMEM },
	{ "EACCES", EACCES }, { "EFAULT", EFAULT }, { "EBUSY", EBUSY }, { "EEXIST", EEXIST },
	{ "ENODEV", ENODEV }, { "EINVAL", EINVAL }, { "EMFILE", EMFILE }, { "ENOTTY", ENOTTY },
	{ "ESPIPE", ESPIPE }, { "EROFS", EROFS }, { "EDQUOT", EDQUOT },
	{ "EOPNOTSUPP", EOPNOTSUPP }, { "SIGBUS", 200 + 7 }, { "SIGSEGV", 200 + 11 }, { NULL, 0 },
};

const char *errno_name(long error)
{
	static _Thread_local char number[24];
	const struct value *value;

	for (value = errors; value->name; value++)
		if ((long)value->value == error)
			return value->name;
	snprintf(number, sizeof(number), "%ld", error);
	return number;
}

static void write_value(FILE *to, const struct kind *kind, u64 number)
{
	const struct value *value;

	for (value = kind->values; value && value->name; value++) {
		if (value->value != number)
			continue;
		fprintf(to, "%s", value->name);
		return;
	}
	if (kind->form == BYTES && number && number % hpage == 0 &&
	    number / hpage < 1000)
		fprintf(to, "%lluh", (unsigned long long)(number / hpage));
	else
		fprintf(to, number < 1000 ? "%llu" : "0x%llx",
			(unsigned long long)number);
}

void gram_write(FILE *to, const struct program *program)
{
	const struct line *line;
	unsigned int i, k;

	for (i = 0; i < program->count; i++) {
		line = &program->line[i];
		if (!line->call) {
			fprintf(to, "sync\n");
			continue;
		}
		fprintf(to, "%c", 'a' + line->thread);
		if (line->times > 1)
			fprintf(to, "*%u", line->times);
		fprintf(to, " %s", line->call->name);
		for (k = 0; k < MAX_ARGS && line->call->args[k].name; k++) {
			fprintf(to, " %s=", line->call->args[k].name);
			write_value(to, line->call->args[k].kind, line->v[k]);
		}
		if (line->expect == EXPECT_OK)
			fprintf(to, " = ok");
		else if (line->expect == EXPECT_ERRNO)
			fprintf(to, " = %s", errno_name(line->error));
		fprintf(to, "\n");
	}
}

static bool read_number(const char *text, bool bytes, u64 *number)
{
	char *end;

	*number = strtoull(text, &end, 0);
	if (bytes && *end == 'h') {
		*number *= hpage;
		end++;
	}
	return end != text && !*end;
}

static bool read_named(const struct value *value, const char *text, u64 *number)
{
	for (; value && value->name; value++) {
		if (strcmp(value->name, text))
			continue;
		*number = value->value;
		return true;
	}
	return false;
}

static bool read_value(const struct kind *kind, const char *text, u64 *number)
{
	return read_named(kind->values, text, number) ||
	       read_number(text, kind->form == BYTES, number);
}

static const struct call *find_call(const char *name)
{
	unsigned int i;

	for (i = 0; i < nr_calls; i++)
		if (!strcmp(calls[i].name, name))
			return &calls[i];
	return NULL;
}

static bool read_thread(const char *text, struct line *line)
{
	char *end;

	line->thread = text[0] - 'a';
	line->times = 1;
	if (line->thread >= NR_THREADS)
		return false;
	if (!text[1])
		return true;
	if (text[1] != '*')
		return false;
	line->times = strtoul(text + 2, &end, 10);
	return !*end && line->times;
}

static bool read_argument(struct line *line, char *text)
{
	char *value = strchr(text, '=');
	unsigned int i;

	if (!value)
		return false;
	*value++ = '\0';
	for (i = 0; i < MAX_ARGS && line->call->args[i].name; i++)
		if (!strcmp(line->call->args[i].name, text))
			return read_value(line->call->args[i].kind, value,
					  &line->v[i]);
	return false;
}

static bool read_expectation(struct line *line, const char *text)
{
	u64 error;

	if (!text)
		return false;
	if (!strcmp(text, "ok")) {
		line->expect = EXPECT_OK;
		return true;
	}
	line->expect = EXPECT_ERRNO;
	if (!read_named(errors, text, &error) && !read_number(text, false, &error))
		return false;
	line->error = error;
	return true;
}

/* The word it could not make sense of, or NULL when all is well. */
static const char *read_line(char *text, struct line *line)
{
	char *rest = NULL, *word = strtok_r(text, " \t\n", &rest);

	*line = (struct line){ .times = 1 };
	if (!strcmp(word, "sync"))
		return NULL;
	if (!read_thread(word, line))
		return word;
	word = strtok_r(NULL, " \t\n", &rest);
	line->call = word ? find_call(word) : NULL;
	if (!line->call)
		return word ? word : "the end";
	while ((word = strtok_r(NULL, " \t\n", &rest))) {
		if (!strcmp(word, "=")) {
			word = strtok_r(NULL, " \t\n", &rest);
			return read_expectation(line, word) ? NULL : "=";
		}
		if (!read_argument(line, word))
			return word;
	}
	return NULL;
}

/* False with a sentence in @error. */
bool gram_read(FILE *from, struct program *program, char *error, size_t size)
{
	unsigned int number = 0;
	const char *wrong;
	char text[512];

	program->count = 0;
	while (fgets(text, sizeof(text), from)) {
		number++;
		text[strcspn(text, "#\n")] = '\0';
		if (!text[strspn(text, " \t")])
			continue;
		if (program->count == MAX_LINES) {
			snprintf(error, size, "more than %d lines", MAX_LINES);
			return false;
		}
		wrong = read_line(text, &program->line[program->count++]);
		if (wrong) {
			snprintf(error, size, "line %u, at '%s'", number, wrong);
			return false;
		}
	}
	return true;
}

/* Small ones are common, so that calls of a program speak of the same things. */
static u64 skewed_below(struct rng *rng, u64 limit)
{
	return rng_below(rng, 1 + rng_below(rng, limit));
}

static u64 choose_value(const struct kind *kind, struct rng *rng)
{
	u64 count = kind->limit;

	if (kind->nr_odd && rng_one_in(rng, ODD_ONE_IN))
		return kind->odd[rng_below(rng, kind->nr_odd)];

	switch (kind->form) {
	case NUMBER:
		return kind->least + skewed_below(rng, count - kind->least);
	case BYTES:
		return hpage * (kind->least + skewed_below(rng, count - kind->least));
	case CHOICE:
		while (!kind->limit && kind->values[count].name)
			count++;
		break;
	}
	return kind->values[rng_below(rng, count)].value;
}

static const struct call *choose_call(struct rng *rng)
{
	u64 sum = 0, point;
	unsigned int i;

	for (i = 0; i < nr_calls; i++)
		sum += calls[i].weight;
	point = rng_below(rng, sum);
	for (i = 0; point >= calls[i].weight; i++)
		point -= calls[i].weight;
	return &calls[i];
}

static void choose_arguments(struct line *line, struct rng *rng)
{
	unsigned int i;

	for (i = 0; i < MAX_ARGS && line->call->args[i].name; i++)
		line->v[i] = choose_value(line->call->args[i].kind, rng);
}

static unsigned int choose_times(struct rng *rng)
{
	return rng_one_in(rng, 10) ? 2 + rng_below(rng, 20) : 1;
}

static void choose_line(struct line *line, unsigned int threads, struct rng *rng)
{
	*line = (struct line){ .times = 1 };
	if (rng_one_in(rng, 12))
		return;	/* a sync */
	line->call = choose_call(rng);
	line->thread = rng_below(rng, threads);
	line->times = choose_times(rng);
	choose_arguments(line, rng);
}

/* Lines of one process and one call, with what makes the call succeed. */
static void begin_with(struct program *program, unsigned int thread,
		       const char *text)
{
	struct line *line = &program->line[program->count++];
	char copy[128];

	snprintf(copy, sizeof(copy), "a %s", text);
	read_line(copy, line);
	line->thread = thread;
}

/* What a process begins with, up to one of the points where it goes on by chance. */
static const char *const beginning[] = {
	"open fd=0 mode=rw",
	"mmap fd=0 cell=0 node=0 at=0 length=4h prot=rw flags=shared",
	"stamp cell=0",
	"open fd=1 mode=rw",
	"snapshot fd=0 into=1 flags=0 shape=plain",
	"mmap fd=1 cell=8 node=0 at=0 length=4h prot=rw flags=shared+noreserve",
};

static const unsigned int points[] = { 1, 2, 4, ARRAY_SIZE(beginning) };

/* Each process opens a client and perhaps gets further; the rest is chance. */
void gram_generate(struct program *program, struct rng *rng)
{
	unsigned int threads = 1 + rng_below(rng, NR_THREADS);
	unsigned int lines = 4 + rng_below(rng, USUAL_LINES), i, k, count;

	program->count = 0;
	for (i = 0; i < threads; i += NR_THREADS / NR_PROCESSES) {
		count = points[rng_below(rng, ARRAY_SIZE(points))];
		for (k = 0; k < count; k++)
			begin_with(program, i, beginning[k]);
	}
	if (rng_one_in(rng, 2))
		program->line[program->count++] = (struct line){ .times = 1 };
	while (program->count < lines)
		choose_line(&program->line[program->count++], threads, rng);
}

void gram_delete(struct program *program, unsigned int at, unsigned int count)
{
	memmove(&program->line[at], &program->line[at + count],
		(program->count - at - count) * sizeof(program->line[0]));
	program->count -= count;
}

static void insert(struct program *program, struct rng *rng)
{
	unsigned int at = rng_below(rng, program->count + 1);

	if (program->count == MAX_LINES)
		return;
	memmove(&program->line[at + 1], &program->line[at],
		(program->count - at) * sizeof(program->line[0]));
	program->count++;
	choose_line(&program->line[at], NR_THREADS, rng);
}

static void change_argument(struct line *line, struct rng *rng)
{
	unsigned int count;

	for (count = 0; count < MAX_ARGS && line->call->args[count].name; count++)
		;
	if (count)
		count = rng_below(rng, count);
	if (line->call->args[count].name)
		line->v[count] = choose_value(line->call->args[count].kind, rng);
}

/* The head of one program with the tail of another. */
static void splice_programs(struct program *program, const struct program *other,
			    struct rng *rng)
{
	unsigned int from = rng_below(rng, other->count);

	program->count = rng_below(rng, program->count + 1);
	while (program->count < MAX_LINES && from < other->count)
		program->line[program->count++] = other->line[from++];
}

static void mutate_once(struct program *program, const struct program *other,
			struct rng *rng)
{
	struct line *line;

	if (!program->count || rng_one_in(rng, 4)) {
		insert(program, rng);
		return;
	}
	line = &program->line[rng_below(rng, program->count)];
	switch (rng_below(rng, 6)) {
	case 0:
		gram_delete(program, line - program->line, 1);
		break;
	case 1:
		line->thread = rng_below(rng, NR_THREADS);
		break;
	case 2:
		line->times = choose_times(rng);
		break;
	case 3:
		splice_programs(program, other, rng);
		break;
	default:
		if (line->call)
			change_argument(line, rng);
	}
}

void gram_mutate(struct program *program, const struct program *other,
		 struct rng *rng)
{
	unsigned int i;

	do
		mutate_once(program, other, rng);
	while (!rng_one_in(rng, 3));
	/* What a line used to return says nothing about its new place. */
	for (i = 0; i < program->count; i++)
		program->line[i].expect = EXPECT_NOTHING;
}

static void list_kind(FILE *to, const struct kind *kind)
{
	const struct value *value;
	const char *between = "";

	if (kind->form == NUMBER || kind->form == BYTES) {
		fprintf(to, "%llu..%llu%s", (unsigned long long)kind->least,
			(unsigned long long)kind->limit - 1,
			kind->form == BYTES ? "h" : "");
		between = "|";
	}
	for (value = kind->values; value && value->name; value++) {
		fprintf(to, "%s%s", between, value->name);
		between = "|";
	}
}

void gram_list(FILE *to)
{
	unsigned int i, k;

	for (i = 0; i < nr_calls; i++) {
		fprintf(to, "%s", calls[i].name);
		for (k = 0; k < MAX_ARGS && calls[i].args[k].name; k++) {
			fprintf(to, " %s=", calls[i].args[k].name);
			list_kind(to, calls[i].args[k].kind);
		}
		fprintf(to, "\n");
	}
	fprintf(to, "sync\n");
}

// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Remote frees: one thread asks for objects and sends them through a pipe to
 * another, which frees them.  Measured is the CPU time of both for an object; the
 * pipe's own, 512 pointers a system call, is taken off.
 */
#include <stdlib.h>
#include <unistd.h>

#include "work.h"

#define BATCH	512	/* pointers: PIPE_BUF bytes, written in one piece */

struct end {
	int fd;
	size_t batches;
	void (*handle)(void **objects);
	ssize_t (*move)(int fd, void **objects);
};

static void ask(void **objects)
{
	for (int i = 0; i < BATCH; i++) {
		objects[i] = malloc(64);
		*(char *)objects[i] = 1;
	}
}

static void give_back(void **objects)
{
	for (int i = 0; i < BATCH; i++)
		free(objects[i]);
}

static void keep(void **objects)
{
	work_escape(objects);
}

static ssize_t send(int fd, void **objects)
{
	return write(fd, objects, BATCH * sizeof(void *));
}

static ssize_t receive(int fd, void **objects)
{
	size_t got = 0, want = BATCH * sizeof(void *);

	while (got < want) {
		ssize_t n = read(fd, (char *)objects + got, want - got);

		if (n <= 0)
			return -1;
		got += n;
	}
	return got;
}

/* One end asks before it moves a batch, the other frees after that. */
static void *run_end(void *arg)
{
	struct end *end = arg;
	void *objects[BATCH] = { NULL };

	for (size_t i = 0; i < end->batches; i++) {
		if (end->move == send)
			end->handle(objects);
		if (end->move(end->fd, objects) != (ssize_t)sizeof(objects))
			abort();
		if (end->move == receive)
			end->handle(objects);
	}
	return NULL;
}

/* CPU seconds for an object. */
static double through(size_t batches, void (*first)(void **), void (*last)(void **))
{
	double begin = work_cpu();
	struct end ends[2];
	int fds[2];

	if (pipe(fds))
		abort();
	ends[0] = (struct end){ fds[1], batches, first, send };
	ends[1] = (struct end){ fds[0], batches, last, receive };
	work_run(2, run_end, ends, sizeof(ends[0]));
	close(fds[0]);
	close(fds[1]);
	return (work_cpu() - begin) / (batches * BATCH);
}

void work_pipe(const struct work *work)
{
	size_t batches = work_count(work, 8000);
	double bare = through(batches, keep, keep);

	work_metric("ns", (through(batches, ask, give_back) - bare) * 1e9);
	work_metric("bare_ns", bare * 1e9);
}

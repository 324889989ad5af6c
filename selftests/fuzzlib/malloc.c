// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The malloc family on four threads, six bytes a step, against the model.  One
 * thread works at a time, so that the same bytes are the same run: what is found is
 * what happens to objects that change hands, not what happens at one moment.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#define MODEL_SAMPLES	500u	/* enough to touch each page of most objects */
#include "model.h"
#include "node.h"
#include "slabpool.h"

#define HELPERS		3
#define OBJECTS		256
#define STEP_BYTES	6
#define SIZE_MOST	(5 * SP_MIB)

static struct model_object objects[OBJECTS];

static const struct model_family family = {
	MODEL_LIBRARY,
	.may_fail = true,
};

static void demand(const char *wrong)
{
	if (!wrong)
		return;
	fprintf(stderr, "%s\n", wrong);
	abort();
}

/* ---- what a step can be beside a call of the family --------------------- */

enum special { RELEASE = MODEL_CALLS, LEAVE, REGION, STATISTICS, SPECIALS };

static void map_region(size_t size)
{
	struct slabpool_region_info info;
	char *p = slabpool_region_map(size, SLABPOOL_NODE_LOCAL, 0);

	if (!p) {
		demand(errno == ENOMEM || errno == EINVAL ? NULL : "a region failed strangely");
		return;
	}
	demand(p[0] || p[size - 1] ? "a region is not zero" : NULL);
	p[size - 1] = 1;
	demand(slabpool_region_query(p + size - 1, &info) || info.addr != p || info.size < size ?
	       "a region is not what it was asked for" : NULL);
	demand(slabpool_region_unmap(p) ? "a region cannot be unmapped" : NULL);
}

static void look_at_statistics(void)
{
	struct slabpool_stats stats;

	demand(slabpool_stats(&stats, sizeof(stats)) ? "no statistics" : NULL);
	demand(stats.committed > stats.limit || stats.peak > stats.limit ? "over the limit" : NULL);
	demand(stats.active > stats.committed ? "more is active than committed" : NULL);
	for (int id = 0; id < SP_MAX_NODES; id++)
		if (sp_node_get(id) && !sp_node_check(sp_node_get(id)))
			demand("a node's equations do not hold");
}

/* ---- threads, one at a time --------------------------------------------- */

struct task {
	int what;		/* enum model_call or enum special */
	struct model_object *object;
	struct model_step step;
};

struct helper {
	pthread_t id;
	bool runs;
	sem_t begin, done;
	struct task task;
};

static struct helper helper[HELPERS];

/* libFuzzer's timer interrupts it: two threads would work at a time. */
static void wait_for(sem_t *sem)
{
	while (sem_wait(sem))
		;
}

static void perform(const struct task *task)
{
	switch (task->what) {
	case RELEASE:
		slabpool_release();
		break;
	case REGION:
		map_region(task->step.size % (3 * SP_MIB) + 1);
		break;
	case STATISTICS:
		look_at_statistics();
		break;
	default:
		demand(model_step(&family, task->object, &task->step));
	}
}

static void *help(void *arg)
{
	struct helper *h = arg;

	for (;;) {
		wait_for(&h->begin);
		if (h->task.what == LEAVE)
			return NULL;
		perform(&h->task);
		sem_post(&h->done);
	}
}

/* Who: 0 is the first thread, the others are born when they are wanted. */
static void give(int who, const struct task *task)
{
	struct helper *h;

	if (who == 0) {
		if (task->what != LEAVE)
			perform(task);
		return;
	}
	h = &helper[who - 1];
	if (!h->runs && task->what == LEAVE)
		return;
	if (!h->runs) {
		sem_init(&h->begin, 0, 0);
		sem_init(&h->done, 0, 0);
		demand(pthread_create(&h->id, NULL, help, h) ? "no thread" : NULL);
		h->runs = true;
	}
	h->task = *task;
	sem_post(&h->begin);
	if (task->what == LEAVE) {
		pthread_join(h->id, NULL);
		h->runs = false;
	} else {
		wait_for(&h->done);
	}
}

/* ---- bytes -------------------------------------------------------------- */

/* Around a multiple of a power of two, or beyond everything. */
static size_t size_of(const uint8_t *b)
{
	size_t mantissa = b[2] | (size_t)(b[3] & 15) << 8;
	unsigned int shift = b[4] % 32;

	if (shift >= 28)
		return shift == 28 ? MODEL_WINDOW + mantissa : SIZE_MAX - mantissa;
	return ((mantissa << shift % 12) + (b[3] >> 4) - 8) % SIZE_MOST;
}

static size_t align_of(uint8_t b)
{
	return b % 64 < 36 ? (size_t)1 << b % 64 : (size_t)b * 3;
}

static void read_step(const uint8_t *b, int *who, struct task *task)
{
	int what = b[0] % SPECIALS;

	*who = b[0] / SPECIALS % (HELPERS + 1);
	*task = (struct task){
		.what = what,
		.object = &objects[b[1]],
		.step = { .call = (enum model_call)what, .size = size_of(b), .align = align_of(b[5]),
			  .seed = (uint32_t)(b[1] * 77 + b[2]) },
	};
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	/* Nothing in the background, and decay takes longer than a run. */
	setenv("SLABPOOL_CONF", "backend:thp,limit:32M,background_thread:false", 0);
	demand(slabpool_init() ? slabpool_init_error() : NULL);
	demand(model_init() ? NULL : "no addresses for the shadow");
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slabpool_stats stats;
	struct task task;
	int who;

	for (; size >= STEP_BYTES; data += STEP_BYTES, size -= STEP_BYTES) {
		read_step(data, &who, &task);
		give(who, &task);
	}
	/* All is freed, by this thread, whoever made it; then nobody has anything. */
	for (int i = 0; i < OBJECTS; i++)
		demand(model_free(&family, &objects[i], i % 2));
	task.what = LEAVE;
	for (who = 1; who <= HELPERS; who++)
		give(who, &task);
	slabpool_release();
	look_at_statistics();
	demand(slabpool_stats(&stats, sizeof(stats)) || stats.active ? "not all is back" : NULL);
	demand(stats.caches > 2 * (HELPERS + 1) ? "caches are not used again" : NULL);
	return 0;
}

// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The model: what is known of each client's hpages, whatever races.
 *
 * A generation begins before a decommit is called and counts when it has
 * succeeded; stamps are written under a lock that beginning one takes as well.
 * That an hpage is there, or is gone, is said only when no other commit or
 * decommit of it was under way.
 */
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"

#define LOCK_TRIES	1000

/*
 * An hpage of a client, as the model follows it.  @known holds a mark and what
 * count of the opposite calls it depends on: it is void once one more began.
 */
struct model {
	atomic_uint commits_begun;
	atomic_uint commits_ended;
	atomic_uint decommits_begun;
	atomic_uint decommits_ended;
	atomic_uint generation;
	atomic_uint oldest;
	_Atomic u64 known;
};

struct client {
	atomic_int lock;	/* process that writes stamps or begins a generation */
	u32 id;
	struct model model[MODEL_HPAGES];
};

static struct shared {
	u32 first_id;
	atomic_int nr_clients;
	struct client client[MAX_CLIENTS];
} *shared;

/* Before a program: there are no clients. */
void model_reset(u32 first_id)
{
	if (!shared)
		shared = shared_alloc(sizeof(*shared));
	memset(shared, 0, sizeof(*shared));
	shared->first_id = first_id;
}

int client_new(void)
{
	int client = atomic_fetch_add(&shared->nr_clients, 1);

	if (client >= MAX_CLIENTS)
		return NO_CLIENT;
	shared->client[client].id = (shared->first_id + client) & 0xffffff;
	return client;
}

/* What its stamps carry. */
u32 client_id(int client)
{
	return shared->client[client].id;
}

bool client_lock(int client)
{
	int tries, free;

	for (tries = 0; tries < LOCK_TRIES; tries++) {
		free = 0;
		if (atomic_compare_exchange_strong(&shared->client[client].lock,
						   &free, getpid()))
			return true;
		sched_yield();
	}
	return false;
}

void client_unlock(int client)
{
	atomic_store(&shared->client[client].lock, 0);
}

/* A process that was killed holds no lock any more. */
void client_unlock_of(pid_t pid)
{
	int client, holder;

	for (client = 0; client < MAX_CLIENTS; client++) {
		holder = pid;
		atomic_compare_exchange_strong(&shared->client[client].lock,
					       &holder, 0);
	}
}

/* Its model, or NULL for an hpage far out that is not followed. */
static struct model *model_of(int client, u64 index)
{
	u64 span = (1ULL << SLABPOOL_NODE_SHIFT) / hpage;
	u64 node = index / span, at = index % span;

	if (node > NR_NODES || at >= MODEL_SPAN)
		return NULL;
	return &shared->client[client].model[node * MODEL_SPAN + at];
}

static struct begun range_begin(int client, u64 offset, u64 length)
{
	struct begun begun = {
		.client = client,
		.first = offset / hpage,
		.count = length / hpage,
	};

	if (offset % hpage || length % hpage)
		begun.count = 0;
	/* What lies beyond is not followed. */
	if (begun.count > MODEL_SPAN)
		begun.count = MODEL_SPAN;
	return begun;
}

static u64 known(enum mark mark, u32 count)
{
	return (u64)mark << 32 | count;
}

struct begun commit_begin(int client, u64 offset, u64 length)
{
	struct begun begun = range_begin(client, offset, length);
	struct model *model;
	u64 i;

	for (i = 0; i < begun.count; i++) {
		model = model_of(client, begun.first + i);
		if (!model)
			continue;
		begun.others[i] = atomic_load(&model->decommits_ended);
		begun.alone[i] = begun.others[i] ==
				 atomic_load(&model->decommits_begun);
		atomic_fetch_add(&model->commits_begun, 1);
	}
	return begun;
}

void commit_end(const struct begun *begun, bool committed)
{
	struct model *model;
	u64 i;

	for (i = 0; i < begun->count; i++) {
		model = model_of(begun->client, begun->first + i);
		if (!model)
			continue;
		if (committed && begun->alone[i])
			atomic_store(&model->known,
				     known(MARK_PRESENT, begun->others[i]));
		atomic_fetch_add(&model->commits_ended, 1);
	}
}

struct begun decommit_begin(int client, u64 offset, u64 length)
{
	struct begun begun = range_begin(client, offset, length);
	struct model *model;
	u64 i;

	if (begun.count && !client_lock(client))
		begun.count = 0;
	for (i = 0; i < begun.count; i++) {
		model = model_of(client, begun.first + i);
		if (!model)
			continue;
		begun.others[i] = atomic_load(&model->commits_ended);
		begun.alone[i] = begun.others[i] ==
				 atomic_load(&model->commits_begun);
		atomic_fetch_add(&model->decommits_begun, 1);
		begun.generation[i] = atomic_fetch_add(&model->generation, 1) + 1;
	}
	if (begun.count)
		client_unlock(client);
	return begun;
}

static void raise_oldest(struct model *model, u32 generation)
{
	u32 oldest = atomic_load(&model->oldest);

	while (oldest < generation &&
	       !atomic_compare_exchange_weak(&model->oldest, &oldest, generation))
		;
}

void decommit_end(const struct begun *begun, bool decommitted)
{
	struct model *model;
	u64 i;

	for (i = 0; i < begun->count; i++) {
		model = model_of(begun->client, begun->first + i);
		if (!model)
			continue;
		if (decommitted)
			raise_oldest(model, begun->generation[i]);
		if (decommitted && begun->alone[i])
			atomic_store(&model->known,
				     known(MARK_ABSENT, begun->others[i]));
		atomic_fetch_add(&model->decommits_ended, 1);
	}
}

/* Only while nothing runs: is the hpage known to be there, or to be gone? */
enum mark model_mark(int client, u64 index)
{
	struct model *model = model_of(client, index);
	u64 value = model ? atomic_load(&model->known) : 0;
	u32 begun;

	if (!model)
		return MARK_UNKNOWN;
	/* Nobody has said anything yet: gone until a commit begins. */
	if (!value)
		value = known(MARK_ABSENT, 0);
	begun = value >> 32 == MARK_PRESENT ? atomic_load(&model->decommits_begun) :
		atomic_load(&model->commits_begun);
	return (u32)value == begun ? (enum mark)(value >> 32) : MARK_UNKNOWN;
}

/* What stamps of the hpage written now carry; none has more. */
u32 model_generation(int client, u64 index)
{
	struct model *model = model_of(client, index);

	return model ? atomic_load(&model->generation) : MAX_GENERATION;
}

/* What they carry at least, if the hpage is there. */
u32 model_oldest(int client, u64 index)
{
	struct model *model = model_of(client, index);

	return model ? atomic_load(&model->oldest) : 0;
}

// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The model: what is known of each client's hpages, whatever races.
 *
 * A generation begins before a decommit is called and counts when it has
 * succeeded; stamps are written under a lock that beginning one takes as well.
 * That an hpage is there, or is gone, is said only when no other commit or
 * decommit of it was under way.
 *
 * Of a snapshot it is known for certain only after the call, and of one whose
 * answer was lost never, which client became the picture of which; what may be
 * seen in between is what any of those tried would allow.  When it is known, a new
 * generation of the origin begins: its stamps are in no picture.
 */
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"

#define LOCK_TRIES	1000

/*
 * Of an hpage that a client got as the picture of its origin's: the generations
 * of the origin that may be in it, and the client's own when it had it for certain.
 */
struct picture {
	u32 oldest;
	u32 newest;
	u32 born;
};

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
	struct picture picture;
};

struct client {
	atomic_int lock;	/* process that writes stamps or begins a generation */
	u32 id;
	atomic_int origin;	/* whose picture it is, plus one; 0: not known */
	atomic_bool related;	/* it is known to have or to be a picture */
	atomic_bool late_input;	/* a device may write to it without a fault */
	/* By client: how many calls may have made it that one's picture. */
	atomic_uint tried[MAX_CLIENTS];
	struct model model[MODEL_HPAGES];
};

static struct shared {
	u32 first_id;
	atomic_int nr_clients;
	atomic_bool snapshots;
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

static int client_count(void)
{
	int count = atomic_load(&shared->nr_clients);

	return count < MAX_CLIENTS ? count : MAX_CLIENTS;
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

/* What is known of the hpage, while no call of the opposite kind has begun; or 0. */
static u64 still_known(const struct model *model)
{
	u64 value = atomic_load(&model->known);
	u32 begun;

	/* Nobody has said anything yet: gone until a commit begins. */
	if (!value)
		value = known(MARK_ABSENT, 0);
	begun = value >> 32 == MARK_PRESENT ? atomic_load(&model->decommits_begun) :
		atomic_load(&model->commits_begun);
	return (u32)value == begun ? value : 0;
}

/* Only while nothing runs: is the hpage known to be there, or to be gone? */
enum mark model_mark(int client, u64 index)
{
	struct model *model = model_of(client, index);

	return model ? (enum mark)(still_known(model) >> 32) : MARK_UNKNOWN;
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

/* To a client a snapshot is a commit, of what its origin has. */
static void snapshot_begin_into(int origin, int into)
{
	struct client *client = &shared->client[into];
	unsigned int i;

	atomic_fetch_add(&client->tried[origin], 1);
	for (i = 0; i < MODEL_HPAGES; i++)
		atomic_fetch_add(&client->model[i].commits_begun, 1);
}

static void snapshot_end_into(int into)
{
	unsigned int i;

	for (i = 0; i < MODEL_HPAGES; i++)
		atomic_fetch_add(&shared->client[into].model[i].commits_ended, 1);
}

/* @into may be NO_CLIENT, or ANY_CLIENT when it cannot be told what is asked for. */
struct snapshot snapshot_begin(int origin, int into)
{
	struct snapshot begun = { .origin = origin, .into = into };
	const struct model *from, *to;
	unsigned int i;
	int client;

	atomic_store(&shared->snapshots, true);
	for (client = 0; into == ANY_CLIENT && client < MAX_CLIENTS; client++)
		snapshot_begin_into(origin, client);
	if (into < 0)
		return begun;

	begun.doomed = into == origin || atomic_load(&shared->client[into].related);
	for (i = 0; i < MODEL_HPAGES; i++) {
		from = &shared->client[origin].model[i];
		to = &shared->client[into].model[i];
		begun.hpage[i].known = still_known(from);
		begun.hpage[i].oldest = atomic_load(&from->oldest);
		begun.hpage[i].commits = atomic_load(&to->commits_ended);
		begun.hpage[i].decommits = atomic_load(&to->decommits_ended);
		begun.hpage[i].first = begun.hpage[i].commits == atomic_load(&to->commits_begun);
		begun.hpage[i].alone = begun.hpage[i].decommits == atomic_load(&to->decommits_begun);
	}
	snapshot_begin_into(origin, into);
	return begun;
}

/* What was known of the origin's hpages all the time is known of the picture's. */
static unsigned int mark_picture(const struct snapshot *begun)
{
	const struct hpage_begun *hpage = begun->hpage;
	unsigned int i, present = 0;
	struct model *to;
	u64 known_still;

	for (i = 0; i < MODEL_HPAGES; i++, hpage++) {
		to = &shared->client[begun->into].model[i];
		known_still = still_known(&shared->client[begun->origin].model[i]);
		if (!known_still || known_still != hpage->known)
			continue;
		if (known_still >> 32 == MARK_PRESENT) {
			present++;
			if (hpage->alone)
				atomic_store(&to->known, known(MARK_PRESENT, hpage->decommits));
		} else if (hpage->first) {
			atomic_store(&to->known, known(MARK_ABSENT, hpage->commits + 1));
		}
	}
	return present;
}

/* What is written to the origin from now on is in no picture that was taken. */
static void limit_picture(const struct snapshot *begun)
{
	bool locked = client_lock(begun->origin);
	struct model *from, *to;
	unsigned int i;

	for (i = 0; i < MODEL_HPAGES; i++) {
		from = &shared->client[begun->origin].model[i];
		to = &shared->client[begun->into].model[i];
		to->picture.oldest = begun->hpage[i].oldest;
		to->picture.newest = locked ? atomic_fetch_add(&from->generation, 1) : MAX_GENERATION;
		to->picture.born = atomic_load(&to->generation);
	}
	if (locked)
		client_unlock(begun->origin);
}

static unsigned int snapshot_made(const struct snapshot *begun)
{
	struct client *into = &shared->client[begun->into];
	int none = 0;

	limit_picture(begun);
	if (!atomic_compare_exchange_strong(&into->origin, &none, begun->origin + 1) ||
	    begun->doomed)
		finding("a client that took part in a snapshot became a picture");
	atomic_store(&into->related, true);
	atomic_store(&shared->client[begun->origin].related, true);
	return mark_picture(begun);
}

/* @ret is what the call returned.  Hpages that must be in the picture. */
unsigned int snapshot_end(const struct snapshot *begun, long ret)
{
	unsigned int present = 0;
	int client;

	for (client = 0; begun->into == ANY_CLIENT && client < MAX_CLIENTS; client++)
		snapshot_end_into(client);
	if (begun->into < 0)
		return 0;

	if (!ret)
		present = snapshot_made(begun);
	else if (ret != -EFAULT)	/* then only the answer may have failed */
		atomic_fetch_sub(&shared->client[begun->into].tried[begun->origin], 1);
	snapshot_end_into(begun->into);
	return present;
}

/* Has this program tried one at all? */
bool snapshots_begun(void)
{
	return atomic_load(&shared->snapshots);
}

/* From now on what is seen in its pictures may be newer than they are. */
void client_late_input(int client)
{
	atomic_store(&shared->client[client].late_input, true);
}

static u64 bit(int client)
{
	return 1ULL << client;
}

/* Clients whose picture this one may be. */
static u64 origins(int client)
{
	int known_one = atomic_load(&shared->client[client].origin), other;
	u64 mask = 0;

	if (known_one)
		return bit(known_one - 1);
	for (other = 0; other < client_count(); other++)
		if (atomic_load(&shared->client[client].tried[other]))
			mask |= bit(other);
	return mask;
}

/* Clients that may be a picture of this one. */
u64 client_pictures(int client)
{
	u64 mask = 0;
	int other;

	for (other = 0; other < client_count(); other++)
		if (origins(other) & bit(client))
			mask |= bit(other);
	return mask;
}

/* These clients, and all whose bytes may have come to them by snapshots. */
static u64 with_origins(u64 mask)
{
	u64 before = 0;
	int client;

	while (mask != before) {
		before = mask;
		for (client = 0; client < client_count(); client++)
			if (before & bit(client))
				mask |= origins(client);
	}
	return mask;
}

static int client_of(u32 id)
{
	u32 number = (id - shared->first_id) & 0xffffff;

	return number < MAX_CLIENTS ? (int)number : NO_CLIENT;
}

/* May memory of these clients hold bytes of the one with this id? */
bool model_admits(u64 clients, u32 id)
{
	int owner = client_of(id);

	return owner != NO_CLIENT &&
	       (clients & bit(owner) || with_origins(clients) & bit(owner));
}

/*
 * Why a stamp of this id and generation may not be seen in an hpage, of whose own
 * stamps these may: NULL, or the reason.  Goes from picture to origin, as far as
 * that is known, to the one who wrote it.
 */
const char *model_refuses(int client, u64 index, u32 id, u32 generation,
			  struct span span)
{
	int owner = client_of(id), steps;
	const struct model *model;

	for (steps = 0; client != owner && steps < MAX_CLIENTS; steps++) {
		model = model_of(client, index);
		client = atomic_load(&shared->client[client].origin) - 1;
		if (!model || client == NO_CLIENT)
			return NULL;
		if (span.oldest > model->picture.born)
			return "bytes from before a decommit of the picture";
		span.oldest = model->picture.oldest;
		span.newest = atomic_load(&shared->client[client].late_input) ?
			      MAX_GENERATION : model->picture.newest;
	}
	if (generation < span.oldest)
		return "bytes from before a decommit";
	if (generation > span.newest)
		return steps ? "a write from after the snapshot" : "bytes nobody wrote";
	return NULL;
}

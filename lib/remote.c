// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#include "cache.h"
#include "reclaim.h"
#include "remote.h"
#include "secure.h"

#define ADDRESS_BITS	48
#define ADDRESS_MASK	((1ull << ADDRESS_BITS) - 1)

/* What a batch knows its chunk by: in secure mode no hit path must find it. */
static struct sp_chunk *as_known(const struct sp_chunk *chunk)
{
	return (struct sp_chunk *)((uintptr_t)chunk | sp_secure.owner);
}

static void push(struct sp_batch *batch)
{
	struct sp_chunk *chunk = (struct sp_chunk *)((uintptr_t)batch->chunk & ~SP_CHUNK_FLAGS);
	/*
	 * The batch's objects count as handed out, so the chunk has its owner
	 * for as long as they are not spliced; only FULL may come and go.
	 */
	uintptr_t owner = atomic_load_explicit(&chunk->owner, memory_order_relaxed);
	struct sp_cache *cache = (struct sp_cache *)(owner & ~SP_CHUNK_FLAGS);
	_Atomic uintptr_t *inbox = &cache->remote.inbox;
	uintptr_t head = atomic_load_explicit(inbox, memory_order_relaxed);
	uint8_t state;

	/*
	 * Release pairs with the acquire in sp_remote_take(): the owner must see
	 * the ring, and whatever this thread wrote to the objects before.
	 */
	do {
		batch->last->message =
			sp_secure_hide(head | (uint64_t)batch->count << ADDRESS_BITS,
				       &batch->last->message);
	} while (!atomic_compare_exchange_weak_explicit(inbox, &head,
							(uintptr_t)batch->last,
							memory_order_seq_cst,
							memory_order_relaxed));
	batch->chunk = NULL;
	/*
	 * Nobody drains an orphan's inbox unasked, nor that of one that the
	 * reclaimer has just drained and not put down yet.  The exchange above
	 * comes before this load, and changing the state before the reclaimer's
	 * drain (sp_owner_reclaim): it finds the message, or we see an orphan.
	 */
	state = atomic_load(&cache->state);
	if (head == 0 && (state == SP_CACHE_ORPHAN || state == SP_CACHE_AWAY))
		sp_reclaim_wake();
}

/* As sp_batch_add(); what is free is not freed again, that is known already. */
static void add_hidden(struct sp_batch *batch, struct sp_object *object)
{
	sp_object_set_next(object, sp_object_next(batch->last));
	sp_object_set_next(batch->last, object);
	batch->count++;
}

void sp_remote_free(struct sp_remote *remote, struct sp_chunk *chunk,
		    struct sp_object *object)
{
	struct sp_batch *batch = sp_remote_batch(remote, chunk);

	if (batch->chunk != as_known(chunk)) {
		if (batch->chunk)
			push(batch);
		sp_object_set_next(object, object);
		*batch = (struct sp_batch){ as_known(chunk), object, 1 };
		return;
	}
	if (sp_secure.on)
		add_hidden(batch, object);
	else
		sp_batch_add(batch, object);
	if (batch->count == SP_BATCH_MAX)
		push(batch);
}

void sp_remote_flush(struct sp_remote *remote)
{
	for (size_t i = 0; i < SP_BATCHES; i++)
		if (remote->out[i].chunk)
			push(&remote->out[i]);
}

bool sp_remote_collects(const struct sp_remote *remote)
{
	for (size_t i = 0; i < SP_BATCHES; i++)
		if (remote->out[i].chunk)
			return true;
	return false;
}

uintptr_t sp_remote_take(struct sp_remote *remote)
{
	if (!atomic_load_explicit(&remote->inbox, memory_order_relaxed))
		return 0;
	/* Acquire pairs with the release in push(). */
	return atomic_exchange_explicit(&remote->inbox, 0, memory_order_acquire);
}

uintptr_t sp_remote_next(uintptr_t list, struct sp_message *message)
{
	struct sp_object *last = (struct sp_object *)list;
	struct sp_chunk *chunk = sp_chunk_of(last);
	uint64_t word;

	if (sp_secure.on && !(sp_secure_may_be(chunk, last) && sp_secure_is_free(last)))
		sp_fatal_damaged(last);
	word = sp_secure_hide(last->message, &last->message);
	message->last = last;
	message->first = sp_object_next(last);
	message->count = (uint32_t)(word >> ADDRESS_BITS);
	message->chunk = chunk;
	if (sp_secure.on && !sp_secure_may_be(chunk, message->first))
		sp_fatal_damaged(last);
	return (uintptr_t)(word & ADDRESS_MASK);
}

void sp_remote_keep(struct sp_remote *remote)
{
	/* Acquire pairs with the release in push(): their rings are in the picture. */
	remote->kept = atomic_load_explicit(&remote->inbox, memory_order_acquire);
}

void sp_remote_restore(struct sp_remote *remote)
{
	atomic_store_explicit(&remote->inbox, remote->kept, memory_order_relaxed);
}

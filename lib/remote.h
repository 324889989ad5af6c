/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Objects freed by a thread that does not own their chunk.
 *
 * The freeing thread collects them by chunk in a batch, a closed ring of objects
 * known by its last one (last->next is the first).  A full batch, or one that
 * must make room, is pushed to the inbox of the chunk's owner with one
 * compare-and-swap, and the owner splices the ring into the chunk's free list in
 * O(1).  (snmalloc batches frees the same way: Lietar et al., ISMM 2019.)
 *
 * The message word of a batch's last object holds the next message of the inbox
 * (48 bits: user addresses fit) and the batch's count (16 bits).
 *
 *	           push    drain
 *	push        -        -		any number of threads push: lock-free
 *	drain       -        X		one thread drains, the owner: wait-free
 *	- safe at once, X must not overlap
 */
#ifndef SP_REMOTE_H
#define SP_REMOTE_H

#include "chunk.h"
#include "fatal.h"

#define SP_BATCHES	32	/* chunks collected for at a time */
#define SP_BATCH_MAX	64	/* objects; far below the count's 16 bits */

struct sp_batch {
	struct sp_chunk *chunk;		/* with SP_CHUNK_SECURE in secure mode */
	struct sp_object *last;
	uint32_t count;
};

struct sp_remote {
	_Atomic uintptr_t inbox;	/* newest message: last object of a batch; 0 */
	uintptr_t kept;			/* what it was before a fork; fork's locks */
	struct sp_batch out[SP_BATCHES];
};

struct sp_message {
	struct sp_chunk *chunk;
	struct sp_object *first, *last;
	uint32_t count;
};

static inline struct sp_batch *sp_remote_batch(struct sp_remote *remote,
						const struct sp_chunk *chunk)
{
	return &remote->out[(uintptr_t)chunk / sizeof(*chunk) % SP_BATCHES];
}

/* One more of the chunk that the batch is of. */
static inline void sp_batch_add(struct sp_batch *batch, struct sp_object *object)
{
	struct sp_object *last = batch->last;

	if (unlikely(last->next == object))
		sp_fatal_double_free(object);
	object->next = last->next;
	last->next = object;
	batch->count++;
}

/* Collect @object of @chunk; the owner gets it now or with a later push. */
void sp_remote_free(struct sp_remote *remote, struct sp_chunk *chunk,
		    struct sp_object *object);
/* Push all that was collected. */
void sp_remote_flush(struct sp_remote *remote);
/* Is anything collected and not pushed? */
bool sp_remote_collects(const struct sp_remote *remote);
/* Take all messages out of the inbox; 0: none. */
uintptr_t sp_remote_take(struct sp_remote *remote);
/* Decode the first message of @list; return the rest. */
uintptr_t sp_remote_next(uintptr_t list, struct sp_message *message);
/*
 * Before a fork, and in the child: what is pushed in between, by threads that wait
 * for no lock, the child may find in the inbox but not in the objects.  It forgets
 * that, and the objects with it.
 */
void sp_remote_keep(struct sp_remote *remote);
void sp_remote_restore(struct sp_remote *remote);

#endif

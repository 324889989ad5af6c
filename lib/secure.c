// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#include <sys/mman.h>

#include "secure.h"
#include "sys.h"

#define LEAST_CARVED	8	/* objects, however large */
/*
 * New objects are shuffled among so many neighbours.  More would cost: programs look at
 * objects in the order they made them, and the processor fetches the next ones before.
 */
#define SHUFFLED	4

struct sp_secure sp_secure;

int sp_secure_init(void)
{
	uintptr_t base = atomic_load_explicit(&sp_map.base, memory_order_relaxed);
	size_t marks = sp_round_up(sp_window_size() / SP_ALIGN, SP_HPAGE);
	uint64_t key[2];
	char *mark;
	int err = sp_sys_random(key, sizeof(key));

	if (err)
		return err;
	mark = sp_sys_reserve(marks + SP_HPAGE, &err);
	if (!mark)
		return err;
	sp_secure = (struct sp_secure){
		.on = true,
		.tail = SP_CANARY,
		.owner = SP_CHUNK_SECURE,
		.key = { key[0], key[1] | 1 },
		.mark = sp_round_up((uintptr_t)mark, SP_HPAGE) - base / SP_ALIGN,
	};
	return 0;
}

/*
 * Marks are read at random: on huge pages, but for the first 32 MiB of the heap, with
 * which a process may stay small.
 */
int sp_secure_extend(size_t from, size_t to)
{
	size_t first = sp_round_up(from / SP_ALIGN, SP_HPAGE);
	size_t last = sp_round_up(to / SP_ALIGN, SP_HPAGE);
	uintptr_t base = atomic_load_explicit(&sp_map.base, memory_order_relaxed);
	char *at = (char *)(sp_secure.mark + base / SP_ALIGN + first);

	if (!sp_secure.on || first == last)
		return 0;
	if (first)
		sp_sys_advise(at, last - first, MADV_HUGEPAGE);
	return sp_sys_protect_rw(at, last - first);
}

void sp_secure_populate(const char *addr, size_t size)
{
	if (sp_secure.on)
		sp_sys_populate((void *)sp_secure_mark(addr), size / SP_ALIGN);
}

void sp_secure_fail(const void *object, uint8_t mark)
{
	if (mark == SP_MARK_FREED)
		sp_fatal_double_free(object);
	sp_fatal_foreign_free(object);
}

bool sp_secure_carve(struct sp_chunk *chunk, uint64_t *random)
{
	uint32_t left = chunk->cap - chunk->carved, n = LEAST_CARVED;
	struct sp_object **list;
	uint16_t order[SP_CARVE / SP_ALIGN];
	char *first = chunk->addr + (size_t)chunk->carved * chunk->stride;

	if (left == 0)
		return false;
	if (SP_CARVE / chunk->stride > n)
		n = (uint32_t)(SP_CARVE / chunk->stride);
	if (n > left)
		n = left;
	/* Fisher and Yates's shuffle, from the inside out. */
	for (uint32_t i = 0; i < n; i++) {
		uint32_t j = i - i % SHUFFLED;

		j += (uint32_t)((sp_secure_random(random) >> 32) * (i - j + 1) >> 32);
		order[i] = order[j];
		order[j] = (uint16_t)i;
	}
	/* All on one list, or neighbours would be apart in time. */
	list = &chunk->hidden[sp_secure_random(random) >> 63];
	for (uint32_t i = n; i-- > 0; ) {
		struct sp_object *object;

		object = (struct sp_object *)(first + (size_t)order[i] * chunk->stride);
		sp_secure_set(object, SP_MARK_FRESH);
		*sp_secure_canary(chunk, object) = 0;
		sp_object_set_next(object, *list);
		*list = object;
	}
	chunk->carved += n;
	return true;
}

// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#include "chunk.h"
#include "secure.h"

struct sp_chunk sp_no_chunk;

void sp_chunk_enter(struct sp_chunk *chunk, const char *addr, size_t count)
{
	uintptr_t base = atomic_load_explicit(&sp_map.base, memory_order_relaxed);
	size_t unit = ((uintptr_t)addr - base) >> SP_UNIT_SHIFT;
	struct sp_chunk *_Atomic *map =
		atomic_load_explicit(&sp_map.chunk, memory_order_relaxed);

	for (size_t i = unit; i < unit + count; i++)
		atomic_store_explicit(&map[i], chunk, memory_order_relaxed);
}

bool sp_chunk_carve(struct sp_chunk *chunk)
{
	uint32_t left = chunk->cap - chunk->carved;
	struct sp_object *object = NULL;
	char *first;
	uint32_t n;

	if (left == 0)
		return false;
	n = chunk->stride < SP_CARVE ? (uint32_t)(SP_CARVE / chunk->stride) : 1;
	if (n > left)
		n = left;
	first = chunk->addr + (size_t)chunk->carved * chunk->stride;
	/* From the last to the first, so that objects come out in address order. */
	for (uint32_t i = n; i-- > 0; ) {
		struct sp_object *next = object;

		object = (struct sp_object *)(first + (size_t)i * chunk->stride);
		object->next = next;
	}
	chunk->free = object;
	chunk->carved += n;
	return true;
}

/* Add the length of a free list to @free; false: it is none of the chunk's. */
static bool count_free(const struct sp_chunk *chunk, const struct sp_object *o, uint32_t *free)
{
	for (; o; o = sp_object_next(o)) {
		size_t at = (size_t)((const char *)o - chunk->addr);

		if (at % chunk->stride || at / chunk->stride >= chunk->carved)
			return false;
		if (++*free > chunk->carved)
			return false;
	}
	return true;
}

bool sp_chunk_check(const struct sp_chunk *chunk)
{
	uint32_t used = (uint32_t)chunk->used & ~(uint32_t)SP_CHUNK_CURRENT;
	uint32_t free = 0;

	if (!count_free(chunk, chunk->free, &free) ||
	    !count_free(chunk, chunk->hidden[0], &free) ||
	    !count_free(chunk, chunk->hidden[1], &free))
		return false;
	return chunk->carved <= chunk->cap && used + free == chunk->carved;
}

// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#include "chunk.h"

#define CARVE	(4 * SP_KIB)

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
	n = chunk->size < CARVE ? (uint32_t)(CARVE / chunk->size) : 1;
	if (n > left)
		n = left;
	first = chunk->addr + chunk->carved * chunk->size;
	/* From the last to the first, so that objects come out in address order. */
	for (uint32_t i = n; i-- > 0; ) {
		struct sp_object *next = object;

		object = (struct sp_object *)(first + i * chunk->size);
		object->next = next;
	}
	chunk->free = object;
	chunk->carved += n;
	return true;
}

bool sp_chunk_check(const struct sp_chunk *chunk)
{
	uint32_t used = (uint32_t)chunk->used & ~(uint32_t)SP_CHUNK_CURRENT;
	uint32_t free = 0;

	for (const struct sp_object *o = chunk->free; o; o = o->next) {
		size_t at = (size_t)((const char *)o - chunk->addr);

		if (at % chunk->size || at / chunk->size >= chunk->carved)
			return false;
		if (++free > chunk->carved)
			return false;
	}
	return chunk->carved <= chunk->cap && used + free == chunk->carved;
}

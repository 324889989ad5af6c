// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#include "keep.h"
#include "node.h"

static struct sp_chunk *take_at(struct sp_keep *keep, uint32_t at)
{
	struct sp_chunk *chunk = keep->chunk[at];

	keep->count--;
	keep->units -= chunk->units;
	for (; at < keep->count; at++)
		keep->chunk[at] = keep->chunk[at + 1];
	return chunk;
}

static void give_oldest(struct sp_keep *keep)
{
	sp_node_give_chunk(take_at(keep, 0), 1);
}

struct sp_chunk *sp_keep_take(struct sp_keep *keep, unsigned int units)
{
	for (uint32_t at = keep->count; at-- > 0; ) {
		struct sp_chunk *chunk = keep->chunk[at];

		if (chunk->units < units || chunk->units > units + units / 8)
			continue;
		take_at(keep, at);
		chunk->size = chunk->units * SP_UNIT;
		sp_chunk_set_state(chunk, SP_CHUNK_LARGE);
		return chunk;
	}
	return NULL;
}

void sp_keep_put(struct sp_keep *keep, struct sp_chunk *chunk)
{
	while (keep->count == SP_KEEP || keep->units + chunk->units > SP_KEEP_UNITS)
		give_oldest(keep);
	chunk->zero = false;
	chunk->size = 0;	/* nothing may be read or changed there */
	keep->chunk[keep->count++] = chunk;
	keep->units += chunk->units;
}

void sp_keep_drop(struct sp_keep *keep)
{
	while (keep->count)
		give_oldest(keep);
}

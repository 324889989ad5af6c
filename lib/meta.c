// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#include "calls.h"
#include "meta.h"
#include "sys.h"

#define STEP	(256 * SP_KIB)	/* made writable at a time; touched as used */
#define AHEAD	(64 * SP_KIB)	/* touched at a time when that is asked for; whole pages */

struct sp_lock sp_meta_lock = SP_LOCK_INIT(SP_RANK_META);

/* All guarded by sp_meta_lock. */
static char *base;
static size_t reserved, writable, populated, used;

int sp_meta_init(size_t size)
{
	int err;

	base = sp_sys_reserve(size, &err);
	reserved = base ? size : 0;
	return err;
}

static bool extend(size_t to)
{
	size_t target = sp_round_up(to, STEP);
	int err;

	if (to <= writable)
		return true;
	if (target > reserved || !sp_calls_begin())
		return false;
	err = sp_sys_protect_rw(base + writable, target - writable);
	sp_calls_end();
	if (!err)
		writable = target;
	return !err;
}

void *sp_meta_alloc(size_t size)
{
	void *p = NULL;

	size = sp_round_up(size, SP_CACHE_LINE);
	sp_lock(&sp_meta_lock);
	if (extend(used + size)) {
		p = base + used;
		used += size;
	}
	sp_unlock(&sp_meta_lock);
	return p;
}

/* The lock is not held while the kernel clears: nothing shrinks meanwhile. */
void sp_meta_populate(size_t size)
{
	size_t from, to;

	sp_lock(&sp_meta_lock);
	to = sp_round_up(used + size, AHEAD);
	from = populated > used ? populated : used & ~(AHEAD - 1);
	if (to > from && extend(to))
		populated = to;
	else
		to = from;
	sp_unlock(&sp_meta_lock);
	if (to > from)
		sp_sys_populate(base + from, to - from);
}

size_t sp_meta_bytes(void)
{
	size_t bytes;

	sp_lock(&sp_meta_lock);
	bytes = writable;
	sp_unlock(&sp_meta_lock);
	return bytes;
}

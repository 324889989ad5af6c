// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#include "meta.h"
#include "sys.h"

#define STEP	(256 * SP_KIB)	/* made writable at a time; touched as used */

struct sp_lock sp_meta_lock = SP_LOCK_INIT(SP_RANK_META);

/* All guarded by sp_meta_lock. */
static char *base;
static size_t reserved, writable, used;

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

	if (to <= writable)
		return true;
	if (target > reserved || sp_sys_protect_rw(base + writable, target - writable))
		return false;
	writable = target;
	return true;
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

size_t sp_meta_bytes(void)
{
	size_t bytes;

	sp_lock(&sp_meta_lock);
	bytes = writable;
	sp_unlock(&sp_meta_lock);
	return bytes;
}

// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Regions: whole hpages for the application's own use.  They are few and long
 * lived, so the table is a list under one lock.
 */
#include "backend.h"
#include "calls.h"
#include "init.h"
#include "list.h"
#include "meta.h"
#include "node.h"
#include "region.h"
#include "source.h"

struct region {
	struct sp_list link;
	struct slabpool_region_info info;
	const struct sp_backend *backend;
};

struct sp_lock sp_region_lock = SP_LOCK_INIT(SP_RANK_REGION);

/* Guarded by sp_region_lock; descriptors are never unmapped. */
static struct sp_list regions = { &regions, &regions };
static struct sp_list unused = { &unused, &unused };

/* The region that holds @addr; the lock is held. */
static struct region *find(const void *addr)
{
	for (struct sp_list *l = regions.next; l != &regions; l = l->next) {
		struct region *region = container_of(l, struct region, link);
		size_t at = (uintptr_t)addr - (uintptr_t)region->info.addr;

		if (at < region->info.size)
			return region;
	}
	return NULL;
}

static struct region *get_descriptor(void)
{
	struct region *region = NULL;

	sp_lock(&sp_region_lock);
	if (!sp_list_empty(&unused)) {
		region = container_of(unused.next, struct region, link);
		sp_list_remove(&region->link);
	}
	sp_unlock(&sp_region_lock);
	return region ? region : sp_meta_alloc(sizeof(*region));
}

static void put(struct sp_list *list, struct region *region)
{
	sp_lock(&sp_region_lock);
	sp_list_push(list, &region->link);
	sp_unlock(&sp_region_lock);
}

static int map(size_t size, int node, struct region **mapped)
{
	struct sp_node *on = node == SLABPOOL_NODE_LOCAL ? sp_node_here() : sp_node_get(node);
	struct region *region;
	int err;

	if (size == 0 || !on)
		return -EINVAL;
	if (size > PTRDIFF_MAX - SP_HPAGE)
		return -ENOMEM;
	region = get_descriptor();
	if (!region)
		return -ENOMEM;
	region->backend = sp_source();
	region->info = (struct slabpool_region_info){
		.size = sp_round_up(size, SP_HPAGE),
		.node = on->id,
		.fd = -1,
	};
	err = region->backend->region_map(&region->info, node == SLABPOOL_NODE_LOCAL);
	if (err) {
		put(&unused, region);
		return err;
	}
	put(&regions, region);
	*mapped = region;
	return 0;
}

void *slabpool_region_map(size_t size, int node, unsigned int flags)
{
	struct region *region = NULL;
	int err = sp_init();

	if (!err && flags)
		err = -EINVAL;
	if (!err && !sp_calls_begin())
		err = -EPERM;
	if (!err) {
		err = map(size, node, &region);
		sp_calls_end();
	}
	if (err) {
		errno = -err;
		return NULL;
	}
	return region->info.addr;
}

int slabpool_region_unmap(void *addr)
{
	struct region *region;

	if (!sp_calls_begin())
		return -EPERM;
	sp_lock(&sp_region_lock);
	region = find(addr);
	if (region && region->info.addr == addr)
		sp_list_remove(&region->link);
	else
		region = NULL;
	sp_unlock(&sp_region_lock);
	if (region) {
		region->backend->region_unmap(&region->info);
		put(&unused, region);
	}
	sp_calls_end();
	return region ? 0 : -EINVAL;
}

int slabpool_region_query(const void *addr, struct slabpool_region_info *info)
{
	struct region *region;

	sp_lock(&sp_region_lock);
	region = find(addr);
	if (region)
		*info = region->info;
	sp_unlock(&sp_region_lock);
	return region ? 0 : -EINVAL;
}

// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The kernel's hugetlb pool as a source.
 *
 * Mappings are private and anonymous, so that fork gives copy-on-write.  They
 * are made without reservation, whole pieces at a time, and filled by
 * MADV_POPULATE_WRITE, which answers with an error where a plain touch of an
 * empty pool would be SIGBUS.
 *
 * After a fork a write to a page that both have needs another page, and it is
 * SIGBUS for whoever writes when there is none, the parent too.  So when the pool
 * could not supply them all, the child copies at once, to whatever memory there
 * is, and every page has one owner again.
 */
#include <fcntl.h>
#include <linux/mman.h>
#include <string.h>
#include <sys/mman.h>

#include "backend.h"
#include "sys.h"

#define POOL	"/sys/kernel/mm/hugepages/hugepages-2048kB/"
#define FLAGS	(MAP_HUGETLB | MAP_HUGE_2MB | MAP_NORESERVE)

/* populate reports an empty pool as a fault that could not be served. */
static int populate(void *addr, size_t size)
{
	int err = sp_sys_advise(addr, size, MADV_POPULATE_WRITE);

	return err == -EFAULT ? -ENOMEM : err;
}

static void add_error(struct sp_text *why, int err)
{
	sp_text_add(why, ": ");
	sp_text_add_error(why, err);
	if (err == -ENOMEM)
		sp_text_add(why, " (its pool is empty: sysctl vm.nr_hugepages)");
}

static void explain(struct sp_text *why, int node, int err)
{
	sp_text_add(why, "hugetlb: no page from node ");
	sp_text_add_u64(why, (uint64_t)node);
	add_error(why, err);
}

/* With a reservation: a pool that is empty says so at once. */
static int hugetlb_open(struct sp_text *why)
{
	char *addr;
	int err;

	addr = sp_sys_map_fd(NULL, SP_HPAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS |
			     (FLAGS & ~MAP_NORESERVE), -1, 0, &err);
	if (err) {
		sp_text_add(why, "hugetlb: no page");
		add_error(why, err);
		return err;
	}
	/* If that fails a page is lost, but the source is there. */
	sp_sys_unmap(addr, SP_HPAGE);
	return 0;
}

/* First without access: after mlockall() a mapping with it is filled at once. */
static int reserve(const struct sp_extent *piece)
{
	int err;

	sp_sys_map_fd(piece->addr, piece->size, PROT_NONE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | FLAGS, -1, 0, &err);
	if (!err)
		err = sp_sys_protect_rw(piece->addr, piece->size);
	return err ? err : sp_sys_bind(piece->addr, piece->size, piece->node, true);
}

static void decommit(const struct sp_extent *extents, size_t count)
{
	for (size_t i = 0; i < count; i++)
		sp_anon_drop(extents[i].addr, extents[i].size);
}

/* Populated whatever the caller asks: a later touch could only be SIGBUS. */
static int commit(const struct sp_extent *extent, enum sp_touch touch)
{
	int err = populate(extent->addr, extent->size);

	(void)touch;
	if (err)
		decommit(extent, 1);
	return err;
}

static uint64_t base_pages(const char *window, size_t size)
{
	(void)window;
	(void)size;
	return 0;	/* hugetlb never maps base pages */
}

static int region_map(struct slabpool_region_info *info, bool node_any)
{
	int err;

	(void)node_any;
	info->addr = sp_sys_map_fd(NULL, info->size, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | FLAGS, -1, 0, &err);
	if (err)
		return err;
	/* Copy-on-write after a fork would move the parent's pages. */
	sp_sys_advise(info->addr, info->size, MADV_DONTFORK);
	err = sp_sys_bind(info->addr, info->size, info->node, true);
	if (!err)
		err = populate(info->addr, info->size);
	if (err) {
		sp_sys_unmap(info->addr, info->size);
		return err;
	}
	info->page_size = SP_HPAGE;
	return 0;
}

static void region_unmap(const struct slabpool_region_info *info)
{
	sp_sys_unmap(info->addr, info->size);
}

static uint64_t read_number(const char *path)
{
	char text[24] = "";
	uint64_t n = 0;
	int fd = sp_sys_open(path, O_RDONLY);

	if (fd < 0)
		return 0;
	sp_sys_read(fd, text, sizeof(text) - 1);
	sp_sys_close(fd);
	for (const char *s = text; *s >= '0' && *s <= '9'; s++)
		n = n * 10 + (uint64_t)(*s - '0');
	return n;
}

static bool must_copy(uint64_t live)
{
	return read_number(POOL "free_hugepages") < live + read_number(POOL "resv_hugepages");
}

static int unshare(const struct sp_extent *piece, const struct sp_extent *live,
		   size_t count)
{
	char *copy;
	int err;

	copy = sp_sys_map_fd(NULL, piece->size, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | FLAGS, -1, 0, &err);
	if (err)
		return err;
	err = sp_sys_bind(copy, piece->size, piece->node, true);
	for (size_t i = 0; i < count && !err; i++) {
		char *to = copy + (live[i].addr - piece->addr);

		err = populate(to, live[i].size);
		if (!err)
			memcpy(to, live[i].addr, live[i].size);
	}
	if (!err)
		err = sp_sys_move(copy, piece->addr, piece->size);
	if (err)
		sp_sys_unmap(copy, piece->size);
	return err;
}

const struct sp_backend sp_backend_hugetlb = {
	.name = "hugetlb",
	.open = hugetlb_open,
	.explain = explain,
	.reserve = reserve,
	.commit = commit,
	.decommit = decommit,
	.base_pages = base_pages,
	.region_map = region_map,
	.region_unmap = region_unmap,
	.must_copy = must_copy,
	.unshare = unshare,
};

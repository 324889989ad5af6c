// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Anonymous memory with MADV_HUGEPAGE as a source: works everywhere, promises
 * least.  The kernel may hand out base pages when it finds no huge one; that is
 * measured (base_pages) and said, never hidden.
 *
 * The window's own reservation is the mapping: commit makes a part of it
 * writable, and neighbours merge into one VMA again, so neither the number of
 * mappings nor the charge under vm.overcommit_memory=2 runs ahead of use.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include "backend.h"
#include "sys.h"

#define THP_ENABLED	"/sys/kernel/mm/transparent_hugepage/enabled"

static int thp_open(struct sp_text *why)
{
	(void)why;
	return 0;	/* where huge pages are off, base pages are memory too */
}

static void note(struct sp_text *why)
{
	char text[64] = "";
	int fd = sp_sys_open(THP_ENABLED, O_RDONLY);

	if (fd >= 0) {
		sp_sys_read(fd, text, sizeof(text) - 1);
		sp_sys_close(fd);
	}
	if (fd < 0 || strstr(text, "[never]"))
		sp_text_add(why, "thp: huge pages are off (" THP_ENABLED
				 "): base pages only");
	else if (sp_sys_thp_disabled())
		sp_text_add(why, "thp: this process asked for no huge pages "
				 "(PR_SET_THP_DISABLE): base pages only");
}

static void explain(struct sp_text *why, int node, int err)
{
	sp_text_add(why, "thp: no memory from node ");
	sp_text_add_u64(why, (uint64_t)node);
	sp_text_add(why, ": ");
	sp_text_add_error(why, err);
}

/*
 * Preferred, not bound: with MPOL_BIND a full node is an OOM kill, even beside
 * an empty one.  Advice and policy may be refused by kernels built without
 * them; the memory is as good.
 */
static int reserve(const struct sp_extent *piece)
{
	sp_sys_bind(piece->addr, piece->size, piece->node, false);
	sp_sys_advise(piece->addr, piece->size, MADV_HUGEPAGE);
	return 0;
}

static void decommit(const struct sp_extent *extents, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		sp_anon_drop(extents[i].addr, extents[i].size);
		/* A small one comes back as a huge one. */
		sp_sys_advise(extents[i].addr, extents[i].size, MADV_HUGEPAGE);
	}
}

static int commit(const struct sp_extent *extent, enum sp_touch touch)
{
	int err = sp_sys_protect_rw(extent->addr, extent->size);

	if (err)
		return err;
	if (touch == SP_TOUCH_SMALL)
		sp_sys_advise(extent->addr, extent->size, MADV_NOHUGEPAGE);
	if (touch != SP_TOUCH_ALL)
		return 0;
	err = sp_sys_populate(extent->addr, extent->size);
	if (err)
		decommit(extent, 1);
	return err;
}

static int region_map(struct slabpool_region_info *info, bool node_any)
{
	char *addr, *aligned;
	int err;

	addr = sp_sys_map_fd(NULL, info->size + SP_HPAGE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, &err);
	if (err)
		return err;
	aligned = sp_anon_trim(addr, info->size, SP_HPAGE);
	info->addr = aligned;
	sp_sys_bind(aligned, info->size, info->node, !node_any);
	sp_sys_advise(aligned, info->size, MADV_HUGEPAGE);
	/* Copy-on-write after a fork would move the parent's pages. */
	sp_sys_advise(aligned, info->size, MADV_DONTFORK);
	err = sp_sys_advise(aligned, info->size, MADV_POPULATE_WRITE);
	if (err) {
		sp_sys_unmap(aligned, info->size);
		return err;
	}
	info->page_size = sp_anon_base_pages(aligned, info->size) ?
			  getauxval(AT_PAGESZ) : SP_HPAGE;
	return 0;
}

static void region_unmap(const struct slabpool_region_info *info)
{
	sp_sys_unmap(info->addr, info->size);
}

const struct sp_backend sp_backend_thp = {
	.name = "thp",
	.open = thp_open,
	.note = note,
	.explain = explain,
	.reserve = reserve,
	.commit = commit,
	.decommit = decommit,
	.base_pages = sp_anon_base_pages,
	.region_map = region_map,
	.region_unmap = region_unmap,
};

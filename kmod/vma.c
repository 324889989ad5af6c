// SPDX-License-Identifier: GPL-2.0-only
/*
 * mmap and fault.  A mapping is an ordinary shared file mapping whose pages
 * happen to be hpages: fault finds the folio and the core maps, counts and
 * unmaps it.  A fault neither allocates an hpage nor clears one; after a
 * snapshot it copies one.
 *
 * There is no close: what is mapped lives as long as the file.  Of a mapping,
 * vm_private_data is 0, or the snapshot it was inherited with.
 */
#include <linux/pagemap.h>

#include "compat.h"
#include "internal.h"
#include "trace.h"

/* Can an hpage lie in this mapping, address against offset? */
static bool congruent(struct vm_area_struct *vma)
{
	return IS_ALIGNED((vma->vm_start >> PAGE_SHIFT) - vma->vm_pgoff,
			  HPAGE_PMD_NR);
}

/*
 * Will the core map a base page where an hpage was meant?  Asked just before
 * it does; where it says so wrongly, a statistic is off by one.
 */
static bool falls_back(struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	unsigned long start = vmf->address & HPAGE_PMD_MASK;
	pmd_t pmd;

	/* The writer of a private mapping gets base pages by design. */
	if (!(vma->vm_flags & VM_MAYSHARE))
		return false;
	if (start < vma->vm_start || start + HPAGE_PMD_SIZE > vma->vm_end ||
	    sp_thp_disabled(vma))
		return true;
	pmd = READ_ONCE(*vmf->pmd);
	return !pmd_none(pmd) && !pmd_trans_huge(pmd);
}

static void count_fallback(struct sp_client *client, struct folio *folio)
{
	atomic64_inc(&client->pte_fallbacks);
	atomic64_inc(&sp_node_get(folio_nid(folio))->pte_fallbacks);
}

static vm_fault_t fault_locked(struct vm_fault *vmf)
{
	struct file *file = vmf->vma->vm_file;
	unsigned long id = (unsigned long)vmf->vma->vm_private_data;
	struct sp_client *client = sp_snapshot_view(file->private_data, id);
	struct folio *folio;
	struct page *page;
	bool base;

	if (!client)
		return VM_FAULT_SIGBUS;
	folio = sp_snapshot_find(client, vmf->pgoff >> HPAGE_PMD_ORDER, id);
	/* Nothing is mapped: the fault comes again. */
	if (folio == ERR_PTR(-EAGAIN))
		return VM_FAULT_NOPAGE;
	if (IS_ERR(folio))
		return VM_FAULT_HWPOISON;
	if (!folio)
		return VM_FAULT_SIGBUS;
	/* The base page: after a partial munmap the core maps only that. */
	page = folio_page(folio, vmf->pgoff & (HPAGE_PMD_NR - 1));
	if (PageHWPoison(page))
		return VM_FAULT_HWPOISON;
	base = falls_back(vmf);
	if (base)
		count_fallback(client, folio);
	trace_fault(folio_nid(folio), vmf->address,
		    vmf->pgoff >> HPAGE_PMD_ORDER, base);

	/* Decommit waits for this lock, which the core drops when mapped. */
	folio_get(folio);
	folio_lock(folio);
	vmf->page = page;
	return VM_FAULT_LOCKED;
}

static vm_fault_t sp_vma_fault(struct vm_fault *vmf)
{
	struct file *file = vmf->vma->vm_file;
	vm_fault_t ret;

	filemap_invalidate_lock_shared(file->f_mapping);
	sp_snapshot_lock_shared(file->private_data);
	ret = fault_locked(vmf);
	sp_snapshot_unlock_shared(file->private_data);
	filemap_invalidate_unlock_shared(file->f_mapping);
	return ret;
}

/* A split or a move in its own address space changes nothing; a fork may. */
static void sp_vma_open(struct vm_area_struct *vma)
{
	struct sp_client *client = vma->vm_file->private_data;

	if (vma->vm_mm != current->mm && !vma->vm_private_data)
		vma->vm_private_data = (void *)sp_snapshot_inherit(client);
}

/*
 * Maps nothing around a fault, an hpage is enough.  Without it newer kernels
 * take every fault from the per-VMA lock back to mmap_lock.
 */
static vm_fault_t sp_vma_map_pages(struct vm_fault *vmf, pgoff_t start,
				   pgoff_t end)
{
	return 0;
}

/* A place where no hpage fits would silently cost 512 faults for one. */
static int sp_vma_mremap(struct vm_area_struct *vma)
{
	return congruent(vma) ? 0 : -EINVAL;
}

/* No policy, so that NUMA balancing leaves our pages and page tables alone. */
static struct mempolicy *sp_vma_get_policy(SP_GET_POLICY_ARGS)
{
	return NULL;
}

static const struct vm_operations_struct sp_vm_ops = {
	.open		= sp_vma_open,
	.fault		= sp_vma_fault,
	.map_pages	= sp_vma_map_pages,
	.mremap		= sp_vma_mremap,
	.get_policy	= sp_vma_get_policy,
};

/* Does this mapping hand the region out, rather than reserve or share it? */
static bool commits(struct file *file, struct vm_area_struct *vma)
{
	/* VM_SHARED is clear for a read-only descriptor, VM_MAYSHARE is not. */
	return (vma->vm_flags & VM_MAYSHARE) && (file->f_mode & FMODE_WRITE) &&
	       (vma->vm_flags & VM_ACCESS_FLAGS) &&
	       !(vma->vm_flags & VM_NORESERVE);
}

/**
 * sp_vma_inherited - is anything there that a fork inherited from this client?
 * @file: a file of the client
 * @start: first address, in the caller's address space, which is locked
 * @end: the one behind the last
 *
 * remap_file_pages(2) makes a new mapping of an old one's file, which would show a
 * child its origin.
 */
bool sp_vma_inherited(struct file *file, unsigned long start, unsigned long end)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;

	/* mmap_assert_locked() may call what debug kernels do not export. */
	lockdep_assert_held(&mm->mmap_lock);

	while ((vma = find_vma_intersection(mm, start, end)) != NULL) {
		if (vma->vm_private_data && vma->vm_ops == &sp_vm_ops &&
		    vma->vm_file->private_data == file->private_data)
			return true;
		start = vma->vm_end;
	}
	return false;
}

/**
 * sp_vma_mmap - map a range of a client
 * @file: the client's file
 * @vma: the mapping being made
 *
 * Return: 0 or a negative errno as the ABI header lists them.
 */
int sp_vma_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct sp_commit commit = {};
	struct sp_range range;
	int ret;

	if (vma->vm_flags & VM_EXEC)
		return -EPERM;
	ret = sp_range_init(&range, (u64)vma->vm_pgoff << PAGE_SHIFT,
			    vma->vm_end - vma->vm_start);
	if (ret)
		return ret;
	if (!IS_ALIGNED(vma->vm_start, HPAGE_PMD_SIZE))
		return -EINVAL;
	if (range.nid != SLABPOOL_NODE_LOCAL && !sp_node_get(range.nid))
		return -ENODEV;

	if (commits(file, vma)) {
		ret = sp_client_commit(file->private_data, &range, &commit);
		if (ret)
			return ret;
	}

	/* Never PFNMAP or MIXEDMAP: the one forbids pins, the other leaks. */
	vm_flags_set(vma, VM_DONTEXPAND);
	vm_flags_clear(vma, VM_MAYEXEC);
	vma->vm_ops = &sp_vm_ops;
	return 0;
}

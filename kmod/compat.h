/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between the kernels supported, and nothing else: the one file
 * that may look at the version.  Each shim names the release that removes it.
 */
#ifndef SLABPOOL_COMPAT_H
#define SLABPOOL_COMPAT_H

#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/shrinker.h>
#include <linux/slab.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
static inline void vm_flags_set(struct vm_area_struct *vma, vm_flags_t flags)
{
	vma->vm_flags |= flags;
}

static inline void vm_flags_clear(struct vm_area_struct *vma, vm_flags_t flags)
{
	vma->vm_flags &= ~flags;
}
#endif

/* The arguments of vm_operations_struct.get_policy; three since 6.8. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
#define SP_GET_POLICY_ARGS	struct vm_area_struct *vma, unsigned long addr
#else
#define SP_GET_POLICY_ARGS	struct vm_area_struct *vma, unsigned long addr, \
				pgoff_t *ilx
#endif

/*
 * Does madvise or prctl keep this mapping on base pages?  Before 6.12 the core
 * maps files by hpages whatever was asked.
 */
static inline bool sp_thp_disabled(struct vm_area_struct *vma)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 12, 0)
	return false;
#elif LINUX_VERSION_CODE < KERNEL_VERSION(6, 18, 0)
	return vma_thp_disabled(vma, vma->vm_flags);
#else
	return vma_thp_disabled(vma, vma->vm_flags, false);
#endif
}

/*
 * Where a kernel thread that was not woken yet may run.  Since 6.14 its first
 * wake-up would replace a mask that is only set.
 */
static inline void sp_kthread_affine(struct task_struct *task,
				     const struct cpumask *mask)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 14, 0)
	set_cpus_allowed_ptr(task, mask);
#else
	kthread_affine_preferred(task, mask);
#endif
}

typedef unsigned long (*sp_shrinker_fn)(struct shrinker *shrinker,
					struct shrink_control *sc);

/* A shrinker that is asked node by node; allocated by the core since 6.7. */
static inline struct shrinker *sp_shrinker_register(sp_shrinker_fn count,
						    sp_shrinker_fn scan,
						    long batch)
{
	struct shrinker *shrinker;

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 7, 0)
	shrinker = kzalloc(sizeof(*shrinker), GFP_KERNEL);
	if (!shrinker)
		return NULL;
	shrinker->flags = SHRINKER_NUMA_AWARE;
#else
	shrinker = shrinker_alloc(SHRINKER_NUMA_AWARE, "slabpool");
	if (!shrinker)
		return NULL;
#endif
	shrinker->count_objects = count;
	shrinker->scan_objects = scan;
	shrinker->seeks = DEFAULT_SEEKS;
	shrinker->batch = batch;
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 7, 0)
	if (register_shrinker(shrinker, "slabpool")) {
		kfree(shrinker);
		return NULL;
	}
#else
	shrinker_register(shrinker);
#endif
	return shrinker;
}

static inline void sp_shrinker_unregister(struct shrinker *shrinker)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 7, 0)
	unregister_shrinker(shrinker);
	kfree(shrinker);
#else
	shrinker_free(shrinker);
#endif
}

#endif /* SLABPOOL_COMPAT_H */

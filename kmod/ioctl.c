// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ioctls: a table, one place that copies structures in, and handlers that
 * check, call the client or node, and answer.  No user memory is touched with
 * a lock held: it may lie in the client's own mapping.
 */
#include <linux/file.h>
#include <linux/nospec.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "internal.h"

/* One call: where the caller's structure is and how long he believes it is. */
struct call {
	struct file *file;
	void __user *user;
	size_t user_size;
};

/* Every structure begins like this. */
struct head {
	__u32 size;
	__u32 flags;
};

union args {
	struct head head;
	struct slabpool_ioc_info info;
	struct slabpool_ioc_commit commit;
	struct slabpool_ioc_decommit decommit;
	struct slabpool_ioc_attach attach;
	struct slabpool_ioc_stats stats;
	struct slabpool_ioc_reserve reserve;
	struct slabpool_ioc_share share;
	struct slabpool_ioc_snapshot snapshot;
};

static_assert(offsetofend(struct slabpool_ioc_info, node_mask) ==
	      SLABPOOL_IOC_INFO_SIZE_1);
static_assert(sizeof(struct slabpool_ioc_info) == 184);
static_assert(sizeof(struct slabpool_ioc_commit) == SLABPOOL_IOC_COMMIT_SIZE_1);
static_assert(sizeof(struct slabpool_ioc_decommit) ==
	      SLABPOOL_IOC_DECOMMIT_SIZE_1);
static_assert(sizeof(struct slabpool_ioc_attach) == SLABPOOL_IOC_ATTACH_SIZE_1);
static_assert(offsetofend(struct slabpool_ioc_stats, pte_fallbacks) ==
	      SLABPOOL_IOC_STATS_SIZE_1);
static_assert(sizeof(struct slabpool_ioc_stats) == 64);
static_assert(sizeof(struct slabpool_ioc_reserve) ==
	      SLABPOOL_IOC_RESERVE_SIZE_1);
static_assert(sizeof(struct slabpool_ioc_share) == SLABPOOL_IOC_SHARE_SIZE_1);
static_assert(sizeof(struct slabpool_ioc_snapshot) ==
	      SLABPOOL_IOC_SNAPSHOT_SIZE_1);
static_assert(sizeof(struct slabpool_range) == 32);

/* An older caller gets the part he knows, a newer one keeps his zero tail. */
static long answer(const struct call *call, const void *args, size_t size)
{
	size = min(size, call->user_size);
	return copy_to_user(call->user, args, size) ? -EFAULT : 0;
}

static long ioc_info(const struct call *call, union args *args)
{
	struct sp_client *client = call->file->private_data;
	struct slabpool_ioc_info *info = &args->info;
	unsigned long left = sp_quota_room(client->quota);
	struct sp_node *node;

	info->abi = SLABPOOL_ABI_REVISION;
	info->base_page_size = PAGE_SIZE;
	info->hpage_size = HPAGE_PMD_SIZE;
	info->features = SLABPOOL_FEATURE_COMMIT | SLABPOOL_FEATURE_DECOMMIT |
			 SLABPOOL_FEATURE_ATTACH | SLABPOOL_FEATURE_QUOTA |
			 SLABPOOL_FEATURE_RESERVE | SLABPOOL_FEATURE_FALLBACK |
			 SLABPOOL_FEATURE_SHARE | SLABPOOL_FEATURE_SNAPSHOT;
	memset(info->node_mask, 0, sizeof(info->node_mask));
	for (node = sp_node_next(NULL); node; node = sp_node_next(node))
		info->node_mask[node->nid / 64] |= 1ULL << (node->nid % 64);
	info->max_client_hugepages = sp_quota_limit(SP_LIMIT_CLIENT);
	info->max_user_hugepages = sp_quota_limit(SP_LIMIT_USER);
	info->quota_left = left == ULONG_MAX ? U64_MAX : left;
	return answer(call, info, sizeof(*info));
}

static long ioc_commit(const struct call *call, union args *args)
{
	struct slabpool_ioc_commit *commit = &args->commit;
	struct sp_commit how = {
		.fallback = commit->flags & SLABPOOL_FALLBACK,
		.grow = true,
	};
	struct sp_range range;
	int ret;

	ret = sp_range_init(&range, commit->offset, commit->length);
	if (ret)
		return ret;
	ret = sp_client_commit(call->file->private_data, &range, &how);
	if (ret)
		return ret;
	commit->committed = how.committed;
	commit->off_node = how.off_node;
	return answer(call, commit, sizeof(*commit));
}

/* Process one entry of the batch; its error is the entry's, not the call's. */
static int decommit_range(struct sp_client *client, struct slabpool_range *entry)
{
	struct sp_range range;

	entry->hpages = 0;
	entry->parked = 0;
	entry->error = entry->reserved ? -EINVAL :
		       sp_range_init(&range, entry->offset, entry->length);
	if (entry->error)
		return 0;
	return sp_client_decommit(client, &range, &entry->hpages,
				  &entry->parked);
}

static long decommit_batch(struct sp_client *client,
			   struct slabpool_ioc_decommit *decommit)
{
	struct slabpool_range __user *user = u64_to_user_ptr(decommit->ranges);
	struct slabpool_range entry;
	u32 count = decommit->count;
	u32 *done = &decommit->done;
	int ret;

	for (*done = 0; *done < count; (*done)++) {
		/* Not before the first: a call always gets somewhere. */
		if (*done && signal_pending(current))
			return -EINTR;
		if (copy_from_user(&entry, &user[*done], sizeof(entry)))
			return -EFAULT;
		ret = decommit_range(client, &entry);
		/* Of an unfinished entry too: the next call counts anew. */
		if (copy_to_user(&user[*done], &entry, sizeof(entry)))
			return -EFAULT;
		if (ret)
			return ret;
		cond_resched();
	}
	return 0;
}

static long ioc_decommit(const struct call *call, union args *args)
{
	struct slabpool_ioc_decommit *decommit = &args->decommit;
	long ret, fault;

	if (!decommit->count || decommit->count > SLABPOOL_MAX_RANGES)
		return -EINVAL;

	/* How far it came is told whatever happened. */
	ret = decommit_batch(call->file->private_data, decommit);
	fault = answer(call, decommit, sizeof(*decommit));
	return ret ?: fault;
}

/* Answer with a descriptor of @file, which is used up whatever happens. */
static long answer_fd(const struct call *call, struct file *file, __s32 *where,
		      const void *args, size_t size)
{
	int fd = get_unused_fd_flags(O_CLOEXEC);
	long ret;

	if (fd < 0) {
		ret = fd;
		goto err_put_file;
	}
	*where = fd;
	ret = answer(call, args, size);
	if (ret)
		goto err_put_fd;

	/* Last: it cannot be undone.  The descriptor owns the file now. */
	fd_install(fd, file);
	return 0;

err_put_fd:
	put_unused_fd(fd);
err_put_file:
	fput(file);
	return ret;
}

/* The file behind a mapping of ours in the caller's own address space. */
static struct file *find_mapped(u64 address)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	struct file *file = ERR_PTR(-EINVAL);

	if (address != (unsigned long)address)
		return file;
	if (mmap_read_lock_killable(mm))
		return ERR_PTR(-EINTR);
	vma = vma_lookup(mm, untagged_addr((unsigned long)address));
	/*
	 * A private mapping gives no right to the shared memory, nor does one
	 * inherited with a snapshot to what its origin has.
	 */
	if (vma && vma->vm_file && vma->vm_file->f_op == &sp_dev_fops &&
	    (vma->vm_flags & VM_MAYSHARE) && !vma->vm_private_data)
		file = get_file(vma->vm_file);
	mmap_read_unlock(mm);
	return file;
}

static long ioc_attach(const struct call *call, union args *args)
{
	struct slabpool_ioc_attach *attach = &args->attach;
	struct file *file;

	if (attach->reserved)
		return -EINVAL;
	file = find_mapped(attach->address);
	if (IS_ERR(file))
		return PTR_ERR(file);
	return answer_fd(call, file, &attach->fd, attach, sizeof(*attach));
}

static long ioc_share(const struct call *call, union args *args)
{
	struct slabpool_ioc_share *share = &args->share;
	bool rdonly = share->flags & SLABPOOL_SHARE_RDONLY;
	int flags = rdonly ? O_RDONLY : call->file->f_flags & O_ACCMODE;
	struct file *file;

	if (share->reserved)
		return -EINVAL;
	/* Nobody is given more than he has. */
	if (!(call->file->f_mode & (rdonly ? FMODE_READ : FMODE_WRITE)))
		return -EBADF;

	file = sp_dev_share(call->file, flags | O_CLOEXEC);
	if (IS_ERR(file))
		return PTR_ERR(file);
	return answer_fd(call, file, &share->fd, share, sizeof(*share));
}

static long ioc_stats(const struct call *call, union args *args)
{
	struct sp_client *client = call->file->private_data;
	struct slabpool_ioc_stats *stats = &args->stats;
	struct sp_node *node;

	if (stats->reserved)
		return -EINVAL;
	if (stats->node != SLABPOOL_NODE_LOCAL && !sp_node_get(stats->node))
		return -EINVAL;

	stats->committed = 0;
	stats->parked = 0;
	stats->guarantee = 0;
	for (node = sp_node_next(NULL); node; node = sp_node_next(node)) {
		if (stats->node != SLABPOOL_NODE_LOCAL &&
		    stats->node != node->nid)
			continue;
		stats->committed +=
			atomic_long_read(&client->node[node->nid].committed);
		stats->parked +=
			atomic_long_read(&client->node[node->nid].parked);
		stats->guarantee +=
			READ_ONCE(client->node[node->nid].holding.guarantee);
	}
	stats->commits = atomic64_read(&client->commits);
	stats->decommits = atomic64_read(&client->decommits);
	stats->pte_fallbacks = atomic64_read(&client->pte_fallbacks);
	return answer(call, stats, sizeof(*stats));
}

static long ioc_reserve(const struct call *call, union args *args)
{
	struct slabpool_ioc_reserve *reserve = &args->reserve;

	if (reserve->reserved || reserve->node < 0)
		return -EINVAL;
	return sp_client_reserve(call->file->private_data, reserve->node,
				 reserve->count);
}

static long ioc_snapshot(const struct call *call, union args *args)
{
	struct slabpool_ioc_snapshot *snapshot = &args->snapshot;
	struct sp_client *origin = call->file->private_data, *into;
	struct file *file;
	long ret = -EINVAL;

	if (snapshot->reserved)
		return -EINVAL;
	file = fget(snapshot->into);
	if (!file)
		return -EBADF;
	if (file->f_op != &sp_dev_fops)
		goto put_file;
	into = file->private_data;
	if (into == origin)
		goto put_file;
	ret = -EBADF;
	if (!(file->f_mode & FMODE_WRITE))
		goto put_file;
	ret = sp_snapshot_create(origin, into, &snapshot->hpages);
	if (!ret)
		ret = answer(call, snapshot, sizeof(*snapshot));
put_file:
	fput(file);
	return ret;
}

/**
 * struct command - one ioctl
 * @cmd: exact number
 * @size: of its structure in this revision
 * @min_size: in the first revision
 * @flags: that it knows
 * @changes: needs a descriptor open for writing
 * @fn: the handler; the structure is copied, its flags are checked
 */
struct command {
	unsigned int cmd;
	size_t size;
	size_t min_size;
	u32 flags;
	bool changes;
	long (*fn)(const struct call *call, union args *args);
};

#define COMMAND(NAME, name, writes, known)			\
	[_IOC_NR(SLABPOOL_IOC_##NAME)] = {			\
		.cmd = SLABPOOL_IOC_##NAME,			\
		.size = sizeof(struct slabpool_ioc_##name),	\
		.min_size = SLABPOOL_IOC_##NAME##_SIZE_1,	\
		.flags = known,					\
		.changes = writes,				\
		.fn = ioc_##name,				\
	}

static const struct command commands[] = {
	COMMAND(INFO, info, false, 0),
	COMMAND(COMMIT, commit, true, SLABPOOL_FALLBACK),
	COMMAND(DECOMMIT, decommit, true, 0),
	COMMAND(ATTACH, attach, false, 0),
	COMMAND(STATS, stats, false, 0),
	COMMAND(RESERVE, reserve, true, 0),
	COMMAND(SHARE, share, false, SLABPOOL_SHARE_RDONLY),
	COMMAND(SNAPSHOT, snapshot, true, 0),
};

/**
 * sp_ioctl - unlocked_ioctl of the device
 * @file: a client's file
 * @cmd: SLABPOOL_IOC_*
 * @arg: user address of its structure
 *
 * Return: 0 or a negative errno as the ABI header lists them.
 */
long sp_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct call call = { .file = file, .user = (void __user *)arg };
	unsigned int nr = _IOC_NR(cmd);
	const struct command *command;
	union args args;
	u32 size;
	int ret;

	if (nr >= ARRAY_SIZE(commands))
		return -ENOTTY;
	command = &commands[array_index_nospec(nr, ARRAY_SIZE(commands))];
	if (command->cmd != cmd)
		return -ENOTTY;
	if (command->changes && !(file->f_mode & FMODE_WRITE))
		return -EBADF;

	if (get_user(size, (u32 __user *)call.user))
		return -EFAULT;
	if (size < command->min_size)
		return -EINVAL;
	/* No revision will be as long: do not look for its tail. */
	if (size > PAGE_SIZE)
		return -E2BIG;
	ret = copy_struct_from_user(&args, command->size, call.user, size);
	if (ret)
		return ret;

	/* Read once: what another thread wrote there since does not count. */
	args.head.size = size;
	call.user_size = size;
	if (args.head.flags & ~command->flags)
		return -EINVAL;
	return command->fn(&call, &args);
}

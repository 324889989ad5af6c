// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/kernel/debug/slabpool, for those who mend the module; nothing of it is
 * promised to anybody.
 *
 *	state	the books of each node
 *	check	to write anything has them checked: EUCLEAN when they are wrong,
 *		and the kernel's log says where
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/seq_file.h>

#include "internal.h"

static struct dentry *dir;

static int state_show(struct seq_file *seq, void *unused)
{
	static const char *const names[] = {
		[SP_ZEROED] = "zeroed",
		[SP_DIRTY] = "dirty",
		[SP_PARKED] = "parked",
		[SP_ZEROING] = "zeroing",
		[SP_USED] = "used",
	};
	struct sp_node *node;
	struct sp_books books;
	int state;

	for (node = sp_node_next(NULL); node; node = sp_node_next(node)) {
		sp_node_books(node, &books);
		seq_printf(seq, "node%d: total=%lu target=%lu overcommit=%lu",
			   node->nid, books.total, books.target,
			   books.overcommit);
		for (state = 0; state < SP_NR_STATES; state++)
			seq_printf(seq, " %s=%lu", names[state],
				   books.nr[state]);
		seq_printf(seq, " claimed=%lu reserved=%lu poisoned=%lu wrong=%s\n",
			   books.claimed, books.reserved, books.poisoned,
			   books.wrong ?: "nothing");
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(state);

static ssize_t check_write(struct file *file, const char __user *buf,
			   size_t len, loff_t *pos)
{
	struct sp_node *node;
	struct sp_books books;
	ssize_t ret = len;

	for (node = sp_node_next(NULL); node; node = sp_node_next(node)) {
		sp_node_books(node, &books);
		if (!books.wrong)
			continue;
		pr_err("node %d: the books are wrong: %s\n", node->nid,
		       books.wrong);
		ret = -EUCLEAN;
	}
	return ret;
}

static const struct file_operations check_fops = {
	.owner	= THIS_MODULE,
	.write	= check_write,
};

/**
 * sp_debugfs_init - make the files; it does not matter when that fails
 */
void sp_debugfs_init(void)
{
	dir = debugfs_create_dir(KBUILD_MODNAME, NULL);
	debugfs_create_file("state", 0400, dir, NULL, &state_fops);
	debugfs_create_file("check", 0200, dir, NULL, &check_fops);
}

/**
 * sp_debugfs_exit - remove them; waits for their readers
 */
void sp_debugfs_exit(void)
{
	debugfs_remove(dir);
}

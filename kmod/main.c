// SPDX-License-Identifier: GPL-2.0-only
/*
 * slabpool: zeroed, pinned, node-local huge pages for user space.
 *
 * Module parameters, and initialisation with its exact mirror.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "internal.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

static char *hugepages = "";
module_param(hugepages, charp, 0444);
MODULE_PARM_DESC(hugepages, "hpages to fill the pools with: node:count[,node:count]");

static bool verify_zero;
module_param(verify_zero, bool, 0644);
MODULE_PARM_DESC(verify_zero, "check that each hpage is zero when it is handed out");

/**
 * sp_verify_zero - shall hpages be checked at hand-out?
 *
 * Return: the module parameter of that name.
 */
bool sp_verify_zero(void)
{
	return READ_ONCE(verify_zero);
}

/* Set the target of one node from "node:count". */
static int parse_item(char *item)
{
	struct sp_node *node;
	unsigned long count;
	char *colon;
	int nid;

	colon = strchr(item, ':');
	if (!colon)
		return -EINVAL;
	*colon = '\0';
	if (kstrtoint(item, 10, &nid) || kstrtoul(colon + 1, 10, &count))
		nid = -1;
	*colon = ':';

	node = sp_node_get(nid);
	if (!node || count > sp_node_capacity(node) || node->target)
		return -EINVAL;
	node->target = count;
	return 0;
}

static int parse_hugepages(void)
{
	char *copy, *rest, *item;
	int ret = 0;

	if (!*hugepages)
		return 0;
	copy = kstrdup(hugepages, GFP_KERNEL);
	if (!copy)
		return -ENOMEM;

	rest = copy;
	while (!ret && (item = strsep(&rest, ",")) != NULL) {
		ret = parse_item(item);
		if (ret)
			pr_err("hugepages: \"%s\" is not node:count of a node with memory, each node once\n",
			       item);
	}
	kfree(copy);
	return ret;
}

static int fill_pools(void)
{
	struct sp_node *node;
	int ret;

	for (node = sp_node_next(NULL); node; node = sp_node_next(node)) {
		ret = sp_node_resize(node, node->target);
		if (ret)
			return ret;
	}
	return 0;
}

static int __init sp_init(void)
{
	int ret;

	ret = sp_nodes_init();
	if (ret)
		return ret;
	ret = parse_hugepages();
	if (ret)
		goto err_nodes;
	ret = sp_zero_init();
	if (ret)
		goto err_nodes;
	ret = fill_pools();
	if (ret)
		goto err_zero;
	ret = sp_shrink_init();
	if (ret)
		goto err_zero;
	ret = sp_dev_init();
	if (ret)
		goto err_shrink;
	sp_debugfs_init();
	return 0;

err_shrink:
	sp_shrink_exit();
err_zero:
	sp_zero_exit();
err_nodes:
	sp_nodes_exit();
	return ret;
}
module_init(sp_init);

/* Runs when no client, no mapping and no parked hpage is left. */
static void __exit sp_exit(void)
{
	sp_debugfs_exit();
	sp_dev_exit();
	sp_shrink_exit();
	sp_zero_exit();
	sp_nodes_exit();
}
module_exit(sp_exit);

MODULE_DESCRIPTION("Zeroed, pinned, node-local huge pages for user space");
MODULE_AUTHOR("The slabpool authors");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");

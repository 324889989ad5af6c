// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/class/misc/slabpool: one value a file.  Documentation/ABI/testing has
 * an entry for each, and a test compares the two lists.
 */
#include <linux/device.h>
#include <linux/kobject.h>
#include <linux/sysfs.h>

#include "internal.h"

static ssize_t abi_show(struct device *dev, struct device_attribute *attr,
			char *buf)
{
	return sysfs_emit(buf, "%u\n", SLABPOOL_ABI_REVISION);
}
static DEVICE_ATTR_RO(abi);

static ssize_t hugepage_size_show(struct device *dev,
				  struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%lu\n", HPAGE_PMD_SIZE);
}
static DEVICE_ATTR_RO(hugepage_size);

static ssize_t clients_show(struct device *dev, struct device_attribute *attr,
			    char *buf)
{
	return sysfs_emit(buf, "%u\n", sp_client_count());
}
static DEVICE_ATTR_RO(clients);

static ssize_t limit_store(enum sp_limit which, const char *buf, size_t len)
{
	unsigned long limit;

	/* A number too large for a long is as much nonsense as a word. */
	if (kstrtoul(buf, 10, &limit))
		return -EINVAL;
	sp_quota_set_limit(which, limit);
	return len;
}

static ssize_t max_client_hugepages_show(struct device *dev,
					 struct device_attribute *attr,
					 char *buf)
{
	return sysfs_emit(buf, "%lu\n", sp_quota_limit(SP_LIMIT_CLIENT));
}

static ssize_t max_client_hugepages_store(struct device *dev,
					  struct device_attribute *attr,
					  const char *buf, size_t len)
{
	return limit_store(SP_LIMIT_CLIENT, buf, len);
}
static DEVICE_ATTR_RW(max_client_hugepages);

static ssize_t max_user_hugepages_show(struct device *dev,
				       struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%lu\n", sp_quota_limit(SP_LIMIT_USER));
}

static ssize_t max_user_hugepages_store(struct device *dev,
					struct device_attribute *attr,
					const char *buf, size_t len)
{
	return limit_store(SP_LIMIT_USER, buf, len);
}
static DEVICE_ATTR_RW(max_user_hugepages);

static ssize_t decay_ms_show(struct device *dev, struct device_attribute *attr,
			     char *buf)
{
	return sysfs_emit(buf, "%u\n", sp_decay_ms());
}

static ssize_t decay_ms_store(struct device *dev, struct device_attribute *attr,
			      const char *buf, size_t len)
{
	unsigned int ms;

	if (kstrtouint(buf, 10, &ms))
		return -EINVAL;
	sp_set_decay_ms(ms);
	return len;
}
static DEVICE_ATTR_RW(decay_ms);

static struct attribute *device_attrs[] = {
	&dev_attr_abi.attr,
	&dev_attr_hugepage_size.attr,
	&dev_attr_clients.attr,
	&dev_attr_max_client_hugepages.attr,
	&dev_attr_max_user_hugepages.attr,
	&dev_attr_decay_ms.attr,
	NULL
};

/*
 * Asked while the device is being added, before its uevent goes out: hold that
 * back until the nodeN directories, which groups cannot express, are there.
 */
static umode_t device_attr_visible(struct kobject *kobj, struct attribute *attr,
				   int index)
{
	dev_set_uevent_suppress(kobj_to_dev(kobj), true);
	return attr->mode;
}

static const struct attribute_group device_group = {
	.attrs = device_attrs,
	.is_visible = device_attr_visible,
};

const struct attribute_group *sp_sysfs_groups[] = {
	&device_group,
	NULL
};

static struct sp_node *kobj_to_node(struct kobject *kobj)
{
	struct sp_node *node;

	for (node = sp_node_next(NULL); node; node = sp_node_next(node))
		if (node->kobj == kobj)
			return node;
	return NULL;
}

/* Show @value, an expression over the locked node. */
#define NODE_ATTR_SHOW(_name, _value)					\
static ssize_t _name##_show(struct kobject *kobj,			\
			    struct kobj_attribute *attr, char *buf)	\
{									\
	struct sp_node *node = kobj_to_node(kobj);			\
	u64 value;							\
									\
	if (!node)							\
		return -ENODEV;						\
	spin_lock(&node->lock);						\
	value = (_value);						\
	spin_unlock(&node->lock);					\
	return sysfs_emit(buf, "%llu\n", value);			\
}

#define NODE_ATTR_RO(_name, _value)					\
	NODE_ATTR_SHOW(_name, _value)					\
	static struct kobj_attribute _name##_attr = {			\
		.attr = { .name = #_name, .mode = 0444 },		\
		.show = _name##_show,					\
	}

NODE_ATTR_SHOW(nr_hugepages, node->target)

static ssize_t nr_hugepages_store(struct kobject *kobj,
				  struct kobj_attribute *attr, const char *buf,
				  size_t len)
{
	struct sp_node *node = kobj_to_node(kobj);
	unsigned long target;
	int ret;

	if (!node)
		return -ENODEV;
	if (kstrtoul(buf, 10, &target))
		return -EINVAL;
	ret = sp_node_resize(node, target);
	return ret ?: len;
}

static struct kobj_attribute nr_hugepages_attr = __ATTR_RW(nr_hugepages);

NODE_ATTR_SHOW(nr_overcommit_hugepages, node->overcommit)

static ssize_t nr_overcommit_hugepages_store(struct kobject *kobj,
					     struct kobj_attribute *attr,
					     const char *buf, size_t len)
{
	struct sp_node *node = kobj_to_node(kobj);
	unsigned long overcommit;
	int ret;

	if (!node)
		return -ENODEV;
	if (kstrtoul(buf, 10, &overcommit))
		return -EINVAL;
	ret = sp_node_set_overcommit(node, overcommit);
	return ret ?: len;
}

static struct kobj_attribute nr_overcommit_hugepages_attr =
	__ATTR_RW(nr_overcommit_hugepages);

NODE_ATTR_RO(total_hugepages, node->total);
NODE_ATTR_RO(surplus_hugepages,
	     node->total > node->target ? node->total - node->target : 0);
NODE_ATTR_RO(zeroed_hugepages, node->nr[SP_ZEROED]);
NODE_ATTR_RO(dirty_hugepages, node->nr[SP_DIRTY] + node->nr[SP_ZEROING]);
NODE_ATTR_RO(used_hugepages, node->nr[SP_USED]);
NODE_ATTR_RO(reserved_hugepages, node->reserved + node->claimed);
NODE_ATTR_RO(parked_hugepages, node->nr[SP_PARKED]);
NODE_ATTR_RO(poisoned_hugepages, node->poisoned);

static struct attribute *node_attrs[] = {
	&nr_hugepages_attr.attr,
	&nr_overcommit_hugepages_attr.attr,
	&total_hugepages_attr.attr,
	&surplus_hugepages_attr.attr,
	&zeroed_hugepages_attr.attr,
	&dirty_hugepages_attr.attr,
	&used_hugepages_attr.attr,
	&reserved_hugepages_attr.attr,
	&parked_hugepages_attr.attr,
	&poisoned_hugepages_attr.attr,
	NULL
};

static const struct attribute_group node_group = {
	.attrs = node_attrs,
};

NODE_ATTR_RO(commits, node->stats.commits);
NODE_ATTR_RO(decommits, node->stats.decommits);
NODE_ATTR_RO(commit_failures, node->stats.commit_failures);
NODE_ATTR_RO(fallbacks, node->stats.fallbacks);
NODE_ATTR_RO(inline_zeroed, node->stats.inline_zeroed);
NODE_ATTR_RO(zeroed, node->stats.zeroed);
NODE_ATTR_RO(zero_ns, node->stats.zero_ns);
NODE_ATTR_RO(grown, node->stats.grown);
NODE_ATTR_RO(shrunk, node->stats.shrunk);
NODE_ATTR_RO(pte_fallbacks, atomic64_read(&node->pte_fallbacks));

static struct attribute *stats_attrs[] = {
	&commits_attr.attr,
	&decommits_attr.attr,
	&commit_failures_attr.attr,
	&fallbacks_attr.attr,
	&inline_zeroed_attr.attr,
	&zeroed_attr.attr,
	&zero_ns_attr.attr,
	&grown_attr.attr,
	&shrunk_attr.attr,
	&pte_fallbacks_attr.attr,
	NULL
};

static const struct attribute_group stats_group = {
	.name = "stats",
	.attrs = stats_attrs,
};

static const struct attribute_group *node_groups[] = {
	&node_group,
	&stats_group,
	NULL
};

static int node_add(struct sp_node *node, struct kobject *parent)
{
	char name[16];

	snprintf(name, sizeof(name), "node%d", node->nid);
	node->kobj = kobject_create_and_add(name, parent);
	if (!node->kobj)
		return -ENOMEM;
	return sysfs_create_groups(node->kobj, node_groups);
}

/**
 * sp_sysfs_exit - remove the nodeN directories; waits for their readers
 */
void sp_sysfs_exit(void)
{
	struct sp_node *node;

	for (node = sp_node_next(NULL); node; node = sp_node_next(node)) {
		if (!node->kobj)
			continue;
		kobject_del(node->kobj);
		kobject_put(node->kobj);
		node->kobj = NULL;
	}
}

/**
 * sp_sysfs_init - add the nodeN directories, then announce the device
 * @dev: the device, registered with sp_sysfs_groups
 *
 * The device is there already, so that a node without its directory is only
 * logged.
 */
void sp_sysfs_init(struct device *dev)
{
	struct sp_node *node;

	for (node = sp_node_next(NULL); node; node = sp_node_next(node))
		if (node_add(node, &dev->kobj))
			dev_warn(dev, "no sysfs files for node %d\n", node->nid);
	dev_set_uevent_suppress(dev, false);
	kobject_uevent(&dev->kobj, KOBJ_ADD);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/slabpool: each open makes a client with an inode of its own on a pseudo
 * filesystem, so that unmapping reaches that client's mappings alone.  Files made
 * by SHARE have the same client and the same inode.
 */
#include <linux/cred.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/overflow.h>
#include <linux/pseudo_fs.h>

#include "internal.h"

#define SLABPOOL_FS_MAGIC	0x534c5050

static struct vfsmount *sp_mnt;

static int sp_fs_init_context(struct fs_context *fc)
{
	return init_pseudo(fc, SLABPOOL_FS_MAGIC) ? 0 : -ENOMEM;
}

/* Without an owner: with one our own mount would pin the module for ever. */
static struct file_system_type sp_fs_type = {
	.name		 = "slabpool",
	.init_fs_context = sp_fs_init_context,
	.kill_sb	 = kill_anon_super,
};

static int sp_dev_open(struct inode *inode, struct file *file)
{
	struct sp_client *client;
	struct inode *own;

	/* Its address space operations leave a dirty page dirty: enough. */
	own = alloc_anon_inode(sp_mnt->mnt_sb);
	if (IS_ERR(own))
		return PTR_ERR(own);
	/* Past i_size newer kernels refuse to map an hpage. */
	i_size_write(own, MAX_LFS_FILESIZE);

	client = sp_client_create(own->i_mapping, file->f_cred);
	if (!client) {
		iput(own);
		return -ENOMEM;
	}
	file->private_data = client;
	file->f_mapping = own->i_mapping;
	return 0;
}

static int sp_dev_flush(struct file *file, fl_owner_t id)
{
	sp_snapshot_close(file->private_data);
	return 0;
}

static int sp_dev_release(struct inode *inode, struct file *file)
{
	struct sp_client *client = file->private_data;
	struct inode *own = file->f_mapping->host;

	if (!refcount_dec_and_test(&client->files))
		return 0;
	/* First the hpages, whose ->mapping leads to the inode. */
	sp_client_release(client);
	iput(own);
	return 0;
}

/**
 * sp_dev_share - open a client once more
 * @file: an open file of it, which the caller holds
 * @flags: access mode of the new file
 *
 * Return: the file, or an error as open(2) has them.
 */
struct file *sp_dev_share(struct file *file, int flags)
{
	struct sp_client *client = file->private_data;
	struct file *other;

	/* The device anew: what such a file is to the rest of the kernel. */
	other = dentry_open(&file->f_path, flags, current_cred());
	if (IS_ERR(other))
		return other;

	/* It has a client of its own, empty, that nobody has seen yet. */
	sp_dev_release(file_inode(other), other);
	refcount_inc(&client->files);
	other->private_data = client;
	other->f_mapping = file->f_mapping;
	return other;
}

static void sp_dev_show_fdinfo(struct seq_file *seq, struct file *file)
{
	sp_client_show(file->private_data, seq);
}

/*
 * An aligned address, as every mapping must have.  The core aligns as well as it
 * can; 32-bit tasks and hints it leaves as they are.
 */
static unsigned long sp_dev_get_unmapped_area(struct file *file,
					      unsigned long addr,
					      unsigned long len,
					      unsigned long pgoff,
					      unsigned long flags)
{
	unsigned long ret, room;

	if (flags & MAP_FIXED) {
		if (sp_vma_inherited(file, addr, addr + len))
			return -EINVAL;
		return thp_get_unmapped_area(file, addr, len, pgoff, flags);
	}

	ret = thp_get_unmapped_area(file, round_up(addr, HPAGE_PMD_SIZE), len,
				    pgoff, flags);
	if (IS_ERR_VALUE(ret) || IS_ALIGNED(ret, HPAGE_PMD_SIZE))
		return ret;
	if (check_add_overflow(len, HPAGE_PMD_SIZE, &room))
		return -ENOMEM;
	ret = thp_get_unmapped_area(file, 0, room, pgoff, flags);
	return IS_ERR_VALUE(ret) ? ret : round_up(ret, HPAGE_PMD_SIZE);
}

const struct file_operations sp_dev_fops = {
	.owner			= THIS_MODULE,
	.open			= sp_dev_open,
	.flush			= sp_dev_flush,
	.release		= sp_dev_release,
	.mmap			= sp_vma_mmap,
	.get_unmapped_area	= sp_dev_get_unmapped_area,
	.unlocked_ioctl		= sp_ioctl,
	.compat_ioctl		= compat_ptr_ioctl,
	.fsync			= noop_fsync,
	.show_fdinfo		= sp_dev_show_fdinfo,
};

static struct miscdevice sp_misc = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "slabpool",
	.mode	= 0660,
	.fops	= &sp_dev_fops,
	.groups	= sp_sysfs_groups,
};

/**
 * sp_dev_init - make the device and its sysfs files
 *
 * Return: 0 or a negative errno.
 */
int sp_dev_init(void)
{
	int ret;

	sp_mnt = kern_mount(&sp_fs_type);
	if (IS_ERR(sp_mnt))
		return PTR_ERR(sp_mnt);
	ret = misc_register(&sp_misc);
	if (ret)
		goto err_unmount;
	/* Somebody may have it open now: nothing may fail any more. */
	sp_sysfs_init(sp_misc.this_device);
	return 0;

err_unmount:
	kern_unmount(sp_mnt);
	return ret;
}

/**
 * sp_dev_exit - remove the device; no client is left
 */
void sp_dev_exit(void)
{
	sp_sysfs_exit();
	misc_deregister(&sp_misc);
	kern_unmount(sp_mnt);
}

// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The module as a source: the only file that knows uapi/linux/slabpool.h.
 *
 * The heap is one client; the window's byte b on node n is file offset
 * SLABPOOL_OFFSET(n, b).  Each region is a client of its own, so that it can be
 * passed on and unmapped without looking at anything else.
 *
 * Programs close descriptors that are not theirs (closefrom) and reuse the
 * numbers, so a descriptor is compared with the device and inode it had before
 * each use, and fetched again with ATTACH through the mapping, which holds the
 * client whatever happens to descriptors.
 */
#include <fcntl.h>
#include <linux/slabpool.h>
#include <string.h>
#include <sys/mman.h>

#include "backend.h"
#include "sys.h"

#define DEVICE		"/dev/slabpool"

struct client {
	int fd;
	uint64_t id[2];		/* device and inode, see sp_sys_identity() */
};

/*
 * The heap's client.  Set by open and fresh while nobody else can be here;
 * afterwards fd is replaced by any thread that finds it stolen, id never.
 */
static struct {
	_Atomic int fd;
	uint64_t id[2];
	char *_Atomic mapped;	/* an address inside a mapping of it */
} heap = { .fd = -1 };

/* The heap's picture for a child, while this process forks. */
static struct client picture = { .fd = -1 };

static bool is_client(int fd, const uint64_t id[2])
{
	uint64_t now[2];

	return fd >= 0 && sp_sys_identity(fd, now) == 0 &&
	       now[0] == id[0] && now[1] == id[1];
}

static int open_client(struct client *client)
{
	int err;

	client->fd = sp_sys_open(DEVICE, O_RDWR);
	if (client->fd < 0)
		return client->fd;
	err = sp_sys_identity(client->fd, client->id);
	if (err)
		sp_sys_close(client->fd);
	return err;
}

/* A new descriptor of the heap's client, through its mapping. */
static int attach(void)
{
	struct slabpool_ioc_attach io = {
		.size = sizeof(io),
		.address = (uintptr_t)atomic_load_explicit(&heap.mapped,
							   memory_order_relaxed),
	};
	int other, err;

	other = sp_sys_open(DEVICE, O_RDWR);
	if (other < 0)
		return other;
	err = sp_sys_ioctl(other, SLABPOOL_IOC_ATTACH, &io);
	sp_sys_close(other);
	return err ? err : sp_sys_keep_off_stdio(io.fd);
}

/* The heap's descriptor, or -errno when the program closed it and it is gone. */
static int heap_fd(void)
{
	int fd = atomic_load_explicit(&heap.fd, memory_order_relaxed);
	int again;

	if (is_client(fd, heap.id))
		return fd;
	again = attach();
	if (again < 0)
		return again;
	if (!atomic_compare_exchange_strong_explicit(&heap.fd, &fd, again,
						     memory_order_relaxed,
						     memory_order_relaxed)) {
		sp_sys_close(again);	/* another thread was faster */
		return fd;
	}
	return again;
}

static void say_open(struct sp_text *why, int err)
{
	sp_text_add(why, DEVICE ": ");
	sp_text_add_error(why, err);
	if (err == -ENOENT || err == -ENXIO || err == -ENODEV)
		sp_text_add(why, " (is the module loaded? modprobe slabpool)");
	else if (err == -EACCES || err == -EPERM)
		sp_text_add(why, " (is the user in group slabpool?)");
}

static int check_info(int fd, struct sp_text *why)
{
	struct slabpool_ioc_info info = { .size = sizeof(info) };
	int err = sp_sys_ioctl(fd, SLABPOOL_IOC_INFO, &info);

	if (err) {
		sp_text_add(why, DEVICE ": INFO: ");
		sp_text_add_error(why, err);
		return err;
	}
	if (info.hpage_size != SP_HPAGE) {
		sp_text_add(why, DEVICE ": its hpage size is not the library's: ");
		sp_text_add_u64(why, info.hpage_size);
		return -EOPNOTSUPP;
	}
	return 0;
}

/* Leave the client in use, if any, and go on with this one. */
static void change_to(const struct client *client)
{
	int old = atomic_load_explicit(&heap.fd, memory_order_relaxed);

	if (is_client(old, heap.id))
		sp_sys_close(old);
	memcpy(heap.id, client->id, sizeof(heap.id));
	atomic_store_explicit(&heap.fd, client->fd, memory_order_relaxed);
}

/* Begin with an empty client. */
static int fresh(void)
{
	struct client client;
	int err = open_client(&client);

	if (!err)
		change_to(&client);
	return err;
}

static int device_open(struct sp_text *why)
{
	int fd, err = fresh();

	if (err) {
		say_open(why, err);
		return err;
	}
	fd = atomic_load_explicit(&heap.fd, memory_order_relaxed);
	err = check_info(fd, why);
	if (err) {
		sp_sys_close(fd);
		atomic_store_explicit(&heap.fd, -1, memory_order_relaxed);
	}
	return err;
}

static void explain(struct sp_text *why, int node, int err)
{
	sp_text_add(why, DEVICE ": no hpage from node ");
	sp_text_add_u64(why, (uint64_t)node);
	sp_text_add(why, ": ");
	sp_text_add_error(why, err);
	if (err == -ENOMEM) {
		sp_text_add(why, " (the pool is empty: write a number to "
				 "/sys/class/misc/slabpool/node");
		sp_text_add_u64(why, (uint64_t)node);
		sp_text_add(why, "/nr_hugepages)");
	}
}

/*
 * Reserve addresses without committing: PROT_NONE says so to the driver
 * whatever the overcommit policy, and the file's size does not matter then.
 */
static int map_reserved(int fd, char *addr, int fixed, const struct sp_extent *e,
			char **mapped)
{
	int err;

	*mapped = sp_sys_map_fd(addr, e->size, PROT_NONE, MAP_SHARED | fixed, fd,
				SLABPOOL_OFFSET(e->node, e->byte), &err);
	if (!*mapped)
		return err;
	err = sp_sys_protect_rw(*mapped, e->size);
	if (err && !fixed)
		sp_sys_unmap(*mapped, e->size);
	return err;
}

static int reserve(const struct sp_extent *piece)
{
	int fd = heap_fd();
	char *mapped;
	int err;

	if (fd < 0)
		return fd;
	err = map_reserved(fd, piece->addr, MAP_FIXED, piece, &mapped);
	if (!err)
		atomic_store_explicit(&heap.mapped, mapped, memory_order_relaxed);
	return err;
}

static int commit_fd(int fd, const struct sp_extent *e)
{
	struct slabpool_ioc_commit io = {
		.size = sizeof(io),
		.offset = SLABPOOL_OFFSET(e->node, e->byte),
		.length = e->size,
	};
	int err;

	do {
		err = sp_sys_ioctl(fd, SLABPOOL_IOC_COMMIT, &io);
	} while (err == -EINTR);
	return err;
}

/* Return: how many of the extents are done. */
static size_t decommit_fd(int fd, const struct sp_extent *extents, size_t count)
{
	struct slabpool_range ranges[64];
	size_t done = 0;
	int err;

	while (done < count && fd >= 0) {
		size_t left = count - done;
		struct slabpool_ioc_decommit io = {
			.size = sizeof(io),
			.ranges = (uintptr_t)ranges,
			.count = (uint32_t)(left < ARRAY_SIZE(ranges) ? left :
							ARRAY_SIZE(ranges)),
		};

		memset(ranges, 0, sizeof(ranges));
		for (uint32_t i = 0; i < io.count; i++) {
			const struct sp_extent *e = &extents[done + i];

			ranges[i].offset = SLABPOOL_OFFSET(e->node, e->byte);
			ranges[i].length = e->size;
		}
		/* After EINTR done says where to go on; nothing else is refused. */
		err = sp_sys_ioctl(fd, SLABPOOL_IOC_DECOMMIT, &io);
		if (err && err != -EINTR)
			break;
		done += io.done;
	}
	return done;
}

/* Without a descriptor the memory stays; at least it must read zero. */
static void decommit(const struct sp_extent *extents, size_t count)
{
	size_t done = decommit_fd(heap_fd(), extents, count);

	for (; done < count; done++)
		memset(extents[done].addr, 0, extents[done].size);
}

static int commit(const struct sp_extent *extent, enum sp_touch touch)
{
	int fd = heap_fd();
	int err;

	if (fd < 0)
		return fd;
	err = commit_fd(fd, extent);
	if (err)
		return err;
	/*
	 * The pages are zero and ours already; what is left is one fault each,
	 * which a large object pays when it is used.
	 */
	if (touch == SP_TOUCH_ALL)
		err = sp_sys_advise(extent->addr, extent->size, MADV_POPULATE_WRITE);
	if (err)
		decommit(extent, 1);
	return err;
}

static uint64_t base_pages(const char *window, size_t size)
{
	struct slabpool_ioc_stats io = { .size = sizeof(io), .node = SLABPOOL_NODE_LOCAL };
	int fd = heap_fd();

	if (fd < 0 || sp_sys_ioctl(fd, SLABPOOL_IOC_STATS, &io) || !io.pte_fallbacks)
		return 0;
	return sp_anon_base_pages(window, size);
}

static int region_map(struct slabpool_region_info *info, bool node_any)
{
	struct client client;
	int err = open_client(&client);

	(void)node_any;		/* the pool never strays */
	if (err)
		return err;
	info->offset = SLABPOOL_OFFSET(info->node, 0);
	info->addr = sp_sys_map_fd(NULL, info->size, PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_POPULATE, client.fd,
				   info->offset, &err);
	if (err) {
		sp_sys_close(client.fd);
		return err;
	}
	info->fd = client.fd;
	info->page_size = SP_HPAGE;
	return 0;
}

static void region_unmap(const struct slabpool_region_info *info)
{
	struct slabpool_ioc_attach io = { .size = sizeof(io), .address = (uintptr_t)info->addr };
	uint64_t ours[2], mine[2];

	/* Close the number only while it still is this region's client. */
	if (sp_sys_identity(info->fd, mine) == 0 &&
	    sp_sys_ioctl(info->fd, SLABPOOL_IOC_ATTACH, &io) == 0) {
		if (sp_sys_identity(io.fd, ours) == 0 && ours[0] == mine[0] &&
		    ours[1] == mine[1])
			sp_sys_close(info->fd);
		sp_sys_close(io.fd);
	}
	sp_sys_unmap(info->addr, info->size);
}

/* The mapping is shared: the child would write to the parent's memory. */
static bool must_copy(uint64_t live)
{
	(void)live;
	return true;
}

static int unshare(const struct sp_extent *piece, const struct sp_extent *live,
		   size_t count)
{
	int fd = atomic_load_explicit(&heap.fd, memory_order_relaxed);
	char *copy;
	int err;

	err = map_reserved(fd, NULL, 0, piece, &copy);
	if (err)
		return err;
	for (size_t i = 0; i < count; i++) {
		err = commit_fd(fd, &live[i]);
		if (err)
			goto unmap_copy;
		memcpy(copy + (live[i].addr - piece->addr), live[i].addr, live[i].size);
	}
	err = sp_sys_move(copy, piece->addr, piece->size);
	if (err)
		goto unmap_copy;
	atomic_store_explicit(&heap.mapped, piece->addr, memory_order_relaxed);
	return 0;

unmap_copy:
	sp_sys_unmap(copy, piece->size);
	decommit_fd(fd, piece, 1);
	return err;
}

/* The copies it may need are set aside by the call: none can fail later. */
static int snapshot(void)
{
	struct slabpool_ioc_snapshot io = { .size = sizeof(io) };
	int fd = heap_fd();
	int err;

	if (fd < 0)
		return fd;
	err = open_client(&picture);
	if (err)
		return err;
	io.into = picture.fd;
	err = sp_sys_ioctl(fd, SLABPOOL_IOC_SNAPSHOT, &io);
	if (err)
		sp_sys_close(picture.fd);
	return err;
}

static void snapshot_end(bool child)
{
	if (child)
		change_to(&picture);
	else if (is_client(picture.fd, picture.id))
		sp_sys_close(picture.fd);
	picture.fd = -1;
}

/*
 * What the child inherited shows the picture already: a signal handler sees it
 * whole at any time if it is replaced in one step.  Where there are no addresses
 * for that, in two.
 */
static int snapshot_map(const struct sp_extent *piece)
{
	int fd = atomic_load_explicit(&heap.fd, memory_order_relaxed);
	char *mapped;
	int err;

	err = map_reserved(fd, NULL, 0, piece, &mapped);
	if (!err) {
		err = sp_sys_move(mapped, piece->addr, piece->size);
		if (err)
			sp_sys_unmap(mapped, piece->size);
	}
	return err ? map_reserved(fd, piece->addr, MAP_FIXED, piece, &mapped) : 0;
}

const struct sp_backend sp_backend_device = {
	.name = "device",
	.open = device_open,
	.explain = explain,
	.reserve = reserve,
	.commit = commit,
	.decommit = decommit,
	.base_pages = base_pages,
	.region_map = region_map,
	.region_unmap = region_unmap,
	.must_copy = must_copy,
	.fresh = fresh,
	.unshare = unshare,
	.snapshot = snapshot,
	.snapshot_end = snapshot_end,
	.snapshot_map = snapshot_map,
};

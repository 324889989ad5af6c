/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * slabpool: pre-zeroed, pinned, node-local huge pages for user space.
 *
 * This header is the whole contract between the module and its users; the
 * manual page slabpool(4) says the same with examples.
 *
 * Words
 *	hpage	one huge page (PMD size, 2 MiB on x86-64); see INFO for its size
 *	node	a NUMA node number as the kernel numbers them
 *	client	one open file of /dev/slabpool: a sparse file made of hpages.
 *		Each open(2) makes a new client; dup(2), fork(2), SCM_RIGHTS and
 *		SHARE share one.  What a client holds goes back to the pool when the
 *		last descriptor and the last mapping are gone.
 *
 * mmap(2)
 *	MAP_SHARED	offset names node and byte: SLABPOOL_OFFSET(node, byte).
 *			Every hpage of the range is committed before the call
 *			returns; ENOMEM otherwise and nothing has changed.
 *	  + PROT_NONE or MAP_NORESERVE
 *			reserves addresses only; COMMIT or a later mmap fills.
 *	  + MAP_POPULATE
 *			also maps the pages, so that no fault follows.
 *			A descriptor that is not open for writing commits nothing.
 *	MAP_PRIVATE	maps what is committed, commits nothing; writes go to
 *			private base pages.
 *	Offset, length and address are multiples of the hpage size.  PROT_EXEC
 *	is refused.  A touch of an hpage that is not committed is SIGBUS.
 *
 *	EINVAL	offset, length or address unaligned, or offset out of range
 *	ENODEV	no such node, a node without memory, or one outside the
 *		caller's cpuset
 *	EPERM	PROT_EXEC
 *	ENOMEM	the node's pool cannot supply the range; it does not grow for a
 *		mapping, whose caller holds up his other threads: COMMIT does
 *	EDQUOT	the client, or a user who pays for it, would have more than is
 *		allowed (max_client_hugepages, max_user_hugepages in sysfs)
 *	EINTR	a fatal signal arrived while committing
 *
 * ioctl(2)
 *	Every structure begins with its size in bytes, which the caller sets,
 *	and a flags word.  A caller of an older revision sends a shorter
 *	structure, a caller of a newer one a longer structure whose tail must
 *	be zero.  Outputs are written only on success unless said otherwise.
 *
 *	ENOTTY	no such command
 *	EFAULT	a pointer leads nowhere
 *	EINVAL	size below the first revision's, an unknown flag, a reserved
 *		field that is not zero, or a value out of range
 *	E2BIG	the structure is longer than this kernel's and its tail is not
 *		zero: the caller asks for something this module cannot do
 *	EBADF	the command changes the client and the descriptor is not open
 *		for writing
 *	EINTR	a signal arrived; a batch says how far it came and can go on
 */
#ifndef _UAPI_LINUX_SLABPOOL_H
#define _UAPI_LINUX_SLABPOOL_H

#include <linux/types.h>
#include <linux/ioctl.h>

#define SLABPOOL_ABI_REVISION	1

#define SLABPOOL_MAX_NODES	1024

/*
 * A file offset: 2 TiB for each node.  Node -1, that is offsets below 2^41,
 * stands for the node of the calling CPU at the moment of the commit.
 */
#define SLABPOOL_NODE_SHIFT	41
#define SLABPOOL_NODE_LOCAL	(-1)
#define SLABPOOL_OFFSET(node, byte) \
	((((__u64)((__s64)(node) + 1)) << SLABPOOL_NODE_SHIFT) | (__u64)(byte))

/* The size is not part of the number: structures grow, numbers stay. */
#define SLABPOOL_IOC_MAGIC	0xB9
#define SLABPOOL_IOC_INFO	_IO(SLABPOOL_IOC_MAGIC, 0x00)
#define SLABPOOL_IOC_COMMIT	_IO(SLABPOOL_IOC_MAGIC, 0x01)
#define SLABPOOL_IOC_DECOMMIT	_IO(SLABPOOL_IOC_MAGIC, 0x02)
#define SLABPOOL_IOC_ATTACH	_IO(SLABPOOL_IOC_MAGIC, 0x03)
#define SLABPOOL_IOC_STATS	_IO(SLABPOOL_IOC_MAGIC, 0x04)
#define SLABPOOL_IOC_RESERVE	_IO(SLABPOOL_IOC_MAGIC, 0x05)
#define SLABPOOL_IOC_SHARE	_IO(SLABPOOL_IOC_MAGIC, 0x06)
#define SLABPOOL_IOC_SNAPSHOT	_IO(SLABPOOL_IOC_MAGIC, 0x07)

/* Feature bits of struct slabpool_ioc_info; probe these, not versions. */
#define SLABPOOL_FEATURE_COMMIT		(1ULL << 0)
#define SLABPOOL_FEATURE_DECOMMIT	(1ULL << 1)
#define SLABPOOL_FEATURE_ATTACH		(1ULL << 2)
#define SLABPOOL_FEATURE_QUOTA		(1ULL << 3)
#define SLABPOOL_FEATURE_RESERVE	(1ULL << 4)
#define SLABPOOL_FEATURE_FALLBACK	(1ULL << 5)
#define SLABPOOL_FEATURE_SHARE		(1ULL << 6)
#define SLABPOOL_FEATURE_SNAPSHOT	(1ULL << 7)

/**
 * struct slabpool_ioc_info - SLABPOOL_IOC_INFO
 * @size: in: sizeof(struct slabpool_ioc_info)
 * @flags: in: 0
 * @abi: out: SLABPOOL_ABI_REVISION of the module
 * @base_page_size: out: bytes of a base page
 * @hpage_size: out: bytes of an hpage
 * @features: out: SLABPOOL_FEATURE_*
 * @node_mask: out: bit n % 64 of word n / 64 is set when node n has a pool
 * @max_client_hugepages: out: hpages this client may have, 0: no limit
 * @max_user_hugepages: out: hpages each user who pays for it may have, with all
 *	clients together, 0: no limit
 * @quota_left: out: hpages that both limits still leave to this client now;
 *	all bits set: no limit
 *
 * Any descriptor may ask.
 */
struct slabpool_ioc_info {
	__u32 size;
	__u32 flags;
	__u32 abi;
	__u32 base_page_size;
	__aligned_u64 hpage_size;
	__aligned_u64 features;
	__aligned_u64 node_mask[SLABPOOL_MAX_NODES / 64];
	__aligned_u64 max_client_hugepages;
	__aligned_u64 max_user_hugepages;
	__aligned_u64 quota_left;
};

/* Flags of COMMIT. */
#define SLABPOOL_FALLBACK	(1U << 0)

/**
 * struct slabpool_ioc_commit - SLABPOOL_IOC_COMMIT
 * @size: in: sizeof(struct slabpool_ioc_commit)
 * @flags: in: SLABPOOL_FALLBACK or 0
 * @offset: in: SLABPOOL_OFFSET(node, byte), a multiple of the hpage size
 * @length: in: bytes, a positive multiple of the hpage size, within one node
 * @committed: out: hpages this call added; those there already are left alone
 * @off_node: out: hpages of the range, old and new, that are not on the node
 *	the offset names
 *
 * Fill every hole of the range: all or nothing.  With SLABPOOL_FALLBACK, what the
 * node's pool cannot supply comes from those of the other nodes of the caller's
 * cpuset, nearest first; the node may itself be outside the cpuset then.  Where the
 * administrator allows it (nr_overcommit_hugepages), and only when all pools that may
 * serve it lack hpages, they grow, which takes its time.
 *
 * ENODEV: no such node, a node without memory, or one outside the caller's
 * cpuset.  EDQUOT: a limit does not allow that many.  ENOMEM: the node's pool, or
 * all of them together, cannot supply them.  EINTR: a fatal signal.
 */
struct slabpool_ioc_commit {
	__u32 size;
	__u32 flags;
	__aligned_u64 offset;
	__aligned_u64 length;
	__aligned_u64 committed;
	__aligned_u64 off_node;
};

#define SLABPOOL_MAX_RANGES	1024

/**
 * struct slabpool_range - one entry of a batch
 * @offset: in: as in struct slabpool_ioc_commit
 * @length: in: likewise
 * @hpages: out: hpages given back
 * @parked: out: of these, hpages that somebody else still has pinned; they
 *	return to the pool when the last pin is gone
 * @error: out: 0 or a negative errno for this entry
 *
 * The outputs are written for each entry that was processed, and for the one that
 * a signal interrupted: what was given back of it until then.
 */
struct slabpool_range {
	__aligned_u64 offset;
	__aligned_u64 length;
	__u32 hpages;
	__u32 parked;
	__s32 error;
	__u32 reserved;
};

/**
 * struct slabpool_ioc_decommit - SLABPOOL_IOC_DECOMMIT
 * @size: in: sizeof(struct slabpool_ioc_decommit)
 * @flags: in: 0
 * @ranges: in: address of an array of struct slabpool_range
 * @count: in: entries of that array, 1 to SLABPOOL_MAX_RANGES
 * @done: out, also with EINTR and EFAULT: entries processed.  After EINTR call
 *	again with the array advanced by as many; giving the same range back
 *	twice is harmless.
 *
 * Take the ranges out of every mapping and give their hpages back.  Holes are
 * fine.  The call succeeds when every entry was processed, whatever the entries
 * say.  Entry errors: EINVAL (unaligned, empty, out of range, reserved field).
 */
struct slabpool_ioc_decommit {
	__u32 size;
	__u32 flags;
	__aligned_u64 ranges;
	__u32 count;
	__u32 done;
};

/**
 * struct slabpool_ioc_attach - SLABPOOL_IOC_ATTACH
 * @size: in: sizeof(struct slabpool_ioc_attach)
 * @flags: in: 0
 * @address: in: any address inside a shared mapping of a client in the caller's
 *	own address space
 * @fd: out: a new close-on-exec descriptor of the client behind it, with the
 *	access mode of the descriptor it was mapped with
 * @reserved: in: 0
 *
 * For a daemon that closed all its descriptors.  Any descriptor of the device
 * may ask.  EINVAL: no shared mapping of a client there.  EMFILE: no descriptor free.
 */
struct slabpool_ioc_attach {
	__u32 size;
	__u32 flags;
	__aligned_u64 address;
	__s32 fd;
	__u32 reserved;
};

/**
 * struct slabpool_ioc_stats - SLABPOOL_IOC_STATS
 * @size: in: sizeof(struct slabpool_ioc_stats)
 * @flags: in: 0
 * @node: in: a node, or SLABPOOL_NODE_LOCAL for the sum of all nodes
 * @reserved: in: 0
 * @committed: out: hpages of this client on that node now
 * @parked: out: hpages it gave back that are still pinned by somebody
 * @commits: out: hpages committed since the client was opened, all nodes
 * @decommits: out: hpages given back since then, all nodes
 * @pte_fallbacks: out: faults since then that mapped a base page where an
 *	hpage was meant, all nodes
 * @guarantee: out: hpages guaranteed to this client there, by RESERVE
 *
 * Any descriptor may ask.  EINVAL: no such node.
 */
struct slabpool_ioc_stats {
	__u32 size;
	__u32 flags;
	__s32 node;
	__u32 reserved;
	__aligned_u64 committed;
	__aligned_u64 parked;
	__aligned_u64 commits;
	__aligned_u64 decommits;
	__aligned_u64 pte_fallbacks;
	__aligned_u64 guarantee;
};

/**
 * struct slabpool_ioc_reserve - SLABPOOL_IOC_RESERVE
 * @size: in: sizeof(struct slabpool_ioc_reserve)
 * @flags: in: 0
 * @node: in: a node, not SLABPOOL_NODE_LOCAL
 * @reserved: in: 0
 * @count: in: hpages of that node guaranteed to this client from now on, in all:
 *	what it has committed or parked there is part of them.  0 ends it.
 *
 * Up to the guarantee, a commit by this client (with COMMIT or mmap) fails neither
 * for lack of hpages nor by a limit: what is missing to it is set aside in the
 * pool, which does not shrink below that, and is charged already.  Hpages that turn
 * out to have a memory error are the one exception.
 *
 * The guarantee is the client's and ends with it; what it gives back is set aside
 * again.  ENODEV: as for COMMIT.  EDQUOT: a limit does not allow as many.  ENOMEM:
 * the pool has not as many to spare; it does not grow for it.  Then the guarantee is what it was.
 */
struct slabpool_ioc_reserve {
	__u32 size;
	__u32 flags;
	__s32 node;
	__u32 reserved;
	__aligned_u64 count;
};

/* Flags of SHARE. */
#define SLABPOOL_SHARE_RDONLY	(1U << 0)

/**
 * struct slabpool_ioc_share - SLABPOOL_IOC_SHARE
 * @size: in: sizeof(struct slabpool_ioc_share)
 * @flags: in: SLABPOOL_SHARE_RDONLY or 0
 * @fd: out: a new close-on-exec descriptor of this client, with the access mode of
 *	the calling one, or read-only
 * @reserved: in: 0
 *
 * Unlike dup(2) the two have an access mode each: to let another process see what
 * it must not change.  Through a read-only descriptor nothing can be mapped
 * writable, nor made so later, nor can the client be changed in any way.  It sees
 * what the others commit, and loses what they give back.  The client lives as
 * long as any of them, and whoever opened the device goes on paying for it.
 *
 * EBADF: without the flag through a descriptor not open for writing, with it
 * through one not open for reading.  EMFILE, ENFILE: no descriptor, no file free.
 */
struct slabpool_ioc_share {
	__u32 size;
	__u32 flags;
	__s32 fd;
	__u32 reserved;
};

/* Snapshots that may be alive at a time, counting those of snapshots. */
#define SLABPOOL_MAX_SNAPSHOTS	1024

/**
 * struct slabpool_ioc_snapshot - SLABPOOL_IOC_SNAPSHOT
 * @size: in: sizeof(struct slabpool_ioc_snapshot)
 * @flags: in: 0
 * @into: in: a descriptor, open for writing, of another client that holds
 *	nothing and never took part in a snapshot
 * @reserved: in: 0
 * @hpages: out: hpages in the picture
 *
 * For fork(2): make @into the picture of this client at this moment, its origin.
 * From then on @into has at each offset what the origin has now, and neither
 * sees what is written or given back on the other side.  An hpage is copied when
 * either side first touches it; until then it exists once.  The origin keeps its
 * own pages, so what is pinned or registered stays so (and what a device writes
 * to pinned memory may still get into the picture until it is copied).  Hpages
 * committed later are not in it.
 *
 * The copies are claimed from the nodes' pools, and charged to @into, by this
 * call: none can fail later.
 *
 * A shared mapping of the origin that a fork(2) inherits shows @into instead, from
 * the first moment of the child on.  This holds for forks until the process that
 * made the snapshot closes a descriptor of @into or ends, another snapshot of the
 * origin is made, or nobody has @into open or mapped any more.  That also ends what was
 * inherited (SIGBUS): the child maps @into over it.  In its place the origin's own
 * memory cannot be mapped before it is unmapped (EINVAL), which keeps
 * remap_file_pages(2) from leading there.  Forks without a snapshot share.
 *
 * A client may have any number of snapshots, and they may have snapshots, each in
 * any process and ending in any order: up to SLABPOOL_MAX_SNAPSHOTS alive at a
 * time among those that are related.  When the origin ends, what it still had for
 * them is theirs.
 *
 * EBUSY: @into holds hpages, is or has a snapshot already, or there are too many.
 * ENOMEM: a node's pool cannot supply the copies; it does not grow for them.
 * EDQUOT: a limit does not allow them.  EBADF: @into is no descriptor or not open
 * for writing.  EINVAL: it is none of this device's, or is the same client.
 * EINTR: a fatal signal.
 */
struct slabpool_ioc_snapshot {
	__u32 size;
	__u32 flags;
	__s32 into;
	__u32 reserved;
	__aligned_u64 hpages;
};

/* First-revision sizes: what the oldest caller sends. */
#define SLABPOOL_IOC_INFO_SIZE_1	160
#define SLABPOOL_IOC_COMMIT_SIZE_1	40
#define SLABPOOL_IOC_DECOMMIT_SIZE_1	24
#define SLABPOOL_IOC_ATTACH_SIZE_1	24
#define SLABPOOL_IOC_STATS_SIZE_1	56
#define SLABPOOL_IOC_RESERVE_SIZE_1	24
#define SLABPOOL_IOC_SHARE_SIZE_1	16
#define SLABPOOL_IOC_SNAPSHOT_SIZE_1	24

#endif /* _UAPI_LINUX_SLABPOOL_H */

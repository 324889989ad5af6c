// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Mapping, moving and touching.  Who changes what cells show has them locked; who
 * only reads, or touches without a change, does not, and races with all of it.
 */
#include <fcntl.h>
#include <numaif.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "calls.h"

#define MAP_REAL	0xffffffffULL

/* A mapping at a place of the kernel's choice, gone again at once. */
static long map_anywhere(int fd, u64 length, int prot, int flags, u64 offset)
{
	char *map = mmap(NULL, length, prot, flags, fd, offset);

	if (map == MAP_FAILED)
		return -errno;
	if ((uintptr_t)map % hpage)
		finding("mmap chose %p, which is not aligned", map);
	trapped_touch(map, false);
	trapped_touch(map + length - hpage, prot & PROT_WRITE);
	return answer(munmap(map, length));
}

static unsigned int cells_in(unsigned int first, u64 length)
{
	u64 count = (length + hpage - 1) / hpage;

	return count < NR_CELLS - first ? count : NR_CELLS - first;
}

/* What lies past the arena would be forgotten. */
static void unmap_beyond(unsigned int cell, u64 length)
{
	char *end = cell_address(NR_CELLS);

	if (cell_address(cell) + length > end)
		munmap(end, cell_address(cell) + length - end);
}

static const struct cell nothing = { .client = NO_CLIENT };

/* Nothing is mapped in these locked cells any more, whatever was. */
static void forget_cells(unsigned int first, unsigned int count)
{
	munmap(cell_address(first), count * hpage);
	cells_describe(first, count, &nothing);
}

static bool is_private(u64 flags)
{
	return (flags & MAP_TYPE) == MAP_PRIVATE;
}

/* In locked cells: after a failure nobody knows what is there, so nothing is. */
static long map_cells(const struct slot *slot, unsigned int cell, u64 length, int prot,
		      u64 flags, u64 offset)
{
	unsigned int count = cells_in(cell, length);
	char *address = cell_address(cell) + (flags & MAP_UNALIGNED ? PAGE : 0);
	const struct cell as = {
		.client = slot->client,
		.index = offset / hpage,
		.private = is_private(flags),
		.readonly = !writes(slot),
	};
	char *map = mmap(address, length, prot, (flags & MAP_REAL) | MAP_FIXED,
			 slot->fd, offset);
	long ret = map == MAP_FAILED ? -errno : 0;

	if (!ret && flags & MAP_UNALIGNED)
		finding("mmap took an address that is not aligned");
	if (ret || flags & MAP_UNALIGNED) {
		forget_cells(cell, count);
		return ret;
	}
	unmap_beyond(cell, length);
	cells_describe(cell, count, &as);
	return 0;
}

long call_mmap(const u64 *v)
{
	struct slot slot = slot_get(v[0]);
	unsigned int cell = v[1] % NR_CELLS;
	u64 offset = SLABPOOL_OFFSET((int)v[2], v[3]), length = v[4], flags = v[6];
	int prot = v[5];
	bool hands_out = !is_private(flags) && !(flags & MAP_NORESERVE) &&
			 writes(&slot) && prot & (PROT_READ | PROT_WRITE);
	struct begun begun;
	long ret;

	if (slot.fd < 0)
		return -EBADF;
	if (!(flags & MAP_ANYWHERE) && length > LONGEST_FIXED)
		return -EINVAL;
	/* Base pages are the core's measure. */
	begun = commit_begin(slot.client, offset, (length + PAGE - 1) & ~(PAGE - 1));
	if (flags & MAP_ANYWHERE) {
		ret = map_anywhere(slot.fd, length, prot, flags & MAP_REAL, offset);
	} else if (cells_lock(cell, cells_in(cell, length))) {
		ret = map_cells(&slot, cell, length, prot, flags, offset);
		cells_unlock(cell, cells_in(cell, length));
	} else {
		ret = -EAGAIN;
	}
	commit_end(&begun, !ret && hands_out);
	if (!ret && prot & PROT_EXEC)
		finding("mmap gave PROT_EXEC");
	return ret;
}

long call_munmap(const u64 *v)
{
	unsigned int cell = v[0] % NR_CELLS, i, count;
	u64 skip = v[1], length = v[2], start, end;
	long ret;

	if (skip >= hpage || length > LONGEST_FIXED)
		return -EINVAL;
	count = cells_in(cell, skip + length);
	if (!cells_lock(cell, count))
		return -EAGAIN;
	ret = answer(munmap(cell_address(cell) + skip, length));
	/* Of what is there in part, what is left still shows its owner. */
	for (i = 0; i < count && !ret; i++) {
		start = i * hpage;
		end = start + hpage;
		if (start >= skip && end <= skip + length)
			cells_describe(cell + i, 1, &nothing);
	}
	cells_unlock(cell, count);
	return ret;
}

long call_mprotect(const u64 *v)
{
	unsigned int cell = v[0] % NR_CELLS;
	bool shared, readonly;
	long ret;

	if (!cell_hold(cell))
		return -EAGAIN;
	shared = cells[cell].client != NO_CLIENT && !cells[cell].private;
	readonly = cells[cell].readonly;
	ret = answer(mprotect(cell_address(cell), v[1], v[2]));
	if (!ret && v[1] && shared && readonly && v[2] & PROT_WRITE)
		finding("mprotect made a mapping of a descriptor for reading writable");
	if (!ret && v[1] && shared && v[2] & PROT_EXEC)
		finding("mprotect gave PROT_EXEC");
	cell_release(cell);
	return ret;
}

/*
 * Move or shrink, in locked cells.  Pieces of a cell that are moved are forgotten
 * again, and so is what they leave behind: a cell shows one hpage or a part of it.
 */
static long move_cells(unsigned int from, u64 length, unsigned int to, u64 room,
		       int flags)
{
	unsigned int count = cells_in(from, length), kept = cells_in(from, room);
	unsigned int taken = cells_in(to, room);
	struct cell *first = &cells[from];
	char *old = cell_address(from), *new;

	new = mremap(old, length, room, flags, cell_address(to));
	if (new == MAP_FAILED) {
		long ret = -errno;

		if (flags & MREMAP_FIXED)
			forget_cells(to, taken);
		return ret;
	}
	if (new == old) {
		if (kept < count)
			forget_cells(from + kept, count - kept);
		return 0;
	}
	if (!(flags & MREMAP_FIXED))
		munmap(new, room);
	else if (room % hpage)
		forget_cells(to, taken);
	else
		cells_describe(to, taken, first);
	if (length && !(flags & MREMAP_DONTUNMAP))
		forget_cells(from, count);
	return 0;
}

static bool overlap(unsigned int one, unsigned int n, unsigned int other, unsigned int m)
{
	return one < other + m && other < one + n;
}

long call_mremap(const u64 *v)
{
	unsigned int from = v[0] % NR_CELLS, to = v[2] % NR_CELLS, m, n;
	u64 length = v[1], room = v[3];
	int flags = v[4];
	long ret = -EAGAIN;

	if (length > LONGEST_FIXED || room > LONGEST_FIXED)
		return -EINVAL;
	/* Duplicating a mapping (length 0) needs its first cell all the same. */
	m = cells_in(from, length ? length : 1);
	n = cells_in(to, room);
	/* Across two mappings only one would be described rightly. */
	if (overlap(from, m, to, n) || cell_address(to) + room > cell_address(NR_CELLS))
		return -EINVAL;
	if (!cells_lock(from, m))
		return ret;
	if (cells_lock(to, n)) {
		ret = move_cells(from, length, to, room, flags);
		cells_unlock(to, n);
	}
	cells_unlock(from, m);
	return ret;
}

/* An old way to map another part of the same file at the same place. */
long call_remap(const u64 *v)
{
	unsigned int cell = v[0] % NR_CELLS, count = cells_in(cell, v[3]);
	u64 offset = SLABPOOL_OFFSET((int)v[1], v[2]);
	struct begun begun;
	struct cell as;
	long ret;

	if (v[3] > LONGEST_FIXED || !cells_lock(cell, count))
		return -EAGAIN;
	if (cells[cell].client == NO_CLIENT) {
		cells_unlock(cell, count);
		return -ENOENT;
	}
	begun = commit_begin(cells[cell].client, offset, v[3]);
	ret = answer(syscall(SYS_remap_file_pages, cell_address(cell), v[3], 0,
			     offset / PAGE, 0));
	commit_end(&begun, false);
	unmap_beyond(cell, v[3]);
	as = cells[cell];
	as.index = offset / hpage;
	/* Of what was inherited it may show the origin now. */
	if (as.inherited)
		as.inherited |= 1ULL << as.client;
	if (ret || v[3] % hpage)
		forget_cells(cell, count);
	else
		cells_describe(cell, count, &as);
	cells_unlock(cell, count);
	return ret;
}

long call_madvise(const u64 *v)
{
	return answer(madvise(cell_address(v[0] % NR_CELLS), v[1], v[2]));
}

static long move_page(char *address)
{
	void *pages[] = { address };
	int node = 1, status;

	if (move_pages(0, 1, pages, &node, &status, MPOL_MF_MOVE))
		return -errno;
	return status;
}

/* Calls of the core that a mapping has to bear. */
long call_vm(const u64 *v)
{
	char *address = cell_address(v[0] % NR_CELLS);
	unsigned long nodes = 3;
	unsigned char *core = (void *)user_page(0);

	switch (v[2]) {
	case MLOCK:		return answer(mlock(address, v[1]));
	case LOCK_ONFAULT:	return answer(mlock2(address, v[1], MLOCK_ONFAULT));
	case MUNLOCK:		return answer(munlock(address, v[1]));
	case MSYNC:		return answer(msync(address, v[1], MS_SYNC | MS_INVALIDATE));
	case MINCORE:		return answer(mincore(address, v[1] < hpage ? v[1] : hpage, core));
	case MBIND:		return answer(mbind(address, v[1], MPOL_BIND, &nodes, 3, MPOL_MF_MOVE));
	case INTERLEAVE:	return answer(mbind(address, v[1], MPOL_INTERLEAVE, &nodes, 3, 0));
	case MOVE_PAGES:	return move_page(address);
	default:		return answer(syscall(SYS_membarrier, 1, 0, 0));
	}
}

long call_stamp(const u64 *v)
{
	return stamp_cell(v[0] % NR_CELLS);
}

long call_look(const u64 *v)
{
	return look_at_cell(v[0] % NR_CELLS, false);
}

long call_poke(const u64 *v)
{
	char *page = cell_address(v[0] % NR_CELLS) + v[1] % hpage;
	int signal = trapped_touch((char *)((uintptr_t)page & ~7UL), v[2]);

	return signal ? -(200 + signal) : 0;
}

/*
 * Write through /proc/self/mem, which forces its way into what the process
 * itself may not write.  With a descriptor for reading not even that may do.
 */
long call_memwrite(const u64 *v)
{
	unsigned int number = v[0] % NR_CELLS;
	struct cell *cell = &cells[number];
	char *place = cell_address(number) + stamp_place(v[1] % (hpage / PAGE));
	long ret = -EAGAIN;
	int fd, owner;
	u64 stamp;

	if (!cell_hold(number))
		return ret;
	owner = cell_owner(cell);
	if (owner != NO_CLIENT && client_lock(owner)) {
		stamp = client_stamp(owner, cell->index, cell->private,
				     cell->readonly && !cell->private);
		fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
		ret = answer(pwrite(fd, &stamp, sizeof(stamp), (uintptr_t)place));
		close(fd);
		client_unlock(owner);
	}
	cell_release(number);
	return ret < 0 ? ret : 0;
}

/* In a child, where no other thread is left to end what it has begun. */
void memory_forked(void)
{
	unsigned int i;

	for (i = 0; i < NR_CELLS; i++) {
		if (atomic_load(&cells[i].lock) < 0) {
			forget_cells(i, 1);
			atomic_fetch_add(&cells[i].seq, 1);
		}
		atomic_store(&cells[i].lock, 0);
	}
}

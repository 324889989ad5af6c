// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* The commands of the device, with structures as they should be and as they should not. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "calls.h"

/* Of each thread: pages to write, one that can only be read, and one that cannot. */
#define WRITABLE_PAGES	6
#define READONLY_PAGE	WRITABLE_PAGES
#define NO_PAGE		(WRITABLE_PAGES + 1)

static char *user_pages[NR_THREADS];

char *user_page(unsigned int page)
{
	return user_pages[this_thread] + page * PAGE;
}

/* In the client's own memory, where no stamp is, and each task in a page apart. */
static char *own_memory(void)
{
	return cell_address(0) + (7 + exec_task()) * PAGE + 128;
}

static void write_readonly(char *to, const void *args, size_t size)
{
	mprotect(user_page(READONLY_PAGE), PAGE, PROT_READ | PROT_WRITE);
	memcpy(to, args, size);
	mprotect(user_page(READONLY_PAGE), PAGE, PROT_READ);
}

/* Issue a command whose structure, of any revision, begins with its size. */
static long issue(int fd, unsigned int command, void *args, size_t size,
		  size_t size_1, u64 shape)
{
	char *place = user_page(0);
	u32 *told = args;
	long ret;

	memset(place, 0, 2 * PAGE);
	*told = size;
	switch (shape) {
	case OLD:	*told = size_1;	break;
	case SHORT:	*told = size_1 - 4;	break;
	case EMPTY:	*told = 0;	break;
	case LONG:	*told = size + 16;	break;
	case PAGEFUL:	*told = PAGE;	break;
	case HUGE_SIZE:	*told = ~0U;	break;
	case NOWHERE:	return answer(ioctl(fd, command, NULL));
	case KERNEL:	return answer(ioctl(fd, command, 0xffff888000000000));
	case TAIL:
		*told = size + 16;
		place[size + 8] = 1;
		break;
	case READONLY:
		place = user_page(READONLY_PAGE);
		write_readonly(place, args, size);
		return answer(ioctl(fd, command, place));
	case EDGE:
		place = user_page(NO_PAGE) - size / 2;
		write_readonly(place, args, size / 2);
		return answer(ioctl(fd, command, place));
	case OWN:
		trapped_write(own_memory(), args, size);
		ret = answer(ioctl(fd, command, own_memory()));
		trapped_read(own_memory(), args, size);
		return ret;
	}
	memcpy(place, args, size);
	ret = answer(ioctl(fd, command, place));
	memcpy(args, place, size);
	return ret;
}

#define ISSUE(fd, NAME, args, shape)					\
	issue(fd, SLABPOOL_IOC_##NAME, args, sizeof(*(args)),		\
	      SLABPOOL_IOC_##NAME##_SIZE_1, shape)

long call_info(const u64 *v)
{
	struct slabpool_ioc_info info = {};
	long ret = ISSUE(slot_get(v[0]).fd, INFO, &info, v[1]);

	if (!ret && v[1] == PLAIN && info.hpage_size != hpage)
		finding("INFO says that an hpage has %llu bytes",
			(unsigned long long)info.hpage_size);
	return ret;
}

long call_commit(const u64 *v)
{
	struct slot slot = slot_get(v[0]);
	struct slabpool_ioc_commit commit = {
		.offset = SLABPOOL_OFFSET((int)v[1], v[2]),
		.length = v[3],
		.flags = v[4],
	};
	struct begun begun;
	long ret;

	if (slot.fd < 0)
		return -EBADF;
	begun = commit_begin(slot.client, commit.offset, commit.length);
	ret = ISSUE(slot.fd, COMMIT, &commit, v[5]);
	commit_end(&begun, !ret && v[5] != OWN);
	if (!ret && v[5] == PLAIN && commit.committed > v[3] / hpage)
		finding("COMMIT of %llu hpages says it added %llu",
			(unsigned long long)(v[3] / hpage),
			(unsigned long long)commit.committed);
	return ret;
}

long call_decommit(const u64 *v)
{
	struct slot slot = slot_get(v[0]);
	struct slabpool_range *ranges = (void *)user_page(2);
	u32 entries = v[4] < MAX_ENTRIES ? v[4] : MAX_ENTRIES, i;
	struct slabpool_ioc_decommit decommit = {
		.flags = v[5],
		.ranges = (uintptr_t)ranges,
		.count = v[4],
	};
	struct begun begun[MAX_ENTRIES];
	long ret;

	if (slot.fd < 0)
		return -EBADF;
	memset(ranges, 0, (WRITABLE_PAGES - 2) * PAGE);
	for (i = 0; i < entries; i++) {
		ranges[i].offset = SLABPOOL_OFFSET((int)v[1], v[2] + i * v[3]);
		ranges[i].length = v[3];
		begun[i] = decommit_begin(slot.client, ranges[i].offset,
					  ranges[i].length);
	}
	/* More of them would have their answers written over stamps. */
	if (v[6] == OWN_RANGES && v[4] <= MAX_ENTRIES) {
		trapped_write(own_memory() + 64, ranges, entries * sizeof(*ranges));
		decommit.ranges = (uintptr_t)own_memory() + 64;
	} else if (v[6] == NO_RANGES) {
		decommit.ranges = 0;
	}
	ret = ISSUE(slot.fd, DECOMMIT, &decommit, v[6]);
	for (i = 0; i < entries; i++)
		/* In the client's own memory another thread may change them. */
		decommit_end(&begun[i], !ret && v[6] != OWN_RANGES &&
			     v[6] != OWN && !ranges[i].error);
	return ret;
}

long call_attach(const u64 *v)
{
	struct slot slot = slot_get(v[0]);
	struct slabpool_ioc_attach attach = {
		.address = (uintptr_t)cell_address(v[1] % NR_CELLS),
		.flags = v[3],
		.fd = -1,
	};
	struct cell *cell = &cells[v[1] % NR_CELLS];
	long ret;

	if (slot.fd < 0)
		return -EBADF;
	if (!cell_hold(cell - cells))
		return -EAGAIN;
	ret = ISSUE(slot.fd, ATTACH, &attach, v[4]);
	/* Written by others meanwhile, it may be any number: then it leaks. */
	if (!ret && v[4] == OWN)
		oracle_hide(1);
	else if (!ret && cell->client == NO_CLIENT)
		close(attach.fd);
	else if (!ret)
		ret = slot_set(v[2], attach.fd, cell->client,
			       cell->readonly ? O_RDONLY : O_RDWR);
	cell_release(cell - cells);
	return ret;
}

long call_stats(const u64 *v)
{
	struct slabpool_ioc_stats stats = { .node = (int)v[1] };

	return ISSUE(slot_get(v[0]).fd, STATS, &stats, v[2]);
}

long call_share(const u64 *v)
{
	struct slot slot = slot_get(v[0]);
	struct slabpool_ioc_share share = { .flags = v[2], .fd = -1 };
	long ret;

	if (slot.fd < 0)
		return -EBADF;
	ret = ISSUE(slot.fd, SHARE, &share, v[3]);
	if (ret)
		return ret;
	/* Written by others meanwhile, it may be any number: then it leaks. */
	if (v[3] == OWN) {
		oracle_hide(1);
		return 0;
	}
	return slot_set(v[1], share.fd, slot.client,
			v[2] & SLABPOOL_SHARE_RDONLY ? O_RDONLY : slot.mode);
}

long call_reserve(const u64 *v)
{
	struct slabpool_ioc_reserve reserve = { .node = (int)v[1], .count = v[2], .flags = v[3] };

	return ISSUE(slot_get(v[0]).fd, RESERVE, &reserve, v[4]);
}

long call_snapshot(const u64 *v)
{
	struct slot slot = slot_get(v[0]), into = slot_get(v[1]);
	struct slabpool_ioc_snapshot snapshot = { .into = into.fd, .flags = v[2] };
	struct snapshot begun;
	unsigned int present;
	long ret;

	if (slot.fd < 0)
		return -EBADF;
	/* In the client's own memory another thread may change what is asked for. */
	begun = snapshot_begin(slot.client, v[3] == OWN ? ANY_CLIENT : into.client);
	ret = ISSUE(slot.fd, SNAPSHOT, &snapshot, v[3]);
	present = snapshot_end(&begun, ret);
	if (!ret && v[3] == PLAIN && snapshot.hpages < present)
		finding("SNAPSHOT of %u hpages says it has %llu", present,
			(unsigned long long)snapshot.hpages);
	return ret;
}

/* Commands as no caller should send them. */
long call_ioctl(const u64 *v)
{
	return answer(ioctl(slot_get(v[0]).fd, v[1], v[2]));
}

static u64 larger(u64 one, u64 other)
{
	return one > other ? one : other;
}

/* False when there is no such node. */
static bool add_node(int fd, int node, struct holds *holds)
{
	struct slabpool_ioc_stats stats = { .size = sizeof(stats), .node = node };

	if (ioctl(fd, SLABPOOL_IOC_STATS, &stats))
		return false;
	holds->committed += stats.committed;
	holds->parked += stats.parked;
	/* What of a guarantee is neither committed nor parked is set aside. */
	holds->least += larger(stats.committed + stats.parked, stats.guarantee) - stats.parked;
	holds->most += larger(stats.committed, stats.guarantee);
	return true;
}

static void ask(int fd, struct holds *holds)
{
	int node = 0;

	*holds = (struct holds){};
	while (node < NR_NODES && add_node(fd, node, holds))
		node++;
}

/* What it pays for, by its fdinfo; nonsense when that cannot be read. */
static u64 charged(int fd)
{
	char path[64], text[1024];
	u64 count = ~0ULL;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = fopen(path, "re");
	while (file && fgets(text, sizeof(text), file))
		if (sscanf(text, "slabpool-charged: %" SCNu64, &count) == 1)
			break;
	if (file)
		fclose(file);
	return count;
}

/* By a descriptor: what a client holds, and that it pays for just that. */
static void report_client(int fd, int client)
{
	struct holds holds;
	unsigned int tries;
	u64 pays = 0;

	/* What was parked may come back meanwhile. */
	for (tries = 0; tries < 100; tries++) {
		ask(fd, &holds);
		pays = charged(fd);
		if (pays >= holds.most && pays <= holds.least + holds.parked)
			break;
		usleep(10000);
	}
	if (tries == 100)
		finding("a client that holds %llu hpages or has them set aside pays for %llu",
			(unsigned long long)(holds.least + holds.parked),
			(unsigned long long)pays);
	oracle_seen(client, &holds);
}

/* A descriptor of our own for the client behind a cell, so that no slot is touched. */
static int attach_cell(int device, unsigned int cell)
{
	struct slabpool_ioc_attach attach = {
		.size = sizeof(attach),
		.address = (uintptr_t)cell_address(cell),
	};

	return ioctl(device, SLABPOOL_IOC_ATTACH, &attach) ? -1 : attach.fd;
}

static void report_cell(int device, unsigned int cell)
{
	int client = cells[cell].client, fd;

	if (client == NO_CLIENT || oracle_knows(client))
		return;
	fd = attach_cell(device, cell);
	/* A private mapping, or what is left of one, cannot be asked. */
	if (fd < 0) {
		oracle_maybe_held(client);
		return;
	}
	report_client(fd, client);
	close(fd);
}

/* At a sync: tell the oracle what each client that this process knows holds. */
void calls_report(void)
{
	int device = open(DEVICE, O_RDONLY | O_CLOEXEC);
	struct slot slot;
	unsigned int i;

	for (i = 0; i < NR_SLOTS; i++) {
		slot = slot_get(i);
		if (slot.fd >= 0)
			report_client(slot.fd, slot.client);
	}
	for (i = 0; i < NR_CELLS; i++)
		report_cell(device, i);
	close(device);
}

static bool is_mapped(unsigned int cell)
{
	unsigned char core;

	return !mincore(cell_address(cell), PAGE, &core);
}

/* Where ATTACH does not lead to the client, a shared mapping does not show it. */
static void inherit_cell(unsigned int number)
{
	struct cell *cell = &cells[number];
	u64 pictures = client_pictures(cell->client), self = 1ULL << cell->client;
	int device, fd;

	if (!pictures)
		return;
	device = open(DEVICE, O_RDONLY | O_CLOEXEC);
	fd = attach_cell(device, number);
	if (fd >= 0)
		cell->inherited = 0;
	else if (errno != EINVAL || cell->private || !is_mapped(number))
		cell->inherited |= pictures | self;
	else if (!cell->inherited || cell->inherited & self)
		cell->inherited = (cell->inherited | pictures) & ~self;
	close(fd);
	close(device);
}

/* In a child: of the clients that have snapshots it may have inherited one. */
void device_forked(void)
{
	unsigned int i;

	for (i = 0; i < NR_CELLS; i++)
		if (cells[i].client != NO_CLIENT)
			inherit_cell(i);
}

static void setup_pages(unsigned int thread)
{
	size_t length = (NO_PAGE + 1) * PAGE;
	char *pages = mmap(NULL, length, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages == MAP_FAILED)
		abort();
	mprotect(pages + READONLY_PAGE * PAGE, PAGE, PROT_READ);
	mprotect(pages + NO_PAGE * PAGE, PAGE, PROT_NONE);
	user_pages[thread] = pages;
}

void device_setup(void)
{
	unsigned int thread;

	for (thread = 0; thread < NR_THREADS; thread++)
		setup_pages(thread);
}

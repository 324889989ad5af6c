// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The oracle: what user space can tell about pages that have lost their owner.
 *
 * KASAN does not see a process write through a stale page table entry.  So each
 * client writes a word of its own, a stamp, to its hpages, one a base page, and
 * at each of these places nothing may ever be seen but zero or a stamp of the
 * same client and hpage, not older than the last decommit:
 *
 *	a stamp of another client	a page has two owners, or was not zeroed
 *	one of another hpage		it is mapped in the wrong place
 *	an older generation		given back and handed out again unzeroed
 *	a private one, seen shared	a private write reached the shared memory
 *	a forbidden one			written through a descriptor for reading
 *
 * A snapshot has its origin's stamps too, those of its moment, until it gives the
 * hpage back.
 *
 * Threads race on purpose, so each rule is one that holds whatever the others
 * do; model.c says how.  What cannot be told is not told.
 *
 * At a sync nothing runs, and more can be said: which physical page each cell
 * shows, and that the clients together hold and have set aside exactly what the
 * pool calls used and reserved.
 */
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"

/* Far from what the C library maps, and on an hpage's edge. */
#define ARENA		0x200000000000UL
#define BASE_PAGES	(hpage / PAGE)
#define MAX_BASE_PAGES	512
#define LOCK_TRIES	1000

enum stamp_kind { STAMP_SHARED = 0xA, STAMP_PRIVATE = 0xB, STAMP_FORBIDDEN = 0xC };

/* kind 4, client 24, hpage 16, generation 20 bits */
#define STAMP_KIND(word)	((word) >> 60)
#define STAMP_CLIENT(word)	((word) >> 36 & 0xffffff)
#define STAMP_HPAGE(word)	((word) >> 20 & 0xffff)
#define STAMP_GENERATION(word)	((word) & MAX_GENERATION)

/* What one process saw at a sync. */
struct sighting {
	u64 frame;
	u64 index;
	int client;
};

#define MAX_SIGHTINGS	(NR_PROCESSES * NR_CELLS)

/* What was said of a client at a sync. */
struct report {
	struct holds holds;
	atomic_bool seen;
	atomic_bool maybe_held;	/* by something that could not be asked */
};

struct shared {
	atomic_int hidden;
	atomic_int nr_sightings;
	struct report report[MAX_CLIENTS];
	struct sighting sighting[MAX_SIGHTINGS];
};

struct cell cells[NR_CELLS];
static struct shared *shared;

static _Thread_local sigjmp_buf trap;
static _Thread_local volatile sig_atomic_t trapping;

char *cell_address(unsigned int cell)
{
	return (char *)ARENA + cell * hpage;
}

static void on_trap(int signal)
{
	if (trapping)
		siglongjmp(trap, signal);
	finding("a call ended with signal %d", signal);
	_exit(1);
}

void traps_install(void)
{
	struct sigaction action = { .sa_handler = on_trap, .sa_flags = SA_NODEFER };

	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
}

/* Copy words; 0 or the signal that ended it. */
static int trapped_copy(volatile u64 *to, const volatile u64 *from, size_t words)
{
	int signal = sigsetjmp(trap, 0);
	size_t i;

	trapping = !signal;
	if (signal)
		return signal;
	for (i = 0; i < words; i++)
		to[i] = from[i];
	trapping = 0;
	return 0;
}

int trapped_read(const void *from, void *to, size_t length)
{
	return trapped_copy(to, from, length / sizeof(u64));
}

int trapped_write(void *to, const void *from, size_t length)
{
	return trapped_copy(to, from, length / sizeof(u64));
}

/* A write access that changes nothing, so that it may race with anything. */
int trapped_touch(void *address, bool write)
{
	int signal = sigsetjmp(trap, 0);

	trapping = !signal;
	if (signal)
		return signal;
	if (write)
		atomic_fetch_or((_Atomic u64 *)address, 0);
	else
		atomic_load((_Atomic u64 *)address);
	trapping = 0;
	return 0;
}

bool cell_hold(unsigned int cell)
{
	int tries, value;

	for (tries = 0; tries < LOCK_TRIES; tries++) {
		value = atomic_load(&cells[cell].lock);
		if (value >= 0 &&
		    atomic_compare_exchange_strong(&cells[cell].lock, &value,
						   value + 1))
			return true;
		sched_yield();
	}
	return false;
}

void cell_release(unsigned int cell)
{
	atomic_fetch_sub(&cells[cell].lock, 1);
}

static bool cell_lock(unsigned int cell)
{
	int tries, free;

	for (tries = 0; tries < LOCK_TRIES; tries++) {
		free = 0;
		if (atomic_compare_exchange_strong(&cells[cell].lock, &free, -1)) {
			atomic_fetch_add(&cells[cell].seq, 1);
			return true;
		}
		sched_yield();
	}
	return false;
}

void cells_unlock(unsigned int first, unsigned int count)
{
	while (count--) {
		atomic_fetch_add(&cells[first + count].seq, 1);
		atomic_store(&cells[first + count].lock, 0);
	}
}

/* To change what they show.  Never waits for ever: a caller gives up instead. */
bool cells_lock(unsigned int first, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		if (cell_lock(first + i))
			continue;
		cells_unlock(first, i);
		return false;
	}
	return true;
}

/* They are locked, and now show @count hpages as one of these shows its first. */
void cells_describe(unsigned int first, unsigned int count, const struct cell *as)
{
	const struct cell shown = *as;
	unsigned int i;

	for (i = 0; i < count; i++) {
		cells[first + i].client = shown.client;
		cells[first + i].inherited = shown.inherited;
		cells[first + i].index = shown.index + i;
		cells[first + i].private = shown.private;
		cells[first + i].readonly = shown.readonly;
	}
}

/* The client whose hpage it shows, NO_CLIENT when none or not known. */
int cell_owner(const struct cell *cell)
{
	if (!cell->inherited)
		return cell->client;
	if (cell->inherited & (cell->inherited - 1))
		return NO_CLIENT;
	return __builtin_ctzll(cell->inherited);
}

/* Where in its base page a stamp is: all over it, the first and last word too. */
size_t stamp_place(unsigned int page)
{
	unsigned int words = PAGE / sizeof(u64);

	return page * PAGE + (page * 73 % words) * sizeof(u64);
}

u64 client_stamp(int client, u64 index, bool private, bool forbidden)
{
	u64 kind = forbidden ? STAMP_FORBIDDEN :
		   private ? STAMP_PRIVATE : STAMP_SHARED;

	return kind << 60 | (u64)client_id(client) << 36 |
	       (index & 0xffff) << 20 |
	       (model_generation(client, index) & MAX_GENERATION);
}

static long stamp_pages(struct cell *cell, char *base)
{
	/* A private one costs a fault each. */
	unsigned int step = cell->private ? BASE_PAGES / 8 : 1, page;
	u64 stamp = client_stamp(cell_owner(cell), cell->index, cell->private, false);
	int signal;

	for (page = 0; page < BASE_PAGES; page += step) {
		signal = trapped_write(base + stamp_place(page), &stamp,
				       sizeof(stamp));
		if (signal)
			return -(200 + signal);
	}
	return 0;
}

/* Mark a cell's hpage as its client's own. */
long stamp_cell(unsigned int cell)
{
	long ret = -EAGAIN;
	int owner;

	if (!cell_hold(cell))
		return ret;
	owner = cell_owner(&cells[cell]);
	if (owner == NO_CLIENT) {
		ret = -ENOENT;
	} else if (client_lock(owner)) {
		ret = stamp_pages(&cells[cell], cell_address(cell));
		client_unlock(owner);
	}
	cell_release(cell);
	return ret;
}

/* A word that came from this hpage of one of these clients, by whatever way. */
bool check_word(u64 word, u64 clients, u64 index)
{
	if (!word)
		return true;
	if (!model_admits(clients, STAMP_CLIENT(word)))
		finding("bytes of another client: stamp %016llx in a page of client %06x",
			(unsigned long long)word, client_id(__builtin_ctzll(clients)));
	else if (STAMP_HPAGE(word) != (index & 0xffff))
		finding("bytes of another hpage: stamp %016llx in hpage %llu",
			(unsigned long long)word, (unsigned long long)index);
	else
		return true;
	return false;
}

/* The clients of which it shows one. */
static u64 shown_by(const struct cell *cell)
{
	return cell->inherited ? cell->inherited : 1ULL << cell->client;
}

/* NULL if one of the clients may show it. */
static const char *refused(u64 word, const struct cell *cell, struct span span)
{
	u64 clients = shown_by(cell);
	const char *why = NULL;
	int client;

	for (; clients; clients &= clients - 1) {
		client = __builtin_ctzll(clients);
		if (!model_admits(1ULL << client, STAMP_CLIENT(word)))
			continue;
		why = model_refuses(client, cell->index, STAMP_CLIENT(word),
				    STAMP_GENERATION(word), span);
		if (!why)
			break;
	}
	return why;
}

static void check_stamp(u64 word, const struct cell *cell, struct span span)
{
	const char *why;

	if (!word || !check_word(word, shown_by(cell), cell->index) || cell->private)
		return;
	if (STAMP_KIND(word) == STAMP_PRIVATE)
		finding("a private write reached shared memory: stamp %016llx",
			(unsigned long long)word);
	else if (STAMP_KIND(word) == STAMP_FORBIDDEN)
		finding("a write through a descriptor for reading: stamp %016llx",
			(unsigned long long)word);
	why = refused(word, cell, span);
	if (why)
		finding("%s: stamp %016llx in a page of client %06x, which has %x to %x",
			why, (unsigned long long)word, client_id(cell->client),
			span.oldest, span.newest);
}

/* Read every place where a stamp may be; 0 or the signal that ended it. */
static int read_stamps(const char *base, u64 *words)
{
	unsigned int page;
	int signal;

	for (page = 0; page < BASE_PAGES && page < MAX_BASE_PAGES; page++) {
		signal = trapped_read(base + stamp_place(page), &words[page],
				      sizeof(*words));
		if (signal)
			return signal;
	}
	return 0;
}

/* What the signal, or that there was none, says of a quiet cell. */
static void check_presence(const struct cell *cell, int signal)
{
	enum mark mark = model_mark(cell->client, cell->index);

	/* Private copies outlive a decommit. */
	if (mark == MARK_ABSENT && !signal && !cell->private)
		finding("an hpage that was given back is still visible: hpage %llu",
			(unsigned long long)cell->index);
	if (mark == MARK_PRESENT && signal == SIGBUS)
		finding("a committed hpage is not there: hpage %llu",
			(unsigned long long)cell->index);
}

/* Check what a cell shows; @quiet when nothing else runs. */
long look_at_cell(unsigned int number, bool quiet)
{
	struct cell *cell = &cells[number], seen;
	u64 words[MAX_BASE_PAGES];
	struct span span = { 0, MAX_GENERATION };
	u32 seq = atomic_load(&cell->seq);
	unsigned int page;
	int signal, owner;

	seen.client = cell->client;
	seen.inherited = cell->inherited;
	seen.index = cell->index;
	seen.private = cell->private;
	if (seq % 2 || atomic_load(&cell->seq) != seq)
		return -EAGAIN;
	owner = cell_owner(&seen);
	if (owner != NO_CLIENT)
		span.oldest = model_oldest(owner, seen.index);
	signal = read_stamps(cell_address(number), words);
	if (owner != NO_CLIENT)
		span.newest = model_generation(owner, seen.index);
	/* It may have been another's meanwhile, then this says nothing. */
	if (seen.client == NO_CLIENT || atomic_load(&cell->seq) != seq)
		return signal ? -(200 + signal) : 0;

	if (quiet)
		check_presence(&seen, signal);
	if (signal)
		return -(200 + signal);
	for (page = 0; page < BASE_PAGES && page < MAX_BASE_PAGES; page++)
		check_stamp(words[page], &seen, span);
	return 0;
}

/* Before a program: nobody owns anything. */
void oracle_reset(void)
{
	unsigned int cell;

	if (!shared)
		shared = shared_alloc(sizeof(*shared));
	memset(shared, 0, sizeof(*shared));
	memset(cells, 0, sizeof(cells));
	for (cell = 0; cell < NR_CELLS; cell++)
		cells[cell].client = NO_CLIENT;
}

/* One process does so before the others look. */
void oracle_forget_sightings(void)
{
	int client;

	atomic_store(&shared->nr_sightings, 0);
	for (client = 0; client < MAX_CLIENTS; client++) {
		atomic_store(&shared->report[client].seen, false);
		atomic_store(&shared->report[client].maybe_held, false);
	}
}

/* The physical page behind an address, 0 when there is none to be seen. */
static u64 frame_of(int pagemap, const void *address)
{
	u64 entry = 0;

	if (pread(pagemap, &entry, sizeof(entry),
		  (uintptr_t)address / PAGE * sizeof(entry)) != sizeof(entry))
		return 0;
	return entry >> 63 ? entry & ((1ULL << 55) - 1) : 0;
}

static void report_frame(const struct cell *cell, u64 frame)
{
	int at = atomic_fetch_add(&shared->nr_sightings, 1);

	if (at < MAX_SIGHTINGS)
		shared->sighting[at] = (struct sighting){
			frame, cell->index, cell->client
		};
}

/* At a sync, in each process: look at all its cells and say what was seen. */
void oracle_check_process(void)
{
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	unsigned int i;
	u64 frame;

	for (i = 0; i < NR_CELLS; i++) {
		if (cells[i].client == NO_CLIENT)
			continue;
		look_at_cell(i, true);
		frame = frame_of(pagemap, cell_address(i));
		if (!frame || cells[i].private)
			continue;
		if (frame % BASE_PAGES)
			finding("an hpage lies at no hpage's place: frame %llx",
				(unsigned long long)frame);
		report_frame(&cells[i], frame);
	}
	close(pagemap);
}

/* What a client says of itself now; the same whoever asks. */
void oracle_seen(int client, const struct holds *holds)
{
	shared->report[client].holds = *holds;
	atomic_store(&shared->report[client].seen, true);
}

/* Has somebody asked it at this sync? */
bool oracle_knows(int client)
{
	return atomic_load(&shared->report[client].seen);
}

void oracle_maybe_held(int client)
{
	atomic_store(&shared->report[client].maybe_held, true);
}

/* A client may be held where no process can ask: in a socket, say. */
void oracle_hide(int difference)
{
	atomic_fetch_add(&shared->hidden, difference);
}

static void check_sightings(void)
{
	int count = atomic_load(&shared->nr_sightings), i, k;
	const struct sighting *one, *other;
	bool same;

	for (i = 0; i < count; i++) {
		for (k = 0; k < i; k++) {
			one = &shared->sighting[i];
			other = &shared->sighting[k];
			same = one->client == other->client &&
			       one->index == other->index;
			if (one->frame == other->frame && !same)
				finding("one page is two hpages: frame %llx",
					(unsigned long long)one->frame);
			if (one->frame != other->frame && same)
				finding("one hpage is two pages: frame %llx and %llx",
					(unsigned long long)one->frame,
					(unsigned long long)other->frame);
		}
	}
}

/* What all clients that were asked have; false: there may be others. */
static bool sum_reports(struct holds *sum)
{
	bool all = !atomic_load(&shared->hidden);
	const struct report *report;
	int client;

	*sum = (struct holds){};
	for (client = 0; client < MAX_CLIENTS; client++) {
		report = &shared->report[client];
		if (!atomic_load(&report->seen)) {
			all = all && !atomic_load(&report->maybe_held);
			continue;
		}
		sum->committed += report->holds.committed;
		sum->least += report->holds.least;
		sum->most += report->holds.most;
	}
	return all;
}

/* Copies that are still to be made are committed, but not used yet. */
static bool adds_up(const struct holds *sum, bool all, u64 used, u64 kept)
{
	if (kept < sum->least || (used < sum->committed && !snapshots_begun()))
		return false;
	return !all || (used <= sum->committed && kept <= sum->most);
}

/* At a sync, in one process, when all have looked. */
void oracle_check_pool(void)
{
	struct holds sum;
	bool all = sum_reports(&sum);
	u64 used = 0, kept = 0;
	int tries;

	check_sightings();
	/* A file whose last user has just gone may take a moment. */
	for (tries = 0; tries < 100; tries++) {
		used = pool_used();
		kept = used + pool_reserved();
		if (adds_up(&sum, all, used, kept))
			return;
		usleep(10000);
	}
	finding("the clients hold %llu hpages, %llu to %llu with what is set aside, the pool says %llu and %llu",
		(unsigned long long)sum.committed, (unsigned long long)sum.least,
		(unsigned long long)sum.most, (unsigned long long)used,
		(unsigned long long)kept);
}

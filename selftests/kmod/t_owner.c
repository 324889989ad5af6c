// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Who owns an hpage: each page of each live region carries its owner's word,
 * checked over and over; no frame is ever seen by two clients, nor is one seen
 * and free; and nobody writes to what he has given back.
 */
#include "kselftest_harness.h"
#include "helpers.h"

#include <pthread.h>

#define OWNERS		6
#define SLOTS		16	/* hpages an owner has room for */

/* What the owners tell the test, who looks at it while all of them wait. */
struct board {
	pthread_barrier_t barrier;
	struct {
		uint64_t frames[SLOTS];
		unsigned int damaged, dirty;
	} owner[OWNERS];
	long long used;
};

FIXTURE(pool) {
	struct board *board;
	long long total[2];
};

FIXTURE_SETUP(pool)
{
	pthread_barrierattr_t attr;
	int nid;

	ASSERT_TRUE(t_all_settle(10));
	for (nid = 0; nid < 2; nid++)
		self->total[nid] = t_pool(nid).total;
	ASSERT_LT(OWNERS * SLOTS, self->total[0]);
	self->board = mmap(NULL, sizeof(*self->board), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->board);
	pthread_barrierattr_init(&attr);
	pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&self->board->barrier, &attr, OWNERS + 1);
	ASSERT_EQ(0, t_write("/sys/module/slabpool/parameters/verify_zero",
			     "1"));
}

FIXTURE_TEARDOWN(pool)
{
	int nid;

	EXPECT_EQ(0, t_write("/sys/module/slabpool/parameters/verify_zero",
			     "0"));
	EXPECT_TRUE(t_all_settle(20));
	for (nid = 0; nid < 2; nid++)
		EXPECT_EQ(self->total[nid], t_pool(nid).total);
}

/* An owner's hpages; a slot's generation is 0 while it has none. */
struct owner {
	int id;
	int fd;
	char *map;
	size_t hpage;
	unsigned int seed;
	unsigned int generation[SLOTS];
	unsigned int last;
	unsigned int damaged, dirty;
};

static uint64_t word(struct owner *owner, int slot, size_t page)
{
	return (uint64_t)owner->id << 56 | (uint64_t)slot << 48 |
	       (uint64_t)page << 32 | owner->generation[slot];
}

static uint64_t *place(struct owner *owner, int slot, size_t page)
{
	return (uint64_t *)(owner->map + slot * owner->hpage + page * 4096 +
			    page % 512 * 8);
}

static void check(struct owner *owner, int slot)
{
	size_t page;

	for (page = 0; page < owner->hpage / 4096; page++)
		owner->damaged += *place(owner, slot, page) !=
				  word(owner, slot, page);
}

static void take(struct owner *owner, int slot)
{
	size_t page;

	if (t_commit(owner->fd, 0, slot * owner->hpage, owner->hpage))
		return;
	owner->dirty += !t_is_filled(owner->map + slot * owner->hpage, 0,
				     owner->hpage);
	owner->generation[slot] = ++owner->last;
	for (page = 0; page < owner->hpage / 4096; page++)
		*place(owner, slot, page) = word(owner, slot, page);
}

static void give(struct owner *owner, int slot)
{
	check(owner, slot);
	if (t_decommit(owner->fd, 0, slot * owner->hpage, owner->hpage) != 1)
		owner->damaged++;
	owner->generation[slot] = 0;
}

/* All of it at once, by the end of the client. */
static void start_anew(struct owner *owner)
{
	size_t length = SLOTS * owner->hpage;

	if (owner->fd) {
		munmap(owner->map, length);
		close(owner->fd);
		memset(owner->generation, 0, sizeof(owner->generation));
	}
	owner->fd = t_open();
	owner->map = t_map(owner->fd, 0, 0, length, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_NORESERVE);
}

static void act(struct owner *owner)
{
	int slot = rand_r(&owner->seed) % SLOTS;

	switch (rand_r(&owner->seed) % 16) {
	case 0:
		start_anew(owner);
		break;
	case 1 ... 3:
		munmap(owner->map + slot * owner->hpage, 4096);
		mmap(owner->map + slot * owner->hpage, owner->hpage,
		     PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_FIXED | MAP_NORESERVE, owner->fd,
		     SLABPOOL_OFFSET(0, slot * owner->hpage));
		break;
	default:
		if (!owner->generation[slot])
			take(owner, slot);
		else if (rand_r(&owner->seed) & 1)
			give(owner, slot);
		else
			check(owner, slot);
	}
}

static void tell(struct owner *owner, struct board *board)
{
	int slot;

	for (slot = 0; slot < SLOTS; slot++) {
		char *at = owner->map + slot * owner->hpage;

		if (owner->generation[slot])
			check(owner, slot);
		board->owner[owner->id].frames[slot] =
			owner->generation[slot] ? t_pfn(at) : 0;
	}
	board->owner[owner->id].damaged = owner->damaged;
	board->owner[owner->id].dirty = owner->dirty;
}

static void own(struct board *board, int id, unsigned long rounds, int actions)
{
	struct owner owner = { .id = id, .hpage = t_hpage(), .seed = id + 1 };
	int i;

	start_anew(&owner);
	for (; rounds; rounds--) {
		for (i = 0; i < actions; i++)
			act(&owner);
		tell(&owner, board);
		pthread_barrier_wait(&board->barrier);
		pthread_barrier_wait(&board->barrier);
	}
	_exit(0);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Frames that two slots have; *@count is set to how many frames there are. */
static int shared_frames(struct board *board, int *count)
{
	uint64_t frames[OWNERS * SLOTS];
	int id, slot, shared = 0;

	*count = 0;
	for (id = 0; id < OWNERS; id++)
		for (slot = 0; slot < SLOTS; slot++)
			if (board->owner[id].frames[slot])
				frames[(*count)++] =
					board->owner[id].frames[slot];
	qsort(frames, *count, sizeof(frames[0]), by_value);
	for (slot = 1; slot < *count; slot++)
		shared += frames[slot] == frames[slot - 1];
	return shared;
}

TEST_F(pool, no_frame_has_two_owners_and_no_word_is_another_s)
{
	unsigned long rounds = t_rounds(12), round;
	struct board *board = self->board;
	pid_t pids[OWNERS];
	int id, count;

	for (id = 0; id < OWNERS; id++) {
		pids[id] = fork();
		if (!pids[id])
			own(board, id, rounds, 16);
	}
	for (round = 0; round < rounds; round++) {
		pthread_barrier_wait(&board->barrier);
		EXPECT_EQ(0, shared_frames(board, &count));
		EXPECT_EQ(count, t_pool(0).used);
		EXPECT_EQ(self->total[0], t_pool(0).total);
		for (id = 0; id < OWNERS; id++) {
			EXPECT_EQ(0, board->owner[id].damaged);
			EXPECT_EQ(0, board->owner[id].dirty);
		}
		pthread_barrier_wait(&board->barrier);
	}
	for (id = 0; id < OWNERS; id++)
		EXPECT_EQ(0, t_wait(pids[id]));
}

/*
 * A thread that goes on writing while its memory is taken away: every write that
 * comes too late is SIGBUS, none lands in what the next owner has.
 */
static __thread sigjmp_buf trap;

static void on_fault(int signal)
{
	siglongjmp(trap, signal);
}

static void *scribble(void *arg)
{
	volatile uint64_t *words = arg;
	volatile size_t i = 0;

	for (;;) {
		if (!sigsetjmp(trap, 1))
			words[i] = 0x5c5c5c5c5c5c5c5cULL;
		i = (i + 1) % (t_hpage() / 8);
		pthread_testcancel();
	}
	return NULL;
}

TEST_F(pool, a_late_write_never_reaches_the_next_owner)
{
	struct sigaction action = { .sa_handler = on_fault };
	int fd = t_open(), other = t_open();
	size_t hpage = t_hpage();
	char *map, *all;
	pthread_t threads[2];
	unsigned long round;
	char size[32];
	int i;

	/* Few, so that the next owner has all of them. */
	ASSERT_EQ(0, t_write(T_SYSFS "/decay_ms", "0"));
	ASSERT_EQ(0, t_set_node(0, "nr_hugepages", "8"));
	map = t_take(fd, 0, 1);
	ASSERT_NE(MAP_FAILED, map);
	sigaction(SIGBUS, &action, NULL);
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, scribble, map));
	for (round = 0; round < t_rounds(15); round++) {
		ASSERT_EQ(1, t_decommit(fd, 0, 0, hpage));
		ASSERT_TRUE(t_unparks(0, 10));
		all = t_take(other, 0, 8);
		ASSERT_NE(MAP_FAILED, all);
		EXPECT_TRUE(t_is_filled(all, 0, 8 * hpage));
		memset(all, 0, 8 * hpage);
		EXPECT_TRUE(t_is_filled(all, 0, 8 * hpage));
		munmap(all, 8 * hpage);
		ASSERT_EQ(8, t_decommit(other, 0, 0, 8 * hpage));
		ASSERT_EQ(0, t_commit(fd, 0, 0, hpage));
		/* Until they write again. */
		while (!*(volatile char *)map)
			;
	}
	for (i = 0; i < 2; i++) {
		pthread_cancel(threads[i]);
		pthread_join(threads[i], NULL);
	}
	munmap(map, hpage);
	close(fd);
	close(other);
	snprintf(size, sizeof(size), "%lld", self->total[0]);
	EXPECT_EQ(0, t_set_node(0, "nr_hugepages", size));
	EXPECT_EQ(0, t_write(T_SYSFS "/decay_ms", "10000"));
}

TEST_HARNESS_MAIN

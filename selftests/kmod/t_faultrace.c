// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Threads touch pages while another takes them away in every way there is: a
 * touch succeeds, or is SIGBUS or SIGSEGV, and never sees a foreign byte.
 */
#include "kselftest_harness.h"
#include "helpers.h"

#include <pthread.h>
#include <stdatomic.h>

#define TOUCHERS	2
#define HPAGES		4
#define RW		(PROT_READ | PROT_WRITE)

/* What the window may show: fresh memory, or what the touchers write. */
#define OURS		0x0123456789abcdefULL
#define FOREIGN		0xbadbadbadbadbad0ULL

struct window {
	char *map;
	size_t length;
	int fd;
	int other;		/* another client, whose memory is OURS too */
	atomic_bool stop;
	atomic_ulong touched, refused, foreign;
};

static __thread sigjmp_buf trap;

static void on_fault(int signal)
{
	siglongjmp(trap, signal);
}

static void *touch(void *arg)
{
	struct window *window = arg;
	unsigned int seed = syscall(SYS_gettid);

	while (!atomic_load_explicit(&window->stop, memory_order_relaxed)) {
		volatile uint64_t *word = (uint64_t *)(window->map +
			rand_r(&seed) % (window->length / 4096) * 4096UL);
		uint64_t value = 0;

		if (sigsetjmp(trap, 1)) {
			window->refused++;
			continue;
		}
		if (rand_r(&seed) & 1)
			*word = OURS;
		else
			value = *word;
		window->touched++;
		if (value && value != OURS)
			window->foreign++;
	}
	return NULL;
}

static bool by_decommit(struct window *window, unsigned long round)
{
	size_t hpage = t_hpage(), at = round % HPAGES;

	return t_decommit(window->fd, 0, at * hpage, hpage) == 1 &&
	       t_commit(window->fd, 0, at * hpage, hpage) == 0;
}

static bool by_munmap(struct window *window, unsigned long round)
{
	size_t piece = round % 2 ? t_hpage() : 4096;
	char *at = window->map + round % HPAGES * t_hpage();

	if (munmap(at, piece))
		return false;
	at = window->map + round % HPAGES * t_hpage();
	return mmap(at, t_hpage(), RW, MAP_SHARED | MAP_FIXED, window->fd,
		    SLABPOOL_OFFSET(0, at - window->map)) == at;
}

/* The same addresses, another client behind them, and back. */
static bool by_another_client(struct window *window, unsigned long round)
{
	int fd = round % 2 ? window->fd : window->other;

	return mmap(window->map, window->length, RW, MAP_SHARED | MAP_FIXED, fd,
		    SLABPOOL_OFFSET(0, 0)) == window->map;
}

/* A client that lives as long as its mapping. */
static bool by_the_last_close(struct window *window, unsigned long round)
{
	int fd = t_open();
	bool good = mmap(window->map, window->length, RW,
			 MAP_SHARED | MAP_FIXED, fd,
			 SLABPOOL_OFFSET(round % 2, 0)) == window->map;

	close(fd);
	return good;
}

static bool by_mprotect(struct window *window, unsigned long round)
{
	char *at = window->map + round % 512 * 4096;

	return !mprotect(at, 4096 * (1 + round % 7), PROT_NONE) &&
	       !mprotect(at, 4096 * (1 + round % 7), RW);
}

static bool by_mremap(struct window *window, unsigned long round)
{
	static char *away;
	char *from = round % 2 ? away : window->map;

	if (!round) {
		char *room = mmap(NULL, window->length + t_hpage(), PROT_NONE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		away = (char *)(((uintptr_t)room + t_hpage() - 1) &
				-t_hpage());
	}
	return mremap(from, window->length, window->length,
		      MREMAP_MAYMOVE | MREMAP_FIXED,
		      round % 2 ? window->map : away) != MAP_FAILED;
}

static bool by_dontneed(struct window *window, unsigned long round)
{
	return !madvise(window->map + round % HPAGES * t_hpage(), t_hpage(),
			MADV_DONTNEED);
}

static bool by_resize(struct window *window, unsigned long round)
{
	char size[32];

	snprintf(size, sizeof(size), "%lu", 64 + round % 8);
	return by_decommit(window, round) &&
	       !t_set_node(0, "nr_hugepages", size);
}

/* Others take what is free and fill it with what must never be seen here. */
static void neighbour(void)
{
	size_t hpages = 16, at;

	for (;;) {
		int fd = t_open();
		char *map = t_take(fd, 0, hpages);

		for (at = 0; map != MAP_FAILED && at < hpages * t_hpage();
		     at += 4096)
			*(uint64_t *)(map + at) = FOREIGN;
		if (map != MAP_FAILED)
			munmap(map, hpages * t_hpage());
		close(fd);
		t_sleep_ms(5);
	}
}

FIXTURE(race) {
	struct window window;
	pthread_t threads[TOUCHERS];
	pid_t neighbour;
	char size[32];
};

FIXTURE_VARIANT(race) {
	bool (*mutate)(struct window *window, unsigned long round);
	unsigned long rounds;
	bool never_refused;
};

FIXTURE_VARIANT_ADD(race, decommit) {
	.mutate = by_decommit, .rounds = 100,
};
FIXTURE_VARIANT_ADD(race, munmap) {
	.mutate = by_munmap, .rounds = 500,
};
FIXTURE_VARIANT_ADD(race, another_client) {
	.mutate = by_another_client, .rounds = 250,
};
FIXTURE_VARIANT_ADD(race, the_last_close) {
	.mutate = by_the_last_close, .rounds = 60,
};
FIXTURE_VARIANT_ADD(race, mprotect) {
	.mutate = by_mprotect, .rounds = 500,
};
FIXTURE_VARIANT_ADD(race, mremap) {
	.mutate = by_mremap, .rounds = 500,
};
FIXTURE_VARIANT_ADD(race, dontneed) {
	.mutate = by_dontneed, .rounds = 500, .never_refused = true,
};
FIXTURE_VARIANT_ADD(race, resize) {
	.mutate = by_resize, .rounds = 50,
};

FIXTURE_SETUP(race)
{
	struct sigaction action = { .sa_handler = on_fault };
	struct window *window = &self->window;
	int i;

	ASSERT_TRUE(t_all_settle(10));
	snprintf(self->size, sizeof(self->size), "%lld", t_pool(0).total);
	ASSERT_EQ(0, t_write(T_SYSFS "/decay_ms", "0"));
	self->neighbour = fork();
	if (!self->neighbour)
		neighbour();

	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	window->fd = t_open();
	window->other = t_open();
	window->length = HPAGES * t_hpage();
	window->map = t_take(window->fd, 0, HPAGES);
	ASSERT_NE(MAP_FAILED, window->map);
	for (i = 0; i < TOUCHERS; i++)
		ASSERT_EQ(0, pthread_create(&self->threads[i], NULL, touch,
					    window));
}

FIXTURE_TEARDOWN(race)
{
	struct window *window = &self->window;
	int i;

	window->stop = true;
	for (i = 0; i < TOUCHERS; i++)
		pthread_join(self->threads[i], NULL);
	kill(self->neighbour, SIGKILL);
	t_wait(self->neighbour);
	munmap(window->map, window->length);
	close(window->fd);
	close(window->other);
	EXPECT_EQ(0, t_set_node(0, "nr_hugepages", self->size));
	EXPECT_EQ(0, t_write(T_SYSFS "/decay_ms", "10000"));
	EXPECT_TRUE(t_all_settle(20));
	EXPECT_EQ(0, t_sysfs("clients"));
	EXPECT_TRUE(t_equation(t_pool(0)));
}

TEST_F(race, a_touch_finds_its_own_memory_or_none)
{
	struct window *window = &self->window;
	unsigned long round, rounds = t_rounds(variant->rounds);

	for (round = 0; round < rounds; round++)
		ASSERT_TRUE(variant->mutate(window, round)) {
			TH_LOG("round %lu: %s", round, strerror(errno));
		}
	/* On a machine that is busy they may still have to begin. */
	while (window->touched < 100)
		t_sleep_ms(1);
	EXPECT_EQ(0, (unsigned long)window->foreign);
	if (variant->never_refused)
		EXPECT_EQ(0, (unsigned long)window->refused);
	TH_LOG("%lu touches, %lu refused", (unsigned long)window->touched,
	       (unsigned long)window->refused);
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Beginnings and ends: before main() and behind it, threads that others start,
 * threads that fork, libraries that come and go.
 */
#include <malloc.h>
#include <stdatomic.h>
#include <time.h>

#include "preload.h"

#define THREADS	8

struct thing {
	char *at;
	size_t size;
};

/* @n objects of many sizes: made, looked at and freed wherever it is called. */
static void make(struct thing *things, int n)
{
	for (int i = 0; i < n; i++) {
		things[i].size = (size_t)i * (size_t)i * 7 % 70000;
		things[i].at = i % 2 ? malloc(things[i].size) : calloc(1, things[i].size);
		check(things[i].at);
		check(i % 2 || t_is_zero(things[i].at, things[i].size));
		t_fill(things[i].at, things[i].size, (uint64_t)i);
	}
}

static void drop(struct thing *things, int n)
{
	for (int i = 0; i < n; i++) {
		check(t_is_filled(things[i].at, things[i].size, (uint64_t)i));
		free(things[i].at);
	}
}

static void use(void)
{
	struct thing things[100];

	make(things, 100);
	drop(things, 100);
}

/* ---- before main() and behind it ---------------------------------------- */

static struct thing earliest[200], early[200];

/* Before any constructor, the C library's and ours too. */
static void in_preinit(void)
{
	make(earliest, 200);
}

__attribute__((section(".preinit_array"), used))
static void (*const preinit)(void) = in_preinit;

__attribute__((constructor(101))) static void first_constructor(void)
{
	make(early, 100);
	use();
}

__attribute__((constructor)) static void constructor(void)
{
	make(early + 100, 100);
}

static void from_before_main(void)
{
	Dl_info info;

	check(dladdr((void *)(uintptr_t)malloc, &info) && strstr(info.dli_fname, "slabpool-malloc"));
	check(t_stats().active > 0);
	drop(earliest, 200);
	drop(early, 100);
	drop(early + 100, 100);
	malloc_trim(0);
	check(t_stats().committed <= 2 * T_HPAGE);
}

static struct thing late[200];
static bool look_behind_main;

/* Called last of what the program has; whoever gets here says so by its code. */
__attribute__((destructor(101))) static void last_destructor(void)
{
	if (!look_behind_main)
		return;
	use();
	drop(late, 200);
	_exit(7);
}

static void at_exit(void) { make(late, 200); }

static void behind_main(void)
{
	look_behind_main = true;
	check(atexit(at_exit) == 0);
	/* The other way round: made before, freed behind. */
	check(atexit(use) == 0);
}

/* ---- threads ------------------------------------------------------------ */

static void *_Atomic exchange[T_EXCHANGE];
static _Atomic int fired;
static _Atomic bool stop;

/* The C library makes a thread for each. */
static void on_timer(union sigval unused)
{
	(void)unused;
	use();
	for (int i = 0; i < 64; i++)
		free(atomic_exchange(&exchange[i], malloc((size_t)i * 40)));
	fired++;
}

static void in_threads_of_timers(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD };
	struct itimerspec often = { .it_interval.tv_nsec = 1000000, .it_value.tv_nsec = 1000000 };
	timer_t timer[4];

	event.sigev_notify_function = on_timer;
	for (int i = 0; i < 4; i++) {
		check(timer_create(CLOCK_MONOTONIC, &event, &timer[i]) == 0);
		check(timer_settime(timer[i], 0, &often, NULL) == 0);
	}
	while (fired < 400)
		use();
	for (int i = 0; i < 4; i++)
		check(timer_delete(timer[i]) == 0);
	/* Those under way go on behind the end of main(). */
}

static void *churn(void *arg)
{
	t_churn(exchange, &stop, (uintptr_t)arg);
	return NULL;
}

/* Its own objects are in the child what they were. */
static void *fork_often(void *arg)
{
	struct thing things[60];
	double until = t_now() + 6;

	for (int round = 0; round < 3 || (round < 40 && t_now() < until); round++) {
		pid_t pid;

		make(things, 60);
		pid = fork();
		check(pid >= 0);
		if (pid == 0) {
			drop(things, 60);
			use();
			for (int i = 0; i < 64; i++)
				free(atomic_exchange(&exchange[i], NULL));
			_exit(0);
		}
		free(atomic_exchange(&exchange[(uintptr_t)arg % 64], malloc(100)));
		drop(things, 60);
		check(t_wait(pid) == 0);
	}
	return arg;
}

static void eight_threads_fork_at_once(void)
{
	pthread_t thread[THREADS], more;

	check(pthread_create(&more, NULL, churn, (void *)99) == 0);
	for (uintptr_t i = 0; i < THREADS; i++)
		check(pthread_create(&thread[i], NULL, fork_often, (void *)(i + 1)) == 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	stop = true;
	pthread_join(more, NULL);
}

/* The process ends while they are in the middle of it. */
static void exit_among_allocating_threads(void)
{
	for (int round = 0; round < (t_emulated() ? 5 : 30); round++) {
		pid_t pid = fork();

		check(pid >= 0);
		if (pid == 0) {
			pthread_t thread;

			for (uintptr_t i = 0; i < THREADS; i++)
				check(pthread_create(&thread, NULL, churn, (void *)(i + 1)) == 0);
			t_sleep_ms(round % 7);
			exit(9);
		}
		check(t_wait(pid) == 9);
	}
}

/* ---- libslabpool.so.1, opened ------------------------------------------- */

struct library {
	void *handle;
	void *(*malloc)(size_t size);
	void (*free)(void *ptr);
	int (*stats)(struct slabpool_stats *stats, size_t size);
};

static void not_preloaded(void)
{
	unsetenv("LD_PRELOAD");
}

static void open_library(struct library *lib)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s", getenv("SLABPOOL_PRELOAD"));
	strcpy(strrchr(path, '/'), "/libslabpool.so.1");
	lib->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!lib->handle)
		note("%s\n", dlerror());
	check(lib->handle);
	*(void **)&lib->malloc = dlsym(lib->handle, "slabpool_malloc");
	*(void **)&lib->free = dlsym(lib->handle, "slabpool_free");
	*(void **)&lib->stats = dlsym(lib->handle, "slabpool_stats");
	check(lib->malloc && lib->free && lib->stats);
}

static struct library lib;
static pthread_barrier_t opened, closed;

static void *use_library(void *unused)
{
	char *p[100];

	for (int i = 0; i < 100; i++) {
		p[i] = lib.malloc((size_t)i * 100 + 1);
		check(p[i]);
		p[i][i * 100] = 1;
	}
	pthread_barrier_wait(&opened);
	pthread_barrier_wait(&closed);
	for (int i = 0; i < 100; i++)
		lib.free(p[i]);
	return unused;
}

/* Closed while threads have caches in it: their ends come behind. */
static void closed_before_its_threads_end(void)
{
	pthread_t thread[4];

	pthread_barrier_init(&opened, NULL, 5);
	pthread_barrier_init(&closed, NULL, 5);
	open_library(&lib);
	for (int i = 0; i < 4; i++)
		check(pthread_create(&thread[i], NULL, use_library, NULL) == 0);
	pthread_barrier_wait(&opened);
	check(dlclose(lib.handle) == 0);
	pthread_barrier_wait(&closed);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
}

/* Opened again it is the same one, with what was made before. */
static void opened_again_and_again(void)
{
	struct slabpool_stats stats;
	struct library first, again;
	char *p;

	open_library(&first);
	p = first.malloc(5000);
	check(p);
	t_fill(p, 5000, 5);
	for (int i = 0; i < 50; i++) {
		check(dlclose(i ? again.handle : first.handle) == 0);
		open_library(&again);
		check(again.malloc == first.malloc);
		again.free(again.malloc(100000));
	}
	check(t_is_filled(p, 5000, 5));
	again.free(p);
	check(again.stats(&stats, sizeof(stats)) == 0 && stats.caches <= 2);
	check(stats.committed <= 4 * T_HPAGE);
}

static void *open_use_close(void *unused)
{
	struct library mine;

	(void)unused;
	open_library(&mine);
	mine.free(mine.malloc(1000));
	lib.malloc = mine.malloc;	/* left behind */
	lib.free = mine.free;
	check(dlclose(mine.handle) == 0);
	return lib.malloc(700);
}

static void opened_by_threads_that_have_gone(void)
{
	for (int i = 0; i < 30; i++) {
		pthread_t thread;
		void *left;

		check(pthread_create(&thread, NULL, open_use_close, NULL) == 0);
		check(pthread_join(thread, &left) == 0 && left);
		lib.free(left);
	}
	check(lib.malloc(10));
}

static const struct t_case cases[] = {
	CASE(from_before_main),
	CASE(behind_main, .code = 7),
	CASE(in_threads_of_timers, .seconds = 60),
	CASE(eight_threads_fork_at_once, .seconds = 60),
	CASE(exit_among_allocating_threads, .seconds = 60),
	CASE(closed_before_its_threads_end, .before = not_preloaded),
	CASE(opened_again_and_again, .before = not_preloaded),
	CASE(opened_by_threads_that_have_gone, .before = not_preloaded),
};

T_CASES(cases)

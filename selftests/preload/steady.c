// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Once warm, allocating is neither a system call nor a page fault; once idle,
 * what is unused goes back by itself.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "preload.h"

#define PLACES	2000

static char *place[PLACES];

static void mix(uint64_t *seed, size_t most, long steps)
{
	for (long i = 0; i < steps; i++) {
		uint64_t r = t_random(seed);
		char **at = &place[r % PLACES];
		size_t size = (r >> 20) % (r >> 60 ? 512 : most);

		free(*at);
		*at = malloc(size + 1);
		if (!*at)
			_exit(3);
		(*at)[0] = (*at)[size] = 1;
	}
}

/* From now on this thread's system calls, but those that end it or sleep, kill the process. */
static void forbid_system_calls(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 3, 0),
		/* The tests' own: no allocation sleeps. */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clock_nanosleep, 2, 0),
		/* Where the clock is no vDSO's (emulated machines), reading it is one. */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clock_gettime, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	check(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static void no_system_call_of(size_t most)
{
	uint64_t seed = 5;

	mix(&seed, most, 300000);
	forbid_system_calls();
	mix(&seed, most, 300000);
	_exit(0);
}

static void small_without_system_call(void) { no_system_call_of(1024); }
static void medium_without_system_call(void) { no_system_call_of(32000); }

static void no_fault_of(size_t most)
{
	struct rusage before, after;
	uint64_t seed = 6;

	/* A little more than it will need: the first hpage is touched as it is used. */
	mix(&seed, most * 2, 300000);
	mix(&seed, most, 300000);
	check(getrusage(RUSAGE_THREAD, &before) == 0);
	/* A little more than it will need: the first hpage is touched as it is used. */
	mix(&seed, most * 2, 300000);
	mix(&seed, most, 300000);
	check(getrusage(RUSAGE_THREAD, &after) == 0);
	note("%ld faults\n", after.ru_minflt - before.ru_minflt);
	check(after.ru_minflt == before.ru_minflt);
	check(after.ru_majflt == before.ru_majflt);
}

static void small_without_fault(void) { no_fault_of(1024); }
static void medium_without_fault(void) { no_fault_of(32000); }

/* Objects of units: a lock, but no system call either. */
static void large_without_system_call(void)
{
	uint64_t seed = 5;
	char *p[40];

	for (int round = 0; round < 3000; round++) {
		if (round == 1000)
			forbid_system_calls();
		for (int i = 0; i < 40; i++) {
			p[i] = malloc(33000 + t_random(&seed) % 300000);
			if (!p[i])
				_exit(3);
			p[i][0] = 1;
		}
		for (int i = 0; i < 40; i++)
			free(p[i]);
	}
	_exit(0);
}

static void pair_of_one_size(void)
{
	static const size_t sizes[] = { 1, 64, 1024, 1025, 4096, 32768, 40000, 500000, 2000000 };

	for (int warm = 0; warm < 2; warm++) {
		if (warm)
			forbid_system_calls();
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
			for (int n = 0; n < 2000; n++) {
				char *p = malloc(sizes[i]);

				hide(p);
				free(p);
			}
	}
	_exit(0);
}

/* What was primed is there: the first of each size, and no fault. */
static void primed_without_fault(void)
{
	static const struct { size_t size, n; } wants[] = {
		{ 48, 20000 }, { 1000, 3000 }, { 20000, 200 }, { 200000, 20 }, { 5 * T_MIB, 3 },
	};
	struct rusage before, after;

	for (size_t i = 0; i < sizeof(wants) / sizeof(wants[0]); i++)
		check(t_lib(slabpool_prime)(wants[i].size, wants[i].n) == 0);
	check(getrusage(RUSAGE_THREAD, &before) == 0);
	for (size_t i = 0; i < sizeof(wants) / sizeof(wants[0]); i++)
		for (size_t n = 0; n < wants[i].n; n++) {
			char *p = malloc(wants[i].size);

			check(p);
			memset(p, 1, wants[i].size);
		}
	check(getrusage(RUSAGE_THREAD, &after) == 0);
	note("%ld faults\n", after.ru_minflt - before.ru_minflt);
	check(after.ru_minflt == before.ru_minflt);
}

static void primed_without_system_call(void)
{
	char *p;

	check(t_lib(slabpool_prime)(48, 20000) == 0);
	check(t_lib(slabpool_prime)(20000, 200) == 0);
	forbid_system_calls();
	for (int i = 0; i < 20200; i++) {
		p = malloc(i < 20000 ? 48 : 20000);
		if (!p)
			_exit(3);
		p[0] = 1;
	}
	_exit(0);
}

/* ---- two threads -------------------------------------------------------- */

#define RING	1024

static void *_Atomic ring[RING];
static _Atomic bool stop;

static void *consumer(void *unused)
{
	for (unsigned int i = 0; !stop; i++)
		free(atomic_exchange(&ring[i % RING], NULL));
	return unused;
}

/* Objects that another thread frees come home without faults. */
static void remote_without_fault(void)
{
	struct rusage before, after;
	pthread_t thread;
	uint64_t peak;

	check(pthread_create(&thread, NULL, consumer, NULL) == 0);
	for (int round = 0; round < 2; round++) {
		check(getrusage(RUSAGE_THREAD, &before) == 0);
		peak = t_stats().peak;
		for (unsigned int i = 0; i < 2000000; i++)
			free(atomic_exchange(&ring[i % RING], malloc(64 + i % 200)));
		check(getrusage(RUSAGE_THREAD, &after) == 0);
	}
	stop = true;
	pthread_join(thread, NULL);
	note("%ld faults, peak %llu\n", after.ru_minflt - before.ru_minflt,
	     (unsigned long long)peak);
	check(t_stats().peak <= 8 * T_MIB);
	check(after.ru_minflt - before.ru_minflt <= 64);
}

/* ---- growth ------------------------------------------------------------- */

#define ROUNDS	8
#define PIECE	(128 << 10)

static double slowest;	/* call of the last growth, in seconds */

/* What is made stays.  With a pause of 2 ms it is 64 MiB a second at most. */
static void grow_with(size_t hpages, size_t size, long pause_ms)
{
	slowest = 0;
	for (size_t grown = 0, next = PIECE; grown < hpages * T_HPAGE; grown += size) {
		double begin = t_now();
		char *p = malloc(size);

		if (!p)
			_exit(3);
		memset(p, 1, size);
		if (t_now() - begin > slowest)
			slowest = t_now() - begin;
		if (pause_ms == 0 || grown < next)
			continue;
		next += PIECE;
		t_sleep_ms(pause_ms);
	}
}

static void grow(size_t hpages, size_t size)
{
	grow_with(hpages, size, 2);
}

/*
 * What a busy machine takes from the library's thread shows in a round or two, what
 * a caller has to do itself shows in all of them.
 */
static void growth_without_fault_of(size_t size)
{
	struct rusage before, after;
	struct slabpool_stats from, to;

	grow(24, size);
	for (int round = 0; round < ROUNDS; round++) {
		from = t_stats();
		check(getrusage(RUSAGE_THREAD, &before) == 0);
		grow(12, size);
		check(getrusage(RUSAGE_THREAD, &after) == 0);
		to = t_stats();
		note("%ld faults, %llu misses, the slowest call %.0f us\n",
		     after.ru_minflt - before.ru_minflt,
		     (unsigned long long)(to.stock_misses - from.stock_misses), slowest * 1e6);
		if (after.ru_minflt != before.ru_minflt || to.stock_misses != from.stock_misses)
			continue;
		check(to.stock_hits >= from.stock_hits + 11);
		check(to.stock_fills >= from.stock_fills + 8);
		return;
	}
	check(!"a round without a fault");
}

static void small_growth_without_fault(void) { growth_without_fault_of(100); }
static void medium_growth_without_fault(void) { growth_without_fault_of(5000); }
static void large_growth_without_fault(void) { growth_without_fault_of(200000); }

/* Past the 32 MiB whose marks are on base pages, and over the next boundary of them. */
static void growth_without_fault_when_secure(void)
{
	grow_with(16, 1000, 0);
	growth_without_fault_of(1000);
}

static void growth_without_system_call_of(size_t size)
{
	for (int round = 0; round < ROUNDS; round++) {
		pid_t pid = fork();
		int code;

		check(pid >= 0);
		if (pid == 0) {
			grow(24, size);
			forbid_system_calls();
			grow(8, size);
			_exit(0);
		}
		code = t_wait(pid);
		note("ended with %d\n", code);
		check(code == 0 || code == 128 + SIGSYS);
		if (code == 0)
			return;
	}
	check(!"a round without a system call");
}

static void small_growth_without_system_call(void) { growth_without_system_call_of(100); }
static void medium_growth_without_system_call(void) { growth_without_system_call_of(5000); }
static void large_growth_without_system_call(void) { growth_without_system_call_of(200000); }

/* What is kept ready for growth is gone a decay period after it has ended. */
static void stock_goes_when_growth_ends(void)
{
	uint64_t committed, filled;

	grow(40, 1000);
	check(t_stats().stock > 0);
	committed = t_stats().committed - t_stats().unused;
	t_sleep_ms(t_emulated() ? 8000 : 3000);
	filled = t_stats().stock_fills;
	check(t_stats().stock == 0);
	check(t_stats().committed <= committed);
	t_sleep_ms(1000);
	check(t_stats().stock_fills == filled);
}

static void stock_is_bounded(void)
{
	for (int i = 0; i < 30; i++) {
		struct slabpool_stats stats;

		grow_with(4, 1000, 0);
		stats = t_stats();
		check(stats.stock <= 64 * T_MIB && stats.stock <= stats.committed / 8);
	}
}

static void release_includes_the_stock(void)
{
	grow(40, 1000);
	check(t_stats().stock > 0);
	check(t_lib(slabpool_release)() > 0);
	check(t_stats().stock == 0);
}

/* As many as without a stock, each time: it is given up before anything fails. */
static void stock_leaves_the_limit_alone(void)
{
	static char *p[128];

	for (int round = 0; round < 20; round++) {
		int n = 0;

		while (n < 128 && (p[n] = malloc(1000000)))
			if (++n % 16 == 0)
				t_sleep_ms(3);
		note("%d objects\n", n);
		check(n >= 94 && n <= 100);
		check(t_stats().peak <= 100 * T_MIB);
		while (n)
			free(p[--n]);
	}
}

static void no_stock_without_the_thread(void)
{
	grow(40, 1000);
	check(t_stats().stock_fills == 0);
	check(t_stats().stock_misses > 30);
}

static void *grow_a_little(void *unused)
{
	grow(3, 1000);
	return unused;
}

static void no_stock_where_nothing_may_stay(void)
{
	grow(40, 1000);
	check(t_stats().stock_fills == 0);
}

static void no_stock_while_small(void)
{
	pthread_t thread;

	check(pthread_create(&thread, NULL, grow_a_little, NULL) == 0);
	pthread_join(thread, NULL);
	t_sleep_ms(100);
	check(t_stats().stock_fills == 0);
}

/* ---- decay -------------------------------------------------------------- */

#define FEW	(6 * T_HPAGE)

static void fill_and_free(size_t bytes, size_t size)
{
	size_t n = bytes / size;
	char **p = malloc(n * sizeof(*p));

	check(p);
	for (size_t i = 0; i < n; i++) {
		p[i] = malloc(size);
		check(p[i]);
		memset(p[i], 1, size);
	}
	for (size_t i = 0; i < n; i++)
		free(p[i]);
	free(p);
}

static long resident_mib(void)
{
	long size, rss = 0;
	char text[128];

	t_read_file("/proc/self/statm", text, sizeof(text));
	check(sscanf(text, "%ld %ld", &size, &rss) == 2);
	return rss * sysconf(_SC_PAGESIZE) >> 20;
}

/* Nothing but sleep: somebody else must do it. */
static void falls_while_asleep(void)
{
	check(t_stats().peak > 100 * T_MIB);
	t_sleep_ms(t_emulated() ? 8000 : 3000);
	note("committed %llu MiB, resident %ld MiB\n",
	     (unsigned long long)t_stats().committed >> 20, resident_mib());
	check(t_stats().committed <= FEW);
	check(resident_mib() < 30);
}

static void decay_of(size_t size)
{
	fill_and_free(200 * T_MIB, size);
	falls_while_asleep();
}

static void decay_of_small(void) { decay_of(100); }
static void decay_of_medium(void) { decay_of(20000); }
static void decay_of_large(void) { decay_of(200000); }
static void decay_of_huge(void) { decay_of(9 * T_MIB); }

static void *fill_in_thread(void *unused)
{
	fill_and_free(200 * T_MIB, 1000);
	return unused;
}

static void decay_above_soft_limit(void) { decay_of(20000); }
static void decay_by_amount(void) { decay_of(20000); }

static void decay_to_the_floor(void)
{
	uint64_t committed;

	for (int round = 0; round < 2; round++) {
		fill_and_free(200 * T_MIB, round ? 9 * T_MIB : 20000);
		t_sleep_ms(t_emulated() ? 8000 : 2000);
		committed = t_stats().committed;
		note("committed %llu MiB\n", (unsigned long long)committed >> 20);
		/* An hpage may just be on its way. */
		check(committed >= 64 * T_MIB && committed <= 64 * T_MIB + 2 * T_HPAGE);
	}
}

static void decay_after_thread_exit(void)
{
	pthread_t thread;

	check(pthread_create(&thread, NULL, fill_in_thread, NULL) == 0);
	pthread_join(thread, NULL);
	falls_while_asleep();
}

static char **made;
static _Atomic bool ready;

#define MADE	200000

static void *make_and_sleep(void *unused)
{
	made = malloc(MADE * sizeof(*made));
	for (int i = 0; i < MADE; i++) {
		made[i] = malloc(1000);
		check(made[i]);
		memset(made[i], 1, 1000);
	}
	ready = true;
	for (;;)
		t_sleep_ms(1000);
	return unused;
}

/* The thread that made them sleeps; its cache decays without its help. */
static void decay_of_idle_thread(void)
{
	pthread_t thread;

	check(pthread_create(&thread, NULL, make_and_sleep, NULL) == 0);
	while (!ready)
		t_sleep_ms(1);
	for (int i = 0; i < MADE; i++)
		free(made[i]);
	free(made);
	falls_while_asleep();
	_exit(0);
}

/* No thread of the library's: the program's own calls do it. */
static void falls_inline(size_t size, size_t objects)
{
	double until;

	fill_and_free(200 * T_MIB, 20000);
	check(t_stats().peak > 100 * T_MIB);
	until = t_now() + (t_emulated() ? 8 : 3);
	while (t_now() < until) {
		fill_and_free(objects * size, size);
		t_sleep_ms(1);
	}
	note("committed %llu MiB\n", (unsigned long long)t_stats().committed >> 20);
	check(t_stats().committed <= FEW);
}

static void decay_inline_small(void) { falls_inline(100, 2000); }
static void decay_inline_large(void) { falls_inline(100000, 10); }
static void decay_inline_huge(void) { falls_inline(3 * T_MIB, 1); }

static void no_thread_when_unwanted(void)
{
	fill_and_free(200 * T_MIB, 20000);
	check(access("/proc/self/task", R_OK) == 0);
	check(system("test $(ls /proc/$PPID/task | wc -l) = 1") == 0);
}

/* unshare(2) and friends want a process without threads: small ones have none. */
static void no_thread_while_small(void)
{
	fill_and_free(10 * T_MIB, 1000);
	check(system("test $(ls /proc/$PPID/task | wc -l) = 1") == 0);
}

static void decay_in_child(void)
{
	pid_t pid;

	fill_and_free(100 * T_MIB, 20000);
	pid = fork();
	check(pid >= 0);
	if (pid == 0) {
		decay_of(20000);
		_exit(0);
	}
	check(t_wait(pid) == 0);
}

static void decay_0(void)
{
	fill_and_free(200 * T_MIB, 20000);
	t_sleep_ms(300);
	check(t_stats().committed <= FEW);
}

#define MS1000	"decay_ms:1000"
#define INLINE	"decay_ms:1000,background_thread:false"
#define DECAY(function) CASE(function, .conf = MS1000)

static const struct t_case cases[] = {
	CASE(small_without_system_call),
	CASE(medium_without_system_call),
	CASE(large_without_system_call),
	CASE(pair_of_one_size),
	CASE(primed_without_fault, .conf = "profile:realtime"),
	CASE(primed_without_system_call, .conf = "profile:realtime"),
	CASE(small_without_fault),
	CASE(medium_without_fault),
	CASE(remote_without_fault),
	CASE(small_growth_without_fault),
	CASE(medium_growth_without_fault),
	CASE(large_growth_without_fault),
	CASE(growth_without_fault_when_secure, .conf = "secure:true"),
	CASE(small_growth_without_system_call),
	CASE(medium_growth_without_system_call),
	CASE(large_growth_without_system_call),
	DECAY(stock_goes_when_growth_ends),
	CASE(stock_is_bounded),
	CASE(release_includes_the_stock),
	CASE(stock_leaves_the_limit_alone, .conf = "limit:100M"),
	CASE(no_stock_without_the_thread, .conf = "background_thread:false"),
	CASE(no_stock_where_nothing_may_stay, .conf = "decay_ms:0"),
	CASE(no_stock_while_small),
	DECAY(decay_of_small),
	DECAY(decay_of_medium),
	DECAY(decay_of_large),
	DECAY(decay_of_huge),
	DECAY(decay_after_thread_exit),
	DECAY(decay_of_idle_thread),
	DECAY(decay_in_child),
	CASE(decay_above_soft_limit, .conf = "decay_ms:10000,soft_limit:8M"),
	CASE(decay_by_amount, .conf = "decay_ms:1000000,max_unused:8M"),
	CASE(decay_to_the_floor, .conf = "decay_ms:500,floor:64M"),
	CASE(decay_0, .conf = "decay_ms:0"),
	CASE(decay_inline_small, .conf = INLINE),
	CASE(decay_inline_large, .conf = INLINE),
	CASE(decay_inline_huge, .conf = INLINE),
	CASE(no_thread_when_unwanted, .conf = "background_thread:false"),
	CASE(no_thread_while_small),
};

T_CASES(cases)

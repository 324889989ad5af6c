// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * slabpool_lockdown(): no system call, no fault, and what would need one fails and is
 * counted.
 */
#include <dirent.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "lock.h"
#include "kselftest_harness.h"
#include "slabpool.h"

#define HUGE	(64 * SP_MIB)

/* Sanitizers have threads, faults and system calls of their own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED	1
#else
#define SANITIZED	0
#endif

static struct slabpool_stats now(void)
{
	struct slabpool_stats stats = { 0 };

	slabpool_stats(&stats, sizeof(stats));
	return stats;
}

static void install(struct sock_filter *filter, unsigned short n)
{
	struct sock_fprog program = { n, filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program))
		abort();
}

/* Each test is a process of its own: the options are read once. */
TEST(what_needs_a_system_call_fails_and_is_counted)
{
	struct slabpool_stats before, after;
	void *region, *p;

	setenv("SLABPOOL_CONF", "background_thread:false", 1);
	region = slabpool_region_map(SP_HPAGE, SLABPOOL_NODE_LOCAL, 0);
	ASSERT_NE(NULL, region);
	ASSERT_EQ(0, slabpool_prime(100, 1000));
	slabpool_free(slabpool_malloc(HUGE));
	ASSERT_EQ(0, slabpool_lockdown());
	before = now();
	EXPECT_EQ(0, before.calls_refused);
	EXPECT_LE(HUGE, before.unused);

	errno = 0;
	EXPECT_EQ(NULL, slabpool_malloc(2 * HUGE));
	EXPECT_EQ(ENOMEM, errno);
	after = now();
	EXPECT_LT(0, after.calls_refused);
	EXPECT_EQ(before.failures + 1, after.failures);
	EXPECT_EQ(-ENOMEM, slabpool_prime(SP_MIB, 1000));
	EXPECT_EQ(NULL, slabpool_region_map(SP_HPAGE, SLABPOOL_NODE_LOCAL, 0));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-EPERM, slabpool_region_unmap(region));
	memset(region, 1, SP_HPAGE);
	EXPECT_EQ(0, slabpool_release());

	/* What was primed and what was freed are there, and nothing decays. */
	before = now();
	for (int i = 0; i < 1000; i++)
		ASSERT_NE(NULL, slabpool_malloc(100));
	for (int i = 0; i < 100; i++) {
		p = slabpool_malloc(HUGE);
		ASSERT_NE(NULL, p);
		slabpool_free(p);
	}
	after = now();
	EXPECT_EQ(before.calls_refused, after.calls_refused);
	EXPECT_EQ(before.committed, after.committed);
	EXPECT_EQ(0, after.decommits);
	EXPECT_EQ(0, slabpool_lockdown());
}

TEST(all_that_is_committed_is_touched)
{
	struct rusage before, after;
	char *huge, *one;

	setenv("SLABPOOL_CONF", "background_thread:false", 1);
	huge = slabpool_malloc(HUGE);
	slabpool_free(slabpool_malloc(HUGE));
	one = slabpool_malloc(100000);
	ASSERT_NE(NULL, huge);
	ASSERT_NE(NULL, one);
	ASSERT_EQ(0, slabpool_lockdown());
	ASSERT_EQ(0, getrusage(RUSAGE_THREAD, &before));
	memset(huge, 1, HUGE);
	memset(one, 1, 100000);
	for (int i = 0; i < 1000; i++) {
		char *p = slabpool_malloc(SP_HPAGE / 3);

		if (p)
			memset(p, 1, SP_HPAGE / 3);
	}
	ASSERT_EQ(0, getrusage(RUSAGE_THREAD, &after));
	if (SANITIZED)
		SKIP(return, "a sanitizer touches memory of its own");
	/* One or two are this function's own. */
	EXPECT_GE(before.ru_minflt + 4, after.ru_minflt);
	EXPECT_EQ(before.ru_majflt, after.ru_majflt);
}

TEST(the_child_of_a_fork_is_open)
{
	int status;
	pid_t pid;

	ASSERT_EQ(0, slabpool_lockdown());
	pid = fork();
	ASSERT_LE(0, pid);
	if (pid == 0) {
		void *p = slabpool_malloc(HUGE);

		if (!p || now().calls_refused || slabpool_lockdown())
			_exit(1);
		_exit(slabpool_malloc(HUGE) != NULL);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(NULL, slabpool_malloc(HUGE));
}

static int threads(void)
{
	DIR *dir = opendir("/proc/self/task");
	int n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n - 2;
}

TEST(the_thread_of_the_library_ends)
{
	struct timespec pause = { 0, 10000000 };
	int before = threads();
	void *p;

	if (SANITIZED)
		SKIP(return, "a sanitizer has a thread of its own");

	setenv("SLABPOOL_CONF", "background_thread:true", 1);
	p = slabpool_malloc(HUGE);
	slabpool_free(slabpool_malloc(HUGE));
	ASSERT_NE(NULL, p);
	ASSERT_EQ(before + 1, threads());
	ASSERT_EQ(0, slabpool_lockdown());
	/* The C library has to end it too. */
	for (int i = 0; i < 500 && threads() > before; i++)
		nanosleep(&pause, NULL);
	EXPECT_EQ(before, threads());
	slabpool_free(p);
	EXPECT_EQ(before, threads());
}

TEST(secure_memory_reads_zero_though_it_stays)
{
	unsigned char *p;
	uint64_t committed;

	setenv("SLABPOOL_CONF", "secure:true,background_thread:false", 1);
	p = slabpool_malloc(8 * SP_HPAGE);
	ASSERT_NE(NULL, p);
	memset(p, 0xaa, 8 * SP_HPAGE);
	ASSERT_EQ(0, slabpool_lockdown());
	committed = now().committed;
	slabpool_free(p);
	EXPECT_EQ(committed, now().committed);
	p = slabpool_malloc(8 * SP_HPAGE);
	ASSERT_NE(NULL, p);
	for (size_t i = 0; i < 8 * SP_HPAGE; i++)
		ASSERT_EQ(0, p[i]);
}

/* ---- at the same time --------------------------------------------------- */

static struct sp_lock lock = SP_LOCK_INIT(SP_RANK_META);
static _Atomic bool holds;

static void *hold(void *unused)
{
	struct timespec long_time = { 0, 200000000 };

	(void)unused;
	sp_lock(&lock);
	atomic_store(&holds, true);
	nanosleep(&long_time, NULL);
	sp_unlock(&lock);
	return NULL;
}

TEST(who_waits_too_long_for_a_lock_sleeps)
{
	pthread_t thread;

	ASSERT_EQ(0, slabpool_lockdown());
	ASSERT_EQ(0, pthread_create(&thread, NULL, hold, NULL));
	while (!atomic_load(&holds))
		sp_pause();
	EXPECT_EQ(0, now().calls_insisted);
	sp_lock(&lock);
	sp_unlock(&lock);
	EXPECT_LT(0, now().calls_insisted);
	ASSERT_EQ(0, pthread_join(thread, NULL));
}

TEST(what_cannot_be_touched_leaves_all_as_it_was)
{
	struct sock_filter no_advice[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOMEM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	void *p;

	setenv("SLABPOOL_CONF", "background_thread:false,backend:thp", 1);
	p = slabpool_malloc(100);
	ASSERT_NE(NULL, p);
	install(no_advice, ARRAY_SIZE(no_advice));
	EXPECT_EQ(-ENOMEM, slabpool_lockdown());
	EXPECT_NE(NULL, slabpool_malloc(HUGE));
	EXPECT_EQ(0, now().calls_refused);
}

static void *lock_down(void *err)
{
	*(int *)err = slabpool_lockdown();
	return NULL;
}

TEST(one_at_a_time_locks_down)
{
	pthread_t thread[4];
	int err[4], good = 0;

	ASSERT_NE(NULL, slabpool_malloc(HUGE));
	for (int i = 0; i < 4; i++)
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, lock_down, &err[i]));
	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(0, pthread_join(thread[i], NULL));
		EXPECT_TRUE(err[i] == 0 || err[i] == -EBUSY);
		good += err[i] == 0;
	}
	EXPECT_LE(1, good);
	EXPECT_EQ(0, slabpool_lockdown());
}

/* ---- the promise -------------------------------------------------------- */

#define WORKERS	3
#define SLOTS	512
#define OPS	300000

static void *_Atomic slot[SLOTS];
static _Atomic unsigned long ops[WORKERS];
static _Atomic bool counting;

static size_t any_size(unsigned int random)
{
	switch (random % 64) {
	case 0: return random % (4 * SP_MIB);
	case 1 ... 4: return random % (512 * SP_KIB);
	case 5 ... 12: return random % (32 * SP_KIB);
	default: return random % SP_KIB;
	}
}

/* Objects move between the threads through the slots. */
static void *work(void *arg)
{
	size_t me = (size_t)arg;
	unsigned int random = (unsigned int)me + 1;

	while (atomic_load(&ops[me]) < OPS) {
		char *p;

		random = random * 1664525 + 1013904223;
		p = slabpool_malloc(any_size(random >> 8));
		if (p)
			*p = (char)random;
		slabpool_free(atomic_exchange(&slot[random >> 23], p));
		if (atomic_load(&counting))
			atomic_fetch_add(&ops[me], 1);
	}
	/* It has to be there, without a system call, until the process ends. */
	for (;;)
		sp_pause();
	return NULL;
}

#if defined(__x86_64__) && !SANITIZED
static _Atomic unsigned int waits, others, which;

/* A call was made: it fails, and is counted. */
static void on_call(int signal, siginfo_t *info, void *context)
{
	ucontext_t *user = context;

	(void)signal;
	user->uc_mcontext.gregs[REG_RAX] = -EAGAIN;
	if (info->si_syscall == SYS_futex) {
		atomic_fetch_add(&waits, 1);
		return;
	}
	atomic_store(&which, (unsigned int)info->si_syscall);
	atomic_fetch_add(&others, 1);
}

static void watch_calls(void)
{
	struct sigaction action = { .sa_sigaction = on_call, .sa_flags = SA_SIGINFO };
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 6, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 5, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 4, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_futex, 0, 2),
		/* Who waited too long before the filter was there must be woken. */
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FUTEX_WAKE_PRIVATE, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};

	sigaction(SIGSYS, &action, NULL);
	install(filter, ARRAY_SIZE(filter));
}

TEST(no_thread_makes_a_system_call)
{
	struct slabpool_stats before, after;
	pthread_t thread[WORKERS];
	struct timespec pause = { 0, 300000000 };
	unsigned int calls;

	/* Its thread's end is the C library's, with system calls, and takes its time. */
	setenv("SLABPOOL_CONF", "background_thread:false,decay_ms:1", 1);
	for (size_t i = 0; i < WORKERS; i++)
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, work, (void *)i));
	nanosleep(&pause, NULL);
	/* In the middle of their work, and at once behind its return. */
	ASSERT_EQ(0, slabpool_lockdown());
	watch_calls();
	before = now();
	atomic_store(&counting, true);
	for (size_t i = 0; i < WORKERS; i++)
		while (atomic_load(&ops[i]) < OPS)
			sp_pause();
	after = now();
	calls = atomic_load(&waits);
	EXPECT_EQ(before.committed, after.committed);
	EXPECT_EQ(before.commits, after.commits);
	EXPECT_EQ(before.decommits, after.decommits);
	EXPECT_EQ(0, atomic_load(&others)) {
		TH_LOG("%u calls, one of them number %u", atomic_load(&others),
		       atomic_load(&which));
	}
	/* Beside three threads on fewer processors some may have to wait. */
	EXPECT_TRUE(calls == 0 || after.calls_insisted > 0);
}
#else
TEST(no_thread_makes_a_system_call)
{
	pthread_t thread[WORKERS];

	for (size_t i = 0; i < WORKERS; i++)
		ASSERT_EQ(0, pthread_create(&thread[i], NULL, work, (void *)i));
	ASSERT_EQ(0, slabpool_lockdown());
	atomic_store(&counting, true);
	for (size_t i = 0; i < WORKERS; i++)
		while (atomic_load(&ops[i]) < OPS / 10)
			sp_pause();
	SKIP(return, "sanitizers make system calls of their own; the work itself was done");
}
#endif

TEST_HARNESS_MAIN

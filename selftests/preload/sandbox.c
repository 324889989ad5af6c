// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Systems that say no: a sandbox that knows some calls of the kernel not, and one
 * that promises no more memory than it has.
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "preload.h"

/* From here on, for all threads, a call of the kernel fails with @error. */
static void refuse(unsigned int call, unsigned int error)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(filter) / sizeof(filter[0]), filter };

	check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	check(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) == 0);
}

static void without_membarrier(void) { refuse(SYS_membarrier, ENOSYS); }
static void without_mbind(void) { refuse(SYS_mbind, EPERM); }

static void use(void)
{
	char *p[400];

	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < 400; i++) {
			p[i] = malloc(i * 300);
			check(p[i]);
			t_fill(p[i], i * 300, i);
		}
		for (size_t i = 0; i < 400; i++) {
			check(t_is_filled(p[i], i * 300, i));
			free(p[i]);
		}
	}
}

static _Atomic int asleep;
static _Atomic bool wake;

/* Has a cache, sleeps until somebody could have taken it, and goes on with it. */
static void *sleep_and_go_on(void *unused)
{
	use();
	asleep++;
	while (!wake)
		t_sleep_ms(5);
	use();
	return unused;
}

#define SLEEPERS	6

static void with_idle_threads(void)
{
	pthread_t thread[SLEEPERS];
	pid_t pid;

	for (int i = 0; i < SLEEPERS; i++)
		check(pthread_create(&thread[i], NULL, sleep_and_go_on, NULL) == 0);
	while (asleep < SLEEPERS)
		t_sleep_ms(1);
	for (int i = 0; i < 20; i++) {
		use();
		malloc_trim(0);
		t_sleep_ms(10);
	}
	pid = fork();
	check(pid >= 0);
	if (pid == 0) {
		use();
		_exit(0);
	}
	check(t_wait(pid) == 0);
	wake = true;
	for (int i = 0; i < SLEEPERS; i++)
		pthread_join(thread[i], NULL);
	malloc_trim(0);
	check(t_stats().committed <= 8 * T_HPAGE);
}

/* A program shuts itself in when it has begun, threads and all. */
static void shut_in_later(void)
{
	pthread_t thread;

	check(pthread_create(&thread, NULL, sleep_and_go_on, NULL) == 0);
	while (!asleep)
		t_sleep_ms(1);
	without_membarrier();
	for (int i = 0; i < 20; i++) {
		use();
		malloc_trim(0);
		t_sleep_ms(10);
	}
	wake = true;
	pthread_join(thread, NULL);
}

/* ---- overcommit --------------------------------------------------------- */

#define OVERCOMMIT	"/proc/sys/vm/overcommit_memory"
#define RATIO		"/proc/sys/vm/overcommit_ratio"

static char overcommit[16], ratio[16];

static void allow_as_before(void)
{
	t_write_file(RATIO, ratio);
	t_write_file(OVERCOMMIT, overcommit);
}

/* The commit limit is some hundred MiB from here on, for all of the machine. */
static void promise_little(void)
{
	t_read_file(OVERCOMMIT, overcommit, sizeof(overcommit));
	t_read_file(RATIO, ratio, sizeof(ratio));
	check(t_write_file(RATIO, "25") == 0 && t_write_file(OVERCOMMIT, "2") == 0);
}

static void until_the_kernel_says_no(void)
{
	char **first = NULL, now[16];
	size_t n = 0;
	int err;

	t_read_file(OVERCOMMIT, now, sizeof(now));
	if (atoi(now) != 2)
		return;		/* not called by overcommit_2() */
	for (char **p; n < 2000 && (p = malloc(T_MIB)); n++) {
		*p = (char *)first;
		first = p;
	}
	err = errno;
	while (first) {
		char **next = (char **)*first;

		free(first);
		first = next;
	}
	/* Only now, for saying something takes memory too.  On the device the pool ends. */
	note("%zu MiB\n", n);
	check(n >= 100 && n < 2000 && err == ENOMEM);
	use();
	/* What was given back counts no longer. */
	malloc_trim(0);
	first = malloc(80 * T_MIB);
	check(first);
	memset(first, 1, 80 * T_MIB);
	free(hide(first));
}

/* A process that begins under such a rule. */
static void overcommit_2(void)
{
	static struct t_result r;
	struct t_case c = { .name = "begins_under_overcommit_2" };
	const char *wrong;

	promise_little();
	t_run(&c, getenv("T_WANTED"), &r);
	wrong = t_judge(&c, &r);
	note("%s%s%s, status 0x%x\n", r.out, r.err, wrong ? wrong : "well", (unsigned int)r.status);
	allow_as_before();
	check(!wrong);
}

static void wants_device(void) { setenv("T_WANTED", "device", 1); }
static void wants_thp(void) { setenv("T_WANTED", "thp", 1); }

static const struct t_case cases[] = {
	CASE(with_idle_threads, .conf = "decay_ms:100"),
	{ .name = "membarrier_is_refused", .run = with_idle_threads, .conf = "decay_ms:100",
	  .before = without_membarrier },
	{ .name = "membarrier_is_refused_later", .run = shut_in_later, .conf = "decay_ms:100" },
	{ .name = "mbind_is_refused", .run = with_idle_threads, .before = without_mbind,
	  .flags = T_THP | T_DEVICE },
	{ .name = "begins_under_overcommit_2", .run = until_the_kernel_says_no,
	  .flags = T_PLAIN | T_ROOT | T_GUEST },
	{ .name = "overcommit_2_on_thp", .run = overcommit_2, .before = wants_thp,
	  .flags = T_PLAIN | T_ROOT | T_GUEST, .seconds = 60 },
	{ .name = "overcommit_2_on_the_device", .run = overcommit_2, .before = wants_device,
	  .flags = T_DEVICE | T_ROOT | T_GUEST, .seconds = 60 },
};

T_CASES(cases)

// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Running a program: up to two processes of up to two threads each, each thread
 * with its lines in their order, all of them side by side until a sync.
 *
 * What has to outlive a process that is killed, above all the outcome, is in
 * shared memory.  Nothing waits for ever: who overstays is killed, and who cannot
 * be killed is a finding.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuzz.h"

/* Seconds.  A program takes well below one; an emulated machine may stand still. */
#define PROGRAM_LIMIT	90
#define CHILD_LIMIT	30
#define MAX_CHILDREN	8
#define SPINS		50

struct control {
	atomic_bool found;
	struct outcome outcome;
	unsigned int threads;	/* that take part, as bits */
	atomic_uint arrived;
	atomic_uint barriers;
};

_Thread_local unsigned int this_thread;

static struct control *control;
static int sockets[NR_PROCESSES];
static const struct program *program;
static pid_t tids[NR_THREADS];
static bool is_child;

/* A child's pid for each fork of this thread since the last sync. */
static _Thread_local pid_t children[MAX_CHILDREN];
static _Thread_local unsigned int nr_children;

void *shared_alloc(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED) {
		perror("slabpool-fuzz: shared memory");
		exit(2);
	}
	return memory;
}

/* The first one is the outcome; what follows is most often its consequence. */
void finding(const char *format, ...)
{
	va_list arguments;

	if (atomic_exchange(&control->found, true))
		return;
	va_start(arguments, format);
	vsnprintf(control->outcome.text, MAX_TEXT, format, arguments);
	va_end(arguments);
}

static unsigned int process_of(unsigned int thread)
{
	return thread * NR_PROCESSES / NR_THREADS;
}

static unsigned int first_thread(unsigned int threads)
{
	return __builtin_ctz(threads);
}

static unsigned int threads_of(unsigned int process)
{
	unsigned int each = NR_THREADS / NR_PROCESSES;

	return control->threads & ((1U << each) - 1) << process * each;
}

int exec_socket(void)
{
	return sockets[process_of(this_thread)];
}

/* Below 2 * NR_THREADS: a thread's, or that of a child it made. */
unsigned int exec_task(void)
{
	return is_child ? NR_THREADS + this_thread : this_thread;
}

void exec_kick(void)
{
	unsigned int other = this_thread ^ 1;

	if (!is_child && tids[other])
		syscall(SYS_tgkill, getpid(), tids[other], SIGUSR1);
}

/* Until all threads have come.  If one dies on the way, all of them are killed. */
static void barrier(void)
{
	unsigned int seen = atomic_load(&control->barriers), spins = 0;

	if (atomic_fetch_add(&control->arrived, 1) + 1 ==
	    (unsigned int)__builtin_popcount(control->threads)) {
		atomic_store(&control->arrived, 0);
		atomic_fetch_add(&control->barriers, 1);
		return;
	}
	while (atomic_load(&control->barriers) == seen) {
		if (spins++ < SPINS)
			sched_yield();
		else
			usleep(100);
	}
}

static void reap(pid_t pid)
{
	unsigned int tries;

	for (tries = 0; waitpid(pid, NULL, WNOHANG) == 0; tries++) {
		if (tries == CHILD_LIMIT * 1000) {
			finding("a child did not end in %d s", CHILD_LIMIT);
			kill(pid, SIGKILL);
		}
		usleep(1000);
	}
	client_unlock_of(pid);
}

static void reap_children(void)
{
	while (nr_children)
		reap(children[--nr_children]);
}

static void check_all(void)
{
	bool mine = this_thread == first_thread(threads_of(process_of(this_thread)));
	bool first = this_thread == first_thread(control->threads);

	reap_children();
	barrier();
	if (first)
		oracle_forget_sightings();
	barrier();
	if (mine) {
		oracle_check_process();
		calls_report();
	}
	barrier();
	if (first)
		oracle_check_pool();
	barrier();
}

static void check_expectation(const struct line *line, long ret)
{
	if (line->expect == EXPECT_OK && ret < 0)
		finding("%s: returned %s where it must succeed", line->call->name,
			errno_name(-ret));
	else if (line->expect == EXPECT_ERRNO && ret != -line->error)
		finding("%s: returned %s instead of its error", line->call->name,
			ret < 0 ? errno_name(-ret) : "ok");
}

static void run_line(unsigned int number)
{
	const struct line *line = &program->line[number];
	unsigned int i;
	long ret;

	for (i = 0; i < line->times; i++) {
		kcov_begin();
		ret = line->call->run(line->v);
		kcov_collect();
		control->outcome.result[number] = ret;
		check_expectation(line, ret);
	}
}

static unsigned int run_lines(unsigned int from, unsigned int calls);

static void die_after(unsigned int microseconds)
{
	struct itimerval timer = { .it_value.tv_usec = microseconds };

	signal(SIGALRM, SIG_DFL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

/* The child does this thread's next lines beside the parent, and ends. */
static void fork_child(const struct line *line, unsigned int next)
{
	unsigned int cell;
	pid_t pid;

	if (nr_children == MAX_CHILDREN)
		return;
	pid = fork();
	if (pid > 0)
		children[nr_children++] = pid;
	if (pid)
		return;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	nr_children = 0;
	is_child = true;
	calls_forked();
	kcov_enable(exec_task());
	if (line->v[1])
		die_after(line->v[1]);
	run_lines(next, line->v[0]);
	reap_children();
	for (cell = 0; cell < NR_CELLS; cell++)
		look_at_cell(cell, false);
	_exit(0);
}

/* This thread's lines, so many of them at most, up to a sync; where it stopped. */
static unsigned int run_lines(unsigned int from, unsigned int calls)
{
	const struct line *line;
	unsigned int i, skip = 0;

	for (i = from; i < program->count && program->line[i].call && calls; i++) {
		line = &program->line[i];
		if (line->thread != this_thread)
			continue;
		calls--;
		if (skip) {
			skip--;
		} else if (line->call->run) {
			run_line(i);
		} else {
			fork_child(line, i + 1);
			skip = line->v[0];
		}
	}
	return i;
}

static void *run_thread(void *number)
{
	unsigned int i = 0;

	this_thread = (uintptr_t)number;
	tids[this_thread] = gettid();
	kcov_enable(exec_task());
	barrier();
	for (;;) {
		i = run_lines(i, MAX_LINES);
		check_all();
		if (i == program->count)
			break;
		i++;	/* the sync */
	}
	return NULL;
}

static void on_kick(int signal)
{
	(void)signal;
}

static void run_process(unsigned int process)
{
	unsigned int threads = threads_of(process), leader = first_thread(threads);
	struct sigaction kick = { .sa_handler = on_kick };
	pthread_t other;
	bool both = threads != 1U << leader;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setpgid(0, 0);
	traps_install();
	sigaction(SIGUSR1, &kick, NULL);
	if (both && pthread_create(&other, NULL, run_thread,
				   (void *)(uintptr_t)(leader + 1))) {
		finding("no thread can be made");
		_exit(1);
	}
	run_thread((void *)(uintptr_t)leader);
	if (both)
		pthread_join(other, NULL);
	_exit(0);
}

static void on_alarm(int signal)
{
	(void)signal;
}

/* Once, before any program.  Orphans of what is killed come to us. */
void exec_setup(void)
{
	struct sigaction action = { .sa_handler = on_alarm };

	sigaction(SIGALRM, &action, NULL);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	control = shared_alloc(sizeof(*control));
}

static void kill_all(const pid_t *pids)
{
	unsigned int i;

	for (i = 0; i < NR_PROCESSES; i++)
		if (pids[i] > 0)
			kill(-pids[i], SIGKILL);
}

/* Wait for all of them, orphans included; kill the rest when one dies. */
static void wait_for_all(const pid_t *pids)
{
	unsigned int alarms = 0;
	int status;
	pid_t pid;

	alarm(PROGRAM_LIMIT);
	for (;;) {
		pid = waitpid(-1, &status, 0);
		if (pid < 0 && errno == ECHILD)
			break;
		if (pid < 0 && ++alarms == 2) {
			/* Whatever runs next would run beside it. */
			fprintf(stderr, "slabpool-fuzz: a process cannot be killed\n");
			exit(3);
		}
		if (pid < 0) {
			finding("the program did not end in %d s", PROGRAM_LIMIT);
			alarm(PROGRAM_LIMIT);
			kill_all(pids);
		} else if (status && (pid == pids[0] || pid == pids[1])) {
			finding("a process ended with status %x", status);
			kill_all(pids);
		}
	}
	alarm(0);
}

static unsigned int threads_in(const struct program *what)
{
	unsigned int threads = 0, i;

	for (i = 0; i < what->count; i++)
		if (what->line[i].call)
			threads |= 1U << what->line[i].thread;
	return threads ? threads : 1;
}

/* The outcome is overwritten by the next run. */
const struct outcome *exec_run(const struct program *what)
{
	static u32 next_id = 1;
	pid_t pids[NR_PROCESSES] = {};
	char why[MAX_TEXT];
	unsigned int i;

	program = what;
	memset(control, 0, sizeof(*control));
	control->threads = threads_in(what);
	model_reset(next_id);
	oracle_reset();
	next_id += MAX_CLIENTS;
	kcov_reset();
	fflush(NULL);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets)) {
		perror("slabpool-fuzz: socketpair");
		exit(2);
	}
	for (i = 0; i < NR_PROCESSES; i++) {
		if (!threads_of(i))
			continue;
		pids[i] = fork();
		if (!pids[i])
			run_process(i);
	}
	wait_for_all(pids);
	for (i = 0; i < NR_PROCESSES; i++)
		close(sockets[i]);

	if (!pool_settles(why, sizeof(why)))
		finding("the pool does not settle: %s", why);
	pool_check_books();
	if (kmsg_check(why, sizeof(why))) {
		/* What the kernel says goes before what follows from it. */
		snprintf(control->outcome.text, MAX_TEXT, "the kernel: %.200s", why);
		atomic_store(&control->found, true);
	}
	control->outcome.found = atomic_load(&control->found);
	return &control->outcome;
}

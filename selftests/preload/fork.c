// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Across fork(2) each process has memory of its own: what one writes afterwards
 * the other never sees, both go on allocating, and neither hangs.
 */
#include <spawn.h>
#include <stdatomic.h>

#include "preload.h"

#define OBJECTS	400

struct object {
	char *at;
	size_t size;
};

/* About 14 MiB: small, medium, large and huge. */
static void make(struct object *objects, uint64_t seed)
{
	static const size_t sizes[] = { 16, 100, 1000, 9000, 32000, 100000, 200000 };

	for (int i = 0; i < OBJECTS; i++) {
		size_t size = i % 100 == 99 ? 2500000 : sizes[i % 7] - (size_t)(i % 10);

		objects[i] = (struct object){ malloc(size), size };
		check(objects[i].at);
		t_fill(objects[i].at, size, seed + (uint64_t)i);
	}
}

static void write_all(struct object *objects, uint64_t seed)
{
	for (int i = 0; i < OBJECTS; i++)
		t_fill(objects[i].at, objects[i].size, seed + (uint64_t)i);
}

static bool holds(const struct object *objects, uint64_t seed)
{
	for (int i = 0; i < OBJECTS; i++)
		if (!t_is_filled(objects[i].at, objects[i].size, seed + (uint64_t)i))
			return false;
	return true;
}

static void free_all(struct object *objects)
{
	for (int i = 0; i < OBJECTS; i++)
		free(objects[i].at);
}

/* Two processes in turns: wait for a byte, send a byte. */
struct channel { int to[2], from[2]; };

static void open_channel(struct channel *c)
{
	check(pipe(c->to) == 0 && pipe(c->from) == 0);
}

static void send_byte(int fd)
{
	check(write(fd, "x", 1) == 1);
}

static void await(int fd)
{
	char byte;

	check(read(fd, &byte, 1) == 1);
}

static struct object inherited[OBJECTS];

static int child_of_prefork(struct channel *c, int n)
{
	static struct object own[OBJECTS];

	await(c->to[0]);		/* the parent has written */
	check(holds(inherited, 1000));
	write_all(inherited, 5000 + (uint64_t)n);
	make(own, 9000 + (uint64_t)n);
	send_byte(c->from[1]);
	await(c->to[0]);		/* it has looked, and written again */
	check(holds(inherited, 5000 + (uint64_t)n));
	check(holds(own, 9000 + (uint64_t)n));
	free_all(inherited);
	check(holds(own, 9000 + (uint64_t)n));
	free_all(own);
	return 0;
}

static void values_never_leak(void)
{
	struct channel channel[4];
	pid_t pid[4];

	make(inherited, 1000);
	for (int n = 0; n < 4; n++) {
		open_channel(&channel[n]);
		pid[n] = fork();
		check(pid[n] >= 0);
		if (pid[n] == 0)
			_exit(child_of_prefork(&channel[n], n));
		close(channel[n].from[1]);	/* so that its end is seen */
	}
	write_all(inherited, 2000);
	for (int n = 0; n < 4; n++) {
		send_byte(channel[n].to[1]);
		await(channel[n].from[0]);
		check(holds(inherited, 2000));
	}
	write_all(inherited, 3000);
	for (int n = 0; n < 4; n++) {
		send_byte(channel[n].to[1]);
		check(t_wait(pid[n]) == 0);
	}
	check(holds(inherited, 3000));
	free_all(inherited);
}

/* What nobody touched before the fork is zero in both, and stays apart. */
static void fresh_memory_is_apart(void)
{
	size_t size = 6 * T_MIB;
	char *p = calloc(1, size);
	struct channel c;
	pid_t pid;

	check(p);
	open_channel(&c);
	pid = fork();
	if (pid == 0) {
		await(c.to[0]);
		check(t_is_zero(p, size));
		memset(p, 2, size);
		send_byte(c.from[1]);
		await(c.to[0]);
		check(p[0] == 2 && p[size - 1] == 2);
		_exit(0);
	}
	memset(p, 1, size);
	send_byte(c.to[1]);
	await(c.from[0]);
	check(p[0] == 1 && p[size - 1] == 1);
	send_byte(c.to[1]);
	check(t_wait(pid) == 0);
}

/* ---- from a process with threads ---------------------------------------- */

#define THREADS	8

static _Atomic bool stop;
static void *_Atomic exchange[T_EXCHANGE];

static void *churn(void *arg)
{
	t_churn(exchange, &stop, (uintptr_t)arg);
	return NULL;
}

static void allocate_in_child(void)
{
	char *p[300];

	for (size_t i = 0; i < 300; i++) {
		p[i] = malloc(i * i);
		check(p[i]);
		memset(p[i], 1, i * i);
	}
	for (size_t i = 0; i < 300; i++)
		free(p[i]);
}

static void fork_among_allocating_threads(void)
{
	pthread_t thread[THREADS];
	double until = t_now() + 8;	/* on a busy machine that is a few rounds */
	int rounds = 0, code;

	for (uintptr_t i = 0; i < THREADS; i++)
		check(pthread_create(&thread[i], NULL, churn, (void *)(i + 1)) == 0);
	for (; rounds < 5 || (rounds < 200 && t_now() < until); rounds++) {
		pid_t pid = fork();

		check(pid >= 0);
		if (pid == 0) {
			allocate_in_child();
			/* What others handed over is whole: their hit paths are not ours. */
			for (int i = 0; i < 64; i += 7)
				free(atomic_exchange(&exchange[i], NULL));
			_exit(0);
		}
		code = t_wait(pid);
		note("child %d ended with %d\n", rounds, code);
		check(code == 0);
	}
	stop = true;
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
}

static void *fork_here(void *unused)
{
	pid_t pid = fork();

	check(pid >= 0);
	if (pid == 0) {
		pthread_t thread;
		void *p = malloc(40 * T_MIB);

		/* The child is a process as any other: threads, exit handlers. */
		check(p);
		check(holds(inherited, 1));
		stop = false;
		check(pthread_create(&thread, NULL, churn, (void *)77) == 0);
		t_sleep_ms(20);
		stop = true;
		pthread_join(thread, NULL);
		free(p);
		free_all(inherited);
		exit(0);
	}
	check(t_wait(pid) == 0);
	return unused;
}

static void fork_from_second_thread(void)
{
	pthread_t thread;

	make(inherited, 1);
	for (int i = 0; i < 5; i++) {
		check(pthread_create(&thread, NULL, fork_here, NULL) == 0);
		pthread_join(thread, NULL);
	}
	check(holds(inherited, 1));
	free_all(inherited);
}

#define STOCK	20000

static void *stock[STOCK];
static _Atomic int next_in_stock = STOCK, freed;

static void *free_stock(void *unused)
{
	while (!stop) {
		int i = next_in_stock < STOCK ? next_in_stock++ : STOCK;

		if (i >= STOCK)
			continue;
		free(stock[i]);
		freed++;
	}
	return unused;
}

/* No two of as many objects are one, whatever became of those freed. */
static void reuse_stock(void)
{
	static int *fresh[STOCK];

	for (int i = 0; i < STOCK; i++) {
		fresh[i] = malloc(64);
		check(fresh[i]);
		*fresh[i] = i;
	}
	for (int i = 0; i < STOCK; i++)
		check(*fresh[i] == i);
}

/* Others free, without a lock, what belongs to the thread that forks. */
static void frees_by_others_are_whole(void)
{
	pthread_t thread[3];
	double until = t_now() + 5;

	for (int i = 0; i < 3; i++)
		check(pthread_create(&thread[i], NULL, free_stock, NULL) == 0);
	for (int n = 0; n < 100 && t_now() < until; n++) {
		pid_t pid;

		for (int i = 0; i < STOCK; i++) {
			stock[i] = malloc(64);
			check(stock[i]);
			memset(stock[i], 0x5a, 64);
		}
		freed = 0;
		next_in_stock = 0;
		pid = fork();
		check(pid >= 0);
		if (pid == 0) {
			reuse_stock();
			_exit(0);
		}
		check(t_wait(pid) == 0);
		while (freed < STOCK)
			sched_yield();
	}
	stop = true;
	for (int i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
}

/* ---- children of children ----------------------------------------------- */

static void descend(int depth)
{
	pid_t pid;

	check(holds(inherited, (uint64_t)depth * 100000));
	if (depth == 4)
		return;
	pid = fork();
	check(pid >= 0);
	if (pid == 0) {
		write_all(inherited, (uint64_t)(depth + 1) * 100000);
		descend(depth + 1);
		allocate_in_child();
		_exit(0);
	}
	check(t_wait(pid) == 0);
	check(holds(inherited, (uint64_t)depth * 100000));
}

static void nested(void)
{
	make(inherited, 0);
	descend(0);
	free_all(inherited);
}

/* As a daemon does: who forked it ends at once, and it has what there was. */
static void child_outlives_its_parent(void)
{
	struct channel c;
	pid_t pid;

	make(inherited, 1);
	open_channel(&c);
	pid = fork();
	check(pid >= 0);
	if (pid == 0) {
		write_all(inherited, 2);
		pid = fork();
		check(pid >= 0);
		if (pid)
			_exit(0);
		await(c.to[0]);		/* that one has ended */
		check(holds(inherited, 2));
		write_all(inherited, 3);
		allocate_in_child();
		check(holds(inherited, 3));
		free_all(inherited);
		send_byte(c.from[1]);
		_exit(0);
	}
	check(t_wait(pid) == 0);
	send_byte(c.to[1]);
	close(c.from[1]);	/* so that its end is seen */
	await(c.from[0]);
	check(holds(inherited, 1));
	free_all(inherited);
}

/* Memory that ended processes held is back: the source does not run dry. */
static void many_in_a_row(void)
{
	int rounds = t_emulated() ? 10 : 100;
	char *p = malloc(30 * T_MIB);

	check(p);
	memset(p, 1, 30 * T_MIB);
	for (int n = 0; n < rounds; n++) {
		pid_t pid = fork();

		check(pid >= 0);
		if (pid == 0) {
			memset(p, 2, 30 * T_MIB);
			allocate_in_child();
			_exit(0);
		}
		check(t_wait(pid) == 0);
		check(p[0] == 1 && p[30 * T_MIB - 1] == 1);
	}
}

/* ---- programs that only exec -------------------------------------------- */

extern char **environ;

/* Seconds for two programs, one by posix_spawn() and one by vfork(). */
static double spawned(void)
{
	char *argv[] = { "true", NULL };
	double start = t_now();
	pid_t pid;

	check(posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ) == 0);
	check(t_wait(pid) == 0);
	pid = vfork();
	if (pid == 0) {
		execl("/bin/true", "true", NULL);
		_exit(1);
	}
	check(t_wait(pid) == 0);
	return t_now() - start;
}

/* The shortest of several. */
static double spawning(void)
{
	double least = 1e9, took;

	for (int i = 0; i < 20; i++) {
		took = spawned();
		if (took < least)
			least = took;
	}
	return least;
}

/* Whatever the heap: to copy it for such children would be for nothing. */
static void spawn_is_cheap(void)
{
	double start, copying, without, with = 0;
	char *p, *copy;

	unsetenv("LD_PRELOAD");
	without = spawning();
	p = malloc(120 * T_MIB);
	copy = malloc(120 * T_MIB);
	check(p && copy);
	memset(p, 1, 120 * T_MIB);
	start = t_now();
	memcpy(copy, p, 120 * T_MIB);
	copying = t_now() - start;
	hide(copy);
	free(copy);
	for (int i = 0; i < 4; i++) {
		with = spawning();
		/* Two copies, one for each child, would take twice this. */
		if (with < without + copying)
			break;
	}
	note("two in %.1f ms, in %.1f ms before, %.1f ms for a copy\n",
	     with * 1e3, without * 1e3, copying * 1e3);
	check(with < without + copying);
	hide(p);
}

static void shell_commands(void)
{
	char *p = malloc(30 * T_MIB), line[64] = "";
	FILE *pipe;

	check(p);
	memset(p, 1, 30 * T_MIB);
	hide(p);
	for (int i = 0; i < 5; i++) {
		check(system("test $(echo a | tr a b) = b") == 0);
		pipe = popen("seq 3 | sort -r | tr '\\n' ' '", "r");
		check(pipe && fgets(line, sizeof(line), pipe));
		check(strcmp(line, "3 2 1 ") == 0);
		check(pclose(pipe) == 0);
	}
}

static void exec_after_fork_without_heap(void)
{
	char *p = malloc(30 * T_MIB);
	pid_t pid;

	check(p);
	memset(p, 1, 30 * T_MIB);
	hide(p);
	for (int i = 0; i < 10; i++) {
		pid = fork();
		check(pid >= 0);
		if (pid == 0) {
			execl("/bin/true", "true", NULL);
			_exit(1);
		}
		check(t_wait(pid) == 0);
	}
}

/* ---- when it goes wrong ------------------------------------------------- */

/* Whoever appears below @parent, other than itself, is killed at once. */
static void kill_children_of(pid_t parent)
{
	char path[64], list[256];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", parent, parent);
	for (;;) {
		int fd = open(path, O_RDONLY);
		ssize_t n = read(fd, list, sizeof(list) - 1);
		char *at = list;

		if (n < 0)
			_exit(1);
		list[n] = '\0';
		close(fd);
		for (pid_t pid; (pid = (pid_t)strtol(at, &at, 10)) > 0; )
			if (pid != getpid())
				kill(pid, SIGKILL);
	}
}

static void children_are_killed(void)
{
	size_t size = 90 * T_MIB;
	pid_t parent = getpid(), killer = fork();
	int killed = 0;
	char *p;

	if (killer == 0)
		kill_children_of(parent);
	p = malloc(size);
	check(p);
	t_fill(p, size, 1);
	for (int i = 0; i < 20; i++) {
		pid_t pid = fork();

		check(pid >= 0);
		if (pid == 0) {
			t_sleep_ms(200);
			_exit(0);
		}
		killed += t_wait(pid) == 128 + SIGKILL;
		allocate_in_child();
	}
	kill(killer, SIGKILL);
	check(t_wait(killer) == 128 + SIGKILL);
	check(killed > 0);
	check(t_is_filled(p, size, 1));
}

/* Hpages of the device that are left on the node of CPU 0. */
static size_t left_in_pool(void)
{
	char text[32];
	size_t n;

	t_read_file("/sys/class/misc/slabpool/node0/zeroed_hugepages", text, sizeof(text));
	n = (size_t)atol(text);
	t_read_file("/sys/class/misc/slabpool/node0/dirty_hugepages", text, sizeof(text));
	return n + (size_t)atol(text);
}

static void child_killed_while_copying(void)
{
	children_are_killed();
}

/* What the library writes to stderr until it is put back. */
static int divert_stderr(int *kept)
{
	int fd = memfd_create("stderr", 0);

	*kept = dup(STDERR_FILENO);
	check(fd >= 0 && *kept >= 0);
	check(dup2(fd, STDERR_FILENO) == STDERR_FILENO);
	return fd;
}

static void pool_cannot_supply_copies(void)
{
	struct slabpool_stats stats;
	char line[512] = "";
	size_t size = left_in_pool() * 6 / 10 * T_HPAGE;
	char *p = t_lib(slabpool_malloc_onnode)(size, 0);
	int kept, diverted;
	pid_t pid;

	check(p);
	/* Behind the line about the source. */
	diverted = divert_stderr(&kept);
	t_fill(p, size, 1);
	check(t_stats().fork_fallbacks == 0 && t_stats().fork_copies == 0);
	pid = fork();
	check(pid >= 0);
	if (pid == 0) {
		stats = t_stats();
		check(stats.fork_copies == 0);
		check(stats.fork_fallbacks >= size / T_HPAGE);
		check(t_is_filled(p, size, 1));
		t_fill(p, size, 2);
		allocate_in_child();
		free(p);
		allocate_in_child();
		_exit(0);
	}
	t_fill(p, size / 2, 3);
	check(t_wait(pid) == 0);
	check(t_is_filled(p, size / 2, 3));
	check(t_stats().fork_fallbacks == 0 && t_stats().fork_copies == 1);
	check(dup2(kept, STDERR_FILENO) == STDERR_FILENO);
	check(pread(diverted, line, sizeof(line) - 1, 0) > 0);
	note("%s", line);
	check(strcmp(line, "slabpool: fork: no snapshot: Cannot allocate memory; "
			   "the child copies the heap at once\n") == 0);
	free(p);
}

/* ---- with the module's help --------------------------------------------- */

#define WORDS	8

static struct {
	volatile uint64_t *word[WORDS];	/* each in an hpage of its own */
	_Atomic bool stop;
} turn;

/* One number after the other, into each word in turn. */
static void *write_in_turn(void *unused)
{
	for (uint64_t n = 1; !turn.stop; n++)
		for (int i = 0; i < WORDS; i++)
			*turn.word[i] = n;
	return unused;
}

/* No later write without the ones before it. */
static bool is_one_moment(void)
{
	for (int i = 1; i < WORDS; i++)
		if (*turn.word[i] > *turn.word[i - 1] || *turn.word[i] + 1 < *turn.word[0])
			return false;
	return true;
}

static void picture_is_of_one_moment(void)
{
	pthread_t thread;
	double until = t_now() + 5;
	uint64_t before;

	for (int i = 0; i < WORDS; i++) {
		turn.word[i] = calloc(1, T_HPAGE + 4096);
		check(turn.word[i]);
	}
	check(pthread_create(&thread, NULL, write_in_turn, NULL) == 0);
	for (int n = 0; n < 50 && t_now() < until; n++) {
		pid_t pid = fork();

		check(pid >= 0);
		if (pid == 0) {
			check(is_one_moment());
			before = *turn.word[0];
			t_sleep_ms(10);
			check(*turn.word[0] == before && is_one_moment());
			_exit(0);
		}
		check(t_wait(pid) == 0);
	}
	check(t_stats().fork_copies == 0);
	turn.stop = true;
	pthread_join(thread, NULL);
	for (int i = 1; i < WORDS; i++)
		check(*turn.word[i] == *turn.word[0]);
}

/* As a prefork server: all from one moment to the next, all alive at once. */
static void sixty_four_children(void)
{
	struct channel c;
	pid_t pid[64];
	int *number = malloc(sizeof(*number)), *other;
	char byte;

	check(number);
	open_channel(&c);
	for (int n = 0; n < 64; n++) {
		*number = n;
		pid[n] = fork();
		check(pid[n] >= 0);
		if (pid[n])
			continue;
		close(c.to[1]);
		check(read(c.to[0], &byte, 1) == 0);	/* until the parent closes it */
		check(*number == n);
		*number = 1000 + n;
		/* Not much: all of them together must find room in the pool. */
		other = malloc(sizeof(*other));
		check(other);
		*other = n;
		check(*number == 1000 + n && *hide(other) == n);
		free(number);
		_exit(0);
	}
	*number = 64;
	close(c.to[0]);
	close(c.to[1]);
	for (int n = 0; n < 64; n++)
		check(t_wait(pid[n]) == 0);
	check(*number == 64);
	check(t_stats().fork_copies == 0);
	free(number);
}

/* Who may not open the device any more has no snapshot, but may fork. */
static void fork_without_device(void)
{
	pid_t pid;

	check(open("/dev/slabpool", O_RDWR) < 0);
	pid = fork();
	check(pid >= 0);
	if (pid == 0) {
		check(holds(inherited, 2));
		write_all(inherited, 4);
		allocate_in_child();
		check(holds(inherited, 4));
		_exit(0);
	}
	check(t_wait(pid) == 0);
	check(t_stats().fork_copies == 1);
}

static void child_drops_its_privileges(void)
{
	pid_t pid;

	make(inherited, 1);
	pid = fork();
	check(pid >= 0);
	if (pid == 0) {
		check(chroot("/sys") == 0 && chdir("/") == 0);
		check(setresgid(65534, 65534, 65534) == 0);
		check(setresuid(65534, 65534, 65534) == 0);
		check(holds(inherited, 1));
		write_all(inherited, 2);
		allocate_in_child();
		fork_without_device();
		check(holds(inherited, 2));
		free_all(inherited);
		allocate_in_child();
		_exit(0);
	}
	write_all(inherited, 3);
	check(t_wait(pid) == 0);
	check(holds(inherited, 3));
	free_all(inherited);
}

static void program_closed_the_descriptors(void)
{
	make(inherited, 1);
	for (int n = 0; n < 3; n++) {
		pid_t pid;

		for (int fd = 3; fd < 1024; fd++)
			close(fd);
		pid = fork();
		check(pid >= 0);
		if (pid == 0) {
			for (int fd = 3; fd < 1024; fd++)
				close(fd);
			write_all(inherited, 2);
			allocate_in_child();
			check(holds(inherited, 2));
			_exit(0);
		}
		check(t_wait(pid) == 0);
		check(holds(inherited, 1));
	}
	check(t_stats().fork_copies == 0);
	free_all(inherited);
}

static size_t used_in_pools(void)
{
	char text[32];
	size_t sum = 0;

	for (int node = 0; node < 2; node++) {
		char path[100];

		snprintf(path, sizeof(path),
			 "/sys/class/misc/slabpool/node%d/used_hugepages", node);
		t_read_file(path, text, sizeof(text));
		sum += (size_t)atol(text);
	}
	return sum;
}

static void forks_leave_nothing_behind(void)
{
	double until = t_now() + 10;
	size_t before;

	make(inherited, 1);
	before = used_in_pools();
	for (int n = 0; n < 60 && (n < 5 || t_now() < until); n++) {
		pid_t pid = fork();

		check(pid >= 0);
		if (pid == 0) {
			for (int i = n % 5; i < OBJECTS; i += 5)
				t_fill(inherited[i].at, inherited[i].size, 2);
			_exit(0);
		}
		for (int i = n % 7; i < OBJECTS; i += 7)
			t_fill(inherited[i].at, inherited[i].size, 3);
		check(t_wait(pid) == 0);
		/* Less, when the parent gives back what it does not need. */
		check(used_in_pools() <= before);
	}
	check(t_stats().fork_copies == 0);
	free_all(inherited);
}

static void values_never_leak_when_copied(void)
{
	values_never_leak();
	check(t_stats().fork_copies == 0);	/* it was asked for */
}

/*
 * More than half of the hugetlb pool: a copy on write finds no page, and the
 * process that fork()ed must not pay for that with its life.
 */
static void parent_survives_short_pool(void)
{
	size_t size = 300 * T_MIB;
	struct channel c;
	char *p = malloc(size);
	pid_t pid;

	check(p);
	memset(p, 1, size);
	open_channel(&c);
	pid = fork();
	check(pid >= 0);
	if (pid == 0) {
		await(c.to[0]);
		_exit(p[0] == 1 && p[size - 1] == 1 ? 0 : 1);
	}
	memset(p, 2, size);
	check(hide(p)[0] == 2);
	send_byte(c.to[1]);
	check(t_wait(pid) == 0);
}

static void allocate(void)
{
	free(malloc(100000));
	free(malloc(100));
}

/* Other libraries' handlers allocate; they may run before ours or after. */
static void handlers_allocate(void)
{
	char *p;

	check(pthread_atfork(allocate, allocate, allocate) == 0);
	for (int i = 0; i < 5; i++) {
		pid_t pid = fork();

		check(pid >= 0);
		if (pid == 0) {
			p = calloc(1, 3000000);
			check(p && t_is_zero(p, 3000000));
			free(p);
			_exit(0);
		}
		check(t_wait(pid) == 0);
	}
}

/* What the parent is just giving back is not zero yet when the child finds it. */
static void calloc_is_zero_in_the_child(void)
{
	enum { SIZE = 6000000, COUNT = 10 };
	double until = t_now() + 8;
	char *p[COUNT];

	for (int round = 0; round < 20 && (round < 3 || t_now() < until); round++) {
		pid_t pid;

		for (int i = 0; i < COUNT; i++) {
			p[i] = malloc(SIZE);
			check(p[i]);
			memset(p[i], 0x5a, SIZE);
		}
		for (int i = 0; i < COUNT; i++)
			free(p[i]);
		pid = fork();
		check(pid >= 0);
		if (pid == 0) {
			for (int i = 0; i < COUNT; i++) {
				p[i] = calloc(1, SIZE);
				check(p[i] && t_is_zero(p[i], SIZE));
			}
			_exit(0);
		}
		check(t_wait(pid) == 0);
	}
}

static _Atomic bool grown;

/* As fast as it goes up to 24 MiB, then so that the stock keeps pace: 64 MiB. */
static void *grow_slowly(void *unused)
{
	for (int i = 0; i < 64000; i++) {
		char *p = malloc(1000);

		check(p);
		memset(p, 1, 1000);
		if (i > 24000 && i % 100 == 0)
			t_sleep_ms(1);
	}
	grown = true;
	return unused;
}

/* Of what was ready when it began the child makes its own use, and finds it zero. */
static void stock_is_everybodys_own(void)
{
	static struct object own[OBJECTS];
	pthread_t thread;

	check(pthread_create(&thread, NULL, grow_slowly, NULL) == 0);
	for (int n = 0; !grown; n++) {
		pid_t pid = fork();

		check(pid >= 0);
		if (pid == 0) {
			char *p = calloc(1, 3000000), *q = calloc(1, 200000);

			check(p && t_is_zero(p, 3000000) && q && t_is_zero(q, 200000));
			make(own, 100);
			check(holds(own, 100));
			free_all(own);
			check(t_lib(slabpool_release)() > 0);
			check(t_stats().stock == 0);
			_exit(0);
		}
		make(own, (uint64_t)n);
		check(holds(own, (uint64_t)n));
		free_all(own);
		check(t_wait(pid) == 0);
	}
	pthread_join(thread, NULL);
	note("%llu filled\n", (unsigned long long)t_stats().stock_fills);
	check(t_stats().stock_fills > 0);
}

static void stock_when_copied(void) { stock_is_everybodys_own(); }

static const struct t_case cases[] = {
	CASE(values_never_leak),
	CASE(fresh_memory_is_apart),
	CASE(fork_among_allocating_threads, .seconds = 60),
	CASE(fork_from_second_thread),
	CASE(frees_by_others_are_whole, .seconds = 60),
	CASE(nested),
	CASE(child_outlives_its_parent),
	CASE(many_in_a_row, .seconds = 60),
	CASE(spawn_is_cheap),
	CASE(shell_commands, .conf = "verbose:false"),
	CASE(exec_after_fork_without_heap, .conf = "fork:none"),
	CASE(handlers_allocate),
	CASE(calloc_is_zero_in_the_child, .conf = "decay_ms:0", .seconds = 60),
	CASE(values_never_leak_when_copied, .conf = "fork:copy"),
	CASE(stock_is_everybodys_own, .seconds = 60),
	CASE(stock_when_copied, .conf = "fork:copy", .flags = T_DEVICE, .seconds = 60),
	CASE(children_are_killed, .seconds = 40),
	CASE(child_killed_while_copying, .conf = "fork:copy", .flags = T_DEVICE, .seconds = 40),
	CASE(sixty_four_children, .flags = T_THP | T_DEVICE, .seconds = 60),
	CASE(pool_cannot_supply_copies, .conf = "verbose:true", .err = "source device",
	     .flags = T_DEVICE),
	CASE(picture_is_of_one_moment, .flags = T_DEVICE, .seconds = 60),
	CASE(child_drops_its_privileges, .flags = T_DEVICE | T_ROOT),
	CASE(program_closed_the_descriptors, .flags = T_DEVICE),
	/* Without the thread, so that no stock is filled meanwhile. */
	CASE(forks_leave_nothing_behind, .conf = "background_thread:false",
	     .flags = T_DEVICE, .seconds = 60),
	CASE(parent_survives_short_pool, .flags = T_HUGETLB),
};

T_CASES(cases)

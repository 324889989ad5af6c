// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The kernel refuses: all system calls of the library stand behind lib/sys.h, and this
 * program is linked with doubles of those that can fail (see the Makefile).  Whichever
 * of them does, in a trace of 10,000 steps, the malloc family agrees with its model,
 * NULL is ENOMEM, and when the kernel is kind again everything can be had again.
 */
#include <pthread.h>
#include <stdlib.h>

#include "../preload/preload.h"
#include "meta.h"
#include "node.h"
#include "source.h"
#include "sys.h"
#include "kselftest_harness.h"
#include "model.h"
#include "slabpool.h"

/* Each step takes several times as long. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define STEPS	1000
#else
#define STEPS	10000
#endif

enum call {
	RESERVE, MAP, UNMAP, PROTECT, MOVE, ADVISE, BIND, OPEN, READ, DUP, PIPE, IOCTL,
	REGISTER, BARRIER, RANDOM, THREAD,
	CALLS
};

/* Which calls are refused. */
static struct {
	unsigned long every;	/* each n-th; 0: none */
	unsigned long only;	/* the n-th and no other; 0: none */
	unsigned int kinds;	/* all of these: bits by enum call */
} refused;

static _Atomic unsigned long calls, refusals;

static bool refuse(enum call kind)
{
	unsigned long n = ++calls;
	bool yes = (refused.every && n % refused.every == 0) || n == refused.only ||
		   (refused.kinds >> kind & 1);

	refusals += yes;
	return yes;
}

/* sp_sys_NAME(): refused with ERROR, or the real one. */
#define DOUBLE(kind, error, name, parameters, arguments)		\
	int __real_sp_sys_##name parameters;				\
	int __wrap_sp_sys_##name parameters;				\
	int __wrap_sp_sys_##name parameters				\
	{								\
		return refuse(kind) ? -(error) : __real_sp_sys_##name arguments;	\
	}

DOUBLE(UNMAP, ENOMEM, unmap, (void *addr, size_t size), (addr, size))
DOUBLE(PROTECT, ENOMEM, protect_rw, (void *addr, size_t size), (addr, size))
DOUBLE(MOVE, ENOMEM, move, (void *from, void *to, size_t size), (from, to, size))
DOUBLE(ADVISE, ENOMEM, advise, (void *addr, size_t size, int advice), (addr, size, advice))
DOUBLE(BIND, ENOMEM, bind, (void *addr, size_t size, int node, bool strict),
       (addr, size, node, strict))
DOUBLE(OPEN, EMFILE, open, (const char *path, int flags), (path, flags))
DOUBLE(DUP, EMFILE, dup_high, (int fd), (fd))
DOUBLE(PIPE, EMFILE, pipe, (int fds[2]), (fds))
DOUBLE(IOCTL, ENOMEM, ioctl, (int fd, unsigned long cmd, void *arg), (fd, cmd, arg))
DOUBLE(REGISTER, EPERM, membarrier_register, (void), ())
DOUBLE(BARRIER, EPERM, membarrier, (void), ())
DOUBLE(RANDOM, EAGAIN, random, (void *buf, size_t size), (buf, size))

ssize_t __real_sp_sys_read(int fd, void *buf, size_t size);
ssize_t __wrap_sp_sys_read(int fd, void *buf, size_t size);
ssize_t __wrap_sp_sys_read(int fd, void *buf, size_t size)
{
	return refuse(READ) ? -EIO : __real_sp_sys_read(fd, buf, size);
}

void *__real_sp_sys_reserve(size_t size, int *err);
void *__wrap_sp_sys_reserve(size_t size, int *err);
void *__wrap_sp_sys_reserve(size_t size, int *err)
{
	if (!refuse(RESERVE))
		return __real_sp_sys_reserve(size, err);
	*err = -ENOMEM;
	return NULL;
}

void *__real_sp_sys_map_fd(void *addr, size_t size, int prot, int flags, int fd,
			   uint64_t offset, int *err);
void *__wrap_sp_sys_map_fd(void *addr, size_t size, int prot, int flags, int fd,
			   uint64_t offset, int *err);
void *__wrap_sp_sys_map_fd(void *addr, size_t size, int prot, int flags, int fd,
			   uint64_t offset, int *err)
{
	/* What is there already is replaced whole: that needs no memory. */
	bool again = flags == (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED);

	if (again || !refuse(MAP))
		return __real_sp_sys_map_fd(addr, size, prot, flags, fd, offset, err);
	*err = -ENOMEM;
	return NULL;
}

int __real_pthread_create(pthread_t *id, const pthread_attr_t *attr, void *(*run)(void *),
			  void *arg);
int __wrap_pthread_create(pthread_t *id, const pthread_attr_t *attr, void *(*run)(void *),
			  void *arg);
int __wrap_pthread_create(pthread_t *id, const pthread_attr_t *attr, void *(*run)(void *),
			  void *arg)
{
	return refuse(THREAD) ? EAGAIN : __real_pthread_create(id, attr, run, arg);
}

/* ---- the trace ---------------------------------------------------------- */

#define OBJECTS	500
#define MOST	(4 * SP_MIB)

static struct model_object objects[OBJECTS];

static const struct model_family family = {
	MODEL_LIBRARY,
	.may_fail = true,
};

static const char *steps(uint64_t *seed, int n)
{
	const char *wrong = NULL;

	while (n-- && !wrong) {
		struct model_step step = model_random_step(seed, MOST);

		/* Few pieces of the window, so that lost addresses are seen. */
		if (step.align > SP_HPAGE && step.align <= SP_GIB)
			step.align = SP_HPAGE;
		wrong = model_step(&family, &objects[model_random(seed) % OBJECTS], &step);
	}
	return wrong;
}

static const char *thread_wrong;

/* A thread's life: it leaves what it made to the first. */
static void *live(void *seed)
{
	thread_wrong = steps(seed, 100);
	return NULL;
}

static const char *in_a_thread(uint64_t *seed)
{
	pthread_t id;

	if (__real_pthread_create(&id, NULL, live, seed) || pthread_join(id, NULL))
		return "no thread";
	return thread_wrong;
}

/* What copies the heap for a child may have no memory to: the child says so and ends. */
static const char *in_a_child(uint64_t *seed)
{
	bool may_end = sp_source()->must_copy && refusals;
	pid_t pid = fork();
	int code;

	if (pid == 0)
		_exit(steps(seed, 100) ? 2 : 0);
	code = t_wait(pid);
	return code == 0 || (code == 1 && may_end) ? NULL : "a child saw something else";
}

static const char *a_region(void)
{
	char *p;

	errno = 0;
	p = slabpool_region_map(2 * SP_HPAGE, SLABPOOL_NODE_LOCAL, 0);
	if (!p)
		/* A region of the device has a descriptor of its own. */
		return errno == ENOMEM || errno == EMFILE ? NULL : "no region, and a strange error";
	if (p[0] || p[2 * SP_HPAGE - 1])
		return "a region is not zero";
	p[0] = p[2 * SP_HPAGE - 1] = 1;
	return slabpool_region_unmap(p) ? "a region cannot be unmapped" : NULL;
}

static const char *trace(uint64_t seed)
{
	int rounds = STEPS / 100 / (t_emulated() ? 10 : 1);
	const char *wrong = NULL;

	for (int round = 1; round <= rounds && !wrong; round++) {
		wrong = round % 3 ? steps(&seed, 100) : in_a_thread(&seed);
		if (!wrong && round % 7 == 0)
			slabpool_release();
		if (!wrong && round % 5 == 0)
			wrong = a_region();
		if (!wrong && round % 40 == 9)
			wrong = in_a_child(&seed);
	}
	return wrong;
}

static const char *all_is_well_again(void)
{
	struct slabpool_stats stats;
	const char *wrong = NULL;
	char *p;

	memset(&refused, 0, sizeof(refused));
	for (int i = 0; i < OBJECTS && !wrong; i++)
		wrong = model_free(&family, &objects[i], true);
	if (wrong)
		return wrong;
	slabpool_release();
	for (int id = 0; id < SP_MAX_NODES; id++)
		if (sp_node_get(id) && !sp_node_check(sp_node_get(id)))
			return "a node's equations do not hold";
	if (slabpool_stats(&stats, sizeof(stats)))
		return "no statistics";
	if (stats.committed > 2 * SP_HPAGE ||
	    stats.commits != stats.decommits + stats.committed / SP_HPAGE)
		return "the books are wrong";
	/* Each node's piece of 1 GiB, and no more; the library's own memory likewise. */
	if (sp_map.span > 2 * SP_GIB || sp_meta_bytes() > 4 * SP_MIB)
		return "addresses were lost";
	p = slabpool_calloc(1, 64 * SP_MIB);
	if (!p || !model_is_zero((unsigned char *)p, 64 * SP_MIB))
		return "no memory when there is some";
	slabpool_free(p);
	return NULL;
}

/* A life of the library that is refused what the caller says: an exit code. */
static int life(const char *conf, bool from_the_start, unsigned long seed)
{
	typeof(refused) wish = refused;
	const char *wrong;
	int err;

	setenv("SLABPOOL_CONF", conf, 1);
	if (!from_the_start)
		memset(&refused, 0, sizeof(refused));
	err = slabpool_init();
	refused = wish;
	calls = from_the_start ? (unsigned long)calls : 0;
	if (!err) {
		wrong = trace(seed);
		wrong = wrong ? wrong : all_is_well_again();
	} else {
		errno = 0;
		wrong = from_the_start && err < 0 && !slabpool_malloc(10) && errno == -err &&
			slabpool_init_error()[0] ? NULL : "it does not say why it cannot begin";
	}
	if (!wrong)
		return refusals ? 0 : 2;
	printf("# every %lu, only %lu, kinds %#x, %s: %s\n", wish.every, wish.only,
	       wish.kinds, conf, wrong);
	fflush(stdout);
	return 1;
}

/* In a process of its own: 0 well, 1 not, 2 well and nothing was refused. */
static int refuse_in_child(unsigned long every, unsigned long only, unsigned int kinds,
			   bool from_the_start, const char *conf)
{
	pid_t pid = fork();
	int code;

	if (pid == 0) {
		refused.every = every;
		refused.only = only;
		refused.kinds = kinds;
		_exit(model_init() ? life(conf, from_the_start, 20260101 + every + only) : 1);
	}
	code = t_wait(pid);
	if (code > 2)
		printf("# every %lu, only %lu, kinds %#x, %s: ended with %d\n", every, only, kinds,
		       conf, code);
	return code > 2 ? 1 : code;
}

FIXTURE(refused) {
	char conf[64], slow[64];	/* of both sorts: how often, and how thoroughly */
	char pages[32];		/* of the hugetlb pool before; "": not changed */
	bool missing;
};

/* The thp source clears nothing that is not touched: more lives in the same time. */
FIXTURE_VARIANT(refused) {
	const char *backend;
	unsigned long most;
};

FIXTURE_VARIANT_ADD(refused, thp) { .backend = "thp", .most = 20 };
FIXTURE_VARIANT_ADD(refused, hugetlb) { .backend = "hugetlb", .most = 6 };
FIXTURE_VARIANT_ADD(refused, device) { .backend = "device", .most = 6 };

FIXTURE_SETUP(refused)
{
	snprintf(self->conf, sizeof(self->conf), "backend:%s,decay_ms:0", variant->backend);
	snprintf(self->slow, sizeof(self->slow), "backend:%s,decay_ms:30,secure:true",
		 variant->backend);
	if (!strcmp(variant->backend, "hugetlb"))
		self->missing = !t_get_hugetlb(self->pages, sizeof(self->pages));
	else if (!strcmp(variant->backend, "device"))
		self->missing = !t_has_device();
}

FIXTURE_TEARDOWN(refused)
{
	if (self->pages[0])
		t_write_file(T_NR_HUGEPAGES, self->pages);
}

TEST_F(refused, every_nth_call)
{
	if (self->missing)
		SKIP(return, "no %s here", variant->backend);
	for (unsigned long n = 1; n <= variant->most; n++) {
		EXPECT_EQ(0, refuse_in_child(n, 0, 0, false, self->conf));
		EXPECT_NE(1, refuse_in_child(n * 7, 0, 0, false, self->slow));
	}
}

TEST_F(refused, all_calls_of_one_kind)
{
	if (self->missing)
		SKIP(return, "no %s here", variant->backend);
	for (int kind = 0; kind < CALLS; kind++) {
		EXPECT_NE(1, refuse_in_child(0, 0, 1u << kind, false, self->conf));
		EXPECT_NE(1, refuse_in_child(0, 0, 1u << kind, true, self->slow));
	}
}

TEST_F(refused, one_call_from_the_start_on)
{
	if (self->missing)
		SKIP(return, "no %s here", variant->backend);
	for (unsigned long n = 1; n <= 3 * variant->most; n++)
		EXPECT_EQ(0, refuse_in_child(0, n, 0, true, self->conf));
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * A caller whose structure lies on a page that somebody else serves, and takes
 * his time: whatever happens to the client meanwhile, the call ends well.
 */
#include "kselftest_harness.h"
#include "helpers.h"

#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>

#define PAGE	4096UL
#define HPAGES	4

/* The call under way, and the memory it waits for. */
struct call {
	int fd;
	unsigned int cmd;
	char *argument;	/* where the structure begins */
	int ret;
};

FIXTURE(stall) {
	int fd;
	int uffd;
	size_t hpage;
	char *map;	/* of the client */
	char *pages;	/* two: the first is there, the second is served */
	char *served;	/* what the second will hold */
	int into;	/* a client for a snapshot, -1 for other calls */
	struct call call;
};

FIXTURE_VARIANT(stall) {
	unsigned int cmd;
	size_t size;
	size_t ahead;	/* bytes of the structure that are there already */
};

FIXTURE_VARIANT_ADD(stall, info) {
	.cmd = SLABPOOL_IOC_INFO, .size = sizeof(struct slabpool_ioc_info),
	.ahead = 8,
};
FIXTURE_VARIANT_ADD(stall, commit) {
	.cmd = SLABPOOL_IOC_COMMIT, .size = sizeof(struct slabpool_ioc_commit),
	.ahead = 16,
};
FIXTURE_VARIANT_ADD(stall, commit_from_its_size_on) {
	.cmd = SLABPOOL_IOC_COMMIT, .size = sizeof(struct slabpool_ioc_commit),
};
FIXTURE_VARIANT_ADD(stall, decommit) {
	.cmd = SLABPOOL_IOC_DECOMMIT,
	.size = sizeof(struct slabpool_ioc_decommit), .ahead = 8,
};
/* All of the structure is there, its ranges are not. */
FIXTURE_VARIANT_ADD(stall, decommit_at_its_ranges) {
	.cmd = SLABPOOL_IOC_DECOMMIT,
	.size = sizeof(struct slabpool_ioc_decommit), .ahead = 24,
};
FIXTURE_VARIANT_ADD(stall, attach) {
	.cmd = SLABPOOL_IOC_ATTACH, .size = sizeof(struct slabpool_ioc_attach),
	.ahead = 16,
};
FIXTURE_VARIANT_ADD(stall, stats) {
	.cmd = SLABPOOL_IOC_STATS, .size = sizeof(struct slabpool_ioc_stats),
	.ahead = 8,
};

FIXTURE_VARIANT_ADD(stall, reserve) {
	.cmd = SLABPOOL_IOC_RESERVE,
	.size = sizeof(struct slabpool_ioc_reserve), .ahead = 8,
};
FIXTURE_VARIANT_ADD(stall, share) {
	.cmd = SLABPOOL_IOC_SHARE, .size = sizeof(struct slabpool_ioc_share),
	.ahead = 8,
};

FIXTURE_VARIANT_ADD(stall, snapshot) {
	.cmd = SLABPOOL_IOC_SNAPSHOT,
	.size = sizeof(struct slabpool_ioc_snapshot), .ahead = 8,
};

static int serve_pages_of(char *page)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = {
		.range = { (uintptr_t)page, PAGE },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (uffd < 0)
		return -errno;
	if (ioctl(uffd, UFFDIO_API, &api) ||
	    ioctl(uffd, UFFDIO_REGISTER, &range)) {
		close(uffd);
		return -EINVAL;
	}
	return uffd;
}

/* A valid structure, part of it on the page that is there. */
static void write_argument(char *pages, char *served, unsigned int cmd,
			   size_t size, size_t ahead, char *map, size_t hpage,
			   int into)
{
	char bytes[2 * PAGE] = {};
	struct slabpool_range *range = (void *)(bytes + PAGE);
	char *at = bytes + PAGE - ahead;
	struct slabpool_ioc_commit commit = {
		.size = size, .offset = SLABPOOL_OFFSET(0, 0),
		.length = HPAGES * hpage,
	};
	struct slabpool_ioc_decommit decommit = {
		.size = size, .count = 1, .ranges = (uintptr_t)pages + PAGE,
	};
	struct slabpool_ioc_attach attach = {
		.size = size, .address = (uintptr_t)map,
	};
	struct slabpool_ioc_stats stats = { .size = size };
	struct slabpool_ioc_reserve reserve = { .size = size, .count = 2 };
	struct slabpool_ioc_share share = { .size = size };
	struct slabpool_ioc_snapshot snapshot = { .size = size, .into = into };
	struct slabpool_ioc_info info = { .size = size };

	if (cmd == SLABPOOL_IOC_DECOMMIT && ahead < size) {
		range += 8;
		decommit.ranges = (uintptr_t)pages + PAGE + 8 * sizeof(*range);
	}
	*range = (struct slabpool_range){
		.offset = SLABPOOL_OFFSET(0, 0), .length = HPAGES * hpage,
	};
	memcpy(at, cmd == SLABPOOL_IOC_COMMIT ? (void *)&commit :
	       cmd == SLABPOOL_IOC_DECOMMIT ? (void *)&decommit :
	       cmd == SLABPOOL_IOC_ATTACH ? (void *)&attach :
	       cmd == SLABPOOL_IOC_RESERVE ? (void *)&reserve :
	       cmd == SLABPOOL_IOC_SHARE ? (void *)&share :
	       cmd == SLABPOOL_IOC_SNAPSHOT ? (void *)&snapshot :
	       cmd == SLABPOOL_IOC_STATS ? (void *)&stats : (void *)&info,
	       size);
	memcpy(pages, bytes, PAGE);
	memcpy(served, bytes + PAGE, PAGE);
}

FIXTURE_SETUP(stall)
{
	ASSERT_TRUE(t_all_settle(10));
	self->fd = t_open();
	ASSERT_LE(0, self->fd);
	self->hpage = t_hpage();
	self->map = t_take(self->fd, 0, HPAGES);
	ASSERT_NE(MAP_FAILED, self->map);
	self->pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	self->served = malloc(PAGE);
	self->into = variant->cmd == SLABPOOL_IOC_SNAPSHOT ? t_open() : -1;
	ASSERT_NE(MAP_FAILED, self->pages);
	write_argument(self->pages, self->served, variant->cmd, variant->size,
		       variant->ahead, self->map, self->hpage, self->into);
	self->uffd = serve_pages_of(self->pages + PAGE);
	self->call = (struct call){
		.fd = self->fd, .cmd = variant->cmd,
		.argument = self->pages + PAGE - variant->ahead, .ret = 1,
	};
}

FIXTURE_TEARDOWN(stall)
{
	if (self->uffd >= 0)
		close(self->uffd);
	munmap(self->map, HPAGES * self->hpage);
	close(self->into);
	close(self->fd);
	free(self->served);
	EXPECT_EQ(0, t_sysfs("clients"));
	EXPECT_TRUE(t_all_settle(10));
}

static void *make_call(void *arg)
{
	struct call *call = arg;

	call->ret = ioctl(call->fd, call->cmd, call->argument) ? -errno : 0;
	return NULL;
}

/* Wait until the call stands still. */
static bool stands_still(int uffd)
{
	struct pollfd wait = { .fd = uffd, .events = POLLIN };
	struct uffd_msg message;

	return poll(&wait, 1, -1) == 1 &&
	       read(uffd, &message, sizeof(message)) == sizeof(message) &&
	       message.event == UFFD_EVENT_PAGEFAULT;
}

static bool serve(int uffd, char *page, char *content)
{
	struct uffdio_copy copy = {
		.dst = (uintptr_t)page, .src = (uintptr_t)content, .len = PAGE,
	};

	return !ioctl(uffd, UFFDIO_COPY, &copy);
}

/* Close the descriptor that the answer, or the question, names. */
static int close_answer(struct call *call)
{
	struct slabpool_ioc_attach attach;
	struct slabpool_ioc_share share;
	struct slabpool_ioc_snapshot snapshot;

	memcpy(&attach, call->argument, sizeof(attach));
	memcpy(&share, call->argument, sizeof(share));
	memcpy(&snapshot, call->argument, sizeof(snapshot));
	return call->cmd == SLABPOOL_IOC_ATTACH ? close(attach.fd) :
	       call->cmd == SLABPOOL_IOC_SHARE ? close(share.fd) :
	       call->cmd == SLABPOOL_IOC_SNAPSHOT ? close(snapshot.into) : 0;
}

#define SKIP_WITHOUT_UFFD						\
	do {								\
		if (self->uffd < 0)					\
			SKIP(return, "no userfaultfd: %s",		\
			     strerror(-self->uffd));			\
	} while (0)

TEST_F(stall, its_descriptor_is_closed_meanwhile)
{
	pthread_t thread;

	SKIP_WITHOUT_UFFD;
	ASSERT_EQ(0, pthread_create(&thread, NULL, make_call, &self->call));
	ASSERT_TRUE(stands_still(self->uffd));
	close(self->fd);
	EXPECT_EQ(self->into < 0 ? 1 : 2, t_sysfs("clients"));
	ASSERT_TRUE(serve(self->uffd, self->pages + PAGE, self->served));
	pthread_join(thread, NULL);
	EXPECT_EQ(0, self->call.ret);
	EXPECT_EQ(0, close_answer(&self->call));
}

TEST_F(stall, its_memory_is_unmapped_and_its_descriptor_closed_meanwhile)
{
	bool attach = variant->cmd == SLABPOOL_IOC_ATTACH;
	pthread_t thread;

	SKIP_WITHOUT_UFFD;
	ASSERT_EQ(0, pthread_create(&thread, NULL, make_call, &self->call));
	ASSERT_TRUE(stands_still(self->uffd));
	munmap(self->map, HPAGES * self->hpage);
	close(self->fd);
	EXPECT_EQ(self->into < 0 ? 1 : 2, t_sysfs("clients"));
	ASSERT_TRUE(serve(self->uffd, self->pages + PAGE, self->served));
	pthread_join(thread, NULL);
	/* What is asked about is not there any more. */
	EXPECT_EQ(attach ? -EINVAL : 0, self->call.ret);
	if (!attach)
		EXPECT_EQ(0, close_answer(&self->call));
	EXPECT_EQ(0, t_sysfs("clients"));
	EXPECT_EQ(0, t_pool(0).used);
}

TEST_F(stall, the_same_hpages_are_given_back_meanwhile)
{
	pthread_t thread;

	SKIP_WITHOUT_UFFD;
	ASSERT_EQ(0, pthread_create(&thread, NULL, make_call, &self->call));
	ASSERT_TRUE(stands_still(self->uffd));
	EXPECT_EQ(HPAGES, t_decommit(self->fd, 0, 0, HPAGES * self->hpage));
	EXPECT_EQ(SIGBUS, t_touch(self->map, true));
	ASSERT_TRUE(serve(self->uffd, self->pages + PAGE, self->served));
	pthread_join(thread, NULL);
	EXPECT_EQ(0, self->call.ret);
	EXPECT_EQ(variant->cmd == SLABPOOL_IOC_COMMIT ? HPAGES : 0,
		  t_stats(self->fd, 0).committed);
	EXPECT_EQ(0, close_answer(&self->call));
}

TEST_F(stall, nobody_else_waits_for_it)
{
	int other = t_open();
	pthread_t thread;

	SKIP_WITHOUT_UFFD;
	ASSERT_EQ(0, pthread_create(&thread, NULL, make_call, &self->call));
	ASSERT_TRUE(stands_still(self->uffd));
	/* Neither in this client nor in another, or this never ends. */
	EXPECT_EQ(0, t_touch(self->map, true));
	EXPECT_EQ(0, t_commit(self->fd, 0, 8 * self->hpage, self->hpage));
	EXPECT_EQ(1, t_decommit(self->fd, 0, 8 * self->hpage, self->hpage));
	EXPECT_EQ(0, t_commit(other, 0, 0, self->hpage));
	close(other);
	ASSERT_TRUE(serve(self->uffd, self->pages + PAGE, self->served));
	pthread_join(thread, NULL);
	EXPECT_EQ(0, self->call.ret);
	EXPECT_EQ(0, close_answer(&self->call));
}

TEST_F(stall, the_structure_changes_between_two_looks_at_it)
{
	pthread_t thread;
	uint32_t *head = (uint32_t *)self->call.argument;

	SKIP_WITHOUT_UFFD;
	if (variant->ahead != 8)
		return;
	ASSERT_EQ(0, pthread_create(&thread, NULL, make_call, &self->call));
	ASSERT_TRUE(stands_still(self->uffd));
	/* The size was read: it does not count that it is absurd now. */
	head[0] = UINT32_MAX;
	ASSERT_TRUE(serve(self->uffd, self->pages + PAGE, self->served));
	pthread_join(thread, NULL);
	EXPECT_EQ(0, self->call.ret);
	EXPECT_EQ(0, close_answer(&self->call));
}

TEST_F(stall, the_caller_is_killed_meanwhile)
{
	int ready[2];
	char byte;
	pid_t pid;

	SKIP_WITHOUT_UFFD;
	ASSERT_EQ(0, pipe(ready));
	pid = fork();
	if (!pid) {
		int uffd = serve_pages_of(self->pages + PAGE);
		pthread_t thread;

		/* The parent's pages are its own since the fork. */
		if (uffd < 0 || pthread_create(&thread, NULL, make_call,
					       &self->call) ||
		    !stands_still(uffd) || write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	ASSERT_EQ(1, read(ready[0], &byte, 1));
	kill(pid, SIGKILL);
	EXPECT_EQ(128 + SIGKILL, t_wait(pid));
	close(ready[0]);
	EXPECT_EQ(HPAGES, t_stats(self->fd, 0).committed);
}

FIXTURE(memory) {
	int fd;
	char *map;
};

FIXTURE_SETUP(memory)
{
	self->fd = t_open();
	self->map = t_take(self->fd, 0, 1);
	ASSERT_NE(MAP_FAILED, self->map);
}

FIXTURE_TEARDOWN(memory)
{
	munmap(self->map, t_hpage());
	close(self->fd);
	EXPECT_TRUE(t_all_settle(10));
}

TEST_F(memory, faults_in_pool_memory_are_served_by_the_pool_alone)
{
	static const unsigned long long modes[] = {
		UFFDIO_REGISTER_MODE_MISSING, UFFDIO_REGISTER_MODE_WP,
		UFFDIO_REGISTER_MODE_MINOR,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		struct uffdio_api api = { .api = UFFD_API };
		struct uffdio_register range = {
			.range = { (uintptr_t)self->map, t_hpage() },
			.mode = modes[i],
		};
		int uffd = syscall(SYS_userfaultfd, O_CLOEXEC);

		if (uffd < 0)
			SKIP(return, "no userfaultfd: %s", strerror(errno));
		ASSERT_EQ(0, ioctl(uffd, UFFDIO_API, &api));
		EXPECT_EQ(-1, ioctl(uffd, UFFDIO_REGISTER, &range));
		EXPECT_EQ(EINVAL, errno);
		close(uffd);
	}
	EXPECT_EQ(0, t_touch(self->map, true));
}

TEST_HARNESS_MAIN

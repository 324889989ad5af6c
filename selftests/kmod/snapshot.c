// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Snapshots show the moment they were taken, whatever either side does later and
 * whichever ends first; their copies are reserved; nothing is left behind.
 */
#include "kselftest_harness.h"
#include "helpers.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/uio.h>

#define HPAGES	6

FIXTURE(origin) {
	int fd;
	size_t hpage, length;
	char *map;
	long long total;
};

FIXTURE_SETUP(origin)
{
	int i;

	ASSERT_TRUE(t_all_settle(20));
	self->total = t_pool(0).total;
	self->hpage = t_hpage();
	self->length = HPAGES * self->hpage;
	self->fd = t_open();
	ASSERT_LE(0, self->fd);
	self->map = t_take(self->fd, 0, HPAGES);
	ASSERT_NE(MAP_FAILED, self->map);
	for (i = 0; i < HPAGES; i++)
		memset(self->map + i * self->hpage, 1 + i, self->hpage);
}

FIXTURE_TEARDOWN(origin)
{
	munmap(self->map, self->length);
	close(self->fd);
	EXPECT_TRUE(t_all_settle(20));
	EXPECT_EQ(self->total, t_pool(0).total);
	EXPECT_EQ(0, t_node(0, "reserved_hugepages"));
	EXPECT_EQ(0, t_sysfs("clients"));
}

/* Is all of it as the set-up wrote it? */
static bool is_original(const char *map, size_t hpage)
{
	int i;

	for (i = 0; i < HPAGES; i++)
		if (!t_is_filled(map + i * hpage, 1 + i, hpage))
			return false;
	return true;
}

/* Addresses for a client's hpages; commits nothing. */
static char *reserve(int fd, size_t length, void *address)
{
	char *map = mmap(address, length, PROT_NONE,
			 MAP_SHARED | (address ? MAP_FIXED : 0), fd,
			 SLABPOOL_OFFSET(0, 0));

	if (map != MAP_FAILED)
		mprotect(map, length, PROT_READ | PROT_WRITE);
	return map;
}

TEST_F(origin, a_snapshot_shows_the_moment_it_was_taken)
{
	int into = t_open();
	char *picture;

	ASSERT_EQ(HPAGES, t_snapshot(self->fd, into));
	memset(self->map, 77, 2 * self->hpage);
	picture = reserve(into, self->length, NULL);
	ASSERT_NE(MAP_FAILED, picture);
	EXPECT_TRUE(is_original(picture, self->hpage));

	memset(picture + 2 * self->hpage, 88, 2 * self->hpage);
	EXPECT_TRUE(t_is_filled(self->map + 2 * self->hpage, 3, self->hpage));
	EXPECT_TRUE(t_is_filled(self->map + 3 * self->hpage, 4, self->hpage));
	EXPECT_TRUE(t_is_filled(self->map, 77, 2 * self->hpage));
	EXPECT_TRUE(t_is_filled(self->map + 4 * self->hpage, 5, self->hpage));
	EXPECT_TRUE(t_is_filled(self->map + 5 * self->hpage, 6, self->hpage));
	EXPECT_EQ((long)(self->length / 1024), t_smaps(picture, "FilePmdMapped"));
	EXPECT_EQ((long)(self->length / 1024), t_smaps(self->map, "FilePmdMapped"));
	munmap(picture, self->length);
	close(into);
}

TEST_F(origin, copies_are_made_one_by_one_and_reserved_before)
{
	int into = t_open(), i;

	ASSERT_EQ(HPAGES, t_snapshot(self->fd, into));
	EXPECT_EQ(HPAGES, t_pool(0).used);
	EXPECT_EQ(HPAGES, t_node(0, "reserved_hugepages"));
	EXPECT_EQ(HPAGES, t_stats(into, 0).committed);
	for (i = 0; i < HPAGES; i++) {
		self->map[i * self->hpage] = 99;
		EXPECT_EQ(HPAGES + i + 1, t_pool(0).used);
		EXPECT_EQ(HPAGES - i - 1, t_node(0, "reserved_hugepages"));
	}
	EXPECT_TRUE(t_equation(t_pool(0)));
	close(into);
	EXPECT_EQ(HPAGES, t_pool(0).used);
}

TEST_F(origin, without_hpages_for_the_copies_there_is_no_snapshot)
{
	int other = t_open(), into = t_open();
	size_t rest = self->total - HPAGES;
	char *map, *picture;

	map = t_take(other, 0, rest - (HPAGES - 1));
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(-ENOMEM, t_snapshot(self->fd, into));
	EXPECT_EQ(0, t_stats(into, 0).committed);
	EXPECT_EQ(0, t_node(0, "reserved_hugepages"));
	EXPECT_TRUE(is_original(self->map, self->hpage));

	/* One more will do, and then nobody else gets any. */
	ASSERT_EQ(1, t_decommit(other, 0, 0, self->hpage));
	ASSERT_EQ(HPAGES, t_snapshot(self->fd, into));
	EXPECT_EQ(-ENOMEM, t_commit(other, 0, 0, self->hpage));
	memset(self->map, 55, self->length);
	picture = reserve(into, self->length, NULL);
	EXPECT_TRUE(is_original(picture, self->hpage));
	munmap(picture, self->length);
	munmap(map, (rest - (HPAGES - 1)) * self->hpage);
	close(other);
	close(into);
}

TEST_F(origin, a_limit_refuses_a_snapshot_that_would_exceed_it)
{
	int into = t_open();
	char text[32];

	snprintf(text, sizeof(text), "%d", HPAGES - 1);
	ASSERT_EQ(0, t_write(T_SYSFS "/max_client_hugepages", text));
	EXPECT_EQ(-EDQUOT, t_snapshot(self->fd, into));
	EXPECT_EQ(0, t_stats(into, 0).committed);
	ASSERT_EQ(0, t_write(T_SYSFS "/max_client_hugepages", "0"));
	EXPECT_EQ(HPAGES, t_snapshot(self->fd, into));
	close(into);
}

TEST_F(origin, only_a_fresh_other_client_open_for_writing_can_be_a_snapshot)
{
	int into = t_open(), used = t_open(), zero = open("/dev/zero", O_RDWR);
	int reader = open(T_DEVICE, O_RDONLY);

	EXPECT_EQ(-EINVAL, t_snapshot(self->fd, self->fd));
	EXPECT_EQ(-EINVAL, t_snapshot(self->fd, zero));
	EXPECT_EQ(-EBADF, t_snapshot(self->fd, -1));
	EXPECT_EQ(-EBADF, t_snapshot(self->fd, reader));
	ASSERT_EQ(0, t_commit(used, 0, 0, self->hpage));
	EXPECT_EQ(-EBUSY, t_snapshot(self->fd, used));
	ASSERT_EQ(HPAGES, t_snapshot(self->fd, into));
	EXPECT_EQ(-EBUSY, t_snapshot(self->fd, into));
	EXPECT_EQ(-EBUSY, t_snapshot(used, self->fd));
	EXPECT_EQ(-EBUSY, t_snapshot(into, self->fd));
	close(into);
	close(used);
	close(zero);
	close(reader);
}

TEST_F(origin, too_many_snapshots_are_refused_and_fewer_will_do)
{
	const struct rlimit many = { 4096, 4096 };
	static int into[SLABPOOL_MAX_SNAPSHOTS + 1];
	int i, fd;

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &many));
	/* Of nothing, so that there is no copy to reserve. */
	fd = t_open();
	for (i = 0; i <= SLABPOOL_MAX_SNAPSHOTS; i++) {
		into[i] = t_open();
		ASSERT_LE(0, into[i]);
		if (i < SLABPOOL_MAX_SNAPSHOTS)
			ASSERT_EQ(0, t_snapshot(fd, into[i]));
	}
	EXPECT_EQ(-EBUSY, t_snapshot(fd, into[SLABPOOL_MAX_SNAPSHOTS]));
	close(into[5]);
	into[5] = -1;
	EXPECT_EQ(0, t_snapshot(fd, into[SLABPOOL_MAX_SNAPSHOTS]));
	while (i-- > 0)
		close(into[i]);
	close(fd);
}

TEST_F(origin, a_child_sees_the_moment_before_it_maps_the_snapshot_and_after)
{
	int into = t_open(), pipes[2];
	char byte;
	pid_t pid;

	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(HPAGES, t_snapshot(self->fd, into));
	memset(self->map, 77, self->hpage);
	pid = fork();
	if (!pid) {
		close(pipes[1]);
		if (read(pipes[0], &byte, 1) != 0)
			_exit(1);
		if (!is_original(self->map, self->hpage))
			_exit(2);
		memset(self->map + self->hpage, 88, self->hpage);
		if (reserve(into, self->length, self->map) != self->map)
			_exit(3);
		close(self->fd);
		if (!t_is_filled(self->map + self->hpage, 88, self->hpage))
			_exit(4);
		memset(self->map + self->hpage, 2, self->hpage);
		_exit(is_original(self->map, self->hpage) ? 0 : 5);
	}
	close(into);
	memset(self->map + 2 * self->hpage, 66, self->hpage);
	EXPECT_EQ(1, t_decommit(self->fd, 0, 4 * self->hpage, self->hpage));
	EXPECT_EQ(0, t_commit(self->fd, 0, 4 * self->hpage, self->hpage));
	EXPECT_EQ(0, self->map[4 * self->hpage]);
	close(pipes[0]);
	close(pipes[1]);
	EXPECT_EQ(0, t_wait(pid));
	EXPECT_TRUE(t_is_filled(self->map + self->hpage, 2, self->hpage));
}

TEST_F(origin, a_fork_without_a_snapshot_shares_before_and_after_one)
{
	int into = t_open(), round;
	pid_t pid;

	for (round = 0; round < 2; round++) {
		pid = fork();
		if (!pid) {
			self->map[0] = 50 + round;
			_exit(0);
		}
		ASSERT_EQ(0, t_wait(pid));
		EXPECT_EQ(50 + round, self->map[0]);
		if (round)
			break;
		ASSERT_EQ(HPAGES, t_snapshot(self->fd, into));
		close(into);
	}
}

TEST_F(origin, a_fork_after_a_snapshot_whose_maker_was_killed_shares)
{
	pid_t pid = fork();

	if (!pid) {
		if (t_snapshot(self->fd, t_open()) != HPAGES)
			_exit(1);
		kill(getpid(), SIGKILL);
	}
	ASSERT_EQ(128 + SIGKILL, t_wait(pid));
	pid = fork();
	if (!pid) {
		self->map[0] = 50;
		_exit(0);
	}
	ASSERT_EQ(0, t_wait(pid));
	EXPECT_EQ(50, self->map[0]);
}

/*
 * Make a snapshot, leave it to a child that lives until @end is closed, and end, or
 * execute another program, without a word to the module.
 */
static void make_and_go(int fd, char *map, const int *ready, const int *end, bool executes)
{
	char byte;

	if (t_snapshot(fd, t_open()) != HPAGES)
		_exit(1);
	if (!fork()) {
		close(end[1]);
		map[0] = 51;
		if (write(ready[1], "", 1) == 1)
			_exit(read(end[0], &byte, 1));
		_exit(1);
	}
	if (executes)
		execl("/bin/true", "true", NULL);
	_exit(executes);
}

TEST_F(origin, a_fork_beside_a_snapshot_whose_maker_is_gone_shares)
{
	int ready[2], end[2], executes;
	pid_t pid;
	char byte;

	for (executes = 0; executes < 2; executes++) {
		ASSERT_EQ(0, pipe(ready));
		ASSERT_EQ(0, pipe(end));
		pid = fork();
		if (!pid)
			make_and_go(self->fd, self->map, ready, end, executes);
		EXPECT_EQ(1, read(ready[0], &byte, 1));
		EXPECT_EQ(0, t_wait(pid));
		pid = fork();
		if (!pid) {
			self->map[0] = 60 + executes;
			_exit(0);
		}
		EXPECT_EQ(0, t_wait(pid));
		EXPECT_EQ(60 + executes, self->map[0]);
		close(ready[0]);
		close(ready[1]);
		close(end[0]);
		close(end[1]);
	}
}

/* remap_file_pages() maps the file of what is mapped: that of the origin. */
TEST_F(origin, nothing_leads_from_an_inherited_mapping_to_the_origins_memory)
{
	int into = t_open();
	pid_t pid;

	ASSERT_EQ(HPAGES, t_snapshot(self->fd, into));
	self->map[0] = 99;
	pid = fork();
	if (!pid) {
		if (!remap_file_pages(self->map, self->hpage, 0, 512, 0) || errno != EINVAL)
			_exit(1);
		if (reserve(self->fd, self->length, self->map) != MAP_FAILED || errno != EINVAL)
			_exit(2);
		if (!is_original(self->map, self->hpage))
			_exit(3);
		/* Another client's may be there, and the origin's where nothing is. */
		if (reserve(into, self->hpage, self->map) != self->map || self->map[0] != 1)
			_exit(4);
		munmap(self->map, self->length);
		if (reserve(self->fd, self->length, self->map) != self->map)
			_exit(5);
		_exit(self->map[0] != 99);
	}
	EXPECT_EQ(0, t_wait(pid));
	close(into);
}

TEST_F(origin, an_inherited_mapping_ends_with_the_snapshot_nobody_kept)
{
	int into = t_open(), pipes[2];
	char byte;
	pid_t pid;

	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(HPAGES, t_snapshot(self->fd, into));
	pid = fork();
	if (!pid) {
		close(pipes[1]);
		self->map[0] = 9;
		close(into);
		if (read(pipes[0], &byte, 1) != 0)
			_exit(1);
		/* Touched before or not, the parent's memory it is not. */
		if (t_touch(self->map, true) != SIGBUS)
			_exit(2);
		_exit(t_touch(self->map + self->hpage, false) != SIGBUS);
	}
	close(into);
	close(pipes[0]);
	close(pipes[1]);
	EXPECT_EQ(0, t_wait(pid));
	EXPECT_TRUE(is_original(self->map, self->hpage));
}

TEST_F(origin, attach_does_not_lead_from_a_snapshot_to_its_origin)
{
	struct slabpool_ioc_attach attach = {
		.size = sizeof(attach),
		.address = (uintptr_t)self->map,
	};
	int into = t_open();
	pid_t pid;

	ASSERT_EQ(HPAGES, t_snapshot(self->fd, into));
	pid = fork();
	if (!pid) {
		if (ioctl(into, SLABPOOL_IOC_ATTACH, &attach) != -1 ||
		    errno != EINVAL)
			_exit(1);
		if (reserve(into, self->length, self->map) != self->map)
			_exit(2);
		_exit(ioctl(into, SLABPOOL_IOC_ATTACH, &attach) != 0);
	}
	close(into);
	EXPECT_EQ(0, t_wait(pid));
}

TEST_F(origin, pins_of_the_owner_stay_on_the_owners_memory)
{
	struct iovec iov = { self->map, 4096 };
	char *picture, bytes[4096];
	int into = t_open(), pipes[2];

	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(4096, vmsplice(pipes[1], &iov, 1, 0));
	ASSERT_EQ(HPAGES, t_snapshot(self->fd, into));
	memset(self->map, 44, self->hpage);
	ASSERT_EQ(4096, read(pipes[0], bytes, sizeof(bytes)));
	EXPECT_TRUE(t_is_filled(bytes, 44, sizeof(bytes)));
	picture = reserve(into, self->length, NULL);
	EXPECT_TRUE(is_original(picture, self->hpage));
	munmap(picture, self->length);
	close(into);
	close(pipes[0]);
	close(pipes[1]);
}

TEST_F(origin, a_pinned_hpage_that_is_given_up_is_copied_and_parked)
{
	struct iovec iov = { self->map, 4096 };
	struct slabpool_range range;
	int into = t_open(), pipes[2];
	char *picture;

	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(4096, vmsplice(pipes[1], &iov, 1, 0));
	ASSERT_EQ(HPAGES, t_snapshot(self->fd, into));
	ASSERT_EQ(0, t_decommit_range(self->fd, 0, 0, self->length, &range));
	EXPECT_EQ(HPAGES, range.hpages);
	EXPECT_EQ(1, range.parked);
	/* What was not pinned has changed hands, without a copy. */
	EXPECT_EQ(HPAGES, t_pool(0).used);
	EXPECT_EQ(0, t_node(0, "reserved_hugepages"));
	EXPECT_TRUE(t_equation(t_pool(0)));
	picture = reserve(into, self->length, NULL);
	EXPECT_TRUE(is_original(picture, self->hpage));
	munmap(picture, self->length);
	close(into);
	close(pipes[0]);
	close(pipes[1]);
}

TEST_F(origin, the_end_of_the_owner_leaves_its_hpages_to_the_child)
{
	int into = t_open();
	char *picture = reserve(into, self->length, NULL);

	ASSERT_EQ(HPAGES, t_snapshot(self->fd, into));
	picture[0] = 1;
	munmap(self->map, self->length);
	close(self->fd);
	EXPECT_EQ(HPAGES, t_pool(0).used);
	EXPECT_EQ(0, t_node(0, "reserved_hugepages"));
	EXPECT_TRUE(is_original(picture, self->hpage));
	EXPECT_EQ(HPAGES, t_pool(0).used);
	munmap(picture, self->length);
	close(into);
}

TEST_F(origin, memory_mapped_by_base_pages_is_in_the_picture_too)
{
	int into = t_open();
	char *picture;

	ASSERT_EQ(0, munmap(self->map + 8192, 4096));
	self->map[0] = 1;
	self->map[self->hpage - 1] = 1;
	ASSERT_EQ(HPAGES, t_snapshot(self->fd, into));
	self->map[0] = 33;
	self->map[self->hpage - 1] = 33;
	picture = reserve(into, self->length, NULL);
	EXPECT_TRUE(is_original(picture, self->hpage));
	munmap(picture, self->length);
	close(into);
}

TEST_F(origin, an_hpage_with_a_memory_error_is_lost_to_the_snapshot_alone)
{
	int fd = t_open(), into = t_open(), code;
	long long poisoned = t_pool(1).poisoned, total = t_pool(1).total;
	char *map = t_take(fd, 1, 2), *picture, text[32];
	double end;

	ASSERT_NE(MAP_FAILED, map);
	memset(map, 1, 2 * self->hpage);
	code = t_inject(map + 8192);
	if (code)
		SKIP(goto out, "this kernel cannot inject: %s", strerror(code));
	ASSERT_EQ(2, t_snapshot(fd, into));
	picture = t_map(into, 1, 0, 2 * self->hpage, PROT_NONE, MAP_SHARED);
	ASSERT_NE(MAP_FAILED, picture);
	mprotect(picture, 2 * self->hpage, PROT_READ | PROT_WRITE);

	EXPECT_EQ(0, t_touch(map + self->hpage / 2, true));
	EXPECT_EQ(SIGBUS, t_touch(picture, false));
	EXPECT_EQ(SIGBUS, t_touch(picture, true));
	EXPECT_TRUE(t_is_filled(picture + self->hpage, 1, self->hpage));
	EXPECT_EQ(0, t_node(1, "reserved_hugepages"));
	EXPECT_EQ(1, t_stats(into, 1).committed);

	/* What is lost can be replaced. */
	t_decommit(into, 1, 0, self->hpage);
	EXPECT_EQ(0, t_commit(into, 1, 0, self->hpage));
	EXPECT_TRUE(t_is_filled(picture, 0, self->hpage));
	munmap(picture, 2 * self->hpage);
out:
	munmap(map, 2 * self->hpage);
	close(fd);
	close(into);
	if (code)
		return;
	for (end = t_deadline(10); t_now() < end; t_sleep_ms(20))
		if (t_pool(1).poisoned == poisoned + 1)
			break;
	EXPECT_EQ(poisoned + 1, t_pool(1).poisoned);
	snprintf(text, sizeof(text), "%lld", total);
	EXPECT_EQ(0, t_set_node(1, "nr_hugepages", text));
	EXPECT_EQ(total, t_pool(1).total);
}

struct writer {
	volatile unsigned long *word[HPAGES];
	volatile bool stop;
	unsigned long written;
};

/* One number after the other into each hpage in turn. */
static void *write_in_turn(void *arg)
{
	struct writer *writer = arg;
	unsigned long n;
	int i;

	for (n = 1; !writer->stop; n++)
		for (i = 0; i < HPAGES; i++)
			*writer->word[i] = n;
	writer->written = n - 1;
	return NULL;
}

TEST_F(origin, the_picture_is_of_one_moment_while_a_thread_writes)
{
	struct writer writer = {};
	pthread_t thread;
	int round, i, torn = 0;

	for (i = 0; i < HPAGES; i++) {
		writer.word[i] = (unsigned long *)(self->map + i * self->hpage);
		*writer.word[i] = 0;
	}
	ASSERT_EQ(0, pthread_create(&thread, NULL, write_in_turn, &writer));
	for (round = 0; round < 40; round++) {
		int into = t_open();
		char *picture = reserve(into, self->length, NULL);
		unsigned long first, last, n;

		ASSERT_EQ(HPAGES, t_snapshot(self->fd, into));
		first = *(unsigned long *)picture;
		last = first;
		for (i = 1; i < HPAGES; i++) {
			n = *(unsigned long *)(picture + i * self->hpage);
			/* Never more than the one before, one less at most. */
			torn += n > last || n + 1 < first;
			last = n;
		}
		munmap(picture, self->length);
		close(into);
	}
	writer.stop = true;
	pthread_join(thread, NULL);
	EXPECT_EQ(0, torn);
	for (i = 0; i < HPAGES; i++)
		EXPECT_EQ(writer.written, *writer.word[i]);
}

/*
 * A model: what each client has in each hpage, 0 for a hole.  Clients are
 * snapshots of one another in a random order.
 */
#define CLIENTS	12

struct model {
	int fd;
	char *map;
	unsigned long value[HPAGES];
};

static volatile unsigned long *word_of(struct model *client, int i)
{
	return (unsigned long *)(client->map + i * t_hpage() + i * 4096);
}

static bool agrees(struct model *client, int i)
{
	if (!client->value[i])
		return t_touch((char *)word_of(client, i), false) == SIGBUS;
	return *word_of(client, i) == client->value[i];
}

static void end_client(struct model *client)
{
	munmap(client->map, HPAGES * t_hpage());
	close(client->fd);
	memset(client, 0, sizeof(*client));
}

static bool start_client(struct model *client)
{
	client->fd = t_open();
	client->map = reserve(client->fd, HPAGES * t_hpage(), NULL);
	return client->fd >= 0 && client->map != MAP_FAILED;
}

/* One random step; true when all went as the model says. */
static bool step(struct model *clients, unsigned long now)
{
	struct model *one = &clients[rand() % CLIENTS];
	struct model *other = &clients[rand() % CLIENTS];
	int i = rand() % HPAGES, j, have = 0, ret;
	size_t at = i * t_hpage();

	if (!one->map)
		return start_client(one);
	switch (rand() % 8) {
	case 0:
	case 1:
		if (one->value[i]) {
			*word_of(one, i) = now;
			one->value[i] = now;
		}
		return true;
	case 2:
		return agrees(one, i);
	case 3:
		ret = t_commit(one->fd, 0, at, t_hpage());
		if (!ret && !one->value[i]) {
			if (*word_of(one, i))
				return false;
			*word_of(one, i) = now;
			one->value[i] = now;
		}
		return ret == 0;
	case 4:
		ret = t_decommit(one->fd, 0, at, t_hpage());
		have = one->value[i] != 0;
		one->value[i] = 0;
		return ret == have;
	case 5:
	case 6:
		if (one == other)
			return true;
		if (other->map)
			end_client(other);
		if (!start_client(other))
			return false;
		for (j = 0; j < HPAGES; j++)
			have += one->value[j] != 0;
		memcpy(other->value, one->value, sizeof(one->value));
		return t_snapshot(one->fd, other->fd) == have;
	case 7:
		if (rand() % 2)
			end_client(one);
		return true;
	}
	return true;
}

TEST_F(origin, any_order_of_snapshots_writes_and_ends_is_as_in_a_model)
{
	struct model clients[CLIENTS] = {};
	const char *seed = getenv("SLABPOOL_SEED");
	unsigned int first = seed ? strtoul(seed, NULL, 0) : 1, run;
	unsigned long now = 0;
	int i, c, steps;

	for (run = first; run < first + 6; run++) {
		srand(run);
		for (steps = 0; steps < 400; steps++)
			if (!step(clients, ++now)) {
				TH_LOG("seed %u, step %d", run, steps);
				ASSERT_TRUE(false);
			}
		for (c = 0; c < CLIENTS; c++) {
			if (!clients[c].map)
				continue;
			for (i = 0; i < HPAGES; i++)
				EXPECT_TRUE(agrees(&clients[c], i));
			end_client(&clients[c]);
		}
		EXPECT_EQ(HPAGES, t_pool(0).used);
		EXPECT_EQ(0, t_node(0, "reserved_hugepages"));
	}
}

/* As the library does it: the child's mapping becomes that of the snapshot. */
static pid_t fork_with_snapshot(int *fd, char *map, size_t length)
{
	int into = t_open();
	pid_t pid;

	if (into < 0 || t_snapshot(*fd, into) < 0) {
		close(into);
		return -1;
	}
	pid = fork();
	if (pid) {
		close(into);
		return pid;
	}
	if (reserve(into, length, map) != map)
		_exit(100);
	close(*fd);
	*fd = into;
	return 0;
}

TEST_F(origin, sixty_four_children_each_keep_their_moment)
{
	volatile int *number = (int *)self->map;
	pid_t pids[64];
	int pipes[2], i;
	char byte;

	/* 64 times two hpages must fit into the pool. */
	ASSERT_EQ(HPAGES - 2, t_decommit(self->fd, 0, 2 * self->hpage,
					 (HPAGES - 2) * self->hpage));
	ASSERT_EQ(0, pipe(pipes));
	for (i = 0; i < 64; i++) {
		*number = i;
		pids[i] = fork_with_snapshot(&self->fd, self->map, self->length);
		ASSERT_LE(0, pids[i]);
		if (pids[i])
			continue;
		close(pipes[1]);
		if (read(pipes[0], &byte, 1) != 0 || *number != i)
			_exit(1);
		*number = 1000 + i;
		self->map[self->hpage] = i;
		sched_yield();
		_exit(*number != 1000 + i || self->map[self->hpage] != (char)i);
	}
	*number = 64;
	close(pipes[0]);
	close(pipes[1]);
	for (i = 0; i < 64; i++)
		EXPECT_EQ(0, t_wait(pids[i]));
	EXPECT_EQ(64, *number);
	EXPECT_EQ(2, self->map[self->hpage]);
	EXPECT_EQ(2, t_pool(0).used);
}

TEST_F(origin, a_grandchild_keeps_its_moment_when_both_before_it_are_gone)
{
	int pipes[2];
	char byte;
	pid_t pid;

	ASSERT_EQ(0, pipe(pipes));
	pid = fork_with_snapshot(&self->fd, self->map, self->length);
	ASSERT_LE(0, pid);
	if (!pid) {
		memset(self->map, 22, self->hpage);
		pid = fork_with_snapshot(&self->fd, self->map, self->length);
		if (pid) {
			memset(self->map, 23, self->length);
			_exit(pid < 0);
		}
		close(pipes[0]);
		t_sleep_ms(300);
		byte = t_is_filled(self->map, 22, self->hpage);
		memset(self->map, 1, self->hpage);
		byte = byte && is_original(self->map, self->hpage);
		_exit(write(pipes[1], &byte, 1) != 1);
	}
	memset(self->map, 24, self->length);
	munmap(self->map, self->length);
	close(self->fd);
	EXPECT_EQ(0, t_wait(pid));
	close(pipes[1]);
	ASSERT_EQ(1, read(pipes[0], &byte, 1));
	EXPECT_EQ(1, byte);
	close(pipes[0]);
}

TEST_F(origin, a_child_that_drops_its_privileges_keeps_its_memory)
{
	pid_t pid = fork_with_snapshot(&self->fd, self->map, self->length);

	ASSERT_LE(0, pid);
	if (!pid) {
		if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))
			_exit(1);
		memset(self->map, 12, self->hpage);
		if (t_decommit(self->fd, 0, self->hpage, self->hpage) != 1 ||
		    t_commit(self->fd, 0, self->hpage, self->hpage))
			_exit(2);
		_exit(self->map[self->hpage] != 0 || self->map[0] != 12);
	}
	memset(self->map, 13, self->length);
	EXPECT_EQ(0, t_wait(pid));
}

/* Another's program gets neither the memory nor the copies that wait for it. */
TEST_F(origin, a_child_that_executes_a_set_user_id_program_gives_all_back)
{
	pid_t pid = fork_with_snapshot(&self->fd, self->map, self->length);
	double end = t_deadline(5);

	ASSERT_LE(0, pid);
	if (!pid) {
		memset(self->map, 12, self->hpage);
		if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))
			_exit(1);
		close(STDOUT_FILENO);
		execl("/bin/mount", "mount", "--version", NULL);
		_exit(2);
	}
	memset(self->map, 13, self->length);
	EXPECT_EQ(0, t_wait(pid));
	while (t_sysfs("clients") != 1 && t_now() < end)
		t_sleep_ms(10);
	EXPECT_EQ(1, t_sysfs("clients"));
	EXPECT_EQ(HPAGES, t_pool(0).used);
	EXPECT_EQ(0, t_node(0, "reserved_hugepages"));
	EXPECT_TRUE(t_is_filled(self->map, 13, self->length));
}

TEST_F(origin, children_killed_anywhere_leave_nothing_behind)
{
	double end = t_now() + 20;
	int round;

	srand(4712);
	for (round = 0; round < 40 && t_now() < end; round++) {
		pid_t pid = fork_with_snapshot(&self->fd, self->map,
					       self->length);

		ASSERT_LE(0, pid);
		if (!pid) {
			int steps = 0;

			for (;;) {
				size_t at = rand() % HPAGES * self->hpage;

				t_decommit(self->fd, 0, at, self->hpage);
				t_commit(self->fd, 0, at, self->hpage);
				memset(self->map + at, 1, 4096);
				/* One grandchild, which ends by itself. */
				if (steps++ == 2 &&
				    !fork_with_snapshot(&self->fd, self->map,
							self->length))
					alarm(1);
				if (steps > 20)
					usleep(100);
			}
		}
		self->map[rand() % HPAGES * self->hpage + 64] = round;
		usleep(rand() % 20000);
		kill(pid, SIGKILL);
		ASSERT_EQ(128 + SIGKILL, t_wait(pid));
	}
}

TEST_F(origin, a_parent_killed_anywhere_leaves_the_child_its_memory)
{
	double end = t_now() + 20;
	int round, i;

	srand(4713);
	for (round = 0; round < 15 && t_now() < end; round++) {
		int pipes[2];
		char byte = 0;
		pid_t pid;

		ASSERT_EQ(0, pipe(pipes));
		pid = fork_with_snapshot(&self->fd, self->map, self->length);
		ASSERT_LE(0, pid);
		if (!pid) {
			pid_t parent = getpid();

			for (i = 0; i < 3; i++) {
				if (fork_with_snapshot(&self->fd, self->map,
						       self->length))
					continue;
				usleep(rand() % 10000);
				if (i == 1)
					kill(parent, SIGKILL);
				byte = is_original(self->map, self->hpage);
				_exit(write(pipes[1], &byte, 1) != 1);
			}
			for (;;)
				memset(self->map + rand() % HPAGES * self->hpage,
				       99, self->hpage);
		}
		close(pipes[1]);
		ASSERT_EQ(128 + SIGKILL, t_wait(pid));
		for (i = 0; read(pipes[0], &byte, 1) == 1; i++)
			EXPECT_EQ(1, byte);
		EXPECT_LT(0, i);
		close(pipes[0]);
	}
}

struct storm {
	char *map;
	size_t hpage;
	int fd;
	volatile bool stop;
	unsigned long count, wrong;
};

/* Own words of the first hpages: nobody else may change them. */
static void *count_up(void *arg)
{
	struct storm *storm = arg;
	unsigned long n = 0, i;

	while (!storm->stop) {
		n++;
		for (i = 0; i < 3; i++) {
			volatile unsigned long *word = (unsigned long *)
				(storm->map + i * storm->hpage + 128);

			storm->wrong += *word != n - 1;
			*word = n;
		}
	}
	storm->count = n;
	return NULL;
}

static void *come_and_go(void *arg)
{
	struct storm *storm = arg;
	size_t at = 4 * storm->hpage;

	while (!storm->stop) {
		t_decommit(storm->fd, 0, at, 2 * storm->hpage);
		while (t_commit(storm->fd, 0, at, 2 * storm->hpage))
			sched_yield();
		storm->map[at] = 1;
	}
	return NULL;
}

TEST_F(origin, threads_lose_no_write_while_others_fork_and_decommit)
{
	struct storm storm = {
		.map = self->map, .hpage = self->hpage, .fd = self->fd,
	};
	pthread_t threads[2];
	pid_t pids[6] = {};
	double end;
	int i = 0, code;

	for (i = 0; i < 3; i++)
		*(unsigned long *)(self->map + i * self->hpage + 128) = 0;
	ASSERT_EQ(0, pthread_create(&threads[0], NULL, count_up, &storm));
	ASSERT_EQ(0, pthread_create(&threads[1], NULL, come_and_go, &storm));
	end = t_now() + 8;
	for (i = 0; t_now() < end; i = (i + 1) % 6) {
		if (pids[i] > 0) {
			code = t_wait(pids[i]);
			EXPECT_EQ(0, code);
		}
		pids[i] = fork_with_snapshot(&self->fd, self->map,
					     self->length);
		ASSERT_LE(0, pids[i]);
		if (!pids[i]) {
			unsigned long was[3];
			int k, j;

			for (j = 0; j < 3; j++)
				was[j] = *(unsigned long *)(self->map +
						j * self->hpage + 128);
			code = was[0] < was[1] || was[1] < was[2] ||
			       was[2] + 1 < was[0];
			usleep(20000);
			for (k = 0; k < 3; k++)
				code |= was[k] != *(unsigned long *)(self->map +
						k * self->hpage + 128);
			_exit(code);
		}
	}
	storm.stop = true;
	for (i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	for (i = 0; i < 6; i++)
		if (pids[i] > 0)
			EXPECT_EQ(0, t_wait(pids[i]));
	EXPECT_EQ(0, storm.wrong);
	EXPECT_LT(0, storm.count);
	ASSERT_EQ(self->fd, storm.fd);
}

TEST_F(origin, forks_in_a_loop_leave_nothing_behind)
{
	int round;

	for (round = 0; round < 100; round++) {
		pid_t pid = fork_with_snapshot(&self->fd, self->map,
					       self->length);

		ASSERT_LE(0, pid);
		if (!pid) {
			self->map[round % HPAGES * self->hpage] = 5;
			_exit(0);
		}
		self->map[(round + 1) % HPAGES * self->hpage + 9] = 6;
		ASSERT_EQ(0, t_wait(pid));
		ASSERT_EQ(HPAGES, t_pool(0).used);
	}
	EXPECT_EQ(0, t_node(0, "reserved_hugepages"));
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* Pool memory carries what ordinary memory carries: stacks, futexes, fork. */
#include "kselftest_harness.h"
#include "helpers.h"

#include <pthread.h>

FIXTURE(client) {
	int fd;
	size_t length;
	char *map;
};

FIXTURE_SETUP(client)
{
	self->fd = t_open();
	ASSERT_LE(0, self->fd);
	self->length = 2 * t_hpage();
	self->map = t_take(self->fd, 0, 2);
	ASSERT_NE(MAP_FAILED, self->map);
}

FIXTURE_TEARDOWN(client)
{
	munmap(self->map, self->length);
	close(self->fd);
	EXPECT_TRUE(t_all_settle(10));
}

static void *say_where(void *arg)
{
	char here[65536];

	memset(here, 1, sizeof(here));
	/* Long enough for the other to be waiting for the kernel's wake-up. */
	t_sleep_ms(200);
	*(uintptr_t *)arg = (uintptr_t)here;
	return here[123] == 1 ? arg : NULL;
}

TEST_F(client, a_thread_whose_stack_is_pool_memory_joins)
{
	pthread_attr_t attr;
	pthread_t thread;
	uintptr_t where = 0;
	void *result;

	ASSERT_EQ(0, pthread_attr_init(&attr));
	ASSERT_EQ(0, pthread_attr_setstack(&attr, self->map, self->length));
	ASSERT_EQ(0, pthread_create(&thread, &attr, say_where, &where));
	ASSERT_EQ(0, pthread_join(thread, &result));
	EXPECT_EQ(&where, result);
	EXPECT_LE((uintptr_t)self->map, where);
	EXPECT_GT((uintptr_t)self->map + self->length, where);
}

struct shared {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	long count;
	int turn;
};

static struct shared *make_shared(char *memory)
{
	struct shared *shared = (struct shared *)memory;
	pthread_mutexattr_t mutex;
	pthread_condattr_t cond;

	pthread_mutexattr_init(&mutex);
	pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&shared->mutex, &mutex);
	pthread_condattr_init(&cond);
	pthread_condattr_setpshared(&cond, PTHREAD_PROCESS_SHARED);
	pthread_cond_init(&shared->changed, &cond);
	return shared;
}

TEST_F(client, a_process_shared_mutex_in_it_excludes)
{
	struct shared *shared = make_shared(self->map + 4096 * 3 + 64);
	pid_t pid = fork();
	int i;

	for (i = 0; i < 20000; i++) {
		pthread_mutex_lock(&shared->mutex);
		shared->count = shared->count + 1;
		pthread_mutex_unlock(&shared->mutex);
	}
	if (!pid)
		_exit(0);
	ASSERT_EQ(0, t_wait(pid));
	EXPECT_EQ(40000, shared->count);
}

static void take_turns(struct shared *shared, int me)
{
	int i;

	for (i = 0; i < 200; i++) {
		pthread_mutex_lock(&shared->mutex);
		while (shared->turn != me)
			pthread_cond_wait(&shared->changed, &shared->mutex);
		shared->count++;
		shared->turn = !me;
		pthread_cond_signal(&shared->changed);
		pthread_mutex_unlock(&shared->mutex);
	}
}

TEST_F(client, a_process_shared_condition_wakes_the_other_process)
{
	/* In the last base page: a futex is keyed by page and offset. */
	struct shared *shared = make_shared(self->map + self->length - 4096);
	pid_t pid = fork();

	take_turns(shared, !pid);
	if (!pid)
		_exit(0);
	ASSERT_EQ(0, t_wait(pid));
	EXPECT_EQ(400, shared->count);
}

TEST_F(client, processes_wait_on_a_futex_through_mappings_of_their_own)
{
	struct shared *shared = make_shared(self->map);
	pid_t pid = fork();

	if (!pid) {
		char *again = t_take(self->fd, 0, 2);

		if (again == MAP_FAILED || again == self->map)
			_exit(1);
		take_turns((struct shared *)again, 1);
		_exit(0);
	}
	take_turns(shared, 0);
	ASSERT_EQ(0, t_wait(pid));
	EXPECT_EQ(400, shared->count);
}

TEST_F(client, fork_shares_it_both_ways)
{
	pid_t pid;

	self->map[0] = 1;
	pid = fork();
	if (!pid) {
		bool saw = self->map[0] == 1;

		self->map[1] = 2;
		self->map[t_hpage()] = 3;
		_exit(!saw);
	}
	ASSERT_EQ(0, t_wait(pid));
	EXPECT_EQ(2, self->map[1]);
	EXPECT_EQ(3, self->map[t_hpage()]);
}

TEST_F(client, the_child_keeps_it_when_the_parent_lets_go)
{
	int pipes[2];
	char byte;
	pid_t pid;

	ASSERT_EQ(0, pipe(pipes));
	self->map[7] = 7;
	pid = fork();
	if (!pid) {
		close(pipes[1]);
		if (read(pipes[0], &byte, 1) != 0)
			_exit(1);
		_exit(self->map[7] != 7);
	}
	munmap(self->map, self->length);
	close(self->fd);
	EXPECT_EQ(2, t_pool(0).used);
	close(pipes[0]);
	close(pipes[1]);
	EXPECT_EQ(0, t_wait(pid));
	EXPECT_EQ(0, t_pool(0).used);
}

TEST_F(client, madv_dontfork_keeps_it_from_the_child)
{
	pid_t pid;

	ASSERT_EQ(0, madvise(self->map, self->length, MADV_DONTFORK));
	pid = fork();
	if (!pid)
		_exit(t_touch(self->map, false));
	EXPECT_EQ(SIGSEGV, t_wait(pid));
	EXPECT_EQ(0, t_touch(self->map, true));
}

TEST_HARNESS_MAIN

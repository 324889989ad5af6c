// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* Who may have how many hpages, and who pays for them. */
#include "kselftest_harness.h"
#include "helpers.h"

#include <sched.h>
#include <sys/stat.h>

#define CLIENT	"max_client_hugepages"
#define USER	"max_user_hugepages"

/* Users that nobody else is. */
#define ALICE	4711
#define BOB	4712
#define SUB	400000

FIXTURE(quota) {
	size_t hpage;
	struct stat device;
};

static int set_limit(const char *name, long long limit)
{
	char path[128], text[32];

	snprintf(path, sizeof(path), T_SYSFS "/%s", name);
	snprintf(text, sizeof(text), "%lld", limit);
	return t_write(path, text);
}

FIXTURE_SETUP(quota)
{
	ASSERT_TRUE(t_all_settle(10));
	self->hpage = t_hpage();
	/* Other users shall open it. */
	ASSERT_EQ(0, stat(T_DEVICE, &self->device));
	ASSERT_EQ(0, chmod(T_DEVICE, 0666));
}

FIXTURE_TEARDOWN(quota)
{
	EXPECT_EQ(0, set_limit(CLIENT, 0));
	EXPECT_EQ(0, set_limit(USER, 0));
	EXPECT_EQ(0, chmod(T_DEVICE, self->device.st_mode & 07777));
	EXPECT_TRUE(t_all_settle(10));
}

static struct slabpool_ioc_info info_of(int fd)
{
	struct slabpool_ioc_info info = { .size = sizeof(info) };

	if (ioctl(fd, SLABPOOL_IOC_INFO, &info))
		memset(&info, 0xee, sizeof(info));
	return info;
}

static int commit(int fd, int node, size_t at, size_t count)
{
	return t_commit(fd, node, at * t_hpage(), count * t_hpage());
}

TEST_F(quota, a_client_gets_no_more_than_its_limit_on_all_nodes_together)
{
	int fd = t_open(), other = t_open();

	ASSERT_EQ(0, set_limit(CLIENT, 5));
	EXPECT_EQ(0, commit(fd, 0, 0, 3));
	EXPECT_EQ(-EDQUOT, commit(fd, 1, 0, 3));
	EXPECT_EQ(0, t_stats(fd, 1).committed);
	EXPECT_EQ(0, commit(fd, 1, 0, 2));
	EXPECT_EQ(-EDQUOT, commit(fd, 0, 3, 1));
	/* What is there already costs nothing. */
	EXPECT_EQ(0, commit(fd, 0, 0, 3));
	EXPECT_EQ(0, commit(other, 0, 0, 5));
	EXPECT_EQ(1, t_decommit(fd, 0, 0, self->hpage));
	EXPECT_EQ(0, commit(fd, 0, 3, 1));
	close(fd);
	close(other);
}

TEST_F(quota, mmap_beyond_it_is_edquot_and_changes_nothing)
{
	int fd = t_open();
	char *map;

	ASSERT_EQ(0, set_limit(CLIENT, 2));
	EXPECT_EQ(MAP_FAILED, t_take(fd, 0, 3));
	EXPECT_EQ(EDQUOT, errno);
	EXPECT_EQ(0, t_stats(fd, 0).committed);
	EXPECT_EQ(0, t_pool(0).used);
	map = t_take(fd, 0, 2);
	EXPECT_NE(MAP_FAILED, map);
	munmap(map, 2 * self->hpage);
	/* To reserve addresses is free. */
	map = t_map(fd, 0, 0, 100 * self->hpage, PROT_NONE, MAP_SHARED);
	EXPECT_NE(MAP_FAILED, map);
	munmap(map, 100 * self->hpage);
	close(fd);
}

TEST_F(quota, a_refusal_by_quota_comes_before_one_by_the_pool)
{
	long long failures = t_node(0, "stats/commit_failures");
	int fd = t_open();

	ASSERT_EQ(0, set_limit(CLIENT, 5));
	EXPECT_EQ(-EDQUOT, commit(fd, 0, 0, t_pool(0).total + 1));
	EXPECT_EQ(failures, t_node(0, "stats/commit_failures"));
	ASSERT_EQ(0, set_limit(CLIENT, t_pool(0).total + 1));
	EXPECT_EQ(-ENOMEM, commit(fd, 0, 0, t_pool(0).total + 1));
	EXPECT_EQ(failures + 1, t_node(0, "stats/commit_failures"));
	close(fd);
}

TEST_F(quota, a_lowered_limit_evicts_nothing_and_refuses_more)
{
	int fd = t_open();
	char *map = t_take(fd, 0, 6);

	ASSERT_NE(MAP_FAILED, map);
	memset(map, 1, 6 * self->hpage);
	ASSERT_EQ(0, set_limit(CLIENT, 3));
	EXPECT_EQ(6, t_stats(fd, 0).committed);
	EXPECT_TRUE(t_is_filled(map, 1, 6 * self->hpage));
	EXPECT_EQ(-EDQUOT, commit(fd, 0, 6, 1));
	EXPECT_EQ(3, t_decommit(fd, 0, 0, 3 * self->hpage));
	EXPECT_EQ(-EDQUOT, commit(fd, 0, 0, 1));
	EXPECT_EQ(1, t_decommit(fd, 0, 3 * self->hpage, self->hpage));
	EXPECT_EQ(0, commit(fd, 0, 0, 1));
	munmap(map, 6 * self->hpage);
	close(fd);
}

TEST_F(quota, a_parked_hpage_is_paid_for_until_its_pin_is_gone)
{
	int fd = t_open(), pipes[2];
	char *map = t_take(fd, 0, 1);
	struct iovec iov = { map, 4096 };
	double end;
	int ret;

	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, set_limit(CLIENT, 1));
	map[0] = 1;
	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(4096, vmsplice(pipes[1], &iov, 1, 0));
	ASSERT_EQ(1, t_decommit(fd, 0, 0, self->hpage));
	EXPECT_EQ(1, t_stats(fd, 0).parked);
	EXPECT_EQ(-EDQUOT, commit(fd, 0, 0, 1));
	close(pipes[0]);
	close(pipes[1]);
	for (end = t_deadline(5); t_now() < end; t_sleep_ms(10)) {
		ret = commit(fd, 0, 0, 1);
		if (!ret)
			break;
	}
	EXPECT_EQ(0, ret);
	munmap(map, self->hpage);
	close(fd);
}

TEST_F(quota, info_tells_the_limits_and_what_they_leave)
{
	struct slabpool_ioc_info info;
	int fd = t_open();

	info = info_of(fd);
	EXPECT_EQ(0, info.max_client_hugepages);
	EXPECT_EQ(0, info.max_user_hugepages);
	EXPECT_EQ(UINT64_MAX, info.quota_left);
	ASSERT_EQ(0, set_limit(CLIENT, 9));
	ASSERT_EQ(0, set_limit(USER, 7));
	ASSERT_EQ(0, commit(fd, 0, 0, 4));
	info = info_of(fd);
	EXPECT_EQ(9, info.max_client_hugepages);
	EXPECT_EQ(7, info.max_user_hugepages);
	EXPECT_EQ(3, info.quota_left);
	ASSERT_EQ(0, set_limit(USER, 2));
	EXPECT_EQ(0, info_of(fd).quota_left);
	ASSERT_EQ(0, set_limit(USER, 0));
	EXPECT_EQ(5, info_of(fd).quota_left);
	close(fd);
}

static bool become(int uid)
{
	return !setresgid(uid, uid, uid) && !setresuid(uid, uid, uid);
}

/* What a new client of that user gets: 0 or a positive errno. */
static int as_user(int uid, size_t count)
{
	pid_t pid = fork();

	if (!pid) {
		if (!become(uid))
			_exit(99);
		_exit(-commit(t_open(), 0, 0, count));
	}
	return t_wait(pid);
}

TEST_F(quota, a_user_gets_no_more_with_several_clients)
{
	int hold[2], ready[2];
	char byte = 0;
	pid_t pid;

	ASSERT_EQ(0, set_limit(USER, 6));
	ASSERT_EQ(0, pipe(hold));
	ASSERT_EQ(0, pipe(ready));
	pid = fork();
	if (!pid) {
		close(hold[1]);
		if (!become(ALICE) || commit(t_open(), 0, 0, 4) ||
		    write(ready[1], &byte, 1) != 1)
			_exit(1);
		_exit(read(hold[0], &byte, 1) != 0);
	}
	ASSERT_EQ(1, read(ready[0], &byte, 1));
	EXPECT_EQ(EDQUOT, as_user(ALICE, 3));
	EXPECT_EQ(0, as_user(ALICE, 2));
	EXPECT_EQ(0, as_user(BOB, 6));
	EXPECT_EQ(EDQUOT, as_user(BOB, 7));
	close(hold[0]);
	close(hold[1]);
	EXPECT_EQ(0, t_wait(pid));
	EXPECT_EQ(0, as_user(ALICE, 6));
}

TEST_F(quota, who_opened_it_pays_whoever_uses_it)
{
	int fd = t_open(), status;
	pid_t pid;

	ASSERT_EQ(0, set_limit(USER, 4));
	pid = fork();
	if (!pid) {
		if (!become(ALICE))
			_exit(99);
		_exit(-commit(fd, 0, 0, 4));
	}
	status = t_wait(pid);
	EXPECT_EQ(0, status);
	EXPECT_EQ(0, as_user(ALICE, 4));
	EXPECT_EQ(0, info_of(fd).quota_left);
	close(fd);
}

/*
 * In a user namespace of ALICE, which maps SUB to 1: its user 1 opens a client
 * and takes @count, then ALICE herself takes @more outside.
 */
static int with_sub_uid(size_t count, size_t more)
{
	int made[2], mapped[2], taken[2], ret;
	char path[64], byte = 0, text[64];
	pid_t pid;

	if (pipe(made) || pipe(mapped) || pipe(taken))
		return 98;
	pid = fork();
	if (!pid) {
		close(made[0]);
		close(mapped[1]);
		close(taken[0]);
		if (!become(ALICE) || unshare(CLONE_NEWUSER))
			_exit(97);
		if (write(made[1], &byte, 1) != 1 ||
		    read(mapped[0], &byte, 1) != 1)
			_exit(96);
		if (setresgid(1, 1, 1) || setresuid(1, 1, 1))
			_exit(95);
		ret = commit(t_open(), 0, 0, count);
		if (ret || write(taken[1], &byte, 1) != 1)
			_exit(-ret);
		_exit(read(mapped[0], &byte, 1) != 0);
	}
	close(made[1]);
	close(taken[1]);
	if (read(made[0], &byte, 1) == 1) {
		snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
		snprintf(text, sizeof(text), "0 %d 1\n1 %d 1\n", ALICE, SUB);
		if (t_write(path, text))
			ret = 94;
		snprintf(path, sizeof(path), "/proc/%d/gid_map", pid);
		if (t_write(path, text) || write(mapped[1], &byte, 1) != 1)
			ret = 93;
	}
	ret = read(taken[0], &byte, 1) == 1 ? as_user(ALICE, more) : 0;
	close(mapped[0]);
	close(mapped[1]);
	close(made[0]);
	close(taken[0]);
	return t_wait(pid) ?: ret;
}

TEST_F(quota, a_user_with_sub_uids_is_one_user)
{
	int ret;

	ASSERT_EQ(0, set_limit(USER, 6));
	ret = with_sub_uid(4, 2);
	if (ret == 97)
		SKIP(return, "users may not make user namespaces here");
	EXPECT_EQ(0, ret);
	EXPECT_EQ(EDQUOT, with_sub_uid(4, 3));
	EXPECT_EQ(EDQUOT, with_sub_uid(7, 0));
	/* The sub-uid has nothing left to pay for. */
	EXPECT_EQ(0, as_user(SUB, 6));
	EXPECT_EQ(0, as_user(ALICE, 6));
}

#define RACERS	64

TEST_F(quota, sixty_four_tasks_that_race_to_the_limit_never_pass_it)
{
	const int limit = 37, rounds = 8;
	int fds[RACERS], go[2], i, round, sum;
	pid_t pids[RACERS];
	char byte;

	ASSERT_EQ(0, set_limit(USER, limit));
	for (i = 0; i < RACERS; i++)
		fds[i] = t_open();
	for (round = 0; round < rounds; round++) {
		ASSERT_EQ(0, pipe(go));
		for (i = 0; i < RACERS; i++) {
			pids[i] = fork();
			if (pids[i])
				continue;
			close(go[1]);
			if (read(go[0], &byte, 1) != 0)
				_exit(1);
			while (!commit(fds[i], i % 2, rand() % 1000, 1))
				if (rand() % 4 == 0)
					t_decommit(fds[i], i % 2, 0,
						   500 * self->hpage);
			_exit(errno != EDQUOT);
		}
		close(go[0]);
		close(go[1]);
		for (i = 0; i < RACERS; i++)
			EXPECT_EQ(0, t_wait(pids[i]));
		for (i = 0, sum = 0; i < RACERS; i++)
			sum += t_stats(fds[i], SLABPOOL_NODE_LOCAL).committed;
		EXPECT_GE(limit, sum);
		EXPECT_EQ((__u64)(limit - sum), info_of(fds[0]).quota_left);
		for (i = 0; i < RACERS; i++) {
			t_decommit(fds[i], 0, 0, 1000 * self->hpage);
			t_decommit(fds[i], 1, 0, 1000 * self->hpage);
		}
		EXPECT_EQ(limit, info_of(fds[0]).quota_left);
	}
	for (i = 0; i < RACERS; i++)
		close(fds[i]);
}

TEST_F(quota, nonsense_is_einval_and_changes_nothing)
{
	static const char *const nonsense[] = {
		"x", "-1", "1x", "1 2", "0x10", " ", "\n", "", "1.5",
		"18446744073709551616",
	};
	unsigned int i;

	ASSERT_EQ(0, set_limit(USER, 17));
	for (i = 0; i < ARRAY_SIZE(nonsense); i++) {
		if (*nonsense[i])
			EXPECT_EQ(-EINVAL, t_write(T_SYSFS "/" USER,
						   nonsense[i]));
		EXPECT_EQ(17, t_sysfs(USER));
	}
	/* As much as a number can be is not nonsense. */
	EXPECT_EQ(0, t_write(T_SYSFS "/" USER, "18446744073709551615\n"));
}

TEST_HARNESS_MAIN

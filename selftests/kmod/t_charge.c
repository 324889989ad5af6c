// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Who opened a client pays for it, whatever becomes of the descriptor, of him and
 * of the process: the account is exact after every turn, never negative.
 */
#include "kselftest_harness.h"
#include "helpers.h"

#include <sys/socket.h>

#define ALICE	4711
#define BOB	4712
#define LIMIT	64
#define HPAGES	5
#define GROUP	"slabpool-charge"

FIXTURE(account) {
	struct stat device;
	size_t hpage;
};

FIXTURE_SETUP(account)
{
	char limit[16];

	ASSERT_TRUE(t_all_settle(10));
	ASSERT_EQ(0, stat(T_DEVICE, &self->device));
	ASSERT_EQ(0, chmod(T_DEVICE, 0666));
	snprintf(limit, sizeof(limit), "%d", LIMIT);
	ASSERT_EQ(0, t_write(T_SYSFS "/max_user_hugepages", limit));
	self->hpage = t_hpage();
}

FIXTURE_TEARDOWN(account)
{
	EXPECT_EQ(0, t_write(T_SYSFS "/max_user_hugepages", "0"));
	EXPECT_EQ(0, chmod(T_DEVICE, self->device.st_mode & 07777));
	EXPECT_EQ(0, t_sysfs("clients"));
	EXPECT_TRUE(t_all_settle(10));
}

static bool become(uid_t uid)
{
	return !setresgid(uid, uid, uid) && !setresuid(uid, uid, uid);
}

/* Hpages charged to the opener of a client, as the client's INFO tells. */
static int charged(int fd)
{
	struct slabpool_ioc_info info = { .size = sizeof(info) };

	return ioctl(fd, SLABPOOL_IOC_INFO, &info) ? -1 :
	       LIMIT - (int)info.quota_left;
}

/* Hpages charged to a user. */
static int charged_to(uid_t uid)
{
	pid_t pid = fork();

	if (!pid)
		_exit(become(uid) ? charged(t_open()) : 200);
	return t_wait(pid);
}

/* A client opened by that user, for us to use. */
static int open_as(uid_t uid)
{
	int fd;

	if (setresuid(-1, uid, -1))
		return -1;
	fd = t_open();
	return setresuid(-1, 0, -1) ? -1 : fd;
}

TEST_F(account, it_stays_with_the_opener_when_others_use_the_descriptor)
{
	int fd = open_as(ALICE);
	pid_t pid;

	ASSERT_LE(0, fd);
	pid = fork();
	if (!pid) {
		if (!become(BOB))
			_exit(1);
		_exit(t_commit(fd, 0, 0, HPAGES * self->hpage) ? 2 : 0);
	}
	ASSERT_EQ(0, t_wait(pid));
	EXPECT_EQ(HPAGES, charged_to(ALICE));
	EXPECT_EQ(0, charged_to(BOB));
	EXPECT_EQ(0, charged_to(0));

	/* And who gives back credits the same. */
	EXPECT_EQ(2, t_decommit(fd, 0, 0, 2 * self->hpage));
	EXPECT_EQ(HPAGES - 2, charged_to(ALICE));
	close(fd);
	EXPECT_EQ(0, charged_to(ALICE));
}

/* With a mapping, so that what changes hands is more than a number. */
static char *take(int fd)
{
	char *map = t_take(fd, 0, HPAGES);

	if (map != MAP_FAILED)
		map[0] = 1;
	return map;
}

TEST_F(account, it_stays_when_the_opener_becomes_another)
{
	int ready[2], go[2];
	char byte = 0;
	pid_t pid;

	ASSERT_EQ(0, pipe(ready));
	ASSERT_EQ(0, pipe(go));
	pid = fork();
	if (!pid) {
		int fd;

		close(go[1]);
		/* Privileged for the change, ALICE for the opening. */
		fd = open_as(ALICE);
		if (take(fd) == MAP_FAILED || !become(BOB) ||
		    t_commit(fd, 0, HPAGES * self->hpage, self->hpage) ||
		    write(ready[1], &byte, 1) != 1)
			_exit(1);
		_exit(read(go[0], &byte, 1) != 0);
	}
	ASSERT_EQ(1, read(ready[0], &byte, 1));
	EXPECT_EQ(HPAGES + 1, charged_to(ALICE));
	EXPECT_EQ(0, charged_to(BOB));
	close(go[1]);
	EXPECT_EQ(0, t_wait(pid));
	EXPECT_EQ(0, charged_to(ALICE));
	EXPECT_EQ(0, charged_to(BOB));
	close(go[0]);
	close(ready[0]);
	close(ready[1]);
}

TEST_F(account, it_ends_with_exec_unless_the_descriptor_goes_along)
{
	pid_t pid;
	int fd;

	pid = fork();
	if (!pid) {
		if (!become(ALICE) || take(t_open()) == MAP_FAILED)
			_exit(1);
		execl("/bin/true", "true", NULL);
		_exit(2);
	}
	EXPECT_EQ(0, t_wait(pid));
	EXPECT_EQ(0, charged_to(ALICE));

	/* The next program inherits the client, and what it costs. */
	fd = open_as(ALICE);
	ASSERT_EQ(0, t_commit(fd, 0, 0, HPAGES * self->hpage));
	fcntl(fd, F_SETFD, 0);
	pid = fork();
	if (!pid) {
		execl("/bin/sleep", "sleep", "100", NULL);
		_exit(2);
	}
	close(fd);
	EXPECT_EQ(HPAGES, charged_to(ALICE));
	kill(pid, SIGKILL);
	t_wait(pid);
	EXPECT_EQ(0, charged_to(ALICE));
}

/* Send a descriptor through a socket, and close it. */
static bool send_away(int socket, int fd)
{
	char byte = 0, room[CMSG_SPACE(sizeof(int))] = {};
	struct iovec iov = { &byte, 1 };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = room,
		.msg_controllen = sizeof(room),
	};
	struct cmsghdr *control = CMSG_FIRSTHDR(&message);

	control->cmsg_level = SOL_SOCKET;
	control->cmsg_type = SCM_RIGHTS;
	control->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(control), &fd, sizeof(fd));
	return sendmsg(socket, &message, 0) == 1 && !close(fd);
}

static int receive(int socket)
{
	char byte, room[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &byte, 1 };
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = room,
		.msg_controllen = sizeof(room),
	};
	int fd = -1;

	if (recvmsg(socket, &message, 0) == 1 && CMSG_FIRSTHDR(&message))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return fd;
}

TEST_F(account, it_travels_with_a_descriptor_through_a_socket)
{
	int sockets[2], fd;
	pid_t pid;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	pid = fork();
	if (!pid) {
		if (!become(ALICE))
			_exit(1);
		fd = t_open();
		if (t_commit(fd, 0, 0, HPAGES * self->hpage))
			_exit(2);
		_exit(!send_away(sockets[1], fd));
	}
	ASSERT_EQ(0, t_wait(pid));
	/* In the socket, with nobody, it is still hers. */
	EXPECT_EQ(HPAGES, charged_to(ALICE));
	fd = receive(sockets[0]);
	ASSERT_LE(0, fd);
	EXPECT_EQ(HPAGES, charged_to(ALICE));
	EXPECT_EQ(HPAGES, t_decommit(fd, 0, 0, HPAGES * self->hpage));
	EXPECT_EQ(0, charged_to(ALICE));
	ASSERT_EQ(0, t_commit(fd, 0, 0, self->hpage));
	EXPECT_EQ(1, charged_to(ALICE));
	EXPECT_EQ(0, charged_to(0));

	/* Back into the socket, which is then closed with it inside. */
	ASSERT_TRUE(send_away(sockets[1], fd));
	close(sockets[1]);
	EXPECT_EQ(1, charged_to(ALICE));
	close(sockets[0]);
	EXPECT_EQ(0, charged_to(ALICE));
}

TEST_F(account, children_cost_nothing_and_pay_nothing_back)
{
	int fd = open_as(ALICE), i;
	char *map = take(fd);
	pid_t pids[4];

	ASSERT_NE(MAP_FAILED, map);
	for (i = 0; i < 4; i++) {
		pids[i] = fork();
		if (!pids[i])
			for (;;)
				pause();
	}
	EXPECT_EQ(HPAGES, charged_to(ALICE));
	munmap(map, HPAGES * self->hpage);
	close(fd);
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(HPAGES, charged_to(ALICE));
		kill(pids[i], SIGKILL);
		t_wait(pids[i]);
	}
	EXPECT_EQ(0, charged_to(ALICE));
}

TEST_F(account, moving_to_another_group_changes_nothing)
{
	const char *why = t_make_group(GROUP, "memory");
	int fd = open_as(ALICE);
	pid_t pid;

	if (why) {
		close(fd);
		SKIP(return, "%s", why);
	}
	pid = fork();
	if (!pid) {
		if (t_commit(fd, 0, 0, 2 * self->hpage) || t_enter_group(GROUP))
			_exit(1);
		if (t_commit(fd, 0, 0, HPAGES * self->hpage))
			_exit(2);
		_exit(t_decommit(fd, 0, 0, self->hpage) != 1);
	}
	EXPECT_EQ(0, t_wait(pid));
	EXPECT_EQ(HPAGES - 1, charged_to(ALICE));
	close(fd);
	EXPECT_EQ(0, charged_to(ALICE));
	EXPECT_EQ(0, t_remove_group(GROUP));
}

TEST_F(account, what_is_refused_is_not_charged)
{
	int fd = open_as(ALICE);

	EXPECT_EQ(-EDQUOT, t_commit(fd, 0, 0, (LIMIT + 1) * self->hpage));
	EXPECT_EQ(0, charged_to(ALICE));
	EXPECT_EQ(0, t_commit(fd, 0, 0, LIMIT * self->hpage));
	EXPECT_EQ(LIMIT, charged_to(ALICE));
	EXPECT_EQ(-EDQUOT, t_commit(fd, 1, 0, self->hpage));
	EXPECT_EQ(LIMIT, charged_to(ALICE));
	close(fd);
	EXPECT_EQ(0, charged_to(ALICE));
}

/* Every turn at once, killed anywhere. */
static void juggle(unsigned int seed, int sockets[2], size_t hpage)
{
	for (;;) {
		int fd = open_as(rand_r(&seed) & 1 ? ALICE : BOB);

		t_commit(fd, rand_r(&seed) & 1, rand_r(&seed) % 4 * hpage,
			 (1 + rand_r(&seed) % 4) * hpage);
		switch (rand_r(&seed) % 4) {
		case 0:
			t_decommit(fd, 0, 0, 2 * hpage);
			break;
		case 1:
			take(fd);
			break;
		case 2:
			send_away(sockets[0], fd);
			fd = receive(sockets[1]);
			break;
		}
		close(fd);
	}
}

TEST_F(account, it_is_even_after_any_number_of_sudden_ends)
{
	unsigned long round;
	unsigned int seed = 99;
	int sockets[2];

	for (round = 0; round < t_rounds(60); round++) {
		pid_t pid;

		ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
		pid = fork();
		if (!pid)
			juggle(rand_r(&seed) + round, sockets, self->hpage);
		usleep(rand_r(&seed) % 8000);
		kill(pid, SIGKILL);
		EXPECT_EQ(128 + SIGKILL, t_wait(pid));
		close(sockets[0]);
		close(sockets[1]);
	}
	EXPECT_TRUE(t_all_settle(10));
	EXPECT_EQ(0, charged_to(ALICE));
	EXPECT_EQ(0, charged_to(BOB));
	EXPECT_EQ(0, charged_to(0));
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Slots of descriptors, and the calls on files.
 *
 * Threads close and replace descriptors while others use them.  So that nobody
 * ever commits to one client what he believes another's, no number is used twice.
 */
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "calls.h"

#define FIRST_FD	200

/* A word each, so that a descriptor and its client are read together. */
static _Atomic u64 slots[NR_SLOTS];
static atomic_int next_fd = FIRST_FD;

struct slot slot_get(u64 number)
{
	u64 word = atomic_load(&slots[number % NR_SLOTS]);

	if (!word)
		return (struct slot){ .fd = -1, .client = NO_CLIENT };
	return (struct slot){ word >> 32, (int)(word >> 8 & 0xffffff) - 1, word & 3 };
}

/*
 * The number is one that no racing thread can still have in mind for another
 * client.
 */
long slot_set(u64 number, int fd, int client, int mode)
{
	int high = fcntl(fd, F_DUPFD_CLOEXEC, atomic_fetch_add(&next_fd, 1));
	int error = errno;
	u64 old;

	close(fd);
	if (high < 0)
		return -error;
	old = atomic_exchange(&slots[number % NR_SLOTS],
			      (u64)high << 32 | (u64)(client + 1) << 8 | (u64)mode);
	if (old)
		close(old >> 32);
	return 0;
}

bool writes(const struct slot *slot)
{
	return slot->mode != O_RDONLY;
}

static long open_client(const char *path, u64 number, int mode)
{
	int fd = open(path, mode | O_CLOEXEC), client;

	if (fd < 0)
		return -errno;
	client = client_new();
	if (client == NO_CLIENT) {
		close(fd);
		return -ENFILE;
	}
	return slot_set(number, fd, client, mode);
}

long call_open(const u64 *v)
{
	return open_client(DEVICE, v[0], v[1]);
}

/* Opening a descriptor's file anew is a client of its own. */
long call_reopen(const u64 *v)
{
	struct slot slot = slot_get(v[0]);
	char path[64];

	if (slot.fd < 0)
		return -EBADF;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", slot.fd);
	return open_client(path, v[1], O_RDWR);
}

long call_close(const u64 *v)
{
	u64 old = atomic_exchange(&slots[v[0] % NR_SLOTS], 0);

	if (!old)
		return -EBADF;
	return answer(close(old >> 32));
}

long call_dup(const u64 *v)
{
	struct slot slot = slot_get(v[0]);
	int fd = dup(slot.fd);

	return fd < 0 ? -errno : slot_set(v[1], fd, slot.client, slot.mode);
}

/* What a descriptor sent to the other process says of itself. */
struct parcel {
	int client;
	int mode;
};

union control {
	struct cmsghdr header;
	char space[CMSG_SPACE(sizeof(int))];
};

long call_give(const u64 *v)
{
	struct slot slot = slot_get(v[0]);
	struct parcel parcel = { slot.client, slot.mode };
	union control control = {};
	struct iovec iov = { &parcel, sizeof(parcel) };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	long ret;

	if (slot.fd < 0)
		return -EBADF;
	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.header), &slot.fd, sizeof(int));
	oracle_hide(1);
	ret = answer(sendmsg(exec_socket(), &message, MSG_DONTWAIT));
	if (ret < 0)
		oracle_hide(-1);
	return ret < 0 ? ret : 0;
}

long call_take(const u64 *v)
{
	struct parcel parcel;
	union control control;
	struct iovec iov = { &parcel, sizeof(parcel) };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header;
	long ret;
	int fd;

	if (recvmsg(exec_socket(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0)
		return -errno;
	header = CMSG_FIRSTHDR(&message);
	if (!header)
		return -ENOENT;
	memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	ret = slot_set(v[0], fd, parcel.client, parcel.mode);
	oracle_hide(-1);
	return ret;
}

/* Calls on the file that a device like ours has to bear. */
long call_file(const u64 *v)
{
	int fd = slot_get(v[0]).fd;
	struct pollfd poller = { .fd = fd, .events = POLLIN };

	if (fd < 0)
		return -EBADF;
	switch (v[1]) {
	case READ:		return answer(pread(fd, user_page(0), PAGE, 0));
	case WRITE:		return answer(pwrite(fd, user_page(0), PAGE, 0));
	case FSYNC:		return answer(fsync(fd));
	case TRUNCATE:		return answer(ftruncate(fd, hpage));
	case PUNCH:		return answer(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, hpage));
	case FADVISE:		return -posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	case SYNC_RANGE:	return answer(sync_file_range(fd, 0, hpage, SYNC_FILE_RANGE_WRITE));
	case SEEK:		return lseek(fd, 0, SEEK_DATA) < 0 ? -errno : 0;
	case POLL:		return answer(poll(&poller, 1, 0));
	case SENDFILE:		return answer(sendfile(exec_socket(), fd, NULL, 1));
	default:		return answer(fcntl(fd, F_SETLEASE, F_WRLCK));
	}
}

/* What the device says of a client there. */
long call_fdinfo(const u64 *v)
{
	struct slot slot = slot_get(v[0]);
	char path[64], text[1024];
	long ret;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", slot.fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = answer(read(fd, text, sizeof(text)));
	close(fd);
	return ret < 0 ? ret : 0;
}

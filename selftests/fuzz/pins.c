// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* Who has memory pinned that its owner may give back: pipes and io_uring. */
#include <fcntl.h>
#include <liburing.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "calls.h"

/* Pipes, each with a base page that it has pinned. */
struct pipe_slot {
	atomic_flag busy;
	int ends[2];
	bool full;
	int client;
	u64 index;
	unsigned int page;
};

static struct pipe_slot pipes[NR_PIPES];

static long fill_pipe(struct pipe_slot *slot, unsigned int number, unsigned int page)
{
	const struct cell *cell = &cells[number];
	struct iovec iov = { cell_address(number) + page * PAGE, PAGE };

	if (slot->full || cell_owner(cell) == NO_CLIENT)
		return -EBUSY;
	if (!slot->ends[1] && pipe2(slot->ends, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	slot->client = cell_owner(cell);
	slot->index = cell->index;
	slot->page = page;
	if (vmsplice(slot->ends[1], &iov, 1, SPLICE_F_NONBLOCK) != (ssize_t)PAGE)
		return -errno;
	slot->full = true;
	return 0;
}

long call_pin(const u64 *v)
{
	struct pipe_slot *slot = &pipes[v[2] % NR_PIPES];
	unsigned int cell = v[0] % NR_CELLS;
	long ret = -EAGAIN;

	if (atomic_flag_test_and_set(&slot->busy))
		return ret;
	if (cell_hold(cell)) {
		ret = fill_pipe(slot, cell, v[1] % (hpage / PAGE));
		cell_release(cell);
	}
	atomic_flag_clear(&slot->busy);
	return ret;
}

/* Whatever became of the hpage, a pinned page keeps its owner. */
static long empty_pipe(struct pipe_slot *slot)
{
	u64 words[PAGE / sizeof(u64)];
	size_t place = stamp_place(slot->page) % PAGE / sizeof(u64);

	if (!slot->full)
		return -ENOENT;
	slot->full = false;
	if (read(slot->ends[0], words, PAGE) != (ssize_t)PAGE)
		return -errno;
	check_word(words[place], 1ULL << slot->client, slot->index);
	return 0;
}

long call_unpin(const u64 *v)
{
	struct pipe_slot *slot = &pipes[v[0] % NR_PIPES];
	long ret;

	if (atomic_flag_test_and_set(&slot->busy))
		return -EAGAIN;
	ret = empty_pipe(slot);
	atomic_flag_clear(&slot->busy);
	return ret;
}

/* One io_uring a process, with one hpage registered. */
static struct {
	atomic_flag busy;
	bool ready;
	bool registered;
	bool forked;
	int file;
	int client;
	u64 index;
	char *address;
	struct io_uring ring;
} uring;

static long register_cell(unsigned int number)
{
	struct cell *cell = &cells[number];
	struct iovec iov = { cell_address(number), hpage };
	long ret;

	if (cell->client == NO_CLIENT || uring.registered)
		return -EBUSY;
	if (!uring.ready) {
		ret = io_uring_queue_init(4, &uring.ring, 0);
		if (ret)
			return ret;
		uring.ready = true;
		uring.file = memfd_create("stamps", MFD_CLOEXEC);
	}
	client_late_input(cell->client);
	ret = io_uring_register_buffers(&uring.ring, &iov, 1);
	uring.registered = !ret;
	uring.client = cell->client;
	uring.index = cell->index;
	uring.address = iov.iov_base;
	return ret;
}

/* Late input: a base page with the owner's stamp, into what is registered. */
static long read_fixed(unsigned int page)
{
	u64 words[PAGE / sizeof(u64)] = {};
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	long ret;

	words[stamp_place(page) % PAGE / sizeof(u64)] =
		client_stamp(uring.client, uring.index, false, false);
	if (pwrite(uring.file, words, PAGE, 0) != (ssize_t)PAGE)
		return -errno;
	sqe = io_uring_get_sqe(&uring.ring);
	if (!sqe)
		return -EBUSY;
	io_uring_prep_read_fixed(sqe, uring.file, uring.address + page * PAGE, PAGE, 0, 0);
	ret = io_uring_submit_and_wait(&uring.ring, 1);
	if (ret < 0 || io_uring_peek_cqe(&uring.ring, &cqe))
		return ret < 0 ? ret : -EAGAIN;
	ret = cqe->res;
	io_uring_cqe_seen(&uring.ring, cqe);
	return ret < 0 ? ret : 0;
}

static long uring_do(const u64 *v)
{
	unsigned int cell = v[1] % NR_CELLS;
	long ret = -EAGAIN;

	switch (v[0]) {
	case REGISTER:
		if (!cell_hold(cell))
			return ret;
		ret = register_cell(cell);
		cell_release(cell);
		return ret;
	case READ_FIXED:
		if (!uring.registered)
			return -ENOENT;
		if (!client_lock(uring.client))
			return ret;
		ret = read_fixed(v[2] % (hpage / PAGE));
		client_unlock(uring.client);
		return ret;
	default:
		if (!uring.registered)
			return -ENOENT;
		uring.registered = false;
		return io_uring_unregister_buffers(&uring.ring);
	}
}

long call_uring(const u64 *v)
{
	long ret;

	/* A child has the descriptor, but not the rings. */
	if (uring.forked || atomic_flag_test_and_set(&uring.busy))
		return -EAGAIN;
	ret = uring_do(v);
	atomic_flag_clear(&uring.busy);
	return ret;
}

/* In a child, where no other thread is left to end what it has begun. */
void pins_forked(void)
{
	unsigned int i;

	uring.forked = true;
	for (i = 0; i < NR_PIPES; i++)
		atomic_flag_clear(&pipes[i].busy);
}

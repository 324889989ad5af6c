// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * I/O of every length across the ends of base pages, hpages and regions writes
 * what it was asked to and not a byte beside, neither in the neighbouring
 * addresses nor in the neighbouring memory.
 */
#include "kselftest_harness.h"
#include "helpers.h"

#include <liburing.h>
#include <sys/uio.h>

#define CANARY	0x6b
#define FRAMES	512	/* base pages in an hpage */

FIXTURE(client) {
	int fd;
	int other;
	int source;	/* an endless file of zeroes */
	size_t hpage;
	size_t hpages;
	char *all;	/* every hpage of node 0 but one, of another client */
	char *map;	/* the one */
	bool surrounded;
};

/*
 * Everything around is full of canaries: the hpages before and behind ours in
 * memory are among them.  Ours is chosen so that there are both.
 */
FIXTURE_SETUP(client)
{
	uint64_t pfn, frames[1024];
	size_t i, j, before, behind;

	ASSERT_TRUE(t_all_settle(10));
	self->fd = t_open();
	self->other = t_open();
	self->source = open("/dev/zero", O_RDONLY);
	self->hpage = t_hpage();
	self->hpages = t_pool(0).total;
	ASSERT_GE(ARRAY_SIZE(frames), self->hpages);
	self->all = t_take(self->other, 0, self->hpages);
	ASSERT_NE(MAP_FAILED, self->all);
	for (i = 0; i < self->hpages; i++) {
		memset(self->all + i * self->hpage, CANARY, 4096);
		memset(self->all + (i + 1) * self->hpage - 4096, CANARY, 4096);
		frames[i] = t_pfn(self->all + i * self->hpage);
	}
	for (i = 0; i < self->hpages && !self->surrounded; i++) {
		before = behind = 0;
		for (j = 0; j < self->hpages; j++) {
			before += frames[j] == frames[i] - FRAMES;
			behind += frames[j] == frames[i] + FRAMES;
		}
		self->surrounded = before && behind;
	}
	if (!self->surrounded)
		return;
	/* It is the one free hpage now, so that it is what we get. */
	i--;
	ASSERT_EQ(1, t_decommit(self->other, 0, i * self->hpage, self->hpage));
	self->map = t_take(self->fd, 0, 1);
	ASSERT_NE(MAP_FAILED, self->map);
	self->map[0] = 0;
	pfn = t_pfn(self->map);
	EXPECT_EQ(frames[i], pfn);
}

FIXTURE_TEARDOWN(client)
{
	size_t i, damaged = 0;

	for (i = 0; i < self->hpages; i++) {
		char *hpage = self->all + i * self->hpage;

		if (t_touch(hpage, false))
			continue;
		damaged += !t_is_filled(hpage, CANARY, 4096);
		damaged += !t_is_filled(hpage + self->hpage - 4096, CANARY,
					4096);
	}
	EXPECT_EQ(0, damaged);
	munmap(self->all, self->hpages * self->hpage);
	munmap(self->map, self->hpage);
	close(self->source);
	close(self->other);
	close(self->fd);
	EXPECT_TRUE(t_all_settle(20));
}

/* Lengths, and how far before an edge they begin. */
static const size_t lengths[] = {
	1, 7, 511, 512, 513, 4095, 4096, 4097, 8192, 65537, (1 << 21) - 1,
	1 << 21, (1 << 21) + 1,
};
static const size_t ahead[] = { 0, 1, 511, 512, 4095, 4097 };

/*
 * Each start and length in turn; @io writes zeroes and tells how many bytes.
 * What follows the hpage in the address space is not mapped.
 */
static int sweep(char *map, size_t hpage, ssize_t (*io)(void *arg, char *to,
							size_t length),
		 void *arg)
{
	static const size_t edges[] = { 0, 4096, 1 << 20, 1 << 21 };
	unsigned int e, a, l, wrong = 0, bad;

	for (e = 0; e < ARRAY_SIZE(edges); e++)
		for (a = 0; a < ARRAY_SIZE(ahead); a++)
			for (l = 0; l < ARRAY_SIZE(lengths); l++) {
				size_t from, room, done;
				ssize_t ret;

				if (ahead[a] > edges[e])
					continue;
				from = edges[e] - ahead[a];
				room = hpage - from;
				if (from >= hpage)
					continue;
				memset(map, CANARY, hpage);
				ret = io(arg, map + from, lengths[l]);
				done = ret < 0 ? 0 : ret;
				/*
				 * As far as it says, and there is memory; a
				 * ring may be interrupted by its own events.
				 */
				bad = done > lengths[l] || done > room;
				if (lengths[l] <= room)
					bad |= !done << 1;
				if (done)
					bad |= !t_is_filled(map + from, 0,
							    done) << 2;
				if (from)
					bad |= !t_is_filled(map, CANARY,
							    from) << 3;
				if (lengths[l] < room)
					bad |= !t_is_filled(map + from + done,
							    CANARY,
							    room - done) << 4;
				if (!bad)
					continue;
				printf("# %zu bytes at %zu: %zd, %#x\n",
				       lengths[l], from, ret, bad);
				wrong++;
			}
	return wrong;
}

static ssize_t by_read(void *arg, char *to, size_t length)
{
	return read(*(int *)arg, to, length);
}

TEST_F(client, read_stays_inside)
{
	if (!self->surrounded)
		SKIP(return, "no hpage of the pool lies between two others");
	EXPECT_EQ(0, sweep(self->map, self->hpage, by_read, &self->source));
}

static ssize_t by_process_vm_readv(void *arg, char *to, size_t length)
{
	struct iovec local = { to, length }, remote = { arg, length };

	return process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
}

TEST_F(client, process_vm_readv_stays_inside)
{
	char *zero;

	if (!self->surrounded)
		SKIP(return, "no hpage of the pool lies between two others");
	zero = mmap(NULL, 2 * self->hpage, PROT_READ,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	EXPECT_EQ(0, sweep(self->map, self->hpage, by_process_vm_readv, zero));
	munmap(zero, 2 * self->hpage);
}

struct ring {
	struct io_uring ring;
	int source;
	bool fixed;
};

static ssize_t by_ring(void *arg, char *to, size_t length)
{
	struct ring *ring = arg;
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->ring);
	struct io_uring_cqe *cqe;
	ssize_t ret;

	if (ring->fixed)
		io_uring_prep_read_fixed(sqe, ring->source, to, length, 0, 0);
	else
		io_uring_prep_read(sqe, ring->source, to, length, 0);
	if (io_uring_submit_and_wait(&ring->ring, 1) != 1 ||
	    io_uring_wait_cqe(&ring->ring, &cqe))
		return -1;
	ret = cqe->res;
	io_uring_cqe_seen(&ring->ring, cqe);
	return ret;
}

TEST_F(client, a_registered_buffer_ends_where_it_ends)
{
	struct iovec iov = { self->map, self->hpage };
	struct ring ring = { .source = self->source, .fixed = true };

	if (!self->surrounded)
		SKIP(return, "no hpage of the pool lies between two others");
	ASSERT_EQ(0, io_uring_queue_init(4, &ring.ring, 0));
	if (io_uring_register_buffers(&ring.ring, &iov, 1))
		SKIP(goto out, "this kernel registers no file-backed buffers");
	EXPECT_EQ(0, sweep(self->map, self->hpage, by_ring, &ring));
out:
	io_uring_queue_exit(&ring.ring);
}

TEST_F(client, a_ring_read_stays_inside)
{
	struct ring ring = { .source = self->source };

	if (!self->surrounded)
		SKIP(return, "no hpage of the pool lies between two others");
	ASSERT_EQ(0, io_uring_queue_init(4, &ring.ring, 0));
	EXPECT_EQ(0, sweep(self->map, self->hpage, by_ring, &ring));
	io_uring_queue_exit(&ring.ring);
}

TEST_F(client, a_gather_write_out_of_it_reads_not_beyond)
{
	int pipes[2];
	size_t a;

	if (!self->surrounded)
		SKIP(return, "no hpage of the pool lies between two others");
	ASSERT_EQ(0, pipe(pipes));
	memset(self->map, 0x19, self->hpage);
	for (a = 1; a <= 4096; a += 1 + a / 3) {
		struct iovec iov = { self->map + self->hpage - a, a + 4096 };
		char bytes[16384];
		ssize_t out, in;

		/* What it can reach, or nothing. */
		out = vmsplice(pipes[1], &iov, 1, 0);
		EXPECT_GE((ssize_t)a, out);
		if (out <= 0)
			continue;
		in = read(pipes[0], bytes, sizeof(bytes));
		EXPECT_EQ(out, in);
		EXPECT_TRUE(t_is_filled(bytes, 0x19, in));
	}
	close(pipes[0]);
	close(pipes[1]);
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * No byte of the kernel's own comes out with an answer: the structures have no
 * holes, and the same question gets the same bytes whatever lay on the stack.
 */
/* A structure with a hole in it does not compile. */
#pragma GCC diagnostic push
#pragma GCC diagnostic error "-Wpadded"
#include <linux/slabpool.h>
#pragma GCC diagnostic pop

#include "kselftest_harness.h"
#include "helpers.h"

#include <poll.h>
#include <sys/uio.h>

#define LONGEST	4096

FIXTURE(answer) {
	int fd;
	char *map;
};

FIXTURE_VARIANT(answer) {
	unsigned int cmd;
	unsigned int size;
};

FIXTURE_VARIANT_ADD(answer, info) {
	.cmd = SLABPOOL_IOC_INFO, .size = sizeof(struct slabpool_ioc_info),
};
FIXTURE_VARIANT_ADD(answer, commit) {
	.cmd = SLABPOOL_IOC_COMMIT, .size = sizeof(struct slabpool_ioc_commit),
};
FIXTURE_VARIANT_ADD(answer, decommit) {
	.cmd = SLABPOOL_IOC_DECOMMIT,
	.size = sizeof(struct slabpool_ioc_decommit),
};
FIXTURE_VARIANT_ADD(answer, stats) {
	.cmd = SLABPOOL_IOC_STATS, .size = sizeof(struct slabpool_ioc_stats),
};

FIXTURE_SETUP(answer)
{
	self->fd = t_open();
	ASSERT_LE(0, self->fd);
	self->map = t_take(self->fd, 0, 1);
	ASSERT_NE(MAP_FAILED, self->map);
}

FIXTURE_TEARDOWN(answer)
{
	munmap(self->map, t_hpage());
	close(self->fd);
}

/*
 * Leave a pattern where the next call's frames will lie: in the argument of other
 * commands of the device, and in calls that keep arrays on the stack.
 */
static void poison_stack(int fd, unsigned char pattern)
{
	static const unsigned int cmds[] = {
		SLABPOOL_IOC_INFO, SLABPOOL_IOC_COMMIT, SLABPOOL_IOC_DECOMMIT,
		SLABPOOL_IOC_ATTACH, SLABPOOL_IOC_STATS, SLABPOOL_IOC_RESERVE,
		SLABPOOL_IOC_SHARE, SLABPOOL_IOC_SNAPSHOT,
	};
	static const unsigned int sizes[] = {
		SLABPOOL_IOC_INFO_SIZE_1, SLABPOOL_IOC_COMMIT_SIZE_1,
		SLABPOOL_IOC_DECOMMIT_SIZE_1, SLABPOOL_IOC_ATTACH_SIZE_1,
		SLABPOOL_IOC_STATS_SIZE_1, SLABPOOL_IOC_RESERVE_SIZE_1,
		SLABPOOL_IOC_SHARE_SIZE_1, SLABPOOL_IOC_SNAPSHOT_SIZE_1,
	};
	unsigned char bytes[LONGEST];
	struct pollfd fds[64];
	struct iovec iov[8];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cmds); i++) {
		memset(bytes, pattern, sizeof(bytes));
		/* Refused for its flags, but copied in. */
		memcpy(bytes, &sizes[i], sizeof(sizes[i]));
		ioctl(fd, cmds[i], bytes);
	}
	memset(fds, pattern, sizeof(fds));
	for (i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i].fd = -1 - pattern;
	poll(fds, ARRAY_SIZE(fds), 0);
	memset(iov, pattern, sizeof(iov));
	readv(-1, iov, ARRAY_SIZE(iov));
	writev(fd, iov, ARRAY_SIZE(iov));
}

/* The question, which changes nothing that is there; answers in @bytes. */
static int ask(int fd, unsigned int cmd, unsigned int size, unsigned int sent,
	       unsigned char *bytes, struct slabpool_range *range)
{
	struct slabpool_ioc_commit *commit = (void *)bytes;
	struct slabpool_ioc_decommit *decommit = (void *)bytes;
	struct slabpool_ioc_stats *stats = (void *)bytes;

	/* Inputs; the outputs stay as the caller has filled them. */
	memset(bytes, 0, 8);
	memset(bytes + size, 0, sent - size);
	memcpy(bytes, &sent, sizeof(sent));
	switch (cmd) {
	case SLABPOOL_IOC_COMMIT:
		commit->offset = SLABPOOL_OFFSET(0, 0);
		commit->length = t_hpage();
		break;
	case SLABPOOL_IOC_DECOMMIT:
		range->offset = SLABPOOL_OFFSET(0, 64 * t_hpage());
		range->length = t_hpage();
		range->reserved = 0;
		decommit->ranges = (uintptr_t)range;
		decommit->count = 1;
		break;
	case SLABPOOL_IOC_STATS:
		stats->node = 0;
		stats->reserved = 0;
		break;
	}
	return ioctl(fd, cmd, bytes) ? -errno : 0;
}

TEST_F(answer, is_the_same_bytes_whatever_lay_on_the_stack)
{
	static const unsigned char patterns[] = { 0x00, 0xff, 0xa5, 0x5a };
	unsigned char first[LONGEST], bytes[LONGEST];
	struct slabpool_range range, first_range = {};
	const unsigned int sizes[] = {
		variant->size, variant->size + 8, LONGEST,
	};
	unsigned int p, s;

	for (s = 0; s < ARRAY_SIZE(sizes); s++)
		for (p = 0; p < ARRAY_SIZE(patterns); p++) {
			memset(bytes, patterns[p], sizeof(bytes));
			memset(&range, patterns[p], sizeof(range));
			poison_stack(self->fd, patterns[p]);
			ASSERT_EQ(0, ask(self->fd, variant->cmd, variant->size,
					 sizes[s], bytes, &range));
			if (!p) {
				memcpy(first, bytes, sizeof(first));
				first_range = range;
			}
			EXPECT_EQ(0, memcmp(first, bytes, sizes[s]));
			/* Only of a call that has ranges. */
			if (variant->cmd == SLABPOOL_IOC_DECOMMIT)
				EXPECT_EQ(0, memcmp(&first_range, &range,
						    sizeof(range)));
		}
}

TEST_F(answer, writes_nothing_behind_the_size_that_was_sent)
{
	unsigned char bytes[LONGEST];
	struct slabpool_range range = {};

	memset(bytes, 0xee, sizeof(bytes));
	ASSERT_EQ(0, ask(self->fd, variant->cmd, variant->size, variant->size,
			 bytes, &range));
	EXPECT_TRUE(t_is_filled(bytes + variant->size, 0xee,
				sizeof(bytes) - variant->size));
}

TEST_HARNESS_MAIN

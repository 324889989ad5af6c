// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * The ioctls against the ABI header.  Each negative case has one bad field and
 * everything else valid; outputs are poisoned beforehand.
 */
#include "kselftest_harness.h"
#include "helpers.h"

#include <sys/time.h>

#define POISON	0xcc

/* The largest structure, with room for the tail of a newer revision. */
union buffer {
	struct {
		__u32 size;
		__u32 flags;
	};
	struct slabpool_ioc_info info;
	struct slabpool_ioc_commit commit;
	struct slabpool_ioc_decommit decommit;
	struct slabpool_ioc_attach attach;
	struct slabpool_ioc_stats stats;
	struct slabpool_ioc_reserve reserve;
	struct slabpool_ioc_share share;
	struct slabpool_ioc_snapshot snapshot;
	unsigned char bytes[8192];
};

FIXTURE(command) {
	int fd;
	int rofd;
	int into;	/* for SNAPSHOT, which uses it up */
	char *map;
	union buffer in;
	union buffer before;
	struct slabpool_range range;
};

FIXTURE_VARIANT(command) {
	unsigned int cmd;
	unsigned int size;	/* in the first revision */
	unsigned int now;	/* in this one */
	bool changes;
	unsigned int flags;	/* that it knows */
	bool silent;		/* there is nothing to answer */
};

FIXTURE_VARIANT_ADD(command, info) {
	.cmd = SLABPOOL_IOC_INFO, .size = SLABPOOL_IOC_INFO_SIZE_1,
	.now = sizeof(struct slabpool_ioc_info),
};
FIXTURE_VARIANT_ADD(command, commit) {
	.cmd = SLABPOOL_IOC_COMMIT, .size = SLABPOOL_IOC_COMMIT_SIZE_1,
	.now = sizeof(struct slabpool_ioc_commit),
	.flags = SLABPOOL_FALLBACK,
	.changes = true,
};
FIXTURE_VARIANT_ADD(command, decommit) {
	.cmd = SLABPOOL_IOC_DECOMMIT, .size = SLABPOOL_IOC_DECOMMIT_SIZE_1,
	.now = sizeof(struct slabpool_ioc_decommit),
	.changes = true,
};
FIXTURE_VARIANT_ADD(command, attach) {
	.cmd = SLABPOOL_IOC_ATTACH, .size = SLABPOOL_IOC_ATTACH_SIZE_1,
	.now = sizeof(struct slabpool_ioc_attach),
};
FIXTURE_VARIANT_ADD(command, stats) {
	.cmd = SLABPOOL_IOC_STATS, .size = SLABPOOL_IOC_STATS_SIZE_1,
	.now = sizeof(struct slabpool_ioc_stats),
};

FIXTURE_VARIANT_ADD(command, reserve) {
	.cmd = SLABPOOL_IOC_RESERVE, .size = SLABPOOL_IOC_RESERVE_SIZE_1,
	.now = sizeof(struct slabpool_ioc_reserve),
	.changes = true, .silent = true,
};

FIXTURE_VARIANT_ADD(command, share) {
	.cmd = SLABPOOL_IOC_SHARE, .size = SLABPOOL_IOC_SHARE_SIZE_1,
	.now = sizeof(struct slabpool_ioc_share),
	.flags = SLABPOOL_SHARE_RDONLY,
	.changes = true,	/* without its flag */
};

FIXTURE_VARIANT_ADD(command, snapshot) {
	.cmd = SLABPOOL_IOC_SNAPSHOT, .size = SLABPOOL_IOC_SNAPSHOT_SIZE_1,
	.now = sizeof(struct slabpool_ioc_snapshot),
	.changes = true,
};

/* A valid call with every output poisoned. */
FIXTURE_SETUP(command)
{
	union buffer *in = &self->in;

	self->fd = t_open();
	ASSERT_LE(0, self->fd);
	self->rofd = open(T_DEVICE, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, self->rofd);
	self->into = t_open();
	ASSERT_LE(0, self->into);
	self->map = t_take(self->fd, 0, 1);
	ASSERT_NE(MAP_FAILED, self->map);

	memset(in->bytes, POISON, variant->now);
	in->size = variant->size;
	in->flags = 0;
	switch (variant->cmd) {
	case SLABPOOL_IOC_COMMIT:
		in->commit.offset = SLABPOOL_OFFSET(0, 0);
		in->commit.length = t_hpage();
		break;
	case SLABPOOL_IOC_DECOMMIT:
		self->range.offset = SLABPOOL_OFFSET(0, t_hpage());
		self->range.length = t_hpage();
		in->decommit.ranges = (uintptr_t)&self->range;
		in->decommit.count = 1;
		break;
	case SLABPOOL_IOC_ATTACH:
		in->attach.address = (uintptr_t)self->map + 12345;
		in->attach.reserved = 0;
		break;
	case SLABPOOL_IOC_STATS:
		in->stats.node = 0;
		in->stats.reserved = 0;
		break;
	case SLABPOOL_IOC_RESERVE:
		in->reserve.node = 0;
		in->reserve.reserved = 0;
		in->reserve.count = 1;
		break;
	case SLABPOOL_IOC_SHARE:
		in->share.reserved = 0;
		break;
	case SLABPOOL_IOC_SNAPSHOT:
		in->snapshot.into = self->into;
		in->snapshot.reserved = 0;
		break;
	}
	self->before = *in;
}

FIXTURE_TEARDOWN(command)
{
	close(self->fd);
	close(self->rofd);
	close(self->into);
	munmap(self->map, t_hpage());
}

static int call(int fd, unsigned int cmd, void *arg)
{
	return ioctl(fd, cmd, arg) ? -errno : 0;
}

TEST_F(command, the_size_of_the_first_revision_is_accepted_and_answered)
{
	ASSERT_EQ(0, call(self->fd, variant->cmd, &self->in));
	EXPECT_EQ(variant->silent,
		  !memcmp(&self->in, &self->before, variant->size));
	EXPECT_EQ(variant->size, self->in.size);
	EXPECT_EQ(0, self->in.flags);
}

TEST_F(command, a_size_below_the_first_revision_is_refused)
{
	unsigned int sizes[] = { 0, 1, 8, variant->size - 8, variant->size - 1 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		self->in.size = sizes[i];
		self->before.size = sizes[i];
		EXPECT_EQ(-EINVAL, call(self->fd, variant->cmd, &self->in));
		EXPECT_EQ(0, memcmp(&self->in, &self->before,
				    sizeof(self->in)));
	}
}

TEST_F(command, a_newer_structure_with_a_zero_tail_is_accepted)
{
	unsigned int extra[] = { 1, 8, 64, 4096 - variant->now };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(extra); i++) {
		int fresh = t_open();

		ASSERT_EQ(self->into, dup2(fresh, self->into));
		close(fresh);
		self->in = self->before;
		self->in.size = variant->now + extra[i];
		EXPECT_EQ(0, call(self->fd, variant->cmd, &self->in));
		EXPECT_TRUE(t_is_filled(self->in.bytes + variant->now, 0,
					extra[i]));
	}
}

TEST_F(command, a_newer_structure_with_something_in_its_tail_is_refused)
{
	unsigned int extra[] = { 1, 8, 64, 4096 - variant->now };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(extra); i++) {
		self->in = self->before;
		self->in.size = variant->now + extra[i];
		self->in.bytes[self->in.size - 1] = 1;
		EXPECT_EQ(-E2BIG, call(self->fd, variant->cmd, &self->in));
		EXPECT_EQ(0, memcmp(self->in.bytes + 4, self->before.bytes + 4,
				    variant->now - 4));
	}
}

TEST_F(command, an_older_caller_is_answered_no_further_than_he_knows)
{
	memset(self->in.bytes + variant->size, POISON, 64);
	ASSERT_EQ(0, call(self->fd, variant->cmd, &self->in));
	EXPECT_TRUE(t_is_filled(self->in.bytes + variant->size, POISON, 64));
}

TEST_F(command, the_size_of_this_revision_is_answered_in_full)
{
	self->in.size = variant->now;
	ASSERT_EQ(0, call(self->fd, variant->cmd, &self->in));
	if (variant->now > variant->size)
		EXPECT_FALSE(t_is_filled(self->in.bytes + variant->size, POISON,
					 variant->now - variant->size));
}

TEST_F(command, an_absurd_size_is_refused)
{
	self->in.size = UINT32_MAX;
	EXPECT_EQ(-E2BIG, call(self->fd, variant->cmd, &self->in));
	self->in.size = 4097;
	EXPECT_EQ(-E2BIG, call(self->fd, variant->cmd, &self->in));
}

TEST_F(command, each_unknown_flag_is_refused)
{
	int bit;

	for (bit = 0; bit < 32; bit++) {
		if (variant->flags >> bit & 1)
			continue;
		self->in.flags = 1U << bit;
		self->before.flags = 1U << bit;
		EXPECT_EQ(-EINVAL, call(self->fd, variant->cmd, &self->in));
		EXPECT_EQ(0, memcmp(&self->in, &self->before,
				    sizeof(self->in)));
	}
}

TEST_F(command, a_pointer_that_leads_nowhere_is_efault)
{
	char *edge = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *half;

	ASSERT_NE(MAP_FAILED, edge);
	ASSERT_EQ(0, munmap(edge + 4096, 4096));

	EXPECT_EQ(-EFAULT, call(self->fd, variant->cmd, NULL));
	EXPECT_EQ(-EFAULT, call(self->fd, variant->cmd, (void *)-4096L));
	EXPECT_EQ(-EFAULT, call(self->fd, variant->cmd, edge + 4096));
	half = edge + 4096 - variant->size + 8;
	memcpy(half, &self->in, variant->size - 8);
	EXPECT_EQ(-EFAULT, call(self->fd, variant->cmd, half));
	half = edge + 4096 - 4;
	memcpy(half, &self->in, 4);
	EXPECT_EQ(-EFAULT, call(self->fd, variant->cmd, half));
}

TEST_F(command, memory_that_cannot_be_written_is_efault)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int want = variant->silent ? 0 : -EFAULT;
	int spare = dup(self->fd), after;

	ASSERT_NE(MAP_FAILED, page);
	close(spare);
	memcpy(page, &self->in, variant->size);
	ASSERT_EQ(0, mprotect(page, 4096, PROT_READ));
	EXPECT_EQ(want, call(self->fd, variant->cmd, page));

	/* A descriptor nobody was told about would be lost. */
	after = dup(self->fd);
	EXPECT_EQ(spare, after);
	close(after);
}

TEST_F(command, only_a_descriptor_open_for_writing_may_change_the_client)
{
	int ret = call(self->rofd, variant->cmd, &self->in);

	if (variant->changes) {
		EXPECT_EQ(-EBADF, ret);
		EXPECT_EQ(0, memcmp(&self->in, &self->before,
				    sizeof(self->in)));
	} else {
		EXPECT_EQ(0, ret);
	}
}

TEST_F(command, its_number_with_another_size_or_direction_is_enotty)
{
	unsigned int nr = _IOC_NR(variant->cmd);

	EXPECT_EQ(-ENOTTY, call(self->fd, _IOWR(SLABPOOL_IOC_MAGIC, nr, __u64),
				&self->in));
	EXPECT_EQ(-ENOTTY, call(self->fd, _IOR(SLABPOOL_IOC_MAGIC, nr, __u32),
				&self->in));
	EXPECT_EQ(-ENOTTY, call(self->fd, _IO(SLABPOOL_IOC_MAGIC + 1, nr),
				&self->in));
}

FIXTURE(device) {
	int fd;
	size_t hpage;
};

FIXTURE_SETUP(device)
{
	self->fd = t_open();
	ASSERT_LE(0, self->fd);
	self->hpage = t_hpage();
	ASSERT_LT(0, self->hpage);
}

FIXTURE_TEARDOWN(device)
{
	close(self->fd);
}

TEST_F(device, every_number_nobody_defined_is_enotty)
{
	union buffer in = {};
	unsigned int nr;

	in.size = 4096;
	for (nr = _IOC_NR(SLABPOOL_IOC_SNAPSHOT) + 1; nr < 256; nr++)
		EXPECT_EQ(-ENOTTY, call(self->fd, _IO(SLABPOOL_IOC_MAGIC, nr),
					&in));
}

TEST_F(device, info_tells_revision_sizes_features_and_nodes)
{
	struct slabpool_ioc_info info = { .size = sizeof(info) };
	int nid;

	ASSERT_EQ(0, call(self->fd, SLABPOOL_IOC_INFO, &info));
	EXPECT_EQ(SLABPOOL_ABI_REVISION, info.abi);
	EXPECT_EQ(sysconf(_SC_PAGESIZE), info.base_page_size);
	EXPECT_EQ(self->hpage, info.hpage_size);
	EXPECT_EQ(SLABPOOL_FEATURE_COMMIT | SLABPOOL_FEATURE_DECOMMIT |
		  SLABPOOL_FEATURE_ATTACH | SLABPOOL_FEATURE_QUOTA |
		  SLABPOOL_FEATURE_RESERVE | SLABPOOL_FEATURE_FALLBACK |
		  SLABPOOL_FEATURE_SHARE | SLABPOOL_FEATURE_SNAPSHOT,
		  info.features);
	for (nid = 0; nid < SLABPOOL_MAX_NODES; nid++)
		EXPECT_EQ(t_node(nid, "total_hugepages") >= 0,
			  info.node_mask[nid / 64] >> (nid % 64) & 1);
}

TEST_F(device, commit_fills_holes_and_counts_what_it_added)
{
	struct slabpool_ioc_commit commit = {
		.size = sizeof(commit),
		.offset = SLABPOOL_OFFSET(1, 8 * self->hpage),
		.length = self->hpage,
	};

	ASSERT_EQ(0, call(self->fd, SLABPOOL_IOC_COMMIT, &commit));
	EXPECT_EQ(1, commit.committed);
	EXPECT_EQ(0, commit.off_node);
	commit.offset -= 2 * self->hpage;
	commit.length = 5 * self->hpage;
	ASSERT_EQ(0, call(self->fd, SLABPOOL_IOC_COMMIT, &commit));
	EXPECT_EQ(4, commit.committed);
	ASSERT_EQ(0, call(self->fd, SLABPOOL_IOC_COMMIT, &commit));
	EXPECT_EQ(0, commit.committed);
	EXPECT_EQ(5, t_stats(self->fd, 1).committed);
}

TEST_F(device, commit_refuses_bad_ranges_and_touches_no_output)
{
	static const struct {
		__u64 offset, length;
		int error;
	} cases[] = {
		{ SLABPOOL_OFFSET(0, 4096), 1 << 21, EINVAL },
		{ SLABPOOL_OFFSET(0, 1), 1 << 21, EINVAL },
		{ SLABPOOL_OFFSET(0, 0), 0, EINVAL },
		{ SLABPOOL_OFFSET(0, 0), 4096, EINVAL },
		{ SLABPOOL_OFFSET(0, 0), (1 << 21) + 1, EINVAL },
		{ SLABPOOL_OFFSET(0, 0), (1ULL << 41) + (1 << 21), EINVAL },
		{ SLABPOOL_OFFSET(0, (1ULL << 41) - (1 << 21)), 1 << 22, EINVAL },
		{ SLABPOOL_OFFSET(0, 0), -(1ULL << 21), EINVAL },
		{ 1ULL << 63, 1 << 21, EINVAL },
		{ -(1ULL << 21), 1 << 21, EINVAL },
		{ -(1ULL << 21), 1 << 22, EINVAL },
		{ SLABPOOL_OFFSET(999, 0), 1 << 21, ENODEV },
		{ (1ULL << 63) - (1 << 21), 1 << 21, ENODEV },
		{ SLABPOOL_OFFSET(0, 0), 1ULL << 41, ENOMEM },
	};
	struct slabpool_ioc_commit commit;
	unsigned int i;

	ASSERT_EQ(1 << 21, self->hpage);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		memset(&commit, POISON, sizeof(commit));
		commit.size = sizeof(commit);
		commit.flags = 0;
		commit.offset = cases[i].offset;
		commit.length = cases[i].length;
		EXPECT_EQ(-cases[i].error,
			  call(self->fd, SLABPOOL_IOC_COMMIT, &commit)) {
			TH_LOG("case %u", i);
		}
		EXPECT_TRUE(t_is_filled(&commit.committed, POISON, 16));
	}
	EXPECT_EQ(0, t_stats(self->fd, SLABPOOL_NODE_LOCAL).commits);
}

TEST_F(device, a_decommit_batch_answers_each_entry)
{
	struct slabpool_range ranges[6] = {
		{ .offset = SLABPOOL_OFFSET(0, 0), .length = 2 * self->hpage },
		{ .offset = SLABPOOL_OFFSET(0, 4096), .length = self->hpage },
		{ .offset = SLABPOOL_OFFSET(0, 0), .length = 0 },
		{ .offset = SLABPOOL_OFFSET(0, 0), .length = self->hpage,
		  .reserved = 1 },
		{ .offset = 1ULL << 63, .length = self->hpage },
		/* Two that are there, with holes around and between. */
		{ .offset = SLABPOOL_OFFSET(0, self->hpage),
		  .length = 1ULL << 40 },
	};
	static const struct {
		int error;
		unsigned int hpages;
	} want[6] = {
		{ 0, 2 }, { -EINVAL, 0 }, { -EINVAL, 0 }, { -EINVAL, 0 },
		{ -EINVAL, 0 }, { 0, 2 },
	};
	struct slabpool_ioc_decommit decommit = {
		.size = sizeof(decommit), .ranges = (uintptr_t)ranges,
		.count = 6, .done = 77,
	};
	int i;

	ASSERT_EQ(0, t_commit(self->fd, 0, 0, 3 * self->hpage));
	ASSERT_EQ(0, t_commit(self->fd, 0, 9 * self->hpage, self->hpage));
	for (i = 0; i < 6; i++) {
		ranges[i].hpages = 99;
		ranges[i].parked = 99;
		ranges[i].error = 99;
	}
	ASSERT_EQ(0, call(self->fd, SLABPOOL_IOC_DECOMMIT, &decommit));
	EXPECT_EQ(6, decommit.done);
	for (i = 0; i < 6; i++) {
		EXPECT_EQ(want[i].error, ranges[i].error);
		EXPECT_EQ(want[i].hpages, ranges[i].hpages);
		EXPECT_EQ(0, ranges[i].parked);
	}
	EXPECT_EQ(0, t_stats(self->fd, 0).committed);
	EXPECT_EQ(4, t_stats(self->fd, 0).decommits);
}

TEST_F(device, a_decommit_batch_takes_1_to_1024_entries)
{
	static struct slabpool_range ranges[SLABPOOL_MAX_RANGES + 1];
	struct slabpool_ioc_decommit decommit = {
		.size = sizeof(decommit), .ranges = (uintptr_t)ranges,
		.done = 77,
	};
	unsigned int i;

	for (i = 0; i <= SLABPOOL_MAX_RANGES; i++) {
		ranges[i].offset = SLABPOOL_OFFSET(0, i * self->hpage);
		ranges[i].length = self->hpage;
	}
	EXPECT_EQ(-EINVAL, call(self->fd, SLABPOOL_IOC_DECOMMIT, &decommit));
	decommit.count = SLABPOOL_MAX_RANGES + 1;
	EXPECT_EQ(-EINVAL, call(self->fd, SLABPOOL_IOC_DECOMMIT, &decommit));
	EXPECT_EQ(77, decommit.done);

	ASSERT_EQ(0, t_commit(self->fd, 0, 0, 64 * self->hpage));
	decommit.count = SLABPOOL_MAX_RANGES;
	ASSERT_EQ(0, call(self->fd, SLABPOOL_IOC_DECOMMIT, &decommit));
	EXPECT_EQ(SLABPOOL_MAX_RANGES, decommit.done);
	for (i = 0; i < SLABPOOL_MAX_RANGES; i++)
		EXPECT_EQ(i < 64, ranges[i].hpages);
}

TEST_F(device, a_decommit_batch_that_faults_says_how_far_it_came)
{
	struct slabpool_ioc_decommit decommit = {
		.size = sizeof(decommit), .count = 4, .done = 77,
	};
	char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct slabpool_range *ranges;
	int i;

	ASSERT_NE(MAP_FAILED, pages);
	ASSERT_EQ(0, munmap(pages + 4096, 4096));
	ranges = (void *)(pages + 4096 - 2 * sizeof(*ranges));
	for (i = 0; i < 2; i++) {
		ranges[i] = (struct slabpool_range){
			.offset = SLABPOOL_OFFSET(0, i * self->hpage),
			.length = self->hpage,
		};
	}
	ASSERT_EQ(0, t_commit(self->fd, 0, 0, 4 * self->hpage));
	decommit.ranges = (uintptr_t)ranges;
	EXPECT_EQ(-EFAULT, call(self->fd, SLABPOOL_IOC_DECOMMIT, &decommit));
	EXPECT_EQ(2, decommit.done);
	EXPECT_EQ(1, ranges[0].hpages);
	EXPECT_EQ(1, ranges[1].hpages);
	EXPECT_EQ(2, t_stats(self->fd, 0).committed);
}

TEST_F(device, a_decommit_batch_may_lie_in_the_memory_it_gives_back)
{
	struct slabpool_ioc_decommit decommit = {
		.size = sizeof(decommit), .count = 2, .done = 77,
	};
	char *map = t_take(self->fd, 0, 2);
	struct slabpool_range *ranges = (void *)map;

	ASSERT_NE(MAP_FAILED, map);
	ranges[0] = (struct slabpool_range){
		.offset = SLABPOOL_OFFSET(0, self->hpage),
		.length = self->hpage,
	};
	ranges[1] = (struct slabpool_range){
		.offset = SLABPOOL_OFFSET(0, 0), .length = self->hpage,
	};
	decommit.ranges = (uintptr_t)ranges;
	EXPECT_EQ(-EFAULT, call(self->fd, SLABPOOL_IOC_DECOMMIT, &decommit));
	EXPECT_EQ(1, decommit.done);
	EXPECT_EQ(0, t_stats(self->fd, 0).committed);
	munmap(map, 2 * self->hpage);
}

static void on_alarm(int signal)
{
	(void)signal;
}

TEST_F(device, a_decommit_batch_interrupted_by_a_signal_can_go_on)
{
	static struct slabpool_range ranges[SLABPOOL_MAX_RANGES];
	struct sigaction action = { .sa_handler = on_alarm };
	struct itimerval often = { { 0, 300 }, { 0, 300 } }, never = {};
	struct slabpool_ioc_decommit decommit = { .size = sizeof(decommit) };
	unsigned int i, next, interrupted = 0;
	double end = t_deadline(15);
	int ret;

	for (i = 0; i < SLABPOOL_MAX_RANGES; i++) {
		ranges[i].offset = SLABPOOL_OFFSET(0, i % 64 * self->hpage);
		ranges[i].length = self->hpage;
	}
	sigaction(SIGALRM, &action, NULL);
	while (!interrupted && t_now() < end) {
		ASSERT_EQ(0, t_commit(self->fd, 0, 0, 64 * self->hpage));
		setitimer(ITIMER_REAL, &often, NULL);
		for (next = 0; next < SLABPOOL_MAX_RANGES;
		     next += decommit.done) {
			decommit.ranges = (uintptr_t)&ranges[next];
			decommit.count = SLABPOOL_MAX_RANGES - next;
			ret = call(self->fd, SLABPOOL_IOC_DECOMMIT, &decommit);
			if (ret != -EINTR)
				ASSERT_EQ(0, ret);
			interrupted += ret == -EINTR;
		}
		setitimer(ITIMER_REAL, &never, NULL);
		EXPECT_EQ(0, t_stats(self->fd, 0).committed);
	}
	EXPECT_LT(0, interrupted);
}

TEST_F(device, stats_follow_the_client)
{
	struct slabpool_ioc_stats stats;
	int other = t_open();

	ASSERT_LE(0, other);
	ASSERT_EQ(0, t_commit(self->fd, 0, 0, 3 * self->hpage));
	ASSERT_EQ(0, t_commit(self->fd, 1, 0, 2 * self->hpage));
	ASSERT_EQ(1, t_decommit(self->fd, 0, 0, self->hpage));
	stats = t_stats(self->fd, 0);
	EXPECT_EQ(2, stats.committed);
	EXPECT_EQ(5, stats.commits);
	EXPECT_EQ(1, stats.decommits);
	EXPECT_EQ(0, stats.parked);
	EXPECT_EQ(0, stats.pte_fallbacks);
	EXPECT_EQ(2, t_stats(self->fd, 1).committed);
	EXPECT_EQ(4, t_stats(self->fd, SLABPOOL_NODE_LOCAL).committed);
	EXPECT_EQ(0, t_stats(other, SLABPOOL_NODE_LOCAL).commits);
	close(other);
}

TEST_F(device, stats_refuse_a_node_that_is_not_there)
{
	static const int nodes[] = { -2, 2, 999, 1 << 20, INT32_MAX, INT32_MIN };
	struct slabpool_ioc_stats stats;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(nodes); i++) {
		memset(&stats, POISON, sizeof(stats));
		stats.size = sizeof(stats);
		stats.flags = 0;
		stats.reserved = 0;
		stats.node = nodes[i];
		EXPECT_EQ(-EINVAL, call(self->fd, SLABPOOL_IOC_STATS, &stats));
		EXPECT_TRUE(t_is_filled(&stats.committed, POISON, 40));
	}
	stats.node = 0;
	stats.reserved = 1;
	EXPECT_EQ(-EINVAL, call(self->fd, SLABPOOL_IOC_STATS, &stats));
}

static int attach(int fd, const void *address, int *got)
{
	struct slabpool_ioc_attach in = {
		.size = sizeof(in), .address = (uintptr_t)address, .fd = -77,
	};
	int ret = call(fd, SLABPOOL_IOC_ATTACH, &in);

	*got = in.fd;
	return ret;
}

TEST_F(device, attach_finds_the_client_again_after_close)
{
	int owner = t_open(), fd;
	char *map = t_take(owner, 0, 2);

	ASSERT_NE(MAP_FAILED, map);
	map[5] = 42;
	close(owner);
	ASSERT_EQ(0, attach(self->fd, map + self->hpage + 1, &fd));
	EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
	EXPECT_EQ(O_RDWR, fcntl(fd, F_GETFL) & O_ACCMODE);
	EXPECT_EQ(2, t_stats(fd, 0).committed);
	munmap(map, 2 * self->hpage);
	map = t_take(fd, 0, 1);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(42, map[5]);
	munmap(map, self->hpage);
	close(fd);
}

TEST_F(device, attach_keeps_a_read_only_descriptor_read_only)
{
	int owner = open(T_DEVICE, O_RDONLY), fd;
	char *map = t_map(owner, 0, 0, self->hpage, PROT_READ, MAP_SHARED);

	ASSERT_NE(MAP_FAILED, map);
	close(owner);
	ASSERT_EQ(0, attach(self->fd, map, &fd));
	EXPECT_EQ(O_RDONLY, fcntl(fd, F_GETFL) & O_ACCMODE);
	EXPECT_EQ(-EBADF, t_commit(fd, 0, 0, self->hpage));
	close(fd);
	munmap(map, self->hpage);
}

TEST_F(device, attach_refuses_what_is_not_a_mapping_of_a_client)
{
	struct slabpool_ioc_attach in = { .size = sizeof(in), .reserved = 1 };
	int zero = open("/dev/zero", O_RDWR), fd;
	char *anon = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	char *file = mmap(NULL, 4096, PROT_READ, MAP_SHARED, zero, 0);
	char *map = t_take(self->fd, 0, 1);

	EXPECT_EQ(-EINVAL, attach(self->fd, anon, &fd));
	EXPECT_EQ(-EINVAL, attach(self->fd, file, &fd));
	EXPECT_EQ(-EINVAL, attach(self->fd, NULL, &fd));
	EXPECT_EQ(-EINVAL, attach(self->fd, (void *)-1L, &fd));
	EXPECT_EQ(-77, fd);
	in.address = (uintptr_t)map;
	EXPECT_EQ(-EINVAL, call(self->fd, SLABPOOL_IOC_ATTACH, &in));
	munmap(map, self->hpage);
	EXPECT_EQ(-EINVAL, attach(self->fd, map, &fd));
	close(zero);
}

TEST_F(device, attach_through_a_private_mapping_is_refused)
{
	char *map = mmap(NULL, self->hpage, PROT_READ | PROT_WRITE, MAP_PRIVATE,
			 self->fd, SLABPOOL_OFFSET(0, 0));
	int fd;

	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(-EINVAL, attach(self->fd, map, &fd));
}

TEST_F(device, attach_without_a_free_descriptor_is_emfile)
{
	int fds[1024], n = 0, fd, got;
	char *map = t_take(self->fd, 0, 1);

	ASSERT_NE(MAP_FAILED, map);
	while (n < 1024 && (fd = dup(self->fd)) >= 0)
		fds[n++] = fd;
	if (n == 1024)
		SKIP(goto out, "more than 1024 descriptors allowed");
	EXPECT_EQ(-EMFILE, attach(self->fd, map, &got));
	EXPECT_EQ(-77, got);
out:
	while (n)
		close(fds[--n]);
	munmap(map, self->hpage);
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Every number a caller can give, at and beside each edge, in all pairs: the
 * answer is the one the ABI header defines, here computed a second time.
 */
#include "kselftest_harness.h"
#include "helpers.h"

#define HPAGE	(1ULL << 21)
#define SPAN	(1ULL << SLABPOOL_NODE_SHIFT)
#define NODES	2

static const unsigned long long numbers[] = {
	0, 1, 4096, HPAGE - 4096, HPAGE - 1, HPAGE, HPAGE + 1, 2 * HPAGE,
	1ULL << 31, 1ULL << 32, SPAN - HPAGE, SPAN, SPAN + HPAGE, 1ULL << 44,
	-HPAGE, 1ULL << 63, UINT64_MAX,
};

/* Where an offset starts from. */
static const unsigned long long bases[] = {
	0, SPAN, 2 * SPAN, 3 * SPAN, 1024 * SPAN, 1025 * SPAN,
	(1ULL << 63) - SPAN, 1ULL << 63, -SPAN,
};

FIXTURE(client) {
	int fd;
	long long pools;	/* hpages of the larger pool */
};

FIXTURE_SETUP(client)
{
	ASSERT_EQ(HPAGE, t_hpage());
	ASSERT_TRUE(t_all_settle(10));
	self->fd = t_open();
	ASSERT_LE(0, self->fd);
	self->pools = t_pool(0).total > t_pool(1).total ? t_pool(0).total :
							  t_pool(1).total;
	ASSERT_GT((1LL << 31) / (long long)HPAGE, self->pools);
}

FIXTURE_TEARDOWN(client)
{
	close(self->fd);
	EXPECT_TRUE(t_all_settle(10));
}

/* What the header says of a range, whoever gets it. */
static int range_error(unsigned long long offset, unsigned long long length)
{
	if (offset >> 63 || offset % HPAGE || length % HPAGE || !length)
		return EINVAL;
	if (length > SPAN || offset % SPAN > SPAN - length)
		return EINVAL;
	return 0;
}

static bool has_node(unsigned long long offset)
{
	return offset / SPAN <= NODES;
}

static int commit_error(unsigned long long offset, unsigned long long length,
			long long pools)
{
	int error = range_error(offset, length);

	if (error)
		return error;
	if (!has_node(offset))
		return ENODEV;
	return length / HPAGE > (unsigned long long)pools ? ENOMEM : 0;
}

static int commit(int fd, unsigned long long offset, unsigned long long length)
{
	struct slabpool_ioc_commit in = {
		.size = sizeof(in), .offset = offset, .length = length,
	};

	return ioctl(fd, SLABPOOL_IOC_COMMIT, &in) ? errno : 0;
}

/* The entry's error; -1 if the call itself failed. */
static int decommit(int fd, unsigned long long offset, unsigned long long length)
{
	struct slabpool_range range = { .offset = offset, .length = length };
	struct slabpool_ioc_decommit in = {
		.size = sizeof(in), .ranges = (uintptr_t)&range, .count = 1,
	};

	return ioctl(fd, SLABPOOL_IOC_DECOMMIT, &in) ? -1 : -range.error;
}

TEST_F(client, commit_and_decommit_answer_every_pair_as_the_header_says)
{
	unsigned int b, i, j, count = 0;

	for (b = 0; b < ARRAY_SIZE(bases); b++)
		for (i = 0; i < ARRAY_SIZE(numbers); i++)
			for (j = 0; j < ARRAY_SIZE(numbers); j++) {
				unsigned long long offset = bases[b] +
							    numbers[i];
				unsigned long long length = numbers[j];

				EXPECT_EQ(commit_error(offset, length,
						       self->pools),
					  commit(self->fd, offset, length)) {
					TH_LOG("commit %llx %llx", offset,
					       length);
				}
				/* To give nothing back of nowhere is fine. */
				EXPECT_EQ(range_error(offset, length),
					  decommit(self->fd, offset, length)) {
					TH_LOG("decommit %llx %llx", offset,
					       length);
				}
				count += 2;
			}
	EXPECT_EQ(0, t_stats(self->fd, SLABPOOL_NODE_LOCAL).committed);
	EXPECT_LT(5000, count);
}

/* Straight to the kernel: the C library has ideas of its own about offsets. */
static void *raw_mmap(unsigned long length, int prot, int flags, int fd,
		      unsigned long long offset)
{
#ifdef SYS_mmap2
	return (void *)syscall(SYS_mmap2, 0, length, prot, flags, fd,
			       (unsigned long)(offset / 4096));
#else
	return (void *)syscall(SYS_mmap, 0, length, prot, flags, fd, offset);
#endif
}

/* Errors of the core come first, where it has an opinion. */
static int mmap_error(unsigned long long offset, unsigned long long length,
		      bool commits, long long pools)
{
	unsigned long long whole = (length + 4095) & ~4095ULL;
	int error;

	if (offset % 4096)
		return EINVAL;
	if (!length)
		return EINVAL;
	if (!whole || whole >= 1ULL << 47)
		return ENOMEM;
	/* A file cannot be longer than its offsets are. */
	if (offset >> 63 || (offset + whole - 1) >> 63)
		return EOVERFLOW;
	error = range_error(offset, whole);
	if (error)
		return error;
	if (!has_node(offset))
		return ENODEV;
	return commits && whole / HPAGE > (unsigned long long)pools ? ENOMEM :
								      0;
}

/* The core refuses with one of these, in an order that differs by version. */
static bool as_expected(int want, int got)
{
	if (want == got)
		return true;
	return want && (got == ENOMEM || got == EOVERFLOW || got == EINVAL) &&
	       (want == ENOMEM || want == EOVERFLOW || want == EINVAL);
}

TEST_F(client, mmap_answers_every_pair_as_the_header_says)
{
	unsigned int b, i, j, commits, count = 0;

	if (sizeof(long) == 4)
		SKIP(return, "32 bits cannot express most of these numbers");
	for (b = 0; b < ARRAY_SIZE(bases); b++)
		for (i = 0; i < ARRAY_SIZE(numbers); i++)
			for (j = 0; j < ARRAY_SIZE(numbers); j++)
				for (commits = 0; commits < 2; commits++) {
					unsigned long long offset = bases[b] +
								    numbers[i];
					unsigned long length = numbers[j];
					int want, got = 0;
					char *map;

					map = raw_mmap(length, commits ?
						       PROT_READ | PROT_WRITE :
						       PROT_NONE, MAP_SHARED,
						       self->fd, offset);
					if (map == MAP_FAILED)
						got = errno;
					else
						munmap(map, (length + 4095) &
							    ~4095UL);
					want = mmap_error(offset, length,
							  commits,
							  self->pools);
					EXPECT_TRUE(as_expected(want, got)) {
						TH_LOG("mmap %llx %lx: %d, not %d",
						       offset, length, got,
						       want);
					}
					if (!got && commits)
						decommit(self->fd, offset,
							 length);
					count++;
				}
	EXPECT_EQ(0, t_stats(self->fd, SLABPOOL_NODE_LOCAL).committed);
	EXPECT_LT(5000, count);
}

TEST_F(client, a_batch_answers_every_count_and_address_as_the_header_says)
{
	static struct slabpool_range ranges[SLABPOOL_MAX_RANGES];
	static const unsigned int counts[] = {
		0, 1, 2, 1023, 1024, 1025, 4096, 1U << 16, 1U << 27, 1U << 31,
		UINT32_MAX,
	};
	unsigned int i, j;

	for (i = 0; i < SLABPOOL_MAX_RANGES; i++)
		ranges[i].length = HPAGE;
	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		for (j = 0; j <= ARRAY_SIZE(numbers); j++) {
			struct slabpool_ioc_decommit in = {
				.size = sizeof(in), .count = counts[i],
			};
			int want = !in.count ||
				   in.count > SLABPOOL_MAX_RANGES ? EINVAL :
				   j < ARRAY_SIZE(numbers) ? EFAULT : 0;

			/* Of all these addresses only the array is mapped. */
			in.ranges = j < ARRAY_SIZE(numbers) ?
				    numbers[j] : (uintptr_t)ranges;
			if (in.ranges >= 1ULL << 21 &&
			    in.ranges <= 1ULL << 32)
				continue;
			EXPECT_EQ(want, ioctl(self->fd, SLABPOOL_IOC_DECOMMIT,
					      &in) ? errno : 0) {
				TH_LOG("%u at %llx", in.count,
				       (unsigned long long)in.ranges);
			}
		}
	}
}

TEST_F(client, attach_finds_nothing_at_any_odd_address)
{
	unsigned int i, bit;

	for (i = 0; i < ARRAY_SIZE(numbers); i++)
		for (bit = 0; bit < 64; bit++) {
			struct slabpool_ioc_attach in = {
				.size = sizeof(in),
				.address = numbers[i] ^ 1ULL << bit,
				.fd = -77,
			};

			EXPECT_EQ(-1, ioctl(self->fd, SLABPOOL_IOC_ATTACH,
					    &in));
			EXPECT_EQ(EINVAL, errno);
			EXPECT_EQ(-77, in.fd);
		}
}

TEST_F(client, stats_know_a_node_or_refuse_it)
{
	unsigned int i;
	int low;

	for (i = 0; i < ARRAY_SIZE(numbers); i++)
		for (low = -3; low <= 3; low++) {
			struct slabpool_ioc_stats in = {
				.size = sizeof(in),
				.node = (int)(numbers[i] + low),
			};
			bool known = in.node >= -1 && in.node < NODES;

			EXPECT_EQ(known ? 0 : -1,
				  ioctl(self->fd, SLABPOOL_IOC_STATS, &in));
		}
}

TEST_F(client, a_pool_grows_to_what_a_node_can_hold_or_refuses)
{
	char size[32], before[32];
	unsigned int i;

	snprintf(before, sizeof(before), "%lld", t_pool(0).total);
	for (i = 0; i < ARRAY_SIZE(numbers); i++) {
		/* What fits is asked for elsewhere: it takes its time. */
		if (numbers[i] && numbers[i] < 1ULL << 31)
			continue;
		snprintf(size, sizeof(size), "%llu", numbers[i]);
		EXPECT_EQ(numbers[i] ? -EINVAL : 0,
			  t_set_node(0, "nr_hugepages", size));
	}
	EXPECT_EQ(0, t_set_node(0, "nr_hugepages", before));
	EXPECT_EQ(atoll(before), t_pool(0).total);
}

TEST_HARNESS_MAIN

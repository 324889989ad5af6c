// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * What a mapping was not given it never gets: neither writing through a
 * descriptor for reading, nor executing at all, by whichever call.
 */
#include "kselftest_harness.h"
#include "helpers.h"

#include <sys/personality.h>

#define RW	(PROT_READ | PROT_WRITE)
#define RWX	(RW | PROT_EXEC)

FIXTURE(mapping) {
	int fd;
	size_t hpage;
	char *map;
};

FIXTURE_VARIANT(mapping) {
	int open;
	int prot;
	int flags;
	bool may_write;	/* by mprotect, later */
};

FIXTURE_VARIANT_ADD(mapping, shared) {
	.open = O_RDWR, .prot = RW, .flags = MAP_SHARED, .may_write = true,
};
FIXTURE_VARIANT_ADD(mapping, shared_of_one_for_reading) {
	.open = O_RDONLY, .prot = PROT_READ, .flags = MAP_SHARED,
};
FIXTURE_VARIANT_ADD(mapping, none_of_one_for_reading) {
	.open = O_RDONLY, .prot = PROT_NONE, .flags = MAP_SHARED,
};
FIXTURE_VARIANT_ADD(mapping, none) {
	.open = O_RDWR, .prot = PROT_NONE, .flags = MAP_SHARED,
	.may_write = true,
};
FIXTURE_VARIANT_ADD(mapping, private_of_one_for_reading) {
	.open = O_RDONLY, .prot = PROT_READ, .flags = MAP_PRIVATE,
	.may_write = true,	/* to a copy of one's own */
};

FIXTURE_SETUP(mapping)
{
	ASSERT_TRUE(t_all_settle(10));
	self->fd = open(T_DEVICE, variant->open | O_CLOEXEC);
	ASSERT_LE(0, self->fd);
	self->hpage = t_hpage();
	self->map = t_map(self->fd, 0, 0, 2 * self->hpage, variant->prot,
			  variant->flags);
	ASSERT_NE(MAP_FAILED, self->map);
}

FIXTURE_TEARDOWN(mapping)
{
	munmap(self->map, 2 * self->hpage);
	close(self->fd);
	EXPECT_TRUE(t_all_settle(10));
}

static int error_of(int ret)
{
	return ret < 0 ? errno : 0;
}

TEST_F(mapping, mprotect_gives_writing_to_who_may_write)
{
	int want = variant->may_write ? 0 : EACCES;

	EXPECT_EQ(want, error_of(mprotect(self->map, self->hpage, RW)));
	EXPECT_EQ(want, error_of(mprotect(self->map + 4096, 4096,
					  PROT_WRITE)));
	EXPECT_EQ(want, error_of(mprotect(self->map, 2 * self->hpage, RW)));
}

TEST_F(mapping, mprotect_gives_executing_to_nobody)
{
	static const int prots[] = {
		PROT_EXEC, PROT_READ | PROT_EXEC, PROT_WRITE | PROT_EXEC, RWX,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(prots); i++) {
		EXPECT_EQ(EACCES, error_of(mprotect(self->map, self->hpage,
						    prots[i])));
		EXPECT_EQ(EACCES, error_of(mprotect(self->map + 4096, 4096,
						    prots[i])));
	}
}

TEST_F(mapping, pkey_mprotect_gives_no_more_than_mprotect)
{
	int key = syscall(SYS_pkey_alloc, 0, 0);

	/* With or without keys there is the call, if the kernel knows keys. */
	if (key < 0 && errno == ENOSYS)
		SKIP(return, "this kernel knows no protection keys");
	EXPECT_EQ(EACCES, error_of(syscall(SYS_pkey_mprotect, self->map,
					   self->hpage, RWX, -1)));
	if (!variant->may_write)
		EXPECT_EQ(EACCES, error_of(syscall(SYS_pkey_mprotect, self->map,
						   self->hpage, RW, -1)));
	if (key < 0)
		SKIP(return, "no protection keys on this CPU");
	EXPECT_EQ(EACCES, error_of(syscall(SYS_pkey_mprotect, self->map,
					   self->hpage, RWX, key)));
	syscall(SYS_pkey_free, key);
}

TEST_F(mapping, remap_file_pages_gives_nothing_more)
{
	/* Emulated by mmap(2), with the protection there is; or refused. */
	syscall(SYS_remap_file_pages, self->map, self->hpage, 0,
		self->hpage / 4096, 0);
	EXPECT_EQ(EACCES, error_of(mprotect(self->map, self->hpage, RWX)));
	if (!variant->may_write)
		EXPECT_EQ(EACCES, error_of(mprotect(self->map, self->hpage,
						    RW)));
	EXPECT_EQ(EACCES, error_of(mprotect(self->map + self->hpage,
					    self->hpage, RWX)));
	if (!variant->may_write)
		EXPECT_EQ(EACCES, error_of(mprotect(self->map + self->hpage,
						    self->hpage, RW)));
}

TEST_F(mapping, mremap_keeps_what_was_forbidden)
{
	char *to = mmap(NULL, 2 * self->hpage, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	to = (char *)(((uintptr_t)to + self->hpage - 1) & -self->hpage);
	ASSERT_EQ(to, mremap(self->map, self->hpage, self->hpage,
			     MREMAP_MAYMOVE | MREMAP_FIXED, to));
	EXPECT_EQ(EACCES, error_of(mprotect(to, self->hpage, RWX)));
	if (!variant->may_write)
		EXPECT_EQ(EACCES, error_of(mprotect(to, self->hpage, RW)));
	munmap(to, self->hpage);
}

TEST_F(mapping, a_split_keeps_what_was_forbidden)
{
	ASSERT_EQ(0, munmap(self->map + 4096, 4096));
	EXPECT_EQ(EACCES, error_of(mprotect(self->map, 4096, RWX)));
	EXPECT_EQ(EACCES, error_of(mprotect(self->map + 8192, 4096, RWX)));
	if (!variant->may_write)
		EXPECT_EQ(EACCES, error_of(mprotect(self->map + 8192, 4096,
						    RW)));
}

TEST_F(mapping, a_child_has_no_more_than_its_parent)
{
	pid_t pid = fork();

	if (!pid) {
		int code = 0;

		if (error_of(mprotect(self->map, self->hpage, RWX)) != EACCES)
			code |= 1;
		if (error_of(mprotect(self->map, self->hpage, RW)) !=
		    (variant->may_write ? 0 : EACCES))
			code |= 2;
		_exit(code);
	}
	EXPECT_EQ(0, t_wait(pid));
}

/* For such a program every mapping it may read is one it may execute. */
TEST_F(mapping, a_personality_that_executes_what_it_reads_gets_no_mapping)
{
	int old = personality(0xffffffff);
	char *map;

	ASSERT_EQ(old, personality(old | READ_IMPLIES_EXEC));
	map = t_map(self->fd, 0, 0, self->hpage, PROT_READ, variant->flags);
	EXPECT_EQ(MAP_FAILED, map);
	EXPECT_EQ(EPERM, errno);
	/* What there is already stays without. */
	EXPECT_EQ(0, mprotect(self->map, self->hpage, PROT_READ));
	EXPECT_EQ(EACCES, error_of(mprotect(self->map, self->hpage, RWX)));
	personality(old);
}

TEST_HARNESS_MAIN

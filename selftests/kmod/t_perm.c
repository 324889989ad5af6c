// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Who may: mode of the node x caller x way of opening x protection x mapping,
 * each with the one result it has to have.
 */
#include "kselftest_harness.h"
#include "helpers.h"

#include <grp.h>
#include <sched.h>

#define MEMBERS	4242	/* the group of the node in this test */
#define SOMEONE	1000

FIXTURE(device) {
	struct stat before;
};

FIXTURE_SETUP(device)
{
	ASSERT_TRUE(t_all_settle(10));
	ASSERT_EQ(0, stat(T_DEVICE, &self->before));
}

FIXTURE_TEARDOWN(device)
{
	EXPECT_EQ(0, chown(T_DEVICE, self->before.st_uid, self->before.st_gid));
	EXPECT_EQ(0, chmod(T_DEVICE, self->before.st_mode & 07777));
	EXPECT_EQ(0, t_sysfs("clients"));
	EXPECT_TRUE(t_all_settle(10));
}

TEST_F(device, the_node_is_born_closed_to_others)
{
	EXPECT_TRUE(S_ISCHR(self->before.st_mode));
	EXPECT_EQ(0660, self->before.st_mode & 0777);
	EXPECT_EQ(0, self->before.st_uid);
}

enum class { OWNER, GROUP, OTHER, ROOT };

static int become(uid_t uid, gid_t gid, gid_t extra, bool user_namespace)
{
	if (setgroups(extra != 0, &extra) || setgid(gid) || setuid(uid))
		return -1;
	return user_namespace ? unshare(CLONE_NEWUSER) : 0;
}

static const struct {
	const char *name;
	uid_t uid;
	gid_t gid, extra;
	bool user_namespace;	/* where everybody has every capability */
	enum class class;
} callers[] = {
	{ "root", 0, 0, 0, false, ROOT },
	{ "someone", SOMEONE, SOMEONE, 0, false, OTHER },
	{ "of the group", SOMEONE, MEMBERS, 0, false, GROUP },
	{ "also of the group", SOMEONE, SOMEONE, MEMBERS, false, GROUP },
	{ "the node's owner", SOMEONE + 1, SOMEONE, 0, false, OWNER },
	{ "root of a namespace", SOMEONE, SOMEONE, 0, true, OTHER },
	{ "member in a namespace", SOMEONE, SOMEONE, MEMBERS, true, GROUP },
};

static const struct {
	const char *name;
	int flags, needs;	/* bits as in a mode */
} ways[] = {
	{ "to read", O_RDONLY, 4 },
	{ "to write", O_WRONLY, 2 },
	{ "for both", O_RDWR, 6 },
};

static const struct {
	const char *name;
	int prot;
} prots[] = {
	{ "none", PROT_NONE },
	{ "read", PROT_READ },
	{ "write", PROT_WRITE },
	{ "read and write", PROT_READ | PROT_WRITE },
	{ "read and execute", PROT_READ | PROT_EXEC },
};

static int open_error(unsigned int mode, enum class class, int needs)
{
	int bits = class == ROOT ? 6 : class == OWNER ? mode >> 6 & 7 :
		   class == GROUP ? mode >> 3 & 7 : mode & 7;

	return (bits & needs) == needs ? 0 : EACCES;
}

/* As every file: shared memory is written by who may write the file. */
static int mmap_error(int way, int prot, int flags)
{
	if (!(ways[way].needs & 4))
		return EACCES;
	if (flags == MAP_SHARED && prot & PROT_WRITE && !(ways[way].needs & 2))
		return EACCES;
	return prot & PROT_EXEC ? EPERM : 0;
}

/* Everything somebody can try with a descriptor: 0, or the step that is wrong. */
static int try_all(int fd, int way, int *cells)
{
	bool writes = ways[way].needs & 2;
	size_t hpage = t_hpage();
	unsigned int p, shared;

	for (p = 0; p < ARRAY_SIZE(prots); p++)
		for (shared = 0; shared < 2; shared++) {
			int flags = shared ? MAP_SHARED : MAP_PRIVATE;
			char *map = t_map(fd, 0, 0, hpage, prots[p].prot,
					  flags);
			int error = map == MAP_FAILED ? errno : 0;

			if (map != MAP_FAILED)
				munmap(map, hpage);
			if (error != mmap_error(way, prots[p].prot, flags))
				return 10 + 2 * p + shared;
			(*cells)++;
		}
	if (t_commit(fd, 0, 0, hpage) != (writes ? 0 : -EBADF))
		return 30;
	if (t_decommit(fd, 0, 0, hpage) != (writes ? 1 : -EBADF))
		return 31;
	if (t_stats(fd, 0).size != sizeof(struct slabpool_ioc_stats))
		return 32;
	*cells += 3;
	return 0;
}

TEST_F(device, every_cell_of_the_matrix_is_as_specified)
{
	static const unsigned int modes[] = { 0660, 0600, 0640, 0666, 0604, 0060 };
	int *cells = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned int m, c, w;

	ASSERT_NE(MAP_FAILED, cells);
	ASSERT_EQ(0, chown(T_DEVICE, SOMEONE + 1, MEMBERS));
	for (m = 0; m < ARRAY_SIZE(modes); m++) {
		ASSERT_EQ(0, chmod(T_DEVICE, modes[m]));
		for (c = 0; c < ARRAY_SIZE(callers); c++) {
			for (w = 0; w < ARRAY_SIZE(ways); w++) {
				int want = open_error(modes[m],
						      callers[c].class,
						      ways[w].needs);
				pid_t pid = fork();

				if (!pid) {
					int fd;

					if (become(callers[c].uid,
						   callers[c].gid,
						   callers[c].extra,
						   callers[c].user_namespace))
						_exit(1);
					fd = open(T_DEVICE, ways[w].flags);
					(*cells)++;
					if ((fd < 0 ? errno : 0) != want)
						_exit(2);
					_exit(fd < 0 ? 0 :
					      try_all(fd, w, cells));
				}
				EXPECT_EQ(0, t_wait(pid)) {
					TH_LOG("%o, %s, %s", modes[m],
					       callers[c].name, ways[w].name);
				}
			}
		}
	}
	EXPECT_LT(200, *cells);
	TH_LOG("%d cells", *cells);
}

/* Who was given a descriptor may use it, whoever he is; that is the point. */
TEST_F(device, a_descriptor_carries_the_permission_of_its_opener)
{
	int fd = t_open(), cells = 0;
	pid_t pid = fork();

	if (!pid) {
		if (become(SOMEONE, SOMEONE, 0, false) || t_open() >= 0)
			_exit(1);
		_exit(try_all(fd, 2, &cells));
	}
	EXPECT_EQ(0, t_wait(pid));
	close(fd);
}

TEST_F(device, sysfs_is_written_by_root_alone_and_read_by_all)
{
	unsigned int c;

	for (c = 0; c < ARRAY_SIZE(callers); c++) {
		pid_t pid = fork();

		if (!pid) {
			char size[32];

			snprintf(size, sizeof(size), "%lld", t_pool(0).total);
			if (become(callers[c].uid, callers[c].gid,
				   callers[c].extra, callers[c].user_namespace))
				_exit(1);
			if (t_node(0, "total_hugepages") < 0)
				_exit(2);
			_exit(t_set_node(0, "nr_hugepages", size) !=
			      (callers[c].uid ? -EACCES : 0));
		}
		EXPECT_EQ(0, t_wait(pid)) {
			TH_LOG("%s", callers[c].name);
		}
	}
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* The module comes, goes, stays while it is needed, and refuses nonsense. */
#include "kselftest_harness.h"
#include "helpers.h"

#include <sys/klog.h>

#define DELETE_FLAGS	O_NONBLOCK

struct image {
	void *bytes;
	size_t length;
};

FIXTURE(module) {
	struct image ko;
	char hugepages[512];
	char params[600];
};

/* Read once: what is loaded at the end is what was tested. */
static bool read_image(const char *path, struct image *image)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got;

	image->length = lseek(fd, 0, SEEK_END);
	image->bytes = malloc(image->length);
	got = pread(fd, image->bytes, image->length, 0);
	close(fd);
	return got > 0 && (size_t)got == image->length;
}

static int load(struct image ko, const char *params)
{
	return syscall(SYS_init_module, ko.bytes, ko.length, params) ?
	       -errno : 0;
}

static int unload(void)
{
	return syscall(SYS_delete_module, "slabpool", DELETE_FLAGS) ? -errno : 0;
}

FIXTURE_SETUP(module)
{
	ASSERT_NE(NULL, getenv("SLABPOOL_KO"));
	ASSERT_TRUE(read_image(getenv("SLABPOOL_KO"), &self->ko));
	ASSERT_TRUE(t_read_line("/sys/module/slabpool/parameters/hugepages",
				self->hugepages, sizeof(self->hugepages)));
	snprintf(self->params, sizeof(self->params), "hugepages=%s",
		 self->hugepages);
}

/* Whatever happened: leave it loaded as it was found. */
FIXTURE_TEARDOWN(module)
{
	if (!access(T_DEVICE, F_OK))
		return;
	EXPECT_EQ(0, load(self->ko, self->params));
}

TEST_F(module, it_stays_while_a_client_is_open)
{
	int fd = t_open();

	ASSERT_LE(0, fd);
	EXPECT_EQ(-EAGAIN, unload());
	close(fd);
	EXPECT_EQ(0, unload());
	EXPECT_EQ(-1, access(T_SYSFS, F_OK));
	EXPECT_EQ(-1, access(T_DEVICE, F_OK));
}

TEST_F(module, it_stays_while_anything_is_mapped)
{
	int fd = t_open();
	char *map = t_take(fd, 0, 1);

	ASSERT_NE(MAP_FAILED, map);
	close(fd);
	EXPECT_EQ(-EAGAIN, unload());
	map[0] = 1;
	munmap(map, t_hpage());
	EXPECT_EQ(0, unload());
}

TEST_F(module, it_stays_while_a_pinned_hpage_is_parked)
{
	struct iovec iov;
	double end;
	int pipes[2], fd = t_open();
	char *map = t_take(fd, 0, 1);

	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, pipe(pipes));
	map[0] = 1;
	iov = (struct iovec){ map, 4096 };
	ASSERT_EQ(4096, vmsplice(pipes[1], &iov, 1, 0));
	munmap(map, t_hpage());
	close(fd);
	EXPECT_EQ(1, t_pool(0).parked);
	EXPECT_EQ(0, t_sysfs("clients"));
	EXPECT_EQ(-EAGAIN, unload());
	close(pipes[0]);
	close(pipes[1]);
	for (end = t_deadline(5); t_pool(0).parked && t_now() < end;)
		t_sleep_ms(10);
	EXPECT_EQ(0, unload());
}

TEST_F(module, it_loads_and_unloads_a_hundred_times)
{
	int i;

	for (i = 0; i < 100; i++) {
		char *map;
		int fd;

		ASSERT_EQ(0, unload());
		ASSERT_EQ(0, load(self->ko, "hugepages=0:4,1:2"));
		EXPECT_EQ(4, t_node(0, "zeroed_hugepages"));
		EXPECT_EQ(2, t_node(1, "zeroed_hugepages"));

		/* With hpages still dirty or being cleared. */
		fd = t_open();
		map = t_take(fd, 0, 4);
		ASSERT_NE(MAP_FAILED, map);
		map[0] = 1;
		munmap(map, 4 * t_hpage());
		close(fd);
	}
	ASSERT_EQ(0, unload());
}

TEST_F(module, an_open_sysfs_file_does_not_outlive_it)
{
	char line[16];
	int fd = open(T_SYSFS "/node0/total_hugepages", O_RDONLY);

	ASSERT_LE(0, fd);
	EXPECT_EQ(0, unload());
	EXPECT_EQ(-1, read(fd, line, sizeof(line)));
	EXPECT_EQ(ENODEV, errno);
	close(fd);
}

/* Lines of the kernel's log since a mark, with a text in them. */
static int log_lines(const char *mark, const char *text)
{
	static char log[1 << 20];
	int length = klogctl(3, log, sizeof(log) - 1), count = 0;
	char *at, *last = NULL;

	if (length < 0)
		return -1;
	log[length] = '\0';
	for (at = log; (at = strstr(at, mark)) != NULL; at++)
		last = at;
	for (at = last; at && (at = strstr(at, text)) != NULL; at++)
		count++;
	return last ? count : -1;
}

TEST_F(module, nonsense_in_its_parameter_is_refused_and_named)
{
	static const char *const items[] = {
		"9:5", "x", "0:", ":5", ":", "0", "0:x", "x:0", "-1:5", "0:-5",
		"0:5x", "0:5:5", "0:0x10", "1023:1", "1024:1", "99999999999:1",
		"0:99999999999999999999", "0:9999999999", " 0:5", "0;5",
	};
	char params[128], mark[64], want[128];
	unsigned int i, place;

	ASSERT_EQ(0, unload());
	for (i = 0; i < ARRAY_SIZE(items); i++) {
		/* Alone, and among good ones. */
		for (place = 0; place < 3; place++) {
			static const char *const forms[] = {
				"hugepages=%s", "hugepages=%s,1:2",
				"hugepages=1:2,%s",
			};
			char quoted[80];

			/* The parameter parser splits at a space. */
			snprintf(quoted, sizeof(quoted), forms[place],
				 items[i]);
			if (strchr(quoted, ' '))
				snprintf(params, sizeof(params), "\"%s\"",
					 quoted);
			else
				strcpy(params, quoted);
			snprintf(mark, sizeof(mark), "unload-test %u.%u %d",
				 i, place, getpid());
			ASSERT_EQ(0, t_write("/dev/kmsg", mark));
			EXPECT_EQ(-EINVAL, load(self->ko, params)) {
				TH_LOG("accepted: %s", params);
				unload();
			}
			snprintf(want, sizeof(want), "hugepages: \"%s\"",
				 items[i]);
			EXPECT_EQ(1, log_lines(mark, want)) {
				TH_LOG("item: %s", items[i]);
			}
			EXPECT_EQ(1, log_lines(mark, "slabpool: "));
		}
	}
	EXPECT_EQ(-1, access(T_DEVICE, F_OK));
}

TEST_F(module, an_empty_item_or_a_node_named_twice_is_refused)
{
	static const char *const params[] = {
		"hugepages=,", "hugepages=0:1,", "hugepages=,0:1",
		"hugepages=0:1,,1:1", "hugepages=0:1,0:2",
	};
	unsigned int i;

	ASSERT_EQ(0, unload());
	for (i = 0; i < ARRAY_SIZE(params); i++) {
		EXPECT_EQ(-EINVAL, load(self->ko, params[i])) {
			TH_LOG("accepted: %s", params[i]);
			unload();
		}
	}
}

TEST_F(module, it_loads_with_empty_pools)
{
	ASSERT_EQ(0, unload());
	ASSERT_EQ(0, load(self->ko, ""));
	EXPECT_EQ(0, t_pool(0).total);
	EXPECT_EQ(0, t_node(0, "nr_hugepages"));
	EXPECT_EQ(0, unload());
	ASSERT_EQ(0, load(self->ko, "hugepages="));
	EXPECT_EQ(0, t_pool(1).total);
	EXPECT_EQ(0, unload());
	ASSERT_EQ(0, load(self->ko, "hugepages=1:0"));
	EXPECT_EQ(0, t_pool(1).total);
	EXPECT_EQ(0, unload());
}

/* One less than the node could hold if the kernel needed nothing of it. */
TEST_F(module, it_keeps_what_it_got_when_memory_is_short)
{
	char params[64], mark[64], line[128];
	long long want = 0, got;
	unsigned int node;
	FILE *info;

	info = fopen("/sys/devices/system/node/node1/meminfo", "r");
	ASSERT_NE(NULL, info);
	while (fgets(line, sizeof(line), info))
		if (sscanf(line, "Node %u MemTotal: %lld", &node, &want) == 2)
			break;
	fclose(info);
	want = want / 2048 - 1;
	ASSERT_LT(100, want);

	ASSERT_EQ(0, unload());
	snprintf(params, sizeof(params), "hugepages=1:%lld", want);
	snprintf(mark, sizeof(mark), "unload-test short %d", getpid());
	ASSERT_EQ(0, t_write("/dev/kmsg", mark));
	ASSERT_EQ(0, load(self->ko, params));
	got = t_pool(1).total;
	EXPECT_LT(0, got);
	EXPECT_GT(want, got);
	EXPECT_EQ(got, t_node(1, "nr_hugepages"));
	EXPECT_EQ(1, log_lines(mark, "memory is short"));
	EXPECT_EQ(0, unload());
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* The module comes, goes, stays while it is needed, and refuses nonsense. */
#include "kselftest_harness.h"
#include "helpers.h"

#include <liburing.h>
#include <sys/klog.h>

FIXTURE(module) {
	struct t_image ko;
	char hugepages[512];
	char params[600];
};

FIXTURE_SETUP(module)
{
	ASSERT_NE(NULL, getenv("SLABPOOL_KO"));
	ASSERT_TRUE(t_read_image(getenv("SLABPOOL_KO"), &self->ko));
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
	EXPECT_EQ(0, t_load(self->ko, self->params));
}

TEST_F(module, it_stays_while_a_client_is_open)
{
	int fd = t_open();

	ASSERT_LE(0, fd);
	EXPECT_EQ(-EAGAIN, t_unload());
	close(fd);
	EXPECT_EQ(0, t_unload());
	EXPECT_EQ(-1, access(T_SYSFS, F_OK));
	EXPECT_EQ(-1, access(T_DEVICE, F_OK));
}

TEST_F(module, it_stays_while_anything_is_mapped)
{
	int fd = t_open();
	char *map = t_take(fd, 0, 1);

	ASSERT_NE(MAP_FAILED, map);
	close(fd);
	EXPECT_EQ(-EAGAIN, t_unload());
	map[0] = 1;
	munmap(map, t_hpage());
	EXPECT_EQ(0, t_unload());
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
	EXPECT_EQ(-EAGAIN, t_unload());
	close(pipes[0]);
	close(pipes[1]);
	for (end = t_deadline(5); t_pool(0).parked && t_now() < end;)
		t_sleep_ms(10);
	EXPECT_EQ(0, t_unload());
}

TEST_F(module, it_loads_and_unloads_again_and_again)
{
	unsigned long i;

	for (i = 0; i < t_rounds(100); i++) {
		char *map;
		int fd;

		ASSERT_EQ(0, t_unload());
		ASSERT_EQ(0, t_load(self->ko, "hugepages=0:4,1:2"));
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
	ASSERT_EQ(0, t_unload());
}

/* Whoever has a registered buffer may have nothing else of the module left. */
TEST_F(module, it_stays_while_a_registered_buffer_holds_an_hpage)
{
	struct io_uring ring;
	struct iovec iov;
	int fd = t_open();
	char *map = t_take(fd, 0, 1);

	ASSERT_NE(MAP_FAILED, map);
	iov = (struct iovec){ map, t_hpage() };
	ASSERT_EQ(0, io_uring_queue_init(4, &ring, 0));
	if (io_uring_register_buffers(&ring, &iov, 1)) {
		munmap(map, t_hpage());
		close(fd);
		io_uring_queue_exit(&ring);
		SKIP(return, "this kernel registers no file-backed buffers");
	}
	munmap(map, t_hpage());
	close(fd);
	EXPECT_EQ(-EAGAIN, t_unload());
	io_uring_queue_exit(&ring);
	EXPECT_TRUE(t_unparks(0, 5));
	EXPECT_EQ(0, t_unload());
}

/* Open, take, touch, close: whatever of it the module is there for. */
static void storm(void)
{
	for (;;) {
		int fd = t_open();
		char *map;

		if (fd < 0)
			continue;
		map = t_take(fd, 0, 1);
		if (map != MAP_FAILED) {
			map[0] = 1;
			munmap(map, t_hpage());
		}
		close(fd);
		/* Often enough nobody has it open. */
		t_sleep_ms(2);
	}
}

/* Resize the pool, and read what there is to be read. */
static void resize(void)
{
	for (;;) {
		t_write(T_SYSFS "/decay_ms", "0");
		t_set_node(0, "nr_hugepages", "40");
		t_pool(0);
		t_set_node(0, "nr_hugepages", "4");
		t_sysfs("clients");
	}
}

/*
 * Let it go and come while that runs: how often it did, @count times at most; -1
 * when there was any other answer than that it is busy.
 */
static int cycles(struct t_image ko, void (*run)(void), int count)
{
	double end = t_deadline(2 * count);
	pid_t pids[2];
	int i, ret, done = 0;

	/* Once known, for there may be no file to read it from. */
	t_hpage();
	for (i = 0; i < 2; i++) {
		pids[i] = fork();
		if (!pids[i])
			run();
	}
	while (done < count && t_now() < end) {
		ret = t_unload();
		if (ret == -EAGAIN) {
			t_sleep_ms(1);
			continue;
		}
		if (ret || t_load(ko, "hugepages=0:4")) {
			done = -1;
			break;
		}
		done++;
		t_sleep_ms(5);
	}
	for (i = 0; i < 2; i++) {
		kill(pids[i], SIGKILL);
		t_wait(pids[i]);
	}
	return done;
}

TEST_F(module, it_goes_between_two_opens_of_a_storm_or_stays)
{
	EXPECT_LT(0, cycles(self->ko, storm, t_rounds(10)));
	EXPECT_TRUE(t_all_settle(10));
	EXPECT_EQ(0, t_unload());
}

TEST_F(module, it_goes_while_its_pools_are_being_resized)
{
	EXPECT_LT(0, cycles(self->ko, resize, t_rounds(10)));
	EXPECT_EQ(0, t_unload());
}

TEST_F(module, an_open_sysfs_file_does_not_outlive_it)
{
	char line[16];
	int fd = open(T_SYSFS "/node0/total_hugepages", O_RDONLY);

	ASSERT_LE(0, fd);
	EXPECT_EQ(0, t_unload());
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

	ASSERT_EQ(0, t_unload());
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
			EXPECT_EQ(-EINVAL, t_load(self->ko, params)) {
				TH_LOG("accepted: %s", params);
				t_unload();
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

	ASSERT_EQ(0, t_unload());
	for (i = 0; i < ARRAY_SIZE(params); i++) {
		EXPECT_EQ(-EINVAL, t_load(self->ko, params[i])) {
			TH_LOG("accepted: %s", params[i]);
			t_unload();
		}
	}
}

TEST_F(module, it_loads_with_empty_pools)
{
	ASSERT_EQ(0, t_unload());
	ASSERT_EQ(0, t_load(self->ko, ""));
	EXPECT_EQ(0, t_pool(0).total);
	EXPECT_EQ(0, t_node(0, "nr_hugepages"));
	EXPECT_EQ(0, t_unload());
	ASSERT_EQ(0, t_load(self->ko, "hugepages="));
	EXPECT_EQ(0, t_pool(1).total);
	EXPECT_EQ(0, t_unload());
	ASSERT_EQ(0, t_load(self->ko, "hugepages=1:0"));
	EXPECT_EQ(0, t_pool(1).total);
	EXPECT_EQ(0, t_unload());
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

	ASSERT_EQ(0, t_unload());
	snprintf(params, sizeof(params), "hugepages=1:%lld", want);
	snprintf(mark, sizeof(mark), "unload-test short %d", getpid());
	ASSERT_EQ(0, t_write("/dev/kmsg", mark));
	ASSERT_EQ(0, t_load(self->ko, params));
	got = t_pool(1).total;
	EXPECT_LT(0, got);
	EXPECT_GT(want, got);
	EXPECT_EQ(got, t_node(1, "nr_hugepages"));
	EXPECT_EQ(1, log_lines(mark, "memory is short"));
	EXPECT_EQ(0, t_unload());
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Writers and readers of sysfs all at once, sense and nonsense: every number
 * read is one that can be, nonsense is EINVAL, and nothing is lost.
 */
#include "kselftest_harness.h"
#include "helpers.h"

#define WRITERS	8
#define READERS	8
#define MOST	96	/* hpages a writer asks for at most */

FIXTURE(pool) {
	char size[32];
	long long total;
};

FIXTURE_SETUP(pool)
{
	ASSERT_TRUE(t_all_settle(10));
	self->total = t_pool(0).total;
	snprintf(self->size, sizeof(self->size), "%lld", self->total);
	ASSERT_EQ(0, t_write(T_SYSFS "/decay_ms", "0"));
	ASSERT_EQ(0, t_set_node(0, "nr_hugepages", "32"));
}

FIXTURE_TEARDOWN(pool)
{
	EXPECT_EQ(0, t_set_node(0, "nr_hugepages", self->size));
	EXPECT_EQ(0, t_write(T_SYSFS "/decay_ms", "10000"));
	EXPECT_TRUE(t_all_settle(20));
	EXPECT_EQ(self->total, t_pool(0).total);
	/* Every hpage that ever came is there, or went back. */
	EXPECT_EQ(t_node(0, "stats/grown"),
		  t_pool(0).total + t_pool(0).poisoned +
		  t_node(0, "stats/shrunk"));
}

/* A string that is no number of hpages; from the seed. */
static void make_nonsense(unsigned int *seed, char *text, size_t size)
{
	static const char alphabet[] = "0123456789abcxX+-., \t%*\\\"\1\377n";
	size_t length = 1 + rand_r(seed) % (size - 2), i;

	for (i = 0; i < length; i++)
		text[i] = alphabet[rand_r(seed) % (sizeof(alphabet) - 1)];
	text[length] = '\0';
	/* Whatever it was, now it is none. */
	text[rand_r(seed) % length] = "x-.,%\t \377"[rand_r(seed) % 8];
}

/* White space behind a number is not nonsense, but nothing before it is sense. */
static bool is_nonsense(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	return !digits || strcmp(text + digits, "\n");
}

TEST_F(pool, any_malformed_string_is_einval_and_changes_nothing)
{
	unsigned int seed = 20241101;
	unsigned long round;
	char text[40];

	for (round = 0; round < t_rounds(3000); round++) {
		make_nonsense(&seed, text, sizeof(text));
		if (!is_nonsense(text) || strspn(text, "0123456789") ==
		    strlen(text))
			continue;
		EXPECT_EQ(-EINVAL, t_set_node(0, "nr_hugepages", text)) {
			TH_LOG("round %lu: \"%s\"", round, text);
		}
	}
	EXPECT_EQ(32, t_node(0, "nr_hugepages"));
	EXPECT_EQ(32, t_pool(0).total);
}

TEST_F(pool, a_string_as_long_as_a_page_is_einval)
{
	static char text[8192];
	size_t length;

	for (length = 100; length < sizeof(text); length = length * 2 + 1) {
		memset(text, '7', length);
		text[length] = '\0';
		EXPECT_NE(0, t_set_node(0, "nr_hugepages", text));
		EXPECT_EQ(32, t_node(0, "nr_hugepages"));
	}
}

/* Piecewise, from the middle, appended: a write is one value. */
TEST_F(pool, each_write_stands_for_itself)
{
	int fd = open(T_SYSFS "/node0/nr_hugepages", O_RDWR);
	char text[32];

	ASSERT_LE(0, fd);
	EXPECT_EQ(1, write(fd, "1", 1));
	EXPECT_EQ(1, t_pool(0).total);
	EXPECT_EQ(1, write(fd, "2", 1));
	EXPECT_EQ(2, t_pool(0).total);
	EXPECT_EQ(2, pwrite(fd, "33", 2, 17));
	EXPECT_EQ(33, t_pool(0).total);
	EXPECT_EQ(3, pread(fd, text, sizeof(text), 0));
	EXPECT_EQ(0, memcmp("33\n", text, 3));
	EXPECT_EQ(-1, write(fd, "", 1));
	EXPECT_EQ(33, t_pool(0).total);
	close(fd);
}

static void storm_writer(unsigned int seed, double end)
{
	char text[40];

	while (t_now() < end) {
		int want = 0;

		if (rand_r(&seed) % 4) {
			snprintf(text, sizeof(text), "%d",
				 rand_r(&seed) % MOST);
		} else {
			make_nonsense(&seed, text, sizeof(text));
			if (!is_nonsense(text))
				continue;
			want = -EINVAL;
		}
		if (t_set_node(0, "nr_hugepages", text) != want)
			_exit(1);
	}
	_exit(0);
}

static void storm_reader(double end, bool commits)
{
	static const char *const files[] = {
		"nr_hugepages", "total_hugepages", "zeroed_hugepages",
		"dirty_hugepages", "used_hugepages", "parked_hugepages",
		"reserved_hugepages", "surplus_hugepages",
	};
	unsigned int i;

	while (t_now() < end) {
		for (i = 0; i < ARRAY_SIZE(files); i++) {
			long long value = t_node(0, files[i]);

			if (value < 0 || value > MOST)
				_exit(2);
		}
		if (commits) {
			int fd = t_open();

			t_commit(fd, 0, 0, 8 * t_hpage());
			close(fd);
		}
	}
	_exit(0);
}

TEST_F(pool, a_storm_of_writers_and_readers_stays_within_bounds)
{
	double end = t_now() + t_rounds(4);
	pid_t pids[WRITERS + READERS];
	int i;

	for (i = 0; i < WRITERS + READERS; i++) {
		pids[i] = fork();
		if (pids[i])
			continue;
		if (i < WRITERS)
			storm_writer(i + 1, end);
		storm_reader(end, i % 4 == 0);
	}
	for (i = 0; i < WRITERS + READERS; i++)
		EXPECT_EQ(0, t_wait(pids[i]));
	EXPECT_TRUE(t_settles(0, 20));
	EXPECT_TRUE(t_equation(t_pool(0)));
	EXPECT_EQ(t_node(0, "nr_hugepages"), t_pool(0).total);
}

TEST_HARNESS_MAIN

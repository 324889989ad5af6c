// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* Each file of sysfs: one value, an entry in the ABI documents, no nonsense. */
#include "kselftest_harness.h"
#include "helpers.h"

#include <dirent.h>
#include <sys/stat.h>

FIXTURE(pool) {
	char size[32];
	long long total;
};

FIXTURE_SETUP(pool)
{
	ASSERT_TRUE(t_all_settle(10));
	self->total = t_pool(0).total;
	ASSERT_LT(8, self->total);
	snprintf(self->size, sizeof(self->size), "%lld", self->total);
	/* What is too much shall go at once. */
	ASSERT_EQ(0, t_write(T_SYSFS "/decay_ms", "0"));
}

FIXTURE_TEARDOWN(pool)
{
	EXPECT_EQ(0, t_set_node(0, "nr_hugepages", self->size));
	EXPECT_TRUE(t_all_settle(10));
	EXPECT_EQ(self->total, t_pool(0).total);
	EXPECT_EQ(0, t_write(T_SYSFS "/decay_ms", "10000"));
}

/* Files below a folder, as paths relative to it, links left out. */
struct list {
	char names[256][96];
	int count;
};

static void collect(const char *top, const char *below, struct list *list)
{
	char path[512], name[300];
	struct dirent *entry;
	struct stat st;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/%s", top, below);
	dir = opendir(path);
	if (!dir)
		return;
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s%s%s", below, *below ? "/" : "",
			 entry->d_name);
		snprintf(path, sizeof(path), "%s/%s", top, name);
		if (lstat(path, &st) || S_ISLNK(st.st_mode))
			continue;
		if (S_ISDIR(st.st_mode))
			collect(top, name, list);
		else if (list->count < 256 && strlen(name) < 96)
			strcpy(list->names[list->count++], name);
	}
	closedir(dir);
}

/* What the driver core puts into every device's folder. */
static bool of_the_core(const char *name)
{
	return !strncmp(name, "power/", 6) || !strcmp(name, "uevent") ||
	       !strcmp(name, "dev") || !strcmp(name, "waiting_for_supplier");
}

/* The name with each node's number replaced by N. */
static void generic(const char *name, char *out, size_t size)
{
	int digits = 0;

	if (sscanf(name, "node%*d%n", &digits) == 0 && digits)
		snprintf(out, size, "nodeN%s", name + digits);
	else
		snprintf(out, size, "%s", name);
}

/* Every "What:" of the documents that begins so, without that beginning. */
static int documented(const char *folder, const char *prefix, struct list *list)
{
	char path[512], line[512], *name;
	struct dirent *entry;
	DIR *dir = opendir(folder);
	FILE *file;

	if (!dir)
		return -1;
	while ((entry = readdir(dir)) != NULL) {
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		file = entry->d_name[0] == '.' ? NULL : fopen(path, "r");
		while (file && fgets(line, sizeof(line), file)) {
			line[strcspn(line, "\n")] = '\0';
			name = line + strcspn(line, "/");
			if (strncmp(line, "What:", 5) ||
			    strncmp(name, prefix, strlen(prefix)))
				continue;
			name += strlen(prefix);
			if (list->count < 256 && strlen(name) < 96)
				strcpy(list->names[list->count++], name);
		}
		if (file)
			fclose(file);
	}
	closedir(dir);
	return list->count;
}

static bool contains(const struct list *list, const char *name)
{
	int i;

	for (i = 0; i < list->count; i++)
		if (!strcmp(list->names[i], name))
			return true;
	return false;
}

static struct list there, docs;

TEST_F(pool, each_file_has_an_entry_in_the_abi_documents_and_the_reverse)
{
	const char *folder = getenv("SLABPOOL_ABI_DIR");
	struct list names = {};
	char name[128];
	int i;

	if (!folder)
		SKIP(return, "SLABPOOL_ABI_DIR does not name the documents");
	collect(T_SYSFS, "", &there);
	ASSERT_LT(15, there.count);
	ASSERT_LT(15, documented(folder, T_SYSFS "/", &docs));
	for (i = 0; i < there.count; i++) {
		if (of_the_core(there.names[i]))
			continue;
		generic(there.names[i], name, sizeof(name));
		EXPECT_TRUE(contains(&docs, name)) {
			TH_LOG("not documented: %s", name);
		}
		strcpy(names.names[names.count++], name);
	}
	for (i = 0; i < docs.count; i++) {
		EXPECT_TRUE(contains(&names, docs.names[i])) {
			TH_LOG("documented, but not there: %s", docs.names[i]);
		}
	}
}

TEST_F(pool, each_module_parameter_is_documented_and_the_reverse)
{
	const char *folder = getenv("SLABPOOL_ABI_DIR");
	struct list params = {}, known = {};
	int i;

	if (!folder)
		SKIP(return, "SLABPOOL_ABI_DIR does not name the documents");
	collect("/sys/module/slabpool/parameters", "", &params);
	ASSERT_LT(0, params.count);
	ASSERT_LT(0, documented(folder, "/sys/module/slabpool/parameters/",
				&known));
	for (i = 0; i < params.count; i++) {
		EXPECT_TRUE(contains(&known, params.names[i])) {
			TH_LOG("not documented: %s", params.names[i]);
		}
	}
	for (i = 0; i < known.count; i++) {
		EXPECT_TRUE(contains(&params, known.names[i])) {
			TH_LOG("documented, not there: %s", known.names[i]);
		}
	}
}

static bool may_be_set(const char *path)
{
	static const char *const names[] = {
		"nr_hugepages", "nr_overcommit_hugepages", "decay_ms",
		"max_client_hugepages", "max_user_hugepages",
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(strrchr(path, '/') + 1, names[i]))
			return true;
	return false;
}

TEST_F(pool, each_file_holds_one_number)
{
	char path[256], text[256], *end;
	struct stat st;
	int i, fd;
	ssize_t length;

	there.count = 0;
	collect(T_SYSFS, "", &there);
	for (i = 0; i < there.count; i++) {
		if (of_the_core(there.names[i]))
			continue;
		snprintf(path, sizeof(path), T_SYSFS "/%s", there.names[i]);
		fd = open(path, O_RDONLY);
		ASSERT_LE(0, fd);
		length = read(fd, text, sizeof(text) - 1);
		close(fd);
		ASSERT_LT(1, length);
		text[length] = '\0';
		strtoull(text, &end, 10);
		EXPECT_STREQ("\n", end);
		ASSERT_EQ(0, stat(path, &st));
		EXPECT_EQ(may_be_set(path) ? 0644 : 0444, st.st_mode & 0777);
	}
}

TEST_F(pool, nonsense_is_einval_and_changes_nothing)
{
	static const char *const nonsense[] = {
		"x", "-1", "1x", "1 2", "0x10", " ", "\n", "1,2", "1.5", "+",
		"18446744073709551616", "18446744073709551615", "1000000000",
		"one", "5\n6",
	};
	struct t_pool before = t_pool(0), after;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(nonsense); i++) {
		EXPECT_EQ(-EINVAL, t_set_node(0, "nr_hugepages", nonsense[i])) {
			TH_LOG("accepted: '%s'", nonsense[i]);
		}
		after = t_pool(0);
		EXPECT_EQ(0, memcmp(&before, &after, sizeof(after)));
		EXPECT_EQ(self->total, t_node(0, "nr_hugepages"));
	}
}

TEST_F(pool, what_is_only_read_cannot_be_written)
{
	EXPECT_NE(0, t_set_node(0, "total_hugepages", "5"));
	EXPECT_NE(0, t_set_node(0, "stats/commits", "0"));
	EXPECT_NE(0, t_write(T_SYSFS "/clients", "0"));
	EXPECT_EQ(self->total, t_pool(0).total);
}

TEST_F(pool, growing_adds_zeroed_hpages_at_once)
{
	long long grown = t_node(0, "stats/grown");
	char size[32];

	snprintf(size, sizeof(size), "%lld\n", self->total + 5);
	ASSERT_EQ(0, t_set_node(0, "nr_hugepages", size));
	EXPECT_EQ(self->total + 5, t_pool(0).total);
	EXPECT_EQ(self->total + 5, t_pool(0).zeroed);
	EXPECT_EQ(self->total + 5, t_node(0, "nr_hugepages"));
	EXPECT_EQ(grown + 5, t_node(0, "stats/grown"));
}

TEST_F(pool, shrinking_frees_at_once_what_is_free)
{
	long long shrunk = t_node(0, "stats/shrunk");
	char size[32];

	snprintf(size, sizeof(size), "%lld", self->total - 6);
	ASSERT_EQ(0, t_set_node(0, "nr_hugepages", size));
	EXPECT_EQ(self->total - 6, t_pool(0).total);
	EXPECT_EQ(shrunk + 6, t_node(0, "stats/shrunk"));
}

TEST_F(pool, shrinking_frees_what_is_used_as_it_comes_back)
{
	int fd = t_open();
	double end;

	ASSERT_EQ(0, t_commit(fd, 0, 0, self->total * t_hpage()));
	ASSERT_EQ(0, t_set_node(0, "nr_hugepages", "2"));
	EXPECT_EQ(self->total, t_pool(0).total);
	EXPECT_EQ(2, t_node(0, "nr_hugepages"));
	EXPECT_EQ(3, t_decommit(fd, 0, 0, 3 * t_hpage()));
	for (end = t_deadline(5); t_now() < end; t_sleep_ms(10))
		if (t_pool(0).total == self->total - 3)
			break;
	EXPECT_EQ(self->total - 3, t_pool(0).total);
	EXPECT_EQ(self->total - 3, t_pool(0).used);
	close(fd);
	for (end = t_deadline(5); t_now() < end; t_sleep_ms(10))
		if (t_pool(0).total == 2)
			break;
	EXPECT_EQ(2, t_pool(0).total);
	EXPECT_TRUE(t_settles(0, 5));
}

TEST_F(pool, clients_counts_open_files)
{
	long long before = t_sysfs("clients");
	int one = t_open(), two = t_open(), same = dup(one);
	char *map;

	EXPECT_EQ(before + 2, t_sysfs("clients"));
	close(same);
	EXPECT_EQ(before + 2, t_sysfs("clients"));
	map = t_take(two, 0, 1);
	ASSERT_NE(MAP_FAILED, map);
	close(one);
	close(two);
	EXPECT_EQ(before + 1, t_sysfs("clients"));
	munmap(map, t_hpage());
	EXPECT_EQ(before, t_sysfs("clients"));
}

TEST_F(pool, statistics_add_up)
{
	long long commits = t_node(0, "stats/commits");
	long long decommits = t_node(0, "stats/decommits");
	long long zeroed = t_node(0, "stats/zeroed");
	long long ns = t_node(0, "stats/zero_ns");
	int fd = t_open();

	ASSERT_EQ(0, t_commit(fd, 0, 0, 5 * t_hpage()));
	EXPECT_EQ(commits + 5, t_node(0, "stats/commits"));
	EXPECT_EQ(5, t_pool(0).used);
	ASSERT_EQ(2, t_decommit(fd, 0, 0, 2 * t_hpage()));
	close(fd);
	EXPECT_EQ(decommits + 5, t_node(0, "stats/decommits"));
	ASSERT_TRUE(t_settles(0, 5));
	EXPECT_EQ(zeroed + 5, t_node(0, "stats/zeroed"));
	EXPECT_LT(ns, t_node(0, "stats/zero_ns"));
}

TEST_F(pool, a_commit_that_finds_only_dirty_hpages_clears_and_counts_them)
{
	long long before = t_node(0, "stats/inline_zeroed");
	int fd = t_open(), tries;
	size_t length = self->total * t_hpage();

	/* The worker races with us; it cannot win every time. */
	for (tries = 0; tries < 20; tries++) {
		ASSERT_EQ(0, t_commit(fd, 0, 0, length));
		ASSERT_EQ(self->total, t_decommit(fd, 0, 0, length));
		if (t_node(0, "stats/inline_zeroed") > before)
			break;
	}
	EXPECT_LT(before, t_node(0, "stats/inline_zeroed"));
	close(fd);
}

TEST_F(pool, resizing_while_clients_come_and_go_loses_nothing)
{
	double end = t_now() + 5;
	char size[32];
	pid_t pids[2];
	int i;

	for (i = 0; i < 2; i++) {
		pids[i] = fork();
		if (pids[i])
			continue;
		while (t_now() < end) {
			int fd = t_open();

			t_commit(fd, 0, 0, (1 + rand() % 40) * t_hpage());
			t_decommit(fd, 0, 0, 3 * t_hpage());
			close(fd);
		}
		_exit(0);
	}
	while (t_now() < end) {
		snprintf(size, sizeof(size), "%lld",
			 rand() % (self->total + 16));
		ASSERT_EQ(0, t_set_node(0, "nr_hugepages", size));
	}
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, t_wait(pids[i]));
	EXPECT_EQ(0, t_set_node(0, "nr_hugepages", self->size));
	EXPECT_TRUE(t_settles(0, 10));
	EXPECT_EQ(self->total, t_pool(0).total);
	EXPECT_EQ(t_node(0, "stats/grown"),
		  t_pool(0).total + t_pool(0).poisoned +
		  t_node(0, "stats/shrunk"));
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* The pool, as sysfs shows it: kept small while fuzzing, and put back afterwards. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"

/* Clearing what came back may take long on an emulated machine; giving it back not. */
#define SETTLE_TRIES	1000
#define SETTLE_PAUSE	10000

/* To write anything has the module check its own books. */
#define BOOKS		"/sys/kernel/debug/slabpool/check"

struct pool {
	long long total, zeroed, dirty, used, parked, reserved;
};

/* Read for each program, some several times: opened once. */
enum file { TOTAL, ZEROED, DIRTY, USED, PARKED, RESERVED, NR_FILES };

static const char *const names[NR_FILES] = {
	"total", "zeroed", "dirty", "used", "parked", "reserved",
};

/* What programs may change.  Surplus goes at once, where nothing is to decay. */
static struct setting {
	const char *name;
	long long wanted;
	long long found;
} settings[] = {
	{ .name = "decay_ms" },
	{ .name = "max_client_hugepages" },
	{ .name = "max_user_hugepages" },
	{ .name = "node0/nr_overcommit_hugepages" },
	{ .name = "node1/nr_overcommit_hugepages" },
	{ .name = "node0/nr_hugepages" },
	{ .name = "node1/nr_hugepages" },
};

static int files[NR_NODES][NR_FILES];
static int clients_file = -1;
static int books = -1;

static int sysfs_open(const char *name, int mode)
{
	char path[128];

	snprintf(path, sizeof(path), SYSFS "/%s", name);
	return open(path, mode | O_CLOEXEC);
}

static long long number_in(int fd)
{
	char text[32];
	ssize_t length = pread(fd, text, sizeof(text) - 1, 0);

	if (length <= 0)
		return -1;
	text[length] = '\0';
	return atoll(text);
}

/* The number in a file, or -1. */
long long sysfs_number(const char *name)
{
	int fd = sysfs_open(name, O_RDONLY);
	long long number = number_in(fd);

	if (fd >= 0)
		close(fd);
	return number;
}

/* One write(2) of the text. */
long sysfs_store(const char *name, const char *text)
{
	int fd = sysfs_open(name, O_WRONLY);
	long ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

/* Over all nodes; a file that is not there counts nothing. */
static long long sum(enum file file)
{
	long long total = 0, number;
	unsigned int node;

	for (node = 0; node < NR_NODES; node++) {
		number = number_in(files[node][file]);
		total += number > 0 ? number : 0;
	}
	return total;
}

long long pool_used(void)
{
	return sum(USED);
}

/* For guarantees and copies: at a sync no commit is under way. */
long long pool_reserved(void)
{
	return sum(RESERVED);
}

/* They are right at any moment, whatever else runs. */
void pool_check_books(void)
{
	if (books >= 0 && write(books, "1", 1) < 0 && errno == EUCLEAN)
		finding("the module's books are wrong");
}

static struct pool pool_now(void)
{
	return (struct pool){
		.total = sum(TOTAL),
		.zeroed = sum(ZEROED),
		.dirty = sum(DIRTY),
		.used = sum(USED),
		.parked = sum(PARKED),
		.reserved = sum(RESERVED),
	};
}

/* The files are read one after the other: while one moves, they disagree. */
static bool settled(const struct pool *pool, long long clients)
{
	return !clients && !pool->used && !pool->parked && !pool->reserved &&
	       pool->total == pool->zeroed + pool->dirty;
}

/* When nobody has the device open: everything is back, soon. */
bool pool_settles(char *why, size_t size)
{
	unsigned int tries;
	long long clients;
	struct pool pool;

	for (tries = 0; tries < SETTLE_TRIES; tries++) {
		pool = pool_now();
		clients = number_in(clients_file);
		if (settled(&pool, clients))
			return true;
		usleep(tries ? SETTLE_PAUSE : 1000);
	}
	snprintf(why, size,
		 "%lld clients, total %lld, zeroed %lld, dirty %lld, used %lld, parked %lld, reserved %lld",
		 clients, pool.total, pool.zeroed, pool.dirty, pool.used,
		 pool.parked, pool.reserved);
	return false;
}

static void set(const struct setting *setting, long long value)
{
	long long is = sysfs_number(setting->name);
	char text[24];

	snprintf(text, sizeof(text), "%lld", value);
	if (is >= 0 && is != value)
		sysfs_store(setting->name, text);
}

static void open_files(unsigned int node)
{
	char path[64];
	enum file file;

	for (file = 0; file < NR_FILES; file++) {
		snprintf(path, sizeof(path), "node%u/%s_hugepages", node,
			 names[file]);
		files[node][file] = sysfs_open(path, O_RDONLY);
	}
}

/* Few hpages a node, so that programs run out of them. */
void pool_start(unsigned int hpages)
{
	unsigned int node, i;

	clients_file = sysfs_open("clients", O_RDONLY);
	books = open(BOOKS, O_WRONLY | O_CLOEXEC);
	for (node = 0; node < NR_NODES; node++)
		open_files(node);
	for (i = 0; i < ARRAY_SIZE(settings); i++) {
		settings[i].found = sysfs_number(settings[i].name);
		if (strstr(settings[i].name, "/nr_hugepages"))
			settings[i].wanted = hpages;
	}
	pool_restore();
}

/* After a program that may have changed what the administrator sets. */
void pool_restore(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(settings); i++)
		set(&settings[i], settings[i].wanted);
}

void pool_end(void)
{
	unsigned int i = ARRAY_SIZE(settings);

	while (i--)
		set(&settings[i], settings[i].found);
}

// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * What is lost drop by drop: calls by the thousand, sense and nonsense, and lives of
 * clients.  At the end every hpage is back, and no cache of the kernel has grown.
 * SLABPOOL_ROUNDS=334 makes a million of each.
 */
#include "kselftest_harness.h"
#include "helpers.h"

#include <dirent.h>
#include <limits.h>

#define SLAB		"/sys/kernel/slab"
#define CACHES		1024
#define NOISE		100	/* objects by which the rest of the system varies */
#define ROUNDS		3000	/* usually: more than the slabs of a CPU hold */
#define CLIENTS		8
#define WINDOW		16	/* hpages of each node that calls are about */

struct cache {
	char name[64];
	long objects;
	long slab;	/* objects in one of its slabs */
};

/* Let caches give back what is empty: then what they hold is in use. */
static void shrink_caches(void)
{
	struct dirent *entry;
	char path[320];
	DIR *dir = opendir(SLAB);

	while (dir && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), SLAB "/%s/shrink", entry->d_name);
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
			t_write(path, "1");
	}
	if (dir)
		closedir(dir);
}

/* The caches now: their number. */
static unsigned int read_caches(struct cache *caches)
{
	FILE *file = fopen("/proc/slabinfo", "r");
	unsigned int count = 0;
	char line[512];

	if (!file)
		return 0;
	shrink_caches();
	while (count < CACHES && fgets(line, sizeof(line), file))
		if (sscanf(line, "%63s %ld %*d %*d %ld", caches[count].name,
			   &caches[count].objects, &caches[count].slab) == 3)
			count++;
	fclose(file);
	return count;
}

/*
 * By how many objects a cache has grown since @before.  All of a slab counts that a
 * CPU has at hand: two for each CPU are no growth.
 */
static long growth(const struct cache *before, unsigned int count,
		   const struct cache *cache)
{
	long slack = 2 * sysconf(_SC_NPROCESSORS_ONLN) * cache->slab;
	unsigned int i;

	for (i = 0; i < count; i++)
		if (!strcmp(before[i].name, cache->name))
			return cache->objects - before[i].objects - slack;
	return cache->objects - slack;
}

/* The largest growth of any cache, and which it is. */
static long worst_growth(const struct cache *before, unsigned int count,
			 char *name)
{
	static struct cache now[CACHES];
	unsigned int i, nr = read_caches(now);
	long grown, worst = nr ? LONG_MIN : LONG_MAX;

	for (i = 0; i < nr; i++) {
		grown = growth(before, count, &now[i]);
		if (grown > worst) {
			worst = grown;
			strcpy(name, now[i].name);
		}
	}
	return worst;
}

FIXTURE(pool) {
	long long total[2], handed[2];
	struct cache *caches;
	unsigned int nr_caches;
	unsigned int seed;
};

static long long handed_out(int nid)
{
	return t_node(nid, "stats/commits") - t_node(nid, "stats/decommits");
}

FIXTURE_SETUP(pool)
{
	int nid;

	ASSERT_TRUE(t_all_settle(10));
	for (nid = 0; nid < 2; nid++) {
		self->total[nid] = t_pool(nid).total;
		self->handed[nid] = handed_out(nid);
	}
	self->seed = 20241101;
	self->caches = calloc(CACHES, sizeof(*self->caches));
	ASSERT_NE(NULL, self->caches);
}

/* Descriptors and memory go a moment after the call: wait for that. */
FIXTURE_TEARDOWN(pool)
{
	double end = t_deadline(2);
	char name[64] = "";
	long worst;
	int nid;

	EXPECT_TRUE(t_all_settle(60));
	EXPECT_EQ(0, t_sysfs("clients"));
	for (nid = 0; nid < 2; nid++) {
		EXPECT_EQ(self->total[nid], t_pool(nid).total);
		EXPECT_EQ(self->handed[nid], handed_out(nid));
	}
	do {
		t_sleep_ms(100);
		worst = worst_growth(self->caches, self->nr_caches, name);
	} while (worst > NOISE && t_now() < end);
	EXPECT_GE(NOISE, worst) {
		TH_LOG("%s has grown by %ld objects", name, worst);
	}
	free(self->caches);
}

struct client {
	int fd;
	char *map;
};

static void end_client(struct client *client)
{
	if (client->map)
		munmap(client->map, WINDOW * t_hpage());
	if (client->fd >= 0)
		close(client->fd);
	*client = (struct client){ .fd = -1 };
}

static void begin_client(struct client *client, unsigned int *seed)
{
	end_client(client);
	client->fd = open(T_DEVICE, (rand_r(seed) % 8 ? O_RDWR : O_RDONLY) |
			  O_CLOEXEC);
	if (rand_r(seed) % 2)
		return;
	/* Commits nothing. */
	client->map = t_map(client->fd, 0, 0, WINDOW * t_hpage(), PROT_NONE,
			    MAP_SHARED);
	if (client->map == MAP_FAILED)
		client->map = NULL;
}

/* One of eight is nonsense. */
static uint64_t some(unsigned int *seed, uint64_t sense)
{
	static const uint64_t nonsense[] = {
		0, 1, 4096, 1ULL << 31, 1ULL << 41, 1ULL << 63, UINT64_MAX,
	};

	if (rand_r(seed) % 8)
		return sense;
	return nonsense[rand_r(seed) % ARRAY_SIZE(nonsense)];
}

static uint64_t some_offset(unsigned int *seed)
{
	/* Of the caller's node, 0, 1, and 2 that is not there. */
	int node = (int)(rand_r(seed) % 4) - 1;

	return some(seed, SLABPOOL_OFFSET(node, rand_r(seed) % WINDOW *
					  t_hpage()));
}

static uint64_t some_length(unsigned int *seed)
{
	return some(seed, (1 + rand_r(seed) % 4) * t_hpage());
}

union argument {
	uint32_t size;
	struct slabpool_ioc_info info;
	struct slabpool_ioc_commit commit;
	struct slabpool_ioc_decommit decommit;
	struct slabpool_ioc_attach attach;
	struct slabpool_ioc_stats stats;
	struct slabpool_ioc_reserve reserve;
	struct slabpool_ioc_share share;
	struct slabpool_ioc_snapshot snapshot;
};

/* A command with its argument: 0, or what it failed with. */
static int random_call(struct client *clients, unsigned int *seed)
{
	struct client *client = &clients[rand_r(seed) % CLIENTS];
	struct client *other = &clients[rand_r(seed) % CLIENTS];
	unsigned int nr = rand_r(seed) % 9, i;
	struct slabpool_range ranges[4] = {};
	union argument argument = {};
	int made = -1, ret;

	switch (nr) {
	case 0:
		argument.size = sizeof(argument.info);
		break;
	case 1:
		argument.commit = (struct slabpool_ioc_commit){
			.size = sizeof(argument.commit),
			.flags = rand_r(seed) % 2 ? SLABPOOL_FALLBACK : 0,
			.offset = some_offset(seed),
			.length = some_length(seed),
		};
		break;
	case 2:
		for (i = 0; i < ARRAY_SIZE(ranges); i++) {
			ranges[i].offset = some_offset(seed);
			ranges[i].length = some_length(seed);
		}
		argument.decommit = (struct slabpool_ioc_decommit){
			.size = sizeof(argument.decommit),
			.ranges = some(seed, (uintptr_t)ranges),
			.count = some(seed, 1 + rand_r(seed) % 4),
		};
		break;
	case 3:
		argument.attach = (struct slabpool_ioc_attach){
			.size = sizeof(argument.attach),
			.address = some(seed, (uintptr_t)other->map),
		};
		break;
	case 4:
		argument.stats = (struct slabpool_ioc_stats){
			.size = sizeof(argument.stats),
			.node = (int)(rand_r(seed) % 4) - 1,
		};
		break;
	case 5:
		argument.reserve = (struct slabpool_ioc_reserve){
			.size = sizeof(argument.reserve),
			.node = (int)(rand_r(seed) % 4) - 1,
			.count = some(seed, rand_r(seed) % WINDOW),
		};
		break;
	case 6:
		argument.share = (struct slabpool_ioc_share){
			.size = sizeof(argument.share),
			.flags = rand_r(seed) % 2 ? SLABPOOL_SHARE_RDONLY : 0,
		};
		break;
	default:
		argument.snapshot = (struct slabpool_ioc_snapshot){
			.size = sizeof(argument.snapshot),
			.into = other->fd,
		};
		break;
	}
	if (rand_r(seed) % 16 == 0)
		argument.size = some(seed, argument.size + 8);
	ret = ioctl(client->fd, _IO(SLABPOOL_IOC_MAGIC, nr),
		    (void *)(uintptr_t)some(seed, (uintptr_t)&argument));
	if (ret)
		return errno;

	if (nr == 3)
		made = argument.attach.fd;
	else if (nr == 6)
		made = argument.share.fd;
	if (made >= 0) {
		end_client(other);
		other->fd = made;
	}
	return 0;
}

static unsigned long random_calls(unsigned long count, unsigned int *seed)
{
	struct client clients[CLIENTS];
	unsigned long good = 0;
	int i;

	for (i = 0; i < CLIENTS; i++)
		clients[i] = (struct client){ .fd = -1 };
	while (count--) {
		if (rand_r(seed) % 16 == 0)
			begin_client(&clients[rand_r(seed) % CLIENTS], seed);
		good += !random_call(clients, seed);
	}
	for (i = 0; i < CLIENTS; i++)
		end_client(&clients[i]);
	return good;
}

TEST_F_TIMEOUT(pool, random_calls_leave_nothing_behind, 3600)
{
	unsigned long count = t_rounds(ROUNDS), good;
	double start;

	/* What is made once, and what is kept for the next one. */
	random_calls(500, &self->seed);
	self->nr_caches = read_caches(self->caches);
	ASSERT_NE(0, self->nr_caches);
	start = t_now();
	good = random_calls(count, &self->seed);
	TH_LOG("%lu calls, %lu of them good, %.0f s", count, good,
	       t_now() - start);
	EXPECT_LT(count / 8, good);
	EXPECT_GT(count - count / 8, good);
}

static int cycle(unsigned long i)
{
	int fd = t_open(), ret;

	ret = t_commit(fd, i % 2, 0, t_hpage());
	if (!ret)
		ret = t_decommit(fd, i % 2, 0, t_hpage());
	close(fd);
	return ret;
}

TEST_F_TIMEOUT(pool, lives_of_clients_leave_nothing_behind, 3600)
{
	unsigned long count = t_rounds(ROUNDS), i;
	double start;

	for (i = 0; i < 500; i++)
		ASSERT_EQ(1, cycle(i));
	self->nr_caches = read_caches(self->caches);
	ASSERT_NE(0, self->nr_caches);
	start = t_now();
	for (i = 0; i < count; i++)
		ASSERT_EQ(1, cycle(i));
	TH_LOG("%lu times, %.0f s", count, t_now() - start);
}

TEST_HARNESS_MAIN

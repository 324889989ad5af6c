/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * slabpool-fuzz: what its files call of one another.
 *
 * Words
 *	program	up to MAX_LINES lines, each a call of one thread or a sync
 *	thread	a letter: a and b are threads of one process, c and d of another
 *	phase	what lies between two syncs; its threads run side by side
 *	cell	an hpage-sized place of a process's arena, where mappings go
 *	slot	a place for a descriptor, one table a process
 *	stamp	the word by which a client marks an hpage as its own
 *	finding	what must not happen: one line, and the program that did it
 */
#ifndef SLABPOOL_FUZZ_H
#define SLABPOOL_FUZZ_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include <linux/slabpool.h>

typedef uint64_t u64;
typedef uint32_t u32;

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

#define MAX_ARGS	7
#define MAX_LINES	64
#define NR_THREADS	4
#define NR_PROCESSES	2
#define NR_SLOTS	4
#define NR_CELLS	16
#define NR_PIPES	2
#define NR_NODES	2	/* of those the grammar knows */

#define PAGE		4096UL
#define DEVICE		"/dev/slabpool"
#define SYSFS		"/sys/class/misc/slabpool"

extern size_t hpage;

/* in random.c: a generator whose whole state is one word */
struct rng {
	u64 state;
};

u64 rng_next(struct rng *rng);
u64 rng_below(struct rng *rng, u64 limit);
bool rng_one_in(struct rng *rng, u64 n);

/* in gram.c: the table of calls, and programs as text */
struct kind;

/**
 * struct call - one row of the grammar
 * @name: first word of its lines
 * @weight: how often it is chosen, against the others'
 * @run: does it; 0, a positive answer or -errno.  NULL for fork, which exec.c
 *	does itself
 * @args: their names and what values they take
 */
struct call {
	const char *name;
	unsigned int weight;
	long (*run)(const u64 *v);
	struct {
		const char *name;
		const struct kind *kind;
	} args[MAX_ARGS];
};

/* What a line expects its call to return. */
enum expect { EXPECT_NOTHING, EXPECT_OK, EXPECT_ERRNO };

/* @call is NULL for a sync, of all threads. */
struct line {
	const struct call *call;
	unsigned int thread;
	unsigned int times;
	u64 v[MAX_ARGS];
	enum expect expect;
	int error;
};

struct program {
	unsigned int count;
	struct line line[MAX_LINES];
};

const char *errno_name(long error);
void gram_write(FILE *to, const struct program *program);
bool gram_read(FILE *from, struct program *program, char *error, size_t size);
void gram_generate(struct program *program, struct rng *rng);
void gram_mutate(struct program *program, const struct program *other,
		 struct rng *rng);
void gram_delete(struct program *program, unsigned int at, unsigned int count);
void gram_list(FILE *to);

/* in calls.c: how each call is done */
extern const struct call calls[];
extern const unsigned int nr_calls;

void calls_setup(void);
void calls_forked(void);
void calls_report(void);

/* in model.c: what is known of each client's hpages */
enum mark { MARK_UNKNOWN, MARK_PRESENT, MARK_ABSENT };

/* Offsets the model follows hpage by hpage: this many from each node's start. */
#define MODEL_SPAN	16
#define MODEL_HPAGES	((NR_NODES + 1) * MODEL_SPAN)
#define MAX_CLIENTS	48
#define NO_CLIENT	(-1)
#define ANY_CLIENT	(-2)

/* A stamp has no room for more. */
#define MAX_GENERATION	0xfffff

/* What was known when a commit or decommit of some hpages began. */
struct begun {
	int client;
	u64 first;
	u64 count;
	bool alone[MODEL_SPAN];
	u32 others[MODEL_SPAN];
	u32 generation[MODEL_SPAN];
};

/**
 * struct snapshot - what was known when a snapshot began
 * @origin: whose picture is taken
 * @into: the client that becomes it
 * @doomed: it must fail
 * @hpage: for each hpage, the mark of the origin's and the oldest stamps in it;
 *	commits and decommits of @into until then; whether this is the only commit,
 *	and whether no decommit runs beside it
 */
struct snapshot {
	int origin;
	int into;
	bool doomed;
	struct hpage_begun {
		u64 known;
		u32 oldest;
		u32 commits;
		u32 decommits;
		bool first;
		bool alone;
	} hpage[MODEL_HPAGES];
};

/* Generations of stamps. */
struct span {
	u32 oldest;
	u32 newest;
};

void model_reset(u32 first_id);
int client_new(void);
u32 client_id(int client);
bool client_lock(int client);
void client_unlock(int client);
void client_unlock_of(pid_t pid);
struct begun commit_begin(int client, u64 offset, u64 length);
void commit_end(const struct begun *begun, bool committed);
struct begun decommit_begin(int client, u64 offset, u64 length);
void decommit_end(const struct begun *begun, bool decommitted);
enum mark model_mark(int client, u64 index);
u32 model_generation(int client, u64 index);
u32 model_oldest(int client, u64 index);
struct snapshot snapshot_begin(int origin, int into);
unsigned int snapshot_end(const struct snapshot *begun, long ret);
bool snapshots_begun(void);
void client_late_input(int client);
u64 client_pictures(int client);
bool model_admits(u64 clients, u32 id);
const char *model_refuses(int client, u64 index, u32 id, u32 generation,
			  struct span span);

/* in oracle.c: what memory may show, and who holds what of the pool */

/**
 * struct cell - what a process has mapped at one place of its arena
 * @lock: 0 free, -1 changing, n readers that count on it as it is
 * @seq: odd while it changes
 * @client: whose, or NO_CLIENT
 * @index: which hpage of the client
 * @private: mapped MAP_PRIVATE
 * @readonly: through a descriptor not open for writing
 * @inherited: 0, or in a child the clients of which it may show one instead: as bits
 */
struct cell {
	atomic_int lock;
	atomic_uint seq;
	int client;
	u64 inherited;
	u64 index;
	bool private;
	bool readonly;
};

extern struct cell cells[NR_CELLS];

char *cell_address(unsigned int cell);
bool cells_lock(unsigned int first, unsigned int count);
void cells_unlock(unsigned int first, unsigned int count);
bool cell_hold(unsigned int cell);
void cell_release(unsigned int cell);
void cells_describe(unsigned int first, unsigned int count, const struct cell *as);
int cell_owner(const struct cell *cell);

/**
 * struct holds - what a client has, on all nodes together
 * @committed: hpages
 * @parked: hpages given back but pinned
 * @least: of the pool, held or set aside for it
 * @most: the same, should nothing be parked any more
 */
struct holds {
	u64 committed;
	u64 parked;
	u64 least;
	u64 most;
};

int trapped_read(const void *from, void *to, size_t length);
int trapped_write(void *to, const void *from, size_t length);
int trapped_touch(void *address, bool write);
void traps_install(void);

u64 client_stamp(int client, u64 index, bool private, bool forbidden);
size_t stamp_place(unsigned int page);
long stamp_cell(unsigned int cell);
long look_at_cell(unsigned int cell, bool quiet);
bool check_word(u64 word, u64 clients, u64 index);

void oracle_reset(void);
void oracle_forget_sightings(void);
void oracle_check_process(void);
void oracle_seen(int client, const struct holds *holds);
bool oracle_knows(int client);
void oracle_maybe_held(int client);
void oracle_hide(int difference);
void oracle_check_pool(void);

/* in pool.c: the pool as sysfs shows it */
long long sysfs_number(const char *name);
long sysfs_store(const char *name, const char *text);
long long pool_used(void);
long long pool_reserved(void);
void pool_check_books(void);
bool pool_settles(char *why, size_t size);
void pool_start(unsigned int hpages);
void pool_restore(void);
void pool_end(void);

/* in kmsg.c: what the kernel says of itself */
void kmsg_open(void);
bool kmsg_check(char *line, size_t size);

/* in kcov.c: which code of the module a program reached */
bool kcov_open(void);
void kcov_enable(unsigned int task);
void kcov_begin(void);
void kcov_collect(void);
void kcov_reset(void);
unsigned int kcov_news(void);
unsigned int kcov_points(void);
void kcov_write(FILE *to);

/* in exec.c: running a program */
#define MAX_TEXT	256

struct outcome {
	bool found;
	char text[MAX_TEXT];
	long result[MAX_LINES];
};

extern _Thread_local unsigned int this_thread;

void finding(const char *format, ...) __attribute__((format(printf, 1, 2)));
void *shared_alloc(size_t size);
void exec_setup(void);
void exec_kick(void);
unsigned int exec_task(void);
int exec_socket(void);
const struct outcome *exec_run(const struct program *program);

/* in minimise.c */
bool same_finding(const char *one, const char *other);
bool minimise(struct program *program, const char *text, unsigned int tries);

#endif /* SLABPOOL_FUZZ_H */

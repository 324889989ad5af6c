/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * The node heap: the hpages of one NUMA node, divided into chunks for the
 * caches of its threads.
 *
 * An hpage with runs lies in the bucket of its longest free run; a chunk comes
 * from the smallest bucket that surely fits, fullest hpage first, so that the
 * others can empty (TEMERAIRE, Hunter et al., OSDI 2021).  An empty hpage goes
 * to the ready list, newest first, from where it is used again or given back by
 * decay.  While the heap grows the background thread adds populated ones there,
 * the stock, so that no caller waits for the kernel; they decay like the others.
 */
#ifndef SP_NODE_H
#define SP_NODE_H

#include "chunk.h"
#include "decay.h"
#include "limit.h"
#include "list.h"
#include "lock.h"
#include "stock.h"

#define SP_BUCKETS	33

struct sp_node {
	struct sp_lock lock;		/* guards everything below */
	int id;
	struct sp_list buckets[SP_KINDS][SP_BUCKETS];
	uint64_t filled[SP_KINDS];	/* bit b: buckets[kind][b] is not empty */
	struct sp_list ready;		/* newest first, not resident ones last */
	struct sp_decay decay;		/* of the ready ones */
	struct sp_stock stock;		/* how many should be resident */
	uint64_t resident;		/* how many are */
	struct sp_list chunks;		/* unused descriptors */
	struct sp_list owned;		/* caches of watched threads, see owner.h */
	struct sp_list orphans;		/* caches whose thread is gone or idle */
	struct sp_list spare;		/* caches that own nothing */
	uint64_t active;		/* bytes in chunks and huge objects */
	uint64_t norphans;
	uint64_t hits, misses, fills;	/* see struct sp_node_counts */
} __attribute__((aligned(SP_CACHE_LINE)));

struct sp_node_counts {
	uint64_t unused, active;	/* bytes */
	uint64_t orphans;
	uint64_t resident;		/* of the unused bytes */
	uint64_t hits, misses;		/* hpages needed: were they ready and resident? */
	uint64_t fills;			/* hpages made so ahead of demand */
};

extern struct sp_node sp_nodes[SP_MAX_NODES];
extern struct sp_lock sp_purge_lock;	/* held by the one purge under way */

/* Set up the nodes of @mask (bit n: node n has memory). */
void sp_node_init(uint64_t mask, uint64_t decay_ms, const struct sp_limits *limits);
uint64_t sp_node_mask(void);
/* The node for the calling thread: the one forced by option, or its CPU's. */
struct sp_node *sp_node_here(void);
/* NULL: no such node or one without memory. */
struct sp_node *sp_node_get(int id);
/* Threads start on @id whatever their CPU. */
void sp_node_force(int id);

/* Take one hpage in advance: does the source work?  0 or -errno. */
int sp_node_first_hpage(struct sp_node *node);

/*
 * A chunk of @units units, its first byte a multiple of @align units, entered
 * in the map for its first @entered units.  The caller fills in the rest and
 * then the owner.  NULL: out of memory.
 */
struct sp_chunk *sp_node_take_chunk(struct sp_node *node, enum sp_kind kind,
				    unsigned int units, unsigned int align,
				    unsigned int entered);
/* The same for an object of several hpages, aligned to @align bytes. */
struct sp_chunk *sp_node_take_huge(struct sp_node *node, size_t hpages, size_t align);
/* Take back a chunk without objects.  @entered: as it was taken. */
void sp_node_give_chunk(struct sp_chunk *chunk, unsigned int entered);

/*
 * Take back the large or huge object at @ptr.  False: it is none, or another
 * thread was faster.
 */
bool sp_node_give_large(struct sp_chunk *chunk, const void *ptr);

enum sp_purge {
	SP_PURGE_OLD,	/* down to what decay and the limits let stay */
	SP_PURGE_UNUSED,	/* down to the floor */
	SP_PURGE_ALL,	/* somebody has to have memory: all of them */
};

/* Give back ready hpages.  Return: bytes given back. */
size_t sp_node_purge(struct sp_node *node, uint64_t now_ns, enum sp_purge how);
/* Nanoseconds until the next purge has work; UINT64_MAX: nothing is unused. */
uint64_t sp_node_next_purge(struct sp_node *node, uint64_t now_ns);

/* Is committed above the soft limit, and how often has it come to be? */
bool sp_node_is_pressed(void);
uint64_t sp_node_presses(void);

/*
 * Keep populated hpages ready while the heap grows; the background thread alone.
 * Return: nanoseconds until the next look; UINT64_MAX: none is planned.
 */
uint64_t sp_node_fill_stock(struct sp_node *node, uint64_t now_ns);

void sp_node_counts(struct sp_node *node, struct sp_node_counts *counts);

/* In the child of a fork, all locks held: forget the ready hpages. */
void sp_node_drop_ready(struct sp_node *node, uint64_t decay_ms);
/* Likewise: whether the child's heap grows is to be seen. */
void sp_node_fork_child(struct sp_node *node);

/* Do the equations hold?  The caller holds no lock. */
bool sp_node_check(struct sp_node *node);

#endif

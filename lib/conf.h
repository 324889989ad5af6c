/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Options, read once from SLABPOOL_CONF="key:value,key:value".  Parsing is
 * pure: text in, struct sp_conf or a sentence out.
 */
#ifndef SP_CONF_H
#define SP_CONF_H

#include "internal.h"

enum sp_conf_backend {
	SP_BACKEND_AUTO,
	SP_BACKEND_DEVICE,
	SP_BACKEND_HUGETLB,
	SP_BACKEND_THP,
};

enum sp_conf_fork {
	SP_FORK_SNAPSHOT,	/* copy-on-write, by the module where it is not the kernel's */
	SP_FORK_COPY,	/* the child copies the heap at once, the parent waits */
	SP_FORK_NONE,	/* the child must not touch the heap: it only execs */
};

enum sp_conf_profile {
	SP_PROFILE_SERVER,	/* the defaults */
	SP_PROFILE_THROUGHPUT,
	SP_PROFILE_REALTIME,
	SP_PROFILE_SMALL,
};

struct sp_conf {
	uint64_t profile;		/* enum sp_conf_profile: sets some of the others */
	uint64_t backend;		/* enum sp_conf_backend */
	uint64_t node;			/* UINT64_MAX: the node of the thread's CPU */
	uint64_t decay_ms;		/* 0: give back at once */
	uint64_t limit;			/* bytes committed; 0: none */
	uint64_t soft_limit;		/* these three: see limit.h */
	uint64_t max_unused;
	uint64_t floor;
	uint64_t fork;			/* enum sp_conf_fork */
	uint64_t secure;		/* 0 or 1, as the ones below */
	uint64_t background_thread;
	uint64_t verbose;
	uint64_t stats_print;
	uint64_t abort_conf;
};

extern const struct sp_conf sp_conf_default;

/*
 * Parse @text into @conf, which holds the defaults.  A bad entry is left out
 * and named in @why (the first one only); the others take effect.
 * Return: 0, or -EINVAL when there was a bad entry.
 */
int sp_conf_parse(const char *text, struct sp_conf *conf, char *why, size_t why_size);

/*
 * Find SLABPOOL_CONF, also before the C library has set up its environment, and
 * parse it.  Programs with raised privileges (AT_SECURE) get the defaults.
 */
int sp_conf_read(struct sp_conf *conf, char *why, size_t why_size);

#endif

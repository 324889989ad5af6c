// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/*
 * Starting up.  Under preload the first allocation comes from the dynamic
 * loader, before any constructor: nothing here may allocate, use stdio or wait
 * for another thread, and what does need a running C library (fork handlers, the
 * key for thread exit) waits for the constructor in thread.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "backend.h"
#include "commit.h"
#include "fatal.h"
#include "init.h"
#include "lock.h"
#include "node.h"
#include "reclaim.h"
#include "secure.h"
#include "slabpool.h"
#include "source.h"
#include "stats.h"
#include "sys.h"
#include "window.h"

#define WINDOW		((size_t)1 << 40)

struct sp_conf sp_conf;

enum { UNTRIED, READY, FAILED };

struct sp_lock sp_init_lock = SP_LOCK_INIT(SP_RANK_INIT);
/* Release after everything is set up pairs with the acquire in sp_init(). */
static _Atomic int state;
static int result;		/* these two are written once, before state */
static char message[512];

static bool noted;		/* the source's note is in message; sp_init_lock */

static const struct sp_backend *const sources[] = {
	[SP_BACKEND_DEVICE] = &sp_backend_device,
	[SP_BACKEND_HUGETLB] = &sp_backend_hugetlb,
	[SP_BACKEND_THP] = &sp_backend_thp,
};

/* Nodes with memory, from a list such as "0-1,4"; node 0 where sysfs is not. */
static uint64_t read_nodes(void)
{
	char text[256] = "";
	const char *s = text;
	uint64_t nodes = 0;
	int fd;

	if (sp_sys_find_one_node())
		return 1;
	fd = sp_sys_open("/sys/devices/system/node/has_memory", O_RDONLY);
	if (fd >= 0) {
		sp_sys_read(fd, text, sizeof(text) - 1);
		sp_sys_close(fd);
	}
	while (*s >= '0' && *s <= '9') {
		unsigned int first = 0, last;

		while (*s >= '0' && *s <= '9')
			first = first * 10 + (unsigned int)(*s++ - '0');
		last = first;
		if (*s == '-')
			for (s++, last = 0; *s >= '0' && *s <= '9'; s++)
				last = last * 10 + (unsigned int)(*s - '0');
		for (unsigned int n = first; n <= last && n < SP_MAX_NODES; n++)
			nodes |= 1ull << n;
		s += *s == ',';
	}
	return nodes ? nodes : 1;
}

/* A 1 TiB window, or three quarters of what the process may have. */
static size_t window_size(void)
{
	uint64_t limit = sp_sys_address_limit();

	return limit / 4 * 3 < WINDOW ? (size_t)(limit / 4 * 3) : WINDOW;
}

/*
 * Does a source work?  Open it and take the first hpage from it: an empty pool
 * is found out now, not by the first allocation.
 */
static int try_source(const struct sp_backend *backend, struct sp_text *why)
{
	struct sp_node *node = sp_node_here();
	int err = backend->open(why);

	if (err)
		return err;
	sp_source_set(backend);
	err = sp_node_first_hpage(node);
	if (err)
		backend->explain(why, node->id, err);
	return err;
}

static int choose_source(struct sp_text *why)
{
	int first = (int)sp_conf.backend, last = first, err = -ENODEV;

	if (first == SP_BACKEND_AUTO) {
		first = SP_BACKEND_DEVICE;
		last = SP_BACKEND_THP;
	}
	for (int i = first; i <= last; i++) {
		if (why->len)
			sp_text_add(why, "; ");
		err = try_source(sources[i], why);
		if (err)
			continue;
		/* "auto" also means: go on with the next when this is exhausted. */
		if (!sp_window_is_small())
			sp_source_set_fallbacks(&sources[i + 1], (size_t)(last - i));
		break;
	}
	/* The last source may have had nothing to say. */
	if (why->len > 1 && strcmp(why->buf + why->len - 2, "; ") == 0)
		why->buf[why->len -= 2] = '\0';
	return err;
}

/*
 * When the message is asked for, not before: a file is read for it, and most processes
 * never ask.  Nobody has seen the message yet.
 */
static void complete_message(void)
{
	struct sp_text why = SP_TEXT(message);
	size_t before = strlen(message);

	if (noted || result || !sp_source()->note)
		return;
	noted = true;
	why.len = before;
	if (before)
		sp_text_add(&why, "; ");
	sp_source()->note(&why);
	if (before && why.len == before + 2)
		why.buf[why.len = before] = '\0';
}

static void say_source(void)
{
	char buf[700];
	struct sp_text text = SP_TEXT(buf);

	complete_message();
	sp_text_add(&text, "slabpool: source ");
	sp_text_add(&text, sp_source()->name);
	if (message[0]) {
		sp_text_add(&text, " (");
		sp_text_add(&text, message);
		sp_text_add(&text, ")");
	}
	sp_text_line(&text, STDERR_FILENO);
}

/* A bad option: an error for a linked program, a line for a preloaded one. */
static int read_options(void)
{
	char buf[sizeof(message) + 32];
	struct sp_text line = SP_TEXT(buf);
	int err = sp_conf_read(&sp_conf, message, sizeof(message));

	if (!err || !SP_IS_PRELOAD)
		return err;
	if (sp_conf.abort_conf)
		sp_fatal_source(message);
	sp_text_add(&line, "slabpool: ");
	sp_text_add(&line, message);
	sp_text_add(&line, " (ignored)");
	sp_text_line(&line, STDERR_FILENO);
	message[0] = '\0';
	return 0;
}

static int check_node(void)
{
	struct sp_text why = SP_TEXT(message);

	if (sp_conf.node == UINT64_MAX)
		return 0;
	if (!sp_node_get((int)sp_conf.node)) {
		sp_text_add(&why, "SLABPOOL_CONF: node ");
		sp_text_add_u64(&why, sp_conf.node);
		sp_text_add(&why, " does not exist or has no memory");
		return -EINVAL;
	}
	sp_node_force((int)sp_conf.node);
	return 0;
}

static int set_up(void)
{
	struct sp_text why = SP_TEXT(message);
	struct sp_limits limits;
	int err;

	err = read_options();
	if (err)
		return err;
	limits = (struct sp_limits){ sp_conf.soft_limit, sp_conf.max_unused, sp_conf.floor };
	sp_node_init(read_nodes(), sp_conf.decay_ms, &limits);
	err = check_node();
	if (err)
		return err;
	if (sp_conf.limit && sp_conf.limit < SP_HPAGE) {
		sp_text_add(&why, "SLABPOOL_CONF: the limit is below one hpage, 2M");
		return -EINVAL;
	}
	sp_commit_init(sp_conf.limit);
	err = sp_window_init(window_size(), sp_conf.fork == SP_FORK_NONE);
	if (!err && sp_conf.secure)
		err = sp_secure_init();
	if (err) {
		sp_text_add(&why, "no address space for the heap: ");
		sp_text_add_error(&why, err);
		return err;
	}
	/* A piece has one node: under a small RLIMIT_AS all threads share one. */
	if (sp_window_is_small())
		sp_node_force(sp_node_here()->id);
	err = choose_source(&why);
	if (err)
		return err;
	sp_stats_init();
	sp_reclaim_init(sp_conf.background_thread, sp_conf.decay_ms);
	return 0;
}

static noinline int first_call(void)
{
	sp_lock(&sp_init_lock);
	if (atomic_load_explicit(&state, memory_order_relaxed) == UNTRIED) {
		result = set_up();
		if (result && SP_IS_PRELOAD)
			sp_fatal_source(message);
		if (!result && sp_conf.verbose)
			say_source();
		atomic_store_explicit(&state, result ? FAILED : READY,
				      memory_order_release);
	}
	sp_unlock(&sp_init_lock);
	return result;
}

int sp_init(void)
{
	if (likely(atomic_load_explicit(&state, memory_order_acquire) == READY))
		return 0;
	return first_call();
}

int slabpool_init(void)
{
	return sp_init();
}

const char *slabpool_init_error(void)
{
	sp_init();
	sp_lock(&sp_init_lock);
	complete_message();
	sp_unlock(&sp_init_lock);
	return message;
}

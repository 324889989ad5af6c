/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/* The mallocs that are compared: a library to preload and an environment each. */
#ifndef SLABPOOL_BENCH_PEERS_H
#define SLABPOOL_BENCH_PEERS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#define PEERS_MAX	16
#define PEER_OURS	"slabpool"

struct peer {
	char name[32];
	char library[PATH_MAX];		/* empty: the C library's own */
	char settings[256];		/* NAME=VALUE for its environment, or empty */
};

struct peers {
	struct peer list[PEERS_MAX];
	size_t count;
};

/* Ours and those that Debian has, as far as they are installed; the others are said. */
void peers_find(struct peers *peers);

/* NAME=LIBRARY[,VARIABLE=VALUE]: one more, in the place of one of that name. */
bool peers_add(struct peers *peers, const char *text);

/* Leave only these: names, separated by commas.  False: the name at @text is unknown. */
bool peers_select(struct peers *peers, const char **text);

#endif

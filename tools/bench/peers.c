// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* The mallocs that are compared, and where they are. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../library.h"
#include "peers.h"

/* As many as there are directories node0, node1, ... */
static int count_nodes(void)
{
	DIR *dir = opendir("/sys/devices/system/node");
	struct dirent *entry;
	int count = 0, nid;

	while (dir && (entry = readdir(dir)))
		count += sscanf(entry->d_name, "node%d", &nid) == 1;
	if (dir)
		closedir(dir);
	return count ? count : 1;
}

static struct peer *add(struct peers *peers, const char *name)
{
	struct peer *peer = &peers->list[peers->count];

	for (size_t i = 0; i < peers->count; i++)
		if (!strcmp(peers->list[i].name, name))
			return &peers->list[i];
	if (peers->count == PEERS_MAX || strlen(name) >= sizeof(peer->name))
		return NULL;
	peers->count++;
	strcpy(peer->name, name);
	return peer;
}

/* Where Debian and most others put libraries. */
static bool installed(const char *file, char path[PATH_MAX])
{
	static const char *const folders[] = {
		"/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib",
	};

	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		snprintf(path, PATH_MAX, "%s/%s", folders[i], file);
		if (!access(path, R_OK))
			return true;
	}
	return false;
}

static void find(struct peers *peers, const char *name, const char *file, const char *package,
		 const char *settings)
{
	char path[PATH_MAX];
	struct peer *peer;

	if (!installed(file, path)) {
		fprintf(stderr, "slabpool-bench: without %s: no %s (Debian: %s)\n", name, file,
			package);
		return;
	}
	peer = add(peers, name);
	strcpy(peer->library, path);
	strcpy(peer->settings, settings);
}

void peers_find(struct peers *peers)
{
	char tuned[256];
	struct peer *ours = add(peers, PEER_OURS);

	if (!find_library(ours->library))
		*ours->library = '\0';
	add(peers, "glibc");
	find(peers, "jemalloc", "libjemalloc.so.2", "libjemalloc2", "");
	/* Decay by a thread of its own, 10 s, and arenas by node instead of by CPU. */
	snprintf(tuned, sizeof(tuned),
		 "MALLOC_CONF=background_thread:true,dirty_decay_ms:10000,narenas:%d",
		 count_nodes());
	find(peers, "jemalloc-tuned", "libjemalloc.so.2", "libjemalloc2", tuned);
	find(peers, "tcmalloc", "libtcmalloc_minimal.so.4", "libtcmalloc-minimal4", "");
	find(peers, "mimalloc", "libmimalloc.so.2", "libmimalloc2.0", "");
	find(peers, "tbbmalloc", "libtbbmalloc_proxy.so.2", "libtbbmalloc2", "");
}

bool peers_add(struct peers *peers, const char *text)
{
	char name[sizeof(peers->list[0].name)];
	size_t length = strcspn(text, "=");
	const char *path = text + length + 1, *comma;
	struct peer *peer;

	if (!text[length] || !length || length >= sizeof(name))
		return false;
	memcpy(name, text, length);
	name[length] = '\0';
	comma = path + strcspn(path, ",");
	if ((size_t)(comma - path) >= sizeof(peer->library) ||
	    strlen(comma) > sizeof(peer->settings))
		return false;
	peer = add(peers, name);
	if (!peer)
		return false;
	snprintf(peer->library, sizeof(peer->library), "%.*s", (int)(comma - path), path);
	strcpy(peer->settings, *comma ? comma + 1 : "");
	return !*peer->library || !access(peer->library, R_OK);
}

bool peers_select(struct peers *peers, const char **text)
{
	struct peers chosen = { .count = 0 };

	while (**text) {
		size_t length = strcspn(*text, ","), i;

		for (i = 0; i < peers->count; i++)
			if (strlen(peers->list[i].name) == length &&
			    !strncmp(peers->list[i].name, *text, length))
				break;
		if (i == peers->count)
			return false;
		if (chosen.count < PEERS_MAX)
			chosen.list[chosen.count++] = peers->list[i];
		*text += length + ((*text)[length] == ',');
	}
	*peers = chosen;
	return true;
}

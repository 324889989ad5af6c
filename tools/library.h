/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/* Where the tools find the library that they put in the place of malloc. */
#ifndef SLABPOOL_TOOLS_LIBRARY_H
#define SLABPOOL_TOOLS_LIBRARY_H

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIBRARY "libslabpool-malloc.so"

/*
 * bin/ and lib/ lie side by side where it is installed, as tools/ and lib/ do
 * where it is built.  false: @path is the folder with the tool.
 */
static inline bool find_library(char path[PATH_MAX])
{
	static const char *const places[] = { "/../lib/" LIBRARY, "/" LIBRARY };
	char self[PATH_MAX], candidate[PATH_MAX + 64];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	self[n < 0 ? 0 : n] = '\0';
	if (strrchr(self, '/'))
		*strrchr(self, '/') = '\0';
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(candidate, sizeof(candidate), "%s%s", self, places[i]);
		if (realpath(candidate, path))
			return true;
	}
	strcpy(path, self);
	return false;
}

#endif

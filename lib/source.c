// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#include "source.h"
#include "window.h"

/* Set at start-up; the first once more by a child that gets no client of its own. */
static const struct sp_backend *source;
static const struct sp_backend *fallback[SP_MAX_SOURCES - 1];

void sp_source_set(const struct sp_backend *backend)
{
	sp_window_clear();
	source = backend;
}

void sp_source_replace(const struct sp_backend *backend)
{
	source = backend;
}

void sp_source_set_fallbacks(const struct sp_backend *const *backends, size_t count)
{
	for (size_t i = 0; i < count; i++)
		fallback[i] = backends[i];
}

const struct sp_backend *sp_source(void)
{
	return source;
}

const struct sp_backend *sp_source_at(size_t i)
{
	if (i == 0)
		return source;
	return i < SP_MAX_SOURCES ? fallback[i - 1] : NULL;
}

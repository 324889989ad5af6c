/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Which sources memory comes from, and in what order they are asked.
 */
#ifndef SP_SOURCE_H
#define SP_SOURCE_H

#include "backend.h"

#define SP_MAX_SOURCES	3

/*
 * From now on memory comes from @backend.  Called again only while nothing is
 * committed: what an earlier source had reserved is undone.
 */
void sp_source_set(const struct sp_backend *backend);
/* When that is exhausted, from the first of these that has some; at start-up. */
void sp_source_set_fallbacks(const struct sp_backend *const *backends, size_t count);
/* In the child of a fork: what the source in use had is another's by now. */
void sp_source_replace(const struct sp_backend *backend);

/* The source in use; NULL before there is one. */
const struct sp_backend *sp_source(void);
/* The @i-th to ask: 0 the source in use, then the fallbacks; NULL: no more. */
const struct sp_backend *sp_source_at(size_t i);

#endif

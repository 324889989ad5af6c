/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/* The malloc family, for its callers inside the library. */
#ifndef SP_ALLOC_H
#define SP_ALLOC_H

#include "internal.h"

/* Failed allocations so far. */
uint64_t sp_alloc_failures(void);

#endif

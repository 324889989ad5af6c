/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/* The table of regions; for fork, which takes its lock. */
#ifndef SP_REGION_H
#define SP_REGION_H

#include "lock.h"

extern struct sp_lock sp_region_lock;

#endif

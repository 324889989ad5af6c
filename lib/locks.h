/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/* Every lock of the library, for who needs them all. */
#ifndef SP_LOCKS_H
#define SP_LOCKS_H

#include "lock.h"

/* In rank order, outermost first. */
void sp_for_each_lock(void (*fn)(struct sp_lock *));

#endif

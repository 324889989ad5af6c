/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/* The heap across fork(2). */
#ifndef SP_FORK_H
#define SP_FORK_H

#include "internal.h"

/* Register the handlers; once, from the constructor. */
void sp_fork_init(void);
/* Hpages that this process, as a child, had to copy to anonymous memory. */
uint64_t sp_fork_fallbacks(void);
/* Forks of this process whose child had to copy for lack of a snapshot. */
uint64_t sp_fork_copies(void);

#endif

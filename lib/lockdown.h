/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/* slabpool_lockdown(): from then on no system call.  See calls.h. */
#ifndef SP_LOCKDOWN_H
#define SP_LOCKDOWN_H

/* In the child of a fork, all locks held: it is open. */
void sp_lockdown_fork_child(void);

#endif

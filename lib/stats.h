/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/* Statistics, for start-up. */
#ifndef SP_STATS_H
#define SP_STATS_H

/* With stats_print:true they are written when the program ends. */
void sp_stats_init(void);

#endif

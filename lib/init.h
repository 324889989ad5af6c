/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/* The first call: options, memory source, window, nodes. */
#ifndef SP_INIT_H
#define SP_INIT_H

#include "conf.h"
#include "lock.h"

extern struct sp_conf sp_conf;

/* For fork. */
extern struct sp_lock sp_init_lock;

/* 0 or what slabpool_init() returns; cheap after the first time. */
int sp_init(void);
/* May the calling thread's caller create threads?  Not libc or the loader. */
bool sp_init_is_application(const void *caller);

#endif

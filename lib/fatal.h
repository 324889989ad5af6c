/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Misuse ends the program with one line on stderr, "slabpool: fatal: ...", and
 * SIGABRT.  The texts are fixed: tests and log watchers match them.
 */
#ifndef SP_FATAL_H
#define SP_FATAL_H

#include "internal.h"

_Noreturn void sp_fatal_double_free(const void *ptr);
_Noreturn void sp_fatal_foreign_free(const void *ptr);
_Noreturn void sp_fatal_wrong_size(const void *ptr, size_t said, size_t is);
/* These two with secure:true only. */
_Noreturn void sp_fatal_overflow(const void *ptr);
_Noreturn void sp_fatal_damaged(const void *ptr);
_Noreturn void sp_fatal_underflow(const void *ptr);
/* operator new has no memory, and there is nobody to throw. */
_Noreturn void sp_fatal_new(size_t size);
/* The memory source that was demanded cannot be had: exit, not abort. */
_Noreturn void sp_fatal_source(const char *why);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Size classes: 16 to 128 bytes in steps of 16, then four to a doubling up to
 * 32 KiB, so that at most a fifth of an object is rounding.  Above, an object is
 * a run of units (4 KiB) up to one hpage, then whole hpages.
 */
#ifndef SP_SIZE_H
#define SP_SIZE_H

#include "internal.h"

#define SP_CLASSES	40
#define SP_SMALL_MAX	((size_t)1024)		/* found by table, see cache.h */
#define SP_MEDIUM_MAX	((size_t)32 * 1024)	/* the last class */
#define SP_ALIGN	((size_t)16)

/* The class for @size, 0 to SP_MEDIUM_MAX. */
static inline unsigned int sp_class_of(size_t size)
{
	unsigned int top;

	if (size <= 128)
		return size ? (unsigned int)((size - 1) / 16) : 0;
	top = 63 - (unsigned int)__builtin_clzll(size - 1);
	return 8 + (top - 7) * 4 + (unsigned int)((size - 1) >> (top - 2) & 3);
}

/* Bytes of an object of a class. */
static inline size_t sp_class_size(unsigned int class)
{
	unsigned int group = (class - 8) / 4, step = (class - 8) % 4;

	if (class < 8)
		return (class + 1) * 16;
	return ((size_t)5 + step) << (group + 5);
}

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * The kinds of values that calls take.  Official values are what the ABI
 * defines; odd ones are tried now and then, to be refused.
 */
#ifndef SLABPOOL_FUZZ_GRAM_H
#define SLABPOOL_FUZZ_GRAM_H

#include "fuzz.h"

/*
 * NUMBER	@least to below @limit, as a number
 * BYTES	@least to below @limit hpages; 3h is three hpages
 * CHOICE	one of @values; with a @limit, only the first so many are official
 */
enum form { NUMBER, BYTES, CHOICE };

struct value {
	const char *name;
	u64 value;
};

/**
 * struct kind - one kind of value
 * @form: how it is chosen and written
 * @least: least official number
 * @limit: one past the last official number or value
 * @values: named values, up to the one without a name
 * @odd: what is refused or close to it, @nr_odd of them
 */
struct kind {
	enum form form;
	u64 least;
	u64 limit;
	const struct value *values;
	const u64 *odd;
	unsigned int nr_odd;
};

#endif /* SLABPOOL_FUZZ_GRAM_H */

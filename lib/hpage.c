// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#include <string.h>

#include "hpage.h"

/* Next bit at or after @at that is @value; SP_UNITS: none. */
static unsigned int next_bit(const uint64_t *bits, unsigned int at, bool value)
{
	while (at < SP_UNITS) {
		uint64_t word = value ? bits[at / 64] : ~bits[at / 64];

		word &= ~0ull << (at % 64);
		if (word)
			return at / 64 * 64 + (unsigned int)__builtin_ctzll(word);
		at = (at / 64 + 1) * 64;
	}
	return SP_UNITS;
}

/* The part of [at, at + n) that lies in word @w, as a mask. */
static uint64_t word_mask(unsigned int w, unsigned int at, unsigned int n)
{
	unsigned int low = at > w * 64 ? at - w * 64 : 0;
	unsigned int high = at + n < w * 64 + 64 ? at + n - w * 64 : 64;

	return (high == 64 ? ~0ull : (1ull << high) - 1) & (~0ull << low);
}

#define for_each_word(w, at, n) \
	for (unsigned int w = (at) / 64; w <= ((at) + (n) - 1) / 64; w++)

static bool any_set(const uint64_t *bits, unsigned int at, unsigned int n)
{
	uint64_t any = 0;

	for_each_word(w, at, n)
		any |= bits[w] & word_mask(w, at, n);
	return any != 0;
}

static unsigned int longest_free(const uint64_t *used)
{
	unsigned int longest = 0, at = 0;

	while (at < SP_UNITS) {
		unsigned int from = next_bit(used, at, false);
		unsigned int to = from < SP_UNITS ? next_bit(used, from, true) : from;

		if (to - from > longest)
			longest = to - from;
		at = to;
	}
	return longest;
}

void sp_hpage_reset(struct sp_hpage *hpage)
{
	memset(hpage->used, 0, sizeof(hpage->used));
	memset(hpage->dirty, 0, sizeof(hpage->dirty));
	hpage->nused = 0;
	hpage->longest = SP_UNITS;
}

int sp_hpage_find(const struct sp_hpage *hpage, unsigned int n, unsigned int align)
{
	unsigned int at = 0;

	while (at + n <= SP_UNITS) {
		unsigned int from = next_bit(hpage->used, at, false);
		unsigned int to;

		from = (from + align - 1) / align * align;
		if (from + n > SP_UNITS)
			return -1;
		to = next_bit(hpage->used, from, true);
		if (to >= from + n)
			return (int)from;
		at = to + 1;
	}
	return -1;
}

bool sp_hpage_take(struct sp_hpage *hpage, unsigned int at, unsigned int n)
{
	sp_assert(!any_set(hpage->used, at, n));
	for_each_word(w, at, n)
		hpage->used[w] |= word_mask(w, at, n);
	hpage->nused = (uint16_t)(hpage->nused + n);
	hpage->longest = (uint16_t)longest_free(hpage->used);
	return !any_set(hpage->dirty, at, n);
}

void sp_hpage_give(struct sp_hpage *hpage, unsigned int at, unsigned int n)
{
	for_each_word(w, at, n) {
		sp_assert((hpage->used[w] & word_mask(w, at, n)) == word_mask(w, at, n));
		hpage->used[w] &= ~word_mask(w, at, n);
		hpage->dirty[w] |= word_mask(w, at, n);
	}
	hpage->nused = (uint16_t)(hpage->nused - n);
	hpage->longest = (uint16_t)longest_free(hpage->used);
}

bool sp_hpage_is_clean(const struct sp_hpage *hpage)
{
	return !any_set(hpage->dirty, 0, SP_UNITS);
}

bool sp_hpage_check(const struct sp_hpage *hpage)
{
	unsigned int n = 0;

	for (unsigned int w = 0; w < SP_HPAGE_WORDS; w++)
		n += (unsigned int)__builtin_popcountll(hpage->used[w]);
	return n == hpage->nused && longest_free(hpage->used) == hpage->longest;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/* Text into a fixed buffer, without stdio, which allocates and locks. */
#ifndef SP_TEXT_H
#define SP_TEXT_H

#include "internal.h"

struct sp_text {
	char *buf;
	size_t size;	/* of buf, the final NUL included */
	size_t len;	/* what does not fit is cut */
};

#define SP_TEXT(array)	{ (array), sizeof(array), 0 }

void sp_text_add(struct sp_text *text, const char *s);
void sp_text_add_n(struct sp_text *text, const char *s, size_t len);
/* Somebody else's words: control characters become '?', so that it stays a line. */
void sp_text_add_foreign(struct sp_text *text, const char *s, size_t len);
void sp_text_add_u64(struct sp_text *text, uint64_t value);
void sp_text_add_hex(struct sp_text *text, uint64_t value);
/* "No such device" for -ENODEV; the number where the text is unknown. */
void sp_text_add_error(struct sp_text *text, int err);
/* Write it and a newline in one write(2). */
int sp_text_line(struct sp_text *text, int fd);

#endif

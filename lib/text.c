// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <string.h>

#include "sys.h"
#include "text.h"

void sp_text_add_n(struct sp_text *text, const char *s, size_t len)
{
	size_t room = text->size - 1 - text->len;

	if (len > room)
		len = room;
	memcpy(text->buf + text->len, s, len);
	text->len += len;
	text->buf[text->len] = '\0';
}

void sp_text_add(struct sp_text *text, const char *s)
{
	sp_text_add_n(text, s, strlen(s));
}

void sp_text_add_foreign(struct sp_text *text, const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		bool control = (unsigned char)s[i] < ' ' || s[i] == 0x7f;

		sp_text_add_n(text, control ? "?" : s + i, 1);
	}
}

static void add_number(struct sp_text *text, uint64_t value, unsigned int base)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	sp_text_add_n(text, digits + at, sizeof(digits) - at);
}

void sp_text_add_u64(struct sp_text *text, uint64_t value)
{
	add_number(text, value, 10);
}

void sp_text_add_hex(struct sp_text *text, uint64_t value)
{
	sp_text_add(text, "0x");
	add_number(text, value, 16);
}

void sp_text_add_error(struct sp_text *text, int err)
{
	const char *s = strerrordesc_np(-err);

	if (s) {
		sp_text_add(text, s);
		return;
	}
	sp_text_add(text, "error ");
	sp_text_add_u64(text, (uint64_t)-err);
}

int sp_text_line(struct sp_text *text, int fd)
{
	ssize_t ret;

	if (text->len == text->size - 1)
		text->len--;
	text->buf[text->len++] = '\n';
	ret = sp_sys_write(fd, text->buf, text->len);
	return ret < 0 ? (int)ret : 0;
}

// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#include <stdlib.h>
#include <unistd.h>

#include "fatal.h"
#include "text.h"

static void say(const char *what, const void *ptr)
{
	char buf[160];
	struct sp_text text = SP_TEXT(buf);

	sp_text_add(&text, "slabpool: fatal: ");
	sp_text_add(&text, what);
	sp_text_add(&text, " ");
	sp_text_add_hex(&text, (uintptr_t)ptr);
	sp_text_line(&text, STDERR_FILENO);
}

void sp_fatal_double_free(const void *ptr)
{
	say("double free of", ptr);
	abort();
}

void sp_fatal_foreign_free(const void *ptr)
{
	say("free of a pointer that is not an object:", ptr);
	abort();
}

void sp_fatal_overflow(const void *ptr)
{
	say("write past the end of", ptr);
	abort();
}

void sp_fatal_damaged(const void *ptr)
{
	say("write to the freed object", ptr);
	abort();
}

void sp_fatal_underflow(const void *ptr)
{
	say("more frees than objects in the chunk of", ptr);
	abort();
}

void sp_fatal_wrong_size(const void *ptr, size_t said, size_t is)
{
	char buf[200];
	struct sp_text text = SP_TEXT(buf);

	sp_text_add(&text, "slabpool: fatal: free_sized of ");
	sp_text_add_hex(&text, (uintptr_t)ptr);
	sp_text_add(&text, " with size ");
	sp_text_add_u64(&text, said);
	sp_text_add(&text, ", the object has room for ");
	sp_text_add_u64(&text, is);
	sp_text_line(&text, STDERR_FILENO);
	abort();
}

void sp_fatal_new(size_t size)
{
	char buf[120];
	struct sp_text text = SP_TEXT(buf);

	sp_text_add(&text, "slabpool: fatal: out of memory in operator new of ");
	sp_text_add_u64(&text, size);
	sp_text_add(&text, " bytes, and no C++ library to throw");
	sp_text_line(&text, STDERR_FILENO);
	abort();
}

void sp_fatal_source(const char *why)
{
	char buf[600];
	struct sp_text text = SP_TEXT(buf);

	sp_text_add(&text, "slabpool: ");
	sp_text_add(&text, why);
	sp_text_line(&text, STDERR_FILENO);
	_exit(EXIT_FAILURE);
}

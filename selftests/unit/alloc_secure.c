// SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
/* The malloc family against the model of alloc.c, with secure:true. */
#include <stdlib.h>

__attribute__((constructor)) static void choose_secure(void)
{
	setenv("SLABPOOL_CONF", "secure:true", 1);
}

#include "alloc.c"

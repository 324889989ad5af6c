/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * The kernel's harness (build/kselftest), with a limit for a test that is for
 * tests that hang and not for machines that are slow: an emulated one on a busy
 * host takes ten times as long as an idle one, and the harness's half a minute
 * is over.  run.sh limits the programs.
 */
#include_next "kselftest_harness.h"

#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	600	/* seconds */

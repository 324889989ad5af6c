#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#
# check.sh: the programs of regress/, then a fixed number that is made up
exec "$SLABPOOL_BUILD/selftests/fuzz/slabpool-fuzz" check "$(dirname "$0")/regress"

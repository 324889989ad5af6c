#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#
# Python with every object from malloc: the same output as on glibc's, and the
# interpreter's own tests pass, where they are installed.
set -u
cd "$(dirname "$0")" || exit
# shellcheck source=common
. ./common
need python3
find_sources

# Not what may be a script in front of it.
python=$(python3 -c 'import sys; print(sys.executable)')
here=$PWD
export PYTHONMALLOC=malloc PYTHONHASHSEED=1 PYTHONDONTWRITEBYTECODE=1

allocations()
{
	same "$1" timeout 900 "$python" "$here/allocations.py" "$(sized 5 1)"
}

# Those that allocate most, and that need no network and no terminal.
own_tests()
{
	slabpool "$1" timeout 900 "$python" -m test -q -u none test_list test_dict test_set \
		test_bytes test_gc test_fork1 test_thread test_queue
}

for source in "${sources[@]}"; do
	for conf in '' secure:true; do
		test_case "allocations on $source${conf:+ with $conf}" allocations "$source"
		if [ -z "$emulated" ] && "$python" -c 'import test.test_list' 2> /dev/null; then
			test_case "its own tests on $source${conf:+ with $conf}" own_tests "$source"
		fi
	done
done
finish

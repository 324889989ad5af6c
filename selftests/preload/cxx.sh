#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#
# C++ programs, and programs linked with the library, on our malloc.
set -u
cd "$(dirname "$0")" || exit
# shellcheck source=common
. ./common
need g++ gcc
find_sources

# built PROGRAM SOURCE COMMAND...: from an earlier run if it is newer than its
# source (an emulated machine would compile for minutes), else now.
kept=${SLABPOOL_BUILD:-$dir}/selftests/cxx
mkdir -p "$kept" 2> /dev/null
built()
{
	local program=$1 source=$2
	shift 2
	if [ "$kept/$program" -nt "$source" ]; then
		cp "$kept/$program" "$dir/"
		return
	fi
	"$@" "$source" -o "$dir/$program" "${libraries[@]}" || return
	[ ! -w "$kept" ] || cp "$dir/$program" "$kept/"
}

cat > "$dir/linked.c" <<'END'
#include <stdlib.h>
#include <string.h>
#include "slabpool.h"
int main(void)
{
	char *theirs = malloc(100), *ours = slabpool_malloc(100);
	struct slabpool_stats stats;

	if (slabpool_init() || !theirs || !ours)
		return 1;
	memset(theirs, 1, 100);
	memset(ours, 2, 100);
	if (slabpool_stats(&stats, sizeof(stats)) || !stats.committed)
		return 2;
	/* One engine: each may free what the other made. */
	free(ours);
	slabpool_free(theirs);
	return 0;
}
END
cat > "$dir/host.c" <<'END'
#include <dlfcn.h>
int main(int argc, char **argv)
{
	void *lib = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : 0;
	int (*catches)(void) = lib ? (int (*)(void))dlsym(lib, "plugin_catches") : 0;

	return !catches || catches() != 1000;
}
END

top=../..
library=$(dirname "$SLABPOOL_PRELOAD")
cxx=(g++ -std=c++17 -O2 -g -Wall -Wextra -Werror -Wno-alloc-size-larger-than -pthread)
libraries=()
test_case "build" built objects objects.cc "${cxx[@]}"
test_case "build a plugin" built plugin.so plugin.cc "${cxx[@]}" -shared -fPIC
libraries=(-ldl)
test_case "build its host" built host "$dir/host.c" gcc -O2
libraries=("-L$library" -lslabpool)
test_case "build a linked program" built linked "$dir/linked.c" gcc -O2 "-I$top/include"

# objects SOURCE: its cases become ours
objects()
{
	slabpool "$1" timeout 900 "$dir/objects" > "$dir/objects.out" 2> "$dir/objects.err"
	local code=$?
	cat "$dir/objects.out" "$dir/objects.err"
	[ "$code" = 0 ] && [ ! -s "$dir/objects.err" ] && [ "$(grep -c '^ok' "$dir/objects.out")" = 10 ]
}

for source in "${sources[@]}"; do
	test_case "objects on $source" objects "$source"
	test_case "bad_alloc in a plugin on $source" same "$source" "$dir/host" "$dir/plugin.so"
	test_case "one engine when linked and preloaded on $source" \
		slabpool "$source" env LD_LIBRARY_PATH="$library" "$dir/linked"
done
finish

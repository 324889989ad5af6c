#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#
# check.sh			each target: what regress/ has, then a fixed number of runs
# check.sh TARGET SECONDS	one target for a while, going on with what it found before
#
# regress/TARGET/*.hex are inputs, in hexadecimal, with remarks.  What a target dies of
# is kept as build/selftests/fuzzlib/TARGET-crash-...
set -u
cd "$(dirname "$0")" || exit
build=${SLABPOOL_BUILD:-$(cd ../.. && pwd)/build}/selftests/fuzzlib
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# fuzz TARGET FOLDER OPTIONS...: FOLDER gets the inputs of regress/, and what is found
fuzz()
{
	local target=$1 folder=$2 words=() input
	shift 2
	mkdir -p "$folder"
	for input in "regress/$target"/*.hex; do
		perl -ne 's/#.*//; print pack("H*", join("", split))' "$input" > "$folder/$(basename "$input" .hex)"
	done
	[ ! -e "$target.dict" ] || words=("-dict=$target.dict")
	"$build/$target" -timeout=60 -rss_limit_mb=0 -artifact_prefix="$build/$target-" \
		"${words[@]}" "$@" "$folder"
}

if [ $# = 2 ]; then
	fuzz "$1" "$build/corpus/$1" -max_len=3000 -max_total_time="$2" -print_final_stats=1
	exit
fi

number=0 failed=0
# fixed TARGET RUNS: the same ones each time
fixed()
{
	local not=
	number=$((number + 1))
	fuzz "$1" "$dir/$1" -max_len=1000 -len_control=0 -seed=1 -runs="$2" > "$dir/log" 2>&1 ||
		not='not ' failed=1
	tail -30 "$dir/log" | grep -v ' # Uses: ' | sed 's/^/# /'
	echo "${not}ok $number $1"
}

fixed malloc 250
fixed conf 30000
echo "1..$number"
exit $failed

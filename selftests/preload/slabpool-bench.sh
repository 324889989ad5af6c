#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#
# slabpool-bench: every workload runs on ours and on the C library's malloc, what it
# writes can be read, and nothing is lost when it is interrupted.
set -u
# shellcheck source=common
. "$(dirname "$0")/common"

bench=${SLABPOOL_BUILD:?}/tools/slabpool-bench
need python3
find_sources

# As little as there can be: here it is the tool that is tested.
options=(--quick --quiet --peer "slabpool,glibc" --json "$dir/json"
	--scale "$(sized 0.01 0.002)")

# holds EXPRESSION: about the JSON, as "all"
holds()
{
	python3 -c "import json, sys; all = json.load(open('$dir/json')); sys.exit(not ($1))"
}

workload_runs()
{
	SLABPOOL_CONF="backend:$1" "$bench" "${options[@]}" --workload "$2" > "$dir/table" ||
		{ cat "$dir/table"; return 1; }
	holds "all['summary'][0]['medians']['slabpool'] is not None" &&
		holds "all['summary'][0]['medians']['glibc'] is not None" &&
		holds "all['results']['$2']['slabpool'][0].get('stats', {'source': '$1'})['source'] == '$1'"
}

# What it sets up for the library is what the library does.
peers_are_what_they_say()
{
	local code=0
	"$bench" --quick --quiet --workload pairs --add wrong=/lib/x86_64-linux-gnu/libm.so.6 \
		--peer wrong > "$dir/out" 2> "$dir/err" || code=$?
	[ "$code" = 1 ] && grep -q 'wrong: .*libm.so.6 is not its malloc' "$dir/err"
}

interrupted_it_tells_what_it_has()
{
	local code=0
	# Time for a round, and far more rounds than there is time for.
	"$bench" "${options[@]}" --workload start --rounds 1000 --scale 0.2 > "$dir/table" &
	sleep "$(sized 3 20)"
	kill -INT $!
	wait $! || code=$?
	cat "$dir/table"
	[ "$code" = 0 ] && holds "0 < all['rounds'] < 1000 and all['summary'][0]['medians']['glibc'] > 0"
}

# refused WORDS ARG...: exit status 2 and one line with the words
refused()
{
	local words=$1 code=0
	shift
	"$bench" "$@" > "$dir/out" 2> "$dir/err" || code=$?
	cat "$dir/err"
	[ "$code" = 2 ] && [ ! -s "$dir/out" ] && grep -qF -- "$words" "$dir/err"
}

source=${sources[0]}
for workload in pairs mix larson pipe churn crowd start growth; do
	test_case "$workload on $source" workload_runs "$source" "$workload"
done
if command -v redis-server redis-benchmark > /dev/null; then
	test_case "redis on $source" workload_runs "$source" redis
fi
test_case peers_are_what_they_say peers_are_what_they_say
test_case interrupted_it_tells_what_it_has interrupted_it_tells_what_it_has
test_case unknown_workload refused "'frob'" --workload pairs,frob
test_case unknown_peer refused "'frob'" --peer frob
test_case no_rounds refused "'0'" --rounds 0
test_case too_many_threads refused "'1000'" --threads 1000
test_case not_a_number refused "'x'" --scale x
finish

#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#
# redis-server saves in the background while clients write before, during and
# after: each dump is of one moment, and that is the moment of the command.
set -u
cd "$(dirname "$0")" || exit
# shellcheck source=common
. ./common
need redis-server redis-cli redis-benchmark
find_sources
# shellcheck source=redis-common
. ./redis-common

conf=decay_ms:1000,verbose:true
values=$(sized 300 100)	# always changed together; 100 bytes to 6 KB each
saves=2
writers=()

stop_writers()
{
	[ ${#writers[@]} = 0 ] || kill "${writers[@]}"
	wait "${writers[@]}" 2> /dev/null
	writers=()
}
at_exit=(stop_writers "${at_exit[@]}")

# One command after the other sets all the values to the next number.
numbers()
{
	awk -v values="$values" 'BEGIN {
		for (number = 1; ; number++) {
			printf "MSET"
			for (i = 1; i <= values; i++)
				printf " value:%d %d:%0*d", i, number, 100 + 6000 / values * i, 0
			print ""
		}
	}'
}

number_now() { cli get value:1 | sed 's/:.*//'; }
is_being_written() { [ "$(($(number_now)))" -gt 2 ]; }

starts_with_writers()
{
	start_server "$@" || { cat "$dir/log" "$dir/stderr"; return 1; }
	job=$!
	redis-cli -s "$dir/socket" < <(numbers) > /dev/null &
	writers=($!)
	redis-benchmark -s "$dir/socket" -l -q -c 8 -P 4 -r 1000 -d 400 -t set,lpush,rpop,hset > /dev/null 2>&1 &
	writers+=($!)
	until_true is_being_written
}

# saves N: and notes between which two numbers that began
saves()
{
	printf '%s\n' 'get value:1' bgsave 'get value:1' | cli > "$dir/replies" || return
	cat "$dir/replies"
	first[$1]=$(sed -n '1s/:.*//p' "$dir/replies")
	last[$1]=$(sed -n '3s/:.*//p' "$dir/replies")
	has_saved || return
	# The writers were not held up: the picture was taken by then.
	until_true "[ \$(number_now) -gt ${last[$1]} ]" || return
	mv "$dir/dump.rdb" "$dir/saved.$1"
}

shuts_down()
{
	stop_writers
	cli shutdown nosave
	wait "$job"
	local code=$?
	server=
	return "$code"
}

# One line, which says the source: there was a snapshot each time.
said_no_more() { cat "$dir/stderr"; [ "$(wc -l < "$dir/stderr")" = 1 ]; }

# is_one_moment N: by a server on its own malloc
is_one_moment()
{
	local number code
	cp "$dir/saved.$1" "$dir/dump.rdb"
	start_server none || { cat "$dir/log"; return 1; }
	number=$(seq -f value:%g "$values" | xargs redis-cli -s "$dir/socket" mget | sed 's/:.*//' | sort -u)
	echo "number $number, from ${first[$1]} to ${last[$1]}"
	[ "$number" -ge "${first[$1]}" ] && [ "$number" -le "${last[$1]}" ]
	code=$?
	cli shutdown nosave
	wait
	server=
	rm -f "$dir/dump.rdb"
	return "$code"
}

for source in "${sources[@]}"; do
	first=() last=()
	test_case "starts on $source" starts_with_writers "$source" --io-threads 2
	for n in $(seq $saves); do
		test_case "saves in the background on $source" saves "$n"
	done
	test_case "shuts down on $source" shuts_down
	[ "$source" = hugetlb ] || test_case "copied nothing at once on $source" said_no_more
	for n in $(seq $saves); do
		test_case "saved the moment on $source" is_one_moment "$n"
	done
done
finish

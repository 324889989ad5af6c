#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#
# redis-server, as Debian ships it, on our malloc: data is what it was, BGSAVE's
# child sees one moment, memory goes back after FLUSHALL, and it ends well.
set -u
cd "$(dirname "$0")" || exit
# shellcheck source=common
. ./common
need redis-server redis-cli redis-benchmark
find_sources
# shellcheck source=redis-common
. ./redis-common

keys=$(sized 100000 5000)
conf=decay_ms:1000

# sets: commands that make the data; gets: commands that read it.
sets()
{
	seq "$keys" | awk '{
		key = "key:" $1 * 7919 % 1000003
		value = sprintf("%d-%0" $1 % 1000 + 1 "d", $1, $1)
		print "SET", key, value
		if ($1 % 10 == 0) print "HSET", "hash:" $1 % 100, key, value
		if ($1 % 10 == 1) print "RPUSH", "list:" $1 % 50, value
		if ($1 % 10 == 2) print "ZADD", "zset:" $1 % 20, $1, key
	}'
}

gets()
{
	seq "$keys" | awk '{ printf "%s key:%d", $1 % 100 == 1 ? "\nMGET" : "", $1 * 7919 % 1000003 } END { print "" }'
}

load() { sets | cli --pipe | tee "$dir/replies" && grep -q 'errors: 0,' "$dir/replies"; }
is_ours() { grep -q libslabpool-malloc "/proc/$server/maps"; }

# Memory of the server, in KiB, wherever it comes from.
used_kib()
{
	local pool
	pool=$(cat /sys/class/misc/slabpool/node*/used_hugepages 2> /dev/null | awk '{ sum += $1 } END { print sum * 2048 }')
	awk -v pool="${pool:-0}" '/^(RssAnon|HugetlbPages):/ { sum += $2 } END { print sum + pool }' "/proc/$server/status"
}

reads_back()
{
	gets | cli > "$dir/values"
	[ "$(sha256sum < "$dir/values")" = "$values" ]
}

benchmark()
{
	redis-benchmark -s "$dir/socket" -q -n "$(sized 20000 1000)" -c 20 -P 8 -r 5000 -d 500 \
		-t set,get,incr,lpush,rpop,sadd,hset,spop,zadd,lrange_100,mset
}

same_digest() { [ "$(cli debug digest)" = "$digest" ]; }

# Writes go on while the child saves; the dump is of the moment of the fork.
saves_one_moment()
{
	rm -f "$dir/dump.rdb"
	printf '%s\n' 'debug digest' bgsave | cli > "$dir/replies"
	head -1 "$dir/replies" > "$dir/digest"
	seq 3000 | awk '{ print "SET", "key:" $1 * 7919 % 1000003, "changed" }' | cli --pipe
	has_saved || return
	cp "$dir/dump.rdb" "$dir/saved.rdb"
}

# Two thirds of what it grew by, but for what the caches of an idle thread keep.
falls_after_flush()
{
	local full most
	full=$(used_kib)
	most=$((start + (full - start) / 3))
	[ "$most" -gt $((start + 24576)) ] || most=$((start + 24576))
	cli flushall sync > /dev/null
	if until_true "[ \$(used_kib) -lt $most ]"; then return 0; fi
	echo "$start KiB at start, $full KiB full, $(used_kib) KiB after, $most KiB expected"
	return 1
}

shuts_down()
{
	cli shutdown nosave
	wait "$job"
	local code=$?
	server=
	return "$code"
}

silent() { [ ! -s "$dir/stderr" ] || { cat "$dir/stderr"; return 1; }; }

loads_dump()
{
	cp "$dir/saved.rdb" "$dir/dump.rdb"
	start_server none || return
	[ "$(cli debug digest)" = "$(cat "$dir/digest")" ] && cli dbsize
	local code=$?
	cli shutdown nosave
	wait
	server=
	rm -f "$dir/dump.rdb"
	return "$code"
}

# What the data is, by a server on its own malloc.
start_server none || { cat "$dir/log"; echo "1..0 # SKIP redis-server does not start"; exit 4; }
load > "$dir/output" || cat "$dir/output"
digest=$(cli debug digest)
values=$(gets | cli | sha256sum)
cli shutdown nosave
wait

for source in "${sources[@]}"; do
	test_case "starts on $source" start_server "$source"
	job=$!
	start=$(used_kib)
	test_case "is on our malloc on $source" is_ours
	test_case "loads $keys keys on $source" load
	test_case "has them all on $source" reads_back
	test_case "has the same digest on $source" same_digest
	test_case "serves a benchmark on $source" benchmark
	test_case "saves in the background on $source" saves_one_moment
	test_case "loads again on $source" load
	test_case "gives memory back after FLUSHALL on $source" falls_after_flush
	test_case "shuts down on $source" shuts_down
	test_case "is silent on $source" silent
	test_case "saved one moment, loadable, on $source" loads_dump
done
finish

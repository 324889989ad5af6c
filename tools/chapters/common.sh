# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
# shellcheck shell=bash
# What the chapters of the demo share: telling, measuring a redis-server, ending.
# Sourced.  Everything printed as a figure was measured by the code around it.

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
WORK=$(mktemp -d)
# shellcheck disable=SC2034 # for the chapters
TOOLS=$TOP/build/tools
# shellcheck disable=SC2034
DECAY_MS=5000		# short, so that nobody has to wait; the default is 10,000

if [ -n "${DEMO_COLOURS-}" ] || [ -t 1 ]; then
	BOLD=$'\e[1m' GREEN=$'\e[32m' RED=$'\e[31m' PLAIN=$'\e[0m'
else
	BOLD='' GREEN='' RED='' PLAIN=''
fi

# ---- telling ----------------------------------------------------------------

chapter()	{ printf '\n%s== %s%s\n\n' "$BOLD" "$*" "$PLAIN"; }
tell()		{ fold -s -w 78 <<< "$*" | sed 's/ *$//'; }
show()		{ printf '  $ %s\n' "$*"; }

# kept TEXT / broken TEXT: how a promise turned out; a broken one ends the demo.
kept()		{ printf '  %sok%s    %s\n' "$GREEN" "$PLAIN" "$*"; }
broken()	{ printf '  %sBROKEN%s %s\n' "$RED" "$PLAIN" "$*"; exit 1; }

calc()		{ awk "BEGIN { printf \"%.${2:-1}f\", $1 }"; }

# ---- ending: whatever happens, nothing stays behind -------------------------

pids=()
end_all()
{
	local pid
	for pid in "${pids[@]}"; do
		kill -9 "$pid" 2> /dev/null || continue
		wait "$pid" 2> /dev/null || true
	done
	rm -rf "$WORK"
}
trap end_all EXIT
trap 'exit 130' INT TERM HUP

# ---- redis-servers ----------------------------------------------------------

# Several may run side by side; name, pid and sock are those of the one in use.
name='' pid='' sock=''
declare -A pid_of
use()		{ name=$1 pid=${pid_of[$1]} sock=$WORK/$1.sock; }
cli()		{ redis-cli -s "$sock" "$@"; }

# redis_start NAME COMMAND-BEFORE-IT...: Debian's redis-server, nothing saved to disk.
# It would switch huge pages off for itself where THP is "always"; we ask it not to.
redis_start()
{
	local tries=200 to=$1
	shift
	"$@" redis-server --port 0 --unixsocket "$WORK/$to.sock" --save "" --appendonly no \
		--disable-thp no --dir "$WORK" --logfile "$WORK/$to.log" > "$WORK/$to.out" 2>&1 &
	pid_of[$to]=$!
	pids+=("$!")
	use "$to"
	until [ "$(cli ping 2> /dev/null)" = PONG ]; do
		if ! kill -0 "$pid" 2> /dev/null || [ $((tries -= 1)) = 0 ]; then
			cat "$WORK/$name.out"
			broken "redis-server did not start ($name)"
		fi
		sleep 0.1
	done
}

redis_stop()	{ kill -9 "$pid"; wait "$pid" 2> /dev/null || true; }

# ---- measuring the one in use -----------------------------------------------

# What it is loaded with, and how often that is overwritten and read: a chapter says.
KEYS=0 BYTES=0 REQUESTS=0 ROUNDS=3
BENCH_CPU=()	# a command before redis-benchmark, such as taskset -c 0

# Results, by server.
declare -A load_ms load_faults set_rps get_rps set_p99 run_cpu run_faults run_hints calls columns

faults()	{ awk '{ print $10 + $12 }' "/proc/$pid/stat"; }
# Processor time so far in ms: unlike throughput it hardly minds what else runs here.
cpu_ms()	{ awk '{ print ($14 + $15) * 10 }' "/proc/$pid/stat"; }
# Faults that the kernel makes on purpose, to see which node uses a page.
numa_hints()	{ awk '$1 == "numa_hint_faults" { n = $2 } END { print n + 0 }' /proc/vmstat; }

# redis_load: KEYS values of BYTES under the names redis-benchmark uses.
redis_load()
{
	local before start answer
	before=$(faults) start=$EPOCHREALTIME
	answer=$(cli eval 'local v = string.rep("x", ARGV[2])
		for i = 0, ARGV[1] - 1 do
			redis.call("set", string.format("key:%012d", i), v)
		end
		return redis.call("dbsize")' 0 $KEYS $BYTES)
	load_ms[$name]=$(calc "($EPOCHREALTIME - $start) * 1000" 0)
	load_faults[$name]=$(($(faults) - before))
	[ "$answer" = $KEYS ] || broken "redis has $answer of $KEYS keys ($name)"
}

# bench ARGUMENTS...: overwrite and read what was loaded, from four connections.
bench()
{
	"${BENCH_CPU[@]}" redis-benchmark -s "$sock" -t set,get -c 4 -P 16 -r $KEYS -d $BYTES "$@"
}

# better OPERATOR A B: the one of two figures that is; the other one may be missing.
better()	{ awk -v a="$2" -v b="$3" "BEGIN { print (a == \"\" || b $1 a ? b : a) }"; }

# redis_round: REQUESTS of each kind; best figures so far, sums of faults.
redis_round()
{
	local before hints cpu
	before=$(faults) hints=$(numa_hints) cpu=$(cpu_ms)
	bench --csv -n $REQUESTS > "$WORK/csv"
	run_faults[$name]=$((${run_faults[$name]-0} + $(faults) - before))
	run_hints[$name]=$((${run_hints[$name]-0} + $(numa_hints) - hints))
	run_cpu[$name]=$(better '<' "${run_cpu[$name]-}" $(($(cpu_ms) - cpu)))
	set_rps[$name]=$(better '>' "${set_rps[$name]-}" "$(awk -F '"' '$2 == "SET" { printf "%d", $4 }' "$WORK/csv")")
	get_rps[$name]=$(better '>' "${get_rps[$name]-}" "$(awk -F '"' '$2 == "GET" { printf "%d", $4 }' "$WORK/csv")")
	set_p99[$name]=$(better '<' "${set_p99[$name]-}" "$(awk -F '"' '$2 == "SET" { print $14 }' "$WORK/csv")")
	[ -n "${get_rps[$name]}" ] || broken "redis-benchmark gave no result ($name)"
}

# redis_calls: system calls for memory of the thread that serves, during some more
# of the same; "-" where strace is missing.
redis_calls()
{
	local tracer
	calls[$name]=-
	command -v strace > /dev/null || return 0
	strace -c -U calls,name -e trace=mmap,munmap,mremap,mprotect,madvise,brk,ioctl -p "$pid" \
		-o "$WORK/calls" 2> "$WORK/strace.log" &
	tracer=$!
	pids+=("$tracer")
	until grep -q attached "$WORK/strace.log" || ! kill -0 $tracer 2> /dev/null; do sleep 0.1; done
	bench -q -n $REQUESTS > /dev/null
	kill -INT $tracer 2> /dev/null || true
	wait $tracer 2> /dev/null || true
	calls[$name]=$(awk '$1 ~ /^[0-9]+$/ && $2 != "total" { n += $1 } END { print n + 0 }' "$WORK/calls")
}

# redis_huge: MiB of the server on huge pages, of all it has resident.
redis_huge()
{
	awk '/^(AnonHugePages|FilePmdMapped|Private_Hugetlb):/ { huge += $2 }
	     /^(Rss|Private_Hugetlb):/ { all += $2 }
	     END { printf "%d of %d", huge / 1024, all / 1024 }' "/proc/$pid/smaps"
}

# redis_heap_kib: resident of the heap that only the C library's malloc grows, by
# brk.  Its malloc goes over to mmap where that meets another mapping.
redis_heap_kib()
{
	awk '/^[0-9a-f]+-[0-9a-f]+ / { here = /\[heap\]/ } here && /^Rss:/ { sum += $2 }
	     END { print sum + 0 }' "/proc/$pid/smaps"
}

# redis_on_libc: is it in use?  Others have no such heap at all.
redis_on_libc() { [ "$(redis_heap_kib)" -gt 256 ]; }

# measure NAME...: load these servers, then have them serve in turns, so that
# whatever else this machine does meets all of them.
measure()
{
	local n round
	for n; do
		use "$n"
		redis_load
		bench -q -n $REQUESTS > /dev/null	# warming up
	done
	for ((round = 0; round < ROUNDS; round++)); do
		for n; do use "$n"; redis_round; done
	done
	for n; do
		use "$n"
		redis_calls
		columns[$n]="$n|${load_ms[$n]}|${load_faults[$n]}|${set_rps[$n]}|${get_rps[$n]}|${set_p99[$n]}"
		columns[$n]+="|${run_cpu[$n]}"
		columns[$n]+="|${run_faults[$n]}|${run_hints[$n]}|${calls[$n]}|$(redis_huge)"
	done
}

# table NAME...: what was measured; ratios refer to the first.
table()
{
	local column labels="|load: ms for $KEYS keys of $BYTES B|load: page faults|run: SET a second"
	labels+="|run: GET a second|run: SET p99, ms|run: CPU ms, $((2 * REQUESTS)) requests|run: page faults in $((2 * ROUNDS * REQUESTS)) requests"
	labels+="|     NUMA balancing, whole system|run: system calls for memory|MiB on huge pages, of all"
	for column; do echo "${columns[$column]}"; done | awk -F '|' -v labels="$labels" '
		{ for (i = 1; i <= NF; i++) cell[i, NR] = $i }
		END {
			split(labels, label, "|")
			for (i = 1; i <= NF; i++) {
				line = sprintf("  %-38s", label[i])
				for (c = 1; c <= NR; c++) {
					v = cell[i, c]
					if (c > 1 && i >= 2 && i <= 7 && cell[i, 1] > 0)
						v = sprintf("%s (%.2fx)", v, v / cell[i, 1])
					line = line sprintf(c == 1 ? "%11s" : "%17s", v)
				}
				print line
			}
		}'
}

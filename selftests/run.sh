#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#
# run.sh [KERNEL...]		everything: style, builds, programs here, programs in
#				each kernel's guest (default: 6.1; GUEST=skip: none)
# run.sh guests KERNEL...	only the guests; on debug kernels only the module's tests
# run.sh programs FOLDER[/NAME]...
#				run the test programs of these folders (of the build
#				folder or of selftests/); also what the guest does
#
# One line for each program as it ends, all of its output if it failed, and as
# the last line "N passed, N failed, N skipped".  A program that prints KTAP
# counts as its test cases, any other as one, by its exit code (0, 4: skipped).
# Logs and the table of results are in build/check/.
set -u -o pipefail
export LC_ALL=C.UTF-8

# shellcheck source=vm/lib.sh
. "$(dirname "$0")/vm/lib.sh"
in_guest=${SLABPOOL_GUEST:-}
if [ -n "$in_guest" ]; then logs=$SLABPOOL_RESULTS; else logs=$BUILD/check; fi
# Seconds a program may take: for those that hang, however slow the machine. An
# emulated one is 10 to 30 times slower, and that again when it is busy.
limit=${TEST_TIMEOUT:-$([ -n "$in_guest" ] && echo 1200 || echo 900)}
limit=$((limit * ${SLABPOOL_PATIENCE:-1}))

export SLABPOOL_BUILD=$BUILD
export SLABPOOL_PRELOAD=$BUILD/lib/libslabpool-malloc.so

# count EXIT-CODE < OUTPUT: print "passed failed skipped", then "why" of each skip.
count()
{
	awk -v code="$1" '
		/^1\.\.[0-9]+/ { plan = substr($1, 4) + 0 }
		/^1\.\.0 # SKIP|^(not )?ok .*# SKIP/ {
			why = $0
			sub(/^.*# SKIP[: ]*/, "", why)
			reasons = reasons "\n" why
		}
		/^ok / { if (/# SKIP/) skipped++; else passed++ }
		/^not ok / { if (/# SKIP/) skipped++; else failed++ }
		{ last = $0 }
		END {
			total = passed + failed + skipped
			if (total == 0 && code == 4) {
				skipped = 1
				if (!reasons)
					reasons = "\n" last
			} else if (total == 0) {
				if (code == 0) passed = 1; else failed = 1
			} else {
				# Died between two cases, or after the last one.
				if (plan > total)
					failed += plan - total
				if (code != 0 && code != 4 && !failed)
					failed = 1
			}
			printf "%d %d %d%s\n", passed, failed, skipped, reasons
		}'
}

# record NAME PASSED FAILED SKIPPED REASONS: a line of the table of results.
record() { printf '%s\t%d\t%d\t%d\t%s\n' "$@" >> "$logs/results"; }

# skip NAME REASON: what is known beforehand not to be possible.
skip() { record "$1" 0 0 1 "$2"; }

# item NAME COMMAND...: run one test, tell and record how it went; 0 if nothing failed.
item()
{
	local name=$1 log=$logs/$1.log start code passed failed skipped reasons verdict
	shift
	mkdir -p "$(dirname "$log")"
	start=$EPOCHREALTIME
	# In the background, for a trap waits for a command in the foreground to end;
	# without the lock, which a daemon left behind would hold for ever.
	"$@" > "$log" 2>&1 < /dev/null 9>&- &
	wait $!
	code=$?
	[ $code != 124 ] || echo "run.sh: not finished after $limit s" >> "$log"
	{ read -r passed failed skipped; reasons=$(cat); } < <(count $code < "$log")

	verdict=ok
	[ "$passed" != 0 ] || verdict=skip
	[ "$failed" = 0 ] || verdict=FAIL
	printf '%-4s %-38s %4d passed %3d failed %3d skipped %8.1f s\n' $verdict "$name" \
		"$passed" "$failed" "$skipped" "$((${EPOCHREALTIME/./} - ${start/./}))e-6"
	[ $verdict != FAIL ] || sed 's/^/    | /' "$log"
	record "$name" "$passed" "$failed" "$skipped" "${reasons//$'\n'/; }"
	[ $verdict != FAIL ]
}

trap 'kill "${!:-}" 2> /dev/null; exit 130' INT TERM HUP

# in_use: hpages that somebody holds, over all nodes.
in_use()
{
	cat /sys/class/misc/slabpool/node*/{used,parked,reserved}_hugepages 2>/dev/null |
		awk '{ sum += $1 } END { print sum + 0 }'
}

# guest_program NAME COMMAND...: run it, then see that the kernel has nothing to say
# and that everything it took is back.
guest_program()
{
	local code=0 mark="selftests: $EPOCHREALTIME $1" tries=50
	shift
	# shellcheck disable=SC2086 # the parameters are words
	[ -d /sys/module/slabpool ] || insmod "$SLABPOOL_KO" $SLABPOOL_PARAMS
	echo "$mark" > /dev/kmsg
	"$@" || code=$?
	while [ "$(in_use)" != 0 ] && [ $((tries -= 1)) -gt 0 ]; do sleep 0.1; done
	if [ "$(in_use)" != 0 ]; then
		echo "not ok - left $(in_use) hpages in use"
		grep . /sys/class/misc/slabpool/node*/*_hugepages
		[ $code != 0 ] || code=1
	fi
	if ! dmesg | awk -v mark="$mark" 'found; index($0, mark) { found = 1 }' | "$VM/log-check"; then
		echo "not ok - the kernel complained"
		[ $code != 0 ] || code=1
	fi
	return $code
}

# program FOLDER NAME FILE: one test program, as its folder wants it to be run.
program()
{
	local folder=$1 name=$2 file=$3 command
	if [ "$folder/$name" = kmod/speed ] && [ "${SLABPOOL_PATIENCE:-1}" -gt 1 ]; then
		skip "$folder/$name" "a kernel that checks itself is slow in its own ways"
		return
	fi
	# The shell leaves SIGINT ignored in what it starts in the background.
	command=(env --default-signal=INT --default-signal=QUIT timeout -k 5 "$limit")
	case $folder:$file in
	*-tsan:*)	command+=(setarch -R) ;;	# its shadow wants the old address layout
	preload:*.sh)	;;
	preload:*)	command+=(env "LD_PRELOAD=$SLABPOOL_PRELOAD") ;;
	esac
	[ -z "$in_guest" ] || command=(guest_program "$folder/$name" "${command[@]}")
	item "$folder/$name" "${command[@]}" "$file"
}

# programs FOLDER[/NAME]...: one for each source; FOLDER may be that of a variant.
programs()
{
	local which folder source name
	for which; do
		folder=${which%%/*}
		name=${which#"$folder"}
		for source in "$TOP/selftests/${folder%%-*}"/${name:-/*}.{c,sh}; do
			[ -e "$source" ] || continue
			name=$(basename "${source%.*}")
			case $source in
			*/fuzz/*.c | */fuzzlib/*.c) ;;	# not by themselves: check.sh
			*.c)	program "$folder" "$name" "$BUILD/selftests/$folder/$name" ;;
			*.sh)	program "$folder" "$name" "$source" ;;
			esac
		done
	done
}

# leaks: let kmemleak look for memory that nothing points to, twice, for what was
# freed a moment ago may be held by a grace period.
leaks()
{
	sleep 5
	echo scan > "$kmemleak"
	sleep 5
	echo scan > "$kmemleak"
	! grep . "$kmemleak"
}

# The module's tests as 32-bit programs: those that look at the ABI; all of them if
# COMPAT=all.
compat=(kmod-m32/{ioctl_abi,mmap,share,reserve,t_leak,t_mremap,t_prot,t_stall})
[ "${COMPAT-}" != all ] || compat=(kmod-m32)

# guest KERNEL RUN OPTIONS... -- FOLDER...: boot a guest with the options, run the
# programs there, take over their results.
guest()
{
	local kernel=$1 run=$2 results=$BUILD/guest/$1/$2 options=()
	shift 2
	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	shift
	echo "in the guest with kernel $kernel:"
	"$VM/guest" --kernel "$kernel" --run "$run" --timeout "${GUEST_TIMEOUT:-7200}" \
		"${options[@]}" -- "$TOP/selftests/run.sh" programs "$@" &
	wait $!
	local code=$?
	if [ -s "$results/results" ]; then
		ran=
		sed "s/^/$kernel\//" "$results/results" >> "$logs/results"
	fi
	item "guest/$kernel-$run" guest_well "$results" $code
}

# guest_well RESULTS CODE: the machine itself had no trouble and got to its end.
# Code 1 says that programs failed, which are counted as such.
guest_well()
{
	[ "$2" -gt 1 ] || return 0
	echo "the guest ended with code $2 after $(wc -l < "$1/results") programs," \
		"see ${1#"$TOP/"}/console.log"
	return 1
}

# guests KERNEL: its module, all programs that need it, and what an hpage costs.
guests()
{
	item "build/module-$1" "$VM/module" "$1" || return
	[ "$1" != newest ] || skip build/sparse-newest "Debian has no sparse that reads this kernel's headers"
	case $1 in
	*-kasan | *-kcsan) guest "$1" check --cpu max,erms=off -- kmod fuzz; return ;;
	esac
	guest "$1" check -- kmod "${compat[@]}" unit preload fuzz
	guest "$1" cost --icount --mem 1536 --params hugepages=0:1100 -- cost
	item "guest/$1-nodes" "$VM/guest" --kernel "$1" --run nodes --nodes 8 --mem 256 \
		--params hugepages=0:8,2:7,3:6,4:5,5:8,6:7,7:6 -- "$BUILD/selftests/kmod/topology"
}

# built VARIANT MAKE-ARGUMENTS...: library and programs of one variant.
built()
{
	local variant=$1
	shift
	item "build/${variant:-gcc}" make -k -j"$(nproc)" -C "$TOP/selftests" ${variant:+VARIANT=-$variant} "$@"
}

native()
{
	local name
	for name in $("$TOP/selftests/style.sh" list); do
		item "style/$name" "$TOP/selftests/style.sh" "$name"
	done
	built '' all
	built clang CC=clang all
	built m32 kmod
	built asan SANITIZE=address unit
	built ubsan SANITIZE=undefined unit
	built tsan SANITIZE=thread unit
	item build/fuzzlib make -C "$TOP/selftests/fuzzlib"
	item build/tools make -C "$TOP/tools" "O=$BUILD/tools"
	item build/tools-clang make -C "$TOP/tools" CC=clang "O=$BUILD/tools-clang" "L=$BUILD/lib-clang"
	item build/install "$TOP/selftests/installed.sh"
	programs unit unit-asan unit-ubsan unit-tsan callgrind preload model fuzzlib
}

# summary: the skips with their reasons, then the line everybody looks for.
summary()
{
	awk -F '\t' -v ran="$ran" '
		{ passed += $2; failed += $3; skipped += $4 }
		$4 && !head++ { print "skipped:" }
		$4 { print "    " $1 ": " $5 }
		$3 { bad = bad "    " $1 "\n" }
		END {
			if (bad)
				printf "failed:\n%s", bad
			if (ran != "")
				print ran
			printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
			exit failed != 0
		}' "$logs/results" | tee "$logs/summary"
}

if [ "${1-}" = programs ]; then
	shift
	[ -n "$in_guest" ] || lock "$BUILD/.check.lock"
	mkdir -p "$logs"
	: > "$logs/results"
	# What booting left behind is not the tests' doing.
	kmemleak=/sys/kernel/debug/kmemleak
	[ -z "$in_guest" ] || [ ! -e "$kmemleak" ] || { echo scan; echo clear; } > "$kmemleak"
	programs "$@"
	[ -z "$in_guest" ] || [ ! -e "$kmemleak" ] || item kmemleak leaks
	ran=
	if [ -n "$in_guest" ]; then
		awk -F '\t' '{ failed += $3 } END { exit failed != 0 }' "$logs/results"
	else
		summary
	fi
	exit
fi

lock "$BUILD/.check.lock"
rm -rf "$logs"
mkdir -p "$logs"
: > "$logs/results"
if [ "${1-}" = guests ]; then
	shift
	for kernel; do "$VM/kernel" "$kernel" || exit; done
	built '' all
	if [[ $* != *-kasan* && $* != *-kcsan* ]]; then
		built m32 kmod
		item build/tools make -C "$TOP/tools" "O=$BUILD/tools"
	fi
else
	native
fi
ran='the guest did not run: the module was not tested'	# printed unless a guest proves it wrong
if [ "${GUEST-}" = skip ]; then
	skip guest 'GUEST=skip was asked for'
else
	for kernel in "${@:-6.1}"; do
		guests "$kernel"
	done
fi
summary || exit 1
[ -z "$ran" ] || [ "${GUEST-}" = skip ]

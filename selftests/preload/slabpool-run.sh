#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#
# slabpool-run: what it hands on, and what it refuses, each with one line that
# names what is wrong and an exit status of its own.
set -u
# shellcheck source=common
. "$(dirname "$0")/common"

run=${SLABPOOL_BUILD:?}/tools/slabpool-run
find_sources

# refused STATUS WORDS ARG...: exit status, and one line on stderr with the words
refused()
{
	local status=$1 words=$2 code=0
	shift 2
	"$run" "$@" > "$dir/out" 2> "$dir/err" || code=$?
	[ "$code" = "$status" ] && [ ! -s "$dir/out" ] && [ "$(wc -l < "$dir/err")" = 1 ] &&
		grep -qF -- "$words" "$dir/err" && return
	echo "$*: status $code, stderr:"
	cat "$dir/err"
	return 1
}

exit_status_is_handed_on()
{
	local code=0
	"$run" -b "$1" sh -c 'exit 37' || code=$?
	[ "$code" = 37 ]
}

# The preloaded library comes before what was there, the options behind.
environment_is_completed()
{
	# shellcheck disable=SC2016 # the command's shell expands it
	LD_PRELOAD=/lib/x86_64-linux-gnu/libm.so.6 SLABPOOL_CONF=decay_ms:77 "$run" -b "$1" \
		sh -c 'echo "$LD_PRELOAD $SLABPOOL_CONF"' > "$dir/out" || return
	grep -q "^[^ ]*libslabpool-malloc.so[: ][^ ]*libm.so.6 decay_ms:77,.*backend:$1" "$dir/out" ||
		{ cat "$dir/out"; return 1; }
}

command_runs_on_the_source()
{
	"$run" -b "$1" --verbose sh -c 'grep -q libslabpool-malloc /proc/$$/maps' \
		> "$dir/out" 2> "$dir/err" && grep -q "source $1" "$dir/err"
}

help_and_version()
{
	"$run" --help | grep -q ^usage && "$run" --version | grep -q '[0-9]'
}

# getopt's own line, and a hint.
unknown_option()
{
	local code=0
	"$run" --frob true 2> "$dir/err" || code=$?
	[ "$code" = 2 ] && grep -q -- --frob "$dir/err"
}

for source in "${sources[@]}"; do
	test_case "exit_status_is_handed_on on $source" exit_status_is_handed_on "$source"
	test_case "environment_is_completed on $source" environment_is_completed "$source"
	test_case "command_runs_on_the_source on $source" command_runs_on_the_source "$source"
done
test_case help_and_version help_and_version
test_case unknown_option unknown_option
test_case no_command refused 2 command
test_case unknown_backend refused 2 frob -b frob true
test_case unknown_conf refused 2 decay -c decay:5 true
test_case no_such_node refused 2 "node 63" -n 63 true
test_case limit_below_one_hpage refused 2 "2M" -l 1M true
test_case no_such_command refused 127 "nosuch" nosuch
test_case static_program refused 126 "static" /bin/busybox true
[ -e /dev/slabpool ] || test_case no_device refused 126 "modprobe slabpool" -b device true
finish

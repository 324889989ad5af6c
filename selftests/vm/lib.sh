# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
# shellcheck shell=bash disable=SC2034
# What the scripts of this folder share. Sourced; needs $0 to be the script's own name.

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
VM=$TOP/selftests/vm
BUILD=$TOP/build

# A make that was given -j shares its jobs with makes only: ours would say so, and
# whatever a build says is an error here.
MAKEFLAGS=-j$(nproc)
export MAKEFLAGS

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$@"; exit 1; }

# lock FILE: hold it until this script ends, so that two runs do not build the same thing at once.
lock()
{
	mkdir -p "$(dirname "$1")"
	exec 9>"$1"
	flock -n 9 || { say "waiting for another run that holds ${1##*/}"; flock 9; }
}

# as_root COMMAND...: bind mounts and chroots need it.
as_root()
{
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

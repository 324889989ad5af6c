#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#
# style.sh list: the names of the checks; style.sh NAME: one check, silent when all is well
set -eu
cd "$(dirname "$0")/.."

# files [FIND-ARGUMENTS...]: the sources, with or without git.
files()
{
	find . \( -path ./build -o -path ./.git -o -path ./Documentation/LICENSES \) -prune -o \
		-type f "$@" -print
}

# each COMMAND...: run it with the names on stdin as arguments.
each() { xargs -r -d '\n' "$@"; }

# none: succeed if there is no input, show it otherwise.
none() { ! grep .; }

check_spdx()
{
	files | each grep -L 'SPDX-License-Identifier: ' | none
}

# Kernel versions are compat.h's business alone.
check_versions()
{
	grep -rnE 'LINUX_VERSION_CODE|KERNEL_VERSION' kmod --include='*.[ch]' --exclude=compat.h | none
}

# Not wanted: remarks on version tests, which live in compat.h for good; on
# every macro that names an argument twice; BIT() in a header for user space.
check_checkpatch()
{
	selftests/vm/kernel-source
	find kmod uapi -name '*.[ch]' |
		each build/kselftest/scripts/checkpatch.pl --no-tree --no-summary --strict --terse --quiet \
			--show-types --ignore LINUX_VERSION_CODE,CONSTANT_COMPARISON,MACRO_ARG_REUSE,BIT_MACRO \
			--file
}

check_shellcheck()
{
	files | each grep -lE '^#!/bin/(ba)?sh|^# shellcheck shell=' | each shellcheck
}

check_spelling()
{
	files | each codespell --ignore-words-list=nd,inout,iput
}

# Each class of bugs has a row in the document and a program, and the reverse.
check_classes()
{
	diff <(grep '^|' Documentation/testing.md | grep -o '| .t_[a-z]*. |' | grep -o 't_[a-z]*' | sort) \
		<(cd selftests/kmod && printf '%s\n' t_*.c | sed 's/\.c$//' | sort)
}

# What is generated belongs under build/.
check_generated()
{
	files \( -name '*.[ao]' -o -name '*.ko' -o -name '*.so*' -o -name '*.mod' -o -name '*.cmd' \) | none
}

# The header's commands, those of the ABI documents and those of the manual page; the
# module's tracepoints and those that the manual page and the administrator's know.
check_abi()
{
	local header=uapi/linux/slabpool.h page=Documentation/man/slabpool.4.scd point
	diff -u --label $header <(sed -nE 's/^#define (SLABPOOL_IOC_[A-Z]+)\t_IO\(.*/\1/p' $header | sort) \
		--label Documentation/ABI/testing/dev-slabpool \
		<(sed -nE 's/^What:.*, (SLABPOOL_IOC_[A-Z]+)\)$/\1/p' Documentation/ABI/testing/dev-slabpool | sort)
	diff -u --label $header <(sed -nE 's/^#define (SLABPOOL_IOC_[A-Z]+)\t_IO\(.*/\1/p' $header | sort) \
		--label $page <(sed -nE 's/^\*(SLABPOOL_IOC_[A-Z]+)\* \(_struct .*/\1/p' $page | sort)
	sed -nE 's/^(TRACE_EVENT\(|DEFINE_EVENT\([a-z]+, )([a-z]+),.*/\2/p' kmod/trace.h | while read -r point; do
		grep -q "\*$point\*" $page || echo "$page does not have the tracepoint $point"
		grep -q "\`\(slabpool:\)\?$point\`" Documentation/admin.md ||
			echo "Documentation/admin.md does not have the tracepoint $point"
	done | none
}

case ${1-} in
list)	declare -F | sed -n 's/.*check_//p' ;;
*)	"check_$1" ;;
esac

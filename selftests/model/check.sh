#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#
# check.sh: every order of events in each model, as it is and without each of its words
#
# A model's first comment lists its words, what an ordering rests on.  With all of
# them it must hold; without any one it must fail, or the model shows nothing.
set -u
cd "$(dirname "$0")" || exit
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
number=0

# holds MODEL WORD...: does it, with these words?  What spin says is in $dir/log.
holds()
{
	local model=$1.pml
	shift
	rm -f "$dir"/pan* "$dir"/*.trail
	cp "$model" "$dir/model"
	(
		cd "$dir" &&
		spin "${@/#/-D}" -a model &&
		${CC:-cc} -O2 -w -DSAFETY -o pan pan.c &&
		./pan -m100000
	) > "$dir/log" 2>&1
	# A search that did not end has shown nothing either.
	! grep -q 'max search depth too small\|syntax error\|error: ' "$dir/log" || return 2
	grep -q 'errors: 0' "$dir/log" && return 0
	grep -q 'assertion violated\|invalid end state' "$dir/log" && return 1
	return 2
}

# result EXPECTED GOT NAME
result()
{
	number=$((number + 1))
	[ "$1" = "$2" ] && echo "ok $number $3" && return
	sed 's/^/# /' "$dir/log"
	echo "not ok $number $3"
	failed=1
}

failed=0
echo "TAP version 13"
for file in *.pml; do
	model=${file%.pml}
	read -ra words <<< "$(sed -n '/^ \*\//q; s/^ \*\t\([A-Z_]*\)\t.*/\1/p' "$file" | xargs)"
	holds "$model" "${words[@]}"
	result 0 $? "$model holds"
	for word in "${words[@]}"; do
		others=()
		for other in "${words[@]}"; do
			[ "$other" = "$word" ] || others+=("$other")
		done
		holds "$model" "${others[@]}"
		result 1 $? "$model does not hold without $word"
	done
done
echo "1..$number"
exit $failed

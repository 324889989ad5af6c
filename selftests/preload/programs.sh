#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#
# Compilers, shells and small tools do the same on our malloc, and a preloaded
# malloc writes nothing unasked.
#
# shellcheck disable=SC2016 # the programs' own dollars
set -u
cd "$(dirname "$0")" || exit
# shellcheck source=common
. ./common
need gcc find sort
find_sources

cat > "$dir/words.c" <<'END'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}
int main(void)
{
	char **words = NULL, line[200];
	size_t n = 0;

	while (fgets(line, sizeof(line), stdin)) {
		words = realloc(words, (n + 1) * sizeof(*words));
		words[n++] = strdup(line);
	}
	qsort(words, n, sizeof(*words), compare);
	for (size_t i = 0; i < n; i++)
		fputs(words[i], stdout);
	return 0;
}
END
cat > "$dir/words.cc" <<'END'
#include <algorithm>
#include <iostream>
#include <map>
#include <regex>
#include <string>
#include <vector>
int main()
{
	std::map<std::string, std::vector<int>> where;
	std::string word;
	for (int at = 0; std::cin >> word; at++)
		if (std::regex_match(word, std::regex("[a-z]+")))
			where[word].push_back(at);
	for (const auto &[key, list] : where)
		std::cout << key << ' ' << list.size() << '\n';
}
END
# The children of a preloaded shell are preloaded too.
pipeline='for i in $(seq 300); do echo "$i $((i * 7919 % 1009))"; done | sort -n -k 2 | awk "{ s += \$1 * NR } END { print s }";
	seq 100000 | sed s/7/seven/g | tr a-z A-Z | grep -c E; x=$(printf %100000s | tr " " x); echo ${#x};
	echo a b c | { read -r p q; (echo "$q" | cat; exit 3); echo $?; }; ls -laR / 2>/dev/null | head -1; true | false; echo $?'
listing=$(sized /usr/share /usr/include/linux)

for source in "${sources[@]}"; do
	test_case "gcc on $source" same "$source" gcc -O2 -g -Wall -c "$dir/words.c" -o words.o
	test_case "gcc that fails on $source" same "$source" gcc -c -include /nowhere.h "$dir/words.c"
	if [ -z "$emulated" ] && command -v g++ > /dev/null; then
		test_case "g++ and linker on $source" same "$source" g++ -std=c++17 -O1 "$dir/words.cc" -o words
	fi
	for shell in sh bash; do
		test_case "$shell pipelines on $source" same "$source" $shell -c "$pipeline"
	done
	test_case "ls on $source" same "$source" ls -lR /usr/include
	test_case "find on $source" same "$source" find "$listing" -type f -name '*.h*' -printf '%p %s\n'
	test_case "sort on $source" same "$source" \
		sh -c 'seq '"$(sized 300000 20000)"' | awk "{ print \$1 * 7919 % 10007, \$1 }" | sort -k 1,1 -k 2n --parallel=4 | sha256sum'
	test_case "tar and gzip on $source" same "$source" \
		sh -c 'tar -cf - -C /usr/include linux 2>/dev/null | gzip -9n | gzip -d | sha256sum'
	test_case "perl on $source" same "$source" perl -e \
		'my %h; $h{$_ * 7919 % 10007} .= $_ for 1..30000; print join(",", map { "$_=$h{$_}" } (sort keys %h)[0..99])'
	test_case "env and xargs on $source" same "$source" \
		sh -c 'seq 200 | xargs -n 10 -P 1 echo; env -i /bin/echo $(id -u)'
done
finish

#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#
# Other people's tests, and programs that bring an allocator of their own: GLib's tests
# pass, this library's objects are the same bytes, tcmalloc and jemalloc give way.
set -u
cd "$(dirname "$0")" || exit
# shellcheck source=common
. ./common
PATH=$PATH:/usr/sbin:/sbin
glib=/usr/libexec/installed-tests/glib
need gcc ldconfig
[ -x "$glib/hash" ] || { echo "1..0 # SKIP no tests of GLib here"; exit 4; }
find_sources

# Those that need neither a bus nor a network, and no more than seconds; what they print
# has times and addresses in it, so it is their own verdict that counts.
glib_tests=(array-test asyncqueue atomic base64 bitlock bookmarkfile bytes cache charset checksum collate
	completion convert dataset date dir environment hash hmac hook keyfile list markup-parse mem-overflow
	node pattern private ptrarray queue regex sequence shell slice slist sort strfuncs string
	thread thread-pool tree uri utf8-misc gvariant)
[ -z "$emulated" ] || glib_tests=(array-test asyncqueue hash mem-overflow ptrarray slice thread thread-pool)

glib_suite()
{
	local test ran=0 wrong=0
	for test in "${glib_tests[@]}"; do
		[ -x "$glib/$test" ] || continue
		ran=$((ran + 1))
		(cd "$dir" && slabpool "$1" env "G_TEST_SRCDIR=$glib" "G_TEST_BUILDDIR=$glib" G_SLICE=always-malloc \
			timeout 600 "$glib/$test") > "$dir/glib.log" 2>&1 && continue
		echo "$test: $?"
		tail -5 "$dir/glib.log"
		wrong=1
	done
	echo "$ran tests"
	[ "$wrong" = 0 ] && [ "$ran" -gt "$(sized 20 5)" ]
}

# own_allocator SOURCE LIBRARY: a program linked with it; ours, preloaded, comes first
own_allocator()
{
	local library
	library=$(ldconfig -p | sed -n "s|.*$2.* => ||p" | head -1)
	[ -n "$library" ] || { echo "no $2"; return 1; }
	gcc -O2 -pthread "$dir/churn.c" -Wl,--no-as-needed "$library" -o "$dir/churn" || return
	slabpool "$1" "$dir/churn" && same "$1" "$dir/churn" plain
}

cat > "$dir/churn.c" <<'END'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static void *work(void *arg)
{
	unsigned seed = (unsigned)(size_t)arg;
	char *p[300] = { 0 };
	size_t size[300];
	for (int i = 0; i < 200000; i++) {
		int k = rand_r(&seed) % 300;
		if (p[k] && (p[k][0] != (char)k || p[k][size[k]] != (char)k))
			return "wrong";
		size[k] = rand_r(&seed) % (i % 100 ? 500 : 100000) + 1;
		p[k] = realloc(i % 3 ? p[k] : (free(p[k]), (void *)0), size[k] + 1);
		p[k][0] = p[k][size[k]] = (char)k;
	}
	for (int k = 0; k < 300; k++)
		free(p[k]);
	return 0;
}
int main(int argc, char **argv)
{
	pthread_t t[4];
	Dl_info info;
	void *wrong = 0, *w;
	(void)argv;
	for (size_t i = 0; i < 4; i++)
		pthread_create(&t[i], 0, work, (void *)(i + 1));
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], &w);
		wrong = wrong ? wrong : w;
	}
	if (argc == 1 && (!dladdr(dlsym(RTLD_DEFAULT, "malloc"), &info) || !strstr(info.dli_fname, "slabpool")))
		return 3;
	puts(wrong ? "wrong" : "right");
	return !!wrong;
}
END

top=$(cd ../.. && pwd)
# Their seconds on one source are enough: what differs between them is tested elsewhere.
source=${sources[0]}
test_case "GLib's tests on $source" glib_suite "$source"
[ -n "$emulated" ] || test_case "gcc makes the same objects on $source" same "$source" sh -c \
		"for f in alloc node space fork conf; do gcc -std=gnu11 -O2 -g -fPIC -I$top/lib -I$top/include -I$top/uapi -c $top/lib/\$f.c -o \$f.o; done"
test_case "a program linked with tcmalloc on $source" own_allocator "$source" libtcmalloc_minimal.so.4
test_case "a program linked with jemalloc on $source" own_allocator "$source" libjemalloc.so.2
finish

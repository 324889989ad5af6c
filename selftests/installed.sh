#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#
# Installs into an empty folder and builds a program against that alone, as C
# and as C++, with both compilers.
set -eux
top=$(cd "$(dirname "$0")/.." && pwd -P)
root=$top/build/check/root
rm -rf "$root"
make -C "$top" install DESTDIR="$root" PREFIX=/usr

export PKG_CONFIG_SYSROOT_DIR=$root PKG_CONFIG_LIBDIR=$root/usr/lib/pkgconfig
cat > "$root/consumer.c" <<EOF
#include <slabpool.h>
#include <linux/slabpool.h>
int main(void)
{
	void *p = slabpool_malloc(100);

	slabpool_free(p);
	return p ? 0 : 1;
}
EOF
cp "$root/consumer.c" "$root/consumer.cc"
for compiler in gcc clang g++ clang++; do
	case $compiler in
	*++)	source=$root/consumer.cc ;;
	*)	source=$root/consumer.c ;;
	esac
	# shellcheck disable=SC2046 # words are what pkg-config prints
	$compiler -Wall -Wextra -Werror -pedantic -o "$root/consumer" "$source" $(pkg-config --cflags --libs slabpool)
	LD_LIBRARY_PATH=$root/usr/lib "$root/consumer"
done

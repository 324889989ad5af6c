# SPDX-License-Identifier: LGPL-2.1-or-later OR MIT
#
# Everything that is built goes to build/; the work is in the folders.

build	:= $(CURDIR)/build
vm	:= selftests/vm
KERNEL	?= 6.1
KERNELS	?= 6.1 6.12 newest
DEBUG_KERNELS ?= 6.1-kasan 6.1-kcsan
PREFIX	?= /usr/local
export PREFIX DESTDIR

MAKEFLAGS += --no-print-directory
.PHONY: all help deps deps-test deps-debug lib kmod tools selftests check check-kernels check-debug \
	check-coverage fuzz-lib demo guest-shell bench install dkms-install clean

all: lib kmod tools	## the library, the module (for the 6.1 test kernel) and the tools

help:			## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1@\2/p' Makefile | column -t -s @
	@echo "KERNEL=6.1|6.12|newest chooses for kmod and guest-shell; DESTDIR and PREFIX for install."

deps:
	@$(vm)/deps build
deps-test:
	@$(vm)/deps build test
deps-debug:
	@$(vm)/deps build test debug

lib: deps		## libslabpool.so, libslabpool.a and libslabpool-malloc.so in build/lib
	+@$(MAKE) -C lib O=$(build)/lib

kmod: deps-test		## slabpool.ko in build/kmod/KERNEL/kmod
	@$(vm)/module $(KERNEL)

tools: lib		## slabpool-run, slabpool-bench and the examples in build/tools
	+@$(MAKE) -C tools O=$(build)/tools

selftests: deps-test	## the test programs in build/selftests
	+@$(MAKE) -C selftests

check: deps-test	## all tests, those of the module in a guest with the 6.1 kernel
	@selftests/run.sh 6.1

check-kernels: deps-test ## the same, in guests of every supported kernel
	@selftests/run.sh $(KERNELS)

check-debug: deps-debug	## the module's tests on KASAN and KCSAN kernels, built once (half an hour)
	@selftests/run.sh guests $(DEBUG_KERNELS)

check-coverage: deps-debug ## which lines of the module its tests run (hours, emulated)
	@$(vm)/coverage

fuzz-lib: deps-test	## libFuzzer on the library, DURATION=60 seconds for each target
	+@$(MAKE) -C selftests/fuzzlib run

demo: all		## a real service on the module, in a guest
	@$(vm)/deps build test demo
	@tools/demo

bench: lib tools	## libslabpool beside other mallocs: table, build/bench/*.json, *.svg
	@$(vm)/deps bench
	@mkdir -p $(build)/bench
	@$(build)/tools/slabpool-bench --json $(build)/bench/bench.json --svg $(build)/bench

guest-shell: deps-test	## a shell in a guest with the module loaded
	@$(vm)/guest --kernel $(KERNEL) --interactive

install: lib tools	## library, headers, tools, manual pages, udev rule
	@tools/install/install

dkms-install: deps	## the module, for the running kernel and those to come
	@tools/install/dkms-install

clean:			## remove build/
	rm -rf $(build)

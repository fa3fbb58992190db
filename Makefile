# SPDX-License-Identifier: GPL-2.0
#
# The front door.  In a Linux tree this directory is kernel/watch_queue/, and
# Kbuild is what the kernel's build reads; this file is for people.

# The kernel of another machine is a variant of its name.
VARIANT ?= $(or $(filter-out x86 x86_64,$(ARCH)),rust)
# The kernel's own makefiles are told by what calls them.
unexport ARCH
variants := rust called c chosen-c debug rt um sources debian arm64 riscv64 s390x

ifneq ($(filter-out $(variants),$(VARIANT)),)
$(error There is no VARIANT '$(VARIANT)'; there are: $(variants))
endif

lib = bash -c '. dev/lib.sh && "$$@"' lib

.DEFAULT_GOAL := help

PHONY += help
help:
	@echo 'make run                    boot the kernel in QEMU and watch keyctl print events'
	@echo 'make run VARIANT=sources    watch mounts, a file system, a disk and devices with it'
	@echo 'make run VARIANT=debian     boot Debian 13 with systemd, and get a shell in it'
	@echo 'make run ARCH=arm64         the small kernel on arm64; likewise riscv64 and s390x'
	@echo 'make shell                  boot it and get a shell in the guest'
	@echo 'make test                   run the tests that each change has to pass; the last line is'
	@echo '                              "N passed, N failed, N skipped"'
	@echo 'make test-c                 run the same kselftests on the C implementation'
	@echo 'make test-chosen-c          run them where C is chosen in the tree that has both'
	@echo 'make test-um                run all tests in user-mode Linux, where races are of real CPUs'
	@echo 'make test-debug             run all tests in a kernel that checks itself, with fault injection'
	@echo 'make test-rt                run the tests of rust in a real-time kernel with lockdep'
	@echo 'make test-arm64             run KUnit, kselftests and the crate on arm64; or ARCH=arm64'
	@echo 'make test-riscv64           run those of rust on RISC-V; likewise test-s390x'
	@echo 'make test-sources           run the tests of the sources: mounts, file systems, disks, devices'
	@echo 'make test-debian [MINUTES=1] run Debian 13 with systemd, and wqmon from its package in it'
	@echo 'make test-deb               install what make deb makes in that guest, and boot from it'
	@echo 'make bench                  measure what it costs against the C implementation'
	@echo 'make record-speed           record the instructions that make test compares with'
	@echo 'make bench-sources          measure what the sources cost, against having none'
	@echo 'make fuzz                   fuzz filters and the ring for a minute'
	@echo 'make fuzz-kernel [MINUTES=10]  fuzz the system calls, guided by coverage, in user-mode Linux;'
	@echo '                              REPLAY=FILE runs the programs of a file instead'
	@echo 'make litmus                 check what runs without a lock against the memory model of the kernel'
	@echo 'make torture [MINUTES=10]   do everything at once, in user-mode Linux with KASAN and lockdep;'
	@echo '                              with STRICT=1 in QEMU, with the shortest grace periods'
	@echo 'make planted [MINUTES=10]   plant bugs in the kernel, and see that fuzz-kernel and torture find'
	@echo '                              them; BUGS=NAMES for some of them'
	@echo 'make model                  run the code of watches in every interleaving, as it is and with bugs'
	@echo 'make mutants                change the code that needs no kernel, and see that a test fails each time'
	@echo 'make check                  formatting, lints, checkpatch, documentation'
	@echo 'make patches [DIR=DIR]      write the project as a series of patches for Linux'
	@echo 'make test-patches           apply that, and build, check and test after each patch, with Rust and'
	@echo '                              without; CHOICES=rust or c alone, ONLY=2-block that alone'
	@echo 'make test-touched           compile what the series touch as allmodconfig has it, by clang and GCC'
	@echo 'make kernel                 build the kernel only'
	@echo 'make deb [KDIR=DIR] [CONFIG=FILE] [DIR=DIR]'
	@echo '                              make packages of a kernel and of wqmon: from your tree or ours,'
	@echo '                              configured as FILE or as the kernel that runs'
	@echo 'make install KDIR=DIR       wire the project into your own Linux 7.3 tree, beside the C;'
	@echo '                              with ONLY_RUST=1 instead of it'
	@echo 'make uninstall KDIR=DIR     take it out again'
	@echo 'make -s print-image         where the kernel is; likewise print-objtree, print-srctree'
	@echo 'make -s print-makeflags     make -C $$(make -s print-objtree) $$(make -s print-makeflags)'
	@echo '                              M=DIR modules builds an external module for it'
	@echo 'make setup                  install the packages that all of this needs, and say which'
	@echo 'make ledger                 have the tests do from now on what they did last; see git diff'
	@echo 'make clean                  remove all that was built and fetched'
	@echo
	@echo 'run, shell, kernel and print-... take VARIANT=rust (default), called, whose helpers are not'
	@echo 'inlined into Rust, c, which is mainline as it is, chosen-c, which is ours with C chosen, debug,'
	@echo 'rt, um, sources, debian, arm64, riscv64 or s390x.  All take LINUX_SRC=DIR to start from a'
	@echo 'Linux tree of yours, and WQ_CACHE=DIR to keep elsewhere what is built and fetched.'

export LINUX_SRC

PHONY += setup
setup:
	@dev/setup >/dev/null && echo 'All that is needed is installed.'

PHONY += kernel
kernel:
	@dev/kernel $(VARIANT)

# The file system of a guest that runs no kselftests
PHONY += guest
guest: kernel
	@SYSROOT=$$($(lib) eval 'foreign $(VARIANT) || true; echo $$sysroot') \
		dev/make-initramfs "$$($(lib) eval 'echo $$trees/$(VARIANT)/guest.cpio.gz')"

boot = dev/boot "$$($(lib) image_of $(VARIANT))" \
	"$$($(lib) eval 'echo $$trees/$(VARIANT)/guest.cpio.gz')"

# The same, with wqmon, and what makes file systems for it to watch
PHONY += guest-with-tools
guest-with-tools: kernel
	@tools=$$(dev/tools $(VARIANT)) && \
		SYSROOT=$$($(lib) eval 'foreign $(VARIANT) || true; echo $$sysroot') dev/make-initramfs \
		"$$($(lib) eval 'echo $$trees/$(VARIANT)/guest.cpio.gz')" "" $$tools mkfs.ext4

PHONY += run
ifeq ($(VARIANT),sources)
run: guest-with-tools
	@PLUG=1 TIMEOUT=300 $(boot) demo-sources
else ifeq ($(VARIANT),debian)
run: kernel
	@DISK=$$(dev/debian-guest "$$($(lib) eval 'echo $$trees/debian/guest.cpio.gz')") && export DISK && \
		PLUG=1 MEMORY=2G $(boot) sh
else
run: guest
	@TIMEOUT=120 $(boot) demo
endif

PHONY += shell
ifeq ($(VARIANT),debian)
shell: run
else
shell: guest-with-tools
	@PLUG=$(filter sources,$(VARIANT)) $(boot) sh
endif

PHONY += test
test:
	@dev/run-tests $(if $(filter-out rust,$(VARIANT)),$(VARIANT),host rust sources um)

PHONY += ledger
ledger:
	@$(lib) eval 'LEDGER_RESULTS=$$trees/ledger dev/ledger record'

PHONY += test-c
test-c:
	@dev/run-tests c

PHONY += test-chosen-c
test-chosen-c:
	@dev/run-tests chosen-c

PHONY += test-um
test-um:
	@dev/run-tests um

PHONY += test-debug
test-debug:
	@dev/run-tests debug

PHONY += test-rt
test-rt:
	@dev/run-tests rt

PHONY += test-arm64 test-riscv64 test-s390x
test-arm64 test-riscv64 test-s390x:
	@dev/run-tests $(@:test-%=%)

PHONY += test-sources
test-sources:
	@dev/run-tests sources

PHONY += test-debian
test-debian:
	@MINUTES="$(MINUTES)" dev/run-tests debian

PHONY += test-deb
test-deb:
	@dev/run-tests deb

PHONY += bench
bench:
	@dev/bench

PHONY += record-speed
record-speed:
	@dev/count-instructions --record

PHONY += bench-sources
bench-sources:
	@dev/bench-sources

PHONY += fuzz
fuzz:
	@dev/fuzz

PHONY += fuzz-kernel
fuzz-kernel:
	@MINUTES="$(MINUTES)" REPLAY="$(REPLAY)" dev/fuzz-kernel

PHONY += litmus
litmus:
	@dev/litmus

PHONY += torture
torture:
	@MINUTES="$(MINUTES)" dev/torture

PHONY += planted
planted:
	@MINUTES="$(MINUTES)" dev/planted $(BUGS)

PHONY += model
model:
	@dev/model

PHONY += mutants
mutants:
	@dev/mutants

PHONY += check
check:
	@dev/check

PHONY += patches
patches:
	@dev/make-series $(DIR)

PHONY += test-touched
test-touched:
	@dev/test-touched

PHONY += test-patches
test-patches: kernel
	@dev/test-patches --build $(CHOICES)

PHONY += print-image print-objtree print-srctree print-makeflags
print-image:
	@$(lib) image_of $(VARIANT)
print-objtree:
	@$(lib) obj_of $(VARIANT)
print-srctree:
	@$(lib) tree_of $(VARIANT)
print-makeflags:
	@flags=$$(dev/setup --print) && $(lib) flags_of $(VARIANT) "$$flags"

PHONY += deb
deb:
	@LINUX_SRC="$(or $(KDIR),$(LINUX_SRC))" CONFIG="$(CONFIG)" dev/deb $(DIR)

PHONY += install uninstall
install:
	@dev/install $(if $(ONLY_RUST),--only-rust) "$(KDIR)"
uninstall:
	@dev/install --remove "$(KDIR)"

PHONY += clean
clean:
	@$(lib) remove_cache

.PHONY: $(PHONY)

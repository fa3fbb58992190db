# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the scripts share.  Sourced by them.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
me=$(basename "$0")

say() { echo "$me: $*" >&2; }
die() { say "$*"; exit 1; }

# Where everything is kept that is not the project: nothing of it is precious.
cache=$(readlink -m "${WQ_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/watch_queue}")

# Programs that run in another directory call scripts, too.
export WQ_CACHE=$cache
if [ -n "${LINUX_SRC:-}" ]; then
	LINUX_SRC=$(readlink -m "$LINUX_SRC")
	export LINUX_SRC
fi

# Its mark, by which `make clean` knows that it may go; see bford.info/cachedir
cache_tag=$'Signature: 8a477f597d28d172789f06886806bc55\n# Made by the scripts of watch_queue.'

# A directory that was there before and had something in it is not marked.
make_cache() {
	[ -z "$(ls -A "$cache" 2>/dev/null)" ] || return 0
	mkdir -p "$cache" && echo "$cache_tag" >"$cache/CACHEDIR.TAG"
}

remove_cache() {
	[ -e "$cache" ] || return 0
	[ "$(cat "$cache/CACHEDIR.TAG" 2>/dev/null)" = "$cache_tag" ] ||
		die "$cache was not made by these scripts: remove it by hand"
	# A process that was killed may have left something mounted.  The mark goes last.
	find "$cache" -mindepth 1 -maxdepth 1 ! -name CACHEDIR.TAG \
		-exec rm -rf --one-file-system {} + && rm -rf "$cache"
}

# alone NAME: wait until no other script does what this names, and keep others waiting
# until this script ends
alone() {
	local lock
	make_cache
	exec {lock}>"$cache/$1.lock"
	flock -n "$lock" || { say "waiting for another $1"; flock "$lock"; }
}

# copy_source PRISTINE TREE [PATH...]: have a tree be as the pristine one, but for these
# paths, and for what is built in it.  Somebody's may have changed since the last time; it is
# not what that has for dates that says what has to be built.
copy_source() {
	local dir
	case $1 in
	"$cache"/*)
		# Hard links, as all that follows replaces files and never writes to them.
		[ -n "$(ls -A "$2")" ] || cp -al "$1/." "$2"
		return ;;
	esac
	for dir in "$1"/include/config "$1"/arch/*/include/generated; do
		[ ! -e "$dir" ] || die "$1 has been built in: give a clean one, as git worktree makes"
	done
	printf '/%s\n' .git .config build '.build*' "${@:3}" |
		rsync -rlpc --delete --exclude-from=- "$1/" "$2/"
}

# Trees made from somebody's own source are kept apart from those of ours.
if [ -n "${LINUX_SRC:-}" ]; then
	trees=$cache/trees-$(sha256sum <<<"$LINUX_SRC" | cut -c1-12)
else
	trees=$cache
fi

tree_of() { echo "$trees/$1/linux"; }

# Below the source tree, so that all paths in it are relative and ccache finds
# what another variant compiled.
obj_of() { echo "$trees/$1/linux/build"; }

# arch_of VARIANT: the architecture of its kernel, as the kernel names it
arch_of() {
	case $1 in
	um | um-*) echo um ;;
	arm64 | arm64-*) echo arm64 ;;
	riscv64) echo riscv ;;
	s390x) echo s390 ;;
	*) echo x86_64 ;;
	esac
}

image_of() {
	case $(arch_of "$1") in
	um) echo "$(obj_of "$1")/linux" ;;
	arm64) echo "$(obj_of "$1")/arch/arm64/boot/Image" ;;
	riscv) echo "$(obj_of "$1")/arch/riscv/boot/Image" ;;
	s390) echo "$(obj_of "$1")/arch/s390/boot/bzImage" ;;
	*) echo "$(obj_of "$1")/arch/x86/boot/bzImage" ;;
	esac
}

# flags_of VARIANT FLAGS: what make is called with for a variant, from what dev/setup
# prints.  Distributions build with GCC; bindgen needs libclang all the same.
flags_of() {
	local flags=$2 arch
	arch=$(arch_of "$1")
	case $1 in debian | deb) flags=$(sed 's/LLVM=[^ ]* //' <<<"$flags") ;; esac
	[ "$arch" = x86_64 ] || flags+=" ARCH=$arch"
	echo "$flags"
}

# What compilers call programs of this machine
native_triple=$HOSTTYPE-linux-gnu

# foreign VARIANT: whether its programs are of another architecture than this machine's;
# if so, this sets `sysroot`, the directory of files that such programs are built from and
# run with, and `triple` and `rust_triple`, which name the architecture to compilers
foreign() {
	sysroot='' triple=$native_triple rust_triple=${native_triple/-/-unknown-}
	case $(arch_of "$1") in
	arm64) triple=aarch64-linux-gnu rust_triple=aarch64-unknown-linux-gnu ;;
	riscv) triple=riscv64-linux-gnu rust_triple=riscv64gc-unknown-linux-gnu ;;
	s390) triple=s390x-linux-gnu rust_triple=s390x-unknown-linux-gnu ;;
	*) return 1 ;;
	esac
	sysroot=$("$top/dev/sysroot" "${1%-*}") || die "there are no files to build programs for $1 from"
}

# llvm_suffix FLAGS: of its tools, from what dev/setup prints; nothing where GCC is used
llvm_suffix() {
	sed -n 's/.*LLVM=\(-[0-9]*\).*/\1/p' <<<"$1"
}

# cross_flags LLVM: what a clang needs to build programs that are `foreign`; LLVM is the
# suffix of its tools
cross_flags() {
	echo "--target=$triple --sysroot=$sysroot --ld-path=/usr/bin/ld.lld$1"
}

# cross_build VARIANT LLVM: have the makefiles of the kernel and of its kselftests find what
# programs are built from, where they are `foreign`
cross_build() {
	foreign "$1" || return 0
	export USERCFLAGS="--sysroot=$sysroot"
	export USERLDFLAGS="--sysroot=$sysroot --ld-path=/usr/bin/ld.lld$2"
}

# cross_rust VARIANT: have cargo build programs for the architecture of a variant: sets
# `rust_triple`, `rust_flags` and `rust_dir`, a directory of their own.  It fails where
# there is no standard library for them.
# shellcheck disable=SC2034 # used by those who source this
cross_rust() {
	local llvm flag
	rust_flags='' rust_dir=tools
	foreign "$1" || return 0
	[ -d "$sysroot/usr/lib/rustlib/$rust_triple" ] || return
	# It is of the version of Debian's compiler.
	export RUSTC=/usr/bin/rustc
	llvm=$(llvm_suffix "$("$top/dev/setup")")
	rust_dir=tools-${1%-*}
	rust_flags="--sysroot $sysroot/usr -C linker=/usr/bin/clang$llvm"
	for flag in $(cross_flags "$llvm"); do
		rust_flags+=" -C link-arg=$flag"
	done
}

# emulator_of VARIANT: the packages of what runs its kernel, if that is not always installed;
# which of two it is depends on the version of QEMU
emulator_of() {
	case $(arch_of "$1") in
	arm64) echo qemu-system-arm ;;
	riscv) echo 'qemu-system-riscv|qemu-system-misc' opensbi ;;
	s390) echo 'qemu-system-s390x|qemu-system-misc' ;;
	esac
}

# put_busybox FILE ROOT: into a file system, with a link for each of its programs.  The file
# can be for another machine: this one's says which programs there are.
put_busybox() {
	local applet
	cp "$1" "$2/bin/busybox"
	for applet in $(busybox --list); do
		[ "$applet" = busybox ] || ln -s busybox "$2/bin/$applet"
	done
}

# pack ROOT IMAGE: a file system that a kernel starts from
pack() {
	(cd "$1" && find . -print0 | sort -z |
		cpio --null --quiet --create --format newc --owner 0:0) | gzip -1 >"$2.new"
	mv "$2.new" "$2"
}

# Files with a place in the tree outside of kernel/watch_queue/: which, and where
placed_files() {
	cat <<-'EOT'
		include/watch_queue.h include/linux/watch_queue.h
		include/watch_sources.h include/linux/watch_sources.h
		include/trace/events/watch_queue.h include/trace/events/watch_queue.h
		uapi/watch_queue.h include/uapi/linux/watch_queue.h
		rust/kernel/watch_queue.rs rust/kernel/watch_queue.rs
		samples/rust/rust_watch_source.rs samples/rust/rust_watch_source.rs
		samples/rust/watch_ticks.c samples/rust/watch_ticks.c
		Documentation/core-api/watch_queue.rst Documentation/core-api/watch_queue.rst
		Documentation/core-api/watch_queue-history.rst Documentation/core-api/watch_queue-history.rst
		Documentation/core-api/watch_queue-sources.rst Documentation/core-api/watch_queue-sources.rst
	EOT
}

# diff_of STEP: the diff in a file of dev/patches/, if there is one
diff_of() {
	sed -n '/^diff --git /,$p' "$1"
}

# removed_by STEP: the files that a step removes
removed_by() {
	sed -n '/^$/q;s/^Removes: *//p' "$1" | tr ' ' '\n'
}

# The steps in dev/patches/, in order, but for those that are for later
steps() {
	grep -L '^Later: ' "$top"/dev/patches/[0-9]*/[0-9]*
}

# Those that are for later
later_steps() {
	grep -l '^Later: ' "$top"/dev/patches/[0-9]*/[0-9]*
}

# A pattern of what a kernel tree does not want of the repository
not_upstream() {
	echo "^($(sed 's/\./\\./g' "$top/dev/patches/not-upstream" | paste -sd'|'))"
}

# The files that steps touch; those of now, if none are named
touched_files() {
	# shellcheck disable=SC2046 # words
	[ "$#" -gt 0 ] || set -- $(steps)
	{
		sed -n 's,^\(---\|+++\) [ab]/\([^\t]*\).*,\2,p' "$@"
		for step in "$@"; do removed_by "$step"; done
	} | sort -u
}

# patched_copies PRISTINE DIR: what the steps of now make of the files they touch
patched_copies() {
	local file step
	for file in $(touched_files); do
		mkdir -p "$2/$(dirname "$file")"
		[ ! -f "$1/$file" ] || cp "$1/$file" "$2/$file"
	done
	for step in $(steps); do
		apply_step "$step" "$2" || {
			say "${step##*/} does not apply to $1"
			return 1
		}
	done
}

# apply_step STEP DIR: what a step removes and changes, in a tree or a part of one
apply_step() {
	local file
	for file in $(removed_by "$1"); do
		rm "$2/$file" || return
	done
	[ -z "$(diff_of "$1")" ] ||
		diff_of "$1" | patch -s -d "$2" -p1 --no-backup-if-mismatch -r - >&2
}

# document TREE OBJ: what rustdoc complains of, in the queue, private items included, and
# in what the kernel's crate has of ours
document() {
	local features=arbitrary_self_types,asm_goto,generic_arg_infer,used_with_arg
	cd "$2" || return
	document_crate "$1" watch_queue kernel/watch_queue/watch_queue.rs --extern kernel \
		-Zallow-features=$features -Zcrate-attr=no_std \
		"-Zcrate-attr=feature($features)" --document-private-items 2>&1
	document_crate "$1" kernel rust/kernel/lib.rs --error-format=short --extern ffi \
		--extern build_error --extern macros --extern bindings --extern uapi 2>&1 |
		grep -E 'watch_queue\.rs|error'
}

document_crate() {	# document_crate TREE CRATE FILE [OPTION...]
	RUSTC_BOOTSTRAP=1 OBJTREE=$PWD RUST_MODFILE=kernel/watch_queue/watch_queue \
		/usr/bin/rustdoc --edition=2021 --crate-name "$2" --crate-type rlib \
		--target=./scripts/target.json --sysroot=/dev/null -L ./rust/ \
		@./include/generated/rustc_cfg -Zunstable-options \
		--extern pin_init --extern zerocopy --extern zerocopy_derive \
		-Wrustdoc::all -Arustdoc::private_doc_tests -Wmissing_docs \
		-Astable_features -Wrustdoc::unescaped_backticks \
		-o doc "${@:4}" "$1/$3"
}

# as_root COMMAND...: by sudo where that has to be
as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		die "this takes root, or sudo: $*"
	fi
}

# debian_repositories: those of Debian that this machine's apt reads, an address and a
# suite in each line
debian_repositories() {
	apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' |
		grep -E '/debian(-security)?/ ' | sort -u
}

# read_suite DIR [SUITE [ARCHITECTURE]]: have apt read the package lists of one suite, or
# of those that this machine uses, into DIR, and say there in apt.conf how to use them.
# The mirror is the one that this machine uses already; the lists of the system stay as
# they are.  What it prints is why it cannot.
read_suite() {
	local keyring=/usr/share/keyrings/debian-archive-keyring.gpg repositories
	command -v apt-get >/dev/null || { echo "there is no apt-get"; return 1; }
	[ -r "$keyring" ] || { echo "there is no $keyring"; return 1; }
	repositories=$(debian_repositories)
	[ -z "${2:-}" ] || repositories=$(sed -n "s,/debian/ .*,/debian/ $2,p" <<<"$repositories" | head -n 1)
	[ -n "$repositories" ] || { echo "apt's sources name no Debian mirror"; return 1; }

	rm -rf "$1"
	mkdir -p "$1"/{lists/partial,archives/partial}
	: >"$1/status"
	sed "s,.*,deb [signed-by=$keyring] & main," <<<"$repositories" >"$1/sources.list"
	# Proxies and the like come from the machine's own configuration.
	cat >"$1/apt.conf" <<-CONF
		Dir::Etc::SourceList "$1/sources.list";
		Dir::Etc::SourceParts "/dev/null";
		Dir::State::Lists "$1/lists";
		Dir::State::Status "$1/status";
		Dir::Cache "$1";
		Dir::Cache::Archives "$1/archives";
		Acquire::Languages "none";
		APT::Sandbox::User "";
	CONF
	[ -z "${3:-}" ] || cat >>"$1/apt.conf" <<-CONF
		APT::Architecture "$3";
		APT::Architectures { "$3"; };
	CONF
	say "reading the package list of ${2:-Debian}${3:+ for $3}"
	APT_CONFIG=$1/apt.conf apt-get -qq update >&2 ||
		{ echo "apt could not read ${2:-the package lists}"; return 1; }
}

# count_instructions VARIANT LOG PROGRAM[,ARGUMENT]...: run benchmarks where guest
# time counts instructions, so that they say the same each time; without security
# modules
count_instructions() {
	local variant=$1 log=$2
	shift 2
	local parameters=lsm=
	local machine='-icount shift=0,sleep=off'
	case $(arch_of "$variant") in
	# To calibrate the timer of the local APIC, the kernel would wait for what
	# are two hundred million instructions.
	x86_64) parameters+=' nolapic_timer' ;;
	# So that its clock has a tick for each instruction
	arm64) machine+=' -cpu max,pauth-impdef=on,cntfrq=1000000000' ;;
	esac
	# shellcheck disable=SC2086 # words
	CPUS=1 QEMU_ARGS=$machine LOG=$log \
		"$top/dev/boot" "$(image_of "$variant")" \
		"$trees/$variant/tests.cpio.gz" "bench $*" $parameters
}

# checkpatch TREE ARGUMENT...: what it complains of, one line each.  It does not know what
# trace events look like; the entry in MAINTAINERS is in another patch than most files.
checkpatch() {
	perl "$1/scripts/checkpatch.pl" --strict --no-summary --terse --no-tree \
		--ignore FILE_PATH_CHANGES,OPEN_ENDED_LINE,PARENTHESIS_ALIGNMENT "${@:2}" 2>&1
}

# of_added DIFF TREE: those lines of what it reads, which a compiler or the like says of
# files in a tree, that are about a line that the diff, which has no context, adds
of_added() {
	awk -v tree="$2/" '
		NR == FNR && /^\+\+\+ b\// { file = substr($2, 3) }
		NR == FNR && /^@@/ {
			fields = split(substr($3, 2), range, ",")
			for (i = 0; i < (fields > 1 ? range[2] : 1); i++)
				added[file ":" range[1] + i] = 1
		}
		NR == FNR { next }
		{
			sub("^" tree, "")
			sub("^\\.\\./", "")
			sub("^(Warning|Error|Info): ", "")
			split($0, place, ":")
			if (place[1] ":" (place[2] + 0) in added)
				print
		}' "$1" -
}

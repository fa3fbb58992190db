#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# wqmon, and an example of the crate watch-queue, from what is done to mounts,
# file systems, disks and devices to what they print.

dir=$(dirname "$(readlink -f "$0")")
# shellcheck source=tools/testing/selftests/watch_queue/wqmon.sh
. "$dir/wqmon.sh"

configfs=/sys/kernel/config
name=wqmon_test
disk=$configfs/nullb/$name
dev=/dev/$name

# A sector where a file system has nothing, as long as it has no files
sector=100000

# ids FILE: with letters for ids of mounts, in the order in which they come
ids() {
	digit='[0-9]'
	awk -v id="$digit$digit$digit$digit$digit$digit$digit$digit$digit$digit+" '{
		line = ""
		while (match($0, id)) {
			number = substr($0, RSTART, RLENGTH)
			if (!(number in letter))
				letter[number] = substr("ABCDEFGHIJKLMNOP", ++count, 1)
			line = line substr($0, 1, RSTART - 1) letter[number]
			$0 = substr($0, RSTART + RLENGTH)
		}
		print line $0
	}' "$1"
}

# edit COMMAND...: puts what wqmon has printed through it
edit() {
	"$@" "$work/out" >"$work/edited" && mv "$work/edited" "$work/out"
}

# come PATTERN [TIMES]: so many lines with it are printed
come() { until_true lines_are "$1" "$work/out" "${2:-1}"; }

# A disk that fails where it is told to: null_blk, set up by configfs
make_disk() {
	[ -d $configfs/nullb ] || mount -t configfs none $configfs || return
	mkdir $disk || return
	for setting in memory_backed=1 size=64 blocksize=512 power=1; do
		echo "${setting#*=}" >"$disk/${setting%=*}" || return
	done
	number=$(cat "/sys/block/$name/dev")
}

remove_disk() {
	[ ! -d $disk ] || rmdir $disk
}

read_sector() {
	dd if="$dev" of=/dev/null bs=512 skip=$sector count=1 iflag=direct 2>/dev/null
}

make_sector_bad() { echo "+$sector-$sector" >$disk/badblocks; }

make_fs() {
	mkfs.ext4 -q -E lazy_itable_init=0 "$dev" && mkdir -p "$work/fs" &&
		mount -t ext4 -o errors=continue "$dev" "$work/fs"
}

trigger_error() { echo "from wqmon_sources_test" >"/sys/fs/ext4/$name/trigger_fs_error"; }

# to_monitor COMMAND: of QEMU, which is behind a serial port
to_monitor() {
	stty -F /dev/ttyS1 raw -echo && echo >/dev/ttyS1 && sleep 0.2 && echo "$*" >/dev/ttyS1
}

# What is done to mounts below $work/top
change_mounts() {
	mount -t tmpfs -o nosuid,noexec none "$work/top/a" &&
		mount -o remount,bind,ro,nodev "$work/top/a" &&
		mount --move "$work/top/a" "$work/top/b" &&
		mount --make-shared "$work/top/b" &&
		umount "$work/top/b"
}

test_mounts_in_words() {
	watch 1 --count 6 --mounts && change_mounts && ended 0 && edit ids || return
	printed <<-EOT
		mounts  mount  attached      A on B (nosuid,noexec,private)
		mounts  mount  setattr       A on B (rdonly,nosuid,nodev,noexec,private)
		mounts  mount  moved_from    A from B (rdonly,nosuid,nodev,noexec,private)
		mounts  mount  moved_to      A to B (rdonly,nosuid,nodev,noexec,private)
		mounts  mount  setattr       A on B (rdonly,nosuid,nodev,noexec,shared)
		mounts  mount  detached      A from B (rdonly,nosuid,nodev,noexec,shared)
	EOT
}

test_mounts_in_json() {
	watch 1 --count 2 --json --filter mount:attached,detached --mounts && change_mounts &&
		ended 0 && edit ids && edit sed 's/"namespace":[0-9]*/"namespace":N/' || return
	printed <<-EOT
		{"watch":"mounts","type":"mount","mount":A,"event":"attached","parent":B,"namespace":N,"attributes":["nosuid","noexec"],"propagation":["private"]}
		{"watch":"mounts","type":"mount","mount":A,"event":"detached","parent":B,"namespace":N,"attributes":["rdonly","nosuid","nodev","noexec"],"propagation":["shared"]}
	EOT
}

test_mounts_below_a_mount() {
	mkdir -p "$work/other" && watch 1 "--mounts=$work/top" || return
	mount -t tmpfs none "$work/other" && umount "$work/other" &&
		mount -t tmpfs none "$work/top/a" && umount "$work/top/a" && umount "$work/top" &&
		ended 0 && edit ids || return
	printed <<-EOT
		mounts=$work/top  mount  attached      A on B (private)
		mounts=$work/top  mount  detached      A from B (private)
		mounts=$work/top  mount  detached      B from C (private)
		mounts=$work/top  meta   removal       B is not watched any more
	EOT
}

# other_is_apart: whether that process has its own mount namespace by now
other_is_apart() {
	[ "$(readlink /proc/self/ns/mnt)" != "$(readlink "/proc/$other/ns/mnt")" ]
}

test_mounts_of_another_namespace() {
	unshare -m sleep 1000 &
	other=$!
	until_true other_is_apart &&
		watch 1 "--mounts=/proc/$other/ns/mnt" --filter mount:attached || return
	mount -t tmpfs none "$work/top/a" && umount "$work/top/a" &&
		nsenter -t $other -m mount -t tmpfs -o noexec none "$work/top/b" &&
		kill $other && ended 0 && edit ids && edit sed 's/  [0-9]* is/  N is/' || return
	printed <<-EOT
		mounts=/proc/$other/ns/mnt  mount  attached      A on B (noexec,private)
		mounts=/proc/$other/ns/mnt  meta   removal       N is not watched any more
	EOT
}

test_file_system_in_words() {
	make_fs && watch 1 --fs "$work/fs" || return
	mount -o remount,ro "$work/fs" && mount -o remount,rw "$work/fs" && trigger_error &&
		come error && umount "$work/fs" && ended 0 &&
		edit sed 's/removal  *[0-9]*/removal       N/' || return
	printed <<-EOT
		fs=$work/fs  superblock  readonly      $number
		fs=$work/fs  superblock  readwrite     $number
		fs=$work/fs  superblock  error         $number metadata: Structure needs cleaning (os error 117)
		fs=$work/fs  meta        removal       N is not watched any more
	EOT
}

test_file_system_in_json() {
	make_fs && watch 1 --json --count 2 --fs "$work/fs" || return
	trigger_error && come error && mount -o remount,ro "$work/fs" && ended 0 &&
		edit sed 's/"superblock":[0-9]*/"superblock":N/' || return
	printed <<-EOT
		{"watch":"fs=$work/fs","type":"superblock","superblock":N,"device":"$number","event":"error","error":117,"kind":"metadata","inode":null,"range":null}
		{"watch":"fs=$work/fs","type":"superblock","superblock":N,"device":"$number","event":"readonly"}
	EOT
}

# What is done to the disk
have_requests_fail() {
	make_sector_bad && ! read_sector &&
		! dd if=/dev/zero of="$dev" bs=1024 seek=$((sector / 2)) count=1 \
			oflag=direct conv=notrunc 2>/dev/null
}

test_block_device_in_words() {
	watch 1 --block "$dev" && have_requests_fail && echo 0 >$disk/power && ended 0 || return
	printed <<-EOT
		block=$dev  block  io            $number read, 512 bytes at sector $sector: Input/output error (os error 5)
		block=$dev  block  io            $number write, 1024 bytes at sector $sector: Input/output error (os error 5)
		block=$dev  meta   removal       $((${number%:*} << 20 | ${number#*:})) is not watched any more
	EOT
}

test_all_block_devices_in_json() {
	seq=$(cat "/sys/block/$name/diskseq")
	watch 1 --json --count 2 --block all && have_requests_fail && ended 0 || return
	printed <<-EOT
		{"watch":"block=all","type":"block","device":"$number","partition":null,"diskseq":$seq,"event":"io","op":"read","sector":$sector,"len":512,"error":5}
		{"watch":"block=all","type":"block","device":"$number","partition":null,"diskseq":$seq,"event":"io","op":"write","sector":$sector,"len":1024,"error":5}
	EOT
}

test_devices_in_words() {
	watch 1 --devices --filter device:added,removed && echo 0 >$disk/power &&
		echo 1 >$disk/power && come 'added.*block' && kill "$pid" && ended 0 &&
		edit grep ' block ' || return
	number=$(cat "/sys/block/$name/dev")
	printed <<-EOT
		devices  device  removed       block $name $number
		devices  device  added         block $name $number
	EOT
}

test_devices_in_json() {
	watch 1 --json --devices --filter device:removed && echo 0 >$disk/power &&
		come '"block"' && kill "$pid" && ended 0 && edit grep '"block"' || return
	printed <<-EOT
		{"watch":"devices","type":"device","name":"$name","cut":false,"event":"removed","subsystem":"block","number":"$number"}
	EOT
}

test_usb_device_that_is_plugged_and_pulled() {
	if [ ! -e /sys/bus/usb/devices/usb1 ] || [ ! -e /dev/ttyS1 ]; then
		skip "no USB in this guest"
		return
	fi
	watch 1 --devices --filter device:connected,disconnected || return
	to_monitor device_add usb-hub,id=wqmon,port=2 && come ' connected' &&
		to_monitor device_del wqmon && come disconnected && kill "$pid" && ended 0 &&
		edit sed -e 's/usb [12]-2/usb B-2/' -e 's/bus [12]/bus B/' -e 's/device [0-9]*$/device N/' || return
	printed <<-EOT
		devices  device  connected     usb B-2: 0409:55aa, bus B port 2 device N
		devices  device  disconnected  usb B-2: 0409:55aa, bus B port 2 device N
	EOT
}

test_all_sources_in_one_stream() {
	ring=$(keyctl newring wqmon @s)
	make_fs && watch 5 --json "$ring" --mounts --fs "$work/fs" --block "$dev" --devices &&
		keyctl clear "$ring" && mount -o remount,ro "$work/fs" &&
		make_sector_bad && ! read_sector && keyctl unlink "$ring" @s && come removal && umount "$work/fs" && come removal 2 && echo 0 >$disk/power &&
		come '"event":"removed","subsystem":"block"' && kill "$pid" && ended 0 || return
	sed -e 's/.*"type":"\([a-z]*\)".*/\1/' "$work/out" | sort -u >"$work/types"
	mv "$work/types" "$work/out"
	printed <<-EOT
		block
		device
		key
		meta
		mount
		superblock
	EOT
}

test_failures_are_one_line() {
	failed 1 "fs=$work/none: No such file" --fs "$work/none" &&
		failed 1 "block=/dev/null: cannot watch the block device: Invalid argument" --block /dev/null &&
		failed 1 "mounts=/proc/self/ns/net: cannot watch the mounts: Invalid argument" --mounts=/proc/self/ns/net &&
		failed 1 "mounts: cannot watch the mounts: Device or resource busy" --mounts --mounts
}

# as_nobody COMMAND
as_nobody() { su nobody -s /bin/sh -c "$1" 2>"$work/err"; }

test_who_may_watch() {
	! as_nobody "wqmon --mounts" && grep -q "Operation not permitted" "$work/err" &&
		! as_nobody "wqmon --fs /" && grep -q "Operation not permitted" "$work/err" &&
		! as_nobody "wqmon --block all" && grep -q "Operation not permitted" "$work/err" &&
		! as_nobody "wqmon --block $dev" && grep -q "Permission denied" "$work/err" &&
		as_nobody "wqmon --devices --timeout 0"
}

test_example_disk_works() {
	make_fs || return
	disk "$dev" "$work/fs" >"$work/out" 2>"$work/err" &
	pid=$!
	come '^watching' && mount -o remount,ro "$work/fs" && come 'read-only' &&
		make_sector_bad && ! read_sector && come sector && umount "$work/fs" && ended 0 || return
	printed <<-EOT
		watching $dev and $work/fs
		$work/fs is read-only now
		$dev: $number read, 512 bytes at sector $sector: Input/output error (os error 5)
		$work/fs is unmounted
	EOT
}

before_each() {
	mkdir -p "$work/top" && mount -t tmpfs none "$work/top" && mkdir "$work/top/a" "$work/top/b"
	make_disk
}

after_each() {
	for mounted in top/a top/b top fs; do
		umount "$work/$mounted" 2>/dev/null
	done
	remove_disk
}

if command -v wqmon >/dev/null; then
	wqmon --devices --timeout 0 2>/dev/null
	if [ $? -eq 3 ]; then
		ktap_print_header
		ktap_skip_all "no sources in this kernel"
		exit "$KSFT_SKIP"
	fi
fi
run_tests

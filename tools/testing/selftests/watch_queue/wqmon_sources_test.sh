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
monitor=${MONITOR:-/dev/ttyS1}
to_monitor() {
	stty -F "$monitor" raw -echo && echo >"$monitor" && sleep 0.2 && echo "$*" >"$monitor"
}

# change_mounts [COME]: changes a mount below $work/top.  wqmon looks the path up when
# it reads an event, so the mount is not moved before that was printed.  COME, which is
# `come`, waits for the events that not all tests have printed.
change_mounts() {
	mount -t tmpfs -o nosuid,noexec none "$work/top/a" && come attached &&
		mount -o remount,bind,ro,nodev "$work/top/a" && ${1:-true} setattr &&
		mount --move "$work/top/a" "$work/top/b" && ${1:-true} moved_to &&
		mount --make-shared "$work/top/b" && ${1:-true} shared &&
		umount "$work/top/b"
}

test_mounts_in_words() {
	watch 1 --count 6 --mount-ns && change_mounts come && ended 0 || return
	printed <<-EOT
		mount-ns  mount  attached      $work/top/a  tmpfs none (nosuid,noexec,private)
		mount-ns  mount  setattr       $work/top/a  tmpfs none (rdonly,nosuid,nodev,noexec,private)
		mount-ns  mount  moved_from    from $work/top/a  tmpfs none (rdonly,nosuid,nodev,noexec,private)
		mount-ns  mount  moved_to      to $work/top/b  tmpfs none (rdonly,nosuid,nodev,noexec,private)
		mount-ns  mount  setattr       $work/top/b  tmpfs none (rdonly,nosuid,nodev,noexec,shared)
		mount-ns  mount  detached      $work/top/b  tmpfs none (rdonly,nosuid,nodev,noexec,shared)
	EOT
}

test_mounts_in_json() {
	watch 1 --count 2 --json --filter mount:attached,detached --mount-ns && change_mounts &&
		ended 0 && edit ids && edit sed 's/"namespace":[0-9]*/"namespace":N/
			s/"peer_group":[0-9][0-9]*/"peer_group":P/; s/"device":"0:[0-9]*"/"device":D/' || return
	printed <<-EOT
		{"watch":"mount-ns","type":"mount","mount":A,"event":"attached","parent":B,"namespace":N,"attributes":["nosuid","noexec"],"propagation":["private"],"peer_group":null,"master":null,"device":D,"path":"$work/top/a","fstype":"tmpfs","source":"none"}
		{"watch":"mount-ns","type":"mount","mount":A,"event":"detached","parent":B,"namespace":N,"attributes":["rdonly","nosuid","nodev","noexec"],"propagation":["shared"],"peer_group":P,"master":null,"device":D,"path":"$work/top/b","fstype":"tmpfs","source":"none"}
	EOT
}

test_mounts_below_a_mount() {
	mkdir -p "$work/other" && watch 1 --mount-tree "$work/top" || return
	mount -t tmpfs none "$work/other" && umount "$work/other" &&
		mount -t tmpfs none "$work/top/a" && come attached && umount "$work/top/a" &&
		umount "$work/top" && ended 0 || return
	printed <<-EOT
		mount-tree=$work/top  mount  attached      $work/top/a  tmpfs none (private)
		mount-tree=$work/top  mount  detached      $work/top/a  tmpfs none (private)
		mount-tree=$work/top  mount  detached      $work/top  tmpfs none (private)
		mount-tree=$work/top  meta   removal       not watched any more
	EOT
}

test_mount_that_is_gone_already_is_on_a_path() {
	watch 1 --mount-tree "$work/top" && kill -STOP "$pid" && until_true is_stopped &&
		mount -t tmpfs none "$work/top/a" && umount "$work/top/a" && kill -CONT "$pid" &&
		come detached && kill "$pid" && ended 0 && edit ids || return
	printed <<-EOT
		mount-tree=$work/top  mount  attached      A, which is gone, on $work/top (private)
		mount-tree=$work/top  mount  detached      A, which is gone, on $work/top (private)
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
		watch 1 "--mount-ns=/proc/$other/ns/mnt" --filter mount:attached || return
	mount -t tmpfs none "$work/top/a" && umount "$work/top/a" &&
		nsenter -t $other -m mount -t tmpfs -o noexec none "$work/top/b" &&
		come attached && kill $other && ended 0 || return
	printed <<-EOT
		mount-ns=/proc/$other/ns/mnt  mount  attached      $work/top/b  tmpfs none (noexec,private)
		mount-ns=/proc/$other/ns/mnt  meta   removal       not watched any more
	EOT
}

test_file_system_in_words() {
	make_fs && watch 1 --fs "$work/fs" || return
	mount -o remount,ro "$work/fs" && mount -o remount,rw "$work/fs" && trigger_error &&
		come error && umount "$work/fs" && ended 0 || return
	printed <<-EOT
		fs=$work/fs  superblock  readonly      $name on $work/fs
		fs=$work/fs  superblock  readwrite     $name on $work/fs
		fs=$work/fs  superblock  error         $name on $work/fs metadata: Structure needs cleaning
		fs=$work/fs  meta        removal       not watched any more
	EOT
}

test_file_system_in_json() {
	make_fs && watch 1 --json --count 2 --fs "$work/fs" || return
	trigger_error && come error && mount -o remount,ro "$work/fs" && ended 0 &&
		edit sed 's/"superblock":[0-9]*/"superblock":N/' || return
	printed <<-EOT
		{"watch":"fs=$work/fs","type":"superblock","superblock":N,"device":"$number","event":"error","error":117,"kind":"metadata","inode":null,"range":null,"devname":"$name","path":"$work/fs","fstype":"ext4","source":"$dev"}
		{"watch":"fs=$work/fs","type":"superblock","superblock":N,"device":"$number","event":"readonly","devname":"$name","path":"$work/fs","fstype":"ext4","source":"$dev"}
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
		block=$dev  block  io            $name read, 512 bytes at sector $sector: Input/output error
		block=$dev  block  io            $name write, 1024 bytes at sector $sector: Input/output error
		block=$dev  meta   removal       not watched any more
	EOT
}

test_all_block_devices_in_json() {
	seq=$(cat "/sys/block/$name/diskseq")
	watch 1 --json --count 2 --block all && have_requests_fail && ended 0 || return
	printed <<-EOT
		{"watch":"block=all","type":"block","device":"$number","partition":null,"diskseq":$seq,"event":"io","op":"read","sector":$sector,"len":512,"error":5,"devname":"$name"}
		{"watch":"block=all","type":"block","device":"$number","partition":null,"diskseq":$seq,"event":"io","op":"write","sector":$sector,"len":1024,"error":5,"devname":"$name"}
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
		come '"block"' && kill "$pid" && ended 0 && edit grep '"block"' &&
		edit sed 's/"seqnum":[1-9][0-9]*,"ino":[1-9][0-9]*/"seqnum":N,"ino":N/' || return
	printed <<-EOT
		{"watch":"devices","type":"device","name":"$name","truncated":false,"event":"removed","subsystem":"block","devtype":"disk","number":"$number","path":"/devices/virtual/block/$name","seqnum":N,"ino":N}
	EOT
}

test_usb_device_that_is_plugged_and_pulled() {
	if [ ! -e /sys/bus/usb/devices/usb1 ] || [ ! -e "$monitor" ]; then
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

# The vendor and product of a stick of QEMU
stick_id=46f4:0001

# write_and_sync: for as long as that works
write_and_sync() {
	while dd if=/dev/zero of="$work/fs/file" bs=64k count=16 conv=fsync 2>/dev/null; do
		:
	done
}

# stick_events: what was printed of the stick, and in a row each but once
stick_events() {
	sed -n -e "s/.*  connected .*$stick_id.*/plugged/p" -e "s/.*  added .* block $stick .*/disk/p" \
		-e "s,.*  attached .* $work/fs .*,mounted,p" \
		-e "s/.*  superblock  error .* $stick on .*/failed/p" \
		-e "s/.*  block  .* $stick \(read\|write\|flush\).*/failed/p" \
		-e "s/.*  removed .* block $stick .*/no disk/p" \
		-e "s/.*  disconnected .*$stick_id.*/pulled/p" \
		-e "s,.*  detached .* $work/fs .*,unmounted,p" \
		-e "s,.*  removal .* $work/fs is not watched.*,no file system,p" "$work/out" | uniq
}

test_stick_that_is_pulled_while_it_is_written_to() {
	if [ ! -e /sys/bus/usb/devices/usb1 ] || [ ! -e "$monitor" ]; then
		skip "no USB in this guest"
		return
	fi
	mkdir -p "$work/fs" && watch 4 --devices --block all --fs all --mount-ns &&
		to_monitor device_add usb-storage,drive=stick,id=stick,port=2 &&
		come 'added *block sd' || return
	stick=$(sed -n 's/.*added *block \(sd[a-z]*\) .*/\1/p' "$work/out")
	mkdosfs "/dev/$stick" && mount -t vfat "/dev/$stick" "$work/fs" && come attached &&
		until_true watches_file_system || return
	# A wqmon that watches only the disk ends when the disk is gone.
	wqmon --block "/dev/$stick" >"$work/alone" 2>"$work/alone.err" &
	alone=$!
	until_true lines_are '^wqmon: watching' "$work/alone.err" 1 || return
	write_and_sync &
	writer=$!
	until_true test -s "$work/fs/file" && to_monitor device_del stick && come disconnected &&
		wait $writer && umount "$work/fs" && come removal && kill "$pid" && ended 0 || return
	sed 's/^/# /' "$work/out"
	wait $alone && grep -q "  block  .* $stick write, .*: No such device" "$work/alone" &&
		[ "$(grep -n '  removal ' "$work/alone")" = \
			"$(wc -l <"$work/alone"):block=/dev/$stick  meta   removal       not watched any more" ] &&
		lines_are "  superblock  error .* $stick on $work/fs device gone: No such device" "$work/out" 1 ||
		return
	stick_events >"$work/edited" && mv "$work/edited" "$work/out"
	printed <<-EOT
		plugged
		disk
		mounted
		failed
		no disk
		pulled
		unmounted
		no file system
	EOT
}

test_all_sources_in_one_stream() {
	ring=$(keyctl newring wqmon @s)
	make_fs && watch 5 --json "$ring" --mount-ns --fs "$work/fs" --block "$dev" --devices &&
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
		failed 1 "mount-ns=/proc/self/ns/net: cannot watch the mounts: Invalid argument" --mount-ns=/proc/self/ns/net &&
		failed 1 "mount-ns: cannot watch the mounts: Device or resource busy" --mount-ns --mount-ns
}

# as_nobody COMMAND
as_nobody() { su nobody -s /bin/sh -c "$1" 2>"$work/err"; }

test_who_may_watch() {
	! as_nobody "wqmon --mount-ns" && grep -q "Operation not permitted" "$work/err" &&
		! as_nobody "wqmon --fs /" && grep -q "Operation not permitted" "$work/err" &&
		! as_nobody "wqmon --block all" && grep -q "Operation not permitted" "$work/err" &&
		! as_nobody "wqmon --block $dev" && grep -q "Permission denied" "$work/err" &&
		as_nobody "wqmon --devices --timeout 0"
}

test_example_disk_works() {
	make_fs || return
	background "$work/out" disk "$dev" "$work/fs"
	come '^watching' && mount -o remount,ro "$work/fs" && come 'read-only' &&
		make_sector_bad && ! read_sector && come sector && umount "$work/fs" && ended 0 || return
	printed <<-EOT
		watching $dev and $work/fs
		$work/fs is read-only now
		$dev: $number read, 512 bytes at sector $sector: Input/output error
		$work/fs is unmounted
	EOT
}

# change_at_random TIMES: what is mounted below $work/top
change_at_random() {
	seed=$1
	i=0
	while [ $i -lt "$1" ]; do
		i=$((i + 1))
		seed=$(((seed * 1103515245 + 12345) % 2147483648))
		at=$work/top/$((seed / 65536 % 6)) other=$work/top/$((seed / 1024 % 6))
		case $((seed / 4096 % 7)) in
		0 | 1) mount -t tmpfs none "$at" ;;
		2) mount --bind "$other" "$at" ;;
		3) mount --move "$at" "$other" ;;
		4) mount -o remount,bind,nosuid,ro "$at" ;;
		*) umount -l "$at" ;;
		esac 2>/dev/null
	done
}

is_compared() { tail -n 1 "$work/out" | grep -q ' as scanned'; }

test_table_of_mounts_is_as_scanned() {
	mkdir "$work/top/0" "$work/top/1" "$work/top/2" "$work/top/3" "$work/top/4" "$work/top/5"
	background "$work/out" mounts
	come '^watching' || return
	for round in 1 2 3; do
		change_at_random 150
		# All is in the table when it has this and is compared then.
		mkdir "$work/top/round$round" && mount -t tmpfs none "$work/top/round$round" &&
			come "Attached $work/top/round$round$" && until_true is_compared || return
		umount "$work/top/round$round"
	done
	! grep 'not as scanned' "$work/out" && tail -n 1 "$work/out" | sed 's/^/# /'
	# With losses, it scans.
	kill -STOP "$pid" && until_true is_stopped || return
	change_at_random 1500
	kill -CONT "$pid"
	until_true grep -q 'mounts, as scanned: .* [1-9][0-9]* scans' "$work/out" &&
		! grep 'not as scanned' "$work/out"
	result=$?
	tail -n 1 "$work/out" | sed 's/^/# /'
	for at in 0 1 2 3 4 5; do
		while umount -l "$work/top/$at" 2>/dev/null; do :; done
	done
	return $result
}

# In C and Python, with nothing but the kernel's header
examples=$dir/../example

# sees_all_sources COMMAND...: it says what happens to each of them
sees_all_sources() {
	background "$work/out" "$@"
	come '^watching' && mount -o remount,ro "$work/fs" && come '^file system: event 1' &&
		make_sector_bad && ! read_sector && come '^disk: ' &&
		mount -t tmpfs none "$work/top/a" && come '^mounts: event 0' &&
		umount "$work/fs" && come '^file system: gone' && echo 0 >$disk/power &&
		come '^disk: gone' && come '^devices: event 1' && return
	sed 's/^/# /' "$work/out" "$work/err"
	grep -hE '^(posted|delivered|queued|lost|watch)' /proc/"$pid"/fdinfo/* | sed 's/^/# /'
	sed 's/^/# /' /proc/"$pid"/syscall /proc/"$pid"/wchan 2>/dev/null
	grep "$work/fs" /proc/mounts | sed 's/^/# /'
	return 1
}

test_example_in_c_sees_all_sources() {
	ring=$(keyctl newring wqmon @s)
	make_fs && sees_all_sources "$examples/watch_all" "$ring" "$work/fs" "$dev" &&
		keyctl clear "$ring" && come "^key: event 4 of key $ring, 0" &&
		keyctl unlink "$ring" @s && come '^key: gone'
}

test_example_in_python_sees_all_sources() {
	python=$(ls /bin/python3* /usr/bin/python3* 2>/dev/null | head -n 1)
	if [ -z "$python" ]; then
		skip "there is no Python"
		return
	fi
	[ ! -d "$examples/python" ] || export PYTHONHOME="$examples/python"
	make_fs && sees_all_sources "$python" -S "$examples/watch_all.py" "$work/fs" "$dev"
}

watches_file_system() { grep -qs 'source=superblock' /proc/"$pid"/fdinfo/*; }

test_all_file_systems_are_watched_when_they_are_mounted() {
	watch 1 --fs all && make_fs && until_true watches_file_system && mkdir "$work/again" && mount --bind "$work/fs" "$work/again" &&
		trigger_error && come error && umount "$work/again" && umount "$work/fs" &&
		come removal && kill "$pid" && ended 0 || return
	printed <<-EOT
		fs=all  superblock  error         $name on $work/fs metadata: Structure needs cleaning
		fs=all  meta        removal       $work/fs is not watched any more
	EOT
}

test_lost_removal_of_a_file_system_is_found_out() {
	make_fs && watch 1 --size 32 --fs "$work/fs" && kill -STOP "$pid" &&
		until_true is_stopped || return
	i=0
	while [ $i -lt 40 ]; do
		trigger_error
		i=$((i + 1))
	done
	umount "$work/fs" && kill -CONT "$pid" && ended 0 || return
	tail -n 1 "$work/out" | grep -q 'removal       not watched any more; this was among the losses'
}

test_lost_removal_of_one_of_all_file_systems_is_found_out() {
	make_fs && watch 1 --size 32 --fs all && kill -STOP "$pid" &&
		until_true is_stopped || return
	i=0
	while [ $i -lt 40 ]; do
		trigger_error
		i=$((i + 1))
	done
	umount "$work/fs" && kill -CONT "$pid" && come 'among the losses' && kill "$pid" &&
		ended 0 && edit tail -n 1 || return
	printed <<-EOT
		fs=all  meta        removal       $work/fs is not watched any more; this was among the losses
	EOT
}

# recipe NUMBER: runs wqmon with the configuration on stdin, which watches so many things
recipe() {
	cat >"$work/toml" || return
	background "$work/out" wqmon --config "$work/toml"
	until_true starts "$1"
}

test_service_runs_what_the_configuration_says() {
	make_fs && recipe 2 <<-EOT || return
		output = "none"
		[[watch]]
		name = "file systems"
		fs = "all"
		[[watch]]
		name = "disks"
		block = "all"
		[[run]]
		on = ["superblock:readonly"]
		command = "echo alert \$WQMON_PATH >>$work/ran"
		[[run]]
		watch = "disks"
		on = ["block:io,medium"]
		command = "echo mail \$WQMON_DEVNAME >>$work/ran"
	EOT
	mount -o remount,ro "$work/fs" && until_true lines_are alert "$work/ran" 1 &&
		make_sector_bad && ! read_sector && until_true lines_are mail "$work/ran" 1 &&
		mv "$work/ran" "$work/out" && kill "$pid" && ended 0 || return
	printed <<-EOT
		alert $work/fs
		mail $name
	EOT
}

test_file_system_that_was_one_of_all_is_watched_by_itself() {
	make_fs && printf '[[watch]]\nfs = "all"\n' >"$work/toml" &&
		watch 1 --config "$work/toml" &&
		printf '[[watch]]\nfs = "%s"\n' "$work/fs" >"$work/toml" && kill -HUP "$pid" &&
		until_true lines_are "^wqmon: watching fs=$work/fs$" "$work/err" 1 &&
		trigger_error && come error && kill "$pid" && ended 0 || return
	printed <<-EOT
		fs=$work/fs  superblock  error         $name on $work/fs metadata: Structure needs cleaning
	EOT
}

# real_recipe FILE NUMBER: runs wqmon with one of those that come with it, which watches
# so many things.  What it would have done is in $work/ran.
real_recipe() {
	mkdir -p "$work/bin" /var/lib/prometheus/node-exporter /usr/share/doc/wqmon &&
		ln -sfn "$(readlink -f "$examples/recipes")" /usr/share/doc/wqmon/recipes || return
	for program in mail systemctl wall; do
		echo "echo $program \"\$@\" >>$work/ran; cat >>$work/json" >"$work/bin/$program"
	done
	# It runs what comes behind its options.
	cat >"$work/bin/systemd-run" <<-'EOT'
		while [ "${1#--}" != "$1" ]; do
			shift
		done
		program=$1
		shift
		exec sh "$(dirname "$0")/$program" "$@"
	EOT
	sed -i '1i #!/bin/sh' "$work"/bin/* && chmod +x "$work"/bin/* || return
	background "$work/out" env "PATH=$work/bin:$PATH" \
		wqmon --config "/usr/share/doc/wqmon/recipes/$1"
	until_true starts "$2"
}

# did COMMAND...: and nothing else
did() {
	until_true test -s "$work/ran" && kill "$pid" && ended 0 && mv "$work/ran" "$work/out" &&
		echo "$*" | printed
}

test_recipe_mails_on_errors() {
	hostname wqmon && real_recipe mail-on-error.toml 2 && make_sector_bad && ! read_sector &&
		did mail -s "wqmon: $name read, 512 bytes at sector $sector: Input/output error (and 0 before it)" root &&
		grep -q '"event":"io"' "$work/json"
}

test_recipe_backs_up_before_a_disk_dies() {
	real_recipe snapshot-before-death.toml 1 && make_sector_bad && ! read_sector &&
		did systemctl start --no-block "backup@$name.service"
}

test_recipe_alerts_on_read_only() {
	make_fs && real_recipe alert-on-read-only.toml 1 && mount -o remount,ro "$work/fs" &&
		did wall "$work/fs ($name) is read-only" &&
		grep -q '^wqmon_events_total{watch="file systems",type="superblock",event="readonly"} 1$' \
			/var/lib/prometheus/node-exporter/wqmon.prom
}

test_recipe_restarts_what_holds_a_revoked_key() {
	token=$(keyctl add user myservice:token x @s) && real_recipe restart-on-revoked-key.toml 1 &&
		keyctl setperm "$token" 0x3f3f0000 && keyctl revoke "$token" &&
		did systemctl restart myservice.service
}

is_unmounted() { ! grep -q " $work/fs " /proc/mounts; }

test_recipe_unmounts_on_removal() {
	make_fs && real_recipe unmount-on-removal.toml 1 && echo 0 >$disk/power &&
		until_true is_unmounted && kill "$pid" && ended 0
}

before_each() {
	rm -f "$work/ran" "$work/json"
	mkdir -p "$work/top" && mount -t tmpfs none "$work/top" && mkdir "$work/top/a" "$work/top/b"
	make_disk
}

after_each() {
	for mounted in top/a top/b top again fs; do
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

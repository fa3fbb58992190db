#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# wqmon, and the examples of the crate watch-queue, from what is done with keyctl
# to what they print.  They are in tools/watch_queue/.

dir=$(dirname "$(readlink -f "$0")")
# shellcheck source=tools/testing/selftests/watch_queue/wqmon.sh
. "$dir/wqmon.sh"

# overflow TIMES: has wqmon stand still while this happens to the ring
overflow() {
	kill -STOP "$pid" && until_true is_stopped || return
	i=0
	while [ $i -lt "$1" ]; do
		keyctl setperm "$ring" 0x3f3f0000 || return
		i=$((i + 1))
	done
	kill -CONT "$pid"
}

# What all events can be seen from
change_all() {
	other=$(keyctl add user other x "$ring") &&
		keyctl update "$key" chorus &&
		keyctl link "$key" "$ring" &&
		keyctl unlink "$key" "$ring" &&
		keyctl setperm "$ring" 0x3f3f0000 &&
		keyctl clear "$ring" &&
		keyctl revoke "$key"
}

test_says_in_words_what_happened() {
	watch 2 --count 7 %:wqmon %user:wqmon && change_all && ended 0 || return
	printed <<-EOF
		%:wqmon      key   linked        $other into $ring
		%user:wqmon  key   updated       $key
		%:wqmon      key   linked        $key into $ring
		%:wqmon      key   unlinked      $key from $ring
		%:wqmon      key   setattr       $ring
		%:wqmon      key   cleared       $ring
		%user:wqmon  key   revoked       $key
	EOF
}

test_says_in_json_what_happened() {
	watch 2 --json --count 7 %:wqmon %user:wqmon && change_all && ended 0 || return
	printed <<-EOF
		{"watch":"%:wqmon","type":"key","key":$ring,"event":"linked","member":$other}
		{"watch":"%user:wqmon","type":"key","key":$key,"event":"updated"}
		{"watch":"%:wqmon","type":"key","key":$ring,"event":"linked","member":$key}
		{"watch":"%:wqmon","type":"key","key":$ring,"event":"unlinked","member":$key}
		{"watch":"%:wqmon","type":"key","key":$ring,"event":"setattr"}
		{"watch":"%:wqmon","type":"key","key":$ring,"event":"cleared"}
		{"watch":"%user:wqmon","type":"key","key":$key,"event":"revoked"}
	EOF
}

test_filter_takes_what_it_names() {
	watch 2 --count 3 --filter key:unlinked,4 --filter key:revoked %:wqmon %user:wqmon &&
		change_all && ended 0 || return
	printed <<-EOF
		%:wqmon      key   unlinked      $key from $ring
		%:wqmon      key   cleared       $ring
		%user:wqmon  key   revoked       $key
	EOF
}

test_filter_of_another_type_takes_nothing() {
	watch 1 --filter meta --filter type=77:0-7 "$ring" && keyctl setperm "$ring" 0x3f3f0000 &&
		kill "$pid" && ended 0 && printed </dev/null
}

test_keys_go_by_many_names() {
	watch 6 --count 3 @t @p @s @us "$(printf '%#x' "$ring")" %user:wqmon &&
		other=$(keyctl add user other x @s) && keyctl clear "$ring" &&
		keyctl update "$key" chorus && ended 0 || return
	session=$(sed -n 's/^wqmon: watching @s (\([0-9]*\))$/\1/p' "$work/err")
	width=$(printf '%#x' "$ring" | wc -c)
	[ "$width" -ge 11 ] || width=11
	{
		printf "%-${width}s  key   linked        %s into %s\n" @s "$other" "$session"
		printf "%#-${width}x  key   cleared       %s\n" "$ring" "$ring"
		printf "%-${width}s  key   updated       %s\n" %user:wqmon "$key"
	} | printed && keyctl unlink "$other" @s
}

test_removal_ends_it() {
	watch 1 "$ring" && keyctl unlink "$ring" @s && ended 0 || return
	printed <<-EOF
		$ring  meta  removal       not watched any more
	EOF
}

test_loss_is_told_where_it_was() {
	watch 1 --size 32 --json "$ring" && overflow 40 &&
		until_true lines_are loss "$work/out" 1 &&
		keyctl clear "$ring" && until_true lines_are cleared "$work/out" 1 &&
		kill "$pid" && ended 0 || return
	sed -e 's/"time":"[^"]*",//' -e 's/,"key.*event":/ /' -e 's/,"lost.*//' "$work/out" | uniq -c |
		awk '{ print $1, $NF }' >"$work/summary"
	mv "$work/summary" "$work/out"
	printed <<-EOF
		32 "setattr"}
		1 {"watch":null,"type":"meta","event":"loss"
		1 "cleared"}
	EOF
}

test_beyond_mainline_loss_is_counted() {
	watch 1 --size 32 "$ring" && overflow 50 &&
		until_true lines_are loss "$work/out" 1 && kill "$pid" && ended 0 || return
	[ "$(grep -c setattr "$work/out")" -eq 32 ] &&
		grep -q 'meta  loss          18 messages were lost here$' "$work/out"
}

test_signals_end_it() {
	for signal in INT TERM; do
		watch 1 "$ring" && kill -$signal "$pid" && ended 0 && printed </dev/null || return
	done
}

test_what_is_in_the_queue_at_the_end_is_printed() {
	watch 1 --size 64 "$ring" && kill -STOP "$pid" && until_true is_stopped || return
	keyctl clear "$ring" && kill -TERM "$pid" && kill -CONT "$pid" && ended 0 || return
	printed <<-EOF
		$ring  key   cleared       $ring
	EOF
}

test_too_few_events_are_another_exit_code() {
	watch 1 --count 3 "$ring" && keyctl clear "$ring" && keyctl unlink "$ring" @s &&
		ended 4 && lines_are cleared "$work/out" 1 && lines_are removal "$work/out" 1 &&
		watch 1 --count 1 --timeout 0.1 "$key" && ended 4 && printed </dev/null
}

test_failures_are_one_line() {
	failed 1 "%:nobody: Required key not available" %:nobody &&
		failed 1 "cannot size the queue" --size 999999999999 "$ring" &&
		failed 1 "$ring: cannot watch the key: Device or resource busy" "$ring" "$ring"
}

test_source_that_is_not_there_is_told_of() {
	wqmon --devices --timeout 0 2>/dev/null ||
		failed 3 "no notifications of type device (CONFIG_WATCH_DEVICE)" --devices
}

test_beyond_mainline_large_queue_is_made() {
	watch 1 --size 4096 "$ring" && kill "$pid" && ended 0
}

test_beyond_mainline_stats_add_up() {
	watch 2 --stats --size 32 --filter key:setattr,updated %:wqmon "$key" &&
		keyctl clear "$ring" && overflow 40 &&
		until_true lines_are loss "$work/out" 1 && kill "$pid" && ended 0 || return
	grep -vE 'setattr  |loss  ' "$work/out" >"$work/stats"
	mv "$work/stats" "$work/out"
	printed <<-EOF
		posted 41: delivered 32, filtered 1, lost 8; 0 of 32 in the queue
		filter key:updated,setattr
		watch %:wqmon: keyctl $ring
		watch $key: keyctl $key
	EOF
}

test_beyond_mainline_stats_are_json_too() {
	watch 1 --stats --json --size 100 "$ring" && kill -INT "$pid" && ended 0 || return
	printed <<-EOF
		{"type":"stats","size":128,"messages":0,"bytes":0,"posted":0,"delivered":0,"filtered":0,"lost":0,"rules":[],"watches":[{"source":"keyctl","id":$ring,"tag":1}]}
	EOF
}

# start_example NAME
start_example() {
	background "$work/out" "$1" "%:wqmon"
	until_true lines_are '^watching' "$work/out" 1
}

# example NAME: it prints two events and the end
example() {
	start_example "$1" && other=$(keyctl add user other x "$ring") &&
		until_true lines_are linked "$work/out" 1 && keyctl clear "$ring" &&
		until_true lines_are cleared "$work/out" 1 && keyctl unlink "$ring" @s &&
		ended 0 || return
	printed <<-EOF
		watching %:wqmon
		linked $other into $ring
		cleared $ring
		removal $ring is not watched any more
	EOF
}

test_example_simple_works() { example simple; }
test_example_mio_works() { example mio; }
test_example_tokio_works() { example tokio; }

# witness: another wqmon, which ends when the ring is collected
witness() {
	: >"$work/witness"
	wqmon --filter meta "$ring" >/dev/null 2>"$work/witness" &
	witnesses="$witnesses $!"
	until_true lines_are '^wqmon: watching' "$work/witness" 1
}

# lose_removal TIMES: has the removal of the ring be among the losses.  Watches go in one
# order in C, and in another in Rust: of a witness that watched first, before this is
# called, and one that watches last, one gets the last removal.
lose_removal() {
	kill -STOP "$pid" && until_true is_stopped && witness || return
	i=0
	while [ $i -lt "$1" ]; do
		keyctl setperm "$ring" 0x3f3f0000 || return
		i=$((i + 1))
	done
	keyctl unlink "$ring" @s || return
	for witness in $witnesses; do
		until_true is_over "$witness" || return
	done
	kill -CONT "$pid"
}

test_lost_removal_is_found_out() {
	witness && watch 1 --size 32 "$ring" && lose_removal 40 && ended 0 &&
		tail -n 1 "$work/out" >"$work/last" && mv "$work/last" "$work/out" || return
	printed <<-EOF
		$ring  meta  removal       not watched any more; this was among the losses
	EOF
}

# As on mainline, where fdinfo has no watches: it tries to watch once more.
test_lost_removal_is_found_out_without_fdinfo() {
	mkdir "$work/jail" && cp "$(command -v wqmon)" "$work/jail/" || return
	witness && background "$work/out" chroot "$work/jail" /wqmon --size 32 "$ring" "$key" &&
		until_true starts 2 && lose_removal 40 && until_true lines_are 'not watched' "$work/out" 1 &&
		keyctl update "$key" chorus && until_true lines_are updated "$work/out" 1 &&
		kill "$pid" && ended 0 || return
	grep -v -e setattr -e 'meta  loss' "$work/out" | sed 's/   *\(meta\|key\) /  \1 /' >"$work/last" && mv "$work/last" "$work/out"
	printed <<-EOF
		$ring  meta  removal       not watched any more; this was among the losses
		$key  key   updated       $key
	EOF
}

test_what_is_still_watched_after_losses_stays() {
	witness && watch 2 --size 32 "$ring" "$key" && lose_removal 40 &&
		until_true lines_are 'this was among the losses' "$work/out" 1 &&
		keyctl update "$key" chorus && until_true lines_are updated "$work/out" 1 &&
		kill "$pid" && ended 0 && [ "$(grep -c removal "$work/out")" -eq 1 ]
}

# deaf_example NAME: it notices that it does not watch any more
deaf_example() {
	witness && start_example "$1" && lose_removal 300 && ended 0 || return
	tail -n 1 "$work/out" | grep -q '^%:wqmon is gone$'
}

test_example_simple_is_not_deaf() { deaf_example simple; }
test_example_mio_is_not_deaf() { deaf_example mio; }
test_example_tokio_is_not_deaf() { deaf_example tokio; }

test_time_is_printed_as_asked_for() {
	day='20[0-9][0-9]-[01][0-9]-[0-3][0-9]' clock='[0-2][0-9]:[0-5][0-9]:[0-6][0-9]'
	for time in "iso ${day}T${clock}[.][0-9]*Z" "relative  *[0-9]*[.][0-9]*" "unix [0-9]*[.][0-9]*"; do
		watch 1 --count 1 --time="${time%% *}" "$ring" && keyctl clear "$ring" && ended 0 &&
			grep -q "^${time#* }  $ring  key   cleared  " "$work/out" || return
	done
}

test_format_has_fields() {
	watch 1 --count 1 --format '%w|%t|%e|%s|%{key}|%{none}|%%' "$ring" &&
		keyctl clear "$ring" && ended 0 || return
	printed <<-EOF
		$ring|key|cleared|$ring|$ring||%
	EOF
}

test_colours_are_for_terminals() {
	watch 1 --count 1 "$ring" && keyctl clear "$ring" && ended 0 &&
		! grep -q "$(printf '\033')" "$work/out" || return
	watch 1 --count 1 --color=always "$ring" && keyctl clear "$ring" && ended 0 &&
		grep -q "$(printf '\033')\\[36mcleared" "$work/out"
}

# clears_until_ran: it does not say when it watches
clears_until_ran() { keyctl clear "$ring" && [ -e "$work/ran" ]; }

test_quiet_says_nothing() {
	wqmon -q --timeout 0 "$ring" >"$work/out" 2>&1 && printed </dev/null || return
	background "$work/out" wqmon -qq --count 1 --exec "cat >$work/ran" "$ring"
	until_true clears_until_ran && ended 0 && cat "$work/err" >>"$work/out" &&
		printed </dev/null && grep -q '"event":"cleared"' "$work/ran"
}

test_programs_are_run_for_events() {
	watch 1 --jobs 1 --count 2 --exec \
		"echo \$WQMON_WATCH \$WQMON_TYPE \$WQMON_EVENT \$WQMON_LEFT_OUT >>$work/ran; cat >>$work/ran" \
		"$ring" && keyctl setperm "$ring" 0x3f3f0000 && keyctl clear "$ring" && ended 0 || return
	mv "$work/ran" "$work/out"
	printed <<-EOF
		$ring key setattr 0
		{"watch":"$ring","type":"key","key":$ring,"event":"setattr"}
		$ring key cleared 0
		{"watch":"$ring","type":"key","key":$ring,"event":"cleared"}
	EOF
}

test_events_that_no_program_is_run_for_are_counted() {
	mkfifo "$work/gate" && exec 3<>"$work/gate" || return
	watch 1 --size 512 --jobs 1 --textfile "$work/prom" \
		--exec "read x <$work/gate; echo \$WQMON_LEFT_OUT >>$work/ran" "$ring" || return
	i=0
	while [ $i -lt 300 ]; do
		keyctl setperm "$ring" 0x3f3f0000 || return
		i=$((i + 1))
	done
	# One runs, 256 wait, and 43 are left out.
	until_true lines_are setattr "$work/out" 300 &&
		grep -q "is too slow: leaving out events" "$work/err" || return
	i=0
	while [ $i -lt 258 ]; do
		echo >&3
		i=$((i + 1))
	done
	until_true lines_are '^0$' "$work/ran" 257 && keyctl clear "$ring" &&
		until_true lines_are '^43$' "$work/ran" 1 && exec 3>&- &&
		kill "$pid" && ended 0 && grep -q 'left out 43 events' "$work/err" &&
		grep -q '^wqmon_exec_left_out_total 43$' "$work/prom" &&
		grep -q '^wqmon_exec_total 258$' "$work/prom"
}

test_program_that_fails_is_said() {
	watch 1 --count 1 --exec "exit 3" "$ring" && keyctl clear "$ring" && ended 0 &&
		grep -q "^wqmon: 'exit 3': exit status: 3$" "$work/err"
}

test_counts_are_for_node_exporter() {
	watch 1 --textfile "$work/wqmon.prom" "$ring" && keyctl clear "$ring" &&
		until_true lines_are cleared "$work/out" 1 && keyctl unlink "$ring" @s && ended 0 || return
	grep -v -e '^#' -e timestamp "$work/wqmon.prom" >"$work/out"
	printed <<-EOF
		wqmon_events_total{watch="$ring",type="key",event="cleared"} 1
		wqmon_events_total{watch="$ring",type="meta",event="removal"} 1
		wqmon_lost_total 0
		wqmon_exec_total 0
		wqmon_exec_failed_total 0
		wqmon_exec_left_out_total 0
		wqmon_watched{watch="$ring"} 0
	EOF
}

test_reader_who_goes_ends_it() {
	mkfifo "$work/pipe"
	head -n 1 <"$work/pipe" >"$work/head" &
	background "$work/pipe" wqmon "$ring"
	until_true starts 1 && keyctl clear "$ring" && ended 0 && grep -q cleared "$work/head" &&
		[ "$(wc -l <"$work/err")" -eq 1 ]
}

test_signal_ends_it_while_its_output_is_blocked() {
	[ -p "$work/pipe" ] || mkfifo "$work/pipe"
	# shellcheck disable=SC2217 # it has it open, and does not read
	sleep 1000 <"$work/pipe" &
	sleeper=$!
	background "$work/pipe" wqmon --format "%e $(printf '%0250d' 0)" --size 512 "$ring"
	until_true starts 1 || return
	i=0
	# More than a pipe has room for, and less than the queue
	while [ $i -lt 400 ]; do
		keyctl setperm "$ring" 0x3f3f0000 || return
		i=$((i + 1))
	done
	kill "$pid" && ended 0 && grep -q 'bytes of output were not written' "$work/err"
	result=$?
	kill $sleeper
	return $result
}

test_closed_standard_error_is_no_panic() {
	wqmon --timeout 0 "$ring" >"$work/out" 2>&- && printed </dev/null || return
	# A pipe that nobody reads
	{ wqmon --timeout 1 "$ring" >"$work/out"; echo $? >"$work/code"; } 2>&1 | :
	until_true test -s "$work/code" && [ "$(cat "$work/code")" -eq 0 ]
}

test_full_disk_behind_the_output_is_said() {
	mkdir "$work/full" && mount -t tmpfs -o size=4k none "$work/full" || return
	head -c 4090 /dev/zero >"$work/full/out"
	background "$work/full/out" wqmon "$ring"
	until_true starts 1 && keyctl clear "$ring" && ended 1 &&
		grep -q '^wqmon: cannot write the output: No space left on device$' "$work/err"
	result=$?
	umount "$work/full"
	return $result
}

# faulty CODE TEXT FAULT [OPTION]: how wqmon, which two events and two programs would
# end, ends if system calls fail; or with this option in place of programs
faulty() {
	rm -f "$work/ran"
	background "$work/out" strace -f -qqq -o "$work/trace" -e "inject=$3" \
		wqmon --count 2 "${4:---exec=cat >>$work/ran}" "$ring"
	until_true starts 1 && keyctl setperm "$ring" 0x3f3f0000 && keyctl clear "$ring" &&
		until_true is_over "$pid" && wait "$pid"
	code=$?
	pid=
	grep -q INJECTED "$work/trace" && [ $code -eq "$1" ] && grep -q "$2" "$work/err" &&
		! grep -qv '^wqmon: ' "$work/err" && return
	ktap_print_msg "$3: exit code $code"
	sed 's/^/# /' "$work/err"
	return 1
}

test_system_calls_that_fail_are_said() {
	if ! command -v strace >/dev/null; then
		skip "strace has to be installed"
		return
	fi
	faulty 1 'cannot prepare for signals: Too many open files$' pipe2:error=EMFILE:when=1 &&
		faulty 1 'cannot make a notification queue: Too many open files$' pipe2:error=EMFILE:when=2 &&
		faulty 0 "cannot run 'cat .*': Too many open files$" pipe2:error=EMFILE:when=3+ &&
		faulty 1 'cannot size the queue: Cannot allocate memory$' ioctl:error=ENOMEM:when=1 &&
		faulty 1 "$ring: cannot watch the key: Permission denied$" keyctl:error=EACCES &&
		faulty 1 'cannot wait for events: Cannot allocate memory$' ppoll:error=ENOMEM &&
		faulty 1 'cannot write the output: Input/output error$' write:error=EIO:when=2 --json &&
		faulty 0 "cannot run 'cat .*': Cannot allocate memory$" clone,clone3:error=ENOMEM &&
		faulty 0 "cannot run 'cat .*': Permission denied$" execve:error=EACCES:when=1
}

test_system_calls_that_are_interrupted_are_done_again() {
	if ! command -v strace >/dev/null; then
		skip "strace has to be installed"
		return
	fi
	for call in read write ppoll wait4; do
		faulty 0 '^wqmon: watching' "$call:error=EINTR:when=1+2" &&
			[ "$(wc -l <"$work/out")" -eq 2 ] && [ "$(wc -l <"$work/ran")" -eq 2 ] || return
	done
}

# What is posted is printed, or said to be lost.
test_beyond_mainline_nothing_is_lost_in_silence() {
	watch 1 --stats --size 64 --format '%e %s' "$ring" || return
	posted=$("$dir/wqmon_storm" "$ring" "${STORM:-20000}" "${STORM_SECONDS:-3}") &&
		kill "$pid" && ended 0 || return
	awk -v posted="$posted" '
		$1 == "setattr" { printed++ }
		$1 == "loss" { lost += $2; runs++ }
		$1 == "posted" { said = $2 + 0 }
		END {
			print "# " posted " posted, " printed " printed, " lost " lost in " runs " runs"
			exit !(posted > 1000 && printed + lost == posted && said == posted)
		}' "$work/out"
}

test_configuration_is_read_again() {
	cat >"$work/toml" <<-EOF
		output = "json"
		[[watch]]
		name = "ring"
		key = "%:wqmon"
	EOF
	watch 1 --config "$work/toml" || return
	cat >>"$work/toml" <<-EOF
		[[watch]]
		name = "key"
		key = "%user:wqmon"
		filter = ["key:updated"]
		[[run]]
		watch = "key"
		command = "cat >>$work/ran"
	EOF
	kill -STOP "$pid" && until_true is_stopped && keyctl clear "$ring" && kill -HUP "$pid" &&
		keyctl setperm "$ring" 0x3f3f0000 && kill -CONT "$pid" &&
		until_true lines_are 'read again' "$work/err" 1 && keyctl update "$key" chorus &&
		keyctl setperm "$key" 0x3f3f0000 && keyctl clear "$ring" &&
		until_true lines_are . "$work/out" 4 && until_true test -s "$work/ran" || return
	# What is wrong changes nothing.
	echo "[[watch]]" >>"$work/toml" && kill -HUP "$pid" &&
		until_true lines_are 'one of key' "$work/err" 1 && keyctl clear "$ring" &&
		until_true lines_are . "$work/out" 5 && printf 'output = "json"\n[[watch]]\nkey = "%%user:wqmon"\n' >"$work/toml" &&
		kill -HUP "$pid" && until_true lines_are 'read again' "$work/err" 2 &&
		keyctl clear "$ring" && keyctl update "$key" refrain &&
		until_true lines_are . "$work/out" 6 && kill "$pid" && ended 0 || return
	printed <<-EOF || return
		{"watch":"ring","type":"key","key":$ring,"event":"cleared"}
		{"watch":"ring","type":"key","key":$ring,"event":"setattr"}
		{"watch":"key","type":"key","key":$key,"event":"updated"}
		{"watch":"ring","type":"key","key":$ring,"event":"cleared"}
		{"watch":"ring","type":"key","key":$ring,"event":"cleared"}
		{"watch":"%user:wqmon","type":"key","key":$key,"event":"updated"}
	EOF
	grep -q '"event":"updated"' "$work/ran"
}

test_reloads_do_not_use_up_tags() {
	for name in ring key; do
		printf '[[watch]]\nkey = "%%:wqmon"\n[[watch]]\nkey = "%s"\n' \
			"$([ $name = ring ] && echo @s || echo %user:wqmon)" >"$work/toml.$name"
	done
	cp "$work/toml.ring" "$work/toml" && watch 2 --config "$work/toml" || return
	i=0
	while [ $i -lt 260 ]; do
		i=$((i + 1))
		[ $((i % 2)) -eq 0 ] && name=ring || name=key
		cp "$work/toml.$name" "$work/toml" && kill -HUP "$pid" &&
			until_true lines_are 'read again' "$work/err" $i || return
	done
	! grep 'more than 255' "$work/err" && keyctl clear "$ring" &&
		until_true lines_are cleared "$work/out" 1 && kill "$pid" && ended 0
}

test_service_watches_again_what_comes_back() {
	printf '[[watch]]\nname = "ring"\nkey = "%%:wqmon"\n' >"$work/toml"
	watch 1 --config "$work/toml" && keyctl unlink "$ring" @s &&
		until_true lines_are removal "$work/out" 1 && ring=$(keyctl newring wqmon @s) &&
		until_true lines_are "watching ring ($ring)" "$work/err" 1 && keyctl clear "$ring" &&
		until_true lines_are cleared "$work/out" 1 && kill "$pid" && ended 0
}

test_service_waits_for_what_it_watches() {
	for name in ring later; do
		printf '[[watch]]\nname = "%s"\nkey = "%%user:%s"\n' $name "$name"
	done | sed 's/%user:ring/%:wqmon/' >"$work/toml"
	watch 1 --config "$work/toml" &&
		grep -q '^wqmon: later: Required key not available; waiting for it$' "$work/err" &&
		keyctl clear "$ring" && until_true lines_are cleared "$work/out" 1 &&
		later=$(keyctl add user later x @s) &&
		until_true lines_are "^wqmon: watching later ($later)$" "$work/err" 1 &&
		keyctl update "$later" y && until_true lines_are updated "$work/out" 1 &&
		kill -HUP "$pid" && until_true lines_are 'read again' "$work/err" 1 &&
		kill "$pid" && ended 0 && keyctl unlink "$later" @s || return
	printed <<-EOF
		ring   key   cleared       $ring
		later  key   updated       $later
	EOF
}

no_ring_is_left() { ! grep -q ' keyring  *wqmon:' /proc/keys; }

# before_each and after_each: what all tests have
before_each() {
	rm -f "$work/ran"
	witnesses=
	# That of the test before may not have been collected, and be found by name.
	until_true no_ring_is_left
	ring=$(keyctl newring wqmon @s)
	key=$(keyctl add user wqmon song @s)
}

after_each() {
	keyctl unlink "$ring" @s 2>/dev/null
	keyctl unlink "$key" @s 2>/dev/null
}

run_tests

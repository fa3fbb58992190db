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
		$ring  meta  removal       $ring is not watched any more
	EOF
}

test_loss_is_told_where_it_was() {
	watch 1 --size 32 --json "$ring" && overflow 40 &&
		until_true lines_are loss "$work/out" 1 &&
		keyctl clear "$ring" && until_true lines_are cleared "$work/out" 1 &&
		kill "$pid" && ended 0 || return
	sed -e 's/,"key.*event":/ /' -e 's/,"lost.*//' "$work/out" | uniq -c |
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
	watch 1 --count 2 --timeout 3 "$ring" && keyctl clear "$ring" && ended 4 || return
	lines_are cleared "$work/out" 1
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

# example NAME: it prints two events and the end
example() {
	"$1" "%:wqmon" >"$work/out" 2>"$work/err" &
	pid=$!
	until_true lines_are '^watching' "$work/out" 1 && other=$(keyctl add user other x "$ring") &&
		until_true lines_are linked "$work/out" 1 && keyctl clear "$ring" &&
		until_true lines_are cleared "$work/out" 1 && keyctl unlink "$ring" @s &&
		ended 0 || return
	printed <<-EOF
		watching $ring
		linked $other into $ring
		cleared $ring
		removal $ring is not watched any more
	EOF
}

test_example_simple_works() { example simple; }
test_example_mio_works() { example mio; }
test_example_tokio_works() { example tokio; }

# before_each and after_each: what all tests have
before_each() {
	ring=$(keyctl newring wqmon @s)
	key=$(keyctl add user wqmon song @s)
}

after_each() {
	keyctl unlink "$ring" @s 2>/dev/null
	keyctl unlink "$key" @s 2>/dev/null
}

run_tests

# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
#
# What the tests of wqmon share.  Sourced by them, with `dir` set to where they
# are.

# shellcheck disable=SC1091,SC2154 # of kselftest; see above
. "$dir/../kselftest/ktap_helpers.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
pid=

# until_true COMMAND...: gives it half a minute, as a guest may be slow
until_true() {
	tries=0
	until "$@"; do
		tries=$((tries + 1))
		if [ $tries -gt 600 ]; then
			ktap_print_msg "in vain: $*"
			return 1
		fi
		sleep 0.05
	done
}

lines_are() { [ "$(grep -c "$1" "$2")" -ge "$3" ]; }
starts() { lines_are '^wqmon: watching' "$work/err" "$1" || ! kill -0 "$pid" 2>/dev/null; }
is_over() { [ ! -e "/proc/$1" ] || grep -qs "^State:.Z" "/proc/$1/status"; }
is_stopped() { grep -q '^State:.T' "/proc/$pid/status"; }

# background OUTPUT COMMAND...: starts it; OUTPUT gets what it prints.  That of the
# command before goes first: until the new one runs, it could be taken for its.
background() {
	output=$1
	shift
	: >"$work/out"
	: >"$work/err"
	"$@" >>"$output" 2>"$work/err" &
	pid=$!
}

# watch NUMBER ARGUMENT...: starts wqmon, and waits until it watches so many things
watch() {
	watches=$1
	shift
	background "$work/out" wqmon "$@"
	until_true starts "$watches" && lines_are '^wqmon: watching' "$work/err" "$watches" && return
	sed 's/^/# /' "$work/err"
	return 1
}

# ended CODE: wqmon has ended, and so
ended() {
	until_true is_over "$pid" || return
	wait "$pid"
	code=$?
	pid=
	[ $code -eq "$1" ] && return
	ktap_print_msg "exit code $code instead of $1"
	sed 's/^/# /' "$work/err"
	return 1
}

# printed: wqmon has printed what stdin is, and nothing else, but for the time in JSON
printed() {
	cat >"$work/expected"
	sed 's/^{"time":"[-0-9]*T[0-9:.]*Z",/{/' "$work/out" >"$work/timeless"
	diff -u "$work/expected" "$work/timeless" >"$work/diff" && return
	sed 's/^/# /' "$work/diff"
	return 1
}

# failed CODE TEXT ARGUMENT...: wqmon ends with this code, and one line with this text
failed() {
	code=$1 text=$2
	shift 2
	wqmon "$@" >"$work/out" 2>"$work/all"
	[ $? -eq "$code" ] && grep -v '^wqmon: watching' "$work/all" >"$work/err" &&
		[ "$(wc -l <"$work/err")" -eq 1 ] && [ ! -s "$work/out" ] &&
		grep -q "^wqmon: .*$text" "$work/err" && return
	sed 's/^/# /' "$work/all"
	return 1
}

# skip REASON: the test that calls this, and returns then, is not for here
skip() {
	skipped=yes
	ktap_print_msg "$*"
}

# run_tests: those of the script that calls this, between before_each and
# after_each
run_tests() {
	tests=$(sed -n 's/^\(test_[a-z_]*\)() {.*/\1/p' "$0")
	ktap_print_header
	if ! command -v wqmon >/dev/null || ! command -v keyctl >/dev/null; then
		ktap_skip_all "wqmon and keyctl have to be installed"
		exit "$KSFT_SKIP"
	fi
	ktap_set_plan "$(echo "$tests" | wc -l)"
	for test in $tests; do
		# As the harness for C says it
		echo "#  RUN           ${test#test_} ..."
		before_each
		skipped=
		if ! "$test"; then
			ktap_test_fail "${test#test_}"
		elif [ -n "$skipped" ]; then
			ktap_test_skip "${test#test_}"
		else
			ktap_test_pass "${test#test_}"
		fi
		[ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null
		pid=
		after_each
	done
	ktap_finished
}

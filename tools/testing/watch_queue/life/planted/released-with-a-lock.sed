# SPDX-License-Identifier: GPL-2.0
# Calls a source, which may sleep, with the lock of a tree held.
# File: watch.rs
# Found by: two_queues_and_two_objects_go_at_once: a lock is held
/^pub(crate) fn detach_all/,/^}/ {
	/drop(watches);/d
}

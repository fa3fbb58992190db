# SPDX-License-Identifier: GPL-2.0
# Calls a source, which may sleep, with the lock of a tree held.
# File: watch.rs
# Found by: two_queues_and_two_objects_go_at_once: a lock is held
/^pub(crate) fn detach_all/,/^}/ {
	s/watches\.take_some(context)/{ let (some, is_last) = watches.take_some(context); some.release(); (raw::Batch::new(), is_last) }/
}

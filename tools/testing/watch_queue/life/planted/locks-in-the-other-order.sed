# SPDX-License-Identifier: GPL-2.0
# Takes the lock of a list before that of a tree.
# File: watch.rs
# Found by: attaching_is_no_obstacle_to_removing: deadlock
/^pub(crate) fn attach/,/^}/ {
	s/queue\.watches()\.with_context(|watches, context| {/list.with_lock(|_| queue.watches().with(|_| ()));\n    &/
}

# SPDX-License-Identifier: GPL-2.0
# Takes the lock of a list before that of a tree.
# File: watch.rs
# Found by: torture: possible circular locking
/^pub(crate) fn attach/,/^}/ {
	/let queue = watch\.queue();/a\
	list.with_lock(|_| queue.watches().with(|_| ()));
}

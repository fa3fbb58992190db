# SPDX-License-Identifier: GPL-2.0
# Takes the lock of a list before that of a tree.
# File: watch.rs
# Found by: torture: possible circular locking
/^pub(crate) fn attach/,/^}/ {
	/let locked = list\.lock();/d
	s/^\( *\)let mut watches = .*/\1let locked = list.lock();\n&/
}

# SPDX-License-Identifier: GPL-2.0
# Says that a watch was taken back that the object has taken, and reported.
# File: watch.rs
# Found by: an_object_that_is_going_is_not_watched_for_ever: a removal was lost
/^pub(crate) fn withdraw(/,/^}/ {
	s/None => false,/None => true,/
}

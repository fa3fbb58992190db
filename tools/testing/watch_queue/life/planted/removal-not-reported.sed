# SPDX-License-Identifier: GPL-2.0
# Removes a watch by hand, and says nothing.
# File: watch.rs
# Found by: a_queue_that_stays_gets_each_removal_once: a removal was lost
/^pub(crate) fn remove(/,/^}/ {
	/watch\.notify(id);/d
}

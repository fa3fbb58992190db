# SPDX-License-Identifier: GPL-2.0
# Closes a queue after its watches have been taken, not before.
# File: watch.rs
# Found by: nothing_is_attached_to_a_queue_that_is_closed: releases
/^pub(crate) fn detach_all/,/^}/ {
	/watches\.close();/d
	s/^}/    queue.watches().with(|watches| watches.close());\n}/
}

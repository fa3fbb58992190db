# SPDX-License-Identifier: GPL-2.0
# Attaches a watch to a queue that has been closed.
# File: watch/tree.rs
# Found by: nothing_is_attached_to_a_queue_that_is_closed: releases
s/if self\.is_closed {/if false {/

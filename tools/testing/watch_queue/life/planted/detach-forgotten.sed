# SPDX-License-Identifier: GPL-2.0
# Leaves a watch in the tree that it has taken off its list.
# File: watch/tree.rs
# Found by: a_queue_that_stays_gets_each_removal_once: a watch in a tree was given to RCU
s/if unsafe { (\*node).__rb_parent_color } != node as c_ulong {/if false {/

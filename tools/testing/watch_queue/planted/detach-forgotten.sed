# SPDX-License-Identifier: GPL-2.0
# Leaves a watch in the tree that it has taken off its list.
# File: watch/tree.rs
# Found by: fuzz-kernel: BUG: KASAN|Kernel mode fault
s/if unsafe { (\*node).__rb_parent_color } != node as c_ulong {/if false {/

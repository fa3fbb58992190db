# SPDX-License-Identifier: GPL-2.0
# Leaves a file that is closed on the list of those that get signals when there is something to read.
# File: queue.rs
# Found by: fuzz-kernel: BUG: KASAN|Oops|general protection|a thread is stuck
/fn set_fasync/,/^    }/ s/if mode\.reads {/if mode.reads \&\& on {/

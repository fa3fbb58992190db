# SPDX-License-Identifier: GPL-2.0
# Leaves a file on the list of those that get signals to read, if it could not be put on that of signals to write.
# File: queue.rs
# Found by: fuzz-kernel: BUG: KASAN|Oops|general protection
/fn set_fasync/,/^    }/ s/if added {/if false {/

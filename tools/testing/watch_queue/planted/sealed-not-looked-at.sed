# SPDX-License-Identifier: GPL-2.0
# Lets a sealed queue be opened for writing.
# File: queue.rs
# Found by: fuzz-kernel: a sealed queue was opened
/fn permit_open/,/^    }/ s/mode\.writes \&\& self/false \&\& self/

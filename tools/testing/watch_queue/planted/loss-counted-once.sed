# SPDX-License-Identifier: GPL-2.0
# Counts a loss with a message behind it as one record, however many it takes.
# File: ring.rs
# Found by: fuzz-kernel: attempt to subtract with overflow|FIONREAD
s/self\.records += note::records(self\.lost);/self.records += 1;/

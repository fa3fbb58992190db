# SPDX-License-Identifier: GPL-2.0
# Counts what a record says as lost, and not what is left behind it.
# File: ring.rs
# Found by: fuzz-kernel: FIONREAD|was read for a loss
s/poster\.records -= note::records(loss\.lost) - note::records(rest\.lost);/poster.records -= 1;/

// SPDX-License-Identifier: GPL-2.0

//! Prints what happens to keys, mounts, file systems, disks and devices, from a notification
//! queue.

use std::process::ExitCode;

fn main() -> ExitCode {
    wqmon::main()
}

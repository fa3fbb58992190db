// SPDX-License-Identifier: GPL-2.0

//! Configures the code as for a kernel that has sources of its own.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-cfg=CONFIG_WATCH_SOURCES");
}

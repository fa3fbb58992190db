// SPDX-License-Identifier: GPL-2.0

//! `watch.rs` and all of `watch/`, as they are, in every interleaving in which a thread is
//! preempted at most so many times.
//!
//! The modules in `kernel/` replace the kernel: locks are loom's, RCU is a count of readers, and
//! freed memory is marked.  [`world`] lists the bugs that a model finds, and those that it cannot.

#![cfg(test)]

// `kernel::` in the code is this crate.
extern crate self as kernel;

/// The code.
#[path = "../../../../.."]
mod code {
    pub(crate) mod filter;
    pub(crate) mod note;
    pub(crate) mod watch;
}
pub(crate) use code::{filter, note, watch};

#[path = "kernel/bindings.rs"]
pub mod bindings;
#[path = "kernel/lib.rs"]
mod kernel_crate;
#[path = "kernel/world.rs"]
mod world;

pub(crate) use kernel_crate::*;

mod queue;
mod trace;

mod tests;

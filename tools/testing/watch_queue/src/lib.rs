// SPDX-License-Identifier: GPL-2.0

//! The modules of `kernel/watch_queue/` that need no kernel, as they are, with tests that the
//! kernel is no place for: against models, with random input, and in every interleaving.

#[path = "../../../../filter.rs"]
mod filter;
#[path = "../../../../note.rs"]
mod note;
#[path = "../../../../ring/overflow.rs"]
mod overflow;
#[path = "../../../../ring.rs"]
mod ring;

mod platform;

#[cfg(all(test, not(loom)))]
mod corpus;
#[cfg(all(any(test, fuzzing), not(loom)))]
mod filter_model;
#[cfg(all(test, not(loom)))]
mod filter_properties;
#[cfg(all(any(test, fuzzing), not(loom)))]
pub mod fuzzing;
#[cfg(all(test, not(loom)))]
mod note_properties;
#[cfg(all(test, loom))]
mod ring_loom;
#[cfg(all(any(test, fuzzing), not(loom)))]
mod ring_model;
#[cfg(all(test, not(loom)))]
mod ring_properties;

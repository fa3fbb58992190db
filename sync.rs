// SPDX-License-Identifier: GPL-2.0

//! Synchronisation primitives that the kernel crate does not have yet.

pub(crate) mod irq_work;
pub(crate) mod lock;
pub(crate) mod rcu_cell;
pub(crate) mod wait;

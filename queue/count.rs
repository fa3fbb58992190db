// SPDX-License-Identifier: GPL-2.0

//! A per-CPU count.
//!
//! C header: [`include/linux/percpu.h`](srctree/include/linux/percpu.h)

use core::ptr;
use kernel::{
    bindings,
    prelude::*,
    sync::{
        atomic::{Atomic, Full, Relaxed},
        barrier::smp_mb,
    },
};

use crate::sync::read_once;

/// A number for each CPU, once there is memory for them.
///
/// # Invariants
///
/// The pointer is null, or to per-CPU memory of a `u64`, which this owns.  It is set once.
pub(super) struct Count(Atomic<*mut u64>);

impl Count {
    /// Makes a count of nothing, without memory.
    pub(super) fn new() -> Self {
        // INVARIANT: Null is allowed.
        Self(Atomic::new(ptr::null_mut()))
    }

    /// Allocates the memory, unless there is some already.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn allocate(&self) -> Result {
        if !self.0.load(Relaxed).is_null() {
            return Ok(());
        }
        // SAFETY: There are no requirements.
        let numbers = unsafe { bindings::watch_queue_alloc_count() };
        if numbers.is_null() {
            return Err(ENOMEM);
        }
        // INVARIANT: It has just been allocated, and nothing was there before.
        if self.0.cmpxchg(ptr::null_mut(), numbers, Full).is_err() {
            // SAFETY: The exchange failed, so this memory has not been shared.
            unsafe { bindings::free_percpu(numbers.cast()) };
        }
        Ok(())
    }

    /// Counts one.
    ///
    /// Whoever has seen something that was published, with a full barrier, after
    /// [`Count::allocate`] had succeeded, such as a filter, is counted.  Without memory nothing is.
    ///
    /// Context: Any.
    #[inline(always)]
    pub(super) fn add_one(&self) {
        // SAFETY: `self` keeps the atomic valid, and it is stored as a whole.
        let numbers = unsafe { read_once(self.0.as_ptr()) };
        if numbers.is_null() {
            return self.add_one_late();
        }
        // SAFETY: By the invariants this is per-CPU memory.
        unsafe { bindings::watch_queue_count_one(numbers) };
    }

    /// Counts one, if the CPU has loaded the pointer before it loaded the filter.
    ///
    /// Out of line, so that the caller has no registers to save.
    #[cold]
    #[inline(never)]
    fn add_one_late(&self) {
        // Pairs with the full barrier of `RcuCell::replace()`, which published the filter.
        smp_mb(Full);
        let numbers = self.0.load(Relaxed);
        if !numbers.is_null() {
            // SAFETY: By the invariants this is per-CPU memory.
            unsafe { bindings::watch_queue_count_one(numbers) };
        }
    }

    /// Returns the sum, which is exact unless somebody counts meanwhile.
    pub(super) fn sum(&self) -> u64 {
        let numbers = self.0.load(Relaxed);
        if numbers.is_null() {
            return 0;
        }
        // SAFETY: By the invariants this is per-CPU memory.
        unsafe { bindings::watch_queue_sum_count(numbers) }
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        // SAFETY: By the invariants it owns the memory, if there is some.
        unsafe { bindings::free_percpu(self.0.load(Relaxed).cast()) };
    }
}

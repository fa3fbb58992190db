// SPDX-License-Identifier: GPL-2.0

//! A count to which all CPUs add without a line that they share.
//!
//! C header: [`include/linux/percpu.h`](srctree/include/linux/percpu.h)

use core::ptr::NonNull;
use kernel::{bindings, prelude::*};

/// A number for each CPU.
///
/// # Invariants
///
/// The pointer is to per-CPU memory of a `u64`, which this owns.
pub(super) struct Count(NonNull<u64>);

// SAFETY: Any CPU can add to its own number.
unsafe impl Send for Count {}
// SAFETY: As above.
unsafe impl Sync for Count {}

impl Count {
    /// Makes a count of nothing.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn new() -> Result<Self> {
        // SAFETY: There are no requirements.
        let numbers = unsafe { bindings::watch_queue_alloc_count() };
        // INVARIANT: It has just been allocated.
        Ok(Self(NonNull::new(numbers).ok_or(ENOMEM)?))
    }

    /// Counts one.
    ///
    /// Context: Any.
    #[inline(always)]
    pub(super) fn add_one(&self) {
        // SAFETY: By the invariants this is per-CPU memory.
        unsafe { bindings::this_cpu_inc_u64(self.0.as_ptr()) };
    }

    /// Returns the sum, which is exact unless somebody counts meanwhile.
    pub(super) fn sum(&self) -> u64 {
        // SAFETY: By the invariants this is per-CPU memory.
        unsafe { bindings::watch_queue_sum_count(self.0.as_ptr()) }
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        // SAFETY: By the invariants it owns the memory.
        unsafe { bindings::free_percpu(self.0.as_ptr().cast()) };
    }
}

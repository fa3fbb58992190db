// SPDX-License-Identifier: GPL-2.0

//! The receivers of `SIGIO`.

use core::ptr;
use kernel::{bindings, error::to_result, fs::LocalFile, prelude::*, types::Opaque};

use crate::sync::read_once;

/// There is something to read, as `si_band` of the signal says it.
pub(super) const READABLE: u32 = bindings::POLL_IN;

/// There is room to write.
pub(super) const WRITABLE: u32 = bindings::POLL_OUT;

/// A list of files whose owners are sent `SIGIO`.
///
/// # Invariants
///
/// The pointer was null to begin with, and only `fasync_helper()` has changed it since.
pub(super) struct Fasync(Opaque<*mut bindings::fasync_struct>);

// SAFETY: The list is not bound to a thread.
unsafe impl Send for Fasync {}
// SAFETY: `fasync_helper()` and `kill_fasync()` do their own locking.
unsafe impl Sync for Fasync {}

impl Fasync {
    /// Makes an empty list.
    pub(super) fn new() -> Self {
        // INVARIANT: Null is what it begins with.
        Self(Opaque::new(ptr::null_mut()))
    }

    /// Returns whether somebody receives the signal.
    #[inline(always)]
    pub(super) fn is_active(&self) -> bool {
        // SAFETY: The pointer is initialised, and `fasync_helper()` changes it as a whole:
        // `kill_fasync()` looks in the same way before it takes a lock.
        !unsafe { read_once(self.0.get()) }.is_null()
    }

    /// Sends the signal.
    ///
    /// Context: As to take a `spinlock_t`.
    #[inline]
    pub(super) fn kill(&self, band: u32) {
        if self.is_active() {
            // SAFETY: By the invariants this is a list that `kill_fasync()` can walk.
            unsafe { bindings::kill_fasync(self.0.get(), bindings::SIGIO as c_int, band as c_int) };
        }
    }

    /// Adds a file to the list or takes it off, and returns whether that changed anything.
    pub(super) fn set(&self, fd: c_int, file: &LocalFile, on: bool) -> Result<bool> {
        // SAFETY: The file is open as long as it is borrowed.  It is taken off the list when it is
        // released, as it then has the flag `FASYNC`.
        let result =
            unsafe { bindings::fasync_helper(fd, file.as_ptr(), c_int::from(on), self.0.get()) };
        to_result(result)?;
        Ok(result > 0)
    }
}

// SPDX-License-Identifier: GPL-2.0

//! What a reader that polls, and does not begin to wait, sees of a queue without the posters' lock.
//!
//! One that is on the wait queue already says that it wants to be woken, has a full barrier, and
//! looks here: `poll(2)` in `poll_schedule_timeout()`, and epoll in `ep_modify()`.  Whoever changes
//! this has a full barrier before it wakes those on the wait queue, and they look then whether they
//! want to.  So one of the two sees what the other did.

use kernel::sync::atomic::Atomic;

use crate::sync::{
    read_once,
    wait::{Events, HANGUP, READABLE},
    write_once,
};

/// It changes under the lock of `posts` alone, together with what it shows.
pub(super) struct Look {
    is_readable: Atomic<bool>,
    /// Nobody has the queue open for writing.
    is_hung_up: Atomic<bool>,
}

impl Look {
    pub(super) fn new() -> Self {
        Self {
            is_readable: Atomic::new(false),
            is_hung_up: Atomic::new(false),
        }
    }

    /// Shows whether there is something to read.
    ///
    /// The caller holds the lock of `posts`.
    #[inline(always)]
    pub(super) fn set_readable(&self, is_readable: bool) {
        // SAFETY: This is an atomic that is borrowed.
        unsafe { write_once(self.is_readable.as_ptr(), is_readable) }
    }

    /// Shows whether nobody has the queue open for writing.
    ///
    /// The caller holds the lock of `posts`.
    pub(super) fn set_hung_up(&self, is_hung_up: bool) {
        // SAFETY: As above.
        unsafe { write_once(self.is_hung_up.as_ptr(), is_hung_up) }
    }

    /// Returns the events that are there for one that reads.
    pub(super) fn events(&self) -> Events {
        // SAFETY: These are atomics that are borrowed.
        let is_readable = unsafe { read_once(self.is_readable.as_ptr()) };
        // SAFETY: As above.
        let is_hung_up = unsafe { read_once(self.is_hung_up.as_ptr()) };
        let mut events = 0;
        if is_readable {
            events |= READABLE;
        }
        if is_hung_up {
            events |= HANGUP;
        }
        events
    }
}

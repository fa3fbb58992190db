// SPDX-License-Identifier: GPL-2.0

//! The readiness of a queue for `poll()` calls that do not register on a wait queue.
//!
//! They read it without the posters' lock.  Such a caller may be on the wait queue from an earlier
//! call, and must not miss a wake-up:
//!
//! * The poller stores what it waits for, executes a full barrier, and loads the readiness:
//!   `poll(2)` clears `triggered` in `poll_schedule_timeout()`, and epoll stores the events in
//!   `ep_modify()`.
//! * The waker stores the readiness, executes a full barrier in `Queue::notify_readers()` or
//!   `Queue::wake_all()`, and then runs the wake function, which loads what the poller waits for.
//!
//! So at least one of the two sees the store of the other; see `look.litmus`.

use kernel::sync::atomic::Atomic;

use crate::sync::{
    read_once,
    wait::{Events, HANGUP, READABLE},
    write_once,
};

/// The readiness for reading.  It is written only under the lock of `posts`.
pub(super) struct Look {
    /// There is a message or a loss to read.
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

    /// Stores whether there is something to read.
    ///
    /// The caller holds the lock of `posts`.
    #[inline(always)]
    pub(super) fn set_readable(&self, is_readable: bool) {
        // SAFETY: `self` keeps the atomic valid, and `events()` loads the whole of it.
        unsafe { write_once(self.is_readable.as_ptr(), is_readable) }
    }

    /// Stores whether nobody has the queue open for writing.
    ///
    /// The caller holds the lock of `posts`.
    pub(super) fn set_hung_up(&self, is_hung_up: bool) {
        // SAFETY: As above.
        unsafe { write_once(self.is_hung_up.as_ptr(), is_hung_up) }
    }

    /// Returns the events for a file that is open for reading only.
    pub(super) fn events(&self) -> Events {
        // SAFETY: `self` keeps the atomic valid, and it is stored as a whole.
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

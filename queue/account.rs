// SPDX-License-Identifier: GPL-2.0

//! The pages that users are charged for their queues.
//!
//! Queues count against the same limits as pipes do: `pipe-max-size`, `pipe-user-pages-soft` and
//! `pipe-user-pages-hard` in `/proc/sys/fs`, see `pipe(7)` and `proc_sys_fs(5)`.

use core::ptr::NonNull;
use kernel::{bindings, page::PAGE_SIZE, prelude::*};

use crate::{
    ring::{LOSS_SIZE, NOTE_SIZE},
    sync::read_once,
};

/// The pages that a user over the soft limit can still have: `PIPE_MIN_DEF_BUFFERS`, as for
/// ordinary pipes.
const SOFT_LIMIT_SPARES: usize = 2;

/// The pages that a pipe has which nobody has made larger.
const NEW_PIPE: usize = bindings::PIPE_DEF_BUFFERS as usize;

/// The number of messages for which there is room in a page.
pub(super) const NOTES_PER_PAGE: usize = PAGE_SIZE / NOTE_SIZE;

/// A user whose pipe buffers are counted.
///
/// # Invariants
///
/// The pointer is valid and owns a reference.
pub(super) struct User(NonNull<bindings::user_struct>);

// SAFETY: A `struct user_struct` is not bound to a thread.
unsafe impl Send for User {}
// SAFETY: All that is used of it are its counters, which are atomic.
unsafe impl Sync for User {}

impl User {
    /// Returns the user of the current task.
    pub(super) fn current() -> Self {
        // SAFETY: The credentials of the current task are valid and always have a user.
        let user = unsafe { bindings::get_uid((*bindings::current_cred()).user) };
        // INVARIANT: `get_uid()` took a reference.
        // SAFETY: The user is not null.
        Self(unsafe { NonNull::new_unchecked(user) })
    }

    /// Charges the user for one queue that has `pages` pages of messages, and for those that say
    /// where messages were lost.
    ///
    /// `pipe-max-size` limits the messages alone, beyond what a new pipe has.  Nor do losses count
    /// among the pages that a user over the soft limit can have.
    ///
    /// # Errors
    ///
    /// `EPERM` if the caller is unprivileged and that is beyond a limit.
    pub(super) fn charge(&self, pages: usize) -> Result<Charge> {
        // SAFETY: The limit is valid, and sysctl sets it as a whole.
        let max_size = unsafe { read_once(&raw const bindings::pipe_max_size) };
        if pages > NEW_PIPE
            && pages * PAGE_SIZE > max_size as usize
            // SAFETY: This is process context.
            && !unsafe { bindings::capable(bindings::CAP_SYS_RESOURCE as c_int) }
        {
            return Err(EPERM);
        }

        let accounted = pages + (pages * NOTES_PER_PAGE * LOSS_SIZE).div_ceil(PAGE_SIZE);
        // SAFETY: The user is valid, by the invariants.
        let total =
            unsafe { bindings::account_pipe_buffers(self.0.as_ptr(), 0, accounted as c_ulong) };
        // INVARIANT: They have just been accounted.
        let charge = Charge {
            user: self.clone(),
            pages,
            accounted,
        };
        // SAFETY: There are no requirements.
        let is_beyond = unsafe { bindings::too_many_pipe_buffers_hard(total) }
            || pages > SOFT_LIMIT_SPARES
                // SAFETY: As above.
                && unsafe { bindings::too_many_pipe_buffers_soft(total) };
        // SAFETY: This is process context.
        if is_beyond && unsafe { bindings::pipe_is_unprivileged_user() } {
            return Err(EPERM);
        }
        Ok(charge)
    }
}

impl Clone for User {
    fn clone(&self) -> Self {
        // SAFETY: The user is valid, by the invariants.
        unsafe { bindings::get_uid(self.0.as_ptr()) };
        // INVARIANT: `get_uid()` took a reference.
        Self(self.0)
    }
}

impl Drop for User {
    fn drop(&mut self) {
        // SAFETY: The pointer owns a reference, by the invariants.
        unsafe { bindings::free_uid(self.0.as_ptr()) };
    }
}

/// Pages for which a user has been charged, until this is dropped.
///
/// # Invariants
///
/// `accounted` pages are accounted to `user`.
pub(super) struct Charge {
    user: User,
    pages: usize,
    accounted: usize,
}

impl Charge {
    /// Returns the number of pages of messages.
    pub(super) fn pages(&self) -> usize {
        self.pages
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        // SAFETY: The user is valid, by the invariants of `User`.
        unsafe {
            bindings::account_pipe_buffers(self.user.0.as_ptr(), self.accounted as c_ulong, 0);
        }
    }
}

// SPDX-License-Identifier: GPL-2.0

//! The two kinds of destinations of a read.
//!
//! `read(2)` has a buffer, all other ways to read have an iterator.  To copy by way of an iterator
//! takes some forty instructions more, which is more than to copy a short message.  So there is one
//! way for each, as in `/dev/zero`.  The price is that `kernel_read()` refuses files with both: the
//! kernel reads such a file with `vfs_iter_read()`.

use kernel::{bindings, iov::IovIterDest, prelude::*, uaccess::UserPtr};

use crate::queue::Destination;

impl Destination for &mut IovIterDest<'_> {
    #[inline]
    fn room(&self) -> usize {
        self.len()
    }

    #[inline]
    fn append(&mut self, bytes: &[u8]) -> usize {
        self.copy_to_iter(bytes)
    }
}

/// A buffer of the current task.
pub(super) struct UserBuffer {
    rest: UserPtr,
    room: usize,
}

impl UserBuffer {
    /// Takes the `room` bytes from `start` on, which need not be writable.
    pub(super) fn new(start: UserPtr, room: usize) -> Self {
        Self { rest: start, room }
    }
}

impl Destination for UserBuffer {
    #[inline]
    fn room(&self) -> usize {
        self.room
    }

    #[inline(always)]
    fn append(&mut self, bytes: &[u8]) -> usize {
        let (to, length) = (self.rest.as_mut_ptr(), bytes.len() as c_ulong);
        let missing = if cfg!(CONFIG_HARDENED_USERCOPY) {
            // SAFETY: `bytes` can be read, and the function checks whether `to` can be written.
            unsafe { bindings::copy_to_user(to, bytes.as_ptr().cast(), length) }
        } else {
            // Nothing else would be checked.
            //
            // SAFETY: As above.
            unsafe { bindings::_copy_to_user(to, bytes.as_ptr().cast(), length) }
        };
        let copied = bytes.len().wrapping_sub(missing as usize);
        self.rest = self.rest.wrapping_byte_add(copied);
        self.room = self.room.wrapping_sub(copied);
        copied
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Where a read puts what it reads.
//!
//! `read(2)` has a buffer, all other ways to read have an iterator.  To copy by way of an iterator
//! takes some forty instructions more, which is more than to copy a short message, so there is one
//! way for each, as `/dev/zero` has.  The price is that `kernel_read()` wants neither: the kernel
//! reads such a file with `vfs_iter_read()`.

use kernel::{bindings, iov::IovIterDest, prelude::*, uaccess::UserPtr};

/// Where a read puts what it reads.
pub(crate) trait Destination {
    /// For how many bytes there is room.
    fn room(&self) -> usize;

    /// Appends `bytes`, for which there is room, and returns how many of them could be copied.  May
    /// sleep.
    fn append(&mut self, bytes: &[u8]) -> usize;
}

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
pub(crate) struct UserBuffer {
    rest: UserPtr,
    room: usize,
}

impl UserBuffer {
    /// The buffer of `room` bytes that begins at `start`, which need not be one that can be
    /// written to.
    pub(crate) fn new(start: UserPtr, room: usize) -> Self {
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
        // What is copied is messages, which are not objects for `copy_to_user()` to check.
        //
        // SAFETY: So many bytes can be read.  Whether they can be written is checked.
        let missing = unsafe {
            bindings::_copy_to_user(
                self.rest.as_mut_ptr(),
                bytes.as_ptr().cast(),
                bytes.len() as c_ulong,
            )
        };
        let copied = bytes.len().wrapping_sub(missing as usize);
        self.rest = self.rest.wrapping_byte_add(copied);
        self.room = self.room.wrapping_sub(copied);
        copied
    }
}

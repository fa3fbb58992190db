// SPDX-License-Identifier: GPL-2.0

//! Messages on their way from a source to queues.

use core::{marker::PhantomData, ptr::NonNull, slice};
use kernel::bindings;
#[cfg(CONFIG_WATCH_SOURCES)]
use kernel::{prelude::FromBytes, watch_queue::Notification};

use super::Watch;
#[cfg(CONFIG_WATCH_SOURCES)]
use crate::note::MAX_LEN;
use crate::note::{
    self, Header, Message, Note, ID_OFFSET, INFO_ID, INFO_ID_SHIFT, LENGTH_OFFSET, MIN_LEN,
};

/// A message that a source posts.  It is the source's memory, lent for the time of the post.
///
/// # Invariants
///
/// The pointer is to a message as long as its header says, which is at least [`MIN_LEN`] bytes.
/// For `'a` nobody else accesses it.
pub(crate) struct Outgoing<'a>(
    NonNull<bindings::watch_notification>,
    PhantomData<&'a mut bindings::watch_notification>,
);

impl<'a> Outgoing<'a> {
    /// Takes a message, or `None` if it is too short to be one.
    ///
    /// # Safety
    ///
    /// `message` is aligned, and valid for reads and writes of a header and of as many bytes as
    /// that says, all initialised.  For `'a` nobody else accesses it.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(message: *mut bindings::watch_notification) -> Option<Self> {
        // SAFETY: The caller has a header there.
        let length = note::length_from(unsafe { *message.cast::<u8>().add(LENGTH_OFFSET) });
        if length < MIN_LEN {
            return None;
        }
        // INVARIANT: The caller has lent as many bytes as the header says, and these are enough.
        // SAFETY: What is valid for reads is not null.
        Some(Self(
            unsafe { NonNull::new_unchecked(message) },
            PhantomData,
        ))
    }

    /// Takes a message, and sets its size.
    #[cfg(CONFIG_WATCH_SOURCES)]
    pub(crate) fn new<M: Notification + FromBytes>(message: &'a mut M) -> Self {
        const { assert!(size_of::<M>() <= MAX_LEN) };
        Self::prefix(message, size_of::<M>())
    }

    /// Takes the first `length` bytes of a message, and sets its size to that.
    ///
    /// The header is always there, and the message is not longer than one can be.
    #[cfg(CONFIG_WATCH_SOURCES)]
    #[inline(always)]
    pub(crate) fn prefix<M: Notification + FromBytes>(message: &'a mut M, length: usize) -> Self {
        const {
            assert!(M::HEADER == 0);
            assert!(size_of::<M>() >= MIN_LEN);
            assert!(align_of::<M>() >= align_of::<bindings::watch_notification>());
        }
        let length = length.clamp(MIN_LEN, size_of::<M>().min(MAX_LEN));
        let message = NonNull::from(message).cast::<bindings::watch_notification>();
        // SAFETY: The message is as long as a header, as aligned, and borrowed.  Whatever is
        // written there, it stays a valid `M`, as that is `FromBytes`.
        let info = unsafe { &mut (*message.as_ptr()).info };
        *info = *info & bindings::WATCH_INFO_TYPE_INFO | length as u32;
        // INVARIANT: The message is at least as long as its header now says.  All of it is
        // initialised, as it has no padding.
        Self(message, PhantomData)
    }

    /// Lends the message for a shorter time.
    #[inline(always)]
    pub(super) fn reborrow(&mut self) -> Outgoing<'_> {
        // INVARIANT: As for `self`, which cannot be used as long as the result is.
        Outgoing(self.0, PhantomData)
    }

    #[inline(always)]
    fn bytes(&self) -> *mut u8 {
        self.0.as_ptr().cast()
    }

    /// Returns the first word of the message, its type and subtype, for which C has no type.
    #[inline(always)]
    pub(super) fn first_word(&self) -> u32 {
        // SAFETY: By the invariants there is a header, which is aligned.
        unsafe { *self.bytes().cast() }
    }

    #[inline(always)]
    fn info(&self) -> u32 {
        // SAFETY: By the invariants there is a header.
        unsafe { (*self.0.as_ptr()).info }
    }

    /// Returns what `info` will be for a watch.
    #[inline(always)]
    pub(super) fn info_for(&self, watch: &Watch) -> u32 {
        self.info() & !INFO_ID | u32::from(watch.tag()) << INFO_ID_SHIFT
    }

    /// Makes the message the one for a watch.
    #[inline(always)]
    pub(super) fn address_to(&mut self, watch: &Watch) -> Addressed<'_> {
        // SAFETY: By the invariants there is a header, and nobody else accesses it.  The tag is a
        // byte of its own, so the length stays as it is.
        unsafe { *self.bytes().add(ID_OFFSET) = watch.tag() };
        Addressed(self.reborrow())
    }
}

/// A message that has the tag of a watch.
pub(super) struct Addressed<'a>(Outgoing<'a>);

impl Addressed<'_> {
    /// Returns the header.
    #[inline(always)]
    pub(super) fn header(&self) -> Header {
        Header::from_words(self.0.first_word(), self.0.info())
    }

    /// Returns a pointer to the message.
    #[inline(always)]
    pub(super) fn as_ptr(&self) -> *mut bindings::watch_notification {
        self.0 .0.as_ptr()
    }
}

impl Message for Addressed<'_> {
    // Reads the length again, which costs less than to keep it in a register all the way.
    #[inline(always)]
    fn note(&self) -> Note<'_> {
        // SAFETY: By the invariants of `Outgoing` there is a header.
        let length = note::length_from(unsafe { *self.0.bytes().add(LENGTH_OFFSET) });
        // SAFETY: By the invariants of `Outgoing` so many bytes can be read.  Nobody changes them
        // as long as this is borrowed, as only `address_to()` does, which needs the `Outgoing`.
        let bytes = unsafe { slice::from_raw_parts(self.0.bytes(), length) };
        // SAFETY: By the invariants of `Outgoing` this is a message of that length.
        unsafe { Note::new_unchecked(bytes) }
    }
}

#[cfg(CONFIG_WATCH_QUEUE_KUNIT_TEST)]
#[kernel::prelude::kunit_tests(watch_queue_outgoing)]
mod tests {
    use super::*;
    use crate::note::INFO_LENGTH;

    #[test]
    fn what_says_that_it_is_shorter_than_a_header_is_no_message() {
        let mut message = [bindings::watch_notification::default(); 16];
        for length in 0..=INFO_LENGTH {
            message[0].info = !INFO_LENGTH | length;
            // SAFETY: These are 128 bytes, which nobody else accesses.
            let outgoing = unsafe { Outgoing::from_raw(message.as_mut_ptr()) };
            assert_eq!(outgoing.is_some(), length as usize >= MIN_LEN);
        }
    }
}

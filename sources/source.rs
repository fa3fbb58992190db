// SPDX-License-Identifier: GPL-2.0

//! Who watches the objects of a source.
//!
//! An object has no watch list of its own, so that none that can be watched is larger for it.
//! Each [`Source`] has a few lists for all of its objects, which a 64-bit id tells apart.  A post
//! walks the list that an object shares with others.
//!
//! C header: [`include/linux/watch_sources.h`](srctree/include/linux/watch_sources.h)

use core::ptr;
use kernel::{
    alloc::{flags::GFP_KERNEL_ACCOUNT, KBox},
    bindings,
    error::to_result,
    prelude::*,
    sync::{
        atomic::{ordering::Full, Atomic, Relaxed},
        barrier::smp_mb,
    },
    watch_queue::Cause,
};

use crate::{
    note::{INFO_ID, MAX_LEN},
    queue::Borrowed,
    watch,
};

/// What a source posts.
///
/// # Safety
///
/// It begins with a `struct watch_notification`, which says how long it is, and has no padding.
pub(super) unsafe trait Message {}

/// The header of a message.
pub(super) fn header<T: Message>(kind: u32, subtype: u32) -> bindings::watch_notification {
    const { assert!(size_of::<T>() <= MAX_LEN) };
    let mut header = bindings::watch_notification {
        info: size_of::<T>() as u32,
        ..Default::default()
    };
    header.set_type(kind);
    header.set_subtype(subtype);
    header
}

/// A device number, taken apart as `MAJOR()` and `MINOR()` do.
#[allow(dead_code, reason = "not every source needs it")]
pub(super) fn major_minor(dev: bindings::dev_t) -> (u32, u32) {
    const MINOR_BITS: u32 = 20;
    (dev >> MINOR_BITS, dev & ((1 << MINOR_BITS) - 1))
}

/// Who watches the objects of one kind.
///
/// # Invariants
///
/// The pointer is to one of the `struct watch_source` in `sources.c`.
#[derive(Clone, Copy)]
pub(super) struct Source(*mut bindings::watch_source);

impl Source {
    /// # Safety
    ///
    /// `source` is one of those in `sources.c`.
    pub(super) unsafe fn from_raw(source: *mut bindings::watch_source) -> Self {
        // INVARIANT: By the caller's promise.
        Self(source)
    }

    /// The list that an object shares with others.
    fn list(self, id: u64) -> *mut bindings::watch_list {
        // SAFETY: By the invariants; these do not change once there is userspace.
        let (seed, bits, lists) = unsafe {
            let source = &*self.0;
            (bindings::watch_source_seed, source.bits, source.lists)
        };
        // As `hash_64()`, which bindgen does not see.
        let hash = (id ^ seed).wrapping_mul(bindings::GOLDEN_RATIO_64);
        // There may be but one list.
        let index = hash.checked_shr(u64::BITS - bits).unwrap_or(0);
        // SAFETY: By the invariants; the index has as many bits as it may.
        unsafe { lists.add(index as usize) }
    }

    /// Whether anybody watches any object.
    pub(super) fn is_watched(self) -> bool {
        // SAFETY: By the invariants.
        let nr_watches = unsafe { Atomic::from_ptr(&raw mut (*self.0).nr_watches.counter) };
        nr_watches.load(Relaxed) != 0
    }

    /// Has a queue watch an object, for the current task.
    ///
    /// # Errors
    ///
    /// `EBUSY` if it does, `EAGAIN` if the user has too many watches, `ENOMEM`.
    pub(super) fn attach(self, queue: Borrowed<'_>, tag: u8, id: u64) -> Result {
        let info_id = u32::from(tag) << INFO_ID.trailing_zeros();
        let watch = KBox::new(
            bindings::watch {
                id,
                info_id,
                private: self.0.cast(),
                ..Default::default()
            },
            GFP_KERNEL_ACCOUNT,
        )?;
        let watch = KBox::into_raw(watch);
        // SAFETY: The watch is valid.  `queue` is a reference to its queue; the list is static.
        let result = unsafe {
            watch::init_watch(watch, ptr::from_ref(&*queue).cast_mut().cast());
            // First the key, so that nothing is missed once the watch is there.
            bindings::watch_source_get(self.0);
            watch::add_watch_to_object(watch, self.list(id))
        };
        to_result(result).inspect_err(|_| {
            // SAFETY: The watch was not attached, so it is still ours.
            unsafe {
                bindings::watch_source_put(self.0);
                drop(KBox::from_raw(watch));
            }
        })
    }

    /// Has a queue watch an object that may be going away: `there` tells whether it is not.
    ///
    /// Who has an object go marks it before [`Source::remove`] takes its watches.
    ///
    /// # Errors
    ///
    /// That of `there`, and the queue gets no removal notification; and those of
    /// [`Source::attach`].
    #[allow(dead_code, reason = "not every source needs it")]
    pub(super) fn attach_if(
        self,
        queue: Borrowed<'_>,
        tag: u8,
        id: u64,
        there: impl FnOnce() -> Result,
    ) -> Result {
        self.attach(queue, tag, id)?;
        // Either this sees the mark or `remove()` sees the watch.
        smp_mb(Full);
        there().or_else(|gone| {
            // SAFETY: The list is static.
            if unsafe { watch::withdraw(self.list(id), &queue, id) } {
                Err(gone)
            } else {
                Ok(())
            }
        })
    }

    /// Has a queue no longer watch an object.
    ///
    /// # Errors
    ///
    /// `EBADSLT` if it does not.
    pub(super) fn detach(self, queue: Borrowed<'_>, id: u64) -> Result {
        let queue = ptr::from_ref(&*queue).cast_mut().cast();
        // SAFETY: The list is static, and `queue` is a reference.
        to_result(unsafe { watch::remove_watch_from_object(self.list(id), queue, id, false) })
    }

    /// Posts a message to those who watch an object, in any context but NMI.
    pub(super) fn post<T: Message>(self, message: &mut T, cause: Cause<'_>, id: u64) {
        let header = ptr::from_mut(message).cast();
        // SAFETY: The list is static, and the message is one.  The credentials are valid as long as
        // `cause` is.
        unsafe { watch::__post_watch_notification(self.list(id), header, cause.as_ptr(), id) };
    }

    /// Removes all watches from an object that is going away, in any context but NMI.
    #[allow(dead_code, reason = "not every source needs it")]
    pub(super) fn remove(self, id: u64) {
        // Pairs with the one in `attach_if()`.
        smp_mb(Full);
        if !self.is_watched() {
            return;
        }
        // SAFETY: The list is static.  That nobody may watch is no error here.
        unsafe { watch::remove_watch_from_object(self.list(id), ptr::null_mut(), id, false) };
    }
}

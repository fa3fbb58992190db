// SPDX-License-Identifier: GPL-2.0

//! The common part of the sources.
//!
//! An object has no watch list of its own, so that none that can be watched is larger for it.
//! Each [`Source`] has a few lists for all of its objects, which a 64-bit id tells apart.  A post
//! walks the list that an object shares with others.
//!
//! C header: [`include/linux/watch_sources.h`](srctree/include/linux/watch_sources.h)

#![allow(dead_code, reason = "no source needs all of it")]

use core::{ptr, ptr::NonNull};
use kernel::{
    bindings,
    cred::Credential,
    error::to_result,
    fs::LocalFile,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{ordering::Full, Atomic, Relaxed},
        barrier::smp_mb,
    },
    watch_queue::{Cause, Notification},
};

use super::{Action, Request};
use crate::{
    queue::Borrowed,
    watch::{self, Outgoing, WatchList},
};

/// An object of a source.
pub(super) trait Object: Sized {
    /// Finds the object that a request is about.
    ///
    /// # Errors
    ///
    /// - `EBADF` if the file descriptor is not open, or not open in the right way
    /// - `EINVAL` if it is not one of an object of the source, or has flags that the source has not
    fn find(request: &Request) -> Result<Self>;

    /// Returns the source, which is that of the object's messages.
    fn source(&self) -> Source;

    /// Returns the file by which the object was found, for security modules.
    fn file(&self) -> Option<&LocalFile>;

    /// Returns the id of the object, or `None` if it has never been watched.
    fn id(&self) -> Option<u64>;

    /// Returns the id of the object, which is about to be watched.
    fn id_to_watch(&self) -> Result<u64> {
        self.id().ok_or(EINVAL)
    }

    /// Returns successfully if the current task may watch the object.
    ///
    /// # Errors
    ///
    /// `EPERM` if not.
    fn permit(&self) -> Result;

    /// Returns successfully unless the object is going away.
    fn is_there(&self) -> Result {
        Ok(())
    }
}

/// Adds or removes a watch on an object.
pub(super) fn carry_out<T: Object>(
    queue: Borrowed<'_>,
    request: &Request,
    action: Action,
) -> Result {
    let object = T::find(request)?;
    let source = object.source();
    match action {
        Action::Add => {
            object.permit()?;
            ask_security(request.source, object.file())?;
            let id = object.id_to_watch()?;
            source.attach(queue, request.tag as u8, id, || object.is_there())
        }
        Action::Remove => source.detach(queue, object.id().ok_or(EBADSLT)?),
    }
}

/// Asks the security modules whether the current task may watch something.
fn ask_security(kind: u32, file: Option<&LocalFile>) -> Result {
    let file = file.map_or(ptr::null_mut(), LocalFile::as_ptr);
    // SAFETY: The file is null or open.
    to_result(unsafe { bindings::watch_source_ask_security(kind, file) })
}

impl Request {
    /// Returns the file of the request, which can be open with `O_PATH`.
    ///
    /// # Errors
    ///
    /// `EBADF` if there is none.
    pub(super) fn file(&self) -> Result<ARef<LocalFile>> {
        let fd = u32::try_from(self.fd).map_err(|_| EBADF)?;
        // SAFETY: Any number will do.
        let file = NonNull::new(unsafe { bindings::fget_raw(fd) }).ok_or(EBADF)?;
        // SAFETY: `fget_raw()` took a reference.  A `LocalFile` is a `struct file`.
        Ok(unsafe { ARef::from_raw(file.cast()) })
    }

    /// Refuses flags, for a source that has none.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there are any.
    pub(super) fn no_flags(&self) -> Result {
        if self.flags == 0 {
            Ok(())
        } else {
            Err(EINVAL)
        }
    }
}

/// Returns the major and the minor number of a device.
pub(super) fn major_minor(dev: bindings::dev_t) -> (u32, u32) {
    (dev >> bindings::MINORBITS, dev & bindings::MINORMASK)
}

/// Checks that a message has the layout that the header for userspace says.
macro_rules! assert_layout {
    ($message:ty, bindings::$c:ident, $($field:ident)*) => {
        const _: () = {
            use core::mem::offset_of;
            assert!(size_of::<$message>() == size_of::<bindings::$c>());
            assert!(<$message as kernel::watch_queue::Notification>::HEADER == 0);
            $(assert!(
                offset_of!($message, $field) == offset_of!(bindings::$c, $field)
            );)*
        };
    };
}
pub(super) use assert_layout;

/// The watches on the objects of one kind.
///
/// # Invariants
///
/// The pointer is to one of the `struct watch_source` in `glue/sources.c`.
#[derive(Clone, Copy)]
pub(super) struct Source(*mut bindings::watch_source);

impl Source {
    /// # Safety
    ///
    /// `source` is one of those in `glue/sources.c`.
    pub(super) const unsafe fn from_raw(source: *mut bindings::watch_source) -> Self {
        // INVARIANT: The requirement is the invariant.
        Self(source)
    }

    /// Returns the list that an object shares with others.
    fn list(self, id: u64) -> &'static WatchList {
        // SAFETY: By the invariants this is valid, and does not change.
        let (bits, lists) = unsafe { ((*self.0).bits, (*self.0).lists) };
        // SAFETY: This does not change once there is userspace.
        let seed = unsafe { bindings::watch_source_seed };
        // As `hash_64()`, which is inline.
        let hash = (id ^ seed).wrapping_mul(bindings::GOLDEN_RATIO_64);
        // Without bits there is one list.
        let index = hash.checked_shr(u64::BITS - bits).unwrap_or(0);
        // SAFETY: There are `1 << bits` lists, which are static and initialised.
        unsafe { WatchList::from_raw(lists.add(index as usize)) }
    }

    /// Returns whether anything is watched.
    pub(super) fn is_watched(self) -> bool {
        // SAFETY: By the invariants this is a counter, which everybody accesses atomically.
        let nr_watches = unsafe { Atomic::from_ptr(&raw mut (*self.0).nr_watches.counter) };
        nr_watches.load(Relaxed) != 0
    }

    /// Has a queue watch an object that may be going away, on behalf of the current task.
    ///
    /// `is_there` has to fail once the object is marked as going away, which it is before
    /// [`Source::remove`] takes its watches.
    ///
    /// # Errors
    ///
    /// - `EBUSY` if the queue watches the object already
    /// - `EAGAIN` if the user has too many watches
    /// - `ENOMEM`
    /// - that of `is_there`: then there is no removal notification
    fn attach(
        self,
        queue: Borrowed<'_>,
        tag: u8,
        id: u64,
        is_there: impl FnOnce() -> Result,
    ) -> Result {
        let list = self.list(id);
        // The key first, so that nothing is missed once the watch is there.
        //
        // SAFETY: By the invariants this is a source.
        unsafe { bindings::watch_source_get(self.0) };
        watch::add(queue, list, id, tag, self.0.cast()).inspect_err(|_| {
            // SAFETY: As above.  The watch, which would do this in the end, was not attached.
            unsafe { bindings::watch_source_put(self.0) };
        })?;
        // Either this sees the mark or `remove()` sees the watch.
        smp_mb(Full);
        is_there().or_else(|gone| {
            if watch::withdraw(list, &queue, id) {
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
    fn detach(self, queue: Borrowed<'_>, id: u64) -> Result {
        if watch::remove(self.list(id), &queue, id) {
            Ok(())
        } else {
            Err(EBADSLT)
        }
    }

    /// Posts a message to the queues that watch an object.
    ///
    /// Context: Any but NMI.
    pub(super) fn post<M: Notification>(self, message: &mut M, cause: Cause<'_>, id: u64) {
        self.post_message(Outgoing::new(message), cause, id);
    }

    /// One copy of the post for all types of messages.
    #[inline(never)]
    fn post_message(self, message: Outgoing<'_>, cause: Cause<'_>, id: u64) {
        // SAFETY: The credentials are valid as long as `cause` is, or the current task's, which
        // does not change them meanwhile.
        let cause = unsafe { Credential::from_ptr(cause.as_ptr()) };
        watch::post(self.list(id), message, cause, id);
    }

    /// Removes all watches from an object that is going away.
    ///
    /// Context: Any but NMI.
    pub(super) fn remove(self, id: u64) {
        // Pairs with the one in `attach()`.
        smp_mb(Full);
        if self.is_watched() {
            watch::remove_all(self.list(id), id, false);
        }
    }
}

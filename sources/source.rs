// SPDX-License-Identifier: GPL-2.0

//! The common part of the sources.
//!
//! An object that can be watched points to its watches, from when it is watched for the first time:
//! see [`Slot`].  A post to it costs what these cost, and so does removing them, whatever else is
//! watched.
//!
//! C header: [`include/linux/watch_sources.h`](srctree/include/linux/watch_sources.h)

#![allow(dead_code, reason = "no source needs all of it")]

use core::{marker::PhantomData, mem, ptr::NonNull};
use kernel::{
    bindings,
    cred::Credential,
    fs::LocalFile,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{ordering::Full, Acquire, Atomic},
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

    /// The reference that a watch on the object holds.
    type Private: Private;

    /// Returns what a watch on the object is to keep.
    fn private(&self) -> Self::Private;

    /// Returns where the object points to its watches.
    fn slot(&self) -> Slot<'_>;

    /// Returns the id of the object, which it keeps if it has never been watched before.
    fn id(&self) -> u64;

    /// Returns successfully if the current task may watch the object.
    ///
    /// # Errors
    ///
    /// `EPERM` if not.
    fn permit(&self) -> Result;

    /// Asks the security modules as they are asked for an older interface with the same news, and
    /// returns successfully if they permit it.
    ///
    /// # Errors
    ///
    /// That of the module.
    fn ask_security(&self) -> Result;

    /// Returns successfully unless the object is going away.
    fn is_there(&self) -> Result {
        Ok(())
    }
}

/// Adds or removes a watch on an object.
pub(super) fn carry_out<T: Object>(
    queue: Borrowed<'_>,
    request: &Request,
    action: Action<'_>,
) -> Result {
    let object = T::find(request)?;
    match action {
        Action::Add(report) => {
            object.permit()?;
            object.ask_security()?;
            attach(queue, request.tag as u8, &object, report)
        }
        Action::Remove => object
            .slot()
            .watches()
            .filter(|watches| request.id == 0 || request.id == watches.id())
            .ok_or(EBADSLT)?
            .remove(queue),
    }
}

/// Has a queue watch an object that may be going away, on behalf of the current task, after a call
/// of `report` with the id of the object.
///
/// `is_there` of the object has to fail once the object is marked as going away, which it is before
/// [`__watch_object_gone`] takes its watches.
///
/// # Errors
///
/// - `EBUSY` if the queue watches the object already
/// - `EAGAIN` if the user has too many watches
/// - `ENOMEM`
/// - that of `report`: then nothing has changed
/// - that of `is_there`: then there is no removal notification
fn attach<T: Object>(
    queue: Borrowed<'_>,
    tag: u8,
    object: &T,
    report: &dyn Fn(u64) -> Result,
) -> Result {
    let source = object.source();
    let watches = object.slot().watches_to_be(source, object.id())?;
    report(watches.id())?;
    // The key first, so that nothing is missed once the watch is there.
    let enabled = source.enable();
    let private = object.private();
    watch::add(queue, watches.list(), watches.id(), tag, private.as_ptr())?;
    // From here on they are for `release_watch` to put.
    mem::forget((enabled, private));
    // Either this sees the mark or `__watch_object_gone()` sees the watch.
    smp_mb(Full);
    object.is_there().or_else(|gone| {
        if watch::withdraw(watches.list(), &queue, watches.id()) {
            Err(gone)
        } else {
            Ok(())
        }
    })
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

/// Returns the type-specific bits of a header for an operation, `WATCH_INFO_OP`, and an errno or 0,
/// `WATCH_INFO_ERROR`.
pub(super) const fn op_and_error(op: u32, error: u32) -> u16 {
    const TO_OP: u32 = bindings::WATCH_INFO_OP__SHIFT - bindings::WATCH_INFO_TYPE_INFO__SHIFT;
    const TO_ERROR: u32 = bindings::WATCH_INFO_ERROR__SHIFT - bindings::WATCH_INFO_TYPE_INFO__SHIFT;
    (op << TO_OP | error << TO_ERROR) as u16
}

/// Returns the credentials for an event that cannot be attributed to a task.
pub(super) fn kernel_credentials() -> &'static Credential {
    // SAFETY: These are those of the first task, which are never freed.
    unsafe { Credential::from_ptr(bindings::watch_kernel_cred()) }
}

/// Returns the major and the minor number of a device.
pub(super) fn major_minor(dev: bindings::dev_t) -> (u32, u32) {
    (dev >> bindings::MINORBITS, dev & bindings::MINORMASK)
}

/// Checks that a message has the layout that the header for userspace says.
macro_rules! assert_layout {
    ($message:ty, bindings::$c:ident, $($field:ident)*) => {
        const _: () = assert!(size_of::<$message>() == size_of::<bindings::$c>());
        $crate::sources::source::assert_fields!($message, bindings::$c, $($field)*);
    };
}
pub(super) use assert_layout;

/// Checks that members of a message are where the header for userspace says.
macro_rules! assert_fields {
    ($message:ty, bindings::$c:ident, $($field:ident)*) => {
        const _: () = {
            use core::mem::offset_of;
            assert!(<$message as kernel::watch_queue::Notification>::HEADER == 0);
            $(assert!(
                offset_of!($message, $field) == offset_of!(bindings::$c, $field)
            );)*
        };
    };
}
pub(super) use assert_fields;

/// A kind of objects that can be watched.
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

    /// Enables the hooks of the source until what this returns is dropped.
    fn enable(self) -> Enabled {
        // SAFETY: By the invariants this is a source.
        unsafe { bindings::watch_source_get(self.0) };
        Enabled(self)
    }
}

/// A source whose hooks are enabled.
struct Enabled(Source);

impl Drop for Enabled {
    fn drop(&mut self) {
        // SAFETY: By the invariants this is a source, and `enable()` enabled it.
        unsafe { bindings::watch_source_put(self.0 .0) };
    }
}

/// The reference that a watch holds, for the `release_watch` of its source to drop.
pub(super) trait Private {
    /// Returns it as what it is there.
    fn as_ptr(&self) -> *mut c_void;
}

impl Private for Source {
    fn as_ptr(&self) -> *mut c_void {
        self.0.cast()
    }
}

/// The pointer from an object to its watches.
///
/// # Invariants
///
/// The pointer is null at first.  It is set by `watch_object_get()` only, and then valid for `'a`.
#[derive(Clone, Copy)]
pub(super) struct Slot<'a>(&'a Atomic<*mut bindings::watch_object>);

impl<'a> Slot<'a> {
    /// # Safety
    ///
    /// `slot` belongs to an object that is valid for `'a`, and that frees what `slot` points to
    /// when it is freed itself.
    pub(super) unsafe fn from_raw(slot: *mut *mut bindings::watch_object) -> Self {
        // INVARIANT: The requirement is the invariant.
        // SAFETY: The caller has a valid pointer, which everybody accesses atomically.
        Self(unsafe { Atomic::from_ptr(slot) })
    }

    /// Returns the watches, if the object has ever been watched.
    #[inline]
    pub(super) fn watches(self) -> Option<ObjectWatches<'a>> {
        // INVARIANT: By those of the slot.
        NonNull::new(self.0.load(Acquire)).map(|object| ObjectWatches(object, PhantomData))
    }

    /// Returns the watches of an object that is about to be watched, and which gets an id if it has
    /// none.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    fn watches_to_be(self, source: Source, id: u64) -> Result<ObjectWatches<'a>> {
        // SAFETY: By the invariants the slot and the source are valid.
        let object = unsafe { bindings::watch_object_get(self.0.as_ptr(), source.0, id) };
        // INVARIANT: By those of the slot.
        NonNull::new(object)
            .map(|object| ObjectWatches(object, PhantomData))
            .ok_or(ENOMEM)
    }
}

/// The watches on an object: `struct watch_object`.
///
/// # Invariants
///
/// The pointer is to one that is initialised, and valid for `'a`.
#[derive(Clone, Copy)]
pub(super) struct ObjectWatches<'a>(
    NonNull<bindings::watch_object>,
    PhantomData<&'a bindings::watch_object>,
);

impl<'a> ObjectWatches<'a> {
    /// Returns the id of the object.
    pub(super) fn id(self) -> u64 {
        // SAFETY: By the invariants this is valid, and the id does not change.
        unsafe { (*self.0.as_ptr()).id }
    }

    fn list(self) -> &'a WatchList {
        // SAFETY: By the invariants this is valid.
        let list = unsafe { &raw mut (*self.0.as_ptr()).list };
        // SAFETY: By the invariants it is initialised.
        unsafe { WatchList::from_raw(list) }
    }

    /// Has a queue no longer watch the object.
    ///
    /// # Errors
    ///
    /// `EBADSLT` if it does not.
    fn remove(self, queue: Borrowed<'_>) -> Result {
        if watch::remove(self.list(), &queue, self.id()) {
            Ok(())
        } else {
            Err(EBADSLT)
        }
    }

    /// Posts a message to the queues that watch the object.
    ///
    /// Context: Any but NMI.
    pub(super) fn post<M: Notification + FromBytes>(self, message: &mut M, cause: Cause<'_>) {
        self.post_message(Outgoing::new(message), cause);
    }

    /// Posts the first `length` bytes of a message.
    ///
    /// Context: Any but NMI.
    pub(super) fn post_prefix<M: Notification + FromBytes>(
        self,
        message: &mut M,
        length: usize,
        cause: Cause<'_>,
    ) {
        self.post_message(Outgoing::prefix(message, length), cause);
    }

    /// One copy of the post for all types of messages.
    #[inline(never)]
    fn post_message(self, message: Outgoing<'_>, cause: Cause<'_>) {
        // SAFETY: The credentials are valid as long as `cause` is, or the current task's, which
        // does not change them meanwhile.
        let cause = unsafe { Credential::from_ptr(cause.as_ptr()) };
        watch::post(self.list(), message, cause, self.id());
    }
}

/// Removes all watches from an object that is going away, and has been marked so: a full barrier
/// came between that and the look at whether it has any.
///
/// Context: That of the source's `release_watch`; otherwise where a `spinlock_t` may be taken.
///
/// # Safety
///
/// `object` is initialised, and is not freed until this returns.
#[export]
pub(crate) unsafe extern "C" fn __watch_object_gone(object: *mut bindings::watch_object) {
    // SAFETY: The caller has a valid object.
    let object = ObjectWatches(unsafe { NonNull::new_unchecked(object) }, PhantomData);
    watch::remove_all(object.list(), object.id(), true);
}

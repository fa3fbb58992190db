// SPDX-License-Identifier: GPL-2.0

//! Changes of mounts.
//!
//! Two kinds of objects can be watched: a mount namespace, and a mount with all that is below it.
//! For the latter, a post walks up from the mount to which something happened: from where it is or,
//! if it has left its place, from where it was.
//!
//! Where something happens to a mount, in `fs/namespace.c`, it is only put on a list.
//! `namespace_unlock()` posts, when trees still stay as they are, but `mount_lock` has been dropped
//! and `namespace_sem` is held shared.  What a mount and a namespace are is known there alone.

use core::{
    marker::PhantomData,
    mem::{offset_of, MaybeUninit},
    ptr::NonNull,
};
use kernel::{
    bindings,
    error::to_result,
    fs::LocalFile,
    prelude::*,
    sync::aref::ARef,
    watch_queue::{Cause, Header, Notification},
};

use super::{
    source::{assert_layout, Object, Private, Slot, Source},
    up_to, Request, Support,
};

pub(super) const TYPE: u32 = bindings::watch_notification_type_WATCH_TYPE_MOUNT_NOTIFY;

pub(super) const SUPPORT: Support = Support {
    subtypes: up_to(bindings::mount_notification_subtype_NOTIFY_MOUNT_EXPIRED),
    watch_flags: bindings::WATCH_MOUNT_SUBTREE,
    features: bindings::WATCH_FEATURE_ADD,
};

/// Something happened to a mount: `struct mount_notification`.
#[repr(C)]
#[derive(FromBytes, IntoBytes)]
struct Event {
    watch: Header<Self>,
    mnt_id: u64,
    parent_id: u64,
    mnt_ns_id: u64,
    attr: u64,
    propagation: u64,
    peer_group: u64,
    master: u64,
    sb_dev_major: u32,
    sb_dev_minor: u32,
}

impl Notification for Event {
    const TYPE: u32 = TYPE;
    type Subtype = u8;
    const HEADER: usize = offset_of!(Self, watch);
}

assert_layout!(
    Event,
    bindings::mount_notification,
    watch mnt_id parent_id mnt_ns_id attr propagation peer_group master sb_dev_major sb_dev_minor
);

fn namespaces() -> Source {
    // SAFETY: This is one of those in `glue/sources.c`.
    unsafe { Source::from_raw(&raw mut bindings::watch_mount_ns_source) }
}

fn subtrees() -> Source {
    // SAFETY: This is one of those in `glue/sources.c`.
    unsafe { Source::from_raw(&raw mut bindings::watch_mount_source) }
}

/// An object of this source.
pub(super) struct Watched {
    file: ARef<LocalFile>,
    namespace: Namespace,
    /// It is the mount of the file, which can be taken away meanwhile, and not the namespace.
    is_subtree: bool,
}

impl Object for Watched {
    type Private = Namespace;

    fn find(request: &Request) -> Result<Self> {
        let file = request.file()?;
        let is_subtree = match request.flags {
            0 => false,
            bindings::WATCH_MOUNT_SUBTREE => true,
            _ => return Err(EINVAL),
        };
        let namespace = if is_subtree {
            Mount::of(&file).namespace()
        } else {
            Namespace::of_file(&file)
        };
        Ok(Self {
            namespace: namespace.ok_or(EINVAL)?,
            file,
            is_subtree,
        })
    }

    fn source(&self) -> Source {
        if self.is_subtree {
            subtrees()
        } else {
            namespaces()
        }
    }

    fn private(&self) -> Namespace {
        self.namespace.clone()
    }

    fn slot(&self) -> Slot<'_> {
        if self.is_subtree {
            Mount::of(&self.file).slot()
        } else {
            self.namespace.slot()
        }
    }

    fn id(&self) -> u64 {
        if self.is_subtree {
            Mount::of(&self.file).id()
        } else {
            self.namespace.id()
        }
    }

    /// The administrator of the user namespace to which the mount namespace belongs may watch.
    fn permit(&self) -> Result {
        if self.namespace.may_administer() {
            Ok(())
        } else {
            Err(EPERM)
        }
    }

    fn ask_security(&self) -> Result {
        // SAFETY: The file is open, if only for its path.
        to_result(unsafe {
            bindings::watch_mount_ask_security(self.file.as_ptr(), self.is_subtree)
        })
    }

    fn is_there(&self) -> Result {
        if self.is_subtree && Mount::of(&self.file).is_going() {
            Err(EINVAL)
        } else {
            Ok(())
        }
    }
}

/// A mount namespace of which something is watched, or about to be.  It may have ended, and is
/// still there.
///
/// # Invariants
///
/// It is valid, and has a name.  This owns a reference, which `watch_mount_ns_get()` took.
pub(super) struct Namespace(NonNull<bindings::mnt_namespace>);

impl Namespace {
    /// # Safety
    ///
    /// `namespace` is null or one for which `watch_mount_ns_get()` took a reference, which this
    /// gets.
    unsafe fn from_raw(namespace: *mut bindings::mnt_namespace) -> Option<Self> {
        // INVARIANT: The requirement is the invariant, as only namespaces with names can be got.
        NonNull::new(namespace).map(Self)
    }

    /// Returns the namespace that a file stands for, if it is such a file.
    fn of_file(file: &LocalFile) -> Option<Self> {
        // SAFETY: The file is open, if only for its path.
        let namespace = unsafe { bindings::watch_mount_ns_get_by_file(file.as_ptr()) };
        // SAFETY: That took a reference.
        unsafe { Self::from_raw(namespace) }
    }

    fn id(&self) -> u64 {
        // SAFETY: By the invariants it is valid.
        unsafe { bindings::watch_mount_ns_id(self.0.as_ptr()) }
    }

    /// Returns whether the current task is the administrator of the namespace.
    fn may_administer(&self) -> bool {
        // SAFETY: By the invariants it is valid.
        unsafe { bindings::watch_mount_ns_capable(self.0.as_ptr()) }
    }

    fn slot(&self) -> Slot<'_> {
        // SAFETY: By the invariants it is valid.
        let slot = unsafe { bindings::watch_mount_ns_slot(self.0.as_ptr()) };
        // SAFETY: `mnt_ns_release()` frees what it points to.
        unsafe { Slot::from_raw(slot) }
    }
}

impl Clone for Namespace {
    fn clone(&self) -> Self {
        // SAFETY: By the invariants there is a reference, and so there can be another one.
        unsafe { bindings::watch_mount_ns_get(self.0.as_ptr()) };
        // INVARIANT: That took it.
        Self(self.0)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // SAFETY: By the invariants there is a reference.
        unsafe { bindings::watch_mount_ns_put(self.0.as_ptr()) };
    }
}

/// `release_mount_watch()` in `glue/sources.c` puts the reference.
impl Private for Namespace {
    fn as_ptr(&self) -> *mut c_void {
        self.0.as_ptr().cast()
    }
}

/// A mount.
///
/// # Invariants
///
/// It is valid for `'a`.
#[derive(Clone, Copy)]
struct Mount<'a>(*mut bindings::mount, PhantomData<&'a bindings::mount>);

impl<'a> Mount<'a> {
    /// Returns the mount that a file is on.
    fn of(file: &'a LocalFile) -> Self {
        // SAFETY: The file is open, if only for its path.
        let mount = unsafe { bindings::watch_mount_of(file.as_ptr()) };
        // INVARIANT: The file has a reference to it.
        Self(mount, PhantomData)
    }

    /// Returns its id, which `statmount()` has as `mnt_id`.
    fn id(self) -> u64 {
        // SAFETY: By the invariants.
        unsafe { bindings::watch_mount_id(self.0) }
    }

    fn slot(self) -> Slot<'a> {
        // SAFETY: By the invariants.
        let slot = unsafe { bindings::watch_mount_slot(self.0) };
        // SAFETY: `free_vfsmnt()` frees what it points to.
        unsafe { Slot::from_raw(slot) }
    }

    /// Returns whether it has been taken out of its tree, or is about to be.
    fn is_going(self) -> bool {
        // SAFETY: By the invariants.
        unsafe { bindings::watch_mount_is_going(self.0) }
    }

    /// Returns its namespace, unless it has none or one without a name.
    fn namespace(self) -> Option<Namespace> {
        // SAFETY: By the invariants.
        let namespace = unsafe { bindings::watch_mount_ns_get_by_mount(self.0) };
        // SAFETY: That took a reference.
        unsafe { Namespace::from_raw(namespace) }
    }
}

/// Posts to the watchers of the namespace, and of the mounts that this is or is below, or before
/// was, those of `wanted`, in that order, that are among `subtypes`.
///
/// # Safety
///
/// `mount` is valid, and `namespace_sem` has been held since it was listed.
unsafe fn post(mount: *mut bindings::mount, before: bool, subtypes: u32, wanted: [u32; 3]) {
    let mut event = MaybeUninit::<Event>::uninit();
    // SAFETY: The requirement is that of this function.  An event has the layout of that structure.
    if !unsafe { bindings::watch_mount_get_note(mount, before, event.as_mut_ptr().cast()) } {
        return;
    }
    // SAFETY: It has been filled.  The header there, of zeroes, is a valid one.
    let mut event = unsafe { event.assume_init() };
    for subtype in wanted {
        if subtypes & (1 << subtype) == 0 {
            continue;
        }
        event.watch = Header::new(subtype as u8);
        // SAFETY: As above.  `visit()` takes an `Event`.
        unsafe { bindings::watch_mount_visit(mount, before, Some(visit), (&raw mut event).cast()) };
    }
}

/// # Safety
///
/// For `watch_mount_visit()` to call, with an `Event`.
unsafe extern "C" fn visit(slot: *mut *mut bindings::watch_object, event: *mut c_void) {
    // SAFETY: `post()` passes its event, and does not use it until all visits are over.
    let event = unsafe { &mut *event.cast::<Event>() };
    // SAFETY: `watch_mount_visit()` keeps the object of the slot until this returns, and that frees
    // its watches.
    if let Some(watches) = unsafe { Slot::from_raw(slot) }.watches() {
        watches.post(event, Cause::CurrentTask);
    }
}

/// Posts that a mount is in its place, or what has changed there.
///
/// Context: Process context; `namespace_sem` is held.
///
/// # Safety
///
/// `mount` is valid, and `namespace_sem` has been held since it was listed.
#[export]
pub(crate) unsafe extern "C" fn __watch_mount_came(mount: *mut bindings::mount, subtypes: u32) {
    use bindings::*;

    let wanted = [
        mount_notification_subtype_NOTIFY_MOUNT_ATTACHED,
        mount_notification_subtype_NOTIFY_MOUNT_MOVED_TO,
        mount_notification_subtype_NOTIFY_MOUNT_SETATTR,
    ];
    // SAFETY: The requirements are the same.
    unsafe { post(mount, false, subtypes, wanted) };
}

/// Posts that a mount has left its place.
///
/// Context: Process context; `namespace_sem` is held.
///
/// # Safety
///
/// As for [`__watch_mount_came`].
#[export]
pub(crate) unsafe extern "C" fn __watch_mount_left(mount: *mut bindings::mount, subtypes: u32) {
    use bindings::*;

    const MOVED: u32 = 1 << mount_notification_subtype_NOTIFY_MOUNT_MOVED_FROM;
    const DETACHED: u32 = 1 << mount_notification_subtype_NOTIFY_MOUNT_DETACHED;

    // One that was unmounted may have been moved before, out of the way of another one that was.
    let subtypes = if subtypes & DETACHED != 0 {
        subtypes & !MOVED
    } else {
        subtypes
    };
    let wanted = [
        mount_notification_subtype_NOTIFY_MOUNT_MOVED_FROM,
        mount_notification_subtype_NOTIFY_MOUNT_EXPIRED,
        mount_notification_subtype_NOTIFY_MOUNT_DETACHED,
    ];
    // SAFETY: The requirements are the same.
    unsafe { post(mount, true, subtypes, wanted) };
}

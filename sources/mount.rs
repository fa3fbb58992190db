// SPDX-License-Identifier: GPL-2.0

//! Changes of mounts.
//!
//! Two kinds of objects can be watched: a mount namespace, and a mount with all that is below it.
//! For the latter, a post walks up from the mount to which something happened: from where it is or,
//! if it has left its place, from where it was.
//!
//! Where something happens to a mount, in `fs/namespace.c`, it is only put on a list.
//! `namespace_unlock()` posts, when trees still stay as they are, but `mount_lock` has been dropped
//! and `namespace_sem` is held shared.

use core::{iter, marker::PhantomData, mem::offset_of, ptr::NonNull};
use kernel::{
    bindings, container_of,
    error::from_err_ptr,
    fs::LocalFile,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{Atomic, Relaxed},
        rcu,
    },
    watch_queue::{Cause, Header, Notification},
};

use super::{
    source::{assert_layout, major_minor, Object, Private, Slot, Source},
    up_to, Request, Support,
};

pub(super) const TYPE: u32 = bindings::watch_notification_type_WATCH_TYPE_MOUNT_NOTIFY;

pub(super) const SUPPORT: Support = Support {
    subtypes: up_to(bindings::mount_notification_subtype_NOTIFY_MOUNT_EXPIRED),
    watch_flags: bindings::WATCH_MOUNT_SUBTREE,
    features: bindings::WATCH_FEATURE_ADD,
};

/// The number of mounts for whose watchers a post looks: the mount itself, and those above it.
///
/// Mounts can be stacked as high as there may be mounts in a namespace.
const MAX_DEPTH: usize = 128;

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
    /// It is the mount of the file, and not the namespace.
    is_subtree: bool,
    /// The object was found by the mount of the file, which can be taken away meanwhile.
    by_mount: bool,
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
        // SAFETY: The file is open, so it has a dentry.
        let dentry = unsafe { (*file.as_ptr()).__bindgen_anon_1.f_path.dentry };
        // SAFETY: The dentry is valid.  If it is that of a namespace, it has a reference to that.
        let named = unsafe { bindings::mnt_ns_from_dentry(dentry) };
        let by_mount = is_subtree || named.is_null();
        let namespace = if by_mount {
            Mount::of(&file)
                .namespace_rcu(&rcu::read_lock())
                .ok_or(EINVAL)?
        } else {
            // SAFETY: The dentry has a reference to it, and only namespaces with names have one.
            unsafe { Namespace::get(named) }
        };
        Ok(Self {
            file,
            namespace,
            is_subtree,
            by_mount,
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
        // SAFETY: The namespace is valid, and has a name.
        unsafe { Namespace::get(self.namespace.as_ptr()) }
    }

    fn file(&self) -> Option<&LocalFile> {
        Some(&self.file)
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

    fn is_there(&self) -> Result {
        if self.by_mount && Mount::of(&self.file).is_going() {
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
    /// `namespace` has a name, and is valid until this returns.
    unsafe fn get(namespace: *mut bindings::mnt_namespace) -> Self {
        // SAFETY: The caller has a valid namespace.
        unsafe { bindings::watch_mount_ns_get(namespace) };
        // INVARIANT: That took a reference.
        // SAFETY: A namespace is not at address 0.
        Self(unsafe { NonNull::new_unchecked(namespace) })
    }

    fn id(&self) -> u64 {
        // SAFETY: By the invariants it is valid.
        unsafe { bindings::watch_mount_ns_id(self.0.as_ptr()) }
    }

    /// Returns whether the current task is the administrator of the namespace.
    fn may_administer(&self) -> bool {
        // SAFETY: By the invariants it is valid; it has a reference to its user namespace.
        let user_ns = unsafe { (*self.0.as_ptr()).user_ns };
        // SAFETY: As above.
        unsafe { bindings::ns_capable(user_ns, bindings::CAP_SYS_ADMIN as c_int) }
    }

    fn slot(&self) -> Slot<'_> {
        // SAFETY: By the invariants it is valid.
        unsafe { slot_of(self.0.as_ptr()) }
    }

    fn as_ptr(&self) -> *mut bindings::mnt_namespace {
        self.0.as_ptr()
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

/// # Safety
///
/// `namespace` is valid for `'a`.
unsafe fn slot_of<'a>(namespace: *mut bindings::mnt_namespace) -> Slot<'a> {
    // SAFETY: The caller has a valid namespace.
    let slot = unsafe { &raw mut (*namespace).watch_object };
    // SAFETY: `mnt_ns_release()` frees what it points to.
    unsafe { Slot::from_raw(slot) }
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
        // SAFETY: The file is open, so it has a path.
        let mnt = unsafe { (*file.as_ptr()).__bindgen_anon_1.f_path.mnt };
        // SAFETY: Every `struct vfsmount` is the `mnt` of a `struct mount`.
        let mount = unsafe { container_of!(mnt, bindings::mount, mnt) };
        // INVARIANT: The file has a reference to it.
        Self(mount, PhantomData)
    }

    /// Returns its id, which `statmount()` has as `mnt_id`.
    fn id(self) -> u64 {
        // SAFETY: By the invariants.  The id does not change.
        unsafe { (*self.0).mnt_id_unique }
    }

    fn slot(self) -> Slot<'a> {
        // SAFETY: By the invariants it is valid.
        let slot = unsafe { &raw mut (*self.0).mnt_watch_object };
        // SAFETY: `free_vfsmnt()` frees what it points to.
        unsafe { Slot::from_raw(slot) }
    }

    fn flags(self) -> u32 {
        // SAFETY: By the invariants.
        unsafe { Atomic::from_ptr(&raw mut (*self.0).mnt.mnt_flags) }.load(Relaxed) as u32
    }

    /// Returns whether it has been taken out of its tree, or is about to be.
    fn is_going(self) -> bool {
        self.flags() & bindings::mount_flags_MNT_UMOUNT != 0
    }

    /// Returns its namespace, unless it has none or one without a name: trees are in such
    /// namespaces before they are attached.
    ///
    /// A namespace is readable for a grace period after its last mount has left it.
    fn namespace_rcu(self, _rcu: &rcu::Guard) -> Option<Namespace> {
        // SAFETY: This is under RCU.
        let namespace = unsafe { self.namespace() }?;
        // SAFETY: It has a name, and can be read, and referred to, as long as this is under RCU.
        Some(unsafe { Namespace::get(namespace) })
    }

    /// # Safety
    ///
    /// This is an RCU read-side critical section, or `namespace_sem` is held.
    unsafe fn namespace(self) -> Option<*mut bindings::mnt_namespace> {
        // SAFETY: By the invariants.
        let namespace = unsafe { Atomic::from_ptr(&raw mut (*self.0).mnt_ns) }.load(Relaxed);
        if namespace.is_null() {
            return None;
        }
        // It may be `MNT_NS_INTERNAL`.
        let namespace = from_err_ptr(namespace).ok()?;
        // SAFETY: It can be read as long as the caller is in the section or has the lock.
        let has_name = unsafe { !(*namespace).is_anon };
        has_name.then_some(namespace)
    }

    /// Returns what `statmount()` has of it.
    ///
    /// # Safety
    ///
    /// `namespace_sem` is held.
    unsafe fn state(self) -> bindings::watch_mount_state {
        let mut state = pin_init::zeroed();
        // SAFETY: By the invariants the mount is valid, and so is its master, as the caller has the
        // lock.
        unsafe { bindings::watch_mount_get_state(self.0, &mut state) };
        state
    }

    /// Returns the major and the minor number of its superblock.
    fn superblock(self) -> (u32, u32) {
        // SAFETY: By the invariants the mount is valid.  It has a superblock, whose number does not
        // change.
        major_minor(unsafe { (*(*self.0).mnt.mnt_sb).s_dev })
    }
}

/// A mount in its tree as that is or, with `before`, as it was before what is being posted.
///
/// # Invariants
///
/// `namespace_sem` has been held for `'a`, since before the mounts were listed to which something
/// happened.  So all mounts that are in the tree, or were, are valid, and their namespaces are.
#[derive(Clone, Copy)]
struct Placed<'a> {
    mount: Mount<'a>,
    before: bool,
}

impl Placed<'_> {
    /// Returns whether the mount is no longer where this is about.
    fn has_left(self) -> bool {
        // SAFETY: The mount is valid.  This changes only with `namespace_sem` held for writing, or
        // after all has been posted.
        self.before && unsafe { (*self.mount.0).mnt_left.subtypes } != 0
    }

    fn parent(self) -> Option<Self> {
        let mount = self.mount.0;
        let parent = if self.has_left() {
            // SAFETY: The mount is valid, and this was set when it left.
            unsafe { (*mount).mnt_left_parent }
        } else {
            // SAFETY: The mount is valid, and its parent does not change.
            unsafe { (*mount).mnt_parent }
        };
        // INVARIANT: The parent is, or was, in the tree.
        (parent != mount).then_some(Self {
            mount: Mount(parent, PhantomData),
            ..self
        })
    }

    /// Returns its namespace, if that has a name.
    fn namespace(self) -> Option<*mut bindings::mnt_namespace> {
        if self.has_left() {
            // SAFETY: The mount is valid, and this was set when it left.  Only mounts in namespaces
            // with names are listed.
            Some(unsafe { (*self.mount.0).mnt_left_ns })
        } else {
            // SAFETY: By the invariants the lock is held.
            unsafe { self.mount.namespace() }
        }
    }

    fn state(self) -> bindings::watch_mount_state {
        if self.has_left() {
            // SAFETY: The mount is valid, and this was set when it left.
            unsafe { (*self.mount.0).mnt_left_state }
        } else {
            // SAFETY: By the invariants the lock is held.
            unsafe { self.mount.state() }
        }
    }

    /// Returns the mount, and those that it is below, the nearest first.
    fn and_ancestors(self) -> impl Iterator<Item = Self> {
        iter::successors(Some(self), |mount| mount.parent()).take(MAX_DEPTH)
    }

    /// Posts to the watchers of the namespace, and of the mounts that this is or is below, those of
    /// `wanted`, in that order, that are among `subtypes`.
    fn post(self, subtypes: u32, wanted: [u32; 3]) {
        let Some(namespace) = self.namespace() else {
            return;
        };
        // SAFETY: By the invariants it is valid.
        let (mnt_ns_id, slot) =
            unsafe { (bindings::watch_mount_ns_id(namespace), slot_of(namespace)) };
        for subtype in wanted {
            if subtypes & (1 << subtype) == 0 {
                continue;
            }
            let state = self.state();
            let (sb_dev_major, sb_dev_minor) = self.mount.superblock();
            let mut event = Event {
                watch: Header::new(subtype as u8),
                mnt_id: self.mount.id(),
                parent_id: self.parent().unwrap_or(self).mount.id(),
                mnt_ns_id,
                attr: state.attr,
                propagation: state.propagation.into(),
                peer_group: state.peer_group.into(),
                master: state.master.into(),
                sb_dev_major,
                sb_dev_minor,
            };
            if let Some(watches) = slot.watches() {
                watches.post(&mut event, Cause::CurrentTask);
            }
            for above in self.and_ancestors() {
                if let Some(watches) = above.mount.slot().watches() {
                    watches.post(&mut event, Cause::CurrentTask);
                }
            }
        }
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

    // INVARIANT: The requirements are the invariants.
    let placed = Placed {
        mount: Mount(mount, PhantomData),
        before: false,
    };
    placed.post(
        subtypes,
        [
            mount_notification_subtype_NOTIFY_MOUNT_ATTACHED,
            mount_notification_subtype_NOTIFY_MOUNT_MOVED_TO,
            mount_notification_subtype_NOTIFY_MOUNT_SETATTR,
        ],
    );
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
    // INVARIANT: The requirements are the invariants.
    let placed = Placed {
        mount: Mount(mount, PhantomData),
        before: true,
    };
    placed.post(
        subtypes,
        [
            mount_notification_subtype_NOTIFY_MOUNT_MOVED_FROM,
            mount_notification_subtype_NOTIFY_MOUNT_EXPIRED,
            mount_notification_subtype_NOTIFY_MOUNT_DETACHED,
        ],
    );
}

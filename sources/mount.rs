// SPDX-License-Identifier: GPL-2.0

//! Changes of mounts.
//!
//! Two kinds of objects can be watched: a mount namespace, and a mount with all that is below it.
//! For the latter, a post walks up from the mount to which something happened.  So a mount that is
//! taken out of its tree or moved away is reported before that is done.

use core::{iter, marker::PhantomData, mem::offset_of};
use kernel::{
    bindings, container_of,
    error::from_err_ptr,
    fs::LocalFile,
    interop::list::clist_create,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{Atomic, Relaxed},
        rcu,
    },
    types::Opaque,
    watch_queue::{Cause, Header, Notification},
};

use super::{
    source::{assert_layout, Object, Source},
    Request,
};

pub(super) const TYPE: u32 = bindings::watch_notification_type_WATCH_TYPE_MOUNT_NOTIFY;

/// The number of mounts for whose watchers a post looks: the mount itself, and those above it.
///
/// Mounts can be stacked as high as there may be mounts in a namespace, and for each mount of a
/// tree the walk is made with `mount_lock` held.
const MAX_DEPTH: usize = 128;

/// Something happened to a mount: `struct mount_notification`.
#[repr(C)]
#[derive(IntoBytes)]
struct Event {
    watch: Header<Self>,
    mnt_id: u64,
    parent_id: u64,
    mnt_ns_id: u64,
    attr: u32,
    propagation: u32,
}

impl Notification for Event {
    const TYPE: u32 = TYPE;
    type Subtype = u8;
    const HEADER: usize = offset_of!(Self, watch);
}

assert_layout!(
    Event,
    bindings::mount_notification,
    watch mnt_id parent_id mnt_ns_id attr propagation
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
    source: Source,
    id: u64,
    /// The object was found by the mount of the file, which can be taken away meanwhile.
    by_mount: bool,
    may_watch: bool,
}

impl Object for Watched {
    fn find(request: &Request) -> Result<Self> {
        let file = request.file()?;
        let is_subtree = match request.flags {
            0 => false,
            bindings::WATCH_MOUNT_SUBTREE => true,
            _ => return Err(EINVAL),
        };
        let rcu = rcu::read_lock();
        let mount = Mount::of(&file);
        // SAFETY: The file is open, so it has a dentry.
        let dentry = unsafe { (*file.as_ptr()).__bindgen_anon_1.f_path.dentry };
        // SAFETY: The dentry is valid.  If it is that of a namespace, it has a reference to that.
        let named = unsafe { bindings::mnt_ns_from_dentry(dentry) };
        let by_mount = is_subtree || named.is_null();
        let namespace = if by_mount {
            mount.namespace_rcu(&rcu).ok_or(EINVAL)?
        } else {
            named
        };
        let (source, id) = if is_subtree {
            (subtrees(), mount.id())
        } else {
            // SAFETY: The dentry has a reference to the namespace, or this is under RCU.
            (namespaces(), unsafe {
                bindings::watch_mount_ns_id(namespace)
            })
        };
        // SAFETY: As above; the namespace has a reference to its user namespace.
        let may_watch =
            unsafe { bindings::ns_capable((*namespace).user_ns, bindings::CAP_SYS_ADMIN as c_int) };
        drop(rcu);
        Ok(Self {
            file,
            source,
            id,
            by_mount,
            may_watch,
        })
    }

    fn source(&self) -> Source {
        self.source
    }

    fn file(&self) -> Option<&LocalFile> {
        Some(&self.file)
    }

    fn id(&self) -> Option<u64> {
        Some(self.id)
    }

    /// The administrator of the user namespace to which the mount namespace belongs may watch.
    fn permit(&self) -> Result {
        if self.may_watch {
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
    fn namespace_rcu(self, _rcu: &rcu::Guard) -> Option<*mut bindings::mnt_namespace> {
        // SAFETY: This is under RCU.
        unsafe { self.namespace() }
    }

    /// # Safety
    ///
    /// This is an RCU read-side critical section, or `namespace_sem` or `mount_lock` is held.
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

    /// Returns its attributes and its propagation, which `statmount()` has as `mnt_attr` and
    /// `mnt_propagation`.
    fn attributes(self) -> (u32, u32) {
        let (mut attributes, mut propagation) = (0, 0);
        // SAFETY: By the invariants the mount is valid.
        unsafe { bindings::watch_mount_attributes(self.0, &mut attributes, &mut propagation) };
        (attributes, propagation)
    }
}

/// A mount that stays where it is in its tree.
///
/// # Invariants
///
/// The mount is valid for `'a`, during which `namespace_sem` or `mount_lock` is held.  The parent
/// and the namespace of a mount only change with both.
#[repr(transparent)]
struct Placed(Opaque<bindings::mount>);

impl Placed {
    /// # Safety
    ///
    /// `mount` is valid for `'a`, during which `namespace_sem` or `mount_lock` is held.
    unsafe fn from_raw<'a>(mount: *mut bindings::mount) -> &'a Self {
        // INVARIANT: The requirements are the invariants.
        // SAFETY: A `Placed` is a `struct mount`, and the caller has a valid one.
        unsafe { &*mount.cast() }
    }

    fn mount(&self) -> Mount<'_> {
        // INVARIANT: The mount is valid as long as it is borrowed.
        Mount(self.0.get(), PhantomData)
    }

    fn parent(&self) -> Option<&Self> {
        // SAFETY: The mount is valid, and the parent does not change.
        let parent = unsafe { (*self.0.get()).mnt_parent };
        // SAFETY: A mount has a reference to its parent, and the locks stay held.
        (parent != self.0.get()).then(|| unsafe { Self::from_raw(parent) })
    }

    /// Returns the id of its namespace, if that has a name.
    fn namespace_id(&self) -> Option<u64> {
        // SAFETY: By the invariants one of the locks is held.
        let namespace = unsafe { self.mount().namespace() }?;
        // SAFETY: A namespace goes away after its mounts have left it.
        Some(unsafe { bindings::watch_mount_ns_id(namespace) })
    }

    fn event(&self, namespace: u64, subtype: u32) -> Event {
        let (attr, propagation) = self.mount().attributes();
        Event {
            watch: Header::new(subtype as u8),
            mnt_id: self.mount().id(),
            parent_id: self.parent().unwrap_or(self).mount().id(),
            mnt_ns_id: namespace,
            attr,
            propagation,
        }
    }

    /// Returns the mount, and those that it is below, the nearest first.
    fn and_ancestors(&self) -> impl Iterator<Item = &Self> {
        iter::successors(Some(self), |mount| mount.parent()).take(MAX_DEPTH)
    }

    /// Posts to the watchers of the namespace, and of the mounts that this is or is below.
    fn post(&self, subtype: u32) {
        let Some(namespace) = self.namespace_id() else {
            return;
        };
        let mut event = self.event(namespace, subtype);
        namespaces().post(&mut event, Cause::CurrentTask, namespace);
        if subtrees().is_watched() {
            for mount in self.and_ancestors() {
                subtrees().post(&mut event, Cause::CurrentTask, mount.mount().id());
            }
        }
    }
}

/// Posts that something happened, or is about to happen, to a mount.
///
/// Context: Process context; `namespace_sem` or `mount_lock` is held.
///
/// # Safety
///
/// `mount` is valid, and `namespace_sem` or `mount_lock` is held.
#[export]
pub(crate) unsafe extern "C" fn __watch_mount(mount: *mut bindings::mount, subtype: u32) {
    // SAFETY: The caller has a valid mount and one of the locks.
    unsafe { Placed::from_raw(mount) }.post(subtype);
}

/// Posts that mounts are about to be taken out of their trees, and removes the watches on them.
///
/// Context: Process context; `mount_lock` is held for writing.
///
/// # Safety
///
/// `mounts` is a list of valid mounts, linked by `mnt_list`.  `mount_lock` is held for writing.
#[export]
pub(crate) unsafe extern "C" fn __watch_mount_detach(mounts: *mut bindings::list_head) {
    let subtype = bindings::mount_notification_subtype_NOTIFY_MOUNT_DETACHED;
    // SAFETY: The caller has a list of mounts, which are linked by `mnt_list`, and `mount_lock`.
    let mounts = unsafe { clist_create!(mounts, Placed, bindings::mount, mnt_list) };
    for mount in mounts.iter() {
        mount.post(subtype);
    }
    // Only now, as a watcher gets all of this that is below the mount that it watches.
    for mount in mounts.iter() {
        subtrees().remove(mount.mount().id());
    }
}

/// Removes the watches on a mount namespace, whose mounts are gone.
///
/// Context: Process context.
///
/// # Safety
///
/// `namespace` is valid.
#[export]
pub(crate) unsafe extern "C" fn __watch_mount_ns_gone(namespace: *mut bindings::mnt_namespace) {
    // SAFETY: The caller has a valid namespace.
    namespaces().remove(unsafe { bindings::watch_mount_ns_id(namespace) });
}

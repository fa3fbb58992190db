// SPDX-License-Identifier: GPL-2.0

//! What happens to mounts.
//!
//! Two kinds of objects can be watched: a mount namespace, and a mount with all that is below it.
//! For the latter, a post walks up from the mount to which something happened.  That a mount is
//! taken out of its tree or moved away is therefore posted before it is.

use core::{iter, marker::PhantomData, mem::offset_of, ptr};
use kernel::{
    bindings,
    error::from_err_ptr,
    fs::file::LocalFile,
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        rcu,
    },
    watch_queue::Cause,
};

use super::{
    source::{header, Message, Source},
    Request,
};
use crate::queue::Borrowed;

pub(super) const TYPE: u32 = bindings::watch_notification_type_WATCH_TYPE_MOUNT_NOTIFY;

type Note = bindings::mount_notification;

/// How many mounts a post looks at for who watches them: the one that it is about, and those above.
///
/// Mounts can be stacked as high as there may be mounts in a namespace, and for each mount of a
/// tree the walk is made with `mount_lock` held.
const MAX_DEPTH: usize = 128;

// SAFETY: It begins with a header, which `note()` sets, and is five words of 64 bits.
unsafe impl Message for Note {}

fn namespaces() -> Source {
    // SAFETY: This is one of those in `sources.c`.
    unsafe { Source::from_raw(&raw mut bindings::watch_mount_ns_source) }
}

fn subtrees() -> Source {
    // SAFETY: This is one of those in `sources.c`.
    unsafe { Source::from_raw(&raw mut bindings::watch_mount_source) }
}

/// What is watched.
struct Object {
    source: Source,
    id: u64,
    /// Whether it is the mount of the file that says what and where it is, which may be taken away.
    by_mount: bool,
}

/// Adds a watch.
///
/// # Errors
///
/// `EBADF`; `EINVAL` if the file is not on a mount that is in a mount namespace, `EPERM` without
/// `CAP_SYS_ADMIN` in the user namespace of that, and those of [`Source::attach`].
pub(super) fn add(queue: Borrowed<'_>, request: &Request) -> Result {
    let file = request.file()?;
    let (object, may_watch) = with_namespace(&file, request.flags, |object, namespace| {
        // SAFETY: The namespace is valid, and has a reference to its user namespace.
        let may_watch =
            unsafe { bindings::ns_capable((*namespace).user_ns, bindings::CAP_SYS_ADMIN as c_int) };
        (object, may_watch)
    })?;
    if !may_watch {
        return Err(EPERM);
    }
    request.ask_security(Some(&file))?;
    object
        .source
        .attach_if(queue, request.tag(), object.id, || {
            if object.by_mount && Mount::of(&file).is_going() {
                Err(EINVAL)
            } else {
                Ok(())
            }
        })
}

/// Removes a watch.
///
/// # Errors
///
/// `EBADF`, `EINVAL` as for [`add`], `EBADSLT` if there is none.
pub(super) fn remove(queue: Borrowed<'_>, request: &Request) -> Result {
    let file = request.file()?;
    let object = with_namespace(&file, request.flags, |object, _| object)?;
    object.source.detach(queue, object.id)
}

/// Finds out what a file and the flags say is to be watched, and in which namespace that is.
fn with_namespace<T>(
    file: &LocalFile,
    flags: u32,
    found: impl FnOnce(Object, *mut bindings::mnt_namespace) -> T,
) -> Result<T> {
    let is_subtree = match flags {
        0 => false,
        bindings::WATCH_MOUNT_SUBTREE => true,
        _ => return Err(EINVAL),
    };
    let rcu = rcu::read_lock();
    let mount = Mount::of(file);
    // SAFETY: The file is open, so it has a dentry.  If that is a namespace's, it has a reference.
    let named =
        unsafe { bindings::mnt_ns_from_dentry((*file.as_ptr()).__bindgen_anon_1.f_path.dentry) };
    let by_mount = is_subtree || named.is_null();
    let namespace = if by_mount {
        mount.namespace_rcu(&rcu).ok_or(EINVAL)?
    } else {
        named
    };
    let (source, id) = if is_subtree {
        (subtrees(), mount.id())
    } else {
        // SAFETY: The namespace is valid: it has a reference, or this is under RCU.
        (namespaces(), unsafe {
            bindings::watch_mount_ns_id(namespace)
        })
    };
    let object = Object {
        source,
        id,
        by_mount,
    };
    Ok(found(object, namespace))
}

/// A mount.
///
/// # Invariants
///
/// It is valid for `'a`.
#[derive(Clone, Copy)]
struct Mount<'a>(*mut bindings::mount, PhantomData<&'a bindings::mount>);

impl<'a> Mount<'a> {
    /// The mount that a file is on.
    fn of(file: &'a LocalFile) -> Self {
        // SAFETY: The file is open, so it has a path.  Its mount is the `mnt` of a `struct mount`.
        let mount = unsafe {
            let mnt = (*file.as_ptr()).__bindgen_anon_1.f_path.mnt;
            mnt.byte_sub(offset_of!(bindings::mount, mnt)).cast()
        };
        // INVARIANT: The file has a reference to it.
        Self(mount, PhantomData)
    }

    /// What `statmount()` tells as `mnt_id`.  Never reused.
    fn id(self) -> u64 {
        // SAFETY: By the invariants.  The id does not change.
        unsafe { (*self.0).mnt_id_unique }
    }

    fn flags(self) -> u32 {
        // SAFETY: By the invariants.
        unsafe { Atomic::from_ptr(&raw mut (*self.0).mnt.mnt_flags) }.load(Relaxed) as u32
    }

    /// Whether it is taken out of its tree, or about to be.
    fn is_going(self) -> bool {
        self.flags() & bindings::mount_flags_MNT_UMOUNT != 0
    }

    /// The namespace in which it is, unless that is one of those without a name which trees are in
    /// before they are attached.
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
        // SAFETY: By the caller's promise it is readable.
        let has_name = unsafe { !(*namespace).is_anon };
        has_name.then_some(namespace)
    }

    /// What `statmount()` tells as `mnt_attr`.
    fn attributes(self) -> u32 {
        use bindings::*;

        let flags = self.flags();
        let mut attributes = [
            (mount_flags_MNT_READONLY, MOUNT_ATTR_RDONLY),
            (mount_flags_MNT_NOSUID, MOUNT_ATTR_NOSUID),
            (mount_flags_MNT_NODEV, MOUNT_ATTR_NODEV),
            (mount_flags_MNT_NOEXEC, MOUNT_ATTR_NOEXEC),
            (mount_flags_MNT_NODIRATIME, MOUNT_ATTR_NODIRATIME),
            (mount_flags_MNT_NOSYMFOLLOW, MOUNT_ATTR_NOSYMFOLLOW),
        ]
        .iter()
        .filter(|(flag, _)| flags & flag != 0)
        .fold(0, |sum, (_, attribute)| sum | attribute);

        attributes |= if flags & mount_flags_MNT_NOATIME != 0 {
            MOUNT_ATTR_NOATIME
        } else if flags & mount_flags_MNT_RELATIME != 0 {
            MOUNT_ATTR_RELATIME
        } else {
            MOUNT_ATTR_STRICTATIME
        };
        // SAFETY: By the invariants.
        let idmap = unsafe { Atomic::from_ptr(&raw mut (*self.0).mnt.mnt_idmap) }.load(Relaxed);
        if !ptr::eq(idmap, &raw const nop_mnt_idmap) {
            attributes |= MOUNT_ATTR_IDMAP;
        }
        attributes
    }

    /// What `statmount()` tells as `mnt_propagation`.
    fn propagation(self) -> u32 {
        use bindings::*;

        // SAFETY: By the invariants.
        let (flags, master) = unsafe {
            (
                Atomic::from_ptr(&raw mut (*self.0).mnt_t_flags).load(Relaxed) as u32,
                Atomic::from_ptr(&raw mut (*self.0).mnt_master).load(Relaxed),
            )
        };
        let mut propagation = 0;
        if flags & T_SHARED != 0 {
            propagation |= MS_SHARED;
        }
        if !master.is_null() {
            propagation |= MS_SLAVE;
        }
        if flags & T_UNBINDABLE != 0 {
            propagation |= MS_UNBINDABLE;
        }
        if propagation == 0 {
            propagation = MS_PRIVATE;
        }
        propagation
    }
}

/// A mount that stays where it is in its tree.
///
/// # Invariants
///
/// `namespace_sem` or `mount_lock` is held for `'a`: what mounts have as parent and namespace only
/// changes with both.
#[derive(Clone, Copy)]
struct Placed<'a>(Mount<'a>);

impl<'a> Placed<'a> {
    /// # Safety
    ///
    /// `mount` is valid for `'a`, during which `namespace_sem` or `mount_lock` is held.
    unsafe fn from_raw(mount: *mut bindings::mount) -> Self {
        // INVARIANT: By the caller's promise.
        Self(Mount(mount, PhantomData))
    }

    fn parent(self) -> Option<Self> {
        // SAFETY: The mount is valid.
        let parent = unsafe { (*self.0 .0).mnt_parent };
        // INVARIANT: Parents are referred to by their children, and the locks stay held.
        (parent != self.0 .0).then_some(Self(Mount(parent, PhantomData)))
    }

    /// The id of the namespace in which it is, if that has a name.
    fn namespace_id(self) -> Option<u64> {
        // SAFETY: By the invariants.
        unsafe { self.0.namespace() }
            // SAFETY: A namespace goes away after its mounts have left it.
            .map(|namespace| unsafe { bindings::watch_mount_ns_id(namespace) })
    }

    fn note(self, namespace: u64, subtype: u32) -> Note {
        Note {
            watch: header::<Note>(TYPE, subtype),
            mnt_id: self.0.id(),
            parent_id: self.parent().unwrap_or(self).0.id(),
            mnt_ns_id: namespace,
            attr: self.0.attributes(),
            propagation: self.0.propagation(),
        }
    }

    /// The mount, and those that it is below, the nearest first.
    fn and_ancestors(self) -> impl Iterator<Item = Self> {
        iter::successors(Some(self), |mount| mount.parent()).take(MAX_DEPTH)
    }

    /// Posts to those who watch the namespace, or a mount that this is or is below.
    fn post(self, subtype: u32) {
        let Some(namespace) = self.namespace_id() else {
            return;
        };
        let mut note = self.note(namespace, subtype);
        namespaces().post(&mut note, Cause::CurrentTask, namespace);
        if subtrees().is_watched() {
            for mount in self.and_ancestors() {
                subtrees().post(&mut note, Cause::CurrentTask, mount.0.id());
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
    // SAFETY: By the caller's promise.
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
    // SAFETY: By the caller's promise.
    unsafe { for_each(mounts, |mount| mount.post(subtype)) };
    // Only now, as watchers are to be told of all that is below what they watch.
    //
    // SAFETY: As above.
    unsafe { for_each(mounts, |mount| subtrees().remove(mount.0.id())) };
}

/// # Safety
///
/// As for [`__watch_mount_detach`].
unsafe fn for_each(mounts: *mut bindings::list_head, visit: impl Fn(Placed<'_>)) {
    // SAFETY: By the caller's promise.
    unsafe {
        let mut node = (*mounts).next;
        while node != mounts {
            let mount = node.byte_sub(offset_of!(bindings::mount, mnt_list)).cast();
            visit(Placed::from_raw(mount));
            node = (*node).next;
        }
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
    // SAFETY: By the caller's promise.
    unsafe { namespaces().remove(bindings::watch_mount_ns_id(namespace)) };
}

// SPDX-License-Identifier: GPL-2.0

//! What happens to mounts.
//!
//! Two kinds of objects can be watched: a mount namespace, and a mount with all that is below it.
//! For the latter, a post walks up from the mount to which something happened.  That a mount is
//! taken out of its tree or moved away is therefore posted before it is.

use core::{mem::offset_of, ptr};
use kernel::{
    bindings,
    fs::file::LocalFile,
    prelude::*,
    sync::{
        atomic::{ordering::Full, Atomic, Relaxed},
        barrier::smp_mb,
        rcu,
    },
};

use super::{
    source::{header, Message, Source},
    Request,
};
use crate::Borrowed;

pub(super) const TYPE: u32 = bindings::watch_notification_type_WATCH_TYPE_MOUNT_NOTIFY;

type Note = bindings::mount_notification;

// SAFETY: It begins with a header, which `note()` sets, and is five words of 64 bits.
unsafe impl Message for Note {}

type RawMount = *mut bindings::mount;

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
    object.source.attach(queue, request.tag, object.id)?;

    // Mounts are marked before their watches are removed, so that either this sees the mark or
    // that sees the watch.
    smp_mb(Full);
    if object.by_mount && is_going(mount_of(&file)) {
        let _ = object.source.detach(queue, object.id);
        return Err(EINVAL);
    }
    Ok(())
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

fn mount_of(file: &LocalFile) -> RawMount {
    // SAFETY: The file is open, so it has a path.  Its mount is the `mnt` of a `struct mount`.
    unsafe {
        let mnt = (*file.as_ptr()).__bindgen_anon_1.f_path.mnt;
        mnt.byte_sub(offset_of!(bindings::mount, mnt)).cast()
    }
}

/// Whether a mount is taken out of its tree, or about to be.
fn is_going(mount: RawMount) -> bool {
    // SAFETY: The mount is valid, as it is that of an open file.
    let flags = unsafe { Atomic::from_ptr(&raw mut (*mount).mnt.mnt_flags) };
    flags.load(Relaxed) as u32 & bindings::mount_flags_MNT_UMOUNT != 0
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
    // A namespace is readable for a grace period after its last mount has left it.
    let _rcu = rcu::read_lock();
    let mount = mount_of(file);
    // SAFETY: The file is open, so it has a dentry.  If that is a namespace's, it has a reference.
    let named =
        unsafe { bindings::mnt_ns_from_dentry((*file.as_ptr()).__bindgen_anon_1.f_path.dentry) };
    let by_mount = is_subtree || named.is_null();
    let namespace = if by_mount {
        // SAFETY: The mount is valid, as it is that of an open file.
        unsafe { namespace_of(mount) }.ok_or(EINVAL)?
    } else {
        named
    };
    // SAFETY: Both are valid.
    let (source, id) = unsafe {
        if is_subtree {
            (subtrees(), (*mount).mnt_id_unique)
        } else {
            (namespaces(), bindings::watch_mount_ns_id(namespace))
        }
    };
    let object = Object {
        source,
        id,
        by_mount,
    };
    Ok(found(object, namespace))
}

/// The namespace in which a mount is, unless that is one of those without a name which trees are
/// in before they are attached.
///
/// # Safety
///
/// `mount` is valid, and this is an RCU read-side critical section, or `namespace_sem` or
/// `mount_lock` is held.
unsafe fn namespace_of(mount: RawMount) -> Option<*mut bindings::mnt_namespace> {
    // SAFETY: By the caller's promise.
    let namespace = unsafe { Atomic::from_ptr(&raw mut (*mount).mnt_ns) }.load(Relaxed);
    // SAFETY: If it is neither null nor `MNT_NS_INTERNAL`, it is readable.
    let has_name = !namespace.is_null()
        && kernel::error::from_err_ptr(namespace).is_ok()
        && unsafe { !(*namespace).is_anon };
    has_name.then_some(namespace)
}

/// # Safety
///
/// `mount` is valid, and `namespace_sem` or `mount_lock` is held.
unsafe fn note(mount: RawMount, namespace: u64, subtype: u32) -> Note {
    // SAFETY: By the caller's promise.
    unsafe {
        Note {
            watch: header::<Note>(TYPE, subtype),
            mnt_id: (*mount).mnt_id_unique,
            parent_id: (*(*mount).mnt_parent).mnt_id_unique,
            mnt_ns_id: namespace,
            attr: attributes(&(*mount).mnt),
            propagation: propagation(&*mount),
        }
    }
}

/// What `statmount()` tells as `mnt_attr`.
fn attributes(mnt: &bindings::vfsmount) -> u32 {
    let flags = mnt.mnt_flags as u32;
    let mut attributes = [
        (
            bindings::mount_flags_MNT_READONLY,
            bindings::MOUNT_ATTR_RDONLY,
        ),
        (
            bindings::mount_flags_MNT_NOSUID,
            bindings::MOUNT_ATTR_NOSUID,
        ),
        (bindings::mount_flags_MNT_NODEV, bindings::MOUNT_ATTR_NODEV),
        (
            bindings::mount_flags_MNT_NOEXEC,
            bindings::MOUNT_ATTR_NOEXEC,
        ),
        (
            bindings::mount_flags_MNT_NODIRATIME,
            bindings::MOUNT_ATTR_NODIRATIME,
        ),
        (
            bindings::mount_flags_MNT_NOSYMFOLLOW,
            bindings::MOUNT_ATTR_NOSYMFOLLOW,
        ),
    ]
    .iter()
    .filter(|(flag, _)| flags & flag != 0)
    .fold(0, |sum, (_, attribute)| sum | attribute);

    attributes |= if flags & bindings::mount_flags_MNT_NOATIME != 0 {
        bindings::MOUNT_ATTR_NOATIME
    } else if flags & bindings::mount_flags_MNT_RELATIME != 0 {
        bindings::MOUNT_ATTR_RELATIME
    } else {
        bindings::MOUNT_ATTR_STRICTATIME
    };
    if !ptr::eq(mnt.mnt_idmap, &raw const bindings::nop_mnt_idmap) {
        attributes |= bindings::MOUNT_ATTR_IDMAP;
    }
    attributes
}

/// What `statmount()` tells as `mnt_propagation`.
fn propagation(mount: &bindings::mount) -> u32 {
    let flags = mount.mnt_t_flags as u32;
    let mut propagation = 0;
    if flags & bindings::T_SHARED != 0 {
        propagation |= bindings::MS_SHARED;
    }
    if !mount.mnt_master.is_null() {
        propagation |= bindings::MS_SLAVE;
    }
    if flags & bindings::T_UNBINDABLE != 0 {
        propagation |= bindings::MS_UNBINDABLE;
    }
    if propagation == 0 {
        propagation = bindings::MS_PRIVATE;
    }
    propagation
}

/// Posts that something happened, or is about to happen, to a mount.
///
/// Context: Any but NMI.
///
/// # Safety
///
/// `mount` is valid, and `namespace_sem` or `mount_lock` is held.
#[export]
pub(crate) unsafe extern "C" fn __watch_mount(mount: RawMount, subtype: u32) {
    // SAFETY: By the caller's promise.
    let Some(namespace) = (unsafe { namespace_of(mount) }) else {
        return;
    };
    // SAFETY: By the caller's promise; parents only change with both locks held.  The current
    // task's credentials are valid.
    unsafe {
        let namespace = bindings::watch_mount_ns_id(namespace);
        let mut note = note(mount, namespace, subtype);
        let cred = bindings::current_cred();
        namespaces().post(&mut note, cred, namespace);
        let mut ancestor = mount;
        loop {
            subtrees().post(&mut note, cred, (*ancestor).mnt_id_unique);
            let parent = (*ancestor).mnt_parent;
            if parent == ancestor {
                break;
            }
            ancestor = parent;
        }
    }
}

/// Posts that mounts are about to be taken out of their trees, and removes the watches on them.
///
/// Context: Any but NMI.
///
/// # Safety
///
/// `mounts` is a list of valid mounts, linked by `mnt_list`.  `mount_lock` is held for writing.
#[export]
pub(crate) unsafe extern "C" fn __watch_mount_detach(mounts: *mut bindings::list_head) {
    let subtype = bindings::mount_notification_subtype_NOTIFY_MOUNT_DETACHED;
    // SAFETY: By the caller's promise.
    unsafe { for_each(mounts, |mount| __watch_mount(mount, subtype)) };
    // Pairs with the one in `add()`.
    smp_mb(Full);
    // Only now, as watchers are to be told of all that is below what they watch.
    //
    // SAFETY: As above.
    unsafe { for_each(mounts, |mount| subtrees().remove((*mount).mnt_id_unique)) };
}

/// # Safety
///
/// As for [`__watch_mount_detach`].
unsafe fn for_each(mounts: *mut bindings::list_head, mut visit: impl FnMut(RawMount)) {
    // SAFETY: By the caller's promise.
    unsafe {
        let mut node = (*mounts).next;
        while node != mounts {
            visit(node.byte_sub(offset_of!(bindings::mount, mnt_list)).cast());
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
    // Pairs with the one in `add()`.
    smp_mb(Full);
    // SAFETY: By the caller's promise.
    unsafe { namespaces().remove(bindings::watch_mount_ns_id(namespace)) };
}

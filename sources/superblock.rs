// SPDX-License-Identifier: GPL-2.0

//! What happens to mounted file systems.
//!
//! A superblock is found by its device number, which no two have at a time.  As device numbers are
//! reused, it is given an id that is not when it is watched for the first time.

use core::ptr;
use kernel::{
    bindings,
    error::to_result,
    fs::file::LocalFile,
    prelude::*,
    sync::atomic::{Atomic, Relaxed},
};

use super::{
    source::{header, major_minor, Message, Source},
    Request,
};
use crate::Borrowed;

pub(super) const TYPE: u32 = bindings::watch_notification_type_WATCH_TYPE_SUPERBLOCK_NOTIFY;

type Note = bindings::superblock_notification;
type ErrorNote = bindings::superblock_error_notification;
type QuotaNote = bindings::superblock_quota_notification;

// SAFETY: It begins with a header, which `note()` sets, and is three words of 64 bits.
unsafe impl Message for Note {}
// SAFETY: It begins with the above, followed by four words of 64 bits.
unsafe impl Message for ErrorNote {}
// SAFETY: It begins with the above, followed by two words of 64 bits.
unsafe impl Message for QuotaNote {}

/// The flag of file systems that cannot be mounted; bindgen does not see it.
const SB_NOUSER: c_ulong = 1 << 31;

type RawSuper = *mut bindings::super_block;

fn source() -> Source {
    // SAFETY: This is one of those in `sources.c`.
    unsafe { Source::from_raw(&raw mut bindings::watch_superblock_source) }
}

/// Adds a watch.
///
/// # Errors
///
/// `EBADF`; `EINVAL` if the file is of a file system that cannot be mounted, `EPERM` without
/// `CAP_SYS_ADMIN` in the user namespace to which the file system belongs, and those of
/// [`Source::attach`].
pub(super) fn add(queue: Borrowed<'_>, request: &Request) -> Result {
    request.no_flags()?;
    let file = request.file()?;
    let sb = super_of(&file)?;
    // SAFETY: The superblock is valid, and has a reference to its user namespace.
    let may_watch =
        unsafe { bindings::ns_capable((*sb).s_user_ns, bindings::CAP_SYS_ADMIN as c_int) };
    if !may_watch {
        return Err(EPERM);
    }
    request.ask_security(Some(&file))?;
    // As long as the file is open, the file system is not shut down.
    source().attach(queue, request.tag, id_to_be(sb)?)
}

/// Removes a watch.
///
/// # Errors
///
/// `EBADF`, `EINVAL` as for [`add`], `EBADSLT` if there is none.
pub(super) fn remove(queue: Borrowed<'_>, request: &Request) -> Result {
    request.no_flags()?;
    let file = request.file()?;
    let id = id_of(super_of(&file)?).ok_or(EBADSLT)?;
    source().detach(queue, id)
}

/// The superblock of an open file.
fn super_of(file: &LocalFile) -> Result<RawSuper> {
    // SAFETY: The file is open, so it has a path, the mount of which has a superblock.
    unsafe {
        let sb = (*(*file.as_ptr()).__bindgen_anon_1.f_path.mnt).mnt_sb;
        if (*sb).s_flags & SB_NOUSER == 0 {
            Ok(sb)
        } else {
            Err(EINVAL)
        }
    }
}

/// The id of a superblock, if it was ever watched.
fn id_of(sb: RawSuper) -> Option<u64> {
    // SAFETY: The array is initialised, and the superblock is valid.
    let entry = unsafe { bindings::xa_load(&raw mut bindings::watch_superblock_ids, index_of(sb)) };
    from_entry(entry)
}

/// The id of a superblock that is about to be watched.
///
/// # Errors
///
/// `ENOMEM`.
fn id_to_be(sb: RawSuper) -> Result<u64> {
    static NEXT: Atomic<i64> = Atomic::new(1);

    if let Some(id) = id_of(sb) {
        return Ok(id);
    }
    let id = NEXT.fetch_add(1, Relaxed).cast_unsigned();
    let ids = &raw mut bindings::watch_superblock_ids;
    // SAFETY: The array is initialised, and the superblock is valid.
    let entry = unsafe {
        bindings::xa_lock(ids);
        let entry = bindings::__xa_cmpxchg(
            ids,
            index_of(sb),
            ptr::null_mut(),
            to_entry(id),
            bindings::GFP_KERNEL,
        );
        bindings::xa_unlock(ids);
        entry
    };
    // SAFETY: The entry is what `__xa_cmpxchg()` returned.
    to_result(unsafe { bindings::xa_err(entry) })?;
    // Somebody else may have come first.
    Ok(from_entry(entry).unwrap_or(id))
}

fn index_of(sb: RawSuper) -> usize {
    // SAFETY: The callers have a superblock that is valid.
    unsafe { (*sb).s_dev as usize }
}

/// An id as an entry of the array: `xa_mk_value()`.
fn to_entry(id: u64) -> *mut c_void {
    ptr::without_provenance_mut((id as usize) << 1 | 1)
}

fn from_entry(entry: *mut c_void) -> Option<u64> {
    (!entry.is_null()).then_some((entry.addr() >> 1) as u64)
}

/// What messages about a superblock, which `T` is one of, begin with.
fn note<T: Message>(sb: RawSuper, id: u64, subtype: u32) -> Note {
    // SAFETY: The callers have a superblock that is valid.
    let (dev_major, dev_minor) = major_minor(unsafe { (*sb).s_dev });
    Note {
        watch: header::<T>(TYPE, subtype),
        sb_id: id,
        dev_major,
        dev_minor,
    }
}

fn post<T: Message>(mut message: T, id: u64) {
    // SAFETY: The current task's credentials are valid.
    unsafe { source().post(&mut message, bindings::current_cred(), id) };
}

/// Posts an error.
///
/// Context: Process context.
///
/// # Safety
///
/// `event` is valid.
#[export]
pub(crate) unsafe extern "C" fn __watch_superblock_error(event: *const bindings::fserror_event) {
    // SAFETY: By the caller's promise; the event has a reference to its superblock, and to its
    // inode if it is about one.
    let (event, ino) = unsafe {
        let inode = (*event).inode;
        (&*event, if inode.is_null() { 0 } else { (*inode).i_ino })
    };
    let Some(id) = id_of(event.sb) else {
        return;
    };
    let kind = match event.type_ {
        bindings::fserror_type_FSERR_BUFFERED_READ => {
            bindings::superblock_error_kind_SUPERBLOCK_BUFFERED_READ
        }
        bindings::fserror_type_FSERR_BUFFERED_WRITE => {
            bindings::superblock_error_kind_SUPERBLOCK_BUFFERED_WRITE
        }
        bindings::fserror_type_FSERR_DIRECTIO_READ => {
            bindings::superblock_error_kind_SUPERBLOCK_DIRECT_READ
        }
        bindings::fserror_type_FSERR_DIRECTIO_WRITE => {
            bindings::superblock_error_kind_SUPERBLOCK_DIRECT_WRITE
        }
        bindings::fserror_type_FSERR_DATA_LOST => {
            bindings::superblock_error_kind_SUPERBLOCK_DATA_LOST
        }
        _ => bindings::superblock_error_kind_SUPERBLOCK_METADATA,
    };
    let subtype = bindings::superblock_notification_subtype_NOTIFY_SUPERBLOCK_ERROR;
    post(
        ErrorNote {
            sb: note::<ErrorNote>(event.sb, id, subtype),
            error: event.error.unsigned_abs(),
            kind,
            ino,
            pos: event.pos.cast_unsigned(),
            len: event.len,
        },
        id,
    );
}

/// Posts that a file system has become read-only, or writable.
///
/// Context: Any but NMI.
///
/// # Safety
///
/// `sb` is valid.
#[export]
pub(crate) unsafe extern "C" fn __watch_superblock_set_readonly(sb: RawSuper, readonly: bool) {
    let Some(id) = id_of(sb) else {
        return;
    };
    let subtype = if readonly {
        bindings::superblock_notification_subtype_NOTIFY_SUPERBLOCK_READONLY
    } else {
        bindings::superblock_notification_subtype_NOTIFY_SUPERBLOCK_READWRITE
    };
    post(note::<Note>(sb, id, subtype), id);
}

/// Posts that a quota was exceeded.
///
/// Context: Any but NMI.
///
/// # Safety
///
/// `sb` and `qid` are valid.
#[export]
pub(crate) unsafe extern "C" fn __watch_superblock_quota(
    sb: RawSuper,
    qid: *const bindings::kqid,
    warning: c_int,
) {
    let Some(id) = id_of(sb) else {
        return;
    };
    let kind = warning.unsigned_abs();
    let is_refused = matches!(
        kind,
        bindings::QUOTA_NL_IHARDWARN
            | bindings::QUOTA_NL_ISOFTLONGWARN
            | bindings::QUOTA_NL_BHARDWARN
            | bindings::QUOTA_NL_BSOFTLONGWARN
    );
    let subtype = bindings::superblock_notification_subtype_NOTIFY_SUPERBLOCK_QUOTA;
    // SAFETY: The quota is valid by the caller's promise; all of the ids are one number each.
    let (quota_type, quota_id) = unsafe { ((*qid).type_, (*qid).__bindgen_anon_1.uid.val) };
    post(
        QuotaNote {
            sb: note::<QuotaNote>(sb, id, subtype),
            error: if is_refused { bindings::EDQUOT } else { 0 },
            kind,
            type_: quota_type,
            id: quota_id,
        },
        id,
    );
}

/// Removes the watches on a file system that is being shut down.
///
/// Context: Process context.
///
/// # Safety
///
/// `sb` is valid.
#[export]
pub(crate) unsafe extern "C" fn __watch_superblock_gone(sb: RawSuper) {
    // SAFETY: The array is initialised.
    let entry =
        unsafe { bindings::xa_erase(&raw mut bindings::watch_superblock_ids, index_of(sb)) };
    if let Some(id) = from_entry(entry) {
        source().remove(id);
    }
}

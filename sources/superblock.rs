// SPDX-License-Identifier: GPL-2.0

//! What happens to mounted file systems.
//!
//! A superblock is found by its address, as two can have a device number.  As addresses are reused,
//! it is given an id that is not when it is watched for the first time.

use core::{marker::PhantomData, ptr};
use kernel::{
    bindings,
    error::to_result,
    fs::file::LocalFile,
    prelude::*,
    sync::atomic::{Atomic, Relaxed},
    watch_queue::Cause,
};

use super::{
    source::{header, major_minor, Message, Source},
    Request,
};
use crate::queue::Borrowed;

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
    let sb = Superblock::of(&file)?;
    if !sb.may_be_watched() {
        return Err(EPERM);
    }
    request.ask_security(Some(&file))?;
    // As long as the file is open, the file system is not shut down.
    source().attach(queue, request.tag(), sb.id_to_be()?)
}

/// Removes a watch.
///
/// # Errors
///
/// `EBADF`, `EINVAL` as for [`add`], `EBADSLT` if there is none.
pub(super) fn remove(queue: Borrowed<'_>, request: &Request) -> Result {
    request.no_flags()?;
    let file = request.file()?;
    let id = Superblock::of(&file)?.id().ok_or(EBADSLT)?;
    source().detach(queue, id)
}

/// A superblock.
///
/// # Invariants
///
/// It is valid for `'a`.
#[derive(Clone, Copy)]
struct Superblock<'a>(
    *mut bindings::super_block,
    PhantomData<&'a bindings::super_block>,
);

impl<'a> Superblock<'a> {
    /// # Safety
    ///
    /// `sb` is valid for `'a`.
    unsafe fn from_raw(sb: *mut bindings::super_block) -> Self {
        // INVARIANT: By the caller's promise.
        Self(sb, PhantomData)
    }

    /// That of a file.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is one that cannot be mounted.
    fn of(file: &'a LocalFile) -> Result<Self> {
        // SAFETY: The file is open, so it has a path, the mount of which has a superblock.
        let (sb, flags) = unsafe {
            let sb = (*(*file.as_ptr()).__bindgen_anon_1.f_path.mnt).mnt_sb;
            (sb, Atomic::from_ptr(&raw mut (*sb).s_flags).load(Relaxed))
        };
        if flags & SB_NOUSER != 0 {
            return Err(EINVAL);
        }
        // INVARIANT: The file has a reference to the mount, and that to the superblock.
        Ok(Self(sb, PhantomData))
    }

    /// Whether the current task may do so.
    fn may_be_watched(self) -> bool {
        // SAFETY: By the invariants; it has a reference to its user namespace.
        unsafe { bindings::ns_capable((*self.0).s_user_ns, bindings::CAP_SYS_ADMIN as c_int) }
    }

    fn device_number(self) -> bindings::dev_t {
        // SAFETY: By the invariants.  It does not change once there are files.
        unsafe { (*self.0).s_dev }
    }

    fn index(self) -> usize {
        self.0.addr()
    }

    /// Its id, if it was ever watched.
    fn id(self) -> Option<u64> {
        // SAFETY: The array is initialised.
        let entry =
            unsafe { bindings::xa_load(&raw mut bindings::watch_superblock_ids, self.index()) };
        from_entry(entry)
    }

    /// Its id, as it is about to be watched.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    fn id_to_be(self) -> Result<u64> {
        static NEXT: Atomic<i64> = Atomic::new(1);

        if let Some(id) = self.id() {
            return Ok(id);
        }
        let id = NEXT.fetch_add(1, Relaxed).cast_unsigned();
        let ids = &raw mut bindings::watch_superblock_ids;
        // SAFETY: The array is initialised; it is locked for what has to be called so.
        let entry = unsafe {
            bindings::xa_lock(ids);
            let entry = bindings::__xa_cmpxchg(
                ids,
                self.index(),
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

    /// What messages about it, which `T` is one of, begin with.
    fn note<T: Message>(self, id: u64, subtype: u32) -> Note {
        let (dev_major, dev_minor) = major_minor(self.device_number());
        Note {
            watch: header::<T>(TYPE, subtype),
            sb_id: id,
            dev_major,
            dev_minor,
        }
    }
}

/// An id as an entry of the array: `xa_mk_value()`.
fn to_entry(id: u64) -> *mut c_void {
    ptr::without_provenance_mut((id as usize) << 1 | 1)
}

fn from_entry(entry: *mut c_void) -> Option<u64> {
    (!entry.is_null()).then_some((entry.addr() >> 1) as u64)
}

fn post<T: Message>(mut message: T, id: u64) {
    source().post(&mut message, Cause::CurrentTask, id);
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
    // SAFETY: By the caller's promise; nobody changes the event.  It keeps its superblock from
    // going, and has a reference to its inode if it is about one.
    let (event, sb, ino) = unsafe {
        let event = &*event;
        let ino = if event.inode.is_null() {
            0
        } else {
            (*event.inode).i_ino
        };
        (event, Superblock::from_raw(event.sb), ino)
    };
    let Some(id) = sb.id() else {
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
            sb: sb.note::<ErrorNote>(id, subtype),
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
/// Context: Process context.
///
/// # Safety
///
/// `sb` is valid.
#[export]
pub(crate) unsafe extern "C" fn __watch_superblock_set_readonly(
    sb: *mut bindings::super_block,
    readonly: bool,
) {
    // SAFETY: By the caller's promise.
    let sb = unsafe { Superblock::from_raw(sb) };
    let Some(id) = sb.id() else {
        return;
    };
    let subtype = if readonly {
        bindings::superblock_notification_subtype_NOTIFY_SUPERBLOCK_READONLY
    } else {
        bindings::superblock_notification_subtype_NOTIFY_SUPERBLOCK_READWRITE
    };
    post(sb.note::<Note>(id, subtype), id);
}

/// Posts that a quota was exceeded.
///
/// Context: Process context.
///
/// # Safety
///
/// `sb` and `qid` are valid.
#[export]
pub(crate) unsafe extern "C" fn __watch_superblock_quota(
    sb: *mut bindings::super_block,
    qid: *const bindings::kqid,
    warning: c_int,
) {
    // SAFETY: By the caller's promise.
    let sb = unsafe { Superblock::from_raw(sb) };
    let Some(id) = sb.id() else {
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
            sb: sb.note::<QuotaNote>(id, subtype),
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
pub(crate) unsafe extern "C" fn __watch_superblock_gone(sb: *mut bindings::super_block) {
    // SAFETY: By the caller's promise.
    let index = unsafe { Superblock::from_raw(sb) }.index();
    // SAFETY: The array is initialised.
    let entry = unsafe { bindings::xa_erase(&raw mut bindings::watch_superblock_ids, index) };
    if let Some(id) = from_entry(entry) {
        source().remove(id);
    }
}

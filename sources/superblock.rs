// SPDX-License-Identifier: GPL-2.0

//! Errors and other events of mounted file systems.
//!
//! A superblock gets an id when it is watched for the first time, as two can have the same device
//! number.  Ids are not reused.

use core::{marker::PhantomData, mem::offset_of};
use kernel::{
    bindings,
    error::to_result,
    fs::LocalFile,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{Atomic, Relaxed},
    },
    watch_queue::{Cause, Header, Notification},
};

use super::{
    source::{
        assert_layout, kernel_credentials, major_minor, op_and_error, Object, ObjectWatches, Slot,
        Source,
    },
    up_to, Request, Support,
};

pub(super) const TYPE: u32 = bindings::watch_notification_type_WATCH_TYPE_SUPERBLOCK_NOTIFY;

pub(super) const SUPPORT: Support = Support {
    subtypes: up_to(bindings::superblock_notification_subtype_NOTIFY_SUPERBLOCK_THAWED),
    watch_flags: 0,
    features: bindings::WATCH_FEATURE_ADD,
};

/// Something happened to a file system: `struct superblock_notification`.
#[repr(C)]
#[derive(FromBytes, IntoBytes)]
struct Event {
    watch: Header<Self>,
    sb_id: u64,
    dev_major: u32,
    dev_minor: u32,
}

/// An error: `struct superblock_error_notification`, which has all of the above.
#[repr(C)]
#[derive(FromBytes, IntoBytes)]
struct ErrorEvent {
    watch: Header<Self>,
    sb_id: u64,
    dev_major: u32,
    dev_minor: u32,
    ino: u64,
    pos: u64,
    len: u64,
}

/// A limit of a quota was crossed: `struct superblock_quota_notification`, which has as well.
#[repr(C)]
#[derive(FromBytes, IntoBytes)]
struct QuotaEvent {
    watch: Header<Self>,
    sb_id: u64,
    dev_major: u32,
    dev_minor: u32,
    type_: u32,
    id: u32,
}

impl Notification for Event {
    const TYPE: u32 = TYPE;
    type Subtype = u8;
    const HEADER: usize = offset_of!(Self, watch);
}

impl Notification for ErrorEvent {
    const TYPE: u32 = TYPE;
    type Subtype = u8;
    const HEADER: usize = offset_of!(Self, watch);
}

impl Notification for QuotaEvent {
    const TYPE: u32 = TYPE;
    type Subtype = u8;
    const HEADER: usize = offset_of!(Self, watch);
}

assert_layout!(
    Event,
    bindings::superblock_notification,
    watch sb_id dev_major dev_minor
);
assert_layout!(
    ErrorEvent,
    bindings::superblock_error_notification,
    watch sb_id dev_major dev_minor ino pos len
);
assert_layout!(
    QuotaEvent,
    bindings::superblock_quota_notification,
    watch sb_id dev_major dev_minor type_ id
);
const _: () = assert!(offset_of!(ErrorEvent, ino) == size_of::<Event>());
const _: () = assert!(offset_of!(QuotaEvent, type_) == size_of::<Event>());

fn source() -> Source {
    // SAFETY: This is one of those in `glue/sources.c`.
    unsafe { Source::from_raw(&raw mut bindings::watch_superblock_source) }
}

/// A file of a file system that can be mounted.
///
/// As long as the file is open, the file system is not shut down, so it is always there.
pub(super) struct Watched(ARef<LocalFile>);

impl Watched {
    fn superblock(&self) -> Superblock<'_> {
        // SAFETY: The file is open, so it has a path with a mount, which has a superblock.
        let sb = unsafe { (*(*self.0.as_ptr()).__bindgen_anon_1.f_path.mnt).mnt_sb };
        // SAFETY: The file has a reference to the mount, and that to the superblock.
        unsafe { Superblock::from_raw(sb) }
    }
}

impl Object for Watched {
    fn find(request: &Request) -> Result<Self> {
        request.no_flags()?;
        let watched = Self(request.file()?);
        if watched.superblock().can_be_mounted() {
            Ok(watched)
        } else {
            Err(EINVAL)
        }
    }

    fn source(&self) -> Source {
        source()
    }

    type Private = Source;

    fn private(&self) -> Source {
        source()
    }

    fn slot(&self) -> Slot<'_> {
        self.superblock().slot()
    }

    fn id(&self) -> u64 {
        static NEXT: Atomic<i64> = Atomic::new(1);

        match self.superblock().slot().watches() {
            Some(watches) => watches.id(),
            // If another task comes first, nothing gets this.
            None => NEXT.fetch_add(1, Relaxed).cast_unsigned(),
        }
    }

    /// The administrator of the user namespace to which the file system belongs may watch.
    fn permit(&self) -> Result {
        if self.superblock().may_administer() {
            Ok(())
        } else {
            Err(EPERM)
        }
    }

    fn ask_security(&self) -> Result {
        // SAFETY: The file is open, if only for its path.
        to_result(unsafe { bindings::watch_superblock_ask_security(self.0.as_ptr()) })
    }
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
        // INVARIANT: The requirement is the invariant.
        Self(sb, PhantomData)
    }

    fn can_be_mounted(self) -> bool {
        // SAFETY: By the invariants it is valid.
        unsafe { bindings::watch_superblock_can_be_mounted(self.0) }
    }

    /// Returns whether the current task is the administrator of the file system.
    fn may_administer(self) -> bool {
        // SAFETY: By the invariants; it has a reference to its user namespace.
        unsafe { bindings::ns_capable((*self.0).s_user_ns, bindings::CAP_SYS_ADMIN as c_int) }
    }

    fn device_number(self) -> bindings::dev_t {
        // SAFETY: By the invariants.  It does not change once there are files.
        unsafe { (*self.0).s_dev }
    }

    fn slot(self) -> Slot<'a> {
        // SAFETY: By the invariants it is valid.
        let slot = unsafe { &raw mut (*self.0).s_watch_object };
        // SAFETY: `destroy_super_work()` frees what it points to.
        unsafe { Slot::from_raw(slot) }
    }
}

fn post(mut message: impl Notification + FromBytes, watches: ObjectWatches<'_>, cause: Cause<'_>) {
    watches.post(&mut message, cause);
}

fn post_error(sb: Superblock<'_>, op: u32, error: u32, ino: u64, pos: u64, len: u64) {
    let Some(watches) = sb.slot().watches() else {
        return;
    };
    let subtype = bindings::superblock_notification_subtype_NOTIFY_SUPERBLOCK_ERROR;
    let (dev_major, dev_minor) = major_minor(sb.device_number());
    let message = ErrorEvent {
        watch: Header::new(subtype as u8).with_type_info(op_and_error(op, error)),
        sb_id: watches.id(),
        dev_major,
        dev_minor,
        ino,
        pos,
        len,
    };
    // The current task did not cause the error: an interrupt came to it, or it writes back the data
    // of others.
    post(message, watches, Cause::Credential(kernel_credentials()));
}

fn post_state(
    sb: Superblock<'_>,
    subtype: bindings::superblock_notification_subtype,
    cause: Cause<'_>,
) {
    let Some(watches) = sb.slot().watches() else {
        return;
    };
    let (dev_major, dev_minor) = major_minor(sb.device_number());
    let message = Event {
        watch: Header::new(subtype as u8),
        sb_id: watches.id(),
        dev_major,
        dev_minor,
    };
    post(message, watches, cause);
}

/// Posts an error.
///
/// Context: Any but NMI.
///
/// # Safety
///
/// `sb` is valid, and so is `inode`, unless it is null.
#[export]
pub(crate) unsafe extern "C" fn __watch_superblock_error(
    sb: *mut bindings::super_block,
    inode: *const bindings::inode,
    type_: bindings::fserror_type,
    pos: u64,
    len: u64,
    error: c_int,
) {
    // SAFETY: The caller has a valid superblock.
    let sb = unsafe { Superblock::from_raw(sb) };
    let ino = if inode.is_null() {
        0
    } else {
        // SAFETY: The caller has a valid inode, whose number stays.
        unsafe { (*inode).i_ino }
    };
    let op = match type_ {
        bindings::fserror_type_FSERR_BUFFERED_READ => {
            bindings::watch_superblock_op_WATCH_SUPERBLOCK_BUFFERED_READ
        }
        bindings::fserror_type_FSERR_BUFFERED_WRITE => {
            bindings::watch_superblock_op_WATCH_SUPERBLOCK_BUFFERED_WRITE
        }
        bindings::fserror_type_FSERR_DIRECTIO_READ => {
            bindings::watch_superblock_op_WATCH_SUPERBLOCK_DIRECT_READ
        }
        bindings::fserror_type_FSERR_DIRECTIO_WRITE => {
            bindings::watch_superblock_op_WATCH_SUPERBLOCK_DIRECT_WRITE
        }
        bindings::fserror_type_FSERR_DATA_LOST => {
            bindings::watch_superblock_op_WATCH_SUPERBLOCK_DATA_LOST
        }
        _ => bindings::watch_superblock_op_WATCH_SUPERBLOCK_METADATA,
    };
    post_error(sb, op, error.unsigned_abs(), ino, pos, len);
}

/// Posts that a device is gone which a file system cannot do without.
///
/// Context: Any but NMI.
///
/// # Safety
///
/// `sb` is valid.
#[export]
pub(crate) unsafe extern "C" fn __watch_superblock_device_gone(sb: *mut bindings::super_block) {
    // SAFETY: The caller has a valid superblock.
    let sb = unsafe { Superblock::from_raw(sb) };
    let op = bindings::watch_superblock_op_WATCH_SUPERBLOCK_DEVICE_GONE;
    post_error(sb, op, bindings::ENODEV, 0, 0, 0);
}

/// Posts that the current task has put a file system into another state, which the subtype names.
///
/// Context: Process context.
///
/// # Safety
///
/// `sb` is valid.
#[export]
pub(crate) unsafe extern "C" fn __watch_superblock(
    sb: *mut bindings::super_block,
    subtype: bindings::superblock_notification_subtype,
) {
    // SAFETY: The caller has a valid superblock.
    let sb = unsafe { Superblock::from_raw(sb) };
    post_state(sb, subtype, Cause::CurrentTask);
}

/// Posts that an error has made a file system read-only.
///
/// Context: Any but NMI.
///
/// # Safety
///
/// `sb` is valid.
#[export]
pub(crate) unsafe extern "C" fn __watch_superblock_forced_readonly(sb: *mut bindings::super_block) {
    // SAFETY: The caller has a valid superblock.
    let sb = unsafe { Superblock::from_raw(sb) };
    let subtype = bindings::superblock_notification_subtype_NOTIFY_SUPERBLOCK_READONLY;
    // As of the error itself: f2fs finds it out where a bio ends.
    post_state(sb, subtype, Cause::Credential(kernel_credentials()));
}

/// Posts that a quota limit was crossed, or that usage fell below it again.
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
    // SAFETY: The caller has a valid superblock.
    let sb = unsafe { Superblock::from_raw(sb) };
    let Some(watches) = sb.slot().watches() else {
        return;
    };
    let subtype = bindings::superblock_notification_subtype_NOTIFY_SUPERBLOCK_QUOTA;
    // SAFETY: The caller has a valid quota.
    let (quota_type, quota_id) = unsafe { ((*qid).type_, (*qid).__bindgen_anon_1.uid.val) };
    let (dev_major, dev_minor) = major_minor(sb.device_number());
    let message = QuotaEvent {
        // There is no errno: what crosses a limit may be granted all the same.
        watch: Header::new(subtype as u8).with_type_info(op_and_error(warning.unsigned_abs(), 0)),
        sb_id: watches.id(),
        dev_major,
        dev_minor,
        type_: quota_type,
        // Whichever of the ids it is, it is one number.
        id: quota_id,
    };
    post(message, watches, Cause::CurrentTask);
}

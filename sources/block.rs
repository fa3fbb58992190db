// SPDX-License-Identifier: GPL-2.0

//! Requests to block devices that fail.
//!
//! A block device is found by its number.  Before a number is used again its watches are removed.

use kernel::{
    bindings,
    cred::Credential,
    fs::file::LocalFile,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{Atomic, Relaxed},
    },
    watch_queue::Cause,
};

use super::{
    source::{header, major_minor, Message, Source},
    Request,
};
use crate::queue::Borrowed;

pub(super) const TYPE: u32 = bindings::watch_notification_type_WATCH_TYPE_BLOCK_NOTIFY;

type Note = bindings::block_notification;

// SAFETY: It begins with a header, which `__watch_block_error()` sets, and is six words of 64 bits.
unsafe impl Message for Note {}

/// The id of all devices: no device has this number.
const ALL: u64 = 0;

fn source() -> Source {
    // SAFETY: This is one of those in `sources.c`.
    unsafe { Source::from_raw(&raw mut bindings::watch_block_source) }
}

/// Adds a watch.
///
/// # Errors
///
/// `EBADF`; `EINVAL` if it is not a block device, `EPERM` if that is not open for reading or, for
/// all devices, without `CAP_SYS_ADMIN`, `ENODEV` if the device is gone, and those of
/// [`Source::attach`].
pub(super) fn add(queue: Borrowed<'_>, request: &Request) -> Result {
    request.no_flags()?;
    let Some(device) = Device::of(request)? else {
        // SAFETY: This is always safe to call.
        if !unsafe { bindings::capable(bindings::CAP_SYS_ADMIN as c_int) } {
            return Err(EPERM);
        }
        request.ask_security(None)?;
        return source().attach(queue, request.tag(), ALL);
    };
    if !device.is_readable() {
        return Err(EPERM);
    }
    request.ask_security(Some(&device.file))?;
    source().attach_if(queue, request.tag(), device.id(), || device.is_there())
}

/// Removes a watch.
///
/// # Errors
///
/// `EBADF`, `EINVAL` as for [`add`], `EBADSLT` if there is none.
pub(super) fn remove(queue: Borrowed<'_>, request: &Request) -> Result {
    request.no_flags()?;
    let id = Device::of(request)?.map_or(ALL, |device| device.id());
    source().detach(queue, id)
}

/// A file that is a block device.
///
/// # Invariants
///
/// `file` is open, not only for its path, and is a block device.
struct Device {
    file: ARef<LocalFile>,
}

impl Device {
    /// What is to be watched, or `None` for all devices.
    fn of(request: &Request) -> Result<Option<Self>> {
        if request.fd == -1 {
            return Ok(None);
        }
        let file = request.file()?;
        // SAFETY: The file is valid.
        let (mode, flags) =
            unsafe { ((*(*file.as_ptr()).f_inode).i_mode, (*file.as_ptr()).f_mode) };
        if u32::from(mode) & bindings::S_IFMT != bindings::S_IFBLK {
            return Err(EINVAL);
        }
        if flags & (bindings::FMODE_READ | bindings::FMODE_WRITE) == 0 {
            return Err(EBADF);
        }
        // INVARIANT: It is, as was just seen.
        Ok(Some(Self { file }))
    }

    fn is_readable(&self) -> bool {
        // SAFETY: The file is open, by the invariants.
        unsafe { (*self.file.as_ptr()).f_mode & bindings::FMODE_READ != 0 }
    }

    fn id(&self) -> u64 {
        // SAFETY: The file is a block device, by the invariants.
        unsafe { id_of(bindings::file_bdev(self.file.as_ptr())) }
    }

    /// Sees to it that the device can still be opened.
    ///
    /// # Errors
    ///
    /// `ENODEV` if not.
    fn is_there(&self) -> Result {
        // SAFETY: The file is open, by the invariants.  Its mapping is that of the device's inode,
        // which is unhashed when it goes.
        let hashed = unsafe {
            let inode = (*(*self.file.as_ptr()).f_mapping).host;
            Atomic::from_ptr(&raw mut (*inode).i_hash.pprev)
        };
        if hashed.load(Relaxed).is_null() {
            Err(ENODEV)
        } else {
            Ok(())
        }
    }
}

/// # Safety
///
/// `bdev` is valid.
unsafe fn id_of(bdev: *mut bindings::block_device) -> u64 {
    // SAFETY: By the caller's promise.
    u64::from(unsafe { (*bdev).bd_dev })
}

/// Posts that a request failed.
///
/// Context: Any but NMI.
///
/// # Safety
///
/// `request` is valid, is for a disk, and has the bio that failed.
#[export]
pub(crate) unsafe extern "C" fn __watch_block_error(
    request: *mut bindings::request,
    status: u8,
    bytes: c_uint,
) {
    // SAFETY: By the caller's promise.
    let (mut note, disk, part) = unsafe {
        let disk = (*(*request).q).disk;
        let part = (*(*request).bio).bi_bdev;
        let error = bindings::blk_status_to_errno(status).unsigned_abs();
        let (dev_major, dev_minor) = major_minor((*(*disk).part0).bd_dev);
        let note = Note {
            watch: header::<Note>(TYPE, subtype(error)),
            diskseq: (*disk).diskseq,
            sector: (*request).__sector,
            len: bytes,
            dev_major,
            dev_minor,
            partition: partition_number(part),
            op: operation((*request).cmd_flags),
            error,
        };
        (note, id_of((*disk).part0), id_of(part))
    };

    // Whose interrupt this is says nothing about whose request it was.
    let cause = Cause::Credential(kernel_credentials());
    source().post(&mut note, cause, ALL);
    source().post(&mut note, cause, disk);
    if part != disk {
        source().post(&mut note, cause, part);
    }
}

fn kernel_credentials() -> &'static Credential {
    // SAFETY: The first task has them, for ever.
    unsafe { Credential::from_ptr(bindings::watch_kernel_cred()) }
}

/// The kind of failure.
fn subtype(error: u32) -> u32 {
    match error {
        bindings::EIO => bindings::block_notification_subtype_NOTIFY_BLOCK_IO,
        bindings::ETIMEDOUT => bindings::block_notification_subtype_NOTIFY_BLOCK_TIMEOUT,
        bindings::ENOSPC => bindings::block_notification_subtype_NOTIFY_BLOCK_NO_SPACE,
        bindings::ENOLINK => bindings::block_notification_subtype_NOTIFY_BLOCK_TRANSPORT,
        bindings::EREMOTEIO => bindings::block_notification_subtype_NOTIFY_BLOCK_TARGET,
        bindings::EBADE => bindings::block_notification_subtype_NOTIFY_BLOCK_NEXUS,
        bindings::ENODATA => bindings::block_notification_subtype_NOTIFY_BLOCK_MEDIUM,
        bindings::EILSEQ => bindings::block_notification_subtype_NOTIFY_BLOCK_PROTECTION,
        bindings::ENOMEM => bindings::block_notification_subtype_NOTIFY_BLOCK_RESOURCE,
        _ => bindings::block_notification_subtype_NOTIFY_BLOCK_OTHER,
    }
}

/// What was to be done, from `cmd_flags`.
fn operation(flags: bindings::blk_opf_t) -> u32 {
    match flags & ((1 << bindings::REQ_OP_BITS) - 1) {
        bindings::req_op_REQ_OP_READ => bindings::block_notification_op_BLOCK_READ,
        bindings::req_op_REQ_OP_WRITE => bindings::block_notification_op_BLOCK_WRITE,
        bindings::req_op_REQ_OP_FLUSH => bindings::block_notification_op_BLOCK_FLUSH,
        bindings::req_op_REQ_OP_DISCARD => bindings::block_notification_op_BLOCK_DISCARD,
        bindings::req_op_REQ_OP_SECURE_ERASE => bindings::block_notification_op_BLOCK_SECURE_ERASE,
        bindings::req_op_REQ_OP_WRITE_ZEROES => bindings::block_notification_op_BLOCK_WRITE_ZEROES,
        bindings::req_op_REQ_OP_ZONE_APPEND
        | bindings::req_op_REQ_OP_ZONE_OPEN
        | bindings::req_op_REQ_OP_ZONE_CLOSE
        | bindings::req_op_REQ_OP_ZONE_FINISH
        | bindings::req_op_REQ_OP_ZONE_RESET
        | bindings::req_op_REQ_OP_ZONE_RESET_ALL => bindings::block_notification_op_BLOCK_ZONE,
        _ => bindings::block_notification_op_BLOCK_OTHER,
    }
}

/// What `bdev_partno()` returns.
///
/// # Safety
///
/// `bdev` is valid.
unsafe fn partition_number(bdev: *mut bindings::block_device) -> u32 {
    // SAFETY: By the caller's promise.
    let flags = unsafe { Atomic::from_ptr(&raw mut (*bdev).__bd_flags.counter) };
    flags.load(Relaxed).cast_unsigned() & bindings::BD_PARTNO
}

/// Removes the watches on a device that can no longer be opened.
///
/// Context: Any but NMI.
///
/// # Safety
///
/// `bdev` is valid.
#[export]
pub(crate) unsafe extern "C" fn __watch_block_gone(bdev: *mut bindings::block_device) {
    // SAFETY: By the caller's promise.
    source().remove(unsafe { id_of(bdev) });
}

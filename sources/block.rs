// SPDX-License-Identifier: GPL-2.0

//! I/O of block devices that fails.
//!
//! A watch is on a block device, not on its number: it is removed before that is used again.

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
    source::{assert_layout, kernel_credentials, major_minor, op_and_error, Object, Slot, Source},
    up_to, Request, Support,
};

pub(super) const TYPE: u32 = bindings::watch_notification_type_WATCH_TYPE_BLOCK_NOTIFY;

pub(super) const SUPPORT: Support = Support {
    subtypes: up_to(bindings::block_notification_subtype_NOTIFY_BLOCK_INVALID),
    watch_flags: 0,
    features: bindings::WATCH_FEATURE_ADD | bindings::WATCH_FEATURE_ALL,
};

/// I/O failed: `struct block_notification`.
#[repr(C)]
#[derive(FromBytes, IntoBytes)]
struct Failure {
    watch: Header<Self>,
    diskseq: u64,
    sector: u64,
    len: u32,
    dev_major: u32,
    dev_minor: u32,
    partition: u32,
}

impl Notification for Failure {
    const TYPE: u32 = TYPE;
    type Subtype = u8;
    const HEADER: usize = core::mem::offset_of!(Self, watch);
}

impl Failure {
    /// # Safety
    ///
    /// `bdev` is valid, and is of a disk that has been added.
    unsafe fn new(
        bdev: *mut bindings::block_device,
        kind: u8,
        op: u32,
        error: c_int,
        sector: u64,
        len: u32,
    ) -> Self {
        // SAFETY: The caller has a valid device, which has a disk.
        let disk = unsafe { (*bdev).bd_disk };
        // SAFETY: By the requirements.
        let whole = unsafe { whole_of(bdev) };
        // SAFETY: A disk has the device that is all of it.
        let (dev_major, dev_minor) = major_minor(unsafe { (*whole).bd_dev });
        Self {
            watch: Header::new(kind).with_type_info(op_and_error(op, error.unsigned_abs())),
            // SAFETY: As above.
            diskseq: unsafe { (*disk).diskseq },
            sector,
            len,
            dev_major,
            dev_minor,
            // SAFETY: The caller has a valid device.
            partition: unsafe { partition_number(bdev) },
        }
    }
}

assert_layout!(
    Failure,
    bindings::block_notification,
    watch diskseq sector len dev_major dev_minor partition
);

fn source() -> Source {
    // SAFETY: This is one of those in `glue/sources.c`.
    unsafe { Source::from_raw(&raw mut bindings::watch_block_source) }
}

fn all_devices() -> Slot<'static> {
    // SAFETY: It is static, as the object that is all devices is.
    unsafe { Slot::from_raw(&raw mut bindings::watch_block_all) }
}

/// An object of this source.
pub(super) enum Watched {
    /// All block devices there are.
    All,
    /// One device.
    One(Device),
}

impl Object for Watched {
    fn find(request: &Request) -> Result<Self> {
        request.no_flags()?;
        if request.fd == -1 {
            return Ok(Self::All);
        }
        Device::new(request.file()?).map(Self::One)
    }

    fn source(&self) -> Source {
        source()
    }

    type Private = Source;

    fn private(&self) -> Source {
        source()
    }

    fn slot(&self) -> Slot<'_> {
        match self {
            Self::All => all_devices(),
            Self::One(device) => device.slot(),
        }
    }

    /// `WATCH_BLOCK_ID()`, or the id of all devices, which no device has.
    fn id(&self) -> u64 {
        match self {
            Self::All => 0,
            Self::One(device) => device.id(),
        }
    }

    /// All devices are for the administrator, one for all that have it open for reading.
    fn permit(&self) -> Result {
        let may_watch = match self {
            // SAFETY: This can be called in process context.
            Self::All => unsafe { bindings::capable(bindings::CAP_SYS_ADMIN as c_int) },
            Self::One(device) => device.mode() & bindings::FMODE_READ != 0,
        };
        if may_watch {
            Ok(())
        } else {
            Err(EPERM)
        }
    }

    /// Of all devices, `capable()` has asked.
    fn ask_security(&self) -> Result {
        match self {
            Self::All => Ok(()),
            Self::One(device) => {
                // SAFETY: The file is open, by the invariants.
                to_result(unsafe { bindings::watch_block_ask_security(device.file.as_ptr()) })
            }
        }
    }

    /// Fails with `ENODEV` if the device can no longer be opened.
    fn is_there(&self) -> Result {
        match self {
            Self::One(device) if !device.can_be_opened() => Err(ENODEV),
            _ => Ok(()),
        }
    }
}

/// A file that is a block device.
///
/// # Invariants
///
/// `file` is open, not only for its path, and is a block device.
pub(super) struct Device {
    file: ARef<LocalFile>,
}

impl Device {
    fn new(file: ARef<LocalFile>) -> Result<Self> {
        // SAFETY: The file is open, so it has an inode.
        let mode = unsafe { (*(*file.as_ptr()).f_inode).i_mode };
        if u32::from(mode) & bindings::S_IFMT != bindings::S_IFBLK {
            return Err(EINVAL);
        }
        // INVARIANT: It is, if it is not open only for its path.
        let device = Self { file };
        if device.mode() & (bindings::FMODE_READ | bindings::FMODE_WRITE) == 0 {
            return Err(EBADF);
        }
        Ok(device)
    }

    fn mode(&self) -> bindings::fmode_t {
        // SAFETY: The file is open.  How it is open does not change.
        unsafe { (*self.file.as_ptr()).f_mode }
    }

    fn device(&self) -> *mut bindings::block_device {
        // SAFETY: The file is a block device, by the invariants.
        unsafe { bindings::file_bdev(self.file.as_ptr()) }
    }

    fn slot(&self) -> Slot<'_> {
        // SAFETY: The device is valid as long as the file is open.
        unsafe { slot_of(self.device()) }
    }

    fn id(&self) -> u64 {
        let bdev = self.device();
        // SAFETY: The device is valid as long as the file is open, and so is its disk.
        let diskseq = unsafe { (*(*bdev).bd_disk).diskseq };
        // SAFETY: As above.
        let partition = unsafe { partition_number(bdev) };
        u64::from(partition) << bindings::WATCH_BLOCK_PARTITION__SHIFT | diskseq
    }

    fn can_be_opened(&self) -> bool {
        // SAFETY: The file is open, by the invariants.  Its mapping is that of the device's inode.
        let inode = unsafe { (*(*self.file.as_ptr()).f_mapping).host };
        // SAFETY: The inode is unhashed when the device goes, which is a store of one word.
        let hashed = unsafe { Atomic::from_ptr(&raw mut (*inode).i_hash.pprev) };
        !hashed.load(Relaxed).is_null()
    }
}

/// # Safety
///
/// `bdev` is valid for `'a`.
unsafe fn slot_of<'a>(bdev: *mut bindings::block_device) -> Slot<'a> {
    // SAFETY: The caller has a valid device.
    let slot = unsafe { &raw mut (*bdev).bd_watch_object };
    // SAFETY: `bdev_free_inode()` frees what it points to.
    unsafe { Slot::from_raw(slot) }
}

/// Returns the device that is the whole of the disk that `bdev` is on.
///
/// # Safety
///
/// `bdev` is valid, and is of a disk that has been added.
unsafe fn whole_of(bdev: *mut bindings::block_device) -> *mut bindings::block_device {
    // SAFETY: The caller has a valid device, which has a disk.
    let disk = unsafe { (*bdev).bd_disk };
    // SAFETY: The disk is valid, and has been added, which is when this is set.
    unsafe { (*disk).part0 }
}

/// Posts that I/O failed.
///
/// Context: Any but NMI.
///
/// # Safety
///
/// `bdev` is valid, and is of a disk that has been added.
#[export]
pub(crate) unsafe extern "C" fn __watch_block_error(
    bdev: *mut bindings::block_device,
    opf: u32,
    kind: u8,
    error: c_int,
    sector: u64,
    bytes: c_uint,
) {
    // SAFETY: By the requirements.
    let mut message = unsafe { Failure::new(bdev, kind, operation(opf), error, sector, bytes) };
    // SAFETY: By the requirements.
    let whole = unsafe { whole_of(bdev) };

    // The current task is whichever the interrupt came to, and not the one that made the request.
    let cause = Cause::Credential(kernel_credentials());
    let mut post = |slot: Slot<'_>| {
        if let Some(watches) = slot.watches() {
            watches.post(&mut message, cause);
        }
    };
    post(all_devices());
    // SAFETY: The I/O that has not ended yet keeps the disk.
    post(unsafe { slot_of(whole) });
    if bdev != whole {
        // SAFETY: It keeps the partition, too.
        post(unsafe { slot_of(bdev) });
    }
}

/// Posts to those who watch a partition, and to nobody else, that a flush failed which was asked
/// for through it.
///
/// Context: Any but NMI.
///
/// # Safety
///
/// `part` is valid, and is of a disk that has been added.
#[export]
pub(crate) unsafe extern "C" fn __watch_block_partition_flush(
    part: *mut bindings::block_device,
    kind: u8,
    error: c_int,
) {
    // SAFETY: The caller has a valid partition, which the I/O that has not ended yet keeps.
    let Some(watches) = unsafe { slot_of(part) }.watches() else {
        return;
    };
    let op = bindings::watch_block_op_WATCH_BLOCK_FLUSH;
    // SAFETY: By the requirements.
    let mut message = unsafe { Failure::new(part, kind, op, error, 0, 0) };
    watches.post(&mut message, Cause::Credential(kernel_credentials()));
}

/// Returns what was to be done, given `cmd_flags`.
fn operation(flags: bindings::blk_opf_t) -> u32 {
    match flags & ((1 << bindings::REQ_OP_BITS) - 1) {
        bindings::req_op_REQ_OP_READ => bindings::watch_block_op_WATCH_BLOCK_READ,
        bindings::req_op_REQ_OP_WRITE => bindings::watch_block_op_WATCH_BLOCK_WRITE,
        bindings::req_op_REQ_OP_FLUSH => bindings::watch_block_op_WATCH_BLOCK_FLUSH,
        bindings::req_op_REQ_OP_DISCARD => bindings::watch_block_op_WATCH_BLOCK_DISCARD,
        bindings::req_op_REQ_OP_SECURE_ERASE => bindings::watch_block_op_WATCH_BLOCK_SECURE_ERASE,
        bindings::req_op_REQ_OP_WRITE_ZEROES => bindings::watch_block_op_WATCH_BLOCK_WRITE_ZEROES,
        bindings::req_op_REQ_OP_ZONE_APPEND
        | bindings::req_op_REQ_OP_ZONE_OPEN
        | bindings::req_op_REQ_OP_ZONE_CLOSE
        | bindings::req_op_REQ_OP_ZONE_FINISH
        | bindings::req_op_REQ_OP_ZONE_RESET
        | bindings::req_op_REQ_OP_ZONE_RESET_ALL => bindings::watch_block_op_WATCH_BLOCK_ZONE,
        _ => bindings::watch_block_op_WATCH_BLOCK_OTHER,
    }
}

/// Returns the number of the partition, as `bdev_partno()` does, which is inline.
///
/// # Safety
///
/// `bdev` is valid.
unsafe fn partition_number(bdev: *mut bindings::block_device) -> u32 {
    // SAFETY: The caller has a valid device, whose flags are accessed atomically.
    let flags = unsafe { Atomic::from_ptr(&raw mut (*bdev).__bd_flags.counter) };
    flags.load(Relaxed).cast_unsigned() & bindings::BD_PARTNO
}

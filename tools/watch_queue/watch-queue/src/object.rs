// SPDX-License-Identifier: GPL-2.0

//! What can be watched, other than keys.

use std::os::fd::BorrowedFd;

use crate::Type;

/// Something that a queue can watch, other than a [key](crate::Queue::watch_key).
///
/// A file descriptor says which one.  It is needed for that only: the watch lasts when it is
/// closed, and does not keep a file system busy.  Where it says that a file may be opened with
/// `O_PATH`, it may also be opened otherwise.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Object<'fd> {
    /// All mounts in a mount namespace: a file of `/proc/PID/ns/mnt`; or any other file, also one
    /// opened with `O_PATH`, that is in it.
    ///
    /// It takes `CAP_SYS_ADMIN` in the user namespace to which it belongs.
    MountNamespace(BorrowedFd<'fd>),
    /// A mount and all that are below it: a file on it, also one opened with `O_PATH`.
    ///
    /// It takes what the namespace that it is in would take.
    MountTree(BorrowedFd<'fd>),
    /// A mounted file system: any file of it, also one opened with `O_PATH`.
    ///
    /// It takes `CAP_SYS_ADMIN` in the user namespace to which it belongs.
    FileSystem(BorrowedFd<'fd>),
    /// A block device, the whole or a partition, that is open for reading.
    BlockDevice(BorrowedFd<'fd>),
    /// All block devices, which takes `CAP_SYS_ADMIN`.
    AllBlockDevices,
    /// All devices, for those who are in the first network namespace.
    Devices,
}

impl Object<'_> {
    /// The type of its messages.
    pub fn kind(&self) -> Type {
        match self {
            Self::MountNamespace(_) | Self::MountTree(_) => Type::MOUNT,
            Self::FileSystem(_) => Type::SUPERBLOCK,
            Self::BlockDevice(_) | Self::AllBlockDevices => Type::BLOCK,
            Self::Devices => Type::DEVICE,
        }
    }
}

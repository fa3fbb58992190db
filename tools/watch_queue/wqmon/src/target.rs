// SPDX-License-Identifier: GPL-2.0

//! What to watch: how it is said on the command line, and how a queue is attached to it.

use rustix::fs::{open, Mode, OFlags};
use std::{
    ffi::OsStr,
    fmt, io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};
use watch_queue::{KeyName, MessageType, Object, Queue, Watched};

use crate::failure::Failure;

/// What `--mount-ns` stands for.
pub(crate) const OWN_MOUNTS: &str = "/proc/self/ns/mnt";

/// The word for all objects, in `--block`, `--fs` and `--devices`.
pub(crate) const ALL: &str = "all";

/// Something to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// By its name, as that was given.
    Key(String, KeyName),
    /// The mounts of a namespace.
    MountNamespace(PathBuf),
    /// A mount, and those below it.
    MountTree(PathBuf),
    /// The file system that this is on, or all that are on disks.
    FileSystem(PathBuf),
    /// A block device, or all.
    Block(PathBuf),
    /// The devices of a directory of sysfs, or all.
    Devices(PathBuf),
}

/// As it was named on the command line; for options without the dashes.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(name, _) => write!(f, "{name}"),
            Self::MountNamespace(path) if path == Path::new(OWN_MOUNTS) => write!(f, "mount-ns"),
            Self::MountNamespace(path) => write!(f, "mount-ns={}", path.display()),
            Self::MountTree(path) => write!(f, "mount-tree={}", path.display()),
            Self::FileSystem(path) => write!(f, "fs={}", path.display()),
            Self::Block(path) => write!(f, "block={}", path.display()),
            Self::Devices(path) if is_all(path) => write!(f, "devices"),
            Self::Devices(path) => write!(f, "devices={}", path.display()),
        }
    }
}

impl Target {
    /// The type of its messages.
    pub(crate) fn kind(&self) -> MessageType {
        match self {
            Self::Key(..) => MessageType::KEY,
            Self::MountNamespace(_) | Self::MountTree(_) => MessageType::MOUNT,
            Self::FileSystem(_) => MessageType::SUPERBLOCK,
            Self::Block(_) => MessageType::BLOCK,
            Self::Devices(_) => MessageType::DEVICE,
        }
    }

    /// Whether it is as many file systems as there are.
    pub(crate) fn is_all_file_systems(&self) -> bool {
        matches!(self, Self::FileSystem(path) if is_all(path))
    }

    /// Whether it is all mounts that wqmon can see.
    pub(crate) fn is_own_mounts(&self) -> bool {
        matches!(self, Self::MountNamespace(path) if path == Path::new(OWN_MOUNTS))
    }

    /// Has a queue watch it, with this tag.
    pub(crate) fn attach(&self, queue: &Queue, tag: u8) -> Result<Watched, Failure> {
        self.with_object(|object| queue.watch(object, tag))
    }

    /// Has a queue watch it no more.
    pub(crate) fn detach(&self, queue: &Queue) -> Result<(), Failure> {
        self.with_object(|object| queue.unwatch(object))
    }

    fn with_object<T>(
        &self,
        then: impl FnOnce(Object<'_>) -> Result<T, watch_queue::Error>,
    ) -> Result<T, Failure> {
        Ok(match self {
            Self::Key(_, name) => then(name.find()?.into())?,
            Self::MountNamespace(path) => then(Object::MountNamespace(open_path(path)?.as_fd()))?,
            Self::MountTree(path) => then(Object::MountTree(open_path(path)?.as_fd()))?,
            Self::FileSystem(path) => then(Object::FileSystem(open_path(path)?.as_fd()))?,
            Self::Block(path) if is_all(path) => then(Object::AllBlockDevices)?,
            Self::Block(path) => {
                // Not to wait for a medium, if there is none.
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let file = open(path, flags, Mode::empty()).map_err(io::Error::from)?;
                then(Object::BlockDevice(file.as_fd()))?
            }
            Self::Devices(path) if is_all(path) => then(Object::Devices)?,
            Self::Devices(path) => then(Object::DevicesOf(open_path(path)?.as_fd()))?,
        })
    }
}

/// Whether a path stands for all objects of its kind.
fn is_all(path: &Path) -> bool {
    path.as_os_str() == OsStr::new(ALL)
}

/// Opens a file only to say which one it is.
fn open_path(path: &Path) -> io::Result<OwnedFd> {
    Ok(open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

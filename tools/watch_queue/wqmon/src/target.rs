// SPDX-License-Identifier: GPL-2.0

//! What to watch: how it is said on the command line, and how a queue is attached to it.

use rustix::fs::{fstatfs, open, Mode, OFlags};
use std::{
    ffi::OsStr,
    fmt, io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};
use watch_queue::{KeyName, KeySerial, MessageType, Object, Queue};

use crate::Failure;

/// What `--mounts` stands for.
pub(crate) const OWN_MOUNTS: &str = "/proc/self/ns/mnt";

/// What `--block` takes for all block devices.
const ALL: &str = "all";

/// `NSFS_MAGIC` of `linux/magic.h`: what files in `/proc/PID/ns/` are on.
const NSFS_MAGIC: u32 = 0x6e73_6673;

/// Something to watch.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// By its name, as that was given.
    Key(String, KeyName),
    /// The mounts of a namespace, or at and below a mount.
    Mounts(PathBuf),
    /// The file system that this is on.
    FileSystem(PathBuf),
    /// A block device, or all.
    Block(PathBuf),
    /// All devices.
    Devices,
}

/// As it was named on the command line; for options without the dashes.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(name, _) => write!(f, "{name}"),
            Self::Mounts(path) if path == Path::new(OWN_MOUNTS) => write!(f, "mounts"),
            Self::Mounts(path) => write!(f, "mounts={}", path.display()),
            Self::FileSystem(path) => write!(f, "fs={}", path.display()),
            Self::Block(path) => write!(f, "block={}", path.display()),
            Self::Devices => write!(f, "devices"),
        }
    }
}

impl Target {
    /// The type of its messages.
    pub(crate) fn kind(&self) -> MessageType {
        match self {
            Self::Key(..) => MessageType::KEY,
            Self::Mounts(_) => MessageType::MOUNT,
            Self::FileSystem(_) => MessageType::SUPERBLOCK,
            Self::Block(_) => MessageType::BLOCK,
            Self::Devices => MessageType::DEVICE,
        }
    }

    /// Attaches a queue, whose messages get this tag; returns the key, if it is one.
    pub(crate) fn attach(&self, queue: &Queue, tag: u8) -> Result<Option<KeySerial>, Failure> {
        match self {
            Self::Key(_, name) => {
                let key = name.find()?;
                queue.watch(key, tag)?;
                return Ok(Some(key));
            }
            Self::Mounts(path) => {
                let file = open_path(path)?;
                let object = if is_namespace(&file)? {
                    Object::MountNamespace(file.as_fd())
                } else {
                    Object::MountTree(file.as_fd())
                };
                queue.watch(object, tag)?;
            }
            Self::FileSystem(path) => {
                queue.watch(Object::FileSystem(open_path(path)?.as_fd()), tag)?;
            }
            Self::Block(path) if path.as_os_str() == OsStr::new(ALL) => {
                queue.watch(Object::AllBlockDevices, tag)?;
            }
            Self::Block(path) => {
                // Not to wait for a medium, if there is none.
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let file = open(path, flags, Mode::empty()).map_err(io::Error::from)?;
                queue.watch(Object::BlockDevice(file.as_fd()), tag)?;
            }
            Self::Devices => {
                queue.watch(Object::Devices, tag)?;
            }
        }
        Ok(None)
    }
}

/// Opens a file only to say which one it is.
fn open_path(path: &Path) -> io::Result<OwnedFd> {
    Ok(open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

fn is_namespace(file: &OwnedFd) -> io::Result<bool> {
    Ok(fstatfs(file)?.f_type as u32 == NSFS_MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_are_told_from_mounts() {
        let is_namespace = |path| is_namespace(&open_path(Path::new(path)).unwrap()).unwrap();
        assert!(is_namespace(OWN_MOUNTS));
        assert!(!is_namespace("/"));
        assert!(!is_namespace("/proc"));
    }
}

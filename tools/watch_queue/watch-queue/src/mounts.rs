// SPDX-License-Identifier: MIT OR Apache-2.0

//! A mirror of the mounts that a queue watches: where each of them is, and what is mounted there.
//!
//! Events of mounts have numbers.  A [`MountTable`] knows the path, the type and the source behind
//! them: it is filled with `listmount(2)` and `statmount(2)`, which Linux has since 6.8, and kept
//! up to date with the events.
//!
//! Attach the queue first, then scan, then read; that way no change is missed.
//!
//! ```no_run
//! use std::{fs::File, os::unix::io::AsFd};
//! use watch_queue::{mounts::MountTable, Event, MetaEvent, Object, Queue, MAX_MESSAGE};
//!
//! let queue = Queue::new(1024)?;
//! let namespace = File::open("/proc/self/ns/mnt")?;
//! queue.watch(Object::MountNamespace(namespace.as_fd()), 1)?;
//! let mut table = MountTable::scan(None)?;
//!
//! let mut buffer = [0; 32 * MAX_MESSAGE];
//! loop {
//!     for message in queue.read(&mut buffer)? {
//!         match message?.event() {
//!             Event::Mount(event) => {
//!                 if let Some(mount) = table.apply(&event)? {
//!                     println!("{:?} {}", event.change, mount.point.display());
//!                 }
//!             }
//!             Event::Meta(MetaEvent::Loss { .. }) => table.rescan()?,
//!             _ => {}
//!         }
//!     }
//! }
//! # #[allow(unreachable_code)]
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use rustix::io::Errno;
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io,
    os::unix::{ffi::OsStrExt, io::BorrowedFd},
    path::{Path, PathBuf},
};

use crate::{
    message::{u32_at, u64_at},
    sys, DeviceNumber, MountAttributes, MountChange, MountEvent, Propagation,
};

/// `LSMT_ROOT`.
const ROOT: u64 = u64::MAX;

/// `STATMOUNT_*`: what is asked for.
const WANTED: u64 = SB_BASIC | MNT_BASIC | MNT_ROOT | MNT_POINT | FS_TYPE | FS_SUBTYPE | SB_SOURCE;
const SB_BASIC: u64 = 0x0001;
const MNT_BASIC: u64 = 0x0002;
const MNT_ROOT: u64 = 0x0008;
const MNT_POINT: u64 = 0x0010;
const FS_TYPE: u64 = 0x0020;
const FS_SUBTYPE: u64 = 0x0100;
const SB_SOURCE: u64 = 0x0200;

/// Size of a `struct statmount` without the strings.
const FIXED: usize = 512;

/// A mount, as `statmount(2)` knows it.
///
/// ```
/// use watch_queue::mounts::Mount;
///
/// fn is_fuse(mount: &Mount) -> bool {
///     mount.fs_type.starts_with("fuse")
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Mount {
    /// Its unique id.
    pub id: u64,
    /// The mount that it is on; `None` if it has none.
    pub parent: Option<u64>,
    /// Where it is, seen from the root of this process or, for another namespace, of that.
    pub point: PathBuf,
    /// Which directory of the file system it shows.
    pub root: PathBuf,
    /// The type of the file system, with the subtype behind a dot, such as `fuse.sshfs`.
    pub fs_type: String,
    /// What is mounted, such as `/dev/sda1`; `None` on kernels before 6.13.
    pub source: Option<PathBuf>,
    /// What `st_dev` of its files is, mostly.
    pub device: DeviceNumber,
    /// What may be done on it.
    pub attributes: MountAttributes,
    /// With which mounts it shares what is mounted on it.
    pub propagation: Propagation,
    /// The peer group that it shares with, if it is shared.
    pub peer_group: Option<u64>,
    /// The peer group that it is a slave of, if it is one.
    pub master: Option<u64>,
}

impl Mount {
    /// Asks for a mount of a namespace, by default that of this process.
    ///
    /// # Errors
    ///
    /// `ENOENT` if there is no such mount (any more); `EPERM` if it may not be seen; `ENOSYS` or
    /// `EPERM` if the kernel has no `statmount(2)`, or does not let this process use it.
    ///
    /// ```no_run
    /// use watch_queue::{mounts::Mount, MountEvent};
    ///
    /// fn where_is(event: &MountEvent) -> std::io::Result<()> {
    ///     println!("{}", Mount::of_id(event.mount, Some(event.namespace))?.point.display());
    ///     Ok(())
    /// }
    /// ```
    pub fn of_id(id: u64, namespace: Option<u64>) -> io::Result<Self> {
        let mut buffer = vec![0; 2 * FIXED];
        loop {
            match sys::statmount(id, WANTED, namespace, &mut buffer) {
                Err(error) if is(&error, Errno::OVERFLOW) => buffer.resize(2 * buffer.len(), 0),
                Err(error) => return Err(error),
                Ok(()) => break,
            }
        }
        Self::parse(&buffer).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "statmount() is not understood")
        })
    }

    /// Takes a `struct statmount` apart.
    fn parse(raw: &[u8]) -> Option<Self> {
        let got = u64_at(raw, 8)?;
        // What the kernel did not give is not in the buffer either.
        let text = |bit: u64, offset: usize| -> Option<&[u8]> {
            if got & bit == 0 {
                return None;
            }
            let start = FIXED + u32_at(raw, offset)? as usize;
            let text = raw.get(start..)?;
            text.get(..text.iter().position(|&byte| byte == 0)?)
        };
        let path = |bytes| PathBuf::from(OsStr::from_bytes(bytes));
        let id = u64_at(raw, 40)?;
        let mut fs_type = String::from_utf8_lossy(text(FS_TYPE, 36)?).into_owned();
        if let Some(subtype) = text(FS_SUBTYPE, 120).filter(|subtype| !subtype.is_empty()) {
            fs_type = format!("{fs_type}.{}", String::from_utf8_lossy(subtype));
        }
        Some(Self {
            id,
            parent: Some(u64_at(raw, 48)?).filter(|&parent| parent != id),
            point: path(text(MNT_POINT, 108)?),
            root: path(text(MNT_ROOT, 104)?),
            fs_type,
            source: text(SB_SOURCE, 124).map(path),
            device: DeviceNumber {
                major: u32_at(raw, 16)?,
                minor: u32_at(raw, 20)?,
            },
            attributes: MountAttributes::from_bits_retain(u64_at(raw, 64)?),
            propagation: Propagation::from_bits_retain(u64_at(raw, 72)?),
            peer_group: Some(u64_at(raw, 80)?).filter(|&group| group != 0),
            master: Some(u64_at(raw, 88)?).filter(|&group| group != 0),
        })
    }
}

fn is(error: &io::Error, errno: Errno) -> bool {
    Errno::from_io_error(error) == Some(errno)
}

/// The mounts of a mount namespace.
///
/// The [module](self) has an example.
///
/// ```
/// use watch_queue::mounts::MountTable;
///
/// fn is_mounted(table: &MountTable) -> bool {
///     table.at("/srv".as_ref()).is_some()
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountTable {
    namespace: Option<u64>,
    mounts: BTreeMap<u64, Mount>,
}

impl MountTable {
    /// Scans the mounts of a namespace by its id, by default those of the namespace of this
    /// process that it can reach from its root.
    ///
    /// # Errors
    ///
    /// As [`Mount::of_id`], or `ENOENT` if there is no such namespace.
    ///
    /// ```no_run
    /// let table = watch_queue::mounts::MountTable::scan(None)?;
    /// for mount in table.iter() {
    ///     println!("{} {}", mount.point.display(), mount.fs_type);
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn scan(namespace: Option<u64>) -> io::Result<Self> {
        let mut table = Self {
            namespace,
            mounts: BTreeMap::new(),
        };
        table.rescan()?;
        Ok(table)
    }

    /// Scans the mounts of a namespace of which this is a file, such as `/proc/1/ns/mnt`.
    ///
    /// Files there have an id of the namespace since Linux 6.11.
    ///
    /// # Errors
    ///
    /// As [`scan`](Self::scan), and `ENOTTY` if it is another file.
    ///
    /// ```no_run
    /// use std::{fs::File, os::unix::io::AsFd};
    /// use watch_queue::mounts::MountTable;
    ///
    /// let table = MountTable::scan_file(File::open("/proc/1/ns/mnt")?.as_fd())?;
    /// println!("{} mounts", table.iter().count());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn scan_file(namespace: BorrowedFd<'_>) -> io::Result<Self> {
        Self::scan(Some(sys::mount_namespace_id(namespace)?))
    }

    /// The id of the namespace, as in [`MountEvent::namespace`], if it is not just that of this
    /// process.
    ///
    /// ```
    /// use watch_queue::{mounts::MountTable, MountEvent};
    ///
    /// fn is_here(table: &MountTable, event: &MountEvent) -> bool {
    ///     table.namespace().map_or(true, |namespace| namespace == event.namespace)
    /// }
    /// ```
    pub fn namespace(&self) -> Option<u64> {
        self.namespace
    }

    /// Scans again, as is necessary after a [loss](crate::MetaEvent::Loss).
    ///
    /// # Errors
    ///
    /// As [`scan`](Self::scan).  The table stays what it was then.
    ///
    /// ```no_run
    /// # fn example(table: &mut watch_queue::mounts::MountTable) -> std::io::Result<()> {
    /// table.rescan()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn rescan(&mut self) -> io::Result<()> {
        let mut mounts = BTreeMap::new();
        let mut ids = [0; 512];
        let mut last = 0;
        loop {
            let count = sys::listmount(ROOT, last, self.namespace, &mut ids)?;
            for &id in &ids[..count] {
                match Mount::of_id(id, self.namespace) {
                    Ok(mount) => {
                        mounts.insert(id, mount);
                    }
                    // It has gone in between.
                    Err(error) if is(&error, Errno::NOENT) => {}
                    Err(error) => return Err(error),
                }
                last = id;
            }
            if count < ids.len() {
                break;
            }
        }
        self.mounts = mounts;
        Ok(())
    }

    /// Takes an event in, and returns the mount that it is of: as it is now or, if it is gone, as
    /// it was last known; `None` if it is gone and was never known.
    ///
    /// The table may be ahead of the events: it has what `statmount(2)` says when this is called.
    ///
    /// # Errors
    ///
    /// As [`Mount::of_id`], but not `ENOENT`.
    ///
    /// ```no_run
    /// use watch_queue::{mounts::MountTable, Event, Message};
    ///
    /// fn show(table: &mut MountTable, message: Message<'_>) -> std::io::Result<()> {
    ///     if let Event::Mount(event) = message.event() {
    ///         let mount = table.apply(&event)?;
    ///         println!("{:?} {:?}", event.change, mount.map(|mount| mount.point));
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn apply(&mut self, event: &MountEvent) -> io::Result<Option<Mount>> {
        match event.change {
            MountChange::Detached => return Ok(self.mounts.remove(&event.mount)),
            MountChange::MovedFrom | MountChange::Expired => {}
            MountChange::Attached | MountChange::SetAttr => self.look(event.mount)?,
            MountChange::MovedTo => {
                self.look(event.mount)?;
                for id in self.below(event.mount) {
                    self.look(id)?;
                }
            }
        }
        Ok(self.get(event.mount).cloned())
    }

    /// Has the table say what is so of a mount now.
    fn look(&mut self, id: u64) -> io::Result<()> {
        match Mount::of_id(id, self.namespace) {
            Ok(mount) => {
                self.mounts.insert(id, mount);
                Ok(())
            }
            // Its Detached is on its way, and will want to know what it was.
            Err(error) if is(&error, Errno::NOENT) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The mounts below one.
    fn below(&self, top: u64) -> Vec<u64> {
        let parent = |id: u64| self.mounts.get(&id)?.parent;
        let is_below = |id: u64| {
            // No mount is deeper than there are mounts.
            let above = std::iter::successors(parent(id), |&id| parent(id));
            above.take(self.mounts.len()).any(|id| id == top)
        };
        self.mounts
            .keys()
            .copied()
            .filter(|&id| is_below(id))
            .collect()
    }

    /// The mount with this id.
    ///
    /// ```no_run
    /// # fn example(table: &watch_queue::mounts::MountTable, id: u64) {
    /// println!("{:?}", table.get(id));
    /// # }
    /// ```
    pub fn get(&self, id: u64) -> Option<&Mount> {
        self.mounts.get(&id)
    }

    /// The mount that is seen at this path, which is the last one that was mounted there.
    ///
    /// ```no_run
    /// # fn example(table: &watch_queue::mounts::MountTable) {
    /// println!("{:?}", table.at("/".as_ref()));
    /// # }
    /// ```
    pub fn at(&self, point: &Path) -> Option<&Mount> {
        self.iter().filter(|mount| mount.point == point).last()
    }

    /// All mounts, in the order in which they were made.
    ///
    /// ```no_run
    /// # fn example(table: &watch_queue::mounts::MountTable) {
    /// println!("{} mounts", table.iter().count());
    /// # }
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = &Mount> {
        self.mounts.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::{fs::MetadataExt, io::AsFd};

    /// This may be a kernel with statmount(), or one without, or a sandbox.
    fn table() -> Option<MountTable> {
        match MountTable::scan(None) {
            Ok(table) => Some(table),
            Err(error) => {
                assert!(
                    is(&error, Errno::NOSYS) || is(&error, Errno::PERM),
                    "{error}"
                );
                None
            }
        }
    }

    #[test]
    fn table_is_that_of_mountinfo() {
        let table = match table() {
            Some(table) => table,
            None => return,
        };
        let mountinfo = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let listed: Vec<_> = mountinfo
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>())
            .collect();
        assert_eq!(table.iter().count(), listed.len());
        for line in &listed {
            let same = table.iter().any(|mount| {
                mount.device.to_string() == line[2]
                    && mount.point == Path::new(line[4])
                    && line.contains(&&*mount.fs_type)
            });
            assert!(same, "{line:?} is not in {table:?}");
        }
        let root = table.at("/".as_ref()).unwrap();
        let device = std::fs::metadata("/").unwrap().dev();
        assert_eq!(u64::from(root.device.minor & 0xff), device & 0xff);
    }

    #[test]
    fn own_namespace_can_be_named() {
        let own = std::fs::File::open("/proc/self/ns/mnt").unwrap();
        if let (Some(table), Ok(named)) = (table(), MountTable::scan_file(own.as_fd())) {
            assert!(named.namespace().is_some());
            assert!(table.iter().eq(named.iter()));
        }
        let other = std::fs::File::open("/proc/self/ns/pid").unwrap();
        assert!(MountTable::scan_file(other.as_fd()).is_err());
    }

    #[test]
    fn statmount_that_is_cut_off_is_not_understood() {
        let mut raw = vec![0; FIXED];
        raw[8..16].copy_from_slice(&WANTED.to_ne_bytes());
        assert_eq!(Mount::parse(&raw), None);
        assert_eq!(Mount::parse(&raw[..100]), None);
        raw.extend(b"text\0");
        assert_eq!(Mount::parse(&raw).unwrap().fs_type, "text.text");
    }
}

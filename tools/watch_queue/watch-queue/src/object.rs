// SPDX-License-Identifier: MIT OR Apache-2.0

//! What can be watched, and what a queue has been attached to.

use std::os::unix::io::BorrowedFd;

use crate::{sys::RawSource, KeySerial, MessageType};

/// Something that a [queue can watch](crate::Queue::watch).
///
/// A file descriptor says which one.  It is needed for that only: the watch lasts when it is
/// closed, and does not keep a file system busy.  Where it says that a file may be opened with
/// `O_PATH`, it may also be opened otherwise.
///
/// ```
/// use watch_queue::{KeySerial, MessageType, Object};
///
/// assert_eq!(Object::from(KeySerial::SESSION_KEYRING).kind(), MessageType::KEY);
/// assert_eq!(Object::AllBlockDevices.kind(), MessageType::BLOCK);
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Object<'fd> {
    /// A key or keyring, which may be viewed.
    ///
    /// A keyring that every process has is made if it is not there yet.
    Key(KeySerial),
    /// All mounts in a mount namespace: a file `/proc/PID/ns/mnt`, also one opened with `O_PATH`.
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
    /// A directory of sysfs, also one opened with `O_PATH`: that of a device, for it and those
    /// below it; or of a bus or a class, for the devices that are on it or in it.
    ///
    /// It takes what all devices would take.
    DevicesOf(BorrowedFd<'fd>),
}

impl Object<'_> {
    /// The type of its messages.
    ///
    /// ```
    /// use watch_queue::{MessageType, Object};
    ///
    /// assert_eq!(Object::Devices.kind(), MessageType::DEVICE);
    /// ```
    pub fn kind(&self) -> MessageType {
        match self {
            Self::Key(_) => MessageType::KEY,
            Self::MountNamespace(_) | Self::MountTree(_) => MessageType::MOUNT,
            Self::FileSystem(_) => MessageType::SUPERBLOCK,
            Self::BlockDevice(_) | Self::AllBlockDevices => MessageType::BLOCK,
            Self::Devices | Self::DevicesOf(_) => MessageType::DEVICE,
        }
    }

    /// What fdinfo calls its source.
    pub(crate) fn source(&self) -> &'static str {
        match self {
            Self::Key(_) => "keyctl",
            Self::MountNamespace(_) => "mount_ns",
            Self::MountTree(_) => "mount",
            Self::FileSystem(_) => "superblock",
            Self::BlockDevice(_) | Self::AllBlockDevices => "block",
            Self::Devices | Self::DevicesOf(_) => "device",
        }
    }

    /// What could not be done with it.
    pub(crate) fn action(&self) -> &'static str {
        match self {
            Self::Key(_) => "watch the key",
            Self::MountNamespace(_) | Self::MountTree(_) => "watch the mounts",
            Self::FileSystem(_) => "watch the file system",
            Self::BlockDevice(_) => "watch the block device",
            Self::AllBlockDevices => "watch all block devices",
            Self::Devices => "watch all devices",
            Self::DevicesOf(_) => "watch the devices",
        }
    }
}

impl From<KeySerial> for Object<'_> {
    fn from(key: KeySerial) -> Self {
        Self::Key(key)
    }
}

/// One watch of a queue, as [`Queue::watch`](crate::Queue::watch) returns it.
///
/// [`Queue::still_watched`](crate::Queue::still_watched) takes it.  The watch does not end when
/// this is dropped.
///
/// ```no_run
/// use watch_queue::{KeySerial, Queue};
///
/// let queue = Queue::new(256)?;
/// let watched = queue.watch(KeySerial::SESSION_KEYRING, 7)?;
/// assert_eq!(watched.tag(), 7);
/// assert!(queue.still_watched(&watched)?);
/// # Ok::<(), watch_queue::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    pub(crate) source: &'static str,
    pub(crate) key: Option<KeySerial>,
    pub(crate) id: u64,
    pub(crate) tag: u8,
}

impl Watched {
    /// The tag of its messages.
    ///
    /// ```
    /// fn example(watched: &watch_queue::Watched) {
    ///     println!("watch {}", watched.tag());
    /// }
    /// ```
    pub fn tag(&self) -> u8 {
        self.tag
    }

    /// The id of the object, which its [removal](crate::MetaEvent::Removal) names: of a key its
    /// serial number; 0 for all block devices and for all devices.
    ///
    /// ```
    /// fn example(watched: &watch_queue::Watched) {
    ///     println!("object {:#x}", watched.id());
    /// }
    /// ```
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The serial number of the key that it is of, if it is of a key.
    ///
    /// ```
    /// fn example(watched: &watch_queue::Watched) {
    ///     println!("key {:?}", watched.key());
    /// }
    /// ```
    pub fn key(&self) -> Option<KeySerial> {
        self.key
    }
}

/// `WATCH_FEATURE_ADD` of `linux/watch_queue.h`.
const FEATURE_ADD: u32 = 1;
/// `WATCH_FEATURE_ALL` of `linux/watch_queue.h`.
const FEATURE_ALL: u32 = 2;

/// What a kernel can report of a source, as [`Queue::support`](crate::Queue::support) returns it.
///
/// ```no_run
/// use watch_queue::{MessageType, Queue};
///
/// let queue = Queue::new(256)?;
/// let meta = queue.support(MessageType::META)?.expect("every kernel has it");
/// println!("disks: {}", meta.has_source(MessageType::BLOCK));
/// # Ok::<(), watch_queue::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Support(pub(crate) RawSource);

impl Support {
    /// Whether the kernel has another source.
    ///
    /// ```
    /// fn example(support: &watch_queue::Support) {
    ///     println!("{}", support.has_source(watch_queue::MessageType::DEVICE));
    /// }
    /// ```
    pub fn has_source(&self, source: MessageType) -> bool {
        source.number() < u64::BITS && self.0.sources >> source.number() & 1 != 0
    }

    /// Whether messages of a subtype can come.
    ///
    /// ```
    /// fn example(support: &watch_queue::Support) {
    ///     println!("{}", support.has_subtype(0));
    /// }
    /// ```
    pub fn has_subtype(&self, subtype: u8) -> bool {
        let word = self.0.subtypes[usize::from(subtype / 32)];
        word >> (subtype % 32) & 1 != 0
    }

    /// Whether objects of the source can be watched other than by [`Object::Key`].
    ///
    /// ```
    /// fn example(support: &watch_queue::Support) {
    ///     println!("{}", support.can_watch());
    /// }
    /// ```
    pub fn can_watch(&self) -> bool {
        self.0.features & FEATURE_ADD != 0
    }

    /// Whether all objects of the source can be watched at once, as [`Object::AllBlockDevices`] are.
    ///
    /// ```
    /// fn example(support: &watch_queue::Support) {
    ///     println!("{}", support.can_watch_all());
    /// }
    /// ```
    pub fn can_watch_all(&self) -> bool {
        self.0.features & FEATURE_ALL != 0
    }
}

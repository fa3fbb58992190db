// SPDX-License-Identifier: MIT OR Apache-2.0

//! Mounts: what happens to them.

use bitflags::{bitflags, Flags};
use std::fmt;

use crate::{
    event::Source,
    message::{u32_at, u64_at},
    DeviceNumber, Message, MessageType,
};

/// Something that happened to a mount: `WATCH_TYPE_MOUNT_NOTIFY`.
///
/// The ids are those of `statmount(2)` and of `statx(2)` with `STATX_MNT_ID_UNIQUE`; they are never
/// reused.
///
/// ```
/// use watch_queue::{MountChange, MountEvent};
///
/// fn is_gone(event: &MountEvent) -> bool {
///     event.change == MountChange::Detached
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct MountEvent {
    /// The mount.
    pub mount: u64,
    /// What happened to it.
    #[cfg_attr(feature = "serde", serde(rename = "event"))]
    pub change: MountChange,
    /// The mount that it is on, or was; `None` if it has none.
    pub parent: Option<u64>,
    /// The mount namespace that it is in, or was.
    pub namespace: u64,
    /// What may be done on it.
    pub attributes: MountAttributes,
    /// With which mounts it shares what is mounted on it.
    pub propagation: Propagation,
    /// The peer group that it shares with, if it is shared.
    pub peer_group: Option<u64>,
    /// The peer group that it is a slave of, if it is one.
    pub master: Option<u64>,
    /// The device number of its file system.
    pub device: DeviceNumber,
}

/// What can happen to a mount: `enum mount_notification_subtype`.
///
/// ```
/// use watch_queue::MountChange;
///
/// fn has_another_path(change: MountChange) -> bool {
///     matches!(change, MountChange::Attached | MountChange::MovedTo)
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum MountChange {
    /// It was put into the tree.
    Attached,
    /// It was taken out of the tree.
    Detached,
    /// It leaves its parent; a [`MovedTo`](Self::MovedTo) follows.
    MovedFrom,
    /// It was moved to this parent.
    MovedTo,
    /// Its attributes or its propagation were set.
    #[cfg_attr(feature = "serde", serde(rename = "setattr"))]
    SetAttr,
    /// Nobody used it for too long; a [`Detached`](Self::Detached) follows.
    Expired,
}

bitflags! {
    /// Attributes of a mount: `MOUNT_ATTR_*` of `linux/mount.h`.
    ///
    /// With neither `NOATIME` nor `STRICTATIME` access times are relative ones.
    ///
    /// ```
    /// use watch_queue::MountAttributes;
    ///
    /// let attributes = MountAttributes::RDONLY | MountAttributes::NOSUID;
    /// assert_eq!(attributes.to_string(), "rdonly,nosuid");
    /// ```
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct MountAttributes: u64 {
        /// Nothing can be written.
        const RDONLY = 0x0000_0001;
        /// Set-user-ID and set-group-ID bits and file capabilities are ignored.
        const NOSUID = 0x0000_0002;
        /// Devices cannot be opened.
        const NODEV = 0x0000_0004;
        /// Programs cannot be executed.
        const NOEXEC = 0x0000_0008;
        /// Access times are not updated.
        const NOATIME = 0x0000_0010;
        /// Access times are always updated.
        const STRICTATIME = 0x0000_0020;
        /// Access times of directories are not updated.
        const NODIRATIME = 0x0000_0080;
        /// Owners are others than those that the file system has.
        const IDMAP = 0x0010_0000;
        /// Symbolic links are not followed.
        const NOSYMFOLLOW = 0x0020_0000;
    }
}

bitflags! {
    /// Propagation of a mount: `MS_*` of `linux/mount.h`; see `mount_namespaces(7)`.
    ///
    /// ```
    /// use watch_queue::Propagation;
    ///
    /// assert_eq!((Propagation::SHARED | Propagation::SLAVE).to_string(), "slave,shared");
    /// ```
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Propagation: u64 {
        /// Cannot be bind mounted.
        const UNBINDABLE = 1 << 17;
        /// Shares with none.
        const PRIVATE = 1 << 18;
        /// Gets what is mounted on its master.
        const SLAVE = 1 << 19;
        /// Shares with its peers.
        const SHARED = 1 << 20;
    }
}

/// The names of the flags that are set, and a number for the others.
fn names(flags: impl Flags<Bits = u64>) -> Vec<String> {
    let mut set = flags.iter_names();
    let mut names: Vec<_> = set
        .by_ref()
        .map(|(name, _)| name.to_ascii_lowercase())
        .collect();
    match set.remaining().bits() {
        0 => {}
        others => names.push(format!("{others:#x}")),
    }
    names
}

macro_rules! named {
    ($flags:ident) => {
        /// The names, in lower case, with commas between them.
        impl fmt::Display for $flags {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&names(*self).join(","))
            }
        }

        /// A list of the names, in lower case.
        #[cfg(feature = "serde")]
        impl serde::Serialize for $flags {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_seq(names(*self))
            }
        }
    };
}

named!(MountAttributes);
named!(Propagation);

impl<'a> Source<'a> for MountEvent {
    const TYPE: MessageType = MessageType::MOUNT;
    const NAME: &'static str = "mount";
    const SUBTYPES: &'static [&'static str] = &[
        "attached",
        "detached",
        "moved_from",
        "moved_to",
        "setattr",
        "expired",
    ];

    fn parse(message: Message<'a>) -> Option<Self> {
        let change = match message.subtype() {
            0 => MountChange::Attached,
            1 => MountChange::Detached,
            2 => MountChange::MovedFrom,
            3 => MountChange::MovedTo,
            4 => MountChange::SetAttr,
            5 => MountChange::Expired,
            _ => return None,
        };
        let bytes = message.bytes();
        let mount = u64_at(bytes, 8)?;
        Some(Self {
            mount,
            change,
            parent: Some(u64_at(bytes, 16)?).filter(|&parent| parent != mount),
            namespace: u64_at(bytes, 24)?,
            attributes: MountAttributes::from_bits_retain(u64_at(bytes, 32)?),
            propagation: Propagation::from_bits_retain(u64_at(bytes, 40)?),
            peer_group: Some(u64_at(bytes, 48)?).filter(|&group| group != 0),
            master: Some(u64_at(bytes, 56)?).filter(|&group| group != 0),
            device: DeviceNumber {
                major: u32_at(bytes, 64)?,
                minor: u32_at(bytes, 68)?,
            },
        })
    }
}

impl fmt::Display for MountEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.mount)?;
        if let Some(parent) = self.parent {
            let where_to = match self.change {
                MountChange::Attached | MountChange::SetAttr | MountChange::Expired => "on",
                MountChange::Detached | MountChange::MovedFrom => "from",
                MountChange::MovedTo => "to",
            };
            write!(f, " {where_to} {parent}")?;
        }
        let flags = [names(self.attributes), names(self.propagation)].concat();
        write!(f, " ({})", flags.join(","))
    }
}

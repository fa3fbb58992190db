// SPDX-License-Identifier: MIT OR Apache-2.0

//! Mounted file systems: what happens to them.

use std::fmt;

use crate::{
    event::Source,
    message::{u32_at, u64_at},
    DeviceNumber, Errno, Message, MessageType,
};

/// Something that happened to a mounted file system: `WATCH_TYPE_SUPERBLOCK_NOTIFY`.
///
/// ```
/// use watch_queue::{SuperblockChange, SuperblockEvent};
///
/// fn is_bad(event: &SuperblockEvent) -> bool {
///     matches!(event.change, SuperblockChange::Error { .. } | SuperblockChange::ReadOnly)
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SuperblockEvent {
    /// The file system, by a number that is never reused: [`Watched::id`](crate::Watched::id).
    pub superblock: u64,
    /// What `st_dev` of its files is, mostly.
    pub device: DeviceNumber,
    /// What happened to it.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub change: SuperblockChange,
}

/// What can happen to a file system: `enum superblock_notification_subtype`.
///
/// ```
/// use watch_queue::SuperblockChange;
///
/// fn inode(change: &SuperblockChange) -> Option<u64> {
///     match change {
///         SuperblockChange::Error { inode, .. } => *inode,
///         _ => None,
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(tag = "event", rename_all = "lowercase"))]
#[non_exhaustive]
pub enum SuperblockChange {
    /// There was an error.
    #[non_exhaustive]
    Error {
        /// Its errno.
        error: Errno,
        /// What went wrong.
        kind: SuperblockErrorKind,
        /// The number of the inode, if it is about one.
        inode: Option<u64>,
        /// Where in the file, if that is known.
        range: Option<FileRange>,
    },
    /// It is read-only now.
    ReadOnly,
    /// It is writable now.
    ReadWrite,
    /// It is frozen now: nothing can be written, and who tries waits.
    Frozen,
    /// It is no longer frozen.
    Thawed,
    /// A limit of somebody's quota was crossed, or usage fell below it again.
    #[non_exhaustive]
    Quota {
        /// Which limit, and which way.
        warning: QuotaWarning,
        /// Whose quota: a kind of them,
        owner: QuotaOwner,
        /// and which of that kind.
        id: u32,
    },
}

/// What went wrong: `enum watch_superblock_op`.
///
/// ```
/// assert_eq!(watch_queue::SuperblockErrorKind::DataLost.to_string(), "data lost");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum SuperblockErrorKind {
    /// Reading a file into the page cache.
    BufferedRead,
    /// Writing it back.
    BufferedWrite,
    /// Reading past the page cache.
    DirectRead,
    /// Writing past the page cache.
    DirectWrite,
    /// The medium lost a file's data.
    DataLost,
    /// The file system's own data.
    Metadata,
    /// A device is gone that it cannot do without.
    DeviceGone,
    /// Something that this library does not know.
    Unknown(u32),
}

/// A part of a file, in bytes.
///
/// ```
/// fn end(range: &watch_queue::FileRange) -> u64 {
///     range.pos + range.len
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct FileRange {
    /// Where it begins.
    pub pos: u64,
    /// How long it is.
    pub len: u64,
}

/// What a quota is now: `QUOTA_NL_*` of `linux/quota.h`.
///
/// ```
/// use watch_queue::QuotaWarning;
///
/// assert_eq!(QuotaWarning::BlockSoftLimit.to_string(), "soft limit of blocks exceeded");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum QuotaWarning {
    /// The hard limit of inodes was reached.
    InodeHardLimit,
    /// The soft limit of inodes was exceeded for too long.
    InodeGraceExpired,
    /// The soft limit of inodes is exceeded.
    InodeSoftLimit,
    /// The hard limit of blocks was reached.
    BlockHardLimit,
    /// The soft limit of blocks was exceeded for too long.
    BlockGraceExpired,
    /// The soft limit of blocks is exceeded.
    BlockSoftLimit,
    /// It is below the hard limit of inodes again.
    BelowInodeHardLimit,
    /// It is below the soft limit of inodes again.
    BelowInodeSoftLimit,
    /// It is below the hard limit of blocks again.
    BelowBlockHardLimit,
    /// It is below the soft limit of blocks again.
    BelowBlockSoftLimit,
    /// Something that this library does not know.
    Unknown(u32),
}

/// What has a quota.
///
/// ```
/// assert_eq!(watch_queue::QuotaOwner::Project.to_string(), "project");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum QuotaOwner {
    /// A user.
    User,
    /// A group.
    Group,
    /// A project.
    Project,
    /// Something that this library does not know.
    Unknown(u32),
}

impl SuperblockErrorKind {
    fn from_number(number: u32) -> Self {
        match number {
            0 => Self::BufferedRead,
            1 => Self::BufferedWrite,
            2 => Self::DirectRead,
            3 => Self::DirectWrite,
            4 => Self::DataLost,
            5 => Self::Metadata,
            6 => Self::DeviceGone,
            _ => Self::Unknown(number),
        }
    }
}

impl QuotaWarning {
    fn from_number(number: u32) -> Self {
        match number {
            1 => Self::InodeHardLimit,
            2 => Self::InodeGraceExpired,
            3 => Self::InodeSoftLimit,
            4 => Self::BlockHardLimit,
            5 => Self::BlockGraceExpired,
            6 => Self::BlockSoftLimit,
            7 => Self::BelowInodeHardLimit,
            8 => Self::BelowInodeSoftLimit,
            9 => Self::BelowBlockHardLimit,
            10 => Self::BelowBlockSoftLimit,
            _ => Self::Unknown(number),
        }
    }
}

impl QuotaOwner {
    fn from_number(number: u32) -> Self {
        match number {
            0 => Self::User,
            1 => Self::Group,
            2 => Self::Project,
            _ => Self::Unknown(number),
        }
    }
}

impl fmt::Display for SuperblockErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BufferedRead => "buffered read",
            Self::BufferedWrite => "buffered write",
            Self::DirectRead => "direct read",
            Self::DirectWrite => "direct write",
            Self::DataLost => "data lost",
            Self::Metadata => "metadata",
            Self::DeviceGone => "device gone",
            Self::Unknown(number) => return write!(f, "kind {number}"),
        })
    }
}

impl fmt::Display for QuotaWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InodeHardLimit => "hard limit of inodes reached",
            Self::InodeGraceExpired => "soft limit of inodes exceeded for too long",
            Self::InodeSoftLimit => "soft limit of inodes exceeded",
            Self::BlockHardLimit => "hard limit of blocks reached",
            Self::BlockGraceExpired => "soft limit of blocks exceeded for too long",
            Self::BlockSoftLimit => "soft limit of blocks exceeded",
            Self::BelowInodeHardLimit => "below the hard limit of inodes",
            Self::BelowInodeSoftLimit => "below the soft limit of inodes",
            Self::BelowBlockHardLimit => "below the hard limit of blocks",
            Self::BelowBlockSoftLimit => "below the soft limit of blocks",
            Self::Unknown(number) => return write!(f, "warning {number}"),
        })
    }
}

impl fmt::Display for QuotaOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Group => "group",
            Self::Project => "project",
            Self::Unknown(number) => return write!(f, "owner of type {number},"),
        })
    }
}

impl<'a> Source<'a> for SuperblockEvent {
    const TYPE: MessageType = MessageType::SUPERBLOCK;
    const NAME: &'static str = "superblock";
    const SUBTYPES: &'static [&'static str] = &[
        "error",
        "readonly",
        "readwrite",
        "quota",
        "frozen",
        "thawed",
    ];

    fn parse(message: Message<'a>) -> Option<Self> {
        let bytes = message.bytes();
        let change = match message.subtype() {
            0 => SuperblockChange::Error {
                error: Errno::from_raw(message.error()),
                kind: SuperblockErrorKind::from_number(message.op()),
                inode: Some(u64_at(bytes, 24)?).filter(|&inode| inode != 0),
                range: match (u64_at(bytes, 32)?, u64_at(bytes, 40)?) {
                    (0, 0) => None,
                    (pos, len) => Some(FileRange { pos, len }),
                },
            },
            1 => SuperblockChange::ReadOnly,
            2 => SuperblockChange::ReadWrite,
            3 => SuperblockChange::Quota {
                warning: QuotaWarning::from_number(message.op()),
                owner: QuotaOwner::from_number(u32_at(bytes, 24)?),
                id: u32_at(bytes, 28)?,
            },
            4 => SuperblockChange::Frozen,
            5 => SuperblockChange::Thawed,
            _ => return None,
        };
        Some(Self {
            superblock: u64_at(bytes, 8)?,
            device: DeviceNumber {
                major: u32_at(bytes, 16)?,
                minor: u32_at(bytes, 20)?,
            },
            change,
        })
    }
}

impl fmt::Display for SuperblockEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let device = self.device;
        match self.change {
            SuperblockChange::Error {
                error,
                kind,
                inode,
                range,
            } => {
                write!(f, "{device} {kind}: {error}")?;
                if let Some(inode) = inode {
                    write!(f, ", inode {inode}")?;
                }
                if let Some(FileRange { pos, len }) = range {
                    write!(f, ", {len} bytes at {pos}")?;
                }
                Ok(())
            }
            SuperblockChange::ReadOnly
            | SuperblockChange::ReadWrite
            | SuperblockChange::Frozen
            | SuperblockChange::Thawed => device.fmt(f),
            SuperblockChange::Quota { warning, owner, id } => {
                write!(f, "{device} {owner} {id}: {warning}")
            }
        }
    }
}

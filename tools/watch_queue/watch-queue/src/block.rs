// SPDX-License-Identifier: MIT OR Apache-2.0

//! Block devices: their I/O that fails.

use std::{fmt, num::NonZeroU32};

use crate::{
    event::Source,
    message::{u32_at, u64_at},
    DeviceNumber, Errno, Message, MessageType,
};

/// I/O to a block device failed, or some of it: `WATCH_TYPE_BLOCK_NOTIFY`.
///
/// ```
/// use watch_queue::{BlockEvent, BlockOp};
///
/// fn is_lost_data(event: &BlockEvent) -> bool {
///     event.op == BlockOp::Write && event.len > 0
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BlockEvent {
    /// The whole device.
    pub device: DeviceNumber,
    /// The partition that the request was to, `None` for the whole device.
    pub partition: Option<NonZeroU32>,
    /// The device again, by a number that is never reused: that of `BLKGETDISKSEQ`.
    pub diskseq: u64,
    /// The kind of failure.
    #[cfg_attr(feature = "serde", serde(rename = "event"))]
    pub failure: BlockFailure,
    /// What was to be done.
    pub op: BlockOp,
    /// Where on the whole device, in sectors of 512 bytes.
    pub sector: u64,
    /// How much of it failed, in bytes.  If this and the sector are 0, the operation has no range
    /// (a flush), or the kernel does not know which part of it failed.
    pub len: u32,
    /// The errno.
    pub error: Errno,
}

/// The kinds of failures: `enum block_notification_subtype`.
///
/// ```
/// use watch_queue::{BlockEvent, BlockFailure};
///
/// fn is_dying(event: &BlockEvent) -> bool {
///     matches!(event.failure, BlockFailure::Medium | BlockFailure::Timeout)
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum BlockFailure {
    /// An I/O error of no other kind.
    Io,
    /// It took too long.
    Timeout,
    /// No space could be allocated.
    NoSpace,
    /// A transport error from which one can recover.
    Transport,
    /// A critical error of the target.
    Target,
    /// Somebody else has reserved the device.
    Nexus,
    /// A critical error of the medium.
    Medium,
    /// Integrity or encryption.
    Protection,
    /// The kernel was short of something.
    Resource,
    /// None of these; [`error`](BlockEvent::error) says more.
    Other,
    /// The device cannot do this.
    NotSupported,
    /// The device was short of something.
    Busy,
    /// It would have had to wait.
    Again,
    /// Too many zones are open.
    ZonesOpen,
    /// Too many zones are active.
    ZonesActive,
    /// The device is offline.
    Offline,
    /// It took longer than it was allowed to.
    DurationLimit,
    /// It was not a valid request.
    Invalid,
}

/// What can be done with a block device: `enum watch_block_op`.
///
/// ```
/// assert_eq!(watch_queue::BlockOp::WriteZeroes.to_string(), "write of zeroes");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum BlockOp {
    /// Read.
    Read,
    /// Write.
    Write,
    /// Have what was written reach the medium.
    Flush,
    /// Discard.
    Discard,
    /// Discard so that it cannot be recovered.
    SecureErase,
    /// Write zeroes.
    WriteZeroes,
    /// Anything about a zone.
    Zone,
    /// Anything else.
    Other,
}

impl BlockOp {
    fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Read,
            1 => Self::Write,
            2 => Self::Flush,
            3 => Self::Discard,
            4 => Self::SecureErase,
            5 => Self::WriteZeroes,
            6 => Self::Zone,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for BlockOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Flush => "flush",
            Self::Discard => "discard",
            Self::SecureErase => "secure erase",
            Self::WriteZeroes => "write of zeroes",
            Self::Zone => "zone operation",
            Self::Other => "operation",
        })
    }
}

impl<'a> Source<'a> for BlockEvent {
    const TYPE: MessageType = MessageType::BLOCK;
    const NAME: &'static str = "block";
    const SUBTYPES: &'static [&'static str] = &[
        "io",
        "timeout",
        "nospace",
        "transport",
        "target",
        "nexus",
        "medium",
        "protection",
        "resource",
        "other",
        "notsupported",
        "busy",
        "again",
        "zonesopen",
        "zonesactive",
        "offline",
        "durationlimit",
        "invalid",
    ];

    fn parse(message: Message<'a>) -> Option<Self> {
        let failure = match message.subtype() {
            0 => BlockFailure::Io,
            1 => BlockFailure::Timeout,
            2 => BlockFailure::NoSpace,
            3 => BlockFailure::Transport,
            4 => BlockFailure::Target,
            5 => BlockFailure::Nexus,
            6 => BlockFailure::Medium,
            7 => BlockFailure::Protection,
            8 => BlockFailure::Resource,
            9 => BlockFailure::Other,
            10 => BlockFailure::NotSupported,
            11 => BlockFailure::Busy,
            12 => BlockFailure::Again,
            13 => BlockFailure::ZonesOpen,
            14 => BlockFailure::ZonesActive,
            15 => BlockFailure::Offline,
            16 => BlockFailure::DurationLimit,
            17 => BlockFailure::Invalid,
            _ => return None,
        };
        let bytes = message.bytes();
        Some(Self {
            device: DeviceNumber {
                major: u32_at(bytes, 28)?,
                minor: u32_at(bytes, 32)?,
            },
            partition: NonZeroU32::new(u32_at(bytes, 36)?),
            diskseq: u64_at(bytes, 8)?,
            failure,
            op: BlockOp::from_number(message.op()),
            sector: u64_at(bytes, 16)?,
            len: u32_at(bytes, 24)?,
            error: Errno::from_raw(message.error()),
        })
    }
}

impl fmt::Display for BlockEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.device)?;
        if let Some(partition) = self.partition {
            write!(f, " partition {partition}")?;
        }
        let Self {
            op,
            len,
            sector,
            error,
            ..
        } = self;
        match (sector, len) {
            (0, 0) => write!(f, " {op}: {error}"),
            _ => write!(f, " {op}, {len} bytes at sector {sector}: {error}"),
        }
    }
}

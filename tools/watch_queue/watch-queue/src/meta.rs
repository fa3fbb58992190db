// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a queue says of itself.

use std::fmt;

use crate::{
    event::Source,
    message::{u64_at, MIN_MESSAGE},
    Message, MessageType,
};

/// Something that happened to the queue itself: `WATCH_TYPE_META`.
///
/// ```
/// use watch_queue::{Event, Message, MetaEvent};
///
/// fn is_last(message: Message<'_>) -> bool {
///     matches!(message.event(), Event::Meta(MetaEvent::Removal { .. }))
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(tag = "event", rename_all = "lowercase"))]
#[non_exhaustive]
pub enum MetaEvent {
    /// A watch was removed: by hand, or because what it watched is gone.  The message's
    /// [`tag`](Message::tag) says which.
    ///
    /// It comes whatever the filter is, but it can be lost like any other message: after a loss,
    /// ask with [`Queue::still_watched`](crate::Queue::still_watched).
    #[non_exhaustive]
    Removal {
        /// The watched object, as [`Watched::id`](crate::Watched::id) names it: a key's serial
        /// number; the id of a mount or of a mount namespace;
        /// [`superblock`](crate::SuperblockEvent::superblock) of a file system;
        /// [`diskseq`](crate::BlockEvent::diskseq) of a block device, and its
        /// [`partition`](crate::BlockEvent::partition) above bit 56.  `None` in the short form of
        /// the message, which is that of all block devices and of all devices.
        id: Option<u64>,
    },
    /// Messages were lost here, for want of room.
    ///
    /// It comes whatever the filter is, is from no watch, and takes no room in the queue.
    #[non_exhaustive]
    Loss {
        /// How many.
        lost: Lost,
    },
}

/// How many messages were lost.
///
/// As JSON it is a number, or null if that is unknown.
///
/// ```
/// use watch_queue::Lost;
///
/// assert_eq!([Lost::Exactly(3), Lost::Unknown].map(Lost::at_least), [3, 1]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lost {
    /// At least one; mainline kernels do not count.
    Unknown,
    /// This many.  If more than 65535 were lost in a row, several events count them.
    Exactly(u16),
}

impl Lost {
    /// The least number that it can be.
    ///
    /// ```
    /// assert_eq!(watch_queue::Lost::Unknown.at_least(), 1);
    /// ```
    pub fn at_least(self) -> u16 {
        match self {
            Self::Unknown => 1,
            Self::Exactly(count) => count,
        }
    }
}

impl<'a> Source<'a> for MetaEvent {
    const TYPE: MessageType = MessageType::META;
    const NAME: &'static str = "meta";
    const SUBTYPES: &'static [&'static str] = &["removal", "loss"];

    fn parse(message: Message<'a>) -> Option<Self> {
        match message.subtype() {
            0 => Some(Self::Removal {
                id: u64_at(message.bytes(), MIN_MESSAGE),
            }),
            1 => Some(Self::Loss {
                lost: match message.type_info() {
                    0 => Lost::Unknown,
                    count => Lost::Exactly(count),
                },
            }),
            _ => None,
        }
    }
}

impl fmt::Display for MetaEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Removal { id: Some(id) } => write!(f, "{id} is not watched any more"),
            Self::Removal { id: None } => write!(f, "not watched any more"),
            Self::Loss { lost } => match lost {
                Lost::Unknown => write!(f, "messages were lost here, it is not known how many"),
                Lost::Exactly(1) => write!(f, "1 message was lost here"),
                Lost::Exactly(count) => write!(f, "{count} messages were lost here"),
            },
        }
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Lost {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Unknown => serializer.serialize_none(),
            known => serializer.serialize_u16(known.at_least()),
        }
    }
}

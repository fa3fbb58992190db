// SPDX-License-Identifier: MIT OR Apache-2.0

//! Events: messages whose type is known.
//!
//! To add a type, write a module with an implementation of [`Source`], and name it in the list at
//! the end of this file.

use std::{fmt, str::FromStr};

use crate::{
    block::BlockEvent, device::DeviceEvent, key::KeyEvent, meta::MetaEvent, mount::MountEvent,
    superblock::SuperblockEvent, Message,
};

/// Which source a message is from: `enum watch_notification_type`.
///
/// Messages have room for 24 bits of it.
///
/// ```
/// use watch_queue::MessageType;
///
/// assert_eq!(MessageType::BLOCK.to_string(), "block");
/// assert_eq!("block".parse(), Ok(MessageType::BLOCK));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageType(u32);

impl MessageType {
    /// The queue itself.
    ///
    /// ```
    /// assert_eq!(watch_queue::MessageType::META.name(), Some("meta"));
    /// ```
    pub const META: Self = Self(0);

    /// Keys and keyrings.
    ///
    /// ```
    /// assert_eq!(watch_queue::MessageType::KEY.name(), Some("key"));
    /// ```
    pub const KEY: Self = Self(1);

    /// Mounts.
    ///
    /// ```
    /// assert_eq!(watch_queue::MessageType::MOUNT.name(), Some("mount"));
    /// ```
    pub const MOUNT: Self = Self(2);

    /// Mounted file systems.
    ///
    /// ```
    /// assert_eq!(watch_queue::MessageType::SUPERBLOCK.name(), Some("superblock"));
    /// ```
    pub const SUPERBLOCK: Self = Self(3);

    /// Block devices.
    ///
    /// ```
    /// assert_eq!(watch_queue::MessageType::BLOCK.name(), Some("block"));
    /// ```
    pub const BLOCK: Self = Self(4);

    /// Devices and buses.
    ///
    /// ```
    /// assert_eq!(watch_queue::MessageType::DEVICE.name(), Some("device"));
    /// ```
    pub const DEVICE: Self = Self(5);

    /// The largest type that a message can have.
    ///
    /// ```
    /// assert_eq!(watch_queue::MessageType::MAX.number(), 0xffffff);
    /// ```
    pub const MAX: Self = Self(0x00ff_ffff);

    /// The type of this number, known or not.
    ///
    /// ```
    /// assert_eq!(watch_queue::MessageType::new(77).to_string(), "type=77");
    /// ```
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number of the type.
    ///
    /// ```
    /// assert_eq!(watch_queue::MessageType::KEY.number(), 1);
    /// ```
    pub const fn number(self) -> u32 {
        self.0
    }

    /// What the type is called, if it is known.
    ///
    /// ```
    /// use watch_queue::MessageType;
    ///
    /// assert_eq!(MessageType::KEY.name(), Some("key"));
    /// assert_eq!(MessageType::new(77).name(), None);
    /// ```
    pub fn name(self) -> Option<&'static str> {
        Event::SOURCES
            .iter()
            .find(|source| source.0 == self)
            .map(|source| source.1)
    }

    /// What its events are called, by subtype; empty if the type is not known.
    ///
    /// ```
    /// assert_eq!(watch_queue::MessageType::META.subtypes(), ["removal", "loss"]);
    /// ```
    pub fn subtypes(self) -> &'static [&'static str] {
        Event::SOURCES
            .iter()
            .find(|source| source.0 == self)
            .map_or(&[], |source| source.2)
    }
}

/// The name of the type, or `type=` and its number.
impl fmt::Display for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => f.pad(&format!("type={}", self.0)),
        }
    }
}

impl FromStr for MessageType {
    type Err = BadMessageType;

    fn from_str(text: &str) -> Result<Self, BadMessageType> {
        if let Some(source) = Event::SOURCES.iter().find(|source| source.1 == text) {
            return Ok(source.0);
        }
        let known = || Event::SOURCES.map(|source| source.1).join(", ");
        let number = text.strip_prefix("type=").ok_or_else(|| {
            BadMessageType(format!(
                "no type '{text}'; there are {} and type=NUMBER",
                known()
            ))
        })?;
        parse_number(number)
            .map(Self)
            .filter(|&kind| kind <= Self::MAX)
            .ok_or_else(|| BadMessageType(format!("'{number}' is not a number of 24 bits")))
    }
}

/// What was given is not the type of a message.
///
/// ```
/// use watch_queue::MessageType;
///
/// let error = "disk".parse::<MessageType>().unwrap_err();
/// assert!(error.to_string().contains("block"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadMessageType(String);

impl fmt::Display for BadMessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadMessageType {}

/// A number as C writes it, decimal or hexadecimal.
pub(crate) fn parse_number(text: &str) -> Option<u32> {
    u32::try_from(parse_long(text)?).ok()
}

/// A number as C writes it, decimal or hexadecimal.
pub(crate) fn parse_long(text: &str) -> Option<u64> {
    let (digits, radix) = match text.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    // from_str_radix() takes a sign.
    let first = digits.chars().next()?;
    first
        .is_digit(radix)
        .then(|| u64::from_str_radix(digits, radix).ok())?
}

/// What all events of one type have in common.
///
/// `Display` says in plain words what happened, for one who knows the type and the subtype.
pub(crate) trait Source<'a>: Sized + fmt::Display {
    const TYPE: MessageType;

    /// What the type is called.
    const NAME: &'static str;

    /// What the events are called, by subtype.
    const SUBTYPES: &'static [&'static str];

    /// Takes apart a message of this type; `None` if it is not as this source posts them.
    fn parse(message: Message<'a>) -> Option<Self>;
}

macro_rules! sources {
    ($($(#[$doc:meta])* $variant:ident($event:ty),)*) => {
        /// What a message says.
        ///
        /// `Display` says it in plain words.
        ///
        /// ```
        /// use watch_queue::{Event, Message};
        ///
        /// fn show(message: Message<'_>) {
        ///     match message.event() {
        ///         Event::Key(event) => println!("key {}", event.key),
        ///         Event::Unknown(message) => println!("new to me: {message}"),
        ///         event => println!("{event}"),
        ///     }
        /// }
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize))]
        #[cfg_attr(feature = "serde", serde(tag = "type", rename_all = "lowercase"))]
        #[non_exhaustive]
        pub enum Event<'a> {
            $($(#[$doc])* $variant($event),)*
            /// A message that this library knows too little of.
            Unknown(Message<'a>),
        }

        impl<'a> Event<'a> {
            /// The type, its name and the names of the subtypes.
            const SOURCES: [(MessageType, &'static str, &'static [&'static str]);
                [$(stringify!($variant)),*].len()] = [$((
                <$event as Source<'a>>::TYPE,
                <$event as Source<'a>>::NAME,
                <$event as Source<'a>>::SUBTYPES,
            )),*];

            pub(crate) fn new(message: Message<'a>) -> Self {
                let known = match message.kind() {
                    $(<$event as Source<'_>>::TYPE => Source::parse(message).map(Self::$variant),)*
                    _ => None,
                };
                known.unwrap_or(Self::Unknown(message))
            }
        }

        impl fmt::Display for Event<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant(event) => event.fmt(f),)*
                    Self::Unknown(message) => message.fmt(f),
                }
            }
        }
    };
}

sources! {
    /// Something happened to the queue itself.
    Meta(MetaEvent),
    /// Something happened to a key.
    Key(KeyEvent),
    /// Something happened to a mount.
    Mount(MountEvent),
    /// Something happened to a mounted file system.
    Superblock(SuperblockEvent),
    /// A request to a block device failed.
    Block(BlockEvent),
    /// Something happened to a device.
    Device(DeviceEvent<'a>),
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! Messages as they lie in the buffer of a read.

use std::{fmt, io, iter::FusedIterator};

use crate::{Event, MessageType};

/// Size of the smallest message in bytes; it is all header.
///
/// ```
/// assert!(watch_queue::Message::split_from(&[0; watch_queue::MIN_MESSAGE - 1]).is_err());
/// ```
pub const MIN_MESSAGE: usize = 8;

/// Size of the largest message in bytes.
///
/// A read into less than the next message needs fails with `ENOBUFS`, so that no buffer should
/// be smaller than this.
///
/// ```
/// let mut buffer = [0; 32 * watch_queue::MAX_MESSAGE];
/// ```
pub const MAX_MESSAGE: usize = 127;

const INFO_LENGTH: u32 = 0x0000_007f;
pub(crate) const INFO_ID: u32 = 0x0000_ff00;
const INFO_ID_SHIFT: u32 = 8;
const INFO_TYPE_INFO_SHIFT: u32 = 16;

/// Reads a number that need not be aligned.
pub(crate) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    let bytes = bytes.get(offset..offset + 2)?;
    Some(u16::from_ne_bytes(bytes.try_into().ok()?))
}

/// Reads a number that need not be aligned.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let bytes = bytes.get(offset..offset + 4)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

/// Reads a number that need not be aligned.
pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    let bytes = bytes.get(offset..offset + 8)?;
    Some(u64::from_ne_bytes(bytes.try_into().ok()?))
}

/// One message: a `struct watch_notification`, and what of its type comes after it.
///
/// It borrows the buffer that it was read into.  Nothing is copied, and nothing has to be aligned.
///
/// # Invariants
///
/// The slice is [`MIN_MESSAGE`] to [`MAX_MESSAGE`] bytes long, and the size in its header is its
/// length.
///
/// ```
/// fn example(message: watch_queue::Message<'_>) {
///     println!("from watch {}: {}", message.tag(), message.event());
/// }
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Message<'a>(&'a [u8]);

impl<'a> Message<'a> {
    /// Takes the message off the front of `bytes`, and returns it and what comes after it.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if `bytes` is too short for a header, if its header says that it is shorter
    /// than that header, or that it is longer than what is there.
    ///
    /// ```
    /// use watch_queue::{Malformed, Message};
    ///
    /// fn first_two(buffer: &[u8]) -> Result<(Message<'_>, Message<'_>), Malformed> {
    ///     let (first, rest) = Message::split_from(buffer)?;
    ///     Ok((first, Message::split_from(rest)?.0))
    /// }
    /// ```
    pub fn split_from(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let info = u32_at(bytes, 4).ok_or(Malformed {
            length: None,
            available: bytes.len(),
        })?;
        let length = (info & INFO_LENGTH) as usize;
        if length < MIN_MESSAGE || length > bytes.len() {
            return Err(Malformed {
                length: Some(length),
                available: bytes.len(),
            });
        }
        let (message, rest) = bytes.split_at(length);
        // INVARIANT: Seven bits are at most `MAX_MESSAGE`.
        Ok((Self(message), rest))
    }

    fn word(self, offset: usize) -> u32 {
        u32_at(self.0, offset).expect("a message has a header")
    }

    /// Which source the message is from.
    ///
    /// ```
    /// fn example(message: watch_queue::Message<'_>) {
    ///     println!("of type {}", message.kind());
    /// }
    /// ```
    pub fn kind(self) -> MessageType {
        let word = self.word(0);
        MessageType::new(if cfg!(target_endian = "little") {
            word & 0x00ff_ffff
        } else {
            word >> 8
        })
    }

    /// Which of the events of its source it is.
    ///
    /// ```
    /// fn example(message: watch_queue::Message<'_>) {
    ///     println!("event {}", message.subtype());
    /// }
    /// ```
    pub fn subtype(self) -> u8 {
        if cfg!(target_endian = "little") {
            self.0[3]
        } else {
            self.0[0]
        }
    }

    /// Size, tag and type-specific bits, as the header has them.
    ///
    /// ```
    /// fn example(message: watch_queue::Message<'_>) {
    ///     println!("{:#x}", message.info());
    /// }
    /// ```
    pub fn info(self) -> u32 {
        self.word(4)
    }

    /// The tag that the watch was given, or 0 if the message is from no watch.
    ///
    /// ```
    /// fn example(message: watch_queue::Message<'_>) {
    ///     println!("from watch {}", message.tag());
    /// }
    /// ```
    pub fn tag(self) -> u8 {
        ((self.info() & INFO_ID) >> INFO_ID_SHIFT) as u8
    }

    /// The bits of `info` that mean what the type has them mean.
    ///
    /// ```
    /// fn example(message: watch_queue::Message<'_>) {
    ///     println!("{:#x}", message.type_info());
    /// }
    /// ```
    pub fn type_info(self) -> u16 {
        (self.info() >> INFO_TYPE_INFO_SHIFT) as u16
    }

    /// `WATCH_INFO_OP`, where the type has it.
    pub(crate) fn op(self) -> u32 {
        u32::from(self.type_info()) & 0xf
    }

    /// `WATCH_INFO_ERROR`, where the type has it.
    pub(crate) fn error(self) -> u32 {
        u32::from(self.type_info()) >> 4
    }

    /// The whole message, header included.
    ///
    /// ```
    /// fn example(message: watch_queue::Message<'_>) {
    ///     println!("{} bytes", message.bytes().len());
    /// }
    /// ```
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// What comes after the header.
    ///
    /// ```
    /// fn example(message: watch_queue::Message<'_>) {
    ///     println!("{:?}", message.payload());
    /// }
    /// ```
    pub fn payload(self) -> &'a [u8] {
        &self.0[MIN_MESSAGE..]
    }

    /// What the event is called, if type and subtype are known.
    ///
    /// ```
    /// fn example(message: watch_queue::Message<'_>) {
    ///     println!("{}", message.name().unwrap_or("?"));
    /// }
    /// ```
    pub fn name(self) -> Option<&'static str> {
        self.kind()
            .subtypes()
            .get(usize::from(self.subtype()))
            .copied()
    }

    /// What the message says, as a type of its own if its type is known.
    ///
    /// ```
    /// fn example(message: watch_queue::Message<'_>) {
    ///     println!("{}", message.event());
    /// }
    /// ```
    pub fn event(self) -> Event<'a> {
        Event::new(self)
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("kind", &self.kind())
            .field("subtype", &self.subtype())
            .field("info", &format_args!("{:#010x}", self.info()))
            .field("payload", &self.payload())
            .finish()
    }
}

/// Type, subtype, info and payload, as numbers.
impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, subtype, info) = (self.kind().number(), self.subtype(), self.info());
        write!(f, "type={kind:#08x} subtype={subtype} info={info:#010x}")?;
        if !self.payload().is_empty() {
            write!(f, " payload={}", Hex(self.payload()))?;
        }
        Ok(())
    }
}

/// Two digits a byte.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// `number` is the type; `payload` is two digits a byte.
#[cfg(feature = "serde")]
impl serde::Serialize for Message<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;

        let mut message = serializer.serialize_struct("Message", 4)?;
        message.serialize_field("number", &self.kind().number())?;
        message.serialize_field("subtype", &self.subtype())?;
        message.serialize_field("info", &self.info())?;
        message.serialize_field("payload", &Hex(self.payload()).to_string())?;
        message.end()
    }
}

/// A message that has a buffer of its own, to be kept when that of the read is used again.
///
/// ```
/// use watch_queue::{Messages, OwnedMessage};
///
/// let header = 1u32 << if cfg!(target_endian = "little") { 24 } else { 0 };
/// let buffer = [header.to_ne_bytes(), (2u32 << 16 | 8).to_ne_bytes()].concat();
/// let kept: Vec<_> = Messages::new(&buffer)
///     .map(|message| message.map(OwnedMessage::from))
///     .collect::<Result<_, _>>()?;
/// drop(buffer);
/// assert_eq!(kept[0].as_message().name(), Some("loss"));
/// # Ok::<(), watch_queue::Malformed>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct OwnedMessage {
    length: u8,
    bytes: [u8; MAX_MESSAGE],
}

impl OwnedMessage {
    /// The message.
    ///
    /// ```
    /// fn example(kept: &watch_queue::OwnedMessage) {
    ///     println!("{}", kept.as_message().event());
    /// }
    /// ```
    pub fn as_message(&self) -> Message<'_> {
        // INVARIANT: These are the bytes of a message.
        Message(&self.bytes[..self.length.into()])
    }
}

impl From<Message<'_>> for OwnedMessage {
    fn from(message: Message<'_>) -> Self {
        let mut bytes = [0; MAX_MESSAGE];
        bytes[..message.0.len()].copy_from_slice(message.0);
        Self {
            length: message.0.len() as u8,
            bytes,
        }
    }
}

impl fmt::Debug for OwnedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_message().fmt(f)
    }
}

/// What was read is not a message.
///
/// The kernel does not do this; a buffer that was not filled by a read from a queue may.
///
/// ```
/// let error = watch_queue::Message::split_from(&[0; 3]).unwrap_err();
/// assert_eq!(error.to_string(), "malformed message: 3 bytes are too few for a header");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    length: Option<usize>,
    available: usize,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let available = self.available;
        match self.length {
            None => write!(
                f,
                "malformed message: {available} bytes are too few for a header"
            ),
            Some(length) if length < MIN_MESSAGE => {
                write!(
                    f,
                    "malformed message: {length} bytes are too few for a header"
                )
            }
            Some(length) => {
                write!(
                    f,
                    "malformed message: {available} bytes where it says {length}"
                )
            }
        }
    }
}

impl std::error::Error for Malformed {}

impl From<Malformed> for io::Error {
    fn from(error: Malformed) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

/// The messages of one read, in the order in which they were posted.
///
/// What cannot be taken apart is one [`Malformed`], and the end.
///
/// ```
/// use watch_queue::{Messages, MessageType};
///
/// // A loss of two messages, and half a header.
/// let header = 1u32 << if cfg!(target_endian = "little") { 24 } else { 0 };
/// let mut buffer = [header.to_ne_bytes(), (2u32 << 16 | 8).to_ne_bytes()].concat();
/// buffer.extend([0; 4]);
///
/// let mut messages = Messages::new(&buffer);
/// assert_eq!(messages.next().unwrap()?.kind(), MessageType::META);
/// assert!(messages.next().unwrap().is_err());
/// assert!(messages.next().is_none());
/// # Ok::<(), watch_queue::Malformed>(())
/// ```
#[derive(Clone, Debug)]
pub struct Messages<'a>(&'a [u8]);

impl<'a> Messages<'a> {
    /// The messages in `bytes`, of which all have been read from a queue.
    ///
    /// ```
    /// assert_eq!(watch_queue::Messages::new(&[]).count(), 0);
    /// ```
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// What is still to be taken apart, in bytes.
    ///
    /// ```
    /// assert_eq!(watch_queue::Messages::new(&[1, 2]).bytes(), [1, 2]);
    /// ```
    pub fn bytes(&self) -> &'a [u8] {
        self.0
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let split = Message::split_from(self.0);
        self.0 = split.map_or(&[], |(_, rest)| rest);
        Some(split.map(|(message, _)| message))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let bytes = self.0.len();
        (bytes.min(1), Some((bytes + MIN_MESSAGE - 1) / MIN_MESSAGE))
    }
}

impl FusedIterator for Messages<'_> {}

// SPDX-License-Identifier: GPL-2.0

//! Messages: the layout that `include/uapi/linux/watch_queue.h` gives them.

/// Size of the smallest message, which is all header, in bytes.
pub(crate) const MIN_LEN: usize = 8;

/// Size of the largest message in bytes.
pub(crate) const MAX_LEN: usize = 127;

/// Bits of `info` that hold the size of the message in bytes.
pub(crate) const INFO_LENGTH: u32 = 0x0000_007f;

/// Bits of `info` that hold the tag of the watch.
pub(crate) const INFO_ID: u32 = 0x0000_ff00;

/// The shift of the tag.
pub(crate) const INFO_ID_SHIFT: u32 = 8;

/// Offset of the byte of a message that is [`INFO_ID`].
pub(crate) const ID_OFFSET: usize = if cfg!(target_endian = "little") { 5 } else { 6 };

/// The shift of the type-specific bits of `info`.
const INFO_TYPE_INFO_SHIFT: u32 = 16;

/// `type` of the queue's own messages.
pub(crate) const TYPE_META: u32 = 0;

/// `subtype` of [`TYPE_META`]: a watch was removed.
pub(crate) const META_REMOVAL: u8 = 0;

/// `subtype` of [`TYPE_META`]: messages were lost.
const META_LOSS: u8 = 1;

/// Offset of the byte of a message that holds its size, see [`length_from`].
pub(crate) const LENGTH_OFFSET: usize = if cfg!(target_endian = "little") { 4 } else { 7 };

/// The largest number of messages that the record of a loss has room for.
pub(crate) const MAX_LOST: u16 = u16::MAX;

/// Bits of the byte at [`LENGTH_OFFSET`] that hold the size.
const LENGTH_BITS: u8 = INFO_LENGTH as u8;

/// The header that every message begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// `type`, below 2^24.
    pub(crate) kind: u32,
    /// `subtype`.
    pub(crate) subtype: u8,
    /// `info`: size, tag and type-specific bits.
    pub(crate) info: u32,
}

impl Header {
    /// Takes the first word of a message apart, where C has its two bit-fields.
    #[inline]
    pub(crate) fn split_word(word: u32) -> (u32, u8) {
        if cfg!(target_endian = "little") {
            (word & 0x00ff_ffff, (word >> 24) as u8)
        } else {
            (word >> 8, word as u8)
        }
    }

    /// Makes a header of the two words that a message begins with.
    #[inline]
    pub(crate) fn from_words(word: u32, info: u32) -> Self {
        let (kind, subtype) = Self::split_word(word);
        Self {
            kind,
            subtype,
            info,
        }
    }

    /// The header as it lies in memory.
    pub(crate) fn to_bytes(self) -> [u8; MIN_LEN] {
        let word = if cfg!(target_endian = "little") {
            self.kind | u32::from(self.subtype) << 24
        } else {
            self.kind << 8 | u32::from(self.subtype)
        };
        let (word, info) = (word.to_ne_bytes(), self.info.to_ne_bytes());
        [
            word[0], word[1], word[2], word[3], info[0], info[1], info[2], info[3],
        ]
    }
}

/// A whole message.
///
/// # Invariants
///
/// The slice is [`MIN_LEN`] to [`MAX_LEN`] bytes long, and the size in its header is its length.
#[derive(Clone, Copy)]
pub(crate) struct Note<'a>(&'a [u8]);

impl<'a> Note<'a> {
    /// Checks that `bytes` are exactly one message.
    #[inline]
    #[cfg_attr(
        not(CONFIG_WATCH_QUEUE_KUNIT_TEST),
        allow(dead_code, reason = "tests need it")
    )]
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Self> {
        let length = usize::from(bytes.get(LENGTH_OFFSET)? & LENGTH_BITS);
        if bytes.len() < MIN_LEN || bytes.len() != length {
            return None;
        }
        // INVARIANT: Just checked; seven bits are at most `MAX_LEN`.
        Some(Self(bytes))
    }

    /// Takes `bytes` to be exactly one message.
    ///
    /// # Safety
    ///
    /// They are.
    #[inline]
    pub(crate) unsafe fn new_unchecked(bytes: &'a [u8]) -> Self {
        // INVARIANT: The requirement is the invariant.
        Self(bytes)
    }

    /// The message as it lies in memory.
    #[inline]
    pub(crate) fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// Copies the message to `to`.
    ///
    /// Messages are so short that this takes less than to call `memcpy()`: one of up to two words
    /// is its first and its last, which may overlap; one of up to four is its first two and its
    /// last two, and so on.  That is for targets on which the compiler may read unaligned words.
    /// For arm64 and RISC-V it reads each byte of a word by itself instead; on arm64 `memcpy()`
    /// takes less than that.
    ///
    /// # Safety
    ///
    /// `to` is valid for writes of as many bytes as the message has, and they do not overlap it.
    #[inline(always)]
    pub(crate) unsafe fn copy_to(self, to: *mut u8) {
        const WORD: usize = size_of::<u64>();
        const BLOCK: usize = 4 * WORD;
        // By the invariants of `Note`, there is a word, and no more than four blocks.
        const _: () = assert!(WORD <= MIN_LEN && MAX_LEN <= 4 * BLOCK);

        let (from, length) = (self.0.as_ptr(), self.0.len());
        if cfg!(not(any(target_arch = "x86_64", target_arch = "s390x"))) {
            // SAFETY: The message is valid for reads, and the caller has room for it at `to`, which
            // does not overlap it.
            unsafe { core::ptr::copy_nonoverlapping(from, to, length) };
            return;
        }
        // SAFETY: All words lie within the message: each block that is counted from its front or
        // back is copied only if the message is longer than it takes.  The caller has
        // room for the message at `to`.
        unsafe {
            let copy = |offset: usize| {
                let word = from.add(offset).cast::<u64>().read_unaligned();
                to.add(offset).cast::<u64>().write_unaligned(word);
            };
            let copy_block = |offset: usize| {
                for word in 0..BLOCK / WORD {
                    copy(offset.wrapping_add(word * WORD));
                }
            };
            copy(0);
            copy(length.wrapping_sub(WORD));
            if length > 2 * WORD {
                copy(WORD);
                copy(length.wrapping_sub(2 * WORD));
            }
            if length > BLOCK {
                copy(2 * WORD);
                copy(3 * WORD);
                copy(length.wrapping_sub(3 * WORD));
                copy(length.wrapping_sub(BLOCK));
            }
            if length > 2 * BLOCK {
                copy_block(BLOCK);
                copy_block(length.wrapping_sub(2 * BLOCK));
            }
        }
    }
}

/// A message that can be posted.
pub(crate) trait Message {
    /// The message as such.
    fn note(&self) -> Note<'_>;
}

impl Message for Note<'_> {
    #[inline(always)]
    fn note(&self) -> Note<'_> {
        *self
    }
}

/// Returns the size of a message, given its byte at [`LENGTH_OFFSET`].
#[inline]
pub(crate) fn length_from(byte: u8) -> usize {
    usize::from(byte & LENGTH_BITS)
}

/// Makes the record of a loss of `lost` messages.
///
/// The record has 16 bits for the number.  A larger loss takes several, see [`first_record`].
pub(crate) fn loss_record(lost: u16) -> [u8; MIN_LEN] {
    Header {
        kind: TYPE_META,
        subtype: META_LOSS,
        info: u32::from(lost) << INFO_TYPE_INFO_SHIFT | MIN_LEN as u32,
    }
    .to_bytes()
}

/// Returns how many of `lost` messages the first of their records counts.
#[inline]
pub(crate) fn first_record(lost: u64) -> u16 {
    lost.min(u64::from(MAX_LOST)) as u16
}

/// Returns how many records a loss of `lost` messages takes.
///
/// There is no division, as not every machine can divide 64 bits: 65,536 are one record and one
/// message more.
pub(crate) fn records(lost: u64) -> u64 {
    let (mut records, mut rest) = (0, lost);
    while rest > u64::from(MAX_LOST) {
        let full = rest >> u16::BITS;
        records += full;
        rest -= full * u64::from(MAX_LOST);
    }
    records + u64::from(rest != 0)
}

/// A removal notification: the watch with the tag `info_id`, on the object `id`, was detached.
#[repr(align(4))]
pub(crate) struct Removal {
    bytes: [u8; 16],
}

impl Removal {
    /// Makes the message; its short form, without the object, if `id` is 0.
    pub(crate) fn new(info_id: u32, id: u64) -> Self {
        let length = if id == 0 { MIN_LEN } else { 16 };
        let mut bytes = [0; 16];
        bytes[..MIN_LEN].copy_from_slice(
            &Header {
                kind: TYPE_META,
                subtype: META_REMOVAL,
                info: info_id & INFO_ID | length as u32,
            }
            .to_bytes(),
        );
        bytes[MIN_LEN..].copy_from_slice(&id.to_ne_bytes());
        Self { bytes }
    }
}

impl Message for Removal {
    fn note(&self) -> Note<'_> {
        let length = length_from(self.bytes[LENGTH_OFFSET]);
        // INVARIANT: `new()` wrote the length, 8 or 16.
        Note(&self.bytes[..length])
    }
}

#[cfg_attr(
    CONFIG_WATCH_QUEUE_KUNIT_TEST,
    kernel::prelude::kunit_tests(watch_queue_note)
)]
#[cfg(any(test, CONFIG_WATCH_QUEUE_KUNIT_TEST))]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_the_round_trip_through_memory() {
        for header in [
            (0, 0, 8),
            (1, 2, 0x0001_ff10),
            (0x00ff_ffff, 255, 0xffff_ffff),
            (0x0012_3456, 0x78, 0x9abc_de7f),
        ] {
            let (kind, subtype, info) = header;
            let bytes = Header {
                kind,
                subtype,
                info,
            }
            .to_bytes();
            let word = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            let again = Header::from_words(word, info);
            assert_eq!(again.kind, kind);
            assert_eq!(again.subtype, subtype);
            assert_eq!(again.info, info);
        }
    }

    #[test]
    fn only_whole_messages_of_8_to_127_bytes_are_notes() {
        let mut bytes = [0_u8; 128];
        for length in 0..128_usize {
            bytes[LENGTH_OFFSET] = length as u8;
            for have in 0..=128_usize {
                let whole = have == length && have >= MIN_LEN;
                assert_eq!(Note::new(&bytes[..have]).is_some(), whole);
            }
        }
    }

    #[test]
    fn the_bit_above_the_length_is_not_part_of_it() {
        let mut bytes = [0_u8; 16];
        bytes[LENGTH_OFFSET] = 0x80 | 16;
        assert!(Note::new(&bytes).is_some());
        assert_eq!(length_from(0x80 | 16), 16);
    }

    #[test]
    fn a_loss_is_counted_in_the_type_specific_bits() {
        for lost in [1, 65_534, 65_535] {
            let bytes = loss_record(lost);
            let info = u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
            assert_eq!(info, u32::from(lost) << 16 | 8);
            assert!(Note::new(&bytes).is_some());
        }
    }

    #[test]
    fn a_loss_takes_as_many_records_as_hold_it() {
        for (lost, takes, first) in [
            (0, 0, 0),
            (1, 1, 1),
            (65_535, 1, 65_535),
            (65_536, 2, 65_535),
            (131_070, 2, 65_535),
            (131_071, 3, 65_535),
            (u64::from(u32::MAX), 65_537, 65_535),
            (u64::MAX, 0x0001_0001_0001_0001, 65_535),
        ] {
            assert_eq!(records(lost), takes);
            assert_eq!(first_record(lost), first);
        }
    }

    #[test]
    fn a_removal_is_short_without_an_id_and_long_with_one() {
        assert_eq!(Removal::new(0x0300, 0).note().bytes().len(), 8);
        let long = Removal::new(0x0300, 7);
        assert_eq!(long.note().bytes().len(), 16);
        assert!(Note::new(long.note().bytes()).is_some());
        assert_eq!(&long.note().bytes()[8..], &7_u64.to_ne_bytes()[..]);
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Filters: the rules by which a queue lets messages through.
//!
//! `include/uapi/linux/watch_queue.h` says for `struct watch_notification_type_filter` which
//! messages a rule accepts.  Sixteen rules are as cheap to match as one, because the set is
//! prepared when it is installed, like the bit vectors of packet classifiers: for each byte of the
//! header that rules can ask for, and each value of that byte, one word says which rules accept
//! it.  A message matches if a bit is left when the words for its bytes are and'ed together.

use core::ops::RangeInclusive;

use crate::note::{Header, INFO_LENGTH};

/// The largest number of rules of a filter.
pub(crate) const MAX_RULES: usize = 16;

/// A set of rules: bit N is rule N.
type Rules = u16;

const _: () = assert!(Rules::BITS as usize == MAX_RULES);

/// One rule, as userspace gives it in `struct watch_notification_type_filter`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rule {
    /// The type to let through.
    pub(crate) kind: u32,
    /// The values that the bits of `info` under `info_mask` have to have.
    pub(crate) info_filter: u32,
    /// The bits of `info` that matter.
    pub(crate) info_mask: u32,
    /// The subtypes to let through: bit N % 32 of word N / 32.
    pub(crate) subtypes: [u32; 8],
}

impl Rule {
    /// Returns whether userspace may ask for this rule.
    ///
    /// Bits outside of the mask could never match, and a length cannot be asked for.
    pub(crate) fn is_valid(&self) -> bool {
        self.info_filter & !self.info_mask == 0 && self.info_mask & INFO_LENGTH == 0
    }

    fn accepts_subtype(&self, subtype: u8) -> bool {
        self.subtypes[usize::from(subtype) / 32] >> (subtype % 32) & 1 != 0
    }

    /// Returns the subtypes to let through, as ranges in ascending order.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = RangeInclusive<u8>> + '_ {
        let mut rest = 0..=u8::MAX;
        core::iter::from_fn(move || {
            let first = rest.find(|subtype| self.accepts_subtype(*subtype))?;
            let last = match rest.find(|subtype| !self.accepts_subtype(*subtype)) {
                Some(behind) => behind.wrapping_sub(1),
                None => u8::MAX,
            };
            Some(first..=last)
        })
    }
}

/// For each value of one byte, the rules that accept it.
type Table = [Rules; 256];

/// A prepared set of rules.
///
/// # Invariants
///
/// Rule N accepts a message if and only if bit N is set in each table's entry for the byte that
/// the table is for, and in `above_length`'s for bit 7 of `info`.  Each rule has the bits `agreed`
/// in its `info_mask`, and in its `info_filter` as they are in `agreed_value`, which has no others.
pub(crate) struct Filter {
    /// By `subtype`.
    subtype: Table,
    /// By the bytes of `type`, the least significant first.
    kind: [Table; 3],
    /// By bits 8 to 31 of `info`, the least significant byte first.
    info: [Table; 3],
    /// By bit 7 of `info`.  The bits below it are the length, which no rule can ask for.
    above_length: [Rules; 2],
    /// The bits of `info` that all rules compare, and of which all want the same value.
    agreed: u32,
    /// That value.
    agreed_value: u32,
    /// The number of rules.
    nr_rules: u8,
}

impl Filter {
    /// The filter without rules, to which [`Filter::add`] adds them.  It rejects everything.
    #[cfg_attr(
        not(CONFIG_WATCH_QUEUE_KUNIT_TEST),
        allow(dead_code, reason = "tests need it")
    )]
    pub(crate) const EMPTY: Self = Self {
        subtype: [0; 256],
        kind: [[0; 256]; 3],
        info: [[0; 256]; 3],
        above_length: [0; 2],
        agreed: 0,
        agreed_value: 0,
        nr_rules: 0,
    };

    /// Adds `rule`.  Returns whether there was room for it.
    pub(crate) fn add(&mut self, rule: &Rule) -> bool {
        if usize::from(self.nr_rules) == MAX_RULES {
            return false;
        }
        let bit: Rules = 1 << self.nr_rules;
        if self.nr_rules == 0 {
            (self.agreed, self.agreed_value) = (rule.info_mask, rule.info_filter);
        } else {
            self.agreed &= rule.info_mask & !(rule.info_filter ^ self.agreed_value);
        }
        // INVARIANT: As wanted by all rules, this one included.
        self.agreed_value &= self.agreed;
        self.nr_rules += 1;

        // No message has a type of more than 24 bits.
        if rule.kind >> 24 == 0 {
            for (table, byte) in self.kind.iter_mut().zip(rule.kind.to_le_bytes()) {
                table[usize::from(byte)] |= bit;
            }
        }

        let [_, masks @ ..] = rule.info_mask.to_le_bytes();
        let [_, wanted @ ..] = rule.info_filter.to_le_bytes();
        for value in 0..=u8::MAX {
            if rule.accepts_subtype(value) {
                self.subtype[usize::from(value)] |= bit;
            }
            for (table, (mask, wanted)) in self.info.iter_mut().zip(masks.into_iter().zip(wanted)) {
                if value & mask == wanted {
                    table[usize::from(value)] |= bit;
                }
            }
        }
        for (value, entry) in [0, 0x80].into_iter().zip(&mut self.above_length) {
            if value & rule.info_mask & 0xff == rule.info_filter & 0xff {
                *entry |= bit;
            }
        }
        true
    }

    /// Returns the rules that accept the subtype and the lowest byte of the type.
    #[inline]
    fn candidates(&self, kind: u32, subtype: u8) -> Rules {
        let [kind0, ..] = kind.to_le_bytes();
        self.subtype[usize::from(subtype)] & self.kind[0][usize::from(kind0)]
    }

    /// Returns whether a message that begins with this word is rejected for it alone, or for the
    /// bits of `info` on which all rules agree.
    ///
    /// Most messages that a filter rejects are.  `info` is asked for only if the word does not do.
    #[inline]
    pub(crate) fn rejects(&self, first_word: u32, info: impl FnOnce() -> u32) -> bool {
        let (kind, subtype) = Header::split_word(first_word);
        self.candidates(kind, subtype) == 0 || info() & self.agreed != self.agreed_value
    }

    /// Returns whether any rule accepts a message with this header.
    #[inline]
    pub(crate) fn accepts(&self, header: Header) -> bool {
        let [_, kind1, kind2, _] = header.kind.to_le_bytes();
        let mut rules = self.candidates(header.kind, header.subtype);
        if rules == 0 {
            return false;
        }
        rules &= self.kind[1][usize::from(kind1)] & self.kind[2][usize::from(kind2)];
        let [info0, info1, info2, info3] = header.info.to_le_bytes();
        rules &= self.above_length[usize::from(info0 >> 7)];
        rules &= self.info[0][usize::from(info1)];
        rules &= self.info[1][usize::from(info2)];
        rules &= self.info[2][usize::from(info3)];
        rules != 0
    }
}

#[cfg_attr(
    CONFIG_WATCH_QUEUE_KUNIT_TEST,
    kernel::prelude::kunit_tests(watch_queue_filter)
)]
#[cfg(any(test, CONFIG_WATCH_QUEUE_KUNIT_TEST))]
mod tests {
    use super::*;

    /// Returns whether a filter of these rules accepts a message.  Too large for a kernel stack.
    fn accepts(rules: &[Rule], kind: u32, subtype: u8, info: u32) -> bool {
        let mut filter = boxed();
        for rule in rules {
            assert!(filter.add(rule));
        }
        // The tables have to agree with the rule as it is written down.
        let plainly = rules.iter().any(|rule| {
            rule.kind == kind
                && rule.subtypes[usize::from(subtype / 32)] & 1 << (subtype % 32) != 0
                && info & rule.info_mask == rule.info_filter
        });
        let header = Header {
            kind,
            subtype,
            info,
        };
        assert_eq!(filter.accepts(header), plainly);
        plainly
    }

    #[cfg(test)]
    fn boxed() -> Box<Filter> {
        Box::new(Filter::EMPTY)
    }

    #[cfg(CONFIG_WATCH_QUEUE_KUNIT_TEST)]
    fn boxed() -> kernel::alloc::KBox<Filter> {
        let uninit = kernel::alloc::KBox::<Filter>::new_uninit(kernel::alloc::flags::GFP_KERNEL);
        uninit.expect("memory for a filter").write(Filter::EMPTY)
    }

    fn rule(kind: u32, subtype: u8) -> Rule {
        let mut rule = Rule {
            kind,
            ..Rule::default()
        };
        rule.subtypes[usize::from(subtype) / 32] = 1 << (subtype % 32);
        rule
    }

    #[test]
    fn without_a_matching_rule_everything_is_rejected() {
        assert!(!accepts(&[], 1, 0, 8));
        assert!(!accepts(&[rule(1, 0)], 0, 0, 8));
        assert!(!accepts(&[rule(1, 0)], 2, 0, 8));
    }

    #[test]
    fn every_subtype_has_its_own_bit() {
        for wanted in 0..=255_u8 {
            assert!(accepts(&[rule(1, wanted)], 1, wanted, 8));
            for offset in [1, 8, 32, 64, 128, 255] {
                assert!(!accepts(
                    &[rule(1, wanted)],
                    1,
                    wanted.wrapping_add(offset),
                    8
                ));
            }
        }
    }

    #[test]
    fn types_of_24_bits_are_told_apart() {
        let kinds = [0, 1, 5, 0x100, 0x105, 0x1_0000, 0x50_0005, 0xff_ffff];
        for wanted in kinds {
            for kind in kinds {
                assert_eq!(accepts(&[rule(wanted, 3)], kind, 3, 8), kind == wanted);
            }
        }
        // Bits above the 24 make it a type that no message has.
        assert!(!accepts(&[rule(0x100_0005, 3)], 5, 3, 8));
    }

    #[test]
    fn info_is_compared_under_the_mask() {
        for bit in 7..32 {
            let (mask, other) = (1_u32 << bit, 1_u32 << (7 + (bit - 7 + 1) % 25));
            let set = Rule {
                info_mask: mask,
                info_filter: mask,
                ..rule(1, 0)
            };
            let clear = Rule {
                info_filter: 0,
                ..set
            };
            for length in [8, 127] {
                assert!(accepts(&[set], 1, 0, length | mask));
                assert!(accepts(&[set], 1, 0, length | mask | other));
                assert!(!accepts(&[set], 1, 0, length | other));
                assert!(!accepts(&[clear], 1, 0, length | mask));
                assert!(accepts(&[clear], 1, 0, length | other));
            }
        }
    }

    #[test]
    fn the_parts_of_a_match_come_from_one_rule() {
        let tagged = Rule {
            info_mask: 0xff00,
            info_filter: 0x0300,
            ..rule(1, 4)
        };
        let rules = [tagged, rule(2, 5)];
        assert!(accepts(&rules, 1, 4, 0x0310));
        assert!(accepts(&rules, 2, 5, 0x0410));
        assert!(!accepts(&rules, 1, 5, 0x0310));
        assert!(!accepts(&rules, 2, 4, 0x0310));
        assert!(!accepts(&rules, 1, 4, 0x0410));
    }

    #[test]
    fn sixteen_rules_and_no_more() {
        let mut filter = boxed();
        for kind in 0..16_u32 {
            assert!(filter.add(&rule(kind * 0x1001, kind as u8 * 9)));
        }
        assert!(!filter.add(&rule(99, 0)));
        for kind in 0..16_u32 {
            for subtype in 0..=255_u8 {
                let header = Header {
                    kind: kind * 0x1001,
                    subtype,
                    info: 8,
                };
                assert_eq!(filter.accepts(header), u32::from(subtype) == kind * 9);
            }
        }
    }

    #[test]
    fn subtypes_are_told_as_ranges() {
        assert!(rule(1, 31).ranges().eq([31..=31]));
        let mut rule = rule(1, 0);
        rule.subtypes = [0x8000_000f, 1, 0, 0, 0, 0, 0, 0x8000_0000];
        assert!(rule.ranges().eq([0..=3, 31..=32, 255..=255]));
        rule.subtypes = [0; 8];
        assert!(rule.ranges().next().is_none());
        rule.subtypes = [u32::MAX; 8];
        assert!(rule.ranges().eq([0..=255]));
    }

    #[test]
    fn rules_that_cannot_match_or_ask_for_a_length_are_invalid() {
        assert!(rule(1, 0).is_valid());
        let masked = |info_mask, info_filter| Rule {
            info_mask,
            info_filter,
            ..rule(1, 0)
        };
        assert!(masked(0xffff_ff80, 0x1234_5680).is_valid());
        assert!(!masked(0xff00, 0x1_0000).is_valid());
        for bit in 0..7 {
            assert!(!masked(1 << bit, 0).is_valid());
        }
    }
}

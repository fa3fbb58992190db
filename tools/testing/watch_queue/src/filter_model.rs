// SPDX-License-Identifier: GPL-2.0

//! The rule of filters as it is written down.

use crate::{
    filter::{Filter, Rule},
    note::Header,
};

/// The rule of `struct watch_notification_type_filter`, word for word.
fn matches(rule: &Rule, header: &Header) -> bool {
    let (word, bit) = (header.subtype / 32, header.subtype % 32);
    rule.kind == header.kind
        && rule.subtypes[usize::from(word)] & (1 << bit) != 0
        && header.info & rule.info_mask == rule.info_filter
}

/// Returns a subtype that a rule accepts.
fn subtype_of(rule: &Rule) -> Option<u8> {
    (0..=255_u8).find(|&bit| rule.subtypes[usize::from(bit) / 32] >> (bit % 32) & 1 != 0)
}

/// Prepares a filter of `rules`, and sees that it accepts what any of them accepts.
pub(crate) fn check(rules: &[Rule], headers: &[Header]) {
    let mut filter = Box::new(Filter::EMPTY);
    for rule in rules {
        assert!(filter.add(rule));
    }
    // One bit away from what a rule accepts
    let possible = || rules.iter().filter(|rule| rule.kind >> 24 == 0);
    let nearby = possible().flat_map(|rule| {
        subtype_of(rule).into_iter().flat_map(move |subtype| {
            (7..32).map(move |bit| Header {
                kind: rule.kind,
                subtype,
                info: (rule.info_filter | 8) ^ 1 << bit,
            })
        })
    });
    for header in headers.iter().copied().chain(nearby) {
        let wanted = rules.iter().any(|rule| matches(rule, &header));
        assert_eq!(filter.accepts(header), wanted);
        if header.kind >> 24 != 0 {
            // No message has such a type.
            continue;
        }
        // The first look compares one byte of the type.
        let [b0, b1, b2, b3, ..] = header.to_bytes();
        let has_candidate = rules.iter().any(|rule| {
            let (word, bit) = (header.subtype / 32, header.subtype % 32);
            rule.kind >> 24 == 0
                && rule.kind as u8 == header.kind as u8
                && rule.subtypes[usize::from(word)] & (1 << bit) != 0
        });
        // The second one compares the bits of `info` of which all rules want the same.
        let is_agreed_on = |bit: u32| {
            rules.iter().all(|rule| {
                rule.info_mask & bit != 0 && (rule.info_filter ^ rules[0].info_filter) & bit == 0
            })
        };
        let is_wrong = (0..32).map(|bit| 1_u32 << bit).any(|bit| {
            !rules.is_empty()
                && is_agreed_on(bit)
                && (header.info ^ rules[0].info_filter) & bit != 0
        });
        let first_word = u32::from_ne_bytes([b0, b1, b2, b3]);
        let rejects = filter.rejects(first_word, || header.info);
        assert_eq!(rejects, !has_candidate || is_wrong);
    }
    // and those that are made to match
    for rule in possible() {
        if let Some(subtype) = subtype_of(rule) {
            assert!(filter.accepts(Header {
                kind: rule.kind,
                subtype,
                info: rule.info_filter | 8,
            }));
        }
    }
}

// SPDX-License-Identifier: GPL-2.0

//! The prepared filter against the rule as it is written down.

use crate::{
    filter::{Filter, Rule, MAX_RULES},
    note::Header,
};
use proptest::prelude::*;

/// The rule of `struct watch_notification_type_filter`, word for word.
fn matches(rule: &Rule, header: &Header) -> bool {
    let (word, bit) = (header.subtype / 32, header.subtype % 32);
    rule.kind == header.kind
        && rule.subtypes[usize::from(word)] & (1 << bit) != 0
        && header.info & rule.info_mask == rule.info_filter
}

/// Numbers that are often equal, or nearly so, to one another.
fn word(bits: u32) -> impl Strategy<Value = u32> {
    let mask = ((1_u64 << bits) - 1) as u32;
    prop_oneof![
        Just(0),
        Just(mask),
        (0..bits).prop_map(|bit| 1 << bit),
        (0_u32..4),
        any::<u32>().prop_map(move |word| word & mask),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    let info = (word(32), word(32)).prop_map(|(mask, filter)| {
        let mask = mask & !0x7f;
        (mask, filter & mask)
    });
    (word(24), info, prop::array::uniform8(word(32))).prop_map(
        |(kind, (mask, filter), subtypes)| Rule {
            kind,
            info_mask: mask,
            info_filter: filter,
            subtypes,
        },
    )
}

fn header() -> impl Strategy<Value = Header> {
    (word(24), word(8), word(32)).prop_map(|(kind, subtype, info)| Header {
        kind,
        subtype: subtype as u8,
        info,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_prepared_filter_accepts_what_any_rule_accepts(
        rules in prop::collection::vec(rule(), 0..=MAX_RULES),
        headers in prop::collection::vec(header(), 1..20),
    ) {
        let mut filter = Box::new(Filter::EMPTY);
        for rule in &rules {
            prop_assert!(rule.is_valid());
            prop_assert!(filter.add(rule));
        }
        for header in headers {
            let wanted = rules.iter().any(|rule| matches(rule, &header));
            prop_assert_eq!(filter.accepts(header), wanted);
        }
        // and those that are made to match
        for rule in &rules {
            let subtype = (0..=255_u8).find(|&bit| {
                rule.subtypes[usize::from(bit) / 32] >> (bit % 32) & 1 != 0
            });
            if let Some(subtype) = subtype {
                let header = Header { kind: rule.kind, subtype, info: rule.info_filter | 8 };
                prop_assert!(filter.accepts(header));
            }
        }
        prop_assert_eq!(filter.rules().collect::<Vec<_>>(), rules);
    }
}

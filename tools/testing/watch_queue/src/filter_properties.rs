// SPDX-License-Identifier: GPL-2.0

//! The prepared filter against the rule as it is written down.

use crate::{
    filter::{Rule, MAX_RULES},
    filter_model::check,
    note::Header,
};
use proptest::prelude::*;

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
        prop_assert!(rules.iter().all(Rule::is_valid));
        check(&rules, &headers);
    }
}

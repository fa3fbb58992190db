// SPDX-License-Identifier: GPL-2.0

//! The entry points of the fuzzer, which make rules, messages and steps from bytes.

use crate::{
    filter::{Rule, MAX_RULES},
    filter_model,
    note::{Header, Note, MAX_LEN, MIN_LEN},
    ring_model::{self, Step},
};

/// Takes words off the front of `data`; they are zero where it ends.
struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn next<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        let take = N.min(self.0.len());
        bytes[..take].copy_from_slice(&self.0[..take]);
        self.0 = &self.0[take..];
        bytes
    }

    fn word(&mut self) -> u32 {
        u32::from_le_bytes(self.next())
    }

    fn short(&mut self) -> usize {
        usize::from(u16::from_le_bytes(self.next()))
    }
}

/// Rules as userspace gives them, and headers to match.
pub fn filter(data: &[u8]) {
    let mut words = Words(data);
    let nr_rules = words.short() % (MAX_RULES + 1);
    let rules: Vec<_> = (0..nr_rules)
        .map(|_| {
            let info_mask = words.word();
            Rule {
                kind: words.word() & 0x1ff_ffff,
                info_mask,
                info_filter: words.word() & info_mask,
                subtypes: std::array::from_fn(|_| words.word()),
            }
        })
        .filter(Rule::is_valid)
        .collect();
    let mut headers = Vec::new();
    while !words.0.is_empty() {
        headers.push(Header::from_words(words.word(), words.word()));
    }
    filter_model::check(&rules, &headers);
}

/// Bytes as a message, and steps for a ring.
pub fn ring(data: &[u8]) {
    if let Some(note) = Note::new(data) {
        assert!((MIN_LEN..=MAX_LEN).contains(&note.bytes().len()));
    }
    let mut words = Words(data);
    let capacity = 1 + words.short() as u32 % 6;
    let mut steps = Vec::new();
    while !words.0.is_empty() {
        let [what] = words.next();
        steps.push(match what % 8 {
            0..=3 => Step::Post(MIN_LEN + usize::from(what >> 1) % (MAX_LEN - MIN_LEN + 1)),
            4 | 5 => Step::Read(words.short()),
            6 => Step::Fault(words.short() % 2048, words.short() % 2048),
            _ if what >> 6 == 3 => Step::ReadPartOfLoss(1 + u16::from(what >> 3) % 3),
            _ if what >> 6 == 2 => Step::LoseMore(words.word()),
            _ => Step::ReadLossWhilePosting(u32::from(what >> 3) % 3),
        });
    }
    ring_model::check(capacity, &steps);
}

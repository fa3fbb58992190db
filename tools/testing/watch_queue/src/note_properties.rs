// SPDX-License-Identifier: GPL-2.0

//! Messages of every length, at every alignment.

use crate::note::{Note, LENGTH_OFFSET, MAX_LEN, MIN_LEN};

/// The bytes around a copy.
const CANARY: u8 = 0xa5;

/// How far the copies are from the start of an aligned buffer, at most.
const WORD: usize = size_of::<u64>();

/// Memory that begins at a word, with room for canaries on both sides of a copy.
#[derive(Clone)]
#[repr(align(8))]
struct Buffer([u8; 2 * WORD + MAX_LEN + WORD]);

#[test]
fn a_copy_is_the_message_and_nothing_around_it_at_every_length_and_alignment() {
    for length in MIN_LEN..=MAX_LEN {
        for from in 0..WORD {
            // No byte is a canary, and each is unlike its neighbours.
            let mut source = Buffer([CANARY; 2 * WORD + MAX_LEN + WORD]);
            for (at, byte) in source.0[from..from + length].iter_mut().enumerate() {
                *byte = (at as u8).wrapping_mul(37) & 0x5f;
            }
            source.0[from + LENGTH_OFFSET] = length as u8;
            let note = Note::new(&source.0[from..from + length]).unwrap();
            for to in 0..WORD {
                let (start, mut copy) = (WORD + to, Buffer([CANARY; 2 * WORD + MAX_LEN + WORD]));
                let mut wanted = copy.clone();
                wanted.0[start..start + length].copy_from_slice(note.bytes());
                // SAFETY: There is room for the longest message behind the last place to start.
                unsafe { note.copy_to(copy.0[start..start + length].as_mut_ptr()) };
                assert!(copy.0 == wanted.0, "{length} bytes, from {from} to {to}");
            }
        }
    }
}

// SPDX-License-Identifier: GPL-2.0

//! The functions of the ring of which dev/weak-ordering reads the assembly.

#![no_std]

#[path = "../../../../../note.rs"]
mod note;
#[path = "../../../../../ring/overflow.rs"]
mod overflow;
#[path = "../../../../../ring.rs"]
mod ring;

mod platform;

use note::Note;
use overflow::{Counted, Overflow};
use ring::{Next, Poster, Reader};

#[no_mangle]
fn post(poster: &mut Poster, note: Note<'_>, overflow: &Overflow) -> bool {
    poster.post(note, overflow).is_ok()
}

#[no_mangle]
fn next(reader: &mut Reader, room: usize) -> usize {
    match reader.next(room) {
        Next::Notes(batch) => batch.span().bytes(),
        _ => 0,
    }
}

#[no_mangle]
fn count(overflow: &Overflow) -> bool {
    overflow.is_on() && overflow.count() != Counted::TooLate
}

#[no_mangle]
fn settle(poster: &mut Poster, overflow: &Overflow) {
    poster.settle(overflow);
}

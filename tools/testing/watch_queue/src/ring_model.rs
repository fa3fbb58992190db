// SPDX-License-Identifier: GPL-2.0

//! The ring against a model: a list of what is to be read, in order.

use crate::{
    note::{Header, Note, MIN_LEN},
    overflow::Overflow,
    ring::{split, Next, Poster, Reader},
};
use std::collections::VecDeque;

/// A message of `length` bytes that is unlike the one before it.
pub(crate) fn message(length: usize, number: u32) -> Vec<u8> {
    let header = Header {
        kind: number & 0xff_ffff,
        subtype: (number >> 3) as u8,
        info: length as u32,
    };
    let mut bytes = header.to_bytes().to_vec();
    bytes.extend((MIN_LEN..length).map(|at| (at as u32 ^ number) as u8));
    bytes
}

#[derive(Debug, PartialEq)]
enum Item {
    Message(Vec<u8>),
    Loss(u32),
}

/// What the ring is to be like.
pub(crate) struct Model {
    capacity: usize,
    items: VecDeque<Item>,
}

impl Model {
    fn post(&mut self, bytes: Vec<u8>) -> bool {
        let messages = self
            .items
            .iter()
            .filter(|item| matches!(item, Item::Message(_)))
            .count();
        if messages < self.capacity {
            self.items.push_back(Item::Message(bytes));
            return true;
        }
        match self.items.back_mut() {
            Some(Item::Loss(lost)) => *lost += 1,
            _ => self.items.push_back(Item::Loss(1)),
        }
        false
    }
}

/// One thing to do with a ring.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Post a message of so many bytes.
    Post(usize),
    /// Read into so many bytes.
    Read(usize),
    /// Read, with only some of it copied before a fault.
    Fault(usize, usize),
    /// More is posted while a reader is being told of a loss.
    ReadLossWhilePosting(u32),
}

struct Ring {
    poster: Poster,
    overflow: Overflow,
    reader: Reader,
    number: u32,
}

impl Ring {
    fn post(&mut self, model: &mut Model, length: usize) {
        self.number += 1;
        let bytes = message(length, self.number);
        let note = Note::new(&bytes).unwrap();
        let accepted = !self.overflow.count() && self.poster.post(note, &self.overflow).is_ok();
        assert_eq!(accepted, model.post(bytes));
    }

    /// Reads messages into `room` of which at most `copied` bytes get through.
    fn read(&mut self, model: &mut Model, room: usize, copied: usize) {
        self.poster.settle(&self.overflow);
        match self.reader.next(room) {
            Next::Notes(span) => {
                let (first, second) = self.reader.pieces(span);
                let bytes = [first, second].concat();
                assert_eq!(bytes.len(), span.bytes());
                assert!(bytes.len() <= room);
                let span = if copied < bytes.len() {
                    self.reader.whole_notes(span, copied)
                } else {
                    span
                };
                let mut rest = &bytes[..span.bytes()];
                while !rest.is_empty() {
                    let Some(Item::Message(wanted)) = model.items.pop_front() else {
                        panic!("a message where there is none");
                    };
                    let (message, behind) = rest.split_at(wanted.len());
                    assert_eq!(message, wanted);
                    rest = behind;
                }
                self.reader.consume(&mut self.poster, span);
            }
            Next::Loss(lost) => {
                assert_eq!(model.items.pop_front(), Some(Item::Loss(lost)));
                self.reader.deliver_loss(&mut self.poster, lost);
            }
            Next::TooLarge => match model.items.front() {
                Some(Item::Message(bytes)) => assert!(bytes.len() > room),
                other => panic!("too large: {other:?}"),
            },
            Next::Nothing => match self.poster.pending_loss() {
                0 => assert!(model.items.is_empty()),
                lost => {
                    assert_eq!(model.items.pop_front(), Some(Item::Loss(lost)));
                    self.reader.deliver_loss(&mut self.poster, lost);
                }
            },
        }
    }

    /// Has `posts` posts come between a reader's finding a loss and its delivery.
    fn read_loss_while_posting(&mut self, model: &mut Model, posts: u32) {
        self.poster.settle(&self.overflow);
        let lost = match self.reader.next(0) {
            Next::Loss(lost) => lost,
            Next::Nothing => self.poster.pending_loss(),
            _ => 0,
        };
        if lost == 0 {
            return;
        }
        // What is posted now comes behind the loss, or adds to it.
        for _ in 0..posts {
            self.post(model, MIN_LEN);
        }
        match model.items.front_mut() {
            Some(Item::Loss(there)) if *there > lost => *there -= lost,
            Some(Item::Loss(there)) if *there == lost => drop(model.items.pop_front()),
            other => panic!("no loss: {other:?}"),
        }
        self.poster.settle(&self.overflow);
        self.reader.deliver_loss(&mut self.poster, lost);
    }
}

/// Does `steps` with a ring for `capacity` messages, and sees that it is like the model.
pub(crate) fn check(capacity: u32, steps: &[Step]) {
    let (poster, reader) = split(capacity).unwrap();
    let mut model = Model {
        capacity: capacity as usize,
        items: VecDeque::new(),
    };
    let mut ring = Ring {
        poster,
        overflow: Overflow::new(),
        reader,
        number: 0,
    };
    for step in steps {
        match *step {
            Step::Post(length) => ring.post(&mut model, length),
            Step::Read(room) => ring.read(&mut model, room, usize::MAX),
            Step::Fault(room, copied) => ring.read(&mut model, room, copied),
            Step::ReadLossWhilePosting(posts) => ring.read_loss_while_posting(&mut model, posts),
        }
        let pending: usize = model
            .items
            .iter()
            .map(|item| match item {
                Item::Message(bytes) => bytes.len(),
                Item::Loss(_) => MIN_LEN,
            })
            .sum();
        assert_eq!(ring.poster.pending_bytes(), pending);
        assert_eq!(ring.poster.is_readable(), pending != 0);
    }
    while !model.items.is_empty() {
        ring.read(&mut model, 100_000, usize::MAX);
    }
    assert!(!ring.poster.is_readable());
}

// SPDX-License-Identifier: GPL-2.0

//! The ring against a model: a list of what is to be read, in order.

use crate::{
    note::{Header, Note, MAX_LEN, MIN_LEN},
    ring::{split, Next, Poster, Reader},
};
use proptest::prelude::*;
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
struct Model {
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

#[derive(Clone, Debug)]
enum Step {
    Post(usize),
    Read(usize),
    /// Read, with only some of it copied before a fault.
    Fault(usize, usize),
    /// More is posted while a reader is being told of a loss.
    ReadLossWhilePosting(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (MIN_LEN..=MAX_LEN).prop_map(Step::Post),
        3 => prop_oneof![Just(0), 1..300_usize, Just(100_000)].prop_map(Step::Read),
        1 => (0..2000_usize, 0..2000_usize).prop_map(|(room, copied)| Step::Fault(room, copied)),
        1 => (0..3_u32).prop_map(Step::ReadLossWhilePosting),
    ]
}

struct Ring {
    poster: Poster,
    reader: Reader,
    number: u32,
}

impl Ring {
    fn post(&mut self, model: &mut Model, length: usize) {
        self.number += 1;
        let bytes = message(length, self.number);
        let accepted = self.poster.post(Note::new(&bytes).unwrap()).is_ok();
        assert_eq!(accepted, model.post(bytes));
    }

    /// Reads messages into `room` of which at most `copied` bytes get through.
    fn read(&mut self, model: &mut Model, room: usize, copied: usize) {
        match self.reader.next(room) {
            Next::Notes(span) => {
                let (first, second) = self.reader.pieces(&span);
                let bytes = [first, second].concat();
                assert_eq!(bytes.len(), span.bytes());
                assert!(bytes.len() <= room);
                let span = if copied < bytes.len() {
                    self.reader.whole_notes(&span, copied)
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
            Next::Nothing => match self.reader.pending_loss(&self.poster) {
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
        let lost = match self.reader.next(0) {
            Next::Loss(lost) => lost,
            Next::Nothing => self.reader.pending_loss(&self.poster),
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
        self.reader.deliver_loss(&mut self.poster, lost);
    }
}

fn check(capacity: u32, steps: &[Step]) {
    let (poster, reader) = split(capacity).unwrap();
    let mut model = Model {
        capacity: capacity as usize,
        items: VecDeque::new(),
    };
    let mut ring = Ring {
        poster,
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
        assert_eq!(ring.reader.pending_bytes(&ring.poster), pending);
        assert_eq!(ring.poster.is_readable(), pending != 0);
    }
    while !model.items.is_empty() {
        ring.read(&mut model, 100_000, usize::MAX);
    }
    assert!(!ring.poster.is_readable());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_ring_is_like_the_model(
        capacity in 1..6_u32,
        steps in prop::collection::vec(step(), 0..400),
    ) {
        check(capacity, &steps);
    }
}

#[test]
fn a_ring_holds_as_many_of_the_longest_messages_as_it_was_made_for() {
    let mut steps = vec![Step::Post(MAX_LEN); 40];
    steps.push(Step::Read(100_000));
    for _ in 0..100 {
        check(32, &steps);
    }
}

#[test]
fn without_a_ring_everything_is_lost_and_the_next_ring_inherits_that() {
    let mut before = Poster::unsized_yet();
    let reader = Reader::unsized_yet();
    let bytes = message(16, 1);
    for _ in 0..3 {
        assert!(before.post(Note::new(&bytes).unwrap()).is_err());
    }
    assert!(before.is_readable());
    assert_eq!(reader.next(100), Next::Nothing);
    assert_eq!(reader.pending_loss(&before), 3);

    let (mut poster, mut reader) = split(2).unwrap();
    poster.inherit(&before);
    assert!(poster.post(Note::new(&bytes).unwrap()).is_ok());
    assert_eq!(reader.next(100), Next::Loss(3));
    reader.deliver_loss(&mut poster, 3);
    assert!(matches!(reader.next(100), Next::Notes(_)));
}

#[test]
fn halves_of_different_rings_have_nothing_to_do_with_each_other() {
    let (mut one, mut reader) = split(2).unwrap();
    let (mut other, _) = split(2).unwrap();
    let bytes = message(16, 1);
    one.post(Note::new(&bytes).unwrap()).unwrap();
    other.post(Note::new(&bytes).unwrap()).unwrap();
    let Next::Notes(span) = reader.next(100) else {
        panic!("no message");
    };
    reader.consume(&mut other, span);
    assert!(other.is_readable());
    assert!(matches!(reader.next(100), Next::Notes(_)));
}

#[test]
fn positions_wrap_around() {
    // Far enough for the count of messages to pass 2^16, and for a small ring to wrap often.
    let (poster, reader) = split(3).unwrap();
    let mut model = Model {
        capacity: 3,
        items: VecDeque::new(),
    };
    let mut ring = Ring {
        poster,
        reader,
        number: 0,
    };
    for round in 0..100_000_usize {
        ring.post(&mut model, MIN_LEN + round % (MAX_LEN - MIN_LEN + 1));
        if round % 3 != 0 {
            ring.read(&mut model, 1000, usize::MAX);
        }
    }
}

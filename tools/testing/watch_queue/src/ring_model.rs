// SPDX-License-Identifier: GPL-2.0

//! The ring against a model: a list of what is to be read, in order.

use crate::{
    note::{Header, Note, MAX_LOST, MIN_LEN},
    overflow::{Counted, Overflow},
    ring::{split, Mark, Next, Poster, Reader, Totals},
};
use std::collections::VecDeque;

/// Counts a message without the lock if losses are counted so, as the queue does, and returns
/// whether it is lost.
pub(crate) fn count(overflow: &Overflow, poster: &mut Poster) -> bool {
    if !overflow.is_on() {
        return false;
    }
    let counted = overflow.count();
    if counted == Counted::LostAndMustSettle {
        poster.settle(overflow);
    }
    counted.is_lost()
}

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
    Loss(u64),
}

/// A model of the ring.
pub(crate) struct Model {
    capacity: usize,
    items: VecDeque<Item>,
    delivered: u64,
    lost: u64,
    /// The number of messages that were read, or of which a record of a loss was.
    read: u64,
}

impl Model {
    fn messages(&self) -> usize {
        let is_message = |item: &&Item| matches!(item, Item::Message(_));
        self.items.iter().filter(is_message).count()
    }

    /// Takes off what the record of a loss says.
    fn report(&mut self, lost: u16) {
        self.read += u64::from(lost);
        match self.items.front_mut() {
            Some(Item::Loss(there)) if *there > u64::from(lost) => *there -= u64::from(lost),
            Some(Item::Loss(there)) if *there == u64::from(lost) => drop(self.items.pop_front()),
            other => panic!("no loss: {other:?}"),
        }
    }

    /// Returns what the record of a loss has to say, if that is next.
    fn first_record(&self) -> u16 {
        match self.items.front() {
            Some(Item::Loss(lost)) => u16::try_from(*lost).unwrap_or(MAX_LOST),
            _ => 0,
        }
    }

    fn post(&mut self, bytes: Vec<u8>) -> bool {
        if self.messages() < self.capacity {
            self.items.push_back(Item::Message(bytes));
            self.delivered += 1;
            return true;
        }
        self.lost += 1;
        match self.items.back_mut() {
            Some(Item::Loss(lost)) => *lost += 1,
            _ => self.items.push_back(Item::Loss(1)),
        }
        false
    }
}

/// One thing to do with a ring.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Post a message of so many bytes.
    Post(usize),
    /// Read into so many bytes.
    Read(usize),
    /// Read, with only some of it copied before a fault.
    Fault(usize, usize),
    /// Messages are posted while a reader gets the record of a loss.
    ReadLossWhilePosting(u32),
    /// Read a loss, of which at most so many fit into the record.
    ReadPartOfLoss(u16),
    /// Lose so many more, if something is lost at the end.
    LoseMore(u32),
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
        let accepted = !count(&self.overflow, &mut self.poster)
            && self.poster.post(note, &self.overflow).is_ok();
        assert_eq!(accepted, model.post(bytes));
    }

    /// Reads messages into `room` of which at most `copied` bytes get through.
    fn read(&mut self, model: &mut Model, room: usize, copied: usize) {
        self.poster.settle(&self.overflow);
        match self.reader.next(room) {
            Next::Notes(batch) => {
                let (first, second) = batch.pieces();
                let bytes = [first, second].concat();
                assert_eq!(bytes.len(), batch.span().bytes());
                assert!(bytes.len() <= room);
                let batch = if copied < bytes.len() {
                    batch.truncate(copied)
                } else {
                    batch
                };
                let mut rest = &bytes[..batch.span().bytes()];
                while !rest.is_empty() {
                    let Some(Item::Message(wanted)) = model.items.pop_front() else {
                        panic!("a message where there is none");
                    };
                    let (message, behind) = rest.split_at(wanted.len());
                    assert_eq!(message, wanted);
                    model.read += 1;
                    rest = behind;
                }
                if copied < bytes.len() {
                    let left = copied.checked_sub(batch.span().bytes());
                    match model.items.front() {
                        Some(Item::Message(next)) => assert!(left.unwrap() < next.len()),
                        other => panic!("got through in part: {other:?}"),
                    }
                }
                let was_full = self.poster.is_full();
                let made_room = batch.consume(&mut self.poster);
                assert_eq!(made_room, was_full);
            }
            Next::Loss(lost) => self.read_loss(model, lost),
            Next::TooLarge => match model.items.front() {
                Some(Item::Message(bytes)) => assert!(bytes.len() > room),
                other => panic!("too large: {other:?}"),
            },
            Next::Nothing => match self.poster.pending_loss() {
                0 => assert!(model.items.is_empty()),
                lost => self.read_loss(model, lost),
            },
        }
    }

    fn read_loss(&mut self, model: &mut Model, lost: u16) {
        assert_eq!(lost, model.first_record());
        model.report(lost);
        self.reader.report_loss(&mut self.poster, lost);
    }

    /// Has a record of a loss say `most` at most.
    fn read_part_of_loss(&mut self, model: &mut Model, most: u16) {
        self.poster.settle(&self.overflow);
        let lost = match self.reader.next(0) {
            Next::Loss(lost) => lost,
            Next::Nothing => self.poster.pending_loss(),
            _ => return,
        };
        assert_eq!(lost, model.first_record());
        if lost == 0 {
            return;
        }
        let part = lost.min(most);
        model.report(part);
        self.reader.report_loss(&mut self.poster, part);
    }

    /// Loses `more` messages, for which it would take long to post them.
    fn lose_more(&mut self, model: &mut Model, more: u32) {
        if let Some(Item::Loss(lost)) = model.items.back_mut() {
            *lost += u64::from(more);
            model.lost += u64::from(more);
            self.poster.settle(&self.overflow);
            self.poster
                .pretend_lost(self.poster.lost() + u64::from(more));
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
        model.report(lost);
        self.poster.settle(&self.overflow);
        self.reader.report_loss(&mut self.poster, lost);
    }
}

/// How often what counts in a ring has wrapped around.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Wraps {
    /// The number of messages in a place.
    pub(crate) messages: u32,
    /// The number of bytes in a place.
    pub(crate) bytes: u32,
}

/// Does `steps` with a ring for `capacity` messages, and sees that it is like the model.
pub(crate) fn check(capacity: u32, steps: &[Step]) -> Wraps {
    let (poster, reader) = split(capacity).unwrap();
    let mut model = Model {
        capacity: capacity as usize,
        items: VecDeque::new(),
        delivered: 0,
        lost: 0,
        read: 0,
    };
    let mut ring = Ring {
        poster,
        overflow: Overflow::new(),
        reader,
        number: 0,
    };
    let mut wraps = Wraps::default();
    // Some that are not passed yet, with what was posted in front of each.
    let mut marks: VecDeque<(Mark, u64)> = VecDeque::new();
    for step in steps {
        let end = ring.poster.head();
        match *step {
            Step::Post(length) => ring.post(&mut model, length),
            Step::Read(room) => ring.read(&mut model, room, usize::MAX),
            Step::Fault(room, copied) => ring.read(&mut model, room, copied),
            Step::ReadLossWhilePosting(posts) => ring.read_loss_while_posting(&mut model, posts),
            Step::ReadPartOfLoss(most) => ring.read_part_of_loss(&mut model, most),
            Step::LoseMore(more) => ring.lose_more(&mut model, more),
        }
        let pending: u64 = model
            .items
            .iter()
            .map(|item| match item {
                Item::Message(bytes) => bytes.len() as u64,
                Item::Loss(lost) => lost.div_ceil(MAX_LOST.into()) * MIN_LEN as u64,
            })
            .sum();
        ring.poster.settle(&ring.overflow);
        assert_eq!(ring.poster.pending_bytes(), pending);
        assert_eq!(ring.poster.is_readable(), pending != 0);
        let messages = model.messages();
        assert_eq!(ring.poster.queued() as usize, messages);
        assert_eq!(ring.poster.is_full(), messages == model.capacity);
        assert_eq!(ring.poster.capacity(), capacity);
        let behind = match model.items.back() {
            Some(Item::Loss(lost)) => *lost,
            _ => 0,
        };
        assert_eq!(ring.poster.lost(), behind);
        let totals = Totals {
            delivered: model.delivered,
            lost: model.lost,
        };
        assert_eq!(ring.poster.totals(), totals);
        for (mark, posted) in &marks {
            assert_eq!(ring.poster.is_past(mark), model.read >= *posted);
        }
        marks.retain(|(mark, _)| !ring.poster.is_past(mark));
        if marks.len() < 16 {
            marks.push_back((ring.poster.mark(), model.delivered + model.lost));
        }
        let now = ring.poster.head();
        wraps.messages += u32::from(now.0 < end.0);
        wraps.bytes += u32::from(now.1 < end.1);
    }
    while !model.items.is_empty() {
        ring.read(&mut model, 100_000, usize::MAX);
    }
    assert!(!ring.poster.is_readable());
    assert!(marks.iter().all(|(mark, _)| ring.poster.is_past(mark)));
    wraps
}

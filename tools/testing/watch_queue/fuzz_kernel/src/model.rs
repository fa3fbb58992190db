// SPDX-License-Identifier: GPL-2.0

//! The oracle of programs that run on one thread: what is in each queue, as in `model_test.c`.
//!
//! A queue is known until something happens to it of which this does not know, such as a message
//! of another source than the test's.

use std::collections::{HashMap, VecDeque};

/// The messages in a page
const MESSAGES_PER_PAGE: u64 = 32;
/// The most that a record of a loss counts
const MAX_LOST: u64 = 65535;
const HEADER: usize = 8;

const META: u32 = 0;
const REMOVAL: u8 = 0;
const LOSS: u8 = 1;

enum Item {
    Message(Vec<u8>),
    Loss(u64),
}

impl Item {
    fn next_size(&self) -> usize {
        match self {
            Item::Message(bytes) => bytes.len(),
            Item::Loss(_) => HEADER,
        }
    }

    fn size(&self) -> u64 {
        match self {
            Item::Message(bytes) => bytes.len() as u64,
            Item::Loss(lost) => lost.div_ceil(MAX_LOST) * HEADER as u64,
        }
    }
}

#[derive(Clone)]
pub struct Rule {
    pub kind: u32,
    pub info_filter: u32,
    pub info_mask: u32,
    pub subtypes: [u32; 8],
}

impl Rule {
    fn accepts(&self, kind: u32, subtype: u8, info: u32) -> bool {
        self.kind == kind
            && self.subtypes[usize::from(subtype / 32)] >> (subtype % 32) & 1 == 1
            && info & self.info_mask == self.info_filter
    }

    fn is_valid(&self) -> bool {
        self.info_filter & !self.info_mask == 0 && self.info_mask & 0x7f == 0
    }
}

#[derive(Default)]
struct Queue {
    unknown: bool,
    capacity: u64,
    messages: u64,
    items: VecDeque<Item>,
    rules: Option<Vec<Rule>>,
}

impl Queue {
    fn put(&mut self, bytes: impl FnOnce() -> Vec<u8>) {
        if self.messages < self.capacity {
            self.messages += 1;
            self.items.push_back(Item::Message(bytes()));
        } else if let Some(Item::Loss(lost)) = self.items.back_mut() {
            *lost += 1;
        } else {
            self.items.push_back(Item::Loss(1));
        }
    }

    fn remove_watch(&mut self, tag: u64, id: u64) {
        self.put(|| {
            let length = if id == 0 { 8 } else { 16 };
            let mut bytes = header(META, REMOVAL, (tag as u32) << 8 | length);
            if id != 0 {
                bytes.extend(id.to_ne_bytes());
            }
            bytes
        });
    }
}

fn header(kind: u32, subtype: u8, info: u32) -> Vec<u8> {
    let mut bytes = (kind | u32::from(subtype) << 24).to_ne_bytes().to_vec();
    bytes.extend(info.to_ne_bytes());
    bytes
}

/// A message that is posted.
pub struct Post {
    pub id: u64,
    pub kind: u32,
    pub subtype: u8,
    pub info: u32,
    pub length: usize,
    pub count: u32,
    pub numbered: bool,
    pub message: [u8; 128],
}

pub const POSTER: u32 = 7;

/// By a number each, queues and test sources
#[derive(Default)]
pub struct Model {
    queues: HashMap<u32, Queue>,
    /// Source, queue and id, and the tag
    watches: HashMap<(u32, u32, u64), u64>,
    /// Whether all that is opened is unknown from the beginning
    blind: bool,
}

type Verdict = Result<(), String>;

fn claim(holds: bool, what: impl FnOnce() -> String) -> Verdict {
    if holds {
        Ok(())
    } else {
        Err(what())
    }
}

impl Model {
    /// A model that knows nothing, for programs that run on two threads
    pub fn blind() -> Self {
        Self {
            blind: true,
            ..Self::default()
        }
    }

    pub fn open(&mut self, queue: u32) {
        let unknown = self.blind;
        self.queues.insert(
            queue,
            Queue {
                unknown,
                ..Queue::default()
            },
        );
    }

    /// Something unknown happens to a queue.
    pub fn lose_sight(&mut self, queue: u32) {
        if let Some(queue) = self.queues.get_mut(&queue) {
            queue.unknown = true;
        }
    }

    pub fn lose_sight_of_all(&mut self) {
        self.blind = true;
        self.queues
            .values_mut()
            .for_each(|queue| queue.unknown = true);
    }

    pub fn knows(&self, queue: u32) -> bool {
        self.queues.get(&queue).is_some_and(|queue| !queue.unknown)
    }

    fn known(&mut self, queue: u32) -> Option<&mut Queue> {
        self.queues.get_mut(&queue).filter(|queue| !queue.unknown)
    }

    pub fn size(&mut self, queue: u32, wanted: u64, result: i64) -> Verdict {
        let Some(queue) = self.known(queue) else {
            return Ok(());
        };
        match result as i32 {
            0 => {
                claim(queue.capacity == 0, || "a size was set twice".into())?;
                claim(wanted != 0 && wanted < 1 << 24, || {
                    format!("a size of {wanted}")
                })?;
                queue.capacity = wanted.next_multiple_of(MESSAGES_PER_PAGE);
                Ok(())
            }
            e if e == -libc::EBUSY => claim(queue.capacity != 0, || {
                "a queue without a size has one".into()
            }),
            _ => Ok(()),
        }
    }

    pub fn filter(&mut self, queue: u32, rules: Option<Vec<Rule>>, result: i64) -> Verdict {
        let Some(queue) = self.known(queue) else {
            return Ok(());
        };
        if result != 0 {
            return Ok(());
        }
        if let Some(rules) = &rules {
            let is_valid = (1..=16).contains(&rules.len()) && rules.iter().all(Rule::is_valid);
            claim(is_valid, || "a filter was accepted that is none".into())?;
        }
        queue.rules = rules;
        Ok(())
    }

    pub fn attach(&mut self, source: u32, queue: u32, id: u64, tag: u64, result: i64) -> Verdict {
        let watch = (source, queue, id);
        let is_known = self.known(queue).is_some();
        match result as i32 {
            0 => {
                let before = self.watches.insert(watch, tag);
                claim(before.is_none() || !is_known, || {
                    "a watch was added twice".into()
                })
            }
            e if e == -libc::EBUSY => claim(self.watches.contains_key(&watch) || !is_known, || {
                "there is a watch that was not added".into()
            }),
            _ => Ok(()),
        }
    }

    pub fn detach(&mut self, source: u32, queue: u32, id: u64, result: i64) -> Verdict {
        let watch = (source, queue, id);
        let is_known = self.known(queue).is_some();
        match result as i32 {
            0 => {
                let before = self.watches.remove(&watch);
                claim(before.is_some() || !is_known, || {
                    "a watch was removed that was not there".into()
                })?;
                if let (Some(tag), Some(queue)) = (before, self.known(queue)) {
                    queue.remove_watch(tag, id);
                }
                Ok(())
            }
            e if e == -libc::EBADSLT => {
                claim(!self.watches.contains_key(&watch) || !is_known, || {
                    "a watch that was added is not there".into()
                })
            }
            _ => Ok(()),
        }
    }

    /// All watches of a source go.
    pub fn detach_all(&mut self, source: u32, id: u64) {
        let gone: Vec<_> = self
            .watches
            .iter()
            .filter(|((of, _, _), _)| *of == source)
            .map(|(watch, tag)| (*watch, *tag))
            .collect();
        for (watch, tag) in &gone {
            self.watches.remove(watch);
            // In which order they go is not said.
            if gone.iter().filter(|(other, _)| other.1 == watch.1).count() > 1 {
                self.lose_sight(watch.1);
            }
            if let Some(queue) = self.known(watch.1) {
                queue.remove_watch(*tag, id);
            }
        }
    }

    pub fn post(&mut self, source: u32, post: &Post) {
        let Self {
            queues, watches, ..
        } = self;
        for ((from, to, id), tag) in watches.iter() {
            if *from != source || *id != post.id {
                continue;
            }
            let Some(queue) = queues.get_mut(to).filter(|queue| !queue.unknown) else {
                continue;
            };
            let info = post.info & !0xff7f | (*tag as u32) << 8 | post.length as u32;
            let accepted = queue.rules.as_ref().is_none_or(|rules| {
                rules
                    .iter()
                    .any(|rule| rule.accepts(post.kind, post.subtype, info))
            });
            if !accepted {
                continue;
            }
            for number in 0..post.count {
                queue.put(|| post.bytes(info, number));
            }
        }
    }

    /// Checks what was read with room for so many bytes; or the error.
    pub fn read(&mut self, queue: u32, room: usize, result: i64, bytes: &[u8]) -> Verdict {
        let Some(queue) = self.known(queue) else {
            return Ok(());
        };
        let first = queue.items.front().map(Item::next_size);
        match (-result) as i32 {
            libc::EAGAIN | libc::EINTR => {
                return claim(first.is_none() || room == 0, || {
                    "nothing is there to read, where there should be".into()
                })
            }
            libc::ENOBUFS => {
                return claim(first.is_some_and(|first| first > room), || {
                    format!("room for {room} bytes is not enough, of {first:?}")
                })
            }
            1.. => return Ok(()),
            _ => {}
        }
        let mut done = 0;
        if room > 0 {
            while let Some(next) = queue.items.front_mut() {
                let size = next.next_size();
                if size > room - done {
                    break;
                }
                let got = bytes.get(done..done + size);
                match next {
                    Item::Message(bytes) => {
                        claim(got == Some(bytes), || {
                            format!("{got:02x?} was read for {bytes:02x?}")
                        })?;
                        queue.messages -= 1;
                        queue.items.pop_front();
                    }
                    Item::Loss(lost) => {
                        let counted = (*lost).min(MAX_LOST);
                        let wanted = header(META, LOSS, (counted as u32) << 16 | HEADER as u32);
                        claim(got == Some(&wanted), || {
                            format!("{got:02x?} was read for a loss of {lost}")
                        })?;
                        *lost -= counted;
                        if *lost == 0 {
                            queue.items.pop_front();
                        }
                    }
                }
                done += size;
            }
        }
        claim(done == bytes.len(), || {
            format!("{} bytes were read for {done}", bytes.len())
        })
    }

    /// Checks whether poll() says that there is something to read.
    pub fn poll(&mut self, queue: u32, is_ready: bool) -> Verdict {
        let Some(queue) = self.known(queue) else {
            return Ok(());
        };
        claim(is_ready != queue.items.is_empty(), || {
            format!(
                "poll() says {}, and there are {} things to read",
                if is_ready { "ready" } else { "nothing" },
                queue.items.len()
            )
        })
    }

    /// Checks what FIONREAD says.
    pub fn pending(&mut self, queue: u32, bytes: i32) -> Verdict {
        let Some(queue) = self.known(queue) else {
            return Ok(());
        };
        let wanted: u64 = queue.items.iter().map(Item::size).sum();
        claim(wanted == bytes as u64, || {
            format!("FIONREAD says {bytes} for {wanted}")
        })
    }
}

impl Post {
    fn bytes(&self, info: u32, number: u32) -> Vec<u8> {
        let mut bytes = header(self.kind, self.subtype, info);
        bytes.extend(&self.message[HEADER..self.length]);
        if self.numbered {
            bytes[8..12].copy_from_slice(&POSTER.to_ne_bytes());
            bytes[12..16].copy_from_slice(&number.to_ne_bytes());
            for (n, byte) in bytes.iter_mut().enumerate().skip(16) {
                *byte = (POSTER + number + n as u32) as u8;
            }
        }
        bytes
    }
}

/// The result of a read: its messages, and the number of losses in its records.
#[derive(Default, PartialEq, Eq, Debug)]
pub struct Tally {
    pub received: u64,
    pub lost: u64,
}

/// Takes apart what was read.
pub fn tally(mut bytes: &[u8]) -> Result<Tally, String> {
    let mut tally = Tally::default();
    while !bytes.is_empty() {
        let word = |n: usize| {
            let word = bytes.get(4 * n..4 * n + 4)?;
            Some(u32::from_ne_bytes(word.try_into().ok()?))
        };
        let (Some(kind), Some(info)) = (word(0), word(1)) else {
            return Err(format!("{} bytes are no message", bytes.len()));
        };
        let length = (info & 0x7f) as usize;
        if length < HEADER || length > bytes.len() {
            return Err(format!("a message of {length} bytes in {}", bytes.len()));
        }
        // As the test source can post what looks like one, it has to have no tag.
        if kind == u32::from(LOSS) << 24 && length == HEADER && info & 0xff80 == 0 {
            if info >> 16 == 0 {
                return Err("a record of no loss".into());
            }
            tally.lost += u64::from(info >> 16);
        } else {
            tally.received += 1;
        }
        bytes = &bytes[length..];
    }
    Ok(tally)
}

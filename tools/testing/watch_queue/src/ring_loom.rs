// SPDX-License-Identifier: GPL-2.0

//! The ring in every interleaving in which a thread is preempted at most three times: two posters
//! and one reader, with the locks that the queue has.

use crate::{
    note::{Header, Note, MIN_LEN},
    overflow::{Counted, Overflow},
    platform::Arc,
    ring::{split, Next, Poster, Reader},
};
use loom::{
    sync::{
        atomic::{AtomicBool, Ordering::Relaxed},
        Condvar, Mutex,
    },
    thread,
};

fn message(length: usize, poster: u32, number: u32) -> Vec<u8> {
    let header = Header {
        kind: poster << 8 | number,
        subtype: 0,
        info: length as u32,
    };
    let mut bytes = header.to_bytes().to_vec();
    bytes.resize(length, poster as u8);
    bytes
}

/// The messages and losses that a reader has seen so far.
#[derive(Default)]
struct Seen {
    messages: Vec<(u32, u32)>,
    lost: u32,
}

/// The state that posters share, as in the queue.
struct Posts {
    poster: Mutex<Poster>,
    overflow: Overflow,
}

impl Posts {
    /// Posts a message, and returns whether it was lost.
    fn post(&self, note: Note<'_>) -> bool {
        if self.overflow.is_on() {
            match self.overflow.count() {
                Counted::Lost => return true,
                Counted::LostAndMustSettle => {
                    self.with(|_| ());
                    return true;
                }
                Counted::TooLate => {}
            }
        }
        let poster = &mut *self.poster.lock().unwrap();
        poster.post(note, &self.overflow).is_err()
    }

    /// Calls `f` with the poster, in which all losses are counted.
    fn with<R>(&self, f: impl FnOnce(&mut Poster) -> R) -> R {
        let poster = &mut *self.poster.lock().unwrap();
        poster.settle(&self.overflow);
        f(poster)
    }
}

/// Reads once, as the queue does: without the posters' lock until it is time to consume.
fn read(reader: &mut Reader, posts: &Posts, room: usize, seen: &mut Seen) {
    let lost = match reader.next(room) {
        Next::Notes(batch) => {
            let (first, second) = batch.pieces();
            let bytes = [first, second].concat();
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let length = usize::from(rest[crate::note::LENGTH_OFFSET] & 0x7f);
                let word = u32::from_ne_bytes(rest[..4].try_into().unwrap());
                let kind = Header::from_words(word, 0).kind;
                assert!(rest[MIN_LEN..length]
                    .iter()
                    .all(|&b| u32::from(b) == kind >> 8));
                seen.messages.push((kind >> 8, kind & 0xff));
                rest = &rest[length..];
            }
            posts.with(|poster| batch.consume(poster));
            return;
        }
        Next::Loss(lost) => lost,
        Next::Nothing => posts.with(|poster| poster.pending_loss()),
        Next::TooLarge => panic!("nothing is that large"),
    };
    if lost != 0 {
        // Posters may come here.
        posts.with(|poster| reader.report_loss(poster, lost));
        seen.lost += u32::from(lost);
    }
}

/// Two posters post `lengths` each, one reader reads `reads` times meanwhile, and the rest after.
fn explore(capacity: u32, lengths: &'static [usize], reads: usize, room: usize) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let (poster, mut reader) = split(capacity).unwrap();
        let posts = Arc::new(Posts {
            poster: Mutex::new(poster),
            overflow: Overflow::new(),
        });
        let posters: Vec<_> = (1..=2)
            .map(|name| {
                let posts = posts.clone();
                thread::spawn(move || {
                    let mut lost = 0;
                    for (number, &length) in lengths.iter().enumerate() {
                        let bytes = message(length, name, number as u32);
                        let note = Note::new(&bytes).unwrap();
                        lost += u32::from(posts.post(note));
                    }
                    lost
                })
            })
            .collect();

        let mut seen = Seen::default();
        for _ in 0..reads {
            read(&mut reader, &posts, room, &mut seen);
        }
        let lost: u32 = posters.into_iter().map(|p| p.join().unwrap()).sum();
        while posts.with(|poster| poster.is_readable()) {
            read(&mut reader, &posts, room, &mut seen);
        }

        assert_eq!(seen.lost, lost);
        assert_eq!(seen.messages.len() + lost as usize, 2 * lengths.len());
        for name in 1..=2 {
            let numbers: Vec<_> = seen.messages.iter().filter(|m| m.0 == name).collect();
            assert!(numbers.windows(2).all(|pair| pair[0].1 < pair[1].1));
        }
    });
}

#[test]
fn messages_are_whole_and_in_order() {
    explore(4, &[8, 9], 2, 1000);
}

#[test]
fn losses_add_up_when_there_is_room_for_one() {
    explore(1, &[8, 8], 2, 1000);
}

#[test]
fn losses_that_take_no_lock_add_up() {
    explore(1, &[8, 8, 8], 2, 1000);
}

#[test]
fn a_ring_that_wraps_is_no_different() {
    // 128 bytes: the second message in the ring lies across its end.
    explore(1, &[100, 100], 2, 1000);
    explore(2, &[120, 20], 2, 127);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_store_that_does_not_release_is_found() {
    crate::platform::RELEASE.with(|ordering| ordering.set(loom::sync::atomic::Ordering::Relaxed));
    explore(4, &[8, 9], 2, 1000);
}

/// A reader that waits, as `sync/wait.rs` has it: on a wait queue with a lock of its own.
struct Waiting {
    posts: Posts,
    /// Whether posters look for a reader.  It changes with the lock of `posts`.
    may_have_waiters: AtomicBool,
    /// Whether the reader is on the queue, as `waitqueue_active()` sees it: without the lock.
    is_active: AtomicBool,
    is_woken: Mutex<bool>,
    wake: Condvar,
}

impl Waiting {
    /// Puts the reader on the queue.
    fn enqueue(&self) {
        let mut is_woken = self.is_woken.lock().unwrap();
        self.is_active.store(true, Relaxed);
        *is_woken = false;
    }

    /// Returns whether more than `read` messages have been posted.  If not, posters look for the
    /// reader, unless that does not say that it waits.
    fn is_readable(&self, read: u32, order: Order) -> bool {
        self.posts.with(|poster| {
            let is_readable = poster.queued() > read;
            if !is_readable && !matches!(order, Order::ReaderSaysNothing) {
                self.may_have_waiters.store(true, Relaxed);
            }
            is_readable
        })
    }

    fn sleep(&self) {
        let mut is_woken = self.is_woken.lock().unwrap();
        while !*is_woken {
            is_woken = self.wake.wait(is_woken).unwrap();
        }
    }

    /// Takes the reader off the queue and wakes it, as a poster or its `irq_work` does.
    fn wake(&self) {
        let mut is_woken = self.is_woken.lock().unwrap();
        self.is_active.store(false, Relaxed);
        *is_woken = true;
        self.wake.notify_one();
    }
}

/// The order in which one side does two things.
#[derive(Clone, Copy)]
enum Order {
    /// As in the kernel.
    Right,
    /// The reader looks for a message before it is on the queue.
    ReaderLooksFirst,
    /// The poster looks for a reader without the posters' lock, before it takes that.
    PosterLooksOutside,
    /// The reader does not say that it waits.
    ReaderSaysNothing,
}

/// One reader waits for each message of one poster.  A wake-up that is lost
/// is a deadlock.
fn wait_for_each(order: Order, is_deferred: bool) {
    // A thread that wakes for each of two would have more interleavings than there is time for.
    let messages = if is_deferred { 1 } else { 2 };
    loom::model(move || {
        let (poster, _reader) = split(messages).unwrap();
        let waiting = Arc::new(Waiting {
            // Left from a reader before
            may_have_waiters: AtomicBool::new(true),
            posts: Posts {
                poster: Mutex::new(poster),
                overflow: Overflow::new(),
            },
            is_active: AtomicBool::new(false),
            is_woken: Mutex::new(false),
            wake: Condvar::new(),
        });
        let poster = {
            let waiting = waiting.clone();
            thread::spawn(move || {
                let bytes = message(8, 1, 0);
                let note = Note::new(&bytes).unwrap();
                for _ in 0..messages {
                    let mut is_active = waiting.is_active.load(Relaxed);
                    {
                        let mut poster = waiting.posts.poster.lock().unwrap();
                        poster.post(note, &waiting.posts.overflow).unwrap();
                        if !matches!(order, Order::PosterLooksOutside) {
                            is_active = waiting.may_have_waiters.load(Relaxed)
                                && waiting.is_active.load(Relaxed);
                        }
                        if !is_active {
                            waiting.may_have_waiters.store(false, Relaxed);
                        }
                    }
                    if is_active && is_deferred {
                        let waiting = waiting.clone();
                        thread::spawn(move || waiting.wake());
                    } else if is_active {
                        waiting.wake();
                    }
                }
            })
        };

        for read in 0..messages {
            loop {
                let mut is_readable = false;
                if matches!(order, Order::ReaderLooksFirst) {
                    is_readable = waiting.is_readable(read, order);
                }
                waiting.enqueue();
                if !matches!(order, Order::ReaderLooksFirst) {
                    is_readable = waiting.is_readable(read, order);
                }
                if is_readable {
                    break;
                }
                waiting.sleep();
            }
        }
        poster.join().unwrap();
    });
}

#[test]
fn no_wake_up_is_lost() {
    wait_for_each(Order::Right, false);
}

#[test]
fn no_wake_up_that_is_deferred_is_lost() {
    wait_for_each(Order::Right, true);
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_reader_that_looks_before_it_is_on_the_queue_is_found() {
    wait_for_each(Order::ReaderLooksFirst, false);
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_poster_that_looks_for_readers_without_the_lock_is_found() {
    wait_for_each(Order::PosterLooksOutside, false);
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_reader_that_does_not_say_that_it_waits_is_found() {
    wait_for_each(Order::ReaderSaysNothing, false);
}

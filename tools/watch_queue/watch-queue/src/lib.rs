// SPDX-License-Identifier: GPL-2.0

//! Linux's general notification queue: what happens to keys and keyrings, read from a pipe.
//!
//! A [`Queue`] is a pipe into which the kernel writes a message for each thing that happens to what
//! the queue watches.  [`Queue::read`] gives the [`Messages`] that are there; a message's
//! [`event`](Message::event) says what happened.
//!
//! ```no_run
//! use watch_queue::{Event, Filter, KeyChange, KeyName, Queue};
//!
//! let queue = Queue::new(256)?;
//! queue.set_filter(&Filter::new(["key:linked".parse()?])?)?;
//! queue.watch_key("%:mine".parse::<KeyName>()?.find()?, 1)?;
//!
//! let mut buffer = vec![0; 4096];
//! for message in queue.read(&mut buffer)? {
//!     if let Event::Key(event) = message?.event() {
//!         if let KeyChange::Linked { member } = event.change {
//!             println!("{member} is in {} now", event.key);
//!         }
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What a program has to reckon with
//!
//! - Posting never waits for readers.  When the queue is full, messages are dropped, and a
//!   [loss](MetaEvent::Loss) stands where they would have been; kernels that count say how many.
//!   What the program knows of the things that it watches is out of date then, and it should look
//!   at them again.
//! - A watch ends when what it watches goes; a [removal](MetaEvent::Removal) is the last message.
//! - There may be types and events that this library does not know.  They are
//!   [`Event::Unknown`], with their bytes.
//!
//! # Kernels
//!
//! Linux 5.8 and later, with `CONFIG_WATCH_QUEUE` and `CONFIG_KEY_NOTIFICATIONS`; without them the
//! error is [`Error::NoQueues`] or [`Error::NoKeyNotifications`].  Mainline's queues have up to 512
//! messages, do not count losses, filter only by the first 32 subtypes, and have no [`Stats`].
//!
//! # With mio and tokio
//!
//! `Queue` is `AsFd` and `AsRawFd`: register it with mio as a `SourceFd`, or put it into tokio's
//! `AsyncFd`.  The examples show both.
//!
//! # Features
//!
//! `serde`: `Serialize` for events, messages and statistics.

mod event;
mod fdinfo;
mod filter;
mod key;
mod message;
mod meta;
mod queue;
mod sys;

pub use event::{Event, Type};
pub use fdinfo::{BadStats, Stats, Watch};
pub use filter::{BadRule, Filter, Rule, MAX_RULES};
pub use key::{BadKeyName, Key, KeyChange, KeyEvent, KeyName};
pub use message::{Malformed, Message, Messages, MAX_MESSAGE, MIN_MESSAGE};
pub use meta::{Lost, MetaEvent};
pub use queue::{Error, Queue};

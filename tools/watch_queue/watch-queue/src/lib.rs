// SPDX-License-Identifier: GPL-2.0

//! Linux's general notification queue: what happens to keys and keyrings, mounts, file systems,
//! block devices and devices, read from a pipe.
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
//! Keys are watched with [`Queue::watch_key`], everything else with [`Queue::watch`]:
//!
//! ```no_run
//! use std::{fs::File, os::fd::AsFd};
//! use watch_queue::{Event, Object, Queue};
//!
//! let queue = Queue::new(256)?;
//! queue.watch(Object::BlockDevice(File::open("/dev/sda")?.as_fd()), 1)?;
//!
//! let mut buffer = vec![0; 4096];
//! for message in queue.read(&mut buffer)? {
//!     if let Event::Block(event) = message?.event() {
//!         println!("sector {} is bad: {:?}", event.sector, event.failure);
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
//! error is [`Error::NoQueues`] or [`Error::NoKeyNotifications`].  Mainline knows of nothing but keys;
//! with anything else the error is [`Error::NoSource`].  Its queues have up to 512
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

mod block;
mod device;
mod event;
mod fdinfo;
mod filter;
mod key;
mod message;
mod meta;
mod mount;
mod number;
mod object;
mod queue;
mod superblock;
mod sys;
#[cfg(test)]
mod uapi;

pub use block::{BlockEvent, BlockFailure, BlockOp};
pub use device::{Device, DeviceChange, DeviceEvent, Name};
pub use event::{Event, Type};
pub use fdinfo::{BadStats, Stats, Watch};
pub use filter::{BadRule, Filter, Rule, MAX_RULES};
pub use key::{BadKeyName, Key, KeyChange, KeyEvent, KeyName};
pub use message::{Malformed, Message, Messages, MAX_MESSAGE, MIN_MESSAGE};
pub use meta::{Lost, MetaEvent};
pub use mount::{MountAttributes, MountChange, MountEvent, Propagation};
pub use number::DeviceNumber;
pub use object::Object;
pub use queue::{Error, Queue};
pub use superblock::{
    ErrorKind, FileRange, QuotaOwner, QuotaWarning, SuperblockChange, SuperblockEvent,
};

// SPDX-License-Identifier: MIT OR Apache-2.0

//! Linux's general notification queue: what happens to keys and keyrings, mounts, file systems,
//! block devices and devices, read from a pipe.
//!
//! A [`Queue`] is a pipe into which the kernel writes a message for each thing that happens to what
//! the queue watches.  [`Queue::read`] gives the [`Messages`] that are there; a message's
//! [`event`](Message::event) says what happened.
//!
//! ```no_run
//! use std::{fs::File, os::unix::io::AsFd};
//! use watch_queue::{Event, KeyChange, KeyName, Object, Queue};
//!
//! let queue = Queue::new(256)?;
//! queue.watch("%:mine".parse::<KeyName>()?.find()?, 1)?;
//! queue.watch(Object::BlockDevice(File::open("/dev/sda")?.as_fd()), 2)?;
//!
//! let mut buffer = vec![0; 4096];
//! for message in queue.read(&mut buffer)? {
//!     match message?.event() {
//!         Event::Key(event) => {
//!             if let KeyChange::Linked { member, .. } = event.change {
//!                 println!("{member} is in {} now", event.key);
//!             }
//!         }
//!         Event::Block(event) => println!("sector {} is bad: {}", event.sector, event.error),
//!         _ => {}
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
//! - A watch ends when what it watches goes.  A [removal](MetaEvent::Removal) says so, unless it
//!   was lost as well: after each loss, ask with [`Queue::still_watched`].
//! - There may be types and events that this library does not know.  They are
//!   [`Event::Unknown`], with their bytes.  Events that it does know may get more fields.
//!
//! # Kernels
//!
//! Linux 5.8 and later, with `CONFIG_WATCH_QUEUE` and `CONFIG_KEY_NOTIFICATIONS`; without them the
//! error is [`Error::NoQueues`] or [`Error::NoSource`].  Mainline knows of nothing but keys; with
//! anything else the error is [`Error::NoSource`].  Its queues have up to 512 messages, do not
//! count losses, filter only by the first 32 subtypes, and have no [`Stats`].
//!
//! # Features
//!
//! - `serde`: `Serialize` for events, messages and statistics
//! - `tokio`: `AsyncQueue`, a queue that tokio waits for, and a `Stream` of its messages
//! - `mio`: `Queue` is an event source of mio
//!
//! Without them, `Queue` is `AsFd` and `AsRawFd`, for any other event loop.
//!
//! The oldest Rust that this library is tested with is 1.63; the features need what
//! serde, tokio and mio need.

#[cfg(feature = "tokio")]
mod async_queue;
mod block;
mod device;
mod errno;
mod event;
mod fdinfo;
mod filter;
mod key;
mod message;
mod meta;
#[cfg(feature = "mio")]
mod mio;
mod mount;
pub mod mounts;
mod number;
mod object;
mod queue;
mod superblock;
mod sys;
#[cfg(test)]
mod uapi;

#[cfg(feature = "tokio")]
pub use async_queue::{AsyncQueue, MessageStream};
pub use block::{BlockEvent, BlockFailure, BlockOp};
pub use device::{Device, DeviceChange, DeviceEvent, DeviceName};
pub use errno::Errno;
pub use event::{BadMessageType, Event, MessageType};
pub use fdinfo::{BadStats, Stats, Watch};
pub use filter::{BadRule, Filter, Rule, MAX_RULES};
pub use key::{BadKeyName, KeyChange, KeyEvent, KeyName, KeySerial};
pub use message::{Malformed, Message, Messages, OwnedMessage, MAX_MESSAGE, MIN_MESSAGE};
pub use meta::{Lost, MetaEvent};
pub use mount::{MountAttributes, MountChange, MountEvent, Propagation};
pub use number::DeviceNumber;
pub use object::{Object, Support, Watched};
pub use queue::{Error, Queue};
pub use superblock::{
    FileRange, QuotaOwner, QuotaWarning, SuperblockChange, SuperblockErrorKind, SuperblockEvent,
};

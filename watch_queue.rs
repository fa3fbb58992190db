// SPDX-License-Identifier: GPL-2.0

//! General notification queue.
//!
//! ```text
//!  userspace       pipe2(O_NOTIFICATION_PIPE)  ioctl  poll  read      keyctl_watch_key()
//!                                 |                                          |
//!  pipe_ext     a notification pipe is a file type of its own                v
//!                                 | owns                         a source, such as security/keys
//!                                 v                                          |
//!  queue        Queue = filter + ring + wait queues                          v
//!                                 ^                                        c_api
//!                                 | delivers to                              |
//!  watch        the watches of an object, and those of a queue   <-----------+
//!
//!  sources      objects that are watched by way of ioctl(): mounts, disks, devices
//!  trace        trace events
//!  sync         primitives that the kernel crate does not have yet
//!
//!  filter, note, ring, overflow     pure: no kernel needed
//!  platform                         memory and atomics of the ring
//! ```
//!
//! See [`Documentation/core-api/watch_queue.rst`](srctree/Documentation/core-api/watch_queue.rst).

mod c_api;
mod filter;
mod note;
#[path = "ring/overflow.rs"]
mod overflow;
mod pipe_ext;
#[path = "ring/platform.rs"]
mod platform;
mod queue;
mod ring;
mod sources;
mod sync;
mod trace;
mod watch;

// SPDX-License-Identifier: GPL-2.0

//! General notification queue.
//!
//! ```text
//!  userspace       pipe2(O_NOTIFICATION_PIPE)  ioctl  poll  read      keyctl_watch_key()
//!                                 |                                          |
//!  pipe_ext     a notification pipe is a file type of its own                |
//!                                 | owns                                     |
//!  Queue        filter + ring + wait queue                                   v
//!                                 ^                              a source, such as security/keys
//!                                 | delivers                                 |
//!  watch        who watches what; the walk under RCU   <---------------------+
//!
//!  filter, note, ring, overflow          pure: they need no kernel, and are tested without one
//!  sync, platform                        what the rest needs of the kernel
//!  trace                                 trace events
//! ```
//!
//! See [`Documentation/core-api/watch_queue.rst`](srctree/Documentation/core-api/watch_queue.rst).

mod filter;
mod note;
mod overflow;
mod pipe_ext;
mod platform;
mod queue;
mod ring;
mod sources;
mod sync;
mod trace;
mod watch;

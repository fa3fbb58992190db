// SPDX-License-Identifier: MIT OR Apache-2.0

//! Queues for mio.

use mio::{event::Source, unix::SourceFd, Interest, Registry, Token};
use std::{io, os::unix::io::AsRawFd};

use crate::Queue;

/// The read end, which has to be non-blocking.  With the feature `mio` only.
///
/// mio reports edges: after each, read until `WouldBlock`.
impl Source for Queue {
    fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        interests: Interest,
    ) -> io::Result<()> {
        SourceFd(&self.as_raw_fd()).register(registry, token, interests)
    }

    fn reregister(
        &mut self,
        registry: &Registry,
        token: Token,
        interests: Interest,
    ) -> io::Result<()> {
        SourceFd(&self.as_raw_fd()).reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        SourceFd(&self.as_raw_fd()).deregister(registry)
    }
}

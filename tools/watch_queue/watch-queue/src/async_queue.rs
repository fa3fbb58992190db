// SPDX-License-Identifier: MIT OR Apache-2.0

//! Queues for tokio.

#![allow(unsafe_code)]
// tokio needs a later Rust than the library does.
#![allow(clippy::incompatible_msrv)]

use futures_core::Stream;
use std::{
    fmt, io,
    ops::Range,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{unix::AsyncFd, Interest};

use crate::{Messages, OwnedMessage, Queue, MAX_MESSAGE};

/// A queue that tokio waits for.  With the feature `tokio` only.
///
/// ```no_run
/// use watch_queue::{AsyncQueue, KeySerial, Queue, MAX_MESSAGE};
///
/// # async fn watch() -> Result<(), Box<dyn std::error::Error>> {
/// let queue = AsyncQueue::new(Queue::new(256)?)?;
/// queue.get_ref().watch(KeySerial::SESSION_KEYRING, 1)?;
/// let mut buffer = [0; 32 * MAX_MESSAGE];
/// loop {
///     for message in queue.read(&mut buffer).await? {
///         println!("{}", message?.event());
///     }
/// }
/// # }
/// ```
pub struct AsyncQueue(AsyncFd<Queue>);

impl AsyncQueue {
    /// Makes the queue a non-blocking one, and registers it with the runtime that this runs in.
    ///
    /// # Errors
    ///
    /// Those of `fcntl(2)` and `epoll_ctl(2)`.
    ///
    /// # Panics
    ///
    /// If there is no runtime, or its I/O is not enabled.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let queue = watch_queue::AsyncQueue::new(watch_queue::Queue::new(256)?)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(queue: Queue) -> io::Result<Self> {
        queue.set_nonblocking(true)?;
        // SAFETY: A queue keeps one file descriptor, and keeps it open, for as long as it lives.
        let queue = unsafe { AsyncFd::register_with_interest(queue, Interest::READABLE) };
        Ok(Self(queue?))
    }

    /// The queue, to be attached to something or filtered.
    ///
    /// ```no_run
    /// # fn example(queue: watch_queue::AsyncQueue) -> Result<(), watch_queue::Error> {
    /// queue.get_ref().clear_filter()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_ref(&self) -> &Queue {
        self.0.get_ref()
    }

    /// The queue, which tokio does not wait for any more.  It stays non-blocking.
    ///
    /// ```no_run
    /// # fn example(queue: watch_queue::AsyncQueue) -> std::io::Result<()> {
    /// let queue = queue.into_inner();
    /// queue.set_nonblocking(false)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_inner(self) -> Queue {
        self.0.into_inner()
    }

    /// Waits until there are messages, and reads as many as `buffer` has room for, in whole.
    ///
    /// No message is lost if this is cancelled.
    ///
    /// # Errors
    ///
    /// As [`Queue::read`], but never `WouldBlock` nor `Interrupted`.
    ///
    /// ```no_run
    /// use watch_queue::{AsyncQueue, MAX_MESSAGE};
    ///
    /// # async fn example(queue: AsyncQueue) -> std::io::Result<()> {
    /// let mut buffer = [0; 32 * MAX_MESSAGE];
    /// let messages = queue.read(&mut buffer).await?;
    /// println!("{} messages", messages.count());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn read<'a>(&self, buffer: &'a mut [u8]) -> io::Result<Messages<'a>> {
        let length = std::future::poll_fn(|context| self.poll_read(context, buffer)).await?;
        Ok(Messages::new(&buffer[..length]))
    }

    fn poll_read(&self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = match self.0.poll_read_ready(context)? {
                Poll::Ready(ready) => ready,
                Poll::Pending => return Poll::Pending,
            };
            let read = |queue: &AsyncFd<Queue>| Ok(queue.get_ref().read(buffer)?.bytes().len());
            match ready.try_io(read) {
                // Not ready after all, or a signal.
                Err(_) => {}
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(result) => return Poll::Ready(result),
            }
        }
    }

    /// The messages as a stream, which ends only if there is no write end any more.
    ///
    /// What has been read from the queue, and not yet taken from the stream, is dropped with it.
    ///
    /// ```no_run
    /// use tokio_stream::StreamExt;
    /// use watch_queue::AsyncQueue;
    ///
    /// # async fn example(queue: AsyncQueue) -> std::io::Result<()> {
    /// let mut messages = queue.messages();
    /// while let Some(message) = messages.next().await {
    ///     println!("{}", message?.as_message().event());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn messages(&self) -> MessageStream<'_> {
        MessageStream {
            queue: self,
            buffer: vec![0; 64 * MAX_MESSAGE],
            unread: 0..0,
        }
    }
}

impl fmt::Debug for AsyncQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AsyncQueue").field(self.get_ref()).finish()
    }
}

/// The messages of an [`AsyncQueue`], one by one.  With the feature `tokio` only.
///
/// [`AsyncQueue::messages`] makes it, and has an example.
///
/// ```no_run
/// use watch_queue::{AsyncQueue, MessageStream};
///
/// fn stream(queue: &AsyncQueue) -> MessageStream<'_> {
///     queue.messages()
/// }
/// ```
#[derive(Debug)]
pub struct MessageStream<'a> {
    queue: &'a AsyncQueue,
    buffer: Vec<u8>,
    /// What of the buffer has been read from the queue only.
    unread: Range<usize>,
}

impl Stream for MessageStream<'_> {
    type Item = io::Result<OwnedMessage>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.unread.is_empty() {
            match this.queue.poll_read(context, &mut this.buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(Ok(length)) => this.unread = 0..length,
            }
        }
        let mut messages = Messages::new(&this.buffer[this.unread.clone()]);
        let message = messages
            .next()
            .map(|message| Ok(OwnedMessage::from(message?)));
        this.unread.start = this.unread.end - messages.bytes().len();
        Poll::Ready(message)
    }
}

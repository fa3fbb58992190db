// SPDX-License-Identifier: GPL-2.0

//! The queue: a notification pipe.

use rustix::{
    fs::{fcntl_getfl, fcntl_setfl, OFlags},
    io::{ioctl_fionread, read, Errno},
};
use std::{
    fmt, io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
};

use crate::{sys, BadStats, Filter, Key, Messages, Object, Stats, Type};

/// A notification queue: both ends of a pipe into which only the kernel writes.
///
/// It is closed, and with it go its watches, when it is dropped.
///
/// `AsFd` gives the read end, for poll, epoll, mio and tokio; it is readable when there is
/// something to read.
///
/// ```no_run
/// use watch_queue::{Event, Key, Queue, MAX_MESSAGE};
///
/// let queue = Queue::new(256)?;
/// queue.watch_key(Key::SESSION_KEYRING, 1)?;
/// let mut buffer = [0; 32 * MAX_MESSAGE];
/// loop {
///     for message in queue.read(&mut buffer)? {
///         match message?.event() {
///             Event::Key(event) => println!("{event:?}"),
///             Event::Meta(event) => println!("{event}"),
///             _ => {}
///         }
///     }
/// }
/// # #[allow(unreachable_code)]
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Queue {
    read_end: OwnedFd,
    /// What is read after the last write end was closed is the end of the file.
    _write_end: OwnedFd,
}

impl Queue {
    /// Makes a queue with room for at least this many messages, of any length.
    ///
    /// The kernel rounds up to whole pages, of 32 messages each.  Mainline has room for 512 at
    /// most; kernels that have more stop at the limits of pipes (see `pipe(7)`).  The file
    /// descriptors are close-on-exec.
    ///
    /// # Errors
    ///
    /// [`Error::NoQueues`] if the kernel has none; [`Error::Os`] with `EINVAL` for 0 or more than
    /// the kernel has room for, `EPERM` for more than this user may have, `EMFILE`, `ENFILE` or
    /// `ENOMEM`.
    pub fn new(messages: usize) -> Result<Self, Error> {
        let (read_end, write_end) = sys::notification_pipe().map_err(|error| {
            match Errno::from_io_error(&error) {
                // Before there were queues, the flag was one that pipe2() did not know.
                Some(Errno::NOPKG | Errno::INVAL) => Error::NoQueues,
                _ => Error::os("make a notification queue", error),
            }
        })?;
        sys::set_size(read_end.as_fd(), messages)
            .map_err(|error| Error::os("size the queue", error))?;
        Ok(Self {
            read_end,
            _write_end: write_end,
        })
    }

    /// Whether a read from an empty queue fails with `WouldBlock`, instead of waiting.
    ///
    /// It waits until this is called.
    ///
    /// # Errors
    ///
    /// Those of `fcntl(2)`.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        let mut flags = fcntl_getfl(&self.read_end)?;
        flags.set(OFlags::NONBLOCK, nonblocking);
        Ok(fcntl_setfl(&self.read_end, flags)?)
    }

    /// Takes only what `filter` accepts, from now on.
    ///
    /// # Errors
    ///
    /// [`Error::Os`] with `ENOMEM`, or with `EINVAL` if the kernel knows of more that is wrong.
    pub fn set_filter(&self, filter: &Filter) -> Result<(), Error> {
        let words = filter.to_words();
        let raw = sys::RawFilter::new(&words).expect("a filter has the rules that it counts");
        sys::set_filter(self.as_fd(), Some(raw)).map_err(|error| Error::os("set the filter", error))
    }

    /// Takes everything again.
    ///
    /// # Errors
    ///
    /// [`Error::Os`], but not of the kernels known.
    pub fn clear_filter(&self) -> Result<(), Error> {
        sys::set_filter(self.as_fd(), None).map_err(|error| Error::os("clear the filter", error))
    }

    /// Watches a key; its messages get this tag.
    ///
    /// A keyring that every process has is made if it is not there yet.
    ///
    /// # Errors
    ///
    /// [`Error::NoKeyNotifications`] if the kernel has none; [`Error::Os`] with `ENOKEY`, `EACCES`
    /// (the key may not be viewed), `EBUSY` (this queue watches it already), `EKEYREVOKED`,
    /// `EKEYEXPIRED`, `EAGAIN` (there are as many watches as this user may have) or `ENOMEM`.
    pub fn watch_key(&self, key: Key, tag: u8) -> Result<(), Error> {
        sys::watch_key(key, self.as_fd(), Some(tag)).map_err(Error::of_watching)
    }

    /// Watches a key no more, which is told by a
    /// [removal](crate::MetaEvent::Removal) in the queue.
    ///
    /// # Errors
    ///
    /// As [`watch_key`](Self::watch_key); and [`Error::Os`] with `EBADSLT` if this queue does not
    /// watch that key.
    pub fn unwatch_key(&self, key: Key) -> Result<(), Error> {
        sys::watch_key(key, self.as_fd(), None).map_err(Error::of_watching)
    }

    /// Watches something other than a key; its messages get this tag.
    ///
    /// ```no_run
    /// use std::{fs::File, os::fd::AsFd};
    /// use watch_queue::{Object, Queue};
    ///
    /// let queue = Queue::new(256)?;
    /// let namespace = File::open("/proc/self/ns/mnt")?;
    /// let file_system = File::open("/srv")?;
    /// let disk = File::open("/dev/sda")?;
    /// queue.watch(Object::MountNamespace(namespace.as_fd()), 1)?;
    /// queue.watch(Object::FileSystem(file_system.as_fd()), 2)?;
    /// queue.watch(Object::BlockDevice(disk.as_fd()), 3)?;
    /// queue.watch(Object::Devices, 4)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NoSource`] if the kernel does not have its source, as mainline; [`Error::Os`] with
    /// `EINVAL` (the file is of another kind, or on nothing that can be watched), `EPERM` (who
    /// calls this may not), `EBADF` (a block device that was opened with `O_PATH`), `EBUSY` (this
    /// queue watches it already), `ENODEV` (the block device is gone), `EAGAIN` (there are as many
    /// watches as this user may have), `ENOMEM`, or what a security module says.
    pub fn watch(&self, object: Object<'_>, tag: u8) -> Result<(), Error> {
        sys::add_watch(self.as_fd(), object, tag).map_err(|error| Error::of_object(object, error))
    }

    /// Watches something other than a key no more, which is told by a
    /// [removal](crate::MetaEvent::Removal) in the queue.
    ///
    /// # Errors
    ///
    /// [`Error::NoSource`] if the kernel does not have its source; [`Error::Os`] with `EBADSLT` if
    /// this queue does not watch it, or with `EINVAL` or `EBADF` as for [`watch`](Self::watch).
    pub fn unwatch(&self, object: Object<'_>) -> Result<(), Error> {
        sys::remove_watch(self.as_fd(), object).map_err(|error| Error::of_object(object, error))
    }

    /// Reads as many messages as are there and as `buffer` has room for, in whole.
    ///
    /// Mainline kernels do not tell poll of a loss after the last message, only a read: after a
    /// wake-up, read until `WouldBlock`.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there are none and the queue is non-blocking; `Interrupted`; `ENOBUFS` if
    /// `buffer` has no room for the next one, as it always has with
    /// [`MAX_MESSAGE`](crate::MAX_MESSAGE) bytes.  Nothing is lost by an error.
    pub fn read<'a>(&self, buffer: &'a mut [u8]) -> io::Result<Messages<'a>> {
        let length = read(&self.read_end, &mut *buffer)?;
        Ok(Messages::new(&buffer[..length]))
    }

    /// How many bytes can be read now.
    ///
    /// # Errors
    ///
    /// Those of `FIONREAD`, but not of the kernels known.
    pub fn readable_bytes(&self) -> io::Result<u64> {
        Ok(ioctl_fionread(&self.read_end)?)
    }

    /// What the queue has done so far.
    ///
    /// # Errors
    ///
    /// [`Error::Stats`] if the kernel does not tell, as mainline; [`Error::Os`] if `/proc` cannot
    /// be read.
    pub fn stats(&self) -> Result<Stats, Error> {
        std::fs::read_to_string(format!("/proc/self/fdinfo/{}", self.as_raw_fd()))
            .map_err(|error| Error::os("read /proc/self/fdinfo", error))?
            .parse()
            .map_err(Error::Stats)
    }
}

/// The read end.
impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.read_end.as_fd()
    }
}

/// The read end: the same file descriptor, and open, for as long as the queue lives.
impl AsRawFd for Queue {
    fn as_raw_fd(&self) -> RawFd {
        self.read_end.as_raw_fd()
    }
}

/// Why something could not be done with a queue.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The kernel has no notification queues.
    NoQueues,
    /// The kernel has notification queues, but not of what happens to keys.
    NoKeyNotifications,
    /// The kernel has notification queues, but not of what happens to objects of this type.
    NoSource(Type),
    /// There are no statistics.
    Stats(BadStats),
    /// The kernel refused.
    Os {
        /// What was to be done.
        action: &'static str,
        /// What it said.
        error: io::Error,
    },
}

impl Error {
    fn os(action: &'static str, error: io::Error) -> Self {
        Self::Os { action, error }
    }

    fn of_object(object: Object<'_>, error: io::Error) -> Self {
        match Errno::from_io_error(&error) {
            // Mainline does not have the ioctl at all.
            Some(Errno::OPNOTSUPP | Errno::NOTTY) => Self::NoSource(object.kind()),
            _ => Self::os(
                match object {
                    Object::MountNamespace(_) | Object::MountTree(_) => "watch the mounts",
                    Object::FileSystem(_) => "watch the file system",
                    Object::BlockDevice(_) => "watch the block device",
                    Object::AllBlockDevices => "watch all block devices",
                    Object::Devices => "watch devices",
                },
                error,
            ),
        }
    }

    fn of_watching(error: io::Error) -> Self {
        match Errno::from_io_error(&error) {
            Some(Errno::OPNOTSUPP | Errno::NOSYS) => Self::NoKeyNotifications,
            _ => Self::os("watch the key", error),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoQueues => {
                write!(
                    f,
                    "this kernel has no notification queues (CONFIG_WATCH_QUEUE)"
                )
            }
            Self::NoKeyNotifications => write!(
                f,
                "this kernel has no notifications of keys (CONFIG_KEY_NOTIFICATIONS)"
            ),
            Self::NoSource(kind) => {
                let option = kind.to_string().to_uppercase();
                write!(
                    f,
                    "this kernel has no notifications of type {kind} (CONFIG_WATCH_{option})"
                )
            }
            Self::Stats(error) => error.fmt(f),
            Self::Os { action, error } => write!(f, "cannot {action}: {error}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Stats(error) => Some(error),
            Self::Os { error, .. } => Some(error),
            _ => None,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Os { error, .. } => error,
            Error::NoQueues | Error::NoKeyNotifications | Error::NoSource(_) => {
                io::Error::new(io::ErrorKind::Unsupported, error)
            }
            Error::Stats(_) => io::Error::other(error),
        }
    }
}

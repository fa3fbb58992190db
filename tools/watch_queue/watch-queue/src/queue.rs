// SPDX-License-Identifier: MIT OR Apache-2.0

//! The queue: a notification pipe.

use rustix::{
    fs::{fcntl_getfl, fcntl_setfl, OFlags},
    io::{ioctl_fionread, read, Errno},
};
use std::{
    fmt, io,
    os::unix::io::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
};

use crate::{
    sys, BadStats, Filter, KeySerial, MessageType, Messages, Object, Stats, Support, Watched,
};

/// A notification queue: a pipe into which only the kernel writes.
///
/// It is closed, and with it go its watches, when it is dropped.
///
/// `AsFd` gives the read end, for poll, epoll, mio and tokio; it is readable when there is
/// something to read.
///
/// ```no_run
/// use watch_queue::{Event, KeySerial, Queue, MAX_MESSAGE};
///
/// let queue = Queue::new(256)?;
/// queue.watch(KeySerial::SESSION_KEYRING, 1)?;
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
    write_end: Option<OwnedFd>,
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
    ///
    /// ```no_run
    /// let queue = watch_queue::Queue::new(256)?;
    /// # Ok::<(), watch_queue::Error>(())
    /// ```
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
            write_end: Some(write_end),
        })
    }

    /// Takes over a queue whose descriptors another process passed, or that this process made by
    /// other means.
    ///
    /// It has a size already.  Without a write end it ends when the last one that is open elsewhere
    /// is closed: a [`read`](Self::read) has no messages then, and does not wait.
    ///
    /// ```no_run
    /// use watch_queue::Queue;
    ///
    /// // From the process that watches to the one that reads
    /// let (read_end, write_end) = Queue::new(256)?.into_fds();
    /// let queue = Queue::from_fds(read_end, write_end);
    /// # Ok::<(), watch_queue::Error>(())
    /// ```
    pub fn from_fds(read_end: OwnedFd, write_end: Option<OwnedFd>) -> Self {
        Self {
            read_end,
            write_end,
        }
    }

    /// The read end and, if it is there, the write end, to be passed to another process.
    ///
    /// ```no_run
    /// let (read_end, _write_end) = watch_queue::Queue::new(256)?.into_fds();
    /// # Ok::<(), watch_queue::Error>(())
    /// ```
    pub fn into_fds(self) -> (OwnedFd, Option<OwnedFd>) {
        (self.read_end, self.write_end)
    }

    /// The end through which the queue can be changed although it is sealed, if it is there.
    fn control(&self) -> BorrowedFd<'_> {
        self.write_end.as_ref().unwrap_or(&self.read_end).as_fd()
    }

    /// Makes the read end one for reading only, for good.
    ///
    /// With the read end alone one can then neither set a filter, nor watch or unwatch anything,
    /// nor open the queue again for writing.  This `Queue` can, as long as it has the write end.
    ///
    /// # Errors
    ///
    /// [`Error::Os`] with `EPERM` if the queue is sealed and the write end is not here, or `ENOTTY`
    /// if the kernel cannot seal it, as mainline.
    ///
    /// ```no_run
    /// use watch_queue::{KeySerial, Queue};
    ///
    /// let queue = Queue::new(256)?;
    /// queue.seal()?;
    /// queue.watch(KeySerial::SESSION_KEYRING, 1)?;
    /// // For a process that is not trusted; the write end stays here.
    /// let (read_end, write_end) = queue.into_fds();
    /// # Ok::<(), watch_queue::Error>(())
    /// ```
    pub fn seal(&self) -> Result<(), Error> {
        sys::seal(self.control()).map_err(|error| Error::os("seal the queue", error))
    }

    /// Waits until all that is in the queue now, losses included, has been read.
    ///
    /// That is for another thread or process than the one that reads.  Only a signal that ends the
    /// process interrupts it.
    ///
    /// # Errors
    ///
    /// [`Error::Os`] with `EPIPE` if nobody can read any more, or `ENOTTY` if the kernel cannot
    /// wait for that, as mainline.
    ///
    /// ```no_run
    /// use std::thread;
    /// use watch_queue::{KeySerial, Queue, MAX_MESSAGE};
    ///
    /// let queue = Queue::new(256)?;
    /// let watched = KeySerial::SESSION_KEYRING;
    /// queue.watch(watched, 1)?;
    /// thread::scope(|scope| {
    ///     scope.spawn(|| {
    ///         while let Ok(messages) = queue.read(&mut [0; 32 * MAX_MESSAGE]) {
    ///             messages.flatten().for_each(|message| println!("{message}"));
    ///         }
    ///     });
    ///     // What has happened so far is printed after this.
    ///     queue.sync()
    /// })?;
    /// # Ok::<(), watch_queue::Error>(())
    /// ```
    pub fn sync(&self) -> Result<(), Error> {
        sys::sync(self.control())
            .map_err(|error| Error::os("wait until the queue has been read", error))
    }

    /// Sets whether a read from an empty queue fails with `WouldBlock`, instead of waiting.
    ///
    /// It waits until this is called.
    ///
    /// # Errors
    ///
    /// Those of `fcntl(2)`.
    ///
    /// ```no_run
    /// use std::io::ErrorKind;
    /// use watch_queue::{Queue, MAX_MESSAGE};
    ///
    /// let queue = Queue::new(256)?;
    /// queue.set_nonblocking(true)?;
    /// let error = queue.read(&mut [0; MAX_MESSAGE]).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::WouldBlock);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
    ///
    /// ```no_run
    /// use watch_queue::{Filter, Queue};
    ///
    /// let queue = Queue::new(256)?;
    /// queue.set_filter(&Filter::new(["key:linked,unlinked".parse()?])?)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_filter(&self, filter: &Filter) -> Result<(), Error> {
        let words = filter.to_words();
        let raw = sys::RawFilter::new(&words).expect("a filter has the rules that it counts");
        sys::set_filter(self.control(), Some(raw))
            .map_err(|error| Error::os("set the filter", error))
    }

    /// Takes everything again.
    ///
    /// # Errors
    ///
    /// [`Error::Os`], but not of the kernels known.
    ///
    /// ```no_run
    /// let queue = watch_queue::Queue::new(256)?;
    /// queue.clear_filter()?;
    /// # Ok::<(), watch_queue::Error>(())
    /// ```
    pub fn clear_filter(&self) -> Result<(), Error> {
        sys::set_filter(self.control(), None).map_err(|error| Error::os("clear the filter", error))
    }

    /// Watches an object; its messages get this tag.
    ///
    /// Give each object a tag of its own: a removal names the tag, and
    /// [`still_watched`](Self::still_watched) asks for it.
    ///
    /// ```no_run
    /// use std::{fs::File, os::unix::io::AsFd};
    /// use watch_queue::{KeyName, Object, Queue};
    ///
    /// let queue = Queue::new(256)?;
    /// let namespace = File::open("/proc/self/ns/mnt")?;
    /// let file_system = File::open("/srv")?;
    /// let disk = File::open("/dev/sda")?;
    /// queue.watch(Object::MountNamespace(namespace.as_fd()), 1)?;
    /// queue.watch(Object::FileSystem(file_system.as_fd()), 2)?;
    /// queue.watch(Object::BlockDevice(disk.as_fd()), 3)?;
    /// queue.watch(Object::Devices, 4)?;
    /// queue.watch("%:mine".parse::<KeyName>()?.find()?, 5)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::NoSource`] if the kernel does not have its source, as mainline for all but keys.
    /// [`Error::Os`] for all objects with `EBUSY` (this queue watches it already), `EAGAIN` (there
    /// are as many watches as this user may have), `ENOMEM`, or what a security module says; for
    /// keys with `ENOKEY`, `EACCES` (the key may not be viewed), `EKEYREVOKED` or `EKEYEXPIRED`;
    /// for others with `EINVAL` (the file is of another kind, or on nothing that can be watched),
    /// `EPERM` (the caller may not, or the queue is sealed and this is without its write end), `EBADF` (a block device that was opened with `O_PATH`) or
    /// `ENODEV` (the block device is gone).
    pub fn watch<'fd>(&self, object: impl Into<Object<'fd>>, tag: u8) -> Result<Watched, Error> {
        let object = object.into();
        let (key, id) = self
            .add_watch(object, tag)
            .map_err(|error| of_object(object, error))?;
        Ok(Watched {
            source: object.source(),
            key,
            id,
            tag,
        })
    }

    fn add_watch(&self, object: Object<'_>, tag: u8) -> io::Result<(Option<KeySerial>, u64)> {
        match object {
            Object::Key(key) => {
                // The session keyring of this process may be another one later.
                let key = key.resolve()?;
                sys::watch_key(key, self.control(), Some(tag))?;
                Ok((Some(key), key.id()))
            }
            _ => Ok((None, sys::add_watch(self.control(), object, tag)?)),
        }
    }

    /// Returns what the kernel can report of a source, or `None` if it does not have that.
    ///
    /// # Errors
    ///
    /// [`Error::Os`] with `ENOTTY` if the kernel cannot say, as mainline.
    ///
    /// ```no_run
    /// use watch_queue::{MessageType, Queue};
    ///
    /// let queue = Queue::new(256)?;
    /// if let Some(mounts) = queue.support(MessageType::MOUNT)? {
    ///     println!("mounts that move: {}", mounts.has_subtype(2));
    /// }
    /// # Ok::<(), watch_queue::Error>(())
    /// ```
    pub fn support(&self, source: MessageType) -> Result<Option<Support>, Error> {
        match sys::get_source(self.as_fd(), source.number()) {
            Ok(raw) => Ok(Some(Support(raw))),
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(None),
            Err(error) => Err(Error::os("see what the kernel can report", error)),
        }
    }

    /// Ends a watch; a [removal](crate::MetaEvent::Removal) in the queue says so.
    ///
    /// # Errors
    ///
    /// [`Error::NoSource`] if the kernel does not have its source; [`Error::Os`] with `EBADSLT` if
    /// this queue does not watch it, or as for [`watch`](Self::watch).
    ///
    /// ```no_run
    /// use watch_queue::{KeySerial, Queue};
    ///
    /// let queue = Queue::new(256)?;
    /// queue.watch(KeySerial::SESSION_KEYRING, 1)?;
    /// queue.unwatch(KeySerial::SESSION_KEYRING)?;
    /// # Ok::<(), watch_queue::Error>(())
    /// ```
    pub fn unwatch<'fd>(&self, object: impl Into<Object<'fd>>) -> Result<(), Error> {
        let object = object.into();
        match object {
            Object::Key(key) => sys::watch_key(key, self.control(), None),
            _ => sys::remove_watch(self.control(), object),
        }
        .map_err(|error| of_object(object, error))
    }

    /// Returns whether the watch is still there.
    ///
    /// A removal is a message like any other: it can be [lost](crate::MetaEvent::Loss), and whoever
    /// waits for it then waits for ever.  So a program that ends, or forgets an object, when the
    /// object goes has to ask this after each loss.
    ///
    /// Kernels that show the watches of a queue in `/proc/self/fdinfo` are asked for them.  On
    /// others, the key is watched once more: the watch is there if that is `EBUSY`.  If it was not
    /// there, but the key is, then this puts the removal of the new watch into the queue.
    ///
    /// # Errors
    ///
    /// [`Error::Stats`] if the kernel does not say, and it is not the watch of a key;
    /// [`Error::Os`] if there is no `/proc`, or a watch cannot be tried for want of memory.
    ///
    /// ```no_run
    /// use watch_queue::{Event, KeySerial, MetaEvent, Queue, MAX_MESSAGE};
    ///
    /// let queue = Queue::new(256)?;
    /// let watched = queue.watch(KeySerial::SESSION_KEYRING, 1)?;
    /// let mut buffer = [0; 32 * MAX_MESSAGE];
    /// loop {
    ///     for message in queue.read(&mut buffer)? {
    ///         match message?.event() {
    ///             Event::Meta(MetaEvent::Removal { .. }) => return Ok(()),
    ///             Event::Meta(MetaEvent::Loss { .. }) if !queue.still_watched(&watched)? => {
    ///                 return Ok(());
    ///             }
    ///             _ => {}
    ///         }
    ///     }
    /// }
    /// # #[allow(unreachable_code)]
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn still_watched(&self, watched: &Watched) -> Result<bool, Error> {
        match self.stats() {
            Ok(stats) => Ok(stats.has(watched)),
            Err(error) => match watched.key {
                Some(key) => self.still_watched_by_trying(key, watched.tag),
                None => Err(error),
            },
        }
    }

    /// Returns whether a key is watched, by watching it again.
    pub(crate) fn still_watched_by_trying(&self, key: KeySerial, tag: u8) -> Result<bool, Error> {
        let error = match sys::watch_key(key, self.control(), Some(tag)) {
            Ok(()) => {
                self.unwatch(key)?;
                return Ok(false);
            }
            Err(error) => error,
        };
        match Errno::from_io_error(&error) {
            Some(Errno::NOKEY) => Ok(false),
            // It exists, and so does a watch that ends with the key.
            Some(Errno::BUSY | Errno::KEYREVOKED | Errno::KEYEXPIRED | Errno::ACCESS) => Ok(true),
            _ => Err(Error::os("see whether the key is watched", error)),
        }
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
    ///
    /// ```no_run
    /// use watch_queue::{Queue, MAX_MESSAGE};
    ///
    /// let queue = Queue::new(256)?;
    /// let mut buffer = [0; 32 * MAX_MESSAGE];
    /// for message in queue.read(&mut buffer)? {
    ///     println!("{}", message?);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read<'a>(&self, buffer: &'a mut [u8]) -> io::Result<Messages<'a>> {
        let length = read(&self.read_end, &mut *buffer)?;
        Ok(Messages::new(&buffer[..length]))
    }

    /// How many bytes can be read now.
    ///
    /// # Errors
    ///
    /// Those of `FIONREAD`, but not of the kernels known.
    ///
    /// ```no_run
    /// let queue = watch_queue::Queue::new(256)?;
    /// assert_eq!(queue.readable_bytes()?, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn readable_bytes(&self) -> io::Result<u64> {
        Ok(ioctl_fionread(&self.read_end)?)
    }

    /// What the queue has done so far, and what it watches.
    ///
    /// # Errors
    ///
    /// [`Error::Stats`] if the kernel does not say, as mainline; [`Error::Os`] if `/proc` cannot
    /// be read.
    ///
    /// ```no_run
    /// let stats = watch_queue::Queue::new(256)?.stats()?;
    /// println!("{} of {} messages were lost", stats.lost, stats.posted);
    /// # Ok::<(), watch_queue::Error>(())
    /// ```
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
///
/// `Display` says what; the reason, where the kernel has one, is the
/// [`source`](std::error::Error::source).
///
/// ```no_run
/// use watch_queue::{Error, Queue};
///
/// match Queue::new(1 << 20) {
///     Ok(_) => println!("plenty of room"),
///     Err(Error::NoQueues) => println!("no queues in this kernel"),
///     Err(error) => println!("{error}: error {:?}", error.raw_os_error()),
/// }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The kernel has no notification queues.
    NoQueues,
    /// The kernel has notification queues, but none of what happens to objects of this type.
    NoSource(MessageType),
    /// There are no statistics.
    Stats(BadStats),
    /// The kernel refused.
    #[non_exhaustive]
    Os {
        /// What was to be done.
        action: &'static str,
        /// The reason.
        error: io::Error,
    },
}

impl Error {
    fn os(action: &'static str, error: io::Error) -> Self {
        Self::Os { action, error }
    }

    /// The error number, if the kernel refused.
    ///
    /// ```no_run
    /// use watch_queue::{KeySerial, Queue};
    ///
    /// let queue = Queue::new(256)?;
    /// if let Err(error) = queue.watch(KeySerial::from_serial(1), 1) {
    ///     println!("{:?}", error.raw_os_error());
    /// }
    /// # Ok::<(), watch_queue::Error>(())
    /// ```
    pub fn raw_os_error(&self) -> Option<i32> {
        match self {
            Self::Os { error, .. } => error.raw_os_error(),
            _ => None,
        }
    }
}

/// What an errno means for one who wanted to watch this, or does not want to any more.
fn of_object(object: Object<'_>, error: io::Error) -> Error {
    match (object, Errno::from_io_error(&error)) {
        (Object::Key(_), Some(Errno::OPNOTSUPP | Errno::NOSYS)) => {
            Error::NoSource(MessageType::KEY)
        }
        // Mainline does not have the ioctl at all.
        (_, Some(Errno::OPNOTSUPP | Errno::NOTTY)) => Error::NoSource(object.kind()),
        _ => Error::os(object.action(), error),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoQueues => {
                f.write_str("this kernel has no notification queues (CONFIG_WATCH_QUEUE)")
            }
            Self::NoSource(MessageType::KEY) => {
                f.write_str("this kernel has no notifications of keys (CONFIG_KEY_NOTIFICATIONS)")
            }
            Self::NoSource(kind) => {
                let option = kind.to_string().to_uppercase();
                write!(
                    f,
                    "this kernel has no notifications of type {kind} (CONFIG_WATCH_{option})"
                )
            }
            Self::Stats(_) => f.write_str("the queue has no statistics"),
            Self::Os { action, .. } => write!(f, "cannot {action}"),
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

/// An error of the same number, where there is one.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Os { error, .. } => error,
            Error::NoQueues | Error::NoSource(_) => {
                io::Error::new(io::ErrorKind::Unsupported, error)
            }
            Error::Stats(_) => io::Error::new(io::ErrorKind::Other, error),
        }
    }
}

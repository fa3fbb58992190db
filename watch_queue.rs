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
//!  filter, note, ring                    pure: they need no kernel, and are tested without one
//!  account, rcu_cell, wait, platform     what the rest needs of the kernel
//!  fdinfo, trace                         what people see of it
//! ```
//!
//! See [`Documentation/core-api/watch_queue.rst`](srctree/Documentation/core-api/watch_queue.rst).

use kernel::{
    alloc::flags::GFP_KERNEL_ACCOUNT,
    bindings,
    fs::file::LocalFile,
    iov::IovIterDest,
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        new_mutex, new_spinlock_irq, rcu, Arc, ArcBorrow, Mutex, SpinLockIrq,
    },
    types::Opaque,
};

mod account;
mod fdinfo;
mod filter;
mod note;
mod pipe_ext;
mod platform;
mod rcu_cell;
mod ring;
mod sources;
mod trace;
mod wait;
mod watch;

use crate::{
    account::{Charge, User, NOTES_PER_PAGE},
    filter::Filter,
    note::{Message, Note},
    rcu_cell::{RcuBox, RcuCell},
    ring::{Next, Poster, Reader, Span},
    trace::Reason,
    wait::{new_wait_lock, Locked, WaitLock, READABLE, WRITABLE},
    watch::Watches,
};

/// What is behind a notification pipe, and what C knows as `struct watch_queue`.
#[pin_data]
pub(crate) struct Queue {
    /// What posters need; those who wait for something to read wait here.
    #[pin]
    posts: WaitLock<Posts>,
    filter: RcuCell<Filter>,
    /// How many messages the filter has rejected.
    filtered: Atomic<u64>,
    /// What readers need.  This is locked before `posts` is.
    #[pin]
    reads: Mutex<Reads>,
    /// Those who poll for room, which is when the queue is not full.
    #[pin]
    room: WaitLock<()>,
    /// This is locked before a watch list is.
    #[pin]
    watches: SpinLockIrq<Watches>,
    /// Who is sent `SIGIO` when there is something to read.
    readable: Fasync,
    /// Who is sent `SIGIO` when something has been read.
    writable: Fasync,
    /// Who made the pipe, and is charged for what it holds.
    user: User,
    /// What people know the pipe by: the number of its inode.
    ino: u64,
}

/// What is posted to, and what a poster may need to know.
pub(crate) struct Posts {
    poster: Poster,
    ends: Ends,
}

/// The open files of a notification pipe.
#[derive(Clone, Copy)]
pub(crate) struct Ends {
    /// All of them, counting those that are being made or closed.
    files: u32,
    /// Those that are open for reading.
    readers: u32,
    /// Those that are open for writing.
    writers: u32,
}

/// What is read from.
struct Reads {
    reader: Reader,
    /// What the memory of the ring is charged as, if there is any.
    charge: Option<Charge>,
}

/// How much has been read.
#[derive(Default)]
struct Read {
    /// Bytes, those of records of losses included.
    bytes: usize,
    /// Messages.
    notes: u32,
    /// Messages that a record said were lost.
    lost: u64,
}

/// What there is to read after what has been read.
enum After {
    /// Messages, or a loss in front of them.
    Notes,
    /// A pending loss of that many messages.
    Loss(u32),
    /// Nothing.
    Nothing,
}

impl Queue {
    /// Makes the queue of a new pipe, both of whose ends are about to be made.
    fn new(ino: u64) -> Result<Arc<Self>> {
        let ends = Ends {
            files: 2,
            readers: 1,
            writers: 1,
        };
        Arc::pin_init(
            pin_init!(Self {
                posts <- new_wait_lock!(
                    Posts { poster: Poster::unsized_yet(), ends },
                    c"watch_queue::posts"
                ),
                filter: RcuCell::empty(),
                filtered: Atomic::new(0),
                reads <- new_mutex!(
                    Reads { reader: Reader::unsized_yet(), charge: None },
                    "watch_queue::reads"
                ),
                room <- new_wait_lock!((), c"watch_queue::room"),
                watches <- new_spinlock_irq!(Watches::new(), "watch_queue::watches"),
                readable: Fasync::new(),
                writable: Fasync::new(),
                user: User::current(),
                ino,
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// The filter, if there is one.
    #[inline(always)]
    pub(crate) fn filter<'a>(&'a self, rcu: &'a rcu::Guard) -> Option<&'a Filter> {
        self.filter.get(rcu)
    }

    /// Counts a message that the filter rejected.
    #[inline]
    pub(crate) fn count_rejected(&self) {
        self.filtered.add(1, Relaxed);
    }

    /// Counts a message that the filter rejected, and traces it.
    pub(crate) fn reject(&self, note: Note<'_>) {
        self.count_rejected();
        trace::filter(self.ino, note);
    }

    /// Drops a message that its watcher may not see.
    pub(crate) fn deny(&self, note: Note<'_>) {
        trace::drop(self.ino, note, Reason::Denied);
    }

    /// Appends a message, or counts it as lost, and tells those who wait.
    ///
    /// In any context but NMI.
    #[inline(always)]
    pub(crate) fn post(&self, message: &impl Message) {
        let is_news = self
            .posts
            .with(|posts| posts.post(message.note(), self.ino));
        if is_news {
            self.readable.kill(bindings::POLL_IN);
        }
    }

    /// Reads as many whole messages as there are and as fit, losses included.  Does not wait.
    ///
    /// Returns `None` if there is nothing to read yet.
    ///
    /// # Errors
    ///
    /// `ENOBUFS` if the first message does not fit, `EFAULT` if it could not be copied.
    fn read(&self, reads: &mut Reads, to: &mut IovIterDest<'_>) -> Result<Option<Read>> {
        let reader = &mut reads.reader;
        let mut done = Read::default();
        let error = loop {
            let lost = match reader.next(to.len()) {
                Next::Notes(span) => match self.read_notes(reader, to, span, &mut done) {
                    // Nothing more fits, and there may be nothing more.
                    Ok(_) if to.len() < note::MIN_LEN => return Ok(Some(done)),
                    Ok(After::Notes) => continue,
                    Ok(After::Nothing) => return Ok(Some(done)),
                    Ok(After::Loss(lost)) => lost,
                    Err(error) => break error,
                },
                Next::Loss(lost) => lost,
                Next::TooLarge => break ENOBUFS,
                Next::Nothing => {
                    // Asked at once, so that no message comes between the two.
                    let (after, writers) = self
                        .posts
                        .with(|posts| (posts.after(reader), posts.ends.writers));
                    match after {
                        After::Notes => continue,
                        After::Nothing => {
                            let may_come = done.bytes == 0 && writers != 0;
                            return Ok((!may_come).then_some(done));
                        }
                        After::Loss(lost) => lost,
                    }
                }
            };
            if let Err(error) = self.read_loss(reader, to, lost, &mut done) {
                break error;
            }
        };
        if done.bytes == 0 {
            Err(error)
        } else {
            Ok(Some(done))
        }
    }

    /// Reads the messages in `span`, and tells what comes after them.
    ///
    /// # Errors
    ///
    /// `EFAULT` if not all could be copied.  As many as could have been read then.
    #[inline(always)]
    fn read_notes(
        &self,
        reader: &mut Reader,
        to: &mut IovIterDest<'_>,
        span: Span,
        done: &mut Read,
    ) -> Result<After> {
        let wanted = span.bytes();
        let (first, second) = reader.pieces(span);
        let mut copied = to.copy_to_iter(first);
        if copied == first.len() && !second.is_empty() {
            copied += to.copy_to_iter(second);
        }
        let span = if copied == wanted {
            span
        } else {
            reader.whole_notes(span, copied)
        };
        done.bytes += span.bytes();
        done.notes += span.notes();

        let (was_full, after) = self.posts.with(|posts| {
            let was_full = posts.poster.is_full();
            reader.consume(&mut posts.poster, span);
            (was_full, posts.after(reader))
        });
        if was_full {
            self.room.with(|room| room.wake_one(WRITABLE));
        }
        if copied == wanted {
            Ok(after)
        } else {
            Err(EFAULT)
        }
    }

    /// Reads a record that says that `lost` messages were lost.
    ///
    /// # Errors
    ///
    /// `ENOBUFS` if it does not fit, `EFAULT` if it could not be copied.
    #[cold]
    fn read_loss(
        &self,
        reader: &mut Reader,
        to: &mut IovIterDest<'_>,
        lost: u32,
        done: &mut Read,
    ) -> Result {
        let record = note::loss_record(lost);
        if to.len() < record.len() {
            return Err(ENOBUFS);
        }
        if to.copy_to_iter(&record) != record.len() {
            return Err(EFAULT);
        }
        done.bytes += record.len();
        done.lost += u64::from(lost);
        self.posts
            .with(|posts| reader.deliver_loss(&mut posts.poster, lost));
        Ok(())
    }

    /// Reads as [`Queue::read`] does, and waits for something to read if `may_wait`.
    ///
    /// # Errors
    ///
    /// Those, and `EAGAIN` if it would have to wait and may not, `ERESTARTSYS` if a signal came
    /// while waiting.
    fn read_or_wait(&self, to: &mut IovIterDest<'_>, may_wait: bool) -> Result<usize> {
        if to.is_empty() {
            return Ok(0);
        }
        let mut has_waited = false;
        let result = loop {
            match self.read(&mut self.reads.lock(), to) {
                Ok(Some(done)) => {
                    trace::read(self.ino, done.bytes, done.notes, done.lost);
                    break Ok(done.bytes);
                }
                Ok(None) if may_wait => {}
                Ok(None) => break Err(EAGAIN),
                Err(error) => break Err(error),
            }
            self.posts.wait_interruptible(Posts::has_news)?;
            has_waited = true;
        };
        if has_waited {
            // One reader is woken for each message.  This one may have left something.
            self.posts.with(|posts| {
                if posts.poster.is_readable() {
                    posts.wake_one(READABLE);
                }
            });
        }
        self.writable.kill(bindings::POLL_OUT);
        result
    }

    /// Sets memory aside for `nr_notes` messages, rounded up to whole pages.
    ///
    /// # Errors
    ///
    /// `EBUSY` if that has been done, `EINVAL` if the number is senseless, `EPERM` if the memory is
    /// more than the caller may have, `ENOMEM` if it is more than there is.
    fn set_size(&self, nr_notes: usize) -> Result {
        let mut reads = self.reads.lock();
        if reads.charge.is_some() {
            return Err(EBUSY);
        }
        if nr_notes == 0 || nr_notes > ring::MAX_CAPACITY as usize {
            return Err(EINVAL);
        }
        let pages = nr_notes.div_ceil(NOTES_PER_PAGE);
        let charge = self.user.charge(pages)?;
        let (mut poster, reader) = ring::split((pages * NOTES_PER_PAGE) as u32)?;

        self.posts.with(|posts| {
            poster.inherit(&posts.poster);
            posts.poster = poster;
        });
        reads.reader = reader;
        reads.charge = Some(charge);
        Ok(())
    }

    /// Replaces the filter.
    fn set_filter(&self, filter: Option<RcuBox<Filter>>) {
        self.filter.replace(filter);
    }

    /// How many bytes could be read.
    fn pending_bytes(&self) -> usize {
        let reads = self.reads.lock();
        self.posts
            .with(|posts| reads.reader.pending_bytes(&posts.poster))
    }

    /// How many pages the queue holds, or `None` if it has no size yet.
    fn pages(&self) -> Option<usize> {
        self.reads.lock().charge.as_ref().map(Charge::pages)
    }

    /// Lets go of what the queue holds, after the last file is closed.  Watches may refer to it
    /// for a little longer.
    fn close(&self) {
        watch::detach_all(self);
        self.set_filter(None);
        let poster = self
            .posts
            .with(|posts| core::mem::replace(&mut posts.poster, Poster::unsized_yet()));
        let mut reads = self.reads.lock();
        reads.reader = Reader::unsized_yet();
        reads.charge = None;
        drop(reads);
        // The memory goes only now: that is nothing to do with interrupts off.
        drop(poster);
    }
}

impl Locked<'_, Posts> {
    /// Appends a message, or counts it as lost, and wakes a reader.
    ///
    /// Returns whether that is news to who is sent signals.
    #[inline(always)]
    fn post(&mut self, note: Note<'_>, ino: u64) -> bool {
        if self.poster.post(note).is_ok() {
            trace::post(ino, note);
        } else {
            self.trace_loss(note, ino);
            // Of a run of losses, only the first is news.
            if self.poster.lost() != 1 {
                return false;
            }
        }
        self.wake_one(READABLE);
        true
    }

    #[inline(always)]
    fn trace_loss(&self, note: Note<'_>, ino: u64) {
        let reason = if self.poster.capacity() == 0 {
            Reason::Unsized
        } else {
            Reason::Full
        };
        trace::drop(ino, note, reason);
    }
}

impl Posts {
    /// What comes after what has been read.
    #[inline(always)]
    fn after(&self, reader: &Reader) -> After {
        if !reader.is_at_end(&self.poster) {
            return After::Notes;
        }
        match reader.pending_loss(&self.poster) {
            0 => After::Nothing,
            lost => After::Loss(lost),
        }
    }

    /// Whether somebody who waits for something to read has nothing to wait for.
    fn has_news(&self) -> bool {
        self.poster.is_readable() || self.ends.writers == 0
    }
}

/// Who is sent `SIGIO`.
struct Fasync(Opaque<*mut bindings::fasync_struct>);

// SAFETY: What this points to is not bound to a thread.
unsafe impl Send for Fasync {}
// SAFETY: `fasync_helper()` and `kill_fasync()` do their own locking.
unsafe impl Sync for Fasync {}

impl Fasync {
    fn new() -> Self {
        Self(Opaque::new(core::ptr::null_mut()))
    }

    /// Sends the signal, in any context but NMI.
    #[inline]
    fn kill(&self, band: u32) {
        // SAFETY: The pointer is valid for reads, which may race with `fasync_helper()` as they do
        // in `kill_fasync()`.
        if !unsafe { self.0.get().read_volatile() }.is_null() {
            // SAFETY: The list was initialised empty, and is only changed by `fasync_helper()`.
            unsafe { bindings::kill_fasync(self.0.get(), bindings::SIGIO as c_int, band as c_int) };
        }
    }
}

/// Takes a reference to the queue that is behind a file descriptor.
///
/// Returns it, or `-EINVAL` as an error pointer if the file descriptor is not a notification
/// pipe's.
///
/// Context: Process context.
///
/// # Safety
///
/// This can be called by anyone.  It is `unsafe` because that is what exported functions are.
#[export]
pub(crate) unsafe extern "C" fn get_watch_queue(fd: c_int) -> *mut bindings::watch_queue {
    let file = u32::try_from(fd)
        .ok()
        .and_then(|fd| LocalFile::fget(fd).ok());
    // SAFETY: The file is open as long as `file` is.
    let queue = file
        .as_ref()
        .and_then(|file| unsafe { pipe_ext::queue_of_file(file.as_ptr()) });
    match queue {
        Some(queue) => Arc::into_raw(Arc::from(queue)).cast_mut().cast(),
        None => EINVAL.to_ptr(),
    }
}

/// Drops a reference to a queue.
///
/// Context: Any but NMI.
///
/// # Safety
///
/// The caller has the reference, and it came from [`get_watch_queue`].
#[export]
pub(crate) unsafe extern "C" fn put_watch_queue(wqueue: *mut bindings::watch_queue) {
    // SAFETY: By the caller's promise.
    drop(unsafe { Arc::<Queue>::from_raw(wqueue.cast()) });
}

/// A queue, borrowed from one of its files.
type Borrowed<'a> = ArcBorrow<'a, Queue>;

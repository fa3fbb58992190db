// SPDX-License-Identifier: GPL-2.0

//! The queue behind a notification pipe.

use kernel::{
    alloc::flags::GFP_KERNEL_ACCOUNT,
    bindings,
    fs::file::LocalFile,
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        new_mutex, new_spinlock_irq, rcu, Arc, ArcBorrow, Mutex, SpinLockIrq,
    },
    types::Opaque,
};

mod account;

use self::account::{Charge, User, NOTES_PER_PAGE};
use crate::{
    filter::Filter,
    note::{self, Message},
    overflow::Overflow,
    pipe_ext::{self, destination::Destination},
    ring::{self, Next, Poster, Reader, Span},
    sync::{
        rcu_cell::{RcuBox, RcuCell},
        wait::{new_wait_lock, Locked, WaitLock, READABLE, WRITABLE},
    },
    trace::{self, Reason},
    watch::{self, Watches},
};

/// What is behind a notification pipe, and what C knows as `struct watch_queue`.
///
/// It begins with what a post needs.
#[pin_data]
#[repr(C)]
pub(crate) struct Queue {
    /// What posters need; those who wait for something to read wait here.
    #[pin]
    pub(crate) posts: WaitLock<Posts>,
    /// The losses that posters count without `posts`.
    overflow: Overflow,
    filter: RcuCell<Filter>,
    /// How many messages the filter has rejected.
    pub(crate) filtered: Atomic<u64>,
    /// What readers need.  This is locked before `posts` is.
    #[pin]
    pub(crate) reads: Mutex<Reads>,
    /// Those who poll for room, which is when the queue is not full.
    #[pin]
    pub(crate) room: WaitLock<()>,
    /// This is locked before a watch list is.
    #[pin]
    pub(crate) watches: SpinLockIrq<Watches>,
    /// Who is sent `SIGIO` when there is something to read.
    pub(crate) readable: Fasync,
    /// Who is sent `SIGIO` when something has been read.
    pub(crate) writable: Fasync,
    /// Who made the pipe, and is charged for what it holds.
    user: User,
    /// What people know the pipe by: the number of its inode.
    pub(crate) ino: u64,
}

/// What is posted to, and what a poster may need to know.
pub(crate) struct Posts {
    pub(crate) poster: Poster,
    pub(crate) ends: Ends,
}

/// The open files of a notification pipe.
#[derive(Clone, Copy)]
pub(crate) struct Ends {
    /// All of them, counting those that are being made or closed.
    pub(crate) files: u32,
    /// Those that are open for reading.
    pub(crate) readers: u32,
    /// Those that are open for writing.
    pub(crate) writers: u32,
}

/// What is read from.
pub(crate) struct Reads {
    /// `None` as long as the queue has no size.
    reader: Option<Reader>,
    /// What the memory of the ring is charged as, if there is any.
    charge: Option<Charge>,
}

/// How much has been read.
#[derive(Default)]
struct Read {
    /// Messages.
    notes: Span,
    /// The size of records of losses, in bytes.
    records: usize,
    /// Messages that a record said were lost.
    lost: u64,
}

impl Read {
    #[inline]
    fn bytes(&self) -> usize {
        self.notes.bytes() + self.records
    }
}

impl Queue {
    /// Makes the queue of a new pipe, both of whose ends are about to be made.
    pub(crate) fn new(ino: u64) -> Result<Arc<Self>> {
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
                overflow: Overflow::new(),
                filter: RcuCell::empty(),
                filtered: Atomic::new(0),
                reads <- new_mutex!(
                    Reads { reader: None, charge: None },
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
    #[inline]
    pub(crate) fn reject(&self, message: &impl Message) {
        self.count_rejected();
        trace::filter(self, message);
    }

    /// Drops a message that its watcher may not see.
    #[inline]
    pub(crate) fn deny(&self, message: &impl Message) {
        trace::drop(self, message, Reason::Denied);
    }

    /// Appends a message, or counts it as lost, and tells those who wait.
    ///
    /// In any context but NMI.
    #[inline(always)]
    pub(crate) fn post(&self, message: &impl Message) {
        if self.overflow.count() {
            trace::drop(self, message, Reason::Full);
            return;
        }
        let is_news = self.posts.with(|posts| posts.post(message, self));
        if is_news {
            self.readable.kill(bindings::POLL_IN);
        }
    }

    /// Calls `f` with what posters need, in which all losses are counted that there have been.
    #[inline(always)]
    pub(crate) fn with_posts<R>(&self, f: impl FnOnce(&mut Locked<'_, Posts>) -> R) -> R {
        self.posts.with(|posts| {
            posts.poster.settle(&self.overflow);
            f(posts)
        })
    }

    /// Reads as many whole messages as there are and as fit, losses included, and adds them to
    /// `done`, which is empty.  Does not wait.
    ///
    /// If that is nothing, the pipe has no other end.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if there is nothing to read yet, `ENOBUFS` if the first message does not fit,
    /// `EFAULT` if it could not be copied.
    #[inline(always)]
    fn read(&self, to: &mut impl Destination, done: &mut Read) -> Result {
        let reads = &mut *self.reads.lock();
        let error = loop {
            let reader = reads.reader.as_mut();
            let next = reader
                .as_ref()
                .map_or(Next::Nothing, |reader| reader.next(to.room()));
            let lost = match (next, reader) {
                (Next::Notes(span), Some(reader)) => {
                    let copied = copy_notes(reader, to, span);
                    if copied != span.bytes() {
                        let whole = reader.whole_notes(span, copied);
                        self.consume(reader, whole);
                        done.notes = done.notes.and(whole);
                        break EFAULT;
                    }
                    let is_all = self.consume(reader, span);
                    done.notes = done.notes.and(span);
                    if is_all || to.room() < note::MIN_LEN {
                        return Ok(());
                    }
                    continue;
                }
                (Next::Loss(lost), _) => lost,
                (Next::TooLarge, _) => break ENOBUFS,
                _ => {
                    // Asked at once, so that no message comes between the two.
                    let (lost, is_at_end, writers) = self.with_posts(|posts| {
                        let poster = &posts.poster;
                        (
                            poster.pending_loss(),
                            poster.is_at_end(),
                            posts.ends.writers,
                        )
                    });
                    if !is_at_end {
                        continue;
                    }
                    if lost == 0 {
                        if done.bytes() == 0 && writers != 0 {
                            break EAGAIN;
                        }
                        return Ok(());
                    }
                    lost
                }
            };
            if let Err(error) = copy_loss(to, lost) {
                break error;
            }
            self.with_posts(|posts| match &mut reads.reader {
                Some(reader) => reader.deliver_loss(&mut posts.poster, lost),
                None => posts.poster.deliver_pending_loss(lost),
            });
            done.records += note::MIN_LEN;
            done.lost += u64::from(lost);
        };
        if done.bytes() == 0 {
            Err(error)
        } else {
            Ok(())
        }
    }

    /// Gives the memory of messages that have been read back to posters.
    ///
    /// Returns whether that was all there is to read.
    #[inline(always)]
    fn consume(&self, reader: &mut Reader, span: Span) -> bool {
        let (was_full, is_all) = self.with_posts(|posts| {
            let was_full = reader.consume(&mut posts.poster, span);
            (was_full, !posts.poster.is_readable())
        });
        if was_full {
            self.room.with(|room| room.wake_one(WRITABLE));
        }
        is_all
    }

    /// Reads as [`Queue::read`] does, and waits for something to read if `may_wait`.
    ///
    /// # Errors
    ///
    /// Those, and `EAGAIN` if it would have to wait and may not, `ERESTARTSYS` if a signal came
    /// while waiting.
    #[inline(always)]
    pub(crate) fn read_or_wait(
        &self,
        mut to: impl Destination,
        may_wait: impl Fn() -> bool,
    ) -> Result<usize> {
        if to.room() == 0 {
            return Ok(0);
        }
        let mut done = Read::default();
        let mut has_waited = false;
        let result = loop {
            match self.read(&mut to, &mut done) {
                Err(EAGAIN) if may_wait() => {}
                result => break result,
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
        result?;
        trace::read(self, done.bytes(), done.notes.notes(), done.lost);
        self.writable.kill(bindings::POLL_OUT);
        Ok(done.bytes())
    }

    /// Sets memory aside for `nr_notes` messages, rounded up to whole pages.
    ///
    /// # Errors
    ///
    /// `EBUSY` if that has been done, `EINVAL` if the number is senseless, `EPERM` if the memory is
    /// more than the caller may have, `ENOMEM` if it is more than there is.
    pub(crate) fn set_size(&self, nr_notes: usize) -> Result {
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

        self.with_posts(|posts| {
            poster.inherit(&posts.poster);
            posts.poster = poster;
        });
        reads.reader = Some(reader);
        reads.charge = Some(charge);
        Ok(())
    }

    /// Replaces the filter.
    pub(crate) fn set_filter(&self, filter: Option<RcuBox<Filter>>) {
        self.filter.replace(filter);
    }

    /// How many bytes could be read.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.posts.with(|posts| posts.poster.pending_bytes())
    }

    /// How many pages the queue holds, or `None` if it has no size yet.
    pub(crate) fn pages(&self) -> Option<usize> {
        self.reads.lock().charge.as_ref().map(Charge::pages)
    }

    /// Lets go of what the queue holds, after the last file is closed.  Watches may refer to it
    /// for a little longer.
    pub(crate) fn close(&self) {
        watch::detach_all(self);
        self.set_filter(None);
        let poster =
            self.with_posts(|posts| core::mem::replace(&mut posts.poster, Poster::unsized_yet()));
        let mut reads = self.reads.lock();
        reads.reader = None;
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
    fn post(&mut self, message: &impl Message, queue: &Queue) -> bool {
        if self.poster.post(message.note(), &queue.overflow).is_ok() {
            trace::post(queue, message);
        } else {
            let is_unsized = self.poster.capacity() == 0;
            let reason = if is_unsized {
                Reason::Unsized
            } else {
                Reason::Full
            };
            trace::drop(queue, message, reason);
            // Of a run of losses, only the first is news.
            if self.poster.lost() != 1 {
                return false;
            }
        }
        self.wake_one(READABLE);
        true
    }
}

impl Posts {
    /// Whether somebody who waits for something to read has nothing to wait for.
    fn has_news(&self) -> bool {
        self.poster.is_readable() || self.ends.writers == 0
    }
}

/// Copies the messages in `span`, and returns how many of their bytes could be copied.
#[inline(always)]
fn copy_notes(reader: &Reader, to: &mut impl Destination, span: Span) -> usize {
    let (first, second) = reader.pieces(span);
    let copied = to.append(first);
    if copied == first.len() && !second.is_empty() {
        copied + to.append(second)
    } else {
        copied
    }
}

/// Copies a record that says that `lost` messages were lost.
///
/// # Errors
///
/// `ENOBUFS` if it does not fit, `EFAULT` if it could not be copied.
#[inline(always)]
fn copy_loss(to: &mut impl Destination, lost: u32) -> Result {
    let record = note::loss_record(lost);
    if to.room() < record.len() {
        return Err(ENOBUFS);
    }
    if to.append(&record) != record.len() {
        return Err(EFAULT);
    }
    Ok(())
}

/// Who is sent `SIGIO`.
pub(crate) struct Fasync(pub(crate) Opaque<*mut bindings::fasync_struct>);

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
    pub(crate) fn kill(&self, band: u32) {
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
pub(crate) type Borrowed<'a> = ArcBorrow<'a, Queue>;

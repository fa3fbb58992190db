// SPDX-License-Identifier: GPL-2.0

//! The queue behind a notification pipe: a filter, a ring, and the wait queues of both ends.

use core::mem::{self, offset_of, MaybeUninit};
use kernel::{
    alloc::flags::GFP_KERNEL_ACCOUNT,
    bindings, container_of,
    fs::LocalFile,
    prelude::*,
    sync::{
        atomic::{Atomic, Full, Relaxed},
        barrier::smp_mb,
        new_mutex, new_spinlock, rcu, Arc, ArcBorrow, Mutex, MutexGuard, SpinLock, UniqueArc,
    },
};

mod account;
mod count;
mod fasync;
mod look;

use self::{
    account::{Charge, User, NOTES_PER_PAGE},
    count::Count,
    fasync::Fasync,
    look::Look,
};
use crate::{
    filter::{Filter, Rule},
    note::{self, Message, Note},
    overflow::{Counted, Overflow},
    platform::load_relaxed,
    ring::{self, Batch, Next, Poster, Reader, Span},
    sync::{
        irq_work::IrqWork,
        lock::{new_raw_lock, Held, RawLock},
        rcu_cell::{RcuBox, RcuCell},
        read_once,
        wait::{new_wait_queue, Events, PollTable, WaitQueue, ERROR, HANGUP, READABLE, WRITABLE},
    },
    trace::{self, Reason},
    watch::{self, Watches},
};

/// A notification queue: `struct watch_queue` to C.
///
/// Fields that are written by the same code share cache lines.  So readers and rare operations do
/// not take a line away from posters.  A post that the filter rejects reads only the first of these
/// lines, and writes nothing but a per-CPU count:
///
/// ```text
///   +----------------------------------------+
///   | the count of references                |  posters read, seldom written
///   | filter, filtered, readable, name       |
///   | user, sealed                           |
///   +----------------------------------------+
///   | posts: lock, head, tail, limit, ...    |  posters write; readers when they consume
///   | overflow, look, readers                |  and when they begin to wait
///   +----------------------------------------+
///   | reads: mutex, tail, offset             |  readers write
///   | room, synced, syncing, writable        |
///   |                                        |
///   | watches, rules, deferred               |  seldom written or read
///   +----------------------------------------+
/// ```
///
/// All of it, with the count of references that is in front of it in an [`Arc`], has 512 bytes, so
/// that `kmalloc()` wastes none, and has it begin at a cache line.
#[pin_data]
#[repr(C)]
pub(crate) struct Queue {
    filter: RcuCell<Filter>,
    /// The number of messages that the filter has rejected.
    filtered: Count,
    /// The receivers of `SIGIO` when there is something to read.
    readable: Fasync,
    /// The name of the queue in trace events.
    name: trace::Name,
    /// The user who made the pipe and is charged for its memory.
    user: User,
    /// The read end is for reading only.
    sealed: Atomic<bool>,
    _rest_of_line: Unused<1>,

    /// The posters' state.
    #[pin]
    posts: RawLock<Posts>,
    /// Losses that are counted without the lock of `posts`.
    overflow: Overflow,
    /// A copy of the readiness in `posts`, for pollers that do not take its lock.
    look: Look,
    /// The wait queue of those that wait for something to read.
    #[pin]
    readers: WaitQueue,
    _rest_of_lines: Unused<5>,

    /// The readers' state.  Its lock is taken before that of `posts`.
    #[pin]
    reads: Mutex<Reads>,
    /// The wait queue of those that poll for room, which there is unless the queue is full.
    #[pin]
    room: WaitQueue,
    /// The wait queue of [`Queue::sync`].
    #[pin]
    synced: WaitQueue,
    /// The number of tasks that may be on that.  They count with the lock of `posts`.
    syncing: Atomic<u32>,
    /// The receivers of `SIGIO` when something has been read.
    writable: Fasync,

    /// The watches of the queue.  Their lock is taken before that of a watch list.
    #[pin]
    watches: RawLock<Watches>,
    /// The rules of the filter as userspace gave them.  Their lock serialises changes of `filter`.
    #[pin]
    rules: SpinLock<Option<KVec<Rule>>>,
    /// Calls [`Queue::notify_readers`] for posts in a context that does not allow it.
    deferred: IrqWork,
    _rest: Unused<2>,
}

/// Padding, in words.
type Unused<const N: usize> = MaybeUninit<[u64; N]>;

/// The size of the reference count that an [`Arc`] puts in front of a queue, with its padding.
const ARC_HEADER: usize = align_of::<Queue>();

const _: () = {
    const LINE: usize = 64;
    let spinlock = size_of::<bindings::spinlock_t>();
    let mutex = size_of::<bindings::mutex>();
    // In a kernel that checks its locks, or with PREEMPT_RT, they are larger.
    if spinlock == 4 && mutex == 24 {
        // Posters find all fields that they do not write in the first line.
        assert!(ARC_HEADER + offset_of!(Queue, posts) == LINE);
        assert!((ARC_HEADER + offset_of!(Queue, reads)) % LINE == 0);
        assert!(ARC_HEADER + size_of::<Queue>() == 512);
    }
};

/// A queue, borrowed from one of its files.
pub(crate) type Borrowed<'a> = ArcBorrow<'a, Queue>;

/// The posters' state.
struct Posts {
    poster: Poster,
    ends: Ends,
    /// False only if `readers` and `readable` are empty, so that a post tests one flag and not both
    /// lists.  A waiter first joins its list, and then sets this under the lock of `posts`.
    may_have_waiters: bool,
    /// Whether `deferred` was ever queued.
    has_deferred: bool,
}

/// The readers' state.
enum Reads {
    /// The queue has no size yet, and no memory.
    Unsized,
    /// The queue has a size.
    Sized {
        reader: Reader,
        /// The pages of the ring.
        charge: Charge,
    },
}

impl Reads {
    fn reader(&mut self) -> Option<&mut Reader> {
        match self {
            Self::Unsized => None,
            Self::Sized { reader, .. } => Some(reader),
        }
    }
}

/// The open files of a notification pipe.
#[derive(Clone, Copy)]
struct Ends {
    /// All files, including those that are being opened or closed.
    files: u32,
    /// Files that are open for reading.
    readers: u32,
    /// Files that are open for writing.
    writers: u32,
}

/// The mode in which a file of a notification pipe is open.
#[derive(Clone, Copy)]
pub(crate) struct Mode {
    pub(crate) reads: bool,
    pub(crate) writes: bool,
}

/// The result of [`Queue::drop_file`]: what the caller does after it has unlocked the inode.
pub(crate) enum Left {
    /// The caller does nothing: both ends are open, or nobody waits for one to be closed.
    Nothing,
    /// Only one end is open.  The caller wakes all waiters by [`Queue::wake_all`].
    Wake,
    /// No file is open.  The caller detaches and frees by [`Queue::close`].
    Close,
}

impl Mode {
    /// The mode for a file of a new pipe that could not be allocated.
    pub(crate) const UNOPENED: Self = Self {
        reads: false,
        writes: false,
    };
}

impl Ends {
    fn add(&mut self, mode: Mode) {
        self.readers += u32::from(mode.reads);
        self.writers += u32::from(mode.writes);
    }

    fn remove(&mut self, mode: Mode) {
        self.readers -= u32::from(mode.reads);
        self.writers -= u32::from(mode.writes);
    }

    /// Returns whether one side is open without the other.
    fn is_one_sided(&self) -> bool {
        (self.readers == 0) != (self.writers == 0)
    }
}

/// The destination of a read.
pub(crate) trait Destination {
    /// Returns the number of bytes for which there is room.
    fn room(&self) -> usize;

    /// Appends `bytes`, for which there is room, and returns how many of them could be copied.
    ///
    /// May sleep.
    fn append(&mut self, bytes: &[u8]) -> usize;
}

/// The result of a read so far.
struct Read {
    /// The messages, and the bytes of the records of losses.
    span: Span,
    /// The number of messages that these records count.
    lost: u64,
}

/// The size of a queue, what it holds, and what has become of all messages posted to it.
pub(crate) struct Counts {
    /// The number of messages that there is memory for; 0 as long as the queue has no size.
    pub(crate) capacity: u32,
    /// The number of messages that can be read.
    pub(crate) messages: u32,
    /// The number of bytes that can be read, records of losses included.
    pub(crate) bytes: u64,
    /// The number of messages that were put into the queue.
    pub(crate) delivered: u64,
    /// The number of messages that the filter rejected.
    pub(crate) filtered: u64,
    /// The number of messages that were lost.
    pub(crate) lost: u64,
}

impl Queue {
    /// Makes the queue of a new pipe, of which both ends are about to be opened.
    pub(crate) fn new(ino: u64) -> Result<Arc<Self>> {
        let ends = Ends {
            files: 2,
            readers: 1,
            writers: 1,
        };
        Arc::pin_init(
            pin_init!(Self {
                filter: RcuCell::empty(),
                filtered: Count::new(),
                readable: Fasync::new(),
                name: trace::Name(ino),
                user: User::current(),
                sealed: Atomic::new(false),
                _rest_of_line: Unused::uninit(),
                posts <- new_raw_lock!(
                    Posts {
                        poster: Poster::unsized_yet(),
                        ends,
                        may_have_waiters: false,
                        has_deferred: false,
                    },
                    c"watch_queue::posts"
                ),
                overflow: Overflow::new(),
                look: Look::new(),
                readers <- new_wait_queue!(c"watch_queue::readers"),
                _rest_of_lines: Unused::uninit(),
                reads <- new_mutex!(Reads::Unsized, "watch_queue::reads"),
                room <- new_wait_queue!(c"watch_queue::room"),
                synced <- new_wait_queue!(c"watch_queue::synced"),
                syncing: Atomic::new(0),
                writable: Fasync::new(),
                watches <- new_raw_lock!(Watches::new(), c"watch_queue::watches"),
                rules <- new_spinlock!(None, "watch_queue::rules"),
                deferred: IrqWork::new(notify_deferred),
                _rest: Unused::uninit(),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// Drops a reference, and frees the queue if it was the last one.
    ///
    /// Freeing is out of line, so that the callers save no registers for it.
    #[inline(always)]
    pub(crate) fn put(queue: Arc<Self>) {
        if let Some(queue) = Arc::into_unique_or_drop(queue) {
            free(queue);
        }
    }

    /// Returns the name of the queue in trace events.
    #[inline(always)]
    pub(crate) fn name(&self) -> &trace::Name {
        &self.name
    }

    /// Returns the watches of the queue, for [`crate::watch`].
    #[inline(always)]
    pub(crate) fn watches(&self) -> &RawLock<Watches> {
        &self.watches
    }

    /// Returns the filter, if there is one.
    #[inline(always)]
    pub(crate) fn filter<'a>(&'a self, rcu: &'a rcu::Guard) -> Option<&'a Filter> {
        self.filter.get(rcu)
    }

    /// Counts a message that the filter rejected.
    #[inline]
    pub(crate) fn count_rejected(&self) {
        self.filtered.add_one();
    }

    /// Counts and traces a message that the filter rejected.
    #[inline]
    pub(crate) fn reject(&self, message: &impl Message) {
        self.count_rejected();
        trace::filter(&self.name, message);
    }

    /// Traces a message that a security module denied to its watcher.
    #[inline]
    pub(crate) fn deny(&self, message: &impl Message) {
        trace::deny(&self.name, message);
    }

    /// Appends a message, or counts it as lost, and wakes a reader.
    ///
    /// Context: Any but NMI, in an RCU read-side critical section.  Where the context does not
    /// allow to wake anybody, that happens soon after.
    #[inline(always)]
    pub(crate) fn post(&self, message: &impl Message) {
        if self.overflow.is_on() {
            let counted = self.overflow.count();
            if counted == Counted::Lost {
                trace::lose(&self.name, message, Reason::Full);
                return;
            }
            if counted == Counted::LostAndMustSettle {
                return self.lose_and_settle(message.note());
            }
        }
        // SAFETY: Whichever way this goes, it is dropped before another such lock is taken, and
        // before it returns.
        let mut posts = unsafe { self.posts.hold() };
        let note = message.note();
        // Either the message can be read afterwards, or the record of its loss.
        self.look.set_readable(true);
        // The other ways are tail calls, so nothing has to be saved for them.
        if !posts.poster.post_at_once(note) {
            return self.post_slowly(note, posts);
        }
        if trace::deliver_is_on() || posts.may_have_waiters {
            self.end_post(note, posts);
        }
    }

    /// Moves the losses that were counted without the lock to `posts`, before their counter is
    /// full, and traces the message that was lost last.
    #[cold]
    #[inline(never)]
    fn lose_and_settle(&self, note: Note<'_>) {
        self.with_posts(|_| ());
        trace::lose(&self.name, &note, Reason::Full);
    }

    /// Appends a message, or counts it as lost, and ends the post.
    #[cold]
    #[inline(never)]
    fn post_slowly(&self, note: Note<'_>, mut posts: Held<'_, Posts>) {
        if posts.poster.post(note, &self.overflow).is_ok() {
            return self.end_post(note, posts);
        }
        let is_unsized = posts.poster.capacity() == 0;
        let reason = if is_unsized {
            Reason::Unsized
        } else {
            Reason::Full
        };
        trace::lose(&self.name, &note, reason);
        // Only the first of a run of losses makes the queue readable.
        if posts.poster.lost() == 1 {
            self.notify(posts);
        }
    }

    /// Traces a message that has been put into the queue, and tells those that wait for it.
    #[cold]
    #[inline(never)]
    fn end_post(&self, note: Note<'_>, posts: Held<'_, Posts>) {
        trace::deliver(&self.name, &note);
        self.notify(posts);
    }

    /// Returns whether somebody waits for something to read.
    ///
    /// The caller holds the lock of `posts`.
    #[inline(always)]
    fn has_waiters(&self) -> bool {
        self.readers.is_active() || self.readable.is_active()
    }

    /// Lets the posters' lock go, and tells those that wait that there is something to read: now,
    /// if the context allows it, and soon if not.
    fn notify(&self, mut posts: Held<'_, Posts>) {
        if self.has_waiters() {
            let flags = posts.flags();
            let notify = posts.may_notify(self, flags);
            drop(posts);
            if notify {
                self.notify_readers();
            }
        } else {
            posts.may_have_waiters = false;
        }
    }

    /// Wakes a reader, and sends `SIGIO`.
    ///
    /// Out of line, so that a post that nobody waits for spills nothing.
    #[cold]
    #[inline(never)]
    fn notify_readers(&self) {
        // Orders the change of `look` before the wake function's load of the events that are
        // wanted.  Pairs with the pollers' barrier; see `queue/look.rs`.
        smp_mb(Full);
        self.readers.wake_one(READABLE);
        self.readable.kill(fasync::READABLE);
    }

    /// Calls `f` with the posters' state, in which all losses so far are counted.
    #[inline(always)]
    fn with_posts<R>(&self, f: impl FnOnce(&mut Posts) -> R) -> R {
        self.posts.with(|posts| {
            posts.poster.settle(&self.overflow);
            let result = f(posts);
            self.look.set_readable(posts.poster.is_readable());
            result
        })
    }

    /// Locks the readers' state, or does not wait for it if `is_nowait`.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if another reader has it locked.
    #[inline(always)]
    fn lock_reads(&self, is_nowait: bool) -> Result<MutexGuard<'_, Reads>> {
        if is_nowait {
            // A reader may be in a page fault for long.
            self.reads.try_lock().ok_or(EAGAIN)
        } else {
            Ok(self.reads.lock())
        }
    }

    /// Reads all messages and records of losses that are there and fit, and adds them to `done`.
    ///
    /// Success without a byte in `done` is the end of the file.  Returns whether something may be
    /// left to read.
    ///
    /// Takes the posters' lock to look for a loss behind all messages, and for the end of the file,
    /// unless nothing has been read, and `is_hasty` is set or `look` shows neither of these.
    ///
    /// # Errors
    ///
    /// - `EAGAIN` if there is nothing to read yet
    /// - `ENOBUFS` if the first message does not fit
    /// - `EFAULT` if it could not be copied
    fn read_locked(
        &self,
        reads: &mut Reads,
        to: &mut impl Destination,
        done: &mut Read,
        is_hasty: bool,
    ) -> Result<bool> {
        let error = loop {
            let next = match reads.reader() {
                Some(reader) => reader.next(to.room()),
                None => Next::Nothing,
            };
            let lost = match next {
                Next::Notes(batch) => {
                    let (span, rest) = (batch.span(), batch.rest());
                    let copied = copy_batch(&batch, to);
                    if copied != span.bytes() {
                        let whole = batch.truncate(copied);
                        done.span = done.span.and(whole.span());
                        self.consume(whole);
                        break EFAULT;
                    }
                    let is_all = self.consume(batch);
                    done.span = done.span.and(span);
                    if is_all || rest < note::MIN_LEN {
                        return Ok(!is_all);
                    }
                    continue;
                }
                Next::Loss(lost) => lost,
                Next::TooLarge => break ENOBUFS,
                Next::Nothing
                    if done.span.bytes() == 0 && (is_hasty || self.look.events() == 0) =>
                {
                    break EAGAIN
                }
                Next::Nothing => {
                    // In one critical section, so that no message comes in between.
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
                        if done.span.bytes() == 0 && writers != 0 {
                            break EAGAIN;
                        }
                        return Ok(false);
                    }
                    lost
                }
            };
            if let Err(error) = copy_loss(to, lost) {
                break error;
            }
            done.span = done.span.and(Span::RECORD);
            done.lost += u64::from(lost);
            if let Err(error) = self.report_loss(reads, lost) {
                break error;
            }
        };
        if done.span.bytes() == 0 {
            Err(error)
        } else {
            Ok(true)
        }
    }

    /// Strikes off `lost` messages of the loss that a reader has got a record of.
    ///
    /// Out of line, so that reads without a loss spill less.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if nothing is left but what a queue without a size loses from now on.  That is for
    /// the next read.  Otherwise this one could go on with a record for each message.
    #[cold]
    #[inline(never)]
    fn report_loss(&self, reads: &mut Reads, lost: u16) -> Result {
        self.with_posts(|posts| match reads {
            Reads::Sized { reader, .. } => {
                reader.report_loss(&mut posts.poster, lost);
                Ok(())
            }
            Reads::Unsized => {
                posts.poster.report_pending_loss(lost);
                if lost < note::MAX_LOST {
                    return Err(EAGAIN);
                }
                Ok(())
            }
        })
    }

    /// Gives the memory of messages that have been read back to posters.
    ///
    /// Returns whether nothing is left to read.
    #[inline(always)]
    fn consume(&self, batch: Batch<'_>) -> bool {
        let (wake, is_all) = self.with_posts(|posts| {
            let was_full = batch.consume(&mut posts.poster);
            let wake = was_full && self.room.is_active();
            (wake, !posts.poster.is_readable())
        });
        if wake {
            self.wake_room();
        }
        is_all
    }

    /// Wakes those that wait for room.
    ///
    /// Out of line, so that a read of a queue that was not full spills less.
    #[cold]
    #[inline(never)]
    fn wake_room(&self) {
        self.room.wake_one(WRITABLE);
    }

    /// Reads all messages and records of losses that are there and fit, and returns their size.
    /// If there are none, waits for one, provided that `may_wait` returns true.  With `is_nowait`
    /// it does not wait for other readers either, and `may_wait` returns false.
    ///
    /// Returns 0 at the end of the file and, as all that the VFS calls, errors as negative numbers:
    ///
    /// - `EAGAIN` if there is nothing to read and it may not wait
    /// - `ERESTARTSYS` if a signal came while it waited
    /// - `ENOBUFS` if the first message does not fit
    /// - `EFAULT` if it could not be copied
    #[inline(always)]
    pub(crate) fn read(
        &self,
        mut to: impl Destination,
        may_wait: impl Fn() -> bool,
        is_nowait: bool,
    ) -> isize {
        if to.room() == 0 {
            return 0;
        }
        let mut reads = match self.lock_reads(is_nowait) {
            Ok(reads) => reads,
            Err(error) => return error.to_errno() as isize,
        };
        // Most reads are no more than this.
        let Some(Next::Notes(batch)) = reads.reader().map(|reader| reader.next(to.room())) else {
            return self.read_on(reads, to, Span::default(), may_wait);
        };
        let Some(bytes) = batch.piece() else {
            return self.read_on(reads, to, Span::default(), may_wait);
        };
        let (span, rest) = (batch.span(), batch.rest());
        let copied = to.append(bytes);
        if copied != bytes.len() {
            return self.read_part(reads, copied);
        }
        if !self.consume(batch) && rest >= note::MIN_LEN {
            return self.read_on(reads, to, span, may_wait);
        }
        drop(reads);
        self.has_read(span, 0) as isize
    }

    /// Ends a read of which only the first `copied` bytes could be copied.
    #[cold]
    #[inline(never)]
    fn read_part(&self, mut reads: MutexGuard<'_, Reads>, copied: usize) -> isize {
        // The whole messages among these bytes are those that fit into as many bytes.
        match reads.reader().map(|reader| reader.next(copied)) {
            Some(Next::Notes(batch)) => {
                let span = batch.span();
                self.consume(batch);
                drop(reads);
                self.has_read(span, 0) as isize
            }
            _ => EFAULT.to_errno() as isize,
        }
    }

    /// Goes on with a read that has read `span`, and perhaps could not read all, or has to wait.
    ///
    /// Out of line, so that reads for which there is nothing to do here spill less.
    #[inline(never)]
    fn read_on<'a>(
        &'a self,
        mut reads: MutexGuard<'a, Reads>,
        mut to: impl Destination,
        span: Span,
        may_wait: impl Fn() -> bool,
    ) -> isize {
        let mut done = Read { span, lost: 0 };
        let mut has_waited = false;
        let mut is_ready = false;
        let result = loop {
            let may_wait = may_wait();
            // One that waits looks when it is on the wait queue, so it need not do so before.
            let is_hasty = may_wait && !is_ready;
            let result = self.read_locked(&mut reads, &mut to, &mut done, is_hasty);
            drop(reads);
            if result != Err(EAGAIN) || !may_wait {
                break result;
            }
            let ends_wait = || self.posts.with(Posts::ends_wait);
            is_ready = match self.readers.wait_once(ends_wait) {
                Ok(is_ready) => is_ready,
                Err(error) => return error.to_errno() as isize,
            };
            has_waited = true;
            reads = self.reads.lock();
        };
        if has_waited && result != Ok(false) {
            // A post wakes one reader.  If this one left something, another has to be woken.
            let wake = self
                .posts
                .with(|posts| posts.poster.is_readable() && self.readers.is_active());
            if wake {
                self.readers.wake_one(READABLE);
            }
        }
        match result {
            Ok(_) => self.has_read(done.span, done.lost) as isize,
            Err(error) => error.to_errno() as isize,
        }
    }

    /// Tells those that want to know that something has been read, without a lock held, and returns
    /// the number of bytes.
    #[inline(always)]
    fn has_read(&self, span: Span, lost: u64) -> usize {
        // The messages were consumed with the lock of `posts`.  So either this sees the count of
        // a waiter, or the waiter sees that they are consumed.
        if load_relaxed(&self.syncing) != 0 {
            self.wake_synced();
        }
        trace::read(&self.name, || (span.bytes(), span.notes(), lost));
        self.writable.kill(fasync::WRITABLE);
        span.bytes()
    }

    /// Wakes those in [`Queue::sync`].
    #[cold]
    #[inline(never)]
    fn wake_synced(&self) {
        self.synced.wake_all();
    }

    /// Waits until all messages that are there, and records of losses, have been read.
    ///
    /// # Errors
    ///
    /// - `EPIPE` if nobody has the queue open for reading
    /// - `ERESTARTSYS` if a fatal signal came while it waited
    pub(crate) fn sync(&self) -> Result {
        let mark = self.with_posts(|posts| {
            self.syncing.add(1, Relaxed);
            posts.poster.mark()
        });
        let mut readers = 0;
        let result = self.synced.wait_killable(|| {
            let (is_past, ends) =
                self.with_posts(|posts| (posts.poster.is_past(&mark), posts.ends));
            readers = ends.readers;
            is_past || readers == 0
        });
        let is_past = self.with_posts(|posts| {
            self.syncing.fetch_sub(1, Relaxed);
            posts.poster.is_past(&mark)
        });
        result?;
        if is_past || readers != 0 {
            Ok(())
        } else {
            Err(EPIPE)
        }
    }

    /// Makes room for `capacity` messages, rounded up to whole pages.
    ///
    /// # Errors
    ///
    /// - `EBUSY` if the queue has a size already
    /// - `EINVAL` if the number is 0 or beyond what any queue can have
    /// - `EPERM` if the memory is beyond the limits of the user
    /// - `ENOMEM` if there is not enough memory
    pub(crate) fn set_size(&self, capacity: usize) -> Result {
        let mut reads = self.reads.lock();
        if matches!(*reads, Reads::Sized { .. }) {
            return Err(EBUSY);
        }
        let pages = capacity.div_ceil(NOTES_PER_PAGE);
        if pages == 0 || pages > ring::MAX_CAPACITY as usize / NOTES_PER_PAGE {
            return Err(EINVAL);
        }
        let charge = self.user.charge(pages)?;
        let (mut poster, reader) = ring::split((pages * NOTES_PER_PAGE) as u32)?;

        self.with_posts(|posts| {
            poster.inherit(&posts.poster);
            posts.poster = poster;
        });
        *reads = Reads::Sized { reader, charge };
        Ok(())
    }

    /// Returns the number of pages that the queue holds, or `None` if it has no size yet.
    pub(crate) fn pages(&self) -> Option<usize> {
        match &*self.reads.lock() {
            Reads::Unsized => None,
            Reads::Sized { charge, .. } => Some(charge.pages()),
        }
    }

    /// Replaces the filter by one that has these rules.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and the old filter stays.
    pub(crate) fn set_filter(&self, rules: KVec<Rule>) -> Result {
        // Before the filter can reject anything.
        self.filtered.allocate()?;
        let mut filter = RcuBox::<Filter>::zeroed(GFP_KERNEL_ACCOUNT)?;
        for rule in &rules {
            filter.get_mut().add(rule);
        }
        self.replace_filter(Some(filter), Some(rules));
        Ok(())
    }

    /// Removes the filter, so that all messages are let through.
    pub(crate) fn clear_filter(&self) {
        self.replace_filter(None, None);
    }

    fn replace_filter(&self, filter: Option<RcuBox<Filter>>, rules: Option<KVec<Rule>>) {
        let mut current = self.rules.lock();
        self.filter.replace(filter);
        let old = mem::replace(&mut *current, rules);
        drop(current);
        drop(old);
    }

    /// Calls `f`, which must not sleep, with the rules of the filter, if there is one.
    pub(crate) fn with_rules<R>(&self, f: impl FnOnce(&[Rule]) -> R) -> R {
        f(self.rules.lock().as_deref().unwrap_or_default())
    }

    /// Returns the number of bytes that can be read, records of losses included.
    pub(crate) fn pending_bytes(&self) -> u64 {
        self.with_posts(|posts| posts.poster.pending_bytes())
    }

    /// Returns what there is to count.
    pub(crate) fn counts(&self) -> Counts {
        let (capacity, messages, bytes, totals) = self.with_posts(|posts| {
            let poster = &posts.poster;
            let bytes = poster.pending_bytes();
            (poster.capacity(), poster.queued(), bytes, poster.totals())
        });
        Counts {
            capacity,
            messages,
            bytes,
            delivered: totals.delivered,
            filtered: self.filtered.sum(),
            lost: totals.lost,
        }
    }

    /// Returns the events that are there for a file of the queue, and has `table` notified of
    /// those to come.
    ///
    /// # Safety
    ///
    /// `table` is for a file that keeps the queue alive.
    pub(crate) unsafe fn poll(&self, table: &PollTable<'_>, mode: Mode) -> Events {
        if table.only_looks() && !mode.writes {
            return self.look.events();
        }
        // Registers first and looks second, so that nothing is missed in between.
        if mode.reads {
            // SAFETY: The caller polls a file that keeps `self` alive, and thus its wait queues.
            unsafe { table.register(&self.readers) };
        }
        if mode.writes {
            // SAFETY: As above.
            unsafe { table.register(&self.room) };
        }

        let (ends, readable, writable) = self.posts.with(|posts| {
            let poster = &posts.poster;
            // A queue without a size counts as one with room: there is nothing to wait for.
            let writable = !poster.is_full() || poster.capacity() == 0;
            let readable = poster.is_readable();
            posts.may_have_waiters |= mode.reads;
            (posts.ends, readable, writable)
        });
        let mut events: Events = 0;
        let mut add = |present, event| {
            if present {
                events |= event;
            }
        };
        if mode.reads {
            add(readable, READABLE);
            add(ends.writers == 0, HANGUP);
        }
        if mode.writes {
            add(writable, WRITABLE);
            add(ends.readers == 0, ERROR);
        }
        events
    }

    /// Begins or ends to send `SIGIO` to the owner of a file of the queue.
    ///
    /// Returns whether anything changed.
    pub(crate) fn set_fasync(
        &self,
        fd: c_int,
        file: &LocalFile,
        on: bool,
        mode: Mode,
    ) -> Result<bool> {
        // Both lists change as one.
        let _reads = self.reads.lock();
        let mut changed = false;
        if mode.reads {
            changed = self.readable.set(fd, file, on)?;
            self.posts.with(|posts| posts.may_have_waiters |= on);
        }
        if mode.writes {
            let added = changed;
            changed = self.writable.set(fd, file, on).inspect_err(|_| {
                if added {
                    let _ = self.readable.set(-1, file, false);
                }
            })?;
        }
        Ok(changed)
    }

    /// Has only files that are open for writing change the queue from now on.
    pub(crate) fn seal(&self) {
        self.sealed.store(true, Relaxed);
    }

    /// Returns successfully if a file that is open in this way may change the queue.
    ///
    /// # Errors
    ///
    /// `EPERM` if not.
    pub(crate) fn permit(&self, mode: Mode) -> Result {
        // SAFETY: `self` keeps the atomic valid, and `seal()` stores the whole of it.
        if !unsafe { read_once(self.sealed.as_ptr()) } || mode.writes {
            Ok(())
        } else {
            Err(EPERM)
        }
    }

    /// Returns successfully if a file may be opened in this way.
    ///
    /// # Errors
    ///
    /// `EPERM` if not.
    pub(crate) fn permit_open(&self, mode: Mode) -> Result {
        if mode.writes && self.sealed.load(Relaxed) {
            Err(EPERM)
        } else {
            Ok(())
        }
    }

    /// Counts one more file, which is open in this way.
    pub(crate) fn open_end(&self, mode: Mode) {
        self.posts.with(|posts| {
            posts.ends.files += 1;
            posts.ends.add(mode);
            self.look.set_hung_up(posts.ends.writers == 0);
        });
    }

    /// Stops counting a file that was open in `mode`.
    pub(crate) fn drop_file(&self, mode: Mode) -> Left {
        self.posts.with(|posts| {
            posts.ends.files -= 1;
            posts.ends.remove(mode);
            self.look.set_hung_up(posts.ends.writers == 0);
            if posts.ends.files == 0 {
                Left::Close
            } else if (mode.reads || mode.writes) && posts.ends.is_one_sided() {
                Left::Wake
            } else {
                Left::Nothing
            }
        })
    }

    /// Wakes all waiters of both ends, after the last file of one end was closed.
    pub(crate) fn wake_all(&self) {
        // Orders the change of `look` as in `notify_readers()`.
        smp_mb(Full);
        self.readers.wake_all();
        self.room.wake_all();
        self.synced.wake_all();
        self.readable.kill(fasync::READABLE);
        self.writable.kill(fasync::WRITABLE);
    }

    /// Detaches the watches and frees the ring, after the last file is closed.
    ///
    /// The watches refer to the queue for a grace period longer, and its filter goes with it.
    pub(crate) fn close(&self) {
        watch::detach_all(self);
        let (memory, has_deferred) = self.with_posts(|posts| {
            let memory = posts.poster.close();
            (memory, posts.has_deferred)
        });
        if has_deferred {
            // It is never queued again: nobody waits any more, which posters see under their lock.
            self.deferred.sync();
        }
        *self.reads.lock() = Reads::Unsized;
        // The reader's half went with `Reads`, so this frees the ring.
        drop(memory);
    }
}

impl Posts {
    /// Returns whether the context of a post allows to notify readers.  Otherwise has it done soon.
    ///
    /// `flags` come from taking the lock.
    fn may_notify(&mut self, queue: &Queue, flags: c_ulong) -> bool {
        // SAFETY: The flags are those of the lock that is held.
        if unsafe { bindings::watch_queue_may_wake(flags) } {
            return true;
        }
        self.has_deferred = true;
        // SAFETY: The queue is in an `Arc`, so it stays where it is.  Somebody waits, so a file is
        // open that keeps the queue.  `Queue::close()`, after that file is gone, calls `sync()`:
        // it sees `has_deferred`, as it takes the lock that is held here.
        unsafe { queue.deferred.queue() };
        false
    }

    /// Returns whether a reader that is on the wait queue should wake.
    fn ends_wait(&mut self) -> bool {
        let ends_wait = self.poster.is_readable() || self.ends.writers == 0;
        self.may_have_waiters |= !ends_wait;
        ends_wait
    }
}

/// Frees a queue whose last reference this is.
#[cold]
#[inline(never)]
fn free(queue: Pin<UniqueArc<Queue>>) {
    drop(queue);
}

/// Notifies readers of what has been posted in a context that did not allow it.
///
/// # Safety
///
/// For [`IrqWork`] to call with the `deferred` of a queue.
unsafe extern "C" fn notify_deferred(work: *mut bindings::irq_work) {
    // SAFETY: This is the `deferred` of a queue.
    let queue = unsafe { container_of!(work.cast::<IrqWork>(), Queue, deferred) };
    // SAFETY: `Posts::may_notify()` says why the queue is still there.
    unsafe { &*queue }.notify_readers();
}

/// Copies messages, and returns how many of their bytes could be copied.
#[inline(always)]
fn copy_batch(batch: &Batch<'_>, to: &mut impl Destination) -> usize {
    let (first, second) = batch.pieces();
    let copied = to.append(first);
    if copied == first.len() && !second.is_empty() {
        copied + to.append(second)
    } else {
        copied
    }
}

/// Copies a record of the loss of `lost` messages.
///
/// # Errors
///
/// - `ENOBUFS` if it does not fit
/// - `EFAULT` if it could not be copied
#[inline(always)]
fn copy_loss(to: &mut impl Destination, lost: u16) -> Result {
    let record = note::loss_record(lost);
    if to.room() < record.len() {
        return Err(ENOBUFS);
    }
    if to.append(&record) != record.len() {
        return Err(EFAULT);
    }
    Ok(())
}

// SAFETY: A filter is made of integers, and zeroes are `Filter::EMPTY`.
unsafe impl Zeroable for Filter {}

#[cfg(CONFIG_WATCH_QUEUE_KUNIT_TEST)]
#[kunit_tests(watch_queue_queue)]
mod tests {
    use super::*;
    use crate::note::Removal;
    use kernel::alloc::AllocError;

    /// A destination in memory.
    impl Destination for &mut KVec<u8> {
        fn room(&self) -> usize {
            self.capacity() - self.len()
        }

        fn append(&mut self, bytes: &[u8]) -> usize {
            // There is room, so nothing is allocated.
            match self.extend_from_slice(bytes, GFP_KERNEL_ACCOUNT) {
                Ok(()) => bytes.len(),
                Err(AllocError) => 0,
            }
        }
    }

    #[test]
    fn a_read_that_must_not_wait_does_not_wait_for_another_reader() -> Result {
        let queue = Queue::new(1)?;
        queue.set_size(1)?;
        {
            let _rcu = rcu::read_lock();
            queue.post(&Removal::new(0, 0));
        }
        let mut to = KVec::with_capacity(note::MIN_LEN, GFP_KERNEL_ACCOUNT)?;

        let again = EAGAIN.to_errno() as isize;
        let reader = queue.reads.lock();
        assert_eq!(queue.read(&mut to, || false, true), again);
        drop(reader);
        assert_eq!(queue.read(&mut to, || false, true), note::MIN_LEN as isize);
        to.clear();
        assert_eq!(queue.read(&mut to, || false, true), again);
        Ok(())
    }
}

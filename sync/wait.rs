// SPDX-License-Identifier: GPL-2.0

//! A wait queue whose wakers look at it under the lock of what is waited for.
//!
//! One that waits, sleeping or polling, puts itself on the queue first, and looks second, under the
//! lock of what it waits for.  A waker changes that under this lock, and looks there, too, whether
//! somebody is on the queue.  Whichever takes the lock second sees what the other one did.  So no
//! memory barrier is needed, and the lock can be one under which nobody can be woken.
//!
//! A poller that is on the queue already may look again without that lock.  That needs a full
//! barrier on both sides; see `queue/look.rs`.
//!
//! C header: [`include/linux/wait.h`](srctree/include/linux/wait.h)

use core::ptr;
use kernel::{
    bindings, error::to_result, fs::LocalFile, prelude::*, sync::LockClassKey, types::Opaque,
};

use super::read_once;

/// A set of the bits `EPOLL*`, which `poll(2)` reports and wakers announce.
pub(crate) type Events = bindings::__poll_t;

/// There is something to read.
pub(crate) const READABLE: Events = bindings::EPOLLIN | bindings::EPOLLRDNORM;

/// There is room to write.
pub(crate) const WRITABLE: Events = bindings::EPOLLOUT | bindings::EPOLLWRNORM;

/// The other end is closed, as a reader sees it.
pub(crate) const HANGUP: Events = bindings::EPOLLHUP;

/// The other end is closed, as a writer sees it.
pub(crate) const ERROR: Events = bindings::EPOLLERR;

/// A wait queue.
///
/// It is empty when it is dropped.  [`WaitQueue::wait_once`] takes its waiter off again.
/// All other waiters come from [`PollTable::register`], for a file that keeps this alive until it
/// is released; see there.
#[repr(transparent)]
pub(crate) struct WaitQueue(Opaque<bindings::wait_queue_head>);

// SAFETY: A `struct wait_queue_head` can be used from any thread.
unsafe impl Send for WaitQueue {}
// SAFETY: As above.
unsafe impl Sync for WaitQueue {}

impl WaitQueue {
    /// Makes an empty queue, whose lock is of the class `key`; see [`new_wait_queue!`].
    pub(crate) fn new(name: &'static CStr, key: Pin<&'static LockClassKey>) -> impl PinInit<Self> {
        // SAFETY: `slot` is valid for writes of what a `WaitQueue` is, and `name` and `key` are
        // static.
        unsafe {
            pin_init::pin_init_from_closure(move |slot: *mut Self| {
                bindings::__init_waitqueue_head(slot.cast(), name.as_char_ptr(), key.as_ptr());
                Ok(())
            })
        }
    }

    /// Returns whether somebody waits.
    ///
    /// That is certain of those who looked before under the lock of what they wait for, which the
    /// caller holds or has held.
    #[inline(always)]
    pub(crate) fn is_active(&self) -> bool {
        let wait = self.0.get();
        // SAFETY: The queue is initialised.
        let (head, next) = unsafe { (&raw mut (*wait).head, &raw const (*wait).head.next) };
        // SAFETY: The pointer is valid, and `list_add()` and the like change it as a whole.
        let next = unsafe { read_once(next) };
        next != head
    }

    /// Waits for a wake-up, unless `ready`, which takes the lock of what it looks at, returns true.
    ///
    /// Returns what that returned.  After a wake-up it is not called again: the caller may know a
    /// cheaper way to look, and comes back if nothing is there.
    ///
    /// Each [`WaitQueue::wake_one`] wakes one such waiter.
    ///
    /// # Errors
    ///
    /// `ERESTARTSYS` if a signal came first.
    pub(crate) fn wait_once(&self, ready: impl FnOnce() -> bool) -> Result<bool> {
        let entry = Opaque::<bindings::wait_queue_entry>::uninit();
        // SAFETY: `entry` is valid for writes.
        unsafe { bindings::init_wait_entry(entry.get(), bindings::WQ_FLAG_EXCLUSIVE as c_int) };
        let state = bindings::TASK_INTERRUPTIBLE as c_int;
        // SAFETY: Both are initialised.  `entry` is off the queue before it goes out of scope: this
        // takes it off if it fails, and all other ways out go through `finish_wait()`.
        let interrupted =
            unsafe { bindings::prepare_to_wait_event(self.0.get(), entry.get(), state) };
        // Unless a signal is pending, the waiter is on the queue by now.  So whatever makes this
        // true finds the waiter.
        let is_ready = ready();
        if !is_ready {
            // This comes after `ready`: what is there already is worth more than a signal.
            to_result(interrupted as c_int)?;
            // SAFETY: This is process context, and this function holds no lock.
            unsafe { bindings::schedule() };
        }
        // SAFETY: Both are initialised.
        unsafe { bindings::finish_wait(self.0.get(), entry.get()) };
        Ok(is_ready)
    }

    /// Waits until `ready`, which takes the lock of what it looks at, returns true.
    ///
    /// Each [`WaitQueue::wake_all`] wakes such waiters.
    ///
    /// # Errors
    ///
    /// `ERESTARTSYS` if a fatal signal came first.
    pub(crate) fn wait_killable(&self, ready: impl FnMut() -> bool) -> Result {
        self.wait(bindings::TASK_KILLABLE, ready)
    }

    fn wait(&self, state: u32, mut ready: impl FnMut() -> bool) -> Result {
        let entry = Opaque::<bindings::wait_queue_entry>::uninit();
        // SAFETY: `entry` is valid for writes.
        unsafe { bindings::init_wait_entry(entry.get(), 0) };

        loop {
            // SAFETY: Both are initialised.  `entry` is off the queue before it goes out of scope:
            // this takes it off if it fails, and all other ways out go through `finish_wait()`.
            let interrupted = unsafe {
                bindings::prepare_to_wait_event(self.0.get(), entry.get(), state as c_int)
            };
            // The waiter is on the queue by now.  So whatever makes this true finds the waiter.
            if ready() {
                break;
            }
            // This comes after `ready`, because a failed `prepare_to_wait_event()` may have
            // consumed a wake-up.  See there.
            to_result(interrupted as c_int)?;
            // SAFETY: This is process context, and this function holds no lock.
            unsafe { bindings::schedule() };
        }

        // SAFETY: Both are initialised.
        unsafe { bindings::finish_wait(self.0.get(), entry.get()) };
        Ok(())
    }

    /// Wakes one reader, and notifies all that poll, of `events`.
    pub(crate) fn wake_one(&self, events: Events) {
        // SAFETY: The queue is initialised.
        unsafe {
            bindings::__wake_up_sync_key(
                self.0.get(),
                bindings::TASK_INTERRUPTIBLE,
                ptr::without_provenance_mut(events as usize),
            );
        }
    }

    /// Wakes all waiters, whatever they wait for.
    ///
    /// The caller has held the lock of what they wait for, and changed it.  One that looked before
    /// that is seen here to be on the queue, and one that looks later need not be woken.
    pub(crate) fn wake_all(&self) {
        if self.is_active() {
            // SAFETY: The queue is initialised.
            unsafe {
                bindings::__wake_up(self.0.get(), bindings::TASK_NORMAL, 0, ptr::null_mut());
            }
        }
    }
}

/// The table that a call of `poll()` has for wait queues, and the file that is polled.
///
/// The kernel crate's [`PollTable`](kernel::sync::poll::PollTable) takes only its own condition
/// variables.
///
/// # Invariants
///
/// `table` is null or valid for `'a`.
pub(crate) struct PollTable<'a> {
    file: &'a LocalFile,
    table: *mut bindings::poll_table,
}

impl<'a> PollTable<'a> {
    /// Takes what the VFS gives to `poll()`.
    ///
    /// # Safety
    ///
    /// `table` is null or valid for `'a`.
    pub(crate) unsafe fn from_raw(file: &'a LocalFile, table: *mut bindings::poll_table) -> Self {
        // INVARIANT: The safety requirement is the invariant.
        Self { file, table }
    }

    /// Returns whether the caller of `poll()` does not want to be put on a wait queue, as
    /// `poll_does_not_wait()` does.
    pub(crate) fn only_looks(&self) -> bool {
        // SAFETY: A table that is not null is valid by the invariants.
        self.table.is_null() || unsafe { (*self.table)._qproc }.is_none()
    }

    /// Has the caller of `poll()` woken by `queue`.
    ///
    /// # Safety
    ///
    /// `queue` lives until the file is released.
    pub(crate) unsafe fn register(&self, queue: &WaitQueue) {
        // SAFETY: The table is null or valid by the invariants, and the wait queue is initialised.
        // Every waiter is off it before the file is released, which is how long it lives at least:
        // poll(2) and io_uring hold a reference to the file as long as they wait, and epoll, which
        // holds none, is taken off by `eventpoll_release()` before `release()` is called.
        unsafe { bindings::poll_wait(self.file.as_ptr(), queue.0.get(), self.table) };
    }
}

/// Creates a [`WaitQueue`] with a lock class of its own.
macro_rules! new_wait_queue {
    ($name:literal) => {
        $crate::sync::wait::WaitQueue::new($name, ::kernel::static_lock_class!())
    };
}
pub(crate) use new_wait_queue;

// SPDX-License-Identifier: GPL-2.0

//! A wait queue whose own lock also guards the data that is waited for.
//!
//! A waker that holds this lock sees all waiters without a memory barrier and without a second
//! lock.  If there are none, it is done.  C has `wait_event_interruptible_locked()` for this.
//!
//! C header: [`include/linux/wait.h`](srctree/include/linux/wait.h)

use core::{
    cell::UnsafeCell,
    ops::{Deref, DerefMut},
    ptr,
};
use kernel::{
    bindings, error::to_result, fs::LocalFile, prelude::*, sync::LockClassKey, types::Opaque,
};

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

/// A wait queue, with data that its lock guards.
///
/// The lock can be taken in every context but NMI, and leaves interrupts as it finds them.
///
/// The wait queue is empty when it is dropped.  [`WaitLock::wait_interruptible`] takes its waiter
/// off again.  All other waiters come from [`PollTable::register`], for a file that keeps this
/// alive until it is released; see there.
///
/// The wait queue comes first, so that its lock is at offset 0.
#[pin_data]
#[repr(C)]
pub(crate) struct WaitLock<T> {
    #[pin]
    wait: Opaque<bindings::wait_queue_head>,
    data: UnsafeCell<T>,
}

// SAFETY: A `struct wait_queue_head` can be used from any thread, and the data can only be accessed
// with its lock held.
unsafe impl<T: Send> Send for WaitLock<T> {}
// SAFETY: As above.
unsafe impl<T: Send> Sync for WaitLock<T> {}

impl<T> WaitLock<T> {
    /// Makes a lock of the class `key`; see [`new_wait_lock!`].
    pub(crate) fn new(
        data: T,
        name: &'static CStr,
        key: Pin<&'static LockClassKey>,
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: `slot` is valid for writes, and `name` and `key` are static.
            wait <- Opaque::ffi_init(|slot| unsafe {
                bindings::__init_waitqueue_head(slot, name.as_char_ptr(), key.as_ptr())
            }),
            data: UnsafeCell::new(data),
        })
    }

    /// Calls `f` with the lock held.
    ///
    /// There is no guard, because guards can be dropped in another order than that in which the
    /// interrupt state has to be restored.  [`SpinLockIrq`](kernel::sync::SpinLockIrq) allows for
    /// that by counting, which makes locking half as dear again.  Every post would pay for it.
    #[inline(always)]
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut Locked<'_, T>) -> R) -> R {
        // SAFETY: The wait queue is initialised, so its lock is.
        let lock = unsafe { &raw mut (*self.wait.get()).lock };
        // SAFETY: As above.
        let flags = unsafe { bindings::spin_lock_irqsave(lock) };
        // INVARIANT: It is held until `f` returns.
        let result = f(&mut Locked { owner: self });
        // SAFETY: It is held, and `flags` come from taking it.
        unsafe { bindings::spin_unlock_irqrestore(lock, flags) };
        result
    }

    /// Waits until `ready` returns true for the data.
    ///
    /// Each [`Locked::wake_one`] wakes one such waiter.
    ///
    /// # Errors
    ///
    /// `ERESTARTSYS` if a signal came first.
    pub(crate) fn wait_interruptible(&self, mut ready: impl FnMut(&T) -> bool) -> Result {
        self.wait(
            bindings::TASK_INTERRUPTIBLE,
            bindings::WQ_FLAG_EXCLUSIVE,
            || self.with(|data| ready(data)),
        )
    }

    /// Waits until `ready`, which is called without the lock, returns true.
    ///
    /// Each [`WaitLock::wake_all`] wakes such waiters.
    ///
    /// # Errors
    ///
    /// `ERESTARTSYS` if a fatal signal came first.
    pub(crate) fn wait_killable(&self, ready: impl FnMut() -> bool) -> Result {
        self.wait(bindings::TASK_KILLABLE, 0, ready)
    }

    fn wait(&self, state: u32, flags: u32, mut ready: impl FnMut() -> bool) -> Result {
        let entry = Opaque::<bindings::wait_queue_entry>::uninit();
        // SAFETY: `entry` is valid for writes.
        unsafe { bindings::init_wait_entry(entry.get(), flags as c_int) };

        loop {
            // SAFETY: Both are initialised.  `entry` is off the queue before it goes out of scope:
            // this takes it off if it fails, and all other ways out go through `finish_wait()`.
            let interrupted = unsafe {
                bindings::prepare_to_wait_event(self.wait.get(), entry.get(), state as c_int)
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
        unsafe { bindings::finish_wait(self.wait.get(), entry.get()) };
        Ok(())
    }

    /// Wakes all waiters, whatever they wait for.
    pub(crate) fn wake_all(&self) {
        // SAFETY: The wait queue is initialised.
        unsafe {
            bindings::__wake_up(self.wait.get(), bindings::TASK_NORMAL, 0, ptr::null_mut());
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

    /// Has the caller of `poll()` woken by `lock`.
    ///
    /// # Safety
    ///
    /// `lock` lives until the file is released.
    pub(crate) unsafe fn register<T>(&self, lock: &WaitLock<T>) {
        // SAFETY: The table is null or valid by the invariants, and the wait queue is initialised.
        // Every waiter is off it before the file is released, which is how long it lives at least:
        // poll(2) and io_uring hold a reference to the file as long as they wait, and epoll, which
        // holds none, is taken off by `eventpoll_release()` before `release()` is called.
        unsafe { bindings::poll_wait(self.file.as_ptr(), lock.wait.get(), self.table) };
    }
}

/// A [`WaitLock`] whose lock is held.
///
/// # Invariants
///
/// The lock of `owner` is held as long as this lives.
pub(crate) struct Locked<'a, T> {
    owner: &'a WaitLock<T>,
}

impl<T> Locked<'_, T> {
    /// Wakes one reader, and notifies all that poll, of `events`.
    #[inline]
    pub(crate) fn wake_one(&self, events: Events) {
        let wait = self.owner.wait.get();
        // SAFETY: The wait queue is initialised and, by the invariants, its lock is held.
        let nobody = unsafe { (*wait).head.next == &raw mut (*wait).head };
        if !nobody {
            self.wake_one_waiter(events);
        }
    }

    /// Wakes one waiter of at least one.
    ///
    /// Out of line, so that the path without a waiter spills nothing.
    #[cold]
    fn wake_one_waiter(&self, events: Events) {
        // SAFETY: The wait queue is initialised and, by the invariants, its lock is held.
        unsafe {
            bindings::__wake_up_locked_sync_key(
                self.owner.wait.get(),
                bindings::TASK_INTERRUPTIBLE,
                ptr::without_provenance_mut(events as usize),
            );
        }
    }
}

impl<T> Deref for Locked<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: The lock is held, by the invariants.
        unsafe { &*self.owner.data.get() }
    }
}

impl<T> DerefMut for Locked<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: The lock is held, by the invariants.
        unsafe { &mut *self.owner.data.get() }
    }
}

/// Creates a [`WaitLock`] with a lock class of its own.
macro_rules! new_wait_lock {
    ($data:expr, $name:literal) => {
        $crate::sync::wait::WaitLock::new($data, $name, ::kernel::static_lock_class!())
    };
}
pub(crate) use new_wait_lock;

// SPDX-License-Identifier: GPL-2.0

//! A wait queue whose own lock also guards the data that is waited for.
//!
//! A waker that holds this lock sees who waits, without a memory barrier and without a second
//! lock, and one that finds nobody is done.  This is what `wait_event_interruptible_locked()` is
//! for in C.
//!
//! C header: [`include/linux/wait.h`](srctree/include/linux/wait.h)

use core::{
    cell::UnsafeCell,
    ops::{Deref, DerefMut},
    ptr,
};
use kernel::{bindings, error::to_result, fs::File, prelude::*, sync::LockClassKey, types::Opaque};

/// Events, as `poll(2)` reports them and as wakers announce them: the `EPOLL*` bits.
pub(crate) type Events = bindings::__poll_t;

/// There is something to read.
pub(crate) const READABLE: Events = bindings::EPOLLIN | bindings::EPOLLRDNORM;

/// There is room to write.
pub(crate) const WRITABLE: Events = bindings::EPOLLOUT | bindings::EPOLLWRNORM;

/// The other end is closed, as a reader sees it.
pub(crate) const HANGUP: Events = bindings::EPOLLHUP;

/// The other end is closed, as a writer sees it.
pub(crate) const ERROR: Events = bindings::EPOLLERR;

/// A wait queue, with data of which its lock takes care.
///
/// The lock is good in every context but NMI, and leaves interrupts as it finds them.
///
/// Those who wait for it by way of `poll(2)`, epoll or io_uring hold a reference to a file, and a
/// file has to keep this alive.  So it is empty when it is dropped.
///
/// The lock is what this begins with: who has the one has the other at hand.
#[pin_data]
#[repr(C)]
pub(crate) struct WaitLock<T> {
    #[pin]
    wait: Opaque<bindings::wait_queue_head>,
    data: UnsafeCell<T>,
}

// SAFETY: A `struct wait_queue_head` can be used from any thread, and the data is only accessible
// to who holds its lock.
unsafe impl<T: Send> Send for WaitLock<T> {}
// SAFETY: As above.
unsafe impl<T: Send> Sync for WaitLock<T> {}

impl<T> WaitLock<T> {
    pub(crate) fn new(
        data: T,
        name: &'static CStr,
        key: Pin<&'static LockClassKey>,
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: `slot` is valid for writes, and `name` and `key` live for ever.
            wait <- Opaque::ffi_init(|slot| unsafe {
                bindings::__init_waitqueue_head(slot, name.as_char_ptr(), key.as_ptr())
            }),
            data: UnsafeCell::new(data),
        })
    }

    /// Calls `f` with the lock held.
    ///
    /// This is not a guard, because such guards could be dropped in another order than that in
    /// which the interrupt state has to be restored.  [`SpinLockIrq`](kernel::sync::SpinLockIrq)
    /// allows for that by counting, which is half as much again as all the rest of locking, and
    /// every post would pay for it.
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

    /// Waits until `ready` says so of the data.
    ///
    /// One waiter is woken for each [`Locked::wake_one`].
    ///
    /// # Errors
    ///
    /// `ERESTARTSYS` if a signal came first.
    pub(crate) fn wait_interruptible(&self, mut ready: impl FnMut(&T) -> bool) -> Result {
        let entry = Opaque::<bindings::wait_queue_entry>::uninit();
        let flags = bindings::WQ_FLAG_EXCLUSIVE as c_int;
        // SAFETY: `entry` is valid for writes.
        unsafe { bindings::init_wait_entry(entry.get(), flags) };

        loop {
            // SAFETY: Both are initialised.  `entry` is off the queue again when it goes out of
            // scope: either because of `finish_wait()` or because there was an error.
            let interrupted = unsafe {
                bindings::prepare_to_wait_event(
                    self.wait.get(),
                    entry.get(),
                    bindings::TASK_INTERRUPTIBLE as c_int,
                )
            };
            // This is only asked after the waiter is on the queue, so that nobody who makes it
            // true can miss the waiter.
            if self.with(|data| ready(data)) {
                break;
            }
            // Takes the waiter off the queue if it fails.  See there for why `ready` has to be
            // asked before that counts.
            to_result(interrupted as c_int)?;
            // SAFETY: No locks are held.
            unsafe { bindings::schedule() };
        }

        // SAFETY: Both are initialised.
        unsafe { bindings::finish_wait(self.wait.get(), entry.get()) };
        Ok(())
    }

    /// Has `table` told of wake-ups.
    ///
    /// # Safety
    ///
    /// `table` is null or valid, and `file` keeps `self` alive.
    pub(crate) unsafe fn poll_wait(&self, file: &File, table: *mut bindings::poll_table) {
        // SAFETY: The wait queue outlives the file, which outlives all that poll it.
        unsafe { bindings::poll_wait(file.as_ptr(), self.wait.get(), table) };
    }

    /// Wakes everybody, whatever they wait for.
    pub(crate) fn wake_all(&self) {
        // SAFETY: The wait queue is initialised.
        unsafe {
            bindings::__wake_up(
                self.wait.get(),
                bindings::TASK_INTERRUPTIBLE,
                0,
                ptr::null_mut(),
            );
        }
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
    /// Tells one of those who wait exclusively, and all others, of `events`.
    #[inline]
    pub(crate) fn wake_one(&self, events: Events) {
        let wait = self.owner.wait.get();
        // SAFETY: The wait queue is initialised and, by the invariants, its lock is held.
        let nobody = unsafe { (*wait).head.next == &raw mut (*wait).head };
        if !nobody {
            self.wake_one_who_waits(events);
        }
    }

    /// Cold, as what it takes to call somebody is not to be paid for by those who find nobody.
    #[cold]
    fn wake_one_who_waits(&self, events: Events) {
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

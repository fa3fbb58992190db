// SPDX-License-Identifier: GPL-2.0

//! A spinlock that spins in every kernel, with `CONFIG_PREEMPT_RT` as well.
//!
//! C header: [`include/linux/spinlock.h`](srctree/include/linux/spinlock.h)

use core::{
    cell::UnsafeCell,
    ops::{Deref, DerefMut},
};
use kernel::{
    bindings,
    prelude::*,
    sync::LockClassKey,
    types::{NotThreadSafe, Opaque},
};

// Where these are functions, a helper in between would only cost.
#[cfg(all(CONFIG_SMP, not(CONFIG_INLINE_SPIN_LOCK_IRQSAVE)))]
use bindings::_raw_spin_lock_irqsave as lock_irqsave;
#[cfg(not(all(CONFIG_SMP, not(CONFIG_INLINE_SPIN_LOCK_IRQSAVE))))]
use bindings::raw_spin_lock_irqsave as lock_irqsave;

#[cfg(all(CONFIG_SMP, not(CONFIG_INLINE_SPIN_UNLOCK_IRQRESTORE)))]
use bindings::_raw_spin_unlock_irqrestore as unlock_irqrestore;
#[cfg(not(all(CONFIG_SMP, not(CONFIG_INLINE_SPIN_UNLOCK_IRQRESTORE))))]
use bindings::raw_spin_unlock_irqrestore as unlock_irqrestore;

#[cfg(all(CONFIG_SMP, not(CONFIG_INLINE_SPIN_LOCK)))]
use bindings::_raw_spin_lock as lock_inside;
#[cfg(not(all(CONFIG_SMP, not(CONFIG_INLINE_SPIN_LOCK))))]
use bindings::raw_spin_lock as lock_inside;

#[cfg(all(CONFIG_SMP, CONFIG_UNINLINE_SPIN_UNLOCK))]
use bindings::_raw_spin_unlock as unlock_inside;
#[cfg(not(all(CONFIG_SMP, CONFIG_UNINLINE_SPIN_UNLOCK)))]
use bindings::raw_spin_unlock as unlock_inside;

/// Data that a `raw_spinlock_t` guards.
///
/// The lock can be taken in every context but NMI, and leaves interrupts as it finds them.  What
/// is done with it held takes no `spinlock_t` and wakes nobody.
#[pin_data]
#[repr(C)]
pub(crate) struct RawLock<T> {
    #[pin]
    lock: Opaque<bindings::raw_spinlock_t>,
    data: UnsafeCell<T>,
}

// SAFETY: A `raw_spinlock_t` can be used from any thread, and the data can only be accessed with it
// held.
unsafe impl<T: Send> Send for RawLock<T> {}
// SAFETY: As above.
unsafe impl<T: Send> Sync for RawLock<T> {}

/// The context in which a lock was taken that is still held.  So interrupts are off on this CPU.
pub(crate) struct Context(NotThreadSafe);

impl RawLock<()> {
    /// Takes a lock of C's, which guards what C has beside it.
    ///
    /// # Safety
    ///
    /// `lock` is initialised, and valid for `'a`.
    #[inline(always)]
    pub(crate) unsafe fn from_raw<'a>(lock: *mut bindings::raw_spinlock_t) -> &'a Self {
        const { assert!(size_of::<Self>() == size_of::<bindings::raw_spinlock_t>()) };
        // SAFETY: The caller keeps the lock, and beside it a `RawLock<()>` has nothing.
        unsafe { &*lock.cast() }
    }
}

impl<T> RawLock<T> {
    /// Makes a lock of the class `key`; see [`new_raw_lock!`].
    pub(crate) fn new(
        data: T,
        name: &'static CStr,
        key: Pin<&'static LockClassKey>,
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: `slot` is valid for writes, and `name` and `key` are static.
            lock <- Opaque::ffi_init(|slot| unsafe {
                bindings::raw_spin_lock_init(slot, name.as_char_ptr(), key.as_ptr())
            }),
            data: UnsafeCell::new(data),
        })
    }

    /// Calls `f` with the lock held.
    ///
    /// There is no guard but that of [`RawLock::hold`], because guards can be dropped in another
    /// order than that in which the interrupt state has to be restored.
    /// [`SpinLockIrq`](kernel::sync::SpinLockIrq) allows for that by counting, which makes locking
    /// half as dear again.  Every post would pay for it.
    #[inline(always)]
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        self.with_context(|data, _| f(data))
    }

    /// Takes the lock, which a function lets go that can be tail-called.  Otherwise
    /// [`RawLock::with`] does.
    ///
    /// # Safety
    ///
    /// Locks that disable interrupts are let go in the reverse order: one that is taken meanwhile
    /// before what this returns is dropped, and one that was taken earlier after that.
    #[inline(always)]
    pub(crate) unsafe fn hold(&self) -> Held<'_, T> {
        // SAFETY: The lock is initialised.
        let flags = unsafe { lock_irqsave(self.lock.get()) };
        // INVARIANT: It is held, and `flags` come from taking it.
        Held {
            lock: self,
            flags,
            _not_sent: NotThreadSafe,
        }
    }

    /// Calls `f` with the lock held, and with the context in which it was taken.
    #[inline(always)]
    pub(crate) fn with_context<R>(&self, f: impl FnOnce(&mut T, &Context) -> R) -> R {
        let lock = self.lock.get();
        // SAFETY: The lock is initialised.
        let flags = unsafe { lock_irqsave(lock) };
        // SAFETY: The lock is held until `f` returns.
        let data = unsafe { &mut *self.data.get() };
        let result = f(data, &Context(NotThreadSafe));
        // SAFETY: It is held, and `flags` come from taking it.
        unsafe { unlock_irqrestore(lock, flags) };
        result
    }

    /// Calls `f` with the lock held, inside of the lock that was taken in `_outer`.
    #[inline(always)]
    pub(crate) fn with_inside<R>(&self, _outer: &Context, f: impl FnOnce(&mut T) -> R) -> R {
        let lock = self.lock.get();
        // SAFETY: The lock is initialised, and interrupts are off as long as the outer one is held.
        unsafe { lock_inside(lock) };
        // SAFETY: The lock is held until `f` returns.
        let result = f(unsafe { &mut *self.data.get() });
        // SAFETY: It is held.
        unsafe { unlock_inside(lock) };
        result
    }
}

/// A lock that is held until this is dropped.
///
/// # Invariants
///
/// The lock is held, and `flags` come from taking it.
#[must_use]
pub(crate) struct Held<'a, T> {
    lock: &'a RawLock<T>,
    flags: c_ulong,
    /// The flags are those of this CPU.
    _not_sent: NotThreadSafe,
}

impl<T> Held<'_, T> {
    /// Returns the state of interrupts before the lock was taken.
    #[inline(always)]
    pub(crate) fn flags(&self) -> c_ulong {
        self.flags
    }
}

impl<T> Deref for Held<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: By the invariants the lock is held.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T> DerefMut for Held<'_, T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: By the invariants the lock is held.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T> Drop for Held<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: By the invariants it is held, and these are its flags.
        unsafe { unlock_irqrestore(self.lock.lock.get(), self.flags) };
    }
}

/// Creates a [`RawLock`] with a lock class of its own.
macro_rules! new_raw_lock {
    ($data:expr, $name:literal) => {
        $crate::sync::lock::RawLock::new($data, $name, ::kernel::static_lock_class!())
    };
}
pub(crate) use new_raw_lock;

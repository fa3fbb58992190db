// SPDX-License-Identifier: GPL-2.0

//! A value that is read under RCU and replaced as a whole.
//!
//! C header: [`include/linux/rcupdate.h`](srctree/include/linux/rcupdate.h)

use core::{
    marker::PhantomData,
    mem::{needs_drop, offset_of},
    ptr,
};
use kernel::{
    alloc::{Flags, KBox},
    bindings,
    prelude::*,
    sync::{
        atomic::{Atomic, Full},
        rcu,
    },
    types::Opaque,
};

use super::read_once;

/// A value with what it takes to free it after a grace period.
#[pin_data]
#[repr(C)]
struct Inner<T> {
    value: T,
    #[pin]
    rcu: Opaque<bindings::kvfree_rcu_head>,
}

/// An owned value for an [`RcuCell`].
pub(crate) struct RcuBox<T>(Pin<KBox<Inner<T>>>);

impl<T: Zeroable> RcuBox<T> {
    /// Allocates a zeroed value.
    pub(crate) fn zeroed(flags: Flags) -> Result<Self> {
        let boxed = KBox::pin_init(
            pin_init!(Inner {
                value <- pin_init::init_zeroed(),
                rcu: Opaque::uninit(),
            }),
            flags,
        )?;
        Ok(Self(boxed))
    }

    /// Returns the value.
    pub(crate) fn get_mut(&mut self) -> &mut T {
        // SAFETY: `value` is not pinned, and nothing is moved out of the box.
        unsafe { &mut self.0.as_mut().get_unchecked_mut().value }
    }
}

/// An optional value that is read under RCU.
///
/// # Invariants
///
/// The pointer is null or owns an [`Inner`] that came out of a [`KBox`].  It is valid for a grace
/// period after it has been replaced.
pub(crate) struct RcuCell<T> {
    inner: Atomic<*mut Inner<T>>,
    _owns: PhantomData<Inner<T>>,
}

// SAFETY: The cell hands out shared references on any thread and drops the value on any.
unsafe impl<T: Send + Sync> Send for RcuCell<T> {}
// SAFETY: As above.
unsafe impl<T: Send + Sync> Sync for RcuCell<T> {}

impl<T> RcuCell<T> {
    /// `kvfree_call_rcu()` frees the memory and drops nothing.
    const NOTHING_TO_DROP: () = assert!(!needs_drop::<T>());

    /// `kvfree_call_rcu()` finds the beginning of the memory only if it is in the same 4096 bytes:
    /// `__is_kvfree_rcu_offset()`.
    const RCU_IS_IN_REACH: () = assert!(offset_of!(Inner<T>, rcu) < 4096);

    /// Makes an empty cell.
    pub(crate) const fn empty() -> Self {
        let () = Self::NOTHING_TO_DROP;
        let () = Self::RCU_IS_IN_REACH;
        // INVARIANT: Null is allowed.
        Self {
            inner: Atomic::new(ptr::null_mut()),
            _owns: PhantomData,
        }
    }

    /// Returns the value, if there is one.
    #[inline]
    pub(crate) fn get<'a>(&'a self, _rcu: &'a rcu::Guard) -> Option<&'a T> {
        // SAFETY: `self` keeps the atomic valid, and it is stored as a whole.
        let inner = unsafe { read_once(self.inner.as_ptr()) };
        // SAFETY: By the invariants the value stays valid for a grace period after it has been
        // replaced, and from then on it is not loaded again.  So it is valid as long as the guard.
        unsafe { inner.as_ref() }.map(|inner| &inner.value)
    }

    /// Replaces the value.  The old one is freed after a grace period.  Does not wait for that.
    pub(crate) fn replace(&self, value: Option<RcuBox<T>>) {
        let new = match value {
            // SAFETY: The value is not moved: it stays in the same memory until that is freed.
            Some(boxed) => KBox::into_raw(unsafe { Pin::into_inner_unchecked(boxed.0) }),
            None => ptr::null_mut(),
        };
        // INVARIANT: `new` is null or came out of a box.
        let old = self.inner.xchg(new, Full);
        if old.is_null() {
            return;
        }
        // SAFETY: By the invariants `old`, which is not null, came out of a `KBox`, whose memory
        // `kvfree()` frees.  The exchange has made this the only owner.  `empty()` has checked the
        // offset of `rcu`, and that there is nothing to drop.
        unsafe { bindings::kvfree_call_rcu((*old).rcu.get(), old.cast()) };
    }
}

impl<T> Drop for RcuCell<T> {
    fn drop(&mut self) {
        self.replace(None);
    }
}

#[cfg(CONFIG_WATCH_QUEUE_KUNIT_TEST)]
#[kunit_tests(watch_queue_rcu_cell)]
mod tests {
    use super::*;
    use kernel::alloc::flags::GFP_KERNEL;

    fn boxed(value: u64) -> Result<RcuBox<u64>> {
        let mut boxed = RcuBox::zeroed(GFP_KERNEL)?;
        *boxed.get_mut() = value;
        Ok(boxed)
    }

    #[test]
    fn a_value_that_is_being_read_stays_when_it_is_replaced() -> Result {
        let cell = RcuCell::empty();
        assert!(cell.get(&rcu::read_lock()).is_none());
        cell.replace(Some(boxed(1)?));
        let second = boxed(2)?;

        let guard = rcu::read_lock();
        let first = cell.get(&guard);
        assert!(first == Some(&1));
        cell.replace(Some(second));
        assert!(first == Some(&1));
        assert!(cell.get(&guard) == Some(&2));
        drop(guard);

        cell.replace(None);
        assert!(cell.get(&rcu::read_lock()).is_none());
        Ok(())
    }
}

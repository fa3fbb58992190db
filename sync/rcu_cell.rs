// SPDX-License-Identifier: GPL-2.0

//! A value that is read under RCU and replaced as a whole.
//!
//! C header: [`include/linux/rcupdate.h`](srctree/include/linux/rcupdate.h)

use core::{marker::PhantomData, ptr};
use kernel::{
    alloc::{Flags, KBox},
    bindings,
    prelude::*,
    sync::{
        atomic::{Acquire, Atomic, Full},
        rcu,
    },
    types::Opaque,
};

/// A value in memory of its own that can be freed after a grace period.
#[pin_data]
#[repr(C)]
struct Inner<T> {
    value: T,
    #[pin]
    rcu: Opaque<bindings::kvfree_rcu_head>,
}

/// Owns a value that is about to be put into an [`RcuCell`].
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

    /// The value.
    pub(crate) fn get_mut(&mut self) -> &mut T {
        // SAFETY: `value` is not pinned, and nothing is moved out of the box.
        unsafe { &mut self.0.as_mut().get_unchecked_mut().value }
    }
}

/// A place for a value that is read under RCU, or for none.
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
    /// Freeing the memory is all there is to dropping the value.
    const NOTHING_TO_DROP: () = assert!(!core::mem::needs_drop::<T>());

    /// An empty cell.
    pub(crate) const fn empty() -> Self {
        let () = Self::NOTHING_TO_DROP;
        // INVARIANT: Null is allowed.
        Self {
            inner: Atomic::new(ptr::null_mut()),
            _owns: PhantomData,
        }
    }

    /// The value, if there is one.
    #[inline]
    pub(crate) fn get<'a>(&'a self, _rcu: &'a rcu::Guard) -> Option<&'a T> {
        // SAFETY: By the invariants the value is valid for a grace period from when it is
        // replaced, and a replaced one is not read again.  So it is valid as long as the guard.
        unsafe { self.inner.load(Acquire).as_ref() }.map(|inner| &inner.value)
    }

    /// Replaces the value.  The old one is freed after a grace period, for which this does not
    /// wait.
    pub(crate) fn replace(&self, value: Option<RcuBox<T>>) {
        let new = match value {
            // SAFETY: The value stays where it is until it is freed.
            Some(boxed) => KBox::into_raw(unsafe { Pin::into_inner_unchecked(boxed.0) }),
            None => ptr::null_mut(),
        };
        // INVARIANT: `new` is null or came out of a box.
        let old = self.inner.xchg(new, Full);
        if old.is_null() {
            return;
        }
        // SAFETY: `old` was owned by the cell and is not null.  It was allocated by `KBox`, so
        // that it may be freed with `kvfree()`, and nothing else has to be done to drop it.
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

// SPDX-License-Identifier: GPL-2.0

//! The platform of the ring: core's atomics, and memory that is there already.

use core::{
    ops::Deref,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

use crate::note::Note;

/// Every allocation fails: the code is compiled to be read, and never runs.
#[derive(Debug)]
pub(crate) struct OutOfMemory;

/// A shared reference, as nothing is ever allocated.
pub(crate) struct Arc<T: 'static>(&'static T);

impl<T> Clone for Arc<T> {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

impl<T> Deref for Arc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0
    }
}

pub(crate) fn share<T>(_value: T) -> Result<Arc<T>, OutOfMemory> {
    Err(OutOfMemory)
}

/// The orderings, as types, as `kernel::sync::atomic` has them.
pub(crate) struct Relaxed;
pub(crate) struct Acquire;
pub(crate) struct Release;

/// An ordering.
pub(crate) trait Order {
    const ORDERING: Ordering;
}

impl Order for Relaxed {
    const ORDERING: Ordering = Ordering::Relaxed;
}

impl Order for Acquire {
    const ORDERING: Ordering = Ordering::Acquire;
}

impl Order for Release {
    const ORDERING: Ordering = Ordering::Release;
}

/// The atomic integers that the ring uses.
pub(crate) struct Atomic<T: Word>(T::Atomic);

/// An integer that has an atomic one.
pub(crate) trait Word: Sized {
    type Atomic;
    fn new(value: Self) -> Self::Atomic;
    fn load(atomic: &Self::Atomic, order: Ordering) -> Self;
    fn store(atomic: &Self::Atomic, value: Self, order: Ordering);
    fn swap(atomic: &Self::Atomic, value: Self, order: Ordering) -> Self;
    fn add(atomic: &Self::Atomic, value: Self, order: Ordering) -> Self;
}

macro_rules! word {
    ($word:ty, $atomic:ty) => {
        impl Word for $word {
            type Atomic = $atomic;

            #[inline(always)]
            fn new(value: $word) -> $atomic {
                <$atomic>::new(value)
            }

            #[inline(always)]
            fn load(atomic: &$atomic, order: Ordering) -> $word {
                atomic.load(order)
            }

            #[inline(always)]
            fn store(atomic: &$atomic, value: $word, order: Ordering) {
                atomic.store(value, order);
            }

            #[inline(always)]
            fn swap(atomic: &$atomic, value: $word, order: Ordering) -> $word {
                atomic.swap(value, order)
            }

            #[inline(always)]
            fn add(atomic: &$atomic, value: $word, order: Ordering) -> $word {
                atomic.fetch_add(value, order)
            }
        }
    };
}
word!(u32, AtomicU32);
word!(u64, AtomicU64);

impl<T: Word> Atomic<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(T::new(value))
    }

    #[inline(always)]
    pub(crate) fn load<O: Order>(&self, _: O) -> T {
        T::load(&self.0, O::ORDERING)
    }

    #[inline(always)]
    pub(crate) fn store<O: Order>(&self, value: T, _: O) {
        T::store(&self.0, value, O::ORDERING);
    }

    #[inline(always)]
    pub(crate) fn xchg<O: Order>(&self, value: T, _: O) -> T {
        T::swap(&self.0, value, O::ORDERING)
    }

    #[inline(always)]
    pub(crate) fn fetch_add<O: Order>(&self, value: T, _: O) -> T {
        T::add(&self.0, value, O::ORDERING)
    }
}

/// Loads a value with no ordering.
#[inline(always)]
pub(crate) fn load_relaxed(value: &Atomic<u32>) -> u32 {
    value.load(Relaxed)
}

/// Memory, as the kernel's platform has it.
///
/// # Invariants
///
/// `start` is valid for reads and writes of `len` values, and nobody else accesses them.
pub(crate) struct Memory<T> {
    start: *mut T,
    len: usize,
}

// SAFETY: There is nothing in the memory that is bound to a thread, and all accesses to it are
// `unsafe` functions whose callers rule out data races.
unsafe impl<T: Copy + Send> Sync for Memory<T> {}

impl<T: Copy> Memory<T> {
    pub(crate) fn new(_len: usize) -> Result<Self, OutOfMemory> {
        Err(OutOfMemory)
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// # Safety
    ///
    /// As that of the kernel's.
    #[inline]
    pub(crate) unsafe fn write(&self, at: usize, values: &[T]) {
        // SAFETY: By the invariants the memory is valid, and the caller stays in it.
        unsafe {
            core::ptr::copy_nonoverlapping(values.as_ptr(), self.start.add(at), values.len());
        }
    }

    /// # Safety
    ///
    /// As that of the kernel's.
    #[inline]
    pub(crate) unsafe fn read(&self, at: usize) -> T {
        // SAFETY: By the invariants the memory is valid, and the caller has written the value.
        unsafe { *self.start.add(at) }
    }

    /// # Safety
    ///
    /// As that of the kernel's.
    #[inline]
    pub(crate) unsafe fn slice(&self, at: usize, len: usize) -> &[T] {
        // SAFETY: By the invariants the memory is valid.  The caller has written the values.
        unsafe { core::slice::from_raw_parts(self.start.add(at), len) }
    }
}

impl Memory<u8> {
    /// # Safety
    ///
    /// As that of the kernel's.
    #[inline(always)]
    pub(crate) unsafe fn write_note(&self, at: usize, note: Note<'_>) {
        // SAFETY: By the invariants the memory is valid, and the caller stays in it.
        unsafe { note.copy_to(self.start.add(at)) };
    }
}

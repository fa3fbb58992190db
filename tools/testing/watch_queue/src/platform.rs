// SPDX-License-Identifier: GPL-2.0

//! What the ring needs from where it runs: here, the standard library or, with `--cfg loom`, loom.
//!
//! Memory keeps track of what has been written, so that reading anything else is a panic.  Under
//! loom, so is every data race.

#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

pub(crate) use memory::Memory;

#[cfg(loom)]
pub(crate) use loom::sync::Arc;
#[cfg(not(loom))]
pub(crate) use std::sync::Arc;

/// There is always memory here.
#[derive(Debug)]
pub(crate) struct OutOfMemory;

pub(crate) fn share<T>(value: T) -> Result<Arc<T>, OutOfMemory> {
    Ok(Arc::new(value))
}

/// The orderings that the ring uses, as types, as `kernel::sync::atomic` has them.
pub(crate) struct Acquire;
pub(crate) struct Release;

/// The atomic integers that the ring uses.
pub(crate) struct Atomic<T: Word>(T::Atomic);

pub(crate) trait Word: Copy {
    type Atomic;
    fn new(value: Self) -> Self::Atomic;
    fn load(atomic: &Self::Atomic) -> Self;
    fn store(atomic: &Self::Atomic, value: Self);
}

#[cfg(loom)]
std::thread_local! {
    /// What a store of the ring is ordered with.  A test sets it wrong, to see that it is found.
    /// All of a model runs on the test's own thread.
    pub(crate) static STORE: std::cell::Cell<Ordering> =
        const { std::cell::Cell::new(Ordering::Release) };
}

#[cfg(loom)]
fn store_ordering() -> Ordering {
    STORE.with(|ordering| ordering.get())
}

#[cfg(not(loom))]
fn store_ordering() -> Ordering {
    Ordering::Release
}

macro_rules! word {
    ($word:ty, $atomic:ty) => {
        impl Word for $word {
            type Atomic = $atomic;
            fn new(value: Self) -> $atomic {
                <$atomic>::new(value)
            }
            fn load(atomic: &$atomic) -> Self {
                atomic.load(Ordering::Acquire)
            }
            fn store(atomic: &$atomic, value: Self) {
                atomic.store(value, store_ordering())
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

    pub(crate) fn load(&self, _: Acquire) -> T {
        T::load(&self.0)
    }

    pub(crate) fn store(&self, value: T, _: Release) {
        T::store(&self.0, value)
    }
}

/// Memory as the kernel's is, which also knows what has been written.
impl Memory<u8> {
    /// # Safety
    ///
    /// As for the kernel's, which see.
    pub(crate) unsafe fn write_note(&self, at: usize, note: crate::note::Note<'_>) {
        // SAFETY: By the caller's promise.
        unsafe { self.write(at, note.bytes()) };
    }
}

#[cfg(not(loom))]
mod memory {
    use super::OutOfMemory;
    use std::{
        cell::UnsafeCell,
        mem::MaybeUninit,
        sync::atomic::{AtomicBool, Ordering},
    };

    /// Memory for a fixed number of `T`, none of which is initialised at first.
    pub(crate) struct Memory<T> {
        cells: Vec<UnsafeCell<MaybeUninit<T>>>,
        written: Vec<AtomicBool>,
    }

    // SAFETY: As for the kernel's: callers rule out data races.
    unsafe impl<T: Copy + Send> Send for Memory<T> {}
    // SAFETY: As above.
    unsafe impl<T: Copy + Send> Sync for Memory<T> {}

    impl<T: Copy> Memory<T> {
        pub(crate) fn new(len: usize) -> Result<Self, OutOfMemory> {
            Ok(Self {
                cells: (0..len)
                    .map(|_| UnsafeCell::new(MaybeUninit::uninit()))
                    .collect(),
                written: (0..len).map(|_| AtomicBool::new(false)).collect(),
            })
        }

        pub(crate) fn len(&self) -> usize {
            self.cells.len()
        }

        /// # Safety
        ///
        /// As for the kernel's, which see.
        pub(crate) unsafe fn write(&self, at: usize, values: &[T]) {
            for (at, value) in (at..).zip(values) {
                // SAFETY: By the caller's promise.
                unsafe { (*self.cells[at].get()).write(*value) };
                self.written[at].store(true, Ordering::Relaxed);
            }
        }

        /// # Safety
        ///
        /// As for the kernel's, which see.
        pub(crate) unsafe fn read(&self, at: usize) -> T {
            // SAFETY: By the caller's promise.
            let value = unsafe { self.slice(at, 1) };
            value[0]
        }

        /// # Safety
        ///
        /// As for the kernel's, which see.
        pub(crate) unsafe fn slice(&self, at: usize, len: usize) -> &[T] {
            let written = &self.written[at..at + len];
            assert!(written
                .iter()
                .all(|written| written.load(Ordering::Relaxed)));
            // SAFETY: The values are there, and have been written.  For the rest, by the caller's
            // promise.
            unsafe { std::slice::from_raw_parts(self.cells[at..].as_ptr().cast(), len) }
        }
    }
}

/// Memory of which loom knows who accesses what, and when.
#[cfg(loom)]
mod memory {
    use super::OutOfMemory;
    use loom::cell::UnsafeCell;

    /// Memory for a fixed number of `T`, none of which is initialised at first.
    pub(crate) struct Memory<T> {
        cells: Vec<UnsafeCell<Option<T>>>,
    }

    // SAFETY: As for the kernel's: callers rule out data races, or loom finds them.
    unsafe impl<T: Copy + Send> Send for Memory<T> {}
    // SAFETY: As above.
    unsafe impl<T: Copy + Send> Sync for Memory<T> {}

    impl<T: Copy> Memory<T> {
        pub(crate) fn new(len: usize) -> Result<Self, OutOfMemory> {
            Ok(Self {
                cells: (0..len).map(|_| UnsafeCell::new(None)).collect(),
            })
        }

        pub(crate) fn len(&self) -> usize {
            self.cells.len()
        }

        /// # Safety
        ///
        /// As for the kernel's, which see.
        pub(crate) unsafe fn write(&self, at: usize, values: &[T]) {
            for (cell, value) in self.cells[at..at + values.len()].iter().zip(values) {
                // SAFETY: By the caller's promise, which loom checks.
                cell.with_mut(|cell| unsafe { *cell = Some(*value) });
            }
        }

        /// # Safety
        ///
        /// As for the kernel's, which see.
        pub(crate) unsafe fn read(&self, at: usize) -> T {
            // SAFETY: By the caller's promise, which loom checks.
            let value = self.cells[at].with(|cell| unsafe { *cell });
            value.expect("read of what was not written")
        }

        /// Not quite the memory itself, but a copy of what is there now.
        ///
        /// # Safety
        ///
        /// As for the kernel's, which see.
        pub(crate) unsafe fn slice(&self, at: usize, len: usize) -> &[T] {
            assert!(at + len <= self.len());
            // SAFETY: By the caller's promise.
            let copy: Vec<T> = (at..at + len).map(|at| unsafe { self.read(at) }).collect();
            copy.leak()
        }
    }
}

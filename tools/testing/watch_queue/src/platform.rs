// SPDX-License-Identifier: GPL-2.0

//! The platform of the ring: the standard library or, with `--cfg loom`, loom.
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

/// Loads a value with no ordering.
pub(crate) fn load_relaxed(value: &Atomic<u32>) -> u32 {
    value.load(Relaxed)
}

/// There is always memory here.
#[derive(Debug)]
pub(crate) struct OutOfMemory;

pub(crate) fn share<T>(value: T) -> Result<Arc<T>, OutOfMemory> {
    Ok(Arc::new(value))
}

/// The orderings that the ring uses, as types, as `kernel::sync::atomic` has them.
pub(crate) struct Relaxed;
pub(crate) struct Acquire;
pub(crate) struct Release;

/// The orderings of a load in the kernel.
pub(crate) trait LoadOrdering {
    const ORDERING: Ordering;
}

impl LoadOrdering for Relaxed {
    const ORDERING: Ordering = Ordering::Relaxed;
}

impl LoadOrdering for Acquire {
    const ORDERING: Ordering = Ordering::Acquire;
}

/// The orderings of a store in the kernel.
pub(crate) trait StoreOrdering {
    fn ordering() -> Ordering;
}

impl StoreOrdering for Relaxed {
    fn ordering() -> Ordering {
        Ordering::Relaxed
    }
}

impl StoreOrdering for Release {
    #[cfg(loom)]
    fn ordering() -> Ordering {
        RELEASE.with(|ordering| ordering.get())
    }

    #[cfg(not(loom))]
    fn ordering() -> Ordering {
        Ordering::Release
    }
}

#[cfg(loom)]
std::thread_local! {
    /// The ordering of a release of the ring.  A test sets it wrong, to see that it is found.  All
    /// of a model runs on the test's own thread.
    pub(crate) static RELEASE: std::cell::Cell<Ordering> =
        const { std::cell::Cell::new(Ordering::Release) };
}

/// The atomic integers that the ring uses.
pub(crate) struct Atomic<T: Word>(T::Atomic);

pub(crate) trait Word: Copy {
    type Atomic;
    fn new(value: Self) -> Self::Atomic;
    fn load(atomic: &Self::Atomic, ordering: Ordering) -> Self;
    fn store(atomic: &Self::Atomic, value: Self, ordering: Ordering);
    fn swap(atomic: &Self::Atomic, value: Self, ordering: Ordering) -> Self;
    fn add(atomic: &Self::Atomic, value: Self, ordering: Ordering) -> Self;
}

macro_rules! word {
    ($word:ty, $atomic:ty) => {
        impl Word for $word {
            type Atomic = $atomic;
            fn new(value: Self) -> $atomic {
                <$atomic>::new(value)
            }
            fn load(atomic: &$atomic, ordering: Ordering) -> Self {
                atomic.load(ordering)
            }
            fn store(atomic: &$atomic, value: Self, ordering: Ordering) {
                // Loom forgets that nothing comes between what an addition reads and what it
                // writes, if that is a store of another thread.
                if cfg!(loom) && ordering == Ordering::Relaxed {
                    atomic.swap(value, ordering);
                } else {
                    atomic.store(value, ordering)
                }
            }
            fn swap(atomic: &$atomic, value: Self, ordering: Ordering) -> Self {
                atomic.swap(value, ordering)
            }
            fn add(atomic: &$atomic, value: Self, ordering: Ordering) -> Self {
                atomic.fetch_add(value, ordering)
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

    pub(crate) fn load<O: LoadOrdering>(&self, _: O) -> T {
        T::load(&self.0, O::ORDERING)
    }

    pub(crate) fn store<O: StoreOrdering>(&self, value: T, _: O) {
        T::store(&self.0, value, O::ordering())
    }

    pub(crate) fn xchg(&self, value: T, _: Relaxed) -> T {
        T::swap(&self.0, value, Ordering::Relaxed)
    }

    pub(crate) fn fetch_add(&self, value: T, _: Relaxed) -> T {
        T::add(&self.0, value, Ordering::Relaxed)
    }
}

/// Memory as the kernel's is, which also knows what has been written.
#[cfg(not(loom))]
mod memory {
    use super::OutOfMemory;
    use crate::note::Note;
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
        /// Those of the kernel's function of this name.
        pub(crate) unsafe fn write(&self, at: usize, values: &[T]) {
            for (at, value) in (at..).zip(values) {
                // SAFETY: By the caller's promise.
                unsafe { (*self.cells[at].get()).write(*value) };
                self.written[at].store(true, Ordering::Relaxed);
            }
        }

        /// # Safety
        ///
        /// Those of the kernel's function of this name.
        pub(crate) unsafe fn read(&self, at: usize) -> T {
            // SAFETY: By the caller's promise.
            let value = unsafe { self.slice(at, 1) };
            value[0]
        }

        /// # Safety
        ///
        /// Those of the kernel's function of this name.
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

    impl Memory<u8> {
        /// # Safety
        ///
        /// Those of the kernel's function of this name.
        pub(crate) unsafe fn write_note(&self, at: usize, note: Note<'_>) {
            let behind = at + note.bytes().len();
            let to = UnsafeCell::raw_get(self.cells[at..behind].as_ptr());
            // SAFETY: The slice has the length of the message.  For the rest, by the caller's
            // promise.
            unsafe { note.copy_to(to.cast()) };
            for written in &self.written[at..behind] {
                written.store(true, Ordering::Relaxed);
            }
        }
    }
}

/// Memory of which loom knows who accesses what, and when.
#[cfg(loom)]
mod memory {
    use super::OutOfMemory;
    use crate::note::{Note, MAX_LEN};
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
        /// Those of the kernel's function of this name.
        pub(crate) unsafe fn write(&self, at: usize, values: &[T]) {
            for (cell, value) in self.cells[at..at + values.len()].iter().zip(values) {
                // SAFETY: By the caller's promise, which loom checks.
                cell.with_mut(|cell| unsafe { *cell = Some(*value) });
            }
        }

        /// # Safety
        ///
        /// Those of the kernel's function of this name.
        pub(crate) unsafe fn read(&self, at: usize) -> T {
            // SAFETY: By the caller's promise, which loom checks.
            let value = self.cells[at].with(|cell| unsafe { *cell });
            value.expect("read of what was not written")
        }

        /// Not quite the memory itself, but a copy of what is there now.
        ///
        /// # Safety
        ///
        /// Those of the kernel's function of this name.
        pub(crate) unsafe fn slice(&self, at: usize, len: usize) -> &[T] {
            assert!(at + len <= self.len());
            // SAFETY: By the caller's promise.
            let copy: Vec<T> = (at..at + len).map(|at| unsafe { self.read(at) }).collect();
            copy.leak()
        }
    }

    impl Memory<u8> {
        /// # Safety
        ///
        /// Those of the kernel's function of this name.
        pub(crate) unsafe fn write_note(&self, at: usize, note: Note<'_>) {
            let mut bytes = [0; MAX_LEN];
            // SAFETY: No message is longer than that.
            unsafe { note.copy_to(bytes.as_mut_ptr()) };
            // SAFETY: By the caller's promise.
            unsafe { self.write(at, &bytes[..note.bytes().len()]) };
        }
    }
}

// SPDX-License-Identifier: GPL-2.0

//! The memory and the atomics of the ring.
//!
//! [`crate::ring`] has no other access to the kernel.  With another module in this one's place it
//! can be tested and model-checked outside of the kernel as it is.

use kernel::{
    alloc::{
        flags::{__GFP_NOWARN, __GFP_RETRY_MAYFAIL, GFP_KERNEL, GFP_KERNEL_ACCOUNT},
        AllocError, Flags, KVec, VVec,
    },
    page::PAGE_SIZE,
};

pub(crate) use kernel::{
    alloc::AllocError as OutOfMemory,
    sync::{
        atomic::{Acquire, Atomic, Relaxed, Release},
        Arc,
    },
};

use crate::note::Note;

/// Loads a value with no ordering: `READ_ONCE()`.
///
/// `Atomic::load()` calls a function where helpers are not inlined.
#[inline(always)]
pub(crate) fn load_relaxed(value: &Atomic<u32>) -> u32 {
    // SAFETY: `value` is borrowed here, so that the pointer is aligned and valid.  To read it while
    // it changes is a data race by the rules of Rust, but allowed by the kernel's memory model, as a
    // volatile access of one word is there.
    // FIXME(read_once): replace it with `read_once` when the kernel crate has that.
    unsafe { value.as_ptr().read_volatile() }
}

/// Puts `value` where it can be shared.  The memory is charged to the caller's memory cgroup.
pub(crate) fn share<T>(value: T) -> Result<Arc<T>, AllocError> {
    Arc::new(value, GFP_KERNEL_ACCOUNT)
}

/// Memory for a fixed number of `T`, none of which is initialised at first.
///
/// # Invariants
///
/// `start` is valid for reads and writes of `len` values, and nobody else accesses them.
pub(crate) struct Memory<T> {
    start: *mut T,
    len: usize,
    /// Owns what `start` points to.
    _owner: Owner<T>,
}

/// The vector that owns memory.  It has the length 0 for as long as it lives.
enum Owner<T> {
    /// Pages that lie one behind the other, or less than a page.
    Contiguous { _vec: KVec<T> },
    /// Pages from anywhere.
    Mapped { _vec: VVec<T> },
}

/// The most that is asked for in one piece, in bytes: as much as an ordinary pipe has.
const MAX_CONTIGUOUS: usize = 16 * PAGE_SIZE;

// SAFETY: There is nothing in the memory that is bound to a thread, and all accesses to it are
// `unsafe` functions whose callers rule out data races.
unsafe impl<T: Copy + Send> Send for Memory<T> {}
// SAFETY: As above.
unsafe impl<T: Copy + Send> Sync for Memory<T> {}

impl<T: Copy> Memory<T> {
    /// Allocates the memory, in whole pages if it is more than one.  It is charged to the caller's
    /// memory cgroup.
    pub(crate) fn new(len: usize) -> Result<Self, AllocError> {
        // It may be large.  The OOM killer is not to kill a process for it.
        let flags = GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN;
        let size = len * size_of::<T>();
        if size <= PAGE_SIZE {
            return Self::contiguous(len, flags);
        }
        // `kmalloc()` takes a power of two.  If there are such pages, this costs less to map and
        // to access.  If there are none, nobody reclaims or compacts memory for it.
        if size.is_power_of_two() && size <= MAX_CONTIGUOUS {
            let memory = Self::contiguous(len, flags & !GFP_KERNEL & !__GFP_RETRY_MAYFAIL);
            if memory.is_ok() {
                return memory;
            }
        }
        let mut vec = VVec::with_capacity(len, flags)?;
        // INVARIANT: The vector has the capacity and never uses it.
        Ok(Self {
            start: vec.as_mut_ptr(),
            len,
            _owner: Owner::Mapped { _vec: vec },
        })
    }

    fn contiguous(len: usize, flags: Flags) -> Result<Self, AllocError> {
        let mut vec = KVec::with_capacity(len, flags)?;
        // INVARIANT: The vector has the capacity and never uses it.
        Ok(Self {
            start: vec.as_mut_ptr(),
            len,
            _owner: Owner::Contiguous { _vec: vec },
        })
    }

    /// Returns the number of values for which there is memory.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Writes `values` from the index `at` on.
    ///
    /// # Safety
    ///
    /// `at + values.len()` is at most [`Memory::len`], and nobody accesses these places at the
    /// same time.
    #[inline]
    pub(crate) unsafe fn write(&self, at: usize, values: &[T]) {
        // SAFETY: By the invariants the memory is valid, and the caller stays in it.  It does not
        // overlap `values`, which is borrowed.
        unsafe {
            core::ptr::copy_nonoverlapping(values.as_ptr(), self.start.add(at), values.len());
        }
    }

    /// Reads the value at the index `at`.
    ///
    /// # Safety
    ///
    /// `at` is less than [`Memory::len`], the value has been written, and nobody writes it at the
    /// same time.
    #[inline]
    pub(crate) unsafe fn read(&self, at: usize) -> T {
        // SAFETY: By the invariants the memory is valid, and the caller has written the value.
        unsafe { *self.start.add(at) }
    }

    /// Borrows `len` values from the index `at` on.
    ///
    /// # Safety
    ///
    /// `at + len` is at most [`Memory::len`], the values have been written, and nobody writes them
    /// as long as they are borrowed.
    #[inline]
    pub(crate) unsafe fn slice(&self, at: usize, len: usize) -> &[T] {
        // SAFETY: By the invariants the memory is valid.  The caller has written the values, and
        // keeps others from writing them.
        unsafe { core::slice::from_raw_parts(self.start.add(at), len) }
    }
}

impl Memory<u8> {
    /// Writes a message from the index `at` on.
    ///
    /// # Safety
    ///
    /// As for [`Memory::write`].
    #[inline(always)]
    pub(crate) unsafe fn write_note(&self, at: usize, note: Note<'_>) {
        // SAFETY: By the invariants the memory is valid, and the caller stays in it.  It does not
        // overlap the message, which is borrowed.
        unsafe { note.copy_to(self.start.add(at)) };
    }
}

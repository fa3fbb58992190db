// SPDX-License-Identifier: GPL-2.0

//! Synchronisation primitives that the kernel crate does not have yet.

pub(crate) mod irq_work;
pub(crate) mod lock;
pub(crate) mod rcu_cell;
pub(crate) mod wait;

/// Reads a value as a whole and once, while others may change it: `READ_ONCE()`.
///
/// A pointer that is read so needs no acquire: the address of all that is read through it depends
/// on it.  Where helpers are not inlined, `Atomic::load()` calls a function.
///
/// # Safety
///
/// `value` is valid for reads, and nobody changes less than the whole of it.
#[inline(always)]
pub(crate) unsafe fn read_once<T: Copy>(value: *const T) -> T {
    const { assert!(size_of::<T>() <= size_of::<usize>()) };
    // SAFETY: The caller has a valid value.  To read it while it changes is a data race by the
    // rules of Rust, but allowed by the kernel's memory model, as a volatile access of one word is
    // there.
    // FIXME(read_once): replace it with `read_once` when the kernel crate has that.
    unsafe { value.read_volatile() }
}

/// Writes a value as a whole and once, while others may read it: `WRITE_ONCE()`.
///
/// # Safety
///
/// `to` is valid for writes, and nobody reads or changes less than the whole of it.
#[inline(always)]
pub(crate) unsafe fn write_once<T: Copy>(to: *mut T, value: T) {
    const { assert!(size_of::<T>() <= size_of::<usize>()) };
    // SAFETY: The caller has a place that is valid for writes.  To write it while others read it is
    // a data race by the rules of Rust, but allowed by the kernel's memory model, as a volatile
    // access of one word is there.
    unsafe { to.write_volatile(value) }
}

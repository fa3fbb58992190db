// SPDX-License-Identifier: GPL-2.0

//! KCOV: which points of the kernel's code the calling thread has passed.
//!
//! A point is a call that the compiler put at the beginning of a basic block.  Only
//! `kernel/watch_queue/` has them.  What runs in interrupts, RCU callbacks and workers is nobody's
//! system call, and is not seen.

use std::{
    io,
    ptr::{self, NonNull},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

const INIT_TRACE: libc::c_ulong = 0x8008_6301;
const ENABLE: libc::c_ulong = 0x6364;
const TRACE_PC: libc::c_ulong = 0;

/// The number of points that one call can pass; those that come later are not seen.
const WORDS: usize = 1 << 16;

/// The trace of one thread.
pub struct Kcov {
    area: NonNull<AtomicU64>,
}

impl Kcov {
    /// Begins to trace the calling thread.
    pub fn of_this_thread() -> io::Result<Self> {
        // SAFETY: The arguments are a string and numbers.
        let fd = unsafe {
            libc::open(
                c"/sys/kernel/debug/kcov".as_ptr(),
                libc::O_RDWR | libc::O_CLOEXEC,
            )
        };
        if fd == -1 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: The argument is a number.
        if unsafe { libc::ioctl(fd, INIT_TRACE, WORDS) } == -1 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: A new mapping touches no memory that is there.
        let area = unsafe {
            libc::mmap(
                ptr::null_mut(),
                WORDS * size_of::<u64>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd,
                0,
            )
        };
        if area == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: The argument is a number.
        if unsafe { libc::ioctl(fd, ENABLE, TRACE_PC) } == -1 {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(area.cast())
            .map(|area| Self { area })
            .ok_or_else(|| io::Error::other("mapped at zero"))
    }

    fn word(&self, n: usize) -> &AtomicU64 {
        assert!(n < WORDS);
        // SAFETY: So many words are mapped, for good.
        unsafe { self.area.add(n).as_ref() }
    }

    /// Forgets what was passed so far.
    pub fn reset(&self) {
        self.word(0).store(0, Relaxed);
    }

    /// Calls `f` with all points that were passed, in their order.
    pub fn for_each(&self, mut f: impl FnMut(u64)) {
        let passed = self.word(0).load(Relaxed) as usize;
        for n in 1..=passed.min(WORDS - 1) {
            f(self.word(n).load(Relaxed));
        }
    }
}

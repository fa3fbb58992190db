// SPDX-License-Identifier: GPL-2.0

//! Has system calls of the calling thread fail, by `fail-nth` of the kernel's fault injection.
//!
//! A signal that is delivered while there is a failure to come could meet it in the copy of its
//! frame, and the kernel ends the process for that.

use crate::sys;
use std::{cell::Cell, ptr};

thread_local! {
    /// The thread's `fail-nth`; with no destructor, so that a handler may use it
    static FAIL_NTH: Cell<i32> = const { Cell::new(-1) };
}

/// Prepares the calling thread.
pub fn prepare() {
    let file = sys::open("/proc/thread-self/fail-nth", libc::O_RDWR);
    FAIL_NTH.set(file);
}

/// Has the NTH allocation or copy of the calling thread from now on fail; 0: none.
pub fn set(nth: u8) {
    let text = [b'0' + nth % 10];
    sys!(SYS_pwrite64, FAIL_NTH.get(), text.as_ptr(), 1, 0);
}

/// Makes the signals that programs get harmless.
pub fn handle_signals() {
    handle(libc::SIGALRM, 0, interrupt);
    for signal in [libc::SIGIO, libc::SIGURG, libc::SIGPIPE] {
        handle(signal, libc::SA_RESTART, interrupt);
    }
    handle(libc::SIGSEGV, 0, go_on_or_die);
}

type Handler = extern "C" fn(i32, *const libc::siginfo_t, *const libc::c_void);

fn handle(signal: i32, flags: i32, handler: Handler) {
    // SAFETY: Zeroes are a valid action.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as usize;
    action.sa_flags = flags | libc::SA_SIGINFO;
    // SAFETY: The handlers make system calls only.
    unsafe { libc::sigaction(signal, &action, ptr::null_mut()) };
}

/// Lets the way back from here not fail.
extern "C" fn interrupt(_: i32, _: *const libc::siginfo_t, _: *const libc::c_void) {
    // SAFETY: It is the thread's own.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: As above
    let before = unsafe { *errno };
    set(0);
    // SAFETY: As above
    unsafe { *errno = before };
}

/// Goes on if it was the frame of a signal that could not be written, which is then as if
/// it had been handled; otherwise the fault comes again, and is the end.
extern "C" fn go_on_or_die(signal: i32, info: *const libc::siginfo_t, _: *const libc::c_void) {
    // SAFETY: The kernel gives the handler one.
    if unsafe { (*info).si_code } != libc::SI_KERNEL {
        // SAFETY: The default needs nothing.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

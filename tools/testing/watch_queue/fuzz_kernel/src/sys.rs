// SPDX-License-Identifier: GPL-2.0

//! System calls as numbers: a result is what the kernel returns, an error its negative errno.

use std::{ffi::CString, io};

/// Makes a system call.
///
/// # Safety
///
/// Each pointer that the kernel writes through is valid for that, or bad on purpose.
pub unsafe fn call(number: libc::c_long, args: [u64; 6]) -> i64 {
    let [a, b, c, d, e, f] = args;
    // SAFETY: The caller knows what the kernel does.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result == -1 {
        -i64::from(io::Error::last_os_error().raw_os_error().unwrap_or(0))
    } else {
        result
    }
}

/// Makes a system call, with arguments of any integer type or pointers.
macro_rules! sys {
    ($number:ident $(, $arg:expr)* $(,)?) => {{
        let mut args = [0_u64; 6];
        let given = [$($crate::sys::Word::word($arg)),*];
        args[..given.len()].copy_from_slice(&given);
        // SAFETY: Pointers are to memory of the calling thread, or bad on purpose.
        unsafe { $crate::sys::call(libc::$number, args) }
    }};
}

/// An argument of a system call
pub trait Word {
    fn word(self) -> u64;
}

macro_rules! words {
    ($($type:ty)*) => {
        $(impl Word for $type {
            fn word(self) -> u64 {
                self as u64
            }
        })*
    };
}
words!(i32 u32 i64 u64 usize);

impl<T> Word for *const T {
    fn word(self) -> u64 {
        self as u64
    }
}

impl<T> Word for *mut T {
    fn word(self) -> u64 {
        self as u64
    }
}

pub fn open(path: &str, flags: i32) -> i32 {
    let path = CString::new(path).expect("there is no NUL in it");
    sys!(
        SYS_openat,
        libc::AT_FDCWD,
        path.as_ptr(),
        flags | libc::O_CLOEXEC,
        0o644
    ) as i32
}

pub fn close(fd: i32) {
    sys!(SYS_close, fd);
}

/// Writes to a file of procfs or sysfs.
pub fn write_to(path: &str, text: &str) -> i64 {
    let fd = open(path, libc::O_WRONLY);
    if fd < 0 {
        return fd.into();
    }
    let result = sys!(SYS_write, fd, text.as_ptr(), text.len());
    close(fd);
    result
}

pub fn mount(from: &str, to: &str, kind: &str, flags: u64, data: &str) -> i64 {
    let [from, to, kind, data] =
        [from, to, kind, data].map(|text| CString::new(text).expect("there is no NUL in it"));
    sys!(
        SYS_mount,
        from.as_ptr(),
        to.as_ptr(),
        kind.as_ptr(),
        flags,
        data.as_ptr()
    )
}

// SPDX-License-Identifier: GPL-2.0

//! The sources: what can be watched by way of `IOC_WATCH_QUEUE_ADD_WATCH`.

#[cfg(CONFIG_WATCH_SOURCES)]
use core::ptr;
use core::ptr::NonNull;
use kernel::{
    bindings,
    error::to_result,
    fs::file::LocalFile,
    ioctl::{_IOC_SIZE, _IOW},
    prelude::*,
    sync::aref::ARef,
    uaccess::{UserPtr, UserSlice},
    uapi,
};

use crate::queue::Borrowed;

#[cfg(CONFIG_WATCH_BLOCK)]
mod block;
#[cfg(CONFIG_WATCH_DEVICE)]
mod device;
#[cfg(CONFIG_WATCH_MOUNT)]
mod mount;
#[cfg(CONFIG_WATCH_SOURCES)]
mod source;
#[cfg(CONFIG_WATCH_SUPERBLOCK)]
mod superblock;

type Words = [u32; 6];

const _: () = assert!(size_of::<Words>() == size_of::<bindings::watch_queue_watch>());

const ADD_WATCH: u32 = _IOW::<bindings::watch_queue_watch>(b'W' as u32, 0x62);
const REMOVE_WATCH: u32 = _IOW::<bindings::watch_queue_watch>(b'W' as u32, 0x63);

/// An ioctl number, whatever the size of its argument.
const fn without_size(cmd: u32) -> u32 {
    cmd & !(uapi::_IOC_SIZEMASK << uapi::_IOC_SIZESHIFT)
}

/// Carries out an ioctl, if it is one of those that are about sources.
///
/// # Errors
///
/// `EFAULT` if the argument cannot be read, `E2BIG` if it asks for something unheard of, `EINVAL`
/// if it is not valid, `EOPNOTSUPP` if there is no such source, and those of the source.
pub(crate) fn ioctl(queue: Borrowed<'_>, cmd: u32, arg: usize) -> Result<bool> {
    const ADD: u32 = without_size(ADD_WATCH);
    const REMOVE: u32 = without_size(REMOVE_WATCH);

    let request = || Request::read(UserPtr::from_addr(arg), _IOC_SIZE(cmd));
    match without_size(cmd) {
        ADD => request()?.add(queue)?,
        REMOVE => request()?.remove(queue)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// What `struct watch_queue_watch` says.
struct Request {
    source: u32,
    fd: i32,
    tag: u32,
    flags: u32,
}

impl Request {
    fn read(from: UserPtr, size: usize) -> Result<Self> {
        const KNOWN: usize = size_of::<Words>();
        let rest = size.checked_sub(KNOWN).ok_or(EINVAL)?;
        let words: Words = UserSlice::new(from, KNOWN).reader().read()?;
        if rest > 0 {
            let unknown = from.wrapping_byte_add(KNOWN).as_const_ptr();
            // SAFETY: This can be called with any pointer.
            match unsafe { bindings::check_zeroed_user(unknown, rest) } {
                0 => return Err(E2BIG),
                result => to_result(result)?,
            }
        }
        let [source, fd, tag, flags, 0, 0] = words else {
            return Err(EINVAL);
        };
        Ok(Self {
            source,
            fd: fd.cast_signed(),
            tag,
            flags,
        })
    }

    #[cfg_attr(not(CONFIG_WATCH_SOURCES), expect(unused_variables))]
    fn add(&self, queue: Borrowed<'_>) -> Result {
        if self.tag > u32::from(u8::MAX) {
            return Err(EINVAL);
        }
        match self.source {
            #[cfg(CONFIG_WATCH_BLOCK)]
            block::TYPE => block::add(queue, self),
            #[cfg(CONFIG_WATCH_DEVICE)]
            device::TYPE => device::add(queue, self),
            #[cfg(CONFIG_WATCH_MOUNT)]
            mount::TYPE => mount::add(queue, self),
            #[cfg(CONFIG_WATCH_SUPERBLOCK)]
            superblock::TYPE => superblock::add(queue, self),
            _ => Err(EOPNOTSUPP),
        }
    }

    #[cfg_attr(not(CONFIG_WATCH_SOURCES), expect(unused_variables))]
    fn remove(&self, queue: Borrowed<'_>) -> Result {
        match self.source {
            #[cfg(CONFIG_WATCH_BLOCK)]
            block::TYPE => block::remove(queue, self),
            #[cfg(CONFIG_WATCH_DEVICE)]
            device::TYPE => device::remove(queue, self),
            #[cfg(CONFIG_WATCH_MOUNT)]
            mount::TYPE => mount::remove(queue, self),
            #[cfg(CONFIG_WATCH_SUPERBLOCK)]
            superblock::TYPE => superblock::remove(queue, self),
            _ => Err(EOPNOTSUPP),
        }
    }

    /// The file that says what is to be watched; it may have been opened with `O_PATH`.
    ///
    /// # Errors
    ///
    /// `EBADF` if there is none.
    #[allow(dead_code, reason = "not every source needs it")]
    fn file(&self) -> Result<ARef<LocalFile>> {
        let fd = u32::try_from(self.fd).map_err(|_| EBADF)?;
        // SAFETY: This can be called with any number.
        let file = NonNull::new(unsafe { bindings::fget_raw(fd) }).ok_or(EBADF)?;
        // SAFETY: The reference is the caller's.  A `LocalFile` is a `struct file`.
        Ok(unsafe { ARef::from_raw(file.cast()) })
    }

    /// The tag of a watch that is to be added.
    #[cfg_attr(not(CONFIG_WATCH_SOURCES), expect(dead_code))]
    fn tag(&self) -> u8 {
        self.tag as u8
    }

    /// For a source without flags.
    #[allow(dead_code, reason = "not every source needs it")]
    fn no_flags(&self) -> Result {
        if self.flags == 0 {
            Ok(())
        } else {
            Err(EINVAL)
        }
    }

    /// Asks the security modules whether the watch may be added.
    #[cfg(CONFIG_WATCH_SOURCES)]
    fn ask_security(&self, file: Option<&LocalFile>) -> Result {
        let file = file.map_or(ptr::null_mut(), LocalFile::as_ptr);
        // SAFETY: The file is null or open.
        to_result(unsafe { bindings::watch_source_ask_security(self.source, file) })
    }
}

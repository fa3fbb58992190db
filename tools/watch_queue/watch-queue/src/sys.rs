// SPDX-License-Identifier: MIT OR Apache-2.0

//! The system calls, and with them all that is `unsafe`.

#![allow(unsafe_code)]

use rustix::{
    fs::OFlags,
    ioctl::{ioctl, opcode, Getter, IntegerSetter, NoArg, Opcode, Setter, Updater},
    pipe::{pipe_with, PipeFlags},
};
use std::{
    ffi::CStr,
    io,
    os::{
        raw::{c_int, c_long},
        unix::io::{AsRawFd, BorrowedFd, OwnedFd},
    },
    ptr,
};

use crate::{KeySerial, Object};

/// `O_NOTIFICATION_PIPE` of `linux/watch_queue.h`.
const NOTIFICATION_PIPE: PipeFlags = PipeFlags::from_bits_retain(OFlags::EXCL.bits());

/// `IOC_WATCH_QUEUE_SET_SIZE`.
const SET_SIZE: Opcode = opcode::none(b'W', 0x60);

/// `IOC_WATCH_QUEUE_SET_FILTER`.
const SET_FILTER: Opcode = opcode::none(b'W', 0x61);

/// `PIPE_IOC_SYNC`.
pub(crate) const SYNC: Opcode = opcode::none(b'W', 0x62);

/// `IOC_WATCH_QUEUE_ADD_WATCH`.
pub(crate) const ADD_WATCH: Opcode = opcode::read_write::<RawWatch>(b'W', 0x63);

/// `IOC_WATCH_QUEUE_REMOVE_WATCH`.
pub(crate) const REMOVE_WATCH: Opcode = opcode::write::<RawWatch>(b'W', 0x64);

/// `IOC_WATCH_QUEUE_GET_SOURCE`.
pub(crate) const GET_SOURCE: Opcode = opcode::read_write::<RawSource>(b'W', 0x65);

/// `IOC_WATCH_QUEUE_SEAL`.
pub(crate) const SEAL: Opcode = opcode::none(b'W', 0x66);

/// `WATCH_MOUNT_SUBTREE`.
pub(crate) const MOUNT_SUBTREE: u32 = 1;

/// `KEYCTL_WATCH_KEY` of `linux/keyctl.h`.
const KEYCTL_WATCH_KEY: c_int = 32;

/// The read end and the write end of a new notification pipe.
pub(crate) fn notification_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(pipe_with(NOTIFICATION_PIPE | PipeFlags::CLOEXEC)?)
}

pub(crate) fn set_size(queue: BorrowedFd<'_>, messages: usize) -> io::Result<()> {
    // SAFETY: The argument of this ioctl is a number, which the kernel checks.
    let arg = unsafe { IntegerSetter::<SET_SIZE>::new_usize(messages) };
    // SAFETY: As above.
    Ok(unsafe { ioctl(queue, arg) }?)
}

/// Waits until what is in the queue has been read.
pub(crate) fn sync(queue: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: This ioctl has no argument.
    let arg = unsafe { NoArg::<SYNC>::new() };
    // SAFETY: As above.
    Ok(unsafe { ioctl(queue, arg) }?)
}

/// Makes the read end one for reading only.
pub(crate) fn seal(queue: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: This ioctl has no argument.
    let arg = unsafe { NoArg::<SEAL>::new() };
    // SAFETY: As above.
    Ok(unsafe { ioctl(queue, arg) }?)
}

/// A `struct watch_notification_filter`, as words: `nr_filters`, `__reserved`, and
/// `nr_filters` times [`RULE_WORDS`](crate::filter::RULE_WORDS) of them.
pub(crate) struct RawFilter<'a>(&'a [u32]);

impl<'a> RawFilter<'a> {
    /// Checks that there are as many words as the first one promises to the kernel.
    pub(crate) fn new(words: &'a [u32]) -> Option<Self> {
        let (&rules, rest) = words.split_first()?;
        let (_reserved, rest) = rest.split_first()?;
        let promised = crate::filter::RULE_WORDS.checked_mul(usize::try_from(rules).ok()?)?;
        (rest.len() == promised).then_some(Self(words))
    }
}

/// Installs a filter, or removes it.
pub(crate) fn set_filter(queue: BorrowedFd<'_>, filter: Option<RawFilter<'_>>) -> io::Result<()> {
    let words = filter.map_or(ptr::null(), |filter| filter.0.as_ptr());
    // SAFETY: The argument of this ioctl is a pointer.
    let arg = unsafe { IntegerSetter::<SET_FILTER>::new_pointer(words as *mut _) };
    // SAFETY: The kernel reads what is there, by `RawFilter`, and keeps no pointer to it.
    Ok(unsafe { ioctl(queue, arg) }?)
}

/// A `struct watch_queue_watch`.
#[repr(C)]
pub(crate) struct RawWatch {
    source: u32,
    fd: c_int,
    tag: u32,
    flags: u32,
    id: u64,
}

impl RawWatch {
    pub(crate) fn new(object: Object<'_>, tag: u8) -> Self {
        let (fd, flags) = match object {
            Object::MountNamespace(fd)
            | Object::FileSystem(fd)
            | Object::BlockDevice(fd)
            | Object::DevicesOf(fd) => (fd.as_raw_fd(), 0),
            Object::MountTree(fd) => (fd.as_raw_fd(), MOUNT_SUBTREE),
            // Keys are watched with keyctl().
            Object::Key(_) | Object::AllBlockDevices | Object::Devices => (-1, 0),
        };
        Self {
            source: object.kind().number(),
            fd,
            tag: tag.into(),
            flags,
            id: 0,
        }
    }

    #[cfg(test)]
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let words = [self.source, self.fd as u32, self.tag, self.flags];
        let mut bytes: Vec<_> = words.into_iter().flat_map(u32::to_ne_bytes).collect();
        bytes.extend(self.id.to_ne_bytes());
        bytes
    }
}

/// Has a queue watch an object; the messages get this tag.  Returns the id of the object.
pub(crate) fn add_watch(queue: BorrowedFd<'_>, object: Object<'_>, tag: u8) -> io::Result<u64> {
    let mut watch = RawWatch::new(object, tag);
    // SAFETY: The argument of this ioctl is a pointer to this struct.
    let arg = unsafe { Updater::<ADD_WATCH, _>::new(&mut watch) };
    // SAFETY: The kernel reads and writes the struct, and keeps no pointer to it.
    unsafe { ioctl(queue, arg) }?;
    Ok(watch.id)
}

/// Has a queue watch an object no more.
pub(crate) fn remove_watch(queue: BorrowedFd<'_>, object: Object<'_>) -> io::Result<()> {
    // SAFETY: The argument of this ioctl is a pointer to this struct.
    let arg = unsafe { Setter::<REMOVE_WATCH, _>::new(RawWatch::new(object, 0)) };
    // SAFETY: The kernel reads the struct, and keeps no pointer to it.
    Ok(unsafe { ioctl(queue, arg) }?)
}

/// A `struct watch_queue_source`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct RawSource {
    pub(crate) source: u32,
    pub(crate) flags: u32,
    pub(crate) sources: u64,
    pub(crate) subtypes: [u32; 8],
    pub(crate) watch_flags: u32,
    pub(crate) features: u32,
}

/// What the kernel can report of a source; `EOPNOTSUPP` if it does not have it.
pub(crate) fn get_source(queue: BorrowedFd<'_>, source: u32) -> io::Result<RawSource> {
    let mut source = RawSource {
        source,
        ..RawSource::default()
    };
    // SAFETY: The argument of this ioctl is a pointer to this struct.
    let arg = unsafe { Updater::<GET_SOURCE, _>::new(&mut source) };
    // SAFETY: The kernel reads and writes the struct, and keeps no pointer to it.
    unsafe { ioctl(queue, arg) }?;
    Ok(source)
}

/// Makes an error of the -1 that a system call returns.
fn check(result: c_long) -> io::Result<c_long> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Makes a key of what `keyctl()` or `request_key()` returned.
fn check_key(result: c_long) -> io::Result<KeySerial> {
    let serial = i32::try_from(check(result)?)
        .map_err(|error| io::Error::new(io::ErrorKind::Other, error))?;
    Ok(KeySerial::from_serial(serial))
}

/// `keyctl_watch_key()`; without a tag the watch is removed.
pub(crate) fn watch_key(key: KeySerial, queue: BorrowedFd<'_>, tag: Option<u8>) -> io::Result<()> {
    let tag = tag.map_or(-1, c_int::from);
    let (serial, fd) = (key.serial(), queue.as_raw_fd());
    // SAFETY: This operation takes numbers.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_WATCH_KEY, serial, fd, tag) })?;
    Ok(())
}

/// `keyctl_get_keyring_ID()`, which makes the keyring if need be.
pub(crate) fn keyring_id(key: KeySerial) -> io::Result<KeySerial> {
    let (op, serial, create) = (libc::KEYCTL_GET_KEYRING_ID, key.serial(), 1 as c_int);
    // SAFETY: This operation takes numbers.
    check_key(unsafe { libc::syscall(libc::SYS_keyctl, op, serial, create) })
}

/// `request_key()` that asks nobody in userspace.
pub(crate) fn request_key(kind: &CStr, description: &CStr) -> io::Result<KeySerial> {
    let (kind, description) = (kind.as_ptr(), description.as_ptr());
    let (callout, destination) = (ptr::null::<u8>(), 0 as c_int);
    // SAFETY: Both are strings, and no callout is allowed to be NULL.
    check_key(unsafe {
        libc::syscall(
            libc::SYS_request_key,
            kind,
            description,
            callout,
            destination,
        )
    })
}

/// `__NR_statmount` and `__NR_listmount`, the same on all architectures that Rust has.
const SYS_STATMOUNT: c_long = 457;
const SYS_LISTMOUNT: c_long = 458;

/// `NS_GET_MNTNS_ID`.
const NS_GET_MNTNS_ID: Opcode = opcode::read::<u64>(0xb7, 5);

/// The id of a mount namespace, of which this is a file in `/proc/PID/ns/`.
pub(crate) fn mount_namespace_id(namespace: BorrowedFd<'_>) -> io::Result<u64> {
    // SAFETY: This ioctl writes a number of 64 bits to where its argument points.
    let arg = unsafe { Getter::<NS_GET_MNTNS_ID, u64>::new() };
    // SAFETY: As above; files that do not know it refuse.
    Ok(unsafe { ioctl(namespace, arg) }?)
}

/// A `struct mnt_id_req`, of the size that a kernel takes that knows of no more.
#[repr(C)]
struct RawMountRequest {
    size: u32,
    spare: u32,
    mount: u64,
    param: u64,
    namespace: u64,
}

impl RawMountRequest {
    const SIZE_VER0: u32 = 24;
    const SIZE_VER1: u32 = 32;

    /// The mount namespace is that of the process, unless it is said.
    fn new(mount: u64, param: u64, namespace: Option<u64>) -> Self {
        Self {
            size: namespace.map_or(Self::SIZE_VER0, |_| Self::SIZE_VER1),
            spare: 0,
            mount,
            param,
            namespace: namespace.unwrap_or(0),
        }
    }
}

/// `statmount()` into a buffer; `EOVERFLOW` if it is too small.
pub(crate) fn statmount(
    mount: u64,
    mask: u64,
    namespace: Option<u64>,
    buffer: &mut [u8],
) -> io::Result<()> {
    let request: *const _ = &RawMountRequest::new(mount, mask, namespace);
    let (to, size, flags) = (buffer.as_mut_ptr(), buffer.len(), 0 as c_int);
    // SAFETY: The kernel reads the request, which says its size, and writes no more than the size
    // of the buffer into that.
    check(unsafe { libc::syscall(SYS_STATMOUNT, request, to, size, flags) })?;
    Ok(())
}

/// `listmount()` into a buffer: the ids after `last`; returns how many.
pub(crate) fn listmount(
    below: u64,
    last: u64,
    namespace: Option<u64>,
    ids: &mut [u64],
) -> io::Result<usize> {
    let request: *const _ = &RawMountRequest::new(below, last, namespace);
    let (to, room, flags) = (ids.as_mut_ptr(), ids.len(), 0 as c_int);
    // SAFETY: The kernel reads the request, which says its size, and writes no more ids than there
    // is room for.
    let count = check(unsafe { libc::syscall(SYS_LISTMOUNT, request, to, room, flags) })?;
    Ok(count as usize)
}

#[cfg(test)]
mod tests {
    use super::RawFilter;

    #[test]
    fn raw_filter_is_as_long_as_it_says() {
        let rules = |nr: u32, words: usize| {
            let mut raw = vec![nr, 0];
            raw.resize(2 + words, 0);
            RawFilter::new(&raw).is_some()
        };
        assert!(rules(1, 11) && rules(2, 22));
        assert!(!rules(1, 10) && !rules(2, 11) && !rules(u32::MAX, 11));
        assert!(RawFilter::new(&[]).is_none());
    }
}

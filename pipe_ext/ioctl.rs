// SPDX-License-Identifier: GPL-2.0

//! `ioctl()` on a notification pipe.

use core::mem::offset_of;
use kernel::{
    alloc::flags::GFP_KERNEL_ACCOUNT,
    bindings,
    error::to_result,
    ioctl::{_IO, _IOC_SIZE, _IOW, _IOWR},
    prelude::*,
    uaccess::{UserPtr, UserSlice},
    uapi,
};

use crate::{
    filter::{Rule, MAX_RULES},
    queue::{Borrowed, Mode},
    sources::{self, Request},
};

const MAGIC: u32 = b'W' as u32;
const SET_SIZE: u32 = _IO(MAGIC, 0x60);
const SET_FILTER: u32 = _IO(MAGIC, 0x61);
const SYNC: u32 = _IO(MAGIC, 0x62);
const ADD_WATCH: u32 = any_size(_IOWR::<bindings::watch_queue_watch>(MAGIC, 0x63));
const REMOVE_WATCH: u32 = any_size(_IOW::<bindings::watch_queue_watch>(MAGIC, 0x64));
const GET_SOURCE: u32 = any_size(_IOWR::<bindings::watch_queue_source>(MAGIC, 0x65));
const SEAL: u32 = _IO(MAGIC, 0x66);

/// The number of a command without the size of its argument, which may grow.
const fn any_size(cmd: u32) -> u32 {
    cmd & !(uapi::_IOC_SIZEMASK << uapi::_IOC_SIZESHIFT)
}

/// Carries out a command.
///
/// # Errors
///
/// - `ENOIOCTLCMD` if there is no such command
/// - `EPERM` if it changes the queue, which is sealed, and the file is not open for writing
/// - those of the command
pub(super) fn ioctl(queue: Borrowed<'_>, mode: Mode, cmd: u32, arg: usize) -> Result {
    let from = UserPtr::from_addr(arg);
    if matches!(cmd, SET_SIZE | SET_FILTER | SEAL)
        || matches!(any_size(cmd), ADD_WATCH | REMOVE_WATCH)
    {
        queue.permit(mode)?;
    }
    match cmd {
        bindings::FIONREAD => {
            let bytes = queue.pending_bytes().min(c_int::MAX as u64) as c_int;
            UserSlice::new(from, size_of::<c_int>())
                .writer()
                .write(&bytes)
        }
        SET_SIZE => queue.set_size(arg),
        SET_FILTER if arg == 0 => {
            queue.clear_filter();
            Ok(())
        }
        SET_FILTER => queue.set_filter(read_rules(from)?),
        SYNC => queue.sync(),
        SEAL => {
            queue.seal();
            Ok(())
        }
        _ => match any_size(cmd) {
            ADD_WATCH => {
                let request = read_request(from, _IOC_SIZE(cmd))?;
                sources::add(queue, &request, &|id| write_id(from, id)).inspect_err(|_| {
                    // So that the same request can be made again.  What could not be written was
                    // not written before, either.
                    let _ = write_id(from, request.id);
                })
            }
            REMOVE_WATCH => sources::remove(queue, &read_request(from, _IOC_SIZE(cmd))?),
            GET_SOURCE => get_source(from, _IOC_SIZE(cmd)),
            _ => Err(ENOIOCTLCMD),
        },
    }
}

/// Reads a `struct watch_notification_filter` from userspace.
///
/// # Errors
///
/// - `EFAULT` if it cannot be read
/// - `EINVAL` if it is not valid
/// - `ENOMEM`
fn read_rules(from: UserPtr) -> Result<KVec<Rule>> {
    /// The words of a `struct watch_notification_type_filter`.
    type Words = [u32; 11];

    const _: () =
        assert!(size_of::<Words>() == size_of::<bindings::watch_notification_type_filter>());
    const HEADER: usize = size_of::<[u32; 2]>();
    let mut reader = UserSlice::new(from, HEADER + MAX_RULES * size_of::<Words>()).reader();
    let [nr_rules, reserved]: [u32; 2] = reader.read()?;
    if nr_rules == 0 || nr_rules as usize > MAX_RULES || reserved != 0 {
        return Err(EINVAL);
    }

    let mut rules = KVec::with_capacity(nr_rules as usize, GFP_KERNEL_ACCOUNT)?;
    for _ in 0..nr_rules {
        let [kind, info_filter, info_mask, subtypes @ ..]: Words = reader.read()?;
        let rule = Rule {
            kind,
            info_filter,
            info_mask,
            subtypes,
        };
        rules.push(rule, GFP_KERNEL_ACCOUNT)?;
    }
    if !rules.iter().all(Rule::is_valid) {
        return Err(EINVAL);
    }
    Ok(rules)
}

/// Checks that a structure of `size` bytes in userspace has the `known` bytes at its beginning that
/// this kernel knows, and that the rest is zeroes.
///
/// # Errors
///
/// - `EFAULT` if the rest cannot be read
/// - `E2BIG` if it asks for something that this kernel does not know
/// - `EINVAL` if there are fewer bytes
fn check_unknown(from: UserPtr, size: usize, known: usize) -> Result {
    let rest = size.checked_sub(known).ok_or(EINVAL)?;
    if rest == 0 {
        return Ok(());
    }
    let unknown = from.wrapping_byte_add(known).as_const_ptr();
    // SAFETY: Any pointer will do.
    match unsafe { bindings::check_zeroed_user(unknown, rest) } {
        0 => Err(E2BIG),
        result => to_result(result).map(drop),
    }
}

/// Reads a `struct watch_queue_watch`, which has `size` bytes, from userspace.
///
/// # Errors
///
/// - `EFAULT` if it cannot be read
/// - `E2BIG` if it asks for something that this kernel does not know
/// - `EINVAL` if it is too short
fn read_request(from: UserPtr, size: usize) -> Result<Request> {
    const KNOWN: usize = size_of::<bindings::watch_queue_watch>();
    check_unknown(from, size, KNOWN)?;
    let mut reader = UserSlice::new(from, KNOWN).reader();
    Ok(Request {
        source: reader.read()?,
        fd: reader.read()?,
        tag: reader.read()?,
        flags: reader.read()?,
        id: reader.read()?,
    })
}

/// Writes the id of an object into a `struct watch_queue_watch` in userspace.
///
/// # Errors
///
/// `EFAULT` if it cannot be written.
fn write_id(to: UserPtr, id: u64) -> Result {
    let to = to.wrapping_byte_add(offset_of!(bindings::watch_queue_watch, id));
    UserSlice::new(to, size_of::<u64>()).writer().write(&id)
}

/// Answers `IOC_WATCH_QUEUE_GET_SOURCE`, with a `struct watch_queue_source` that has `size` bytes.
///
/// # Errors
///
/// - `EFAULT` if it cannot be read or written
/// - `E2BIG` if it asks for something that this kernel does not know
/// - `EINVAL` if it is too short, or has flags
/// - `EOPNOTSUPP` if there is no such source
fn get_source(at: UserPtr, size: usize) -> Result {
    const KNOWN: usize = size_of::<bindings::watch_queue_source>();
    check_unknown(at, size, KNOWN)?;
    let [source, flags]: [u32; 2] = UserSlice::new(at, KNOWN).reader().read()?;
    if flags != 0 {
        return Err(EINVAL);
    }
    let support = sources::support(source).ok_or(EOPNOTSUPP)?;
    let mut writer = UserSlice::new(at, KNOWN).writer();
    writer.write(&[source, flags])?;
    writer.write(&sources::all())?;
    let mut subtypes = [0; 8];
    subtypes[0] = support.subtypes;
    writer.write(&subtypes)?;
    writer.write(&[support.watch_flags, support.features])
}

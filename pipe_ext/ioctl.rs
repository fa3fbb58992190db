// SPDX-License-Identifier: GPL-2.0

//! `ioctl()` on a notification pipe.

use kernel::{
    alloc::flags::GFP_KERNEL_ACCOUNT,
    bindings,
    error::to_result,
    ioctl::{_IO, _IOC_SIZE, _IOW},
    prelude::*,
    uaccess::{UserPtr, UserSlice},
    uapi,
};

use crate::{
    filter::{Rule, MAX_RULES},
    queue::Borrowed,
    sources::{self, Request},
};

const MAGIC: u32 = b'W' as u32;
const SET_SIZE: u32 = _IO(MAGIC, 0x60);
const SET_FILTER: u32 = _IO(MAGIC, 0x61);
const ADD_WATCH: u32 = any_size(_IOW::<bindings::watch_queue_watch>(MAGIC, 0x62));
const REMOVE_WATCH: u32 = any_size(_IOW::<bindings::watch_queue_watch>(MAGIC, 0x63));

/// The number of a command without the size of its argument, which may grow.
const fn any_size(cmd: u32) -> u32 {
    cmd & !(uapi::_IOC_SIZEMASK << uapi::_IOC_SIZESHIFT)
}

/// Carries out a command.
///
/// # Errors
///
/// `ENOIOCTLCMD` if there is no such command, and those of the command.
pub(super) fn ioctl(queue: Borrowed<'_>, cmd: u32, arg: usize) -> Result {
    let from = UserPtr::from_addr(arg);
    match cmd {
        bindings::FIONREAD => {
            let bytes = queue.pending_bytes() as c_int;
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
        _ => match any_size(cmd) {
            ADD_WATCH => sources::add(queue, &read_request(from, _IOC_SIZE(cmd))?),
            REMOVE_WATCH => sources::remove(queue, &read_request(from, _IOC_SIZE(cmd))?),
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

/// Reads a `struct watch_queue_watch`, which has `size` bytes, from userspace.
///
/// # Errors
///
/// - `EFAULT` if it cannot be read
/// - `E2BIG` if it asks for something that this kernel does not know
/// - `EINVAL` if it is not valid
fn read_request(from: UserPtr, size: usize) -> Result<Request> {
    /// The words of a `struct watch_queue_watch`.
    type Words = [u32; 6];

    const KNOWN: usize = size_of::<Words>();
    const _: () = assert!(KNOWN == size_of::<bindings::watch_queue_watch>());
    let rest = size.checked_sub(KNOWN).ok_or(EINVAL)?;
    let words: Words = UserSlice::new(from, KNOWN).reader().read()?;
    if rest > 0 {
        let unknown = from.wrapping_byte_add(KNOWN).as_const_ptr();
        // SAFETY: Any pointer will do.
        match unsafe { bindings::check_zeroed_user(unknown, rest) } {
            0 => return Err(E2BIG),
            result => to_result(result)?,
        }
    }
    let [source, fd, tag, flags, 0, 0] = words else {
        return Err(EINVAL);
    };
    Ok(Request {
        source,
        fd: fd.cast_signed(),
        tag,
        flags,
    })
}

// SPDX-License-Identifier: GPL-2.0

//! The sources: what can be watched by way of `IOC_WATCH_QUEUE_ADD_WATCH`.
//!
//! A source is a type, of the objects that it knows, and the hooks by which the kernel reports what
//! happens to them.

use kernel::{bindings, prelude::*};

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

/// A request to add or remove a watch: `struct watch_queue_watch`.
pub(crate) struct Request {
    pub(crate) source: u32,
    pub(crate) fd: i32,
    pub(crate) tag: u32,
    pub(crate) flags: u32,
    pub(crate) id: u64,
}

/// What the kernel can report of a source: `struct watch_queue_source`.
pub(crate) struct Support {
    /// The subtypes that can come, all below 32.
    pub(crate) subtypes: u32,
    /// The flags that a request can have.
    pub(crate) watch_flags: u32,
    /// `WATCH_FEATURE_*`.
    pub(crate) features: u32,
}

/// Returns the subtypes up to `last`, as bits.
const fn up_to(last: u32) -> u32 {
    u32::MAX >> (u32::BITS - 1 - last)
}

/// Returns what the kernel can report of a source, if there is such a source.
pub(crate) fn support(source: u32) -> Option<Support> {
    Some(match source {
        bindings::watch_notification_type_WATCH_TYPE_META => Support {
            subtypes: up_to(bindings::watch_meta_notification_subtype_WATCH_META_LOSS_NOTIFICATION),
            watch_flags: 0,
            features: 0,
        },
        #[cfg(CONFIG_KEY_NOTIFICATIONS)]
        bindings::watch_notification_type_WATCH_TYPE_KEY_NOTIFY => Support {
            subtypes: up_to(bindings::key_notification_subtype_NOTIFY_KEY_SETATTR),
            watch_flags: 0,
            features: 0,
        },
        #[cfg(CONFIG_WATCH_BLOCK)]
        block::TYPE => block::SUPPORT,
        #[cfg(CONFIG_WATCH_DEVICE)]
        device::TYPE => device::SUPPORT,
        #[cfg(CONFIG_WATCH_MOUNT)]
        mount::TYPE => mount::SUPPORT,
        #[cfg(CONFIG_WATCH_SUPERBLOCK)]
        superblock::TYPE => superblock::SUPPORT,
        _ => return None,
    })
}

/// Returns the sources that there are, as bits.
pub(crate) fn all() -> u64 {
    (0..u64::BITS)
        .filter(|&source| support(source).is_some())
        .fold(0, |all, source| all | 1 << source)
}

/// Adds a watch, after `report` has been called with the id of the object.
///
/// # Errors
///
/// - `EINVAL` if the request is not valid
/// - `EOPNOTSUPP` if there is no such source
/// - `EBUSY` if the queue watches the object already
/// - `EAGAIN` if the user has too many watches
/// - `ENOMEM`
/// - those of the source and of `report`
pub(crate) fn add(
    queue: Borrowed<'_>,
    request: &Request,
    report: &dyn Fn(u64) -> Result,
) -> Result {
    if request.tag > u32::from(u8::MAX) || request.id != 0 {
        return Err(EINVAL);
    }
    carry_out(queue, request, Action::Add(report))
}

/// Removes a watch.
///
/// # Errors
///
/// - `EINVAL` if the request is not valid
/// - `EOPNOTSUPP` if there is no such source
/// - `EBADSLT` if there is no such watch
/// - those of the source
pub(crate) fn remove(queue: Borrowed<'_>, request: &Request) -> Result {
    carry_out(queue, request, Action::Remove)
}

/// A change of a watch.
#[derive(Clone, Copy)]
#[cfg_attr(
    not(CONFIG_WATCH_SOURCES),
    allow(dead_code, reason = "nothing does it")
)]
enum Action<'a> {
    /// To add one, after a call with the id of the object.
    Add(&'a dyn Fn(u64) -> Result),
    Remove,
}

#[cfg_attr(
    not(CONFIG_WATCH_SOURCES),
    allow(clippy::match_single_binding, reason = "there is no source")
)]
fn carry_out(queue: Borrowed<'_>, request: &Request, action: Action<'_>) -> Result {
    match request.source {
        #[cfg(CONFIG_WATCH_BLOCK)]
        block::TYPE => source::carry_out::<block::Watched>(queue, request, action),
        #[cfg(CONFIG_WATCH_DEVICE)]
        device::TYPE => source::carry_out::<device::Watched>(queue, request, action),
        #[cfg(CONFIG_WATCH_MOUNT)]
        mount::TYPE => source::carry_out::<mount::Watched>(queue, request, action),
        #[cfg(CONFIG_WATCH_SUPERBLOCK)]
        superblock::TYPE => source::carry_out::<superblock::Watched>(queue, request, action),
        _ => {
            // Without sources, nothing else does.
            let _ = (queue, action, request.fd, request.flags);
            Err(EOPNOTSUPP)
        }
    }
}

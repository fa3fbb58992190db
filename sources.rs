// SPDX-License-Identifier: GPL-2.0

//! The sources: what can be watched by way of `IOC_WATCH_QUEUE_ADD_WATCH`.
//!
//! A source is a type that is an [`Object`], and the hooks by which the kernel reports what happens
//! to such objects.

use kernel::prelude::*;

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
}

/// Adds a watch.
///
/// # Errors
///
/// - `EINVAL` if the request is not valid
/// - `EOPNOTSUPP` if there is no such source
/// - those of the source, and of [`source::Source::attach`]
pub(crate) fn add(queue: Borrowed<'_>, request: &Request) -> Result {
    if request.tag > u32::from(u8::MAX) {
        return Err(EINVAL);
    }
    carry_out(queue, request, Action::Add)
}

/// Removes a watch.
///
/// # Errors
///
/// - `EINVAL` if the request is not valid
/// - `EOPNOTSUPP` if there is no such source
/// - `EBADSLT` if there is no such watch
/// - those of [`source::Object::find`]
pub(crate) fn remove(queue: Borrowed<'_>, request: &Request) -> Result {
    carry_out(queue, request, Action::Remove)
}

/// A change of a watch.
#[derive(Clone, Copy)]
enum Action {
    Add,
    Remove,
}

fn carry_out(queue: Borrowed<'_>, request: &Request, action: Action) -> Result {
    match request.source {
        #[cfg(CONFIG_WATCH_BLOCK)]
        block::TYPE => source::carry_out::<block::Watched>(queue, request, action),
        #[cfg(CONFIG_WATCH_DEVICE)]
        device::TYPE => source::carry_out::<device::AllDevices>(queue, request, action),
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

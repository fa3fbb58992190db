// SPDX-License-Identifier: GPL-2.0

//! Devices that come and go.

use core::mem::offset_of;
#[cfg(CONFIG_NET_NS)]
use core::ptr;
use kernel::{
    bindings,
    prelude::*,
    str::{CStr, CStrExt},
    watch_queue::Cause,
};

use super::{
    source::{header, major_minor, Message, Source},
    Request,
};
use crate::queue::Borrowed;

pub(super) const TYPE: u32 = bindings::watch_notification_type_WATCH_TYPE_DEVICE_NOTIFY;

type Note = bindings::device_notification;
type UsbNote = bindings::usb_notification;

// SAFETY: It begins with a header, which `__watch_uevent()` sets; two words and bytes follow.
unsafe impl Message for Note {}
// SAFETY: It begins with a header, which `__watch_usb()` sets; three words, two halves of one and
// bytes follow.
unsafe impl Message for UsbNote {}

/// There is one object, which is all devices.
const ALL: u64 = 0;

fn source() -> Source {
    // SAFETY: This is one of those in `sources.c`.
    unsafe { Source::from_raw(&raw mut bindings::watch_device_source) }
}

/// Adds a watch.
///
/// Uevents are for everybody, but those of network devices only for who is in their namespace, and
/// none is for a network namespace that belongs to another user namespace than the first.  Who is
/// in the first network namespace may see all that is posted here.
///
/// # Errors
///
/// `EINVAL` if it is not for all devices, `EPERM` if the current task is not in the first network
/// namespace, and those of [`Source::attach`].
pub(super) fn add(queue: Borrowed<'_>, request: &Request) -> Result {
    all(request)?;
    // SAFETY: The current task has namespaces, as it is not exiting.
    if !unsafe { bindings::watch_is_in_init_net() } {
        return Err(EPERM);
    }
    request.ask_security(None)?;
    source().attach(queue, request.tag(), ALL)
}

/// Removes a watch.
///
/// # Errors
///
/// `EINVAL` as for [`add`], `EBADSLT` if there is none.
pub(super) fn remove(queue: Borrowed<'_>, request: &Request) -> Result {
    all(request)?;
    source().detach(queue, ALL)
}

fn all(request: &Request) -> Result {
    request.no_flags()?;
    if request.fd == -1 {
        Ok(())
    } else {
        Err(EINVAL)
    }
}

/// A copy of a string that ends in a NUL, and whether all of it fits.
fn cut<const SIZE: usize>(text: &[u8]) -> ([u8; SIZE], bool) {
    let mut copy = [0; SIZE];
    let fits = text.len().min(SIZE - 1);
    copy[..fits].copy_from_slice(&text[..fits]);
    (copy, fits == text.len())
}

/// # Safety
///
/// `text` is null or a string that lives for `'a`.
unsafe fn bytes<'a>(text: *const c_char) -> &'a [u8] {
    if text.is_null() {
        return &[];
    }
    // SAFETY: By the caller's promise.
    unsafe { CStr::from_char_ptr(text) }.to_bytes()
}

fn set_cut(header: &mut bindings::watch_notification, is_cut: bool) {
    if is_cut {
        header.info |= bindings::NOTIFY_DEVICE_CUT;
    }
}

fn post<T: Message>(mut message: T) {
    source().post(&mut message, Cause::CurrentTask, ALL);
}

/// Posts what a uevent says, if it is about a device.
///
/// Context: Process context.
///
/// # Safety
///
/// `kobj` is valid, and has a name.
#[export]
pub(crate) unsafe extern "C" fn __watch_uevent(kobj: *mut bindings::kobject, action: u32) {
    let subtype = match action {
        bindings::kobject_action_KOBJ_ADD => {
            bindings::device_notification_subtype_NOTIFY_DEVICE_ADDED
        }
        bindings::kobject_action_KOBJ_REMOVE => {
            bindings::device_notification_subtype_NOTIFY_DEVICE_REMOVED
        }
        bindings::kobject_action_KOBJ_BIND => {
            bindings::device_notification_subtype_NOTIFY_DEVICE_BOUND
        }
        bindings::kobject_action_KOBJ_UNBIND => {
            bindings::device_notification_subtype_NOTIFY_DEVICE_UNBOUND
        }
        _ => return,
    };
    // SAFETY: By the caller's promise.
    if !unsafe { bindings::watch_is_device(kobj) } {
        return;
    }
    // SAFETY: By the caller's promise, and as this is the `kobj` of a device; buses and classes do
    // not change, and names are strings.
    let (devt, subsystem, name) = unsafe {
        let dev: *mut bindings::device = kobj.byte_sub(offset_of!(bindings::device, kobj)).cast();
        let subsystem = match ((*dev).bus.as_ref(), (*dev).class.as_ref()) {
            (Some(bus), _) => bus.name,
            (None, Some(class)) if is_in_sight(class, dev) => class.name,
            // The uevent is not for all.
            _ => return,
        };
        (
            (*dev).devt,
            bytes(subsystem),
            bytes(bindings::dev_name(dev)),
        )
    };
    let (dev_major, dev_minor) = major_minor(devt);
    let (subsystem, is_subsystem_whole) = cut(subsystem);
    let (name, is_name_whole) = cut(name);
    let mut note = Note {
        watch: header::<Note>(TYPE, subtype),
        dev_major,
        dev_minor,
        subsystem,
        name,
    };
    set_cut(&mut note.watch, !is_subsystem_whole || !is_name_whole);
    post(note);
}

/// Whether a device is not one of another network namespace than the first.
///
/// # Safety
///
/// `dev` is valid, and `class` is its class.
#[cfg(CONFIG_NET_NS)]
unsafe fn is_in_sight(class: &bindings::class, dev: *const bindings::device) -> bool {
    let Some(namespace) = class.namespace.filter(|_| !class.ns_type.is_null()) else {
        return true;
    };
    // SAFETY: By the caller's promise.
    let namespace = unsafe { namespace(dev) };
    // SAFETY: This takes the address of a part of a static, and does not read it.
    ptr::eq(namespace, unsafe { &raw const bindings::init_net.ns })
}

/// There is one network namespace.
///
/// # Safety
///
/// As above.
#[cfg(not(CONFIG_NET_NS))]
unsafe fn is_in_sight(_class: &bindings::class, _dev: *const bindings::device) -> bool {
    true
}

/// Posts that a USB device was connected, or is disconnected.
///
/// Context: Process context.
///
/// # Safety
///
/// `udev` is valid.
#[cfg(CONFIG_WATCH_DEVICE_USB)]
#[export]
pub(crate) unsafe extern "C" fn __watch_usb(udev: *mut bindings::usb_device, connected: bool) {
    let subtype = if connected {
        bindings::device_notification_subtype_NOTIFY_USB_CONNECTED
    } else {
        bindings::device_notification_subtype_NOTIFY_USB_DISCONNECTED
    };
    // SAFETY: By the caller's promise; a device is on a bus, and has a name.
    let (mut note, is_whole) = unsafe {
        let (name, is_whole) = cut(bytes(bindings::dev_name(&raw const (*udev).dev)));
        let note = UsbNote {
            watch: header::<UsbNote>(TYPE, subtype),
            bus: (*(*udev).bus).busnum.cast_unsigned(),
            port: (*udev).portnum.into(),
            device: (*udev).devnum.cast_unsigned(),
            vendor: u16::from_le((*udev).descriptor.idVendor),
            product: u16::from_le((*udev).descriptor.idProduct),
            name,
        };
        (note, is_whole)
    };
    set_cut(&mut note.watch, !is_whole);
    post(note);
}

#[cfg(CONFIG_WATCH_QUEUE_KUNIT_TEST)]
#[kunit_tests(watch_queue_device)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_cut() {
        assert_eq!((*b"abc\0", true), cut::<4>(b"abc"));
        assert_eq!((*b"abc\0", false), cut::<4>(b"abcd"));
        assert_eq!((*b"\0\0\0\0", true), cut::<4>(b""));
    }
}

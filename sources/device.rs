// SPDX-License-Identifier: GPL-2.0

//! Devices that come and go.

#[cfg(CONFIG_NET_NS)]
use core::ptr;
use kernel::{
    bindings, container_of,
    fs::LocalFile,
    prelude::*,
    str::{CStr, CStrExt},
    watch_queue::{Cause, Header, Notification},
};

use super::{
    source::{assert_layout, major_minor, Object, Slot, Source},
    up_to, Request, Support,
};

pub(super) const TYPE: u32 = bindings::watch_notification_type_WATCH_TYPE_DEVICE_NOTIFY;

pub(super) const SUPPORT: Support = Support {
    subtypes: up_to(if cfg!(CONFIG_WATCH_DEVICE_USB) {
        bindings::device_notification_subtype_NOTIFY_USB_DISCONNECTED
    } else {
        bindings::device_notification_subtype_NOTIFY_DEVICE_UNBOUND
    }),
    watch_flags: 0,
    features: bindings::WATCH_FEATURE_ADD | bindings::WATCH_FEATURE_ALL,
};

/// Something happened to a device: `struct device_notification`.
#[repr(C)]
#[derive(IntoBytes)]
struct Event {
    watch: Header<Self>,
    dev_major: u32,
    dev_minor: u32,
    subsystem: [u8; 32],
    name: [u8; 64],
}

impl Notification for Event {
    const TYPE: u32 = TYPE;
    type Subtype = u8;
    const HEADER: usize = core::mem::offset_of!(Self, watch);
}

assert_layout!(
    Event,
    bindings::device_notification,
    watch dev_major dev_minor subsystem name
);

/// Something happened to a USB device: `struct usb_notification`.
#[cfg(CONFIG_WATCH_DEVICE_USB)]
#[repr(C)]
#[derive(IntoBytes)]
struct UsbEvent {
    watch: Header<Self>,
    bus: u32,
    port: u32,
    device: u32,
    vendor: u16,
    product: u16,
    name: [u8; 32],
}

#[cfg(CONFIG_WATCH_DEVICE_USB)]
impl Notification for UsbEvent {
    const TYPE: u32 = TYPE;
    type Subtype = u8;
    const HEADER: usize = core::mem::offset_of!(Self, watch);
}

#[cfg(CONFIG_WATCH_DEVICE_USB)]
assert_layout!(
    UsbEvent,
    bindings::usb_notification,
    watch bus port device vendor product name
);

fn source() -> Source {
    // SAFETY: This is one of those in `glue/sources.c`.
    unsafe { Source::from_raw(&raw mut bindings::watch_device_source) }
}

/// All devices.
pub(super) struct AllDevices;

fn slot() -> Slot<'static> {
    // SAFETY: It is static, as the object is.
    unsafe { Slot::from_raw(&raw mut bindings::watch_device_all) }
}

impl Object for AllDevices {
    fn find(request: &Request) -> Result<Self> {
        request.no_flags()?;
        if request.fd == -1 {
            Ok(Self)
        } else {
            Err(EINVAL)
        }
    }

    fn source(&self) -> Source {
        source()
    }

    fn file(&self) -> Option<&LocalFile> {
        None
    }

    type Private = Source;

    fn private(&self) -> Source {
        source()
    }

    fn slot(&self) -> Slot<'_> {
        slot()
    }

    /// There is but one object.
    fn id(&self) -> u64 {
        0
    }

    /// Any task in the first network namespace may watch.
    ///
    /// Everybody gets uevents, but those of network devices only in the namespace of the device.
    /// Those of devices in other namespaces than the first are not posted here.
    fn permit(&self) -> Result {
        // SAFETY: The current task has namespaces, as it is not exiting.
        if unsafe { bindings::watch_is_in_init_net() } {
            Ok(())
        } else {
            Err(EPERM)
        }
    }
}

/// Copies a string into bytes that end in a NUL.  Returns the copy, and whether all of it fits.
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
    // SAFETY: The caller has a string.
    unsafe { CStr::from_char_ptr(text) }.to_bytes()
}

/// Makes a header that says whether something did not fit.
fn header<M: Notification<Subtype = u8>>(subtype: u32, is_whole: bool) -> Header<M> {
    let header = Header::new(subtype as u8);
    if is_whole {
        header
    } else {
        header.with_type_info((bindings::NOTIFY_DEVICE_CUT >> 16) as u16)
    }
}

fn post(mut message: impl Notification) {
    if let Some(watches) = slot().watches() {
        watches.post(&mut message, Cause::CurrentTask);
    }
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
    // SAFETY: The caller has a valid object.
    if !unsafe { bindings::watch_is_device(kobj) } {
        return;
    }
    // SAFETY: This is the `kobj` of a device, as has just been seen.
    let dev = unsafe { container_of!(kobj, bindings::device, kobj) };
    // SAFETY: The bus and the class of a device that has a uevent do not change.
    let (bus, class) = unsafe { ((*dev).bus.as_ref(), (*dev).class.as_ref()) };
    let subsystem = match (bus, class) {
        (Some(bus), _) => bus.name,
        // SAFETY: It is the class of the device.
        (None, Some(class)) if unsafe { is_in_sight(class, dev) } => class.name,
        // The uevent is not for everybody.
        _ => return,
    };
    // SAFETY: Names of buses and classes are strings, as are those of devices, which the caller
    // keeps from being renamed.
    let (subsystem, name) = unsafe { (bytes(subsystem), bytes(bindings::dev_name(dev))) };
    // SAFETY: The device is valid.
    let (dev_major, dev_minor) = major_minor(unsafe { (*dev).devt });
    let (subsystem, is_subsystem_whole) = cut(subsystem);
    let (name, is_name_whole) = cut(name);
    post(Event {
        watch: header(subtype, is_subsystem_whole && is_name_whole),
        dev_major,
        dev_minor,
        subsystem,
        name,
    });
}

/// Returns whether a device is in the first network namespace or in none.
///
/// # Safety
///
/// `dev` is valid, and `class` is its class.
#[cfg(CONFIG_NET_NS)]
unsafe fn is_in_sight(class: &bindings::class, dev: *const bindings::device) -> bool {
    let Some(namespace) = class.namespace.filter(|_| !class.ns_type.is_null()) else {
        return true;
    };
    // SAFETY: The caller has a device of the class.
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
    // SAFETY: The caller has a valid device.
    let udev = unsafe { &*udev };
    // SAFETY: A USB device has a name and is on a bus.
    let (name, bus) = unsafe { (bytes(bindings::dev_name(&udev.dev)), (*udev.bus).busnum) };
    let (name, is_whole) = cut(name);
    post(UsbEvent {
        watch: header(subtype, is_whole),
        bus: bus.cast_unsigned(),
        port: udev.portnum.into(),
        device: udev.devnum.cast_unsigned(),
        vendor: u16::from_le(udev.descriptor.idVendor),
        product: u16::from_le(udev.descriptor.idProduct),
        name,
    });
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

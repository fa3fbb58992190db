// SPDX-License-Identifier: GPL-2.0

//! Devices that come and go.

use core::{
    mem::offset_of,
    ptr::{self, NonNull},
};
use kernel::{
    bindings,
    error::{from_err_ptr, to_result},
    fs::LocalFile,
    prelude::*,
    str::{CStr, CStrExt},
    sync::{
        aref::ARef,
        atomic::{Atomic, Relaxed},
    },
    watch_queue::{Cause, Header, Notification},
};

use super::{
    source::{assert_fields, major_minor, Object, Slot, Source},
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

/// Something happened to a device: `struct device_notification`, and strings.
#[repr(C)]
#[derive(FromBytes, IntoBytes)]
struct Event {
    watch: Header<Self>,
    seqnum: u64,
    ino: u64,
    dev_major: u32,
    dev_minor: u32,
    strings: [u8; 96],
}

impl Notification for Event {
    const TYPE: u32 = TYPE;
    type Subtype = u8;
    const HEADER: usize = offset_of!(Self, watch);
}

assert_fields!(
    Event,
    bindings::device_notification,
    watch seqnum ino dev_major dev_minor
);
const _: () = assert!(offset_of!(Event, strings) == size_of::<bindings::device_notification>());

/// Something happened to a USB device: `struct usb_notification`, and a string.
#[cfg(CONFIG_WATCH_DEVICE_USB)]
#[repr(C)]
#[derive(FromBytes, IntoBytes)]
struct UsbEvent {
    watch: Header<Self>,
    seqnum: u64,
    ino: u64,
    bus: u32,
    port: u32,
    device: u32,
    vendor: u16,
    product: u16,
    strings: [u8; 88],
}

#[cfg(CONFIG_WATCH_DEVICE_USB)]
impl Notification for UsbEvent {
    const TYPE: u32 = TYPE;
    type Subtype = u8;
    const HEADER: usize = offset_of!(Self, watch);
}

#[cfg(CONFIG_WATCH_DEVICE_USB)]
assert_fields!(
    UsbEvent,
    bindings::usb_notification,
    watch seqnum ino bus port device vendor product
);
#[cfg(CONFIG_WATCH_DEVICE_USB)]
const _: () = assert!(offset_of!(UsbEvent, strings) == size_of::<bindings::usb_notification>());

fn source() -> Source {
    // SAFETY: This is one of those in `glue/sources.c`.
    unsafe { Source::from_raw(&raw mut bindings::watch_device_source) }
}

fn all_devices() -> Slot<'static> {
    // SAFETY: It is static, as the object that is all devices is.
    unsafe { Slot::from_raw(&raw mut bindings::watch_device_all) }
}

/// An object of this source.
pub(super) enum Watched {
    /// All devices there are.
    All,
    /// A device and those below it, or those on a bus or in a class.
    Some(Directory),
}

impl Object for Watched {
    fn find(request: &Request) -> Result<Self> {
        request.no_flags()?;
        if request.fd == -1 {
            return Ok(Self::All);
        }
        Directory::new(request.file()?).map(Self::Some)
    }

    fn source(&self) -> Source {
        source()
    }

    type Private = Source;

    fn private(&self) -> Source {
        source()
    }

    fn slot(&self) -> Slot<'_> {
        match self {
            Self::All => all_devices(),
            Self::Some(directory) => directory.slot(),
        }
    }

    /// The inode number of the directory, or the id of all devices, which no directory has.
    fn id(&self) -> u64 {
        match self {
            Self::All => 0,
            Self::Some(directory) => directory.id(),
        }
    }

    /// Any task in the first network namespace may watch.
    ///
    /// Everybody gets uevents, but those of network devices only in the namespace of the device.
    /// Those of devices in other namespaces than the first are not posted here.
    fn permit(&self) -> Result {
        // SAFETY: The current task has namespaces, as it is not exiting.
        if unsafe { bindings::watch_device_is_in_init_net() } {
            Ok(())
        } else {
            Err(EPERM)
        }
    }

    fn ask_security(&self) -> Result {
        // SAFETY: This can be called in process context.
        to_result(unsafe { bindings::watch_device_ask_security() })
    }

    /// Fails with `ENODEV` if the directory has been removed.
    fn is_there(&self) -> Result {
        match self {
            Self::Some(directory) if !directory.is_there() => Err(ENODEV),
            _ => Ok(()),
        }
    }
}

/// A directory of sysfs that is a device, a bus or a class.
///
/// # Invariants
///
/// `kobj` is valid and counts this as a reference, and `slot` is in what it is part of.
pub(super) struct Directory {
    file: ARef<LocalFile>,
    kobj: NonNull<bindings::kobject>,
    slot: NonNull<*mut bindings::watch_object>,
}

impl Directory {
    fn new(file: ARef<LocalFile>) -> Result<Self> {
        // SAFETY: The file is open, if only for its path.
        let kobj = from_err_ptr(unsafe { bindings::sysfs_dir_kobject_get(file.as_ptr()) })?;
        // SAFETY: What has just been got is valid.
        let slot = unsafe { bindings::watch_device_slot(kobj) };
        match (NonNull::new(kobj), NonNull::new(slot)) {
            // INVARIANT: The reference is this one's now.
            (Some(kobj), Some(slot)) => Ok(Self { file, kobj, slot }),
            _ => {
                // SAFETY: The reference has just been got.
                unsafe { bindings::kobject_put(kobj) };
                Err(EINVAL)
            }
        }
    }

    fn slot(&self) -> Slot<'_> {
        // SAFETY: By the invariants it is in an object that is there as long as this.
        // `watch_device_free()` frees what it points to.
        unsafe { Slot::from_raw(self.slot.as_ptr()) }
    }

    fn id(&self) -> u64 {
        // SAFETY: The file is open, so it has an inode, whose number does not change.
        unsafe { (*(*self.file.as_ptr()).f_inode).i_ino }
    }

    fn is_there(&self) -> bool {
        // SAFETY: By the invariants the object is valid.
        let directory = unsafe { &raw mut (*self.kobj.as_ptr()).sd };
        // SAFETY: It is set to null when the directory goes, which is a store of one word.
        let directory = unsafe { Atomic::from_ptr(directory) };
        !directory.load(Relaxed).is_null()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // SAFETY: By the invariants this has a reference.
        unsafe { bindings::kobject_put(self.kobj.as_ptr()) };
    }
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

/// The number of bytes that a name can have at most, so that there is room for the path.
const MAX_NAME: usize = 31;

/// The strings at the end of a message, which has room for `ROOM` bytes.
///
/// All of that is one byte more than a message can be long.
struct Strings<const ROOM: usize> {
    bytes: [u8; ROOM],
    end: usize,
    is_whole: bool,
}

impl<const ROOM: usize> Strings<ROOM> {
    fn new() -> Self {
        Self {
            bytes: [0; ROOM],
            end: 0,
            is_whole: true,
        }
    }

    /// Appends a name and a NUL.  If it is too long, it loses its end.
    fn push_name(&mut self, name: &[u8]) {
        self.push(name.get(..MAX_NAME).unwrap_or(name), name.len());
    }

    /// Appends a path and a NUL.  If there is not enough room, it loses its beginning.
    fn push_path(&mut self, path: &[u8]) {
        let room = (ROOM - 2).saturating_sub(self.end);
        self.push(&path[path.len().saturating_sub(room)..], path.len());
    }

    /// Appends what is left of a string that had `length` bytes.
    fn push(&mut self, text: &[u8], length: usize) {
        let end = self.end + text.len();
        let Some(to) = self.bytes.get_mut(self.end..end) else {
            self.is_whole = false;
            return;
        };
        to.copy_from_slice(text);
        self.end = end + 1;
        self.is_whole &= text.len() == length;
    }

    /// Makes the header of the message in which these begin at `offset`.
    fn header<M: Notification<Subtype = u8>>(&self, subtype: u32, offset: usize) -> Header<M> {
        const CUT: u32 = bindings::NOTIFY_DEVICE_CUT >> bindings::WATCH_INFO_TYPE_INFO__SHIFT;
        const TO_OFFSET: u32 =
            bindings::NOTIFY_DEVICE_STRINGS__SHIFT - bindings::WATCH_INFO_TYPE_INFO__SHIFT;
        let cut = if self.is_whole { 0 } else { CUT };
        Header::new(subtype as u8).with_type_info(((offset as u32) << TO_OFFSET | cut) as u16)
    }
}

/// Posts the first `length` bytes of a message about a device to all that watch it.
///
/// # Safety
///
/// `dev` is valid, and has a uevent.
unsafe fn post<M: Notification + FromBytes>(dev: *mut bindings::device, message: M, length: usize) {
    let mut prefix = Prefix { message, length };
    prefix.post(all_devices());
    let data = (&raw mut prefix).cast();
    // SAFETY: The caller has a device.  `visit::<M>` takes a `Prefix<M>`, which `data` is.
    unsafe { bindings::watch_device_visit(dev, Some(visit::<M>), data) };
}

/// The first `length` bytes of a message.
struct Prefix<M> {
    message: M,
    length: usize,
}

impl<M: Notification + FromBytes> Prefix<M> {
    fn post(&mut self, slot: Slot<'_>) {
        if let Some(watches) = slot.watches() {
            watches.post_prefix(&mut self.message, self.length, Cause::CurrentTask);
        }
    }
}

/// # Safety
///
/// For `watch_device_visit()` to call, with a `Prefix<M>`.
unsafe extern "C" fn visit<M: Notification + FromBytes>(
    slot: *mut *mut bindings::watch_object,
    prefix: *mut c_void,
) {
    // SAFETY: `post()` passes its `Prefix<M>`, and does not use it until all visits are over.
    let prefix = unsafe { &mut *prefix.cast::<Prefix<M>>() };
    // SAFETY: `watch_device_visit()` keeps the object of the slot until this returns, and that
    // frees its watches.
    prefix.post(unsafe { Slot::from_raw(slot) });
}

/// Posts that something happened to a device.
///
/// Context: Process context.
///
/// # Safety
///
/// `kobj` is valid, and `path` is a string.
#[export]
pub(crate) unsafe extern "C" fn __watch_uevent(
    kobj: *mut bindings::kobject,
    action: bindings::kobject_action,
    path: *const c_char,
    seqnum: u64,
) {
    // The subtypes are these.
    if action > bindings::kobject_action_KOBJ_UNBIND {
        return;
    }
    // SAFETY: The caller has a valid object.
    let dev = unsafe { bindings::watch_device_of(kobj) };
    if dev.is_null() {
        return;
    }
    // SAFETY: The bus, the class and the type of a device that has a uevent do not change.
    let (bus, class, device_type) = unsafe {
        (
            (*dev).bus.as_ref(),
            (*dev).class.as_ref(),
            (*dev).type_.as_ref(),
        )
    };
    let subsystem = match (bus, class) {
        (Some(bus), _) => bus.name,
        // SAFETY: It is the class of the device.
        (None, Some(class)) if unsafe { is_in_sight(class, dev) } => class.name,
        // The uevent is not for everybody.
        _ => return,
    };
    let device_type = device_type.map_or(ptr::null(), |device_type| device_type.name);
    // SAFETY: Names of buses, classes and types are strings, and the caller has a string.
    let (subsystem, device_type, path) =
        unsafe { (bytes(subsystem), bytes(device_type), bytes(path)) };

    let usb = || {
        // SAFETY: The device is valid, and has the action's uevent.
        #[cfg(CONFIG_WATCH_DEVICE_USB)]
        unsafe {
            post_usb(dev, action, path, seqnum)
        };
    };
    if action == bindings::kobject_action_KOBJ_REMOVE {
        usb();
    }
    let mut strings = Strings::new();
    strings.push_name(subsystem);
    strings.push_name(device_type);
    strings.push_path(path);
    // SAFETY: The device is valid.
    let (dev_major, dev_minor) = major_minor(unsafe { (*dev).devt });
    let event = Event {
        watch: strings.header(action, offset_of!(Event, strings)),
        seqnum,
        // SAFETY: The caller has a valid object.
        ino: unsafe { bindings::sysfs_dir_ino(kobj) },
        dev_major,
        dev_minor,
        strings: strings.bytes,
    };
    // SAFETY: The device is valid, and this is its uevent.
    unsafe { post(dev, event, offset_of!(Event, strings) + strings.end) };
    if action == bindings::kobject_action_KOBJ_ADD {
        usb();
    }
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

/// Posts that a USB device was connected, or is disconnected, if that is what was added or removed.
///
/// Context: Process context.
///
/// # Safety
///
/// `dev` is valid.
#[cfg(CONFIG_WATCH_DEVICE_USB)]
unsafe fn post_usb(
    dev: *mut bindings::device,
    action: bindings::kobject_action,
    path: &[u8],
    seqnum: u64,
) {
    let subtype = if action == bindings::kobject_action_KOBJ_ADD {
        bindings::device_notification_subtype_NOTIFY_USB_CONNECTED
    } else {
        bindings::device_notification_subtype_NOTIFY_USB_DISCONNECTED
    };
    // SAFETY: The caller has a valid device.
    let udev = unsafe { bindings::watch_usb_device(dev) };
    if udev.is_null() {
        return;
    }
    // SAFETY: A USB device is on a bus.
    let bus = unsafe { (*(*udev).bus).busnum };
    // SAFETY: The device is valid, and these have been set before it was added.
    let (port, number, descriptor) =
        unsafe { ((*udev).portnum, (*udev).devnum, (*udev).descriptor) };
    let mut strings = Strings::new();
    strings.push_path(path);
    let event = UsbEvent {
        watch: strings.header(subtype, offset_of!(UsbEvent, strings)),
        seqnum,
        // SAFETY: The caller has a valid device.
        ino: unsafe { bindings::sysfs_dir_ino(&raw mut (*dev).kobj) },
        bus: bus.cast_unsigned(),
        port: port.into(),
        device: number.cast_unsigned(),
        vendor: u16::from_le(descriptor.idVendor),
        product: u16::from_le(descriptor.idProduct),
        strings: strings.bytes,
    };
    // SAFETY: The caller has a device, and this is its uevent.
    unsafe { post(dev, event, offset_of!(UsbEvent, strings) + strings.end) };
}

#[cfg(CONFIG_WATCH_QUEUE_KUNIT_TEST)]
#[kunit_tests(watch_queue_device)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_cut() {
        let mut strings = Strings::<16>::new();
        strings.push_name(b"usb");
        strings.push_name(b"");
        assert_eq!(5, strings.end);
        strings.push_path(b"/devices");
        assert!(strings.is_whole);
        assert_eq!(
            (14, *b"usb\0\0/devices\0\0\0"),
            (strings.end, strings.bytes)
        );

        let mut strings = Strings::<16>::new();
        strings.push_name(b"usb");
        strings.push_path(b"/devices/usb1/1-2");
        assert!(!strings.is_whole);
        assert_eq!((15, *b"usb\0s/usb1/1-2\0\0"), (strings.end, strings.bytes));

        let mut strings = Strings::<64>::new();
        strings.push_name(&[b'x'; 40]);
        assert_eq!((32, false), (strings.end, strings.is_whole));
        strings.push_name(&[b'x'; 31]);
        assert_eq!(0, strings.bytes[strings.end - 1]);
    }
}

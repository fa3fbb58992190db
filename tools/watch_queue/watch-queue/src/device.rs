// SPDX-License-Identifier: MIT OR Apache-2.0

//! Devices that come and go.

use std::{borrow::Cow, fmt, num::NonZeroU32};

use crate::{
    event::Source,
    message::{u16_at, u32_at, u64_at},
    DeviceNumber, Message, MessageType,
};

/// `NOTIFY_DEVICE_CUT`, among the type-specific bits.
const CUT: u16 = 1;

/// Something happened to a device: `WATCH_TYPE_DEVICE_NOTIFY`.
///
/// Its names are borrowed from the buffer of the read.
///
/// ```
/// use watch_queue::{DeviceChange, DeviceEvent};
///
/// fn show(event: &DeviceEvent<'_>) {
///     if event.change == DeviceChange::Added {
///         println!("{} is there", event.name);
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct DeviceEvent<'a> {
    /// What the device is called, among those of its subsystem.
    pub name: DeviceName<'a>,
    /// Whether something did not fit into the message, and was truncated.
    pub truncated: bool,
    /// What happened to it.
    #[cfg_attr(feature = "serde", serde(rename = "event"))]
    pub change: DeviceChange,
    /// What it is.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub device: Device<'a>,
    /// Where it is below `/sys`.  If it was truncated, that is its end.
    pub path: DeviceName<'a>,
    /// `SEQNUM` of the uevent.
    pub seqnum: u64,
    /// The inode number of its directory in sysfs, which stays when it gets another path.
    pub ino: u64,
}

/// What can happen to a device: `enum device_notification_subtype`.
///
/// ```
/// use watch_queue::DeviceChange;
///
/// fn comes(change: DeviceChange) -> bool {
///     matches!(change, DeviceChange::Added | DeviceChange::Connected)
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum DeviceChange {
    /// It is there.
    Added,
    /// It is there no more.
    Removed,
    /// Something of it has changed; what that is depends on the subsystem.
    Changed,
    /// It has another path.
    Moved,
    /// It can be used again, such as a CPU.
    Online,
    /// It cannot be used.
    Offline,
    /// A driver takes care of it.
    Bound,
    /// The driver does not any more.
    Unbound,
    /// It is there, and is on USB.  There is an [`Added`](Self::Added) as well.
    Connected,
    /// It is there no more, and was on USB.  There is a [`Removed`](Self::Removed) as well.
    Disconnected,
}

/// What a device is.
///
/// ```
/// use watch_queue::{Device, DeviceEvent};
///
/// fn product(event: &DeviceEvent<'_>) -> Option<(u16, u16)> {
///     match event.device {
///         Device::Usb { vendor, product, .. } => Some((vendor, product)),
///         _ => None,
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(untagged))]
#[non_exhaustive]
pub enum Device<'a> {
    /// Any device.
    #[non_exhaustive]
    Any {
        /// Its bus or class.
        subsystem: DeviceName<'a>,
        /// Its type within the bus or class, such as `partition`.
        devtype: Option<DeviceName<'a>>,
        /// Its number, if it has one.
        number: Option<DeviceNumber>,
    },
    /// A USB device that was connected or disconnected, hubs included.
    #[non_exhaustive]
    Usb {
        /// The number of the bus.
        bus: u32,
        /// The port of the hub that it is in; `None` for a root hub.
        port: Option<NonZeroU32>,
        /// Its number on the bus.
        address: u32,
        /// `idVendor`.
        vendor: u16,
        /// `idProduct`.
        product: u16,
    },
}

/// A name that the kernel has given to something.
///
/// `Display` escapes what is not printable ASCII; JSON has U+FFFD for what is not UTF-8.
///
/// ```
/// use watch_queue::DeviceName;
///
/// let name = DeviceName::from_bytes(b"sd\x1b");
/// assert_eq!(name.to_string(), "sd\\x1b");
/// assert_eq!(name, "sd\x1b");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeviceName<'a>(&'a [u8]);

impl<'a> DeviceName<'a> {
    /// A name, to compare with one.
    ///
    /// ```
    /// assert_eq!(watch_queue::DeviceName::from_bytes(b"sda"), "sda");
    /// ```
    pub const fn from_bytes(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The name as it is.
    ///
    /// ```
    /// assert_eq!(watch_queue::DeviceName::from_bytes(b"sda").as_bytes(), b"sda");
    /// ```
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The name as text, with U+FFFD for what is not UTF-8.
    ///
    /// ```
    /// assert_eq!(watch_queue::DeviceName::from_bytes(b"a\xff").to_string_lossy(), "a\u{fffd}");
    /// ```
    pub fn to_string_lossy(self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.0)
    }
}

impl PartialEq<str> for DeviceName<'_> {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for DeviceName<'_> {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

impl fmt::Display for DeviceName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

impl fmt::Debug for DeviceName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for DeviceName<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_string_lossy())
    }
}

impl<'a> Source<'a> for DeviceEvent<'a> {
    const TYPE: MessageType = MessageType::DEVICE;
    const NAME: &'static str = "device";
    const SUBTYPES: &'static [&'static str] = &[
        "added",
        "removed",
        "changed",
        "moved",
        "online",
        "offline",
        "bound",
        "unbound",
        "connected",
        "disconnected",
    ];

    fn parse(message: Message<'a>) -> Option<Self> {
        let change = match message.subtype() {
            0 => DeviceChange::Added,
            1 => DeviceChange::Removed,
            2 => DeviceChange::Changed,
            3 => DeviceChange::Moved,
            4 => DeviceChange::Online,
            5 => DeviceChange::Offline,
            6 => DeviceChange::Bound,
            7 => DeviceChange::Unbound,
            8 => DeviceChange::Connected,
            9 => DeviceChange::Disconnected,
            _ => return None,
        };
        let bytes = message.bytes();
        let is_usb = matches!(change, DeviceChange::Connected | DeviceChange::Disconnected);
        let offset = usize::from(message.type_info() >> 8);
        if offset < if is_usb { 40 } else { 32 } {
            return None;
        }
        // Whichever there are; all are known to begin here.
        let mut strings = bytes.get(offset..)?.split(|&byte| byte == 0);
        let mut string = || strings.next().unwrap_or_default();
        let seqnum = u64_at(bytes, 8)?;
        let ino = u64_at(bytes, 16)?;
        let device = if is_usb {
            Device::Usb {
                bus: u32_at(bytes, 24)?,
                port: NonZeroU32::new(u32_at(bytes, 28)?),
                address: u32_at(bytes, 32)?,
                vendor: u16_at(bytes, 36)?,
                product: u16_at(bytes, 38)?,
            }
        } else {
            Device::Any {
                subsystem: DeviceName(string()),
                devtype: Some(string())
                    .filter(|name| !name.is_empty())
                    .map(DeviceName),
                number: match (u32_at(bytes, 24)?, u32_at(bytes, 28)?) {
                    (0, 0) => None,
                    (major, minor) => Some(DeviceNumber { major, minor }),
                },
            }
        };
        let path = string();
        let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        Some(Self {
            name: DeviceName(name),
            truncated: message.type_info() & CUT != 0,
            change,
            device,
            path: DeviceName(path),
            seqnum,
            ino,
        })
    }
}

impl fmt::Display for DeviceEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name;
        match self.device {
            Device::Any {
                subsystem, number, ..
            } => {
                write!(f, "{subsystem} {name}")?;
                if let Some(number) = number {
                    write!(f, " {number}")?;
                }
            }
            Device::Usb {
                bus,
                port,
                address,
                vendor,
                product,
            } => {
                write!(f, "usb {name}: {vendor:04x}:{product:04x}, bus {bus}")?;
                if let Some(port) = port {
                    write!(f, " port {port}")?;
                }
                write!(f, " device {address}")?;
            }
        }
        if self.truncated {
            write!(f, " (truncated)")?;
        }
        Ok(())
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! Device numbers.

use std::fmt;

/// The number of a device, `major:minor`.
///
/// `Display`, and with it JSON, is that of `/proc/self/mountinfo` and `lsblk(8)`.
///
/// ```
/// use watch_queue::DeviceNumber;
///
/// assert_eq!(DeviceNumber { major: 8, minor: 1 }.to_string(), "8:1");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceNumber {
    /// Which driver, more or less.
    pub major: u32,
    /// Which of its devices.
    pub minor: u32,
}

impl fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for DeviceNumber {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! Error numbers.

use std::{fmt, io};

/// An error number, as the kernel puts it into messages.
///
/// `Display` is the text that the C library has for it, and nothing else.  JSON has the number.
///
/// ```
/// use watch_queue::Errno;
///
/// let errno = Errno::from_raw(5);
/// assert_eq!(errno.to_string(), "Input/output error");
/// assert_eq!(errno.raw(), 5);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(transparent))]
pub struct Errno(u32);

impl Errno {
    /// The error with this number.
    ///
    /// ```
    /// assert_eq!(watch_queue::Errno::from_raw(28).to_string(), "No space left on device");
    /// ```
    pub const fn from_raw(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    ///
    /// ```
    /// assert_eq!(watch_queue::Errno::from_raw(28).raw(), 28);
    /// ```
    pub const fn raw(self) -> u32 {
        self.0
    }

    /// The error with this number, unless it says that there was none.
    pub(crate) fn not_zero(number: u32) -> Option<Self> {
        (number != 0).then_some(Self(number))
    }
}

/// The text of an error of the system, without the number that Rust puts behind it.
impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = io::Error::from(*self).to_string();
        f.write_str(
            text.rsplit_once(" (os error ")
                .map_or(&*text, |(text, _)| text),
        )
    }
}

impl From<Errno> for io::Error {
    fn from(errno: Errno) -> Self {
        Self::from_raw_os_error(errno.0 as i32)
    }
}

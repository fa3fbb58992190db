// SPDX-License-Identifier: MIT OR Apache-2.0

//! Keys: how they are named, and what happens to them.

use std::{ffi::CString, fmt, io, str::FromStr};

use crate::{
    event::Source,
    message::{u32_at, MIN_MESSAGE},
    sys, Errno, Message, MessageType,
};

/// The serial number of a key or keyring, or one of the keyrings that every process has.
///
/// ```
/// use watch_queue::KeySerial;
///
/// assert_eq!(KeySerial::SESSION_KEYRING.to_string(), "-3");
/// assert_eq!(KeySerial::from_serial(0x2b4d5f01).serial(), 726490881);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(transparent))]
pub struct KeySerial(i32);

impl KeySerial {
    /// The calling thread's keyring, `@t`.
    ///
    /// ```
    /// assert_eq!(watch_queue::KeySerial::THREAD_KEYRING.serial(), -1);
    /// ```
    pub const THREAD_KEYRING: Self = Self(-1);

    /// The calling process's keyring, `@p`.
    ///
    /// ```
    /// assert_eq!(watch_queue::KeySerial::PROCESS_KEYRING.serial(), -2);
    /// ```
    pub const PROCESS_KEYRING: Self = Self(-2);

    /// The session keyring, `@s`.
    ///
    /// ```
    /// assert_eq!(watch_queue::KeySerial::SESSION_KEYRING.serial(), -3);
    /// ```
    pub const SESSION_KEYRING: Self = Self(-3);

    /// The user's keyring, `@u`.
    ///
    /// ```
    /// assert_eq!(watch_queue::KeySerial::USER_KEYRING.serial(), -4);
    /// ```
    pub const USER_KEYRING: Self = Self(-4);

    /// The user's default session keyring, `@us`.
    ///
    /// ```
    /// assert_eq!(watch_queue::KeySerial::USER_SESSION_KEYRING.serial(), -5);
    /// ```
    pub const USER_SESSION_KEYRING: Self = Self(-5);

    /// The group's keyring, `@g`, for which kernels have a number only.
    ///
    /// ```
    /// assert_eq!(watch_queue::KeySerial::GROUP_KEYRING.serial(), -6);
    /// ```
    pub const GROUP_KEYRING: Self = Self(-6);

    /// The key that authorises the instantiation of another, `@a`.
    ///
    /// ```
    /// assert_eq!(watch_queue::KeySerial::REQKEY_AUTH_KEY.serial(), -7);
    /// ```
    pub const REQKEY_AUTH_KEY: Self = Self(-7);

    /// The key with this serial number.  Negative ones are as `linux/keyctl.h` numbers them.
    ///
    /// ```
    /// assert_eq!(watch_queue::KeySerial::from_serial(42).to_string(), "42");
    /// ```
    pub const fn from_serial(serial: i32) -> Self {
        Self(serial)
    }

    /// The serial number.
    ///
    /// ```
    /// assert_eq!(watch_queue::KeySerial::USER_KEYRING.serial(), -4);
    /// ```
    pub const fn serial(self) -> i32 {
        self.0
    }

    /// The id of the key in fdinfo and in removals.
    pub(crate) fn id(self) -> u64 {
        self.0 as u64
    }

    /// The serial number of this key, in place of a special one that means another key to each
    /// process.
    ///
    /// # Errors
    ///
    /// `ENOKEY` if there is no such key; the others of `KEYCTL_GET_KEYRING_ID`.
    ///
    /// ```no_run
    /// let keyring = watch_queue::KeySerial::SESSION_KEYRING.resolve()?;
    /// println!("the session keyring is {keyring}");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn resolve(self) -> io::Result<Self> {
        if self.0 < 0 {
            sys::keyring_id(self)
        } else {
            Ok(self)
        }
    }
}

impl fmt::Display for KeySerial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How people name a key: as they do to `keyctl(1)`.
///
/// | | |
/// |---|---|
/// | `726490881`, `0x2b4d5f01` | by serial number |
/// | `@t` `@p` `@s` `@u` `@us` `@g` `@a` | keyring of the thread, process, session, user, user session or group; authorisation key |
/// | `%:NAME` | a keyring, by its name |
/// | `%TYPE:DESCRIPTION` | a key, by its description |
///
/// ```
/// use watch_queue::{KeySerial, KeyName};
///
/// assert_eq!("@s".parse(), Ok(KeyName::Serial(KeySerial::SESSION_KEYRING)));
/// assert!("@x".parse::<KeyName>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyName {
    /// A key that needs no search.
    Serial(KeySerial),
    /// A key that has to be searched for.
    Search {
        /// Its type, such as `keyring` or `user`.
        kind: String,
        /// Its description.
        description: String,
    },
}

/// What was given is not the name of a key.
///
/// ```
/// let error = "@x".parse::<watch_queue::KeyName>().unwrap_err();
/// assert!(error.to_string().starts_with("'@x' is no key"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadKeyName(String);

impl fmt::Display for BadKeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.0;
        write!(
            f,
            "'{name}' is no key: say a serial number, @t, @p, @s, @u, @us, @g, @a, %:NAME or \
             %TYPE:DESCRIPTION"
        )
    }
}

impl std::error::Error for BadKeyName {}

impl FromStr for KeyName {
    type Err = BadKeyName;

    fn from_str(name: &str) -> Result<Self, BadKeyName> {
        let bad = || BadKeyName(name.to_owned());
        if let Some(search) = name.strip_prefix('%') {
            let (kind, description) = search.split_once(':').ok_or_else(bad)?;
            if description.is_empty() || name.contains('\0') {
                return Err(bad());
            }
            return Ok(Self::Search {
                kind: if kind.is_empty() { "keyring" } else { kind }.to_owned(),
                description: description.to_owned(),
            });
        }
        Ok(Self::Serial(match name {
            "@t" => KeySerial::THREAD_KEYRING,
            "@p" => KeySerial::PROCESS_KEYRING,
            "@s" => KeySerial::SESSION_KEYRING,
            "@u" => KeySerial::USER_KEYRING,
            "@us" => KeySerial::USER_SESSION_KEYRING,
            "@g" => KeySerial::GROUP_KEYRING,
            "@a" => KeySerial::REQKEY_AUTH_KEY,
            _ => crate::event::parse_number(name)
                .and_then(|serial| i32::try_from(serial).ok())
                .filter(|&serial| serial > 0)
                .map(KeySerial::from_serial)
                .ok_or_else(bad)?,
        }))
    }
}

impl KeyName {
    /// The serial number of the key.
    ///
    /// A search goes through the keyrings of the process, and then through all keys that it may
    /// view, as `/proc/keys` lists them.
    ///
    /// # Errors
    ///
    /// `ENOKEY` if there is no such key; the others of [`KeySerial::resolve`].
    ///
    /// ```no_run
    /// let key = "%user:song".parse::<watch_queue::KeyName>()?.find()?;
    /// println!("the song is {key}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn find(&self) -> io::Result<KeySerial> {
        let (kind, description) = match self {
            Self::Serial(key) => return key.resolve(),
            Self::Search { kind, description } => (kind.as_str(), description.as_str()),
        };
        sys::request_key(&CString::new(kind)?, &CString::new(description)?).or_else(|error| {
            let listed = std::fs::read("/proc/keys").unwrap_or_default();
            String::from_utf8_lossy(&listed)
                .lines()
                .find_map(|line| listed_key(line, kind, description))
                .ok_or(error)
        })
    }
}

/// The key of one line of `/proc/keys`, if it is one of this type and description and in use.
///
/// Behind the description may be a colon and what its type has to say of the key.
fn listed_key(line: &str, kind: &str, description: &str) -> Option<KeySerial> {
    let mut rest = line;
    let mut column = || {
        let (column, after) = rest.trim_start().split_once(' ')?;
        rest = after;
        Some(column)
    };
    let serial = i32::from_str_radix(column()?, 16).ok()?;
    let flags = column()?;
    let [_usage, _timeout, _permissions, _uid, _gid, its_kind] = [
        column()?,
        column()?,
        column()?,
        column()?,
        column()?,
        column()?,
    ];
    let after = rest.trim_start().strip_prefix(description)?;
    let is_it = its_kind == kind && (after.is_empty() || after.starts_with(':'));
    // Instantiated, and neither revoked, dead, negative nor invalidated.
    let in_use = flags.starts_with('I') && !flags.contains(['R', 'D', 'N', 'i']);
    (is_it && in_use).then_some(KeySerial::from_serial(serial))
}

/// Something that happened to a key: `WATCH_TYPE_KEY_NOTIFY`.
///
/// ```
/// use watch_queue::{KeyChange, KeyEvent};
///
/// fn is_revoked(event: &KeyEvent) -> bool {
///     event.change == KeyChange::Revoked
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct KeyEvent {
    /// The key that is watched.
    pub key: KeySerial,
    /// What happened to it.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub change: KeyChange,
}

/// What can happen to a key: `enum key_notification_subtype`.
///
/// ```
/// use watch_queue::{KeyChange, KeySerial};
///
/// fn member(change: KeyChange) -> Option<KeySerial> {
///     match change {
///         KeyChange::Linked { member, .. } | KeyChange::Unlinked { member, .. } => Some(member),
///         _ => None,
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(tag = "event", rename_all = "lowercase"))]
#[non_exhaustive]
pub enum KeyChange {
    /// It was given its payload, or was refused one.
    #[non_exhaustive]
    Instantiated {
        /// The errno that those get who ask for the key, if it was refused.
        error: Option<Errno>,
    },
    /// Its payload was replaced.
    Updated,
    /// A key was linked into this keyring.
    #[non_exhaustive]
    Linked {
        /// Which.
        member: KeySerial,
    },
    /// A key was unlinked from this keyring.
    #[non_exhaustive]
    Unlinked {
        /// Which.
        member: KeySerial,
    },
    /// All keys were unlinked from this keyring.
    Cleared,
    /// It was revoked.
    Revoked,
    /// It was invalidated.
    Invalidated,
    /// Its owner, group, permissions, timeout or restriction was set.
    SetAttr,
}

impl<'a> Source<'a> for KeyEvent {
    const TYPE: MessageType = MessageType::KEY;
    const NAME: &'static str = "key";
    const SUBTYPES: &'static [&'static str] = &[
        "instantiated",
        "updated",
        "linked",
        "unlinked",
        "cleared",
        "revoked",
        "invalidated",
        "setattr",
    ];

    fn parse(message: Message<'a>) -> Option<Self> {
        let key = |offset| {
            Some(KeySerial::from_serial(
                u32_at(message.bytes(), offset)? as i32
            ))
        };
        let (watched, aux) = (key(MIN_MESSAGE)?, key(MIN_MESSAGE + 4)?);
        let change = match message.subtype() {
            0 => KeyChange::Instantiated {
                error: Errno::not_zero(aux.serial().unsigned_abs()),
            },
            1 => KeyChange::Updated,
            2 => KeyChange::Linked { member: aux },
            3 => KeyChange::Unlinked { member: aux },
            4 => KeyChange::Cleared,
            5 => KeyChange::Revoked,
            6 => KeyChange::Invalidated,
            7 => KeyChange::SetAttr,
            _ => return None,
        };
        Some(Self {
            key: watched,
            change,
        })
    }
}

impl fmt::Display for KeyEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key;
        match self.change {
            KeyChange::Linked { member } => write!(f, "{member} into {key}"),
            KeyChange::Unlinked { member } => write!(f, "{member} from {key}"),
            KeyChange::Instantiated { error: Some(error) } => {
                write!(f, "{key} negatively: {error}")
            }
            _ => write!(f, "{key}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn proc_keys_is_read_as_keyctl_does() {
        let find =
            |line, kind, description| listed_key(line, kind, description).map(KeySerial::serial);
        let ring = "0b7a1c2d I--Q---     4 perm 3f030000  1000 65534 keyring   _ses: 1/4";
        assert_eq!(find(ring, "keyring", "_ses"), Some(0x0b7a1c2d));
        assert_eq!(find(ring, "keyring", "_se"), None);
        assert_eq!(find(ring, "user", "_ses"), None);
        let key = "2b4d5f01 I------     1   3d 1f3f0000     0     0 user      a: song: 32";
        assert_eq!(find(key, "user", "a: song"), Some(0x2b4d5f01));
        assert_eq!(find(key, "user", "a"), Some(0x2b4d5f01));
        let revoked = "2b4d5f01 IR-----     1 perm 1f3f0000     0     0 user      song: 5";
        assert_eq!(find(revoked, "user", "song"), None);
        let bare = "2b4d5f01 I------     1 perm 1f3f0000     0     0 logon     a:b";
        assert_eq!(find(bare, "logon", "a:b"), Some(0x2b4d5f01));
    }

    proptest! {
        #[test]
        fn any_line_of_proc_keys_is_taken(line: String, kind: String, description: String) {
            listed_key(&line, &kind, &description);
        }
    }
}

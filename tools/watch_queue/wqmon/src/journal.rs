// SPDX-License-Identifier: GPL-2.0

//! Events to the journal of systemd, by its native protocol: a field of an event is a field there.

use serde_json::Value;
use std::{io, os::unix::net::UnixDatagram};

use crate::event::Seen;

const SOCKET: &str = "/run/systemd/journal/socket";

pub(crate) struct Journal(UnixDatagram);

impl Journal {
    pub(crate) fn open() -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(SOCKET)?;
        Ok(Self(socket))
    }

    pub(crate) fn event(&self, seen: &Seen<'_>) -> io::Result<()> {
        self.0.send(&entry(seen)).map(drop)
    }
}

/// The event as a datagram.
fn entry(seen: &Seen<'_>) -> Vec<u8> {
    let mut entry = Vec::new();
    let watch = seen.watch.unwrap_or("-");
    let kind = seen.message.kind();
    let text = format!("{watch}: {kind} {}: {seen}", seen.name());
    field(&mut entry, "MESSAGE", &text);
    field(&mut entry, "PRIORITY", &seen.mood().priority().to_string());
    field(&mut entry, "SYSLOG_IDENTIFIER", "wqmon");
    for (name, value) in seen.fields() {
        let name = format!("WQMON_{}", name.to_uppercase());
        match value {
            Value::Null => {}
            Value::String(text) => field(&mut entry, &name, &text),
            value => field(&mut entry, &name, &value.to_string()),
        }
    }
    entry
}

/// A value with a newline in it has its length before it.
fn field(entry: &mut Vec<u8>, name: &str, value: &str) {
    entry.extend(name.as_bytes());
    if value.contains('\n') {
        entry.push(b'\n');
        entry.extend((value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend(value.as_bytes());
    entry.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_as_the_journal_reads_them() {
        let mut entry = Vec::new();
        field(&mut entry, "MESSAGE", "one line");
        field(&mut entry, "WQMON_PATH", "/a\nb");
        assert_eq!(
            entry,
            b"MESSAGE=one line\nWQMON_PATH\n\x04\0\0\0\0\0\0\0/a\nb\n"
        );
    }
}

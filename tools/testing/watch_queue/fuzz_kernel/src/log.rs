// SPDX-License-Identifier: GPL-2.0

//! The kernel's log: whether it complains.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
};

/// Words of which each complaint of the kernel has one.
///
/// Not what `dev/guest/test` looks for as well, a call trace: the kernel prints one for an allocation
/// that is made to fail, too.
const COMPLAINTS: [&str; 11] = [
    "BUG:",
    "WARNING:",
    "Oops",
    "blocked for more than",
    "detected stall",
    "UBSAN:",
    "possible recursive locking",
    "possible circular locking",
    "inconsistent lock",
    "suspicious RCU",
    "panicked at",
];

pub struct Log(File);

impl Log {
    /// Opens the log at its end.
    pub fn new() -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/kmsg")?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self(file))
    }

    fn next(&mut self) -> Option<String> {
        let mut record = [0; 8192];
        loop {
            match self.0.read(&mut record) {
                Ok(bytes) => {
                    let text = String::from_utf8_lossy(&record[..bytes]);
                    let text = text.split_once(';').map_or(&*text, |(_, text)| text);
                    return Some(text.lines().next().unwrap_or_default().into());
                }
                // Some was overwritten before it was read.
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
                Err(_) => return None,
            }
        }
    }

    /// Returns what the kernel has said since this was called last, if it complains.
    pub fn complaint(&mut self) -> Option<String> {
        let mut lines = Vec::new();
        let mut complains = false;
        while let Some(line) = self.next() {
            complains |= COMPLAINTS.iter().any(|word| line.contains(word));
            lines.push(line);
        }
        if !complains {
            return None;
        }
        // It may not be through with it.
        std::thread::sleep(std::time::Duration::from_millis(200));
        while let Some(line) = self.next() {
            lines.push(line);
        }
        Some(lines.join("\n"))
    }
}

/// Returns all that the kernel has said.
pub fn all() -> String {
    let mut lines = Vec::new();
    if let Ok(mut log) = Log::new() {
        if log.0.seek(SeekFrom::Start(0)).is_ok() {
            while let Some(line) = log.next() {
                lines.push(line);
            }
        }
    }
    lines.join("\n")
}

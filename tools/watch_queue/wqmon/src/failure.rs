// SPDX-License-Identifier: GPL-2.0

//! What goes wrong, in words and as an exit code.

use std::{
    fmt,
    io::{self, ErrorKind, Write},
};
use watch_queue::{Errno, Error};

use crate::cli;

/// Prints a line to standard error, if there is somebody to read it.
pub(crate) fn say(text: impl fmt::Display) {
    // One write, so that lines of several processes do not mix.
    let line = format!("wqmon: {text}\n");
    let _ = io::stderr().write_all(line.as_bytes());
}

/// An error and its causes, without the numbers that Rust puts behind those of the system.
pub(crate) fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    let own = match error.downcast_ref::<io::Error>() {
        Some(error) => match error.raw_os_error() {
            Some(errno) => Errno::from_raw(errno as u32).to_string(),
            None => error.to_string(),
        },
        None => error.to_string(),
    };
    match error.source() {
        Some(cause) => format!("{own}: {}", reason(cause)),
        None => own,
    }
}

/// What is said before the end, if anything, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    pub(crate) message: String,
    /// The errno, if the kernel refused something.
    errno: Option<i32>,
}

impl Failure {
    pub(crate) fn new(message: impl fmt::Display) -> Self {
        Self {
            code: cli::EXIT_FAILURE,
            message: message.to_string(),
            errno: None,
        }
    }

    /// The request itself is wrong, so that trying again is no use.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self {
            code: cli::EXIT_USAGE,
            ..Self::new(message)
        }
    }

    /// An early end without a failure.
    pub(crate) fn early_end(message: impl fmt::Display) -> Self {
        Self {
            code: cli::EXIT_SUCCESS,
            ..Self::new(message)
        }
    }

    /// Whether something is watched already.
    pub(crate) fn is_busy(&self) -> bool {
        self.errno == Some(rustix::io::Errno::BUSY.raw_os_error())
    }

    /// Whether something is not there, or not any more.
    pub(crate) fn is_absence(&self) -> bool {
        use rustix::io::Errno as E;
        const ABSENCES: [E; 7] = [
            E::NOENT,
            E::NODEV,
            E::NXIO,
            E::NOMEDIUM,
            E::NOKEY,
            E::KEYREVOKED,
            E::KEYEXPIRED,
        ];
        self.errno.is_some_and(|errno| {
            ABSENCES
                .iter()
                .any(|absence| absence.raw_os_error() == errno)
        })
    }

    /// An error, and what failed.
    pub(crate) fn of_error(what: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        Self::new(format!("{what}: {}", reason(error)))
    }

    /// Says what it was that failed.
    pub(crate) fn of(self, what: impl fmt::Display) -> Self {
        Self {
            message: format!("{what}: {}", self.message),
            ..self
        }
    }

    /// The reader of the output has seen enough.
    pub(crate) fn nobody_reads() -> Self {
        Self::early_end("")
    }

    /// What was written to standard output did not get there.
    pub(crate) fn of_output(error: io::Error) -> Self {
        if error.kind() == ErrorKind::BrokenPipe {
            Self::nobody_reads()
        } else {
            Self::of_error("cannot write the output", &error)
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            code: match error {
                Error::NoQueues | Error::NoSource(_) | Error::Stats(_) => cli::EXIT_UNSUPPORTED,
                _ => cli::EXIT_FAILURE,
            },
            message: reason(&error),
            errno: error.raw_os_error(),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self {
            errno: error.raw_os_error(),
            ..Self::new(reason(&error))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_without_numbers() {
        let error = io::Error::from_raw_os_error(5);
        assert_eq!(reason(&error), "Input/output error");
        let failure = Failure::of_error("fs=/srv", &error).of("it");
        assert_eq!(failure.message, "it: fs=/srv: Input/output error");
    }

    #[test]
    fn reader_who_has_gone_is_no_failure() {
        let failure = Failure::of_output(ErrorKind::BrokenPipe.into());
        assert_eq!((failure.code, &*failure.message), (cli::EXIT_SUCCESS, ""));
        assert_eq!(
            Failure::of_output(io::Error::from_raw_os_error(28)).message,
            "cannot write the output: No space left on device"
        );
    }
}

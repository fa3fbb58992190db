// SPDX-License-Identifier: GPL-2.0

//! The command line.

use clap::Parser;
use std::{str::FromStr, time::Duration};
use watch_queue::{BadKeyName, KeyName, Rule};

pub(crate) const EXIT_SUCCESS: u8 = 0;
pub(crate) const EXIT_FAILURE: u8 = 1;
pub(crate) const EXIT_UNSUPPORTED: u8 = 3;
pub(crate) const EXIT_TOO_FEW: u8 = 4;

const AFTER_HELP: &str = "\
Keys:
  726490881, 0x2b4d5f01   by serial number
  @t @p @s @u @us @a      keyring of the thread, process, session, user or user
                          session; authorisation key
  %:NAME                  a keyring, by its name
  %TYPE:DESCRIPTION       a key, by its description

Filters:
  meta, key, type=5                   all that is of a type
  key:linked,unlinked  type=5:0-7,40  some events of it: instantiated, updated,
                                      linked, unlinked, cleared, revoked,
                                      invalidated, setattr, or numbers
  'key info=0x10000/0x30000'          bits of info under a mask
  Losses and removals are always printed.

JSON:
  One object a line. \"watch\" is the key as it was named here, null for a loss;
  \"lost\" is null where the kernel does not count, and 65535 is that many or more.

Exit codes:
  0  the end was asked for: by --count, by --timeout alone, by a signal; or nothing
     is left to watch
  1  something failed
  2  the command line is wrong
  3  this kernel does not have it: queues, notifications of keys, or statistics
  4  there were fewer events than --count";

/// Print what happens to keys and keyrings, as the kernel notifies of it
#[derive(Parser)]
#[command(version, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    /// What to watch, up to 255
    #[arg(required = true, value_name = "KEY")]
    pub(crate) keys: Vec<Object>,

    /// Print only what one of up to 16 filters accepts: TYPE[:EVENT,...]
    #[arg(short, long, value_name = "FILTER")]
    pub(crate) filter: Vec<Rule>,

    /// Print JSON, one object a line
    #[arg(short, long)]
    pub(crate) json: bool,

    /// Room in the queue, in messages
    #[arg(short, long, value_name = "N", default_value_t = 256)]
    pub(crate) size: usize,

    /// End after N events
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,

    /// End after this time
    #[arg(short, long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,

    /// At the end, also by SIGINT and SIGTERM, print what the queue did
    #[arg(long)]
    pub(crate) stats: bool,
}

/// Something to watch.
#[derive(Clone)]
pub(crate) struct Object {
    /// As it was given.
    pub(crate) name: String,
    pub(crate) key: KeyName,
}

impl FromStr for Object {
    type Err = BadKeyName;

    fn from_str(name: &str) -> Result<Self, BadKeyName> {
        Ok(Self {
            name: name.to_owned(),
            key: name.parse()?,
        })
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map_err(|_| "it is not a number")?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_names_all_events() {
        for name in watch_queue::Type::KEY.subtypes() {
            assert!(AFTER_HELP.contains(name), "{name}");
        }
    }

    #[test]
    fn seconds_can_have_fractions() {
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        assert!(["", "-1", "1e99", "nan", "1s"]
            .into_iter()
            .all(|text| seconds(text).is_err()));
    }
}

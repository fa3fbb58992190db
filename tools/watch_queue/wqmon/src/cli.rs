// SPDX-License-Identifier: GPL-2.0

//! The command line.

use clap::{ArgGroup, Parser};
use std::{path::PathBuf, time::Duration};
use watch_queue::{BadKeyName, Rule};

use crate::target::{Target, OWN_MOUNTS};

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

Mounts:
  --mounts                  those in the mount namespace of wqmon itself
  --mounts=/proc/1/ns/mnt   those in that mount namespace
  --mounts=/srv             the one that /srv is on, and those below it

Events, by type:
  meta        removal, loss
  key         instantiated, updated, linked, unlinked, cleared, revoked,
              invalidated, setattr
  mount       attached, detached, moved_from, moved_to, setattr, expired
  superblock  error, readonly, readwrite, quota
  block       io, timeout, nospace, transport, target, nexus, medium,
              protection, resource, other
  device      added, removed, bound, unbound; connected, disconnected (of USB)
  Mainline kernels have meta and key.

Filters:
  key, mount, type=77                   all that is of a type
  key:linked,unlinked  type=77:0-7,40   some events of it, by names or numbers
  'device info=0x10000/0x10000'         bits of info under a mask
  Losses and removals are always printed.

JSON:
  One object a line. \"watch\" is what was watched as it was named here, without
  dashes for an option, null for a loss; \"type\" and \"event\" are as above, the rest
  depends on them. \"lost\" is null where the kernel does not count, and 65535 is
  that many or more.

Exit codes:
  0  the end was asked for: by --count, by --timeout alone, by a signal; or nothing
     is left to watch
  1  something failed
  2  the command line is wrong
  3  this kernel does not have it: queues, notifications of what was to be
     watched, or statistics
  4  there were fewer events than --count";

/// Print what happens to keys, mounts, file systems, disks and devices, as the kernel tells it
#[derive(Parser)]
#[command(version, after_help = AFTER_HELP)]
#[command(group(
    ArgGroup::new("targets")
        .args(["keys", "mounts", "fs", "block", "devices"])
        .required(true)
        .multiple(true)
))]
pub(crate) struct Cli {
    /// Watch a key or a keyring
    #[arg(value_name = "KEY", value_parser = key)]
    keys: Vec<Target>,

    /// Watch the mounts of this namespace, or of another one, or those below PATH
    #[arg(
        long,
        value_name = "PATH",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = OWN_MOUNTS
    )]
    mounts: Vec<PathBuf>,

    /// Watch the file system that PATH is on
    #[arg(long, value_name = "PATH")]
    fs: Vec<PathBuf>,

    /// Watch a block device for requests that fail; DEV may be `all`
    #[arg(long, value_name = "DEV")]
    block: Vec<PathBuf>,

    /// Watch for devices that come and go, or get a driver
    #[arg(long)]
    devices: bool,

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

impl Cli {
    /// What to watch.
    pub(crate) fn targets(&self) -> Vec<Target> {
        let mut targets = self.keys.clone();
        targets.extend(self.mounts.iter().cloned().map(Target::Mounts));
        targets.extend(self.fs.iter().cloned().map(Target::FileSystem));
        targets.extend(self.block.iter().cloned().map(Target::Block));
        targets.extend(self.devices.then_some(Target::Devices));
        targets
    }
}

fn key(name: &str) -> Result<Target, BadKeyName> {
    Ok(Target::Key(name.to_owned(), name.parse()?))
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
        for kind in 0..6 {
            let kind = watch_queue::MessageType::new(kind);
            let names = [&[kind.name().unwrap()], kind.subtypes()].concat();
            let said = AFTER_HELP.split_once(&format!("\n  {kind} ")).unwrap().1;
            for name in names {
                let said = format!(" {kind} {said}");
                assert!(said.contains(name), "{kind}: {name}");
            }
        }
    }

    #[test]
    fn targets_are_called_as_they_were_given() {
        let names = |line: &str| -> Vec<_> {
            let words = ["wqmon"].into_iter().chain(line.split(' '));
            let cli = Cli::try_parse_from(words).unwrap();
            cli.targets().iter().map(Target::to_string).collect()
        };
        assert_eq!(names("@s 0x10"), ["@s", "0x10"]);
        assert_eq!(names("--mounts"), ["mounts"]);
        assert_eq!(
            names("--devices --block all --block /dev/sda --fs / --mounts=/srv --mounts @s"),
            [
                "@s",
                "mounts=/srv",
                "mounts",
                "fs=/",
                "block=all",
                "block=/dev/sda",
                "devices"
            ]
        );
    }

    #[test]
    fn seconds_can_have_fractions() {
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        assert!(["", "-1", "1e99", "nan", "1s"]
            .into_iter()
            .all(|text| seconds(text).is_err()));
    }
}

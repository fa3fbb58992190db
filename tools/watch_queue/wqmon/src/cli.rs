// SPDX-License-Identifier: GPL-2.0

//! The command line.

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use std::{path::PathBuf, time::Duration};
use watch_queue::Rule;

use crate::{
    output::Format,
    target::{Target, ALL, OWN_MOUNTS},
};

pub(crate) const EXIT_SUCCESS: u8 = 0;
pub(crate) const EXIT_FAILURE: u8 = 1;
/// As clap ends
pub(crate) const EXIT_USAGE: u8 = 2;
pub(crate) const EXIT_UNSUPPORTED: u8 = 3;
pub(crate) const EXIT_TOO_FEW: u8 = 4;

const AFTER_HELP: &str = "\
Keys:
  726490881, 0x2b4d5f01   by serial number
  @t @p @s @u @us @a      keyring of the thread, process, session, user or user
                          session; authorisation key
  %:NAME                  a keyring, by its name
  %TYPE:DESCRIPTION       a key, by its description

Events, by type:
  meta        removal, loss
  key         instantiated, updated, linked, unlinked, cleared, revoked,
              invalidated, setattr
  mount       attached, detached, moved_from, moved_to, setattr, expired
  superblock  error, readonly, readwrite, quota, frozen, thawed
  block       io, timeout, nospace, transport, target, nexus, medium,
              protection, resource, notsupported, busy, again, zonesopen,
              zonesactive, offline, durationlimit, invalid, other
  device      added, removed, changed, moved, online, offline, bound, unbound;
              connected, disconnected (of USB)
  Mainline kernels have meta and key.

Filters:
  key, mount, type=77                   all that is of a type
  key:linked,unlinked  type=77:0-7,40   some events of it, by names or numbers
  'device info=0x10000/0x10000'         bits of info under a mask
  Losses and removals are always printed.

Formats:
  %T  time               %w  what was watched, as it was named here
  %t  type               %e  event
  %s  the event in words %d  name of the block device
  %p  path of the mount  %%  a percent sign
  %{NAME}                any field of the JSON, empty if it is not there
  \\n, \\t and \\0 are as in C; a line ends by itself.

JSON:
  One object a line. It only grows: fields, types and events may be added, none
  is removed, renamed or made into something else. wqmon(8) lists them.

Programs that --exec runs:
  The event is on standard input, as JSON, and in WQMON_TIME, WQMON_WATCH,
  WQMON_TYPE, WQMON_EVENT, WQMON_TEXT, and WQMON_DEVNAME and WQMON_PATH where
  there is one. WQMON_LEFT_OUT is how many events before it nobody was run for.

Exit codes:
  0  the end was asked for: by --count, by --timeout alone, by a signal, by who
     reads the output; or nothing is left to watch
  1  something failed
  2  the command line, or what is in the configuration, is wrong
  3  this kernel does not have it: queues, notifications of what was to be
     watched, or statistics
  4  there were fewer events than --count";

/// Print what happens to keys, mounts, file systems, disks and devices
///
/// The kernel puts a message into a queue for each thing that happens; wqmon attaches such a queue
/// to what is named, and prints what comes out of it. It polls nothing, and it says where messages
/// were lost because they came faster than they were read.
#[derive(Parser)]
#[command(
    name = "wqmon",
    version,
    after_help = AFTER_HELP,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    #[command(flatten)]
    pub(crate) monitor: MonitorArgs,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Show what is watched on a live screen: events a second, losses, the last event
    Top(TopArgs),
}

/// What to watch.
#[derive(Args)]
#[command(group(
    ArgGroup::new("targets")
        .args(["keys", "mount_ns", "mount_tree", "fs", "block", "devices"])
        .multiple(true)
))]
pub(crate) struct WatchArgs {
    /// Watch a key or a keyring
    #[arg(value_name = "KEY", value_parser = key)]
    keys: Vec<Target>,

    /// Watch all mounts of a mount namespace: that of wqmon, or that of a file
    /// such as /proc/1/ns/mnt
    #[arg(
        long,
        value_name = "PATH",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = OWN_MOUNTS
    )]
    mount_ns: Vec<PathBuf>,

    /// Watch the mount that PATH is on, and those below it
    #[arg(long, value_name = "PATH")]
    mount_tree: Vec<PathBuf>,

    /// Watch the file system that PATH is on; or `all`: those on disks, also when
    /// they are mounted later
    #[arg(long, value_name = "PATH")]
    fs: Vec<PathBuf>,

    /// Watch a block device for requests that fail; or `all`, also when they come
    /// later
    #[arg(long, value_name = "DEV")]
    block: Vec<PathBuf>,

    /// Watch for devices that come and go, or get a driver: all, or those of a
    /// directory of sysfs, such as /sys/class/net, /sys/bus/usb or /sys/block/sda
    #[arg(
        long,
        value_name = "DIR",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = ALL
    )]
    devices: Vec<PathBuf>,

    /// Take only what one of up to 16 filters accepts: TYPE[:EVENT,...]
    #[arg(short, long, value_name = "FILTER")]
    pub(crate) filter: Vec<Rule>,

    /// Room in the queue, in messages
    #[arg(short, long, value_name = "N", default_value_t = DEFAULT_SIZE)]
    pub(crate) size: usize,
}

/// Room for messages, unless it is said
pub(crate) const DEFAULT_SIZE: usize = 256;

impl WatchArgs {
    /// What to watch.
    pub(crate) fn targets(&self) -> Vec<Target> {
        let mut targets = self.keys.clone();
        targets.extend(self.mount_ns.iter().cloned().map(Target::MountNamespace));
        targets.extend(self.mount_tree.iter().cloned().map(Target::MountTree));
        targets.extend(self.fs.iter().cloned().map(Target::FileSystem));
        targets.extend(self.block.iter().cloned().map(Target::Block));
        targets.extend(self.devices.iter().cloned().map(Target::Devices));
        targets
    }
}

#[derive(Args)]
#[command(group(
    ArgGroup::new("what")
        .args(["keys", "mount_ns", "mount_tree", "fs", "block", "devices", "config"])
        .required(true)
        .multiple(true)
))]
pub(crate) struct MonitorArgs {
    #[command(flatten)]
    pub(crate) watch: WatchArgs,

    /// Watch, run and print what this file says, and read it again on SIGHUP
    #[arg(
        short,
        long,
        value_name = "FILE",
        conflicts_with_all = ["targets", "filter", "size"]
    )]
    pub(crate) config: Option<PathBuf>,

    /// Print JSON, one object a line
    #[arg(short, long, conflicts_with = "format")]
    pub(crate) json: bool,

    /// Print each event like this, such as '%T %w %e %p'
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<Format>,

    /// Print the time at which each event was read
    #[arg(long, value_name = "KIND", default_value = "none")]
    pub(crate) time: TimeStyle,

    /// Colour what is bad, what comes and what goes
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: When,

    /// Say nothing of what is watched; twice: and do not print events either
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) quiet: u8,

    /// Run a shell command for each event
    #[arg(short = 'x', long, value_name = "COMMAND")]
    pub(crate) exec: Option<String>,

    /// Run at most N commands at a time; 256 events wait for their turn, others
    /// are left out, which is said
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: u16,

    /// Keep counts of events in a file, as the textfile collector of
    /// node_exporter reads them
    #[arg(long, value_name = "FILE")]
    pub(crate) textfile: Option<PathBuf>,

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

#[derive(Args)]
#[command(mut_group("targets", |group| group.required(true)))]
pub(crate) struct TopArgs {
    #[command(flatten)]
    pub(crate) watch: WatchArgs,
}

/// How the time is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TimeStyle {
    /// 2026-11-25T02:33:12.123456Z
    Iso,
    /// Seconds since wqmon began
    Relative,
    /// Seconds since 1970
    Unix,
    /// Not at all
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

fn key(name: &str) -> Result<Target, String> {
    match name.parse() {
        Ok(key) => Ok(Target::Key(name.to_owned(), key)),
        Err(_) if name.contains('/') => Err(format!(
            "'{name}' is no key: to watch a path, say --mount-tree, --mount-ns=, --fs or --block"
        )),
        Err(error) => Err(error.to_string()),
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

    fn parsed(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(["wqmon"].into_iter().chain(line.split(' ')))
    }

    #[test]
    fn targets_are_called_as_they_were_given() {
        let names = |line: &str| -> Vec<_> {
            let targets = parsed(line).unwrap().monitor.watch.targets();
            targets.iter().map(Target::to_string).collect()
        };
        assert_eq!(names("@s 0x10"), ["@s", "0x10"]);
        assert_eq!(names("--mount-ns"), ["mount-ns"]);
        assert_eq!(
            names("--devices --devices=/sys/class/net --block all --block /dev/sda --fs / --mount-ns=/proc/1/ns/mnt --mount-ns --mount-tree /srv @s"),
            [
                "@s",
                "mount-ns=/proc/1/ns/mnt",
                "mount-ns",
                "mount-tree=/srv",
                "fs=/",
                "block=all",
                "block=/dev/sda",
                "devices",
                "devices=/sys/class/net"
            ]
        );
    }

    #[test]
    fn path_is_not_taken_for_a_key() {
        let error = parsed("--mount-ns /srv").err().unwrap().to_string();
        assert!(error.contains("--mount-tree"), "{error}");
    }

    #[test]
    fn something_has_to_be_watched() {
        for line in ["--json", "top", "--config x @s", "top --count 3 @s"] {
            assert!(parsed(line).is_err(), "{line}");
        }
        assert!(parsed("top @s").unwrap().command.is_some());
        assert!(parsed("--config x --json").unwrap().command.is_none());
    }

    #[test]
    fn seconds_can_have_fractions() {
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        assert!(["", "-1", "1e99", "nan", "1s"]
            .into_iter()
            .all(|text| seconds(text).is_err()));
    }
}

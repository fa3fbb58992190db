// SPDX-License-Identifier: GPL-2.0

//! Events in people's words, and as JSON.

use serde::Serialize;
use std::{
    fmt,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use watch_queue::{
    mounts::Mount, Event, Message, MetaEvent, MountChange, MountEvent, SuperblockChange,
};

use crate::{cli::TimeStyle, names::Names};

/// An event, with all that is known of it.
pub(crate) struct Seen<'a> {
    /// When it was read.
    pub(crate) time: SystemTime,
    /// As what was watched is called; none for a loss.
    pub(crate) watch: Option<&'a str>,
    pub(crate) message: Message<'a>,
    pub(crate) event: Event<'a>,
    pub(crate) known: Known,
}

/// What the numbers of an event stand for.
#[derive(Default, Serialize)]
pub(crate) struct Known {
    /// The name of a block device in `/dev`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) devname: Option<String>,
    /// Where a mount or a file system is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fstype: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<String>,
    /// Where the parent is of a mount that is gone already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parent_path: Option<String>,
    /// The message was lost, and what it would have said was found out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) unseen: bool,
}

fn lossy(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

impl Known {
    fn of_mount(mount: &Mount) -> Self {
        Self {
            path: Some(lossy(&mount.point)),
            fstype: Some(mount.fs_type.clone()),
            source: mount.source.as_deref().map(lossy),
            ..Self::default()
        }
    }

    /// Looks up what an event is of.
    ///
    /// `mount` is that of an event of mounts.
    pub(crate) fn of_event(event: &Event<'_>, mount: Option<&Mount>, names: &mut Names) -> Self {
        match event {
            Event::Mount(event) => match mount {
                Some(mount) => Self::of_mount(mount),
                None => Self {
                    parent_path: names.parent(event).map(|mount| lossy(&mount.point)),
                    ..Self::default()
                },
            },
            Event::Superblock(event) => {
                let known = names
                    .mount_of_device(event.device)
                    .map_or_else(Self::default, Self::of_mount);
                Self {
                    devname: names.device(event.device).map(str::to_owned),
                    ..known
                }
            }
            Event::Block(event) => Self {
                devname: names.block(event),
                ..Self::default()
            },
            _ => Self::default(),
        }
    }
}

/// How bad it is; what comes, and what goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Bad,
    Warning,
    Comes,
    Goes,
    Plain,
}

impl Mood {
    /// As `SGR` of a terminal has it.
    pub(crate) fn colour(self) -> Option<&'static str> {
        match self {
            Self::Bad => Some("\x1b[1;31m"),
            Self::Warning => Some("\x1b[33m"),
            Self::Comes => Some("\x1b[32m"),
            Self::Goes => Some("\x1b[36m"),
            Self::Plain => None,
        }
    }

    /// As `syslog(3)` has it.
    pub(crate) fn priority(self) -> u8 {
        match self {
            Self::Bad => 3,
            Self::Warning => 4,
            Self::Goes => 5,
            Self::Comes | Self::Plain => 6,
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    watch: Option<&'a str>,
    #[serde(flatten)]
    event: &'a Event<'a>,
    #[serde(flatten)]
    known: &'a Known,
}

impl Seen<'_> {
    /// What the event is called.
    pub(crate) fn name(&self) -> &'static str {
        self.message.name().unwrap_or("?")
    }

    pub(crate) fn mood(&self) -> Mood {
        match &self.event {
            Event::Block(_) => Mood::Bad,
            Event::Superblock(event) => match event.change {
                SuperblockChange::Error { .. } | SuperblockChange::ReadOnly => Mood::Bad,
                SuperblockChange::Quota { .. } | SuperblockChange::Frozen => Mood::Warning,
                _ => Mood::Comes,
            },
            Event::Meta(MetaEvent::Loss { .. }) => Mood::Bad,
            Event::Meta(_) => Mood::Warning,
            _ => match self.name() {
                "attached" | "moved_to" | "added" | "online" | "connected" | "bound" | "linked"
                | "instantiated" => Mood::Comes,
                "detached" | "moved_from" | "removed" | "offline" | "disconnected" | "unbound"
                | "unlinked" | "cleared" | "expired" => Mood::Goes,
                "revoked" | "invalidated" => Mood::Warning,
                _ => Mood::Plain,
            },
        }
    }

    /// The event as JSON, in one line.
    pub(crate) fn json(&self) -> String {
        let line = Line {
            time: iso(self.time),
            watch: self.watch,
            event: &self.event,
            known: &self.known,
        };
        serde_json::to_string(&line).expect("its fields have names")
    }

    /// The same, to look at its fields.
    pub(crate) fn fields(&self) -> serde_json::Map<String, serde_json::Value> {
        match serde_json::from_str(&self.json()) {
            Ok(serde_json::Value::Object(fields)) => fields,
            _ => serde_json::Map::new(),
        }
    }
}

/// What happened, for one who knows its type and what it is called.
impl fmt::Display for Seen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = &self.known;
        match (&self.event, &known.path, &known.devname) {
            (Event::Mount(event), Some(path), _) => mount(f, event, path, known),
            (Event::Mount(event), None, _) => match &known.parent_path {
                Some(parent) => {
                    write!(f, "{}, which is gone, on {}", event.mount, Shown(parent))?;
                    flags(f, event)
                }
                None => event.fmt(f),
            },
            (Event::Superblock(event), path, devname) => {
                let number = event.device.to_string();
                let event = event.to_string();
                f.write_str(devname.as_ref().unwrap_or(&number))?;
                if let Some(path) = path {
                    write!(f, " on {}", Shown(path))?;
                }
                f.write_str(event.strip_prefix(&number).unwrap_or(&event))
            }
            (Event::Block(event), _, Some(devname)) => {
                let text = event.to_string();
                let number = match event.partition {
                    Some(partition) => format!("{} partition {partition}", event.device),
                    None => event.device.to_string(),
                };
                let rest = text.strip_prefix(&number).unwrap_or(&text);
                write!(f, "{devname}{rest}")
            }
            (Event::Meta(MetaEvent::Removal { .. }), path, _) => {
                if let Some(path) = path {
                    write!(f, "{} is ", Shown(path))?;
                }
                f.write_str("not watched any more")?;
                if known.unseen {
                    f.write_str("; this was among the losses")?;
                }
                Ok(())
            }
            (event, ..) => event.fmt(f),
        }
    }
}

fn mount(f: &mut fmt::Formatter<'_>, event: &MountEvent, path: &str, known: &Known) -> fmt::Result {
    match event.change {
        MountChange::MovedFrom => write!(f, "from {}", Shown(path))?,
        MountChange::MovedTo => write!(f, "to {}", Shown(path))?,
        _ => write!(f, "{}", Shown(path))?,
    }
    write!(f, "  {}", Shown(known.fstype.as_deref().unwrap_or("?")))?;
    if let Some(source) = &known.source {
        write!(f, " {}", Shown(source))?;
    }
    flags(f, event)
}

fn flags(f: &mut fmt::Formatter<'_>, event: &MountEvent) -> fmt::Result {
    let (attributes, propagation) = (event.attributes.to_string(), event.propagation.to_string());
    let comma = if attributes.is_empty() || propagation.is_empty() {
        ""
    } else {
        ","
    };
    write!(f, " ({attributes}{comma}{propagation})")
}

/// Text that came from elsewhere: what would move the cursor is escaped.
pub(crate) struct Shown<'a>(pub(crate) &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| {
            if c.is_control() {
                write!(f, "{}", c.escape_default())
            } else {
                write!(f, "{c}")
            }
        })
    }
}

fn iso(time: SystemTime) -> String {
    humantime::format_rfc3339_micros(time).to_string()
}

fn since(start: SystemTime, time: SystemTime) -> Duration {
    // The clock may be set back.
    time.duration_since(start).unwrap_or_default()
}

impl TimeStyle {
    /// The time of an event; `start` is when wqmon began.
    pub(crate) fn format(self, time: SystemTime, start: SystemTime) -> Option<String> {
        let seconds = |since: Duration| {
            let micros = since.subsec_micros();
            format!("{}.{micros:06}", since.as_secs())
        };
        match self {
            Self::Iso => Some(iso(time)),
            Self::Relative => Some(format!("{:>12}", seconds(since(start, time)))),
            Self::Unix => Some(seconds(since(UNIX_EPOCH, time))),
            Self::None => None,
        }
    }
}

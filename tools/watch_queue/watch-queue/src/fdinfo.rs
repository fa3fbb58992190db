// SPDX-License-Identifier: MIT OR Apache-2.0

//! Statistics: what `/proc/PID/fdinfo/N` of either end of a notification pipe tells.

use std::{fmt, str::FromStr};

use crate::{
    event::{parse_long, parse_number},
    Rule, Watched,
};

/// What a queue has done so far, and how it is set up.
///
/// ```
/// use watch_queue::Stats;
///
/// let stats: Stats = "\
/// pos:\t0
/// flags:\t02000000
/// watch_queue-size:\t512
/// watch_queue-messages:\t3
/// watch_queue-bytes:\t56
/// watch_queue-posted:\t1234
/// watch_queue-delivered:\t1000
/// watch_queue-filtered:\t200
/// watch_queue-lost:\t34
/// watch_queue-filter:\ttype=0x000001 subtypes=2-3 info=0x00000000/0x00000000
/// watch_queue-watch:\tsource=keyctl id=0x2b4d5f01 tag=0x17
/// ".parse()?;
/// assert_eq!(stats.posted, stats.delivered + stats.filtered + stats.lost);
/// assert_eq!(stats.rules[0].to_string(), "key:linked,unlinked");
/// assert_eq!((stats.watches[0].id, stats.watches[0].tag), (0x2b4d5f01, 0x17));
/// # Ok::<(), watch_queue::BadStats>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Stats {
    /// Capacity in messages, 0 before it was set.
    pub size: u64,
    /// Messages that can be read now, without losses.
    pub messages: u64,
    /// Bytes that can be read now, with losses.
    pub bytes: u64,
    /// Messages for this queue since it was made: delivered, filtered and lost.
    pub posted: u64,
    /// Messages put into the queue.
    pub delivered: u64,
    /// Messages rejected by the filter.
    pub filtered: u64,
    /// Messages dropped for want of room.
    pub lost: u64,
    /// The rules of the filter; none if there is no filter.
    pub rules: Vec<Rule>,
    /// What is watched.
    pub watches: Vec<Watch>,
}

/// One thing that a queue watches.
///
/// ```
/// use watch_queue::Stats;
///
/// fn has_disks(stats: &Stats) -> bool {
///     stats.watches.iter().any(|watch| watch.source == "block")
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Watch {
    /// The part of the kernel that it belongs to: `keyctl`, `mount_ns`, `mount` (which is a mount
    /// and those below it), `superblock`, `block` or `device`.
    pub source: String,
    /// Which one it is, by the source's numbering, as in [removals](crate::MetaEvent::Removal);
    /// 0 for all.
    pub id: u64,
    /// What its messages are tagged with.
    pub tag: u8,
}

/// Why there are no statistics in a text.
///
/// ```
/// use watch_queue::{BadStats, Stats};
///
/// assert_eq!("pos:\t0\n".parse::<Stats>(), Err(BadStats::NotThere));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadStats {
    /// It says nothing of a queue: the file is none, or the kernel does not tell.
    NotThere,
    /// This key is missing, or what it has is not understood.
    Malformed(&'static str),
}

impl fmt::Display for BadStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotThere => write!(f, "fdinfo says nothing of a notification queue"),
            Self::Malformed(key) => write!(f, "fdinfo: watch_queue-{key} is not understood"),
        }
    }
}

impl std::error::Error for BadStats {}

/// Keys and fields that are not known are for later versions, and skipped.
impl FromStr for Stats {
    type Err = BadStats;

    fn from_str(text: &str) -> Result<Self, BadStats> {
        let lines: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("watch_queue-")?.split_once(":\t"))
            .collect();
        if lines.is_empty() {
            return Err(BadStats::NotThere);
        }
        let values = |wanted: &'static str| {
            let wanted = move |&&(key, _): &&(&str, _)| key == wanted;
            lines.iter().filter(wanted).map(|&(_, value)| value)
        };
        let number = |key| {
            let value: Option<&str> = values(key).next();
            value
                .and_then(|value| value.parse().ok())
                .ok_or(BadStats::Malformed(key))
        };
        let malformed = BadStats::Malformed;
        Ok(Self {
            size: number("size")?,
            messages: number("messages")?,
            bytes: number("bytes")?,
            posted: number("posted")?,
            delivered: number("delivered")?,
            filtered: number("filtered")?,
            lost: number("lost")?,
            rules: values("filter")
                .map(|value| Rule::from_fdinfo(value).ok_or(malformed("filter")))
                .collect::<Result<_, _>>()?,
            watches: values("watch")
                .map(|value| Watch::from_fdinfo(value).ok_or(malformed("watch")))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl Stats {
    /// Returns whether this watch is among them.
    ///
    /// [`Queue::still_watched`](crate::Queue::still_watched) is that for one watch; with many, ask
    /// for the statistics once.
    ///
    /// ```no_run
    /// use watch_queue::{KeySerial, Queue};
    ///
    /// let queue = Queue::new(256)?;
    /// let watched = queue.watch(KeySerial::SESSION_KEYRING, 1)?;
    /// assert!(queue.stats()?.has(&watched));
    /// # Ok::<(), watch_queue::Error>(())
    /// ```
    pub fn has(&self, watched: &Watched) -> bool {
        self.watches.iter().any(|watch| {
            (&*watch.source, watch.id, watch.tag) == (watched.source, watched.id, watched.tag)
        })
    }
}

impl Watch {
    fn from_fdinfo(text: &str) -> Option<Self> {
        let mut fields = text
            .split_whitespace()
            .filter_map(|field| field.split_once('='));
        let mut field = |wanted| Some(fields.find(|(name, _)| *name == wanted)?.1);
        Some(Self {
            source: field("source")?.to_owned(),
            id: parse_long(field("id")?)?,
            tag: u8::try_from(parse_number(field("tag")?)?).ok()?,
        })
    }
}

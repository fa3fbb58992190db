// SPDX-License-Identifier: GPL-2.0

//! Events as lines: aligned text, JSON, or as a format says.

use rustix::{
    event::{poll, PollFd, PollFlags},
    fs::{fstat, FileType},
    io::Errno,
};
use serde::Serialize;
use std::{
    fmt::Write as _,
    io,
    os::fd::{AsFd, BorrowedFd},
    str::FromStr,
    time::SystemTime,
};
use unicode_width::UnicodeWidthStr;
use watch_queue::Stats;

use crate::{
    cli::TimeStyle,
    event::{Seen, Shown},
};

/// How much a pipe takes that poll says has room, without a wait.
const CHUNK: usize = 4096;

/// How an event is printed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Style {
    Text { time: TimeStyle, colour: bool },
    Json,
    Format { format: Format, time: TimeStyle },
    None,
}

/// What `--format` takes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Format(Vec<Piece>);

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    Time,
    Watch,
    Kind,
    Event,
    Words,
    Device,
    Path,
    Field(String),
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            let piece = match c {
                '\\' => {
                    plain.push(match chars.next() {
                        Some('n') => '\n',
                        Some('t') => '\t',
                        Some('0') => '\0',
                        Some('\\') => '\\',
                        other => return Err(unknown('\\', other)),
                    });
                    continue;
                }
                '%' => match chars.next() {
                    Some('%') => {
                        plain.push('%');
                        continue;
                    }
                    Some('T') => Piece::Time,
                    Some('w') => Piece::Watch,
                    Some('t') => Piece::Kind,
                    Some('e') => Piece::Event,
                    Some('s') => Piece::Words,
                    Some('d') => Piece::Device,
                    Some('p') => Piece::Path,
                    Some('{') => {
                        let rest = chars.as_str();
                        let (field, after) = rest.split_once('}').ok_or("a } is missing")?;
                        chars = after.chars();
                        Piece::Field(field.to_owned())
                    }
                    other => return Err(unknown('%', other)),
                },
                c => {
                    plain.push(c);
                    continue;
                }
            };
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(piece);
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }
}

fn unknown(first: char, second: Option<char>) -> String {
    let second = second.map_or_else(String::new, String::from);
    format!("'{first}{second}' is not known; see --help for what is")
}

impl Format {
    fn line(&self, seen: &Seen<'_>, time: &str) -> String {
        let mut line = String::new();
        let mut fields = None;
        for piece in &self.0 {
            let known = &seen.known;
            match piece {
                Piece::Text(text) => line += text,
                Piece::Time => line += time,
                Piece::Watch => line += seen.watch.unwrap_or("-"),
                Piece::Kind => line += &seen.message.kind().to_string(),
                Piece::Event => line += seen.name(),
                Piece::Words => line += &seen.to_string(),
                Piece::Device => line += known.devname.as_deref().unwrap_or(""),
                Piece::Path => line += known.path.as_deref().unwrap_or(""),
                Piece::Field(name) => {
                    let fields = fields.get_or_insert_with(|| seen.fields());
                    match fields.get(name) {
                        None | Some(serde_json::Value::Null) => {}
                        Some(serde_json::Value::String(text)) => line += text,
                        Some(value) => line += &value.to_string(),
                    }
                }
            }
        }
        line
    }
}

/// What is printed, until it is written.
pub(crate) struct Output {
    pub(crate) style: Style,
    pending: Vec<u8>,
    start: SystemTime,
    /// Of the column that says which watch it is from.
    pub(crate) width: usize,
    /// Of the column that says the type.
    pub(crate) kind_width: usize,
    /// Whether a write to it can wait for a reader.
    can_wait: bool,
}

/// How far the output has got.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// All of it is written.
    All,
    /// There is no room at the moment.
    Later,
}

/// The statistics as JSON.
#[derive(Serialize)]
#[serde(tag = "type", rename = "stats")]
struct StatsLine<'a> {
    #[serde(flatten)]
    stats: &'a Stats,
}

impl Output {
    pub(crate) fn new(style: Style) -> Self {
        let is_file = |fd: BorrowedFd<'_>| {
            fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_file())
        };
        Self {
            style,
            pending: Vec::new(),
            start: SystemTime::now(),
            width: 0,
            // Losses are of the type `meta`.
            kind_width: "meta".len(),
            can_wait: !is_file(io::stdout().as_fd()),
        }
    }

    /// Makes the columns as wide as these need them.
    pub(crate) fn fit<'a>(&mut self, watches: impl Iterator<Item = (&'a str, usize)>) {
        (self.width, self.kind_width) = (1, "meta".len());
        for (name, kind_width) in watches {
            self.width = self.width.max(Shown(name).to_string().width());
            self.kind_width = self.kind_width.max(kind_width);
        }
    }

    /// Takes one event.
    pub(crate) fn event(&mut self, seen: &Seen<'_>) {
        let line = match &self.style {
            Style::None => return,
            Style::Json => seen.json(),
            Style::Format { format, time } => {
                let time = match time {
                    TimeStyle::None => TimeStyle::Iso,
                    time => *time,
                };
                let time = time.format(seen.time, self.start).unwrap_or_default();
                format.line(seen, &time)
            }
            Style::Text { time, colour } => self.text(seen, *time, *colour),
        };
        self.line(&line);
    }

    fn text(&self, seen: &Seen<'_>, time: TimeStyle, colour: bool) -> String {
        let watch = Shown(seen.watch.unwrap_or("-")).to_string();
        let padding = self.width.saturating_sub(watch.width());
        let kind_width = self.kind_width;
        let mut line = String::new();
        if let Some(time) = time.format(seen.time, self.start) {
            line += &time;
            line += "  ";
        }
        let name = format!("{:<13}", seen.name());
        let name = match seen.mood().colour().filter(|_| colour) {
            Some(on) => format!("{on}{name}\x1b[0m"),
            None => name,
        };
        let kind = seen.message.kind();
        // Writing to a string does not fail.
        let _ = write!(
            line,
            "{watch}{:padding$}  {kind:<kind_width$}  {name} {seen}",
            ""
        );
        line
    }

    /// Takes what the queue did; `name` is what the watch with a tag is of.
    pub(crate) fn stats<'a>(&mut self, stats: &Stats, name: impl Fn(u8) -> &'a str) {
        if self.style == Style::Json {
            let line = serde_json::to_string(&StatsLine { stats });
            return self.line(&line.expect("its fields have names"));
        }
        let Stats {
            posted,
            delivered,
            filtered,
            lost,
            messages,
            size,
            ..
        } = stats;
        self.line(&format!(
            "posted {posted}: delivered {delivered}, filtered {filtered}, lost {lost}; \
             {messages} of {size} in the queue"
        ));
        for rule in &stats.rules {
            self.line(&format!("filter {rule}"));
        }
        let mut watches: Vec<_> = stats.watches.iter().collect();
        watches.sort_by_key(|watch| watch.tag);
        for watch in watches {
            let (source, id) = (&watch.source, watch.id);
            self.line(&format!("watch {}: {source} {id}", name(watch.tag)));
        }
    }

    fn line(&mut self, line: &str) {
        self.pending.extend(line.as_bytes());
        self.pending.push(b'\n');
    }

    /// How many bytes are still to be written.
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Writes as much as there is room for, without a wait.
    pub(crate) fn write(&mut self) -> io::Result<Written> {
        let stdout = io::stdout();
        let mut done = 0;
        let result = loop {
            let rest = &self.pending[done..];
            if rest.is_empty() {
                break Ok(Written::All);
            }
            if self.can_wait && !has_room(stdout.as_fd())? {
                break Ok(Written::Later);
            }
            let size = if self.can_wait {
                rest.len().min(CHUNK)
            } else {
                rest.len()
            };
            match rustix::io::write(stdout.as_fd(), &rest[..size]) {
                Ok(size) => done += size,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break Ok(Written::Later),
                Err(error) => break Err(error.into()),
            }
        };
        self.pending.drain(..done);
        result
    }
}

fn has_room(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
    match poll(&mut fds, Some(&Default::default())) {
        Ok(count) => Ok(count != 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;

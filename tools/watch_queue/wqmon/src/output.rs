// SPDX-License-Identifier: GPL-2.0

//! Events as lines: aligned text, or JSON.

use serde::Serialize;
use std::io::{self, BufWriter, Stdout, Write};
use watch_queue::{Event, Message, Stats};

pub(crate) struct Output<W: Write = BufWriter<Stdout>> {
    to: W,
    json: bool,
    /// Of the column that tells which watch it is from, in characters.
    width: usize,
}

/// An event as JSON.
#[derive(Serialize)]
struct EventLine<'a> {
    watch: Option<&'a str>,
    #[serde(flatten)]
    event: Event<'a>,
}

/// The statistics as JSON.
#[derive(Serialize)]
#[serde(tag = "type", rename = "stats")]
struct StatsLine<'a> {
    #[serde(flatten)]
    stats: &'a Stats,
}

impl Output {
    pub(crate) fn new(json: bool, width: usize) -> Self {
        Self {
            to: BufWriter::new(io::stdout()),
            json,
            width,
        }
    }
}

impl<W: Write> Output<W> {
    /// Prints one event; `watch` is what it is of.
    pub(crate) fn event(&mut self, watch: Option<&str>, message: &Message<'_>) -> io::Result<()> {
        let event = message.event();
        if self.json {
            return self.line(&EventLine { watch, event });
        }
        let (watch, width) = (watch.unwrap_or("-"), self.width);
        let name = message.name().unwrap_or("?");
        let kind = message.kind();
        writeln!(self.to, "{watch:<width$}  {kind:<5} {name:<13} {event}")
    }

    /// Prints what the queue did; `name` is what the watch with a tag is of.
    pub(crate) fn stats<'a>(
        &mut self,
        stats: &Stats,
        name: impl Fn(u8) -> &'a str,
    ) -> io::Result<()> {
        if self.json {
            self.line(&StatsLine { stats })?;
            return self.flush();
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
        writeln!(
            self.to,
            "posted {posted}: delivered {delivered}, filtered {filtered}, lost {lost}; \
             {messages} of {size} in the queue"
        )?;
        for rule in &stats.rules {
            writeln!(self.to, "filter {rule}")?;
        }
        let mut watches: Vec<_> = stats.watches.iter().collect();
        watches.sort_by_key(|watch| watch.tag);
        for watch in watches {
            let (source, id) = (&watch.source, watch.id);
            writeln!(self.to, "watch {}: {source} {id}", name(watch.tag))?;
        }
        self.flush()
    }

    fn line(&mut self, line: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.to, line)?;
        writeln!(self.to)
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use watch_queue::Messages;

    /// A message of this type and subtype, tag, type-specific bits and payload.
    fn message(kind: u32, subtype: u32, tag: u32, bits: u32, payload: &[u32]) -> Vec<u8> {
        let header = if cfg!(target_endian = "little") {
            kind | (subtype << 24)
        } else {
            (kind << 8) | subtype
        };
        let info = (8 + 4 * payload.len() as u32) | (tag << 8) | (bits << 16);
        let words = [&[header, info], payload].concat();
        words.into_iter().flat_map(u32::to_ne_bytes).collect()
    }

    fn printed(json: bool, watch: Option<&str>, message: &[u8]) -> String {
        let mut output = Output {
            to: Vec::new(),
            json,
            width: 4,
        };
        for message in Messages::new(message) {
            output.event(watch, &message.unwrap()).unwrap();
        }
        String::from_utf8(output.to).unwrap()
    }

    #[test]
    fn events_of_keys() {
        let linked = message(1, 2, 1, 0, &[1000, 2000]);
        assert_eq!(
            printed(false, Some("@s"), &linked),
            "@s    key   linked        2000 into 1000\n"
        );
        assert_eq!(
            printed(true, Some("@s"), &linked),
            r#"{"watch":"@s","type":"key","key":1000,"event":"linked","member":2000}"#.to_owned()
                + "\n"
        );
        let refused = message(1, 0, 1, 0, &[1000, -126_i32 as u32]);
        assert!(printed(true, Some("@s"), &refused).contains(r#""error":126"#));
        assert!(printed(false, Some("@s"), &refused).contains("Required key not available"));
    }

    #[test]
    fn losses() {
        let text = |lost| printed(false, None, &message(0, 1, 0, lost, &[]));
        assert_eq!(
            text(44),
            "-     meta  loss          44 messages were lost here\n"
        );
        assert_eq!(
            text(1),
            "-     meta  loss          1 message was lost here\n"
        );
        assert!(text(0).contains("it is not known how many"));
        assert!(text(65535).contains("65535 messages or more"));
        let json = |lost| printed(true, None, &message(0, 1, 0, lost, &[]));
        let line = r#"{"watch":null,"type":"meta","event":"loss","lost":"#;
        assert_eq!(json(44), format!("{line}44}}\n"));
        assert_eq!(json(0), format!("{line}null}}\n"));
    }

    #[test]
    fn what_is_not_known() {
        let unknown = message(5, 7, 1, 0, &[0]);
        assert_eq!(
            printed(false, Some("@s"), &unknown),
            "@s    type=5 ?             type=0x000005 subtype=7 info=0x0000010c payload=00000000\n"
        );
        let json = printed(true, Some("@s"), &unknown);
        assert!(
            json.contains(r#""type":"unknown","number":5,"subtype":7,"info":268"#),
            "{json}"
        );
        assert!(json.contains(r#""payload":"00000000""#), "{json}");
    }
}

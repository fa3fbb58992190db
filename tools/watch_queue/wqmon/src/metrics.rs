// SPDX-License-Identifier: GPL-2.0

//! Counts of events, as the textfile collector of node_exporter reads them.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::{event::Seen, exec::Counts};

/// The file is not written more often than that.
const PAUSE: Duration = Duration::from_secs(5);

pub(crate) struct Metrics {
    path: PathBuf,
    /// How many events, and when the last one was read, by what was watched, type and name.
    events: BTreeMap<(String, String, &'static str), (u64, SystemTime)>,
    lost: u64,
    written: Option<Instant>,
    changed: bool,
}

impl Metrics {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            events: BTreeMap::new(),
            lost: 0,
            written: None,
            changed: true,
        }
    }

    /// Whether this is the file.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        self.path == path
    }

    pub(crate) fn event(&mut self, seen: &Seen<'_>) {
        let watch = seen.watch.unwrap_or("").to_owned();
        let key = (watch, seen.message.kind().to_string(), seen.name());
        let entry = self.events.entry(key).or_insert((0, seen.time));
        *entry = (entry.0 + 1, seen.time);
        self.changed = true;
    }

    pub(crate) fn lost(&mut self, count: u64) {
        self.lost += count;
        self.changed = true;
    }

    /// Something else has changed.
    pub(crate) fn touch(&mut self) {
        self.changed = true;
    }

    /// How long until it may be written, if it has to be.
    pub(crate) fn due(&self) -> Option<Duration> {
        if !self.changed {
            return None;
        }
        let written = self
            .written
            .map(|written| PAUSE.saturating_sub(written.elapsed()));
        Some(written.unwrap_or_default())
    }

    /// Writes the file, so that nobody sees half of it.
    pub(crate) fn write<'a>(
        &mut self,
        watches: impl Iterator<Item = (&'a str, bool)>,
        ran: Counts,
    ) -> io::Result<()> {
        self.written = Some(Instant::now());
        self.changed = false;
        let mut new = self.path.clone().into_os_string();
        // The collector reads *.prom.
        new.push(".new");
        fs::write(&new, self.text(watches, ran))?;
        fs::rename(&new, &self.path)
    }

    fn text<'a>(&self, watches: impl Iterator<Item = (&'a str, bool)>, ran: Counts) -> String {
        let mut text = String::new();
        let mut metric =
            |name: &str, kind: &str, help: &str, lines: &mut dyn FnMut(&mut String)| {
                let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
                lines(&mut text);
            };
        metric(
            "wqmon_events_total",
            "counter",
            "Events that were read.",
            &mut |text| {
                for ((watch, kind, event), (count, _)) in &self.events {
                    let labels = labels(&[("watch", watch), ("type", kind), ("event", event)]);
                    let _ = writeln!(text, "wqmon_events_total{labels} {count}");
                }
            },
        );
        let help = "When the last such event was read.";
        metric(
            "wqmon_last_event_timestamp_seconds",
            "gauge",
            help,
            &mut |text| {
                for ((watch, kind, event), (_, time)) in &self.events {
                    let labels = labels(&[("watch", watch), ("type", kind), ("event", event)]);
                    let seconds = time
                        .duration_since(UNIX_EPOCH)
                        .unwrap_or_default()
                        .as_secs_f64();
                    let _ = writeln!(
                        text,
                        "wqmon_last_event_timestamp_seconds{labels} {seconds:.3}"
                    );
                }
            },
        );
        let mut count = |name: &str, help: &str, count: u64| {
            metric(name, "counter", help, &mut |text| {
                let _ = writeln!(text, "{name} {count}");
            });
        };
        count(
            "wqmon_lost_total",
            "Messages that the queue had no room for.",
            self.lost,
        );
        count("wqmon_exec_total", "Programs that were run.", ran.started);
        count(
            "wqmon_exec_failed_total",
            "Programs that failed.",
            ran.failed,
        );
        count(
            "wqmon_exec_left_out_total",
            "Events that no program was run for, as too many ran.",
            ran.left_out,
        );
        let mut watches: Vec<_> = watches.collect();
        watches.sort_unstable();
        watches.dedup_by_key(|watch| watch.0);
        let help = "Whether it is watched, and not gone.";
        metric("wqmon_watched", "gauge", help, &mut |text| {
            for (watch, there) in &watches {
                let labels = labels(&[("watch", watch)]);
                let _ = writeln!(text, "wqmon_watched{labels} {}", u8::from(*there));
            }
        });
        text
    }
}

fn labels(labels: &[(&str, &str)]) -> String {
    let escape = |value: &str| {
        value
            .replace('\\', r"\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n")
    };
    let labels = labels
        .iter()
        .map(|(name, value)| format!("{name}=\"{}\"", escape(value)));
    format!("{{{}}}", labels.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_is_as_prometheus_reads_it() {
        let mut metrics = Metrics::new(Path::new("x.prom"));
        let time = UNIX_EPOCH + Duration::from_millis(1500);
        let key = |watch: &str| (watch.to_owned(), "block".to_owned(), "io");
        metrics.events.insert(key("a\"b\\"), (3, time));
        metrics.lost(7);
        let counts = Counts {
            started: 1,
            failed: 2,
            left_out: 3,
        };
        let text = metrics.text([("disk", false), ("all", true)].into_iter(), counts);
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            lines,
            [
                r#"wqmon_events_total{watch="a\"b\\",type="block",event="io"} 3"#,
                r#"wqmon_last_event_timestamp_seconds{watch="a\"b\\",type="block",event="io"} 1.500"#,
                "wqmon_lost_total 7",
                "wqmon_exec_total 1",
                "wqmon_exec_failed_total 2",
                "wqmon_exec_left_out_total 3",
                r#"wqmon_watched{watch="all"} 1"#,
                r#"wqmon_watched{watch="disk"} 0"#,
            ]
        );
        assert_eq!(
            text.matches("# TYPE ").count(),
            text.matches("# HELP ").count()
        );
    }

    #[test]
    fn file_is_replaced_at_once() {
        let path = std::env::temp_dir().join(format!("wqmon-{}.prom", std::process::id()));
        let mut metrics = Metrics::new(&path);
        assert_eq!(metrics.due(), Some(Duration::ZERO));
        let start = Instant::now();
        metrics.write([].into_iter(), Counts::default()).unwrap();
        assert_eq!(metrics.due(), None);
        metrics.lost(1);
        assert!(metrics.due().unwrap() + start.elapsed() >= PAUSE);
        assert!(fs::read_to_string(&path)
            .unwrap()
            .contains("wqmon_lost_total 0"));
        fs::remove_file(&path).unwrap();
    }
}

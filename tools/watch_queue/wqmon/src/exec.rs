// SPDX-License-Identifier: GPL-2.0

//! Programs that are run for events.

use std::{
    collections::VecDeque,
    io::{self, Write},
    process::{Child, Command, Stdio},
};

use crate::{event::Seen, failure::say};

/// How many events wait for a program to end.
const BACKLOG: usize = 256;

/// One event for a program.
struct Job {
    json: String,
    variables: Vec<(&'static str, String)>,
    /// How many events before it were left out.
    left_out: u64,
}

/// Runs a shell command for each event, and not more at a time than it may.
pub(crate) struct Runner {
    command: String,
    at_most: usize,
    running: Vec<Child>,
    waiting: VecDeque<Job>,
    left_out: u64,
    pub(crate) counts: Counts,
}

/// What has been run so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) started: u64,
    pub(crate) failed: u64,
    pub(crate) left_out: u64,
}

impl Runner {
    pub(crate) fn new(command: String, at_most: u16) -> Self {
        Self {
            command,
            at_most: at_most.into(),
            running: Vec::new(),
            waiting: VecDeque::new(),
            left_out: 0,
            counts: Counts::default(),
        }
    }

    /// Runs the command for an event, now or when it is its turn.
    pub(crate) fn event(&mut self, seen: &Seen<'_>) {
        if self.waiting.len() >= BACKLOG {
            if self.left_out == 0 {
                say(format_args!(
                    "'{}' is too slow: leaving out events",
                    self.command
                ));
            }
            self.left_out += 1;
            self.counts.left_out += 1;
            return;
        }
        let fields = seen.fields();
        let text = |name: &str| Some(fields.get(name)?.as_str()?.to_owned());
        let mut variables = vec![
            ("WQMON_TIME", text("time").unwrap_or_default()),
            ("WQMON_WATCH", seen.watch.unwrap_or("-").to_owned()),
            ("WQMON_TYPE", seen.message.kind().to_string()),
            ("WQMON_EVENT", seen.name().to_owned()),
            ("WQMON_TEXT", seen.to_string()),
        ];
        let known = [
            ("WQMON_DEVNAME", seen.known.devname.clone()),
            ("WQMON_PATH", seen.known.path.clone()),
        ];
        variables.extend(
            known
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        self.waiting.push_back(Job {
            json: seen.json(),
            variables,
            left_out: std::mem::take(&mut self.left_out),
        });
        self.start();
    }

    /// Starts what there is room for.
    fn start(&mut self) {
        while self.running.len() < self.at_most {
            let Some(job) = self.waiting.pop_front() else {
                return;
            };
            if job.left_out > 0 {
                say(format_args!(
                    "'{}': left out {} events",
                    self.command, job.left_out
                ));
            }
            match spawn(&self.command, job) {
                Ok(child) => {
                    self.counts.started += 1;
                    self.running.push(child);
                }
                Err(error) => {
                    self.counts.failed += 1;
                    say(format_args!(
                        "cannot run '{}': {}",
                        self.command,
                        crate::failure::reason(&error)
                    ));
                }
            }
        }
    }

    /// Looks which of them have ended, and starts what waited for that.
    pub(crate) fn reap(&mut self) {
        let (command, counts) = (&self.command, &mut self.counts);
        self.running.retain_mut(|child| match child.try_wait() {
            Ok(None) => true,
            Ok(Some(status)) => {
                if !status.success() {
                    counts.failed += 1;
                    say(format_args!("'{command}': {status}"));
                }
                false
            }
            Err(_) => false,
        });
        self.start();
    }

    /// Whether something runs or waits.
    pub(crate) fn is_busy(&self) -> bool {
        !self.running.is_empty() || !self.waiting.is_empty()
    }

    /// Says what is not run any more, as this is the end.
    pub(crate) fn end(&mut self) {
        let left_out = self.left_out + self.waiting.len() as u64;
        if left_out > 0 {
            say(format_args!(
                "'{}': left out {left_out} events",
                self.command
            ));
            self.counts.left_out += self.waiting.len() as u64;
            self.waiting.clear();
            self.left_out = 0;
        }
    }
}

fn spawn(command: &str, job: Job) -> io::Result<Child> {
    let (read_end, mut write_end) = io::pipe()?;
    // A pipe has room for it, so that this does not wait.
    writeln!(write_end, "{}", job.json)?;
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", command]).stdin(Stdio::from(read_end));
    shell.envs(job.variables);
    shell.env("WQMON_LEFT_OUT", job.left_out.to_string());
    shell.spawn()
}

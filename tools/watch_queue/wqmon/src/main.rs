// SPDX-License-Identifier: GPL-2.0

//! Prints what happens to keys, mounts, file systems, disks and devices, from a notification
//! queue.

mod cli;
mod output;
mod target;

use clap::Parser;
use cli::Cli;
use output::Output;
use rustix::{
    event::{poll, PollFd, PollFlags, Timespec},
    io::Errno,
};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    low_level::pipe,
};
use std::{
    fmt,
    io::{self, ErrorKind, PipeReader},
    process::ExitCode,
    time::{Duration, Instant},
};
use watch_queue::{Error, Event, Filter, MetaEvent, Queue};

/// Room for all messages of a queue of 512, whatever their length.
const BUFFER_SIZE: usize = 1 << 16;

/// How many messages fit into a queue of a mainline kernel.
const MAINLINE_SIZE: usize = 512;

/// What is watched; its tag is its place in the list, from 1.
struct Watched {
    /// As it was named on the command line.
    name: String,
    gone: bool,
}

/// The place in the list of what has this tag; none for messages that are from no watch.
fn index_of(tag: u8) -> Option<usize> {
    usize::from(tag).checked_sub(1)
}

/// Why there is nothing more to print.
#[derive(PartialEq)]
enum End {
    Count,
    Gone,
    Signal,
    Timeout,
}

/// What is said before the end, if anything, and the exit code.
struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    fn new(message: impl fmt::Display) -> Self {
        Self {
            code: cli::EXIT_FAILURE,
            message: message.to_string(),
        }
    }

    /// Says what it was that failed.
    fn of(self, what: impl fmt::Display) -> Self {
        Self {
            message: format!("{what}: {}", self.message),
            ..self
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
            message: match std::error::Error::source(&error) {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            },
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == ErrorKind::BrokenPipe {
            // Who reads the output has seen enough.
            Self {
                code: cli::EXIT_SUCCESS,
                message: String::new(),
            }
        } else {
            Self::new(error)
        }
    }
}

struct Monitor<'a> {
    queue: &'a Queue,
    watched: Vec<Watched>,
    output: Output,
    buffer: Vec<u8>,
    /// How many events are still to be printed, if that was said.
    count: Option<u64>,
}

impl Monitor<'_> {
    /// Prints what is there, up to a buffer of it; returns its size in bytes, 0 if nothing was.
    fn print(&mut self) -> Result<usize, Failure> {
        let messages = match self.queue.read(&mut self.buffer) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock) => return Ok(0),
            Err(error) => return Err(Failure::new(format!("cannot read the queue: {error}"))),
            Ok(messages) => messages,
        };
        let size = messages.bytes().len();
        for message in messages {
            if self.count == Some(0) {
                break;
            }
            let message = message.map_err(Failure::new)?;
            let index = index_of(message.tag());
            let mut watched = index.and_then(|index| self.watched.get_mut(index));
            let name = watched.as_ref().map(|watched| watched.name.as_str());
            self.output.event(name, &message)?;
            if let (Event::Meta(MetaEvent::Removal { .. }), Some(watched)) =
                (message.event(), &mut watched)
            {
                watched.gone = true;
            }
            self.count = self.count.map(|count| count - 1);
        }
        self.output.flush()?;
        Ok(size)
    }

    fn end(&self) -> Option<End> {
        if self.count == Some(0) {
            Some(End::Count)
        } else if self.watched.iter().all(|watched| watched.gone) {
            Some(End::Gone)
        } else {
            None
        }
    }

    /// Prints what was in the queue when this was called, and a loss after it.
    fn print_rest(&mut self) -> Result<(), Failure> {
        let mut left = self.queue.readable_bytes()?;
        while self.end().is_none() {
            let size = self.print()? as u64;
            if size == 0 || size > left {
                break;
            }
            left -= size;
        }
        Ok(())
    }

    fn run(&mut self, signals: &PipeReader, deadline: Option<Instant>) -> Result<End, Failure> {
        // Mainline does not tell poll of a loss, so look again after each read.
        let mut again = true;
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let signalled = wait(
                self.queue,
                signals,
                if again { Some(Duration::ZERO) } else { left },
            )?;
            if signalled || left == Some(Duration::ZERO) {
                self.print_rest()?;
                let end = if signalled { End::Signal } else { End::Timeout };
                return Ok(self.end().unwrap_or(end));
            }
            again = self.print()? != 0;
            if let Some(end) = self.end() {
                return Ok(end);
            }
        }
    }
}

/// Waits until there is something to read; returns whether there was a signal.
fn wait(queue: &Queue, signals: &PipeReader, timeout: Option<Duration>) -> io::Result<bool> {
    let mut fds = [
        PollFd::new(queue, PollFlags::IN),
        PollFd::new(signals, PollFlags::IN),
    ];
    let timeout = timeout
        .map(Timespec::try_from)
        .transpose()
        .map_err(io::Error::other)?;
    match poll(&mut fds, timeout.as_ref()) {
        Ok(_) => Ok(!fds[1].revents().is_empty()),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn run(cli: Cli) -> Result<u8, Failure> {
    let (signals, signal_end) = io::pipe()?;
    pipe::register(SIGINT, signal_end.try_clone()?)?;
    pipe::register(SIGTERM, signal_end)?;

    let queue = Queue::new(cli.size).map_err(|error| {
        let too_large = matches!(error, Error::Os { .. }) && cli.size > MAINLINE_SIZE;
        let mut failure = Failure::from(error);
        if too_large {
            failure.message += &format!("; mainline has room for {MAINLINE_SIZE} messages");
        }
        failure
    })?;
    queue.set_nonblocking(true)?;
    let targets = cli.targets();
    if !cli.filter.is_empty() {
        let filter = Filter::new(cli.filter).map_err(Failure::new)?;
        queue.set_filter(&filter)?;
    }
    if cli.stats {
        // Who waits for them should not wait in vain.
        queue.stats()?;
    }

    let mut watched = Vec::new();
    for (index, target) in targets.iter().enumerate() {
        let name = target.to_string();
        let tag = u8::try_from(index + 1)
            .map_err(|_| Failure::new("more than 255 things cannot be watched"))?;
        let key = target
            .attach(&queue, tag)
            .map_err(|failure| failure.of(&name))?;
        match key {
            Some(key) => eprintln!("wqmon: watching {name} ({key})"),
            None => eprintln!("wqmon: watching {name}"),
        }
        watched.push(Watched { name, gone: false });
    }

    let name_width = watched
        .iter()
        .map(|watched| watched.name.chars().count())
        .max();
    let kind_width = targets
        .iter()
        .map(|target| target.kind().to_string().len())
        .max();
    let mut monitor = Monitor {
        queue: &queue,
        watched,
        output: Output::new(cli.json, name_width.unwrap_or(0), kind_width.unwrap_or(0)),
        buffer: vec![0; BUFFER_SIZE],
        count: cli.count,
    };
    let deadline = cli.timeout.map(|timeout| Instant::now() + timeout);
    let end = monitor.run(&signals, deadline)?;
    if cli.stats {
        let watched = |tag| monitor.watched.get(index_of(tag)?);
        let name = |tag| watched(tag).map_or("?", |watched| &watched.name);
        monitor.output.stats(&queue.stats()?, name)?;
    }
    Ok(match end {
        End::Count | End::Signal => cli::EXIT_SUCCESS,
        End::Gone | End::Timeout if cli.count.is_none() => cli::EXIT_SUCCESS,
        End::Gone | End::Timeout => cli::EXIT_TOO_FEW,
    })
}

fn main() -> ExitCode {
    let code = run(Cli::parse()).unwrap_or_else(|Failure { code, message }| {
        if !message.is_empty() {
            eprintln!("wqmon: {message}");
        }
        code
    });
    ExitCode::from(code)
}

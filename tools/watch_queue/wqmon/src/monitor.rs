// SPDX-License-Identifier: GPL-2.0

//! The loop: from the queue to where events go.

use rustix::{
    event::{poll, PollFd, PollFlags, Timespec},
    fs::{fcntl_setfl, OFlags},
    io::Errno,
    termios::isatty,
};
use sd_notify::NotifyState;
use signal_hook::{
    consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM},
    flag,
    low_level::pipe,
};
use std::{
    io::{self, ErrorKind, PipeReader, Read},
    os::fd::AsFd,
    path::PathBuf,
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
    time::{Duration, Instant, SystemTime},
};
use watch_queue::{Error, Event, Filter, Message, Messages, MetaEvent, MountChange, Queue};

use crate::{
    cli::{self, MonitorArgs, When},
    config::{Config, Kind, Run},
    event::{Known, Seen},
    exec::{Counts, Runner},
    failure::{reason, say, Failure},
    journal::Journal,
    metrics::Metrics,
    names::Names,
    output::{Output, Style, Written},
    watches::{Role, Watches},
};

/// Room for all messages of a queue of 512, whatever their length.
const BUFFER_SIZE: usize = 1 << 16;

/// How many messages fit into a queue of a mainline kernel.
const MAINLINE_SIZE: usize = 512;

/// How often a service looks whether what was gone is there again.
const RETRY: Duration = Duration::from_secs(5);

/// Why there is nothing more to print.
#[derive(Debug, PartialEq)]
enum End {
    Count,
    Gone,
    Signal,
    Timeout,
}

/// What signals ask for.
struct Signals {
    pipe: PipeReader,
    end: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
    child: Arc<AtomicBool>,
}

impl Signals {
    fn new(with_reload: bool) -> io::Result<Self> {
        let (read_end, write_end) = io::pipe()?;
        fcntl_setfl(&read_end, OFlags::NONBLOCK)?;
        let signals = Self {
            pipe: read_end,
            end: Arc::default(),
            reload: Arc::default(),
            child: Arc::default(),
        };
        let mut of = vec![
            (SIGINT, &signals.end),
            (SIGTERM, &signals.end),
            (SIGCHLD, &signals.child),
        ];
        if with_reload {
            of.push((SIGHUP, &signals.reload));
        }
        for (signal, flag) in of {
            // The flag first: it has to be there when the pipe wakes up who waits.
            flag::register(signal, Arc::clone(flag))?;
            pipe::register(signal, write_end.try_clone()?)?;
        }
        Ok(signals)
    }

    fn clear(&self) {
        let _ = (&self.pipe).read(&mut [0; 64]);
    }

    fn is_end(&self) -> bool {
        self.end.load(Ordering::Relaxed)
    }
}

/// A command, and what is run of it.
struct Action {
    run: Run,
    runner: Runner,
    /// It is not in the configuration any more.
    retired: bool,
}

impl Action {
    fn new(run: Run) -> Self {
        Self {
            runner: Runner::new(run.command.clone(), run.jobs),
            run,
            retired: false,
        }
    }

    fn event(&mut self, seen: &Seen<'_>) {
        let run = &self.run;
        let is_on = run.on.is_empty() || run.on.iter().any(|rule| rule.accepts(seen.message));
        let is_of = run
            .watch
            .as_deref()
            .is_none_or(|watch| seen.watch == Some(watch));
        if is_on && is_of && !self.retired {
            self.runner.event(seen);
        }
    }
}

struct Monitor {
    queue: Queue,
    signals: Signals,
    watches: Watches,
    names: Names,
    output: Output,
    journal: Option<Journal>,
    actions: Vec<Action>,
    metrics: Option<Metrics>,
    buffer: Vec<u8>,
    /// How many events are still to be printed, if that was said.
    count: Option<u64>,
    deadline: Option<Instant>,
    /// There were losses, and the queue has not been empty since.
    lossy: bool,
    /// The file to read again, of a service.
    config: Option<PathBuf>,
    arguments: MonitorArgs,
    watchdog: Option<Duration>,
    retried: Instant,
}

/// What is done with one message, and with what.
struct Sinks<'a> {
    output: &'a mut Output,
    journal: &'a mut Option<Journal>,
    actions: &'a mut [Action],
    metrics: &'a mut Option<Metrics>,
}

impl Sinks<'_> {
    fn event(&mut self, seen: &Seen<'_>) {
        self.output.event(seen);
        if let Some(journal) = self.journal {
            if let Err(error) = journal.event(seen) {
                say(format_args!(
                    "cannot write to the journal: {}",
                    reason(&error)
                ));
                // It has been started again, perhaps.
                *self.journal = Journal::open().ok();
            }
        }
        for action in self.actions.iter_mut() {
            action.event(seen);
        }
        if let Some(metrics) = self.metrics {
            metrics.event(seen);
        }
    }
}

impl Monitor {
    /// Prints what is there, up to a buffer of it; returns its size in bytes, 0 if nothing was.
    fn print(&mut self) -> Result<usize, Failure> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = self.print_into(&mut buffer);
        self.buffer = buffer;
        let size = result?;
        self.flush()?;
        Ok(size)
    }

    fn print_into(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        let messages = match self.queue.read(buffer) {
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                return Ok(0)
            }
            Err(error) => return Err(Failure::of_error("cannot read the queue", &error)),
            Ok(messages) => messages,
        };
        let size = messages.bytes().len();
        let time = SystemTime::now();
        for message in messages {
            if self.count == Some(0) {
                break;
            }
            self.message(message.map_err(Failure::new)?, time, false);
        }
        Ok(size)
    }

    /// Has one message go where events go.
    fn message(&mut self, message: Message<'_>, time: SystemTime, unseen: bool) {
        let event = message.event();
        if let Event::Meta(MetaEvent::Loss { lost, .. }) = event {
            self.lossy = true;
            if let Some(metrics) = &mut self.metrics {
                metrics.lost(lost.at_least().into());
            }
        }
        let role = self.watches.take(&message);
        let path = self.watches.forget_file_system(&message);
        let mount = match &event {
            Event::Mount(event) => self.names.mount(event),
            _ => None,
        };
        if let (Event::Mount(event), Some(mount)) = (&event, &mount) {
            if matches!(event.change, MountChange::Attached | MountChange::MovedTo) {
                self.watches.file_system(mount, &self.queue);
            }
        }
        if role == Role::Internal {
            return;
        }
        let mut known = Known::of_event(&event, mount.as_ref(), &mut self.names);
        known.unseen = unseen;
        known.path = path.or(known.path);
        let entry = self.watches.get(message.tag());
        let seen = Seen {
            time,
            watch: entry.map(|entry| &*entry.spec.name),
            message,
            event,
            known,
        };
        Sinks {
            output: &mut self.output,
            journal: &mut self.journal,
            actions: &mut self.actions,
            metrics: &mut self.metrics,
        }
        .event(&seen);
        self.count = self.count.map(|count| count - 1);
    }

    /// Writes what is to be printed, and waits until that is done or a signal comes.
    fn flush(&mut self) -> Result<(), Failure> {
        while self.output.write().map_err(Failure::of_output)? == Written::Later {
            let left = self.left();
            if self.signals.is_end() || left == Some(Duration::ZERO) {
                return Err(Failure::early_end(format_args!(
                    "{} bytes of output were not written",
                    self.output.pending()
                )));
            }
            let stdout = io::stdout();
            let mut fds = [
                PollFd::from_borrowed_fd(stdout.as_fd(), PollFlags::OUT),
                PollFd::new(&self.signals.pipe, PollFlags::IN),
            ];
            wait(&mut fds, least([left, self.watchdog]))?;
            if !fds[1].revents().is_empty() {
                self.signals.clear();
            }
            self.reap();
            self.feed_watchdog();
        }
        Ok(())
    }

    fn left(&self) -> Option<Duration> {
        let deadline = self.deadline?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    fn end(&self) -> Option<End> {
        if self.count == Some(0) {
            Some(End::Count)
        } else if self.config.is_none() && self.watches.all_gone() {
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

    /// Finds out what is so after messages were lost.
    fn after_loss(&mut self) -> Result<(), Failure> {
        self.lossy = false;
        let ended = self.watches.ended(&self.queue);
        // A removal that was not lost is in the queue by now.
        self.print_rest()?;
        for end in ended {
            if !self.watches.knows_end(&end) && self.count != Some(0) {
                let removal = end.removal();
                if let Some(Ok(message)) = Messages::new(&removal).next() {
                    self.message(message, SystemTime::now(), true);
                }
            }
        }
        self.names.after_loss();
        self.watch_file_systems();
        self.flush()
    }

    /// Watches the file systems that are there, if all are to be watched.
    fn watch_file_systems(&mut self) {
        for mount in self.names.mounts_on_disks() {
            self.watches.file_system(&mount, &self.queue);
        }
    }

    fn reap(&mut self) {
        if self.signals.child.swap(false, Ordering::Relaxed) {
            for action in &mut self.actions {
                action.runner.reap();
            }
            self.actions
                .retain(|action| !action.retired || action.runner.is_busy());
            if let Some(metrics) = self.metrics.as_mut().filter(|_| !self.actions.is_empty()) {
                metrics.touch();
            }
        }
    }

    fn feed_watchdog(&self) {
        if self.watchdog.is_some() {
            let _ = sd_notify::notify(false, &[NotifyState::Watchdog]);
        }
    }

    fn write_metrics(&mut self) {
        let ran = self.actions.iter().fold(Counts::default(), |sum, action| {
            let counts = action.runner.counts;
            Counts {
                started: sum.started + counts.started,
                failed: sum.failed + counts.failed,
                left_out: sum.left_out + counts.left_out,
            }
        });
        let shown = self.watches.shown();
        let watched = shown.map(|entry| (&*entry.spec.name, !entry.gone));
        if let Some(metrics) = &mut self.metrics {
            if let Err(error) = metrics.write(watched, ran) {
                say(format_args!("cannot write the counts: {}", reason(&error)));
            }
        }
    }

    /// Makes what a configuration says of output and commands so.
    fn configure(&mut self, config: &Config) {
        let arguments = &self.arguments;
        self.output.style = match (config.output, &arguments.format) {
            (Kind::None | Kind::Journal, _) => Style::None,
            (Kind::Json, _) => Style::Json,
            (Kind::Text, Some(format)) => Style::Format {
                format: format.clone(),
                time: arguments.time,
            },
            (Kind::Text, None) => Style::Text {
                time: arguments.time,
                colour: match arguments.color {
                    When::Always => true,
                    When::Never => false,
                    When::Auto => {
                        isatty(io::stdout())
                            && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                    }
                },
            },
        };
        self.journal = None;
        if config.output == Kind::Journal {
            match Journal::open() {
                Ok(journal) => self.journal = Some(journal),
                Err(error) => say(format_args!("there is no journal: {}", reason(&error))),
            }
        }
        for action in &mut self.actions {
            action.retired = !config.runs.contains(&action.run);
        }
        for run in &config.runs {
            if !self.actions.iter().any(|action| action.run == *run) {
                self.actions.push(Action::new(run.clone()));
            }
        }
        self.metrics = match (self.metrics.take(), &config.textfile) {
            (Some(metrics), Some(path)) if metrics.is_at(path) => Some(metrics),
            (_, path) => path.as_deref().map(Metrics::new),
        };
    }

    /// What is watched has changed: columns and names have to be right for it.
    fn settle(&mut self) {
        let shown = self.watches.shown();
        self.output.fit(shown.map(|entry| {
            let spec = &entry.spec;
            (&*spec.name, spec.target.kind().to_string().len())
        }));
        self.names.seed(self.watches.targets());
        self.watch_file_systems();
        if self.arguments.quiet == 0 {
            self.watches.announce();
        }
        if let Some(metrics) = &mut self.metrics {
            metrics.touch();
        }
    }

    fn reload(&mut self) {
        let Some(path) = &self.config else { return };
        let mut states = vec![NotifyState::Reloading];
        states.extend(NotifyState::monotonic_usec_now().ok());
        let _ = sd_notify::notify(false, &states);
        match Config::read(path) {
            // What was so before stays so.
            Err(failure) => say(failure.message),
            Ok(config) => {
                self.configure(&config);
                if let Err(failure) = self.watches.reload(config.watches, &self.queue) {
                    say(failure.message);
                }
                self.settle();
                say("configuration read again");
            }
        }
        let _ = sd_notify::notify(false, &[NotifyState::Ready]);
    }

    fn run(&mut self) -> Result<End, Failure> {
        // Mainline does not tell poll of a loss, so look again after each read.
        let mut again = true;
        loop {
            if self.metrics.as_ref().and_then(Metrics::due) == Some(Duration::ZERO) {
                self.write_metrics();
            }
            if self.config.is_some()
                && self.watches.may_come_back()
                && self.retried.elapsed() >= RETRY
            {
                self.retried = Instant::now();
                if self.watches.retry(&self.queue) {
                    self.settle();
                }
            }
            let left = self.left();
            self.wait(if again { Some(Duration::ZERO) } else { left })?;
            self.feed_watchdog();
            self.reap();
            if self.signals.reload.swap(false, Ordering::Relaxed) {
                self.print_rest()?;
                self.reload();
            }
            if self.signals.is_end() || left == Some(Duration::ZERO) {
                let end = if self.signals.is_end() {
                    End::Signal
                } else {
                    End::Timeout
                };
                self.print_rest()?;
                return Ok(self.end().unwrap_or(end));
            }
            again = self.print()? != 0;
            if !again && self.lossy {
                self.after_loss()?;
            }
            if let Some(end) = self.end() {
                return Ok(end);
            }
        }
    }

    /// Waits until there is something to read, a signal, or nobody reads the output any more.
    fn wait(&self, timeout: Option<Duration>) -> Result<(), Failure> {
        let retry = (self.config.is_some() && self.watches.may_come_back()).then_some(RETRY);
        let due = self.metrics.as_ref().and_then(Metrics::due);
        let stdout = io::stdout();
        let mut fds = [
            PollFd::new(&self.queue, PollFlags::IN),
            PollFd::new(&self.signals.pipe, PollFlags::IN),
            PollFd::from_borrowed_fd(stdout.as_fd(), PollFlags::empty()),
        ];
        wait(&mut fds, least([timeout, due, retry, self.watchdog]))?;
        if !fds[1].revents().is_empty() {
            self.signals.clear();
        }
        if !fds[2].revents().is_empty() && self.output.style != Style::None {
            return Err(Failure::nobody_reads());
        }
        Ok(())
    }

    /// Waits for programs that run or are still to be run, but no longer than until a signal.
    fn wait_for_programs(&mut self) -> Result<(), Failure> {
        while self.actions.iter().any(|action| action.runner.is_busy()) && !self.signals.is_end() {
            let mut fds = [PollFd::new(&self.signals.pipe, PollFlags::IN)];
            wait(&mut fds, None)?;
            self.signals.clear();
            self.reap();
        }
        for action in &mut self.actions {
            action.runner.end();
        }
        Ok(())
    }
}

fn least<const N: usize>(timeouts: [Option<Duration>; N]) -> Option<Duration> {
    timeouts.into_iter().flatten().min()
}

fn wait(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> Result<(), Failure> {
    let timeout = timeout
        .map(Timespec::try_from)
        .transpose()
        .map_err(|_| Failure::new("that is too long to wait for"))?;
    match poll(fds, timeout.as_ref()) {
        Ok(_) => Ok(()),
        Err(Errno::INTR) => {
            // poll() has not said anything of them.
            fds.iter_mut().for_each(PollFd::clear_revents);
            Ok(())
        }
        Err(error) => Err(Failure::of_error(
            "cannot wait for events",
            &io::Error::from(error),
        )),
    }
}

/// Makes a queue of this size that does not wait.
pub(crate) fn new_queue(size: usize) -> Result<Queue, Failure> {
    let queue = Queue::new(size).map_err(|error| {
        let too_large = matches!(error, Error::Os { .. }) && size > MAINLINE_SIZE;
        let mut failure = Failure::from(error);
        if too_large {
            failure.message += &format!("; mainline has room for {MAINLINE_SIZE} messages");
        }
        failure
    })?;
    queue.set_nonblocking(true)?;
    Ok(queue)
}

pub(crate) fn run(arguments: MonitorArgs) -> Result<u8, Failure> {
    let signals = Signals::new(arguments.config.is_some())
        .map_err(|error| Failure::of_error("cannot prepare for signals", &error))?;
    let config = match &arguments.config {
        Some(path) => Config::read(path)?,
        None => Config::of_arguments(&arguments),
    };
    let queue = new_queue(config.size)?;
    if arguments.stats {
        // Whoever waits for them should not wait in vain.
        queue.stats()?;
    }
    let mut watches = Watches::default();
    watches.rules.clone_from(&arguments.watch.filter);
    if !watches.rules.is_empty() {
        Filter::new(watches.rules.iter().copied()).map_err(Failure::new)?;
    }
    watches.set_filter(&queue)?;
    for spec in &config.watches {
        if arguments.config.is_some() {
            watches.attach_or_wait(spec.clone(), &queue)?;
        } else {
            watches.attach(spec.clone(), &queue)?;
        }
    }
    watches.set_filter(&queue)?;

    let mut watchdog = 0;
    let mut monitor = Monitor {
        queue,
        signals,
        watches,
        names: Names::default(),
        output: Output::new(Style::None),
        journal: None,
        actions: Vec::new(),
        metrics: None,
        buffer: vec![0; BUFFER_SIZE],
        count: arguments.count,
        deadline: arguments.timeout.map(|timeout| Instant::now() + timeout),
        lossy: false,
        config: arguments.config.clone(),
        watchdog: sd_notify::watchdog_enabled(false, &mut watchdog)
            .then(|| Duration::from_micros(watchdog / 2)),
        arguments,
        retried: Instant::now(),
    };
    monitor.configure(&config);
    monitor.settle();
    let _ = sd_notify::notify(false, &[NotifyState::Ready]);

    let end = monitor.run()?;
    let _ = sd_notify::notify(false, &[NotifyState::Stopping]);
    monitor.wait_for_programs()?;
    monitor.write_metrics();
    if monitor.arguments.stats {
        let watches = &monitor.watches;
        let name = |tag| watches.get(tag).map_or("?", |entry| &entry.spec.name);
        monitor.output.stats(&monitor.queue.stats()?, name);
        monitor.flush()?;
    }
    Ok(match end {
        End::Count | End::Signal => cli::EXIT_SUCCESS,
        End::Gone | End::Timeout if monitor.arguments.count.is_none() => cli::EXIT_SUCCESS,
        End::Gone | End::Timeout => cli::EXIT_TOO_FEW,
    })
}

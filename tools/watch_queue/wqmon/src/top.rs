// SPDX-License-Identifier: GPL-2.0

//! `wqmon top`: a live screen.

use ratatui::{
    crossterm::event::{self as terminal, Event as Input, KeyCode, KeyModifiers},
    layout::{Constraint, Layout},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Cell, Row, Table},
    Frame,
};
use rustix::termios::isatty;
use signal_hook::{
    consts::{SIGHUP, SIGTERM},
    flag,
};
use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, ErrorKind},
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
    time::{Duration, Instant, SystemTime},
};
use watch_queue::{Event, Filter, MetaEvent, Queue};

use crate::{
    cli::{self, TopArgs},
    event::{Known, Mood, Seen, Shown},
    failure::Failure,
    monitor::new_queue,
    names::Names,
    target::Target,
    watches::{Role, Spec, Watches},
};

/// How often the screen is drawn.
const FRAME: Duration = Duration::from_millis(250);

/// Over how many frames events a second are counted.
const WINDOW: usize = 8;

/// What is known of one object, or of what has no object.
struct RowOf {
    kind: String,
    object: String,
    events: u64,
    /// Events in the latest frames.
    recent: VecDeque<u64>,
    now: u64,
    last: String,
    mood: Mood,
    when: Instant,
}

struct Screen {
    rows: BTreeMap<(usize, String), RowOf>,
    lost: u64,
    events: u64,
    start: Instant,
    size: usize,
}

impl Screen {
    fn event(&mut self, seen: &Seen<'_>, index: usize) {
        if let Event::Meta(MetaEvent::Loss { lost, .. }) = seen.event {
            self.lost += u64::from(lost.at_least());
            return;
        }
        let known = &seen.known;
        let object = match (&seen.event, &known.path, &known.devname) {
            (Event::Block(_), _, Some(device)) => device.clone(),
            (Event::Superblock(_) | Event::Mount(_), Some(path), _) => path.clone(),
            (Event::Device(device), ..) => device.name.to_string(),
            _ => seen.watch.unwrap_or("-").to_owned(),
        };
        self.events += 1;
        let row = self
            .rows
            .entry((index, object.clone()))
            .or_insert_with(|| RowOf {
                kind: seen.message.kind().to_string(),
                object,
                events: 0,
                recent: VecDeque::from([0; WINDOW]),
                now: 0,
                last: String::new(),
                mood: Mood::Plain,
                when: Instant::now(),
            });
        row.events += 1;
        row.now += 1;
        row.last = format!("{} {seen}", seen.name());
        (row.mood, row.when) = (seen.mood(), Instant::now());
    }

    /// Another frame is over.
    fn tick(&mut self) {
        for row in self.rows.values_mut() {
            row.recent.pop_front();
            row.recent.push_back(std::mem::take(&mut row.now));
        }
    }

    fn draw(&self, frame: &mut Frame<'_>, watches: &Watches) {
        let [head, body, foot] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Min(3),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let lost = match self.lost {
            0 => Style::new(),
            _ => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
        };
        let up = self.start.elapsed().as_secs();
        frame.render_widget(
            Line::from(vec![
                Span::styled("wqmon top", bold),
                Span::raw(format!("  up {}", duration(up))),
                Span::raw(format!("  events {}", self.events)),
                Span::styled(format!("  lost {}", self.lost), lost),
                Span::raw(format!("  queue {}", self.size)),
            ]),
            head,
        );

        let names: Vec<_> = watches.shown().collect();
        let mut rows = Vec::new();
        for (index, entry) in names.iter().enumerate() {
            let name = Shown(&entry.spec.name).to_string();
            let of_it = || {
                self.rows
                    .range((index, String::new())..(index + 1, String::new()))
            };
            if of_it().next().is_none() {
                let state = if entry.gone { "gone" } else { "nothing yet" };
                let kind = entry.spec.target.kind().to_string();
                let plain = ["", "0", "", "", state].map(str::to_owned);
                let cells = [name.clone(), kind].into_iter().chain(plain);
                let dim = Style::new().add_modifier(Modifier::DIM);
                rows.push(Row::new(cells.map(Cell::from)).style(dim));
            }
            for (_, row) in of_it() {
                let seconds = FRAME.as_secs_f64() * WINDOW as f64;
                let rate = row.recent.iter().sum::<u64>() as f64 / seconds;
                let cells = [
                    name.clone(),
                    row.kind.clone(),
                    Shown(&row.object).to_string(),
                    row.events.to_string(),
                    format!("{rate:.1}"),
                    duration(row.when.elapsed().as_secs()),
                ];
                let last = Cell::from(row.last.clone()).style(match row.mood {
                    Mood::Bad => Style::new().fg(Color::Red).add_modifier(Modifier::BOLD),
                    Mood::Warning => Style::new().fg(Color::Yellow),
                    Mood::Comes => Style::new().fg(Color::Green),
                    Mood::Goes => Style::new().fg(Color::Cyan),
                    Mood::Plain => Style::new(),
                });
                rows.push(Row::new(cells.into_iter().map(Cell::from).chain([last])));
            }
        }
        let widest = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0) as u16;
        let watch = widest(&mut names.iter().map(|entry| entry.spec.name.chars().count()));
        let object = widest(&mut self.rows.values().map(|row| row.object.chars().count()));
        let widths = [
            Constraint::Length(watch.clamp(5, 24)),
            Constraint::Length(10),
            Constraint::Length(object.clamp(6, 24)),
            Constraint::Length(8),
            Constraint::Length(8),
            Constraint::Length(6),
            Constraint::Fill(1),
        ];
        let header = [
            "WATCH",
            "TYPE",
            "OBJECT",
            "EVENTS",
            "EVENTS/S",
            "AGO",
            "LAST EVENT",
        ];
        let header = Row::new(header).style(Style::new().add_modifier(Modifier::REVERSED));
        let table = Table::new(rows, widths).header(header).block(Block::new());
        frame.render_widget(table, body);
        frame.render_widget(Line::from("q ends, r starts the counts again"), foot);
    }
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// Reads all that is in the queue.
fn read(
    queue: &Queue,
    buffer: &mut [u8],
    watches: &mut Watches,
    names: &mut Names,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let mut lossy = false;
    // As much as is there at a time, so that a storm does not keep the screen from being drawn
    for _ in 0..16 {
        let messages = match queue.read(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(Failure::of_error("cannot read the queue", &error)),
            Ok(messages) => messages,
        };
        for message in messages {
            let message = message.map_err(Failure::new)?;
            let event = message.event();
            lossy |= matches!(event, Event::Meta(MetaEvent::Loss { .. }));
            let mount = match &event {
                Event::Mount(event) => names.mount(event),
                _ => None,
            };
            if let Some(mount) = &mount {
                watches.file_system(mount, queue);
            }
            let role = watches.take(&message);
            let path = watches.forget_file_system(&message);
            if role == Role::Internal {
                continue;
            }
            let mut known = Known::of_event(&event, mount.as_ref(), names);
            known.path = path.or(known.path);
            let tag = message.tag();
            let entry = watches.get(tag);
            screen.event(
                &Seen {
                    time: SystemTime::now(),
                    watch: entry.map(|entry| &*entry.spec.name),
                    message,
                    event,
                    known,
                },
                usize::from(tag).saturating_sub(1),
            );
        }
    }
    if lossy {
        for end in watches.ended(queue) {
            watches.set_ended(&end);
        }
        names.after_loss();
    }
    Ok(())
}

pub(crate) fn run(arguments: TopArgs) -> Result<u8, Failure> {
    if !isatty(io::stdout()) || !isatty(io::stdin()) {
        return Err(Failure::new("top needs a terminal"));
    }
    let arguments = arguments.watch;
    let queue = new_queue(arguments.size)?;
    let mut watches = Watches::default();
    watches.rules.clone_from(&arguments.filter);
    if !watches.rules.is_empty() {
        Filter::new(watches.rules.iter().copied()).map_err(Failure::new)?;
    }
    for target in arguments.targets() {
        let spec = Spec {
            name: Target::to_string(&target),
            target,
            rules: Vec::new(),
        };
        watches.attach(spec, &queue)?;
    }
    watches.set_filter(&queue)?;
    let mut names = Names::default();
    names.seed(watches.targets());
    for mount in names.mounts_on_disks() {
        watches.file_system(&mount, &queue);
    }
    let new_screen = || Screen {
        rows: BTreeMap::new(),
        lost: 0,
        events: 0,
        start: Instant::now(),
        size: queue
            .stats()
            .map_or(arguments.size, |stats| stats.size as usize),
    };
    let mut screen = new_screen();
    let mut buffer = vec![0; 1 << 16];

    // So that the terminal is as it was before
    let ended = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGHUP] {
        flag::register(signal, Arc::clone(&ended))?;
    }
    let mut terminal = ratatui::try_init()?;
    let mut step = || -> Result<bool, Failure> {
        let next = Instant::now() + FRAME;
        terminal.draw(|frame| screen.draw(frame, &watches))?;
        loop {
            read(&queue, &mut buffer, &mut watches, &mut names, &mut screen)?;
            if ended.load(Ordering::Relaxed) {
                return Ok(false);
            }
            let left = next.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            // The queue may be small: look at it often.
            if !terminal::poll(left.min(Duration::from_millis(20)))? {
                continue;
            }
            if let Input::Key(key) = terminal::read()? {
                let control = key.modifiers.contains(KeyModifiers::CONTROL);
                match key.code {
                    KeyCode::Char('q') | KeyCode::Esc => return Ok(false),
                    KeyCode::Char('c') if control => return Ok(false),
                    KeyCode::Char('r') => screen = new_screen(),
                    _ => {}
                }
            }
        }
        screen.tick();
        Ok(true)
    };
    let result = loop {
        match step() {
            Ok(true) => {}
            Ok(false) => break Ok(cli::EXIT_SUCCESS),
            Err(failure) => break Err(failure),
        }
    };
    ratatui::restore();
    result
}

// SPDX-License-Identifier: GPL-2.0

//! Two threads that run programs, and one that sees to it that they end.

use crate::{
    fail, log,
    program::{Program, Thread},
    run::{calls_of, Lane, Step, World},
};
use std::{
    fs, io,
    sync::{
        atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst},
        Arc, Mutex,
    },
    thread,
    time::{Duration, Instant},
};

pub struct Team {
    pub world: &'static World,
    first: Lane,
    second: &'static Second,
    thread: thread::Thread,
}

/// The second thread
struct Second {
    program: Mutex<Option<Arc<Program>>>,
    /// The number of programs that it was given, has begun and has ended
    given: AtomicU64,
    begun: AtomicU64,
    ended: AtomicU64,
    trace: Mutex<Vec<Step>>,
}

impl Second {
    fn run(&self, world: &World, lane: &mut Lane) {
        let mut nr = 0;
        loop {
            let mut patience = 100;
            while self.given.load(SeqCst) == nr {
                if patience > 0 {
                    patience -= 1;
                    thread::yield_now();
                } else {
                    thread::park();
                }
            }
            nr += 1;
            let program = self.program.lock().expect("nobody panics with it").clone();
            if let Some(program) = program {
                lane.begin();
                self.begun.store(nr, SeqCst);
                lane.run(world, calls_of(&program, true));
                lane.come_back(world);
                self.trace
                    .lock()
                    .expect("nobody panics with it")
                    .clone_from(&lane.trace);
            }
            self.ended.store(nr, SeqCst);
        }
    }
}

/// The result of a program
pub struct Outcome {
    /// A description of the fault, if there was one
    pub fault: Option<String>,
    /// The points that it has passed
    pub trace: Vec<Step>,
}

impl Team {
    pub fn new(has_coverage: bool) -> io::Result<Self> {
        fail::handle_signals();
        // Its own mounts, before there are other threads
        sys!(SYS_unshare, libc::CLONE_NEWNS);
        let world: &World = Box::leak(Box::new(World::new()));
        let second: &Second = Box::leak(Box::new(Second {
            program: Mutex::default(),
            given: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            trace: Mutex::default(),
        }));
        let handle = thread::spawn(move || {
            let lane = Lane::new(world, 1, has_coverage);
            second.ended.store(u64::MAX, SeqCst);
            match lane {
                Ok(mut lane) => second.run(world, &mut lane),
                Err(error) => println!("# fuzz-kernel: the second thread: {error}"),
            }
        });
        while second.ended.load(SeqCst) != u64::MAX {
            thread::yield_now();
        }
        second.ended.store(0, SeqCst);
        let first = Lane::new(world, 0, has_coverage)?;
        thread::spawn(move || watch(world));
        Ok(Self {
            world,
            first,
            second,
            thread: handle.thread().clone(),
        })
    }

    pub fn run(&mut self, program: &Program) -> Outcome {
        let Self {
            world,
            first,
            second,
            thread,
        } = self;
        world.begin(program);
        first.begin();
        let parallel = program.parallel_from();
        let alone = program.calls.iter().enumerate().take(parallel);
        first.run(world, alone);
        let has_second = program.calls.iter().any(|call| call.thread == Thread::B);
        let mut trace = Vec::new();
        if has_second {
            *second.program.lock().expect("nobody panics with it") =
                Some(Arc::new(program.clone()));
            let nr = second.given.fetch_add(1, SeqCst) + 1;
            thread.unpark();
            while second.begun.load(SeqCst) != nr {
                std::hint::spin_loop();
                thread::yield_now();
            }
            first.run(world, calls_of(program, false));
            first.come_back(world);
            let mut patience = 1000;
            while second.ended.load(SeqCst) != nr {
                if patience > 0 {
                    patience -= 1;
                    thread::yield_now();
                } else {
                    thread::sleep(Duration::from_micros(200));
                }
            }
            trace.clone_from(&second.trace.lock().expect("nobody panics with it"));
        } else {
            first.run(world, calls_of(program, false));
            first.come_back(world);
        }
        let fault = world.end(first);
        trace.extend_from_slice(&first.trace);
        Outcome { fault, trace }
    }
}

const TICK: Duration = Duration::from_millis(2);
/// The time after which something is done for a call that waits, and again each time
const LONG: Duration = Duration::from_millis(40);
/// The time after which it will never end, even where the host is busy
const FOREVER: Duration = Duration::from_secs(60);

/// A call that is running, and how long it has been
struct Watched {
    calls: u64,
    since: Instant,
    rescues: u32,
}

impl Watched {
    fn new(calls: u64) -> Self {
        Self {
            calls,
            since: Instant::now(),
            rescues: 0,
        }
    }
}

/// Interrupts calls that take long.
fn watch(world: &World) {
    // Only tasks that share their directories with no other change their namespace.
    sys!(SYS_unshare, libc::CLONE_FS);
    let mut watched = [0; 2].map(Watched::new);
    loop {
        thread::sleep(TICK);
        for (progress, watched) in world.lanes.iter().zip(&mut watched) {
            let calls = progress.calls.load(SeqCst);
            if !progress.busy.load(SeqCst) || calls != watched.calls {
                *watched = Watched::new(calls);
            }
        }
        // Whether a thread does something that another may wait for
        let goes_on = [0, 1].map(|n: usize| {
            let progress = &world.lanes[n];
            let is_new = watched[n].since.elapsed() < TICK;
            progress.busy.load(SeqCst) && (is_new || progress.sleeps.load(Relaxed))
        });
        for (n, watched) in watched.iter_mut().enumerate() {
            let progress = &world.lanes[n];
            let time = watched.since.elapsed();
            if time < TICK || goes_on[1 - n] && time < LONG {
                continue;
            }
            // On a busy host, time has passed since it was looked at.
            let is_over = progress.calls.load(SeqCst) != watched.calls;
            if is_over || !progress.busy.load(SeqCst) {
                continue;
            }
            let thread = progress.thread.load(Relaxed);
            sys!(SYS_tgkill, sys!(SYS_getpid), thread, libc::SIGALRM);
            if time > LONG * (watched.rescues + 1) {
                watched.rescues += 1;
                // A thread that is only slow needs no help, and a rescue empties the queues.
                if is_waiting(thread) {
                    world.rescue();
                }
            }
            if time > FOREVER {
                give_up(world, progress.at.load(Relaxed));
            }
        }
    }
}

/// Returns whether a thread waits, and does not just take long.
fn is_waiting(thread: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/self/task/{thread}/stat")).unwrap_or_default();
    let state = stat
        .rsplit(") ")
        .next()
        .and_then(|rest| rest.chars().next());
    state != Some('R')
}

/// Ends the guest, as a call does not end.
fn give_up(world: &World, call: i64) {
    println!("# fuzz-kernel: FOUND: for a minute, a thread is stuck at call {call}");
    if let Ok(program) = world.program.lock() {
        println!("{program}");
    }
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten();
    for thread in threads.flatten() {
        let stack = fs::read_to_string(thread.path().join("stack"));
        println!("# {:?}: {}", thread.file_name(), stack.unwrap_or_default());
    }
    println!("{}", log::all());
    sys!(SYS_reboot, 0xfee1_dead_u32, 0x2812_1969, 0x0123_4567, 0);
}

// SPDX-License-Identifier: GPL-2.0

//! Fuzzes the system calls of notification pipes, guided by coverage, in a kernel that checks
//! itself: with KASAN, lockdep, kmemleak and KCOV of `kernel/watch_queue/`.  `dev/fuzz-kernel`
//! builds and boots all of that.
//!
//! A program is a sequence of calls, see [`program`].  Those that pass an edge of the kernel's
//! code that none has passed before go to the corpus, without the calls that it takes none of;
//! new programs are mutations of these.  Whatever the kernel complains of ends the run, and so
//! does a read that is not as [`model`] says, a count that is not, and a call that does not end.
//!
//! # Why not LibAFL
//!
//! Its mutators and schedulers are made for bytes, and its executors for a target that is
//! instrumented itself.  Programs of typed calls, two threads that run them, a trace from KCOV, and
//! a kernel's log that says what went wrong would all be written here still; what is left of a
//! fuzzer then is the loop in [`fuzz`].
//!
//! # Usage
//!
//! ```text
//! watch-queue-fuzz-kernel fuzz DIR SECONDS SEED
//! watch-queue-fuzz-kernel replay DIR FILE TIMES
//! ```
//!
//! DIR has the `seeds` to begin with, and what was `kept` of an earlier run, and gets `corpus`,
//! `points`, and what is found.

#[macro_use]
mod sys;

mod fail;
mod fuzz;
mod kcov;
mod log;
mod model;
mod program;
mod random;
mod run;

mod team;
mod uring;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Whichever thread it is, the others would wait for it.
    std::panic::set_hook(Box::new(|info| {
        println!("# fuzz-kernel: {info}");
        std::process::exit(1);
    }));
    let args: Vec<String> = std::env::args().collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[1..] {
        ["fuzz", dir, seconds, seed] => match (seconds.parse(), seed.parse()) {
            (Ok(seconds), Ok(seed)) => fuzz::fuzz(dir, seconds, seed),
            _ => Err("these are no numbers".into()),
        },
        ["replay", dir, file, times] => match times.parse() {
            Ok(times) => fuzz::replay(dir, file, times),
            Err(_) => Err("this is no number".into()),
        },
        _ => Err(
            "usage: watch-queue-fuzz-kernel fuzz DIR SECONDS SEED | replay DIR FILE TIMES".into(),
        ),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("# fuzz-kernel: {error}");
            ExitCode::FAILURE
        }
    }
}

// SPDX-License-Identifier: GPL-2.0

//! The loop: what is run next, and what is kept.

use crate::{
    log::Log,
    program::{mutate, random_program, Program},
    random::Random,
    run::Step,
    sys,
    team::{Outcome, Team},
};
use std::{
    collections::{BTreeSet, HashSet},
    fmt::Write,
    fs,
    path::Path,
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

struct Entry {
    program: Program,
    points: HashSet<u64>,
    is_seed: bool,
}

struct Fuzzer {
    team: Team,
    log: Log,
    recent: Recent,
    corpus: Vec<Entry>,
    /// All that were ever passed
    points: BTreeSet<u64>,
    edges: usize,
    runs: u64,
    dir: String,
}

/// The programs that were run last, in a file of the host's, for when the kernel dies
struct Recent {
    fd: i32,
    runs: u64,
}

const SLOT: usize = 4096;
const SLOTS: u64 = 8;

impl Recent {
    fn new(dir: &str) -> Self {
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC;
        Self {
            fd: sys::open(&format!("{dir}/recent"), flags),
            runs: 0,
        }
    }

    fn add(&mut self, program: &Program) {
        let mut text = format!("# run {}\n{program}", self.runs).into_bytes();
        text.resize(SLOT, b'\n');
        let at = self.runs % SLOTS * SLOT as u64;
        self.runs += 1;
        sys!(SYS_pwrite64, self.fd, text.as_ptr(), SLOT, at);
        // To the host, which has it even if this kernel is gone the next moment
        const WRITE_AND_WAIT: u32 = 2 | 4;
        sys!(SYS_sync_file_range, self.fd, at, SLOT, WRITE_AND_WAIT);
    }
}

type Result<T> = std::result::Result<T, String>;

impl Fuzzer {
    fn new(dir: &str, has_coverage: bool) -> Result<Self> {
        let team = Team::new(has_coverage).map_err(|error| error.to_string())?;
        let missing = team.world.missing();
        if !missing.is_empty() {
            println!("# fuzz-kernel: there is no {}", missing.join(", "));
        }
        Ok(Self {
            team,
            log: Log::new().map_err(|error| format!("/dev/kmsg: {error}"))?,
            recent: Recent::new(dir),
            corpus: Vec::new(),
            points: BTreeSet::new(),
            edges: 0,
            runs: 0,
            dir: dir.into(),
        })
    }

    /// Runs a program.  What is wrong is an error.
    fn run(&mut self, program: &Program) -> std::result::Result<Vec<Step>, String> {
        self.runs += 1;
        self.recent.add(program);
        let Outcome { fault, trace } = self.team.run(program);
        fault
            .or_else(|| self.log.complaint())
            .map_or(Ok(trace), Err)
    }

    /// Runs a program, and keeps it if it is new.
    fn try_out(&mut self, program: Program) -> Result<()> {
        let Some(new) = self.explore(&program)? else {
            return Ok(());
        };
        self.keep(program, &new)
    }

    /// Runs a seed, or a program of an earlier run, and keeps it as it is if it is new.
    fn try_known(&mut self, program: Program, is_seed: bool) -> Result<()> {
        if self.explore(&program)?.is_some() {
            let trace = self.run_or_report(&program)?;
            let points = trace.iter().map(|step| step.point).collect();
            self.corpus.push(Entry {
                program,
                points,
                is_seed,
            });
        }
        Ok(())
    }

    /// Runs a program, and returns the edges that none has passed before, if there are any.
    fn explore(&mut self, program: &Program) -> Result<Option<HashSet<u32>>> {
        let trace = self.run_or_report(program)?;
        let is_new = |step: &&Step| self.team.world.seen[step.edge as usize].load(Relaxed) == 0;
        let steps: Vec<&Step> = trace.iter().filter(is_new).collect();
        let new: HashSet<u32> = steps.iter().map(|step| step.edge).collect();
        self.points.extend(steps.iter().map(|step| step.point));
        if new.is_empty() {
            return Ok(None);
        }
        for edge in &new {
            self.team.world.seen[*edge as usize].store(1, Relaxed);
        }
        self.edges += new.len();
        Ok(Some(new))
    }

    /// Keeps the part of a program that passes these edges.
    fn keep(&mut self, program: Program, wanted: &HashSet<u32>) -> Result<()> {
        let mut best = program;
        let mut points = HashSet::new();
        // Once again, as two threads, or a timer, do not always meet
        let mut wanted = wanted.clone();
        for _ in 0..2 {
            let trace = self.run_or_report(&best)?;
            let passed: HashSet<u32> = trace.iter().map(|step| step.edge).collect();
            wanted.retain(|edge| passed.contains(edge));
            let last = trace.iter().filter(|step| wanted.contains(&step.edge));
            points = trace.iter().map(|step| step.point).collect();
            if best.parallel_from() == best.calls.len() {
                let last = last.map(|step| step.call).max().unwrap_or(0);
                best.calls.truncate(usize::from(last) + 1);
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let mut n = best.calls.len();
        while n > 0 {
            n -= 1;
            let mut shorter = best.clone();
            shorter.calls.remove(n);
            let trace = self.run_or_report(&shorter)?;
            let passed: HashSet<u32> = trace.iter().map(|step| step.edge).collect();
            if wanted.is_subset(&passed) {
                best = shorter;
                points = trace.iter().map(|step| step.point).collect();
            }
        }
        self.corpus.push(Entry {
            program: best,
            points,
            is_seed: false,
        });
        Ok(())
    }

    fn run_or_report(&mut self, program: &Program) -> Result<Vec<Step>> {
        self.run(program)
            .or_else(|fault| self.report(program, &fault).map(|()| Vec::new()))
    }

    /// Writes down what is wrong, with a program that is as short as it can be.
    fn report(&mut self, program: &Program, fault: &str) -> Result<()> {
        let mut text = String::new();
        for line in fault.lines() {
            let _ = writeln!(text, "# {line}");
        }
        println!(
            "# fuzz-kernel: FOUND after {} programs:\n{text}{program}",
            self.runs
        );
        let file = format!("{}/found", self.dir);
        let _ = fs::write(&file, format!("{text}\n{program}"));
        self.write_points();

        let mut repeats =
            |program: &Program, times: usize| (0..times).any(|_| self.run(program).is_err());
        let mut best = program.clone();
        if repeats(&best, 20) {
            let mut n = best.calls.len();
            while n > 0 {
                n -= 1;
                let mut shorter = best.clone();
                shorter.calls.remove(n);
                if repeats(&shorter, 8) {
                    best = shorter;
                }
            }
            println!("# fuzz-kernel: reduced to\n{best}");
            let _ = fs::write(&file, format!("{text}\n{best}"));
        } else {
            println!("# fuzz-kernel: it does not happen again in this kernel, so it is as it was");
        }
        Err("something is wrong; the program is above, and in the file `found`".into())
    }

    fn write_points(&self) {
        let mut text = String::new();
        for point in &self.points {
            let _ = writeln!(text, "{point:#x}");
        }
        let _ = fs::write(format!("{}/points", self.dir), text);
    }

    /// Writes as few programs as pass all points that the seeds do not.
    fn write_corpus(&self) -> usize {
        let (seeds, mut entries): (Vec<&Entry>, Vec<&Entry>) =
            self.corpus.iter().partition(|entry| entry.is_seed);
        entries.sort_by_key(|entry| entry.program.calls.len());
        let mut passed: HashSet<u64> = HashSet::new();
        passed.extend(seeds.iter().flat_map(|seed| &seed.points));
        let mut text = String::new();
        let mut count = 0;
        loop {
            // Of those that add as much, the shortest
            let gain = |entry: &&&Entry| entry.points.difference(&passed).count();
            let Some(best) = entries.iter().rev().max_by_key(gain).copied() else {
                break;
            };
            if best.points.is_subset(&passed) {
                break;
            }
            passed.extend(&best.points);
            let _ = writeln!(text, "{}", best.program);
            count += 1;
        }
        let _ = fs::write(format!("{}/corpus", self.dir), text);
        count
    }

    fn next(&self, random: &mut Random) -> Program {
        if self.corpus.is_empty() || random.one_in(20) {
            return random_program(random);
        }
        let pick = |random: &mut Random| {
            let len = self.corpus.len();
            // New programs have not been explored yet.
            let from = if random.one_in(3) {
                len - len.div_ceil(8)
            } else {
                0
            };
            &self.corpus[from + random.below(len - from)].program
        };
        let mut program = pick(random).clone();
        let other = pick(random);
        mutate(&mut program, other, random);
        program
    }

    fn line(&self, begin: Instant, last: &mut (Instant, u64)) {
        let seconds = last.0.elapsed().as_secs_f64();
        println!(
            "# fuzz-kernel: {} s, {} programs, {:.0}/s, {} points, {} edges, {} in the corpus",
            begin.elapsed().as_secs(),
            self.runs,
            (self.runs - last.1) as f64 / seconds,
            self.points.len(),
            self.edges,
            self.corpus.len()
        );
        *last = (Instant::now(), self.runs);
    }
}

fn load(path: &str) -> Result<Vec<Program>> {
    let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    Program::parse(&text).map_err(|error| format!("{path}: {error}"))
}

/// Fuzzes for some seconds.
pub fn fuzz(dir: &str, seconds: u64, seed: u64) -> Result<()> {
    let mut random = Random::new(seed);
    let has_coverage = Path::new("/sys/kernel/debug/kcov").exists();
    let mut fuzzer = Fuzzer::new(dir, has_coverage)?;
    if !has_coverage {
        println!("# fuzz-kernel: there is no KCOV: nothing is kept but the seeds");
    }
    let begin = Instant::now();
    let mut last = (begin, 0);
    let seeds = load(&format!("{dir}/seeds"))?.into_iter();
    let kept = load(&format!("{dir}/kept"))?.into_iter();
    let known = seeds.map(|seed| (seed, true));
    for (program, is_seed) in known.chain(kept.map(|program| (program, false))) {
        if !has_coverage {
            fuzzer.corpus.push(Entry {
                program: program.clone(),
                points: HashSet::new(),
                is_seed,
            });
        }
        fuzzer.try_known(program, is_seed)?;
        if last.0.elapsed() > Duration::from_secs(5) {
            fuzzer.line(begin, &mut last);
        }
    }
    fuzzer.line(begin, &mut last);
    if has_coverage {
        fuzzer.write_points();
    }
    while begin.elapsed() < Duration::from_secs(seconds) {
        let program = fuzzer.next(&mut random);
        fuzzer.try_out(program)?;
        if last.0.elapsed() > Duration::from_secs(5) {
            fuzzer.line(begin, &mut last);
            if has_coverage {
                fuzzer.write_points();
            }
        }
    }
    fuzzer.line(begin, &mut last);
    let [reads, counts] = fuzzer.team.world.compared();
    println!(
        "# fuzz-kernel: {reads} reads were as the model says, and {counts} queues lost nothing"
    );
    let slowest = fuzzer.team.world.slowest();
    let slowest: Vec<_> = slowest
        .iter()
        .map(|(name, s)| format!("{name} {s} s"))
        .collect();
    println!(
        "# fuzz-kernel: most of the time took {}",
        slowest.join(", ")
    );
    if has_coverage {
        fuzzer.write_points();
        println!(
            "# fuzz-kernel: {} programs pass all points that the seeds do not",
            fuzzer.write_corpus()
        );
    }
    Ok(())
}

/// Runs the programs of a file so many times, as they are.
pub fn replay(dir: &str, file: &str, times: u64) -> Result<()> {
    let programs = load(file)?;
    let mut fuzzer = Fuzzer::new(dir, false)?;
    for _ in 0..times {
        for program in &programs {
            if let Err(fault) = fuzzer.run(program) {
                println!("# fuzz-kernel: FOUND\n{fault}\n{program}");
                return Err("something is wrong".into());
            }
        }
    }
    println!(
        "# fuzz-kernel: {} programs, {times} times: nothing is wrong",
        programs.len()
    );
    Ok(())
}

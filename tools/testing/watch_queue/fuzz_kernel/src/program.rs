// SPDX-License-Identifier: GPL-2.0

//! Programs: what is run, mutated and kept.
//!
//! As text a program is one call a line, with its arguments behind it.  The last of them can have
//! a prefix: `A` is the first thread, `B` the second, and these run at the same time.  `fail=N`
//! has the Nth allocation or copy of the call fail.
//!
//! ```text
//! open_queue 0 0x800
//! size r0 32
//! attach s0 r0 1 5
//! A post s0 1 0 0 0 16 40 0 0
//! B read r0 4096 good
//! ```

use crate::random::Random;
use std::fmt;

/// The arguments of calls.
#[derive(Clone, Copy)]
pub enum Arg {
    /// A file: an end of a queue, mostly
    End,
    /// A file: a test source, mostly
    Source,
    /// A file: what a source can watch, mostly
    Object,
    /// Any file
    File,
    /// Which of the files that programs open is to be replaced
    Place,
    /// A number below this
    Below(u64),
    /// One of these, mostly
    One(&'static [u64]),
    /// Any of these bits
    Bits(&'static [u64]),
    /// Where a pointer points to
    Pointer,
}

pub const NR_QUEUES: usize = 3;
pub const FIRST_SOURCE: u64 = 6;
pub const FIRST_PLACE: u64 = 8;
/// Those from here on are open from the beginning to the end.
pub const FIRST_FIXED: u64 = 14;

/// The files, as they are written in text
pub const FILES: [&str; 31] = [
    "r0",
    "w0",
    "r1",
    "w1",
    "r2",
    "w2",
    "s0",
    "s1",
    "f0",
    "f1",
    "f2",
    "f3",
    "f4",
    "f5",
    "namespace",
    "root",
    "mounts",
    "ext4",
    "disk",
    "partition",
    "disk2",
    "device",
    "class",
    "bus",
    "sys",
    "proc",
    "pipe_r",
    "pipe_w",
    "all",
    "bad",
    "unused",
];

/// Kinds of pointers, in the lower three bits.  With [`EDGE`], the rest is how many bytes there
/// are in front of memory that is not mapped.
pub const GOOD: u64 = 0;
pub const EDGE: u64 = 3;
const POINTERS: [&str; 6] = ["good", "null", "low", "edge", "kernel", "readonly"];

/// As the first subtype of a filter: every other one
pub const EVERY_OTHER: u64 = 0x5555;

macro_rules! calls {
    ($($kind:ident $name:literal $weight:literal [$($arg:expr),*];)*) => {
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Kind { $($kind),* }

        pub struct Spec {
            pub kind: Kind,
            pub name: &'static str,
            pub args: &'static [Arg],
        }

        pub static SPECS: &[Spec] = {
            use Arg::*;
            &[$(Spec { kind: Kind::$kind, name: $name, args: &[$($arg),*] }),*]
        };

        /// How often a call is taken
        const WEIGHTS: &[usize] = &[$($weight),*];
    };
}

const PIPE_FLAGS: &[u64] = &[0x800, 0x80000, 0x4000, 0x80, 0x200000];
const SIZES: &[u64] = &[
    1,
    8,
    31,
    32,
    33,
    64,
    256,
    512,
    513,
    2048,
    0,
    1 << 20,
    1 << 24,
    u64::MAX,
];
const ROOMS: &[u64] = &[
    0, 1, 7, 8, 9, 15, 16, 17, 40, 127, 128, 1000, 4096, 65536, 65536, 4096,
];
const TYPES: &[u64] = &[0, 1, 2, 3, 4, 5, 6, 0x1234, 0x2468, 0xff_ffff, 0x100_0000];
const SUBTYPES: &[u64] = &[0, 1, 2, 31, 32, 100, 255, 256, EVERY_OTHER];
const INFOS: &[u64] = &[
    0,
    0x10000,
    0x20000,
    0x80,
    0xffff_ff80,
    0xff00,
    0x7f,
    u64::MAX,
];
const IDS: &[u64] = &[0, 1, 2, 3, u64::MAX];
const TAGS: &[u64] = &[0, 1, 5, 255, 256];
const COUNTS: &[u64] = &[1, 1, 2, 5, 33, 100, 0, 70000];
const CONTEXTS: &[u64] = &[
    0, 0, 0, 0, 1, 1, 2, 2, 3, 4, 5, 7, 7, 8, 8, 9, 0, 1, 2, 0, 6,
];
const MESSAGE_LENGTHS: &[u64] = &[8, 16, 9, 17, 64, 127, 126, 7, 128];
const WATCH_TYPES: &[u64] = &[0, 1, 2, 2, 2, 3, 3, 4, 4, 5, 5, 6, 63, 64, u32::MAX as u64];
const ARG_SIZES: &[u64] = &[24, 24, 24, 24, 24, 32, 23, 0, 128, 16383];
const GET_SIZES: &[u64] = &[56, 56, 56, 64, 55, 0, 200, 16383];
const POLL_EVENTS: &[u64] = &[0x1, 0x4, 0x5, 0x2000, 0x10, 0];
const EPOLL_EVENTS: &[u64] = &[0x1, 0x4, 1 << 31, 1 << 28, 1 << 30, 1 << 29, 0x2000];
const OPEN_MODES: &[u64] = &[0, 1, 2, 3, 0x800, 0x801, 0x802, 0x20_0000, 0x4800];
const FILE_FLAGS: &[u64] = &[0x800, 0x2000, 0x4000, 0x400];
const MOUNT_FLAGS: &[u64] = &[1, 2, 4, 8, 0x400, 0x10_0000, 0x20_0000];
const PROPAGATION: &[u64] = &[1 << 17, 1 << 18, 1 << 19, 1 << 20];
const RWF: &[u64] = &[8, 8, 1, 2, 4];
const KEY_PERM: &[u64] = &[0x3f3f_0000, 0x3f00_0000, 0x3d3d_0000, 0, 0x3f3f_3f3f];
const COMMANDS: &[u64] = &[
    0x5760, 0x5761, 0x5762, 0x5763, 0x5764, 0x5765, 0x5766, 0x5767, 0x541b, 0x5421, 0x5452, 0x5450,
];

calls! {
    OpenQueue "open_queue" 8 [Below(NR_QUEUES as u64), Bits(PIPE_FLAGS)];
    Size "size" 6 [End, One(SIZES)];
    Filter "filter" 4 [End, One(&[1, 1, 2, 3, 16, 17, 0]), One(TYPES), One(SUBTYPES), One(INFOS), One(INFOS), Pointer];
    NoFilter "no_filter" 2 [End];
    Fionread "fionread" 3 [End, Pointer];
    Sync "sync" 1 [End];
    Add "add" 10 [End, One(WATCH_TYPES), Object, One(TAGS), Bits(&[1, 1, 2]), One(&[0, 0, 0, 0, 0, 0, 1]), One(ARG_SIZES), Pointer];
    Remove "remove" 4 [End, One(WATCH_TYPES), Object, Bits(&[1, 1, 2]), One(&[0, 0, 0, 1, 2]), One(ARG_SIZES), Pointer];
    GetSource "get_source" 2 [End, One(WATCH_TYPES), One(&[0, 0, 0, 1]), One(GET_SIZES), Pointer];
    Seal "seal" 1 [End];
    Ioctl "ioctl" 1 [File, One(COMMANDS), One(&[0, 1, 8, u64::MAX])];
    Read "read" 8 [End, One(ROOMS), Pointer];
    Readv "readv" 3 [End, One(ROOMS), One(ROOMS), Pointer];
    Preadv2 "preadv2" 3 [End, One(ROOMS), Bits(RWF), Pointer];
    Write "write" 1 [End, One(ROOMS)];
    Poll "poll" 3 [End, Bits(POLL_EVENTS), Below(3)];
    Poll2 "poll2" 1 [End, End, Bits(POLL_EVENTS), Below(3)];
    Epoll "epoll" 3 [Place, End, Bits(EPOLL_EVENTS)];
    EpollWait "epoll_wait" 2 [File, Below(3)];
    EpollDelete "epoll_delete" 1 [File, End];
    UringPoll "uring_poll" 2 [End, Bits(POLL_EVENTS), Below(2)];
    UringRead "uring_read" 2 [End, One(ROOMS)];
    UringReap "uring_reap" 2 [];
    UringCancel "uring_cancel" 1 [];
    SpliceFrom "splice_from" 1 [End, One(ROOMS)];
    SpliceTo "splice_to" 1 [End, One(ROOMS)];
    Tee "tee" 1 [End];
    Vmsplice "vmsplice" 1 [End];
    Sendfile "sendfile" 1 [File, End];
    SetFlags "set_flags" 3 [End, Bits(FILE_FLAGS)];
    SetOwner "set_owner" 2 [End, Below(3)];
    SetPipeSize "set_pipe_size" 1 [End, One(SIZES)];
    GetPipeSize "get_pipe_size" 1 [End];
    Fcntl "fcntl" 1 [File, One(&[1033, 1034, 1032, 10, 11, 16]), One(SIZES)];
    Dup "dup" 2 [Place, End];
    Reopen "reopen" 3 [Place, End, One(OPEN_MODES)];
    Fdinfo "fdinfo" 3 [File, One(&[4096, 100, 1])];
    Stat "stat" 1 [File];
    Close "close" 5 [File];
    Fork "fork" 1 [Below(5), End];
    As "as" 1 [Below(2)];
    Limit "limit" 1 [One(&[0, 1, 2, 100])];
    PipePages "pipe_pages" 1 [One(&[0, 1, 17, 64])];
    SoftPages "soft_pages" 1 [One(&[0, 1, 17, 64])];
    WatchLimit "watch_limit" 1 [One(&[0, 1, 1000])];
    OpenSource "open_source" 4 [Below(2)];
    Attach "attach" 8 [Source, End, One(IDS), One(TAGS)];
    Detach "detach" 4 [Source, End, One(IDS)];
    DetachSeen "detach_seen" 1 [Source, End, One(IDS)];
    DetachAll "detach_all" 2 [Source, One(IDS)];
    Post "post" 16 [Source, One(IDS), One(TYPES), One(SUBTYPES), One(INFOS), One(MESSAGE_LENGTHS), One(COUNTS), One(CONTEXTS), Below(2)];
    OpenHold "open_hold" 2 [Place];
    HoldAttach "hold_attach" 4 [Place, End, One(IDS), One(TAGS)];
    HoldDetach "hold_detach" 2 [Place, End, One(IDS)];
    HoldRemove "hold_remove" 2 [Place, One(IDS)];
    HoldKill "hold_kill" 1 [Place, One(IDS)];
    HoldPost "hold_post" 2 [Place, One(IDS)];
    HoldPin "hold_pin" 1 [Place, End];
    HoldUnname "hold_unname" 1 [Place];
    HoldWait "hold_wait" 1 [Place];
    KeyAdd "key_add" 3 [Below(4), Below(3), Below(6)];
    KeyUpdate "key_update" 2 [Below(6)];
    KeyLink "key_link" 2 [Below(6), Below(6)];
    KeyUnlink "key_unlink" 2 [Below(6), Below(6)];
    KeyMove "key_move" 1 [Below(6), Below(6), Below(6)];
    KeyRevoke "key_revoke" 2 [Below(5)];
    KeyInvalidate "key_invalidate" 1 [Below(5)];
    KeyClear "key_clear" 1 [Below(5)];
    KeySetperm "key_setperm" 2 [Below(5), One(KEY_PERM)];
    KeyTimeout "key_timeout" 1 [Below(5), Below(2)];
    KeyChown "key_chown" 1 [Below(5), Below(2)];
    KeyWatch "key_watch" 5 [Below(6), End, One(&[0, 1, 5, 255, 256, u64::MAX, u64::MAX])];
    MountTmpfs "mount_tmpfs" 5 [Below(4), Bits(MOUNT_FLAGS), Below(3)];
    Bind "bind" 2 [Below(8), Below(4), Below(2)];
    MoveMount "move_mount" 2 [Below(4), Below(4)];
    Remount "remount" 3 [Below(6), Bits(MOUNT_FLAGS), Below(2)];
    Propagate "propagate" 3 [Below(6), One(PROPAGATION), Below(2)];
    Umount "umount" 4 [Below(4), One(&[0, 2, 4, 4, 1, 8])];
    Unshare "unshare" 1 [];
    SetNs "setns" 1 [File];
    OpenTree "open_tree" 1 [Place, Below(8), Below(2)];
    FsMount "fsmount" 1 [Place, Below(4)];
    MountSetattr "mount_setattr" 1 [File, Bits(MOUNT_FLAGS), Below(2)];
    OpenDir "open_dir" 4 [Place, Below(8), Below(2)];
    Fill "fill" 2 [Below(4), One(&[1, 4, 16, 64])];
    Freeze "freeze" 1 [Below(2)];
    Ext4Error "ext4_error" 2 [];
    RemountExt4 "remount_ext4" 2 [Below(3)];
    DiskIo "disk_io" 4 [File, Below(7), One(&[0, 1, 8, 16, 17, 100, 2048]), One(&[512, 4096, 0, 8192])];
    Power "power" 2 [Below(2)];
    Partition "partition" 1 [Below(2)];
    Devices "devices" 3 [Below(4)];
    OpenSys "open_sys" 3 [Place, Below(9)];
    Uevent "uevent" 3 [Below(6), Below(9)];
    Trace "trace" 1 [Below(2)];
    Sleep "sleep" 1 [Below(3)];
}

/// One call
#[derive(Clone, PartialEq, Eq)]
pub struct Call {
    /// Index of its [`Spec`]
    pub spec: usize,
    pub args: Vec<u64>,
    /// Which allocation or copy is to fail, from 1; 0 for none
    pub fail: u8,
    pub thread: Thread,
}

/// Which thread makes a call
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Thread {
    /// The first, before there is a second one; or as `A`, behind a call that has a thread
    Alone,
    A,
    B,
}

impl Call {
    pub fn spec(&self) -> &'static Spec {
        &SPECS[self.spec]
    }

    pub fn kind(&self) -> Kind {
        self.spec().kind
    }
}

#[derive(Clone, Default, PartialEq, Eq)]
pub struct Program {
    pub calls: Vec<Call>,
}

/// The largest number of calls
pub const MOST_CALLS: usize = 24;

impl Program {
    /// Returns where the two threads begin to run at the same time.
    pub fn parallel_from(&self) -> usize {
        let first = self
            .calls
            .iter()
            .position(|call| call.thread != Thread::Alone);
        first.unwrap_or(self.calls.len())
    }

    pub fn parse(text: &str) -> Result<Vec<Self>, String> {
        let mut programs = vec![Self::default()];
        for line in text.lines() {
            let line = line.trim();
            if line.starts_with('#') {
                continue;
            }
            if line.is_empty() {
                programs.push(Self::default());
                continue;
            }
            let call = parse_call(line).ok_or_else(|| format!("not a call: {line}"))?;
            programs.last_mut().expect("there is one").calls.push(call);
        }
        programs.retain(|program| !program.calls.is_empty());
        Ok(programs)
    }
}

fn parse_number(word: &str) -> Option<u64> {
    match word.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None if word == "-1" => Some(u64::MAX),
        None => word.parse().ok(),
    }
}

fn parse_arg(arg: Arg, word: &str) -> Option<u64> {
    match arg {
        Arg::End | Arg::Source | Arg::Object | Arg::File | Arg::Place => FILES
            .iter()
            .position(|name| *name == word)
            .map(|file| file as u64),
        Arg::Pointer => {
            let (name, rest) = word.split_once('+').unwrap_or((word, "0"));
            let kind = POINTERS.iter().position(|pointer| *pointer == name)?;
            Some(kind as u64 | parse_number(rest)? << 3)
        }
        Arg::Below(_) | Arg::One(_) | Arg::Bits(_) => parse_number(word),
    }
}

fn parse_call(line: &str) -> Option<Call> {
    let mut words: Vec<&str> = line.split_whitespace().collect();
    let thread = match words[0] {
        "A" => Thread::A,
        "B" => Thread::B,
        _ => Thread::Alone,
    };
    if thread != Thread::Alone {
        words.remove(0);
    }
    let fail = match words.last()?.strip_prefix("fail=") {
        Some(number) => {
            words.pop();
            number.parse().ok()?
        }
        None => 0,
    };
    let spec = SPECS.iter().position(|spec| spec.name == words[0])?;
    let wanted = SPECS[spec].args;
    if words.len() != wanted.len() + 1 {
        return None;
    }
    let args = wanted
        .iter()
        .zip(&words[1..])
        .map(|(arg, word)| parse_arg(*arg, word))
        .collect::<Option<_>>()?;
    Some(Call {
        spec,
        args,
        fail,
        thread,
    })
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.spec().name)?;
        for (arg, value) in self.spec().args.iter().zip(&self.args) {
            match arg {
                Arg::End | Arg::Source | Arg::Object | Arg::File | Arg::Place => {
                    write!(f, " {}", FILES[*value as usize % FILES.len()])?;
                }
                Arg::Pointer => {
                    write!(f, " {}", POINTERS[(value & 7) as usize % POINTERS.len()])?;
                    if value >> 3 != 0 {
                        write!(f, "+{}", value >> 3)?;
                    }
                }
                Arg::Bits(_) => write!(f, " {value:#x}")?,
                _ if *value == u64::MAX => f.write_str(" -1")?,
                _ if *value > 0xffff => write!(f, " {value:#x}")?,
                _ => write!(f, " {value}")?,
            }
        }
        if self.fail != 0 {
            write!(f, " fail={}", self.fail)?;
        }
        Ok(())
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parallel = self.parallel_from();
        for (n, call) in self.calls.iter().enumerate() {
            if n >= parallel {
                f.write_str(if call.thread == Thread::B { "B " } else { "A " })?;
            }
            writeln!(f, "{call}")?;
        }
        Ok(())
    }
}

impl Arg {
    fn random(self, random: &mut Random) -> u64 {
        match self {
            Arg::End => {
                if random.one_in(12) {
                    random.below(FILES.len()) as u64
                } else if random.one_in(8) {
                    FIRST_PLACE + random.below((FIRST_FIXED - FIRST_PLACE) as usize) as u64
                } else {
                    // Few queues, so that calls meet
                    random.pick(&[0, 0, 0, 0, 0, 1, 1, 2, 2, 3, 4, 5])
                }
            }
            Arg::Source => {
                if random.one_in(20) {
                    random.below(FILES.len()) as u64
                } else {
                    FIRST_SOURCE + u64::from(random.one_in(4))
                }
            }
            Arg::Object => {
                if random.one_in(8) {
                    random.below(FILES.len()) as u64
                } else {
                    FIRST_PLACE + random.below(FILES.len() - FIRST_PLACE as usize) as u64
                }
            }
            Arg::File => random.below(FILES.len()) as u64,
            Arg::Place => FIRST_PLACE + random.below((FIRST_FIXED - FIRST_PLACE) as usize) as u64,
            Arg::Below(limit) => random.below(limit as usize) as u64,
            Arg::One(values) => {
                if random.one_in(20) {
                    random.next() >> random.below(64)
                } else {
                    random.pick(values)
                }
            }
            Arg::Bits(bits) => {
                let mut value = 0;
                for _ in 0..random.below(3) {
                    value |= random.pick(bits);
                }
                value
            }
            Arg::Pointer => {
                if random.one_in(8) {
                    let kind = 1 + random.below(POINTERS.len() - 1) as u64;
                    kind | if kind == EDGE {
                        (random.below(200) as u64) << 3
                    } else {
                        0
                    }
                } else {
                    GOOD
                }
            }
        }
    }
}

pub fn random_call(random: &mut Random) -> Call {
    let sum: usize = WEIGHTS.iter().sum();
    let mut at = random.below(sum);
    let spec = WEIGHTS
        .iter()
        .position(|weight| {
            let here = at < *weight;
            at = at.wrapping_sub(*weight);
            here
        })
        .expect("it is below the sum");
    Call {
        spec,
        args: SPECS[spec]
            .args
            .iter()
            .map(|arg| arg.random(random))
            .collect(),
        fail: if random.one_in(16) {
            1 + random.below(6) as u8
        } else {
            0
        },
        thread: Thread::Alone,
    }
}

/// Returns a program that is all new.
pub fn random_program(random: &mut Random) -> Program {
    let mut program = Program {
        calls: Program::parse("open_queue 0 0x800\nsize r0 32\nopen_source 0\nattach s0 r0 1 1")
            .expect("it is one")
            .remove(0)
            .calls,
    };
    program.calls.truncate(random.below(5));
    for _ in 0..1 + random.below(8) {
        program.calls.push(random_call(random));
    }
    program
}

/// Changes a program in some places, with parts of another.
pub fn mutate(program: &mut Program, other: &Program, random: &mut Random) {
    for _ in 0..1 + random.below(4) {
        let calls = &mut program.calls;
        let here = random.below(calls.len().max(1));
        match random.below(16) {
            _ if calls.is_empty() => calls.push(random_call(random)),
            0..=4 => calls.insert(random.below(calls.len() + 1), random_call(random)),
            5 => {
                calls.remove(here);
            }
            6..=9 => {
                let call = &mut calls[here];
                if !call.args.is_empty() {
                    let n = random.below(call.args.len());
                    call.args[n] = call.spec().args[n].random(random);
                }
            }
            10 => calls[here].fail = (random.below(2) * (1 + random.below(8))) as u8,
            11 => {
                let there = random.below(calls.len());
                calls.swap(here, there);
            }
            12 => {
                let copy = calls[here].clone();
                calls.insert(here, copy);
            }
            13 => {
                // The end of the other
                calls.truncate(here + 1);
                let from = random.below(other.calls.len().max(1));
                calls.extend(other.calls.iter().skip(from).cloned());
            }
            14 => {
                // All of the other, in between
                let tail = calls.split_off(here);
                calls.extend(other.calls.iter().cloned());
                calls.extend(tail);
            }
            _ => {
                let alone = random.one_in(3);
                for call in calls.iter_mut().skip(if alone { 0 } else { here }) {
                    call.thread = match random.below(2) {
                        _ if alone => Thread::Alone,
                        0 => Thread::A,
                        _ => Thread::B,
                    };
                }
            }
        }
        program.calls.truncate(MOST_CALLS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_what_it_is_parsed_to() {
        let mut random = Random::new(1);
        for _ in 0..1000 {
            let mut program = random_program(&mut random);
            let other = random_program(&mut random);
            mutate(&mut program, &other, &mut random);
            let text = program.to_string();
            let again = Program::parse(&text).expect("it is parsed");
            assert_eq!(
                text,
                again.iter().map(Program::to_string).collect::<String>()
            );
        }
    }

    #[test]
    fn seeds_are_programs() {
        let seeds = Program::parse(include_str!("../seeds")).expect("they are parsed");
        assert!(seeds.len() > 20);
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Running programs: two threads that make calls, the files and keys that they use, and the way
//! back to how it was.
//!
//! Nothing is made anew for a program that the one before has not used: no process, no mounts, no
//! keyring.  What a program has used it says in a word of flags, and only that is put back.

use crate::{
    fail,
    kcov::Kcov,
    model::{self, Model, Post, Rule},
    program::{
        Call, Kind, Program, Thread, EDGE, EVERY_OTHER, FILES, FIRST_FIXED, GOOD, NR_QUEUES, SPECS,
    },
    sys::{self, mount, write_to},
    uring::Uring,
};
use std::{
    fs,
    sync::{
        atomic::{
            AtomicBool, AtomicI32, AtomicI64, AtomicU32, AtomicU64, AtomicU8, Ordering::Relaxed,
            Ordering::SeqCst,
        },
        Mutex,
    },
    time::{Duration, Instant},
};

/// The number of bits of an edge
const EDGE_BITS: u32 = 20;
pub const EDGES: usize = 1 << EDGE_BITS;

const MOUNTS: &str = "/tmp/m";
const EXT4: &str = "/tmp/ext4";
const TRACE_EVENTS: &str = "/sys/kernel/tracing/events/watch_queue/enable";
const NULLB: &str = "/sys/kernel/config/nullb";
const NR_KEYS: usize = 6;
/// Index of the keyring of all keys
const RING: usize = 4;
/// The user who may not do all
const USER: u32 = 4242;

/// Bits for the parts of the system that a program has changed, to be put back after it
const KEYS: u32 = 1;
const MOUNTED: u32 = 2;
const FROZEN: u32 = 4;
const LIMITS: u32 = 8;
const DEVICES: u32 = 16;
const POWER: u32 = 32;
const PARTITION: u32 = 64;
const EXT4_CHANGED: u32 = 128;
const TRACE: u32 = 256;

/// The file of a slot is an end of queue N, from 1: N << 3 with these
const READS: u32 = 1;
const WRITES: u32 = 2;
/// or a test source.
const SOURCE: u32 = 4;

/// The state that both threads share
pub struct World {
    /// The program that is being run, for when it does not end
    pub program: Mutex<Program>,
    files: [AtomicI32; FILES.len()],
    owners: [AtomicU32; FIRST_FIXED as usize],
    next_owner: AtomicU32,
    keys: [AtomicI32; NR_KEYS],
    used: AtomicU32,
    /// By queue: what was read of it, and whether that is all
    tallies: [Received; 64],
    /// Of this program, nothing can be counted.
    uncountable: AtomicBool,
    /// While two threads run, a slot can become another file.
    moves: AtomicBool,
    /// Whether nothing but the slots keeps queues open.
    can_rescue: AtomicBool,
    model: Mutex<Model>,
    fault: Mutex<Option<String>>,
    /// How many reads were compared with the model, and of how many queues the counts
    compared: [AtomicU64; 2],
    /// The microseconds that calls of each kind took, and those between programs, last
    times: Vec<AtomicU64>,
    /// The edges that any program has passed
    pub seen: Vec<AtomicU8>,
    namespace: i32,
    defaults: Vec<(String, String)>,
    pub lanes: [Progress; 2],
}

#[derive(Default)]
struct Received {
    received: AtomicU64,
    lost: AtomicU64,
    uncountable: AtomicBool,
    /// Whether the queue has been sealed, for certain
    sealed: AtomicBool,
}

/// How far a thread is, for the watchdog
#[derive(Default)]
pub struct Progress {
    pub thread: AtomicI32,
    pub calls: AtomicU64,
    pub at: AtomicI64,
    pub busy: AtomicBool,
    /// The call is one that sleeps, before others that somebody may wait for
    pub sleeps: AtomicBool,
    /// A copy of the file of a call that only ends when all has been read, or 0: the other thread
    /// may close the file
    spare: AtomicI32,
    /// The queue of that
    spare_queue: AtomicU32,
}

/// The state of one thread
pub struct Lane {
    which: usize,
    kcov: Option<Kcov>,
    buffer: Buffer,
    uring: Option<Uring>,
    has_left: bool,
    is_user: bool,
    stamps: Vec<u32>,
    stamp: u32,
    /// The edges of a program, once each
    pub trace: Vec<Step>,
}

/// An edge, the point that it leads to, and the call that was the first to pass it
#[derive(Clone, Copy)]
pub struct Step {
    pub call: u16,
    pub edge: u32,
    pub point: u64,
}

/// Memory with a page behind it that is not there, and one that can only be read
struct Buffer {
    start: *mut u8,
    readonly: *mut u8,
}

const ROOM: usize = 1 << 17;
const PAGE: usize = 4096;

impl Buffer {
    fn new() -> Self {
        let map = |size: usize, protection: i32| {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            sys!(SYS_mmap, 0, size, protection, flags, -1, 0) as *mut u8
        };
        let start = map(ROOM + PAGE, libc::PROT_READ | libc::PROT_WRITE);
        assert_eq!(
            0,
            sys!(SYS_munmap, start.wrapping_add(ROOM), PAGE),
            "munmap"
        );
        Self {
            start,
            readonly: map(PAGE, libc::PROT_READ),
        }
    }

    /// Returns where a pointer of a program points to.
    fn at(&self, pointer: u64) -> *mut u8 {
        match pointer & 7 {
            1 => std::ptr::null_mut(),
            2 => 8 as *mut u8,
            EDGE => self
                .start
                .wrapping_add(ROOM - (pointer >> 3) as usize % PAGE),
            4 => 0xffff_8000_0000_1000_u64 as *mut u8,
            5 => self.readonly,
            _ => self.start,
        }
    }

    /// Puts bytes where a pointer points to, as far as there is memory.
    fn put(&self, pointer: u64, bytes: &[u8]) -> *mut u8 {
        let to = self.at(pointer);
        let room = match pointer & 7 {
            GOOD => bytes.len(),
            EDGE => (pointer >> 3) as usize % PAGE,
            _ => 0,
        };
        for (n, byte) in bytes.iter().enumerate().take(room) {
            // SAFETY: There is as much room, and no other thread has this buffer.
            unsafe { to.add(n).write(*byte) };
        }
        to
    }

    fn bytes(&self, length: usize) -> &[u8] {
        assert!(length <= ROOM);
        // SAFETY: So many bytes are mapped, and no call is going on that writes to them.
        unsafe { std::slice::from_raw_parts(self.start, length) }
    }
}

fn read_text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().into()
}

impl World {
    pub fn new() -> Self {
        let world = Self {
            program: Mutex::default(),
            files: [const { AtomicI32::new(-1) }; FILES.len()],
            owners: [const { AtomicU32::new(0) }; FIRST_FIXED as usize],
            next_owner: AtomicU32::new(1),
            keys: [const { AtomicI32::new(0) }; NR_KEYS],
            used: AtomicU32::new(KEYS),
            tallies: std::array::from_fn(|_| Received::default()),
            uncountable: AtomicBool::new(false),
            moves: AtomicBool::new(false),
            can_rescue: AtomicBool::new(false),
            model: Mutex::default(),
            fault: Mutex::default(),
            compared: Default::default(),
            times: (0..=SPECS.len()).map(|_| AtomicU64::new(0)).collect(),
            seen: (0..EDGES).map(|_| AtomicU8::new(0)).collect(),
            namespace: sys::open("/proc/self/ns/mnt", libc::O_RDONLY),
            defaults: [
                "/proc/sys/fs/pipe-user-pages-hard",
                "/proc/sys/fs/pipe-user-pages-soft",
                "/proc/sys/user/max_watch_queue_watches",
            ]
            .map(|path| (path.to_string(), read_text(path)))
            .into(),
            lanes: Default::default(),
        };
        world.prepare();
        world
    }

    fn prepare(&self) {
        for n in 0..4 {
            let _ = fs::create_dir_all(format!("{MOUNTS}/{n}"));
        }
        mount("none", "/", "", libc::MS_REC | libc::MS_PRIVATE, "");
        mount("none", MOUNTS, "tmpfs", 0, "");
        for n in 0..4 {
            let _ = fs::create_dir_all(format!("{MOUNTS}/{n}"));
        }
        mount("none", "/sys/kernel/config", "configfs", 0, "");
        for disk in ["a", "b"] {
            let dir = format!("{NULLB}/{disk}");
            if fs::create_dir(&dir).is_err() {
                continue;
            }
            for (name, value) in [
                ("size", "16"),
                ("blocksize", "512"),
                ("memory_backed", "1"),
                ("discard", "1"),
                ("badblocks", "+16-31"),
                ("badblocks", "+2048-2055"),
                ("power", "1"),
            ] {
                write_to(&format!("{dir}/{name}"), value);
            }
        }
        let path = libc::O_PATH;
        for (name, file, flags) in [
            ("root", "/", path),
            ("mounts", MOUNTS, path),
            ("ext4", EXT4, libc::O_RDONLY),
            ("disk", &disk("a"), libc::O_RDWR | libc::O_DIRECT),
            ("disk2", &disk("b"), libc::O_RDONLY | libc::O_DIRECT),
            ("device", "/sys/devices/virtual/misc/watch_source", path),
            ("class", "/sys/class/watch_devices", path),
            ("bus", "/sys/bus/platform", path),
            ("sys", "/sys/kernel", path),
            ("proc", "/proc/self/status", libc::O_RDONLY),
        ] {
            self.set_fixed(name, sys::open(file, flags));
        }
        self.set_fixed("namespace", self.namespace);
        let mut ends = [0_i32; 2];
        sys!(
            SYS_pipe2,
            ends.as_mut_ptr(),
            libc::O_NONBLOCK | libc::O_CLOEXEC
        );
        self.set_fixed("pipe_r", ends[0]);
        self.set_fixed("pipe_w", ends[1]);
        self.set_fixed("bad", -2);
        self.set_fixed("unused", 1 << 20);
        self.partition(true);
        self.used.fetch_or(DEVICES | EXT4_CHANGED, Relaxed);
        self.put_back();
    }

    /// How often there was something to compare with: reads, and counts of a queue
    pub fn compared(&self) -> [u64; 2] {
        [0, 1].map(|n: usize| self.compared[n].load(Relaxed))
    }

    fn took(&self, spec: usize, begin: Instant) {
        let time = begin.elapsed().as_micros() as u64;
        self.times[spec].fetch_add(time, Relaxed);
    }

    /// Returns what took most of the time, and how many seconds.
    pub fn slowest(&self) -> Vec<(&'static str, u64)> {
        let names = SPECS.iter().map(|spec| spec.name).chain(["putting back"]);
        let seconds = self.times.iter().map(|time| time.load(Relaxed) / 1_000_000);
        let mut slowest: Vec<_> = names.zip(seconds).collect();
        slowest.sort_by_key(|(_, seconds)| std::cmp::Reverse(*seconds));
        slowest.truncate(8);
        slowest
    }

    /// Names the parts that this kernel lacks, so that calls which need them fail
    pub fn missing(&self) -> Vec<&'static str> {
        (FIRST_FIXED as usize..FILES.len())
            .filter(|file| self.files[*file].load(Relaxed) < 0)
            .map(|file| FILES[file])
            .filter(|name| !matches!(*name, "all" | "bad"))
            .collect()
    }

    fn set_fixed(&self, name: &str, fd: i32) {
        let file = FILES.iter().position(|known| *known == name);
        self.files[file.expect("it has a name")].store(fd, Relaxed);
    }

    fn fixed(&self, name: &str) -> i32 {
        let file = FILES.iter().position(|known| *known == name);
        self.files[file.expect("it has a name")].load(Relaxed)
    }

    /// Adds or deletes a partition of the first disk.
    fn partition(&self, add: bool) -> i64 {
        #[repr(C)]
        struct Partition {
            start: i64,
            length: i64,
            number: i32,
            names: [u8; 128],
        }
        #[repr(C)]
        struct Argument {
            op: i32,
            flags: i32,
            size: i32,
            data: *const Partition,
        }
        const BLKPG: u64 = 0x1269;
        let partition = Partition {
            start: 4096,
            length: 1 << 20,
            number: 1,
            names: [0; 128],
        };
        if !add {
            sys::close(self.fixed("partition"));
            self.set_fixed("partition", -1);
        }
        let argument = Argument {
            op: if add { 1 } else { 2 },
            flags: 0,
            size: size_of::<Partition>() as i32,
            data: &partition,
        };
        let result = sys!(SYS_ioctl, self.fixed("disk"), BLKPG, &raw const argument);
        if add && self.fixed("partition") < 0 {
            self.set_fixed(
                "partition",
                sys::open(&format!("{}1", disk("a")), libc::O_RDONLY),
            );
        }
        result
    }

    fn power(&self, on: bool) -> i64 {
        let result = write_to(&format!("{NULLB}/b/power"), if on { "1" } else { "0" });
        sys::close(self.fixed("disk2"));
        self.set_fixed(
            "disk2",
            sys::open(&disk("b"), libc::O_RDONLY | libc::O_DIRECT),
        );
        result
    }

    fn file(&self, slot: u64) -> i32 {
        self.files[slot as usize % FILES.len()].load(Relaxed)
    }

    fn owner(&self, slot: u64) -> u32 {
        let owner = self.owners.get(slot as usize);
        owner.map_or(0, |owner| owner.load(Relaxed))
    }

    /// The queue of a file, if it is an end of one
    fn queue(&self, slot: u64) -> Option<u32> {
        let owner = self.owner(slot);
        (owner & (READS | WRITES) != 0).then_some(owner >> 3)
    }

    fn source(&self, slot: u64) -> Option<u32> {
        let owner = self.owner(slot);
        (owner & SOURCE != 0).then_some(owner >> 3)
    }

    /// Closes what is in a slot that programs may change, and puts a file there.
    fn replace(&self, slot: u64, fd: i32, owner: u32) {
        let Some(old) = self.owners.get(slot as usize) else {
            sys::close(fd);
            return;
        };
        let source = self.source(slot);
        let old_fd = self.files[slot as usize].swap(fd, Relaxed);
        old.store(owner, Relaxed);
        if old_fd < 0 {
            return;
        }
        sys::close(old_fd);
        let is_open = |source| (0..FIRST_FIXED).any(|slot| self.source(slot) == Some(source));
        if let Some(source) = source.filter(|source| !is_open(*source)) {
            self.model().detach_all(source, 0);
        }
    }

    fn new_owner(&self) -> u32 {
        self.next_owner.fetch_add(1, Relaxed)
    }

    fn model(&self) -> std::sync::MutexGuard<'_, Model> {
        self.model.lock().expect("nobody panics with it")
    }

    fn find_fault(&self, at: &str, what: String) {
        let mut fault = self.fault.lock().expect("nobody panics with it");
        fault.get_or_insert_with(|| format!("{at}: {what}"));
    }

    fn check(&self, at: &Call, verdict: Result<(), String>) {
        if let Err(what) = verdict {
            self.find_fault(&at.to_string(), what);
        }
    }

    /// Returns the tally of the queue of a file, if it is certain which that is.
    fn certain_tally(&self, slot: u64) -> Option<&Received> {
        let queue = self.queue(slot).filter(|_| !self.moves.load(Relaxed))?;
        self.tallies.get(queue as usize)
    }

    /// Returns whether a file cannot change its queue, as that is sealed.
    fn is_sealed(&self, slot: u64) -> bool {
        let reads_only = self.owner(slot) & (READS | WRITES) == READS;
        let tally = self.certain_tally(slot).filter(|_| reads_only);
        tally.is_some_and(|tally| tally.sealed.load(Relaxed))
    }

    /// A queue gets messages, or they are read, in a way that is not counted.
    fn lose_count(&self, queue: u32) {
        self.model().lose_sight(queue);
        match self.tallies.get(queue as usize) {
            Some(tally) => tally.uncountable.store(true, Relaxed),
            None => self.uncountable.store(true, Relaxed),
        }
    }

    fn lose_all_count(&self) {
        self.model().lose_sight_of_all();
        self.uncountable.store(true, Relaxed);
    }

    fn count(&self, queue: u32, bytes: &[u8]) -> Result<(), String> {
        let tally = model::tally(bytes);
        if self.uncountable.load(Relaxed) {
            return tally.map(drop);
        }
        let tally = tally?;
        if let Some(received) = self.tallies.get(queue as usize) {
            received.received.fetch_add(tally.received, Relaxed);
            received.lost.fetch_add(tally.lost, Relaxed);
        }
        Ok(())
    }

    /// Begins a program.
    pub fn begin(&self, program: &Program) {
        self.program
            .lock()
            .expect("nobody panics with it")
            .clone_from(program);
        let parallel = &program.calls[program.parallel_from()..];
        *self.model() = if parallel.is_empty() {
            Model::default()
        } else {
            Model::blind()
        };
        for tally in &self.tallies {
            tally.received.store(0, Relaxed);
            tally.lost.store(0, Relaxed);
            tally.uncountable.store(false, Relaxed);
            tally.sealed.store(false, Relaxed);
        }
        // A file can be replaced while the other thread reads it.
        let moves = parallel.iter().any(|call| {
            use Kind::*;
            matches!(
                call.kind(),
                OpenQueue
                    | Close
                    | Dup
                    | Reopen
                    | OpenSource
                    | OpenHold
                    | Epoll
                    | OpenTree
                    | FsMount
                    | OpenDir
                    | OpenSys
            )
        });
        self.uncountable.store(moves, Relaxed);
        self.moves.store(moves, Relaxed);
        let keeps = program.calls.iter().any(|call| {
            use Kind::*;
            matches!(call.kind(), UringPoll | UringRead)
        });
        self.can_rescue.store(!keeps, Relaxed);
        self.next_owner.store(1, Relaxed);
        *self.fault.lock().expect("nobody panics with it") = None;
        if self.keys[RING].load(Relaxed) == 0 {
            self.new_ring();
        }
    }

    fn new_ring(&self) {
        let ring = sys!(
            SYS_add_key,
            c"keyring".as_ptr(),
            c"fuzz".as_ptr(),
            0,
            0,
            libc::KEY_SPEC_SESSION_KEYRING
        );
        self.keys[RING].store(ring as i32, Relaxed);
        self.keys[5].store(libc::KEY_SPEC_SESSION_KEYRING, Relaxed);
    }

    /// Ends a program: reads what is left and checks the counts, and closes all.  Returns what is
    /// wrong.
    pub fn end(&self, lane: &mut Lane) -> Option<String> {
        let begin = Instant::now();
        lane.progress(self, -1);
        if self.used.load(Relaxed) & LIMITS != 0 {
            self.put_back_limits();
        }
        if self.fault.lock().expect("nobody panics with it").is_none() {
            for slot in 0..FIRST_FIXED {
                if self.owner(slot) & READS == 0 {
                    continue;
                }
                if let Err(what) = self.check_end(lane, slot) {
                    self.find_fault(FILES[slot as usize], what);
                }
            }
        }
        for slot in 0..FIRST_FIXED {
            self.replace(slot, -1, 0);
        }
        self.put_back();
        lane.idle(self);
        self.took(SPECS.len(), begin);
        self.fault.lock().expect("nobody panics with it").take()
    }

    /// Reads all that is left in a queue, and compares what is counted.
    fn check_end(&self, lane: &Lane, slot: u64) -> Result<(), String> {
        let fd = self.file(slot);
        let queue = self.owner(slot) >> 3;
        let Some(tally) = self.tallies.get(queue as usize) else {
            return Ok(());
        };
        sys!(SYS_fcntl, fd, libc::F_SETFL, libc::O_NONBLOCK);
        let is_counted = || !self.uncountable.load(Relaxed) && !tally.uncountable.load(Relaxed);
        let mut bytes = 0_i32;
        sys!(SYS_ioctl, fd, libc::FIONREAD, &raw mut bytes);
        if is_counted() {
            self.model().pending(queue, bytes)?;
        }
        let mut read = 0;
        loop {
            let result = sys!(SYS_read, fd, lane.buffer.start, ROOM);
            if result <= 0 {
                break;
            }
            read += result;
            self.count(queue, lane.buffer.bytes(result as usize))?;
            self.model()
                .read(queue, ROOM, result, lane.buffer.bytes(result as usize))?;
            // A key that is collected now posts, too.
            if read > 1 << 24 {
                return Err("there is no end to it".into());
            }
        }
        if !is_counted() {
            return Ok(());
        }
        self.compared[1].fetch_add(1, Relaxed);
        if read != i64::from(bytes) {
            return Err(format!("FIONREAD said {bytes}, and {read} bytes were read"));
        }
        let info = read_text(&format!("/proc/self/fdinfo/{fd}"));
        let value = |name: &str| {
            info.lines()
                .find_map(|line| line.strip_prefix("watch_queue-")?.strip_prefix(name))
                .and_then(|value| value.trim_start_matches(':').trim().parse::<u64>().ok())
                .ok_or_else(|| format!("fdinfo has no {name}: {info}"))
        };
        let is = [
            value("delivered")?,
            value("lost")?,
            value("messages")?,
            value("bytes")?,
        ];
        let wanted = [tally.received.load(Relaxed), tally.lost.load(Relaxed), 0, 0];
        if is != wanted {
            return Err(format!(
                "delivered, lost, left messages and bytes: {is:?}, but read: {wanted:?}"
            ));
        }
        Ok(())
    }

    fn put_back_limits(&self) {
        set_limit(1024);
        for (path, value) in &self.defaults {
            write_to(path, value);
        }
    }

    /// Has all be as it was.
    fn put_back(&self) {
        let used = self.used.swap(0, Relaxed);
        if used & FROZEN != 0 {
            self.thaw();
        }
        if used & MOUNTED != 0 {
            // Not of the mounts below, which would go with it
            for dir in 0..4 {
                let dir = format!("{MOUNTS}/{dir}\0");
                for _ in 0..40 {
                    if sys!(SYS_umount2, dir.as_ptr(), libc::MNT_DETACH) != 0 {
                        break;
                    }
                }
            }
            mount("none", "/", "", libc::MS_REC | libc::MS_PRIVATE, "");
            mount("none", MOUNTS, "", libc::MS_REMOUNT, "");
        }
        if used & EXT4_CHANGED != 0 {
            mount("none", EXT4, "", libc::MS_REMOUNT, "");
        }
        if used & KEYS != 0 {
            let ring = self.keys[RING].load(Relaxed);
            if ring > 0 {
                sys!(SYS_keyctl, libc::KEYCTL_CLEAR, ring);
                sys!(
                    SYS_keyctl,
                    libc::KEYCTL_UNLINK,
                    ring,
                    libc::KEY_SPEC_SESSION_KEYRING
                );
            }
            for key in &self.keys {
                key.store(0, Relaxed);
            }
            self.new_ring();
        }
        if used & DEVICES != 0 {
            write_to("/sys/module/watch_devices/parameters/count", "1");
        }
        if used & POWER != 0 {
            self.power(true);
        }
        if used & PARTITION != 0 {
            self.partition(true);
        }
        if used & TRACE != 0 {
            write_to(TRACE_EVENTS, "0");
        }
    }

    /// Ends what can only be ended by reading all, or by thawing.
    pub fn rescue(&self) {
        let ends = (0..FIRST_FIXED)
            .filter(|slot| self.owner(*slot) & READS != 0)
            .map(|slot| (self.owner(slot) >> 3, self.file(slot)));
        let spares = self
            .lanes
            .iter()
            .map(|lane| (lane.spare_queue.load(Relaxed), lane.spare.load(Relaxed)));
        let mut buffer = [0_u8; PAGE];
        for (queue, fd) in ends.chain(spares.filter(|(_, fd)| *fd > 0)) {
            self.lose_count(queue);
            // Not with RWF_NOWAIT, of which files that were opened again know nothing
            let flags = sys!(SYS_fcntl, fd, libc::F_GETFL, 0);
            if flags >= 0 {
                let flags = flags | i64::from(libc::O_NONBLOCK);
                sys!(SYS_fcntl, fd, libc::F_SETFL, flags);
            }
            for _ in 0..1000 {
                if sys!(SYS_read, fd, buffer.as_mut_ptr(), PAGE) <= 0 {
                    break;
                }
            }
        }
        if self.used.load(Relaxed) & FROZEN != 0 {
            self.thaw();
        }
    }

    fn thaw(&self) {
        const FITHAW: u64 = 0xc004_5878;
        sys!(SYS_ioctl, self.fixed("ext4"), FITHAW, 0);
    }

    fn key(&self, n: u64) -> i32 {
        self.keys[n as usize % NR_KEYS].load(Relaxed)
    }
}

fn disk(name: &str) -> String {
    format!("/dev/{name}")
}

fn set_limit(files: u64) -> i64 {
    let limit = libc::rlimit64 {
        rlim_cur: files,
        rlim_max: 4096,
    };
    sys!(SYS_prlimit64, 0, libc::RLIMIT_NOFILE, &raw const limit, 0)
}

fn dir(n: u64) -> &'static str {
    [
        "/tmp/m/0", "/tmp/m/1", "/tmp/m/2", "/tmp/m/3", "/tmp/m", "/", EXT4, "/proc",
    ][n as usize % 8]
}

fn sys_dir(n: u64) -> &'static str {
    [
        "/sys/devices/virtual/watch_devices/watched0",
        "/sys/devices/virtual/watch_devices/watched1",
        "/sys/devices/virtual/watch_devices",
        "/sys/class/watch_devices",
        "/sys/bus/platform",
        "/sys/bus/platform/devices",
        "/sys/devices/virtual/misc/watch_source",
        "/sys/block",
        "/sys/devices",
    ][n as usize % 9]
}

impl Lane {
    pub fn new(world: &World, which: usize, has_coverage: bool) -> std::io::Result<Self> {
        // So that this thread can have a namespace of its own
        sys!(SYS_unshare, libc::CLONE_FS);
        fail::prepare();
        world.lanes[which]
            .thread
            .store(sys!(SYS_gettid) as i32, Relaxed);
        Ok(Self {
            which,
            kcov: if has_coverage {
                Some(Kcov::of_this_thread()?)
            } else {
                None
            },
            buffer: Buffer::new(),
            uring: None,
            has_left: false,
            is_user: false,
            stamps: vec![0; if has_coverage { EDGES } else { 0 }],
            stamp: 0,
            trace: Vec::new(),
        })
    }

    fn progress(&self, world: &World, at: i64) {
        let progress = &world.lanes[self.which];
        progress.at.store(at, Relaxed);
        progress.sleeps.store(false, Relaxed);
        progress.calls.fetch_add(1, Relaxed);
        progress.busy.store(true, SeqCst);
    }

    fn idle(&self, world: &World) {
        world.lanes[self.which].busy.store(false, SeqCst);
    }

    pub fn begin(&mut self) {
        self.trace.clear();
        self.stamp += 1;
    }

    /// Makes the calls of a program that are for this thread.
    pub fn run<'a>(&mut self, world: &World, calls: impl Iterator<Item = (usize, &'a Call)>) {
        for (n, call) in calls {
            self.progress(world, n as i64);
            let sleeps = call.kind() == Kind::Sleep;
            world.lanes[self.which].sleeps.store(sleeps, Relaxed);
            let begin = Instant::now();
            // To look at the clock is a call that copies, too.
            let can_fail = !matches!(call.kind(), Kind::Sync | Kind::Fork | Kind::Sleep);
            let fail = if can_fail { call.fail } else { 0 };
            if fail != 0 {
                fail::set(fail);
            }
            if let Some(kcov) = &self.kcov {
                kcov.reset();
            }
            self.make(world, call);
            self.collect(n as u16);
            if fail != 0 {
                fail::set(0);
                world.model().lose_sight_of_all();
            }
            world.took(call.spec, begin);
        }
        self.progress(world, -2);
    }

    /// Undoes changes that only this thread can undo
    pub fn come_back(&mut self, world: &World) {
        if self.is_user {
            sys!(SYS_setresuid, 0, 0, 0);
            self.is_user = false;
        }
        if self.has_left {
            sys!(SYS_setns, world.namespace, libc::CLONE_NEWNS);
            self.has_left = false;
        }
        if let Some(uring) = &mut self.uring {
            uring.cancel_all();
        }
        self.idle(world);
    }

    fn collect(&mut self, call: u16) {
        let Self {
            kcov: Some(kcov),
            stamps,
            stamp,
            trace,
            ..
        } = self
        else {
            return;
        };
        let mut last = 0;
        kcov.for_each(|point| {
            let mixed = (last ^ point).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            last = point.rotate_left(17);
            let edge = (mixed >> (64 - EDGE_BITS)) as usize;
            if stamps[edge] != *stamp {
                stamps[edge] = *stamp;
                trace.push(Step {
                    call,
                    edge: edge as u32,
                    point,
                });
            }
        });
    }

    fn uring(&mut self) -> Option<&mut Uring> {
        if self.uring.is_none() {
            self.uring = Uring::new();
        }
        self.uring.as_mut()
    }

    /// Reads, and checks what comes.
    fn read(&mut self, world: &World, call: &Call, room: u64, read: impl Fn(&Buffer, i32) -> i64) {
        let slot = call.args[0];
        let pointer = *call.args.last().expect("it is a pointer");
        let queue = world.queue(slot).filter(|_| world.owner(slot) & READS != 0);
        let result = read(&self.buffer, world.file(slot));
        let Some(queue) = queue else {
            return;
        };
        if pointer & 7 != GOOD {
            world.model().lose_sight(queue);
            if result > 0 && pointer & 7 != EDGE {
                world.find_fault(&call.to_string(), format!("{result} bytes to nowhere"));
            }
            if result > 0 {
                let at = self.buffer.at(pointer);
                // SAFETY: The kernel has just written there.
                let bytes = unsafe { std::slice::from_raw_parts(at, result as usize) };
                world.check(call, world.count(queue, bytes));
            }
            return;
        }
        if result > room as i64 {
            world.find_fault(&call.to_string(), format!("{result} bytes in {room}"));
            return;
        }
        let bytes = self.buffer.bytes(result.max(0) as usize);
        world.check(call, world.count(queue, bytes));
        if result > 0 && world.model().knows(queue) {
            world.compared[0].fetch_add(1, Relaxed);
        }
        let verdict = world.model().read(queue, room as usize, result, bytes);
        world.check(call, verdict);
    }

    /// Adds or removes a watch, or asks for what a source is.
    fn request(&self, world: &World, call: &Call, command: u64, bytes: &[u8]) -> i64 {
        let size = call.args[call.args.len() - 2] & 0x3fff;
        let pointer = call.args[call.args.len() - 1];
        let direction = if command == 0x64 { 1 } else { 3 };
        let mut whole = vec![0; bytes.len().max(size as usize)];
        whole[..bytes.len()].copy_from_slice(bytes);
        let at = self.buffer.put(pointer, &whole);
        let command = direction << 30 | size << 16 | 0x5700 | command;
        sys!(SYS_ioctl, world.file(call.args[0]), command, at)
    }

    fn make(&mut self, world: &World, call: &Call) {
        use Kind::*;
        let a = |n: usize| call.args[n];
        // The queue that the call changes, or has others change
        let changed = match call.kind() {
            Size | Filter | NoFilter | Add | Remove | Seal => Some(a(0)),
            Attach | Detach | DetachSeen | HoldAttach | HoldDetach | KeyWatch => Some(a(1)),
            _ => None,
        };
        let is_sealed = changed.is_some_and(|slot| world.is_sealed(slot));
        let permit = |result: i64| {
            if is_sealed && result >= 0 {
                world.find_fault(&call.to_string(), "a sealed queue was changed".into());
            }
            result
        };
        let fd = |n: usize| world.file(call.args[n]);
        let ioctl = |fd: i32, command: u64, argument: u64| sys!(SYS_ioctl, fd, command, argument);
        let uses = |what: u32| {
            world.used.fetch_or(what, Relaxed);
        };
        let room = |n: usize| call.args[n].min(ROOM as u64 / 2);
        match call.kind() {
            OpenQueue => {
                let mut ends = [-1_i32; 2];
                let place = a(0) % NR_QUEUES as u64 * 2;
                let flags = (a(1) & 0x20_4880) | 0x80 | libc::O_CLOEXEC as u64;
                if sys!(SYS_pipe2, ends.as_mut_ptr(), flags) == 0 {
                    let queue = world.new_owner();
                    world.model().open(queue);
                    world.replace(place, ends[0], queue << 3 | READS);
                    world.replace(place + 1, ends[1], queue << 3 | WRITES);
                }
            }
            Size => {
                // More takes long to get, and to give back.
                let wanted = match a(1) {
                    4096..0x10_0000 => 4096,
                    // Just more than anybody may have
                    0x10_0000..0x100_0000 => 8224,
                    wanted => wanted,
                };
                let result = permit(ioctl(fd(0), 0x5760, wanted));
                if let Some(queue) = world.queue(a(0)) {
                    world.check(call, world.model().size(queue, wanted, result));
                }
            }
            Filter => {
                let rules: Vec<Rule> = (0..a(1).min(20))
                    .map(|n| {
                        let mut subtypes = [0; 8];
                        let subtype = a(3).wrapping_add(n) as usize;
                        match subtypes.get_mut(subtype / 32) {
                            None if a(3) == EVERY_OTHER => subtypes = [0x5555_5555; 8],
                            Some(word) => *word = 1 << (subtype % 32),
                            None => subtypes = [u32::MAX; 8],
                        }
                        Rule {
                            kind: (a(2) as u32).wrapping_add(n as u32 / 2),
                            info_filter: a(4) as u32,
                            info_mask: a(5) as u32,
                            subtypes,
                        }
                    })
                    .collect();
                let mut words = vec![a(1) as u32, (a(1) >> 32) as u32];
                for rule in &rules {
                    words.extend([rule.kind, rule.info_filter, rule.info_mask]);
                    words.extend(rule.subtypes);
                }
                let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
                let at = self.buffer.put(a(6), &bytes);
                let result = permit(sys!(SYS_ioctl, fd(0), 0x5761, at));
                if let Some(queue) = world.queue(a(0)) {
                    let rules = (a(6) & 7 != 1).then_some(rules);
                    world.check(call, world.model().filter(queue, rules, result));
                }
            }
            NoFilter => {
                let result = permit(ioctl(fd(0), 0x5761, 0));
                if let Some(queue) = world.queue(a(0)) {
                    world.check(call, world.model().filter(queue, None, result));
                }
            }
            Fionread => {
                let at = self.buffer.put(a(1), &[0xff; 4]);
                let result = sys!(SYS_ioctl, fd(0), libc::FIONREAD, at);
                if let (Some(queue), 0, GOOD) = (world.queue(a(0)), result, a(1) & 7) {
                    let bytes = self.buffer.bytes(4);
                    let bytes = i32::from_ne_bytes(bytes.try_into().expect("these are four"));
                    world.check(call, world.model().pending(queue, bytes));
                }
            }
            // It waits until it is killed, so a child does it, if there is something to wait for.
            Sync => self.sync(world, a(0)),
            Add | Remove => {
                let is_add = call.kind() == Add;
                let mut bytes = Vec::new();
                bytes.extend((a(1) as u32).to_ne_bytes());
                bytes.extend(fd(2).to_ne_bytes());
                let (tag, flags, id) = if is_add {
                    (a(3), a(4), a(5))
                } else {
                    (0, a(3), a(4))
                };
                bytes.extend((tag as u32).to_ne_bytes());
                bytes.extend((flags as u32).to_ne_bytes());
                bytes.extend(id.to_ne_bytes());
                // Its messages come at any time, from before it returns.
                if let (true, Some(queue)) = (is_add, world.queue(a(0))) {
                    world.lose_count(queue);
                }
                permit(self.request(world, call, if is_add { 0x63 } else { 0x64 }, &bytes));
            }
            GetSource => {
                let mut bytes = [0; 56];
                bytes[..4].copy_from_slice(&(a(1) as u32).to_ne_bytes());
                bytes[4..8].copy_from_slice(&(a(2) as u32).to_ne_bytes());
                self.request(world, call, 0x65, &bytes);
            }
            Seal => {
                if permit(ioctl(fd(0), 0x5766, 0)) == 0 {
                    if let Some(tally) = world.certain_tally(a(0)) {
                        tally.sealed.store(true, Relaxed);
                    }
                }
            }
            Ioctl => {
                // Nothing that gives it a size, or waits
                if !matches!(a(1) & 0xffff, 0x5760..=0x5762) {
                    if let Some(queue) = world.queue(a(0)) {
                        world.lose_count(queue);
                    }
                    ioctl(fd(0), a(1), a(2));
                }
            }
            Read => self.read(world, call, room(1), |buffer, fd| {
                sys!(SYS_read, fd, buffer.at(a(2)), room(1))
            }),
            Readv => self.read(world, call, room(1) + room(2), |buffer, fd| {
                let at = buffer.at(a(3)) as u64;
                let pieces = [at, room(1), at.wrapping_add(room(1)), room(2)];
                sys!(SYS_readv, fd, pieces.as_ptr(), 2)
            }),
            Preadv2 => self.read(world, call, room(1), |buffer, fd| {
                let pieces = [buffer.at(a(3)) as u64, room(1)];
                sys!(SYS_preadv2, fd, pieces.as_ptr(), 1, -1, 0, a(2))
            }),
            Write => {
                let result = sys!(SYS_write, fd(0), self.buffer.start, room(1).min(256));
                if result >= 0 && world.queue(a(0)).is_some() {
                    world.find_fault(&call.to_string(), format!("wrote {result}"));
                }
            }
            Poll => {
                let mut one = libc::pollfd {
                    fd: fd(0),
                    events: a(1) as i16,
                    revents: 0,
                };
                let result = sys!(SYS_poll, &raw mut one, 1, a(2) * 3);
                let queue = world.queue(a(0)).filter(|_| world.owner(a(0)) & READS != 0);
                if let (Some(queue), 0..) = (queue, result) {
                    if one.events & libc::POLLIN != 0 {
                        let is_ready = one.revents & libc::POLLIN != 0;
                        world.check(call, world.model().poll(queue, is_ready));
                    }
                }
            }
            Poll2 => {
                let mut two = [0, 1].map(|n| libc::pollfd {
                    fd: fd(n),
                    events: a(2) as i16,
                    revents: 0,
                });
                sys!(SYS_poll, two.as_mut_ptr(), 2, a(3) * 3);
            }
            Epoll => {
                let mut set = world.file(a(0));
                let mut event = libc::epoll_event {
                    events: a(2) as u32,
                    u64: 0,
                };
                let mut add = |set| {
                    sys!(
                        SYS_epoll_ctl,
                        set,
                        libc::EPOLL_CTL_ADD,
                        fd(1),
                        &raw mut event
                    )
                };
                // Whatever else is there is replaced.
                if add(set) == -i64::from(libc::EINVAL) || set < 0 {
                    set = sys!(SYS_epoll_create1, libc::EPOLL_CLOEXEC) as i32;
                    add(set);
                    world.replace(a(0), set, 0);
                }
            }
            EpollWait => {
                let mut events = [libc::epoll_event { events: 0, u64: 0 }; 4];
                sys!(SYS_epoll_wait, fd(0), events.as_mut_ptr(), 4, a(1) * 3);
            }
            EpollDelete => {
                sys!(SYS_epoll_ctl, fd(0), libc::EPOLL_CTL_DEL, fd(1), 0);
            }
            UringPoll => {
                let (fd, events, multishot) = (fd(0), a(1) as u32, a(2) as u32);
                if let Some(uring) = self.uring() {
                    uring.poll(fd, events, multishot);
                }
            }
            UringRead => {
                if let Some(queue) = world.queue(a(0)) {
                    world.lose_count(queue);
                }
                let (fd, room) = (fd(0), room(1));
                if let Some(uring) = self.uring() {
                    uring.read(fd, room as usize);
                }
            }
            UringReap => {
                if let Some(uring) = &mut self.uring {
                    uring.reap();
                }
            }
            UringCancel => {
                if let Some(uring) = &mut self.uring {
                    uring.cancel_all();
                }
            }
            SpliceFrom => {
                let to = world.fixed("pipe_w");
                let result = sys!(
                    SYS_splice,
                    fd(0),
                    0,
                    to,
                    0,
                    room(1),
                    libc::SPLICE_F_NONBLOCK
                );
                if result > 0 && world.queue(a(0)).is_some() {
                    world.find_fault(&call.to_string(), format!("spliced {result}"));
                }
                sys!(SYS_read, world.fixed("pipe_r"), self.buffer.start, ROOM);
            }
            SpliceTo | Vmsplice | Tee => {
                let [from, to] = ["pipe_r", "pipe_w"].map(|end| world.fixed(end));
                sys!(SYS_write, to, self.buffer.start, 16);
                let result = match call.kind() {
                    SpliceTo => sys!(SYS_splice, from, 0, fd(0), 0, room(1), 2),
                    Tee if a(0) & 1 == 0 => sys!(SYS_tee, fd(0), to, 16, 2),
                    Tee => sys!(SYS_tee, from, fd(0), 16, 2),
                    _ => {
                        let piece = [self.buffer.start as u64, 16];
                        sys!(SYS_vmsplice, fd(0), piece.as_ptr(), 1, 2)
                    }
                };
                if result > 0 && world.queue(a(0)).is_some() {
                    world.find_fault(&call.to_string(), format!("spliced {result}"));
                }
                sys!(SYS_read, from, self.buffer.start, ROOM);
            }
            Sendfile => {
                // A regular file, as there is nothing to be read without end
                sys!(SYS_sendfile, fd(1), world.fixed("proc"), 0, 64);
                if world.queue(a(0)).is_some() {
                    sys!(SYS_sendfile, world.fixed("pipe_w"), fd(0), 0, 64);
                    sys!(SYS_read, world.fixed("pipe_r"), self.buffer.start, ROOM);
                }
            }
            SetFlags => {
                sys!(SYS_fcntl, fd(0), libc::F_SETFL, a(1) & 0x6c00);
            }
            SetOwner => {
                let owner = match a(1) {
                    0 => 0,
                    1 => sys!(SYS_getpid),
                    _ => -1,
                };
                sys!(SYS_fcntl, fd(0), libc::F_SETOWN, owner);
            }
            SetPipeSize => {
                sys!(SYS_fcntl, fd(0), libc::F_SETPIPE_SZ, a(1));
            }
            GetPipeSize => {
                sys!(SYS_fcntl, fd(0), libc::F_GETPIPE_SZ, 0);
            }
            Fcntl => {
                // Nothing that makes files or locks
                if matches!(a(1), 10 | 11 | 16 | 1031..=1034) {
                    sys!(SYS_fcntl, fd(0), a(1), a(2));
                }
            }
            Dup => {
                let copy = sys!(SYS_dup, fd(1)) as i32;
                if copy >= 0 {
                    world.replace(a(0), copy, world.owner(a(1)));
                }
            }
            Reopen => {
                let path = format!("/proc/self/fd/{}", fd(1));
                let tally = world.certain_tally(a(1));
                let is_sealed = tally.is_some_and(|tally| tally.sealed.load(Relaxed));
                let owner = world.owner(a(1));
                // Not to be had as a whole, and not a key's or terminal's
                let again = sys::open(&path, (a(2) & 0x20_4803) as i32);
                if again < 0 {
                    return;
                }
                let is_path = a(2) & libc::O_PATH as u64 != 0;
                if is_sealed && !is_path && a(2) & 3 != 0 {
                    let what = "a sealed queue was opened for writing";
                    world.find_fault(&call.to_string(), what.into());
                }
                let ends = match a(2) & 3 {
                    _ if is_path => 0,
                    0 => READS,
                    1 => WRITES,
                    _ => READS | WRITES,
                };
                let owner = if world.queue(a(1)).is_some() {
                    owner & !7 | ends
                } else {
                    // Another source
                    0
                };
                world.replace(a(0), again, owner);
            }
            Fdinfo => {
                let info = sys::open(&format!("/proc/self/fdinfo/{}", fd(0)), libc::O_RDONLY);
                if info >= 0 {
                    let room = room(1).max(1);
                    for _ in 0..3 {
                        if sys!(SYS_read, info, self.buffer.start, room) <= 0 {
                            break;
                        }
                    }
                    sys::close(info);
                }
            }
            Stat => {
                sys!(SYS_fstat, fd(0), self.buffer.start);
                sys!(SYS_lseek, fd(0), 0, libc::SEEK_CUR);
            }
            Close => world.replace(a(0).min(FIRST_FIXED), -1, 0),
            Fork => self.fork(world, a(0), a(1)),
            As => {
                let user = if a(0) == 0 { 0 } else { USER };
                self.is_user = user != 0;
                sys!(SYS_setresuid, -1, user, -1);
            }
            Limit => {
                uses(LIMITS);
                set_limit(a(0).min(1024));
            }
            PipePages | SoftPages | WatchLimit => {
                uses(LIMITS);
                let n = match call.kind() {
                    PipePages => 0,
                    SoftPages => 1,
                    _ => 2,
                };
                write_to(&world.defaults[n].0, &(a(0) as u32 >> 1).to_string());
            }
            OpenSource => {
                let fd = sys::open("/dev/watch_source", libc::O_RDWR);
                if fd >= 0 {
                    let owner = world.new_owner() << 3 | SOURCE;
                    world.replace(6 + a(0) % 2, fd, owner);
                }
            }
            Attach | Detach | DetachSeen => {
                let tag = if call.kind() == Attach { a(3) } else { 0 };
                let watch = [a(2), u64::from(fd(1) as u32) | tag << 32];
                let command = match call.kind() {
                    Attach => 0x4010_7700_u64,
                    Detach => 0x4010_7701,
                    _ => 0x4010_7704,
                };
                let result = sys!(SYS_ioctl, fd(0), command, watch.as_ptr());
                permit(result);
                if let (Some(source), Some(queue)) = (world.source(a(0)), world.queue(a(1))) {
                    let verdict = if call.kind() == Attach {
                        world.model().attach(source, queue, a(2), tag, result)
                    } else {
                        // EILSEQ says that it was removed, and was not the first on the list.
                        let result = if result == -i64::from(libc::EILSEQ) {
                            0
                        } else {
                            result
                        };
                        world.model().detach(source, queue, a(2), result)
                    };
                    world.check(call, verdict);
                }
            }
            DetachAll => {
                let id = a(1);
                let result = sys!(SYS_ioctl, fd(0), 0x4008_7702_u64, &raw const id);
                if let (Some(source), 0) = (world.source(a(0)), result) {
                    world.model().detach_all(source, id);
                }
            }
            Post => self.post(world, call),
            OpenHold => {
                let fd = sys::open("/dev/watch_hold", libc::O_RDWR);
                if fd >= 0 {
                    world.replace(a(0), fd, 0);
                }
            }
            HoldAttach | HoldDetach => {
                // Without a file, it is the queue that is pinned, whichever that is.
                match world.queue(a(1)) {
                    Some(queue) => world.lose_count(queue),
                    None => world.lose_all_count(),
                }
                let tag = if call.kind() == HoldAttach { a(3) } else { 0 };
                let watch = [a(2), u64::from(fd(1) as u32) | tag << 32];
                let command = if call.kind() == HoldAttach {
                    0x4010_6800_u64
                } else {
                    0x4010_6801
                };
                permit(sys!(SYS_ioctl, fd(0), command, watch.as_ptr()));
            }
            HoldRemove | HoldKill | HoldPost => {
                let id = a(1);
                let command = match call.kind() {
                    HoldRemove => 0x4008_6802_u64,
                    HoldKill => 0x4008_6803,
                    _ => 0x4008_6804,
                };
                sys!(SYS_ioctl, fd(0), command, &raw const id);
            }
            HoldPin => {
                let queue = fd(1);
                sys!(SYS_ioctl, fd(0), 0x4004_6805_u64, &raw const queue);
            }
            HoldUnname => {
                ioctl(fd(0), 0x6807, 0);
            }
            // Not for a count that goes on beyond what it waits for
            HoldWait if world.can_rescue.load(Relaxed) && !self.is_parallel(world) => {
                ioctl(fd(0), 0x6810, 0);
            }
            HoldWait => {}
            KeyAdd => {
                uses(KEYS);
                let kind = [c"user", c"keyring", c"logon"][a(1) as usize % 3];
                let name = if a(1) == 2 { c"fuzz:key" } else { c"key" };
                let payload = if a(1) == 1 { 0 } else { 4 };
                let bytes = if payload == 0 {
                    0
                } else {
                    self.buffer.start as u64
                };
                let name = if a(0) & 1 == 0 { name } else { c"fuzz:other" };
                let key = sys!(
                    SYS_add_key,
                    kind.as_ptr(),
                    name.as_ptr(),
                    bytes,
                    payload,
                    world.key(a(2))
                );
                if key > 0 {
                    world.keys[a(0) as usize % 4].store(key as i32, Relaxed);
                }
            }
            KeyWatch => {
                uses(KEYS);
                if let Some(queue) = world.queue(a(1)) {
                    world.lose_count(queue);
                }
                let result = sys!(SYS_keyctl, 32, world.key(a(0)), fd(1), a(2) as i32);
                permit(result);
            }
            KeyUpdate | KeyLink | KeyUnlink | KeyMove | KeyRevoke | KeyInvalidate | KeyClear
            | KeySetperm | KeyTimeout | KeyChown => {
                uses(KEYS);
                let key = world.key(a(0));
                let buffer = self.buffer.start;
                match call.kind() {
                    KeyUpdate => sys!(SYS_keyctl, libc::KEYCTL_UPDATE, key, buffer, 8),
                    KeyLink => sys!(SYS_keyctl, libc::KEYCTL_LINK, key, world.key(a(1))),
                    KeyUnlink => sys!(SYS_keyctl, libc::KEYCTL_UNLINK, key, world.key(a(1))),
                    KeyMove => sys!(SYS_keyctl, 30, key, world.key(a(1)), world.key(a(2)), 0),
                    KeyRevoke => sys!(SYS_keyctl, libc::KEYCTL_REVOKE, key),
                    KeyInvalidate => sys!(SYS_keyctl, libc::KEYCTL_INVALIDATE, key),
                    KeyClear => sys!(SYS_keyctl, libc::KEYCTL_CLEAR, key),
                    KeySetperm => sys!(SYS_keyctl, libc::KEYCTL_SETPERM, key, a(1)),
                    KeyTimeout => sys!(SYS_keyctl, libc::KEYCTL_SET_TIMEOUT, key, a(1)),
                    _ => sys!(SYS_keyctl, libc::KEYCTL_CHOWN, key, a(1) as u32 * USER, -1),
                };
            }
            Sleep => std::thread::sleep(Duration::from_millis(a(0))),
            _ => self.make_of_source(world, call),
        }
    }

    /// Calls that have mounts, file systems, disks and devices report something.
    fn make_of_source(&mut self, world: &World, call: &Call) {
        use Kind::*;
        let a = |n: usize| call.args[n];
        let fd = |n: usize| world.file(call.args[n]);
        let uses = |what: u32| {
            world.used.fetch_or(what, Relaxed);
        };
        // Whatever is at / or was there at the beginning stays as it is.
        let place = |n: usize| dir(call.args[n] % 5);
        let recursive = |n: usize| if a(n) != 0 { libc::MS_REC } else { 0 };
        match call.kind() {
            MountTmpfs => {
                uses(MOUNTED);
                let options = [
                    "",
                    "usrquota,usrquota_block_hardlimit=8192",
                    "usrquota,usrquota_block_softlimit=4096,usrquota_inode_hardlimit=2",
                ];
                mount(
                    "none",
                    dir(a(0) % 4),
                    "tmpfs",
                    a(1) & 0x30_040f,
                    options[a(2) as usize % 3],
                );
            }
            Bind => {
                uses(MOUNTED);
                mount(
                    dir(a(0)),
                    dir(a(1) % 4),
                    "",
                    libc::MS_BIND | recursive(2),
                    "",
                );
            }
            MoveMount => {
                uses(MOUNTED);
                mount(dir(a(0) % 4), dir(a(1) % 4), "", libc::MS_MOVE, "");
            }
            Remount => {
                uses(MOUNTED);
                let bind = if a(2) != 0 { libc::MS_BIND } else { 0 };
                let flags = a(1) & 0x30_040f | libc::MS_REMOUNT | bind;
                mount("none", place(0), "", flags, "");
            }
            Propagate => {
                uses(MOUNTED);
                mount("none", place(0), "", a(1) & (0xf << 17) | recursive(2), "");
            }
            Umount => {
                uses(MOUNTED);
                let path = format!("{}\0", dir(a(0) % 4));
                sys!(SYS_umount2, path.as_ptr(), a(1) & 0xf);
            }
            Unshare => {
                self.has_left |= sys!(SYS_unshare, libc::CLONE_NEWNS) == 0;
            }
            SetNs => {
                self.has_left |= sys!(SYS_setns, fd(0), libc::CLONE_NEWNS) == 0;
            }
            OpenTree => {
                uses(MOUNTED);
                let path = format!("{}\0", dir(a(1)));
                // OPEN_TREE_CLONE, O_CLOEXEC, and AT_RECURSIVE
                let flags = 0x8_0001 | if a(2) != 0 { 0x8000 } else { 0 };
                let tree = sys!(SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) as i32;
                if tree >= 0 {
                    world.replace(a(0), tree, 0);
                }
            }
            FsMount => {
                uses(MOUNTED);
                let context = sys!(SYS_fsopen, c"tmpfs".as_ptr(), 1) as i32;
                sys!(SYS_fsconfig, context, 6, 0, 0, 0);
                let mounted = sys!(SYS_fsmount, context, 1, 0) as i32;
                sys::close(context);
                if mounted >= 0 {
                    let path = format!("{}\0", dir(a(1) % 4));
                    sys!(
                        SYS_move_mount,
                        mounted,
                        c"".as_ptr(),
                        libc::AT_FDCWD,
                        path.as_ptr(),
                        4
                    );
                    world.replace(a(0), mounted, 0);
                }
            }
            MountSetattr => {
                uses(MOUNTED);
                let shared = if a(2) != 0 { 1_u64 << 20 } else { 0 };
                let attributes = [a(1) & 0xf, 0, shared, 0];
                if a(0) < FIRST_FIXED {
                    sys!(
                        SYS_mount_setattr,
                        fd(0),
                        c"".as_ptr(),
                        libc::AT_EMPTY_PATH,
                        attributes.as_ptr(),
                        32
                    );
                }
            }
            OpenDir => {
                let flags = if a(2) == 0 {
                    libc::O_PATH
                } else {
                    libc::O_RDONLY
                };
                let dir = sys::open(dir(a(1)), flags | libc::O_DIRECTORY);
                if dir >= 0 {
                    world.replace(a(0), dir, 0);
                }
            }
            Fill => {
                let path = format!("{}/fill", dir(a(0) % 4));
                let was_user = self.is_user;
                let full = format!("{}\0", dir(a(0) % 4));
                sys!(SYS_chmod, full.as_ptr(), 0o777);
                sys!(SYS_setresuid, -1, USER, -1);
                for n in 0..3 {
                    let fd = sys::open(&format!("{path}{n}"), libc::O_RDWR | libc::O_CREAT);
                    if fd >= 0 {
                        sys!(SYS_write, fd, self.buffer.start, a(1).min(16) * 1024);
                        sys::close(fd);
                    }
                }
                if !was_user {
                    sys!(SYS_setresuid, -1, 0, -1);
                }
            }
            Freeze => {
                uses(FROZEN);
                const FIFREEZE: u64 = 0xc004_5877;
                if a(0) == 0 {
                    sys!(SYS_ioctl, world.fixed("ext4"), FIFREEZE, 0);
                } else {
                    world.thaw();
                }
            }
            Ext4Error => {
                for entry in fs::read_dir("/sys/fs/ext4").into_iter().flatten().flatten() {
                    let path = entry.path().join("trigger_fs_error");
                    write_to(&path.to_string_lossy(), "fuzz");
                }
            }
            RemountExt4 => {
                uses(EXT4_CHANGED);
                let flags = libc::MS_REMOUNT | if a(0) == 1 { libc::MS_RDONLY } else { 0 };
                mount("none", EXT4, "", flags, "");
            }
            DiskIo => {
                let (position, length) = ((a(2) * 512).min(1 << 30), a(3).min(16384));
                let range = [position, length];
                let buffer = self.buffer.start;
                let name = FILES[a(0) as usize % FILES.len()];
                let fd = match name {
                    "disk" | "disk2" | "partition" => fd(0),
                    _ => world.fixed("disk"),
                };
                match a(1) {
                    0 | 1 => sys!(SYS_pread64, fd, buffer, length, position),
                    2 => sys!(SYS_pwrite64, fd, buffer, length, position),
                    3 => sys!(SYS_fsync, fd),
                    4 => sys!(SYS_ioctl, fd, 0x1277, range.as_ptr()),
                    5 => sys!(SYS_ioctl, fd, 0x127f, range.as_ptr()),
                    _ => sys!(SYS_ioctl, fd, 0x127d, range.as_ptr()),
                };
            }
            Power => {
                uses(POWER);
                world.power(a(0) != 0);
            }
            Partition => {
                uses(PARTITION);
                world.partition(a(0) != 0);
            }
            Devices => {
                uses(DEVICES);
                let count = a(0).to_string();
                write_to("/sys/module/watch_devices/parameters/count", &count);
            }
            OpenSys => {
                let dir = sys::open(sys_dir(a(1)), libc::O_PATH);
                if dir >= 0 {
                    world.replace(a(0), dir, 0);
                }
            }
            Uevent => {
                let path = match a(0) % 6 {
                    0 | 1 => "/sys/devices/virtual/watch_devices/watched0/uevent",
                    2 => "/sys/devices/virtual/watch_devices/watched1/uevent",
                    3 => "/sys/devices/virtual/misc/watch_source/uevent",
                    4 => "/sys/class/block/a/uevent",
                    _ => "/sys/bus/platform/uevent",
                };
                let actions = [
                    "add",
                    "remove",
                    "change",
                    "move",
                    "online",
                    "offline",
                    "bind",
                    "unbind",
                    "change ffffffff-ffff-ffff-ffff-ffffffffffff A=1",
                ];
                write_to(path, actions[a(1) as usize % actions.len()]);
            }
            Trace => {
                uses(TRACE);
                // Tracing itself warns if it cannot be switched on.
                fail::set(0);
                write_to(TRACE_EVENTS, if a(0) == 0 { "0" } else { "1" });
            }
            kind => unreachable!("{kind:?}"),
        }
    }

    fn post(&self, world: &World, call: &Call) {
        #[repr(C)]
        struct Argument {
            id: u64,
            kind: u32,
            subtype: u32,
            info: u32,
            length: u32,
            count: u32,
            context: u32,
            numbered: u32,
            poster: u32,
            number: u32,
            reserved: u32,
            elapsed: u64,
            message: [u8; 128],
        }
        let a = |n: usize| call.args[n];
        let mut argument = Argument {
            id: a(1),
            kind: a(2) as u32,
            subtype: a(3) as u32,
            info: a(4) as u32,
            length: a(5) as u32,
            count: a(6).min(66_000) as u32,
            context: a(7) as u32,
            numbered: a(8) as u32,
            poster: model::POSTER,
            number: 0,
            reserved: 0,
            elapsed: 0,
            message: std::array::from_fn(|n| (n as u8) ^ a(4) as u8),
        };
        let Argument {
            id,
            kind,
            subtype,
            info,
            length,
            count,
            ..
        } = argument;
        if kind == 0 && subtype == 1 {
            // It looks like a loss.
            world.uncountable.store(true, Relaxed);
        }
        let result = sys!(
            SYS_ioctl,
            world.file(a(0)),
            0xc0b8_7703_u64,
            &raw mut argument
        );
        let Some(source) = world.source(a(0)) else {
            return;
        };
        match result as i32 {
            0 => world.model().post(
                source,
                &Post {
                    id,
                    kind,
                    subtype: subtype as u8,
                    info,
                    length: length as usize,
                    count,
                    numbered: argument.numbered != 0,
                    message: argument.message,
                },
            ),
            e if e == -libc::EILSEQ => {
                world.find_fault(&call.to_string(), "interrupts are not as they were".into());
            }
            _ => {}
        }
    }

    fn is_parallel(&self, world: &World) -> bool {
        self.which == 1 || world.lanes[1].busy.load(Relaxed)
    }

    /// Waits until all is read.  Nothing but a fatal signal ends that, so it is a child that waits,
    /// to be killed after a while, unless it is sure that [`World::rescue`] can end it.
    fn sync(&self, world: &World, slot: u64) {
        let fd = world.file(slot);
        let Some(queue) = world.queue(slot) else {
            sys!(SYS_ioctl, fd, 0x5762, 0);
            return;
        };
        let has_reader =
            (0..FIRST_FIXED).any(|slot| world.owner(slot) & !(WRITES) == queue << 3 | READS);
        let mut bytes = 0_i32;
        sys!(SYS_ioctl, fd, libc::FIONREAD, &raw mut bytes);
        let will_end = !has_reader || bytes == 0 || self.is_parallel(world);
        if will_end && world.can_rescue.load(Relaxed) {
            let progress = &world.lanes[self.which];
            let reads = world.owner(slot) & READS != 0;
            let spare = if reads { sys!(SYS_dup, fd) as i32 } else { 0 };
            progress.spare_queue.store(queue, Relaxed);
            progress.spare.store(spare, Relaxed);
            sys!(SYS_ioctl, fd, 0x5762, 0);
            progress.spare.store(0, Relaxed);
            if spare > 0 {
                sys!(SYS_close, spare);
            }
            return;
        }
        let child = fork();
        if child == 0 {
            sys!(SYS_ioctl, fd, 0x5762, 0);
            sys!(SYS_exit_group, 0);
        }
        self.reap(child, Duration::from_millis(3));
    }

    /// A child does something, ends, or is killed.
    fn fork(&self, world: &World, what: u64, slot: u64) {
        // The child has the same files open, so closing them here does not end a queue.
        world.lose_all_count();
        let fd = world.file(slot);
        let child = fork();
        if child == 0 {
            match what {
                0 => {}
                1 => {
                    sys!(SYS_read, fd, self.buffer.start, 128);
                }
                2 => {
                    sys!(SYS_fcntl, fd, libc::F_SETFL, 0x2000);
                    sys!(SYS_fcntl, fd, libc::F_SETOWN, sys!(SYS_getpid));
                    std::thread::sleep(Duration::from_millis(2));
                }
                3 => {
                    sys!(SYS_close, fd);
                }
                _ => {
                    sys!(SYS_unshare, libc::CLONE_NEWNS);
                }
            }
            sys!(SYS_exit_group, 0);
        }
        self.reap(child, Duration::from_millis(8));
    }

    fn reap(&self, child: i64, patience: Duration) {
        if child < 0 {
            return;
        }
        let begin = Instant::now();
        while begin.elapsed() < patience {
            if sys!(SYS_wait4, child, 0, libc::WNOHANG, 0) != 0 {
                return;
            }
            std::thread::sleep(Duration::from_micros(300));
        }
        sys!(SYS_kill, child, libc::SIGKILL);
        while sys!(SYS_wait4, child, 0, 0, 0) == -i64::from(libc::EINTR) {}
    }
}

/// Makes a child by the bare system call: it may do nothing but make system calls.
fn fork() -> i64 {
    sys!(SYS_clone, libc::SIGCHLD, 0, 0, 0, 0)
}

/// The calls of one thread
pub fn calls_of(program: &Program, second: bool) -> impl Iterator<Item = (usize, &Call)> {
    let parallel = program.parallel_from();
    program
        .calls
        .iter()
        .enumerate()
        .skip(parallel)
        .filter(move |(_, call)| (call.thread == Thread::B) == second)
}

// SPDX-License-Identifier: GPL-2.0

//! An io_uring with a few entries, for polls and reads.

use crate::sys;
use std::sync::atomic::{AtomicU32, Ordering::*};

const ENTRIES: u32 = 16;
/// The size of the memory of each ring, and of the entries: more than is needed
const SIZE: usize = 4096;

const READ: u8 = 22;
const POLL_ADD: u8 = 6;
const CANCEL: u8 = 14;

#[repr(C)]
#[derive(Default)]
struct Params {
    entries: [u32; 2],
    flags: u32,
    cpu: u32,
    idle: u32,
    features: u32,
    wq_fd: u32,
    reserved: [u32; 3],
    sq: [u32; 10],
    cq: [u32; 10],
}

pub struct Uring {
    fd: i32,
    rings: *mut u8,
    entries: *mut u8,
    params: Params,
    buffer: Box<[u8; 1 << 16]>,
}

impl Uring {
    pub fn new() -> Option<Self> {
        let mut params = Params::default();
        let fd = sys!(SYS_io_uring_setup, ENTRIES, &raw mut params) as i32;
        if fd < 0 {
            return None;
        }
        let map = |offset: u64| {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let result = sys!(SYS_mmap, 0, SIZE, protection, libc::MAP_SHARED, fd, offset);
            (result > 0).then_some(result as *mut u8)
        };
        Some(Self {
            fd,
            rings: map(0)?,
            entries: map(0x1000_0000)?,
            params,
            buffer: Box::new([0; 1 << 16]),
        })
    }

    fn word(&self, offset: u32) -> &AtomicU32 {
        assert!((offset as usize) < SIZE);
        // SAFETY: The kernel says that there is a word at this place in what is mapped.
        unsafe { &*self.rings.add(offset as usize).cast() }
    }

    fn submit(&mut self, opcode: u8, fd: i32, length: u32, op_flags: u32) {
        let address = self.buffer.as_mut_ptr() as u64;
        let mut entry = [0_u8; 64];
        entry[0] = opcode;
        entry[4..8].copy_from_slice(&fd.to_ne_bytes());
        if opcode == READ {
            entry[8..16].copy_from_slice(&u64::MAX.to_ne_bytes());
            entry[16..24].copy_from_slice(&address.to_ne_bytes());
        }
        entry[24..28].copy_from_slice(&length.to_ne_bytes());
        entry[28..32].copy_from_slice(&op_flags.to_ne_bytes());
        let mask = ENTRIES - 1;
        let [_, tail, _, _, _, _, array, ..] = self.params.sq;
        let at = self.word(tail).load(Relaxed);
        // SAFETY: There are so many entries of 64 bytes, and all of them are mapped.
        unsafe {
            let to = self.entries.add((at & mask) as usize * 64);
            to.copy_from(entry.as_ptr(), 64);
        }
        self.word(array + 4 * (at & mask)).store(at & mask, Relaxed);
        self.word(tail).store(at.wrapping_add(1), Release);
        sys!(SYS_io_uring_enter, self.fd, 1, 0, 0, 0, 0);
        self.reap();
    }

    pub fn poll(&mut self, fd: i32, events: u32, multishot: u32) {
        self.submit(POLL_ADD, fd, multishot & 1, events);
    }

    pub fn read(&mut self, fd: i32, room: usize) {
        self.submit(READ, fd, room.min(self.buffer.len()) as u32, 0);
    }

    /// Takes what has been completed.
    pub fn reap(&mut self) {
        // To run what is to be run in this task
        sys!(SYS_io_uring_enter, self.fd, 0, 0, 1, 0, 0);
        let [head, tail, ..] = self.params.cq;
        let end = self.word(tail).load(Acquire);
        self.word(head).store(end, Release);
    }

    /// Ends all that is not completed.
    pub fn cancel_all(&mut self) {
        // IORING_ASYNC_CANCEL_ALL and _ANY
        self.submit(CANCEL, -1, 0, 1 | 4);
        self.reap();
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        sys::close(self.fd);
    }
}

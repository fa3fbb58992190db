// SPDX-License-Identifier: GPL-2.0

//! A queue, which for watches is a tree of them, and a place for messages.

use crate::{
    filter::Filter,
    note::Message,
    sync::{lock::RawLock, rcu, Arc, ArcBorrow},
    trace,
    watch::{self, Watches},
    world::switch,
};
use std::cell::RefCell;

pub(crate) type Borrowed<'a> = ArcBorrow<'a, Queue>;

#[repr(C)]
pub(crate) struct Queue {
    /// [`ALIVE`], until the queue is freed.
    mark: u64,
    name: trace::Name,
    watches: RawLock<Watches>,
    messages: RefCell<Vec<Vec<u8>>>,
}

// SAFETY: All threads of a model are one thread.
unsafe impl Send for Queue {}
// SAFETY: As above.
unsafe impl Sync for Queue {}

const ALIVE: u64 = 0x616c_6976_6521;

impl Queue {
    pub(crate) fn new() -> Self {
        Self {
            mark: ALIVE,
            name: trace::Name(1),
            watches: RawLock::new(Watches::new()),
            messages: RefCell::default(),
        }
    }

    pub(crate) fn put(queue: Arc<Self>) {
        drop(queue);
    }

    fn check(&self) {
        assert_eq!(ALIVE, self.mark, "a watch was used after it was freed");
    }

    pub(crate) fn name(&self) -> &trace::Name {
        self.check();
        &self.name
    }

    pub(crate) fn watches(&self) -> &RawLock<Watches> {
        self.check();
        &self.watches
    }

    pub(crate) fn filter<'a>(&'a self, _rcu: &'a rcu::Guard) -> Option<&'a Filter> {
        switch();
        self.check();
        None
    }

    pub(crate) fn count_rejected(&self) {
        self.check();
    }

    pub(crate) fn reject(&self, _message: &impl Message) {
        self.check();
    }

    pub(crate) fn deny(&self, _message: &impl Message) {
        self.check();
    }

    pub(crate) fn post(&self, message: &impl Message) {
        switch();
        self.check();
        let message = message.note().bytes().to_vec();
        self.messages.borrow_mut().push(message);
    }

    /// Closes the queue, as the last file does.
    pub(crate) fn close(&self) {
        watch::detach_all(self);
    }

    /// Returns how many messages of this type there are.
    pub(crate) fn received(&self, kind: u32) -> usize {
        let of_kind = |message: &&Vec<u8>| {
            let word = u32::from_ne_bytes(message[..4].try_into().unwrap());
            word & 0xff_ffff == kind
        };
        self.messages.borrow().iter().filter(of_kind).count()
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.mark = 0;
    }
}

// SPDX-License-Identifier: GPL-2.0

//! The state of the kernel: allocations, nodes in trees, readers under RCU, and the callbacks that
//! wait for those.
//!
//! All threads of a model run on the thread of the test, one at a time, so this belongs to that
//! thread.  They change at [`switch`] and where loom's locks are taken.  All that is accessed
//! through raw pointers counts as one object: each access by a function of [`crate::bindings`] is
//! ordered with all others in both ways.
//!
//! A grace period is as short as it can be: it ends when the last one leaves that was in a
//! read-side critical section when it began.
//!
//! A model fails if memory is used after it was freed, is freed twice or never, or is given to RCU
//! while it is in a tree; if a lock is taken after it was freed; at a deadlock; and where a test
//! asserts.  It cannot find accesses in the wrong order of memory: the litmus tests do that.

use crate::bindings;
use core::{
    ffi::{c_ulong, c_void},
    mem,
};
use loom::{
    sync::atomic::{AtomicUsize, Ordering},
    thread::{self, ThreadId},
};
use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
};

loom::lazy_static! {
    static ref MEMORY: AtomicUsize = AtomicUsize::new(0);
}

/// Lets another thread run.
pub(crate) fn switch() {
    if std::thread::panicking() {
        return;
    }
    MEMORY.fetch_add(1, Ordering::SeqCst);
}

/// The type of an allocation.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Watch,
    List,
}

struct Allocation {
    kind: Kind,
    is_freed: bool,
}

/// A read-side critical section of a thread.
struct Section {
    number: usize,
    depth: usize,
}

/// A callback of RCU, and the sections that it waits for.
struct Callback {
    head: *mut bindings::callback_head,
    function: unsafe extern "C" fn(*mut bindings::callback_head),
    sections: HashSet<usize>,
}

#[derive(Default)]
struct World {
    allocations: HashMap<usize, Allocation>,
    nodes: HashSet<usize>,
    sections: HashMap<ThreadId, Section>,
    nr_sections: usize,
    callbacks: Vec<Callback>,
    locks: HashMap<ThreadId, usize>,
    /// Watches that stand for what is behind those that have been freed.
    #[allow(clippy::vec_box, reason = "they are pointed to")]
    ghosts: Vec<Box<bindings::watch>>,
}

std::thread_local! {
    static WORLD: RefCell<World> = RefCell::default();
}

fn with<R>(f: impl FnOnce(&mut World) -> R) -> R {
    WORLD.with(|world| f(&mut world.borrow_mut()))
}

/// The address of all queues of watches that have been freed: [`crate::queue::Queue`] panics.
static GHOST: [u64; 256] = [0; 256];

/// Begins an execution.
pub(crate) fn begin() {
    with(|world| *world = World::default());
}

/// Ends an execution, in which all memory has been freed.
pub(crate) fn end() {
    let world = with(mem::take);
    assert!(world.callbacks.is_empty(), "a grace period does not end");
    assert!(
        world.sections.is_empty(),
        "somebody is still reading under RCU"
    );
    for (address, allocation) in world.allocations {
        assert!(allocation.is_freed, "memory was not freed");
        match allocation.kind {
            // SAFETY: It came from a `Box`, and nobody uses it any more.
            Kind::Watch => drop(unsafe { Box::from_raw(address as *mut bindings::watch) }),
            // SAFETY: As above.
            Kind::List => drop(unsafe { Box::from_raw(address as *mut bindings::watch_list) }),
        }
    }
}

/// Allocates memory, which is kept until the execution ends.
pub(crate) fn allocate<T>(kind: Kind, value: T) -> *mut T {
    let memory = Box::into_raw(Box::new(value));
    let is_freed = false;
    with(|world| {
        world
            .allocations
            .insert(memory.addr(), Allocation { kind, is_freed })
    });
    memory
}

/// Frees memory, and changes it so that it is noticed if somebody uses it.
///
/// # Safety
///
/// `memory` is that of an [`allocate`] of this execution.
pub(crate) unsafe fn free(memory: *mut c_void) {
    switch();
    let kind = with(|world| {
        let allocation = world
            .allocations
            .get_mut(&memory.addr())
            .expect("never allocated");
        assert!(!allocation.is_freed, "memory was freed twice");
        allocation.is_freed = true;
        allocation.kind
    });
    match kind {
        Kind::Watch => {
            // SAFETY: It is kept until the execution ends.
            let watch = unsafe { &mut *memory.cast::<bindings::watch>() };
            watch.queue = GHOST.as_ptr().cast_mut().cast();
            watch.list_node.next = ghost(watch.id);
        }
        Kind::List => {
            // SAFETY: As above.
            let list = unsafe { &mut *memory.cast::<bindings::watch_list>() };
            list.watchers.first = ghost(0);
            list.lock.is_freed.set(true);
        }
    }
}

/// Returns the node of a watch whose queue has gone.
fn ghost(id: u64) -> *mut bindings::hlist_node {
    let mut ghost = Box::new(bindings::watch {
        id,
        queue: GHOST.as_ptr().cast_mut().cast(),
        ..Default::default()
    });
    let node = &raw mut ghost.list_node;
    with(|world| world.ghosts.push(ghost));
    node
}

pub(crate) fn insert_node(node: *mut bindings::rb_node) {
    assert!(
        with(|world| world.nodes.insert(node.addr())),
        "a watch was put into a tree twice"
    );
}

pub(crate) fn remove_node(node: *mut bindings::rb_node) {
    assert!(
        with(|world| world.nodes.remove(&node.addr())),
        "a watch was taken out of a tree that it was not in"
    );
}

pub(crate) fn enter_section() {
    switch();
    with(|world| {
        world.nr_sections += 1;
        let number = world.nr_sections;
        let section = world
            .sections
            .entry(thread::current().id())
            .or_insert(Section { number, depth: 0 });
        section.depth += 1;
    });
}

pub(crate) fn leave_section() {
    if std::thread::panicking() {
        return;
    }
    switch();
    let ended = with(|world| {
        let id = thread::current().id();
        let section = world.sections.get_mut(&id).expect("no section was begun");
        section.depth -= 1;
        if section.depth > 0 {
            return Vec::new();
        }
        let number = section.number;
        world.sections.remove(&id);
        for callback in &mut world.callbacks {
            callback.sections.remove(&number);
        }
        let (ended, waiting) = mem::take(&mut world.callbacks)
            .into_iter()
            .partition(|callback| callback.sections.is_empty());
        world.callbacks = waiting;
        ended
    });
    for callback in ended {
        // SAFETY: This is what it was given to `call_rcu()` for.
        unsafe { (callback.function)(callback.head) };
    }
}

/// Calls `function` with `head` after a grace period.
///
/// # Safety
///
/// That of `call_rcu()`.
pub(crate) unsafe fn call_after_grace_period(
    head: *mut bindings::callback_head,
    function: unsafe extern "C" fn(*mut bindings::callback_head),
) {
    switch();
    // `RB_CLEAR_NODE()` says so of one that was alone in its tree, for which `rb_erase()` is not
    // called.
    // SAFETY: It lies where the node of the watch was, which nobody else has.
    let is_clear =
        unsafe { (*head.cast::<bindings::rb_node>()).__rb_parent_color } == head.addr() as c_ulong;
    let is_over = with(|world| {
        assert!(
            is_clear || !world.nodes.contains(&head.addr()),
            "a watch in a tree was given to RCU"
        );
        assert!(
            world.callbacks.iter().all(|callback| callback.head != head),
            "a watch was given to RCU twice"
        );
        let sections: HashSet<_> = world.sections.values().map(|s| s.number).collect();
        if sections.is_empty() {
            return true;
        }
        world.callbacks.push(Callback {
            head,
            function,
            sections,
        });
        false
    });
    if is_over {
        // SAFETY: The caller wants it, and there is nobody to wait for.
        unsafe { function(head) };
    }
}

pub(crate) fn count_lock() {
    with(|world| *world.locks.entry(thread::current().id()).or_default() += 1);
}

pub(crate) fn count_unlock() {
    if !std::thread::panicking() {
        with(|world| *world.locks.get_mut(&thread::current().id()).unwrap() -= 1);
    }
}

/// Panics if the current thread may not sleep.
pub(crate) fn might_sleep() {
    let id = thread::current().id();
    with(|world| {
        assert_eq!(
            0,
            world.locks.get(&id).copied().unwrap_or(0),
            "a lock is held"
        );
        assert!(!world.sections.contains_key(&id), "asleep under RCU");
    });
}

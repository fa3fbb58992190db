// SPDX-License-Identifier: GPL-2.0

//! Watches that are attached, posted to, removed, and closed or orphaned, by several threads.

use crate::{
    bindings,
    cred::Credential,
    prelude::*,
    queue::Queue,
    sync::{rcu, Arc},
    watch::{self, Outgoing, WatchList},
    watch_queue::{Notification, CREDENTIALS},
    world::{self, switch, Kind},
};
use core::{
    ptr,
    sync::atomic::{AtomicI32, AtomicUsize, Ordering::SeqCst},
};

/// The types of messages: a removal, and one that a source posts.
const REMOVAL: u32 = 0;
const EVENT: u32 = 5;

unsafe extern "C" fn release_watch(watch: *mut bindings::watch) {
    world::might_sleep();
    switch();
    // SAFETY: The watch is valid, and `private` is the count of the test that has it.
    unsafe { (*(*watch).private.cast::<AtomicUsize>()).fetch_add(1, SeqCst) };
}

/// An object that can be watched, which has its list as long as it lives.
struct Object {
    slot: *mut bindings::watch_list,
    is_gone: bool,
}

/// The data that the threads of a model share.
struct Shared {
    objects: Vec<core::cell::UnsafeCell<Object>>,
    /// How often a watch was released.
    released: AtomicUsize,
    cred: Box<bindings::cred>,
    user: Box<bindings::user_struct>,
}

// SAFETY: All threads of a model are one thread.
unsafe impl Send for Shared {}
// SAFETY: As above.
unsafe impl Sync for Shared {}

/// A message of a source.
#[repr(C)]
struct Event(bindings::watch_notification, u64);

// SAFETY: It is made of numbers.
unsafe impl FromBytes for Event {}

impl Notification for Event {
    const HEADER: usize = 0;
}

impl Shared {
    fn new(nr_objects: usize) -> std::sync::Arc<Self> {
        let mut user = Box::<bindings::user_struct>::default();
        let cred = Box::new(bindings::cred {
            usage: AtomicI32::new(1),
            user: &mut *user,
        });
        CREDENTIALS.set(&*cred);
        let lists = (0..nr_objects).map(|_| {
            let list = bindings::watch_list {
                rcu: bindings::callback_head {
                    next: ptr::null_mut(),
                    func: ptr::null_mut(),
                },
                watchers: bindings::hlist_head {
                    first: ptr::null_mut(),
                },
                release_watch: Some(release_watch),
                source: c"test".as_ptr(),
                lock: Default::default(),
                taken: 0,
                released: 0,
                counts: false,
            };
            world::allocate(Kind::List, list)
        });
        let mut lists: Vec<_> = lists.collect();
        // In the order of their addresses, which is that of a tree, in each execution
        lists.sort();
        let objects = lists.into_iter().map(|slot| {
            core::cell::UnsafeCell::new(Object {
                slot,
                is_gone: false,
            })
        });
        std::sync::Arc::new(Self {
            objects: objects.collect(),
            released: AtomicUsize::new(0),
            cred,
            user,
        })
    }

    fn object(&self, nr: usize) -> *mut Object {
        self.objects[nr].get()
    }

    /// Returns the list of an object, which the caller knows to be there.
    fn list(&self, nr: usize) -> &WatchList {
        // SAFETY: Objects are there until the end.
        let slot = unsafe { (*self.object(nr)).slot };
        // SAFETY: The caller knows.
        unsafe { WatchList::from_raw(slot) }
    }

    /// Has a queue watch an object that stays, as `add()` in `sources/source.rs`.
    fn attach(&self, queue: &Arc<Queue>, nr: usize, id: u64) -> Result {
        let private = (&raw const self.released).cast_mut().cast();
        watch::add(queue.as_arc_borrow(), self.list(nr), id, 1, private)
    }

    /// Has a queue watch an object that may be going, as `attach()` in `sources/source.rs`, which
    /// keeps the list for so long.
    fn attach_to_mortal(&self, queue: &Arc<Queue>, nr: usize) -> Result {
        self.attach(queue, nr, 0)?;
        switch();
        // SAFETY: Objects are there until the end.
        if !unsafe { (*self.object(nr)).is_gone } {
            return Ok(());
        }
        if watch::withdraw(self.list(nr), queue, 0) {
            Err(ENODEV)
        } else {
            Ok(())
        }
    }

    /// Posts a message, as a hook of a source does.
    fn post(&self, nr: usize, id: u64) {
        let mut event = Event(
            bindings::watch_notification {
                _bitfield: EVENT,
                info: 0,
            },
            0,
        );
        let _rcu = rcu::read_lock();
        // SAFETY: Objects are there until the end.
        let slot = unsafe { (*self.object(nr)).slot };
        if slot.is_null() {
            return;
        }
        // SAFETY: The list is freed a grace period after it was in the slot.
        let list = unsafe { WatchList::from_raw(slot) };
        // SAFETY: The credentials are there until the end.
        let cause = unsafe { Credential::from_ptr(&*self.cred) };
        watch::post(list, Outgoing::new(&mut event), cause, id);
    }

    /// Marks an object as going, and removes its watches, as `__watch_object_gone()`.
    fn remove_all(&self, nr: usize) {
        // SAFETY: Objects are there until the end.
        unsafe { (*self.object(nr)).is_gone = true };
        switch();
        watch::remove_all(self.list(nr), 0, true);
    }

    /// The death of an object: `remove_watch_list()`.
    fn die(&self, nr: usize) {
        self.remove_all(nr);
        self.free(nr);
    }

    /// `kfree_rcu()` of the list.
    fn free(&self, nr: usize) {
        switch();
        // SAFETY: Objects are there until the end.
        let slot = unsafe { &mut (*self.object(nr)).slot };
        let list = core::mem::replace(slot, ptr::null_mut());
        // SAFETY: The list is valid, and nobody else frees it.
        unsafe { bindings::call_rcu(&raw mut (*list).rcu, Some(free_list)) };
    }

    /// Checks that nothing is left: all queues are closed, all objects dead, and so many watches
    /// were attached.
    fn finish(&self, attached: usize) {
        assert_eq!(attached, self.released.load(SeqCst), "releases");
        assert_eq!(0, self.user.nr_watches.counter, "watches are still counted");
        assert_eq!(1, self.cred.usage.load(SeqCst), "somebody has credentials");
    }
}

unsafe extern "C" fn free_list(rcu: *mut bindings::callback_head) {
    // SAFETY: It is the first member of a list.
    unsafe { bindings::kfree(rcu.cast()) };
}

/// Runs a model in every interleaving with at most so many preemptions.
fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 10_000;
    builder.check(move || {
        world::begin();
        model();
        world::end();
    });
}

/// Starts a thread, with references of its own to what is named.
macro_rules! start {
    ([$($shared:ident),*] $body:block) => {{
        $(#[allow(unused_variables, reason = "not every thread needs all")]
        let $shared = $shared.clone();)*
        loom::thread::spawn(move || $body)
    }};
}

/// Runs some threads, the last of them the current one, to their end.
macro_rules! at_once {
    ($shared:tt $($body:block)*; $last:block) => {{
        let threads = [$(start!($shared $body)),*];
        $last
        for thread in threads {
            thread.join().unwrap();
        }
    }};
}

/// Checks that nobody else has a reference to a queue.
fn alone(queue: Arc<Queue>) {
    let count = queue.nr_references();
    assert_eq!(1, count, "somebody has a reference to the queue");
}

#[test]
fn object_dies_while_it_is_posted_to_and_its_queue_is_closed() {
    explore(3, || {
        let (shared, queue) = (Shared::new(1), Arc::new(Queue::new()));
        shared.attach(&queue, 0, 0).unwrap();
        at_once!([shared, queue]
            { shared.post(0, 0) }
            { queue.close() };
            { shared.die(0) });
        // The one that takes it off the list releases it: the object reports that, the queue not.
        assert!(queue.received(REMOVAL) <= 1);
        assert!(queue.received(EVENT) <= 1);
        shared.finish(1);
        alone(queue);
    });
}

#[test]
fn object_dies_and_its_queue_is_closed_while_another_is_posted_to() {
    explore(3, || {
        let (shared, queue, other) = (
            Shared::new(1),
            Arc::new(Queue::new()),
            Arc::new(Queue::new()),
        );
        shared.attach(&queue, 0, 0).unwrap();
        shared.attach(&other, 0, 0).unwrap();
        at_once!([shared, queue]
            { shared.post(0, 0) }
            { queue.close() };
            { shared.die(0) });
        assert_eq!(1, other.received(REMOVAL), "a removal was lost");
        assert!(other.received(EVENT) <= 1);
        other.close();
        shared.finish(2);
        alone(queue);
        alone(other);
    });
}

#[test]
fn nothing_is_attached_to_a_queue_that_is_closed() {
    explore(5, || {
        let (shared, queue) = (Shared::new(1), Arc::new(Queue::new()));
        let attached = std::sync::Arc::new(AtomicUsize::new(0));
        at_once!([shared, queue, attached]
            {
                match shared.attach(&queue, 0, 0) {
                    Ok(()) => attached.store(1, SeqCst),
                    Err(error) => assert_eq!(ENOENT, error),
                }
            };
            { queue.close() });
        let attached = attached.load(SeqCst);
        // Nothing is left for the object to find.
        shared.finish(attached);
        assert_eq!(0, queue.received(REMOVAL));
        shared.die(0);
        shared.finish(attached);
        alone(queue);
    });
}

#[test]
fn a_watch_is_removed_once_by_hand_and_by_the_object_and_by_the_queue() {
    explore(3, || {
        let (shared, queue) = (Shared::new(1), Arc::new(Queue::new()));
        let by_hand = std::sync::Arc::new(AtomicUsize::new(0));
        shared.attach(&queue, 0, 0).unwrap();
        at_once!([shared, queue, by_hand]
            {
                if watch::remove(shared.list(0), &queue, 0) {
                    by_hand.store(1, SeqCst);
                }
            }
            { queue.close() };
            { shared.remove_all(0) });
        assert!(queue.received(REMOVAL) <= 1);
        assert!(
            queue.received(REMOVAL) >= by_hand.load(SeqCst),
            "a removal was lost"
        );
        shared.free(0);
        shared.finish(1);
        alone(queue);
    });
}

#[test]
fn a_queue_that_stays_gets_each_removal_once() {
    explore(5, || {
        let (shared, queue) = (Shared::new(2), Arc::new(Queue::new()));
        shared.attach(&queue, 0, 0).unwrap();
        shared.attach(&queue, 1, 0).unwrap();
        at_once!([shared, queue]
        { watch::remove(shared.list(0), &queue, 0); };
        {
            shared.remove_all(0);
            shared.die(1);
        });
        assert_eq!(2, queue.received(REMOVAL), "a removal was lost");
        queue.close();
        shared.free(0);
        shared.finish(2);
        alone(queue);
    });
}

#[test]
fn two_queues_and_two_objects_go_at_once() {
    explore(2, || {
        let (shared, queue, other) = (
            Shared::new(2),
            Arc::new(Queue::new()),
            Arc::new(Queue::new()),
        );
        for nr in 0..2 {
            shared.attach(&queue, nr, 0).unwrap();
            shared.attach(&other, nr, 0).unwrap();
        }
        at_once!([shared, queue, other]
            { shared.die(0) }
            { queue.close() };
            { shared.die(1) });
        assert_eq!(2, other.received(REMOVAL), "a removal was lost");
        other.close();
        shared.finish(4);
        alone(queue);
        alone(other);
    });
}

#[test]
fn attaching_is_no_obstacle_to_removing() {
    explore(5, || {
        let (shared, queue) = (Shared::new(1), Arc::new(Queue::new()));
        shared.attach(&queue, 0, 1).unwrap();
        at_once!([shared, queue]
            { shared.attach(&queue, 0, 2).unwrap() };
            { assert!(watch::remove(shared.list(0), &queue, 1)) });
        shared.die(0);
        assert_eq!(2, queue.received(REMOVAL), "a removal was lost");
        queue.close();
        shared.finish(2);
        alone(queue);
    });
}

#[test]
fn an_object_that_is_going_is_not_watched_for_ever() {
    explore(3, || {
        let (shared, queue) = (Shared::new(1), Arc::new(Queue::new()));
        let added = std::sync::Arc::new(AtomicUsize::new(0));
        at_once!([shared, queue, added]
            {
                match shared.attach_to_mortal(&queue, 0) {
                    Ok(()) => added.store(1, SeqCst),
                    Err(error) => assert_eq!(ENODEV, error),
                }
            }
            { shared.post(0, 0) };
            { shared.remove_all(0) });
        // One that was added is reported as gone, and one that was refused is not.
        assert_eq!(
            added.load(SeqCst),
            queue.received(REMOVAL),
            "a removal was lost"
        );
        shared.finish(1);
        shared.free(0);
        queue.close();
        alone(queue);
    });
}

#[test]
fn an_object_among_others_on_a_list_goes() {
    explore(3, || {
        let (shared, queue, other) = (
            Shared::new(1),
            Arc::new(Queue::new()),
            Arc::new(Queue::new()),
        );
        shared.attach(&queue, 0, 1).unwrap();
        shared.attach(&other, 0, 2).unwrap();
        shared.attach(&other, 0, 1).unwrap();
        at_once!([shared, queue, other]
            { queue.close() }
            { shared.post(0, 1) };
            { watch::remove_all(shared.list(0), 1, false); });
        assert_eq!(1, other.received(REMOVAL), "a removal was lost");
        shared.die(0);
        assert_eq!(2, other.received(REMOVAL), "a removal was lost");
        other.close();
        shared.finish(3);
        alone(queue);
        alone(other);
    });
}

#[test]
fn watches_are_listed_while_objects_go() {
    explore(5, || {
        let (shared, queue) = (Shared::new(2), Arc::new(Queue::new()));
        shared.attach(&queue, 0, 0).unwrap();
        shared.attach(&queue, 1, 0).unwrap();
        at_once!([shared, queue]
            {
                let mut seen = 0;
                watch::for_each(&queue, |watch, list| {
                    switch();
                    assert!(list.source().is_some());
                    assert_eq!(0, watch.id());
                    seen += 1;
                    true
                });
                assert!(seen <= 2);
            };
            { shared.die(0) });
        assert_eq!(1, queue.received(REMOVAL), "a removal was lost");
        queue.close();
        shared.die(1);
        shared.finish(2);
        alone(queue);
    });
}

// SPDX-License-Identifier: GPL-2.0

//! Watches: which queue watches which object.
//!
//! An attached watch is in two collections: on the list of the watched object, which posts walk
//! under RCU, and in the tree of the watching queue, ordered by object, in which a watch is found
//! without a walk.  The object can go first, or the queue, or the watch can be removed by hand, at
//! any time and all at once.  Two rules keep that simple:
//!
//! * The lock of a queue's tree is taken before that of a list.
//! * The one that takes a watch off its list owns the watch.  See [`raw::Unlisted`].
//!
//! C header: [`include/linux/watch_queue.h`](srctree/include/linux/watch_queue.h)

use kernel::{cred::Credential, prelude::*, sync::rcu};

mod list;
mod outgoing;
mod raw;
mod tree;

use self::raw::{Batch, Detached, Key, Watcher};
pub(crate) use self::{
    list::{Walk, WatchList},
    outgoing::Outgoing,
    raw::{Pending, Watch},
    tree::Watches,
};
use crate::{filter::Filter, queue::Queue, trace};

/// Attaches a watch to an object, on behalf of the current task.
///
/// # Errors
///
/// - `ENOENT` if the queue has been closed
/// - `EBUSY` if the queue watches that object already
/// - `EAGAIN` if the user has as many watches as `RLIMIT_NOFILE`, or `max_watch_queue_watches` of a
///   user namespace, allows
///
/// In these cases nothing changes, and the watch is still the caller's.
pub(crate) fn attach(watch: Pending<'_>, list: &WatchList) -> Result {
    let queue = watch.queue();
    queue.watches().with_context(|watches, context| {
        // SAFETY: This is the tree of its queue.
        let vacancy = unsafe { watches.vacancy(watch, list) }?;
        let watcher = Watcher::current()?;
        let watch = vacancy.attach(watcher, context);
        trace::attach(queue.name(), || list.info(watch));
        Ok(())
    })
}

/// Allocates a watch and attaches it to the object `id`, on behalf of the current task.
///
/// `private` is for the list's `release_watch`.
///
/// # Errors
///
/// Those of [`attach`], and `ENOMEM`.
#[cfg(CONFIG_WATCH_SOURCES)]
pub(crate) fn add(
    queue: crate::queue::Borrowed<'_>,
    list: &WatchList,
    id: u64,
    tag: u8,
    private: *mut c_void,
) -> Result {
    raw::Unattached::new(id, tag, private)?.attach_by(queue, |watch| attach(watch, list))
}

/// Removes the watch of a queue on the object `id`.  The queue gets a removal notification.
///
/// Returns whether there was such a watch.
pub(crate) fn remove(list: &WatchList, queue: &Queue, id: u64) -> bool {
    let Some(watch) = unlist(list, queue, id) else {
        return false;
    };
    watch.notify(id);
    watch.release();
    true
}

/// Removes all watches on the object `id` or, with `all`, all on the list.  Their queues get a
/// removal notification that names the object `id`.
///
/// Returns whether there was such a watch.
pub(crate) fn remove_all(list: &WatchList, id: u64, all: bool) -> bool {
    if !all {
        let watches = take_all(list, id);
        let removed = !watches.is_empty();
        watches.notify(id);
        watches.release();
        return removed;
    }
    let mut removed = false;
    // A function, so that the list is unlocked when it returns.
    let take = || list.with_lock(|locked| locked.take_first());
    while let Some(watch) = take() {
        // The watch is off the list by now, so the queue cannot take it when it is closed.
        let watch = watch.detach();
        watch.notify(id);
        watch.release();
        removed = true;
    }
    removed
}

/// Detaches the watches on the object `id` from a list that has others, too.
///
/// The list is walked once, as posts do, and locked for one watch at a time.
fn take_all(list: &WatchList, id: u64) -> Batch {
    let mut batch = Batch::new();
    let rcu = rcu::read_lock();
    let mut next = list.walk(&rcu);
    while let Some(at) = next {
        if at.watch().id() == id {
            let taken = list.with_lock(|locked| {
                // SAFETY: The watch is or was on this list.
                unsafe { locked.take(at.watch()) }
            });
            if let Some(watch) = taken {
                // SAFETY: All are of this list.
                unsafe { batch.push(watch.detach()) };
            }
        }
        next = at.next();
    }
    batch
}

/// Takes back a watch on an object that turned out to be going away.  There is no removal
/// notification.
///
/// Returns whether the watch was still there.  Otherwise the object is gone, and the queue gets a
/// removal notification for that.
#[allow(dead_code, reason = "not every source needs it")]
#[cfg(CONFIG_WATCH_SOURCES)]
pub(crate) fn withdraw(list: &WatchList, queue: &Queue, id: u64) -> bool {
    match unlist(list, queue, id) {
        Some(watch) => {
            watch.release();
            true
        }
        None => false,
    }
}

/// Detaches all watches of `queue`, which accepts no new ones from then on.
///
/// Those that are on one list go together, but only so many that interrupts are not off for long.
///
/// May sleep if a source's `release_watch` does.
pub(crate) fn detach_all(queue: &Queue) {
    loop {
        let (watches, is_last) = queue.watches().with_context(|watches, context| {
            watches.close();
            watches.take_some(context)
        });
        watches.release_few();
        if is_last {
            break;
        }
    }
}

/// Calls `visit` with the watches of `queue` as long as it returns true.  It can miss some that
/// come or go meanwhile.
///
/// As there can be many, the lock is held for one watch at a time.
pub(crate) fn for_each(queue: &Queue, mut visit: impl FnMut(&Watch, &WatchList) -> bool) {
    let mut last = Some(Key::FIRST);
    while let Some(key) = last {
        last = queue.watches().with(|watches| {
            let (watch, list) = watches.first_after(key)?;
            visit(watch, list).then(|| list.key(watch.id()))
        });
    }
}

/// Takes the watch of a queue on the object `id` out of the tree and off the list.
fn unlist(list: &WatchList, queue: &Queue, id: u64) -> Option<Detached> {
    queue.watches().with_context(|watches, context| {
        // If it is off the list already, the object is going, and finds the watch out of the tree.
        watches.take(list.key(id))?.unlist(context)
    })
}

/// Posts a message about the object `id` to all queues that watch it with this list.
///
/// `post_watch_notification()` does the same for sources in C.
///
/// Context: Any but NMI.
#[cfg(CONFIG_WATCH_SOURCES)]
pub(crate) fn post(list: &WatchList, message: Outgoing<'_>, cause: &Credential, id: u64) {
    let rcu = rcu::read_lock();
    let mut next = list.walk(&rcu);
    while let Some(at) = next {
        if at.watch().id() == id {
            return post_from(at, cause, message);
        }
        next = at.next();
    }
}

/// Posts a message about the object of the watch at `at` to the queue of that and to those behind
/// it that watch the same.
///
/// Context: Any but NMI.
#[inline(always)]
pub(crate) fn post_from(at: Walk<'_>, cause: &Credential, message: Outgoing<'_>) {
    // Nothing is left to do after any of these calls, so nothing has to be saved for them.
    let watch = at.watch();
    let queue = watch.queue();
    match queue.filter(at.rcu()) {
        None if at.is_last() => deliver(watch, cause, message),
        None => deliver_from(at, cause, message),
        Some(filter) if rejects(filter, &message, watch) => {
            if at.is_last() {
                queue.count_rejected();
            } else {
                reject_from(at, cause, message);
            }
        }
        Some(_) => filter_from(at, cause, message),
    }
}

/// Returns whether a filter rejects a message at first sight, and nobody wants to know.
#[inline(always)]
fn rejects(filter: &Filter, message: &Outgoing<'_>, watch: &Watch) -> bool {
    filter.rejects(message.first_word(), || message.info_for(watch)) && !trace::filter_is_on()
}

/// Posts a message to the queue of `watch`, which accepts it, unless a security module denies it.
#[inline(never)]
fn deliver(watch: &Watch, cause: &Credential, mut message: Outgoing<'_>) {
    let queue = watch.queue();
    let message = message.address_to(watch);
    if watch.may_receive(&message, cause) {
        queue.post(&message);
    } else {
        queue.deny(&message);
    }
}

/// Posts a message to the queue of the watch at `at`, which accepts it, and to the queues behind it
/// that do.
#[inline(never)]
fn deliver_from(mut at: Walk<'_>, cause: &Credential, mut message: Outgoing<'_>) {
    let id = at.watch().id();
    loop {
        deliver(at.watch(), cause, message.reborrow());
        match find(at.next(), &mut message, id) {
            Some(next) => at = next,
            None => break,
        }
    }
}

/// Posts a message to the queues, from that of the watch at `at` on, that accept it.
#[inline(never)]
fn filter_from(at: Walk<'_>, cause: &Credential, mut message: Outgoing<'_>) {
    let id = at.watch().id();
    if let Some(at) = find(Some(at), &mut message, id) {
        deliver_from(at, cause, message);
    }
}

/// Posts a message to the queues behind that of the watch at `at`, which rejects it, that accept
/// it.
#[inline(never)]
fn reject_from(at: Walk<'_>, cause: &Credential, mut message: Outgoing<'_>) {
    let id = at.watch().id();
    at.watch().queue().count_rejected();
    if let Some(at) = find(at.next(), &mut message, id) {
        deliver_from(at, cause, message);
    }
}

/// Finds the first watch, from `next` on, on the object `id` whose queue accepts the message.
#[inline(always)]
fn find<'r>(mut next: Option<Walk<'r>>, message: &mut Outgoing<'_>, id: u64) -> Option<Walk<'r>> {
    while let Some(at) = next {
        let watch = at.watch();
        if watch.id() == id {
            let queue = watch.queue();
            let Some(filter) = queue.filter(at.rcu()) else {
                return Some(at);
            };
            if rejects(filter, message, watch) {
                queue.count_rejected();
            } else {
                let addressed = message.address_to(watch);
                if filter.accepts(addressed.header()) {
                    return Some(at);
                }
                queue.reject(&addressed);
            }
        }
        next = at.next();
    }
    None
}

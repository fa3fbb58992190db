// SPDX-License-Identifier: GPL-2.0

//! Watches and watch lists: who watches what.
//!
//! A watch is in two collections as long as it is attached: on the list of the object that is
//! watched, which posts walk under RCU, and in the tree of the queue that watches, ordered by
//! object, which finds a watch without walking.  The object may go first, or the queue, or the
//! watch may be removed by hand, at any time and all at once.  Two rules keep that simple:
//!
//! * A queue's lock is taken outside of a list's lock.
//! * A watch belongs to whoever takes it off its list.  See [`Unlisted`].
//!
//! C header: [`include/linux/watch_queue.h`](srctree/include/linux/watch_queue.h)

use core::{
    cmp::Ordering,
    marker::PhantomData,
    mem::offset_of,
    ptr::{self, NonNull},
};
use kernel::{
    bindings,
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        lock::{spinlock::SpinLockIrqBackend, Guard, Lock},
        rcu, Arc, ArcBorrow,
    },
};

use crate::{
    note::{
        self, Header, Message, Note, Removal, ID_OFFSET, INFO_ID_SHIFT, INFO_LENGTH, LENGTH_OFFSET,
        MIN_LEN,
    },
    queue::Queue,
    trace,
};

type RawWatch = NonNull<bindings::watch>;
type RawList = NonNull<bindings::watch_list>;

/// The watches of one queue.
///
/// # Invariants
///
/// `root` is a tree of valid watches that have the queue as their `queue` and are linked by their
/// `queue_node`, ordered by [`key`].  Each one's `watch_list` is valid: who removes a list's
/// watches does not return before it has taken them out of here.
pub(crate) struct Watches {
    root: bindings::rb_root,
    closed: bool,
}

// SAFETY: What is in the tree is not bound to a thread.
unsafe impl Send for Watches {}

impl Watches {
    pub(crate) const fn new() -> Self {
        // INVARIANT: The tree is empty.
        Self {
            root: bindings::rb_root {
                rb_node: ptr::null_mut(),
            },
            closed: false,
        }
    }

    /// Finds the watch with this key, or where in the tree to link it.
    fn find(&mut self, wanted: (usize, u64)) -> Result<RawWatch, Vacancy> {
        let mut parent = ptr::null_mut();
        let mut link = &raw mut self.root.rb_node;
        loop {
            // SAFETY: `link` is the root or a child of a node in the tree.
            let Some(node) = NonNull::new(unsafe { *link }) else {
                return Err(Vacancy { parent, link });
            };
            let watch = watch_of_queue_node(node);
            parent = node.as_ptr();
            // SAFETY: The watch is in the tree, so it is valid.
            link = unsafe {
                match wanted.cmp(&key(watch)) {
                    Ordering::Equal => return Ok(watch),
                    Ordering::Less => &raw mut (*parent).rb_left,
                    Ordering::Greater => &raw mut (*parent).rb_right,
                }
            };
        }
    }

    /// Links `watch` at `vacancy`.
    ///
    /// # Safety
    ///
    /// `vacancy` came from [`Watches::find`] for the key of `watch`, and the tree has not changed
    /// since.  The invariants hold for `watch` as long as it is in the tree.
    unsafe fn insert(&mut self, watch: RawWatch, vacancy: Vacancy) {
        // SAFETY: By the caller's promise.
        unsafe {
            let node = &raw mut (*watch.as_ptr()).__bindgen_anon_1.queue_node;
            bindings::rb_link_node(node, vacancy.parent, vacancy.link);
            bindings::rb_insert_color(node, &raw mut self.root);
        }
    }

    /// Unlinks `watch`, if it is linked.
    ///
    /// # Safety
    ///
    /// `watch` is valid, and it is in this tree or in none.
    unsafe fn erase(&mut self, watch: RawWatch) {
        // SAFETY: By the caller's promise.
        unsafe {
            let node = &raw mut (*watch.as_ptr()).__bindgen_anon_1.queue_node;
            if (*node).__rb_parent_color != node as c_ulong {
                bindings::rb_erase(node, &raw mut self.root);
                clear_queue_node(watch);
            }
        }
    }

    fn first(&self) -> Option<RawWatch> {
        // SAFETY: The tree is valid.
        let node = unsafe { bindings::rb_first(&raw const self.root) };
        NonNull::new(node).map(watch_of_queue_node)
    }

    /// The first watch with a key larger than `last`.
    fn first_after(&self, last: (usize, u64)) -> Option<RawWatch> {
        let mut found = None;
        let mut next = NonNull::new(self.root.rb_node);
        while let Some(node) = next {
            let watch = watch_of_queue_node(node);
            // SAFETY: The watch is in the tree, so it is valid, as are its children.
            next = unsafe {
                if key(watch) > last {
                    found = Some(watch);
                    NonNull::new((*node.as_ptr()).rb_left)
                } else {
                    NonNull::new((*node.as_ptr()).rb_right)
                }
            };
        }
        found
    }
}

/// A place in the tree where there is nothing yet.
struct Vacancy {
    parent: *mut bindings::rb_node,
    link: *mut *mut bindings::rb_node,
}

/// What [`Watches`] is ordered by: the watched object.
///
/// # Safety
///
/// `watch` is valid.
unsafe fn key(watch: RawWatch) -> (usize, u64) {
    // SAFETY: By the caller's promise.
    unsafe { ((*watch.as_ptr()).watch_list.addr(), (*watch.as_ptr()).id) }
}

fn watch_of_queue_node(node: NonNull<bindings::rb_node>) -> RawWatch {
    // SAFETY: All nodes in a tree are the `queue_node` of a watch.
    unsafe { node.byte_sub(offset_of!(bindings::watch, __bindgen_anon_1)) }.cast()
}

/// Marks `watch` as being in no tree, as `RB_CLEAR_NODE()` does.
///
/// # Safety
///
/// `watch` is valid and in no tree.
unsafe fn clear_queue_node(watch: RawWatch) {
    // SAFETY: By the caller's promise.
    unsafe {
        let node = &raw mut (*watch.as_ptr()).__bindgen_anon_1.queue_node;
        (*node).__rb_parent_color = node as c_ulong;
    }
}

/// Locks a watch list for changing it.  The lock is good in any context but NMI.
///
/// # Safety
///
/// `list` is initialised and outlives the guard.
unsafe fn lock_list<'a>(list: RawList) -> Guard<'a, (), SpinLockIrqBackend> {
    // SAFETY: By the caller's promise.
    unsafe { Lock::from_raw(&raw mut (*list.as_ptr()).lock) }.lock()
}

/// A watch that has been taken off its list.  It is freed after a grace period, for which dropping
/// this does not wait.
///
/// # Invariants
///
/// The watch is valid and was on a list.  It is owned: nobody else takes it off or frees it.
struct Unlisted(RawWatch);

impl Unlisted {
    /// Takes `watch` off its list.
    ///
    /// # Safety
    ///
    /// `watch` is valid and was attached by [`add_watch_to_object`].  Its list is locked.
    unsafe fn take(watch: RawWatch) -> Option<Self> {
        // SAFETY: By the caller's promise.
        unsafe {
            let node = &raw mut (*watch.as_ptr()).list_node;
            if (*node).pprev.is_null() {
                // Somebody else took it off.
                return None;
            }
            bindings::hlist_del_init_rcu(node);
        }
        // SAFETY: The watch is valid, and its list is locked.
        unsafe {
            let queue: *const Queue = (*watch.as_ptr()).queue.cast();
            trace::watch_remove((*queue).ino, watch.as_ptr(), (*watch.as_ptr()).watch_list);
        }
        // INVARIANT: It was on a list, and a watch gets on a list only once.
        Some(Self(watch))
    }

    fn queue(&self) -> &Queue {
        // SAFETY: By the invariants the watch is valid.  Having been on a list, it has a reference
        // to its queue.
        unsafe { &*(*self.0.as_ptr()).queue.cast() }
    }

    /// Takes the watch out of its queue's tree, if the queue has not done so.
    fn detach(&self) {
        // SAFETY: The watch is valid by the invariants, and `queue()` is its queue.
        unsafe { self.queue().watches.lock().erase(self.0) };
    }

    /// Tells the watcher that its watch on the object `id` is gone.
    fn notify(&self, id: u64) {
        // SAFETY: The watch is valid by the invariants.
        let info_id = unsafe { (*self.0.as_ptr()).info_id };
        self.queue().post(&Removal::new(info_id, id));
    }

    /// Lets the source have its last look.
    fn release(self, release_watch: ReleaseWatch) {
        if let Some(release_watch) = release_watch {
            // SAFETY: The watch is valid by the invariants.  No locks are held.
            unsafe { release_watch(self.0.as_ptr()) };
        }
    }
}

impl Drop for Unlisted {
    fn drop(&mut self) {
        // SAFETY: The watch is owned, by the invariants.  It is out of its queue's tree, so that
        // `rcu` is free to be used.  Posts that still see the watch do so under RCU.
        unsafe {
            bindings::call_rcu(
                &raw mut (*self.0.as_ptr()).__bindgen_anon_1.rcu,
                Some(free_watch),
            )
        };
    }
}

type ReleaseWatch = Option<unsafe extern "C" fn(*mut bindings::watch)>;

/// Frees a watch after its grace period.
///
/// # Safety
///
/// For [`Unlisted::drop`] to give to `call_rcu()`.
unsafe extern "C" fn free_watch(rcu: *mut bindings::callback_head) {
    // SAFETY: The callback head is the `rcu` of a watch.
    let watch: *mut bindings::watch =
        unsafe { rcu.byte_sub(offset_of!(bindings::watch, __bindgen_anon_1)) }.cast();
    // SAFETY: Nobody uses the watch any more.  It owns a reference to its queue and one to its
    // credentials, whose user it is counted for, see `add_watch_to_object()`.  It was allocated
    // with `kmalloc()`.
    unsafe {
        drop(Arc::<Queue>::from_raw((*watch).queue.cast()));
        nr_watches((*watch).cred).fetch_sub(1, Relaxed);
        bindings::put_cred((*watch).cred);
        bindings::kfree(watch.cast());
    }
}

/// How many watches the user has to whom `cred` belongs.
///
/// # Safety
///
/// `cred` is valid as long as the result is used.
unsafe fn nr_watches<'a>(cred: *const bindings::cred) -> &'a Atomic<i32> {
    // SAFETY: By the caller's promise; credentials hold a reference to their user.
    unsafe { Atomic::from_ptr(&raw mut (*(*cred).user).nr_watches.counter) }
}

/// Detaches all watches of `queue`, for which no new ones are accepted from then on.  May sleep if
/// a source's `release_watch` does.
pub(crate) fn detach_all(queue: &Queue) {
    queue.watches.lock().closed = true;
    loop {
        let mut watches = queue.watches.lock();
        let Some(watch) = watches.first() else {
            break;
        };
        // SAFETY: The watch is in the tree, so it and its list are valid.  The list stays so at
        // least until the tree is unlocked: its watches are removed from here before it is freed.
        let (unlisted, release_watch) = unsafe {
            watches.erase(watch);
            let list = NonNull::new_unchecked((*watch.as_ptr()).watch_list);
            let _locked = lock_list(list);
            (Unlisted::take(watch), (*list.as_ptr()).release_watch)
        };
        drop(watches);
        // Otherwise the object is going, and will see that the watch is out of the tree.
        if let Some(unlisted) = unlisted {
            unlisted.release(release_watch);
        }
    }
}

/// What there is to see of a watch.
pub(crate) struct Seen<'a> {
    /// What the source is called.
    pub(crate) source: Option<&'a CStr>,
    /// What the source calls the object.
    pub(crate) id: u64,
    /// What userspace calls the watch.
    pub(crate) tag: u8,
}

/// Shows `visit` the watches of `queue`.  It may miss some that come or go meanwhile.
///
/// The lock is held for one watch at a time, as there may be many.
pub(crate) fn for_each(queue: &Queue, mut visit: impl FnMut(&Seen<'_>)) {
    // No list is at address 0.
    let mut last = (0, 0);
    loop {
        let watches = queue.watches.lock();
        let Some(watch) = watches.first_after(last) else {
            break;
        };
        // SAFETY: The watch is in the tree, so it and its list are valid.  A source that has a name
        // has it as long as it has watches.
        let seen = unsafe {
            last = key(watch);
            let source = (*(*watch.as_ptr()).watch_list).source;
            Seen {
                source: (!source.is_null()).then(|| CStr::from_char_ptr(source)),
                id: (*watch.as_ptr()).id,
                tag: ((*watch.as_ptr()).info_id >> INFO_ID_SHIFT) as u8,
            }
        };
        visit(&seen);
    }
}

/// Initialises a watch.
///
/// @watch: The watch, see &struct watch.
/// @wqueue: The queue that is to watch, which the caller has a reference to.
///
/// # Safety
///
/// `watch` is valid for writes.
#[export]
pub(crate) unsafe extern "C" fn init_watch(
    watch: *mut bindings::watch,
    wqueue: *mut bindings::watch_queue,
) {
    // SAFETY: By the caller's promise.
    unsafe {
        (*watch).list_node = bindings::hlist_node::default();
        (*watch).queue = wqueue;
        clear_queue_node(NonNull::new_unchecked(watch));
    }
}

/// Attaches a watch to an object, on behalf of the current task.
///
/// Returns 0 and owns `watch` from then on, or changes nothing and returns `-EBUSY` if the queue
/// watches that object already, `-EAGAIN` if the task's user has as many watches as
/// `RLIMIT_NOFILE` allows, `-ENOENT` if the queue has been closed.
///
/// Context: Process context, as it is about the current task; locks may be held.
///
/// # Safety
///
/// `watch` is as [`init_watch`] and `struct watch` in the header demand, the caller has a reference
/// to its queue, and `wlist` is initialised and not being freed.
#[export]
pub(crate) unsafe extern "C" fn add_watch_to_object(
    watch: *mut bindings::watch,
    wlist: *mut bindings::watch_list,
) -> c_int {
    // SAFETY: By the caller's promise.
    let result = unsafe { attach(NonNull::new_unchecked(watch), NonNull::new_unchecked(wlist)) };
    result.map_or_else(|error| error.to_errno(), |()| 0)
}

/// # Safety
///
/// As for [`add_watch_to_object`].
unsafe fn attach(watch: RawWatch, list: RawList) -> Result {
    // SAFETY: The caller has a reference to the queue.
    let queue: &Queue = unsafe { &*(*watch.as_ptr()).queue.cast() };
    let mut watches = queue.watches.lock();
    if watches.closed {
        return Err(ENOENT);
    }
    // SAFETY: The watch is valid.
    let id = unsafe { (*watch.as_ptr()).id };
    let Err(vacancy) = watches.find((list.as_ptr().addr(), id)) else {
        return Err(EBUSY);
    };

    // SAFETY: The current task's credentials are valid.
    let cred = unsafe { bindings::current_cred() };
    // SAFETY: As above; `rlimit()` has no requirements.
    let (count, limit) = unsafe { (nr_watches(cred), bindings::rlimit(bindings::RLIMIT_NOFILE)) };
    if count.fetch_add(1, Relaxed) as c_ulong >= limit {
        count.fetch_sub(1, Relaxed);
        return Err(EAGAIN);
    }

    // SAFETY: The caller has a reference to the queue, so there is one to take another from.  It
    // is the watch's, as is the one to the credentials; `free_watch()` drops them.  The list is
    // valid, and not being freed.
    unsafe {
        (*watch.as_ptr()).cred = bindings::get_cred(cred);
        let _ = Arc::into_raw(Arc::from(ArcBorrow::<Queue>::from_raw(queue)));
        (*watch.as_ptr()).watch_list = list.as_ptr();
        watches.insert(watch, vacancy);
        let _locked = lock_list(list);
        bindings::hlist_add_head_rcu(
            &raw mut (*watch.as_ptr()).list_node,
            &raw mut (*list.as_ptr()).watchers,
        );
        trace::watch_add(queue.ino, watch.as_ptr(), list.as_ptr());
    }
    Ok(())
}

/// Removes watches.  Each watcher gets a removal notification, unless its queue is full: then it is
/// lost as any message is.
///
/// `wq` and `id` say which watch; if `wq` is null, it is all those on the object `id`, and with
/// `all`, all on the list.  In any case `id` is what the notification says has ceased to be
/// watched; it is left out if it is 0.
///
/// Returns 0, or `-EBADSLT` if there was no such watch, or none.
///
/// Context: As `release_watch` of the list demands; otherwise as to post.
///
/// # Safety
///
/// `wlist` is initialised, and the caller has a reference to `wq`, unless that is null or `all` is
/// set.  Of several watches, what is added meanwhile may stay: to free the list after that, see to
/// it that nothing is.
#[export]
pub(crate) unsafe extern "C" fn remove_watch_from_object(
    wlist: *mut bindings::watch_list,
    wq: *mut bindings::watch_queue,
    id: u64,
    all: bool,
) -> c_int {
    // SAFETY: The caller promises that it is initialised.
    let list = unsafe { NonNull::new_unchecked(wlist) };
    let mut removed = false;
    if all || wq.is_null() {
        // SAFETY: By the caller's promise.
        while let Some(unlisted) = unsafe { unlist_first(list, (!all).then_some(id)) } {
            // From here on the queue being closed cannot take it away.
            unlisted.detach();
            // SAFETY: The list is valid by the caller's promise.
            retire(unlisted, id, unsafe { (*list.as_ptr()).release_watch });
            removed = true;
        }
    } else {
        // SAFETY: The caller has a reference to the queue.
        let queue: &Queue = unsafe { &*wq.cast() };
        // SAFETY: By the caller's promise.
        if let Some((unlisted, release_watch)) = unsafe { unlist_one(queue, list, id) } {
            retire(unlisted, id, release_watch);
            removed = true;
        }
    }
    if removed {
        0
    } else {
        EBADSLT.to_errno()
    }
}

/// Takes the first watch off the list, or the first on an object.
///
/// # Safety
///
/// `list` is initialised.
unsafe fn unlist_first(list: RawList, object: Option<u64>) -> Option<Unlisted> {
    // SAFETY: By the caller's promise.
    let _locked = unsafe { lock_list(list) };
    // SAFETY: As above.
    let mut next = unsafe { first_watch(list) };
    while let Some(watch) = next {
        // SAFETY: The list is locked, so what is on it is a valid watch that was attached.
        unsafe {
            if object.is_none_or(|id| (*watch.as_ptr()).id == id) {
                return Unlisted::take(watch);
            }
            next = next_watch(watch);
        }
    }
    None
}

/// Takes back a watch that was added to an object which is going away: without a removal
/// notification.
///
/// Returns whether it was there to be taken.  Otherwise the watcher has been told, or is about to
/// be, that the object is gone.
///
/// # Safety
///
/// `wlist` is initialised.
#[allow(dead_code, reason = "not every source needs it")]
#[cfg(CONFIG_WATCH_SOURCES)]
pub(crate) unsafe fn withdraw(wlist: *mut bindings::watch_list, queue: &Queue, id: u64) -> bool {
    // SAFETY: The caller promises that it is initialised.
    let found = unsafe { unlist_one(queue, NonNull::new_unchecked(wlist), id) };
    match found {
        Some((unlisted, release_watch)) => {
            unlisted.release(release_watch);
            true
        }
        None => false,
    }
}

/// # Safety
///
/// `list` is initialised.
unsafe fn unlist_one(queue: &Queue, list: RawList, id: u64) -> Option<(Unlisted, ReleaseWatch)> {
    let mut watches = queue.watches.lock();
    let watch = watches.find((list.as_ptr().addr(), id)).ok()?;
    // SAFETY: The watch is in the tree, so it is valid and its list is `list`.
    unsafe {
        let _locked = lock_list(list);
        // If there is nothing to take, all of the list is being removed.
        let unlisted = Unlisted::take(watch)?;
        watches.erase(watch);
        Some((unlisted, (*list.as_ptr()).release_watch))
    }
}

fn retire(unlisted: Unlisted, id: u64, release_watch: ReleaseWatch) {
    unlisted.notify(id);
    unlisted.release(release_watch);
}

/// The watch whose `list_node` this is.
fn watch_of_list_node(node: *mut bindings::hlist_node) -> Option<RawWatch> {
    // `list_node` comes first, see `struct watch`: this is free.
    const OFFSET: usize = offset_of!(bindings::watch, list_node);
    // SAFETY: All nodes on a watch list are the `list_node` of a watch.
    NonNull::new(node).map(|node| unsafe { node.byte_sub(OFFSET) }.cast())
}

/// The first watch on a list that is locked or, under RCU, about to be walked.
///
/// # Safety
///
/// `list` is initialised.
#[inline]
unsafe fn first_watch(list: RawList) -> Option<RawWatch> {
    // SAFETY: By the caller's promise.  Writers use `rcu_assign_pointer()`.
    let first = unsafe { Atomic::from_ptr(&raw mut (*list.as_ptr()).watchers.first) };
    watch_of_list_node(first.load(Relaxed))
}

/// The watch behind `watch` on its list.
///
/// # Safety
///
/// `watch` was on a list in this RCU read-side critical section.
#[inline]
unsafe fn next_watch(watch: RawWatch) -> Option<RawWatch> {
    // SAFETY: By the caller's promise.  Writers use `rcu_assign_pointer()`.
    let next = unsafe { Atomic::from_ptr(&raw mut (*watch.as_ptr()).list_node.next) };
    watch_of_list_node(next.load(Relaxed))
}

/// Posts `n` to all queues that watch the object `id` with this list.  Called by way of
/// `post_watch_notification()`, where the rules are.
///
/// # Safety
///
/// `wlist` is initialised and valid for this RCU read-side critical section, `n` is a message as
/// long as it says, and `cred` is valid.
#[export]
pub(crate) unsafe extern "C" fn __post_watch_notification(
    wlist: *mut bindings::watch_list,
    n: *mut bindings::watch_notification,
    cred: *const bindings::cred,
    id: u64,
) {
    // SAFETY: The message is valid.
    let length = unsafe { (*n).info } & INFO_LENGTH;
    if (length as usize) < MIN_LEN {
        kernel::warn_on!(true);
        return;
    }

    let rcu = rcu::read_lock();
    let note = RawNote(n);
    let event = Event { note, id };
    // SAFETY: By the caller's promise.
    let mut next = unsafe { first_watch(NonNull::new_unchecked(wlist)) };
    // Where nobody is interested this calls nothing, and so has nothing to save and to restore.
    while let Some(watch) = next {
        // SAFETY: The watch was on the list in this RCU read-side critical section, and the message
        // is long enough.  Thus, and by the caller's promise, for the others.
        unsafe {
            if let Some(queue) = event.queue(watch) {
                match queue.filter(&rcu) {
                    // Then there is nothing to remember while others are called.
                    None if next_watch(watch).is_none() => {
                        return deliver(watch, note, cred, queue)
                    }
                    None => return deliver_from(watch, note, cred, id, queue, rcu),
                    Some(filter)
                        if filter.rejects_all_of(note.first_word()) && !trace::filter_is_on() =>
                    {
                        queue.count_rejected();
                    }
                    Some(_) => return ask_from(watch, note, cred, id, rcu),
                }
            }
            next = next_watch(watch);
        }
    }
}

/// What a source posts: a message, which is the source's own memory.
#[derive(Clone, Copy)]
struct RawNote(*mut bindings::watch_notification);

impl RawNote {
    #[inline(always)]
    fn bytes(self) -> *mut u8 {
        self.0.cast()
    }

    /// The word that a message begins with, type and subtype, for which C has no type.
    ///
    /// # Safety
    ///
    /// This is a message.
    #[inline(always)]
    unsafe fn first_word(self) -> u32 {
        // SAFETY: By the caller's promise; messages have the alignment of what they begin with.
        unsafe { *self.0.cast() }
    }

    /// What the message begins with.
    ///
    /// # Safety
    ///
    /// This is a message.
    #[inline(always)]
    unsafe fn header(self) -> Header {
        // SAFETY: By the caller's promise.
        unsafe { Header::from_words(self.first_word(), (*self.0).info) }
    }

    /// Makes the message the one for a watch.
    ///
    /// # Safety
    ///
    /// `watch` is valid.  This is a message as long as it says, and at least [`MIN_LEN`] bytes
    /// long.  It does not change for `'a`.
    #[inline(always)]
    unsafe fn address_to<'a>(self, watch: RawWatch) -> Addressed<'a> {
        // SAFETY: By the caller's promise.  The message is the caller's to change.
        unsafe {
            let tag = (*watch.as_ptr()).info_id >> INFO_ID_SHIFT;
            *self.bytes().add(ID_OFFSET) = tag as u8;
        }
        // INVARIANT: By the caller's promise.
        Addressed(self, PhantomData)
    }
}

/// A message for a watch.
///
/// # Invariants
///
/// It is a message as long as it says, at least [`MIN_LEN`] bytes.  It does not change for `'a`.
struct Addressed<'a>(RawNote, PhantomData<&'a ()>);

impl Message for Addressed<'_> {
    /// Asks for the length only now, so that nobody has to remember it.
    #[inline(always)]
    fn note(&self) -> Note<'_> {
        // SAFETY: By the invariants.
        unsafe {
            let length = note::length_from(*self.0.bytes().add(LENGTH_OFFSET));
            Note::new_unchecked(core::slice::from_raw_parts(self.0.bytes(), length))
        }
    }
}

/// What is being posted, and about what.
#[derive(Clone, Copy)]
struct Event {
    note: RawNote,
    id: u64,
}

impl Event {
    /// The queue that has a watch, if that is for the object.
    ///
    /// # Safety
    ///
    /// `watch` was on a list in an RCU read-side critical section that does not end during `'a`.
    #[inline(always)]
    unsafe fn queue<'a>(self, watch: RawWatch) -> Option<&'a Queue> {
        // SAFETY: A watch that was on the list in this RCU read-side critical section is valid in
        // all of it, and what is read of it does not change.  It has a reference to its queue,
        // which it drops only after a grace period.
        unsafe {
            let raw = watch.as_ptr();
            ((*raw).id == self.id).then(|| &*(*raw).queue.cast::<Queue>().cast_const())
        }
    }

    /// The first watch, from `next` on, that is for the object and whose queue's filter accepts
    /// the message.
    ///
    /// # Safety
    ///
    /// `next` was on a list in the RCU read-side critical section that `rcu` is for, which does not
    /// end during `'a`, whoever has the guard then.  For the message as for
    /// [`RawNote::address_to`].
    #[inline(always)]
    unsafe fn find<'a>(
        self,
        mut next: Option<RawWatch>,
        rcu: &rcu::Guard,
    ) -> Option<(RawWatch, &'a Queue)> {
        while let Some(watch) = next {
            // SAFETY: By the caller's promise.
            unsafe {
                if let Some(queue) = self.queue(watch) {
                    match queue.filter(rcu) {
                        None => return Some((watch, queue)),
                        Some(filter) => {
                            let message = self.note.address_to(watch);
                            if filter.accepts(self.note.header()) {
                                return Some((watch, queue));
                            }
                            queue.reject(&message);
                        }
                    }
                }
                next = next_watch(watch);
            }
        }
        None
    }
}

/// Posts a message to `queue`, which accepts it, if a security module does not object.
///
/// # Safety
///
/// `watch` was on a list in this RCU read-side critical section, and `queue` is its queue.  `cred`
/// is valid.  For the message as for [`RawNote::address_to`].
#[inline(never)]
unsafe fn deliver(watch: RawWatch, note: RawNote, cred: *const bindings::cred, queue: &Queue) {
    // SAFETY: By the caller's promise.  The watch has its credentials as long as it is valid.
    let (message, refused) = unsafe {
        let message = note.address_to(watch);
        let watcher = (*watch.as_ptr()).cred;
        let result = bindings::security_post_notification(watcher, cred, note.0);
        (message, result < 0)
    };
    if refused {
        queue.deny(&message);
    } else {
        queue.post(&message);
    }
}

/// Posts an event to `queue`, which accepts it, and to those behind it that do.
///
/// # Safety
///
/// `watch` was on a list in the RCU read-side critical section that `rcu` is for, and `queue` is
/// its queue.  `cred` is valid.  For the message as for [`RawNote::address_to`].
#[inline(never)]
unsafe fn deliver_from(
    mut watch: RawWatch,
    note: RawNote,
    cred: *const bindings::cred,
    id: u64,
    mut queue: &Queue,
    rcu: rcu::Guard,
) {
    loop {
        // SAFETY: By the caller's promise.
        let next = unsafe {
            deliver(watch, note, cred, queue);
            Event { note, id }.find(next_watch(watch), &rcu)
        };
        match next {
            Some(next) => (watch, queue) = next,
            None => break,
        }
    }
}

/// Posts an event to those queues, from that of `watch` on, that accept it.
///
/// # Safety
///
/// As for [`deliver_from`].
#[inline(never)]
unsafe fn ask_from(
    watch: RawWatch,
    note: RawNote,
    cred: *const bindings::cred,
    id: u64,
    rcu: rcu::Guard,
) {
    // SAFETY: By the caller's promise.
    unsafe {
        let event = Event { note, id };
        if let Some((watch, queue)) = event.find(Some(watch), &rcu) {
            deliver_from(watch, note, cred, id, queue, rcu);
        }
    }
}

// SPDX-License-Identifier: GPL-2.0

//! One watch, in the states of its life.
//!
//! A source makes a [`Pending`] watch.  Attached, it is shared as a [`Watch`].  The one that takes
//! it off its list has it as [`Unlisted`] and, once it is out of the tree as well, as [`Detached`].

use core::{
    marker::PhantomData,
    mem::{offset_of, ManuallyDrop},
    ops::Deref,
    ptr::NonNull,
};
#[cfg(CONFIG_WATCH_SOURCES)]
use kernel::alloc::flags::GFP_KERNEL_ACCOUNT;
use kernel::{
    bindings, container_of,
    cred::Credential,
    prelude::*,
    sync::{rcu, Arc, ArcBorrow},
    types::Opaque,
};

use super::{list::LockedList, outgoing::Addressed};
use crate::{
    note::{Removal, INFO_ID_SHIFT},
    queue::Queue,
};

/// The function that a source has called when its watch is detached, if any.
pub(super) type ReleaseWatch = Option<unsafe extern "C" fn(*mut bindings::watch)>;

/// The order of watches in a tree: by object.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    list: usize,
    id: u64,
}

impl Key {
    /// A key below all others: no list is at address 0.
    pub(super) const FIRST: Self = Self { list: 0, id: 0 };

    pub(super) fn new(list: *const bindings::watch_list, id: u64) -> Self {
        let list = list.addr();
        Self { list, id }
    }
}

/// A watch that is or was attached: `struct watch`.
///
/// # Invariants
///
/// `id`, `info_id`, `queue`, `cred` and `watch_list` do not change.  The watch owns a reference to
/// its queue, and a [`Watcher`] as its credentials.
#[repr(transparent)]
pub(crate) struct Watch(Opaque<bindings::watch>);

impl Watch {
    /// # Safety
    ///
    /// `watch` was attached, and is not freed during `'a`.
    #[inline(always)]
    pub(super) unsafe fn from_raw<'a>(watch: NonNull<bindings::watch>) -> &'a Self {
        // INVARIANT: `Pending::own()` made it so.
        // SAFETY: A `Watch` is a `struct watch`, and the caller keeps it from being freed.
        unsafe { watch.cast().as_ref() }
    }

    #[inline(always)]
    pub(super) fn as_ptr(&self) -> *mut bindings::watch {
        self.0.get()
    }

    /// Returns what the source calls the object.
    #[inline(always)]
    pub(crate) fn id(&self) -> u64 {
        // SAFETY: By the invariants it does not change.
        unsafe { (*self.as_ptr()).id }
    }

    /// Returns what userspace calls the watch, in the bits `WATCH_INFO_ID`.
    #[inline(always)]
    fn info_id(&self) -> u32 {
        // SAFETY: By the invariants it does not change.
        unsafe { (*self.as_ptr()).info_id }
    }

    /// Returns what userspace calls the watch.
    #[inline(always)]
    pub(crate) fn tag(&self) -> u8 {
        (self.info_id() >> INFO_ID_SHIFT) as u8
    }

    /// Returns the queue.
    #[inline(always)]
    pub(crate) fn queue(&self) -> &Queue {
        // SAFETY: By the invariants the pointer owns a reference.
        unsafe { &*(*self.as_ptr()).queue.cast() }
    }

    /// Returns the list that the watch is or was on.  It is valid only as long as the watch is on
    /// it.
    #[inline(always)]
    pub(super) fn list(&self) -> *mut bindings::watch_list {
        // SAFETY: By the invariants it does not change.
        unsafe { (*self.as_ptr()).watch_list }
    }

    /// Returns where the watch is in the tree of its queue.
    #[inline(always)]
    pub(super) fn key(&self) -> Key {
        Key::new(self.list(), self.id())
    }

    /// Posts a removal notification, which names the object `id`, to the queue.
    #[inline(always)]
    fn notify(&self, id: u64) {
        let _rcu = rcu::read_lock();
        self.queue().post(&Removal::new(self.info_id(), id));
    }

    /// Returns whether security modules let the watch receive a message.
    #[inline(always)]
    pub(super) fn may_receive(&self, message: &Addressed<'_>, cause: &Credential) -> bool {
        let (watch, message) = (self.as_ptr(), message.as_ptr());
        // SAFETY: The watch has its credentials by the invariants, and the message is valid.
        unsafe { bindings::security_post_notification((*watch).cred, cause.as_ptr(), message) >= 0 }
    }
}

/// The credentials that a watch was attached with, for whose user it is counted.
///
/// # Invariants
///
/// The pointer came from `watch_queue_charge()`.
pub(super) struct Watcher(NonNull<bindings::cred>);

impl Watcher {
    /// Counts a watch for the current task.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if the user has as many as `RLIMIT_NOFILE` allows, or as a user namespace does.
    #[inline(always)]
    pub(super) fn current() -> Result<Self> {
        // SAFETY: There are no requirements.
        let cred = unsafe { bindings::watch_queue_charge() };
        // INVARIANT: It just did.
        NonNull::new(cred.cast_mut()).map(Self).ok_or(EAGAIN)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // SAFETY: By the invariants the watch is counted for these credentials.
        unsafe { bindings::watch_queue_uncharge(self.0.as_ptr()) };
    }
}

/// A watch that is not attached yet.
///
/// # Invariants
///
/// The watch is the source's, which lends it for `'a`.  It was initialised by [`Pending::init`],
/// and its queue is valid for `'a`.
pub(crate) struct Pending<'a> {
    watch: NonNull<bindings::watch>,
    _lent: PhantomData<&'a mut bindings::watch>,
}

impl<'a> Pending<'a> {
    /// Initialises a watch that `queue` is to have.
    ///
    /// # Safety
    ///
    /// `watch` is valid for writes, and `queue` is a pointer to what is in an [`Arc`].
    pub(crate) unsafe fn init(watch: *mut bindings::watch, queue: *const Queue) {
        // SAFETY: The caller has the memory of a watch, zeroes or not.
        let (list_node, wqueue, tree_node) = unsafe {
            (
                &raw mut (*watch).list_node,
                &raw mut (*watch).queue,
                tree_node(watch),
            )
        };
        // SAFETY: These are parts of the watch.
        unsafe { list_node.write(bindings::hlist_node::default()) };
        // SAFETY: As above.
        unsafe { wqueue.write(queue.cast_mut().cast()) };
        // SAFETY: As above, and the watch is in no tree.
        unsafe { clear(tree_node) };
    }

    /// # Safety
    ///
    /// `watch` was initialised by [`Pending::init`], and its queue is valid for `'a`.  Nobody else
    /// accesses the watch for `'a` or, once it is attached, ever.
    pub(crate) unsafe fn from_raw(watch: *mut bindings::watch) -> Self {
        // INVARIANT: The requirements are the invariants.
        Self {
            // SAFETY: A watch that was initialised is not at address 0.
            watch: unsafe { NonNull::new_unchecked(watch) },
            _lent: PhantomData,
        }
    }

    /// Returns the queue that is to watch.
    pub(super) fn queue(&self) -> &'a Queue {
        // SAFETY: By the invariants it is valid for `'a`.
        unsafe { &*(*self.watch.as_ptr()).queue.cast() }
    }

    /// Returns what the source calls the object.
    pub(super) fn id(&self) -> u64 {
        // SAFETY: By the invariants the watch is valid.
        unsafe { (*self.watch.as_ptr()).id }
    }

    /// Gives the watch what it owns as long as it lives, and the list that it is going to be on.
    #[inline(always)]
    pub(super) fn own(self, watcher: Watcher, list: &LockedList<'_>) -> Owning {
        // SAFETY: By the invariants the watch is valid.
        let queue: *const Queue = unsafe { (*self.watch.as_ptr()).queue }.cast();
        // SAFETY: By the invariants this came from an `Arc`, and the queue is valid.
        let queue: Arc<Queue> = unsafe { ArcBorrow::from_raw(queue) }.into();
        let _ = Arc::into_raw(queue);
        let cred = ManuallyDrop::new(watcher).0.as_ptr();
        // SAFETY: By the invariants the watch is valid and not shared.
        let watch = unsafe { &mut *self.watch.as_ptr() };
        watch.cred = cred;
        watch.watch_list = list.as_ptr();
        watch.counts = list.counts();
        // INVARIANT: It has a reference to its queue and the `Watcher` from here on.
        Owning(self.watch)
    }
}

/// A watch that has all that it owns, and is in neither collection yet.
///
/// # Invariants
///
/// Those of [`Watch`], and the watch is not shared.
pub(super) struct Owning(NonNull<bindings::watch>);

impl Owning {
    #[inline(always)]
    pub(super) fn as_ptr(&self) -> *mut bindings::watch {
        self.0.as_ptr()
    }
}

/// A watch that one of the sources here is about to attach.
#[cfg(CONFIG_WATCH_SOURCES)]
pub(super) struct Unattached(KBox<bindings::watch>);

#[cfg(CONFIG_WATCH_SOURCES)]
impl Unattached {
    /// Allocates a watch on the object `id`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn new(id: u64, tag: u8, private: *mut c_void) -> Result<Self> {
        let watch = bindings::watch {
            id,
            info_id: u32::from(tag) << INFO_ID_SHIFT,
            private,
            ..Default::default()
        };
        Ok(Self(KBox::new(watch, GFP_KERNEL_ACCOUNT)?))
    }

    /// Has `attach` attach the watch for a queue, and frees it if that fails.
    pub(super) fn attach_by(
        mut self,
        queue: ArcBorrow<'_, Queue>,
        attach: impl FnOnce(Pending<'_>) -> Result,
    ) -> Result {
        let queue = Arc::from(queue);
        let watch: *mut _ = &mut *self.0;
        // SAFETY: The memory is a watch, and the pointer is to the queue in its `Arc`.
        unsafe { Pending::init(watch, Arc::as_ptr(&queue)) };
        // SAFETY: It has just been initialised, and `queue` is a reference.  If it gets attached,
        // `self` is forgotten.
        attach(unsafe { Pending::from_raw(watch) })?;
        let _ = KBox::into_raw(self.0);
        Ok(())
    }
}

/// Returns the node by which a watch is linked in a tree.
///
/// # Safety
///
/// `watch` is valid.
#[inline(always)]
pub(super) unsafe fn tree_node(watch: *mut bindings::watch) -> *mut bindings::rb_node {
    // SAFETY: The caller has a valid watch.
    unsafe { &raw mut (*watch).__bindgen_anon_1.queue_node }
}

/// Marks a node as being in no tree, as `RB_CLEAR_NODE()` does.
///
/// # Safety
///
/// `node` is valid for writes, and in no tree.
#[inline(always)]
pub(super) unsafe fn clear(node: *mut bindings::rb_node) {
    // SAFETY: The caller has a valid node.
    unsafe { (*node).__rb_parent_color = node as c_ulong };
}

/// A watch that has been taken off its list, and may still be in the tree.
///
/// # Invariants
///
/// The watch was attached, and is owned: nobody else takes it off a list or frees it.
pub(super) struct Unlisted {
    watch: NonNull<bindings::watch>,
    release_watch: ReleaseWatch,
}

impl Unlisted {
    /// # Safety
    ///
    /// The caller has just taken `watch` off its list, and gives its ownership away.
    pub(super) unsafe fn new(watch: &Watch, release_watch: ReleaseWatch) -> Self {
        // INVARIANT: A watch gets on a list only once, so nobody else takes it off.
        Self {
            watch: NonNull::from(watch).cast(),
            release_watch,
        }
    }

    /// # Safety
    ///
    /// The watch is not in a tree.
    pub(super) unsafe fn into_detached(self) -> Detached {
        // INVARIANT: It is off its list by the invariants, and the caller has seen that it is in no
        // tree.
        Detached(self)
    }
}

impl Deref for Unlisted {
    type Target = Watch;

    fn deref(&self) -> &Watch {
        // SAFETY: By the invariants it was attached and is owned.
        unsafe { Watch::from_raw(self.watch) }
    }
}

/// A watch that has been taken off its list and out of the tree.  Posts under RCU may still see it.
///
/// It is freed after a grace period.  Dropping this does not wait for that.
///
/// # Invariants
///
/// The watch is in no tree.
pub(super) struct Detached(Unlisted);

impl Detached {
    /// Posts a removal notification, which names the object `id`, to the queue.
    #[inline(always)]
    pub(super) fn notify(&self, id: u64) {
        self.0.notify(id);
    }

    /// Gives the source a last look.  May sleep if the source does.
    pub(super) fn release(self) {
        if let Some(release_watch) = self.0.release_watch {
            // SAFETY: The watch is valid and owned, this is the function of its list, and the
            // caller holds no locks.
            unsafe { call_source(self.0.as_ptr(), release_watch) };
        }
    }
}

/// Calls the source, and counts that if somebody may wait for it.
///
/// Out of line, as most sources have no such function.
///
/// # Safety
///
/// `watch` is off its list and owned, and `release_watch` is that of the list.  No locks are held.
#[cold]
#[inline(never)]
unsafe fn call_source(
    watch: *mut bindings::watch,
    release_watch: unsafe extern "C" fn(*mut bindings::watch),
) {
    // SAFETY: The caller has a valid watch, and these do not change.
    let (list, counts) = unsafe { ((*watch).watch_list, (*watch).counts) };
    // SAFETY: The caller owns the watch and holds no locks.
    unsafe { release_watch(watch) };
    if counts {
        // SAFETY: The list is one of a module, which keeps it until all its watches are counted,
        // and this one has not been.
        unsafe { bindings::watch_list_count_released(list) };
    }
}

impl Drop for Detached {
    fn drop(&mut self) {
        // SAFETY: The watch is owned and valid.
        let rcu = unsafe { &raw mut (*self.0.as_ptr()).__bindgen_anon_1.rcu };
        // SAFETY: By the invariants the watch is in no tree, so the memory of `queue_node` can be
        // that of `rcu`.  It is owned, so this happens once.
        unsafe { bindings::call_rcu(rcu, Some(free)) };
    }
}

/// Watches of one list that have been detached, in the order in which they were.
///
/// They are freed together, after one grace period.
///
/// # Invariants
///
/// `ends` are the first and the last one.  Each is a [`Detached`] that has been given up for
/// this, and has the next one as `rb_left` of its node, which is in no tree.  All were on one list,
/// which has `release_watch`.
pub(super) struct Batch {
    ends: Option<(NonNull<bindings::watch>, NonNull<bindings::watch>)>,
    release_watch: ReleaseWatch,
}

impl Batch {
    /// The number of watches that may be done at once, with interrupts off.
    pub(super) const FULL: usize = 16;

    #[inline(always)]
    pub(super) fn new() -> Self {
        // INVARIANT: There are none.
        Self {
            ends: None,
            release_watch: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_none()
    }

    /// Appends a watch.
    ///
    /// # Safety
    ///
    /// It was on the same list as the others.
    #[inline(always)]
    pub(super) unsafe fn push(&mut self, watch: Detached) {
        // INVARIANT: The caller has seen to it that the list is the same.
        let watch = ManuallyDrop::new(watch);
        self.release_watch = watch.0.release_watch;
        let watch = watch.0.watch;
        // SAFETY: The watch is owned and valid, and in no tree.
        unsafe { *next_in_batch(watch) = None };
        let first = match self.ends {
            Some((first, last)) => {
                // SAFETY: By the invariants, as above.
                unsafe { *next_in_batch(last) = Some(watch) };
                first
            }
            None => watch,
        };
        self.ends = Some((first, watch));
    }

    fn for_each(&self, mut f: impl FnMut(&Watch)) {
        let mut next = self.ends.map(|(first, _)| first);
        while let Some(watch) = next {
            // SAFETY: By the invariants the watch is owned and valid, and was attached.
            f(unsafe { Watch::from_raw(watch) });
            // SAFETY: By the invariants, as above.
            next = unsafe { *next_in_batch(watch) };
        }
    }

    /// Posts a removal notification, which names the object `id`, to the queue of each.
    pub(super) fn notify(&self, id: u64) {
        self.for_each(|watch| watch.notify(id));
    }

    /// Calls the source's `release_watch()` for each watch, and frees them all by one RCU callback.
    ///
    /// There are at most [`Batch::FULL`] of them.  May sleep if `release_watch()` does.
    #[inline(always)]
    pub(super) fn release_few(mut self) {
        self.call_source();
        if let Some((first, _)) = self.ends.take() {
            // SAFETY: By the invariants these watches are owned by the batch.  It is empty now, so
            // `drop()` does not free them again.
            unsafe { free_later(first) };
        }
    }

    /// Does the same as [`Batch::release_few`] for a batch of any size: `drop()` frees it in parts.
    #[inline(always)]
    pub(super) fn release(self) {
        self.call_source();
    }

    #[inline(always)]
    fn call_source(&self) {
        if let Some(release_watch) = self.release_watch {
            // SAFETY: By the invariants the watches are valid and owned, and this is the function
            // of their list.  The caller holds no locks.
            self.for_each(|watch| unsafe { call_source(watch.as_ptr(), release_watch) });
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        while let Some((first, last)) = self.ends.take() {
            // Not more than so many, because RCU calls back with softirqs off.
            let mut cut = first;
            for _ in 1..Self::FULL {
                if cut == last {
                    break;
                }
                // SAFETY: By the invariants the watch is owned and valid.
                let Some(next) = (unsafe { *next_in_batch(cut) }) else {
                    break;
                };
                cut = next;
            }
            // SAFETY: As above.
            let rest = unsafe { (*next_in_batch(cut)).take() };
            self.ends = rest.map(|next| (next, last));
            // SAFETY: The chain from `first` was cut off, so `self` does not have it any more.
            unsafe { free_later(first) };
        }
    }
}

/// Frees a chain of watches after a grace period.
///
/// # Safety
///
/// `first` is the first watch of a chain that a [`Batch`] owned.  The caller has taken the chain
/// out of the batch, and does not use it after the call.
#[inline(always)]
unsafe fn free_later(first: NonNull<bindings::watch>) {
    // SAFETY: The caller has the chain from a batch, by whose invariants the watch is valid.
    let rcu = unsafe { &raw mut (*first.as_ptr()).__bindgen_anon_1.rcu };
    // SAFETY: By the same invariants the watch is in no tree, so the memory of `queue_node` can be
    // that of `rcu`, which does not reach to `rb_left`.  The caller does not use the chain again,
    // so `rcu` is queued once.
    unsafe { bindings::call_rcu(rcu, Some(free_batch)) };
}

const _: () =
    assert!(offset_of!(bindings::rb_node, rb_left) >= size_of::<bindings::callback_head>());

/// Returns where a watch in a [`Batch`] has the next one.
///
/// # Safety
///
/// `watch` is valid, and in no tree.
#[inline(always)]
unsafe fn next_in_batch(watch: NonNull<bindings::watch>) -> *mut Option<NonNull<bindings::watch>> {
    // SAFETY: The caller has a valid watch.
    let node = unsafe { tree_node(watch.as_ptr()) };
    // SAFETY: As above.
    unsafe { &raw mut (*node).rb_left }.cast()
}

/// Frees a watch after its grace period.
///
/// # Safety
///
/// For [`Detached::drop`] to give to `call_rcu()`.
unsafe extern "C" fn free(rcu: *mut bindings::callback_head) {
    // SAFETY: `drop()` gave the `rcu` of a watch.
    let watch = unsafe { container_of!(rcu, bindings::watch, __bindgen_anon_1.rcu) };
    // SAFETY: Nobody sees the watch any more.
    unsafe { free_watch(watch) };
}

/// Frees the watches of a [`Batch`] after their grace period.
///
/// # Safety
///
/// RCU calls this, and `rcu` is that of the first watch of a chain that [`free_later`] has queued.
unsafe extern "C" fn free_batch(rcu: *mut bindings::callback_head) {
    // SAFETY: The caller has the `rcu` of a watch, as `free_later()` queues no other.
    let mut watch = unsafe { container_of!(rcu, bindings::watch, __bindgen_anon_1.rcu) };
    loop {
        // SAFETY: The chain is valid until its watches are freed below, and nobody else uses it, as
        // the caller of `free_later()` has given it up.
        let next = unsafe { *next_in_batch(NonNull::new_unchecked(watch)) };
        // SAFETY: Nobody sees the watch any more.
        unsafe { free_watch(watch) };
        match next {
            Some(next) => watch = next.as_ptr(),
            None => break,
        }
    }
}

/// Frees a watch, and what it owns.
///
/// # Safety
///
/// The watch was attached, and nobody sees it any more.
unsafe fn free_watch(watch: *mut bindings::watch) {
    // SAFETY: The caller has the watch alone.
    let (queue, cred) = unsafe { ((*watch).queue, (*watch).cred) };
    // SAFETY: By the invariants of `Watch` it owns a reference to its queue.
    Queue::put(unsafe { Arc::from_raw(queue.cast()) });
    // INVARIANT: By those of `Watch` it owns a `Watcher`, so these came from there.
    // SAFETY: So they are not null.
    drop(Watcher(unsafe { NonNull::new_unchecked(cred.cast_mut()) }));
    // SAFETY: All watches are allocated with `kmalloc()`, as the header demands.
    unsafe { bindings::kfree(watch.cast()) };
}

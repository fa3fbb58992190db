// SPDX-License-Identifier: GPL-2.0

//! The watches on an object.

use core::ptr::NonNull;
use kernel::{bindings, container_of, prelude::*, sync::rcu, types::Opaque};

use super::raw::{Key, Owning, Unlisted, Watch};
use crate::{
    sync::{
        lock::{Context, RawLock},
        read_once,
    },
    trace::{self, WatchInfo},
};

/// The watches on an object, or on several of which each has an id: `struct watch_list`.
///
/// # Invariants
///
/// The list is initialised.  All nodes on it are the `list_node` of a watch that is attached, and
/// that is freed no earlier than a grace period after it has been taken off.
#[repr(transparent)]
pub(crate) struct WatchList(Opaque<bindings::watch_list>);

impl WatchList {
    /// # Safety
    ///
    /// `list` is initialised, and is not freed during `'a`.
    #[inline(always)]
    pub(crate) unsafe fn from_raw<'a>(list: *mut bindings::watch_list) -> &'a Self {
        // INVARIANT: Only `LockedList::add()` puts nodes on a list, and only `Detached` and `Batch`
        // free them.
        // SAFETY: A `WatchList` is a `struct watch_list`, and the caller keeps it.
        unsafe { &*list.cast() }
    }

    #[inline(always)]
    fn as_ptr(&self) -> *mut bindings::watch_list {
        self.0.get()
    }

    /// Returns the key of a watch on the object `id`.
    #[inline(always)]
    pub(super) fn key(&self, id: u64) -> Key {
        Key::new(self.as_ptr(), id)
    }

    /// Returns what the source is called, if it has a name.
    pub(crate) fn source(&self) -> Option<&CStr> {
        // SAFETY: The list is initialised, and its source does not change.
        let source = unsafe { (*self.as_ptr()).source };
        // SAFETY: A source that has a name has it as long as it has lists.
        (!source.is_null()).then(|| unsafe { CStr::from_char_ptr(source) })
    }

    /// Returns what trace events print of a watch on the list.
    pub(super) fn info(&self, watch: &Watch) -> WatchInfo<'_> {
        (self.source(), watch.id(), watch.tag())
    }

    #[inline(always)]
    fn raw_lock(&self) -> &RawLock<()> {
        // SAFETY: The list is initialised, so its lock is.
        unsafe { RawLock::from_raw(&raw mut (*self.as_ptr()).lock) }
    }

    /// Calls `f` with the list locked for changes.
    #[inline(always)]
    pub(super) fn with_lock<R>(&self, f: impl FnOnce(&LockedList<'_>) -> R) -> R {
        // INVARIANT: The lock is held until `f` returns.
        self.raw_lock().with(|()| f(&LockedList(self)))
    }

    /// Calls `f` with the list locked for changes, inside of the lock of a tree.
    #[inline(always)]
    pub(super) fn with_lock_inside<R>(
        &self,
        tree: &Context,
        f: impl FnOnce(&LockedList<'_>) -> R,
    ) -> R {
        // INVARIANT: The lock is held until `f` returns.
        self.raw_lock().with_inside(tree, |()| f(&LockedList(self)))
    }

    /// Loads the first watch on the list.
    #[inline(always)]
    fn first(&self) -> Option<NonNull<bindings::watch>> {
        // SAFETY: The list is initialised.
        let first = unsafe { &raw mut (*self.as_ptr()).watchers.first };
        // SAFETY: Writers use `rcu_assign_pointer()`.  All nodes are those of watches.
        unsafe { load(first) }
    }

    /// Returns the first watch on the list.
    #[inline(always)]
    pub(super) fn walk<'r>(&self, rcu: &'r rcu::Guard) -> Option<Walk<'r>> {
        // INVARIANT: The watch is on the list, in the section of `rcu`.
        self.first().map(|watch| Walk { watch, rcu })
    }
}

/// Loads a pointer to a node, and returns the watch that has that node.
///
/// # Safety
///
/// `link` is valid and changed as a whole, and points to the `list_node` of a watch, or is null.
#[inline(always)]
unsafe fn load(link: *mut *mut bindings::hlist_node) -> Option<NonNull<bindings::watch>> {
    // SAFETY: The caller has a valid pointer that is changed as a whole.
    let node = unsafe { read_once(link) };
    if node.is_null() {
        return None;
    }
    // SAFETY: The node is in a watch.
    let watch = unsafe { container_of!(node, bindings::watch, list_node) };
    // SAFETY: Memory of a watch is not at address 0.
    Some(unsafe { NonNull::new_unchecked(watch) })
}

/// A watch on a list that is walked, and the RCU read-side critical section of the walk.
///
/// # Invariants
///
/// `watch` was on a list in the critical section that `rcu` stands for.
pub(crate) struct Walk<'r> {
    watch: NonNull<bindings::watch>,
    rcu: &'r rcu::Guard,
}

/// [`Walk::from_raw`] makes a reference to a guard from an address, so a guard must have no bytes.
const _: () = assert!(size_of::<rcu::Guard>() == 0);

impl<'r> Walk<'r> {
    /// # Safety
    ///
    /// The caller is in an RCU read-side critical section that lasts for `'r`, and found the watch
    /// on a list in it.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(watch: *mut bindings::watch) -> Self {
        // INVARIANT: The requirements are the invariants.
        Self {
            // SAFETY: The watch is on a list, so it is memory and not at address 0.
            watch: unsafe { NonNull::new_unchecked(watch) },
            // SAFETY: A guard has no bytes, so any aligned address will do.  The caller is in the
            // section that it stands for, and dropping a reference does not end the section.
            rcu: unsafe { NonNull::<rcu::Guard>::dangling().as_ref() },
        }
    }

    /// Returns the watch.
    #[inline(always)]
    pub(super) fn watch(&self) -> &Watch {
        // SAFETY: By the invariants of `WatchList` it is freed only after a grace period, which
        // waits for the critical section.
        unsafe { Watch::from_raw(self.watch) }
    }

    /// Returns the evidence of the critical section.
    #[inline(always)]
    pub(super) fn rcu(&self) -> &'r rcu::Guard {
        self.rcu
    }

    /// Returns whether this is the last watch on the list.
    #[inline(always)]
    pub(super) fn is_last(&self) -> bool {
        next(self.watch()).is_none()
    }

    /// Returns the next watch.
    #[inline(always)]
    pub(super) fn next(self) -> Option<Self> {
        let next = next(self.watch());
        let rcu = self.rcu;
        // INVARIANT: What is linked behind a watch that was on the list was on the list, too.
        next.map(|watch| Self { watch, rcu })
    }
}

/// Loads the watch behind `watch` on its list.
#[inline(always)]
fn next(watch: &Watch) -> Option<NonNull<bindings::watch>> {
    // SAFETY: The watch is valid.
    let next = unsafe { &raw mut (*watch.as_ptr()).list_node.next };
    // SAFETY: Writers use `rcu_assign_pointer()`.  All nodes are those of watches.
    unsafe { load(next) }
}

/// A list that is locked.
///
/// # Invariants
///
/// The lock of the list is held as long as this is borrowed.
pub(super) struct LockedList<'a>(&'a WatchList);

impl LockedList<'_> {
    /// Returns the list.
    #[inline(always)]
    pub(super) fn as_ptr(&self) -> *mut bindings::watch_list {
        self.0.as_ptr()
    }

    /// Returns whether the watches that are taken off are counted.
    #[inline(always)]
    pub(super) fn counts(&self) -> bool {
        // SAFETY: The list is initialised, and this does not change.
        unsafe { (*self.as_ptr()).counts }
    }

    /// Puts a watch on the list.
    #[inline(always)]
    pub(super) fn add(&self, watch: Owning) {
        // SAFETY: The watch is valid.
        let node = unsafe { &raw mut (*watch.as_ptr()).list_node };
        // SAFETY: The list is initialised, and locked.
        let head = unsafe { &raw mut (*self.as_ptr()).watchers };
        // SAFETY: The list is locked, and the watch, which is owned, on none.
        unsafe { bindings::hlist_add_head_rcu(node, head) };
    }

    /// Takes the first watch off the list.
    pub(super) fn take_first(&self) -> Option<Unlisted> {
        // SAFETY: By the invariants of `WatchList` a watch on the list is valid, and it stays on
        // the list as long as that is locked.
        let watch = unsafe { Watch::from_raw(self.0.first()?) };
        // SAFETY: It is a watch of this list.
        unsafe { self.take(watch) }
    }

    /// Takes a watch off the list, unless it is off the list already.
    ///
    /// # Safety
    ///
    /// The watch is one of this list.
    #[inline(always)]
    pub(super) unsafe fn take(&self, watch: &Watch) -> Option<Unlisted> {
        // SAFETY: The watch is valid.
        let node = unsafe { &raw mut (*watch.as_ptr()).list_node };
        // SAFETY: The node changes only with the list locked, and it is.
        if unsafe { (*node).pprev }.is_null() {
            return None;
        }
        // SAFETY: The watch is on the list, which is locked.
        unsafe { bindings::hlist_del_init_rcu(node) };
        trace::detach(watch.queue().name(), || self.0.info(watch));
        // SAFETY: The list is initialised, and locked.
        let taken = unsafe { &mut (*self.as_ptr()).taken };
        *taken = taken.wrapping_add(1);
        // SAFETY: The list is initialised, and this does not change.
        let release_watch = unsafe { (*self.as_ptr()).release_watch };
        // SAFETY: It was on the list, and is off it now.
        Some(unsafe { Unlisted::new(watch, release_watch) })
    }
}

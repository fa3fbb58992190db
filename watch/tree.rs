// SPDX-License-Identifier: GPL-2.0

//! The watches of a queue.

use core::{cmp::Ordering, marker::PhantomData, ptr, ptr::NonNull};
use kernel::{bindings, container_of, prelude::*};

use super::{
    list::{LockedList, WatchList},
    raw::{self, Batch, Detached, Key, Pending, Unlisted, Watch, Watcher},
};
use crate::sync::lock::Context;

/// The watches of one queue, ordered by [`Key`].
///
/// This is not a [`kernel::rbtree::RBTree`], which has nodes of its own: these are in the watches,
/// in the memory that later is the `rcu` of each.
///
/// # Invariants
///
/// All nodes are the `queue_node` of an attached watch of the queue, and are ordered by the key of
/// their watches.  The list of each watch is valid: before a list is freed, all its watches are
/// removed, which takes them out of here.
pub(crate) struct Watches {
    root: bindings::rb_root,
    is_closed: bool,
}

// SAFETY: The watches in the tree are not bound to a thread.
unsafe impl Send for Watches {}

/// A node, or null.
type Link = *mut bindings::rb_node;

impl Watches {
    /// Makes an empty tree.
    pub(crate) const fn new() -> Self {
        // INVARIANT: There are no nodes.
        Self {
            root: bindings::rb_root {
                rb_node: ptr::null_mut(),
            },
            is_closed: false,
        }
    }

    /// Refuses all watches from now on.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    /// Returns the watch that has a node of the tree.
    ///
    /// # Safety
    ///
    /// The node is in this tree.
    #[inline(always)]
    unsafe fn watch_of(&self, node: NonNull<bindings::rb_node>) -> &Watch {
        let node = node.as_ptr();
        // SAFETY: By the invariants the nodes of the tree are those of watches.
        let watch = unsafe { container_of!(node, bindings::watch, __bindgen_anon_1.queue_node) };
        // SAFETY: By the invariants the watch was attached.  It is freed only after it has been
        // taken out of the tree, which is borrowed.
        unsafe { Watch::from_raw(NonNull::new_unchecked(watch)) }
    }

    /// Finds the node with this key or, as a parent and one of its links, the place for it.
    #[inline(always)]
    fn search(&mut self, wanted: Key) -> Result<NonNull<bindings::rb_node>, (Link, *mut Link)> {
        let mut parent = ptr::null_mut();
        let mut link = &raw mut self.root.rb_node;
        loop {
            // SAFETY: `link` is the root or one of the children of a node in the tree.
            let Some(node) = NonNull::new(unsafe { *link }) else {
                return Err((parent, link));
            };
            parent = node.as_ptr();
            // SAFETY: The node is in the tree, so it is valid.
            let (left, right) =
                unsafe { (&raw mut (*parent).rb_left, &raw mut (*parent).rb_right) };
            // SAFETY: The node is in the tree.
            let key = unsafe { self.watch_of(node) }.key();
            link = match wanted.cmp(&key) {
                Ordering::Equal => return Ok(node),
                Ordering::Less => left,
                Ordering::Greater => right,
            };
        }
    }

    /// Finds the place for a watch that is to be on `list`.
    ///
    /// # Errors
    ///
    /// - `ENOENT` if the tree has been closed
    /// - `EBUSY` if there is such a watch
    ///
    /// # Safety
    ///
    /// This is the tree of the watch's queue.
    #[inline(always)]
    pub(super) unsafe fn vacancy<'a>(
        &'a mut self,
        watch: Pending<'a>,
        list: &'a WatchList,
    ) -> Result<Vacancy<'a>> {
        if self.is_closed {
            return Err(ENOENT);
        }
        match self.search(list.key(watch.id())) {
            Ok(_) => Err(EBUSY),
            // INVARIANT: This is the place for the key.  The tree cannot change as long as it is
            // borrowed.
            Err((parent, link)) => Ok(Vacancy {
                tree: self,
                parent,
                link,
                watch,
                list,
            }),
        }
    }

    /// Takes the watch with this key out of the tree.
    pub(super) fn take(&mut self, key: Key) -> Option<OffTree<'_>> {
        let node = self.search(key).ok()?;
        // SAFETY: It has been found in the tree.
        Some(unsafe { self.take_node(node) })
    }

    /// Takes the first watches, all on the same list and at most [`Batch::FULL`], out of the tree
    /// and off that list.
    ///
    /// Returns those that were still on it, and whether the tree is empty now.
    pub(super) fn take_some(&mut self, context: &Context) -> (Batch, bool) {
        let mut batch = Batch::new();
        let Some(first) = self.first() else {
            return (batch, true);
        };
        // SAFETY: `first()` returned a node of this tree, and no node has been taken out since.
        let is_only = unsafe { self.is_only(first) };
        // SAFETY: As above.
        let list = unsafe { self.watch_of(first) }.list();
        // SAFETY: By the invariants the list is valid.  It is freed only after all its watches have
        // been looked for in their trees, and this one is locked.
        let list = unsafe { WatchList::from_raw(list) };
        let mut next = Some(first);
        list.with_lock_inside(context, |locked| {
            for _ in 0..Batch::FULL {
                let Some(node) = next else { break };
                // SAFETY: The node is in the tree.
                if unsafe { self.watch_of(node) }.list() != locked.as_ptr() {
                    break;
                }
                next = if is_only {
                    None
                } else {
                    // SAFETY: `node` is in the tree until `take_node()` below.
                    NonNull::new(unsafe { bindings::rb_next(node.as_ptr()) })
                };
                // SAFETY: As above.
                let off_tree = unsafe { self.take_node(node) };
                // SAFETY: This is its list.
                if let Some(unlisted) = unsafe { locked.take(off_tree.watch) } {
                    // SAFETY: It has just been taken out of the tree, and gets into one only once.
                    let detached = unsafe { unlisted.into_detached() };
                    // SAFETY: All are of this list.
                    unsafe { batch.push(detached) };
                }
            }
        });
        (batch, next.is_none())
    }

    /// Takes the watch that has a node out of the tree.
    ///
    /// # Safety
    ///
    /// The node is in this tree.
    #[inline(always)]
    unsafe fn take_node(&mut self, node: NonNull<bindings::rb_node>) -> OffTree<'_> {
        // SAFETY: The node is in the tree.
        let watch = NonNull::from(unsafe { self.watch_of(node) });
        // SAFETY: The node is in the tree.
        unsafe { self.erase(node.as_ptr()) };
        // SAFETY: The watch is freed by the one that takes it off its list, and not before that has
        // looked for it in the tree, which is borrowed until then.
        let watch = unsafe { watch.as_ref() };
        // INVARIANT: It has just been taken out.  Its list is freed only after all its watches have
        // been looked for in their trees.
        OffTree {
            watch,
            // SAFETY: As said above, it is valid.
            list: unsafe { WatchList::from_raw(watch.list()) },
            _tree: PhantomData,
        }
    }

    /// Returns the first node: `rb_first()`, inline.
    #[inline(always)]
    fn first(&self) -> Option<NonNull<bindings::rb_node>> {
        let mut first = NonNull::new(self.root.rb_node)?;
        // SAFETY: The root and its children are nodes of this tree, whose watches are valid as long
        // as they are in it.
        while let Some(left) = NonNull::new(unsafe { first.as_ref() }.rb_left) {
            first = left;
        }
        Some(first)
    }

    /// Returns whether there is no other node.
    ///
    /// # Safety
    ///
    /// The node is in this tree.
    #[inline(always)]
    unsafe fn is_only(&self, node: NonNull<bindings::rb_node>) -> bool {
        // SAFETY: The caller has a node of this tree, whose watch is valid as long as it is in it.
        let (left, right) = unsafe { ((*node.as_ptr()).rb_left, (*node.as_ptr()).rb_right) };
        self.root.rb_node == node.as_ptr() && left.is_null() && right.is_null()
    }

    /// Takes a node out of the tree.
    ///
    /// # Safety
    ///
    /// The node is in this tree.
    #[inline(always)]
    unsafe fn erase(&mut self, node: *mut bindings::rb_node) {
        // SAFETY: The caller has a node of this tree, so it is not null.
        if unsafe { self.is_only(NonNull::new_unchecked(node)) } {
            // Most queues watch one object, and need no rebalancing.
            self.root.rb_node = ptr::null_mut();
        } else {
            // SAFETY: The caller has a node of this tree.
            unsafe { bindings::rb_erase(node, &raw mut self.root) };
        }
        // SAFETY: It is in no tree now.
        unsafe { raw::clear(node) };
    }

    /// Finds the first watch with a key above `last`, and its list.
    pub(super) fn first_after(&self, last: Key) -> Option<(&Watch, &WatchList)> {
        let mut found = None;
        let mut next = NonNull::new(self.root.rb_node);
        while let Some(node) = next {
            // SAFETY: The node is in the tree.
            let watch = unsafe { self.watch_of(node) };
            // SAFETY: As above, so it is valid.
            let children = unsafe { node.as_ref() };
            next = NonNull::new(if watch.key() > last {
                found = Some(watch);
                children.rb_left
            } else {
                children.rb_right
            });
        }
        // SAFETY: By the invariants the list is valid as long as the watch is in the tree.
        found.map(|watch| (watch, unsafe { WatchList::from_raw(watch.list()) }))
    }
}

/// The place for a watch in the tree of its queue, which has none with its key.
///
/// # Invariants
///
/// `tree` is that of the queue of `watch`.  `link` is the root or one of the children of `parent`,
/// and is null, and a watch that is to be on `list` belongs there.
pub(super) struct Vacancy<'a> {
    tree: &'a mut Watches,
    parent: Link,
    link: *mut Link,
    watch: Pending<'a>,
    list: &'a WatchList,
}

impl<'a> Vacancy<'a> {
    /// Attaches the watch: puts it here and on its list.
    #[inline(always)]
    pub(super) fn attach(self, watcher: Watcher, context: &Context) -> &'a Watch {
        let Self {
            tree,
            parent,
            link,
            watch,
            list,
        } = self;
        list.with_lock_inside(context, |locked| {
            let watch = watch.own(watcher, locked);
            let attached = watch.as_ptr();
            // SAFETY: The watch is valid.
            let node = unsafe { raw::tree_node(attached) };
            // SAFETY: The node is in no tree, and by the invariants it belongs here.
            unsafe { bindings::rb_link_node(node, parent, link) };
            // INVARIANT: The watch is attached.
            // SAFETY: The node has just been linked.
            unsafe { bindings::rb_insert_color(node, &raw mut tree.root) };
            locked.add(watch);
            // SAFETY: It is attached, and stays in the tree as long as that is borrowed.
            unsafe { Watch::from_raw(NonNull::new_unchecked(attached)) }
        })
    }
}

/// A watch that has been taken out of its tree.
///
/// It is valid as long as the tree is borrowed, and so is its list.
///
/// # Invariants
///
/// The watch is in no tree, and `list` is the list that it is or was on.
pub(super) struct OffTree<'tree> {
    watch: &'tree Watch,
    list: &'tree WatchList,
    _tree: PhantomData<&'tree mut Watches>,
}

impl OffTree<'_> {
    /// Takes the watch off its list, unless it is off the list already.
    #[inline(always)]
    pub(super) fn unlist(self, context: &Context) -> Option<Detached> {
        let take = |locked: &LockedList<'_>| {
            // SAFETY: By the invariants this is its list.
            unsafe { locked.take(self.watch) }
        };
        let unlisted = self.list.with_lock_inside(context, take)?;
        // SAFETY: By the invariants it is in no tree, and it gets into one only once.
        Some(unsafe { unlisted.into_detached() })
    }
}

impl Unlisted {
    /// Takes the watch out of the tree of its queue, if it is still there.
    pub(super) fn detach(self) -> Detached {
        // SAFETY: The watch is valid.
        let node = unsafe { raw::tree_node(self.as_ptr()) };
        self.queue().watches().with(|tree| {
            // SAFETY: The node changes only with the tree locked.
            if unsafe { (*node).__rb_parent_color } != node as c_ulong {
                // SAFETY: The node is in a tree, and this is the tree of its queue.
                unsafe { tree.erase(node) };
            }
        });
        // SAFETY: The watch is out of the tree, and gets into one only once.
        unsafe { self.into_detached() }
    }
}

// SPDX-License-Identifier: GPL-2.0

//! The types and functions of the kernel's headers that watches use, in place of bindgen's.

#![allow(non_camel_case_types)]
#![allow(clippy::missing_safety_doc, reason = "the requirements are C's")]

use crate::world::{self, switch};
use core::{
    ffi::{c_char, c_int, c_ulong, c_void},
    ptr,
    sync::atomic::{AtomicI32, Ordering},
};
use std::cell::Cell;

pub const WATCH_INFO_TYPE_INFO: u32 = 0xffff_0000;

pub struct watch_queue;

#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct watch_notification {
    pub _bitfield: u32,
    pub info: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct hlist_node {
    pub next: *mut hlist_node,
    pub pprev: *mut *mut hlist_node,
}

impl Default for hlist_node {
    fn default() -> Self {
        Self {
            next: ptr::null_mut(),
            pprev: ptr::null_mut(),
        }
    }
}

#[repr(C)]
pub struct hlist_head {
    pub first: *mut hlist_node,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct rb_node {
    pub __rb_parent_color: c_ulong,
    pub rb_right: *mut rb_node,
    pub rb_left: *mut rb_node,
}

#[repr(C)]
pub struct rb_root {
    pub rb_node: *mut rb_node,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct callback_head {
    pub next: *mut callback_head,
    pub func: *mut c_void,
}

#[repr(C)]
pub union watch_node {
    pub queue_node: rb_node,
    pub rcu: callback_head,
}

#[repr(C)]
pub struct watch {
    pub list_node: hlist_node,
    pub queue: *mut watch_queue,
    pub cred: *const cred,
    pub id: u64,
    pub info_id: u32,
    pub counts: bool,
    pub private: *mut c_void,
    pub watch_list: *mut watch_list,
    pub __bindgen_anon_1: watch_node,
}

impl Default for watch {
    fn default() -> Self {
        Self {
            list_node: hlist_node::default(),
            queue: ptr::null_mut(),
            cred: ptr::null(),
            id: 0,
            info_id: 0,
            counts: false,
            private: ptr::null_mut(),
            watch_list: ptr::null_mut(),
            __bindgen_anon_1: watch_node {
                queue_node: rb_node {
                    __rb_parent_color: 0,
                    rb_right: ptr::null_mut(),
                    rb_left: ptr::null_mut(),
                },
            },
        }
    }
}

/// `raw_spinlock_t`, which knows whether it has been freed.
pub struct raw_spinlock_t {
    pub lock: loom::sync::Mutex<()>,
    pub is_freed: Cell<bool>,
}

#[repr(C)]
pub struct watch_list {
    pub rcu: callback_head,
    pub watchers: hlist_head,
    pub release_watch: Option<unsafe extern "C" fn(*mut watch)>,
    pub source: *const c_char,
    pub lock: raw_spinlock_t,
    pub taken: u32,
    pub released: u32,
    pub counts: bool,
}

#[derive(Default)]
pub struct atomic_t {
    pub counter: i32,
}

#[derive(Default)]
pub struct user_struct {
    pub nr_watches: atomic_t,
}

pub struct cred {
    pub usage: AtomicI32,
    pub user: *mut user_struct,
}

pub unsafe fn watch_queue_charge() -> *const cred {
    let cred = crate::watch_queue::CREDENTIALS.get();
    // SAFETY: They and their user are there until the end.
    unsafe {
        (*(*cred).user).nr_watches.counter += 1;
        (*cred).usage.fetch_add(1, Ordering::SeqCst);
    }
    cred
}

pub unsafe fn watch_queue_uncharge(cred: *const cred) {
    // SAFETY: They and their user are there until the end.
    unsafe {
        (*(*cred).user).nr_watches.counter -= 1;
        (*cred).usage.fetch_sub(1, Ordering::SeqCst);
    }
}

pub unsafe fn security_post_notification(
    _cred: *const cred,
    _cause: *const cred,
    _message: *mut watch_notification,
) -> c_int {
    switch();
    0
}

pub unsafe fn watch_list_count_released(list: *mut watch_list) {
    switch();
    // SAFETY: The list is valid.
    unsafe { (*list).released += 1 };
}

pub unsafe fn call_rcu(
    head: *mut callback_head,
    function: Option<unsafe extern "C" fn(*mut callback_head)>,
) {
    // SAFETY: The requirements are the same.
    unsafe { world::call_after_grace_period(head, function.unwrap()) };
}

pub unsafe fn kfree(memory: *mut c_void) {
    // SAFETY: All memory here is that of the world.
    unsafe { world::free(memory) };
}

pub unsafe fn hlist_add_head_rcu(node: *mut hlist_node, head: *mut hlist_head) {
    switch();
    // SAFETY: The list is locked, and its nodes are valid.
    unsafe {
        let first = (*head).first;
        (*node).next = first;
        (*node).pprev = &raw mut (*head).first;
        if !first.is_null() {
            (*first).pprev = &raw mut (*node).next;
        }
        (*head).first = node;
    }
}

pub unsafe fn hlist_del_init_rcu(node: *mut hlist_node) {
    switch();
    // SAFETY: The list is locked, and its nodes are valid.
    unsafe {
        let (next, pprev) = ((*node).next, (*node).pprev);
        if pprev.is_null() {
            return;
        }
        *pprev = next;
        if !next.is_null() {
            (*next).pprev = pprev;
        }
        (*node).pprev = ptr::null_mut();
    }
}

pub unsafe fn rb_link_node(node: *mut rb_node, parent: *mut rb_node, link: *mut *mut rb_node) {
    switch();
    world::insert_node(node);
    // SAFETY: The tree is locked, and its nodes are valid.
    unsafe {
        *node = rb_node {
            __rb_parent_color: parent.addr() as c_ulong,
            rb_right: ptr::null_mut(),
            rb_left: ptr::null_mut(),
        };
        *link = node;
    }
}

/// Trees are not balanced here.
pub unsafe fn rb_insert_color(_node: *mut rb_node, _root: *mut rb_root) {}

pub unsafe fn rb_erase(node: *mut rb_node, root: *mut rb_root) {
    switch();
    world::remove_node(node);
    // SAFETY: The tree is locked, and its nodes are valid.
    unsafe {
        let (left, right) = ((*node).rb_left, (*node).rb_right);
        if left.is_null() || right.is_null() {
            replace(node, if left.is_null() { right } else { left }, root);
            return;
        }
        let mut next = right;
        while !(*next).rb_left.is_null() {
            next = (*next).rb_left;
        }
        if next != right {
            replace(next, (*next).rb_right, root);
            (*next).rb_right = right;
            (*right).__rb_parent_color = next.addr() as c_ulong;
        }
        replace(node, next, root);
        (*next).rb_left = left;
        (*left).__rb_parent_color = next.addr() as c_ulong;
    }
}

/// Has `by`, which can be null, be the child of the parent of `node`.
unsafe fn replace(node: *mut rb_node, by: *mut rb_node, root: *mut rb_root) {
    // SAFETY: The tree is locked, and its nodes are valid.
    unsafe {
        let parent = (*node).__rb_parent_color as *mut rb_node;
        if parent.is_null() {
            (*root).rb_node = by;
        } else if (*parent).rb_left == node {
            (*parent).rb_left = by;
        } else {
            (*parent).rb_right = by;
        }
        if !by.is_null() {
            (*by).__rb_parent_color = parent.addr() as c_ulong;
        }
    }
}

pub unsafe fn rb_first(root: *const rb_root) -> *mut rb_node {
    // SAFETY: The tree is locked, and its nodes are valid.
    unsafe {
        let mut node = (*root).rb_node;
        while !node.is_null() && !(*node).rb_left.is_null() {
            node = (*node).rb_left;
        }
        node
    }
}

pub unsafe fn rb_next(node: *const rb_node) -> *mut rb_node {
    // SAFETY: The tree is locked, and its nodes are valid.
    unsafe {
        let mut next = (*node).rb_right;
        if !next.is_null() {
            while !(*next).rb_left.is_null() {
                next = (*next).rb_left;
            }
            return next;
        }
        let mut child = node;
        loop {
            next = (*child).__rb_parent_color as *mut rb_node;
            if next.is_null() || (*next).rb_left.cast_const() == child {
                return next;
            }
            child = next;
        }
    }
}

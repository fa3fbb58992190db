// SPDX-License-Identifier: GPL-2.0

//! Trace events: what happens to messages and watches, as it happens.
//!
//! C header: [`include/trace/events/watch_queue.h`](srctree/include/trace/events/watch_queue.h)

#[cfg(CONFIG_TRACEPOINTS)]
use kernel::jump_label::static_branch_unlikely;
use kernel::{bindings, prelude::*, tracepoint::declare_trace};

use crate::{
    note::{Message, Note},
    queue::Queue,
};

declare_trace! {
    /// # Safety
    ///
    /// `n` is a message.
    unsafe fn watch_queue_post(queue: u64, n: *const bindings::watch_notification);
    /// # Safety
    ///
    /// `n` is a message.
    unsafe fn watch_queue_filter(queue: u64, n: *const bindings::watch_notification);
    /// # Safety
    ///
    /// `n` is a message, and `reason` a string.
    unsafe fn watch_queue_drop(
        queue: u64,
        n: *const bindings::watch_notification,
        reason: *const c_char,
    );
    /// # Safety
    ///
    /// None.
    unsafe fn watch_queue_read(queue: u64, bytes: usize, messages: u32, lost: u64);
    /// # Safety
    ///
    /// `watch` and `wlist` are valid.
    unsafe fn watch_queue_watch_add(
        queue: u64,
        watch: *const bindings::watch,
        wlist: *const bindings::watch_list,
    );
    /// # Safety
    ///
    /// `watch` and `wlist` are valid.
    unsafe fn watch_queue_watch_remove(
        queue: u64,
        watch: *const bindings::watch,
        wlist: *const bindings::watch_list,
    );
}

/// Why a message was dropped.
#[derive(Clone, Copy)]
pub(crate) enum Reason {
    /// There was no room.
    Full,
    /// The queue had no size yet.
    Unsized,
    /// A security module said no.
    Denied,
}

impl Reason {
    const fn name(self) -> &'static CStr {
        match self {
            Self::Full => c"full",
            Self::Unsized => c"unsized",
            Self::Denied => c"denied",
        }
    }
}

fn message(note: Note<'_>) -> *const bindings::watch_notification {
    note.bytes().as_ptr().cast()
}

/// Whether a trace event does anything.
///
/// Asked by those that are on the way of each message: what it takes to call somebody is not to be
/// paid for as long as nobody traces.
#[cfg(CONFIG_TRACEPOINTS)]
macro_rules! is_on {
    ($tracepoint:ident) => {
        // SAFETY: It is the static key of a trace event.
        unsafe { static_branch_unlikely!(bindings::$tracepoint, bindings::tracepoint, key) }
    };
}

#[cfg(not(CONFIG_TRACEPOINTS))]
macro_rules! is_on {
    ($tracepoint:ident) => {
        false
    };
}

/// A message was put into the queue.
#[inline(always)]
pub(crate) fn post(queue: &Queue, note: &impl Message) {
    #[cold]
    #[inline(never)]
    fn trace(queue: &Queue, note: Note<'_>) {
        // SAFETY: A note is a message.
        unsafe { watch_queue_post(queue.ino, message(note)) }
    }

    if is_on!(__tracepoint_watch_queue_post) {
        trace(queue, note.note());
    }
}

/// Whether [`filter`] does anything.
#[inline(always)]
pub(crate) fn filter_is_on() -> bool {
    is_on!(__tracepoint_watch_queue_filter)
}

/// The filter rejected a message.
#[inline(always)]
pub(crate) fn filter(queue: &Queue, note: &impl Message) {
    #[cold]
    #[inline(never)]
    fn trace(queue: &Queue, note: Note<'_>) {
        // SAFETY: A note is a message.
        unsafe { watch_queue_filter(queue.ino, message(note)) }
    }

    if filter_is_on() {
        trace(queue, note.note());
    }
}

/// A message that passed the filter was dropped.
#[inline(always)]
pub(crate) fn drop(queue: &Queue, note: &impl Message, reason: Reason) {
    #[cold]
    #[inline(never)]
    fn trace(queue: &Queue, note: Note<'_>, reason: Reason) {
        // SAFETY: A note is a message, and the name a string.
        unsafe { watch_queue_drop(queue.ino, message(note), reason.name().as_char_ptr()) }
    }

    if is_on!(__tracepoint_watch_queue_drop) {
        trace(queue, note.note(), reason);
    }
}

/// This much was read.
#[inline(always)]
pub(crate) fn read(queue: &Queue, bytes: usize, messages: u32, lost: u64) {
    // SAFETY: There is nothing to promise.
    unsafe { watch_queue_read(queue.ino, bytes, messages, lost) }
}

/// The queue watches an object.
///
/// # Safety
///
/// `watch` and `list` are valid.
#[inline(always)]
pub(crate) unsafe fn watch_add(
    queue: u64,
    watch: *const bindings::watch,
    list: *const bindings::watch_list,
) {
    // SAFETY: By the caller's promise.
    unsafe { watch_queue_watch_add(queue, watch, list) }
}

/// The queue ceased to watch an object.
///
/// # Safety
///
/// `watch` and `list` are valid.
#[inline(always)]
pub(crate) unsafe fn watch_remove(
    queue: u64,
    watch: *const bindings::watch,
    list: *const bindings::watch_list,
) {
    // SAFETY: By the caller's promise.
    unsafe { watch_queue_watch_remove(queue, watch, list) }
}

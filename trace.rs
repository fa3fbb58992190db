// SPDX-License-Identifier: GPL-2.0

//! Trace events: what happens to messages and watches, as it happens.
//!
//! C header: [`include/trace/events/watch_queue.h`](srctree/include/trace/events/watch_queue.h)

use kernel::{bindings, jump_label::static_branch_unlikely, prelude::*, tracepoint::declare_trace};

use crate::note::Note;

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

/// A message was put into the queue.
#[inline(always)]
pub(crate) fn post(queue: u64, note: Note<'_>) {
    // SAFETY: A note is a message.
    unsafe { watch_queue_post(queue, message(note)) }
}

/// Whether [`filter`] does anything.
#[inline(always)]
pub(crate) fn filter_is_on() -> bool {
    #[cfg(CONFIG_TRACEPOINTS)]
    // SAFETY: It is the static key of a trace event.
    return unsafe {
        static_branch_unlikely!(
            bindings::__tracepoint_watch_queue_filter,
            bindings::tracepoint,
            key
        )
    };
    #[cfg(not(CONFIG_TRACEPOINTS))]
    false
}

/// The filter rejected a message.
#[inline(always)]
pub(crate) fn filter(queue: u64, note: Note<'_>) {
    // SAFETY: A note is a message.
    unsafe { watch_queue_filter(queue, message(note)) }
}

/// A message that passed the filter was dropped.
#[inline(always)]
pub(crate) fn drop(queue: u64, note: Note<'_>, reason: Reason) {
    // SAFETY: A note is a message, and the name a string.
    unsafe { watch_queue_drop(queue, message(note), reason.name().as_char_ptr()) }
}

/// This much was read.
#[inline(always)]
pub(crate) fn read(queue: u64, bytes: usize, messages: u32, lost: u64) {
    // SAFETY: There is nothing to promise.
    unsafe { watch_queue_read(queue, bytes, messages, lost) }
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

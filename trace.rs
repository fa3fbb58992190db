// SPDX-License-Identifier: GPL-2.0

//! Trace events: what becomes of messages and watches.
//!
//! C header: [`include/trace/events/watch_queue.h`](srctree/include/trace/events/watch_queue.h)

#[cfg(CONFIG_TRACEPOINTS)]
use kernel::jump_label::static_branch_unlikely;
use kernel::{bindings, prelude::*, tracepoint::declare_trace};

use crate::note::{Message, Note};

declare_trace! {
    /// # Safety
    ///
    /// `n` is a message.
    unsafe fn watch_queue_deliver(queue: u64, n: *const bindings::watch_notification);
    /// # Safety
    ///
    /// `n` is a message.
    unsafe fn watch_queue_filter(queue: u64, n: *const bindings::watch_notification);
    /// # Safety
    ///
    /// `n` is a message.
    unsafe fn watch_queue_deny(queue: u64, n: *const bindings::watch_notification);
    /// # Safety
    ///
    /// `n` is a message, and `reason` a string.
    unsafe fn watch_queue_lose(
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
    /// `source` is null or a string.
    unsafe fn watch_queue_attach(queue: u64, source: *const c_char, id: u64, tag: u8);
    /// # Safety
    ///
    /// `source` is null or a string.
    unsafe fn watch_queue_detach(queue: u64, source: *const c_char, id: u64, tag: u8);
}

/// The name of a queue: the number of its pipe's inode.
///
/// The functions below borrow it, so that it is not loaded as long as nobody traces.
pub(crate) struct Name(pub(crate) u64);

/// The reason for which a message was lost.
#[derive(Clone, Copy)]
pub(crate) enum Reason {
    /// There was no room.
    Full,
    /// The queue had no size yet.
    Unsized,
}

impl Reason {
    const fn name(self) -> &'static CStr {
        match self {
            Self::Full => c"full",
            Self::Unsized => c"unsized",
        }
    }
}

fn raw(note: Note<'_>) -> *const bindings::watch_notification {
    note.bytes().as_ptr().cast()
}

fn raw_name(name: Option<&CStr>) -> *const c_char {
    name.map_or(core::ptr::null(), CStr::as_char_ptr)
}

/// Returns whether a trace event is enabled.
///
/// For the events of each message: their functions are out of line, so that the path without
/// tracing spills nothing.
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

/// Traces a message that was put into a queue.
#[inline(always)]
pub(crate) fn deliver(queue: &Name, message: &impl Message) {
    #[cold]
    #[inline(never)]
    fn trace(queue: &Name, note: Note<'_>) {
        // SAFETY: A note is a message.
        unsafe { watch_queue_deliver(queue.0, raw(note)) }
    }

    if deliver_is_on() {
        trace(queue, message.note());
    }
}

/// Returns whether [`deliver`] does anything.
#[inline(always)]
pub(crate) fn deliver_is_on() -> bool {
    is_on!(__tracepoint_watch_queue_deliver)
}

/// Returns whether [`filter`] does anything.
#[inline(always)]
pub(crate) fn filter_is_on() -> bool {
    is_on!(__tracepoint_watch_queue_filter)
}

/// Traces a message that a filter rejected.
#[inline(always)]
pub(crate) fn filter(queue: &Name, message: &impl Message) {
    #[cold]
    #[inline(never)]
    fn trace(queue: &Name, note: Note<'_>) {
        // SAFETY: A note is a message.
        unsafe { watch_queue_filter(queue.0, raw(note)) }
    }

    if filter_is_on() {
        trace(queue, message.note());
    }
}

/// Traces a message that a security module denied to its watcher.
#[inline(always)]
pub(crate) fn deny(queue: &Name, message: &impl Message) {
    #[cold]
    #[inline(never)]
    fn trace(queue: &Name, note: Note<'_>) {
        // SAFETY: A note is a message.
        unsafe { watch_queue_deny(queue.0, raw(note)) }
    }

    if is_on!(__tracepoint_watch_queue_deny) {
        trace(queue, message.note());
    }
}

/// Traces a message that was lost.
#[inline(always)]
pub(crate) fn lose(queue: &Name, message: &impl Message, reason: Reason) {
    #[cold]
    #[inline(never)]
    fn trace(queue: &Name, note: Note<'_>, reason: Reason) {
        // SAFETY: A note is a message, and the name a string.
        unsafe { watch_queue_lose(queue.0, raw(note), reason.name().as_char_ptr()) }
    }

    if is_on!(__tracepoint_watch_queue_lose) {
        trace(queue, message.note(), reason);
    }
}

/// Traces a read that returned so many bytes, messages and lost messages.
#[inline(always)]
pub(crate) fn read(queue: &Name, sizes: impl FnOnce() -> (usize, u32, u64)) {
    if is_on!(__tracepoint_watch_queue_read) {
        let (bytes, messages, lost) = sizes();
        // SAFETY: There are no requirements.
        unsafe { watch_queue_read(queue.0, bytes, messages, lost) }
    }
}

/// The parts of a watch that trace events print: the name of the source, the id of the object, and
/// the tag.
pub(crate) type WatchInfo<'a> = (Option<&'a CStr>, u64, u8);

/// Traces a watch that was attached.
#[inline(always)]
pub(crate) fn attach<'a>(queue: &Name, watch: impl FnOnce() -> WatchInfo<'a>) {
    if is_on!(__tracepoint_watch_queue_attach) {
        let (source, id, tag) = watch();
        // SAFETY: The name is null or a string.
        unsafe { watch_queue_attach(queue.0, raw_name(source), id, tag) }
    }
}

/// Traces a watch that was detached.
#[inline(always)]
pub(crate) fn detach<'a>(queue: &Name, watch: impl FnOnce() -> WatchInfo<'a>) {
    if is_on!(__tracepoint_watch_queue_detach) {
        let (source, id, tag) = watch();
        // SAFETY: The name is null or a string.
        unsafe { watch_queue_detach(queue.0, raw_name(source), id, tag) }
    }
}

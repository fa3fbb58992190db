// SPDX-License-Identifier: GPL-2.0

//! Trace events, which look at what they print, and print nothing.

use core::ffi::CStr;

pub(crate) struct Name(pub(crate) u64);

pub(crate) type WatchInfo<'a> = (Option<&'a CStr>, u64, u8);

pub(crate) fn filter_is_on() -> bool {
    false
}

pub(crate) fn attach<'a>(_queue: &Name, watch: impl FnOnce() -> WatchInfo<'a>) {
    watch();
}

pub(crate) fn detach<'a>(_queue: &Name, watch: impl FnOnce() -> WatchInfo<'a>) {
    watch();
}

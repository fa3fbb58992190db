// SPDX-License-Identifier: GPL-2.0

//! Something in front of the header
//~ ERROR a notification begins with its header

use core::mem::offset_of;
use kernel::{
    prelude::*,
    watch_queue::{Cause, Header, Notification, WatchList},
};

#[repr(C)]
#[derive(IntoBytes)]
struct Message {
    before: u32,
    header: Header<Self>,
    payload: [u32; 4],
}

impl Notification for Message {
    const TYPE: u32 = 0xffffff;
    type Subtype = u8;
    const HEADER: usize = offset_of!(Self, header);
}

/// Posts it.
pub fn post(list: &WatchList) {
    let message = Message {
        before: 0,
        header: Header::new(0),
        payload: [0; 4],
    };
    list.post_notification(0, Cause::CurrentTask, message);
}

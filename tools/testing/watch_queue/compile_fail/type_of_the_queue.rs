// SPDX-License-Identifier: GPL-2.0

//! The type of what the queue itself says
//~ ERROR type 0 is for the queue's own messages

use core::mem::offset_of;
use kernel::{
    prelude::*,
    watch_queue::{Cause, Header, Notification, WatchList},
};

#[repr(C)]
#[derive(IntoBytes)]
struct Message {
    header: Header<Self>,
    payload: [u32; 29],
}

impl Notification for Message {
    const TYPE: u32 = 0;
    type Subtype = u8;
    const HEADER: usize = offset_of!(Self, header);
}

/// Posts it.
pub fn post(list: &WatchList) {
    let message = Message {
        header: Header::new(0),
        payload: [0; 29],
    };
    list.post_notification(0, Cause::CurrentTask, message);
}

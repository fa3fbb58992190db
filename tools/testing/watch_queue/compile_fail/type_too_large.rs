// SPDX-License-Identifier: GPL-2.0

//! A type that does not fit its 24 bits
//~ ERROR the type of a notification is below 2^24

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
    const TYPE: u32 = 0x1000000;
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

// SPDX-License-Identifier: GPL-2.0

//! A message of 128 bytes
//~ ERROR a notification is 8 to 127 bytes long

use core::mem::offset_of;
use kernel::{
    prelude::*,
    watch_queue::{Cause, Header, Notification, WatchList},
};

#[repr(C)]
#[derive(IntoBytes)]
struct Message {
    header: Header<Self>,
    payload: [u32; 30],
}

impl Notification for Message {
    const TYPE: u32 = 0xffffff;
    type Subtype = u8;
    const HEADER: usize = offset_of!(Self, header);
}

/// Posts it.
pub fn post(list: &WatchList) {
    let message = Message {
        header: Header::new(0),
        payload: [0; 30],
    };
    list.post_notification(0, Cause::CurrentTask, message);
}

// SPDX-License-Identifier: GPL-2.0

//! A subtype that is not one of this message
//~ ERROR type mismatch resolving `<Message as Notification>::Subtype == Other`

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
    const TYPE: u32 = 0xffffff;
    type Subtype = u8;
    const HEADER: usize = offset_of!(Self, header);
}

struct Other;

/// Posts it.
pub fn post(list: &WatchList) {
    let message = Message {
        header: Header::new(Other),
        payload: [0; 29],
    };
    list.post_notification(0, Cause::CurrentTask, message);
}

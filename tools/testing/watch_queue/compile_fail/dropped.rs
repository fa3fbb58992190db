// SPDX-License-Identifier: GPL-2.0

//! A message that would still be used, when it is dropped, after its header was overwritten
//~ ERROR a notification is bytes, with nothing to be dropped

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

impl Drop for Message {
    fn drop(&mut self) {
        self.payload = [0; 29];
    }
}

/// Posts it.
pub fn post(list: &WatchList) {
    let message = Message {
        header: Header::new(0),
        payload: [0; 29],
    };
    list.post_notification(0, Cause::CurrentTask, message);
}

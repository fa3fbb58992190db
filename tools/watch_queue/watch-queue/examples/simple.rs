// SPDX-License-Identifier: GPL-2.0

//! Prints what happens to one key, until it is gone.
//!
//! usage: simple KEY, such as `@s`, `%:mine` or a serial number

use std::error::Error;
use watch_queue::{Event, KeyName, MetaEvent, Queue, MAX_MESSAGE};

fn main() -> Result<(), Box<dyn Error>> {
    let key = std::env::args().nth(1).unwrap_or("@s".to_owned());
    let key = key.parse::<KeyName>()?.find()?;
    let queue = Queue::new(256)?;
    queue.watch_key(key, 1)?;
    println!("watching {key}");

    let mut buffer = [0; 32 * MAX_MESSAGE];
    loop {
        for message in queue.read(&mut buffer)? {
            let message = message?;
            println!("{} {}", message.name().unwrap_or("?"), message.event());
            if let Event::Meta(MetaEvent::Removal { .. }) = message.event() {
                return Ok(());
            }
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! Prints what happens to one key, until it is gone.
//!
//! usage: simple KEY, such as `@s`, `%:mine` or a serial number

use std::error::Error;
use watch_queue::{Event, KeyName, MetaEvent, Queue, MAX_MESSAGE};

fn main() -> Result<(), Box<dyn Error>> {
    let key = std::env::args().nth(1).unwrap_or_else(|| "@s".to_owned());
    let queue = Queue::new(256)?;
    let watched = queue.watch(key.parse::<KeyName>()?.find()?, 1)?;
    println!("watching {key}");

    let mut buffer = [0; 32 * MAX_MESSAGE];
    loop {
        for message in queue.read(&mut buffer)? {
            let message = message?;
            println!("{} {}", message.name().unwrap_or("?"), message.event());
            match message.event() {
                Event::Meta(MetaEvent::Removal { .. }) => return Ok(()),
                // The removal can be among the losses.
                Event::Meta(MetaEvent::Loss { .. }) if !queue.still_watched(&watched)? => {
                    println!("{key} is gone");
                    return Ok(());
                }
                _ => {}
            }
        }
    }
}

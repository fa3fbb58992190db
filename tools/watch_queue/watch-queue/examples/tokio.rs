// SPDX-License-Identifier: MIT OR Apache-2.0

//! Prints what happens to one key, until it is gone; waits with tokio.
//!
//! usage: tokio KEY, such as `@s`, `%:mine` or a serial number

use std::error::Error;
use tokio_stream::StreamExt;
use watch_queue::{AsyncQueue, Event, KeyName, MetaEvent, Queue};

async fn watch(key: &str) -> Result<(), Box<dyn Error>> {
    let queue = AsyncQueue::new(Queue::new(256)?)?;
    let watched = queue.get_ref().watch(key.parse::<KeyName>()?.find()?, 1)?;
    println!("watching {key}");

    let mut messages = queue.messages();
    while let Some(message) = messages.next().await {
        let message = message?;
        let message = message.as_message();
        println!("{} {}", message.name().unwrap_or("?"), message.event());
        match message.event() {
            Event::Meta(MetaEvent::Removal { .. }) => break,
            // The removal can be among the losses.
            Event::Meta(MetaEvent::Loss { .. }) if !queue.get_ref().still_watched(&watched)? => {
                println!("{key} is gone");
                break;
            }
            _ => {}
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let key = std::env::args().nth(1).unwrap_or_else(|| "@s".to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(watch(&key))
}

// SPDX-License-Identifier: GPL-2.0

//! Prints what happens to one key, until it is gone; waits with tokio.
//!
//! usage: tokio KEY, such as `@s`, `%:mine` or a serial number

#![allow(unsafe_code)]

use std::error::Error;
use tokio::io::{unix::AsyncFd, Interest};
use watch_queue::{Event, KeyName, MetaEvent, Queue, MAX_MESSAGE};

async fn watch(name: &str) -> Result<(), Box<dyn Error>> {
    let key = name.parse::<KeyName>()?.find()?;
    let queue = Queue::new(256)?;
    queue.set_nonblocking(true)?;
    queue.watch_key(key, 1)?;
    // SAFETY: A queue keeps its file descriptor for as long as it lives.
    let queue = unsafe { AsyncFd::register_with_interest(queue, Interest::READABLE)? };
    println!("watching {key}");

    let mut buffer = [0; 32 * MAX_MESSAGE];
    loop {
        let mut ready = queue.readable().await?;
        // Not ready after all: then wait again.
        let Ok(messages) = ready.try_io(|queue| queue.get_ref().read(&mut buffer)) else {
            continue;
        };
        for message in messages? {
            let message = message?;
            println!("{} {}", message.name().unwrap_or("?"), message.event());
            if let Event::Meta(MetaEvent::Removal { .. }) = message.event() {
                return Ok(());
            }
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let name = std::env::args().nth(1).unwrap_or("@s".to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(watch(&name))
}

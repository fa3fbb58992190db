// SPDX-License-Identifier: GPL-2.0

//! Prints what happens to one key, until it is gone; waits with mio.
//!
//! usage: mio KEY, such as `@s`, `%:mine` or a serial number

use mio::{unix::SourceFd, Events, Interest, Poll, Token};
use std::{error::Error, io::ErrorKind, os::fd::AsRawFd};
use watch_queue::{Event, KeyName, MetaEvent, Queue, MAX_MESSAGE};

fn main() -> Result<(), Box<dyn Error>> {
    let key = std::env::args().nth(1).unwrap_or("@s".to_owned());
    let key = key.parse::<KeyName>()?.find()?;
    let queue = Queue::new(256)?;
    queue.set_nonblocking(true)?;
    queue.watch_key(key, 1)?;

    let mut poll = Poll::new()?;
    let fd = queue.as_raw_fd();
    poll.registry()
        .register(&mut SourceFd(&fd), Token(0), Interest::READABLE)?;
    println!("watching {key}");

    let mut events = Events::with_capacity(8);
    let mut buffer = [0; 32 * MAX_MESSAGE];
    loop {
        poll.poll(&mut events, None)?;
        // mio tells of edges: read until there is nothing left.
        loop {
            let messages = match queue.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                messages => messages?,
            };
            for message in messages {
                let message = message?;
                println!("{} {}", message.name().unwrap_or("?"), message.event());
                if let Event::Meta(MetaEvent::Removal { .. }) = message.event() {
                    return Ok(());
                }
            }
        }
    }
}

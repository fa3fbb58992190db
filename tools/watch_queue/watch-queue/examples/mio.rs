// SPDX-License-Identifier: MIT OR Apache-2.0

//! Prints what happens to one key, until it is gone; waits with mio.
//!
//! usage: mio KEY, such as `@s`, `%:mine` or a serial number

use mio::{Events, Interest, Poll, Token};
use std::{error::Error, io::ErrorKind};
use watch_queue::{Event, KeyName, MetaEvent, Queue, MAX_MESSAGE};

fn main() -> Result<(), Box<dyn Error>> {
    let key = std::env::args().nth(1).unwrap_or_else(|| "@s".to_owned());
    let mut queue = Queue::new(256)?;
    queue.set_nonblocking(true)?;
    let watched = queue.watch(key.parse::<KeyName>()?.find()?, 1)?;

    let mut poll = Poll::new()?;
    poll.registry()
        .register(&mut queue, Token(0), Interest::READABLE)?;
    println!("watching {key}");

    let mut events = Events::with_capacity(8);
    let mut buffer = [0; 32 * MAX_MESSAGE];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        }
        // mio reports edges: read until there is nothing left.
        loop {
            let messages = match queue.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                messages => messages?,
            };
            for message in messages {
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
}

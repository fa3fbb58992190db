// SPDX-License-Identifier: MIT OR Apache-2.0

//! Says when a disk or the file system on it goes wrong, until that is unmounted.
//!
//! usage: disk DEVICE DIRECTORY, such as `/dev/sda1 /home`

use std::{error::Error, fs::File, os::unix::io::AsFd};
use watch_queue::{Event, MetaEvent, Object, Queue, SuperblockChange, MAX_MESSAGE};

const DISK: u8 = 1;
const FILE_SYSTEM: u8 = 2;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(device), Some(directory)) = (arguments.next(), arguments.next()) else {
        return Err("usage: disk DEVICE DIRECTORY".into());
    };
    let queue = Queue::new(256)?;
    // The files are closed again, so that they are in nobody's way.
    queue.watch(Object::BlockDevice(File::open(&device)?.as_fd()), DISK)?;
    let file_system = queue.watch(
        Object::FileSystem(File::open(&directory)?.as_fd()),
        FILE_SYSTEM,
    )?;
    println!("watching {device} and {directory}");

    let mut buffer = [0; 32 * MAX_MESSAGE];
    loop {
        for message in queue.read(&mut buffer)? {
            let message = message?;
            match message.event() {
                Event::Block(event) => println!("{device}: {event}"),
                Event::Superblock(event) => match event.change {
                    SuperblockChange::ReadOnly => println!("{directory} is read-only now"),
                    SuperblockChange::ReadWrite => println!("{directory} is writable again"),
                    _ => println!("{directory}: {event}"),
                },
                Event::Meta(MetaEvent::Loss { lost, .. }) => {
                    println!("and {} more or so", lost.at_least());
                    // The removal can be among the losses.
                    if !queue.still_watched(&file_system)? {
                        println!("{directory} is unmounted");
                        return Ok(());
                    }
                }
                Event::Meta(MetaEvent::Removal { .. }) if message.tag() == FILE_SYSTEM => {
                    println!("{directory} is unmounted");
                    return Ok(());
                }
                _ => {}
            }
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0

//! Keeps a table of the mounts, prints what changes, and compares the table with a new scan
//! whenever nothing has happened for a moment.

use std::{error::Error, fs::File, io::ErrorKind, os::unix::io::AsFd, thread, time::Duration};
use watch_queue::{mounts::MountTable, Event, MetaEvent, Object, Queue, MAX_MESSAGE};

fn main() -> Result<(), Box<dyn Error>> {
    let queue = Queue::new(1024)?;
    queue.set_nonblocking(true)?;
    // First attach, then scan: what happens in between is in the queue.
    let namespace = File::open("/proc/self/ns/mnt")?;
    queue.watch(Object::MountNamespace(namespace.as_fd()), 1)?;
    let mut table = MountTable::scan_file(namespace.as_fd())?;
    println!("watching {} mounts", table.iter().count());

    let (mut events, mut scans, mut changed, mut tries) = (0, 0, false, 0);
    let mut buffer = [0; 32 * MAX_MESSAGE];
    loop {
        let messages = match queue.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if changed {
                    // A scan can see a change before its event is posted: compare again for ten
                    // seconds, in case that is what differs.
                    let same = table == MountTable::scan_file(namespace.as_fd())?;
                    tries += 1;
                    if same || tries == 100 {
                        let verdict = if same { "as scanned" } else { "not as scanned" };
                        let count = table.iter().count();
                        println!("{count} mounts, {verdict}: {events} events, {scans} scans");
                        changed = false;
                    }
                }
                thread::sleep(Duration::from_millis(100));
                continue;
            }
            messages => messages?,
        };
        (changed, tries) = (true, 0);
        for message in messages {
            match message?.event() {
                Event::Mount(event) => {
                    events += 1;
                    if let Some(mount) = table.apply(&event)? {
                        println!("{:?} {}", event.change, mount.point.display());
                    }
                }
                Event::Meta(MetaEvent::Loss { .. }) => {
                    scans += 1;
                    table.rescan()?;
                }
                _ => {}
            }
        }
    }
}

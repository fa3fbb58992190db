// SPDX-License-Identifier: GPL-2.0

//! Queues of a kernel that has them, with `keyctl` to make things happen.

use std::{io::ErrorKind, os::fd::AsFd, process::Command, thread, time::Duration};
use watch_queue::*;

/// Runs keyctl, which prints a serial number or nothing.
fn keyctl(args: &[&str]) -> Option<Key> {
    let output = Command::new("keyctl").args(args).output().unwrap();
    assert!(output.status.success(), "keyctl {args:?}: {output:?}");
    let serial = String::from_utf8(output.stdout).unwrap();
    serial.trim().parse().ok().map(Key::from_serial)
}

fn new_ring(name: &str) -> Key {
    keyctl(&["newring", name, "@s"]).unwrap()
}

/// Has one event happen to a key.
fn touch(key: Key) {
    keyctl(&["setperm", &key.to_string(), "0x3f3f0000"]);
}

fn new_queue(messages: usize) -> Queue {
    let queue = Queue::new(messages).unwrap();
    queue.set_nonblocking(true).unwrap();
    queue
}

/// What is in the queue: tags and what was said.
fn read(queue: &Queue) -> Vec<(u8, String)> {
    let mut buffer = [0; 1 << 14];
    match queue.read(&mut buffer) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Vec::new(),
        messages => messages
            .unwrap()
            .map(Result::unwrap)
            .map(|message| (message.tag(), message.event().to_string()))
            .collect(),
    }
}

fn errno(error: Error) -> Option<i32> {
    match error {
        Error::Os { error, .. } => error.raw_os_error(),
        _ => None,
    }
}

#[test]
#[ignore = "needs a kernel with queues"]
fn watch_lasts_until_it_is_removed() {
    let (queue, ring) = (new_queue(32), new_ring("removed"));
    queue.watch_key(ring, 0x17).unwrap();
    assert_eq!(
        errno(queue.watch_key(ring, 1).unwrap_err()),
        Some(libc::EBUSY)
    );
    touch(ring);
    assert_eq!(read(&queue), [(0x17, ring.to_string())]);

    queue.unwatch_key(ring).unwrap();
    touch(ring);
    assert_eq!(
        read(&queue),
        [(0x17, format!("{ring} is not watched any more"))]
    );
    assert_eq!(
        errno(queue.unwatch_key(ring).unwrap_err()),
        Some(libc::EBADSLT)
    );
}

#[test]
#[ignore = "needs a kernel with queues"]
fn filter_lasts_until_it_is_cleared() {
    let (queue, one, two) = (new_queue(32), new_ring("one"), new_ring("two"));
    queue.watch_key(one, 1).unwrap();
    queue.watch_key(two, 2).unwrap();
    let touch_both = || {
        touch(one);
        touch(two);
    };
    let set = |rule: Rule| queue.set_filter(&Filter::new([rule]).unwrap()).unwrap();

    set(Rule::new(Type::KEY).tag(2));
    touch_both();
    assert_eq!(read(&queue), [(2, two.to_string())]);

    set("key:linked".parse().unwrap());
    touch_both();
    assert_eq!(read(&queue), []);

    queue.clear_filter().unwrap();
    touch_both();
    assert_eq!(read(&queue), [(1, one.to_string()), (2, two.to_string())]);
}

#[test]
#[ignore = "needs a kernel with queues"]
fn message_that_does_not_fit_stays() {
    let (queue, ring) = (new_queue(32), new_ring("stays"));
    queue.watch_key(ring, 1).unwrap();
    touch(ring);
    touch(ring);
    assert_eq!(queue.readable_bytes().unwrap(), 32);
    let error = queue.read(&mut [0; 15]).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOBUFS));
    assert_eq!(queue.read(&mut [0; 31]).unwrap().count(), 1);
    assert_eq!(queue.readable_bytes().unwrap(), 16);
    assert_eq!(read(&queue).len(), 1);
}

#[test]
#[ignore = "needs a kernel with queues"]
fn blocking_read_waits() {
    let (queue, ring) = (Queue::new(32).unwrap(), new_ring("waits"));
    queue.watch_key(ring, 1).unwrap();
    thread::scope(|scope| {
        let reader = scope.spawn(|| read(&queue));
        thread::sleep(Duration::from_millis(200));
        assert!(!reader.is_finished());
        touch(ring);
        assert_eq!(reader.join().unwrap(), [(1, ring.to_string())]);
    });
}

#[test]
#[ignore = "needs a kernel with queues"]
fn statistics_are_those_of_this_queue() {
    let (queue, ring) = (new_queue(33), new_ring("counted"));
    let rules = [
        "key:setattr".parse().unwrap(),
        Rule::new(Type::new(77)).tag(9),
    ];
    queue.set_filter(&Filter::new(rules).unwrap()).unwrap();
    queue.watch_key(ring, 0xff).unwrap();
    (0..70).for_each(|_| touch(ring));
    keyctl(&["clear", &ring.to_string()]);

    let stats = queue.stats().unwrap();
    assert_eq!((stats.size, stats.messages), (64, 64));
    // The loss is 8 bytes more.
    assert_eq!(stats.bytes, 64 * 16 + 8);
    let counts = (stats.posted, stats.delivered, stats.filtered, stats.lost);
    assert_eq!(counts, (71, 64, 1, 6));
    assert_eq!(stats.rules, rules);
    assert_eq!(stats.watches.len(), 1);
    assert_eq!(stats.watches[0].id, ring.serial() as u64);
    assert_eq!(stats.watches[0].tag, 0xff);
    assert_eq!(
        read(&queue).last(),
        Some(&(0, "6 messages were lost here".to_owned()))
    );
}

#[test]
#[ignore = "needs a kernel with queues"]
fn sizes_are_refused_with_the_reason() {
    assert_eq!(errno(Queue::new(0).unwrap_err()), Some(libc::EINVAL));
    assert_eq!(
        errno(Queue::new(usize::MAX).unwrap_err()),
        Some(libc::EINVAL)
    );
}

/// This may be a kernel with sources, or one without.
#[test]
#[ignore = "needs a kernel with queues"]
fn source_that_is_not_there_is_told_of() {
    let queue = new_queue(32);
    let file = std::fs::File::open("/").unwrap();
    for object in [
        Object::MountNamespace(file.as_fd()),
        Object::MountTree(file.as_fd()),
        Object::FileSystem(file.as_fd()),
        Object::AllBlockDevices,
        Object::Devices,
    ] {
        match queue.watch(object, 1) {
            Ok(()) => queue.unwatch(object).unwrap(),
            Err(Error::NoSource(kind)) => assert_eq!(kind, object.kind()),
            Err(error) => panic!("{object:?}: {error}"),
        }
    }
    // Not a block device: which of the two is wrong depends on the kernel.
    match queue.watch(Object::BlockDevice(file.as_fd()), 1) {
        Err(Error::NoSource(kind)) => assert_eq!(kind, Type::BLOCK),
        result => assert_eq!(errno(result.unwrap_err()), Some(libc::EINVAL)),
    }
}

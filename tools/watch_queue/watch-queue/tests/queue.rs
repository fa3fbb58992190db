// SPDX-License-Identifier: MIT OR Apache-2.0

//! Queues of a kernel that has them, with `keyctl` to make things happen.

use std::{io::ErrorKind, os::unix::io::AsFd, process::Command, thread, time::Duration};
use watch_queue::*;

/// Runs keyctl, which prints a serial number or nothing.
fn keyctl(args: &[&str]) -> Option<KeySerial> {
    let output = Command::new("keyctl").args(args).output().unwrap();
    assert!(output.status.success(), "keyctl {args:?}: {output:?}");
    let serial = String::from_utf8(output.stdout).unwrap();
    serial.trim().parse().ok().map(KeySerial::from_serial)
}

fn new_ring(name: &str) -> KeySerial {
    keyctl(&["newring", name, "@s"]).unwrap()
}

/// Has one event happen to a key.
fn touch(key: KeySerial) {
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
    error.raw_os_error()
}

#[test]
#[ignore = "needs a kernel with queues"]
fn watch_lasts_until_it_is_removed() {
    let (queue, ring) = (new_queue(32), new_ring("removed"));
    queue.watch(ring, 0x17).unwrap();
    assert_eq!(errno(queue.watch(ring, 1).unwrap_err()), Some(libc::EBUSY));
    touch(ring);
    assert_eq!(read(&queue), [(0x17, ring.to_string())]);

    queue.unwatch(ring).unwrap();
    touch(ring);
    assert_eq!(
        read(&queue),
        [(0x17, format!("{ring} is not watched any more"))]
    );
    assert_eq!(errno(queue.unwatch(ring).unwrap_err()), Some(libc::EBADSLT));
}

#[test]
#[ignore = "needs a kernel with queues"]
fn lost_removal_is_found_out() {
    let (queue, ring, other) = (new_queue(32), new_ring("gone"), new_ring("stays"));
    let gone = queue.watch(ring, 1).unwrap();
    let stays = queue.watch(other, 2).unwrap();
    assert_eq!((gone.tag(), gone.key()), (1, Some(ring)));
    assert!(queue.still_watched(&gone).unwrap());
    (0..40).for_each(|_| touch(other));
    keyctl(&["unlink", &ring.to_string(), "@s"]);
    for _ in 0..300 {
        if !queue.still_watched(&gone).unwrap() {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    assert!(!queue.still_watched(&gone).unwrap());
    assert!(queue.still_watched(&stays).unwrap());
    let read = read(&queue);
    assert!(read.iter().all(|(tag, _)| *tag != 1), "{read:?}");
    assert!(read.last().unwrap().1.contains("lost"), "{read:?}");
}

#[test]
#[ignore = "needs a kernel with queues"]
fn passed_descriptors_are_the_queue() {
    let ring = new_ring("passed");
    let queue = new_queue(32);
    queue.watch(ring, 5).unwrap();
    let (read_end, write_end) = queue.into_fds();
    let queue = Queue::from_fds(read_end, None);
    touch(ring);
    assert_eq!(read(&queue), [(5, ring.to_string())]);
    drop(write_end);
    assert_eq!(queue.read(&mut [0; 256]).unwrap().count(), 0);
}

#[test]
#[ignore = "needs a kernel with queues"]
fn sealed_queue_is_changed_through_its_write_end_only() {
    let (queue, ring) = (new_queue(32), new_ring("sealed"));
    queue.seal().unwrap();
    queue.watch(ring, 1).unwrap();
    queue.unwatch(ring).unwrap();
    queue.watch(ring, 2).unwrap();
    let filter = Filter::new([Rule::new(MessageType::KEY)]).unwrap();
    queue.set_filter(&filter).unwrap();

    let (read_end, _write_end) = queue.into_fds();
    let reader = Queue::from_fds(read_end, None);
    for result in [
        reader.unwatch(ring),
        reader.watch(new_ring("other"), 3).map(drop),
        reader.set_filter(&filter),
        reader.clear_filter(),
        reader.seal(),
    ] {
        assert_eq!(errno(result.unwrap_err()), Some(libc::EPERM));
    }
    touch(ring);
    assert_eq!(read(&reader).last(), Some(&(2, ring.to_string())));
}

#[test]
#[ignore = "needs a kernel with queues"]
fn sync_waits_until_all_is_read() {
    let (queue, ring) = (new_queue(32), new_ring("synced"));
    queue.watch(ring, 1).unwrap();
    queue.sync().unwrap();
    (0..40).for_each(|_| touch(ring));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| queue.sync());
        thread::sleep(Duration::from_millis(200));
        assert!(!waiting.is_finished());
        assert_eq!(read(&queue).len(), 33);
        waiting.join().unwrap().unwrap();
    });
    let (read_end, write_end) = queue.into_fds();
    let writer = Queue::from_fds(write_end.unwrap(), None);
    touch(ring);
    drop(read_end);
    assert_eq!(errno(writer.sync().unwrap_err()), Some(libc::EPIPE));
}

#[cfg(feature = "tokio")]
#[test]
#[ignore = "needs a kernel with queues"]
fn tokio_waits_for_messages() {
    use tokio_stream::StreamExt;

    let ring = new_ring("tokio");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    runtime.block_on(async {
        let queue = AsyncQueue::new(Queue::new(32).unwrap()).unwrap();
        queue.get_ref().watch(ring, 3).unwrap();
        let toucher = thread::spawn(move || {
            thread::sleep(Duration::from_millis(200));
            touch(ring);
            touch(ring);
            touch(ring);
        });
        let mut buffer = [0; 16];
        let messages = queue.read(&mut buffer).await.unwrap();
        assert_eq!(messages.count(), 1);
        toucher.join().unwrap();
        let mut messages = queue.messages();
        for _ in 0..2 {
            let message = messages.next().await.unwrap().unwrap();
            assert_eq!(message.as_message().tag(), 3);
        }
    });
}

#[cfg(feature = "mio")]
#[test]
#[ignore = "needs a kernel with queues"]
fn mio_waits_for_messages() {
    let (mut queue, ring) = (new_queue(32), new_ring("mio"));
    queue.watch(ring, 1).unwrap();
    let mut poll = mio::Poll::new().unwrap();
    let mut events = mio::Events::with_capacity(4);
    let registry = poll.registry();
    registry
        .register(&mut queue, mio::Token(7), mio::Interest::READABLE)
        .unwrap();
    touch(ring);
    poll.poll(&mut events, Some(Duration::from_secs(20)))
        .unwrap();
    assert_eq!(events.iter().next().unwrap().token(), mio::Token(7));
    assert_eq!(read(&queue).len(), 1);
}

#[test]
#[ignore = "needs a kernel with queues"]
fn filter_lasts_until_it_is_cleared() {
    let (queue, one, two) = (new_queue(32), new_ring("one"), new_ring("two"));
    queue.watch(one, 1).unwrap();
    queue.watch(two, 2).unwrap();
    let touch_both = || {
        touch(one);
        touch(two);
    };
    let set = |rule: Rule| queue.set_filter(&Filter::new([rule]).unwrap()).unwrap();

    set(Rule::new(MessageType::KEY).tag(2));
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
    queue.watch(ring, 1).unwrap();
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
    queue.watch(ring, 1).unwrap();
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
        Rule::new(MessageType::new(77)).tag(9),
    ];
    queue.set_filter(&Filter::new(rules).unwrap()).unwrap();
    queue.watch(ring, 0xff).unwrap();
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
            Ok(watched) => {
                assert!(queue.still_watched(&watched).unwrap());
                queue.unwatch(object).unwrap();
                assert!(!queue.still_watched(&watched).unwrap());
            }
            Err(Error::NoSource(kind)) => assert_eq!(kind, object.kind()),
            Err(error) => panic!("{object:?}: {error}"),
        }
    }
    match queue.watch(Object::DevicesOf(file.as_fd()), 1) {
        Err(Error::NoSource(kind)) => assert_eq!(kind, MessageType::DEVICE),
        result => assert_eq!(errno(result.unwrap_err()), Some(libc::EINVAL)),
    }
    // Not a block device: which of the two is wrong depends on the kernel.
    match queue.watch(Object::BlockDevice(file.as_fd()), 1) {
        Err(Error::NoSource(kind)) => assert_eq!(kind, MessageType::BLOCK),
        result => assert_eq!(errno(result.unwrap_err()), Some(libc::EINVAL)),
    }
}

#[test]
#[ignore = "needs a kernel with queues"]
fn support_is_what_can_be_watched() {
    let queue = new_queue(32);
    let meta = queue.support(MessageType::META).unwrap().unwrap();
    assert!(meta.has_source(MessageType::KEY));
    assert!(meta.has_subtype(0) && meta.has_subtype(1) && !meta.has_subtype(2));
    assert!(!meta.can_watch() && !meta.can_watch_all());
    for (source, all) in [
        (MessageType::MOUNT, false),
        (MessageType::SUPERBLOCK, false),
        (MessageType::BLOCK, true),
        (MessageType::DEVICE, true),
    ] {
        let support = queue.support(source).unwrap();
        assert_eq!(support.is_some(), meta.has_source(source));
        if let Some(support) = support {
            assert!(support.can_watch());
            assert_eq!(support.can_watch_all(), all);
        }
    }
}

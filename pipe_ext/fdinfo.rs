// SPDX-License-Identifier: GPL-2.0

//! `/proc/PID/fdinfo/N`: the size, counts, filter and watches of a queue.
//!
//! The lines are an interface to userspace, which `watch_queue(7)` documents.  Lines and, within
//! them, `name=value` words may be added.  Those that are there stay as they are.

use core::ptr;
use kernel::{bindings, seq_file::SeqFile, seq_print};

use crate::{
    filter::Rule,
    queue::Queue,
    watch::{self, Watch, WatchList},
};

/// Shows a queue.
pub(super) fn show(m: &SeqFile, queue: &Queue) {
    show_until(m, queue, || has_overflowed(m));
}

/// Returns whether there was no room for all that was shown: then the VFS calls again, with more.
fn has_overflowed(m: &SeqFile) -> bool {
    let m: *const bindings::seq_file = ptr::from_ref(m).cast();
    // As `seq_has_overflowed()` does.
    //
    // SAFETY: A `SeqFile` is a valid `struct seq_file`, which only this task uses.
    unsafe { (*m).count == (*m).size }
}

/// Shows a queue, and its watches until `is_full` returns true.
fn show_until(m: &SeqFile, queue: &Queue, is_full: impl Fn() -> bool) {
    show_counts(m, queue);
    queue.with_rules(|rules| rules.iter().for_each(|rule| show_rule(m, rule)));
    watch::for_each(queue, |watch, list| {
        show_watch(m, watch, list);
        !is_full()
    });
}

fn show_counts(m: &SeqFile, queue: &Queue) {
    let counts = queue.counts();
    let posted = counts
        .delivered
        .wrapping_add(counts.lost)
        .wrapping_add(counts.filtered);

    seq_print!(m, "watch_queue-size:\t{}\n", counts.capacity);
    seq_print!(m, "watch_queue-messages:\t{}\n", counts.messages);
    seq_print!(m, "watch_queue-bytes:\t{}\n", counts.bytes);
    seq_print!(m, "watch_queue-posted:\t{posted}\n");
    seq_print!(m, "watch_queue-delivered:\t{}\n", counts.delivered);
    seq_print!(m, "watch_queue-filtered:\t{}\n", counts.filtered);
    seq_print!(m, "watch_queue-lost:\t{}\n", counts.lost);
}

fn show_rule(m: &SeqFile, rule: &Rule) {
    seq_print!(m, "watch_queue-filter:\ttype={:#08x} subtypes=", rule.kind);
    for (i, subtypes) in rule.ranges().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        let (first, last) = subtypes.into_inner();
        if first == last {
            seq_print!(m, "{comma}{first}");
        } else {
            seq_print!(m, "{comma}{first}-{last}");
        }
    }
    let (filter, mask) = (rule.info_filter, rule.info_mask);
    seq_print!(m, " info={filter:#010x}/{mask:#010x}\n");
}

fn show_watch(m: &SeqFile, watch: &Watch, list: &WatchList) {
    let (id, tag) = (watch.id(), watch.tag());
    seq_print!(m, "watch_queue-watch:\tsource=");
    match list.source() {
        Some(source) => seq_print!(m, "{source}"),
        None => seq_print!(m, "?"),
    }
    seq_print!(m, " id={id:#x} tag={tag:#04x}\n");
}

#[cfg(CONFIG_WATCH_QUEUE_KUNIT_TEST)]
#[kernel::prelude::kunit_tests(watch_queue_fdinfo)]
mod tests {
    use super::*;
    use crate::pipe_ext::queue_of;
    use core::cell::Cell;
    use kernel::{
        error::to_result, fs::LocalFile, prelude::*, static_lock_class, types::Opaque,
        watch_queue::WatchList,
    };

    /// Shows a queue in `room` bytes.
    ///
    /// Returns how many of its watches were shown, and whether all of that fitted.
    fn shown_in(room: usize, queue: &Queue) -> Result<(u64, bool)> {
        let mut buffer = KVec::from_elem(0_u8, room, GFP_KERNEL)?;
        let m = Opaque::new(bindings::seq_file {
            buf: buffer.as_mut_ptr().cast(),
            size: room,
            ..pin_init::zeroed()
        });
        // SAFETY: It has a buffer, and nobody else knows it.
        let m = unsafe { SeqFile::from_raw(m.get()) };
        let shown = Cell::new(0);
        show_until(m, queue, || {
            shown.set(shown.get() + 1);
            has_overflowed(m)
        });
        Ok((shown.get(), !has_overflowed(m)))
    }

    #[test]
    fn once_there_is_no_room_no_more_watches_are_shown() -> Result {
        const WATCHES: u64 = 100;
        let list = KBox::pin_init(WatchList::new(c"test", static_lock_class!()), GFP_KERNEL)?;
        let mut fds = [-1; 2];
        let flags = bindings::O_NOTIFICATION_PIPE as c_int;
        // SAFETY: There is room for two file descriptors.
        to_result(unsafe { bindings::do_pipe_flags(fds.as_mut_ptr(), flags) })?;
        let file = LocalFile::fget(fds[0] as u32)?;
        let result = (1..=WATCHES).try_for_each(|id| list.add_watch(fds[0], id, 0));
        for fd in fds {
            // SAFETY: This can be called with any number.
            unsafe { bindings::close_fd(fd as c_uint) };
        }
        result?;
        let queue = queue_of(&file).ok_or(EBADF)?;

        assert_eq!(shown_in(1 << 16, &queue)?, (WATCHES, true));
        // A line has more than 32 bytes.
        let (shown, all) = shown_in(1024, &queue)?;
        assert!(!all && shown < 1024 / 32);
        Ok(())
    }
}

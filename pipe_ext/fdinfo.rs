// SPDX-License-Identifier: GPL-2.0

//! `/proc/PID/fdinfo/N`: what a queue holds, has seen, lets through and watches.
//!
//! The lines are an interface to userspace: `watch_queue(7)` documents them.  Lines and, within
//! them, `name=value` words may be added; those that are there stay as they are.

use kernel::{
    bindings,
    seq_file::SeqFile,
    seq_print,
    sync::{atomic::Relaxed, rcu},
};

use crate::{
    filter::Filter,
    pipe_ext,
    queue::Queue,
    watch::{self, Seen},
};

/// # Safety
///
/// For the VFS to call, with a notification pipe.
pub(crate) unsafe extern "C" fn show(m: *mut bindings::seq_file, file: *mut bindings::file) {
    // SAFETY: The caller says so of `m`, and keeps the file open.
    let (m, queue) = unsafe { (SeqFile::from_raw(m), pipe_ext::queue_of(file)) };
    show_counts(m, &queue);
    if let Some(filter) = queue.filter(&rcu::read_lock()) {
        show_filter(m, filter);
    }
    watch::for_each(&queue, |seen| show_watch(m, seen));
}

fn show_counts(m: &SeqFile, queue: &Queue) {
    let (size, messages, bytes, totals) = queue.with_posts(|posts| {
        let poster = &posts.poster;
        let bytes = poster.pending_bytes();
        (poster.capacity(), poster.queued(), bytes, poster.totals())
    });
    let filtered = queue.filtered.load(Relaxed);
    let posted = totals
        .accepted
        .wrapping_add(totals.lost)
        .wrapping_add(filtered);

    seq_print!(m, "watch_queue-size:\t{size}\n");
    seq_print!(m, "watch_queue-messages:\t{messages}\n");
    seq_print!(m, "watch_queue-bytes:\t{bytes}\n");
    seq_print!(m, "watch_queue-posted:\t{posted}\n");
    seq_print!(m, "watch_queue-delivered:\t{}\n", totals.accepted);
    seq_print!(m, "watch_queue-filtered:\t{filtered}\n");
    seq_print!(m, "watch_queue-lost:\t{}\n", totals.lost);
}

fn show_filter(m: &SeqFile, filter: &Filter) {
    for rule in filter.rules() {
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
}

fn show_watch(m: &SeqFile, seen: &Seen<'_>) {
    let (id, tag) = (seen.id, seen.tag);
    seq_print!(m, "watch_queue-watch:\tsource=");
    match seen.source {
        Some(source) => seq_print!(m, "{source}"),
        None => seq_print!(m, "?"),
    }
    seq_print!(m, " id={id:#x} tag={tag:#04x}\n");
}

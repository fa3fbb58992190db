// SPDX-License-Identifier: GPL-2.0

//! `/proc/PID/fdinfo/N`: the size, counts, filter and watches of a queue.
//!
//! The lines are an interface to userspace, which `watch_queue(7)` documents.  Lines and, within
//! them, `name=value` words may be added.  Those that are there stay as they are.

use kernel::{seq_file::SeqFile, seq_print};

use crate::{
    filter::Rule,
    queue::Queue,
    watch::{self, Watch, WatchList},
};

/// Shows a queue.  `is_full` returns whether `m` has no room for more: then the VFS calls again,
/// with more room.
pub(super) fn show(m: &SeqFile, queue: &Queue, is_full: impl Fn() -> bool) {
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

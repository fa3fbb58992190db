// SPDX-License-Identifier: GPL-2.0
/*
 * The functions of the notification queue that modules may use.  They are in
 * Rust, where there is no EXPORT_SYMBOL() yet.
 */

#include <linux/export.h>
#include <linux/watch_queue.h>

#define RUST_EXPORT EXPORT_SYMBOL

RUST_EXPORT(__post_watch_notification);
RUST_EXPORT(get_watch_queue);
RUST_EXPORT(put_watch_queue);
RUST_EXPORT(init_watch);
RUST_EXPORT(add_watch_to_object);
RUST_EXPORT(remove_watch_from_object);

// SPDX-License-Identifier: GPL-2.0
/*
 * What modules may use of the notification queue.  The functions themselves
 * are in Rust, where there is no EXPORT_SYMBOL() yet.
 */

#include <linux/export.h>
#include <linux/watch_queue.h>

EXPORT_SYMBOL(__post_watch_notification);
EXPORT_SYMBOL(get_watch_queue);
EXPORT_SYMBOL(put_watch_queue);
EXPORT_SYMBOL(init_watch);
EXPORT_SYMBOL(add_watch_to_object);
EXPORT_SYMBOL(remove_watch_from_object);

// SPDX-License-Identifier: GPL-2.0
/*
 * The trace events of the notification queue.  Rust calls them, see trace.rs.
 */

#define CREATE_TRACE_POINTS
#define CREATE_RUST_TRACE_POINTS
#include <trace/events/watch_queue.h>

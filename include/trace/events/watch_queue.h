/* SPDX-License-Identifier: GPL-2.0 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM watch_queue

#if !defined(_TRACE_WATCH_QUEUE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_WATCH_QUEUE_H

#include <linux/tracepoint.h>
#include <linux/watch_queue.h>

/*
 * In all of them, queue is the inode number of the notification pipe, which is
 * what its file descriptors are links to: pipe:[queue].
 */

DECLARE_EVENT_CLASS(watch_queue_message,
	TP_PROTO(u64 queue, const struct watch_notification *n),
	TP_ARGS(queue, n),

	TP_STRUCT__entry(
		__field(u64, queue)
		__field(u32, type)
		__field(u32, info)
		__field(u8, subtype)
	),

	TP_fast_assign(
		__entry->queue = queue;
		__entry->type = n->type;
		__entry->info = n->info;
		__entry->subtype = n->subtype;
	),

	TP_printk("queue=%llu type=%u subtype=%u len=%u tag=%u",
		  __entry->queue, __entry->type, __entry->subtype,
		  __entry->info & WATCH_INFO_LENGTH,
		  (__entry->info & WATCH_INFO_ID) >> WATCH_INFO_ID__SHIFT)
);

/* A message was put into a queue. */
DEFINE_EVENT(watch_queue_message, watch_queue_post,
	TP_PROTO(u64 queue, const struct watch_notification *n),
	TP_ARGS(queue, n)
);

/* A queue's filter rejected a message. */
DEFINE_EVENT(watch_queue_message, watch_queue_filter,
	TP_PROTO(u64 queue, const struct watch_notification *n),
	TP_ARGS(queue, n)
);

/*
 * A message that passed the filter did not get into a queue: the queue was
 * "full", or "unsized" yet, which the reader is told as a loss; or an LSM
 * "denied" its watcher to see it, which nobody is told.
 */
TRACE_EVENT(watch_queue_drop,
	TP_PROTO(u64 queue, const struct watch_notification *n,
		 const char *reason),
	TP_ARGS(queue, n, reason),

	TP_STRUCT__entry(
		__field(u64, queue)
		__field(u32, type)
		__field(u32, info)
		__field(u8, subtype)
		__string(reason, reason)
	),

	TP_fast_assign(
		__entry->queue = queue;
		__entry->type = n->type;
		__entry->info = n->info;
		__entry->subtype = n->subtype;
		__assign_str(reason);
	),

	TP_printk("queue=%llu type=%u subtype=%u len=%u tag=%u reason=%s",
		  __entry->queue, __entry->type, __entry->subtype,
		  __entry->info & WATCH_INFO_LENGTH,
		  (__entry->info & WATCH_INFO_ID) >> WATCH_INFO_ID__SHIFT,
		  __get_str(reason))
);

/*
 * A read returned something: so many bytes in so many messages, not counting
 * the records that told of lost ones.
 */
TRACE_EVENT(watch_queue_read,
	TP_PROTO(u64 queue, size_t bytes, u32 messages, u64 lost),
	TP_ARGS(queue, bytes, messages, lost),

	TP_STRUCT__entry(
		__field(u64, queue)
		__field(u64, lost)
		__field(size_t, bytes)
		__field(u32, messages)
	),

	TP_fast_assign(
		__entry->queue = queue;
		__entry->lost = lost;
		__entry->bytes = bytes;
		__entry->messages = messages;
	),

	TP_printk("queue=%llu bytes=%zu messages=%u lost=%llu",
		  __entry->queue, __entry->bytes, __entry->messages,
		  __entry->lost)
);

DECLARE_EVENT_CLASS(watch_queue_watch,
	TP_PROTO(u64 queue, const struct watch *watch, const struct watch_list *wlist),
	TP_ARGS(queue, watch, wlist),

	TP_STRUCT__entry(
		__field(u64, queue)
		__field(u64, id)
		__string(source, wlist->source ?: "?")
		__field(u8, tag)
	),

	TP_fast_assign(
		__entry->queue = queue;
		__entry->id = watch->id;
		__assign_str(source);
		__entry->tag = watch->info_id >> WATCH_INFO_ID__SHIFT;
	),

	TP_printk("queue=%llu source=%s id=0x%llx tag=%u",
		  __entry->queue, __get_str(source), __entry->id, __entry->tag)
);

/* A queue began to watch an object. */
DEFINE_EVENT(watch_queue_watch, watch_queue_watch_add,
	TP_PROTO(u64 queue, const struct watch *watch, const struct watch_list *wlist),
	TP_ARGS(queue, watch, wlist)
);

/* A queue ceased to watch an object, whoever of the two wanted it. */
DEFINE_EVENT(watch_queue_watch, watch_queue_watch_remove,
	TP_PROTO(u64 queue, const struct watch *watch, const struct watch_list *wlist),
	TP_ARGS(queue, watch, wlist)
);

#endif /* _TRACE_WATCH_QUEUE_H */

/* This part must be outside protection */
#include <trace/define_trace.h>

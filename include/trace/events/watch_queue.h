/* SPDX-License-Identifier: GPL-2.0 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM watch_queue

#if !defined(_TRACE_WATCH_QUEUE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_WATCH_QUEUE_H

#include <linux/tracepoint.h>
#include <linux/watch_queue.h>

/*
 * In all of them, queue is the number of the notification pipe's inode.  The
 * pipe's file descriptors are links to pipe:[queue].
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
DEFINE_EVENT(watch_queue_message, watch_queue_deliver,
	TP_PROTO(u64 queue, const struct watch_notification *n),
	TP_ARGS(queue, n)
);

/* A queue's filter rejected a message. */
DEFINE_EVENT(watch_queue_message, watch_queue_filter,
	TP_PROTO(u64 queue, const struct watch_notification *n),
	TP_ARGS(queue, n)
);

/* A security module denied a message to its watcher.  No count has it. */
DEFINE_EVENT(watch_queue_message, watch_queue_deny,
	TP_PROTO(u64 queue, const struct watch_notification *n),
	TP_ARGS(queue, n)
);

/*
 * A message was lost, as its queue was "full" or "unsized" yet.  The reader
 * gets a record of the loss.
 */
TRACE_EVENT(watch_queue_lose,
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
 * A read returned something.  The bytes are those of messages and of records of
 * losses, the messages do not include these records, and the lost messages are
 * those that the records count.
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
	TP_PROTO(u64 queue, const char *source, u64 id, u8 tag),
	TP_ARGS(queue, source, id, tag),

	TP_STRUCT__entry(
		__field(u64, queue)
		__field(u64, id)
		__string(source, source ?: "?")
		__field(u8, tag)
	),

	TP_fast_assign(
		__entry->queue = queue;
		__entry->id = id;
		__assign_str(source);
		__entry->tag = tag;
	),

	TP_printk("queue=%llu source=%s id=0x%llx tag=%u",
		  __entry->queue, __get_str(source), __entry->id, __entry->tag)
);

/* A queue began to watch an object. */
DEFINE_EVENT(watch_queue_watch, watch_queue_attach,
	TP_PROTO(u64 queue, const char *source, u64 id, u8 tag),
	TP_ARGS(queue, source, id, tag)
);

/* A watch was removed, or its object or its queue is going. */
DEFINE_EVENT(watch_queue_watch, watch_queue_detach,
	TP_PROTO(u64 queue, const char *source, u64 id, u8 tag),
	TP_ARGS(queue, source, id, tag)
);

#endif /* _TRACE_WATCH_QUEUE_H */

/* This part must be outside protection */
#include <trace/define_trace.h>

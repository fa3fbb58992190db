/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * /dev/watch_source: each open file is an object that can be watched, on which
 * any notification can be posted from any context.
 */
#ifndef WATCH_SOURCE_H
#define WATCH_SOURCE_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Attach the queue behind a file descriptor, or detach it */
struct watch_source_watch {
	__u64	id;		/* The object of the posts */
	__s32	fd;		/* The queue */
	__u32	tag;		/* 0 to 255 */
};

#define WATCH_SOURCE_ATTACH	_IOW('w', 0, struct watch_source_watch)
#define WATCH_SOURCE_DETACH	_IOW('w', 1, struct watch_source_watch)

/* Detach all queues; the argument points to the id in their removals. */
#define WATCH_SOURCE_DETACH_ALL	_IOW('w', 2, __u64)

enum watch_source_context {
	WATCH_SOURCE_PROCESS,		/* EILSEQ if interrupts are off afterwards */
	WATCH_SOURCE_SOFTIRQS_OFF,
	WATCH_SOURCE_INTERRUPTS_OFF,	/* EILSEQ if they are on afterwards */
	WATCH_SOURCE_TIMER,		/* in the timer's hard interrupt */
	WATCH_SOURCE_HARD_TIMER,	/* there with PREEMPT_RT, too */
	WATCH_SOURCE_SOFTIRQ,
	WATCH_SOURCE_RCU,		/* in a callback */
	WATCH_SOURCE_PREEMPTION_OFF,
	WATCH_SOURCE_RAW_LOCK,		/* with one held */
	WATCH_SOURCE_SWITCH,		/* in a probe of sched_switch; EOPNOTSUPP */
	WATCH_SOURCE_NR_CONTEXTS
};

/*
 * Post a message, `count` times.  With `numbered`, which takes 16 bytes, the
 * first and second word behind the header are `poster` and a number that counts
 * up from `number`, and byte I of the message, from 16 on, is the sum of the
 * three.
 */
struct watch_source_post {
	__u64	id;
	__u32	type;
	__u32	subtype;
	__u32	info;		/* All but the length */
	__u32	length;
	__u32	count;
	__u32	context;	/* enum watch_source_context */
	__u32	numbered;
	__u32	poster;
	__u32	number;
	__u32	reserved;
	__u64	elapsed;	/* Out: nanoseconds for all of them */
	__u8	message[128];	/* Used from byte 8 on */
};

#define WATCH_SOURCE_POST	_IOWR('w', 3, struct watch_source_post)

/* Detach while somebody sees the watch; EILSEQ if it is not what it was then. */
#define WATCH_SOURCE_DETACH_SEEN _IOW('w', 4, struct watch_source_watch)

#endif /* WATCH_SOURCE_H */

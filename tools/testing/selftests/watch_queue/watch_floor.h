/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * /dev/watch_floor and /dev/watch_instead: what a notification queue can be
 * measured against.
 */
#ifndef WATCH_FLOOR_H
#define WATCH_FLOOR_H

#include <linux/ioctl.h>
#include <linux/types.h>

enum watch_floor_operation {
	/* of /dev/watch_floor */
	WATCH_FLOOR_LOOP,	/* A call and nothing more */
	WATCH_FLOOR_LOCK,	/* Take a lock and let it go, with interrupts off */
	WATCH_FLOOR_POST,	/* Lock, copy, look at a wait queue */
	WATCH_FLOOR_KFIFO_IN,
	WATCH_FLOOR_KFIFO_OUT,

	/* of /dev/watch_instead */
	WATCH_INSTEAD_RELAY,
	WATCH_INSTEAD_NETLINK,
};

/* Do something `count` times with a message of `length` bytes */
struct watch_floor_run {
	__u32	operation;	/* enum watch_floor_operation */
	__u32	length;		/* 8 to 127 */
	__u32	count;
	__u32	reserved;
	__u64	elapsed;	/* Out: nanoseconds for all of them */
};

#define WATCH_FLOOR_RUN		_IOWR('w', 4, struct watch_floor_run)

/*
 * A read() of /dev/watch_floor returns as many messages, each of the length that
 * WATCH_FLOOR_FILL set, as fit.  It starts again at the first each time.
 */
#define WATCH_FLOOR_FILL	_IO('w', 5)

/* How many messages there are */
#define WATCH_FLOOR_MESSAGES	512

/* The netlink protocol of /dev/watch_instead; its messages go to group 1. */
#define WATCH_INSTEAD_PROTOCOL	31

#endif /* WATCH_FLOOR_H */

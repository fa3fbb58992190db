/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * /dev/watch_hold: each open file is an object that can be watched.  One
 * operation at a time can be held where it is, in the middle, while another is
 * done.
 *
 * The operation to be held runs in a process of its own, on a CPU of its own:
 *
 *	observer			the one that is held
 *	WATCH_HOLD_ARM
 *					WATCH_HOLD_READY, waits
 *	WATCH_HOLD_START, waits		the operation
 *	another operation		is held
 *	WATCH_HOLD_IS_HELD
 *	WATCH_HOLD_END			goes on
 */
#ifndef WATCH_HOLD_H
#define WATCH_HOLD_H

#include <linux/ioctl.h>
#include <linux/types.h>

enum watch_hold_point {
	/* An attach that has got the queue, and has not added the watch */
	WATCH_HOLD_GOT,
	/*
	 * An attach, a removal or a close that has changed the list and holds no
	 * lock any more: before the watcher is notified, and before
	 * release_watch().  Takes another CPU, and locks that tell whether
	 * somebody waits for them.
	 */
	WATCH_HOLD_CHANGED,
	/* A removal or a close, in release_watch() of the first watch */
	WATCH_HOLD_RELEASING,
	/*
	 * A post between the watch of the queue that is the gate and the next on
	 * the list.  Takes another CPU.
	 */
	WATCH_HOLD_WALKING,
	WATCH_HOLD_NR_POINTS
};

struct watch_hold_watch {
	__u64	id;
	__s32	fd;		/* The queue; -1 for the one that is pinned */
	__u32	tag;
};

struct watch_hold_counts {
	__u64	attached;	/* Watches that were added, by now */
	__u64	released;	/* Calls of release_watch() */
	__u64	twice;		/* Those for a watch that had been released */
	__u64	held;		/* Operations that were held until they were let go */
	__u64	expired;	/* Those that were not let go in time */
	__s64	user_watches;	/* The kernel's count of the user's watches */
};

/* ENODEV if the source is dead */
#define WATCH_HOLD_ATTACH	_IOW('h', 0, struct watch_hold_watch)
#define WATCH_HOLD_DETACH	_IOW('h', 1, struct watch_hold_watch)
/* The death of the object with this id, and that of the source with its list */
#define WATCH_HOLD_REMOVE	_IOW('h', 2, __u64)
#define WATCH_HOLD_KILL		_IOW('h', 3, __u64)
/* A message of 8 bytes and type 5 */
#define WATCH_HOLD_POST		_IOW('h', 4, __u64)

/* Keep a reference to a queue that outlives its file descriptors. */
#define WATCH_HOLD_PIN		_IOW('h', 5, __s32)
/* Have a queue be the gate of the posts that are held. */
#define WATCH_HOLD_GATE		_IOW('h', 6, __s32)
/* Have the list be one of a source without a name. */
#define WATCH_HOLD_UNNAME	_IO('h', 7)

/* EOPNOTSUPP if nothing can be held there */
#define WATCH_HOLD_ARM		_IOW('h', 8, __u32)
#define WATCH_HOLD_READY	_IO('h', 9)
/* ETIMEDOUT if it is not held after a while */
#define WATCH_HOLD_START	_IO('h', 10)
/* 1 or 0 */
#define WATCH_HOLD_IS_HELD	_IO('h', 11)
#define WATCH_HOLD_END		_IO('h', 12)
/* After a grace period */
#define WATCH_HOLD_COUNTS	_IOR('h', 13, struct watch_hold_counts)
/* How many watches are on the list */
#define WATCH_HOLD_LISTED	_IO('h', 14)
/* Use the memory of watches that have just been freed, if there are any. */
#define WATCH_HOLD_REUSE	_IO('h', 15)
/* Wait until each watch that is off the list has been released. */
#define WATCH_HOLD_WAIT		_IO('h', 16)

#endif /* WATCH_HOLD_H */

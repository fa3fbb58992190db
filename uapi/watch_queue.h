/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * General notification queue: what userspace and the kernel say to each other.
 */
#ifndef _UAPI_LINUX_WATCH_QUEUE_H
#define _UAPI_LINUX_WATCH_QUEUE_H

#include <linux/types.h>
#include <linux/fcntl.h>
#include <linux/ioctl.h>

/* Flag of pipe2() that asks for a notification pipe */
#define O_NOTIFICATION_PIPE	O_EXCL

/*
 * Make room for a number of messages, the argument, of any length.  Once only.
 */
#define IOC_WATCH_QUEUE_SET_SIZE	_IO('W', 0x60)

/*
 * Let through only what matches the struct watch_notification_filter that the
 * argument points to; or everything again, if it is NULL.
 */
#define IOC_WATCH_QUEUE_SET_FILTER	_IO('W', 0x61)

/* Which source a message is from */
enum watch_notification_type {
	WATCH_TYPE_META		= 0,	/* The queue itself */
	WATCH_TYPE_KEY_NOTIFY	= 1,	/* Keys and keyrings */
	WATCH_TYPE__NR		= 2
};

/* Subtypes of WATCH_TYPE_META */
enum watch_meta_notification_subtype {
	WATCH_META_REMOVAL_NOTIFICATION	= 0,	/* A watch was removed */
	WATCH_META_LOSS_NOTIFICATION	= 1,	/* Messages were lost here */
};

/*
 * What every message begins with.  A message is 8 to 127 bytes; read() returns
 * whole messages, one right behind the other, so that all but the first may be
 * unaligned in the buffer.
 *
 * In a loss notification WATCH_INFO_TYPE_INFO is how many messages were lost,
 * 65535 standing for that many or more.  (Zero means an unknown number: kernels
 * before the count was there.)
 */
struct watch_notification {
	__u32			type:24;	/* enum watch_notification_type */
	__u32			subtype:8;	/* Which event, by type */
	__u32			info;
#define WATCH_INFO_LENGTH	0x0000007f	/* Size of the message in bytes */
#define WATCH_INFO_LENGTH__SHIFT 0
#define WATCH_INFO_ID		0x0000ff00	/* Tag of the watch */
#define WATCH_INFO_ID__SHIFT	8
#define WATCH_INFO_TYPE_INFO	0xffff0000	/* By type */
#define WATCH_INFO_TYPE_INFO__SHIFT 16
#define WATCH_INFO_FLAG_0	0x00010000	/* By type, as single flags */
#define WATCH_INFO_FLAG_1	0x00020000
#define WATCH_INFO_FLAG_2	0x00040000
#define WATCH_INFO_FLAG_3	0x00080000
#define WATCH_INFO_FLAG_4	0x00100000
#define WATCH_INFO_FLAG_5	0x00200000
#define WATCH_INFO_FLAG_6	0x00400000
#define WATCH_INFO_FLAG_7	0x00800000
};

/*
 * One rule of a filter.  A message matches if its type is equal, its subtype's
 * bit is set (bit N % 32 of word N / 32), and (info & info_mask) ==
 * info_filter.  The length cannot be part of the mask.
 */
struct watch_notification_type_filter {
	__u32	type;
	__u32	info_filter;
	__u32	info_mask;
	__u32	subtype_filter[8];
};

/*
 * Argument of IOC_WATCH_QUEUE_SET_FILTER.  A message is let through if it
 * matches any of the rules.
 */
struct watch_notification_filter {
	__u32	nr_filters;		/* 1 to 16 */
	__u32	__reserved;		/* Must be 0 */
	struct watch_notification_type_filter filters[];
};

/*
 * WATCH_TYPE_META, WATCH_META_REMOVAL_NOTIFICATION: the long form, which tells
 * from which object the watch was removed.  The short form is the header only.
 */
struct watch_notification_removal {
	struct watch_notification watch;
	__u64	id;			/* By the source's numbering */
};

/* Subtypes of WATCH_TYPE_KEY_NOTIFY; what is in key_notification.aux */
enum key_notification_subtype {
	NOTIFY_KEY_INSTANTIATED	= 0,	/* Instantiated; error code, if any */
	NOTIFY_KEY_UPDATED	= 1,	/* Payload updated */
	NOTIFY_KEY_LINKED	= 2,	/* Key added to this keyring; which */
	NOTIFY_KEY_UNLINKED	= 3,	/* Key taken from this keyring; which */
	NOTIFY_KEY_CLEARED	= 4,	/* Keyring emptied */
	NOTIFY_KEY_REVOKED	= 5,	/* Revoked */
	NOTIFY_KEY_INVALIDATED	= 6,	/* Invalidated */
	NOTIFY_KEY_SETATTR	= 7,	/* Owner, permissions or timeout set */
};

/* Message of WATCH_TYPE_KEY_NOTIFY */
struct key_notification {
	struct watch_notification watch;
	__u32	key_id;			/* Serial number of the watched key */
	__u32	aux;			/* By subtype */
};

#endif /* _UAPI_LINUX_WATCH_QUEUE_H */

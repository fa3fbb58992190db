/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * General notification queue: the interface between kernel and userspace.
 */
#ifndef _UAPI_LINUX_WATCH_QUEUE_H
#define _UAPI_LINUX_WATCH_QUEUE_H

#include <linux/types.h>
#include <linux/ioctl.h>

/*
 * Flag of pipe2() that asks for a notification pipe: O_EXCL.  It is a number here,
 * as <linux/fcntl.h> cannot be included together with the C library's <fcntl.h>.
 */
#if defined(__alpha__) || defined(__sparc__)
#define O_NOTIFICATION_PIPE	0x800
#elif defined(__hppa__) || defined(__mips__)
#define O_NOTIFICATION_PIPE	0x400
#else
#define O_NOTIFICATION_PIPE	0x80
#endif

/*
 * Make room for a number of messages, the argument, of any length.  Once only.
 */
#define IOC_WATCH_QUEUE_SET_SIZE	_IO('W', 0x60)

/*
 * Let through only what matches the struct watch_notification_filter that the
 * argument points to; or everything again, if it is NULL.
 */
#define IOC_WATCH_QUEUE_SET_FILTER	_IO('W', 0x61)

/*
 * Wait until what is in the queue has been read.  There is no argument.
 */
#define PIPE_IOC_SYNC			_IO('W', 0x62)

/*
 * Attach the queue to something, or detach it.
 */
#define IOC_WATCH_QUEUE_ADD_WATCH	_IOWR('W', 0x63, struct watch_queue_watch)
#define IOC_WATCH_QUEUE_REMOVE_WATCH	_IOW('W', 0x64, struct watch_queue_watch)

/*
 * Get what the kernel can report of a source.
 */
#define IOC_WATCH_QUEUE_GET_SOURCE	_IOWR('W', 0x65, struct watch_queue_source)

/*
 * From now on size, filter and watches can be set through the write end only,
 * and the queue cannot be opened again for writing: whoever is given the read
 * end can read, and nothing else.  There is no argument, and no way back.
 */
#define IOC_WATCH_QUEUE_SEAL		_IO('W', 0x66)

/* Which source a message is from */
enum watch_notification_type {
	WATCH_TYPE_META		= 0,	/* The queue itself */
	WATCH_TYPE_KEY_NOTIFY	= 1,	/* Keys and keyrings */
	WATCH_TYPE_MOUNT_NOTIFY	= 2,	/* Mounts */
	WATCH_TYPE_SUPERBLOCK_NOTIFY = 3, /* Mounted file systems */
	WATCH_TYPE_BLOCK_NOTIFY	= 4,	/* Block devices */
	WATCH_TYPE_DEVICE_NOTIFY = 5,	/* Devices and buses */
};

/*
 * The number of types in kernels without the sources above.  It is not going to
 * change.  IOC_WATCH_QUEUE_GET_SOURCE tells which sources a kernel has.
 */
#define WATCH_TYPE__NR		2

/* Subtypes of WATCH_TYPE_META */
enum watch_meta_notification_subtype {
	WATCH_META_REMOVAL_NOTIFICATION	= 0,	/* A watch was removed */
	WATCH_META_LOSS_NOTIFICATION	= 1,	/* Messages were lost here */
};

/*
 * The header of every message.  A message is 8 to 127 bytes; read() returns
 * whole messages, one right behind the other, so that all but the first may be
 * unaligned in the buffer.
 *
 * In a loss notification WATCH_INFO_TYPE_INFO is how many messages were lost.
 * If more than 65535 were lost in a row, there are several.  (Zero means an
 * unknown number: kernels before the count was there.)
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
#define WATCH_INFO_OP		0x000f0000	/* By type, as an operation */
#define WATCH_INFO_OP__SHIFT	16
#define WATCH_INFO_ERROR	0xfff00000	/* and an errno, or 0 */
#define WATCH_INFO_ERROR__SHIFT	20
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
 * Argument of IOC_WATCH_QUEUE_ADD_WATCH and IOC_WATCH_QUEUE_REMOVE_WATCH.
 * Later versions may be longer.  A kernel takes those if it knows of nothing
 * that they ask for, which is when the rest is zeroes, and says E2BIG otherwise.
 *
 * The object is selected by source, fd and flags; tag is ignored when the watch
 * is removed.  A source that the kernel does not have is EOPNOTSUPP.
 * Keys are watched with keyctl(KEYCTL_WATCH_KEY).
 *
 * The id is what identifies the object in a removal notification.  It has to be
 * 0 when a watch is added, and is set then.  When a watch is removed it is 0 or
 * the id of the object.
 */
struct watch_queue_watch {
	__u32	source;			/* enum watch_notification_type */
	__s32	fd;			/* What to watch, by source */
	__u32	tag;			/* WATCH_INFO_ID of messages, 0 to 255 */
	__u32	flags;			/* By source */
	__u64	id;			/* Of the object, by source */
};

/*
 * Argument of IOC_WATCH_QUEUE_GET_SOURCE.  The caller sets source; flags has to
 * be 0, and the rest is set.  Later versions may be longer, as above; what the
 * kernel does not know of is set to zeroes.  A source that the kernel does not
 * have is EOPNOTSUPP.
 */
struct watch_queue_source {
	__u32	source;			/* enum watch_notification_type */
	__u32	flags;			/* Must be 0 */
	__u64	sources;		/* Bit N: there is the source N */
	__u32	subtypes[8];		/* As subtype_filter: these can come */
	__u32	watch_flags;		/* Which flags ADD_WATCH takes */
	__u32	features;		/* WATCH_FEATURE_* */
};

/* What else a source can do */
#define WATCH_FEATURE_ADD	0x00000001	/* IOC_WATCH_QUEUE_ADD_WATCH */
#define WATCH_FEATURE_ALL	0x00000002	/* fd -1 selects all objects */

/*
 * WATCH_TYPE_META, WATCH_META_REMOVAL_NOTIFICATION: the long form, which has
 * the id of the object from which the watch was removed.  The short form is the
 * header only.
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

/*
 * WATCH_TYPE_MOUNT_NOTIFY: fd is the file of the mount namespace to watch, as in
 * /proc/PID/ns.  With this flag it is any file on a mount, and what happens to
 * that mount and to those below it is watched, down to 127 mounts one below the
 * other: nothing is said of what is further below.  Either can have been opened
 * with O_PATH.
 *
 * The id of a removal notification is that of the namespace or of the mount.
 */
#define WATCH_MOUNT_SUBTREE	0x00000001

/* Subtypes of WATCH_TYPE_MOUNT_NOTIFY */
enum mount_notification_subtype {
	NOTIFY_MOUNT_ATTACHED	= 0,	/* Put into the tree, below parent_id */
	NOTIFY_MOUNT_DETACHED	= 1,	/* Taken out of the tree, from parent_id */
	NOTIFY_MOUNT_MOVED_FROM	= 2,	/* Leaves parent_id; a MOVED_TO follows */
	NOTIFY_MOUNT_MOVED_TO	= 3,	/* Moved to parent_id */
	NOTIFY_MOUNT_SETATTR	= 4,	/* Attributes or propagation set */
	NOTIFY_MOUNT_EXPIRED	= 5,	/* Unused for too long; a DETACHED follows */
};

/* Message of WATCH_TYPE_MOUNT_NOTIFY.  All members are as statmount() has them. */
struct mount_notification {
	struct watch_notification watch;
	__u64	mnt_id;			/* Never reused */
	__u64	parent_id;		/* Its own if it has no parent */
	__u64	mnt_ns_id;		/* Never reused */
	__u64	attr;			/* MOUNT_ATTR_*, in linux/mount.h */
	__u64	propagation;		/* MS_SHARED, MS_SLAVE or both; or
					 * MS_PRIVATE, or MS_UNBINDABLE
					 */
	__u64	peer_group;		/* If it is shared: with which others */
	__u64	master;			/* If it is a slave: of which peer group */
	__u32	sb_dev_major;		/* Of the file system */
	__u32	sb_dev_minor;
};

/*
 * WATCH_TYPE_SUPERBLOCK_NOTIFY: fd is any file of the file system to watch,
 * also one opened with O_PATH.  There are no flags.
 *
 * The id of a removal notification is sb_id.  It comes when the file system has
 * been unmounted for the last time and its devices can be claimed again, as
 * mount() and O_EXCL do.  They may be closed a moment later.
 */

/* Subtypes of WATCH_TYPE_SUPERBLOCK_NOTIFY */
enum superblock_notification_subtype {
	NOTIFY_SUPERBLOCK_ERROR	= 0,	/* superblock_error_notification */
	NOTIFY_SUPERBLOCK_READONLY = 1,	/* Is now read-only */
	NOTIFY_SUPERBLOCK_READWRITE = 2, /* Is now writable */
	NOTIFY_SUPERBLOCK_QUOTA	= 3,	/* superblock_quota_notification */
	NOTIFY_SUPERBLOCK_FROZEN = 4,	/* Is now frozen: nothing can be written */
	NOTIFY_SUPERBLOCK_THAWED = 5,	/* Is no longer frozen */
};

/* WATCH_INFO_OP of NOTIFY_SUPERBLOCK_ERROR: what failed */
enum watch_superblock_op {
	WATCH_SUPERBLOCK_BUFFERED_READ	= 0,	/* Reading a file into the page cache */
	WATCH_SUPERBLOCK_BUFFERED_WRITE	= 1,	/* Writing it back */
	WATCH_SUPERBLOCK_DIRECT_READ	= 2,	/* Direct I/O */
	WATCH_SUPERBLOCK_DIRECT_WRITE	= 3,
	WATCH_SUPERBLOCK_DATA_LOST	= 4,	/* The medium lost a file's data */
	WATCH_SUPERBLOCK_METADATA	= 5,	/* The file system's own data */
	WATCH_SUPERBLOCK_DEVICE_GONE	= 6,	/* A device it needs; ENODEV */
};

/*
 * Message of WATCH_TYPE_SUPERBLOCK_NOTIFY.  All of them have the members up to
 * dev_minor, at the same place.
 */
struct superblock_notification {
	struct watch_notification watch;
	__u64	sb_id;			/* As IOC_WATCH_QUEUE_ADD_WATCH returns it */
	__u32	dev_major;		/* st_dev of its files, mostly */
	__u32	dev_minor;
};

/* WATCH_INFO_OP is enum watch_superblock_op, WATCH_INFO_ERROR the errno. */
struct superblock_error_notification {
	struct watch_notification watch;
	__u64	sb_id;
	__u32	dev_major;
	__u32	dev_minor;
	__u64	ino;			/* Inode number, 0 if it is not about one */
	__u64	pos;			/* Where in the file, in bytes */
	__u64	len;			/* How many bytes; 0 and 0 if unknown */
};

/*
 * A quota limit was crossed, or usage fell below it again.  Not repeated until
 * there was room again, except by XFS and GFS2, which have quotas of their own.
 * WATCH_INFO_OP is QUOTA_NL_*, in linux/quota.h; WATCH_INFO_ERROR is 0.
 */
struct superblock_quota_notification {
	struct watch_notification watch;
	__u64	sb_id;
	__u32	dev_major;
	__u32	dev_minor;
	__u32	type;			/* USRQUOTA, GRPQUOTA or PRJQUOTA */
	__u32	id;			/* Of the user, group or project */
};

/*
 * WATCH_TYPE_BLOCK_NOTIFY: fd is a block device that is open for reading, the
 * whole of it or a partition; or -1, for all there are.  There are no flags.
 *
 * The id of a removal notification, which comes when the device is gone, is
 * WATCH_BLOCK_ID(), with the number that BLKGETDISKSEQ returned when it was
 * first watched.
 */
#define WATCH_BLOCK_PARTITION__SHIFT	56
#define WATCH_BLOCK_ID(diskseq, partition)				\
	((__u64)(partition) << WATCH_BLOCK_PARTITION__SHIFT | (__u64)(diskseq))

/* Subtypes of WATCH_TYPE_BLOCK_NOTIFY: the kinds of failures */
enum block_notification_subtype {
	NOTIFY_BLOCK_IO		= 0,	/* I/O error of no other kind */
	NOTIFY_BLOCK_TIMEOUT	= 1,
	NOTIFY_BLOCK_NO_SPACE	= 2,	/* Space allocation */
	NOTIFY_BLOCK_TRANSPORT	= 3,	/* Recoverable transport error */
	NOTIFY_BLOCK_TARGET	= 4,	/* Critical target error */
	NOTIFY_BLOCK_NEXUS	= 5,	/* Critical nexus: reservation conflict */
	NOTIFY_BLOCK_MEDIUM	= 6,	/* Critical medium error */
	NOTIFY_BLOCK_PROTECTION	= 7,	/* Integrity or encryption */
	NOTIFY_BLOCK_RESOURCE	= 8,	/* Kernel resource */
	NOTIFY_BLOCK_OTHER	= 9,	/* A kind that has no name here */
	NOTIFY_BLOCK_NOT_SUPPORTED = 10, /* Operation not supported */
	NOTIFY_BLOCK_BUSY	= 11,	/* Device resource */
	NOTIFY_BLOCK_AGAIN	= 12,	/* It would have had to wait */
	NOTIFY_BLOCK_ZONES_OPEN	= 13,	/* Too many zones are open */
	NOTIFY_BLOCK_ZONES_ACTIVE = 14,	/* Too many zones are active */
	NOTIFY_BLOCK_OFFLINE	= 15,	/* The device is offline */
	NOTIFY_BLOCK_DURATION_LIMIT = 16, /* It took longer than allowed */
	NOTIFY_BLOCK_INVALID	= 17,	/* Not a valid request */
};

/* WATCH_INFO_OP: the operation that failed */
enum watch_block_op {
	WATCH_BLOCK_READ	= 0,
	WATCH_BLOCK_WRITE	= 1,
	WATCH_BLOCK_FLUSH	= 2,
	WATCH_BLOCK_DISCARD	= 3,
	WATCH_BLOCK_SECURE_ERASE = 4,
	WATCH_BLOCK_WRITE_ZEROES = 5,
	WATCH_BLOCK_ZONE	= 6,	/* Anything about a zone */
	WATCH_BLOCK_OTHER	= 7,
};

/*
 * Message of WATCH_TYPE_BLOCK_NOTIFY: a request failed, or some of it.  If sector
 * and len are 0, it has no range (a flush), or what failed of it is not known.
 * A flush is of the whole device, but who watches the partition through which it
 * was asked for gets it as one of that.
 * WATCH_INFO_OP is enum watch_block_op, WATCH_INFO_ERROR the errno.
 */
struct block_notification {
	struct watch_notification watch;
	__u64	diskseq;		/* As BLKGETDISKSEQ; never reused */
	__u64	sector;			/* Of 512 bytes, on the whole device */
	__u32	len;			/* Bytes */
	__u32	dev_major;		/* Of the whole device */
	__u32	dev_minor;
	__u32	partition;		/* 0 for the whole device */
};

/*
 * WATCH_TYPE_DEVICE_NOTIFY: fd is a directory of sysfs, also one opened with
 * O_PATH, of a device, for that and those below it, or of a bus or a class, for
 * those that are on it or in it; or -1, for all devices.  There are no flags.
 *
 * The id of a removal notification is the inode number of the directory.
 */

/* Subtypes of WATCH_TYPE_DEVICE_NOTIFY, up to UNBOUND the actions of uevents */
enum device_notification_subtype {
	NOTIFY_DEVICE_ADDED	= 0,
	NOTIFY_DEVICE_REMOVED	= 1,
	NOTIFY_DEVICE_CHANGED	= 2,	/* By subsystem */
	NOTIFY_DEVICE_MOVED	= 3,	/* Has another path */
	NOTIFY_DEVICE_ONLINE	= 4,
	NOTIFY_DEVICE_OFFLINE	= 5,
	NOTIFY_DEVICE_BOUND	= 6,	/* To a driver */
	NOTIFY_DEVICE_UNBOUND	= 7,
	NOTIFY_USB_CONNECTED	= 8,	/* usb_notification */
	NOTIFY_USB_DISCONNECTED	= 9,	/* usb_notification */
};

/* A string did not fit: the path has lost its beginning, or another its end */
#define NOTIFY_DEVICE_CUT	WATCH_INFO_FLAG_0
/* Where in the message the strings begin.  Each ends in a NUL. */
#define NOTIFY_DEVICE_STRINGS	0xff000000
#define NOTIFY_DEVICE_STRINGS__SHIFT 24

/*
 * Message of WATCH_TYPE_DEVICE_NOTIFY.  The strings are the subsystem, which is
 * the bus or class; the device type, which can be empty; and the path below
 * /sys.
 */
struct device_notification {
	struct watch_notification watch;
	__u64	seqnum;			/* SEQNUM of the uevent */
	__u64	ino;			/* Of its directory; never reused */
	__u32	dev_major;		/* 0, 0 if it has no number */
	__u32	dev_minor;
};

/* A USB device, hubs included.  The string is the path below /sys. */
struct usb_notification {
	struct watch_notification watch;
	__u64	seqnum;			/* SEQNUM of the uevent */
	__u64	ino;			/* Of its directory; never reused */
	__u32	bus;
	__u32	port;			/* Of the hub it is in, 0 if it is a root hub */
	__u32	device;			/* Number on the bus */
	__u16	vendor;			/* idVendor */
	__u16	product;		/* idProduct */
};

#endif /* _UAPI_LINUX_WATCH_QUEUE_H */

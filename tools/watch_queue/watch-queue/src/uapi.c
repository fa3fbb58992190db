// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * What the header for userspace says, for the library's tests to compare with:
 * without an argument, constants; with `watch`, an argument of
 * IOC_WATCH_QUEUE_ADD_WATCH; with `messages`, one message of each subtype.
 */

#include <stdio.h>
#include <string.h>
#include <linux/mount.h>
#include <linux/quota.h>
#include "watch_queue.h"

#define TAG	7

/* MS_*, which cannot be had without those of the C library */
#define PRIVATE		0x00040000
#define SHARED		0x00100000

#define HEADER(message, kind, what) {					\
	.type = kind,							\
	.subtype = what,						\
	.info = sizeof(message) | TAG << WATCH_INFO_ID__SHIFT,		\
}

#define INFO(op, error)	((op) << WATCH_INFO_OP__SHIFT | (error) << WATCH_INFO_ERROR__SHIFT)

static void put(const void *what, size_t size)
{
	fwrite(what, size, 1, stdout);
}

static void put_constants(void)
{
	printf("%lu\n", (unsigned long)PIPE_IOC_SYNC);
	printf("%lu\n", (unsigned long)IOC_WATCH_QUEUE_ADD_WATCH);
	printf("%lu\n", (unsigned long)IOC_WATCH_QUEUE_REMOVE_WATCH);
	printf("%lu\n", (unsigned long)IOC_WATCH_QUEUE_GET_SOURCE);
	printf("%lu\n", (unsigned long)IOC_WATCH_QUEUE_SEAL);
	printf("%zu\n", sizeof(struct watch_queue_watch));
	printf("%zu\n", sizeof(struct watch_queue_source));
	printf("%d\n", WATCH_MOUNT_SUBTREE);
}

static void put_watch(void)
{
	struct watch_queue_watch watch = {
		.source = WATCH_TYPE_MOUNT_NOTIFY,
		.fd = 1,
		.tag = TAG,
		.flags = WATCH_MOUNT_SUBTREE,
	};

	put(&watch, sizeof(watch));
}

static void put_mounts(void)
{
	unsigned int what;

	for (what = NOTIFY_MOUNT_ATTACHED; what <= NOTIFY_MOUNT_EXPIRED; what++) {
		struct mount_notification message = {
			.watch = HEADER(message, WATCH_TYPE_MOUNT_NOTIFY, what),
			.mnt_id = 0x8000000000000001,
			.parent_id = 0x8000000000000002,
			.mnt_ns_id = 0x8000000000000003,
			.attr = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
				MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOATIME |
				MOUNT_ATTR_STRICTATIME | MOUNT_ATTR_NODIRATIME |
				MOUNT_ATTR_IDMAP | MOUNT_ATTR_NOSYMFOLLOW,
			.propagation = SHARED | PRIVATE,
			.peer_group = 0x8000000000000004,
			.master = 0x8000000000000005,
			.sb_dev_major = 7,
			.sb_dev_minor = 1000,
		};

		put(&message, sizeof(message));
	}
}

#define SUPERBLOCK(message, what)					\
	.watch = HEADER(message, WATCH_TYPE_SUPERBLOCK_NOTIFY, what),	\
	.sb_id = 0x8000000000000001,					\
	.dev_major = 7,							\
	.dev_minor = 1000

static void put_superblocks(void)
{
	struct superblock_notification readonly = {
		SUPERBLOCK(readonly, NOTIFY_SUPERBLOCK_READONLY),
	};
	struct superblock_notification readwrite = {
		SUPERBLOCK(readwrite, NOTIFY_SUPERBLOCK_READWRITE),
	};
	struct superblock_notification frozen = {
		SUPERBLOCK(frozen, NOTIFY_SUPERBLOCK_FROZEN),
	};
	struct superblock_notification thawed = {
		SUPERBLOCK(thawed, NOTIFY_SUPERBLOCK_THAWED),
	};
	unsigned int kind;

	for (kind = WATCH_SUPERBLOCK_BUFFERED_READ;
	     kind <= WATCH_SUPERBLOCK_DEVICE_GONE; kind++) {
		struct superblock_error_notification error = {
			SUPERBLOCK(error, NOTIFY_SUPERBLOCK_ERROR),
			.ino = 0x8000000000000002,
			.pos = 0x8000000000000003,
			.len = 0x8000000000000004,
		};

		error.watch.info |= INFO(kind, 117);
		put(&error, sizeof(error));
	}
	put(&readonly, sizeof(readonly));
	put(&readwrite, sizeof(readwrite));
	put(&frozen, sizeof(frozen));
	put(&thawed, sizeof(thawed));
	for (kind = QUOTA_NL_IHARDWARN; kind <= QUOTA_NL_BSOFTBELOW; kind++) {
		struct superblock_quota_notification quota = {
			SUPERBLOCK(quota, NOTIFY_SUPERBLOCK_QUOTA),
			.type = 2,	/* PRJQUOTA, which is not for userspace */
			.id = 4711,
		};

		quota.watch.info |= INFO(kind, 0);
		put(&quota, sizeof(quota));
	}
}

static void put_block(unsigned int what, unsigned int op)
{
	struct block_notification message = {
		.watch = HEADER(message, WATCH_TYPE_BLOCK_NOTIFY, what),
		.diskseq = 0x8000000000000001,
		.sector = 0x8000000000000002,
		.len = 4096,
		.dev_major = 8,
		.dev_minor = 16,
		.partition = 3,
	};

	message.watch.info |= INFO(op, 5);
	put(&message, sizeof(message));
}

/* A message with strings, which have NULs in them */
static void put_strings(const void *message, size_t size, unsigned int flags,
			const char *strings, size_t length)
{
	struct watch_notification header;
	char bytes[128];

	memcpy(bytes, message, size);
	memcpy(bytes + size, strings, length);
	memcpy(&header, message, sizeof(header));
	header.info += length;
	header.info |= flags | size << NOTIFY_DEVICE_STRINGS__SHIFT;
	memcpy(bytes, &header, sizeof(header));
	put(bytes, size + length);
}

static void put_devices(void)
{
	static const char strings[] = "block\0disk\0/devices/x/sdb";
	static const char path[] = "/devices/x/1-2";
	unsigned int what;

	for (what = NOTIFY_DEVICE_ADDED; what <= NOTIFY_DEVICE_UNBOUND; what++) {
		struct device_notification device = {
			.watch = HEADER(device, WATCH_TYPE_DEVICE_NOTIFY, what),
			.seqnum = 0x8000000000000001,
			.ino = 0x8000000000000003,
			.dev_major = 8,
			.dev_minor = 16,
		};

		put_strings(&device, sizeof(device), 0, strings, sizeof(strings));
	}
	for (what = NOTIFY_USB_CONNECTED; what <= NOTIFY_USB_DISCONNECTED; what++) {
		struct usb_notification usb = {
			.watch = HEADER(usb, WATCH_TYPE_DEVICE_NOTIFY, what),
			.seqnum = 0x8000000000000002,
			.ino = 0x8000000000000004,
			.bus = 1,
			.port = 2,
			.device = 3,
			.vendor = 0x0409,
			.product = 0x55aa,
		};

		put_strings(&usb, sizeof(usb), NOTIFY_DEVICE_CUT, path, sizeof(path));
	}
}

static void put_messages(void)
{
	unsigned int i;

	put_mounts();
	put_superblocks();
	for (i = NOTIFY_BLOCK_IO; i <= NOTIFY_BLOCK_INVALID; i++)
		put_block(i, WATCH_BLOCK_READ);
	for (i = WATCH_BLOCK_READ; i <= WATCH_BLOCK_OTHER; i++)
		put_block(NOTIFY_BLOCK_IO, i);
	put_devices();
}

int main(int argc, char *argv[])
{
	if (argc < 2)
		put_constants();
	else if (!strcmp(argv[1], "watch"))
		put_watch();
	else
		put_messages();
	return 0;
}

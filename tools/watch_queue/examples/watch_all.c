// SPDX-License-Identifier: GPL-2.0
/*
 * Watch a key, the mounts, a file system, a disk and devices with one queue, and
 * print what happens, with nothing but the kernel's header.
 *
 * usage: watch_all KEY DIRECTORY DISK, such as 646183008 /srv /dev/sda
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/keyctl.h>
#include <linux/watch_queue.h>

/* Tags, by which messages say what they are of */
enum { KEY = 1, MOUNTS, FILE_SYSTEM, DISK, DEVICES, NR_TAGS };

static const char *const names[] = { "?", "key", "mounts", "file system", "disk", "devices" };

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void watch(int queue, __u32 source, const char *path, int flags, __u32 tag)
{
	struct watch_queue_watch watch = { .source = source, .fd = -1, .tag = tag };

	if (path) {
		watch.fd = open(path, flags | O_CLOEXEC);
		if (watch.fd < 0)
			die(path);
	}
	if (ioctl(queue, IOC_WATCH_QUEUE_ADD_WATCH, &watch) < 0)
		die(names[tag]);
	/* The watch does not need it any more. */
	if (path)
		close(watch.fd);
}

/*
 * Messages need not be aligned in the buffer; those of other kernels may be
 * shorter or longer.
 */
static void take(void *message, size_t room, const char *at, size_t size)
{
	memset(message, 0, room);
	memcpy(message, at, size < room ? size : room);
}

static void print(const struct watch_notification *header, const char *at, size_t size)
{
	unsigned int tag = (header->info & WATCH_INFO_ID) >> WATCH_INFO_ID__SHIFT;
	struct superblock_notification superblock;
	struct mount_notification mount;
	struct block_notification block;
	struct key_notification key;

	printf("%s: ", tag < NR_TAGS ? names[tag] : "?");
	switch (header->type) {
	case WATCH_TYPE_META:
		if (header->subtype == WATCH_META_LOSS_NOTIFICATION)
			printf("%u messages lost\n",
			       header->info >> WATCH_INFO_TYPE_INFO__SHIFT);
		else
			printf("gone\n");
		break;
	case WATCH_TYPE_KEY_NOTIFY:
		take(&key, sizeof(key), at, size);
		printf("event %u of key %u, %u\n", header->subtype, key.key_id, key.aux);
		break;
	case WATCH_TYPE_MOUNT_NOTIFY:
		take(&mount, sizeof(mount), at, size);
		printf("event %u of mount %llu on %llu\n", header->subtype,
		       mount.mnt_id, mount.parent_id);
		break;
	case WATCH_TYPE_SUPERBLOCK_NOTIFY:
		take(&superblock, sizeof(superblock), at, size);
		printf("event %u of device %u:%u\n", header->subtype,
		       superblock.dev_major, superblock.dev_minor);
		break;
	case WATCH_TYPE_BLOCK_NOTIFY:
		take(&block, sizeof(block), at, size);
		printf("operation %u failed at sector %llu: %s\n",
		       (header->info & WATCH_INFO_OP) >> WATCH_INFO_OP__SHIFT,
		       block.sector, strerror(header->info >> WATCH_INFO_ERROR__SHIFT));
		break;
	case WATCH_TYPE_DEVICE_NOTIFY:
		/* The first string is the subsystem, but for USB devices the path. */
		printf("event %u of %.*s\n", header->subtype,
		       (int)(size - (header->info >> NOTIFY_DEVICE_STRINGS__SHIFT)),
		       at + (header->info >> NOTIFY_DEVICE_STRINGS__SHIFT));
		break;
	default:
		printf("event %u of type %u\n", header->subtype, header->type);
	}
}

int main(int argc, char *argv[])
{
	struct watch_notification header;
	char buffer[4096];
	ssize_t size, i;
	int fds[2];

	if (argc != 4) {
		fprintf(stderr, "usage: watch_all KEY DIRECTORY DISK\n");
		return 2;
	}
	if (pipe2(fds, O_NOTIFICATION_PIPE | O_CLOEXEC) < 0)
		die("pipe2");
	if (ioctl(fds[0], IOC_WATCH_QUEUE_SET_SIZE, 256) < 0)
		die("IOC_WATCH_QUEUE_SET_SIZE");
	if (syscall(__NR_keyctl, KEYCTL_WATCH_KEY, atoi(argv[1]), fds[0], KEY) < 0)
		die("KEYCTL_WATCH_KEY");
	watch(fds[0], WATCH_TYPE_MOUNT_NOTIFY, "/proc/self/ns/mnt", O_RDONLY, MOUNTS);
	watch(fds[0], WATCH_TYPE_SUPERBLOCK_NOTIFY, argv[2], O_PATH, FILE_SYSTEM);
	watch(fds[0], WATCH_TYPE_BLOCK_NOTIFY, argv[3], O_RDONLY, DISK);
	watch(fds[0], WATCH_TYPE_DEVICE_NOTIFY, NULL, 0, DEVICES);
	setlinebuf(stdout);
	printf("watching\n");

	while ((size = read(fds[0], buffer, sizeof(buffer))) > 0) {
		for (i = 0; i < size; i += header.info & WATCH_INFO_LENGTH) {
			memcpy(&header, buffer + i, sizeof(header));
			print(&header, buffer + i, header.info & WATCH_INFO_LENGTH);
		}
	}
	die("read");
}

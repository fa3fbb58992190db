/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Helpers for the tests of the sources: a queue, watches on files, and messages
 * one at a time.  A test is skipped where the kernel lacks its source.
 */
#ifndef WATCH_QUEUE_TEST_SOURCES_H
#define WATCH_QUEUE_TEST_SOURCES_H

#include "commands.h"
#include "queue.h"

#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#define MESSAGES	512

/* How long a message may take to come, and how long one that must not come is
 * waited for, in milliseconds
 */
#define SOON		20000
#define NOT_AT_ALL	100

struct stream {
	int rd;
	int wr;
	size_t at;
	size_t end;
	unsigned char bytes[MESSAGES * 128];
};

/* A message that is aligned */
union message {
	struct watch_notification watch;
	struct watch_notification_removal removal;
	struct mount_notification mount;
	struct superblock_notification sb;
	struct superblock_error_notification error;
	struct superblock_quota_notification quota;
	struct block_notification block;
	struct device_notification device;
	struct usb_notification usb;
	unsigned char bytes[128];
};

/* The type-specific bits of a message that has an operation and an errno */
static inline int op_of(const void *message)
{
	return (header_of(message).info & WATCH_INFO_OP) >> WATCH_INFO_OP__SHIFT;
}

static inline int error_of(const void *message)
{
	return header_of(message).info >> WATCH_INFO_ERROR__SHIFT;
}

/* A mount namespace of its own, from which nothing goes out, and where to mount */
static inline int own_mounts(const char *dir)
{
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return -1;
	return mkdir(dir, 0755) && errno != EEXIST ? -1 : 0;
}

/* Add a watch, and get the id of the object. */
static inline int watch_object(int queue, uint32_t source, int fd, uint32_t flags,
			       uint64_t *id)
{
	struct watch_queue_watch watch = {
		.source = source,
		.fd = fd,
		.tag = TAG,
		.flags = flags,
	};
	int result = ioctl(queue, IOC_WATCH_QUEUE_ADD_WATCH, &watch);

	*id = watch.id;
	return result;
}

static inline int add_watch(int queue, uint32_t source, int fd, uint32_t flags)
{
	uint64_t id;

	return watch_object(queue, source, fd, flags, &id);
}

static inline int remove_watch(int queue, uint32_t source, int fd,
			       uint32_t flags)
{
	struct watch_queue_watch watch = {
		.source = source,
		.fd = fd,
		.flags = flags,
	};

	return ioctl(queue, IOC_WATCH_QUEUE_REMOVE_WATCH, &watch);
}

static inline int open_stream(struct stream *stream)
{
	struct queue q;

	if (open_queue(&q, O_NONBLOCK | O_CLOEXEC) == -1 ||
	    set_size(&q, MESSAGES) == -1)
		return -1;
	stream->rd = q.rd;
	stream->wr = q.wr;
	stream->at = 0;
	stream->end = 0;
	return 0;
}

/* Returns whether the kernel has a source, even if it refuses this request */
static inline int has_source(uint32_t source)
{
	struct queue q;
	int result;

	if (open_queue(&q, 0) == -1)
		return 0;
	result = add_watch(q.rd, source, -2, 0) != -1 ||
		 (errno != EOPNOTSUPP && errno != ENOTTY);
	close(q.rd);
	close(q.wr);
	return result;
}

/* The next message, within some milliseconds */
static inline int next_message(struct stream *stream, union message *message,
			       int timeout)
{
	struct pollfd readable = { .fd = stream->rd, .events = POLLIN };
	size_t length;
	ssize_t bytes;

	if (stream->at == stream->end) {
		if (poll(&readable, 1, timeout) != 1)
			return 0;
		bytes = read(stream->rd, stream->bytes, sizeof(stream->bytes));
		if (bytes <= 0)
			return 0;
		stream->at = 0;
		stream->end = bytes;
	}
	length = length_of(stream->bytes + stream->at);
	memset(message, 0, sizeof(*message));
	memcpy(message, stream->bytes + stream->at, length);
	stream->at += length;
	return 1;
}

/* The next message of a type and subtype, whatever else comes before it */
static inline int find_message(struct stream *stream, union message *message,
			       uint32_t type, uint32_t subtype)
{
	while (next_message(stream, message, SOON)) {
		if (message->watch.type == type &&
		    message->watch.subtype == subtype)
			return 1;
	}
	return 0;
}

/* Expect the next message, into the variable `message`, to be of a type, a
 * subtype and the length of what it is.
 */
#define EXPECT_MESSAGE(stream, kind, what, member)			\
	do {								\
		ASSERT_TRUE(next_message(stream, &message, SOON));	\
		EXPECT_EQ(kind, type_of(&message));			\
		EXPECT_EQ(what, subtype_of(&message));			\
		EXPECT_EQ(sizeof(message.member), length_of(&message));	\
		EXPECT_EQ(TAG, tag_of(&message));			\
	} while (0)

#define EXPECT_REMOVAL(stream, object)					\
	do {								\
		EXPECT_MESSAGE(stream, WATCH_TYPE_META,			\
			       WATCH_META_REMOVAL_NOTIFICATION, removal); \
		EXPECT_EQ(object, message.removal.id);			\
	} while (0)

#define EXPECT_NOTHING(stream)						\
	EXPECT_FALSE(next_message(stream, &message, NOT_AT_ALL))

#endif /* WATCH_QUEUE_TEST_SOURCES_H */

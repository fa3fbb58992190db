/* SPDX-License-Identifier: GPL-2.0 */
/* A queue that watches a test source, see watch_source.h */
#ifndef WATCH_QUEUE_TEST_SOURCE_H
#define WATCH_QUEUE_TEST_SOURCE_H

#include "queue.h"
#include "watch_source.h"

/* The object that the tests watch */
#define ID	77

static inline int open_source(void)
{
	return open("/dev/watch_source", O_RDWR | O_CLOEXEC);
}

static inline int attach(int source, int queue, uint64_t id, unsigned int tag)
{
	struct watch_source_watch watch = { .id = id, .fd = queue, .tag = tag };

	return UNTIL_THERE_IS_ROOM(ioctl(source, WATCH_SOURCE_ATTACH, &watch));
}

static inline int detach(int source, int queue, uint64_t id)
{
	struct watch_source_watch watch = { .id = id, .fd = queue };

	return ioctl(source, WATCH_SOURCE_DETACH, &watch);
}

static inline int detach_all(int source, uint64_t id)
{
	return ioctl(source, WATCH_SOURCE_DETACH_ALL, &id);
}

static inline int post(int source, struct watch_source_post *args)
{
	return ioctl(source, WATCH_SOURCE_POST, args);
}

/* Post `count` messages of a type, a subtype and a length. */
static inline int post_some(int source, uint32_t type, uint32_t subtype,
			    uint32_t length, uint32_t count)
{
	struct watch_source_post args = {
		.id = ID,
		.type = type,
		.subtype = subtype,
		.length = length,
		.count = count,
	};

	return post(source, &args);
}

/* Write to a file of procfs or the like. */
static inline int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY), result;

	if (fd == -1)
		return -1;
	result = write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -1;
	close(fd);
	return result;
}

#endif /* WATCH_QUEUE_TEST_SOURCE_H */

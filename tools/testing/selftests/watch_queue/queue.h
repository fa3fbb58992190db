/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Helpers for the tests of the notification queue: a queue that watches a
 * keyring, and events on that keyring.
 *
 * A test whose name begins with `beyond_mainline_` shows something that the C
 * implementation gets wrong.  It fails there; all others pass on both.
 */
#ifndef WATCH_QUEUE_TEST_QUEUE_H
#define WATCH_QUEUE_TEST_QUEUE_H

#include "open_queue.h"
#include "../kselftest_harness.h"

#include <sys/mman.h>
#include <time.h>

/* The size of a message about a key, and that of a loss or short removal */
#define KEY_NOTE	((ssize_t)sizeof(struct key_notification))
#define HEADER		((ssize_t)sizeof(struct watch_notification))

/* The tag of the fixture's watch */
#define TAG		0x5a

/* A pointer to nothing, of which the compiler does not know that */
static inline void *nowhere(void)
{
	return (void *)strtoul("8", NULL, 10);
}

/* Where memory ends: there is a page before it, and nothing can be behind it. */
static inline unsigned char *end_of_memory(void)
{
	long page = sysconf(_SC_PAGESIZE);
	unsigned char *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (pages == MAP_FAILED || mprotect(pages + page, page, PROT_NONE) == -1)
		return NULL;
	return pages + page;
}

/* The lowest descriptor that is free */
static inline int next_fd(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

/* Expect a call to fail with an errno. */
#define EXPECT_FAILS(error, call)					\
	do {								\
		errno = 0;						\
		EXPECT_EQ(-1, (long)(call));				\
		EXPECT_EQ(error, errno);				\
	} while (0)

/*
 * Add a watch.  One that is gone counts until its grace period is over, so those
 * of the tests before may be too many for a while.
 */
#define UNTIL_THERE_IS_ROOM(call)					\
	({								\
		long result_;						\
		int tries_ = 1000;					\
									\
		while ((result_ = (call)) == -1 && errno == EAGAIN &&	\
		       tries_-- > 0)					\
			usleep(10000);					\
		result_;						\
	})

/* A keyring of its own in a session of its own, so that tests do not meet. */
static inline key_serial_t new_ring(void)
{
	if (keyctl_join_session_keyring(NULL) == -1)
		return -1;
	return add_key("keyring", "watched", NULL, 0, KEY_SPEC_SESSION_KEYRING);
}

/* One event on the keyring, which is one message of 16 bytes: attributes set. */
static inline long touch(const struct queue *queue)
{
	return keyctl_setperm(queue->ring, KEY_POS_ALL | KEY_USR_ALL);
}

static inline long touch_times(const struct queue *queue, int times)
{
	long result = 0;

	while (times-- > 0 && result == 0)
		result = touch(queue);
	return result;
}

/* The fields of a message, which need not be aligned */
static inline struct watch_notification header_of(const void *message)
{
	struct watch_notification n;

	memcpy(&n, message, sizeof(n));
	return n;
}

static inline int type_of(const void *message)
{
	return header_of(message).type;
}

static inline int subtype_of(const void *message)
{
	return header_of(message).subtype;
}

static inline int length_of(const void *message)
{
	return header_of(message).info & WATCH_INFO_LENGTH;
}

static inline int tag_of(const void *message)
{
	return (header_of(message).info & WATCH_INFO_ID) >> WATCH_INFO_ID__SHIFT;
}

static inline int type_info_of(const void *message)
{
	return header_of(message).info >> WATCH_INFO_TYPE_INFO__SHIFT;
}

static inline int is_loss(const void *message)
{
	return type_of(message) == WATCH_TYPE_META &&
	       subtype_of(message) == WATCH_META_LOSS_NOTIFICATION &&
	       length_of(message) == HEADER;
}

static inline int is_removal(const void *message)
{
	return type_of(message) == WATCH_TYPE_META &&
	       subtype_of(message) == WATCH_META_REMOVAL_NOTIFICATION;
}

static inline int is_key_event(const void *message, int subtype)
{
	return type_of(message) == WATCH_TYPE_KEY_NOTIFY &&
	       subtype_of(message) == subtype && length_of(message) == KEY_NOTE;
}

/*
 * Files are closed, and queues and watches freed, after grace periods; keys are freed by
 * a worker.  A minute is long enough, also where the host is busy.
 */
#define EXPECT_SOON(what)						\
	do {								\
		time_t end_ = time(NULL) + 60;				\
		int is_so_;						\
									\
		while (!(is_so_ = !!(what)) && time(NULL) < end_)	\
			usleep(20000);					\
		EXPECT_NE(0, is_so_);					\
	} while (0)

#endif /* WATCH_QUEUE_TEST_QUEUE_H */

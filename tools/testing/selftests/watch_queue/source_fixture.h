/* SPDX-License-Identifier: GPL-2.0 */
#ifndef WATCH_QUEUE_TEST_SOURCE_FIXTURE_H
#define WATCH_QUEUE_TEST_SOURCE_FIXTURE_H

#include "source.h"

FIXTURE(source)
{
	struct queue q;
	int fd;
	unsigned char buffer[128 * 512];
};

FIXTURE_SETUP(source)
{
	self->fd = open_source();
	if (self->fd == -1)
		SKIP(return, "no /dev/watch_source: load watch_source.ko");
	ASSERT_EQ(0, open_queue(&self->q, O_NONBLOCK));
	ASSERT_EQ(0, set_size(&self->q, 32));
	ASSERT_EQ(0, attach(self->fd, self->q.rd, ID, TAG));
}

FIXTURE_TEARDOWN(source)
{
	close(self->q.rd);
	close(self->q.wr);
	close(self->fd);
}

/* Read once, and count messages and those that were lost. */
static inline ssize_t count_some(int rd, size_t room, long *received, long *lost)
{
	static unsigned char buffer[128 * 512];
	ssize_t bytes = read(rd, buffer, room), left;
	unsigned char *at = buffer;

	for (left = bytes; left > 0; left -= length_of(at), at += length_of(at)) {
		if (is_loss(at))
			*lost += type_info_of(at);
		else
			*received += 1;
	}
	return bytes;
}

static inline ssize_t count(int rd, long *received, long *lost)
{
	return count_some(rd, 128 * 512, received, lost);
}

#endif /* WATCH_QUEUE_TEST_SOURCE_FIXTURE_H */

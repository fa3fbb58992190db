/* SPDX-License-Identifier: GPL-2.0 */
#ifndef WATCH_QUEUE_TEST_FIXTURE_H
#define WATCH_QUEUE_TEST_FIXTURE_H

#include "queue.h"

/* A queue for 32 messages, not blocking, that watches a keyring */
FIXTURE(queue)
{
	struct queue q;
	unsigned char buffer[8192];
};

FIXTURE_SETUP(queue)
{
	ASSERT_EQ(0, open_queue(&self->q, O_NONBLOCK));
	ASSERT_EQ(0, set_size(&self->q, 32));
	self->q.ring = new_ring();
	ASSERT_NE(-1, self->q.ring);
	ASSERT_EQ(0, UNTIL_THERE_IS_ROOM(keyctl_watch_key(self->q.ring, self->q.rd, TAG)));
}

FIXTURE_TEARDOWN(queue)
{
	close(self->q.rd);
	close(self->q.wr);
}

#endif /* WATCH_QUEUE_TEST_FIXTURE_H */

// SPDX-License-Identifier: GPL-2.0
/* Losses: messages for which there is no room */

#include "fixture.h"

#include <poll.h>

TEST_F(queue, a_full_queue_keeps_what_it_has)
{
	ASSERT_EQ(0, touch_times(&self->q, 37));
	EXPECT_EQ(32 * KEY_NOTE,
		  read(self->q.rd, self->buffer, 32 * KEY_NOTE));
}

TEST_F(queue, a_loss_is_told_after_the_messages_before_it)
{
	ASSERT_EQ(0, touch_times(&self->q, 37));
	ASSERT_EQ(32 * KEY_NOTE,
		  read(self->q.rd, self->buffer, 32 * KEY_NOTE));
	ASSERT_EQ(HEADER, read(self->q.rd, self->buffer, 100));
	EXPECT_TRUE(is_loss(self->buffer));
	EXPECT_FAILS(EAGAIN, read(self->q.rd, self->buffer, 100));
}

TEST_F(queue, a_loss_that_does_not_fit_stays)
{
	ASSERT_EQ(0, touch_times(&self->q, 37));
	ASSERT_EQ(32 * KEY_NOTE,
		  read(self->q.rd, self->buffer, 32 * KEY_NOTE));
	EXPECT_FAILS(ENOBUFS, read(self->q.rd, self->buffer, 7));
	EXPECT_FAILS(EFAULT, read(self->q.rd, nowhere(), 8));
	EXPECT_EQ(HEADER, read(self->q.rd, self->buffer, 8));
	EXPECT_TRUE(is_loss(self->buffer));
}

TEST_F(queue, a_loss_is_where_it_happened)
{
	int i;

	ASSERT_EQ(0, touch_times(&self->q, 33));
	ASSERT_EQ(KEY_NOTE, read(self->q.rd, self->buffer, KEY_NOTE));
	ASSERT_EQ(0, keyctl_clear(self->q.ring));
	/* 31 messages from before the loss, and one from after it */
	ASSERT_EQ(31 * KEY_NOTE + HEADER + KEY_NOTE,
		  read(self->q.rd, self->buffer, sizeof(self->buffer)));
	for (i = 0; i < 31; i++)
		EXPECT_TRUE(is_key_event(self->buffer + i * KEY_NOTE,
					 NOTIFY_KEY_SETATTR));
	EXPECT_TRUE(is_loss(self->buffer + 31 * KEY_NOTE));
	EXPECT_TRUE(is_key_event(self->buffer + 31 * KEY_NOTE + HEADER,
				 NOTIFY_KEY_CLEARED));
}

TEST_F(queue, every_run_of_losses_has_its_own_record)
{
	int i;

	ASSERT_EQ(0, touch_times(&self->q, 32));
	/* Lose, make room, post; as often as there are messages. */
	for (i = 0; i < 32; i++) {
		ASSERT_EQ(0, touch(&self->q));
		ASSERT_EQ(KEY_NOTE, read(self->q.rd, self->buffer, KEY_NOTE));
		ASSERT_EQ(0, keyctl_clear(self->q.ring));
	}
	ASSERT_EQ(32 * (HEADER + KEY_NOTE),
		  read(self->q.rd, self->buffer, sizeof(self->buffer)));
	for (i = 0; i < 32; i++) {
		unsigned char *at = self->buffer + i * (HEADER + KEY_NOTE);

		EXPECT_TRUE(is_loss(at));
		EXPECT_TRUE(is_key_event(at + HEADER, NOTIFY_KEY_CLEARED));
	}
}

TEST_F(queue, beyond_mainline_loss_comes_with_the_message_before_it)
{
	ASSERT_EQ(0, touch_times(&self->q, 37));
	ASSERT_EQ(32 * KEY_NOTE + HEADER,
		  read(self->q.rd, self->buffer, sizeof(self->buffer)));
	EXPECT_TRUE(is_loss(self->buffer + 32 * KEY_NOTE));
}

TEST_F(queue, beyond_mainline_loss_says_how_many)
{
	ASSERT_EQ(0, touch_times(&self->q, 37));
	ASSERT_EQ(32 * KEY_NOTE,
		  read(self->q.rd, self->buffer, 32 * KEY_NOTE));
	ASSERT_EQ(HEADER, read(self->q.rd, self->buffer, HEADER));
	ASSERT_TRUE(is_loss(self->buffer));
	EXPECT_EQ(5, type_info_of(self->buffer));
}

TEST_F(queue, beyond_mainline_pending_loss_is_readable)
{
	struct pollfd p = { .fd = self->q.rd, .events = POLLIN };
	int bytes = -1;

	ASSERT_EQ(0, touch_times(&self->q, 37));
	ASSERT_EQ(32 * KEY_NOTE,
		  read(self->q.rd, self->buffer, 32 * KEY_NOTE));
	EXPECT_EQ(1, poll(&p, 1, 0));
	ASSERT_EQ(0, ioctl(self->q.rd, FIONREAD, &bytes));
	EXPECT_EQ((int)HEADER, bytes);
	ASSERT_EQ(HEADER, read(self->q.rd, self->buffer, 100));
	EXPECT_EQ(0, poll(&p, 1, 0));
}

TEST(beyond_mainline_loss_before_set_size_is_told)
{
	unsigned char buffer[256];
	struct queue q;

	ASSERT_EQ(0, open_queue(&q, O_NONBLOCK));
	q.ring = new_ring();
	ASSERT_NE(-1, q.ring);
	ASSERT_EQ(0, keyctl_watch_key(q.ring, q.rd, TAG));
	ASSERT_EQ(0, touch_times(&q, 3));
	ASSERT_EQ(0, set_size(&q, 32));
	ASSERT_EQ(0, touch(&q));
	ASSERT_EQ(HEADER + KEY_NOTE, read(q.rd, buffer, sizeof(buffer)));
	ASSERT_TRUE(is_loss(buffer));
	EXPECT_EQ(3, type_info_of(buffer));
	EXPECT_TRUE(is_key_event(buffer + HEADER, NOTIFY_KEY_SETATTR));
}

TEST_F(queue, a_loss_has_no_tag)
{
	ASSERT_EQ(0, touch_times(&self->q, 37));
	ASSERT_EQ(32 * KEY_NOTE,
		  read(self->q.rd, self->buffer, 32 * KEY_NOTE));
	ASSERT_EQ(HEADER, read(self->q.rd, self->buffer, HEADER));
	ASSERT_TRUE(is_loss(self->buffer));
	EXPECT_EQ(0, tag_of(self->buffer));
}

TEST_HARNESS_MAIN

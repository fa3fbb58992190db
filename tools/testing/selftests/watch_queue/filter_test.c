// SPDX-License-Identifier: GPL-2.0
/* Filters: which messages a queue lets through */

#include "fixture.h"

#include <stddef.h>

struct filter {
	struct watch_notification_filter head;
	struct watch_notification_type_filter rules[17];
};

/* One rule that lets one subtype of key events through */
static struct filter one_rule(unsigned int subtype)
{
	struct filter filter = {
		.head.nr_filters = 1,
		.rules[0].type = WATCH_TYPE_KEY_NOTIFY,
	};

	filter.rules[0].subtype_filter[subtype / 32] = 1U << (subtype % 32);
	return filter;
}

static int set_filter(const struct queue *queue, const void *filter)
{
	return ioctl(queue->rd, IOC_WATCH_QUEUE_SET_FILTER, filter);
}

TEST_F(queue, filter_rejects_what_matches_no_rule)
{
	struct filter filter = one_rule(NOTIFY_KEY_CLEARED);

	ASSERT_EQ(0, set_filter(&self->q, &filter));
	ASSERT_EQ(0, touch(&self->q));
	ASSERT_EQ(0, keyctl_clear(self->q.ring));
	ASSERT_EQ(0, touch(&self->q));
	ASSERT_EQ(KEY_NOTE, read(self->q.rd, self->buffer, 100));
	EXPECT_TRUE(is_key_event(self->buffer, NOTIFY_KEY_CLEARED));
}

TEST_F(queue, filter_can_be_set_through_the_write_end)
{
	struct filter filter = one_rule(NOTIFY_KEY_CLEARED);

	ASSERT_EQ(0, ioctl(self->q.wr, IOC_WATCH_QUEUE_SET_FILTER, &filter));
	ASSERT_EQ(0, touch(&self->q));
	EXPECT_FAILS(EAGAIN, read(self->q.rd, self->buffer, 100));
}

TEST_F(queue, any_of_several_rules_is_enough)
{
	struct filter filter = one_rule(NOTIFY_KEY_CLEARED);

	filter.head.nr_filters = 2;
	filter.rules[1] = one_rule(NOTIFY_KEY_SETATTR).rules[0];
	ASSERT_EQ(0, set_filter(&self->q, &filter));
	ASSERT_EQ(0, touch(&self->q));
	ASSERT_EQ(0, keyctl_clear(self->q.ring));
	EXPECT_EQ(2 * KEY_NOTE, read(self->q.rd, self->buffer, 100));
}

TEST_F(queue, filter_of_another_type_rejects_key_events)
{
	struct filter filter = one_rule(NOTIFY_KEY_SETATTR);

	filter.rules[0].type = WATCH_TYPE_META;
	ASSERT_EQ(0, set_filter(&self->q, &filter));
	ASSERT_EQ(0, touch(&self->q));
	EXPECT_FAILS(EAGAIN, read(self->q.rd, self->buffer, 100));
}

TEST_F(queue, filter_compares_info_under_the_mask)
{
	struct filter filter = one_rule(NOTIFY_KEY_SETATTR);

	filter.rules[0].info_mask = WATCH_INFO_ID;
	filter.rules[0].info_filter = TAG << WATCH_INFO_ID__SHIFT;
	ASSERT_EQ(0, set_filter(&self->q, &filter));
	ASSERT_EQ(0, touch(&self->q));
	ASSERT_EQ(KEY_NOTE, read(self->q.rd, self->buffer, 100));

	filter.rules[0].info_filter = (TAG ^ 1) << WATCH_INFO_ID__SHIFT;
	ASSERT_EQ(0, set_filter(&self->q, &filter));
	ASSERT_EQ(0, touch(&self->q));
	EXPECT_FAILS(EAGAIN, read(self->q.rd, self->buffer, 100));
}

TEST_F(queue, no_filter_lets_everything_through_again)
{
	struct filter filter = one_rule(NOTIFY_KEY_CLEARED);

	ASSERT_EQ(0, set_filter(&self->q, &filter));
	ASSERT_EQ(0, set_filter(&self->q, NULL));
	ASSERT_EQ(0, touch(&self->q));
	EXPECT_EQ(KEY_NOTE, read(self->q.rd, self->buffer, 100));
}

TEST_F(queue, removal_is_told_whatever_the_filter)
{
	struct filter filter = one_rule(NOTIFY_KEY_CLEARED);

	ASSERT_EQ(0, set_filter(&self->q, &filter));
	ASSERT_EQ(0, keyctl_watch_key(self->q.ring, self->q.rd, -1));
	ASSERT_EQ(16, read(self->q.rd, self->buffer, 100));
	EXPECT_TRUE(is_removal(self->buffer));
}

TEST_F(queue, invalid_filter_leaves_the_old_one)
{
	struct filter good = one_rule(NOTIFY_KEY_CLEARED), bad;
	int bit;

	ASSERT_EQ(0, set_filter(&self->q, &good));

	bad = one_rule(NOTIFY_KEY_SETATTR);
	bad.head.nr_filters = 0;
	EXPECT_FAILS(EINVAL, set_filter(&self->q, &bad));
	bad.head.nr_filters = 17;
	EXPECT_FAILS(EINVAL, set_filter(&self->q, &bad));
	bad.head.nr_filters = UINT32_MAX;
	EXPECT_FAILS(EINVAL, set_filter(&self->q, &bad));

	bad = one_rule(NOTIFY_KEY_SETATTR);
	bad.head.__reserved = 1;
	EXPECT_FAILS(EINVAL, set_filter(&self->q, &bad));

	bad = one_rule(NOTIFY_KEY_SETATTR);
	bad.rules[0].info_mask = WATCH_INFO_ID;
	bad.rules[0].info_filter = WATCH_INFO_FLAG_0;
	EXPECT_FAILS(EINVAL, set_filter(&self->q, &bad));

	/* The second of two rules */
	bad.head.nr_filters = 2;
	bad.rules[1] = bad.rules[0];
	bad.rules[0] = one_rule(NOTIFY_KEY_SETATTR).rules[0];
	EXPECT_FAILS(EINVAL, set_filter(&self->q, &bad));

	for (bit = 0; bit < 7; bit++) {
		bad = one_rule(NOTIFY_KEY_SETATTR);
		bad.rules[0].info_mask = 1 << bit;
		EXPECT_FAILS(EINVAL, set_filter(&self->q, &bad));
	}

	EXPECT_FAILS(EFAULT, set_filter(&self->q, nowhere()));

	ASSERT_EQ(0, touch(&self->q));
	ASSERT_EQ(0, keyctl_clear(self->q.ring));
	ASSERT_EQ(KEY_NOTE, read(self->q.rd, self->buffer, 100));
	EXPECT_TRUE(is_key_event(self->buffer, NOTIFY_KEY_CLEARED));
}

/* Whichever byte is the first that cannot be read */
TEST_F(queue, filter_that_cannot_be_read_leaves_the_old_one)
{
	struct filter good = one_rule(NOTIFY_KEY_CLEARED), other;
	const size_t size = offsetof(struct filter, rules[16]);
	unsigned char *end = end_of_memory();
	size_t there;
	int i;

	ASSERT_NE(NULL, end);
	ASSERT_EQ(0, set_filter(&self->q, &good));
	other = one_rule(NOTIFY_KEY_SETATTR);
	other.head.nr_filters = 16;
	for (i = 1; i < 16; i++)
		other.rules[i] = other.rules[0];
	for (there = 0; there < size; there++) {
		memcpy(end - there, &other, there);
		EXPECT_FAILS(EFAULT, set_filter(&self->q, end - there));
	}
	ASSERT_EQ(0, touch(&self->q));
	ASSERT_EQ(0, keyctl_clear(self->q.ring));
	ASSERT_EQ(KEY_NOTE, read(self->q.rd, self->buffer, 100));
	EXPECT_TRUE(is_key_event(self->buffer, NOTIFY_KEY_CLEARED));
	/* With the last byte, it is there. */
	memcpy(end - size, &other, size);
	ASSERT_EQ(0, set_filter(&self->q, end - size));
	ASSERT_EQ(0, touch(&self->q));
	ASSERT_EQ(0, keyctl_clear(self->q.ring));
	ASSERT_EQ(KEY_NOTE, read(self->q.rd, self->buffer, 100));
	EXPECT_TRUE(is_key_event(self->buffer, NOTIFY_KEY_SETATTR));
}

TEST_F(queue, sixteen_rules_are_allowed)
{
	struct filter filter = one_rule(NOTIFY_KEY_CLEARED);
	int i;

	filter.head.nr_filters = 16;
	for (i = 1; i < 16; i++)
		filter.rules[i] = filter.rules[0];
	filter.rules[15] = one_rule(NOTIFY_KEY_SETATTR).rules[0];
	ASSERT_EQ(0, set_filter(&self->q, &filter));
	ASSERT_EQ(0, touch(&self->q));
	EXPECT_EQ(KEY_NOTE, read(self->q.rd, self->buffer, 100));
}

TEST_F(queue, filter_leaves_what_is_in_the_queue)
{
	struct filter filter = one_rule(NOTIFY_KEY_CLEARED);

	ASSERT_EQ(0, touch(&self->q));
	ASSERT_EQ(0, set_filter(&self->q, &filter));
	ASSERT_EQ(0, touch(&self->q));
	ASSERT_EQ(KEY_NOTE, read(self->q.rd, self->buffer, 100));
	EXPECT_TRUE(is_key_event(self->buffer, NOTIFY_KEY_SETATTR));
}

TEST_F(queue, what_is_rejected_is_not_lost)
{
	struct filter filter = one_rule(NOTIFY_KEY_CLEARED);

	ASSERT_EQ(0, set_filter(&self->q, &filter));
	ASSERT_EQ(0, touch_times(&self->q, 100));
	ASSERT_EQ(0, keyctl_clear(self->q.ring));
	EXPECT_EQ(KEY_NOTE, read(self->q.rd, self->buffer, 100));
	EXPECT_TRUE(is_key_event(self->buffer, NOTIFY_KEY_CLEARED));
	EXPECT_FAILS(EAGAIN, read(self->q.rd, self->buffer, 100));
}

TEST_F(queue, type_beyond_24_bits_matches_nothing)
{
	struct filter filter = one_rule(NOTIFY_KEY_SETATTR);

	filter.rules[0].type = 1 << 24 | WATCH_TYPE_KEY_NOTIFY;
	ASSERT_EQ(0, set_filter(&self->q, &filter));
	ASSERT_EQ(0, touch(&self->q));
	EXPECT_FAILS(EAGAIN, read(self->q.rd, self->buffer, 100));
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: GPL-2.0
/* /proc/PID/fdinfo/N of a notification pipe */

#include "source_fixture.h"
#include "fdinfo.h"
#include "hold.h"

struct counts {
	long size;
	long messages;
	long bytes;
	long delivered;
	long filtered;
	long lost;
};

static void expect(struct __test_metadata *_metadata, int fd, struct counts counts)
{
	EXPECT_EQ(counts.size, fdinfo_number(fd, "size"));
	EXPECT_EQ(counts.messages, fdinfo_number(fd, "messages"));
	EXPECT_EQ(counts.bytes, fdinfo_number(fd, "bytes"));
	EXPECT_EQ(counts.delivered + counts.filtered + counts.lost,
		  fdinfo_number(fd, "posted"));
	EXPECT_EQ(counts.delivered, fdinfo_number(fd, "delivered"));
	EXPECT_EQ(counts.filtered, fdinfo_number(fd, "filtered"));
	EXPECT_EQ(counts.lost, fdinfo_number(fd, "lost"));
}

/* In the order in which struct counts has them */
#define EXPECT_FDINFO(fd, ...)	\
	expect(_metadata, fd, (struct counts){ __VA_ARGS__ })

TEST_F(source, beyond_mainline_fdinfo_counts_messages)
{
	EXPECT_FDINFO(self->q.rd, 32, 0, 0, 0, 0, 0);
	ASSERT_EQ(0, post_some(self->fd, 1, 0, 16, 30));
	EXPECT_FDINFO(self->q.rd, 32, 30, 480, 30, 0, 0);
	ASSERT_EQ(0, post_some(self->fd, 1, 0, 20, 5));
	/* The loss is pending, and its record is 8 bytes. */
	EXPECT_FDINFO(self->q.rd, 32, 32, 480 + 40 + 8, 32, 0, 3);
	ASSERT_EQ(480, read(self->q.rd, self->buffer, 480));
	ASSERT_EQ(0, post_some(self->fd, 1, 0, 8, 1));
	/* Now there is a message behind the loss. */
	EXPECT_FDINFO(self->q.rd, 32, 3, 40 + 8 + 8, 33, 0, 3);
	ASSERT_EQ(56, read(self->q.rd, self->buffer, 480));
	EXPECT_FDINFO(self->q.rd, 32, 0, 0, 33, 0, 3);
}

TEST_F(source, beyond_mainline_fdinfo_is_that_of_either_end)
{
	ASSERT_EQ(0, post_some(self->fd, 1, 0, 16, 2));
	EXPECT_FDINFO(self->q.rd, 32, 2, 32, 2, 0, 0);
	EXPECT_FDINFO(self->q.wr, 32, 2, 32, 2, 0, 0);
}

TEST_F(source, beyond_mainline_fdinfo_counts_what_was_lost_before_there_was_a_size)
{
	struct queue q;

	ASSERT_EQ(0, open_queue(&q, O_NONBLOCK));
	ASSERT_EQ(0, attach(self->fd, q.rd, ID + 1, 0));
	EXPECT_FDINFO(q.rd, 0, 0, 0, 0, 0, 0);
	post(self->fd, &(struct watch_source_post){
		.id = ID + 1, .type = 1, .length = 8, .count = 7,
	});
	EXPECT_FDINFO(q.rd, 0, 0, 8, 0, 0, 7);
	ASSERT_EQ(8, read(q.rd, self->buffer, 100));
	EXPECT_FDINFO(q.rd, 0, 0, 0, 0, 0, 7);
	ASSERT_EQ(0, set_size(&q, 64));
	EXPECT_FDINFO(q.rd, 64, 0, 0, 0, 0, 7);
}

TEST_F(source, beyond_mainline_fdinfo_shows_filters)
{
	struct {
		struct watch_notification_filter head;
		struct watch_notification_type_filter rules[3];
	} f = {
		.head.nr_filters = 3,
		.rules = {
			{
				.type = WATCH_TYPE_KEY_NOTIFY,
				.subtype_filter = { 0x0000008f },
			},
			{
				.type = 0xabcdef,
				.info_filter = 0x00010000,
				.info_mask = 0x00ff0000,
				.subtype_filter = { 1U << 31, 1, 0, 0, 0, 0, 0, 1U << 31 },
			},
			{ .type = 0 },
		},
	};

	EXPECT_EQ(NULL, fdinfo_nth(self->q.rd, "filter", 0));
	memset(f.rules[2].subtype_filter, 0xff, sizeof(f.rules[2].subtype_filter));
	ASSERT_EQ(0, ioctl(self->q.rd, IOC_WATCH_QUEUE_SET_FILTER, &f));
	EXPECT_STREQ("type=0x000001 subtypes=0-3,7 info=0x00000000/0x00000000",
		     fdinfo_line(self->q.rd, "filter", 0));
	EXPECT_STREQ("type=0xabcdef subtypes=31-32,255 info=0x00010000/0x00ff0000",
		     fdinfo_line(self->q.rd, "filter", 1));
	EXPECT_STREQ("type=0x000000 subtypes=0-255 info=0x00000000/0x00000000",
		     fdinfo_line(self->q.rd, "filter", 2));
	EXPECT_EQ(NULL, fdinfo_nth(self->q.rd, "filter", 3));

	ASSERT_EQ(0, post_some(self->fd, 1, 4, 16, 5));
	ASSERT_EQ(0, post_some(self->fd, 1, 7, 16, 2));
	EXPECT_FDINFO(self->q.rd, 32, 2, 32, 2, 5, 0);

	ASSERT_EQ(0, ioctl(self->q.rd, IOC_WATCH_QUEUE_SET_FILTER, NULL));
	EXPECT_EQ(NULL, fdinfo_nth(self->q.rd, "filter", 0));
	EXPECT_FDINFO(self->q.rd, 32, 2, 32, 2, 5, 0);
}

TEST_F(source, beyond_mainline_fdinfo_shows_watches)
{
	char expected[64];
	const char *line;
	unsigned long seen = 0;
	key_serial_t ring;
	int i;

	EXPECT_STREQ("source=watch_source id=0x4d tag=0x5a",
		     fdinfo_line(self->q.rd, "watch", 0));
	EXPECT_EQ(NULL, fdinfo_nth(self->q.rd, "watch", 1));

	ASSERT_EQ(0, detach(self->fd, self->q.rd, ID));
	EXPECT_EQ(NULL, fdinfo_nth(self->q.rd, "watch", 0));

	ring = new_ring();
	ASSERT_EQ(0, keyctl_watch_key(ring, self->q.rd, 0x17));
	snprintf(expected, sizeof(expected), "source=keyctl id=0x%x tag=0x17", ring);
	EXPECT_STREQ(expected, fdinfo_line(self->q.rd, "watch", 0));
	ASSERT_EQ(0, keyctl_watch_key(ring, self->q.rd, -1));
	EXPECT_EQ(NULL, fdinfo_nth(self->q.rd, "watch", 0));

	/* More than fit in a page */
	for (i = 0; i < 200; i++)
		ASSERT_EQ(0, attach(self->fd, self->q.rd, i, i));
	for (i = 0; i < 200; i++) {
		unsigned int id, tag;
		int fields;

		line = fdinfo_nth(self->q.rd, "watch", i);
		ASSERT_NE(NULL, line);
		fields = sscanf(line, "source=watch_source id=0x%x tag=0x%x",
				&id, &tag);
		ASSERT_EQ(2, fields);
		EXPECT_EQ(id, tag);
		seen += id;
	}
	EXPECT_EQ(199 * 200 / 2, (long)seen);
	EXPECT_EQ(NULL, fdinfo_nth(self->q.rd, "watch", 200));
}

TEST_F(source, fdinfo_of_a_source_without_a_name)
{
	int hold = open_hold();

	if (hold == -1)
		SKIP(return, "no /dev/watch_hold: load watch_hold.ko");
	ASSERT_EQ(0, detach(self->fd, self->q.rd, ID));
	ASSERT_EQ(0, ioctl(hold, WATCH_HOLD_UNNAME));
	ASSERT_EQ(0, hold_attach(hold, self->q.rd, ID, TAG));
	EXPECT_STREQ("source=? id=0x4d tag=0x5a", fdinfo_line(self->q.rd, "watch", 0));
	close(hold);
	EXPECT_EQ(NULL, fdinfo_nth(self->q.rd, "watch", 0));
}

TEST_HARNESS_MAIN

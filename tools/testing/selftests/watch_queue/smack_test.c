// SPDX-License-Identifier: GPL-2.0
/* The hook that decides about each delivery, with Smack */

#include "source.h"

#include <sys/mount.h>
#include <sys/stat.h>

#define SMACKFS "/sys/fs/smackfs"

/* Go on as somebody with this label; the file capabilities stay. */
static int become(const char *label)
{
	return write_file("/proc/self/attr/current", label);
}

static int rule(const char *text)
{
	return write_file(SMACKFS "/load2", text);
}

FIXTURE(smack)
{
	struct queue q;
	int fd;
	char buffer[256];
};

FIXTURE_SETUP(smack)
{
	mount("smackfs", SMACKFS, "smackfs", 0, NULL);
	if (access(SMACKFS "/load2", W_OK))
		SKIP(return, "no Smack");
	self->fd = open_source();
	if (self->fd == -1)
		SKIP(return, "no /dev/watch_source: load watch_source.ko");
	ASSERT_EQ(0, open_queue(&self->q, O_NONBLOCK));
	ASSERT_EQ(0, set_size(&self->q, 32));
	ASSERT_EQ(0, rule("Poster Watcher -"));
	/* The watch is the watcher's, whoever uses the queue later. */
	ASSERT_EQ(0, become("Watcher"));
	ASSERT_EQ(0, attach(self->fd, self->q.rd, ID, TAG));
	ASSERT_EQ(0, become("Poster"));
}

FIXTURE_TEARDOWN(smack)
{
	close(self->q.rd);
	close(self->q.wr);
	close(self->fd);
}

TEST_F(smack, delivery_is_refused_without_a_rule)
{
	ASSERT_EQ(0, post_some(self->fd, 5, 0, 8, 1));
	EXPECT_FAILS(EAGAIN, read(self->q.rd, self->buffer, 256));
}

TEST_F(smack, delivery_is_allowed_with_a_rule)
{
	ASSERT_EQ(0, rule("Poster Watcher w"));
	ASSERT_EQ(0, post_some(self->fd, 5, 0, 8, 1));
	EXPECT_EQ(HEADER, read(self->q.rd, self->buffer, 256));
	ASSERT_EQ(0, rule("Poster Watcher -"));
	ASSERT_EQ(0, post_some(self->fd, 5, 0, 8, 1));
	EXPECT_FAILS(EAGAIN, read(self->q.rd, self->buffer, 256));
}

TEST_F(smack, delivery_among_equals_needs_no_rule)
{
	ASSERT_EQ(0, become("Watcher"));
	ASSERT_EQ(0, post_some(self->fd, 5, 0, 8, 1));
	EXPECT_EQ(HEADER, read(self->q.rd, self->buffer, 256));
}

TEST_F(smack, what_is_refused_is_not_lost)
{
	ASSERT_EQ(0, post_some(self->fd, 5, 0, 8, 100));
	ASSERT_EQ(0, become("Watcher"));
	ASSERT_EQ(0, post_some(self->fd, 5, 0, 8, 1));
	EXPECT_EQ(HEADER, read(self->q.rd, self->buffer, 256));
	EXPECT_EQ(5, type_of(self->buffer));
}

TEST_F(smack, meta_is_always_delivered)
{
	ASSERT_EQ(0, post_some(self->fd, WATCH_TYPE_META, 9, 8, 1));
	EXPECT_EQ(HEADER, read(self->q.rd, self->buffer, 256));
	ASSERT_EQ(0, detach(self->fd, self->q.rd, ID));
	EXPECT_EQ(16, read(self->q.rd, self->buffer, 256));
	EXPECT_TRUE(is_removal(self->buffer));
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: GPL-2.0
/* The trace events of the notification queue */

#include "source_fixture.h"

#include <sys/mount.h>
#include <sys/stat.h>

#define TRACING	"/sys/kernel/tracing/"
#define EVENTS	TRACING "events/watch_queue/"

/* The last thing a trace event of this name said, without its name */
static char *last_event(const char *name)
{
	static char line[512];
	char text[512], *at, *found = NULL;
	FILE *trace = fopen(TRACING "trace", "r");

	if (!trace)
		return NULL;
	while (fgets(text, sizeof(text), trace)) {
		at = strstr(text, name);
		if (!at || strncmp(at + strlen(name), ": ", 2))
			continue;
		at += strlen(name) + 2;
		snprintf(line, sizeof(line), "%.*s", (int)strcspn(at, "\n"), at);
		found = line;
	}
	fclose(trace);
	return found;
}

FIXTURE(trace)
{
	struct queue q;
	int fd;
	unsigned long ino;
	char expected[256];
	unsigned char buffer[4096];
};

FIXTURE_SETUP(trace)
{
	struct stat st;

	if (access(TRACING "trace", F_OK))
		mount("tracefs", TRACING, "tracefs", 0, NULL);
	if (access(TRACING "trace", F_OK))
		SKIP(return, "no tracefs");
	self->fd = open_source();
	if (self->fd == -1)
		SKIP(return, "no /dev/watch_source: load watch_source.ko");
	ASSERT_EQ(0, open_queue(&self->q, O_NONBLOCK));
	ASSERT_EQ(0, fstat(self->q.rd, &st));
	self->ino = st.st_ino;
	close(open(TRACING "trace", O_WRONLY | O_TRUNC));
	ASSERT_EQ(0, write_file(EVENTS "enable", "1"))
		TH_LOG("there are no trace events");
}

FIXTURE_TEARDOWN(trace)
{
	write_file(EVENTS "enable", "0");
}

#define EXPECT_EVENT(name, ...)						\
	do {								\
		snprintf(self->expected, sizeof(self->expected), __VA_ARGS__); \
		EXPECT_STREQ(self->expected, last_event(name));		\
	} while (0)

TEST_F(trace, beyond_mainline_trace_follows_a_message)
{
	struct watch_notification_filter *f = (void *)self->buffer;

	ASSERT_EQ(0, attach(self->fd, self->q.rd, ID, TAG));
	EXPECT_EVENT("watch_queue_watch_add",
		     "queue=%lu source=watch_source id=0x4d tag=90", self->ino);

	ASSERT_EQ(0, post_some(self->fd, 5, 6, 24, 1));
	EXPECT_EVENT("watch_queue_drop",
		     "queue=%lu type=5 subtype=6 len=24 tag=90 reason=unsized",
		     self->ino);
	EXPECT_EQ(NULL, last_event("watch_queue_post"));

	ASSERT_EQ(0, set_size(&self->q, 32));
	ASSERT_EQ(0, post_some(self->fd, 7, 8, 127, 1));
	EXPECT_EVENT("watch_queue_post",
		     "queue=%lu type=7 subtype=8 len=127 tag=90", self->ino);

	ASSERT_EQ(0, post_some(self->fd, 7, 9, 8, 32));
	EXPECT_EVENT("watch_queue_drop",
		     "queue=%lu type=7 subtype=9 len=8 tag=90 reason=full",
		     self->ino);

	EXPECT_EQ(8 + 127, read(self->q.rd, self->buffer, 8 + 127));
	EXPECT_EVENT("watch_queue_read",
		     "queue=%lu bytes=135 messages=1 lost=1", self->ino);
	EXPECT_EQ(31 * 8 + 8, read(self->q.rd, self->buffer, 4096));
	EXPECT_EVENT("watch_queue_read",
		     "queue=%lu bytes=256 messages=31 lost=1", self->ino);

	memset(self->buffer, 0, sizeof(self->buffer));
	f->nr_filters = 1;
	f->filters[0].type = 3;
	ASSERT_EQ(0, ioctl(self->q.rd, IOC_WATCH_QUEUE_SET_FILTER, f));
	EXPECT_EQ(NULL, last_event("watch_queue_filter"));
	ASSERT_EQ(0, post_some(self->fd, 0xffffff, 255, 8, 1));
	EXPECT_EVENT("watch_queue_filter",
		     "queue=%lu type=16777215 subtype=255 len=8 tag=90", self->ino);

	EXPECT_EQ(NULL, last_event("watch_queue_watch_remove"));
	ASSERT_EQ(0, detach(self->fd, self->q.rd, ID));
	EXPECT_EVENT("watch_queue_watch_remove",
		     "queue=%lu source=watch_source id=0x4d tag=90", self->ino);
}

TEST_F(trace, beyond_mainline_trace_tells_of_watches_that_go_with_the_queue)
{
	ASSERT_EQ(0, attach(self->fd, self->q.rd, 0xabcdef0123456789, 1));
	EXPECT_EQ(NULL, last_event("watch_queue_watch_remove"));
	close(self->q.rd);
	close(self->q.wr);
	EXPECT_EVENT("watch_queue_watch_remove",
		     "queue=%lu source=watch_source id=0xabcdef0123456789 tag=1",
		     self->ino);
}

TEST_F(trace, beyond_mainline_trace_tells_nothing_when_it_is_off)
{
	ASSERT_EQ(0, write_file(EVENTS "enable", "0"));
	ASSERT_EQ(0, attach(self->fd, self->q.rd, ID, TAG));
	ASSERT_EQ(0, post_some(self->fd, 5, 6, 24, 1));
	EXPECT_EQ(NULL, last_event("watch_queue_watch_add"));
	EXPECT_EQ(NULL, last_event("watch_queue_drop"));
}

TEST_HARNESS_MAIN

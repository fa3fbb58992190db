// SPDX-License-Identifier: GPL-2.0
/* The trace events of the notification queue */

#include "commands.h"
#include "hold.h"
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
	/* Without such events, the tests fail for want of their output. */
	write_file(EVENTS "enable", "1");
}

FIXTURE_TEARDOWN(trace)
{
	write_file(EVENTS "enable", "0");
}

#define EXPECT_EVENT(name, ...)						\
	do {								\
		snprintf(self->expected, sizeof(self->expected), __VA_ARGS__); \
		EXPECT_STREQ(self->expected, last_event(name) ?: "nothing"); \
	} while (0)

TEST_F(trace, beyond_mainline_trace_follows_a_message)
{
	struct watch_notification_filter *f = (void *)self->buffer;

	ASSERT_EQ(0, attach(self->fd, self->q.rd, ID, TAG));
	EXPECT_EVENT("watch_queue_attach",
		     "queue=%lu source=watch_source id=0x4d tag=90", self->ino);

	ASSERT_EQ(0, post_some(self->fd, 5, 6, 24, 1));
	EXPECT_EVENT("watch_queue_lose",
		     "queue=%lu type=5 subtype=6 len=24 tag=90 reason=unsized",
		     self->ino);
	EXPECT_EQ(NULL, last_event("watch_queue_deliver"));

	ASSERT_EQ(0, set_size(&self->q, 32));
	ASSERT_EQ(0, post_some(self->fd, 7, 8, 127, 1));
	EXPECT_EVENT("watch_queue_deliver",
		     "queue=%lu type=7 subtype=8 len=127 tag=90", self->ino);

	ASSERT_EQ(0, post_some(self->fd, 7, 9, 8, 32));
	EXPECT_EVENT("watch_queue_lose",
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

	EXPECT_EQ(NULL, last_event("watch_queue_detach"));
	ASSERT_EQ(0, detach(self->fd, self->q.rd, ID));
	EXPECT_EVENT("watch_queue_detach",
		     "queue=%lu source=watch_source id=0x4d tag=90", self->ino);
}

TEST_F(trace, beyond_mainline_trace_shows_watches_that_go_with_the_queue)
{
	ASSERT_EQ(0, attach(self->fd, self->q.rd, 0xabcdef0123456789, 1));
	EXPECT_EQ(NULL, last_event("watch_queue_detach"));
	close(self->q.rd);
	close(self->q.wr);
	EXPECT_EVENT("watch_queue_detach",
		     "queue=%lu source=watch_source id=0xabcdef0123456789 tag=1",
		     self->ino);
}

TEST_F(trace, beyond_mainline_trace_of_a_source_without_a_name)
{
	int hold = open_hold();

	if (hold == -1)
		SKIP(return, "no /dev/watch_hold: load watch_hold.ko");
	ASSERT_EQ(0, ioctl(hold, WATCH_HOLD_UNNAME));
	ASSERT_EQ(0, hold_attach(hold, self->q.rd, ID, TAG));
	EXPECT_EVENT("watch_queue_attach",
		     "queue=%lu source=? id=0x4d tag=90", self->ino);
	close(hold);
	EXPECT_EVENT("watch_queue_detach",
		     "queue=%lu source=? id=0x4d tag=90", self->ino);
}

/* A denied message is not counted as lost. */
TEST_F(trace, beyond_mainline_trace_says_what_was_denied)
{
	if (access("test_modules/watch_refuse.ko", F_OK))
		SKIP(return, "no watch_refuse.ko: kernel has no kretprobes");
	run("rmmod watch_refuse 2>/dev/null");
	ASSERT_EQ(0, set_size(&self->q, 32));
	ASSERT_EQ(0, attach(self->fd, self->q.rd, ID, TAG));
	ASSERT_EQ(0, run("insmod test_modules/watch_refuse.ko hook=%s refuse=1",
			 "security_post_notification"));
	EXPECT_EQ(0, post_some(self->fd, 5, 6, 24, 1));
	EXPECT_EQ(0, run("rmmod watch_refuse"));
	EXPECT_EVENT("watch_queue_deny",
		     "queue=%lu type=5 subtype=6 len=24 tag=90", self->ino);
	EXPECT_EQ(NULL, last_event("watch_queue_lose"));
	EXPECT_EQ(NULL, last_event("watch_queue_deliver"));
	EXPECT_FAILS(EAGAIN, read(self->q.rd, self->buffer, 100));
	/* Without the module, messages arrive again. */
	ASSERT_EQ(0, post_some(self->fd, 5, 7, 24, 1));
	EXPECT_EQ(24, read(self->q.rd, self->buffer, 100));
	EXPECT_EQ(7, subtype_of(self->buffer));
}

TEST_F(trace, beyond_mainline_trace_says_only_what_is_on)
{
	ASSERT_EQ(0, attach(self->fd, self->q.rd, ID, TAG));
	EXPECT_EVENT("watch_queue_attach",
		     "queue=%lu source=watch_source id=0x4d tag=90", self->ino);
	write_file(EVENTS "watch_queue_lose/enable", "0");
	ASSERT_EQ(0, post_some(self->fd, 5, 6, 24, 1));
	EXPECT_EQ(NULL, last_event("watch_queue_lose"));

	/* And the other way round */
	write_file(EVENTS "enable", "0");
	write_file(EVENTS "watch_queue_lose/enable", "1");
	ASSERT_EQ(0, detach(self->fd, self->q.rd, ID));
	EXPECT_EQ(NULL, last_event("watch_queue_detach"));
	ASSERT_EQ(0, attach(self->fd, self->q.rd, ID, TAG));
	ASSERT_EQ(0, post_some(self->fd, 5, 7, 24, 1));
	EXPECT_EVENT("watch_queue_lose",
		     "queue=%lu type=5 subtype=7 len=24 tag=90 reason=unsized",
		     self->ino);
}

TEST_HARNESS_MAIN

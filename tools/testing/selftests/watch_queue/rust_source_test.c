// SPDX-License-Identifier: GPL-2.0
/*
 * A source in Rust, samples/rust/rust_watch_source.rs: a timer that ticks as
 * long as its file is open.
 */

#include "queue.h"
#include "fdinfo.h"

#include <poll.h>
#include <sys/wait.h>

#define WATCH_TICKS	_IOW('|', 0x90, int[2])
#define UNWATCH_TICKS	_IOW('|', 0x91, int)

#define WATCH_TYPE_TICK	0xffff01
#define TICK_LATE	1

struct tick {
	struct watch_notification watch;
	uint64_t ticks;
	uint64_t missed;
};

#define TICK		((ssize_t)sizeof(struct tick))

static int watch_ticks(int timer, int queue, int tag)
{
	int args[2] = { queue, tag };

	return ioctl(timer, WATCH_TICKS, args);
}

static int unwatch_ticks(int timer, int queue)
{
	return ioctl(timer, UNWATCH_TICKS, &queue);
}

static int open_timer(void)
{
	return open("/dev/rust_watch_source", O_RDONLY | O_CLOEXEC);
}

FIXTURE(timer)
{
	struct queue q;
	int fd;
	unsigned char buffer[128];
};

FIXTURE_SETUP(timer)
{
	self->fd = open_timer();
	if (self->fd == -1)
		SKIP(return, "no /dev/rust_watch_source: load rust_watch_source.ko");
	ASSERT_EQ(0, open_queue(&self->q, 0));
	ASSERT_EQ(0, set_size(&self->q, 32));
	ASSERT_EQ(0, watch_ticks(self->fd, self->q.rd, TAG));
}

FIXTURE_TEARDOWN(timer)
{
	close(self->fd);
	close(self->q.rd);
	close(self->q.wr);
}

TEST_F(timer, ticks_are_told_and_none_is_left_out)
{
	uint64_t ticks = 0;
	struct tick tick;
	int i;

	for (i = 0; i < 5; i++) {
		/* It blocks, so that there is one at a time. */
		ASSERT_EQ(TICK, read(self->q.rd, self->buffer, TICK));
		memcpy(&tick, self->buffer, TICK);
		EXPECT_EQ(WATCH_TYPE_TICK, type_of(&tick));
		EXPECT_EQ(TICK, length_of(&tick));
		EXPECT_EQ(TAG, tag_of(&tick));
		EXPECT_EQ(0, type_info_of(&tick));
		EXPECT_EQ(tick.missed ? TICK_LATE : 0, subtype_of(&tick));
		if (i > 0)
			EXPECT_EQ(ticks + 1 + tick.missed, tick.ticks);
		ticks = tick.ticks;
	}
}

TEST_F(timer, each_file_is_a_timer_and_each_queue_has_its_tag)
{
	int other = open_timer();
	struct queue q;

	ASSERT_NE(-1, other);
	ASSERT_EQ(0, open_queue(&q, 0));
	ASSERT_EQ(0, set_size(&q, 32));
	ASSERT_EQ(0, watch_ticks(self->fd, q.rd, 0));
	ASSERT_EQ(TICK, read(q.rd, self->buffer, TICK));
	EXPECT_EQ(0, tag_of(self->buffer));
	ASSERT_EQ(TICK, read(self->q.rd, self->buffer, TICK));
	EXPECT_EQ(TAG, tag_of(self->buffer));

	/* The same queue may watch both timers. */
	EXPECT_EQ(0, watch_ticks(other, self->q.rd, 255));
	do {
		ASSERT_EQ(TICK, read(self->q.rd, self->buffer, TICK));
	} while (tag_of(self->buffer) == TAG);
	EXPECT_EQ(255, tag_of(self->buffer));
	close(other);
	close(q.rd);
	close(q.wr);
}

TEST_F(timer, fdinfo_tells_the_source)
{
	EXPECT_STREQ("source=rust_watch_source id=0x0 tag=0x5a",
		     fdinfo_nth(self->q.rd, "watch", 0));
	EXPECT_EQ(NULL, fdinfo_nth(self->q.rd, "watch", 1));
}

TEST_F(timer, queue_is_attached_once)
{
	EXPECT_FAILS(EBUSY, watch_ticks(self->fd, self->q.rd, TAG));
	EXPECT_FAILS(EBUSY, watch_ticks(self->fd, self->q.wr, 1));
	ASSERT_EQ(0, unwatch_ticks(self->fd, self->q.rd));
	EXPECT_FAILS(EBADSLT, unwatch_ticks(self->fd, self->q.rd));
	EXPECT_EQ(0, watch_ticks(self->fd, self->q.rd, TAG));
}

TEST_F(timer, what_makes_no_sense_is_refused)
{
	int pipe_fds[2];

	ASSERT_EQ(0, pipe(pipe_fds));
	EXPECT_FAILS(EINVAL, watch_ticks(self->fd, pipe_fds[0], TAG));
	EXPECT_FAILS(EINVAL, watch_ticks(self->fd, self->fd, TAG));
	EXPECT_FAILS(EINVAL, watch_ticks(self->fd, -1, TAG));
	EXPECT_FAILS(EINVAL, unwatch_ticks(self->fd, pipe_fds[0]));
	EXPECT_FAILS(EINVAL, unwatch_ticks(self->fd, -1));
	EXPECT_FAILS(EINVAL, watch_ticks(self->fd, self->q.rd, 256));
	EXPECT_FAILS(EINVAL, watch_ticks(self->fd, self->q.rd, -1));
	EXPECT_FAILS(EFAULT, ioctl(self->fd, WATCH_TICKS, nowhere()));
	EXPECT_FAILS(ENOTTY, ioctl(self->fd, _IO('|', 0x92)));
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

/* Skip what ticked before; return the size of the removal. */
static ssize_t read_removal(int rd, unsigned char *buffer)
{
	ssize_t bytes;

	do
		bytes = read(rd, buffer, TICK);
	while (bytes == TICK && !is_removal(buffer));
	return is_removal(buffer) ? bytes : -1;
}

TEST_F(timer, end_of_the_watch_is_told_and_is_the_last_message)
{
	struct pollfd p = { .fd = self->q.rd, .events = POLLIN };

	ASSERT_EQ(0, unwatch_ticks(self->fd, self->q.rd));
	ASSERT_EQ(HEADER, read_removal(self->q.rd, self->buffer));
	EXPECT_EQ(TAG, tag_of(self->buffer));
	EXPECT_EQ(0, poll(&p, 1, 500));
}

TEST_F(timer, end_of_the_timer_is_told_and_is_the_last_message)
{
	struct pollfd p = { .fd = self->q.rd, .events = POLLIN };

	ASSERT_EQ(0, close(self->fd));
	ASSERT_EQ(HEADER, read_removal(self->q.rd, self->buffer));
	EXPECT_EQ(TAG, tag_of(self->buffer));
	EXPECT_EQ(0, poll(&p, 1, 500));
}

TEST_F(timer, filter_chooses_among_subtypes)
{
	struct {
		struct watch_notification_filter head;
		struct watch_notification_type_filter rule;
	} filter = {
		.head.nr_filters = 1,
		.rule = { .type = WATCH_TYPE_TICK, .subtype_filter = { 1 << 2 } },
	};
	struct pollfd p = { .fd = self->q.rd, .events = POLLIN };

	ASSERT_EQ(0, ioctl(self->q.rd, IOC_WATCH_QUEUE_SET_FILTER, &filter));
	/* Earlier ticks */
	if (poll(&p, 1, 0) == 1)
		EXPECT_LE(TICK, read(self->q.rd, self->buffer, sizeof(self->buffer)));
	EXPECT_EQ(0, poll(&p, 1, 500));
	filter.rule.subtype_filter[0] = 3;
	ASSERT_EQ(0, ioctl(self->q.rd, IOC_WATCH_QUEUE_SET_FILTER, &filter));
	EXPECT_EQ(TICK, read(self->q.rd, self->buffer, TICK));
}

/* Close timers and the queues that watch them at the same time. */
TEST_F_TIMEOUT(timer, timers_and_queues_may_go_in_any_order, 300)
{
	int round, timer, status;
	struct queue q;
	pid_t child;

	for (round = 0; round < 200; round++) {
		timer = open_timer();
		ASSERT_NE(-1, timer);
		ASSERT_EQ(0, open_queue(&q, 0));
		ASSERT_EQ(0, set_size(&q, 1));
		ASSERT_EQ(0, watch_ticks(timer, q.rd, TAG));
		child = fork();
		ASSERT_NE(-1, child);
		if (child == 0) {
			close(timer);
			_exit(0);
		}
		/* Whoever is last to close it closes the timer. */
		close(timer);
		close(q.rd);
		close(q.wr);
		ASSERT_EQ(child, waitpid(child, &status, 0));
		ASSERT_EQ(0, status);
	}
}

/* The output of the sample's own program */
TEST_F(timer, sample_program_sees_ticks_and_the_end)
{
	unsigned long long ticks, last = 0;
	char line[128];
	FILE *output = popen("./watch_ticks 3", "r");
	int seen = 0, gone = 0, tag;

	ASSERT_NE(NULL, output);
	while (fgets(line, sizeof(line), output)) {
		if (sscanf(line, "tick %llu, tag %d", &ticks, &tag) == 2) {
			EXPECT_LT(last, ticks);
			EXPECT_EQ(7, tag);
			last = ticks;
			seen++;
		} else {
			EXPECT_STREQ("the timer is gone\n", line);
			gone++;
		}
	}
	EXPECT_EQ(0, pclose(output));
	EXPECT_LE(3, seen);
	EXPECT_EQ(1, gone);
}

TEST_HARNESS_MAIN

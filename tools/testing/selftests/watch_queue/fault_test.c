// SPDX-License-Identifier: GPL-2.0
/*
 * Every allocation of every system call fails once, in turn.  A call that
 * failed has done nothing.  (Needs CONFIG_FAULT_INJECTION; leaks are for
 * kmemleak to find.)
 */

#include "fault.h"
#include "hold.h"
#include "source.h"

#include <signal.h>

/* A queue as it was before SET_SIZE */
static int renew(struct queue *q)
{
	close(q->rd);
	close(q->wr);
	return open_queue(q, O_NONBLOCK);
}

/* And with a loss pending */
static int renew_and_lose(struct queue *q, int source)
{
	return renew(q) || attach(source, q->rd, ID, TAG) ||
	       post_some(source, 5, 0, 8, 1);
}

/* Stop watching the keyring, and read of it. */
static int unwatch(struct queue *q)
{
	char buffer[16];

	return keyctl_watch_key(q->ring, q->rd, -1) ||
	       read(q->rd, buffer, sizeof(buffer)) != sizeof(buffer);
}

FIXTURE(fault)
{
	struct queue q;
	int source;
	int next_fd;
	unsigned char buffer[4096];
};

FIXTURE_SETUP(fault)
{
	if (enable_faults())
		SKIP(return, "no fault injection");
	self->source = open_source();
	if (self->source == -1)
		SKIP(return, "no /dev/watch_source: load watch_source.ko");
	arm(0);
	ASSERT_EQ(0, open_queue(&self->q, O_NONBLOCK));
	self->next_fd = next_fd();
}

FIXTURE_TEARDOWN(fault)
{
	close(self->q.rd);
	close(self->q.wr);
	close(self->source);
}

TEST_F(fault, making_a_pipe)
{
	struct queue q;

	/* What the VFS cannot allocate is ENFILE or ENOMEM, as for any pipe. */
	FAIL_EACH(open_queue(&q, 0), errno == ENFILE ? ENFILE : ENOMEM,
		  next_fd() == self->next_fd,
		  { close(q.rd); close(q.wr); });
}

TEST_F(fault, setting_the_size)
{
	/* Memory of up to a page has no second way to be allocated. */
	static const int sizes[] = { 32, 512 };
	int i;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, renew_and_lose(&self->q, self->source));
		/* If it succeeds in spite of a failure, there is no undoing it. */
		FAIL_EACH(set_size(&self->q, sizes[i]), ENOMEM,
			  fcntl(self->q.rd, F_GETPIPE_SZ) == 65536 &&
			  post_some(self->source, 5, 0, 8, 1) == 0,
			  ASSERT_EQ(0, renew_and_lose(&self->q, self->source)));
		EXPECT_EQ(sizes[i] * 128, fcntl(self->q.rd, F_GETPIPE_SZ));
		ASSERT_EQ(0, post_some(self->source, 5, 0, 8, 1));
		ASSERT_EQ(2 * HEADER, read(self->q.rd, self->buffer, 100));
		EXPECT_TRUE(is_loss(self->buffer));
	}
}

TEST_F(fault, account_after_failures)
{
	int i;

	/*
	 * 16 pages for messages and two for losses, and nothing to spare for
	 * what a failure might leave.
	 */
	ASSERT_EQ(0, write_file("/proc/sys/fs/pipe-user-pages-hard", "18"));
	ASSERT_EQ(0, close(self->q.rd));
	ASSERT_EQ(0, close(self->q.wr));
	ASSERT_EQ(0, setresuid(4244, 4244, 0));
	ASSERT_EQ(0, open_queue(&self->q, O_NONBLOCK));
	for (i = 0; i < 3; i++) {
		FAIL_EACH(set_size(&self->q, 512), ENOMEM,
			  fcntl(self->q.rd, F_GETPIPE_SZ) == 65536,
			  ASSERT_EQ(0, renew(&self->q)));
		ASSERT_EQ(0, renew(&self->q));
	}
	EXPECT_EQ(0, set_size(&self->q, 512));
	ASSERT_EQ(0, setresuid(0, 0, 0));
	write_file("/proc/sys/fs/pipe-user-pages-hard", "0");
}

TEST_F(fault, setting_a_filter)
{
	struct {
		struct watch_notification_filter head;
		struct watch_notification_type_filter rules[16];
	} five = { .head.nr_filters = 1, .rules[0].type = 5 }, six = five;

	five.rules[0].subtype_filter[0] = 1;
	six.rules[0].subtype_filter[0] = 1;
	six.rules[0].type = 6;
	six.head.nr_filters = 16;
	ASSERT_EQ(0, set_size(&self->q, 32));
	ASSERT_EQ(0, attach(self->source, self->q.rd, ID, TAG));
	ASSERT_EQ(0, ioctl(self->q.rd, IOC_WATCH_QUEUE_SET_FILTER, &five));
	FAIL_EACH(ioctl(self->q.rd, IOC_WATCH_QUEUE_SET_FILTER, &six), ENOMEM,
		  post_some(self->source, 6, 0, 8, 1) == 0 &&
		  post_some(self->source, 5, 0, 8, 1) == 0 &&
		  read(self->q.rd, self->buffer, 100) == HEADER &&
		  type_of(self->buffer) == 5,
		  ioctl(self->q.rd, IOC_WATCH_QUEUE_SET_FILTER, &five));
	ASSERT_EQ(0, post_some(self->source, 6, 0, 8, 1));
	EXPECT_EQ(HEADER, read(self->q.rd, self->buffer, 100));
}

TEST_F(fault, attaching_to_a_key)
{
	ASSERT_EQ(0, set_size(&self->q, 32));
	self->q.ring = new_ring();
	ASSERT_NE(-1, self->q.ring);
	FAIL_EACH(keyctl_watch_key(self->q.ring, self->q.rd, TAG), ENOMEM,
		  touch(&self->q) == 0 &&
		  read(self->q.rd, self->buffer, 100) == -1,
		  ASSERT_EQ(0, unwatch(&self->q)));
	ASSERT_EQ(0, touch(&self->q));
	EXPECT_EQ(KEY_NOTE, read(self->q.rd, self->buffer, 100));
}

static int reopen(int fd, int mode)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, mode | O_NONBLOCK);
}

TEST_F(fault, reopening)
{
	int again = -1;

	FAIL_EACH(again = reopen(self->q.rd, O_RDONLY), errno == ENFILE ? ENFILE : ENOMEM,
		  next_fd() == self->next_fd, close(again));
	close(again);
	/* The files that were not opened are not waited for. */
	ASSERT_EQ(0, close(self->q.wr));
	EXPECT_EQ(0, read(self->q.rd, self->buffer, 100));
}

TEST_F(fault, asking_for_sigio)
{
	FAIL_EACH(fcntl(self->q.rd, F_SETFL, O_ASYNC | O_NONBLOCK), ENOMEM,
		  (fcntl(self->q.rd, F_GETFL) & O_ASYNC) == 0,
		  fcntl(self->q.rd, F_SETFL, O_NONBLOCK));
	EXPECT_EQ(O_ASYNC, fcntl(self->q.rd, F_GETFL) & O_ASYNC);
	signal(SIGIO, SIG_IGN);
}

static int sigio_is_pending(void)
{
	sigset_t pending;

	return sigpending(&pending) == 0 && sigismember(&pending, SIGIO);
}

/* A file that reads and writes gets SIGIO for both, or for neither. */
TEST_F(fault, asking_for_sigio_of_both_ends)
{
	int both = reopen(self->q.rd, O_RDWR);
	sigset_t sigio;

	sigemptyset(&sigio);
	sigaddset(&sigio, SIGIO);
	ASSERT_EQ(0, sigprocmask(SIG_BLOCK, &sigio, NULL));
	ASSERT_EQ(0, set_size(&self->q, 512));
	ASSERT_EQ(0, attach(self->source, self->q.rd, ID, TAG));
	ASSERT_NE(-1, both);
	ASSERT_EQ(0, fcntl(both, F_SETOWN, getpid()));
	FAIL_EACH(fcntl(both, F_SETFL, O_ASYNC | O_NONBLOCK), ENOMEM,
		  (fcntl(both, F_GETFL) & O_ASYNC) == 0 &&
		  post_some(self->source, 5, 0, 8, 1) == 0 && !sigio_is_pending(),
		  fcntl(both, F_SETFL, O_NONBLOCK));
	ASSERT_EQ(0, post_some(self->source, 5, 0, 8, 1));
	EXPECT_TRUE(sigio_is_pending());
	close(both);
}

TEST_F(fault, posting_and_reading_allocate_nothing)
{
	int i, hold = open_hold();
	struct queue q;

	/* The other source allocates what it needs for a post. */
	if (hold == -1)
		SKIP(return, "no /dev/watch_hold: load watch_hold.ko");
	ASSERT_EQ(0, set_size(&self->q, 32));
	ASSERT_EQ(0, hold_attach(hold, self->q.rd, ID, TAG));
	/* Faulting the buffer in is not the queue's doing. */
	memset(self->buffer, 1, sizeof(self->buffer));
	for (i = 0; i < 20; i++) {
		arm(1);
		EXPECT_EQ(0, hold_post(hold, ID));
		EXPECT_EQ(0, hold_post(hold, ID));
		EXPECT_EQ(2 * HEADER, read(self->q.rd, self->buffer, 4096));
		EXPECT_FALSE(disarm());
	}
	/* More than there is room for */
	arm(1);
	for (i = 0; i < 40; i++)
		EXPECT_EQ(0, hold_post(hold, ID));
	EXPECT_EQ(33 * HEADER, read(self->q.rd, self->buffer, 4096));
	EXPECT_FALSE(disarm());
	/* Faults are injected: a call that allocates fails. */
	arm(1);
	EXPECT_EQ(-1, open_queue(&q, 0));
	EXPECT_TRUE(disarm());
	close(hold);
}

TEST_HARNESS_MAIN

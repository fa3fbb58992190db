// SPDX-License-Identifier: GPL-2.0
/* Waiting for a notification queue: poll, select, epoll and SIGIO */

#include "fixture.h"

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/wait.h>

static short events(int fd)
{
	struct pollfd p = {
		.fd = fd,
		.events = POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM,
	};

	return poll(&p, 1, 0) == -1 ? -1 : p.revents;
}

#define READABLE	(POLLIN | POLLRDNORM)
#define WRITABLE	(POLLOUT | POLLWRNORM)

TEST_F(queue, poll_tells_of_messages_and_ends)
{
	EXPECT_EQ(0, events(self->q.rd));
	EXPECT_EQ(WRITABLE, events(self->q.wr));
	ASSERT_EQ(0, touch(&self->q));
	EXPECT_EQ(READABLE, events(self->q.rd));
	ASSERT_EQ(0, close(self->q.wr));
	EXPECT_EQ(READABLE | POLLHUP, events(self->q.rd));
	ASSERT_EQ(KEY_NOTE, read(self->q.rd, self->buffer, 100));
	EXPECT_EQ(POLLHUP, events(self->q.rd));
}

TEST_F(queue, poll_tells_the_write_end_of_lost_readers)
{
	ASSERT_EQ(0, close(self->q.rd));
	EXPECT_EQ(WRITABLE | POLLERR, events(self->q.wr));
}

TEST_F(queue, full_queue_is_not_writable)
{
	ASSERT_EQ(0, touch_times(&self->q, 32));
	EXPECT_EQ(0, events(self->q.wr));
	ASSERT_EQ(32 * KEY_NOTE, read(self->q.rd, self->buffer, 4096));
	EXPECT_EQ(WRITABLE, events(self->q.wr));
}

TEST_F(queue, poll_waits_for_a_message)
{
	struct pollfd p = { .fd = self->q.rd, .events = POLLIN };
	pid_t pid = fork();

	ASSERT_NE(-1, pid);
	if (pid == 0) {
		usleep(50000);
		_exit(touch(&self->q) != 0);
	}
	/* When poll() times out, it looks once more, and would find it. */
	EXPECT_EQ(1, poll(&p, 1, -1));
	EXPECT_EQ(POLLIN, p.revents);
	waitpid(pid, NULL, 0);
}

TEST(poll_of_a_queue_without_a_size)
{
	struct queue q;

	ASSERT_EQ(0, open_queue(&q, 0));
	EXPECT_EQ(0, events(q.rd));
	EXPECT_EQ(WRITABLE, events(q.wr));
}

TEST_F(queue, poll_of_the_write_end_waits_for_room)
{
	struct pollfd p = { .fd = self->q.wr, .events = POLLOUT };
	pid_t pid;

	ASSERT_EQ(0, touch_times(&self->q, 32));
	pid = fork();
	ASSERT_NE(-1, pid);
	if (pid == 0) {
		usleep(50000);
		_exit(read(self->q.rd, self->buffer, 4096) != 32 * KEY_NOTE);
	}
	EXPECT_EQ(1, poll(&p, 1, -1));
	EXPECT_EQ(POLLOUT, p.revents);
	waitpid(pid, NULL, 0);
}

static int is_asleep(pid_t pid)
{
	char path[32], text[256], *state;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "r");
	if (!file)
		return 0;
	state = fgets(text, sizeof(text), file) ? strrchr(text, ')') : NULL;
	fclose(file);
	return state && state[1] == ' ' && state[2] == 'S';
}

static int falls_asleep(pid_t pid)
{
	int tries;

	for (tries = 0; tries < 1000 && !is_asleep(pid); tries++)
		usleep(10000);
	return is_asleep(pid);
}

TEST_F(queue, blocked_poll_of_the_write_end_sees_the_readers_leave)
{
	struct pollfd p = { .fd = self->q.wr, .events = POLLOUT };
	int status;
	pid_t pid;

	/* With room, poll() would not wait. */
	ASSERT_EQ(0, touch_times(&self->q, 32));
	pid = fork();
	ASSERT_NE(-1, pid);
	if (pid == 0) {
		close(self->q.rd);
		/* Without a wake-up it ends after the alarm. */
		_exit(poll(&p, 1, 20000) != 1 || p.revents != POLLERR);
	}
	ASSERT_TRUE(falls_asleep(pid));
	alarm(10);
	ASSERT_EQ(0, close(self->q.rd));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	alarm(0);
	EXPECT_EQ(0, status);
}

TEST_F(queue, select_tells_of_messages)
{
	struct timeval now = { 0 };
	fd_set set;

	FD_ZERO(&set);
	FD_SET(self->q.rd, &set);
	EXPECT_EQ(0, select(self->q.rd + 1, &set, NULL, NULL, &now));
	ASSERT_EQ(0, touch(&self->q));
	FD_SET(self->q.rd, &set);
	EXPECT_EQ(1, select(self->q.rd + 1, &set, NULL, NULL, &now));
	EXPECT_TRUE(FD_ISSET(self->q.rd, &set));
}

static int epoll_of(int fd, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };
	int ep = epoll_create1(0);

	if (ep == -1 || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event))
		return -1;
	return ep;
}

TEST_F(queue, epoll_by_level_tells_until_all_is_read)
{
	struct epoll_event event;
	int ep = epoll_of(self->q.rd, EPOLLIN);

	ASSERT_NE(-1, ep);
	EXPECT_EQ(0, epoll_wait(ep, &event, 1, 0));
	ASSERT_EQ(0, touch_times(&self->q, 2));
	EXPECT_EQ(1, epoll_wait(ep, &event, 1, 0));
	ASSERT_EQ(KEY_NOTE, read(self->q.rd, self->buffer, KEY_NOTE));
	EXPECT_EQ(1, epoll_wait(ep, &event, 1, 0));
	EXPECT_EQ((uint32_t)EPOLLIN, event.events);
	ASSERT_EQ(KEY_NOTE, read(self->q.rd, self->buffer, KEY_NOTE));
	EXPECT_EQ(0, epoll_wait(ep, &event, 1, 0));
	close(ep);
}

TEST_F(queue, epoll_by_edge_tells_of_each_message)
{
	struct epoll_event event;
	int i, ep = epoll_of(self->q.rd, EPOLLIN | EPOLLET);

	ASSERT_NE(-1, ep);
	for (i = 0; i < 5; i++) {
		ASSERT_EQ(0, touch(&self->q));
		EXPECT_EQ(1, epoll_wait(ep, &event, 1, 0));
		EXPECT_EQ(0, epoll_wait(ep, &event, 1, 0));
	}
	close(ep);
}

TEST_F(queue, beyond_mainline_epoll_by_edge_tells_of_a_loss)
{
	struct epoll_event event;
	int ep;

	ASSERT_EQ(0, touch_times(&self->q, 32));
	ep = epoll_of(self->q.rd, EPOLLIN | EPOLLET);
	ASSERT_NE(-1, ep);
	EXPECT_EQ(1, epoll_wait(ep, &event, 1, 0));
	EXPECT_EQ(0, epoll_wait(ep, &event, 1, 0));
	ASSERT_EQ(0, touch(&self->q));
	EXPECT_EQ(1, epoll_wait(ep, &event, 1, 0));
	/* of a run of losses, only the first is news */
	ASSERT_EQ(0, touch(&self->q));
	EXPECT_EQ(0, epoll_wait(ep, &event, 1, 0));
	close(ep);
}

TEST_F(queue, closing_a_polled_queue_is_harmless)
{
	struct epoll_event event;
	int ep = epoll_of(self->q.rd, EPOLLIN | EPOLLET);

	ASSERT_NE(-1, ep);
	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, self->q.wr,
			       &(struct epoll_event){ .events = EPOLLOUT }));
	ASSERT_EQ(0, touch(&self->q));
	ASSERT_EQ(0, close(self->q.rd));
	ASSERT_EQ(0, close(self->q.wr));
	EXPECT_EQ(0, epoll_wait(ep, &event, 1, 0));
	self->q.rd = -1;
	self->q.wr = -1;
	close(ep);
}

TEST_F(queue, sigio_tells_of_a_message)
{
	struct timespec no_time = { 0 }, some_time = { .tv_sec = 5 };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	ASSERT_EQ(0, sigprocmask(SIG_BLOCK, &set, NULL));
	ASSERT_EQ(0, fcntl(self->q.rd, F_SETOWN, getpid()));
	ASSERT_EQ(0, fcntl(self->q.rd, F_SETFL, O_ASYNC | O_NONBLOCK));
	EXPECT_EQ(-1, sigtimedwait(&set, NULL, &no_time));
	ASSERT_EQ(0, touch(&self->q));
	EXPECT_EQ(SIGIO, sigtimedwait(&set, NULL, &some_time));
	EXPECT_EQ(-1, sigtimedwait(&set, NULL, &no_time));
	/* The other end going is news, too. */
	ASSERT_EQ(0, close(self->q.wr));
	EXPECT_EQ(SIGIO, sigtimedwait(&set, NULL, &some_time));
}

TEST_F(queue, sigio_tells_the_write_end_of_room)
{
	struct timespec no_time = { 0 }, some_time = { .tv_sec = 5 };
	siginfo_t info;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	ASSERT_EQ(0, sigprocmask(SIG_BLOCK, &set, NULL));
	ASSERT_EQ(0, fcntl(self->q.wr, F_SETOWN, getpid()));
	ASSERT_EQ(0, fcntl(self->q.wr, F_SETSIG, SIGRTMIN));
	ASSERT_EQ(0, fcntl(self->q.wr, F_SETFL, O_ASYNC | O_NONBLOCK));
	/* Messages are news to the read end only. */
	ASSERT_EQ(0, touch_times(&self->q, 32));
	EXPECT_EQ(-1, sigtimedwait(&set, &info, &no_time));
	ASSERT_EQ(32 * KEY_NOTE, read(self->q.rd, self->buffer, 4096));
	memset(&info, 0, sizeof(info));
	EXPECT_EQ(SIGRTMIN, sigtimedwait(&set, &info, &some_time));
	EXPECT_EQ(POLL_OUT, info.si_code);
	EXPECT_EQ(POLLOUT | POLLWRNORM | POLLWRBAND, info.si_band);
	EXPECT_EQ(self->q.wr, info.si_fd);
	EXPECT_EQ(-1, sigtimedwait(&set, &info, &no_time));
}

TEST_F(queue, beyond_mainline_sigio_is_not_sent_for_a_read_of_nothing)
{
	struct timespec no_time = { 0 };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	ASSERT_EQ(0, sigprocmask(SIG_BLOCK, &set, NULL));
	ASSERT_EQ(0, fcntl(self->q.wr, F_SETOWN, getpid()));
	ASSERT_EQ(0, fcntl(self->q.wr, F_SETFL, O_ASYNC | O_NONBLOCK));
	EXPECT_FAILS(EAGAIN, read(self->q.rd, self->buffer, 4096));
	EXPECT_EQ(-1, sigtimedwait(&set, NULL, &no_time));
}

TEST_HARNESS_MAIN

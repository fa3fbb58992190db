// SPDX-License-Identifier: GPL-2.0
/*
 * Does each thing a few times between two calls of sched_get_priority_max(), where
 * the locks that are taken are counted from outside of the guest: see dev/count-locks.
 */

#include "bench.h"

#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#define TIMES	3

static struct queue q;
static int source, epoll;
static char buffer[128];

static void mark(void)
{
	sched_get_priority_max(SCHED_OTHER);
}

static void post_one(void)
{
	post(source, 1, 16, 1);
}

static void read_one(void)
{
	if (read(q.rd, buffer, sizeof(buffer)) != 16)
		die("read");
}

static void read_nothing(void)
{
	if (read(q.rd, buffer, sizeof(buffer)) != -1 || errno != EAGAIN)
		die("read of an empty queue");
}

static int poll_for(int timeout)
{
	struct pollfd pollfd = { .fd = q.rd, .events = POLLIN };

	return poll(&pollfd, 1, timeout);
}

static void poll_readable(void)
{
	if (poll_for(-1) != 1)
		die("poll");
}

static void poll_empty(void)
{
	if (poll_for(0) != 0)
		die("poll of an empty queue");
}

/* As long as it is there, it waits. */
static void add_to_epoll(void)
{
	struct epoll_event event = { .events = EPOLLIN };

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, q.rd, &event))
		die("EPOLL_CTL_ADD");
	post_one();
}

static void epoll_readable(void)
{
	struct epoll_event event;

	if (epoll_wait(epoll, &event, 1, 0) != 1)
		die("epoll");
}

static void count_bytes(void)
{
	int bytes;

	if (ioctl(q.rd, FIONREAD, &bytes))
		die("FIONREAD");
}

static void attach_one(void)
{
	attach(source, q.rd, 2);
}

static void detach_one(void)
{
	detach(source, q.rd, 2);
}

static void open_one(void)
{
	static struct queue other;

	other = new_queue(32);
	close_queue(&other);
}

/* Another process posts when this one waits. */
static int orders[2];

static void start_poster(void)
{
	char order;
	pid_t pid;

	if (pipe(orders))
		die("pipe");
	pid = fork();
	if (pid == -1)
		die("fork");
	if (pid)
		return;
	close(orders[1]);
	while (read(orders[0], &order, 1) == 1) {
		usleep(20000);
		post_one();
	}
	_exit(0);
}

static void post_soon(void)
{
	if (write(orders[1], "", 1) != 1)
		die("order");
}

static void block(int blocks)
{
	if (fcntl(q.rd, F_SETFL, blocks ? 0 : O_NONBLOCK))
		die("F_SETFL");
}

static void post_to_reader(void)
{
	block(1);
	post_soon();
}

static void end_blocking_read(void)
{
	block(0);
}

static void drain_one(void)
{
	drain(q.rd);
}

static void remove_from_epoll(void)
{
	if (epoll_ctl(epoll, EPOLL_CTL_DEL, q.rd, NULL))
		die("EPOLL_CTL_DEL");
	drain_one();
}

static void nothing(void)
{
}

static const struct {
	const char *name;
	void (*before)(void);
	void (*what)(void);
	void (*after)(void);
} things[] = {
	{ "post", nothing, post_one, drain_one },
	{ "read", post_one, read_one, nothing },
	{ "read-nothing", nothing, read_nothing, nothing },
	{ "read-blocking", post_to_reader, read_one, end_blocking_read },
	{ "poll-readable", post_one, poll_readable, drain_one },
	{ "poll-empty", nothing, poll_empty, nothing },
	{ "poll-blocking", post_soon, poll_readable, drain_one },
	{ "epoll-readable", add_to_epoll, epoll_readable, remove_from_epoll },
	{ "FIONREAD", nothing, count_bytes, nothing },
	{ "attach", nothing, attach_one, detach_one },
	{ "detach", attach_one, detach_one, nothing },
	{ "open-size-close", nothing, open_one, nothing },
};

int main(void)
{
	unsigned int i, times;

	source = open_device("/dev/watch_source");
	q = new_queue(32);
	attach(source, q.rd, 1);
	start_poster();
	epoll = epoll_create1(0);
	for (i = 0; i < sizeof(things) / sizeof(*things); i++) {
		/* The first time, things are looked up that stay. */
		for (times = 0; times < TIMES; times++) {
			things[i].before();
			mark();
			things[i].what();
			mark();
			things[i].after();
		}
		printf("%s\n", things[i].name);
		fflush(stdout);
	}
	printf("end\n");
	return 0;
}

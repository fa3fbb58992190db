// SPDX-License-Identifier: GPL-2.0
/*
 * The userspace side of the sample rust_watch_source: watch the ticks of a
 * timer, and see it go.
 *
 * usage: watch_ticks [COUNT]
 */

#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <linux/watch_queue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define WATCH_TICKS	_IOW('|', 0x90, int[2])	/* File descriptor and tag */

#define WATCH_TYPE_TICK	0xffff01

enum tick_notification_subtype {
	NOTIFY_TICK_ON_TIME	= 0,
	NOTIFY_TICK_LATE	= 1,
};

struct tick_notification {
	struct watch_notification watch;
	__u64	ticks;		/* All that there have been */
	__u64	missed;		/* Of these, how many right before this one */
};

/*
 * Say what a message says; return how many ticks it is about, or -1 at the end.
 * Once the timer is stopped, a loss may be of the message that says so.
 */
static int handle(const char *message, size_t length, int stopped)
{
	struct watch_notification n;
	struct tick_notification tick;

	/* Messages follow one another without gaps, so they may be unaligned. */
	memcpy(&n, message, sizeof(n));
	switch (n.type) {
	case WATCH_TYPE_META:
		if (n.subtype == WATCH_META_LOSS_NOTIFICATION) {
			printf("%u messages lost\n", n.info >> WATCH_INFO_TYPE_INFO__SHIFT);
			return stopped ? -1 : 0;
		}
		if (n.subtype == WATCH_META_REMOVAL_NOTIFICATION) {
			puts("the timer is gone");
			return -1;
		}
		return 0;
	case WATCH_TYPE_TICK:
		if (length < sizeof(tick))
			return 0;
		memcpy(&tick, message, sizeof(tick));
		printf("tick %llu, tag %u", tick.ticks,
		       (n.info & WATCH_INFO_ID) >> WATCH_INFO_ID__SHIFT);
		if (n.subtype == NOTIFY_TICK_LATE)
			printf(", %llu missed", tick.missed);
		putchar('\n');
		return 1;
	default:
		return 0;
	}
}

int main(int argc, char **argv)
{
	int left = argc > 1 ? atoi(argv[1]) : 5, queue[2], watch[2], ticks;
	char buffer[4096], *message;
	FILE *timer;
	size_t length;
	ssize_t bytes;

	/* The timer starts when it is opened. */
	timer = fopen("/dev/rust_watch_source", "re");
	if (!timer)
		err(1, "/dev/rust_watch_source");
	if (pipe2(queue, O_NOTIFICATION_PIPE | O_CLOEXEC))
		err(1, "pipe2");
	if (ioctl(queue[0], IOC_WATCH_QUEUE_SET_SIZE, 64))
		err(1, "IOC_WATCH_QUEUE_SET_SIZE");

	watch[0] = queue[0];
	watch[1] = 7;
	if (ioctl(fileno(timer), WATCH_TICKS, watch))
		err(1, "WATCH_TICKS");

	for (;;) {
		/* All whole messages that are there */
		bytes = read(queue[0], buffer, sizeof(buffer));
		if (bytes == -1)
			err(1, "read");
		for (message = buffer; bytes > 0; message += length, bytes -= length) {
			struct watch_notification n;

			memcpy(&n, message, sizeof(n));
			length = n.info & WATCH_INFO_LENGTH;
			ticks = handle(message, length, !timer);
			if (ticks == -1)
				return 0;
			left -= ticks;
		}
		fflush(stdout);
		if (left <= 0 && timer) {
			fclose(timer);
			timer = NULL;
		}
	}
}

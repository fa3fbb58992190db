/* SPDX-License-Identifier: GPL-2.0 */
/* A notification queue, for programs that are tests and for those that are not */
#ifndef WATCH_QUEUE_OPEN_QUEUE_H
#define WATCH_QUEUE_OPEN_QUEUE_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <keyutils.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Mainline's header includes this; it and <fcntl.h> both define struct flock. */
#define _LINUX_FCNTL_H
#include <linux/watch_queue.h>

#ifndef O_NOTIFICATION_PIPE
#error "The kernel's headers are missing: run `make headers` first"
#endif

/* Requests that are not in mainline's header */
#ifndef PIPE_IOC_SYNC
#define PIPE_IOC_SYNC		_IO('W', 0x62)
#endif
#ifndef IOC_WATCH_QUEUE_SEAL
#define IOC_WATCH_QUEUE_SEAL	_IO('W', 0x66)
#endif

struct queue {
	int rd;
	int wr;
	key_serial_t ring;
};

static inline int open_queue(struct queue *queue, int flags)
{
	int fds[2];

	if (pipe2(fds, O_NOTIFICATION_PIPE | flags) == -1)
		return -1;
	queue->rd = fds[0];
	queue->wr = fds[1];
	return 0;
}

static inline int set_size(const struct queue *queue, unsigned long nr_notes)
{
	return ioctl(queue->rd, IOC_WATCH_QUEUE_SET_SIZE, nr_notes);
}

#endif /* WATCH_QUEUE_OPEN_QUEUE_H */

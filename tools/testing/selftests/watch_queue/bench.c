// SPDX-License-Identifier: GPL-2.0
/*
 * The cost of the queue; bench.h describes the output.
 *
 * usage: bench [NAME...]: only these operations
 */

#include "bench.h"

#define ID	77
#define SIZE	512
#define POSTS	256

static int source;
static struct queue queue;
static char buffer[65536];

static double post_batch(int length)
{
	double each = post(source, ID, length, POSTS) / (double)POSTS;

	drain(queue.rd);
	return each;
}

/* Reads of up to `room` bytes until all is read; the cost for each message */
static double read_all(int length, int room)
{
	long start, end, bytes = SIZE * length;

	post(source, ID, length, SIZE);
	start = now();
	while (bytes > 0) {
		ssize_t ret = read(queue.rd, buffer, room);

		if (ret <= 0)
			die("read");
		bytes -= ret;
	}
	end = now();
	return (end - start) / (double)SIZE;
}

static double drain_batch(int length)
{
	return read_all(length, 65536);
}

static double drain_4k_batch(int length)
{
	return read_all(length, 4096);
}

static double read_128_batch(int length)
{
	return read_all(length, 128);
}

static double read_batch(int length)
{
	return read_all(length, length);
}

static double full_batch(int length)
{
	double each;

	post(source, ID, length, SIZE);
	each = post(source, ID, length, POSTS) / (double)POSTS;
	drain(queue.rd);
	return each;
}

static double nobody_batch(int length)
{
	return post(source, ID + 1, length, POSTS) / (double)POSTS;
}

/* Posts of 16 bytes through `nr` rules, of which the last decides */
static double filtered(int nr, int accept, uint32_t mask)
{
	struct watch_notification_type_filter *rule;
	struct watch_notification_filter *f;
	double each;
	int i;

	f = calloc(1, sizeof(*f) + nr * sizeof(*rule));
	if (!f)
		die("filter");
	f->nr_filters = nr;
	for (i = 0; i < nr; i++) {
		int match = accept && i == nr - 1;

		rule = &f->filters[i];
		rule->type = 1;
		rule->subtype_filter[0] = match || mask ? 1 : 2;
		rule->info_mask = mask;
		rule->info_filter = match ? 0 : mask;
	}
	if (ioctl(queue.rd, IOC_WATCH_QUEUE_SET_FILTER, f))
		die("filter");
	free(f);
	each = post_batch(16);
	if (ioctl(queue.rd, IOC_WATCH_QUEUE_SET_FILTER, NULL))
		die("filter");
	return each;
}

static double reject_batch(int nr)
{
	return filtered(nr, 0, 0);
}

static double accept_batch(int nr)
{
	return filtered(nr, 1, 0);
}

static double reject_mask_batch(int nr)
{
	return filtered(nr, 0, WATCH_INFO_FLAG_0);
}

static double accept_mask_batch(int nr)
{
	return filtered(nr, 1, WATCH_INFO_FLAG_0);
}

/* The cost of each delivery */
static double watchers_batch(int nr)
{
	struct queue queues[256];
	double each;
	int i;

	for (i = 0; i < nr; i++) {
		queues[i] = new_queue(SIZE);
		attach(source, queues[i].rd, ID + 2);
	}
	each = post(source, ID + 2, 16, 32) / 32.0 / nr;
	for (i = 0; i < nr; i++)
		close_queue(&queues[i]);
	return each;
}

static double create_batch(int size __maybe_unused)
{
	long start = now(), end;
	struct queue q;

	if (open_queue(&q, 0))
		die("create");
	end = now();
	close_queue(&q);
	return end - start;
}

static double size_batch(int size)
{
	long start, end;
	struct queue q;

	if (open_queue(&q, 0))
		die("create");
	start = now();
	if (set_size(&q, size))
		die("size");
	end = now();
	close_queue(&q);
	return end - start;
}

static double close_batch(int size)
{
	struct queue q = new_queue(size);
	long start = now(), end;

	close_queue(&q);
	end = now();
	return end - start;
}

static double life_batch(int size)
{
	long start = now(), end;
	struct queue q;

	if (open_queue(&q, 0) || set_size(&q, size))
		die("life");
	close_queue(&q);
	end = now();
	return end - start;
}

/* The cost of each watch of one queue on one list, as it gets longer */
struct watch_costs {
	double attach;
	double detach;
	double close;
};

static struct watch_costs watch_batch(int nr, int by_hand)
{
	int list = open_device("/dev/watch_source"), i;
	struct queue q = new_queue(32);
	struct watch_costs costs = {};
	long start = now();

	for (i = 0; i < nr; i++)
		attach(list, q.rd, i + 1);
	costs.attach = (now() - start) / (double)nr;
	if (by_hand) {
		start = now();
		for (i = 0; i < nr; i++)
			detach(list, q.rd, i + 1);
		costs.detach = (now() - start) / (double)nr;
	}
	start = now();
	close_queue(&q);
	costs.close = (now() - start) / (double)nr;
	close(list);
	/* Watches count against a limit until a grace period is over. */
	usleep(100000);
	return costs;
}

static double attach_batch(int nr)
{
	return watch_batch(nr, 0).attach;
}

static double detach_batch(int nr)
{
	return watch_batch(nr, 1).detach;
}

static double close_with_batch(int nr)
{
	return watch_batch(nr, 0).close;
}

/* An ordinary pipe: each write, and the read that follows it */
static double pipe_batch(int bytes)
{
	long start, end;
	int fds[2], i;

	if (pipe(fds) || fcntl(fds[1], F_SETPIPE_SZ, 65536) == -1)
		die("pipe");
	start = now();
	for (i = 0; i < 16; i++)
		if (write(fds[1], buffer, bytes) != bytes ||
		    read(fds[0], buffer, bytes) != bytes)
			die("pipe");
	end = now();
	close(fds[0]);
	close(fds[1]);
	return (end - start) / 16.0;
}

static const struct operation operations[] = {
	{ "post", 8, post_batch },
	{ "post", 16, post_batch },
	{ "post", 24, post_batch },
	{ "post", 32, post_batch },
	{ "post", 48, post_batch },
	{ "post", 64, post_batch },
	{ "post", 96, post_batch },
	{ "post", 127, post_batch },
	{ "drain", 8, drain_batch },
	{ "drain", 16, drain_batch },
	{ "drain", 24, drain_batch },
	{ "drain", 32, drain_batch },
	{ "drain", 48, drain_batch },
	{ "drain", 64, drain_batch },
	{ "drain", 96, drain_batch },
	{ "drain", 127, drain_batch },
	{ "drain-4k", 8, drain_4k_batch },
	{ "drain-4k", 16, drain_4k_batch },
	{ "drain-4k", 64, drain_4k_batch },
	{ "drain-4k", 127, drain_4k_batch },
	{ "read-128", 16, read_128_batch },
	{ "read-128", 127, read_128_batch },
	{ "read", 16, read_batch },
	{ "full", 16, full_batch },
	{ "nobody", 16, nobody_batch },
	{ "reject", 1, reject_batch },
	{ "reject", 16, reject_batch },
	{ "reject-mask", 1, reject_mask_batch },
	{ "reject-mask", 16, reject_mask_batch },
	{ "accept", 1, accept_batch },
	{ "accept", 16, accept_batch },
	{ "accept-mask", 1, accept_mask_batch },
	{ "accept-mask", 16, accept_mask_batch },
	{ "watchers", 1, watchers_batch },
	{ "watchers", 4, watchers_batch },
	{ "watchers", 16, watchers_batch },
	{ "watchers", 64, watchers_batch },
	{ "watchers", 256, watchers_batch },
	{ "life", 512, life_batch },
	{ "create", 512, create_batch },
	{ "size", 512, size_batch },
	{ "close", 512, close_batch },
	{ "attach", 1, attach_batch },
	{ "attach", 100, attach_batch },
	{ "attach", 500, attach_batch },
	{ "attach", 1000, attach_batch },
	{ "detach", 1, detach_batch },
	{ "detach", 100, detach_batch },
	{ "detach", 500, detach_batch },
	{ "detach", 1000, detach_batch },
	{ "close-with", 1, close_with_batch },
	{ "close-with", 100, close_with_batch },
	{ "close-with", 500, close_with_batch },
	{ "close-with", 1000, close_with_batch },
	{ "pipe", 1, pipe_batch },
	{ "pipe", 65536, pipe_batch },
};

int main(int argc, char **argv)
{
	size_t i;

	source = open_device("/dev/watch_source");
	queue = new_queue(SIZE);
	attach(source, queue.rd, ID);
	for (i = 0; i < ARRAY_SIZE(operations); i++)
		if (is_wanted(&operations[i], argc - 1, argv + 1))
			measure(&operations[i]);
	return 0;
}

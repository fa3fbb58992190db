// SPDX-License-Identifier: GPL-2.0
/*
 * What the queue costs: nanoseconds, which are instructions where the guest's
 * clock counts those.  Each line is an operation and the smallest of several
 * batches.
 */

#include "queue.h"
#include "watch_source.h"

#include <time.h>

#define ID	77
#define BATCHES	9

static int source;
static struct queue queue;
static unsigned char buffer[65536];

static long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void new_queue(unsigned long size)
{
	if (open_queue(&queue, O_NONBLOCK) || set_size(&queue, size))
		die("queue");
}

static void close_queue(struct queue *q)
{
	close(q->rd);
	close(q->wr);
}

static int attach(int fd, uint64_t id)
{
	struct watch_source_watch watch = { .id = id, .fd = fd, .tag = 1 };

	return ioctl(source, WATCH_SOURCE_ATTACH, &watch);
}

static long post(uint64_t id, int type, int length, int count)
{
	struct watch_source_post args = {
		.id = id, .type = type, .length = length, .count = count,
	};

	if (ioctl(source, WATCH_SOURCE_POST, &args))
		die("post");
	return args.elapsed;
}

static void drain(void)
{
	while (read(queue.rd, buffer, sizeof(buffer)) > 0)
		;
}

static void say(const char *what, int parameter, double each)
{
	printf("%s %d\t%.0f\n", what, parameter, each);
}

#define SMALLEST(result, expression)				\
	do {							\
		double *smallest = &(result);			\
		int batch;					\
								\
		*smallest = 1e18;				\
		for (batch = 0; batch < BATCHES; batch++) {	\
			double value = (expression);		\
								\
			if (value < *smallest)			\
				*smallest = value;		\
		}						\
	} while (0)

static double one_post(int length)
{
	double each = post(ID, 1, length, 256) / 256.0;

	drain();
	return each;
}

static double one_drain(int length)
{
	long start, end;

	post(ID, 1, length, 512);
	start = now();
	if (read(queue.rd, buffer, sizeof(buffer)) != 512 * length)
		die("drain");
	end = now();
	return (end - start) / 512.0;
}

static double one_read(int room)
{
	long start, end;
	int i;

	post(ID, 1, 16, 256);
	start = now();
	for (i = 0; i < 256; i++)
		if (read(queue.rd, buffer, room) != 16)
			die("read");
	end = now();
	drain();
	return (end - start) / 256.0;
}

static double one_full(void)
{
	double each;

	post(ID, 1, 16, 512);
	each = post(ID, 1, 16, 256) / 256.0;
	drain();
	return each;
}

static void filter(int nr, int accept, uint32_t mask)
{
	struct {
		struct watch_notification_filter head;
		struct watch_notification_type_filter rules[16];
	} f = { .head.nr_filters = nr };
	int i;

	for (i = 0; i < nr; i++) {
		f.rules[i].type = 1;
		f.rules[i].subtype_filter[0] = accept && i == nr - 1 ? 1 : 2;
		if (mask) {
			f.rules[i].subtype_filter[0] = 1;
			f.rules[i].info_mask = mask;
			f.rules[i].info_filter = accept && i == nr - 1 ? 0 : mask;
		}
	}
	if (ioctl(queue.rd, IOC_WATCH_QUEUE_SET_FILTER, &f))
		die("filter");
}

static double one_life(void)
{
	long start = now(), end;
	struct queue q;

	if (open_queue(&q, 0) || set_size(&q, 512))
		die("life");
	close_queue(&q);
	end = now();
	return end - start;
}

int main(void)
{
	static const int lengths[] = { 8, 16, 64, 127 };
	static const int watchers[] = { 1, 4, 16, 64, 256 };
	struct queue others[256];
	double result;
	size_t i;
	int j;

	source = open("/dev/watch_source", O_RDWR);
	if (source == -1)
		die("/dev/watch_source");
	new_queue(512);
	if (attach(queue.rd, ID))
		die("attach");
	for (i = 0; i < 4; i++) {
		SMALLEST(result, one_post(lengths[i]));
		say("post", lengths[i], result);
	}
	for (i = 0; i < 4; i++) {
		SMALLEST(result, one_drain(lengths[i]));
		say("drain", lengths[i], result);
	}
	SMALLEST(result, one_read(16));
	say("read", 16, result);
	SMALLEST(result, one_read(31));
	say("read-31", 16, result);
	SMALLEST(result, one_full());
	say("full", 16, result);
	SMALLEST(result, post(ID + 1, 1, 16, 256) / 256.0);
	say("nobody", 16, result);

	for (j = 1; j <= 16; j += 15) {
		filter(j, 0, 0);
		SMALLEST(result, one_post(16));
		say("reject", j, result);
		filter(j, 1, 0);
		SMALLEST(result, one_post(16));
		say("accept", j, result);
		filter(j, 0, 0x10000);
		SMALLEST(result, one_post(16));
		say("reject-mask", j, result);
		filter(j, 1, 0x10000);
		SMALLEST(result, one_post(16));
		say("accept-mask", j, result);
	}
	ioctl(queue.rd, IOC_WATCH_QUEUE_SET_FILTER, NULL);

	SMALLEST(result, one_life());
	say("life", 512, result);

	close_queue(&queue);
	for (i = 0, j = 0; i < 5; i++) {
		for (; j < watchers[i]; j++) {
			new_queue(512);
			others[j] = queue;
			if (attach(queue.rd, ID))
				die("attach");
		}
		SMALLEST(result, ({
			double each = post(ID, 1, 16, 16) / 16.0 / watchers[i];

			for (int k = 0; k < watchers[i]; k++)
				while (read(others[k].rd, buffer, sizeof(buffer)) > 0)
					;
			each;
		}));
		say("watchers", watchers[i], result);
	}
	for (j = 0; j < 256; j++)
		close_queue(&others[j]);

	usleep(100000);
	new_queue(32);
	for (j = 1; j <= 1000; j += 499 + (j == 500)) {
		long start, end, k;
		static int first = 1000;

		start = now();
		for (k = 0; k < j; k++)
			if (attach(queue.rd, first + k))
				die("attach");
		end = now();
		say("attach", j, (end - start) / (double)j);
		start = now();
		close_queue(&queue);
		end = now();
		say("close-with", j, (end - start) / (double)j);
		new_queue(32);
		first += 1000;
		usleep(300000);
	}
	return 0;
}

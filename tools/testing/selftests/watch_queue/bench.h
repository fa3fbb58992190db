/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the benchmarks share.  They print a line for each thing that they
 * measured: its name, a parameter, the smallest and the median of several
 * batches, in nanoseconds, which are instructions where the guest's clock counts
 * those.
 */
#ifndef WATCH_QUEUE_BENCH_H
#define WATCH_QUEUE_BENCH_H

#include "open_queue.h"
#include "watch_source.h"
#include "../kselftest.h"

#include <sys/mman.h>
#include <time.h>

#define BATCHES	9

static inline long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

static inline void die(const char *what)
{
	perror(what);
	exit(1);
}

/* Memory that is this process's and those of its children, as zeroes */
static inline void *share(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		die("mmap");
	return memory;
}

static inline int open_device(const char *name)
{
	int fd = open(name, O_RDWR);

	if (fd == -1)
		die(name);
	return fd;
}

static inline struct queue new_queue(unsigned long size)
{
	struct queue queue;

	if (open_queue(&queue, O_NONBLOCK) || set_size(&queue, size))
		die("queue");
	return queue;
}

static inline void close_queue(const struct queue *queue)
{
	close(queue->rd);
	close(queue->wr);
}

static inline void attach(int source, int fd, uint64_t id)
{
	struct watch_source_watch watch = { .id = id, .fd = fd, .tag = 1 };

	if (ioctl(source, WATCH_SOURCE_ATTACH, &watch))
		die("attach");
}

static inline void detach(int source, int fd, uint64_t id)
{
	struct watch_source_watch watch = { .id = id, .fd = fd };

	if (ioctl(source, WATCH_SOURCE_DETACH, &watch))
		die("detach");
}

static inline long post(int source, uint64_t id, int length, int count)
{
	struct watch_source_post args = {
		.id = id, .type = 1, .length = length, .count = count,
	};

	if (ioctl(source, WATCH_SOURCE_POST, &args))
		die("post");
	return args.elapsed;
}

static inline void drain(int fd)
{
	static char buffer[65536];

	while (read(fd, buffer, sizeof(buffer)) > 0)
		;
}

static inline int compare_doubles(const void *one, const void *other)
{
	double a = *(const double *)one, b = *(const double *)other;

	return (a > b) - (a < b);
}

static inline void sort(double *values, int count)
{
	qsort(values, count, sizeof(*values), compare_doubles);
}

/* One thing to measure: a batch returns what it takes on average. */
struct operation {
	const char *name;
	int parameter;
	double (*batch)(int parameter);
};

static inline void measure(const struct operation *op)
{
	double each[BATCHES];
	int i;

	for (i = 0; i < BATCHES; i++)
		each[i] = op->batch(op->parameter);
	sort(each, BATCHES);
	printf("%s %d\t%.3f\t%.3f\n", op->name, op->parameter, each[0],
	       each[BATCHES / 2]);
}

/* Returns whether an operation is one of those named, or none is named */
static inline int is_wanted(const struct operation *op, int nr, char **names)
{
	char name[32];
	int i;

	snprintf(name, sizeof(name), "%s-%d", op->name, op->parameter);
	for (i = 0; i < nr; i++)
		if (!strcmp(name, names[i]))
			return 1;
	return !nr;
}

#endif /* WATCH_QUEUE_BENCH_H */

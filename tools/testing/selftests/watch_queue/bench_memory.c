// SPDX-License-Identifier: GPL-2.0
/*
 * How much kernel memory a queue and a watch take, from a thousand of them.
 *
 * Prints a line for each: its name and size, and bytes: all that is gone from
 * the free memory, what of it are pages of slabs, what of it is vmalloc()ed.
 * The rest is single pages.
 */

#include "bench.h"

#define COUNT	1000

struct usage {
	double all;
	double slab;
	double vmalloc;
};

static FILE *open_proc(const char *name)
{
	FILE *file = fopen(name, "r");

	if (!file)
		die(name);
	return file;
}

static struct usage usage(void)
{
	struct usage u = {};
	char line[512];
	FILE *file;

	/* What is freed after a grace period is to be gone. */
	usleep(200000);
	file = open_proc("/proc/meminfo");
	while (fgets(line, sizeof(line), file)) {
		double kilobytes;

		if (sscanf(line, "MemFree: %lf", &kilobytes) == 1)
			u.all = -1024 * kilobytes;
		else if (sscanf(line, "Slab: %lf", &kilobytes) == 1)
			u.slab = 1024 * kilobytes;
	}
	fclose(file);

	file = open_proc("/proc/vmallocinfo");
	while (fgets(line, sizeof(line), file)) {
		const char *pages = strstr(line, "pages=");

		if (pages)
			u.vmalloc += atol(pages + 6) * sysconf(_SC_PAGESIZE);
	}
	fclose(file);
	return u;
}

static void say(const char *what, int size, const struct usage *before,
		const struct usage *after)
{
	printf("%s %d\t%.0f\t%.0f\t%.0f\n", what, size,
	       (after->all - before->all) / COUNT,
	       (after->slab - before->slab) / COUNT,
	       (after->vmalloc - before->vmalloc) / COUNT);
}

/* A thousand queues, not sized if `size` is 0; or pipes, if it is -1 */
static int open_many(struct queue *queues, int size)
{
	int i;

	for (i = 0; i < COUNT; i++) {
		if (size == -1) {
			if (pipe(&queues[i].rd))
				die("pipe");
		} else {
			if (open_queue(&queues[i], 0))
				die("queue");
			if (size && set_size(&queues[i], size))
				break;
		}
	}
	return i == COUNT;
}

static void close_many(const struct queue *queues)
{
	int i;

	for (i = 0; i < COUNT && queues[i].rd; i++)
		close_queue(&queues[i]);
}

static void measure_queues(const char *name, int size)
{
	struct queue queues[COUNT] = {};
	struct usage before, after;

	/* The second time, what is kept for use again is there. */
	open_many(queues, size);
	close_many(queues);
	memset(queues, 0, sizeof(queues));

	before = usage();
	if (open_many(queues, size)) {
		after = usage();
		say(name, size == -1 ? 0 : size, &before, &after);
	}
	close_many(queues);
}

static void measure_watches(void)
{
	int source = open_device("/dev/watch_source"), i;
	struct queue queue = new_queue(32);
	struct usage before, after;

	before = usage();
	for (i = 0; i < COUNT; i++)
		attach(source, queue.rd, i + 1);
	after = usage();
	say("memory-watch", 1, &before, &after);
	close_queue(&queue);
	close(source);
}

int main(void)
{
	measure_queues("memory-pipe", -1);
	measure_queues("memory-queue", 0);
	measure_queues("memory-queue", 32);
	measure_queues("memory-queue", 512);
	measure_queues("memory-queue", 4096);
	measure_watches();
	return 0;
}

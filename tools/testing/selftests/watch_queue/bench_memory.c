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
	int fd;

	/* Have each CPU say what it counted. */
	fd = open("/proc/sys/vm/stat_refresh", O_WRONLY);
	if (fd == -1 || write(fd, "1", 1) != 1)
		die("stat_refresh");
	close(fd);

	file = open_proc("/proc/meminfo");
	while (fgets(line, sizeof(line), file)) {
		double kilobytes;

		if (sscanf(line, "MemFree: %lf", &kilobytes) == 1)
			u.all -= 1024 * kilobytes;
		else if (sscanf(line, "Slab: %lf", &kilobytes) == 1)
			u.slab = 1024 * kilobytes;
	}
	fclose(file);

	/* The pages that CPUs keep are as free. */
	file = open_proc("/proc/zoneinfo");
	while (fgets(line, sizeof(line), file)) {
		long pages;

		if (sscanf(line, " count: %ld", &pages) == 1)
			u.all -= pages * sysconf(_SC_PAGESIZE);
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

static void say(const char *what, int size, const struct usage *before)
{
	struct usage after = usage();

	printf("%s %d\t%.0f\t%.0f\t%.0f\n", what, size,
	       (after.all - before->all) / COUNT,
	       (after.slab - before->slab) / COUNT,
	       (after.vmalloc - before->vmalloc) / COUNT);
}

static void measure_pipes(void)
{
	struct usage before = usage();
	int fds[2], i;

	for (i = 0; i < COUNT; i++)
		if (pipe(fds))
			die("pipe");
	say("memory-pipe", 0, &before);
}

/* Not sized if `size` is 0 */
static void measure_queues(int size)
{
	struct usage before = usage();
	struct queue queue;
	int i;

	for (i = 0; i < COUNT; i++) {
		if (open_queue(&queue, 0))
			die("queue");
		/* Not all sizes are possible everywhere. */
		if (size && set_size(&queue, size))
			return;
	}
	say("memory-queue", size, &before);
}

static void measure_watches(void)
{
	int source = open_device("/dev/watch_source"), i;
	struct queue queue = new_queue(32);
	struct usage before = usage();

	for (i = 0; i < COUNT; i++)
		attach(source, queue.rd, i + 1);
	say("memory-watch", 1, &before);
}

/* Nothing is closed: memory that is free again would be used again. */
int main(void)
{
	measure_pipes();
	measure_queues(0);
	measure_queues(32);
	measure_queues(512);
	measure_queues(4096);
	measure_watches();
	return 0;
}

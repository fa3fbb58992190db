// SPDX-License-Identifier: GPL-2.0
/*
 * How long after a post a blocked reader has the message: prints the smallest,
 * and the percentiles 50, 90, 99 and 99.9, in nanoseconds.
 */

#include "bench.h"

#include <sched.h>
#include <sys/wait.h>

#define SAMPLES	1000

/*
 * What poster and reader share.  They are processes: in user-mode Linux the threads of
 * one take turns.
 */
static struct {
	double latencies[SAMPLES];
	long posted;
	int nr_read;
} *shared;

static void run_on(int cpu)
{
	cpu_set_t cpus;

	/* There may be one only. */
	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
}

static void run_reader(int fd)
{
	char buffer[128];
	int i;

	run_on(1);
	for (i = 0; i < SAMPLES; i++) {
		long got;

		if (read(fd, buffer, sizeof(buffer)) <= 0)
			die("read");
		got = now();
		shared->latencies[i] = got - __atomic_load_n(&shared->posted, __ATOMIC_ACQUIRE);
		__atomic_store_n(&shared->nr_read, i + 1, __ATOMIC_RELEASE);
	}
}

int main(void)
{
	int source = open_device("/dev/watch_source"), i;
	const double *latencies;
	struct queue queue;
	pid_t reader;

	shared = share(sizeof(*shared));

	if (open_queue(&queue, 0) || set_size(&queue, 32))
		die("queue");
	attach(source, queue.rd, 1);
	run_on(0);
	reader = fork();
	if (reader == -1)
		die("fork");
	if (!reader) {
		run_reader(queue.rd);
		_exit(0);
	}
	for (i = 0; i < SAMPLES; i++) {
		/* Long enough for the reader to wait again */
		usleep(1000);
		__atomic_store_n(&shared->posted, now(), __ATOMIC_RELEASE);
		post(source, 1, 16, 1);
		while (__atomic_load_n(&shared->nr_read, __ATOMIC_ACQUIRE) == i)
			usleep(100);
	}
	waitpid(reader, NULL, 0);
	sort(shared->latencies, SAMPLES);
	latencies = shared->latencies;
	printf("latency 1\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\n", latencies[0],
	       latencies[SAMPLES / 2], latencies[SAMPLES * 9 / 10],
	       latencies[SAMPLES * 99 / 100], latencies[SAMPLES * 999 / 1000]);
	return 0;
}

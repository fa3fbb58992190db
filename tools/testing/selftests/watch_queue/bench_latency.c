// SPDX-License-Identifier: GPL-2.0
/*
 * How long after a post a blocked reader has the message: prints the smallest,
 * and the percentiles 50, 90, 99 and 99.9, in nanoseconds.
 */

#include "bench.h"

#include <pthread.h>
#include <sched.h>

#define SAMPLES	1000

static struct queue queue;
static double latencies[SAMPLES];
static long posted;
static int nr_read;

static void run_on(int cpu)
{
	cpu_set_t cpus;

	/* There may be one only. */
	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
}

static void *run_reader(void *arg __maybe_unused)
{
	char buffer[128];

	run_on(1);
	while (nr_read < SAMPLES) {
		long got;

		if (read(queue.rd, buffer, sizeof(buffer)) <= 0)
			die("read");
		got = now();
		latencies[nr_read] = got - __atomic_load_n(&posted, __ATOMIC_ACQUIRE);
		__atomic_store_n(&nr_read, nr_read + 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

int main(void)
{
	int source = open_device("/dev/watch_source"), i;
	pthread_t reader;

	if (open_queue(&queue, 0) || set_size(&queue, 32))
		die("queue");
	attach(source, queue.rd, 1);
	run_on(0);
	if (pthread_create(&reader, NULL, run_reader, NULL))
		die("thread");
	for (i = 0; i < SAMPLES; i++) {
		/* Long enough for the reader to wait again */
		usleep(1000);
		__atomic_store_n(&posted, now(), __ATOMIC_RELEASE);
		post(source, 1, 16, 1);
		while (__atomic_load_n(&nr_read, __ATOMIC_ACQUIRE) == i)
			usleep(100);
	}
	pthread_join(reader, NULL);
	sort(latencies, SAMPLES);
	printf("latency 1\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\n", latencies[0],
	       latencies[SAMPLES / 2], latencies[SAMPLES * 9 / 10],
	       latencies[SAMPLES * 99 / 100], latencies[SAMPLES * 999 / 1000]);
	return 0;
}

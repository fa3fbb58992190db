// SPDX-License-Identifier: GPL-2.0
/*
 * Posts by several at once, to one queue or to one each: prints the median time
 * in nanoseconds that a post takes, from the first to the last.
 */

#include "bench.h"

#include <pthread.h>
#include <sched.h>

#define MAX_POSTERS	4
#define SIZE		512
#define ROUNDS		101

static struct poster {
	pthread_t thread;
	int source;
	int cpu;
	long start;
	long end;
} posters[MAX_POSTERS];

static int nr_posters;
static int round_started;
static int nr_done;

static void post_round(struct poster *poster)
{
	poster->start = now();
	post(poster->source, 1, 16, SIZE / nr_posters);
	poster->end = now();
	__atomic_add_fetch(&nr_done, 1, __ATOMIC_RELEASE);
}

/* Spins, so that all start at once */
static void *run_poster(void *arg)
{
	struct poster *poster = arg;
	cpu_set_t cpus;
	int i;

	CPU_ZERO(&cpus);
	CPU_SET(poster->cpu, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	for (i = 1; i <= ROUNDS; i++) {
		while (__atomic_load_n(&round_started, __ATOMIC_ACQUIRE) < i)
			;
		post_round(poster);
	}
	return NULL;
}

static double one_round(const struct queue *queues, int round)
{
	long start, end;
	int i;

	nr_done = 0;
	__atomic_store_n(&round_started, round, __ATOMIC_RELEASE);
	post_round(&posters[0]);
	while (__atomic_load_n(&nr_done, __ATOMIC_ACQUIRE) < nr_posters)
		;
	start = posters[0].start;
	end = posters[0].end;
	for (i = 0; i < nr_posters; i++) {
		if (posters[i].start < start)
			start = posters[i].start;
		if (posters[i].end > end)
			end = posters[i].end;
		drain(queues[i].rd);
	}
	return (end - start) / (double)SIZE;
}

static void scale(const char *name, int posters_wanted, int separate)
{
	struct queue queues[MAX_POSTERS];
	double rounds[ROUNDS];
	cpu_set_t first;
	int i;

	nr_posters = posters_wanted;
	round_started = 0;
	CPU_ZERO(&first);
	CPU_SET(0, &first);
	sched_setaffinity(0, sizeof(first), &first);
	for (i = 0; i < nr_posters; i++) {
		queues[i] = separate || !i ? new_queue(SIZE) : queues[0];
		posters[i].source = open_device("/dev/watch_source");
		posters[i].cpu = i;
		attach(posters[i].source, queues[i].rd, 1);
		if (i && pthread_create(&posters[i].thread, NULL, run_poster,
					&posters[i]))
			die("thread");
	}
	/* Let them come to where they spin. */
	usleep(100000);
	for (i = 0; i < ROUNDS; i++)
		rounds[i] = one_round(queues, i + 1);
	sort(rounds, ROUNDS);
	printf("%s %d\t%.1f\t%.1f\n", name, nr_posters, rounds[0],
	       rounds[ROUNDS / 2]);

	for (i = 0; i < nr_posters; i++) {
		if (i)
			pthread_join(posters[i].thread, NULL);
		close(posters[i].source);
		if (separate || !i)
			close_queue(&queues[i]);
	}
}

int main(void)
{
	scale("scaling-one", 1, 0);
	scale("scaling-one", 2, 0);
	scale("scaling-one", 4, 0);
	scale("scaling-separate", 1, 1);
	scale("scaling-separate", 2, 1);
	scale("scaling-separate", 4, 1);
	return 0;
}

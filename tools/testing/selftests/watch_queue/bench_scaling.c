// SPDX-License-Identifier: GPL-2.0
/*
 * Posts by several at once, as many as there are CPUs: to one queue, to one each, or
 * to one that rejects them.  Prints the smallest and the median time in nanoseconds
 * that a post takes, from the first to the last.
 */

#include "bench.h"

#include <sched.h>
#include <sys/wait.h>

#define MAX_POSTERS	4
#define SIZE		512
#define ROUNDS		101

/* How many messages are rejected in a round: nothing is queued, so there is no end */
#define REJECTED	102400

struct poster {
	pid_t pid;
	int source;
	int cpu;
	long start;
	long end;
	long elapsed;
};

/*
 * What the posters share.  They are processes: in user-mode Linux the threads of one
 * take turns.
 */
static struct {
	struct poster posters[MAX_POSTERS];
	int nr_posters;
	int posts_in_round;
	int round_started;
	int nr_done;
} *shared;

static void post_round(struct poster *poster)
{
	poster->start = now();
	poster->elapsed = post(poster->source, 1, 16, shared->posts_in_round / shared->nr_posters);
	poster->end = now();
	__atomic_add_fetch(&shared->nr_done, 1, __ATOMIC_RELEASE);
}

/* Spins, so that all start at once */
static void run_poster(struct poster *poster)
{
	cpu_set_t cpus;
	int i;

	CPU_ZERO(&cpus);
	CPU_SET(poster->cpu, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	for (i = 1; i <= ROUNDS; i++) {
		while (__atomic_load_n(&shared->round_started, __ATOMIC_ACQUIRE) < i)
			;
		post_round(poster);
	}
}

static double one_round(const struct queue *queues, int round)
{
	const struct poster *posters = shared->posters;
	long start, end, longest = 0;
	int i;

	shared->nr_done = 0;
	__atomic_store_n(&shared->round_started, round, __ATOMIC_RELEASE);
	post_round(&shared->posters[0]);
	while (__atomic_load_n(&shared->nr_done, __ATOMIC_ACQUIRE) < shared->nr_posters)
		;
	start = posters[0].start;
	end = posters[0].end;
	for (i = 0; i < shared->nr_posters; i++) {
		if (posters[i].start < start)
			start = posters[i].start;
		if (posters[i].end > end)
			end = posters[i].end;
		if (posters[i].elapsed > longest)
			longest = posters[i].elapsed;
		drain(queues[i].rd);
	}
	/* Without the system calls, where the posters are at it for long enough to meet */
	if (shared->posts_in_round == REJECTED)
		end = start + longest;
	return (end - start) / (double)shared->posts_in_round;
}

/* Has a queue reject what is posted here. */
static void reject_all(const struct queue *queue)
{
	struct watch_notification_type_filter *rule;
	struct watch_notification_filter *f = calloc(1, sizeof(*f) + sizeof(*rule));

	if (!f)
		die("filter");
	f->nr_filters = 1;
	rule = &f->filters[0];
	rule->type = 1;
	rule->subtype_filter[0] = 2;
	if (ioctl(queue->rd, IOC_WATCH_QUEUE_SET_FILTER, f))
		die("filter");
	free(f);
}

enum queues { ONE, SEPARATE, REJECTING };

static void scale(const char *name, enum queues which, int posters_wanted)
{
	int separate = which == SEPARATE;
	struct queue queues[MAX_POSTERS];
	double rounds[ROUNDS];
	cpu_set_t first;
	int i;

	if (posters_wanted > sysconf(_SC_NPROCESSORS_ONLN))
		return;
	shared->nr_posters = posters_wanted;
	shared->posts_in_round = which == REJECTING ? REJECTED : SIZE;
	shared->round_started = 0;
	CPU_ZERO(&first);
	CPU_SET(0, &first);
	sched_setaffinity(0, sizeof(first), &first);
	for (i = 0; i < posters_wanted; i++) {
		struct poster *poster = &shared->posters[i];

		queues[i] = separate || !i ? new_queue(SIZE) : queues[0];
		if (which == REJECTING && !i)
			reject_all(&queues[i]);
		poster->source = open_device("/dev/watch_source");
		poster->cpu = i;
		attach(poster->source, queues[i].rd, 1);
		if (!i)
			continue;
		poster->pid = fork();
		if (poster->pid == -1)
			die("fork");
		if (!poster->pid) {
			run_poster(poster);
			_exit(0);
		}
	}
	/* Let them come to where they spin. */
	usleep(100000);
	for (i = 0; i < ROUNDS; i++)
		rounds[i] = one_round(queues, i + 1);
	sort(rounds, ROUNDS);
	printf("%s %d\t%.1f\t%.1f\n", name, posters_wanted, rounds[0],
	       rounds[ROUNDS / 2]);

	for (i = 0; i < posters_wanted; i++) {
		if (i)
			waitpid(shared->posters[i].pid, NULL, 0);
		close(shared->posters[i].source);
		if (separate || !i)
			close_queue(&queues[i]);
	}
}

int main(void)
{
	static const char * const names[] = {
		"scaling-one", "scaling-separate", "scaling-rejecting",
	};
	enum queues which;
	int posters;

	shared = share(sizeof(*shared));
	for (which = ONE; which <= REJECTING; which++)
		for (posters = 1; posters <= MAX_POSTERS; posters *= 2)
			scale(names[which], which, posters);
	return 0;
}

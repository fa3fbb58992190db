// SPDX-License-Identifier: GPL-2.0
/*
 * What it costs, and how long it keeps others from running, to take away many
 * mounts that are watched: by nobody, by notification queues, by fanotify.  What
 * a mount costs while others are watched, and a post to one of many that are.
 *
 * usage: bench_mounts detach MOUNTS QUEUES
 *        bench_mounts fanotify MOUNTS GROUPS
 *        bench_mounts elsewhere
 *        bench_mounts objects COUNT
 */

#include "bench.h"
#include "fdinfo.h"
#include "sources.h"

#include <pthread.h>
#include <sys/fanotify.h>
#include <sys/resource.h>

#define DIR		"/tmp/bench_mounts"
#define WAKE_NS		100000
#define TIMES		64

#ifndef FAN_REPORT_MNT
#define FAN_REPORT_MNT		0x00004000
#endif
#ifndef FAN_MARK_MNTNS
#define FAN_MARK_MNTNS		0x00000110
#endif
#ifndef FAN_MNT_ATTACH
#define FAN_MNT_ATTACH		0x01000000
#define FAN_MNT_DETACH		0x02000000
#endif

/* A real-time thread that wants to run every 100 us, and how late it was at most */
static struct {
	pthread_t thread;
	long worst;
	int stop;
} rt;

static void *wake_often(void *unused)
{
	struct sched_param param = { .sched_priority = 50 };
	struct timespec at;
	long due;

	(void)unused;
	if (pthread_setschedparam(pthread_self(), SCHED_FIFO, &param))
		die("SCHED_FIFO");
	due = now();
	while (!__atomic_load_n(&rt.stop, __ATOMIC_RELAXED)) {
		long late;

		due += WAKE_NS;
		at.tv_sec = due / 1000000000;
		at.tv_nsec = due % 1000000000;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
		late = now() - due;
		if (late > rt.worst)
			rt.worst = late;
		if (late > WAKE_NS)
			due = now();
	}
	return NULL;
}

static void begin_to_wake(void)
{
	rt.worst = 0;
	rt.stop = 0;
	if (pthread_create(&rt.thread, NULL, wake_often, NULL))
		die("thread");
	usleep(100000);
	rt.worst = 0;
}

static long end_of_waking(void)
{
	__atomic_store_n(&rt.stop, 1, __ATOMIC_RELAXED);
	pthread_join(rt.thread, NULL);
	return rt.worst;
}

static void set(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY);

	/* Kernels differ in which of these they have. */
	if (fd == -1)
		return;
	if (write(fd, value, strlen(value)) == -1)
		die(path);
	close(fd);
}

static void lift_limits(void)
{
	struct rlimit limit = { 1 << 20, 1 << 20 };

	set("/proc/sys/fs/nr_open", "1048576");
	set("/proc/sys/fs/mount-max", "2000000");
	set("/proc/sys/user/max_watch_queue_watches", "2000000");
	set("/proc/sys/fs/fanotify/max_queued_events", "1000000");
	if (setrlimit(RLIMIT_NOFILE, &limit))
		die("RLIMIT_NOFILE");
}

/* Stack mounts in one place, and have each watched by all queues. */
static void stack(int mounts, const struct queue *queues, int nr)
{
	int i, j;

	if (mount("none", DIR, "tmpfs", 0, NULL) || mkdir(DIR "/a", 0755))
		die(DIR);
	for (i = 0; i < mounts; i++) {
		int fd;

		if (mount("none", DIR "/a", "tmpfs", 0, NULL))
			die("mount");
		if (!nr)
			continue;
		fd = open(DIR "/a", O_PATH);
		for (j = 0; j < nr; j++) {
			if (add_watch(queues[j].rd, WATCH_TYPE_MOUNT_NOTIFY, fd,
				      WATCH_MOUNT_SUBTREE))
				die("watch");
		}
		close(fd);
	}
}

/* Detach them, with what they are on: how long that takes, and keeps others waiting */
static long detach_stack(long *late)
{
	long start, took;

	/* Until what was done before has been freed */
	usleep(500000);
	begin_to_wake();
	start = now();
	if (umount2(DIR, MNT_DETACH))
		die("umount");
	took = now() - start;
	/* What RCU frees later may keep others waiting, too. */
	usleep(500000);
	*late = end_of_waking();
	return took;
}

/* How long it took, how many messages that were, and how late the thread was */
static void report(const char *who, int nr, int mounts, long took, long messages, long late)
{
	printf("detach-%s-%d %d\t%ld\t%ld\t%ld\n", who, nr, mounts, took, messages, late);
}

static long posted(const struct queue *queues, int nr)
{
	long sum = 0;

	while (nr--)
		sum += fdinfo_number(queues[nr].rd, "posted");
	return sum;
}

static void detach_watched(int mounts, int nr)
{
	struct queue *queues = calloc(nr + 1, sizeof(*queues));
	long before, took, late;
	int i;

	for (i = 0; i < nr; i++)
		queues[i] = new_queue(128);
	stack(mounts, queues, nr);
	before = posted(queues, nr);
	took = detach_stack(&late);
	report("queues", nr, mounts, took, posted(queues, nr) - before, late);
}

/* Each group gets one event for each mount. */
static void detach_marked(int mounts, int nr)
{
	static struct fanotify_event_metadata events[4096];
	int *groups = calloc(nr + 1, sizeof(*groups));
	long took, late, messages = 0;
	int i, ns = open("/proc/self/ns/mnt", O_RDONLY);

	stack(mounts, NULL, 0);
	for (i = 0; i < nr; i++) {
		groups[i] = fanotify_init(FAN_CLASS_NOTIF | FAN_NONBLOCK | FAN_REPORT_MNT |
					  FAN_UNLIMITED_QUEUE, 0);
		if (groups[i] == -1 ||
		    fanotify_mark(groups[i], FAN_MARK_ADD | FAN_MARK_MNTNS,
				  FAN_MNT_ATTACH | FAN_MNT_DETACH, ns, NULL))
			die("fanotify");
	}
	took = detach_stack(&late);
	for (i = 0; i < nr; i++) {
		struct fanotify_event_metadata *event;
		ssize_t length;

		while ((length = read(groups[i], events, sizeof(events))) > 0) {
			for (event = events; FAN_EVENT_OK(event, length);
			     event = FAN_EVENT_NEXT(event, length))
				messages++;
		}
	}
	report("fanotify", nr, mounts, took, messages, late);
}

/* A mount and its end, in instructions */
static double mount_and_umount(void)
{
	double each[BATCHES];
	int i, j;

	for (i = 0; i < BATCHES; i++) {
		long start;

		usleep(100000);
		start = now();
		for (j = 0; j < TIMES; j++) {
			if (mount(DIR, DIR, NULL, MS_BIND, NULL) || umount2(DIR, MNT_DETACH))
				die("mount");
		}
		each[i] = (now() - start) / (double)TIMES;
	}
	sort(each, BATCHES);
	return each[0];
}

static void watch(const struct queue *queue, int fd, uint32_t flags)
{
	if (add_watch(queue->rd, WATCH_TYPE_MOUNT_NOTIFY, fd, flags))
		die("watch");
}

static void mount_here(int there, int root)
{
	int here = open("/proc/self/ns/mnt", O_RDONLY);
	struct queue queue = new_queue(128);

	printf("mount-nobody-watching 1\t%.0f\n", mount_and_umount());
	watch(&queue, there, 0);
	printf("mount-elsewhere-watched 1\t%.0f\n", mount_and_umount());
	watch(&queue, root, WATCH_MOUNT_SUBTREE);
	printf("mount-elsewhere-subtree-watched 1\t%.0f\n", mount_and_umount());
	watch(&queue, here, 0);
	printf("mount-watched 1\t%.0f\n", mount_and_umount());
	close_queue(&queue);
	sleep(3);
	printf("mount-nobody-watching-any-more 1\t%.0f\n", mount_and_umount());
}

/* The cost of changing a mount, in instructions */
static double change(const char *path)
{
	double each[BATCHES];
	int i, j;

	for (i = 0; i < BATCHES; i++) {
		long start = now();

		for (j = 0; j < TIMES; j++) {
			if (mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_NOSUID, NULL))
				die("remount");
		}
		each[i] = (now() - start) / (double)TIMES;
	}
	sort(each, BATCHES);
	return each[0];
}

static void objects(int count)
{
	struct queue one = new_queue(128), many = new_queue(128);
	double unwatched, only, among;
	char path[64];
	int i, fd;

	/* A mount that is bound elsewhere is searched for children: this has none. */
	if (mount("none", DIR, "tmpfs", 0, "nr_inodes=0") || mkdir(DIR "/source", 0755) ||
	    mount("none", DIR "/source", "tmpfs", 0, NULL))
		die(DIR);
	for (i = 0; i < count; i++) {
		snprintf(path, sizeof(path), DIR "/%d", i);
		if (mkdir(path, 0755) || mount(DIR "/source", path, NULL, MS_BIND, NULL))
			die(path);
	}
	unwatched = change(DIR "/0");
	fd = open(DIR "/0", O_PATH);
	watch(&one, fd, WATCH_MOUNT_SUBTREE);
	only = change(DIR "/0");
	for (i = 1; i < count; i++) {
		snprintf(path, sizeof(path), DIR "/%d", i);
		fd = open(path, O_PATH);
		watch(&many, fd, WATCH_MOUNT_SUBTREE);
		close(fd);
	}
	among = change(DIR "/0");
	printf("change-unwatched %d\t%.0f\n", count, unwatched);
	printf("change-only-one-watched %d\t%.0f\n", count, only);
	printf("change-one-of-many-watched %d\t%.0f\n", count, among);
	if (among - unwatched > 1.3 * (only - unwatched)) {
		fprintf(stderr, "a post is dearer where more is watched\n");
		exit(1);
	}
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	int there = open("/proc/self/ns/mnt", O_RDONLY), root = open("/", O_PATH);

	setbuf(stdout, NULL);
	lift_limits();
	if (own_mounts(DIR))
		die("namespace");
	if (!strcmp(what, "detach") && argc == 4)
		detach_watched(atoi(argv[2]), atoi(argv[3]));
	else if (!strcmp(what, "fanotify") && argc == 4)
		detach_marked(atoi(argv[2]), atoi(argv[3]));
	else if (!strcmp(what, "objects") && argc == 3)
		objects(atoi(argv[2]));
	else if (!strcmp(what, "elsewhere"))
		mount_here(there, root);
	else
		return 2;
	return 0;
}

// SPDX-License-Identifier: GPL-2.0
/* Many watched mounts: no delay for other tasks, the order of messages, and limits */

#include "fdinfo.h"
#include "sources.h"

#include <linux/mount.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE	0x00004000U
#endif

#define MOUNT		WATCH_TYPE_MOUNT_NOTIFY
#define DIR		"/tmp/scale_test"
#define LIMIT		"/proc/sys/user/max_watch_queue_watches"

static uint64_t mount_id(const char *path)
{
	struct statx buf = { 0 };

	if (syscall(SYS_statx, AT_FDCWD, path, AT_NO_AUTOMOUNT, STATX_MNT_ID_UNIQUE, &buf) == -1)
		return 0;
	return buf.stx_mnt_id;
}

static int watch_tree(int queue, const char *path)
{
	int fd = open(path, O_PATH | O_CLOEXEC), result;

	result = add_watch(queue, MOUNT, fd, WATCH_MOUNT_SUBTREE);
	close(fd);
	return result;
}

/* Puts one more mount on top of those on DIR/a. */
static int stack_one(void)
{
	return mount(DIR "/a", DIR "/a", NULL, MS_BIND, NULL);
}

static long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

FIXTURE(scale)
{
	struct stream s;
	uint64_t top;
};

FIXTURE_SETUP(scale)
{
	struct rlimit limit = { 8192, 8192 };

	if (!has_source(MOUNT))
		SKIP(return, "no mount notifications in this kernel");
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	ASSERT_EQ(0, own_mounts(DIR));
	ASSERT_EQ(0, mount("tmpfs", DIR, "tmpfs", 0, NULL));
	ASSERT_EQ(0, mkdir(DIR "/a", 0755));
	ASSERT_EQ(0, mkdir(DIR "/b", 0755));
	self->top = mount_id(DIR);
	ASSERT_EQ(0, open_stream(&self->s));
}

FIXTURE_TEARDOWN(scale)
{
}

#define EXPECT_MOUNT(stream, what, id, parent)				\
	do {								\
		EXPECT_MESSAGE(stream, MOUNT, what, mount);		\
		EXPECT_EQ(id, message.mount.mnt_id);			\
		EXPECT_EQ(parent, message.mount.parent_id);		\
	} while (0)

/* Counts how often a real-time thread that wakes all the time does so. */
static struct {
	unsigned long wakes;
	int stop;
} rt;

static void *wake_often(void *unused)
{
	struct timespec a_while = { .tv_nsec = 100000 };

	(void)unused;
	while (!__atomic_load_n(&rt.stop, __ATOMIC_RELAXED)) {
		nanosleep(&a_while, NULL);
		__atomic_add_fetch(&rt.wakes, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static int start_on_this_cpu(pthread_t *thread)
{
	struct sched_param param = { .sched_priority = 50 };
	pthread_attr_t attr;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	return sched_setaffinity(0, sizeof(cpus), &cpus) ||
		pthread_attr_init(&attr) ||
		pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED) ||
		pthread_attr_setschedpolicy(&attr, SCHED_FIFO) ||
		pthread_attr_setschedparam(&attr, &param) ||
		pthread_create(thread, &attr, wake_often, NULL);
}

/*
 * A thousand mounts, most of them above more than a hundred watched ones.  To post
 * all of that takes a while; with preemption off, the thread would hardly run.
 * How often it does depends on the machine.
 */
TEST_F_TIMEOUT(scale, detaching_what_is_watched_keeps_nobody_waiting, 300)
{
	enum { MOUNTS = 1000, QUEUES = 8 };
	struct queue queues[QUEUES];
	unsigned long before, wakes;
	pthread_t thread;
	long took;
	int i, j;

	for (j = 0; j < QUEUES; j++) {
		ASSERT_EQ(0, open_queue(&queues[j], O_NONBLOCK));
		ASSERT_EQ(0, set_size(&queues[j], 32));
	}
	for (i = 0; i < MOUNTS; i++) {
		ASSERT_EQ(0, stack_one());
		for (j = 0; j < QUEUES; j++)
			ASSERT_EQ(0, watch_tree(queues[j].rd, DIR "/a"));
	}
	ASSERT_EQ(0, start_on_this_cpu(&thread));
	usleep(10000);
	before = __atomic_load_n(&rt.wakes, __ATOMIC_RELAXED);
	took = now();
	ASSERT_EQ(0, umount2(DIR, MNT_DETACH));
	took = now() - took;
	wakes = __atomic_load_n(&rt.wakes, __ATOMIC_RELAXED) - before;
	__atomic_store_n(&rt.stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	TH_LOG("it ran %lu times in %ld ms", wakes, took / 1000000);
	/* Once in twenty milliseconds would be five ticks late. */
	EXPECT_LE(took / 20000000 + 1, wakes);
}

/* Each watch has one message of each mount above, and ends once, after those. */
TEST_F(scale, watches_on_what_is_detached_end_once)
{
	enum { MOUNTS = 20 };
	uint64_t ids[MOUNTS];
	int i, j, removed[MOUNTS] = { 0 }, detached = 0, removals = 0;
	union message message;

	for (i = 0; i < MOUNTS; i++) {
		ASSERT_EQ(0, stack_one());
		ids[i] = mount_id(DIR "/a");
		ASSERT_EQ(0, watch_tree(self->s.rd, DIR "/a"));
		/* One for each watch on a mount below */
		for (j = 0; j < i; j++)
			EXPECT_MESSAGE(&self->s, MOUNT, NOTIFY_MOUNT_ATTACHED, mount);
	}
	EXPECT_NOTHING(&self->s);
	ASSERT_EQ(0, umount2(DIR, MNT_DETACH));
	while (next_message(&self->s, &message, NOT_AT_ALL)) {
		if (type_of(&message) == MOUNT) {
			EXPECT_EQ(NOTIFY_MOUNT_DETACHED, subtype_of(&message));
			EXPECT_EQ(0, removals);
			detached++;
			continue;
		}
		ASSERT_EQ(WATCH_TYPE_META, type_of(&message));
		ASSERT_EQ(WATCH_META_REMOVAL_NOTIFICATION, subtype_of(&message));
		removals++;
		for (i = 0; i < MOUNTS && ids[i] != message.removal.id; i++)
			;
		ASSERT_LT(i, MOUNTS);
		removed[i]++;
	}
	EXPECT_EQ(MOUNTS * (MOUNTS + 1) / 2, detached);
	EXPECT_EQ(MOUNTS, removals);
	for (i = 0; i < MOUNTS; i++)
		EXPECT_EQ(1, removed[i]);
	EXPECT_EQ(NULL, fdinfo_nth(self->s.rd, "watch", 0));
}

/* Parents come before what is below them, each with where it was. */
TEST_F(scale, order_of_a_tree_that_is_detached)
{
	union message message;
	uint64_t a, x, y;

	ASSERT_EQ(0, run("mount -t tmpfs none " DIR "/a && mkdir " DIR "/a/x " DIR "/a/y"));
	ASSERT_EQ(0, run("mount -t tmpfs none " DIR "/a/x"));
	ASSERT_EQ(0, run("mount -t tmpfs none " DIR "/a/y"));
	a = mount_id(DIR "/a");
	x = mount_id(DIR "/a/x");
	y = mount_id(DIR "/a/y");
	ASSERT_EQ(0, watch_tree(self->s.rd, DIR "/a"));
	ASSERT_EQ(0, watch_tree(self->s.rd, DIR "/a/x"));
	ASSERT_EQ(0, run("umount -l " DIR "/a"));
	EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_DETACHED, a, self->top);
	/* By both watches, the nearest first */
	EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_DETACHED, x, a);
	EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_DETACHED, x, a);
	EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_DETACHED, y, a);
	EXPECT_REMOVAL(&self->s, a);
	EXPECT_REMOVAL(&self->s, x);
	EXPECT_NOTHING(&self->s);
}

/* A watch on the old place has a message that the mount left, one on the new that it came. */
TEST_F(scale, order_of_a_move_between_trees)
{
	union message message;
	struct stream *from = malloc(sizeof(*from));
	uint64_t a, b, x;

	ASSERT_EQ(0, open_stream(from));
	ASSERT_EQ(0, run("mount -t tmpfs none " DIR "/a && mkdir " DIR "/a/x"));
	ASSERT_EQ(0, run("mount -t tmpfs none " DIR "/b && mkdir " DIR "/b/x"));
	ASSERT_EQ(0, run("mount -t tmpfs none " DIR "/a/x"));
	a = mount_id(DIR "/a");
	b = mount_id(DIR "/b");
	x = mount_id(DIR "/a/x");
	ASSERT_EQ(0, watch_tree(from->rd, DIR "/a"));
	ASSERT_EQ(0, watch_tree(self->s.rd, DIR "/b"));
	ASSERT_EQ(0, watch_tree(self->s.rd, DIR));
	ASSERT_EQ(0, run("mount --move " DIR "/a/x " DIR "/b/x"));
	EXPECT_MOUNT(from, NOTIFY_MOUNT_MOVED_FROM, x, a);
	EXPECT_NOTHING(from);
	EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_MOVED_FROM, x, a);
	EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_MOVED_TO, x, b);
	EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_MOVED_TO, x, b);
	EXPECT_NOTHING(&self->s);
}

/* Propagation does not change here, so that it takes no more locks than it has to. */
TEST_F(scale, attributes_of_a_tree)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_NOSUID };
	union message message;
	uint64_t a, x;

	ASSERT_EQ(0, run("mount -t tmpfs none " DIR "/a && mkdir " DIR "/a/x"));
	ASSERT_EQ(0, run("mount -t tmpfs none " DIR "/a/x"));
	ASSERT_EQ(0, run("mount -t tmpfs none " DIR "/b"));
	a = mount_id(DIR "/a");
	x = mount_id(DIR "/a/x");
	ASSERT_EQ(0, watch_tree(self->s.rd, DIR "/a"));
	ASSERT_EQ(0, syscall(SYS_mount_setattr, AT_FDCWD, DIR, AT_RECURSIVE, &attr,
			     sizeof(attr)));
	EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_SETATTR, a, self->top);
	EXPECT_EQ(MOUNT_ATTR_NOSUID | MOUNT_ATTR_RELATIME, message.mount.attr);
	EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_SETATTR, x, a);
	EXPECT_NOTHING(&self->s);
	/* Not below */
	attr.attr_set = MOUNT_ATTR_NODEV;
	ASSERT_EQ(0, syscall(SYS_mount_setattr, AT_FDCWD, DIR "/a", 0, &attr, sizeof(attr)));
	EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_SETATTR, a, self->top);
	EXPECT_NOTHING(&self->s);
	/* A call that fails changes nothing. */
	attr.attr_set = MOUNT_ATTR_RDONLY;
	ASSERT_NE(-1, open(DIR "/a/x/file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	EXPECT_FAILS(EBUSY, syscall(SYS_mount_setattr, AT_FDCWD, DIR "/a", AT_RECURSIVE, &attr,
				    sizeof(attr)));
	EXPECT_NOTHING(&self->s);
}

static int own_user_namespace(void)
{
	return unshare(CLONE_NEWUSER | CLONE_NEWNS) || write_to("/proc/self/uid_map", "0 0 1") ||
		write_to("/proc/self/setgroups", "deny") ||
		write_to("/proc/self/gid_map", "0 0 1") ||
		mount("none", "/tmp", "tmpfs", 0, NULL) || mkdir(DIR, 0755) ||
		mount("none", DIR, "tmpfs", 0, NULL) ||
		mkdir(DIR "/a", 0755);
}

/* Until what RCU frees is no longer counted */
static int watch_in_time(int queue, const char *path)
{
	int i;

	for (i = 0; i < 200; i++) {
		if (watch_tree(queue, path) == 0)
			return 0;
		if (errno != EAGAIN)
			break;
		usleep(50000);
	}
	return -1;
}

TEST_F(scale, watches_are_limited_in_a_user_namespace)
{
	struct queue q;

	if (own_user_namespace())
		SKIP(return, "no user namespaces in this kernel");
	ASSERT_EQ(0, write_to(LIMIT, "2"));
	ASSERT_EQ(0, open_queue(&q, O_NONBLOCK));
	ASSERT_EQ(0, watch_tree(q.rd, "/"));
	ASSERT_EQ(0, watch_tree(q.rd, "/tmp"));
	EXPECT_FAILS(EAGAIN, watch_tree(q.rd, DIR));
	/* Whichever queue it is */
	EXPECT_FAILS(EAGAIN, watch_tree(self->s.rd, DIR));
	/* A watch that is there is not counted again. */
	EXPECT_FAILS(EBUSY, watch_tree(q.rd, "/"));
	close(q.rd);
	close(q.wr);
	ASSERT_EQ(0, watch_in_time(self->s.rd, DIR));
	ASSERT_EQ(0, watch_in_time(self->s.rd, "/"));
	EXPECT_FAILS(EAGAIN, watch_tree(self->s.rd, "/tmp"));
	/* And when what is watched goes */
	ASSERT_EQ(0, umount2(DIR, MNT_DETACH));
	ASSERT_EQ(0, watch_in_time(self->s.rd, "/tmp"));
}

/* A user namespace within another takes from what that has. */
TEST_F(scale, watches_are_limited_by_the_user_namespaces_above)
{
	if (own_user_namespace())
		SKIP(return, "no user namespaces in this kernel");
	ASSERT_EQ(0, write_to(LIMIT, "2"));
	ASSERT_EQ(0, own_user_namespace());
	ASSERT_EQ(0, watch_tree(self->s.rd, "/"));
	ASSERT_EQ(0, watch_tree(self->s.rd, "/tmp"));
	EXPECT_FAILS(EAGAIN, watch_tree(self->s.rd, DIR));
	EXPECT_FAILS(EAGAIN, watch_tree(self->s.rd, DIR));
}

TEST_HARNESS_MAIN

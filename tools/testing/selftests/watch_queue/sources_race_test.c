// SPDX-License-Identifier: GPL-2.0
/* Objects that go away while they are watched, and queues that do */

#include "disk.h"
#include "fdinfo.h"
#include "hold.h"
#include "source.h"
#include "sources.h"

#include <pthread.h>
#include <sys/mman.h>

#define MOUNTED		"/tmp/sources_race_test"

/* Two threads that begin each round together */
struct race {
	pthread_barrier_t start;
	struct disk disk;
	int rounds;
	int fd;
	int stop;
};

static void spin(int times)
{
	while (times-- > 0)
		asm volatile("" ::: "memory");
}

/* A watch that was added gets one removal, and one that was refused gets none. */
#define EXPECT_TOLD(stream, added, kind)				\
	do {								\
		union message message_;					\
		int removed_ = 0;					\
									\
		while (next_message(stream, &message_, 0)) {		\
			if (type_of(&message_) == (kind))		\
				continue;				\
			ASSERT_EQ(WATCH_TYPE_META, type_of(&message_));	\
			ASSERT_EQ(WATCH_META_REMOVAL_NOTIFICATION,	\
				  subtype_of(&message_));		\
			removed_++;					\
		}							\
		ASSERT_EQ(added, removed_);				\
	} while (0)

static void *umount_each(void *arg)
{
	struct race *race = arg;
	int i;

	for (i = 0; i < race->rounds; i++) {
		pthread_barrier_wait(&race->start);
		spin(i * 7919 % 5000);
		umount2(MOUNTED, MNT_DETACH);
		pthread_barrier_wait(&race->start);
	}
	return NULL;
}

/* Each takes as long as the machine needs. */
FIXTURE(race)
{
	struct stream s;
};

FIXTURE_SETUP(race)
{
	ASSERT_EQ(0, open_stream(&self->s));
}

FIXTURE_TEARDOWN(race)
{
}

/*
 * QEMU drops the translation of an instruction before it lets a CPU patch that. What another
 * CPU, of another thread of QEMU, translates in between stays: a static key is on, and its
 * branch is not taken. On arm64, a module with a static key and nothing else shows that. There,
 * the key is enabled before the race; elsewhere, in it.
 */
static int enable_key_before_race(void)
{
#ifdef __aarch64__
	struct stream stream;
	int ns = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);

	/* The files are for exit() to close. */
	return open_stream(&stream) || add_watch(stream.rd, WATCH_TYPE_MOUNT_NOTIFY, ns, 0);
#else
	return 0;
#endif
}

TEST_F_TIMEOUT(race, mount_that_goes_while_it_is_attached, 300)
{
	struct race race = { .rounds = 500 };
	int i, added, seen = 0;
	pthread_t other;

	if (!has_source(WATCH_TYPE_MOUNT_NOTIFY))
		SKIP(return, "no mount notifications in this kernel");
	ASSERT_EQ(0, enable_key_before_race());
	ASSERT_EQ(0, own_mounts(MOUNTED));
	pthread_barrier_init(&race.start, NULL, 2);
	ASSERT_EQ(0, pthread_create(&other, NULL, umount_each, &race));
	for (i = 0; i < race.rounds; i++) {
		ASSERT_EQ(0, mount("none", MOUNTED, "tmpfs", 0, NULL));
		race.fd = open(MOUNTED, O_PATH | O_CLOEXEC);
		ASSERT_NE(-1, race.fd);
		pthread_barrier_wait(&race.start);
		spin(i * 104729 % 5000);
		added = add_watch(self->s.rd, WATCH_TYPE_MOUNT_NOTIFY, race.fd,
				  WATCH_MOUNT_SUBTREE) == 0;
		if (!added)
			ASSERT_EQ(EINVAL, errno);
		pthread_barrier_wait(&race.start);
		close(race.fd);
		EXPECT_TOLD(&self->s, added, WATCH_TYPE_MOUNT_NOTIFY);
		seen += added;
	}
	pthread_join(other, NULL);
	TH_LOG("%d of %d were attached in time", seen, race.rounds);
}

#define FROZEN		"/tmp/sources_race_test.frozen"

/* Returns whether a process sleeps, and no signal wakes it. */
static int is_blocked(pid_t pid)
{
	char path[32], line[128] = "";
	const char *state;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1 || read(fd, line, sizeof(line) - 1) < 0)
		abort();
	close(fd);
	state = strrchr(line, ')');
	return state && state[2] == 'D';
}

/* Unmount when the parent is blocked; then let it go on. */
static int umount_when_blocked(int frozen)
{
	int i, ret = 0, blocked = 0;

	for (i = 0; blocked < 10 && i < 10000; i++) {
		blocked = is_blocked(getppid()) ? blocked + 1 : 0;
		usleep(1000);
	}
	if (blocked < 10)
		ret = 1;
	else if (umount2(MOUNTED, MNT_DETACH))
		ret = 2;
	return ioctl(frozen, FITHAW, 0) ? 3 : ret;
}

/*
 * The id is written when the mount has been found, and before the watch is there.
 * A page of a file cannot be written as long as the file system is frozen.
 */
TEST_F(race, mount_that_goes_before_the_watch_is_there)
{
	struct watch_queue_watch *watch, args = {
		.source = WATCH_TYPE_MOUNT_NOTIFY,
		.tag = TAG,
		.flags = WATCH_MOUNT_SUBTREE,
	};
	struct disk disk;
	union message message;
	int fd, file, status;
	pid_t pid;

	if (!has_source(WATCH_TYPE_MOUNT_NOTIFY))
		SKIP(return, "no mount notifications in this kernel");
	if (access("/sys/fs/ext4", F_OK) == -1 || access("/sys/block/nullb0", F_OK) == -1)
		SKIP(return, "no ext4 or null_blk in this kernel");
	ASSERT_EQ(0, own_mounts(MOUNTED));
	ASSERT_EQ(0, mount("none", MOUNTED, "tmpfs", 0, NULL));
	fd = open(MOUNTED, O_PATH | O_CLOEXEC);
	ASSERT_NE(-1, fd);
	args.fd = fd;
	ASSERT_EQ(0, make_disk(&disk, "race_test"));
	ASSERT_EQ(0, run("mkfs.ext4 -q %s && mkdir -p " FROZEN, disk.node));
	ASSERT_EQ(0, mount(disk.node, FROZEN, "ext4", 0, NULL));
	file = open(FROZEN "/page", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ASSERT_NE(-1, file);
	ASSERT_EQ(sizeof(args), write(file, &args, sizeof(args)));
	ASSERT_EQ(0, ftruncate(file, 4096));
	watch = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	ASSERT_NE(MAP_FAILED, watch);
	ASSERT_EQ(0, ioctl(file, FIFREEZE, 0));
	pid = fork_with_files();
	if (pid == 0)
		_exit(umount_when_blocked(file));
	EXPECT_EQ(-1, ioctl(self->s.rd, IOC_WATCH_QUEUE_ADD_WATCH, watch));
	EXPECT_EQ(EINVAL, errno);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	/* The id was written, and taken back. */
	EXPECT_EQ(0, watch->id);
	EXPECT_EQ(NULL, fdinfo_nth(self->s.rd, "watch", 0));
	EXPECT_FALSE(next_message(&self->s, &message, NOT_AT_ALL));
	close(fd);
	munmap(watch, 4096);
	close(file);
	umount2(FROZEN, MNT_DETACH);
	remove_disk(&disk);
}

#define PAUSE		"/sys/module/watch_pause/parameters/"

static int is_held(void)
{
	char state[16] = "";
	int fd = open(PAUSE "state", O_RDONLY | O_CLOEXEC);

	if (fd == -1 || read(fd, state, sizeof(state) - 1) < 0)
		abort();
	close(fd);
	return strcmp(state, "held\n") == 0;
}

/* Let the attach go when the removal is there. */
static int let_go_at_removal(struct stream *stream)
{
	struct pollfd readable = { .fd = stream->rd, .events = POLLIN };

	if (poll(&readable, 1, SOON) != 1)
		return 1;
	return write_file(PAUSE "go", "1") ? 2 : 0;
}

static int umount_when_held(void)
{
	int i;

	for (i = 0; !is_held(); i++) {
		if (i == 1000)
			return 1;
		usleep(1000);
	}
	return umount2(MOUNTED, MNT_DETACH) ? 2 : 0;
}

TEST_F(race, mount_that_goes_as_soon_as_the_watch_is_there)
{
	/* Removals pass all filters. */
	struct {
		struct watch_notification_filter head;
		struct watch_notification_type_filter rule;
	} removals_only = { .head.nr_filters = 1, .rule.type = WATCH_TYPE_KEY_NOTIFY };
	union message message;
	pid_t umounter, opener;
	int fd, status;

	if (!has_source(WATCH_TYPE_MOUNT_NOTIFY))
		SKIP(return, "no mount notifications in this kernel");
	if (access("test_modules/watch_pause.ko", F_OK))
		SKIP(return, "no watch_pause.ko in this guest");
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP(return, "takes two CPUs");
	run("rmmod watch_pause 2>/dev/null");
	ASSERT_EQ(0, run("insmod test_modules/watch_pause.ko"));
	ASSERT_EQ(0, own_mounts(MOUNTED));
	ASSERT_EQ(0, mount("none", MOUNTED, "tmpfs", 0, NULL));
	fd = open(MOUNTED, O_PATH | O_CLOEXEC);
	ASSERT_NE(-1, fd);
	ASSERT_EQ(0, ioctl(self->s.rd, IOC_WATCH_QUEUE_SET_FILTER, &removals_only));
	/* The others are on a CPU that is not held. */
	ASSERT_EQ(0, run_on(0));
	opener = fork_with_files();
	if (opener == 0)
		_exit(let_go_at_removal(&self->s));
	umounter = fork_with_files();
	if (umounter == 0)
		_exit(umount_when_held());
	ASSERT_EQ(0, run_on(1));
	ASSERT_EQ(0, write_file(PAUSE "arm", "1"));
	EXPECT_EQ(0, add_watch(self->s.rd, WATCH_TYPE_MOUNT_NOTIFY, fd, WATCH_MOUNT_SUBTREE));
	ASSERT_EQ(umounter, waitpid(umounter, &status, 0));
	EXPECT_EQ(0, status);
	ASSERT_EQ(opener, waitpid(opener, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(NULL, fdinfo_nth(self->s.rd, "watch", 0));
	EXPECT_TOLD(&self->s, 1, WATCH_TYPE_MOUNT_NOTIFY);
	close(fd);
	EXPECT_EQ(0, run("rmmod watch_pause"));
}

static void *power_off_each(void *arg)
{
	struct race *race = arg;
	int i;

	for (i = 0; i < race->rounds; i++) {
		pthread_barrier_wait(&race->start);
		configure(&race->disk, "power", "0");
		pthread_barrier_wait(&race->start);
	}
	return NULL;
}

TEST_F_TIMEOUT(race, disk_that_goes_while_it_is_attached, 300)
{
	struct race race = { .rounds = 100 };
	int i, added, seen = 0;
	pthread_t other;

	if (!has_source(WATCH_TYPE_BLOCK_NOTIFY))
		SKIP(return, "no block notifications in this kernel");
	ASSERT_EQ(0, make_disk(&race.disk, "race_test"));
	pthread_barrier_init(&race.start, NULL, 2);
	ASSERT_EQ(0, pthread_create(&other, NULL, power_off_each, &race));
	for (i = 0; i < race.rounds; i++) {
		configure(&race.disk, "power", "1");
		race.fd = open(race.disk.node, O_RDONLY | O_CLOEXEC);
		ASSERT_NE(-1, race.fd);
		pthread_barrier_wait(&race.start);
		spin(i * 104729 % 200000);
		added = add_watch(self->s.rd, WATCH_TYPE_BLOCK_NOTIFY, race.fd, 0) == 0;
		if (!added)
			ASSERT_EQ(ENODEV, errno);
		pthread_barrier_wait(&race.start);
		close(race.fd);
		EXPECT_TOLD(&self->s, added, WATCH_TYPE_BLOCK_NOTIFY);
		seen += added;
	}
	pthread_join(other, NULL);
	remove_disk(&race.disk);
	TH_LOG("%d of %d were attached in time", seen, race.rounds);
}

static void *fail_for_ever(void *arg)
{
	struct race *race = arg;

	while (!__atomic_load_n(&race->stop, __ATOMIC_RELAXED))
		read_sectors(race->fd, 0, 1);
	return NULL;
}

/* Requests fail all the time, in hard interrupts. */
TEST_F_TIMEOUT(race, queue_that_goes_while_it_is_told, 300)
{
	struct race race = { .rounds = 300 };
	union message message;
	pthread_t other;
	int i;

	if (!has_source(WATCH_TYPE_BLOCK_NOTIFY))
		SKIP(return, "no block notifications in this kernel");
	ASSERT_EQ(0, make_disk_completing(&race.disk, "race_test", IN_HARD_INTERRUPT));
	ASSERT_EQ(0, set_bad(&race.disk, 1, 0, 7));
	race.fd = open(race.disk.node, O_RDONLY | O_DIRECT | O_CLOEXEC);
	ASSERT_NE(-1, race.fd);
	ASSERT_NE(NULL, aligned_buffer());
	ASSERT_EQ(0, pthread_create(&other, NULL, fail_for_ever, &race));
	for (i = 0; i < race.rounds; i++) {
		struct stream s;

		ASSERT_EQ(0, open_stream(&s));
		ASSERT_EQ(0, add_watch(s.rd, WATCH_TYPE_BLOCK_NOTIFY, race.fd, 0));
		ASSERT_EQ(0, add_watch(s.rd, WATCH_TYPE_BLOCK_NOTIFY, -1, 0));
		if (i % 3 == 0)
			ASSERT_TRUE(next_message(&s, &message, SOON));
		if (i % 2 == 0)
			ASSERT_EQ(0, remove_watch(s.rd, WATCH_TYPE_BLOCK_NOTIFY, race.fd, 0));
		close(s.rd);
		close(s.wr);
	}
	__atomic_store_n(&race.stop, 1, __ATOMIC_RELAXED);
	pthread_join(other, NULL);
	close(race.fd);
	remove_disk(&race.disk);
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: GPL-2.0
/* Objects that go away while they are watched, and queues that do */

#include "disk.h"
#include "sources.h"

#include <pthread.h>

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

TEST_F_TIMEOUT(race, mount_that_goes_while_it_is_attached, 300)
{
	struct race race = { .rounds = 500 };
	int i, added, seen = 0;
	pthread_t other;

	if (!has_source(WATCH_TYPE_MOUNT_NOTIFY))
		SKIP(return, "no mount notifications in this kernel");
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

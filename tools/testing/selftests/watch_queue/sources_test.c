// SPDX-License-Identifier: GPL-2.0
/* Attaching a queue with IOC_WATCH_QUEUE_ADD_WATCH, whatever the source */

#include "sources.h"

#include <sys/resource.h>

static const uint32_t all_sources[] = {
	WATCH_TYPE_MOUNT_NOTIFY, WATCH_TYPE_SUPERBLOCK_NOTIFY,
	WATCH_TYPE_BLOCK_NOTIFY, WATCH_TYPE_DEVICE_NOTIFY,
};

FIXTURE(sources)
{
	struct stream s;
	int fd;
};

FIXTURE_SETUP(sources)
{
	struct watch_queue_watch watch = { 0 };

	ASSERT_EQ(0, open_stream(&self->s));
	self->fd = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	ASSERT_NE(-1, self->fd);
	if (ioctl(self->s.rd, IOC_WATCH_QUEUE_ADD_WATCH, &watch) == -1 &&
	    errno == ENOTTY)
		SKIP(return, "no sources in this kernel");
}

FIXTURE_TEARDOWN(sources)
{
}

static int with_size(int queue, unsigned int size, const void *watch)
{
	return ioctl(queue, _IOC(_IOC_WRITE, 'W', 0x62, size), watch);
}

TEST_F(sources, source_that_is_not_there)
{
	size_t i;

	EXPECT_FAILS(EOPNOTSUPP, add_watch(self->s.rd, WATCH_TYPE_META, self->fd, 0));
	EXPECT_FAILS(EOPNOTSUPP, add_watch(self->s.rd, WATCH_TYPE_KEY_NOTIFY, self->fd, 0));
	EXPECT_FAILS(EOPNOTSUPP, add_watch(self->s.rd, WATCH_TYPE__NR, self->fd, 0));
	EXPECT_FAILS(EOPNOTSUPP, add_watch(self->s.rd, 0xffffffff, self->fd, 0));
	EXPECT_FAILS(EOPNOTSUPP, remove_watch(self->s.rd, WATCH_TYPE__NR, self->fd, 0));
	for (i = 0; i < ARRAY_SIZE(all_sources); i++) {
		if (!has_source(all_sources[i])) {
			EXPECT_FAILS(EOPNOTSUPP,
				     add_watch(self->s.rd, all_sources[i], -1, 0));
		}
	}
}

TEST_F(sources, what_is_not_known_must_not_be_asked_for)
{
	struct {
		struct watch_queue_watch watch;
		uint64_t later[4];
	} args = {
		.watch = {
			.source = WATCH_TYPE_MOUNT_NOTIFY,
			.fd = self->fd,
			.tag = TAG,
		},
	};
	size_t i;

	if (!has_source(WATCH_TYPE_MOUNT_NOTIFY))
		SKIP(return, "no mount notifications in this kernel");
	args.watch.__reserved = 1;
	EXPECT_FAILS(EINVAL, ioctl(self->s.rd, IOC_WATCH_QUEUE_ADD_WATCH, &args));
	args.watch.__reserved = 1ULL << 32;
	EXPECT_FAILS(EINVAL, ioctl(self->s.rd, IOC_WATCH_QUEUE_ADD_WATCH, &args));
	args.watch.__reserved = 0;
	args.watch.tag = 256;
	EXPECT_FAILS(EINVAL, ioctl(self->s.rd, IOC_WATCH_QUEUE_ADD_WATCH, &args));
	args.watch.tag = TAG;
	for (i = 0; i < ARRAY_SIZE(all_sources); i++) {
		if (!has_source(all_sources[i]))
			continue;
		EXPECT_FAILS(EINVAL, add_watch(self->s.rd, all_sources[i], self->fd,
					       1U << 31));
		EXPECT_FAILS(EINVAL, remove_watch(self->s.rd, all_sources[i], self->fd,
						  1U << 31));
	}
	EXPECT_FAILS(EINVAL, with_size(self->s.rd, sizeof(args.watch) - 1, &args));
	EXPECT_FAILS(EINVAL, with_size(self->s.rd, 0, &args));
	args.later[3] = 1;
	EXPECT_FAILS(E2BIG, with_size(self->s.rd, sizeof(args), &args));
	args.later[3] = 0;
	EXPECT_EQ(0, with_size(self->s.rd, sizeof(args), &args));
	EXPECT_FAILS(EFAULT, ioctl(self->s.rd, IOC_WATCH_QUEUE_ADD_WATCH, nowhere()));
	/* The one that was added is there. */
	EXPECT_FAILS(EBUSY, add_watch(self->s.rd, WATCH_TYPE_MOUNT_NOTIFY, self->fd, 0));
	/* Where it is removed, nobody looks at the tag. */
	args.watch.tag = -1;
	EXPECT_EQ(0, ioctl(self->s.rd, IOC_WATCH_QUEUE_REMOVE_WATCH, &args));
}

TEST_F(sources, watch_is_added_once_and_removed_once)
{
	struct stream other;
	union message message;

	if (!has_source(WATCH_TYPE_MOUNT_NOTIFY))
		SKIP(return, "no mount notifications in this kernel");
	ASSERT_EQ(0, open_stream(&other));
	EXPECT_FAILS(EBADSLT, remove_watch(self->s.rd, WATCH_TYPE_MOUNT_NOTIFY, self->fd, 0));
	ASSERT_EQ(0, add_watch(self->s.rd, WATCH_TYPE_MOUNT_NOTIFY, self->fd, 0));
	EXPECT_FAILS(EBUSY, add_watch(self->s.rd, WATCH_TYPE_MOUNT_NOTIFY, self->fd, 0));
	/* Either end will do. */
	EXPECT_EQ(0, add_watch(other.wr, WATCH_TYPE_MOUNT_NOTIFY, self->fd, 0));
	ASSERT_EQ(0, remove_watch(self->s.wr, WATCH_TYPE_MOUNT_NOTIFY, self->fd, 0));
	EXPECT_MESSAGE(&self->s, WATCH_TYPE_META, WATCH_META_REMOVAL_NOTIFICATION,
		       removal);
	EXPECT_FAILS(EBADSLT, remove_watch(self->s.rd, WATCH_TYPE_MOUNT_NOTIFY, self->fd, 0));
	EXPECT_NOTHING(&other);
	EXPECT_EQ(0, add_watch(self->s.rd, WATCH_TYPE_MOUNT_NOTIFY, self->fd, 0));
}

TEST_F(sources, watches_count_against_the_limit)
{
	struct rlimit limit = { 0, 0 };
	int queue = self->s.rd;

	if (!has_source(WATCH_TYPE_MOUNT_NOTIFY))
		SKIP(return, "no mount notifications in this kernel");
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	EXPECT_FAILS(EAGAIN, add_watch(queue, WATCH_TYPE_MOUNT_NOTIFY, self->fd, 0));
	EXPECT_FAILS(EBADSLT, remove_watch(queue, WATCH_TYPE_MOUNT_NOTIFY, self->fd, 0));
}

TEST_F(sources, file_that_is_not_open)
{
	if (has_source(WATCH_TYPE_MOUNT_NOTIFY)) {
		EXPECT_FAILS(EBADF, add_watch(self->s.rd, WATCH_TYPE_MOUNT_NOTIFY, -1, 0));
		EXPECT_FAILS(EBADF, add_watch(self->s.rd, WATCH_TYPE_MOUNT_NOTIFY, 999, 0));
	}
	if (has_source(WATCH_TYPE_SUPERBLOCK_NOTIFY))
		EXPECT_FAILS(EBADF, add_watch(self->s.rd, WATCH_TYPE_SUPERBLOCK_NOTIFY, -1, 0));
	if (has_source(WATCH_TYPE_BLOCK_NOTIFY))
		EXPECT_FAILS(EBADF, add_watch(self->s.rd, WATCH_TYPE_BLOCK_NOTIFY, 999, 0));
}

TEST_F(sources, other_files_know_nothing_of_it)
{
	struct watch_queue_watch watch = { .source = WATCH_TYPE_DEVICE_NOTIFY, .fd = -1 };
	int fds[2];

	ASSERT_EQ(0, pipe(fds));
	EXPECT_FAILS(ENOTTY, ioctl(fds[0], IOC_WATCH_QUEUE_ADD_WATCH, &watch));
	EXPECT_FAILS(ENOTTY, ioctl(fds[0], IOC_WATCH_QUEUE_REMOVE_WATCH, &watch));
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: GPL-2.0
/* Attaching a queue with IOC_WATCH_QUEUE_ADD_WATCH, whatever the source */

#include "fdinfo.h"
#include "sources.h"

#include <linux/nsfs.h>
#include <sys/resource.h>

/* A type that no source has yet */
#define NO_SOURCE	6

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
	return ioctl(queue, _IOC(_IOC_READ | _IOC_WRITE, 'W', 0x63, size), watch);
}

TEST_F(sources, source_that_is_not_there)
{
	size_t i;

	EXPECT_FAILS(EOPNOTSUPP, add_watch(self->s.rd, WATCH_TYPE_META, self->fd, 0));
	EXPECT_FAILS(EOPNOTSUPP, add_watch(self->s.rd, WATCH_TYPE_KEY_NOTIFY, self->fd, 0));
	EXPECT_FAILS(EOPNOTSUPP, add_watch(self->s.rd, NO_SOURCE, self->fd, 0));
	EXPECT_FAILS(EOPNOTSUPP, add_watch(self->s.rd, 0xffffffff, self->fd, 0));
	EXPECT_FAILS(EOPNOTSUPP, remove_watch(self->s.rd, NO_SOURCE, self->fd, 0));
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
	args.watch.id = 1;
	EXPECT_FAILS(EINVAL, ioctl(self->s.rd, IOC_WATCH_QUEUE_ADD_WATCH, &args));
	args.watch.id = 1ULL << 32;
	EXPECT_FAILS(EINVAL, ioctl(self->s.rd, IOC_WATCH_QUEUE_ADD_WATCH, &args));
	args.watch.id = 0;
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
	EXPECT_NE(0, args.watch.id);
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

/* The id of the object: that of a namespace can be had otherwise as well. */
TEST_F(sources, id_of_the_object_is_returned)
{
	struct watch_queue_watch watch = {
		.source = WATCH_TYPE_MOUNT_NOTIFY,
		.fd = self->fd,
	};
	union message message;
	uint64_t ns_id;

	if (!has_source(WATCH_TYPE_MOUNT_NOTIFY))
		SKIP(return, "no mount notifications in this kernel");
	ASSERT_EQ(0, ioctl(self->fd, NS_GET_MNTNS_ID, &ns_id));

	ASSERT_EQ(0, ioctl(self->s.rd, IOC_WATCH_QUEUE_ADD_WATCH, &watch));
	EXPECT_EQ(ns_id, watch.id);
	watch.id++;
	EXPECT_FAILS(EBADSLT, ioctl(self->s.rd, IOC_WATCH_QUEUE_REMOVE_WATCH, &watch));
	watch.id--;
	ASSERT_EQ(0, ioctl(self->s.rd, IOC_WATCH_QUEUE_REMOVE_WATCH, &watch));
	ASSERT_TRUE(next_message(&self->s, &message, SOON));
	EXPECT_EQ(WATCH_META_REMOVAL_NOTIFICATION, subtype_of(&message));
	EXPECT_EQ(ns_id, message.removal.id);
}

/* Whichever byte is the first that cannot be read, and those that cannot be written */
TEST_F(sources, request_that_cannot_be_read_changes_nothing)
{
	struct {
		struct watch_queue_watch watch;
		uint64_t later;
	} args = {
		.watch = {
			.source = WATCH_TYPE_MOUNT_NOTIFY,
			.fd = self->fd,
			.tag = TAG,
		},
	};
	const size_t known = sizeof(args.watch);
	unsigned char *end = end_of_memory(), *page = end - getpagesize();
	union message message;
	size_t there;

	if (!has_source(WATCH_TYPE_MOUNT_NOTIFY))
		SKIP(return, "no mount notifications in this kernel");
	ASSERT_NE(NULL, end);
	for (there = 0; there < sizeof(args); there++) {
		memcpy(end - there, &args, there);
		EXPECT_FAILS(EFAULT, with_size(self->s.rd, sizeof(args), end - there));
		if (there < known)
			EXPECT_FAILS(EFAULT, ioctl(self->s.rd, IOC_WATCH_QUEUE_ADD_WATCH,
						   end - there));
	}
	/* The id cannot be written. */
	memcpy(page, &args, sizeof(args));
	ASSERT_EQ(0, mprotect(page, getpagesize(), PROT_READ));
	EXPECT_FAILS(EFAULT, ioctl(self->s.rd, IOC_WATCH_QUEUE_ADD_WATCH, page));
	EXPECT_FAILS(EBADSLT, ioctl(self->s.rd, IOC_WATCH_QUEUE_REMOVE_WATCH, page));
	ASSERT_EQ(0, mprotect(page, getpagesize(), PROT_READ | PROT_WRITE));
	EXPECT_STREQ("no such line", fdinfo_line(self->s.rd, "watch", 0));

	ASSERT_EQ(0, ioctl(self->s.rd, IOC_WATCH_QUEUE_ADD_WATCH, &args));
	for (there = 0; there < known; there++) {
		memcpy(end - there, &args, there);
		EXPECT_FAILS(EFAULT, ioctl(self->s.rd, IOC_WATCH_QUEUE_REMOVE_WATCH, end - there));
	}
	EXPECT_FAILS(EBUSY, add_watch(self->s.rd, WATCH_TYPE_MOUNT_NOTIFY, self->fd, 0));
	EXPECT_NOTHING(&self->s);
	/* Here nothing has to be written. */
	memcpy(page, &args, known);
	ASSERT_EQ(0, mprotect(page, getpagesize(), PROT_READ));
	EXPECT_EQ(0, ioctl(self->s.rd, IOC_WATCH_QUEUE_REMOVE_WATCH, page));
}

/* So that it can be made again as it is. */
TEST_F(sources, request_that_failed_is_what_it_was)
{
	const struct rlimit none = { .rlim_cur = 0, .rlim_max = 4096 };
	struct watch_queue_watch watch = {
		.source = WATCH_TYPE_MOUNT_NOTIFY,
		.fd = self->fd,
		.tag = TAG,
	}, before = watch;
	struct rlimit some;

	if (!has_source(WATCH_TYPE_MOUNT_NOTIFY))
		SKIP(return, "no mount notifications in this kernel");
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &some));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
	EXPECT_FAILS(EAGAIN, ioctl(self->s.rd, IOC_WATCH_QUEUE_ADD_WATCH, &watch));
	EXPECT_EQ(0, memcmp(&before, &watch, sizeof(watch)));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &some));
	EXPECT_EQ(0, ioctl(self->s.rd, IOC_WATCH_QUEUE_ADD_WATCH, &watch));
	EXPECT_NE(0, watch.id);
	watch = before;
	EXPECT_FAILS(EBUSY, ioctl(self->s.rd, IOC_WATCH_QUEUE_ADD_WATCH, &watch));
	EXPECT_EQ(0, memcmp(&before, &watch, sizeof(watch)));
}

static int get_source(int queue, uint32_t source, struct watch_queue_source *found)
{
	memset(found, 0, sizeof(*found));
	found->source = source;
	return ioctl(queue, IOC_WATCH_QUEUE_GET_SOURCE, found);
}

TEST_F(sources, what_the_kernel_has)
{
	struct watch_queue_source meta, found;
	uint64_t expected;
	uint32_t i;

	ASSERT_EQ(0, get_source(self->s.rd, WATCH_TYPE_META, &meta));
	EXPECT_EQ(WATCH_TYPE_META, meta.source);
	EXPECT_EQ(3, meta.subtypes[0]);
	EXPECT_EQ(0, meta.watch_flags);
	EXPECT_EQ(0, meta.features & WATCH_FEATURE_ADD);
	expected = 1 << WATCH_TYPE_META;
	if (get_source(self->s.wr, WATCH_TYPE_KEY_NOTIFY, &found) == 0) {
		expected |= 1 << WATCH_TYPE_KEY_NOTIFY;
		EXPECT_EQ(0xff, found.subtypes[0]);
		EXPECT_EQ(0, found.features & WATCH_FEATURE_ADD);
	}
	for (i = 0; i < ARRAY_SIZE(all_sources); i++) {
		if (!has_source(all_sources[i])) {
			EXPECT_FAILS(EOPNOTSUPP, get_source(self->s.rd, all_sources[i], &found));
			continue;
		}
		expected |= 1 << all_sources[i];
		ASSERT_EQ(0, get_source(self->s.rd, all_sources[i], &found));
		EXPECT_EQ(meta.sources, found.sources);
		EXPECT_NE(0, found.subtypes[0]);
		EXPECT_EQ(0, found.subtypes[7]);
		EXPECT_EQ(WATCH_FEATURE_ADD, found.features & WATCH_FEATURE_ADD);
		EXPECT_EQ(all_sources[i] == WATCH_TYPE_BLOCK_NOTIFY ||
			  all_sources[i] == WATCH_TYPE_DEVICE_NOTIFY,
			  !!(found.features & WATCH_FEATURE_ALL));
		EXPECT_EQ(all_sources[i] == WATCH_TYPE_MOUNT_NOTIFY ? WATCH_MOUNT_SUBTREE : 0,
			  found.watch_flags);
	}
	EXPECT_EQ(expected, meta.sources);
	EXPECT_FAILS(EOPNOTSUPP, get_source(self->s.rd, NO_SOURCE, &found));
	EXPECT_FAILS(EOPNOTSUPP, get_source(self->s.rd, 64, &found));
	EXPECT_FAILS(EOPNOTSUPP, get_source(self->s.rd, 0xffffffff, &found));
}

TEST_F(sources, question_that_is_longer_or_shorter)
{
	struct {
		struct watch_queue_source source;
		uint64_t later;
	} args = { .source.source = WATCH_TYPE_META };
	unsigned int longer = _IOC(_IOC_READ | _IOC_WRITE, 'W', 0x65, sizeof(args));
	unsigned int shorter = _IOC(_IOC_READ | _IOC_WRITE, 'W', 0x65, 8);

	EXPECT_FAILS(EINVAL, ioctl(self->s.rd, shorter, &args));
	args.later = 1;
	EXPECT_FAILS(E2BIG, ioctl(self->s.rd, longer, &args));
	args.later = 0;
	args.source.flags = 1;
	EXPECT_FAILS(EINVAL, ioctl(self->s.rd, longer, &args));
	args.source.flags = 0;
	EXPECT_EQ(0, ioctl(self->s.rd, longer, &args));
	EXPECT_EQ(3, args.source.subtypes[0]);
	EXPECT_EQ(0, args.later);
	EXPECT_FAILS(EFAULT, ioctl(self->s.rd, IOC_WATCH_QUEUE_GET_SOURCE, nowhere()));
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

/* Whichever byte is the first that cannot be read, and those that cannot be written */
TEST_F(sources, question_that_cannot_be_read_or_answered)
{
	const struct watch_queue_source question = { .source = WATCH_TYPE_META };
	unsigned char *end = end_of_memory(), *page = end - getpagesize();
	size_t there;

	ASSERT_NE(NULL, end);
	for (there = 0; there < sizeof(question); there++) {
		memcpy(end - there, &question, there);
		EXPECT_FAILS(EFAULT, ioctl(self->s.rd, IOC_WATCH_QUEUE_GET_SOURCE, end - there));
	}
	memcpy(page, &question, sizeof(question));
	ASSERT_EQ(0, mprotect(page, getpagesize(), PROT_READ));
	EXPECT_FAILS(EFAULT, ioctl(self->s.rd, IOC_WATCH_QUEUE_GET_SOURCE, page));
	ASSERT_EQ(0, mprotect(page, getpagesize(), PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, ioctl(self->s.rd, IOC_WATCH_QUEUE_GET_SOURCE, page));
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

TEST_F(sources, sealed_read_end_watches_nothing)
{
	ASSERT_EQ(0, ioctl(self->s.rd, IOC_WATCH_QUEUE_SEAL));
	EXPECT_FAILS(EPERM, add_watch(self->s.rd, WATCH_TYPE_MOUNT_NOTIFY, self->fd, 0));
	EXPECT_FAILS(EPERM, remove_watch(self->s.rd, WATCH_TYPE_MOUNT_NOTIFY, self->fd, 0));
	if (!has_source(WATCH_TYPE_MOUNT_NOTIFY))
		SKIP(return, "no mount notifications in this kernel");
	EXPECT_EQ(0, add_watch(self->s.wr, WATCH_TYPE_MOUNT_NOTIFY, self->fd, 0));
	EXPECT_EQ(0, remove_watch(self->s.wr, WATCH_TYPE_MOUNT_NOTIFY, self->fd, 0));
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

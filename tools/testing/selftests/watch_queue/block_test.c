// SPDX-License-Identifier: GPL-2.0
/* Messages about block devices that fail */

#include "disk.h"
#include "sources.h"

#include <dirent.h>
#include <sys/mman.h>
#include <sys/uio.h>

#define BLOCK		WATCH_TYPE_BLOCK_NOTIFY
#define STORM		100000

FIXTURE(block)
{
	struct stream s;
	struct disk disk;
	int fd;
};

FIXTURE_SETUP(block)
{
	if (!has_source(BLOCK))
		SKIP(return, "no block notifications in this kernel");
	ASSERT_EQ(0, make_disk(&self->disk, "block_test"));
	self->fd = open(self->disk.node, O_RDWR | O_DIRECT | O_CLOEXEC);
	ASSERT_NE(-1, self->fd);
	ASSERT_EQ(0, open_stream(&self->s));
}

FIXTURE_TEARDOWN(block)
{
	close(self->fd);
	remove_disk(&self->disk);
}

#define EXPECT_BLOCK(what, number)					\
	do {								\
		EXPECT_MESSAGE(&self->s, BLOCK, what, block);		\
		EXPECT_EQ(number, error_of(&message));			\
	} while (0)

TEST_F(block, failed_read_and_write)
{
	union message message;
	struct stat st;
	uint64_t diskseq;

	ASSERT_EQ(0, fstat(self->fd, &st));
	ASSERT_EQ(0, ioctl(self->fd, BLKGETDISKSEQ, &diskseq));
	ASSERT_EQ(0, add_watch(self->s.rd, BLOCK, self->fd, 0));
	EXPECT_EQ(4096, read_sectors(self->fd, 16, 8));
	EXPECT_NOTHING(&self->s);
	ASSERT_EQ(0, set_bad(&self->disk, 1, 16, 23));

	EXPECT_FAILS(EIO, read_sectors(self->fd, 16, 8));
	EXPECT_BLOCK(NOTIFY_BLOCK_IO, EIO);
	EXPECT_EQ(WATCH_BLOCK_READ, op_of(&message));
	EXPECT_EQ(16, message.block.sector);
	EXPECT_EQ(4096, message.block.len);
	EXPECT_EQ(diskseq, message.block.diskseq);
	EXPECT_EQ(major(st.st_rdev), message.block.dev_major);
	EXPECT_EQ(minor(st.st_rdev), message.block.dev_minor);
	EXPECT_EQ(0, message.block.partition);

	EXPECT_FAILS(EIO, write_sectors(self->fd, 20, 1));
	EXPECT_BLOCK(NOTIFY_BLOCK_IO, EIO);
	EXPECT_EQ(WATCH_BLOCK_WRITE, op_of(&message));
	EXPECT_EQ(20, message.block.sector);
	EXPECT_EQ(512, message.block.len);

	ASSERT_EQ(0, set_bad(&self->disk, 0, 16, 23));
	EXPECT_EQ(4096, read_sectors(self->fd, 16, 8));
	EXPECT_NOTHING(&self->s);
}

TEST_F(block, whatever_the_context)
{
	static const char * const contexts[] = {
		IN_SUBMITTER, IN_SOFTIRQ, IN_HARD_INTERRUPT,
	};
	union message message;
	struct disk disk;
	size_t i;
	int fd;

	for (i = 0; i < ARRAY_SIZE(contexts); i++) {
		ASSERT_EQ(0, make_disk_completing(&disk, "block_test2", contexts[i]));
		fd = open(disk.node, O_RDONLY | O_DIRECT | O_CLOEXEC);
		ASSERT_NE(-1, fd);
		ASSERT_EQ(0, set_bad(&disk, 1, 16, 23));
		ASSERT_EQ(0, add_watch(self->s.rd, BLOCK, fd, 0));
		EXPECT_FAILS(EIO, read_sectors(fd, 16, 8));
		EXPECT_BLOCK(NOTIFY_BLOCK_IO, EIO);
		EXPECT_EQ(16, message.block.sector);
		close(fd);
		remove_disk(&disk);
		EXPECT_MESSAGE(&self->s, WATCH_TYPE_META,
			       WATCH_META_REMOVAL_NOTIFICATION, removal);
	}
}

TEST_F(block, busybox_dd)
{
	union message message;

	ASSERT_EQ(0, add_watch(self->s.rd, BLOCK, self->fd, 0));
	ASSERT_EQ(0, set_bad(&self->disk, 1, 1000, 1000));
	EXPECT_NE(0, run("dd if=%s of=/dev/null bs=512 skip=1000 count=1 2>/dev/null",
			 self->disk.node));
	EXPECT_BLOCK(NOTIFY_BLOCK_IO, EIO);
	EXPECT_EQ(WATCH_BLOCK_READ, op_of(&message));
}

TEST_F(block, only_what_is_watched)
{
	union message message;
	struct disk other;
	struct stream all;
	int fd;

	ASSERT_EQ(0, make_disk(&other, "block_test2"));
	ASSERT_EQ(0, open_stream(&all));
	ASSERT_EQ(0, set_bad(&other, 1, 0, 7));
	fd = open(other.node, O_RDONLY | O_DIRECT | O_CLOEXEC);
	ASSERT_NE(-1, fd);
	ASSERT_EQ(0, add_watch(self->s.rd, BLOCK, self->fd, 0));
	ASSERT_EQ(0, add_watch(all.rd, BLOCK, -1, 0));
	EXPECT_FAILS(EBUSY, add_watch(all.rd, BLOCK, -1, 0));
	EXPECT_FAILS(EIO, read_sectors(fd, 0, 1));
	EXPECT_NOTHING(&self->s);
	EXPECT_MESSAGE(&all, BLOCK, NOTIFY_BLOCK_IO, block);
	EXPECT_NOTHING(&all);
	ASSERT_EQ(0, remove_watch(all.rd, BLOCK, -1, 0));
	/* All is not an object that has an id. */
	EXPECT_MESSAGE(&all, WATCH_TYPE_META, WATCH_META_REMOVAL_NOTIFICATION, watch);
	close(fd);
	remove_disk(&other);
}

/* The id of a disk, or of a partition of it, for those who watch it */
static uint64_t disk_id(int disk, unsigned int partition)
{
	uint64_t diskseq;

	if (ioctl(disk, BLKGETDISKSEQ, &diskseq) == -1)
		return 0;
	return WATCH_BLOCK_ID(diskseq, partition);
}

TEST_F(block, partition)
{
	union message message;
	struct stream part;
	uint64_t id, added;
	char node[64];
	int fd;

	ASSERT_EQ(0, change_partition(self->fd, 3, BLKPG_ADD_PARTITION));
	snprintf(node, sizeof(node), "%s3", self->disk.node);
	id = disk_id(self->fd, 3);
	fd = open(node, O_RDONLY | O_DIRECT | O_CLOEXEC);
	ASSERT_NE(-1, fd);
	ASSERT_EQ(0, open_stream(&part));
	ASSERT_EQ(0, watch_object(part.rd, BLOCK, fd, 0, &added));
	EXPECT_EQ(id, added);
	ASSERT_EQ(0, add_watch(self->s.rd, BLOCK, self->fd, 0));

	ASSERT_EQ(0, set_bad(&self->disk, 1, 0, 7));
	ASSERT_EQ(0, set_bad(&self->disk, 1, 2048 + 40, 2048 + 47));
	EXPECT_FAILS(EIO, read_sectors(self->fd, 0, 8));
	EXPECT_BLOCK(NOTIFY_BLOCK_IO, EIO);
	EXPECT_FALSE(next_message(&part, &message, NOT_AT_ALL));
	EXPECT_FAILS(EIO, read_sectors(fd, 40, 8));
	EXPECT_BLOCK(NOTIFY_BLOCK_IO, EIO);
	EXPECT_EQ(3, message.block.partition);
	EXPECT_EQ(2048 + 40, message.block.sector);
	EXPECT_MESSAGE(&part, BLOCK, NOTIFY_BLOCK_IO, block);
	EXPECT_EQ(3, message.block.partition);
	EXPECT_EQ(2048 + 40, message.block.sector);

	close(fd);
	ASSERT_EQ(0, change_partition(self->fd, 3, BLKPG_DEL_PARTITION));
	EXPECT_REMOVAL(&part, id);
	EXPECT_NOTHING(&self->s);
}

TEST_F(block, device_that_goes_away)
{
	uint64_t id = disk_id(self->fd, 0);
	union message message;
	int fd = open(self->disk.node, O_RDONLY | O_CLOEXEC);

	ASSERT_NE(-1, fd);
	ASSERT_EQ(0, add_watch(self->s.rd, BLOCK, self->fd, 0));
	ASSERT_EQ(0, configure(&self->disk, "power", "0"));
	EXPECT_REMOVAL(&self->s, id);
	EXPECT_NOTHING(&self->s);
	EXPECT_FAILS(ENODEV, add_watch(self->s.rd, BLOCK, fd, 0));
	EXPECT_FAILS(EBADSLT, remove_watch(self->s.rd, BLOCK, fd, 0));
	close(fd);
}

/* Dirty pages are written when the disk is removed, or fail. */
TEST_F(block, last_writes_to_a_device_that_goes_away)
{
	uint64_t id = disk_id(self->fd, 0), part_id = disk_id(self->fd, 3);
	union message message;
	struct stream part;
	char node[64];
	int fd;

	ASSERT_EQ(0, change_partition(self->fd, 3, BLKPG_ADD_PARTITION));
	snprintf(node, sizeof(node), "%s3", self->disk.node);
	fd = open(node, O_RDWR | O_CLOEXEC);
	ASSERT_NE(-1, fd);
	ASSERT_EQ(0, open_stream(&part));
	ASSERT_EQ(0, add_watch(part.rd, BLOCK, fd, 0));
	ASSERT_EQ(0, add_watch(self->s.rd, BLOCK, self->fd, 0));
	ASSERT_EQ(0, set_bad(&self->disk, 1, 2048 + 40, 2048 + 47));
	ASSERT_EQ(4096, write_sectors(fd, 40, 8));
	EXPECT_NOTHING(&self->s);
	ASSERT_EQ(0, configure(&self->disk, "power", "0"));
	EXPECT_BLOCK(NOTIFY_BLOCK_IO, EIO);
	EXPECT_EQ(WATCH_BLOCK_WRITE, op_of(&message));
	EXPECT_EQ(3, message.block.partition);
	EXPECT_EQ(2048 + 40, message.block.sector);
	EXPECT_REMOVAL(&self->s, id);
	EXPECT_NOTHING(&self->s);
	EXPECT_MESSAGE(&part, BLOCK, NOTIFY_BLOCK_IO, block);
	EXPECT_EQ(2048 + 40, message.block.sector);
	EXPECT_REMOVAL(&part, part_id);
	EXPECT_FALSE(next_message(&part, &message, NOT_AT_ALL));
	close(fd);
}

TEST_F(block, timeout)
{
	union message message;
	char path[128];

	snprintf(path, sizeof(path), "/sys/block/%s/queue/io_timeout",
		 self->disk.node + strlen("/dev/"));
	ASSERT_EQ(0, write_to(path, "200"));
	if (configure(&self->disk, "timeout_inject/verbose", "0") == -1)
		SKIP(return, "null_blk cannot have requests time out");
	ASSERT_EQ(0, configure(&self->disk, "timeout_inject/times", "1"));
	ASSERT_EQ(0, configure(&self->disk, "timeout_inject/probability", "100"));
	ASSERT_EQ(0, add_watch(self->s.rd, BLOCK, self->fd, 0));
	EXPECT_FAILS(ETIMEDOUT, read_sectors(self->fd, 8, 8));
	EXPECT_BLOCK(NOTIFY_BLOCK_TIMEOUT, ETIMEDOUT);
	EXPECT_EQ(8, message.block.sector);
}

/*
 * What the disk below a loop device says of a bio becomes an errno, and that
 * what the loop device says of its request: all kinds can be had.
 */
TEST_F(block, every_kind)
{
	static const struct {
		const char *status;
		uint32_t kind;
		int error;
	} kinds[] = {
		{ "IOERR", NOTIFY_BLOCK_IO, EIO },
		{ "TIMEOUT", NOTIFY_BLOCK_TIMEOUT, ETIMEDOUT },
		{ "NOSPC", NOTIFY_BLOCK_NO_SPACE, ENOSPC },
		{ "TRANSPORT", NOTIFY_BLOCK_TRANSPORT, ENOLINK },
		{ "TARGET", NOTIFY_BLOCK_TARGET, EREMOTEIO },
		{ "RESV_CONFLICT", NOTIFY_BLOCK_NEXUS, EBADE },
		{ "MEDIUM", NOTIFY_BLOCK_MEDIUM, ENODATA },
		{ "PROTECTION", NOTIFY_BLOCK_PROTECTION, EILSEQ },
		{ "RESOURCE", NOTIFY_BLOCK_RESOURCE, ENOMEM },
		{ "NOTSUPP", NOTIFY_BLOCK_NOT_SUPPORTED, EOPNOTSUPP },
		{ "DEV_RESOURCE", NOTIFY_BLOCK_BUSY, EBUSY },
		{ "ZONE_OPEN_RESOURCE", NOTIFY_BLOCK_ZONES_OPEN, ETOOMANYREFS },
		{ "ZONE_ACTIVE_RESOURCE", NOTIFY_BLOCK_ZONES_ACTIVE, EOVERFLOW },
		{ "OFFLINE", NOTIFY_BLOCK_OFFLINE, ENODEV },
		{ "DURATION_LIMIT", NOTIFY_BLOCK_DURATION_LIMIT, ETIME },
		{ "INVAL", NOTIFY_BLOCK_INVALID, EINVAL },
	};
	struct disk loop = { 0 };
	union message message;
	size_t i;
	int fd;

	fd = make_loop(&loop, self->disk.node);
	ASSERT_NE(-1, fd);
	ASSERT_EQ(0, add_watch(self->s.rd, BLOCK, fd, 0));
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		int error = kinds[i].error;

		if (inject(&self->disk, "READ", kinds[i].status) == -1)
			SKIP(break, "bios cannot be made to fail in this kernel");
		EXPECT_FAILS(error, read_sectors(fd, 24, 8));
		EXPECT_BLOCK(kinds[i].kind, error);
		EXPECT_EQ(WATCH_BLOCK_READ, op_of(&message));
		EXPECT_EQ(24, message.block.sector);
		EXPECT_EQ(4096, message.block.len);
		ASSERT_EQ(0, inject(&self->disk, "WRITE", kinds[i].status));
		EXPECT_FAILS(error, write_sectors(fd, 32, 1));
		EXPECT_BLOCK(kinds[i].kind, error);
		EXPECT_EQ(WATCH_BLOCK_WRITE, op_of(&message));
		EXPECT_EQ(32, message.block.sector);
		EXPECT_EQ(512, message.block.len);
		ASSERT_EQ(0, inject_nothing(&self->disk));
		EXPECT_EQ(4096, read_sectors(fd, 24, 8));
		EXPECT_NOTHING(&self->s);
	}
	close(fd);
}

/* No request of the disk has failed, but one of the loop device above it has. */
TEST_F(block, what_fails_before_it_is_a_request)
{
	struct stream below;
	struct disk loop = { 0 };
	union message message;
	int fd;

	fd = make_loop(&loop, self->disk.node);
	ASSERT_NE(-1, fd);
	ASSERT_EQ(0, open_stream(&below));
	ASSERT_EQ(0, add_watch(below.rd, BLOCK, self->fd, 0));
	ASSERT_EQ(0, add_watch(self->s.rd, BLOCK, fd, 0));
	if (fail_bios(&self->disk, 1) == -1)
		SKIP(return, "no fail_make_request in this kernel");
	EXPECT_FAILS(EIO, read_sectors(fd, 40, 8));
	EXPECT_EQ(0, fail_bios(&self->disk, 0));
	EXPECT_BLOCK(NOTIFY_BLOCK_IO, EIO);
	EXPECT_EQ(40, message.block.sector);
	EXPECT_NOTHING(&self->s);
	EXPECT_NOTHING(&below);
	close(fd);
}

/* A disk with a cache that only a flush can have written to the medium */
TEST_F(block, write_that_is_followed_by_a_flush)
{
	struct iovec iov = { .iov_base = aligned_buffer(), .iov_len = 512 };
	union message message;
	struct stream part;
	struct disk disk;
	char node[64];
	int whole, fd;

	ASSERT_EQ(0, prepare_disk(&disk, "block_test2"));
	ASSERT_EQ(0, configure(&disk, "cache_size", "1"));
	ASSERT_EQ(0, configure(&disk, "fua", "0"));
	ASSERT_EQ(0, configure(&disk, "power", "1"));
	whole = open(disk.node, O_RDWR | O_CLOEXEC);
	ASSERT_NE(-1, whole);
	ASSERT_EQ(0, change_partition(whole, 3, BLKPG_ADD_PARTITION));
	snprintf(node, sizeof(node), "%sp3", disk.node);
	fd = open(node, O_RDWR | O_DIRECT | O_CLOEXEC);
	ASSERT_NE(-1, fd);
	ASSERT_EQ(0, open_stream(&part));
	ASSERT_EQ(0, add_watch(part.rd, BLOCK, fd, 0));
	ASSERT_EQ(0, add_watch(self->s.rd, BLOCK, whole, 0));
	EXPECT_EQ(512, pwritev2(fd, &iov, 1, 20 * 512, RWF_DSYNC));
	EXPECT_NOTHING(&self->s);
	ASSERT_EQ(0, set_bad(&disk, 1, 2048 + 20, 2048 + 20));
	EXPECT_FAILS(EIO, pwritev2(fd, &iov, 1, 20 * 512, RWF_DSYNC));
	EXPECT_BLOCK(NOTIFY_BLOCK_IO, EIO);
	EXPECT_EQ(WATCH_BLOCK_WRITE, op_of(&message));
	EXPECT_EQ(2048 + 20, message.block.sector);
	EXPECT_EQ(512, message.block.len);
	EXPECT_NOTHING(&self->s);
	EXPECT_MESSAGE(&part, BLOCK, NOTIFY_BLOCK_IO, block);
	EXPECT_EQ(WATCH_BLOCK_WRITE, op_of(&message));
	EXPECT_NOTHING(&part);
	close(fd);
	close(whole);
	remove_disk(&disk);
}

/* The disk below reports its request, and the mapped device its own I/O. */
TEST_F(block, device_without_requests)
{
	union message message;
	struct disk mapped;
	struct stream above;
	char below[64];
	uint64_t diskseq;
	struct stat st;
	int fd;

	snprintf(below, sizeof(below), "%s 2048", self->disk.node);
	fd = make_mapped(&mapped, "block_test", 1024, "linear", below);
	if (fd == -1 && errno == ENOENT)
		SKIP(return, "no device mapper in this kernel");
	ASSERT_NE(-1, fd);
	ASSERT_EQ(0, fstat(fd, &st));
	ASSERT_EQ(0, ioctl(fd, BLKGETDISKSEQ, &diskseq));
	ASSERT_EQ(0, open_stream(&above));
	ASSERT_EQ(0, add_watch(above.rd, BLOCK, fd, 0));
	ASSERT_EQ(0, add_watch(self->s.rd, BLOCK, self->fd, 0));
	EXPECT_EQ(4096, read_sectors(fd, 16, 8));
	EXPECT_NOTHING(&above);
	ASSERT_EQ(0, set_bad(&self->disk, 1, 2048 + 16, 2048 + 23));
	EXPECT_FAILS(EIO, read_sectors(fd, 16, 8));
	EXPECT_BLOCK(NOTIFY_BLOCK_IO, EIO);
	EXPECT_EQ(2048 + 16, message.block.sector);
	EXPECT_MESSAGE(&above, BLOCK, NOTIFY_BLOCK_IO, block);
	EXPECT_EQ(EIO, error_of(&message));
	EXPECT_EQ(WATCH_BLOCK_READ, op_of(&message));
	EXPECT_EQ(16, message.block.sector);
	EXPECT_EQ(4096, message.block.len);
	EXPECT_EQ(diskseq, message.block.diskseq);
	EXPECT_EQ(major(st.st_rdev), message.block.dev_major);
	EXPECT_EQ(minor(st.st_rdev), message.block.dev_minor);
	EXPECT_FAILS(EIO, write_sectors(fd, 20, 1));
	EXPECT_MESSAGE(&above, BLOCK, NOTIFY_BLOCK_IO, block);
	EXPECT_EQ(WATCH_BLOCK_WRITE, op_of(&message));
	EXPECT_EQ(20, message.block.sector);
	EXPECT_EQ(512, message.block.len);
	EXPECT_NOTHING(&above);
	close(fd);
	EXPECT_EQ(0, remove_mapped("block_test"));
	EXPECT_MESSAGE(&above, WATCH_TYPE_META, WATCH_META_REMOVAL_NOTIFICATION, removal);
	EXPECT_NOTHING(&above);
}

/* Targets of the device mapper that fail by themselves: nothing is said below. */
TEST_F(block, mapped_device_that_fails)
{
	static const struct {
		const char *target;
		const char *arguments;
	} targets[] = {
		{ "error", "" },
		/* Up for no time, and down for a second each time */
		{ "flakey", "%s 0 0 1" },
		/* Only writes fail when they are to be done, and reads when they have been. */
		{ "flakey", "%s 0 0 1 2 error_reads error_writes" },
	};
	union message message;
	struct disk mapped;
	struct stream above;
	char arguments[128];
	size_t i;
	int fd;

	ASSERT_EQ(0, add_watch(self->s.rd, BLOCK, self->fd, 0));
	ASSERT_EQ(0, open_stream(&above));
	for (i = 0; i < ARRAY_SIZE(targets); i++) {
		snprintf(arguments, sizeof(arguments), targets[i].arguments, self->disk.node);
		fd = make_mapped(&mapped, "block_test", 1024, targets[i].target, arguments);
		if (fd == -1 && errno == ENOENT)
			SKIP(return, "no device mapper in this kernel");
		ASSERT_NE(-1, fd);
		ASSERT_EQ(0, add_watch(above.rd, BLOCK, fd, 0));
		EXPECT_FAILS(EIO, read_sectors(fd, 16, 8));
		EXPECT_MESSAGE(&above, BLOCK, NOTIFY_BLOCK_IO, block);
		EXPECT_EQ(EIO, error_of(&message));
		EXPECT_EQ(WATCH_BLOCK_READ, op_of(&message));
		EXPECT_EQ(16, message.block.sector);
		EXPECT_EQ(4096, message.block.len);
		EXPECT_FAILS(EIO, write_sectors(fd, 20, 1));
		EXPECT_MESSAGE(&above, BLOCK, NOTIFY_BLOCK_IO, block);
		EXPECT_EQ(WATCH_BLOCK_WRITE, op_of(&message));
		EXPECT_EQ(20, message.block.sector);
		EXPECT_EQ(512, message.block.len);
		EXPECT_NOTHING(&above);
		close(fd);
		EXPECT_EQ(0, remove_mapped("block_test"));
		EXPECT_MESSAGE(&above, WATCH_TYPE_META, WATCH_META_REMOVAL_NOTIFICATION,
			       removal);
	}
	EXPECT_NOTHING(&self->s);
}

/* Returns how many messages there are about a disk, all of one sector. */
static int count_of(struct stream *stream, uint64_t diskseq, uint64_t sector)
{
	union message message;
	int found = 0;

	while (next_message(stream, &message, NOT_AT_ALL)) {
		if (type_of(&message) != BLOCK || message.block.diskseq != diskseq ||
		    message.block.sector != sector)
			return -1;
		found++;
	}
	return found;
}

/*
 * A mirror that can do what it was asked to has nothing to report, but the member that
 * could not has.  When there is no other member left, the mirror has as well.
 */
TEST_F(block, mirror_with_a_failed_member)
{
	struct stream members[2], above;
	struct disk disks[2], mirror;
	uint64_t diskseq[2];
	union message message;
	int fds[2], fd, i;
	char path[64];

	ASSERT_EQ(0, make_disk(&disks[0], "block_member1"));
	ASSERT_EQ(0, make_disk(&disks[1], "block_member2"));
	fd = make_mirror(&mirror, "md_block_test", disks);
	if (fd == -1 && errno == ENOENT)
		SKIP(return, "no mirrors in this kernel");
	ASSERT_NE(-1, fd);
	for (i = 0; i < 2; i++) {
		fds[i] = open(disks[i].node, O_RDONLY | O_CLOEXEC);
		ASSERT_NE(-1, fds[i]);
		ASSERT_EQ(0, ioctl(fds[i], BLKGETDISKSEQ, &diskseq[i]));
		ASSERT_EQ(0, open_stream(&members[i]));
		ASSERT_EQ(0, add_watch(members[i].rd, BLOCK, fds[i], 0));
	}
	ASSERT_EQ(0, open_stream(&above));
	ASSERT_EQ(0, add_watch(above.rd, BLOCK, fd, 0));
	ASSERT_EQ(4096, write_sectors(fd, 40, 8));

	/* The member is failed by a write that it cannot do. */
	ASSERT_EQ(0, set_bad(&disks[0], 1, 40, 47));
	EXPECT_EQ(4096, write_sectors(fd, 40, 8));
	EXPECT_LT(0, count_of(&members[0], diskseq[0], 40));
	snprintf(path, sizeof(path), "/sys/block/md_block_test/md/degraded");
	EXPECT_EQ(0, run("until grep -q 1 %s; do sleep 0.1; done", path));
	EXPECT_EQ(4096, read_sectors(fd, 40, 8));
	EXPECT_EQ(0, count_of(&members[1], diskseq[1], 40));
	EXPECT_NOTHING(&above);

	/* The other is not, as it is the last. */
	ASSERT_EQ(0, set_bad(&disks[1], 1, 40, 47));
	EXPECT_FAILS(EIO, read_sectors(fd, 40, 8));
	EXPECT_LT(0, count_of(&members[1], diskseq[1], 40));
	EXPECT_EQ(0, count_of(&members[0], diskseq[0], 40));
	EXPECT_MESSAGE(&above, BLOCK, NOTIFY_BLOCK_IO, block);
	EXPECT_EQ(EIO, error_of(&message));
	EXPECT_EQ(WATCH_BLOCK_READ, op_of(&message));
	EXPECT_EQ(40, message.block.sector);
	EXPECT_EQ(4096, message.block.len);
	EXPECT_NOTHING(&above);

	EXPECT_EQ(0, ioctl(fd, STOP_ARRAY, NULL));
	close(fd);
	EXPECT_MESSAGE(&above, WATCH_TYPE_META, WATCH_META_REMOVAL_NOTIFICATION, removal);
	for (i = 0; i < 2; i++) {
		close(fds[i]);
		remove_disk(&disks[i]);
	}
}

TEST_F(block, who_may_watch)
{
	int only_path = open(self->disk.node, O_PATH | O_CLOEXEC);
	int only_write = open(self->disk.node, O_WRONLY | O_CLOEXEC);
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	EXPECT_FAILS(EBADF, add_watch(self->s.rd, BLOCK, only_path, 0));
	EXPECT_FAILS(EPERM, add_watch(self->s.rd, BLOCK, only_write, 0));
	EXPECT_FAILS(EINVAL, add_watch(self->s.rd, BLOCK, fd, 0));
	ASSERT_EQ(0, setresuid(65534, 65534, 65534));
	EXPECT_FAILS(EPERM, add_watch(self->s.rd, BLOCK, -1, 0));
	/* Who was given the device, open, may. */
	EXPECT_EQ(0, add_watch(self->s.rd, BLOCK, self->fd, 0));
	ASSERT_EQ(0, setresuid(65534, 65534, 65534));
	close(only_write);
}

/* Every failed request is either received or counted as lost. */
TEST_F_TIMEOUT(block, storm_of_failures, 300)
{
	unsigned long received = 0, lost = 0, losses = 0, i;
	union message message;

	ASSERT_EQ(0, set_bad(&self->disk, 1, 64, 64));
	ASSERT_EQ(0, add_watch(self->s.rd, BLOCK, self->fd, 0));
	for (i = 1; i <= STORM; i++) {
		ASSERT_EQ(-1, read_sectors(self->fd, 64, 1));
		ASSERT_EQ(EIO, errno);
		/* Late, so that some are lost */
		if (i % 5000)
			continue;
		while (next_message(&self->s, &message, 0)) {
			if (is_loss(&message)) {
				ASSERT_NE(0, type_info_of(&message));
				lost += type_info_of(&message);
				losses++;
			} else {
				ASSERT_EQ(BLOCK, type_of(&message));
				ASSERT_EQ(64, message.block.sector);
				received++;
			}
		}
	}
	EXPECT_EQ(STORM, received + lost);
	EXPECT_EQ(STORM / 5000, losses);
	EXPECT_EQ(STORM / 5000 * MESSAGES, received);
	TH_LOG("%lu received, %lu lost, %lu failed", received, lost, (unsigned long)STORM);
}

/* A disk of scsi_debug, which can say of a command what is to be its status */
FIXTURE(scsi)
{
	struct stream s;
	int fd;
	char node[32];
	char error[128];
};

FIXTURE_SETUP(scsi)
{
	struct dirent *entry;
	char path[128];
	DIR *dir;

	if (!has_source(BLOCK))
		SKIP(return, "no block notifications in this kernel");
	dir = opendir("/sys/kernel/debug/scsi_debug");
	if (!dir)
		SKIP(return, "no scsi_debug in this kernel");
	self->fd = -1;
	while ((entry = readdir(dir)) != NULL) {
		DIR *disks;

		if (!strchr(entry->d_name, ':'))
			continue;
		snprintf(self->error, sizeof(self->error),
			 "/sys/kernel/debug/scsi_debug/%.16s/error", entry->d_name);
		snprintf(path, sizeof(path), "/sys/class/scsi_device/%.16s/device/block",
			 entry->d_name);
		disks = opendir(path);
		while (disks && (entry = readdir(disks)) != NULL) {
			if (entry->d_name[0] == '.')
				continue;
			snprintf(self->node, sizeof(self->node), "/dev/%.16s",
				 entry->d_name);
			self->fd = open(self->node, O_RDWR | O_DIRECT | O_CLOEXEC);
		}
		break;
	}
	ASSERT_NE(-1, self->fd);
	ASSERT_EQ(0, open_stream(&self->s));
	ASSERT_EQ(0, add_watch(self->s.rd, BLOCK, self->fd, 0));
}

FIXTURE_TEARDOWN(scsi)
{
}

#define READ_10			0x28
#define SYNCHRONIZE_CACHE_10	0x35

/*
 * Have a command end with a host byte, a status byte and a sense: the format is
 * that of sdebug_error_write() in drivers/scsi/scsi_debug.c.
 */
static int fail_command(const char *error, int command, int host, int status, int key,
			int asc, int ascq)
{
	return write_to(error, "2 -1 0x%x 0x%x 0x0 0x%x 0x%x 0x%x 0x%x\n",
			command, host, status, key, asc, ascq);
}

static int fail_read(const char *error, int host, int status, int key, int asc,
		     int ascq)
{
	return fail_command(error, READ_10, host, status, key, asc, ascq);
}

#define EXPECT_KIND(what, number)					\
	do {								\
		int expected_ = (number);				\
									\
		EXPECT_FAILS(expected_, read_sectors(self->fd, 8, 8));	\
		EXPECT_MESSAGE(&self->s, BLOCK, what, block);		\
		EXPECT_EQ(expected_, error_of(&message));		\
		EXPECT_EQ(8, message.block.sector);			\
		EXPECT_EQ(0, write_to(self->error, "- 2 0x%x\n", READ_10)); \
	} while (0)

TEST_F(scsi, kinds_of_failure)
{
	union message message;

	/* Medium error: unrecovered read error */
	ASSERT_EQ(0, fail_read(self->error, 0, 2, 3, 0x11, 0));
	EXPECT_KIND(NOTIFY_BLOCK_MEDIUM, ENODATA);
	/* Illegal request: logical block address out of range */
	ASSERT_EQ(0, fail_read(self->error, 0, 2, 5, 0x21, 0));
	EXPECT_KIND(NOTIFY_BLOCK_TARGET, EREMOTEIO);
	/* Illegal request: logical block guard check failed */
	ASSERT_EQ(0, fail_read(self->error, 0, 2, 5, 0x10, 1));
	EXPECT_KIND(NOTIFY_BLOCK_PROTECTION, EILSEQ);
	/* Reservation conflict */
	ASSERT_EQ(0, fail_read(self->error, 0, 0x18, 0, 0, 0));
	EXPECT_KIND(NOTIFY_BLOCK_NEXUS, EBADE);
	/* DID_TRANSPORT_FAILFAST */
	ASSERT_EQ(0, fail_read(self->error, 0xf, 0, 0, 0, 0));
	EXPECT_KIND(NOTIFY_BLOCK_TRANSPORT, ENOLINK);
	/* Data protect: space allocation failed write protect */
	ASSERT_EQ(0, fail_read(self->error, 0, 2, 7, 0x27, 7));
	EXPECT_KIND(NOTIFY_BLOCK_NO_SPACE, ENOSPC);
}

static int set_scsi_debug(const char *attribute, const char *value)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/bus/pseudo/drivers/scsi_debug/%s", attribute);
	return write_to(path, "%s", value);
}

/* Whether the checksums of what is written are made, and those of what is read checked */
static int set_integrity(const char *node, const char *attribute, int yes)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/block/%s/integrity/%s",
		 node + strlen("/dev/"), attribute);
	return write_to(path, "%d", yes);
}

#define EXPECT_PROTECTION(what, first, bytes)				\
	do {								\
		EXPECT_MESSAGE(&self->s, BLOCK, NOTIFY_BLOCK_PROTECTION, block); \
		EXPECT_EQ(EILSEQ, error_of(&message));			\
		EXPECT_EQ(what, op_of(&message));			\
		EXPECT_EQ(first, message.block.sector);			\
		EXPECT_EQ(bytes, message.block.len);			\
		EXPECT_NOTHING(&self->s);				\
	} while (0)

/* The data on the disk does not match its checksums, and the disk reports that. */
TEST_F(scsi, corruption_that_the_disk_finds)
{
	union message message;

	if (set_integrity(self->node, "read_verify", 1) == -1)
		SKIP(return, "the disk has no checksums");
	memset(aligned_buffer(), 1, 4096);
	ASSERT_EQ(4096, write_sectors(self->fd, 16, 8));
	ASSERT_EQ(4096, read_sectors(self->fd, 16, 8));
	EXPECT_NOTHING(&self->s);
	ASSERT_EQ(0, set_integrity(self->node, "write_generate", 0));
	memset(aligned_buffer(), 2, 4096);
	ASSERT_EQ(512, write_sectors(self->fd, 18, 1));
	ASSERT_EQ(0, set_integrity(self->node, "write_generate", 1));
	EXPECT_FAILS(EILSEQ, read_sectors(self->fd, 16, 8));
	EXPECT_PROTECTION(WATCH_BLOCK_READ, 16, 4096);
	ASSERT_EQ(4096, write_sectors(self->fd, 16, 8));
	EXPECT_EQ(4096, read_sectors(self->fd, 16, 8));
	EXPECT_NOTHING(&self->s);
}

/*
 * The data is changed in memory, after the disk has copied it there and before it has
 * completed the request.
 */
TEST_F(scsi, corruption_that_the_host_finds)
{
	union message message;
	char *buffer;
	int status;

	if (set_integrity(self->node, "read_verify", 1) == -1)
		SKIP(return, "the disk has no checksums");
	buffer = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, buffer);
	memset(buffer, 1, 4096);
	ASSERT_EQ(4096, pwrite(self->fd, buffer, 4096, 32 * 512));
	memset(buffer, 0, 4096);
	/* In jiffies */
	ASSERT_EQ(0, set_scsi_debug("delay", "500"));
	if (fork() == 0)
		_exit(pread(self->fd, buffer, 4096, 32 * 512) != -1 || errno != EILSEQ);
	while (!__atomic_load_n(&buffer[4095], __ATOMIC_RELAXED))
		usleep(1000);
	buffer[1000] = 3;
	ASSERT_NE(-1, wait(&status));
	EXPECT_EQ(0, status);
	EXPECT_EQ(0, set_scsi_debug("delay", "1"));
	EXPECT_PROTECTION(WATCH_BLOCK_READ, 32, 4096);
	EXPECT_EQ(4096, read_sectors(self->fd, 32, 8));
	EXPECT_NOTHING(&self->s);
}

#define EXPECT_FLUSH(from, number)					\
	do {								\
		struct stream *stream_ = (from);			\
									\
		EXPECT_MESSAGE(stream_, BLOCK, NOTIFY_BLOCK_MEDIUM, block); \
		EXPECT_EQ(ENODATA, error_of(&message));			\
		EXPECT_EQ(WATCH_BLOCK_FLUSH, op_of(&message));		\
		EXPECT_EQ(0, message.block.sector);			\
		EXPECT_EQ(0, message.block.len);			\
		EXPECT_EQ(number, message.block.partition);		\
		EXPECT_NOTHING(stream_);				\
	} while (0)

/* Have flushes end with a medium error: unrecovered read error. */
static int fail_flush(const char *error)
{
	return fail_command(error, SYNCHRONIZE_CACHE_10, 0, 2, 3, 0x11, 0);
}

static int fail_flush_no_more(const char *error)
{
	return write_to(error, "- 2 0x%x\n", SYNCHRONIZE_CACHE_10);
}

/* Data that was written before can be lost, but no range is known. */
TEST_F(scsi, failed_flush)
{
	union message message;

	ASSERT_EQ(512, write_sectors(self->fd, 8, 1));
	ASSERT_EQ(0, fsync(self->fd));
	EXPECT_NOTHING(&self->s);
	ASSERT_EQ(0, fail_flush(self->error));
	EXPECT_FAILS(ENODATA, fsync(self->fd));
	EXPECT_EQ(0, fail_flush_no_more(self->error));
	EXPECT_FLUSH(&self->s, 0);
}

/* A flush is of the whole disk, whatever it was asked for through. */
TEST_F(scsi, failed_flush_of_a_partition)
{
	struct stream part, all;
	union message message;
	char node[64];
	int fd;

	ASSERT_EQ(0, change_partition(self->fd, 3, BLKPG_ADD_PARTITION));
	snprintf(node, sizeof(node), "%s3", self->node);
	fd = open(node, O_RDWR | O_CLOEXEC);
	ASSERT_NE(-1, fd);
	ASSERT_EQ(0, open_stream(&part));
	ASSERT_EQ(0, open_stream(&all));
	ASSERT_EQ(0, add_watch(part.rd, BLOCK, fd, 0));
	ASSERT_EQ(0, add_watch(all.rd, BLOCK, -1, 0));
	ASSERT_EQ(0, fail_flush(self->error));
	EXPECT_FAILS(ENODATA, fsync(fd));
	EXPECT_EQ(0, fail_flush_no_more(self->error));
	EXPECT_FLUSH(&part, 3);
	EXPECT_FLUSH(&self->s, 0);
	EXPECT_FLUSH(&all, 0);
	close(fd);
	EXPECT_EQ(0, change_partition(self->fd, 3, BLKPG_DEL_PARTITION));
}

TEST_F(scsi, failed_flush_of_a_device_without_requests)
{
	union message message;
	struct disk mapped;
	struct stream above;
	char below[64];
	int fd;

	snprintf(below, sizeof(below), "%s 0", self->node);
	fd = make_mapped(&mapped, "block_test", 1024, "linear", below);
	if (fd == -1 && errno == ENOENT)
		SKIP(return, "no device mapper in this kernel");
	ASSERT_NE(-1, fd);
	ASSERT_EQ(0, open_stream(&above));
	ASSERT_EQ(0, add_watch(above.rd, BLOCK, fd, 0));
	ASSERT_EQ(0, fail_flush(self->error));
	EXPECT_FAILS(ENODATA, fsync(fd));
	EXPECT_EQ(0, fail_flush_no_more(self->error));
	EXPECT_FLUSH(&self->s, 0);
	EXPECT_FLUSH(&above, 0);
	close(fd);
	EXPECT_EQ(0, remove_mapped("block_test"));
}

TEST_HARNESS_MAIN

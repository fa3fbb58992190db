// SPDX-License-Identifier: GPL-2.0
/*
 * Messages about the disks that QEMU has, by the drivers that they need.  Where they
 * fail is said in dev/boot.
 */

#include "disk.h"
#include "sources.h"

#include <dirent.h>
#include <linux/nvme_ioctl.h>
#include <stdalign.h>

#define BLOCK		WATCH_TYPE_BLOCK_NOTIFY

/* The sectors that fail */
#define BAD_READ	2048
#define BAD_WRITE	4096
#define NO_SPACE	6144

/* Returns whether a file of a disk in sysfs begins with a text. */
static int begins_with(const char *disk, const char *file, const char *text)
{
	char path[320], content[64] = "";
	int fd;

	snprintf(path, sizeof(path), "/sys/block/%s/%s", disk, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return 0;
	if (read(fd, content, sizeof(content) - 1) == -1)
		content[0] = '\0';
	close(fd);
	return !strncmp(content, text, strlen(text));
}

/*
 * Open the disk that has this as its serial number or product, or return -1.  A path
 * to an NVMe namespace, which has the number as well, cannot be opened.
 */
static int open_disk(const char *name, char node[32])
{
	DIR *dir = opendir("/sys/block");
	struct dirent *entry;
	int fd = -1;

	while (dir && fd == -1 && (entry = readdir(dir)) != NULL) {
		if (!begins_with(entry->d_name, "serial", name) &&
		    !begins_with(entry->d_name, "device/serial", name) &&
		    !begins_with(entry->d_name, "device/model", name))
			continue;
		snprintf(node, 32, "/dev/%.20s", entry->d_name);
		fd = open(node, O_RDWR | O_DIRECT | O_CLOEXEC);
	}
	if (dir)
		closedir(dir);
	return fd;
}

FIXTURE(disk)
{
	struct stream s;
	char node[32];
	int fd;
};

/* How the driver reports each failure */
FIXTURE_VARIANT(disk)
{
	const char *name;
	int kind;
	int error;
	int kind_without_space;
	int error_without_space;
};

FIXTURE_VARIANT_ADD(disk, nvme)
{
	.name = "failing-nvme",
	.kind = NOTIFY_BLOCK_MEDIUM,
	.error = ENODATA,
	.kind_without_space = NOTIFY_BLOCK_MEDIUM,
	.error_without_space = ENODATA,
};

/* The device that stands for all paths to an NVMe namespace, of which there is one */
FIXTURE_VARIANT_ADD(disk, nvme_with_paths)
{
	.name = "failing-path",
	.kind = NOTIFY_BLOCK_MEDIUM,
	.error = ENODATA,
	.kind_without_space = NOTIFY_BLOCK_MEDIUM,
	.error_without_space = ENODATA,
};

FIXTURE_VARIANT_ADD(disk, scsi)
{
	.name = "failing-scsi",
	.kind = NOTIFY_BLOCK_IO,
	.error = EIO,
	.kind_without_space = NOTIFY_BLOCK_NO_SPACE,
	.error_without_space = ENOSPC,
};

FIXTURE_VARIANT_ADD(disk, virtio)
{
	.name = "failing-virtio",
	.kind = NOTIFY_BLOCK_IO,
	.error = EIO,
	.kind_without_space = NOTIFY_BLOCK_IO,
	.error_without_space = EIO,
};

FIXTURE_SETUP(disk)
{
	if (!has_source(BLOCK))
		SKIP(return, "no block notifications in this kernel");
	self->fd = open_disk(variant->name, self->node);
	if (self->fd == -1)
		SKIP(return, "no such disk in this guest");
	ASSERT_EQ(0, open_stream(&self->s));
	ASSERT_EQ(0, add_watch(self->s.rd, BLOCK, self->fd, 0));
}

FIXTURE_TEARDOWN(disk)
{
}

#define EXPECT_BLOCK(what, number, operation, first, bytes)		\
	do {								\
		EXPECT_MESSAGE(&self->s, BLOCK, what, block);		\
		EXPECT_EQ(number, error_of(&message));			\
		EXPECT_EQ(operation, op_of(&message));			\
		EXPECT_EQ(first, message.block.sector);			\
		EXPECT_EQ(bytes, message.block.len);			\
		EXPECT_EQ(major(st.st_rdev), message.block.dev_major);	\
		EXPECT_EQ(minor(st.st_rdev), message.block.dev_minor);	\
		EXPECT_EQ(0, message.block.partition);			\
		EXPECT_EQ(diskseq, message.block.diskseq);		\
	} while (0)

TEST_F(disk, failed_read_write_and_flush)
{
	int kind = variant->kind, error = variant->error;
	union message message;
	uint64_t diskseq;
	struct stat st;

	ASSERT_EQ(0, fstat(self->fd, &st));
	ASSERT_EQ(0, ioctl(self->fd, BLKGETDISKSEQ, &diskseq));
	EXPECT_EQ(4096, read_sectors(self->fd, BAD_WRITE, 8));
	EXPECT_EQ(4096, write_sectors(self->fd, BAD_READ, 8));
	EXPECT_NOTHING(&self->s);

	EXPECT_FAILS(error, read_sectors(self->fd, BAD_READ, 1));
	EXPECT_BLOCK(kind, error, WATCH_BLOCK_READ, BAD_READ, 512);
	/* It is not known which of the sectors it was. */
	EXPECT_FAILS(error, read_sectors(self->fd, BAD_READ - 8, 16));
	EXPECT_BLOCK(kind, error, WATCH_BLOCK_READ, BAD_READ - 8, 8192);
	EXPECT_FAILS(error, write_sectors(self->fd, BAD_WRITE, 8));
	EXPECT_BLOCK(kind, error, WATCH_BLOCK_WRITE, BAD_WRITE, 4096);

	/* No range of the medium is known. */
	EXPECT_FAILS(error, fsync(self->fd));
	EXPECT_BLOCK(kind, error, WATCH_BLOCK_FLUSH, 0, 0);

	error = variant->error_without_space;
	EXPECT_FAILS(error, write_sectors(self->fd, NO_SPACE, 1));
	EXPECT_BLOCK(variant->kind_without_space, error, WATCH_BLOCK_WRITE, NO_SPACE, 512);
	EXPECT_NOTHING(&self->s);
}

FIXTURE(paths)
{
	struct stream s;
	char node[32];
	int fd;
};

FIXTURE_SETUP(paths)
{
	if (!has_source(BLOCK))
		SKIP(return, "no block notifications in this kernel");
	self->fd = open_disk("failing-path", self->node);
	if (self->fd == -1)
		SKIP(return, "no such disk in this guest");
	ASSERT_EQ(0, open_stream(&self->s));
}

FIXTURE_TEARDOWN(paths)
{
}

/* All devices have the path, which fails first, and the one that stands for it. */
TEST_F(paths, path_and_what_stands_for_it)
{
	union message message;
	uint64_t diskseq;
	struct stat st;

	ASSERT_EQ(0, fstat(self->fd, &st));
	ASSERT_EQ(0, ioctl(self->fd, BLKGETDISKSEQ, &diskseq));
	ASSERT_EQ(0, add_watch(self->s.rd, BLOCK, -1, 0));
	EXPECT_FAILS(ENODATA, read_sectors(self->fd, BAD_READ, 8));
	EXPECT_BLOCK(NOTIFY_BLOCK_MEDIUM, ENODATA, WATCH_BLOCK_READ, BAD_READ, 4096);
	EXPECT_MESSAGE(&self->s, BLOCK, NOTIFY_BLOCK_MEDIUM, block);
	EXPECT_EQ(WATCH_BLOCK_READ, op_of(&message));
	EXPECT_EQ(BAD_READ, message.block.sector);
	EXPECT_EQ(4096, message.block.len);
	EXPECT_NE(diskseq, message.block.diskseq);
	EXPECT_NOTHING(&self->s);
}

/* A command of the user's own is no I/O of the device, even where it goes to the log. */
TEST_F(paths, command_of_the_user)
{
	static alignas(512) char sector[512];
	struct nvme_passthru_cmd command = {
		.opcode = 2,	/* Read */
		.addr = (uintptr_t)sector,
		.data_len = sizeof(sector),
		.cdw10 = BAD_READ,
	};
	union message message;
	char path[64];
	int log, nsid;

	snprintf(path, sizeof(path), "/sys/block/%s/passthru_err_log_enabled",
		 self->node + strlen("/dev/"));
	log = open(path, O_WRONLY | O_CLOEXEC);
	ASSERT_NE(-1, log);
	ASSERT_EQ(2, write(log, "on", 2));
	nsid = ioctl(self->fd, NVME_IOCTL_ID);
	ASSERT_LT(0, nsid);
	command.nsid = nsid;
	ASSERT_EQ(0, add_watch(self->s.rd, BLOCK, self->fd, 0));
	EXPECT_LT(0, ioctl(self->fd, NVME_IOCTL_IO_CMD, &command));
	EXPECT_NOTHING(&self->s);
	EXPECT_EQ(3, write(log, "off", 3));
	close(log);
}

TEST_F(paths, partition_that_has_the_sector)
{
	union message message;
	struct stream part;
	char node[40];
	int fd;

	ASSERT_EQ(0, change_partition(self->fd, 3, BLKPG_ADD_PARTITION));
	snprintf(node, sizeof(node), "%sp3", self->node);
	fd = open(node, O_RDONLY | O_DIRECT | O_CLOEXEC);
	ASSERT_NE(-1, fd);
	ASSERT_EQ(0, open_stream(&part));
	ASSERT_EQ(0, add_watch(part.rd, BLOCK, fd, 0));
	ASSERT_EQ(0, add_watch(self->s.rd, BLOCK, self->fd, 0));
	EXPECT_FAILS(ENODATA, read_sectors(fd, 0, 8));
	EXPECT_MESSAGE(&part, BLOCK, NOTIFY_BLOCK_MEDIUM, block);
	EXPECT_EQ(3, message.block.partition);
	EXPECT_EQ(BAD_READ, message.block.sector);
	EXPECT_EQ(4096, message.block.len);
	EXPECT_MESSAGE(&self->s, BLOCK, NOTIFY_BLOCK_MEDIUM, block);
	EXPECT_EQ(3, message.block.partition);
	EXPECT_EQ(BAD_READ, message.block.sector);
	close(fd);
	ASSERT_EQ(0, change_partition(self->fd, 3, BLKPG_DEL_PARTITION));
	EXPECT_MESSAGE(&part, WATCH_TYPE_META, WATCH_META_REMOVAL_NOTIFICATION, removal);
	EXPECT_NOTHING(&self->s);
}

TEST_HARNESS_MAIN

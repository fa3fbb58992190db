// SPDX-License-Identifier: GPL-2.0
/* Messages about mounted file systems */

#include "disk.h"
#include "sources.h"

#include <dirent.h>
#include <linux/dqblk_xfs.h>
#include <sys/quota.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#define SUPERBLOCK	WATCH_TYPE_SUPERBLOCK_NOTIFY
#define MOUNTED		"/tmp/superblock_test"

/* Of a disk of 64 MiB */
#define LAST_SECTOR	((64UL << 11) - 1)

#ifndef EFSCORRUPTED
#define EFSCORRUPTED	EUCLEAN
#endif

/* Watches what has been mounted */
#define WATCH_MOUNTED()							\
	do {								\
		self->fd = open(MOUNTED, O_PATH | O_CLOEXEC);		\
		ASSERT_NE(-1, self->fd);				\
		ASSERT_EQ(0, stat(MOUNTED, &self->st));			\
		ASSERT_EQ(0, open_stream(&self->s));			\
		ASSERT_EQ(0, add_watch(self->s.rd, SUPERBLOCK, self->fd, 0)); \
	} while (0)

/* A file system that needs no disk */
FIXTURE(superblock)
{
	struct stream s;
	struct stat st;
	int fd;
};

FIXTURE_SETUP(superblock)
{
	if (!has_source(SUPERBLOCK))
		SKIP(return, "no superblock notifications in this kernel");
	ASSERT_EQ(0, own_mounts(MOUNTED));
	ASSERT_EQ(0, run("mount -t tmpfs none " MOUNTED));
	WATCH_MOUNTED();
}

FIXTURE_TEARDOWN(superblock)
{
}

/* Remove a disk that is mounted, and of which a file is open. */
static void remove_mounted(int fd, struct disk *disk)
{
	close(fd);
	umount2(MOUNTED, MNT_DETACH);
	remove_disk(disk);
}

/* An ext4 on a disk that can be made to fail */
FIXTURE(ext4)
{
	struct stream s;
	struct disk disk;
	struct stat st;
	int fd;
};

FIXTURE_SETUP(ext4)
{
	if (!has_source(SUPERBLOCK))
		SKIP(return, "no superblock notifications in this kernel");
	if (access("/sys/fs/ext4", F_OK) == -1 || access("/sys/block/nullb0", F_OK) == -1)
		SKIP(return, "no ext4 or null_blk in this kernel");
	ASSERT_EQ(0, own_mounts(MOUNTED));
	ASSERT_EQ(0, make_disk(&self->disk, "superblock_test"));
	ASSERT_EQ(0, run("mkfs.ext4 -q -O quota -E quotatype=usrquota,lazy_itable_init=0 %s",
			 self->disk.node));
	ASSERT_EQ(0, run("mount -t ext4 -o usrquota,errors=continue %s " MOUNTED,
			 self->disk.node));
	WATCH_MOUNTED();
}

FIXTURE_TEARDOWN(ext4)
{
	remove_mounted(self->fd, &self->disk);
}

/* An exFAT: ext4 does not report errors of buffered I/O. */
FIXTURE(exfat)
{
	struct stream s;
	struct disk disk;
	struct stat st;
	int fd;
};

FIXTURE_SETUP(exfat)
{
	if (!has_source(SUPERBLOCK))
		SKIP(return, "no superblock notifications in this kernel");
	ASSERT_EQ(0, own_mounts(MOUNTED));
	ASSERT_EQ(0, make_disk(&self->disk, "superblock_test"));
	if (run("mkfs.exfat %s >/dev/null && mount -t exfat -o errors=continue %s " MOUNTED,
		self->disk.node, self->disk.node))
		SKIP(return, "no exFAT in this guest");
	WATCH_MOUNTED();
}

FIXTURE_TEARDOWN(exfat)
{
	remove_mounted(self->fd, &self->disk);
}

/* A cramfs, which agrees to become writable and does not */
FIXTURE(cramfs)
{
	struct stream s;
	struct disk disk;
	struct stat st;
	int fd;
};

FIXTURE_SETUP(cramfs)
{
	if (!has_source(SUPERBLOCK))
		SKIP(return, "no superblock notifications in this kernel");
	ASSERT_EQ(0, own_mounts(MOUNTED));
	ASSERT_EQ(0, make_disk(&self->disk, "superblock_test"));
	if (run("mkfs.cramfs /tmp %s && mount -t cramfs %s " MOUNTED,
		self->disk.node, self->disk.node))
		SKIP(return, "no cramfs in this guest");
	WATCH_MOUNTED();
}

FIXTURE_TEARDOWN(cramfs)
{
	remove_mounted(self->fd, &self->disk);
}

TEST_F(cramfs, stays_read_only)
{
	union message message;

	/* It says that it has become so. */
	ASSERT_EQ(0, mount(NULL, MOUNTED, NULL, MS_REMOUNT, NULL));
	EXPECT_NOTHING(&self->s);
}

/* An XFS that knows which file a block belongs to */
FIXTURE(xfs)
{
	struct stream s;
	struct disk disk;
	struct stat st;
	int fd;
};

FIXTURE_SETUP(xfs)
{
	if (!has_source(SUPERBLOCK))
		SKIP(return, "no superblock notifications in this kernel");
	if (access("/sys/fs/xfs", F_OK) == -1)
		SKIP(return, "no XFS in this kernel");
	ASSERT_EQ(0, own_mounts(MOUNTED));
	ASSERT_EQ(0, make_disk(&self->disk, "superblock_test"));
	/* Only in its own test suite does mkfs.xfs make one of less than 300 MB. */
	ASSERT_EQ(0, run("TEST_DIR=/ TEST_DEV=/ QA_CHECK_FS=1 mkfs.xfs -q -m rmapbt=1 %s",
			 self->disk.node));
	ASSERT_EQ(0, run("mount -t xfs %s " MOUNTED, self->disk.node));
	WATCH_MOUNTED();
}

FIXTURE_TEARDOWN(xfs)
{
	remove_mounted(self->fd, &self->disk);
}

/* As in fs/xfs/libxfs/xfs_fs.h, which is not among the headers of the kernel */
struct xfs_verify_media {
	uint32_t device;
	uint32_t flags;
	uint64_t start;			/* In sectors */
	uint64_t end;			/* One past the last */
	uint32_t error;
	uint32_t max_io_size;
	uint32_t rest_us;
	uint32_t pad;
};

#define XFS_DEV_DATA		1
#define XFS_VERIFY_MEDIA_REPORT	1
#define XFS_IOC_VERIFY_MEDIA	_IOWR('X', 70, struct xfs_verify_media)

#define EXPECT_SUPERBLOCK(what, member)					\
	do {								\
		EXPECT_MESSAGE(&self->s, SUPERBLOCK, what, member);	\
		EXPECT_EQ(major(self->st.st_dev), message.sb.dev_major); \
		EXPECT_EQ(minor(self->st.st_dev), message.sb.dev_minor); \
		EXPECT_NE(0, message.sb.sb_id);				\
	} while (0)

__printf(2, 3)
static int stat_of(struct stat *st, const char *format, ...)
{
	char path[64];
	va_list args;

	va_start(args, format);
	vsnprintf(path, sizeof(path), format, args);
	va_end(args);
	return stat(path, st);
}

/* Make all of the disk fail, as nobody knows where a file is on it, or work again. */
static int set_all_bad(const struct disk *disk, int bad)
{
	return set_bad(disk, bad, 0, LAST_SECTOR);
}

/* Make ext4 report an error. */
static int trigger_error(const struct disk *disk)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/fs/ext4/%s/trigger_fs_error",
		 disk->node + strlen("/dev/"));
	return write_to(path, "from superblock_test");
}

TEST_F(ext4, metadata_error)
{
	union message message;

	ASSERT_EQ(0, trigger_error(&self->disk));
	EXPECT_SUPERBLOCK(NOTIFY_SUPERBLOCK_ERROR, error);
	EXPECT_EQ(WATCH_SUPERBLOCK_METADATA, op_of(&message));
	EXPECT_EQ(EFSCORRUPTED, error_of(&message));
	EXPECT_EQ(0, message.error.ino);
	EXPECT_NOTHING(&self->s);
}

TEST_F(ext4, error_that_makes_it_read_only)
{
	union message message;
	int readonly = 0, errors = 0;

	ASSERT_EQ(0, run("mount -o remount,errors=remount-ro " MOUNTED));
	ASSERT_EQ(0, trigger_error(&self->disk));
	while (next_message(&self->s, &message, errors && readonly ? NOT_AT_ALL : SOON)) {
		ASSERT_EQ(SUPERBLOCK, type_of(&message));
		if (message.watch.subtype == NOTIFY_SUPERBLOCK_READONLY)
			readonly++;
		else if (message.watch.subtype == NOTIFY_SUPERBLOCK_ERROR)
			errors++;
	}
	EXPECT_EQ(1, readonly);
	EXPECT_EQ(1, errors);
}

/* As an error does nothing to it then, there is nothing to say but the error. */
TEST_F(ext4, error_of_one_that_is_read_only)
{
	union message message;

	ASSERT_EQ(0, run("mount -o remount,ro,errors=remount-ro " MOUNTED));
	EXPECT_SUPERBLOCK(NOTIFY_SUPERBLOCK_READONLY, sb);
	ASSERT_EQ(0, trigger_error(&self->disk));
	EXPECT_SUPERBLOCK(NOTIFY_SUPERBLOCK_ERROR, error);
	EXPECT_NOTHING(&self->s);
}

/* Inodes that cannot be read: a directory of each group is in a block of its own. */
TEST_F(ext4, metadata_that_cannot_be_read)
{
	union message message;
	struct stat st[8];
	int i, failed = 0;
	DIR *dir;

	for (i = 0; i < 8; i++) {
		ASSERT_EQ(0, run("mkdir " MOUNTED "/%d", i));
		ASSERT_EQ(0, stat_of(&st[i], MOUNTED "/%d", i));
	}
	/* So that nothing is cached */
	close(self->fd);
	ASSERT_EQ(0, run("umount " MOUNTED " && mount -t ext4 -o errors=continue %s " MOUNTED,
			 self->disk.node));
	self->fd = open(MOUNTED, O_PATH | O_CLOEXEC);
	ASSERT_TRUE(find_message(&self->s, &message, WATCH_TYPE_META,
				 WATCH_META_REMOVAL_NOTIFICATION));
	EXPECT_NOTHING(&self->s);
	ASSERT_EQ(0, add_watch(self->s.rd, SUPERBLOCK, self->fd, 0));
	/* The directory's names alone are read. */
	dir = opendir(MOUNTED);
	ASSERT_NE(NULL, dir);
	while (readdir(dir))
		continue;
	closedir(dir);
	ASSERT_EQ(0, set_all_bad(&self->disk, 1));
	for (i = 0; i < 8; i++) {
		struct stat unread;

		if (stat_of(&unread, MOUNTED "/%d", i) == 0)
			continue;
		ASSERT_EQ(EIO, errno);
		failed++;
		EXPECT_SUPERBLOCK(NOTIFY_SUPERBLOCK_ERROR, error);
		EXPECT_EQ(WATCH_SUPERBLOCK_METADATA, op_of(&message));
		EXPECT_EQ(EIO, error_of(&message));
		EXPECT_EQ(st[i].st_ino, message.error.ino);
	}
	ASSERT_EQ(0, set_all_bad(&self->disk, 0));
	EXPECT_LT(0, failed);
}

/* The block layer fails under the journal, and ext4 gives up. */
TEST_F(ext4, journal_that_cannot_be_written)
{
	union message message;
	int readonly = 0, errors = 0;

	ASSERT_EQ(0, run("mount -o remount,errors=remount-ro " MOUNTED));
	if (fail_bios(&self->disk, 1) == -1)
		SKIP(return, "no fail_make_request in this kernel");
	run("touch " MOUNTED "/file; sync");
	EXPECT_EQ(0, fail_bios(&self->disk, 0));
	/* It is only noticed when the journal is used next. */
	EXPECT_NE(0, run("touch " MOUNTED "/other 2>/dev/null"));
	while (next_message(&self->s, &message, errors && readonly ? NOT_AT_ALL : SOON)) {
		ASSERT_EQ(SUPERBLOCK, type_of(&message));
		if (message.watch.subtype == NOTIFY_SUPERBLOCK_READONLY)
			readonly++;
		else if (message.watch.subtype == NOTIFY_SUPERBLOCK_ERROR)
			errors++;
	}
	EXPECT_EQ(1, readonly);
	EXPECT_LT(0, errors);
}

/* ext4 on other disks: in memory, and in a file */
TEST_F(superblock, other_disks)
{
	static const struct {
		const char *path;
		const char *option;
	} disks[] = {
		{ "/dev/ram0", "rw" },
		{ MOUNTED "/disk", "loop" },
	};
	union message message;
	struct stream other;
	uint64_t id;
	size_t i;
	int fd;

	if (access("/sys/fs/ext4", F_OK) == -1)
		SKIP(return, "no ext4 in this kernel");
	ASSERT_EQ(0, run("truncate -s 4M " MOUNTED "/disk"));
	for (i = 0; i < ARRAY_SIZE(disks); i++) {
		ASSERT_EQ(0, run("mkfs.ext4 -q %s 4096 && mount -t ext4 -o %s %s /root",
				 disks[i].path, disks[i].option, disks[i].path));
		fd = open("/root", O_PATH | O_CLOEXEC);
		ASSERT_EQ(0, open_stream(&other));
		ASSERT_EQ(0, add_watch(other.rd, SUPERBLOCK, fd, 0));
		close(fd);
		ASSERT_EQ(0, run("echo test >$(ls -d /sys/fs/ext4/*/trigger_fs_error)"));
		EXPECT_MESSAGE(&other, SUPERBLOCK, NOTIFY_SUPERBLOCK_ERROR, error);
		EXPECT_EQ(WATCH_SUPERBLOCK_METADATA, op_of(&message));
		EXPECT_EQ(EFSCORRUPTED, error_of(&message));
		id = message.sb.sb_id;
		ASSERT_EQ(0, run("umount /root"));
		EXPECT_REMOVAL(&other, id);
		EXPECT_NOTHING(&other);
		close(other.rd);
		close(other.wr);
	}
}

TEST_F(superblock, remount)
{
	union message message;
	uint64_t id;

	ASSERT_EQ(0, run("mount -o remount,ro " MOUNTED));
	EXPECT_SUPERBLOCK(NOTIFY_SUPERBLOCK_READONLY, sb);
	id = message.sb.sb_id;
	ASSERT_EQ(0, run("mount -o remount,rw " MOUNTED));
	EXPECT_SUPERBLOCK(NOTIFY_SUPERBLOCK_READWRITE, sb);
	EXPECT_EQ(id, message.sb.sb_id);
	ASSERT_EQ(0, run("mount -o remount,rw " MOUNTED));
	/* That of one mount is another thing. */
	ASSERT_EQ(0, run("mount -o remount,bind,ro " MOUNTED));
	EXPECT_NOTHING(&self->s);
}

#define EXPECT_IO_ERROR(what, inode, from, bytes)			\
	do {								\
		do {							\
			EXPECT_SUPERBLOCK(NOTIFY_SUPERBLOCK_ERROR, error); \
		} while (op_of(&message) != (what));			\
		EXPECT_EQ(EIO, error_of(&message));			\
		EXPECT_EQ(inode, message.error.ino);			\
		EXPECT_EQ(from, message.error.pos);			\
		EXPECT_EQ(bytes, message.error.len);			\
	} while (0)

TEST_F(ext4, direct_io_that_fails)
{
	void *buffer = aligned_buffer();
	union message message;
	struct stat st;
	int fd;

	fd = open(MOUNTED "/file", O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0644);
	ASSERT_NE(-1, fd);
	ASSERT_EQ(16384, pwrite(fd, buffer, 16384, 0));
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, fstat(fd, &st));
	ASSERT_EQ(0, set_all_bad(&self->disk, 1));
	EXPECT_FAILS(EIO, pread(fd, buffer, 4096, 4096));
	EXPECT_IO_ERROR(WATCH_SUPERBLOCK_DIRECT_READ, st.st_ino, 4096, 4096);
	EXPECT_FAILS(EIO, pwrite(fd, buffer, 8192, 8192));
	EXPECT_IO_ERROR(WATCH_SUPERBLOCK_DIRECT_WRITE, st.st_ino, 8192, 8192);
	ASSERT_EQ(0, set_all_bad(&self->disk, 0));
	close(fd);
}

TEST_F(exfat, buffered_io_that_fails)
{
	static char buffer[8192];
	union message message;
	struct stat st;
	int fd;

	fd = open(MOUNTED "/file", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	ASSERT_NE(-1, fd);
	ASSERT_EQ(8192, pwrite(fd, buffer, 8192, 0));
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, fstat(fd, &st));
	ASSERT_EQ(0, write_to("/proc/sys/vm/drop_caches", "1"));
	ASSERT_EQ(0, set_all_bad(&self->disk, 1));
	EXPECT_FAILS(EIO, pread(fd, buffer, 8192, 0));
	/* It reports each folio. */
	EXPECT_IO_ERROR(WATCH_SUPERBLOCK_BUFFERED_READ, st.st_ino, 0, 4096);
	EXPECT_IO_ERROR(WATCH_SUPERBLOCK_BUFFERED_READ, st.st_ino, 4096, 4096);
	ASSERT_EQ(0, set_all_bad(&self->disk, 0));
	ASSERT_EQ(8192, pread(fd, buffer, 8192, 0));
	ASSERT_EQ(0, set_all_bad(&self->disk, 1));
	ASSERT_EQ(4096, pwrite(fd, buffer, 4096, 4096));
	EXPECT_FAILS(EIO, fdatasync(fd));
	EXPECT_IO_ERROR(WATCH_SUPERBLOCK_BUFFERED_WRITE, st.st_ino, 4096, 4096);
	ASSERT_EQ(0, set_all_bad(&self->disk, 0));
	close(fd);
}

/* The table of which cluster follows which cannot be read. */
TEST_F(exfat, error_that_makes_it_read_only)
{
	static char buffer[4096];
	union message message;
	int fd, other;

	fd = open(MOUNTED "/file", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	other = open(MOUNTED "/other", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	/* Another file is between the two parts of this one. */
	ASSERT_EQ(4096, write(fd, buffer, 4096));
	ASSERT_EQ(4096, write(other, buffer, 4096));
	ASSERT_EQ(4096, write(fd, buffer, 4096));
	close(fd);
	close(other);
	close(self->fd);
	ASSERT_EQ(0, run("umount " MOUNTED " && mount -t exfat -o errors=remount-ro %s " MOUNTED,
			 self->disk.node));
	ASSERT_TRUE(find_message(&self->s, &message, WATCH_TYPE_META,
				 WATCH_META_REMOVAL_NOTIFICATION));
	self->fd = open(MOUNTED, O_PATH | O_CLOEXEC);
	ASSERT_EQ(0, add_watch(self->s.rd, SUPERBLOCK, self->fd, 0));
	fd = open(MOUNTED "/file", O_RDONLY | O_CLOEXEC);
	ASSERT_EQ(0, write_to("/proc/sys/vm/drop_caches", "3"));
	ASSERT_EQ(0, set_all_bad(&self->disk, 1));
	EXPECT_EQ(-1, pread(fd, buffer, 4096, 4096));
	EXPECT_SUPERBLOCK(NOTIFY_SUPERBLOCK_READONLY, sb);
	EXPECT_NE(0, access(MOUNTED "/file", W_OK));
	EXPECT_EQ(EROFS, errno);
	ASSERT_EQ(0, set_all_bad(&self->disk, 0));
	close(fd);
}

/* An error that a scrubber finds on the medium before anybody reads the data */
TEST_F(xfs, data_lost)
{
	static char buffer[3 * 4096];
	struct xfs_verify_media verify = {
		.device = XFS_DEV_DATA,
		.flags = XFS_VERIFY_MEDIA_REPORT,
	};
	union message message;
	struct stat st;
	int block = 1;
	int fd;

	fd = open(MOUNTED "/file", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	ASSERT_NE(-1, fd);
	ASSERT_EQ(sizeof(buffer), pwrite(fd, buffer, sizeof(buffer), 0));
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, fstat(fd, &st));
	ASSERT_EQ(4096, st.st_blksize);
	ASSERT_EQ(0, ioctl(fd, FIBMAP, &block));
	ASSERT_NE(0, block);
	/* From the block before it to the one behind */
	verify.start = (block - 1) * 8;
	verify.end = (block + 2) * 8;
	ASSERT_EQ(0, ioctl(fd, XFS_IOC_VERIFY_MEDIA, &verify));
	ASSERT_EQ(0, verify.error);
	EXPECT_NOTHING(&self->s);
	verify.start = block * 8;
	verify.end = verify.start + 8;
	ASSERT_EQ(0, set_bad(&self->disk, 1, verify.start, verify.end - 1));
	ASSERT_EQ(0, ioctl(fd, XFS_IOC_VERIFY_MEDIA, &verify));
	EXPECT_EQ(EIO, verify.error);
	EXPECT_IO_ERROR(WATCH_SUPERBLOCK_DATA_LOST, st.st_ino, 4096, 4096);
	EXPECT_NOTHING(&self->s);
	ASSERT_EQ(0, set_bad(&self->disk, 0, verify.start, verify.end - 1));
	close(fd);
}

TEST_F(superblock, umount)
{
	union message message;
	uint64_t id;

	ASSERT_EQ(0, run("mount -o remount,ro " MOUNTED));
	EXPECT_SUPERBLOCK(NOTIFY_SUPERBLOCK_READONLY, sb);
	id = message.sb.sb_id;
	/* Not the last one */
	ASSERT_EQ(0, run("mount --bind " MOUNTED " /root"));
	close(self->fd);
	ASSERT_EQ(0, run("umount " MOUNTED));
	EXPECT_NOTHING(&self->s);
	ASSERT_EQ(0, run("umount /root"));
	EXPECT_REMOVAL(&self->s, id);
	EXPECT_NOTHING(&self->s);
}

/* When the removal comes, the disk can be opened exclusively. */
TEST_F(ext4, removal_when_the_disk_can_be_claimed)
{
	union message message;
	int fd, status;

	ASSERT_EQ(0, run("touch " MOUNTED "/file"));
	EXPECT_FAILS(EBUSY, open(self->disk.node, O_RDONLY | O_EXCL | O_CLOEXEC));
	close(self->fd);
	if (fork() == 0)
		_exit(umount(MOUNTED) == -1);
	EXPECT_MESSAGE(&self->s, WATCH_TYPE_META, WATCH_META_REMOVAL_NOTIFICATION, removal);
	fd = open(self->disk.node, O_RDONLY | O_EXCL | O_CLOEXEC);
	EXPECT_NE(-1, fd);
	close(fd);
	ASSERT_NE(-1, wait(&status));
	EXPECT_EQ(0, status);
}

/* An unmount writes the blocks of the journal to their places. */
TEST_F(ext4, error_while_it_is_unmounted)
{
	union message message;
	int fd;

	/* Without quotas, which would be written before */
	close(self->fd);
	ASSERT_EQ(0, umount(MOUNTED));
	ASSERT_TRUE(find_message(&self->s, &message, WATCH_TYPE_META,
				 WATCH_META_REMOVAL_NOTIFICATION));
	ASSERT_EQ(0, run("mkfs.ext4 -q -F -E lazy_itable_init=0 %s", self->disk.node));
	ASSERT_EQ(0, run("mount -t ext4 -o errors=continue %s " MOUNTED, self->disk.node));
	self->fd = open(MOUNTED, O_PATH | O_CLOEXEC);
	ASSERT_EQ(0, stat(MOUNTED, &self->st));
	ASSERT_EQ(0, add_watch(self->s.rd, SUPERBLOCK, self->fd, 0));
	fd = open(MOUNTED "/file", O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	ASSERT_NE(-1, fd);
	ASSERT_EQ(0, fsync(fd));
	close(fd);
	close(self->fd);
	ASSERT_EQ(0, set_all_bad(&self->disk, 1));
	ASSERT_EQ(0, umount(MOUNTED));
	EXPECT_SUPERBLOCK(NOTIFY_SUPERBLOCK_ERROR, error);
	EXPECT_EQ(WATCH_SUPERBLOCK_METADATA, op_of(&message));
	EXPECT_TRUE(find_message(&self->s, &message, WATCH_TYPE_META,
				 WATCH_META_REMOVAL_NOTIFICATION));
	EXPECT_NOTHING(&self->s);
	ASSERT_EQ(0, set_all_bad(&self->disk, 0));
}

TEST_F(ext4, freeze_and_thaw)
{
	union message message;
	uint64_t id;
	int fd;

	fd = open(MOUNTED, O_RDONLY | O_CLOEXEC);
	ASSERT_NE(-1, fd);
	ASSERT_EQ(0, ioctl(fd, FIFREEZE, 0));
	EXPECT_SUPERBLOCK(NOTIFY_SUPERBLOCK_FROZEN, sb);
	id = message.sb.sb_id;
	EXPECT_FAILS(EBUSY, ioctl(fd, FIFREEZE, 0));
	EXPECT_NOTHING(&self->s);
	ASSERT_EQ(0, ioctl(fd, FITHAW, 0));
	EXPECT_SUPERBLOCK(NOTIFY_SUPERBLOCK_THAWED, sb);
	EXPECT_EQ(id, message.sb.sb_id);
	EXPECT_FAILS(EINVAL, ioctl(fd, FITHAW, 0));
	/* A read-only file system can be frozen, too. */
	ASSERT_EQ(0, run("mount -o remount,ro " MOUNTED));
	EXPECT_SUPERBLOCK(NOTIFY_SUPERBLOCK_READONLY, sb);
	ASSERT_EQ(0, ioctl(fd, FIFREEZE, 0));
	EXPECT_SUPERBLOCK(NOTIFY_SUPERBLOCK_FROZEN, sb);
	ASSERT_EQ(0, ioctl(fd, FITHAW, 0));
	EXPECT_SUPERBLOCK(NOTIFY_SUPERBLOCK_THAWED, sb);
	EXPECT_NOTHING(&self->s);
	close(fd);
}

TEST_F(superblock, id_is_kept_and_not_reused)
{
	union message message;
	uint64_t id, added;

	ASSERT_EQ(0, run("mount -o remount,ro " MOUNTED));
	EXPECT_SUPERBLOCK(NOTIFY_SUPERBLOCK_READONLY, sb);
	id = message.sb.sb_id;
	/* It is what it was when it is watched again, */
	ASSERT_EQ(0, remove_watch(self->s.rd, SUPERBLOCK, self->fd, 0));
	EXPECT_REMOVAL(&self->s, id);
	ASSERT_EQ(0, run("mount -o remount,rw " MOUNTED));
	EXPECT_NOTHING(&self->s);
	/* also when nobody watched anything for so long that the hooks are off, */
	sleep(2);
	ASSERT_EQ(0, watch_object(self->s.rd, SUPERBLOCK, self->fd, 0, &added));
	EXPECT_EQ(id, added);
	ASSERT_EQ(0, run("mount -o remount,ro " MOUNTED));
	EXPECT_SUPERBLOCK(NOTIFY_SUPERBLOCK_READONLY, sb);
	EXPECT_EQ(id, message.sb.sb_id);
	/* but that of what has its device number next is another. */
	ASSERT_EQ(0, remove_watch(self->s.rd, SUPERBLOCK, self->fd, 0));
	EXPECT_REMOVAL(&self->s, id);
	sleep(2);
	close(self->fd);
	ASSERT_EQ(0, run("umount " MOUNTED " && mount -t tmpfs none " MOUNTED));
	self->fd = open(MOUNTED, O_RDONLY | O_CLOEXEC);
	ASSERT_EQ(0, stat(MOUNTED, &self->st));
	EXPECT_FAILS(EBADSLT, remove_watch(self->s.rd, SUPERBLOCK, self->fd, 0));
	ASSERT_EQ(0, add_watch(self->s.rd, SUPERBLOCK, self->fd, 0));
	ASSERT_EQ(0, run("mount -o remount,ro " MOUNTED));
	EXPECT_SUPERBLOCK(NOTIFY_SUPERBLOCK_READONLY, sb);
	EXPECT_NE(id, message.sb.sb_id);
}

TEST_F(superblock, only_what_is_watched)
{
	union message message;
	struct stream other;
	uint64_t id;
	int fd;

	ASSERT_EQ(0, run("mount -t tmpfs none /root"));
	fd = open("/root", O_PATH | O_CLOEXEC);
	ASSERT_EQ(0, open_stream(&other));
	ASSERT_EQ(0, add_watch(other.rd, SUPERBLOCK, fd, 0));
	EXPECT_FAILS(EBUSY, add_watch(other.rd, SUPERBLOCK, fd, 0));
	ASSERT_EQ(0, run("mount -o remount,ro /root"));
	EXPECT_MESSAGE(&other, SUPERBLOCK, NOTIFY_SUPERBLOCK_READONLY, sb);
	id = message.sb.sb_id;
	EXPECT_NOTHING(&self->s);
	close(fd);
	ASSERT_EQ(0, run("umount /root"));
	EXPECT_REMOVAL(&other, id);
	EXPECT_NOTHING(&self->s);
}

/* As a user who has a quota of less */
static void write_beyond_quota(void)
{
	static unsigned char buffer[1 << 17];
	int fd;

	if (fork() == 0) {
		if (setresuid(4711, 4711, 4711) == -1)
			_exit(1);
		fd = open(MOUNTED "/file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
		_exit(write(fd, buffer, sizeof(buffer)) == sizeof(buffer));
	}
	wait(NULL);
}

#define EXPECT_QUOTA()							\
	do {								\
		EXPECT_SUPERBLOCK(NOTIFY_SUPERBLOCK_QUOTA, quota);	\
		EXPECT_EQ(0, error_of(&message));			\
		EXPECT_EQ(4 /* QUOTA_NL_BHARDWARN */, op_of(&message));	\
		EXPECT_EQ(USRQUOTA, message.quota.type);		\
		EXPECT_EQ(4711, message.quota.id);			\
	} while (0)

TEST_F(ext4, quota)
{
	struct dqblk limit = {
		.dqb_bhardlimit = 64,
		.dqb_valid = QIF_BLIMITS,
	};
	union message message;

	ASSERT_EQ(0, chmod(MOUNTED, 0777));
	ASSERT_EQ(0, quotactl(QCMD(Q_SETQUOTA, USRQUOTA), self->disk.node, 4711,
			      (void *)&limit));
	write_beyond_quota();
	EXPECT_QUOTA();
}

#ifndef XFS_IOC_GOINGDOWN
#define XFS_IOC_GOINGDOWN	_IOR('X', 125, uint32_t)
#endif

/* It does not become read-only: nothing can be done any more. */
TEST_F(xfs, shutdown)
{
	union message message;
	uint32_t flags = 2;	/* XFS_FSOP_GOING_FLAGS_NOLOGFLUSH */
	int fd;

	fd = open(MOUNTED, O_RDONLY | O_CLOEXEC);
	ASSERT_EQ(0, ioctl(fd, XFS_IOC_GOINGDOWN, &flags));
	EXPECT_SUPERBLOCK(NOTIFY_SUPERBLOCK_ERROR, error);
	EXPECT_EQ(WATCH_SUPERBLOCK_METADATA, op_of(&message));
	EXPECT_EQ(ESHUTDOWN, error_of(&message));
	EXPECT_NOTHING(&self->s);
	close(fd);
}

/* XFS has quotas of its own. */
TEST_F(xfs, quota)
{
	struct fs_disk_quota limit = {
		.d_version = FS_DQUOT_VERSION,
		.d_flags = FS_USER_QUOTA,
		.d_id = 4711,
		.d_fieldmask = FS_DQ_BHARD,
		.d_blk_hardlimit = 128,		/* Of 512 bytes */
	};
	union message message;

	close(self->fd);
	ASSERT_EQ(0, run("umount " MOUNTED " && mount -t xfs -o uquota %s " MOUNTED,
			 self->disk.node));
	ASSERT_TRUE(find_message(&self->s, &message, WATCH_TYPE_META,
				 WATCH_META_REMOVAL_NOTIFICATION));
	self->fd = open(MOUNTED, O_PATH | O_CLOEXEC);
	ASSERT_EQ(0, add_watch(self->s.rd, SUPERBLOCK, self->fd, 0));
	ASSERT_EQ(0, chmod(MOUNTED, 0777));
	ASSERT_EQ(0, quotactl(QCMD(Q_XSETQLIM, USRQUOTA), self->disk.node, 4711,
			      (void *)&limit));
	write_beyond_quota();
	EXPECT_QUOTA();
}

/* Any file system; the variants say how they differ */
FIXTURE(any)
{
	struct stream s;
	struct disk disk;
	int fd;
};

FIXTURE_VARIANT(any)
{
	const char *name;
	const char *mkfs;
	int can_be_frozen;
	int is_shut_down;	/* When its disk is gone, and says so */
};

FIXTURE_VARIANT_ADD(any, ext4)
{
	.name = "ext4",
	.mkfs = "mkfs.ext4 -q -E lazy_itable_init=0",
	.can_be_frozen = 1,
	.is_shut_down = 1,
};

FIXTURE_VARIANT_ADD(any, xfs)
{
	.name = "xfs",
	.mkfs = "TEST_DIR=/ TEST_DEV=/ QA_CHECK_FS=1 mkfs.xfs -q",
	.can_be_frozen = 1,
	.is_shut_down = 1,
};

FIXTURE_VARIANT_ADD(any, btrfs)
{
	.name = "btrfs",
	.mkfs = "mkfs.btrfs -q",
	.can_be_frozen = 1,
	.is_shut_down = 1,
};

FIXTURE_VARIANT_ADD(any, fat)
{
	.name = "vfat",
	.mkfs = "mkdosfs",
};

FIXTURE_VARIANT_ADD(any, exfat)
{
	.name = "exfat",
	.mkfs = "mkfs.exfat",
};

FIXTURE_SETUP(any)
{
	if (!has_source(SUPERBLOCK))
		SKIP(return, "no superblock notifications in this kernel");
	if (run("grep -qw %s /proc/filesystems", variant->name))
		SKIP(return, "no such file system in this kernel");
	ASSERT_EQ(0, own_mounts(MOUNTED));
	ASSERT_EQ(0, prepare_disk(&self->disk, "superblock_test"));
	ASSERT_EQ(0, configure(&self->disk, "size", "256"));
	ASSERT_EQ(0, configure(&self->disk, "power", "1"));
	ASSERT_EQ(0, run("%s %s >/dev/null", variant->mkfs, self->disk.node));
	ASSERT_EQ(0, run("mount -t %s %s " MOUNTED, variant->name, self->disk.node));
	self->fd = open(MOUNTED, O_RDONLY | O_CLOEXEC);
	ASSERT_NE(-1, self->fd);
	ASSERT_EQ(0, open_stream(&self->s));
	ASSERT_EQ(0, add_watch(self->s.rd, SUPERBLOCK, self->fd, 0));
}

FIXTURE_TEARDOWN(any)
{
	remove_mounted(self->fd, &self->disk);
}

#define EXPECT_STATE(what)						\
	EXPECT_MESSAGE(&self->s, SUPERBLOCK, what, sb)

TEST_F(any, states_and_the_end)
{
	union message message;
	int fd, status;

	ASSERT_EQ(0, run("mount -o remount,ro " MOUNTED));
	EXPECT_STATE(NOTIFY_SUPERBLOCK_READONLY);
	ASSERT_EQ(0, run("mount -o remount,rw " MOUNTED));
	EXPECT_STATE(NOTIFY_SUPERBLOCK_READWRITE);
	if (variant->can_be_frozen) {
		ASSERT_EQ(0, ioctl(self->fd, FIFREEZE, 0));
		EXPECT_STATE(NOTIFY_SUPERBLOCK_FROZEN);
		ASSERT_EQ(0, ioctl(self->fd, FITHAW, 0));
		EXPECT_STATE(NOTIFY_SUPERBLOCK_THAWED);
	} else {
		EXPECT_FAILS(EOPNOTSUPP, ioctl(self->fd, FIFREEZE, 0));
	}
	ASSERT_EQ(0, run("touch " MOUNTED "/file"));
	EXPECT_NOTHING(&self->s);
	EXPECT_FAILS(EBUSY, open(self->disk.node, O_RDONLY | O_EXCL | O_CLOEXEC));
	close(self->fd);
	if (fork() == 0)
		_exit(umount(MOUNTED) == -1);
	EXPECT_MESSAGE(&self->s, WATCH_TYPE_META, WATCH_META_REMOVAL_NOTIFICATION, removal);
	fd = open(self->disk.node, O_RDONLY | O_EXCL | O_CLOEXEC);
	EXPECT_NE(-1, fd);
	close(fd);
	ASSERT_NE(-1, wait(&status));
	EXPECT_EQ(0, status);
	EXPECT_NOTHING(&self->s);
}

/* It is mounted as before, but nothing of it is there any more. */
TEST_F(any, disk_that_is_pulled)
{
	union message message;
	int shutdowns = 0;

	ASSERT_EQ(0, run("dd if=/dev/zero of=" MOUNTED "/file bs=64k count=4 2>/dev/null"));
	ASSERT_EQ(0, set_all_bad(&self->disk, 1));
	ASSERT_EQ(0, configure(&self->disk, "power", "0"));
	EXPECT_MESSAGE(&self->s, SUPERBLOCK, NOTIFY_SUPERBLOCK_ERROR, error);
	EXPECT_EQ(WATCH_SUPERBLOCK_DEVICE_GONE, op_of(&message));
	EXPECT_EQ(ENODEV, error_of(&message));
	/* Some file systems report the writes that fail as errors. */
	while (next_message(&self->s, &message, NOT_AT_ALL)) {
		ASSERT_EQ(SUPERBLOCK, type_of(&message));
		ASSERT_NE(NOTIFY_SUPERBLOCK_READWRITE, subtype_of(&message));
		if (subtype_of(&message) == NOTIFY_SUPERBLOCK_ERROR &&
		    error_of(&message) == ESHUTDOWN)
			shutdowns++;
	}
	EXPECT_EQ(variant->is_shut_down, shutdowns);
	close(self->fd);
	ASSERT_EQ(0, umount(MOUNTED));
	EXPECT_TRUE(find_message(&self->s, &message, WATCH_TYPE_META,
				 WATCH_META_REMOVAL_NOTIFICATION));
	EXPECT_NOTHING(&self->s);
}

FIXTURE(btrfs)
{
	struct stream s;
	struct disk disk;
	int fd;
};

FIXTURE_SETUP(btrfs)
{
	if (!has_source(SUPERBLOCK))
		SKIP(return, "no superblock notifications in this kernel");
	if (access("/sys/fs/btrfs", F_OK) == -1)
		SKIP(return, "no btrfs in this kernel");
	ASSERT_EQ(0, own_mounts(MOUNTED));
	ASSERT_EQ(0, prepare_disk(&self->disk, "superblock_test"));
	ASSERT_EQ(0, configure(&self->disk, "size", "256"));
	ASSERT_EQ(0, configure(&self->disk, "power", "1"));
	ASSERT_EQ(0, run("mkfs.btrfs -q %s", self->disk.node));
	ASSERT_EQ(0, run("mount -t btrfs %s " MOUNTED, self->disk.node));
	self->fd = open(MOUNTED, O_RDONLY | O_CLOEXEC);
	ASSERT_NE(-1, self->fd);
	ASSERT_EQ(0, open_stream(&self->s));
}

FIXTURE_TEARDOWN(btrfs)
{
	umount2("/root", MNT_DETACH);
	remove_mounted(self->fd, &self->disk);
}

/* It cannot write what its transactions need. */
TEST_F(btrfs, error_that_makes_it_read_only)
{
	union message message;

	ASSERT_EQ(0, add_watch(self->s.rd, SUPERBLOCK, self->fd, 0));
	ASSERT_EQ(0, run("touch " MOUNTED "/file"));
	ASSERT_EQ(0, set_all_bad(&self->disk, 1));
	EXPECT_EQ(-1, syncfs(self->fd));
	EXPECT_STATE(NOTIFY_SUPERBLOCK_READONLY);
	EXPECT_NOTHING(&self->s);
	EXPECT_FAILS(EROFS, access(MOUNTED "/file", W_OK));
	ASSERT_EQ(0, set_all_bad(&self->disk, 0));
}

/* Once it is mounted writable, it is, whatever the first mount was. */
TEST_F(btrfs, mount_that_makes_it_writable)
{
	union message message;

	close(self->fd);
	ASSERT_EQ(0, umount(MOUNTED));
	ASSERT_EQ(0, run("mount -t btrfs -o ro,subvol=/ %s " MOUNTED, self->disk.node));
	self->fd = open(MOUNTED, O_RDONLY | O_CLOEXEC);
	ASSERT_EQ(0, add_watch(self->s.rd, SUPERBLOCK, self->fd, 0));
	ASSERT_EQ(0, run("mount -t btrfs -o rw,subvol=/ %s /root", self->disk.node));
	ASSERT_EQ(0, run("touch /root/file"));
	EXPECT_STATE(NOTIFY_SUPERBLOCK_READWRITE);
	EXPECT_NOTHING(&self->s);
	ASSERT_EQ(0, umount("/root"));
	EXPECT_NOTHING(&self->s);
}

#ifndef FS_IOC_SHUTDOWN
#define FS_IOC_SHUTDOWN	_IOR('X', 125, uint32_t)
#endif

TEST_F(btrfs, shutdown)
{
	union message message;
	uint32_t flags = 2;	/* BTRFS_SHUTDOWN_FLAGS_NOLOGFLUSH */

	ASSERT_EQ(0, add_watch(self->s.rd, SUPERBLOCK, self->fd, 0));
	ASSERT_EQ(0, ioctl(self->fd, FS_IOC_SHUTDOWN, &flags));
	EXPECT_MESSAGE(&self->s, SUPERBLOCK, NOTIFY_SUPERBLOCK_ERROR, error);
	EXPECT_EQ(WATCH_SUPERBLOCK_METADATA, op_of(&message));
	EXPECT_EQ(ESHUTDOWN, error_of(&message));
	EXPECT_NOTHING(&self->s);
}

FIXTURE(fat)
{
	struct stream s;
	struct disk disk;
	int fd;
};

FIXTURE_SETUP(fat)
{
	if (!has_source(SUPERBLOCK))
		SKIP(return, "no superblock notifications in this kernel");
	if (run("grep -qw vfat /proc/filesystems"))
		SKIP(return, "no FAT in this kernel");
	ASSERT_EQ(0, own_mounts(MOUNTED));
	ASSERT_EQ(0, make_disk(&self->disk, "superblock_test"));
	ASSERT_EQ(0, run("mkdosfs %s", self->disk.node));
	ASSERT_EQ(0, run("mount -t vfat %s " MOUNTED, self->disk.node));
	ASSERT_EQ(0, open_stream(&self->s));
}

FIXTURE_TEARDOWN(fat)
{
	remove_mounted(self->fd, &self->disk);
}

/*
 * It is not known any more where a file goes on: the first table, which busybox puts
 * behind 6 sectors, is empty from the third entry on.
 */
TEST_F(fat, error_that_makes_it_read_only)
{
	union message message;

	ASSERT_EQ(0, run("dd if=/dev/zero of=" MOUNTED "/file bs=64k count=1 2>/dev/null"));
	ASSERT_EQ(0, umount(MOUNTED));
	ASSERT_EQ(0, run("dd if=/dev/zero of=%s bs=4 seek=771 count=1000 conv=notrunc",
			 self->disk.node));
	ASSERT_EQ(0, run("mount -t vfat -o errors=remount-ro %s " MOUNTED, self->disk.node));
	self->fd = open(MOUNTED, O_RDONLY | O_CLOEXEC);
	ASSERT_EQ(0, add_watch(self->s.rd, SUPERBLOCK, self->fd, 0));
	EXPECT_NE(0, run("cat " MOUNTED "/file >/dev/null 2>&1"));
	EXPECT_STATE(NOTIFY_SUPERBLOCK_READONLY);
	EXPECT_NOTHING(&self->s);
	EXPECT_FAILS(EROFS, access(MOUNTED "/file", W_OK));
}

TEST_F(superblock, who_may_watch)
{
	int fds[2], status;

	ASSERT_EQ(0, pipe(fds));
	/* Nobody can mount what these are on. */
	EXPECT_FAILS(EINVAL, add_watch(self->s.rd, SUPERBLOCK, fds[0], 0));
	ASSERT_EQ(0, remove_watch(self->s.rd, SUPERBLOCK, self->fd, 0));
	if (fork() == 0) {
		if (setresuid(65534, 65534, 65534) == -1)
			_exit(1);
		_exit(add_watch(self->s.rd, SUPERBLOCK, self->fd, 0) != -1 ||
		      errno != EPERM);
	}
	ASSERT_NE(-1, wait(&status));
	EXPECT_EQ(0, status);
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: GPL-2.0
/* What a notification queue is told of mounted file systems */

#include "disk.h"

#include <sched.h>
#include <sys/quota.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#define SUPERBLOCK	WATCH_TYPE_SUPERBLOCK_NOTIFY
#define DIR		"/tmp/superblock_test"

#ifndef EFSCORRUPTED
#define EFSCORRUPTED	EUCLEAN
#endif

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
	ASSERT_EQ(0, unshare(CLONE_NEWNS));
	ASSERT_EQ(0, mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	mkdir(DIR, 0755);
	ASSERT_EQ(0, run("mount -t tmpfs none " DIR));
	self->fd = open(DIR, O_PATH | O_CLOEXEC);
	ASSERT_NE(-1, self->fd);
	ASSERT_EQ(0, stat(DIR, &self->st));
	ASSERT_EQ(0, open_stream(&self->s));
	ASSERT_EQ(0, add_watch(self->s.rd, SUPERBLOCK, self->fd, 0));
}

FIXTURE_TEARDOWN(superblock)
{
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
	ASSERT_EQ(0, unshare(CLONE_NEWNS));
	ASSERT_EQ(0, mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	mkdir(DIR, 0755);
	ASSERT_EQ(0, make_disk(&self->disk, "superblock_test"));
	ASSERT_EQ(0, run("mkfs.ext4 -q -O quota -E quotatype=usrquota,lazy_itable_init=0 %s",
			 self->disk.node));
	ASSERT_EQ(0, run("mount -t ext4 -o usrquota,errors=continue %s " DIR,
			 self->disk.node));
	self->fd = open(DIR, O_PATH | O_CLOEXEC);
	ASSERT_NE(-1, self->fd);
	ASSERT_EQ(0, stat(DIR, &self->st));
	ASSERT_EQ(0, open_stream(&self->s));
	ASSERT_EQ(0, add_watch(self->s.rd, SUPERBLOCK, self->fd, 0));
}

FIXTURE_TEARDOWN(ext4)
{
	close(self->fd);
	umount2(DIR, MNT_DETACH);
	remove_disk(&self->disk);
}

#define EXPECT_SUPERBLOCK(what, member)					\
	do {								\
		EXPECT_MESSAGE(&self->s, SUPERBLOCK, what, member);	\
		EXPECT_EQ(major(self->st.st_dev), message.sb.dev_major); \
		EXPECT_EQ(minor(self->st.st_dev), message.sb.dev_minor); \
		EXPECT_NE(0, message.sb.sb_id);				\
	} while (0)

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
	EXPECT_EQ(SUPERBLOCK_METADATA, message.error.kind);
	EXPECT_EQ(EFSCORRUPTED, message.error.error);
	EXPECT_EQ(0, message.error.ino);
	EXPECT_NOTHING(&self->s);
}

TEST_F(ext4, error_that_makes_it_read_only)
{
	union message message;
	int readonly = 0, errors = 0;

	ASSERT_EQ(0, run("mount -o remount,errors=remount-ro " DIR));
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

TEST_F(superblock, remount)
{
	union message message;
	uint64_t id;

	ASSERT_EQ(0, run("mount -o remount,ro " DIR));
	EXPECT_SUPERBLOCK(NOTIFY_SUPERBLOCK_READONLY, sb);
	id = message.sb.sb_id;
	ASSERT_EQ(0, run("mount -o remount,rw " DIR));
	EXPECT_SUPERBLOCK(NOTIFY_SUPERBLOCK_READWRITE, sb);
	EXPECT_EQ(id, message.sb.sb_id);
	ASSERT_EQ(0, run("mount -o remount,rw " DIR));
	/* That of one mount is another thing. */
	ASSERT_EQ(0, run("mount -o remount,bind,ro " DIR));
	EXPECT_NOTHING(&self->s);
}

TEST_F(ext4, direct_read_that_fails)
{
	void *buffer = aligned_buffer();
	union message message;
	struct stat st;
	int fd;

	fd = open(DIR "/file", O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0644);
	ASSERT_NE(-1, fd);
	ASSERT_EQ(4096, pwrite(fd, buffer, 4096, 0));
	ASSERT_EQ(4096, pwrite(fd, buffer, 4096, 4096));
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, fstat(fd, &st));
	/* All of it, as nobody knows where the file is */
	ASSERT_EQ(0, set_bad(&self->disk, 1, 0, (64 << 11) - 1));
	EXPECT_FAILS(EIO, pread(fd, buffer, 4096, 4096));
	ASSERT_EQ(0, set_bad(&self->disk, 0, 0, (64 << 11) - 1));
	do {
		EXPECT_SUPERBLOCK(NOTIFY_SUPERBLOCK_ERROR, error);
	} while (message.error.kind != SUPERBLOCK_DIRECT_READ);
	EXPECT_EQ(EIO, message.error.error);
	EXPECT_EQ(st.st_ino, message.error.ino);
	EXPECT_EQ(4096, message.error.pos);
	EXPECT_EQ(4096, message.error.len);
	close(fd);
}

TEST_F(superblock, umount)
{
	union message message;
	uint64_t id;

	ASSERT_EQ(0, run("mount -o remount,ro " DIR));
	EXPECT_SUPERBLOCK(NOTIFY_SUPERBLOCK_READONLY, sb);
	id = message.sb.sb_id;
	/* Not the last one */
	ASSERT_EQ(0, run("mount --bind " DIR " /root"));
	close(self->fd);
	ASSERT_EQ(0, run("umount " DIR));
	EXPECT_NOTHING(&self->s);
	ASSERT_EQ(0, run("umount /root"));
	EXPECT_REMOVAL(&self->s, id);
	EXPECT_NOTHING(&self->s);
}

TEST_F(superblock, id_is_kept_and_not_reused)
{
	union message message;
	uint64_t id;

	ASSERT_EQ(0, run("mount -o remount,ro " DIR));
	EXPECT_SUPERBLOCK(NOTIFY_SUPERBLOCK_READONLY, sb);
	id = message.sb.sb_id;
	/* It is what it was when it is watched again, */
	ASSERT_EQ(0, remove_watch(self->s.rd, SUPERBLOCK, self->fd, 0));
	EXPECT_REMOVAL(&self->s, id);
	ASSERT_EQ(0, run("mount -o remount,rw " DIR));
	EXPECT_NOTHING(&self->s);
	/* also when nobody watched anything for so long that the hooks are off, */
	sleep(2);
	ASSERT_EQ(0, add_watch(self->s.rd, SUPERBLOCK, self->fd, 0));
	ASSERT_EQ(0, run("mount -o remount,ro " DIR));
	EXPECT_SUPERBLOCK(NOTIFY_SUPERBLOCK_READONLY, sb);
	EXPECT_EQ(id, message.sb.sb_id);
	/* but that of what has its device number next is another. */
	ASSERT_EQ(0, remove_watch(self->s.rd, SUPERBLOCK, self->fd, 0));
	EXPECT_REMOVAL(&self->s, id);
	sleep(2);
	close(self->fd);
	ASSERT_EQ(0, run("umount " DIR " && mount -t tmpfs none " DIR));
	self->fd = open(DIR, O_RDONLY | O_CLOEXEC);
	ASSERT_EQ(0, stat(DIR, &self->st));
	EXPECT_FAILS(EBADSLT, remove_watch(self->s.rd, SUPERBLOCK, self->fd, 0));
	ASSERT_EQ(0, add_watch(self->s.rd, SUPERBLOCK, self->fd, 0));
	ASSERT_EQ(0, run("mount -o remount,ro " DIR));
	EXPECT_SUPERBLOCK(NOTIFY_SUPERBLOCK_READONLY, sb);
	EXPECT_NE(id, message.sb.sb_id);
}

TEST_F(superblock, only_what_is_watched)
{
	union message message;
	struct stream other;
	int fd;

	ASSERT_EQ(0, run("mount -t tmpfs none /root"));
	fd = open("/root", O_PATH | O_CLOEXEC);
	ASSERT_EQ(0, open_stream(&other));
	ASSERT_EQ(0, add_watch(other.rd, SUPERBLOCK, fd, 0));
	EXPECT_FAILS(EBUSY, add_watch(other.rd, SUPERBLOCK, fd, 0));
	ASSERT_EQ(0, run("mount -o remount,ro /root"));
	EXPECT_MESSAGE(&other, SUPERBLOCK, NOTIFY_SUPERBLOCK_READONLY, sb);
	EXPECT_NOTHING(&self->s);
	close(fd);
	ASSERT_EQ(0, run("umount /root"));
	EXPECT_REMOVAL(&other, message.sb.sb_id);
	EXPECT_NOTHING(&self->s);
}

TEST_F(ext4, quota)
{
	struct dqblk limit = {
		.dqb_bhardlimit = 64,
		.dqb_valid = QIF_BLIMITS,
	};
	static unsigned char buffer[1 << 17];
	union message message;
	int fd;

	ASSERT_EQ(0, chmod(DIR, 0777));
	ASSERT_EQ(0, quotactl(QCMD(Q_SETQUOTA, USRQUOTA), self->disk.node, 4711,
			      (void *)&limit));
	if (fork() == 0) {
		if (setresuid(4711, 4711, 4711) == -1)
			_exit(1);
		fd = open(DIR "/file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
		_exit(write(fd, buffer, sizeof(buffer)) == sizeof(buffer));
	}
	wait(NULL);
	EXPECT_SUPERBLOCK(NOTIFY_SUPERBLOCK_QUOTA, quota);
	EXPECT_EQ(EDQUOT, message.quota.error);
	EXPECT_EQ(4 /* QUOTA_NL_BHARDWARN */, message.quota.kind);
	EXPECT_EQ(USRQUOTA, message.quota.type);
	EXPECT_EQ(4711, message.quota.id);
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

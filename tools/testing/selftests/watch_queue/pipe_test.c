// SPDX-License-Identifier: GPL-2.0
/* A notification queue is a pipe: what userspace can see of it as such */

#include "fixture.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>

TEST(flags_of_pipe2_are_heeded)
{
	struct queue q;

	ASSERT_EQ(0, open_queue(&q, O_CLOEXEC | O_NONBLOCK));
	EXPECT_EQ(FD_CLOEXEC, fcntl(q.rd, F_GETFD));
	EXPECT_EQ(FD_CLOEXEC, fcntl(q.wr, F_GETFD));
	EXPECT_EQ(O_RDONLY | O_NONBLOCK, fcntl(q.rd, F_GETFL));
	EXPECT_EQ(O_WRONLY | O_NONBLOCK, fcntl(q.wr, F_GETFL));
	ASSERT_EQ(0, open_queue(&q, O_DIRECT));
	EXPECT_EQ(O_RDONLY, fcntl(q.rd, F_GETFL));
	EXPECT_EQ(O_WRONLY | O_DIRECT, fcntl(q.wr, F_GETFL));
	EXPECT_FAILS(EINVAL, open_queue(&q, O_APPEND));
}

TEST_F(queue, looks_like_a_pipe)
{
	struct stat rd, wr;
	char path[64], name[64] = "", wanted[64];

	ASSERT_EQ(0, fstat(self->q.rd, &rd));
	ASSERT_EQ(0, fstat(self->q.wr, &wr));
	EXPECT_EQ(S_IFIFO | 0600U, rd.st_mode);
	EXPECT_EQ(rd.st_ino, wr.st_ino);
	EXPECT_EQ(getuid(), rd.st_uid);
	EXPECT_EQ(getgid(), rd.st_gid);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", self->q.rd);
	ASSERT_LT(0, readlink(path, name, sizeof(name) - 1));
	snprintf(wanted, sizeof(wanted), "pipe:[%lu]", rd.st_ino);
	EXPECT_STREQ(wanted, name);
}

TEST_F(queue, cannot_be_written_to)
{
	struct iovec piece = { self->buffer, 8 };

	EXPECT_FAILS(EXDEV, write(self->q.wr, self->buffer, 8));
	EXPECT_FAILS(EXDEV, write(self->q.wr, self->buffer, 0));
	EXPECT_FAILS(EXDEV, writev(self->q.wr, &piece, 1));
	EXPECT_FAILS(EBADF, write(self->q.rd, self->buffer, 8));
}

TEST_F(queue, write_end_cannot_be_read_from)
{
	EXPECT_FAILS(EBADF, read(self->q.wr, self->buffer, 8));
}

TEST_F(queue, nothing_can_be_spliced_out)
{
	int fds[2], file = memfd_create("file", 0);
	loff_t offset = 0;

	ASSERT_NE(-1, file);
	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(0, touch(&self->q));
	EXPECT_FAILS(EINVAL, splice(self->q.rd, NULL, fds[1], NULL, 100, 0));
	EXPECT_FAILS(EINVAL, splice(self->q.rd, NULL, file, NULL, 100, 0));
	EXPECT_FAILS(EINVAL, splice(self->q.rd, NULL, file, &offset, 100, 0));
	EXPECT_FAILS(EINVAL, tee(self->q.rd, fds[1], 100, 0));
	EXPECT_FAILS(EINVAL, sendfile(file, self->q.rd, NULL, 100));
	EXPECT_FAILS(EINVAL, sendfile(fds[1], self->q.rd, NULL, 100));
	EXPECT_EQ(KEY_NOTE, read(self->q.rd, self->buffer, 100));
}

TEST_F(queue, nothing_can_be_spliced_in)
{
	int fds[2], file = memfd_create("file", 0);
	loff_t offset = 0;

	ASSERT_NE(-1, file);
	ASSERT_EQ(16, write(file, self->buffer, 16));
	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(16, write(fds[1], self->buffer, 16));
	EXPECT_FAILS(EXDEV, splice(fds[0], NULL, self->q.wr, NULL, 16, 0));
	EXPECT_FAILS(EINVAL, splice(file, &offset, self->q.wr, NULL, 16, 0));
	EXPECT_FAILS(EINVAL, tee(fds[0], self->q.wr, 16, 0));
	offset = 0;
	EXPECT_FAILS(EXDEV, sendfile(self->q.wr, file, &offset, 16));
	EXPECT_FAILS(EAGAIN, read(self->q.rd, self->buffer, 100));
}

TEST_F(queue, nothing_can_be_vmspliced)
{
	struct iovec piece = { self->buffer, 16 };

	EXPECT_FAILS(EBADF, vmsplice(self->q.wr, &piece, 1, 0));
	EXPECT_FAILS(EBADF, vmsplice(self->q.rd, &piece, 1, 0));
}

TEST_F(queue, has_no_positions_and_no_mapping)
{
	EXPECT_FAILS(ESPIPE, lseek(self->q.rd, 0, SEEK_SET));
	EXPECT_FAILS(ESPIPE, pread(self->q.rd, self->buffer, 8, 0));
	EXPECT_FAILS(ESPIPE, pwrite(self->q.wr, self->buffer, 8, 0));
	EXPECT_FAILS(ENODEV, mmap(NULL, 4096, PROT_READ, MAP_SHARED,
				  self->q.rd, 0));
	EXPECT_FAILS(EINVAL, fsync(self->q.rd));
	EXPECT_FAILS(EINVAL, ftruncate(self->q.wr, 0));
}

TEST_F(queue, unknown_ioctl_is_unknown)
{
	EXPECT_FAILS(ENOTTY, ioctl(self->q.rd, _IO('W', 0x6f), 0));
	EXPECT_FAILS(ENOTTY, ioctl(self->q.wr, _IO('W', 0x6f), 0));
}

TEST(other_pipes_do_not_know_the_ioctls)
{
	int fds[2], fifo;

	ASSERT_EQ(0, pipe(fds));
	EXPECT_FAILS(ENODEV, ioctl(fds[0], IOC_WATCH_QUEUE_SET_SIZE, 32));
	EXPECT_FAILS(ENODEV, ioctl(fds[1], IOC_WATCH_QUEUE_SET_FILTER, NULL));
	unlink("/tmp/fifo");
	ASSERT_EQ(0, mkfifo("/tmp/fifo", 0600));
	fifo = open("/tmp/fifo", O_RDWR);
	ASSERT_NE(-1, fifo);
	EXPECT_FAILS(ENODEV, ioctl(fifo, IOC_WATCH_QUEUE_SET_SIZE, 32));
	EXPECT_FAILS(ENODEV, ioctl(fifo, IOC_WATCH_QUEUE_SET_FILTER, NULL));
	unlink("/tmp/fifo");
}

TEST(other_pipes_work_as_before)
{
	char buffer[16] = "";
	int fds[2];

	ASSERT_EQ(0, pipe2(fds, O_NONBLOCK));
	EXPECT_EQ(5, write(fds[1], "hello", 5));
	EXPECT_EQ(2, read(fds[0], buffer, 2));
	EXPECT_EQ(3, read(fds[0], buffer + 2, 10));
	EXPECT_STREQ("hello", buffer);
	EXPECT_EQ(65536, fcntl(fds[0], F_GETPIPE_SZ));
	EXPECT_EQ(8192, fcntl(fds[0], F_SETPIPE_SZ, 8192));
	EXPECT_EQ(8192, fcntl(fds[1], F_GETPIPE_SZ));
	EXPECT_FAILS(EINVAL, fcntl(fds[1], F_SETPIPE_SZ, -1));
	EXPECT_FAILS(EBADF, fcntl(memfd_create("file", 0), F_GETPIPE_SZ));
}

static int reopen(int fd, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, flags);
}

TEST_F(queue, can_be_reopened)
{
	int again, both;

	ASSERT_EQ(0, touch_times(&self->q, 3));
	again = reopen(self->q.rd, O_RDONLY | O_NONBLOCK);
	ASSERT_NE(-1, again);
	EXPECT_EQ(KEY_NOTE, read(again, self->buffer, KEY_NOTE));
	ASSERT_EQ(0, close(self->q.rd));
	EXPECT_EQ(KEY_NOTE, read(again, self->buffer, KEY_NOTE));
	both = reopen(self->q.wr, O_RDWR | O_NONBLOCK);
	ASSERT_NE(-1, both);
	ASSERT_EQ(0, close(self->q.wr));
	EXPECT_EQ(KEY_NOTE, read(both, self->buffer, KEY_NOTE));
	/* `both` is a writer, so that this is not the end of file. */
	EXPECT_FAILS(EAGAIN, read(again, self->buffer, KEY_NOTE));
	EXPECT_FAILS(EXDEV, write(both, self->buffer, 8));
	ASSERT_EQ(0, close(both));
	EXPECT_EQ(0, read(again, self->buffer, KEY_NOTE));
	EXPECT_FAILS(EBUSY, ioctl(again, IOC_WATCH_QUEUE_SET_SIZE, 32));
	self->q.rd = again;
	self->q.wr = -1;
}

/* It says which pipe, and is not one of the queue's descriptors. */
TEST_F(queue, path_descriptor_is_good_for_reopening_only)
{
	int path = reopen(self->q.rd, O_PATH), again;

	ASSERT_NE(-1, path);
	EXPECT_FAILS(EBADF, read(path, self->buffer, KEY_NOTE));
	EXPECT_FAILS(EBADF, ioctl(path, IOC_WATCH_QUEUE_SET_FILTER, NULL));
	EXPECT_FAILS(EBADF, fcntl(path, F_GETPIPE_SZ));
	EXPECT_FAILS(EINVAL, keyctl_watch_key(self->q.ring, path, -1));
	ASSERT_EQ(0, touch(&self->q));
	again = reopen(path, O_RDONLY | O_NONBLOCK);
	ASSERT_NE(-1, again);
	EXPECT_EQ(KEY_NOTE, read(again, self->buffer, KEY_NOTE));
	ASSERT_EQ(0, close(again));
	/* With the last other descriptor goes the watch. */
	ASSERT_EQ(0, close(self->q.rd));
	ASSERT_EQ(0, close(self->q.wr));
	ASSERT_EQ(0, open_queue(&self->q, O_NONBLOCK));
	EXPECT_EQ(0, UNTIL_THERE_IS_ROOM(keyctl_watch_key(self->q.ring, self->q.rd, TAG)));
}

TEST_F(queue, beyond_mainline_is_nothing_else_after_it_is_closed)
{
	static const int modes[] = { O_RDONLY, O_WRONLY, O_RDWR };
	int path = reopen(self->q.rd, O_PATH), i;

	ASSERT_NE(-1, path);
	ASSERT_EQ(0, close(self->q.rd));
	ASSERT_EQ(0, close(self->q.wr));
	/* C makes an ordinary pipe of it. */
	for (i = 0; i < 3; i++)
		EXPECT_FAILS(ENXIO, reopen(path, modes[i] | O_NONBLOCK));
	self->q.rd = -1;
	self->q.wr = -1;
}

TEST_F(queue, survives_dup_and_fork)
{
	int copy = dup(self->q.rd), status;
	pid_t pid;

	ASSERT_NE(-1, copy);
	ASSERT_EQ(0, close(self->q.rd));
	ASSERT_EQ(0, touch_times(&self->q, 2));
	EXPECT_EQ(KEY_NOTE, read(copy, self->buffer, KEY_NOTE));
	pid = fork();
	ASSERT_NE(-1, pid);
	if (pid == 0)
		_exit(read(copy, self->buffer, 100) != KEY_NOTE);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_FAILS(EAGAIN, read(copy, self->buffer, 100));
	self->q.rd = copy;
}

TEST_F(queue, fdinfo_can_be_read)
{
	char path[64], text[4096] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", self->q.rd);
	fd = open(path, O_RDONLY);
	ASSERT_NE(-1, fd);
	ASSERT_LT(0, read(fd, text, sizeof(text) - 1));
	EXPECT_NE(NULL, strstr(text, "pos:\t0\n"));
	EXPECT_NE(NULL, strstr(text, "flags:\t"));
	close(fd);
}

/* Whichever byte is the first that cannot be written */
TEST(bad_pointer_for_the_descriptors_makes_no_pipe)
{
	unsigned char *end = end_of_memory();
	int before = next_fd();
	size_t room;

	ASSERT_NE(NULL, end);
	for (room = 0; room < 2 * sizeof(int); room++) {
		EXPECT_FAILS(EFAULT, pipe2((int *)(end - room), O_NOTIFICATION_PIPE));
		EXPECT_EQ(before, next_fd());
	}
}

/* With room for one descriptor, and with room for none */
TEST(descriptors_that_are_too_many_make_no_pipe)
{
	int before = next_fd(), room;
	struct rlimit limit;
	struct queue q;

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
	for (room = 0; room < 2; room++) {
		limit.rlim_cur = before + room;
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
		EXPECT_FAILS(EMFILE, open_queue(&q, 0));
	}
	limit.rlim_cur = before + 2;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	EXPECT_EQ(before, next_fd());
	ASSERT_EQ(0, open_queue(&q, 0));
	EXPECT_EQ(before, q.rd);
	EXPECT_EQ(before + 1, q.wr);
}

TEST(files_that_are_no_pipes_do_not_know_the_ioctls)
{
	int file = memfd_create("file", 0);

	ASSERT_NE(-1, file);
	EXPECT_FAILS(ENOTTY, ioctl(file, IOC_WATCH_QUEUE_SET_SIZE, 32));
	EXPECT_FAILS(ENOTTY, ioctl(file, IOC_WATCH_QUEUE_SET_FILTER, NULL));
}

/* With the read end of a sealed queue one can read, and do nothing else. */
TEST_F(queue, beyond_mainline_sealed_read_end_is_for_reading_only)
{
	struct watch_notification_filter filter = { .nr_filters = 0 };
	struct queue other;
	char path[32];
	int fd, bytes;

	ASSERT_EQ(0, ioctl(self->q.rd, IOC_WATCH_QUEUE_SEAL));
	EXPECT_FAILS(EPERM, ioctl(self->q.rd, IOC_WATCH_QUEUE_SEAL));
	EXPECT_EQ(0, ioctl(self->q.wr, IOC_WATCH_QUEUE_SEAL));
	EXPECT_FAILS(EPERM, set_size(&self->q, 32));
	EXPECT_FAILS(EPERM, ioctl(self->q.rd, IOC_WATCH_QUEUE_SET_FILTER, NULL));
	EXPECT_FAILS(EPERM, ioctl(self->q.rd, IOC_WATCH_QUEUE_SET_FILTER, &filter));
	EXPECT_FAILS(EPERM, keyctl_watch_key(self->q.ring, self->q.rd, -1));
	EXPECT_FAILS(EPERM, keyctl_watch_key(KEY_SPEC_SESSION_KEYRING, self->q.rd, TAG));
	/* Nor can it be made a write end. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", self->q.rd);
	EXPECT_FAILS(EPERM, open(path, O_WRONLY));
	EXPECT_FAILS(EPERM, open(path, O_RDWR));
	fd = open(path, O_RDONLY | O_NONBLOCK);
	ASSERT_NE(-1, fd);
	EXPECT_FAILS(EPERM, ioctl(fd, IOC_WATCH_QUEUE_SET_FILTER, NULL));

	ASSERT_EQ(0, touch(&self->q));
	ASSERT_EQ(0, ioctl(self->q.rd, FIONREAD, &bytes));
	EXPECT_EQ(KEY_NOTE, bytes);
	EXPECT_EQ(KEY_NOTE, read(fd, self->buffer, sizeof(self->buffer)));
	close(fd);

	/* The write end is what it was. */
	EXPECT_FAILS(EBUSY, ioctl(self->q.wr, IOC_WATCH_QUEUE_SET_SIZE, 32));
	EXPECT_EQ(0, ioctl(self->q.wr, IOC_WATCH_QUEUE_SET_FILTER, NULL));
	EXPECT_EQ(0, keyctl_watch_key(self->q.ring, self->q.wr, -1));
	ASSERT_EQ(0, open_queue(&other, 0));
	EXPECT_EQ(0, ioctl(other.rd, IOC_WATCH_QUEUE_SET_SIZE, 32));
	close(other.rd);
	close(other.wr);
}

TEST_HARNESS_MAIN

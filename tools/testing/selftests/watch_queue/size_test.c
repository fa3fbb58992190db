// SPDX-License-Identifier: GPL-2.0
/* How large a notification queue is, and who may have how much */

#include "queue.h"

#include <sys/wait.h>

/* How many messages fit into a queue made for nr_notes */
static int capacity(unsigned long nr_notes)
{
	static unsigned char buffer[1 << 20];
	struct queue q;
	ssize_t bytes;

	if (open_queue(&q, O_NONBLOCK) == -1 || set_size(&q, nr_notes) == -1)
		return -1;
	q.ring = new_ring();
	if (q.ring == -1 || keyctl_watch_key(q.ring, q.rd, TAG) == -1 ||
	    touch_times(&q, 5000) == -1)
		return -1;
	bytes = read(q.rd, buffer, sizeof(buffer));
	close(q.rd);
	close(q.wr);
	return bytes / KEY_NOTE;
}

static int set_sysctl(const char *name, const char *value)
{
	char path[64];
	int fd, result;

	snprintf(path, sizeof(path), "/proc/sys/fs/%s", name);
	fd = open(path, O_WRONLY);
	result = fd != -1 && write(fd, value, strlen(value)) > 0 ? 0 : -1;
	close(fd);
	return result;
}

TEST(size_is_rounded_up_to_whole_pages)
{
	static const int sizes[][2] = {
		{ 1, 32 }, { 2, 32 }, { 16, 32 }, { 31, 32 }, { 33, 64 },
		{ 48, 64 }, { 65, 96 }, { 100, 128 }, { 256, 256 },
		{ 500, 512 }, { 512, 512 },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		EXPECT_EQ(sizes[i][1], capacity(sizes[i][0]));
}

TEST(size_must_make_sense)
{
	struct queue q;

	ASSERT_EQ(0, open_queue(&q, 0));
	EXPECT_FAILS(EINVAL, set_size(&q, 0));
	EXPECT_FAILS(EINVAL, set_size(&q, -5));
	EXPECT_FAILS(EINVAL, set_size(&q, 0x7fffffff));
	EXPECT_FAILS(EINVAL, set_size(&q, 0x80000000));
	EXPECT_FAILS(EINVAL, set_size(&q, 0xffffffff));
	EXPECT_EQ(0, set_size(&q, 32));
}

TEST(size_is_set_once)
{
	struct queue q;

	ASSERT_EQ(0, open_queue(&q, 0));
	ASSERT_EQ(0, set_size(&q, 32));
	EXPECT_FAILS(EBUSY, set_size(&q, 32));
	EXPECT_FAILS(EBUSY, set_size(&q, 0));
}

TEST(size_can_be_set_through_the_write_end)
{
	struct queue q;

	ASSERT_EQ(0, open_queue(&q, 0));
	EXPECT_EQ(0, ioctl(q.wr, IOC_WATCH_QUEUE_SET_SIZE, 32));
	EXPECT_FAILS(EBUSY, set_size(&q, 32));
}

TEST(beyond_mainline_size_is_not_cut_to_32_bits)
{
	struct queue q;

	ASSERT_EQ(0, open_queue(&q, 0));
	EXPECT_FAILS(EINVAL, set_size(&q, 0x100000001));
	EXPECT_FAILS(EINVAL, set_size(&q, 0x8000000000000020));
	EXPECT_EQ(0, set_size(&q, 32));
}

TEST(beyond_mainline_size_can_be_more_than_512)
{
	EXPECT_EQ(544, capacity(513));
	EXPECT_EQ(1024, capacity(1024));
	EXPECT_EQ(4096, capacity(4096));
}

TEST(pipe_size_is_that_of_the_messages)
{
	struct queue q;

	ASSERT_EQ(0, open_queue(&q, 0));
	EXPECT_EQ(65536, fcntl(q.rd, F_GETPIPE_SZ));
	ASSERT_EQ(0, set_size(&q, 32));
	EXPECT_EQ(4096, fcntl(q.rd, F_GETPIPE_SZ));
	EXPECT_EQ(4096, fcntl(q.wr, F_GETPIPE_SZ));
	EXPECT_FAILS(EBUSY, fcntl(q.rd, F_SETPIPE_SZ, 8192));
	EXPECT_FAILS(EBUSY, fcntl(q.wr, F_SETPIPE_SZ, 4096));
}

TEST(pipe_size_cannot_be_set_beforehand)
{
	struct queue q;

	ASSERT_EQ(0, open_queue(&q, 0));
	EXPECT_FAILS(EBUSY, fcntl(q.rd, F_SETPIPE_SZ, 8192));
	EXPECT_EQ(0, set_size(&q, 512));
	EXPECT_EQ(65536, fcntl(q.rd, F_GETPIPE_SZ));
}

/* As somebody who may have `soft` pages of pipe, 0 being any number */
static int unprivileged(const char *soft, const char *hard)
{
	if (set_sysctl("pipe-user-pages-soft", soft) ||
	    set_sysctl("pipe-user-pages-hard", hard))
		return -1;
	return setresuid(4242, 4242, 4242);
}

static void restore_limits(void)
{
	set_sysctl("pipe-max-size", "1048576");
	set_sysctl("pipe-user-pages-soft", "16384");
	set_sysctl("pipe-user-pages-hard", "0");
}

FIXTURE(limits) { };
FIXTURE_SETUP(limits) { }
FIXTURE_TEARDOWN_PARENT(limits)
{
	restore_limits();
}

TEST_F(limits, soft_limit_leaves_two_pages)
{
	struct queue a, b;

	/* Two pages say where messages were lost. */
	ASSERT_EQ(0, unprivileged("18", "0"));
	ASSERT_EQ(0, open_queue(&a, 0));
	ASSERT_EQ(0, set_size(&a, 512));
	ASSERT_EQ(0, open_queue(&b, 0));
	EXPECT_FAILS(EPERM, set_size(&b, 96));
	/* A failed call charges for nothing and leaves the queue as it was. */
	EXPECT_FAILS(EPERM, set_size(&b, 512));
	EXPECT_EQ(0, set_size(&b, 64));
	close(a.rd);
	close(a.wr);
	close(b.rd);
	close(b.wr);
}

TEST_F(limits, account_is_settled_when_the_queue_closes)
{
	struct queue q;
	int i;

	ASSERT_EQ(0, unprivileged("18", "18"));
	for (i = 0; i < 100; i++) {
		ASSERT_EQ(0, open_queue(&q, 0));
		ASSERT_EQ(0, set_size(&q, 512));
		ASSERT_EQ(0, close(q.rd));
		ASSERT_EQ(0, close(q.wr));
	}
}

TEST_F(limits, hard_limit_is_hard)
{
	struct queue a, b;

	ASSERT_EQ(0, unprivileged("0", "20"));
	ASSERT_EQ(0, open_queue(&a, 0));
	ASSERT_EQ(0, set_size(&a, 512));
	/* C refuses the pipe itself, for which it always charges 16 pages. */
	if (open_queue(&b, 0) == 0) {
		EXPECT_FAILS(EPERM, set_size(&b, 64));
		EXPECT_EQ(0, set_size(&b, 32));
	} else {
		EXPECT_EQ(ENFILE, errno);
	}
}

TEST_F(limits, beyond_mainline_account_is_of_what_is_allocated)
{
	struct queue a, b;

	/* A page of messages, two of them, and for each queue one of losses */
	ASSERT_EQ(0, unprivileged("0", "5"));
	ASSERT_EQ(0, open_queue(&a, 0));
	ASSERT_EQ(0, set_size(&a, 32));
	ASSERT_EQ(0, open_queue(&b, 0));
	EXPECT_FAILS(EPERM, set_size(&b, 96));
	EXPECT_EQ(0, set_size(&b, 64));
}

TEST_F(limits, beyond_mainline_size_is_limited_by_pipe_max_size)
{
	struct queue q;

	ASSERT_EQ(0, unprivileged("0", "0"));
	ASSERT_EQ(0, open_queue(&q, 0));
	EXPECT_FAILS(EPERM, set_size(&q, 8193));
	EXPECT_EQ(0, set_size(&q, 8192));
	EXPECT_EQ(1 << 20, fcntl(q.rd, F_GETPIPE_SZ));
}

/* The limit does not apply to the size that each new pipe has. */
TEST_F(limits, pipe_max_size_below_that_of_a_new_pipe)
{
	struct queue q;

	ASSERT_EQ(0, set_sysctl("pipe-max-size", "4096"));
	ASSERT_EQ(0, unprivileged("0", "0"));
	ASSERT_EQ(0, open_queue(&q, 0));
	EXPECT_EQ(0, set_size(&q, 512));
	EXPECT_EQ(65536, fcntl(q.rd, F_GETPIPE_SZ));
}

TEST_F(limits, beyond_mainline_more_than_a_new_pipe_is_limited_by_pipe_max_size)
{
	struct queue q;

	ASSERT_EQ(0, set_sysctl("pipe-max-size", "4096"));
	ASSERT_EQ(0, unprivileged("0", "0"));
	ASSERT_EQ(0, open_queue(&q, 0));
	EXPECT_FAILS(EPERM, set_size(&q, 513));
	EXPECT_EQ(0, set_size(&q, 512));
}

/* A pipe of 16 pages would be beyond it, so C makes one of two. */
TEST_F(limits, soft_limit_below_a_new_pipe)
{
	struct queue a, b;

	ASSERT_EQ(0, unprivileged("8", "0"));
	ASSERT_EQ(0, open_queue(&a, 0));
	EXPECT_FAILS(EPERM, set_size(&a, 288));
	EXPECT_EQ(0, set_size(&a, 224));
	ASSERT_EQ(0, open_queue(&b, 0));
	EXPECT_FAILS(EPERM, set_size(&b, 96));
	EXPECT_EQ(0, set_size(&b, 64));
}

/* One page of messages and one of losses; C refuses to make the pipe. */
TEST_F(limits, beyond_mainline_hard_limit_below_a_new_pipe)
{
	struct queue q;

	ASSERT_EQ(0, unprivileged("0", "2"));
	ASSERT_EQ(0, open_queue(&q, 0));
	EXPECT_FAILS(EPERM, set_size(&q, 64));
	EXPECT_EQ(0, set_size(&q, 32));
}

TEST(beyond_mainline_size_beyond_all_memory)
{
	struct queue q;

	ASSERT_EQ(0, open_queue(&q, 0));
	EXPECT_FAILS(ENOMEM, set_size(&q, (1 << 24) - 32));
	EXPECT_FAILS(EINVAL, set_size(&q, (1 << 24) - 31));
	EXPECT_FAILS(EINVAL, set_size(&q, 1 << 24));
	EXPECT_EQ(0, set_size(&q, 32));
}

TEST_HARNESS_MAIN

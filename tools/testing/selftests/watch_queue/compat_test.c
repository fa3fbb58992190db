// SPDX-License-Identifier: GPL-2.0
/*
 * A 32-bit program on a 64-bit kernel.  Built without a C library, see
 * tools/include/nolibc, so that nothing but the compiler has to be there.
 */

#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>

#include <linux/keyctl.h>
#include <linux/watch_queue.h>

#include "../kselftest_harness.h"

#ifdef __LP64__
#error "This is about 32-bit programs."
#endif

FIXTURE(queue)
{
	int fds[2];
	long ring;
	unsigned char buffer[256];
};

FIXTURE_SETUP(queue)
{
	ASSERT_EQ(0, pipe2(self->fds, O_NOTIFICATION_PIPE | O_NONBLOCK));
	ASSERT_LT(0, syscall(__NR_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL, 0, 0, 0));
	self->ring = syscall(__NR_add_key, "keyring", "watched", NULL, 0,
			     KEY_SPEC_SESSION_KEYRING);
	ASSERT_LT(0, self->ring);
	ASSERT_EQ(0, syscall(__NR_keyctl, KEYCTL_WATCH_KEY, self->ring,
			     self->fds[0], 1, 0));
}

FIXTURE_TEARDOWN(queue)
{
	close(self->fds[0]);
	close(self->fds[1]);
}

static long touch(long ring)
{
	return syscall(__NR_keyctl, KEYCTL_SETPERM, ring, 0x3f3f0000, 0, 0);
}

TEST_F(queue, beyond_mainline_32_bit_program_sets_the_size)
{
	EXPECT_EQ(-1, ioctl(self->fds[0], IOC_WATCH_QUEUE_SET_SIZE, 0));
	EXPECT_EQ(EINVAL, errno);
	/* It is negative, not more than 32 bits wide. */
	EXPECT_EQ(-1, ioctl(self->fds[0], IOC_WATCH_QUEUE_SET_SIZE, -5));
	EXPECT_EQ(EINVAL, errno);
	ASSERT_EQ(0, ioctl(self->fds[0], IOC_WATCH_QUEUE_SET_SIZE, 32));
	EXPECT_EQ(-1, ioctl(self->fds[0], IOC_WATCH_QUEUE_SET_SIZE, 32));
	EXPECT_EQ(EBUSY, errno);
	ASSERT_EQ(0, touch(self->ring));
	EXPECT_EQ(16, read(self->fds[0], self->buffer, sizeof(self->buffer)));
}

TEST_F(queue, beyond_mainline_32_bit_program_sets_a_filter)
{
	struct {
		struct watch_notification_filter head;
		struct watch_notification_type_filter rules[1];
	} f = {
		.head.nr_filters = 1,
		.rules[0].type = WATCH_TYPE_KEY_NOTIFY,
		.rules[0].subtype_filter[0] = 1 << NOTIFY_KEY_REVOKED,
	};

	ASSERT_EQ(0, ioctl(self->fds[0], IOC_WATCH_QUEUE_SET_SIZE, 32));
	ASSERT_EQ(0, ioctl(self->fds[0], IOC_WATCH_QUEUE_SET_FILTER, &f));
	ASSERT_EQ(0, touch(self->ring));
	EXPECT_EQ(-1, read(self->fds[0], self->buffer, sizeof(self->buffer)));
	EXPECT_EQ(EAGAIN, errno);

	f.rules[0].subtype_filter[0] = 1 << NOTIFY_KEY_SETATTR;
	ASSERT_EQ(0, ioctl(self->fds[0], IOC_WATCH_QUEUE_SET_FILTER, &f));
	ASSERT_EQ(0, touch(self->ring));
	EXPECT_EQ(16, read(self->fds[0], self->buffer, sizeof(self->buffer)));

	f.head.__reserved = 1;
	EXPECT_EQ(-1, ioctl(self->fds[0], IOC_WATCH_QUEUE_SET_FILTER, &f));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, ioctl(self->fds[0], IOC_WATCH_QUEUE_SET_FILTER, 8));
	EXPECT_EQ(EFAULT, errno);

	ASSERT_EQ(0, ioctl(self->fds[0], IOC_WATCH_QUEUE_SET_FILTER, NULL));
	ASSERT_EQ(0, touch(self->ring));
	EXPECT_EQ(16, read(self->fds[0], self->buffer, sizeof(self->buffer)));
}

TEST_F(queue, what_32_bit_programs_always_could)
{
	int bytes = -1;

	EXPECT_EQ(0, ioctl(self->fds[0], FIONREAD, &bytes));
	EXPECT_EQ(0, bytes);
	EXPECT_EQ(-1, ioctl(self->fds[0], _IO('W', 0x6f), 0));
	EXPECT_EQ(ENOTTY, errno);
	EXPECT_EQ(-1, write(self->fds[1], self->buffer, 8));
	EXPECT_EQ(EXDEV, errno);
}

TEST_HARNESS_MAIN

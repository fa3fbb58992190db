// SPDX-License-Identifier: GPL-2.0
/* Posting: any type, any length, from any context */

#include "source_fixture.h"

#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

TEST_F(source, every_length_arrives_as_it_was_posted)
{
	struct watch_source_post args = { .id = ID, .type = 5, .count = 1 };
	unsigned int i, length;

	for (length = 8; length <= 127; length++) {
		args.length = length;
		args.subtype = 255 - length;
		args.info = 0xabcd0000;
		for (i = 8; i < length; i++)
			args.message[i] = length * 7 + i;
		ASSERT_EQ(0, post(self->fd, &args));
		memset(self->buffer, 0, 256);
		ASSERT_EQ((int)length, read(self->q.rd, self->buffer, 256));
		EXPECT_EQ(5, type_of(self->buffer));
		EXPECT_EQ(255 - (int)length, subtype_of(self->buffer));
		EXPECT_EQ((int)length, length_of(self->buffer));
		EXPECT_EQ(TAG, tag_of(self->buffer));
		EXPECT_EQ(0xabcd, type_info_of(self->buffer));
		EXPECT_EQ(0, memcmp(self->buffer + 8, args.message + 8, length - 8));
	}
}

TEST_F(source, messages_of_odd_lengths_lie_one_behind_the_other)
{
	static const int lengths[] = { 9, 11, 127, 8, 13 };
	unsigned char *at = self->buffer;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(lengths); i++)
		ASSERT_EQ(0, post_some(self->fd, 1, i, lengths[i], 1));
	ASSERT_EQ(168, read(self->q.rd, self->buffer, 256));
	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		EXPECT_EQ(lengths[i], length_of(at));
		EXPECT_EQ((int)i, subtype_of(at));
		at += lengths[i];
	}
}

TEST_F(source, any_24_bit_type_arrives_without_a_filter)
{
	static const int types[] = { 0, 1, 2, 5, 255, 256, 65536, 0xffffff };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		ASSERT_EQ(0, post_some(self->fd, types[i], 200, 8, 1));
		ASSERT_EQ(HEADER, read(self->q.rd, self->buffer, 256));
		EXPECT_EQ(types[i], type_of(self->buffer));
		EXPECT_EQ(200, subtype_of(self->buffer));
	}
}

TEST_F(source, tag_of_the_watch_replaces_what_was_posted)
{
	struct watch_source_post args = {
		.id = ID, .length = 8, .count = 1, .info = 0xffffff00,
	};

	ASSERT_EQ(0, post(self->fd, &args));
	ASSERT_EQ(HEADER, read(self->q.rd, self->buffer, 256));
	EXPECT_EQ(TAG, tag_of(self->buffer));
	EXPECT_EQ(0xffff, type_info_of(self->buffer));
}

TEST_F(source, posts_for_another_object_do_not_arrive)
{
	struct watch_source_post args = { .id = ID + 1, .length = 8, .count = 1 };

	ASSERT_EQ(0, post(self->fd, &args));
	EXPECT_FAILS(EAGAIN, read(self->q.rd, self->buffer, 256));
}

TEST_F(source, capacity_is_in_messages_of_any_length)
{
	unsigned int length;

	for (length = 8; length <= 127; length += 17) {
		ASSERT_EQ(0, post_some(self->fd, 5, 0, length, 32));
		ASSERT_EQ(32 * (int)length,
			  read(self->q.rd, self->buffer, sizeof(self->buffer)));
	}
}

/*
 * Eight messages lie around the end of the ring's memory: two and a half before
 * it, and the rest at its beginning.  The destination ends after each number of
 * bytes in turn.
 */
TEST_F(source, fault_in_either_piece_of_a_wrapped_read_loses_nothing)
{
	struct watch_source_post args = {
		.id = ID, .type = 5, .length = 100, .count = 8, .numbered = 1,
	};
	unsigned char *end = end_of_memory();
	int room, i, nr_read, first, whole;

	ASSERT_NE(NULL, end);
	ASSERT_EQ(0, detach(self->fd, self->q.rd, ID));
	for (room = 0; room <= 800; room += room % 100 == 98 ? 1 : 7) {
		struct queue q;

		/* 3846 of 4096 bytes have been used. */
		ASSERT_EQ(0, open_queue(&q, O_NONBLOCK));
		ASSERT_EQ(0, set_size(&q, 32));
		ASSERT_EQ(0, attach(self->fd, q.rd, ID, TAG));
		ASSERT_EQ(0, post_some(self->fd, 5, 0, 127, 30));
		ASSERT_EQ(0, post_some(self->fd, 5, 0, 36, 1));
		ASSERT_EQ(30 * 127 + 36, read(q.rd, self->buffer, 4096));

		args.number = room;
		ASSERT_EQ(0, post(self->fd, &args));
		memset(self->buffer, 0, 800);
		errno = 0;
		nr_read = read(q.rd, end - room, 1000);
		first = nr_read == -1 ? 0 : nr_read;
		whole = room / 100 * 100;
#ifndef __x86_64__
		/* There copy_to_user() may give up some bytes before it has to. */
		if (first == whole - 100)
			whole = first;
#endif
		if (!whole) {
			EXPECT_EQ(-1, nr_read);
			EXPECT_EQ(EFAULT, errno);
		} else {
			EXPECT_EQ(whole, nr_read);
			memcpy(self->buffer, end - room, first);
		}
		/* With nothing left, the second read is a failure. */
		EXPECT_EQ(first < 800 ? 800 - first : -1,
			  read(q.rd, self->buffer + first, 4096));
		for (i = 0; i < 8; i++) {
			const unsigned char *message = self->buffer + 100 * i;
			uint32_t number;

			memcpy(&number, message + 12, sizeof(number));
			EXPECT_EQ(100, length_of(message));
			EXPECT_EQ(room + i, (int)number);
			EXPECT_EQ((unsigned char)(room + i + 99), message[99]);
		}
		EXPECT_FAILS(EAGAIN, read(q.rd, self->buffer, 4096));
		close(q.rd);
		close(q.wr);
	}
}

static void ignore(int signal)
{
	(void)signal;
}

/* There is room for all messages, so that only a signal can be to blame. */
TEST_F(source, signals_lose_no_message)
{
	const struct itimerval often = { { 0, 700 }, { 0, 700 } }, never = { 0 };
	struct sigaction action = { .sa_handler = ignore };
	const int messages = 400;
	int i = 0, interrupted = 0, status;
	struct queue q;
	pid_t pid;

	ASSERT_EQ(0, open_queue(&q, 0));
	ASSERT_EQ(0, set_size(&q, messages));
	ASSERT_EQ(0, detach(self->fd, self->q.rd, ID));
	ASSERT_EQ(0, attach(self->fd, q.rd, ID, TAG));
	pid = fork();
	ASSERT_NE(-1, pid);
	if (pid == 0) {
		struct watch_source_post args = {
			.id = ID, .type = 5, .length = 16, .count = 1, .numbered = 1,
		};

		for (; args.number < messages; args.number++) {
			if (post(self->fd, &args))
				_exit(1);
			usleep(1500);
		}
		_exit(0);
	}
	ASSERT_EQ(0, sigaction(SIGALRM, &action, NULL));
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &often, NULL));
	while (i < messages) {
		ssize_t bytes = read(q.rd, self->buffer, 16);
		uint32_t number;

		if (bytes == -1 && errno == EINTR) {
			interrupted++;
			continue;
		}
		ASSERT_EQ(16, bytes);
		memcpy(&number, self->buffer + 12, sizeof(number));
		ASSERT_EQ(i, (int)number);
		i++;
	}
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &never, NULL));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_LT(0, interrupted);
	TH_LOG("%d messages, %d reads interrupted", messages, interrupted);
	close(q.rd);
	close(q.wr);
}

TEST_F(source, interrupts_that_are_on_stay_on)
{
	EXPECT_EQ(0, post_some(self->fd, 5, 0, 16, 3));
	EXPECT_EQ(48, read(self->q.rd, self->buffer, 256));
}

TEST_F(source, posting_works_with_softirqs_off)
{
	struct watch_source_post args = {
		.id = ID, .length = 16, .count = 3,
		.context = WATCH_SOURCE_SOFTIRQS_OFF,
	};

	ASSERT_EQ(0, post(self->fd, &args));
	EXPECT_EQ(48, read(self->q.rd, self->buffer, 256));
}

TEST_F(source, beyond_mainline_interrupts_that_are_off_stay_off)
{
	struct watch_source_post args = {
		.id = ID, .length = 16, .count = 3,
		.context = WATCH_SOURCE_INTERRUPTS_OFF,
	};

	EXPECT_EQ(0, post(self->fd, &args));
	EXPECT_EQ(48, read(self->q.rd, self->buffer, 256));
}

/* If it does not, that is for KASAN to say. */
TEST_F(source, watch_that_is_seen_stays_for_a_grace_period)
{
	struct watch_source_watch watch = { .id = ID, .fd = self->q.rd };

	ASSERT_EQ(0, ioctl(self->fd, WATCH_SOURCE_DETACH_SEEN, &watch));
	EXPECT_EQ(16, read(self->q.rd, self->buffer, 256));
	EXPECT_TRUE(is_removal(self->buffer));
}

TEST_F(source, removal_without_an_id_is_short)
{
	ASSERT_EQ(0, detach_all(self->fd, 0));
	ASSERT_EQ(HEADER, read(self->q.rd, self->buffer, 256));
	EXPECT_TRUE(is_removal(self->buffer));
	EXPECT_EQ(HEADER, length_of(self->buffer));
	EXPECT_EQ(TAG, tag_of(self->buffer));
}

TEST_F(source, removal_with_an_id_is_long)
{
	ASSERT_EQ(0, detach_all(self->fd, 0x123456789abcdef0));
	ASSERT_EQ(16, read(self->q.rd, self->buffer, 256));
	EXPECT_TRUE(is_removal(self->buffer));
	EXPECT_EQ(16, length_of(self->buffer));
	EXPECT_EQ(0, memcmp(self->buffer + 8, &(uint64_t){ 0x123456789abcdef0 }, 8));
	EXPECT_FAILS(EBADSLT, detach_all(self->fd, 0));
}

TEST_F(source, removing_all_watches_tells_each)
{
	int i;

	for (i = 1; i < 20; i++)
		ASSERT_EQ(0, attach(self->fd, self->q.rd, ID + i, i));
	ASSERT_EQ(0, detach_all(self->fd, 0));
	EXPECT_EQ(20 * HEADER, read(self->q.rd, self->buffer, 256));
}

TEST_F(source, a_source_that_goes_is_told)
{
	ASSERT_EQ(0, close(self->fd));
	ASSERT_EQ(HEADER, read(self->q.rd, self->buffer, 256));
	EXPECT_TRUE(is_removal(self->buffer));
	self->fd = -1;
}

TEST_F(source, watches_are_by_queue_and_object)
{
	struct queue other;

	ASSERT_EQ(0, open_queue(&other, O_NONBLOCK));
	ASSERT_EQ(0, set_size(&other, 32));
	EXPECT_FAILS(EBUSY, attach(self->fd, self->q.rd, ID, 1));
	ASSERT_EQ(0, attach(self->fd, self->q.rd, ID + 1, 1));
	ASSERT_EQ(0, attach(self->fd, other.rd, ID, 2));
	EXPECT_FAILS(EBADSLT, detach(self->fd, other.rd, ID + 1));
	ASSERT_EQ(0, detach(self->fd, self->q.rd, ID));
	EXPECT_EQ(16, read(self->q.rd, self->buffer, 256));
	ASSERT_EQ(0, post_some(self->fd, 5, 0, 8, 1));
	EXPECT_FAILS(EAGAIN, read(self->q.rd, self->buffer, 256));
	EXPECT_EQ(HEADER, read(other.rd, self->buffer, 256));
}

struct filter {
	struct watch_notification_filter head;
	struct watch_notification_type_filter rules[16];
};

static int filter_one(int queue, uint32_t type, uint32_t subtype)
{
	struct filter filter = { .head.nr_filters = 1, .rules[0].type = type };

	filter.rules[0].subtype_filter[subtype / 32] = 1U << (subtype % 32);
	return ioctl(queue, IOC_WATCH_QUEUE_SET_FILTER, &filter);
}

TEST_F(source, beyond_mainline_filter_knows_all_subtypes)
{
	static const int subtypes[] = { 0, 8, 31, 32, 40, 63, 72, 128, 200, 255 };
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(subtypes); i++) {
		ASSERT_EQ(0, filter_one(self->q.rd, WATCH_TYPE_KEY_NOTIFY, subtypes[i]));
		for (j = 0; j < ARRAY_SIZE(subtypes); j++)
			ASSERT_EQ(0, post_some(self->fd, WATCH_TYPE_KEY_NOTIFY,
					       subtypes[j], 8, 1));
		EXPECT_EQ(HEADER, read(self->q.rd, self->buffer, 256));
		EXPECT_EQ(subtypes[i], subtype_of(self->buffer));
	}
}

TEST_F(source, beyond_mainline_filter_knows_all_types)
{
	static const int types[] = { 0, 1, 2, 5, 255, 256, 65536, 0xffffff };
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(types); i++) {
		ASSERT_EQ(0, filter_one(self->q.rd, types[i], 3));
		for (j = 0; j < ARRAY_SIZE(types); j++)
			ASSERT_EQ(0, post_some(self->fd, types[j], 3, 8, 1));
		EXPECT_EQ(HEADER, read(self->q.rd, self->buffer, 256));
		EXPECT_EQ(types[i], type_of(self->buffer));
	}
}

TEST_F(source, beyond_mainline_received_and_lost_is_posted)
{
	long received = 0, lost = 0;
	int round;

	for (round = 0; round < 500; round++) {
		ASSERT_EQ(0, post_some(self->fd, 5, 0, 8 + round % 120,
				       round % 50));
		count_some(self->q.rd, 100 + round * 13 % 2000, &received, &lost);
	}
	while (count(self->q.rd, &received, &lost) != -1)
		;
	/* ten times 0 + 1 + ... + 49 */
	EXPECT_EQ(10 * 1225, received + lost);
}

TEST_F(source, beyond_mainline_long_run_of_losses_takes_several_records)
{
	unsigned char *record = self->buffer + 32 * HEADER;

	ASSERT_EQ(0, post_some(self->fd, 5, 0, 8, 32 + 70000));
	ASSERT_EQ(34 * HEADER, read(self->q.rd, self->buffer, 1000));
	EXPECT_TRUE(is_loss(record));
	EXPECT_EQ(65535, type_info_of(record));
	EXPECT_TRUE(is_loss(record + HEADER));
	EXPECT_EQ(70000 - 65535, type_info_of(record + HEADER));
}

TEST_F_TIMEOUT(source, beyond_mainline_ten_million_posts_add_up, 200)
{
	long received = 0, lost = 0;
	int bytes;

	/* All are lost from the message on that the queue has no room for. */
	ASSERT_EQ(0, post_some(self->fd, 5, 0, 8, 10000000));
	ASSERT_EQ(0, ioctl(self->q.rd, FIONREAD, &bytes));
	EXPECT_EQ((32 + 153) * HEADER, bytes);
	/* Half of the records lie in front of a message. */
	ASSERT_EQ((32 + 76) * HEADER,
		  count_some(self->q.rd, (32 + 76) * HEADER, &received, &lost));
	ASSERT_EQ(0, post_some(self->fd, 5, 0, 8, 1));
	ASSERT_EQ(0, ioctl(self->q.rd, FIONREAD, &bytes));
	EXPECT_EQ((77 + 1) * HEADER, bytes);
	while (count(self->q.rd, &received, &lost) != -1)
		;
	EXPECT_EQ(EAGAIN, errno);
	EXPECT_EQ(33, received);
	EXPECT_EQ(10000000 - 32, lost);
}

/* A record of its own for each loss would take more to read than to post. */
TEST_F_TIMEOUT(source, beyond_mainline_read_without_a_size_returns_what_was_there, 240)
{
	long posted = 0, lost = 0;
	int fds[2], is_over = 0, round;
	struct queue q;
	pid_t pid;

	ASSERT_EQ(0, open_queue(&q, O_NONBLOCK));
	ASSERT_EQ(0, attach(self->fd, q.rd, ID, TAG));
	ASSERT_EQ(0, pipe2(fds, O_NONBLOCK));
	pid = fork();
	ASSERT_NE(-1, pid);
	if (pid == 0) {
		for (round = 0; round < 40; round++)
			posted += post_some(self->fd, 5, 0, 8, 10000) ? 0 : 10000;
		_exit(write(fds[1], &posted, sizeof(posted)) != sizeof(posted));
	}
	close(fds[1]);
	while (!is_over) {
		ssize_t at, bytes;

		/* This is the last time if all has been posted by now. */
		is_over = read(fds[0], &posted, sizeof(posted)) == sizeof(posted);
		bytes = read(q.rd, self->buffer, sizeof(self->buffer));
		for (at = 0; at < bytes; at += HEADER) {
			ASSERT_TRUE(is_loss(self->buffer + at));
			if (at + HEADER < bytes)
				ASSERT_EQ(65535, type_info_of(self->buffer + at));
			lost += type_info_of(self->buffer + at);
		}
	}
	EXPECT_EQ(pid, waitpid(pid, NULL, 0));
	EXPECT_EQ(400000, posted);
	EXPECT_EQ(posted, lost);
	close(fds[0]);
	close(q.rd);
	close(q.wr);
}

TEST_F(source, a_blocked_reader_is_woken_from_any_safe_context)
{
	static const int contexts[] = {
		WATCH_SOURCE_PROCESS, WATCH_SOURCE_SOFTIRQS_OFF,
	};
	size_t i;

	ASSERT_EQ(0, fcntl(self->q.rd, F_SETFL, 0));
	for (i = 0; i < ARRAY_SIZE(contexts); i++) {
		struct watch_source_post args = {
			.id = ID, .length = 8, .count = 1,
			.context = contexts[i],
		};
		int status;
		pid_t pid = fork();

		ASSERT_NE(-1, pid);
		if (pid == 0)
			_exit(read(self->q.rd, self->buffer, 256) != HEADER);
		usleep(30000);
		ASSERT_EQ(0, post(self->fd, &args));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(0, status);
	}
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: GPL-2.0
/*
 * The bugs of the C implementation over the years, each named after the
 * fix.  Documentation/core-api/watch_queue-history.rst says what became of it.
 */

#include "source.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>

static atomic_bool stop;

FIXTURE(regression)
{
	struct queue q;
	int source;
	unsigned char buffer[128 * 128];
};

FIXTURE_SETUP(regression)
{
	self->source = open_source();
	if (self->source == -1)
		SKIP(return, "no /dev/watch_source: load watch_source.ko");
	ASSERT_EQ(0, open_queue(&self->q, O_NONBLOCK));
}

FIXTURE_TEARDOWN(regression)
{
	close(self->q.rd);
	close(self->q.wr);
	close(self->source);
}

/* Kilobytes of memory that the kernel says are free, after a quiet moment */
static long free_memory(void)
{
	char line[128];
	long kilobytes = -1;
	FILE *file;

	usleep(300000);
	file = fopen("/proc/meminfo", "r");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "MemFree: %ld kB", &kilobytes) == 1)
			break;
	if (file)
		fclose(file);
	return kilobytes;
}

static void *keep_posting(void *arg)
{
	int source = *(int *)arg;

	while (!stop)
		if (post_some(source, 5, 3, 24, 20))
			return "a post failed";
	return NULL;
}

/* CVE-2022-0995: a rule's type was not checked against the bitmap of types. */
TEST_F_TIMEOUT(regression, filter_type_bitmap_overrun, 300)
{
	static const uint32_t types[] = {
		2, 31, 32, 63, 64, 128, 0xffffff, 0x1000000, 0xffffffff,
	};
	struct {
		struct watch_notification_filter head;
		struct watch_notification_type_filter rules[ARRAY_SIZE(types)];
	} filter = { .head.nr_filters = ARRAY_SIZE(types) };
	size_t i;

	ASSERT_EQ(0, set_size(&self->q, 32));
	ASSERT_EQ(0, attach(self->source, self->q.rd, ID, TAG));
	for (i = 0; i < ARRAY_SIZE(types); i++) {
		filter.rules[i].type = types[i];
		memset(filter.rules[i].subtype_filter, 0xff, 32);
	}
	ASSERT_EQ(0, ioctl(self->q.rd, IOC_WATCH_QUEUE_SET_FILTER, &filter));
	/* None of the rules is for this one. */
	ASSERT_EQ(0, post_some(self->source, 1, 0, 8, 1));
	EXPECT_FAILS(EAGAIN, read(self->q.rd, self->buffer, 100));
}

/* CVE-2022-1882: a post could find the queue and then the pipe gone. */
TEST_F_TIMEOUT(regression, post_after_the_pipe_is_freed, 300)
{
	pthread_t posters[2];
	void *failed;
	int i;

	ASSERT_EQ(0, pthread_create(&posters[0], NULL, keep_posting, &self->source));
	ASSERT_EQ(0, pthread_create(&posters[1], NULL, keep_posting, &self->source));
	for (i = 0; i < 1000; i++) {
		struct queue q;

		ASSERT_EQ(0, open_queue(&q, O_NONBLOCK));
		ASSERT_EQ(0, set_size(&q, 32));
		ASSERT_EQ(0, attach(self->source, q.rd, ID, TAG));
		close(q.rd);
		close(q.wr);
	}
	stop = 1;
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, pthread_join(posters[i], &failed));
		EXPECT_EQ(NULL, failed);
	}
}

/* The pages, their array and the allocation bitmap were not freed. */
TEST_F_TIMEOUT(regression, pages_and_arrays_are_freed_on_teardown, 300)
{
	long before, after;
	int round, i;

	for (round = 0; round < 2; round++) {
		before = free_memory();
		for (i = 0; i < 1000; i++) {
			struct queue q;

			ASSERT_EQ(0, open_queue(&q, O_NONBLOCK));
			ASSERT_EQ(0, set_size(&q, 512));
			close(q.rd);
			close(q.wr);
		}
		after = free_memory();
	}
	/* They are 64 KiB each: 64 MiB, if they leaked. */
	EXPECT_GT(16384, before - after);
}

/* Watches were not freed, and were not counted off the limit. */
TEST_F_TIMEOUT(regression, watches_are_freed, 300)
{
	long before, after;
	int round, i;

	ASSERT_EQ(0, set_size(&self->q, 32));
	for (round = 0; round < 2; round++) {
		before = free_memory();
		for (i = 0; i < 30000; i++) {
			ASSERT_EQ(0, attach(self->source, self->q.rd, ID, TAG));
			ASSERT_EQ(0, detach(self->source, self->q.rd, ID));
		}
		after = free_memory();
	}
	/* They are 96 bytes each: 2.8 MiB, if they leaked. */
	EXPECT_GT(2048, before - after);
}

/* The state was freed before the messages that refer to it. */
TEST_F_TIMEOUT(regression, queue_can_be_closed_with_messages_in_it, 300)
{
	int i;

	for (i = 0; i < 200; i++) {
		struct queue q;

		ASSERT_EQ(0, open_queue(&q, O_NONBLOCK));
		ASSERT_EQ(0, set_size(&q, 32));
		ASSERT_EQ(0, attach(self->source, q.rd, ID, TAG));
		ASSERT_EQ(0, post_some(self->source, 5, 0, 127, 1 + i % 40));
		close(q.rd);
		close(q.wr);
	}
}

/* Fill the queue to the last slot and empty it, with messages of many lengths. */
static void fill_and_drain(struct __test_metadata *_metadata, int source,
			   const struct queue *q, int capacity, int rounds)
{
	static unsigned char buffer[128 * 512];
	int round;

	for (round = 0; round < rounds; round++) {
		int length = 8 + round * 7 % 120, bytes = 0, i;
		struct watch_source_post args = {
			.id = ID, .type = 5, .length = length, .count = capacity,
		};

		for (i = 8; i < length; i++)
			args.message[i] = round + i;
		ASSERT_EQ(0, post(source, &args));
		ASSERT_EQ(0, ioctl(q->rd, FIONREAD, &bytes));
		ASSERT_EQ(capacity * length, bytes);
		ASSERT_EQ(bytes, read(q->rd, buffer, bytes));
		for (i = 0; i < capacity; i++)
			ASSERT_EQ(0, memcmp(buffer + i * length + 8,
					    args.message + 8, length - 8));
		ASSERT_EQ(-1, read(q->rd, buffer, 100));
	}
}

/* A message's page was released when its slot was free already, or never. */
TEST_F_TIMEOUT(regression, page_is_released_in_release, 300)
{
	long before, after;

	ASSERT_EQ(0, set_size(&self->q, 32));
	ASSERT_EQ(0, attach(self->source, self->q.rd, ID, TAG));
	fill_and_drain(_metadata, self->source, &self->q, 32, 10);
	before = free_memory();
	fill_and_drain(_metadata, self->source, &self->q, 32, 1000);
	after = free_memory();
	/* A page for 32 messages: 4 MiB, if they were not released. */
	EXPECT_GT(2048, before - after);
}

/* A ring that was not a power of two lost its place: this has three pages. */
TEST_F_TIMEOUT(regression, ring_is_not_a_power_of_two, 300)
{
	ASSERT_EQ(0, set_size(&self->q, 96));
	ASSERT_EQ(0, attach(self->source, self->q.rd, ID, TAG));
	fill_and_drain(_metadata, self->source, &self->q, 96, 300);
}

/* The bitmap of free slots was shorter than there were slots. */
TEST_F_TIMEOUT(regression, allocation_bitmap_has_all_slots, 300)
{
	ASSERT_EQ(0, set_size(&self->q, 481));
	ASSERT_EQ(0, attach(self->source, self->q.rd, ID, TAG));
	fill_and_drain(_metadata, self->source, &self->q, 512, 100);
}

static void *keep_numbering(void *arg)
{
	struct watch_source_post args = {
		.id = ID, .type = 5, .length = 64, .count = 1, .numbered = 1,
	};

	while (!stop) {
		if (post(*(int *)arg, &args))
			return "a post failed";
		args.number++;
	}
	return NULL;
}

/* A reader could see a message's place taken before the message was there. */
TEST_F_TIMEOUT(regression, post_against_read_ordering, 300)
{
	uint32_t number, next = 0;
	pthread_t poster;
	void *failed;
	int i;

	ASSERT_EQ(0, set_size(&self->q, 32));
	ASSERT_EQ(0, attach(self->source, self->q.rd, ID, TAG));
	ASSERT_EQ(0, pthread_create(&poster, NULL, keep_numbering, &self->source));
	for (i = 0; i < 5000; ) {
		unsigned char *at = self->buffer;
		ssize_t bytes = read(self->q.rd, self->buffer, 1024);
		int byte;

		if (bytes == -1)
			continue;
		for (; bytes > 0; bytes -= length_of(at), at += length_of(at)) {
			if (is_loss(at))
				continue;
			memcpy(&number, at + 12, 4);
			ASSERT_LE(next, number);
			next = number + 1;
			for (byte = 16; byte < 64; byte++)
				ASSERT_EQ((unsigned char)(number + byte), at[byte]);
			i++;
		}
	}
	stop = 1;
	ASSERT_EQ(0, pthread_join(poster, &failed));
	EXPECT_EQ(NULL, failed);
}

static void *keep_removing(void *arg)
{
	while (!stop) {
		detach_all(*(int *)arg, 1);
		sched_yield();
	}
	return NULL;
}

/* A queue being closed was not serialised with a watch being removed. */
TEST_F_TIMEOUT(regression, defunct_is_serialised, 300)
{
	pthread_t remover;
	int i, j;

	ASSERT_EQ(0, pthread_create(&remover, NULL, keep_removing, &self->source));
	for (i = 0; i < 500; i++) {
		struct queue q;

		ASSERT_EQ(0, open_queue(&q, O_NONBLOCK));
		for (j = 0; j < 20; j++)
			ASSERT_EQ(0, attach(self->source, q.rd, ID + j, TAG));
		close(q.wr);
		close(q.rd);
	}
	stop = 1;
	ASSERT_EQ(0, pthread_join(remover, NULL));
}

/* Splicing moved messages, or the place where the next one goes. */
TEST_F_TIMEOUT(regression, splice_against_notification, 300)
{
	pthread_t poster;
	int fds[2], i;

	ASSERT_EQ(0, set_size(&self->q, 32));
	ASSERT_EQ(0, attach(self->source, self->q.rd, ID, TAG));
	ASSERT_EQ(0, pipe2(fds, O_NONBLOCK));
	ASSERT_EQ(16, write(fds[1], "0123456789abcdef", 16));
	ASSERT_EQ(0, pthread_create(&poster, NULL, keep_posting, &self->source));
	for (i = 0; i < 3000; i++) {
		ASSERT_EQ(-1, splice(self->q.rd, NULL, fds[1], NULL, 100, 0));
		ASSERT_EQ(-1, tee(self->q.rd, fds[1], 100, 0));
		ASSERT_EQ(-1, splice(fds[0], NULL, self->q.wr, NULL, 1, 0));
		read(self->q.rd, self->buffer, sizeof(self->buffer));
	}
	stop = 1;
	ASSERT_EQ(0, pthread_join(poster, NULL));
}

/* CVE-2022-2959: the ring was replaced while a post was using it. */
TEST_F_TIMEOUT(regression, resize_against_notification, 300)
{
	pthread_t poster;
	int i;

	ASSERT_EQ(0, pthread_create(&poster, NULL, keep_posting, &self->source));
	for (i = 0; i < 300; i++) {
		struct queue q;

		ASSERT_EQ(0, open_queue(&q, O_NONBLOCK));
		ASSERT_EQ(0, attach(self->source, q.rd, ID, TAG));
		EXPECT_FAILS(EBUSY, fcntl(q.rd, F_SETPIPE_SZ, 4096 << i % 4));
		ASSERT_EQ(0, set_size(&q, 1 + i));
		EXPECT_FAILS(EBUSY, fcntl(q.rd, F_SETPIPE_SZ, 4096 << i % 4));
		EXPECT_FAILS(EBUSY, set_size(&q, 1 + i));
		read(q.rd, self->buffer, sizeof(self->buffer));
		close(q.rd);
		close(q.wr);
	}
	stop = 1;
	ASSERT_EQ(0, pthread_join(poster, NULL));
}

static int limit_pages(const char *soft)
{
	int fd = open("/proc/sys/fs/pipe-user-pages-soft", O_WRONLY);
	int result = write(fd, soft, strlen(soft)) > 0 ? 0 : -1;

	close(fd);
	return result;
}

/* SET_SIZE charged another amount than closing gave back. */
TEST_F_TIMEOUT(regression, pipe_accounting_mismatch, 300)
{
	int i;

	/* A page too many each time would pass the limit. */
	ASSERT_EQ(0, limit_pages("32"));
	ASSERT_EQ(0, setresuid(4245, 4245, 0));
	for (i = 0; i < 500; i++) {
		struct queue q;

		EXPECT_EQ(0, open_queue(&q, O_NONBLOCK));
		EXPECT_EQ(0, set_size(&q, 100 + i % 2 * 400));
		close(q.rd);
		close(q.wr);
	}
	ASSERT_EQ(0, setresuid(0, 0, 0));
	ASSERT_EQ(0, limit_pages("16384"));
}

TEST_HARNESS_MAIN

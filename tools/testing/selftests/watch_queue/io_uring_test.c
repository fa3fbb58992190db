// SPDX-License-Identifier: GPL-2.0
/* A notification queue by way of io_uring, with the bare system calls */

#include "fixture.h"
#include "source_fixture.h"
#include "uring.h"

#include <poll.h>
#include <pthread.h>

TEST(pipe_opcode_makes_a_notification_pipe)
{
	struct uring ring;
	struct queue q;
	int fds[2], result;
	char buffer[32];
	struct io_uring_sqe sqe = {
		.opcode = IORING_OP_PIPE,
		.addr = (uintptr_t)fds,
		.pipe_flags = O_NOTIFICATION_PIPE | O_NONBLOCK,
	};

	ASSERT_EQ(0, open_uring(&ring));
	ASSERT_EQ(1, submit(&ring, &sqe));
	ASSERT_EQ(0, reap(&ring, 1, &result));
	ASSERT_EQ(0, result);
	q.rd = fds[0];
	q.wr = fds[1];
	ASSERT_EQ(0, set_size(&q, 32));
	EXPECT_FAILS(EXDEV, write(q.wr, buffer, 8));
	q.ring = new_ring();
	ASSERT_EQ(0, keyctl_watch_key(q.ring, q.rd, TAG));
	ASSERT_EQ(0, touch(&q));
	EXPECT_EQ(KEY_NOTE, read(q.rd, buffer, sizeof(buffer)));
}

TEST_F(queue, uring_read_waits_for_a_message)
{
	struct io_uring_sqe sqe = {
		.opcode = IORING_OP_READ,
		.fd = self->q.rd,
		.addr = (uintptr_t)self->buffer,
		.len = 100,
		.off = -1,
	};
	struct uring ring;
	int result;

	ASSERT_EQ(0, fcntl(self->q.rd, F_SETFL, 0));
	ASSERT_EQ(0, open_uring(&ring));
	ASSERT_EQ(1, submit(&ring, &sqe));
	EXPECT_EQ(-1, reap(&ring, 0, &result));
	ASSERT_EQ(0, touch(&self->q));
	ASSERT_EQ(0, reap(&ring, 1, &result));
	EXPECT_EQ((int)KEY_NOTE, result);
	EXPECT_TRUE(is_key_event(self->buffer, NOTIFY_KEY_SETATTR));
}

TEST_F(queue, uring_poll_waits_for_a_message)
{
	struct io_uring_sqe sqe = {
		.opcode = IORING_OP_POLL_ADD,
		.fd = self->q.rd,
		.poll32_events = poll_events(POLLIN),
	};
	struct uring ring;
	int result;

	ASSERT_EQ(0, open_uring(&ring));
	ASSERT_EQ(1, submit(&ring, &sqe));
	EXPECT_EQ(-1, reap(&ring, 0, &result));
	ASSERT_EQ(0, touch(&self->q));
	ASSERT_EQ(0, reap(&ring, 1, &result));
	EXPECT_EQ(POLLIN, result & POLLIN);
}

TEST_F(queue, uring_multishot_poll_tells_of_each_message)
{
	struct io_uring_sqe sqe = {
		.opcode = IORING_OP_POLL_ADD,
		.fd = self->q.rd,
		.len = IORING_POLL_ADD_MULTI,
		.poll32_events = poll_events(POLLIN),
	};
	struct uring ring;
	int i, result;

	ASSERT_EQ(0, open_uring(&ring));
	ASSERT_EQ(1, submit(&ring, &sqe));
	for (i = 0; i < 20; i++) {
		ASSERT_EQ(0, touch(&self->q));
		ASSERT_EQ(0, reap(&ring, 1, &result));
		EXPECT_EQ(POLLIN, result & POLLIN);
		EXPECT_EQ(KEY_NOTE, read(self->q.rd, self->buffer, 100));
	}
}

/* More than 32 at a time, so that some are lost */
#define BURST	50
#define BURSTS	100

static void *post_bursts(void *source)
{
	intptr_t i, result = 0;

	for (i = 0; i < BURSTS && !result; i++) {
		result = post_some((intptr_t)source, 1, 0, 8 + i, BURST);
		usleep(i % 3 * 500);
	}
	return (void *)result;
}

TEST_F(source, beyond_mainline_uring_multishot_poll_misses_nothing_under_load)
{
	struct io_uring_sqe sqe = {
		.opcode = IORING_OP_POLL_ADD,
		.fd = self->q.rd,
		.len = IORING_POLL_ADD_MULTI,
		.poll32_events = poll_events(POLLIN),
	};
	long received = 0, lost = 0;
	struct io_uring_cqe cqe;
	struct uring ring;
	pthread_t poster;
	void *failed;

	ASSERT_EQ(0, open_uring(&ring));
	ASSERT_EQ(1, submit(&ring, &sqe));
	ASSERT_EQ(0, pthread_create(&poster, NULL, post_bursts,
				    (void *)(intptr_t)self->fd));
	while (received + lost < BURST * BURSTS) {
		ASSERT_EQ(0, reap_cqe(&ring, 1, &cqe));
		ASSERT_EQ(POLLIN, cqe.res & POLLIN);
		while (count_some(self->q.rd, 1000, &received, &lost) > 0)
			;
		if (!(cqe.flags & IORING_CQE_F_MORE))
			ASSERT_EQ(1, submit(&ring, &sqe));
	}
	pthread_join(poster, &failed);
	EXPECT_EQ(NULL, failed);
	EXPECT_EQ(BURST * BURSTS, received + lost);
}

#define NR_BUFFERS	8
#define BUFFER_SIZE	1024
#define GROUP		1

static void provide(struct io_uring_buf_ring *buffers, unsigned char *memory,
		    unsigned int id)
{
	struct io_uring_buf *buffer = &buffers->bufs[buffers->tail % NR_BUFFERS];

	buffer->addr = (uintptr_t)(memory + id * BUFFER_SIZE);
	buffer->len = BUFFER_SIZE;
	buffer->bid = id;
	__atomic_store_n(&buffers->tail, buffers->tail + 1, __ATOMIC_RELEASE);
}

TEST_F(source, beyond_mainline_uring_multishot_read_delivers_all_under_load)
{
	struct io_uring_sqe sqe = {
		.opcode = IORING_OP_READ_MULTISHOT,
		.fd = self->q.rd,
		.off = -1,
		.flags = IOSQE_BUFFER_SELECT,
		.buf_group = GROUP,
	};
	struct io_uring_buf_reg reg = {
		.ring_entries = NR_BUFFERS,
		.bgid = GROUP,
	};
	unsigned char memory[NR_BUFFERS * BUFFER_SIZE];
	long received = 0, lost = 0;
	struct io_uring_buf_ring *buffers;
	struct io_uring_cqe cqe;
	struct uring ring;
	pthread_t poster;
	void *failed;
	int i;

	ASSERT_EQ(0, open_uring(&ring));
	buffers = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, buffers);
	reg.ring_addr = (uintptr_t)buffers;
	ASSERT_EQ(0, syscall(__NR_io_uring_register, ring.fd,
			     IORING_REGISTER_PBUF_RING, &reg, 1));
	for (i = 0; i < NR_BUFFERS; i++)
		provide(buffers, memory, i);

	ASSERT_EQ(1, submit(&ring, &sqe));
	ASSERT_EQ(0, pthread_create(&poster, NULL, post_bursts,
				    (void *)(intptr_t)self->fd));
	while (received + lost < BURST * BURSTS) {
		ASSERT_EQ(0, reap_cqe(&ring, 1, &cqe));
		if (cqe.res > 0) {
			unsigned int id = cqe.flags >> IORING_CQE_BUFFER_SHIFT;
			unsigned char *at = memory + id * BUFFER_SIZE;
			unsigned char *end = at + cqe.res;

			ASSERT_GT(NR_BUFFERS, id);
			for (; at < end; at += length_of(at)) {
				ASSERT_NE(0, length_of(at));
				if (is_loss(at))
					lost += type_info_of(at);
				else
					received++;
			}
			ASSERT_EQ(at, end);
			provide(buffers, memory, id);
		} else {
			/* It ran out of buffers, and ended for that. */
			ASSERT_EQ(-ENOBUFS, cqe.res);
		}
		if (!(cqe.flags & IORING_CQE_F_MORE))
			ASSERT_EQ(1, submit(&ring, &sqe));
	}
	pthread_join(poster, &failed);
	EXPECT_EQ(NULL, failed);
	EXPECT_EQ(BURST * BURSTS, received + lost);
}

TEST_HARNESS_MAIN

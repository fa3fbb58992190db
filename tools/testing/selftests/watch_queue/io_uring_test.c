// SPDX-License-Identifier: GPL-2.0
/* A notification queue by way of io_uring, with the bare system calls */

#include "fixture.h"

#include <linux/io_uring.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>

struct uring {
	int fd;
	struct io_uring_params params;
	unsigned char *sq;
	unsigned char *cq;
	struct io_uring_sqe *sqes;
};

static int open_uring(struct uring *ring)
{
	memset(ring, 0, sizeof(*ring));
	ring->fd = syscall(__NR_io_uring_setup, 8, &ring->params);
	if (ring->fd == -1)
		return -1;
	ring->sq = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED,
			ring->fd, IORING_OFF_SQ_RING);
	ring->cq = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED,
			ring->fd, IORING_OFF_CQ_RING);
	ring->sqes = mmap(NULL, 8 * sizeof(*ring->sqes), PROT_READ | PROT_WRITE,
			  MAP_SHARED, ring->fd, IORING_OFF_SQES);
	return ring->sq == MAP_FAILED || ring->cq == MAP_FAILED ||
	       ring->sqes == MAP_FAILED ? -1 : 0;
}

static unsigned int *sq_field(struct uring *ring, unsigned int offset)
{
	return (unsigned int *)(ring->sq + offset);
}

static unsigned int *cq_field(struct uring *ring, unsigned int offset)
{
	return (unsigned int *)(ring->cq + offset);
}

static int submit(struct uring *ring, const struct io_uring_sqe *sqe)
{
	unsigned int tail = *sq_field(ring, ring->params.sq_off.tail);
	unsigned int index = tail & *sq_field(ring, ring->params.sq_off.ring_mask);

	ring->sqes[index] = *sqe;
	sq_field(ring, ring->params.sq_off.array)[index] = index;
	__atomic_store_n(sq_field(ring, ring->params.sq_off.tail), tail + 1,
			 __ATOMIC_RELEASE);
	return syscall(__NR_io_uring_enter, ring->fd, 1, 0, 0, NULL, 0);
}

/* The result of the next request that is done; waits for one if `wait`. */
static int reap(struct uring *ring, int wait, int *result)
{
	unsigned int *head = cq_field(ring, ring->params.cq_off.head);
	struct io_uring_cqe *cqes =
		(void *)(ring->cq + ring->params.cq_off.cqes);

	syscall(__NR_io_uring_enter, ring->fd, 0, wait,
		IORING_ENTER_GETEVENTS, NULL, 0);
	if (*head == __atomic_load_n(cq_field(ring, ring->params.cq_off.tail),
				     __ATOMIC_ACQUIRE))
		return -1;
	*result = cqes[*head & *cq_field(ring, ring->params.cq_off.ring_mask)].res;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return 0;
}

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
		.poll32_events = POLLIN,
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
		.poll32_events = POLLIN,
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

TEST_HARNESS_MAIN

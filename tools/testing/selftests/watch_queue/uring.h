/* SPDX-License-Identifier: GPL-2.0 */
/* io_uring with the bare system calls */
#ifndef WATCH_QUEUE_TEST_URING_H
#define WATCH_QUEUE_TEST_URING_H

#include <linux/io_uring.h>
#include <linux/swab.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct uring {
	int fd;
	struct io_uring_params params;
	unsigned char *sq;
	unsigned char *cq;
	struct io_uring_sqe *sqes;
};

static inline int open_uring(struct uring *ring)
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

/* The value for `poll32_events`, whose halves are swapped on big-endian machines */
static inline uint32_t poll_events(uint32_t events)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	return __swahw32(events);
#else
	return events;
#endif
}

static inline unsigned int *sq_field(struct uring *ring, unsigned int offset)
{
	return (unsigned int *)(ring->sq + offset);
}

static inline unsigned int *cq_field(struct uring *ring, unsigned int offset)
{
	return (unsigned int *)(ring->cq + offset);
}

static inline int submit(struct uring *ring, const struct io_uring_sqe *sqe)
{
	unsigned int tail = *sq_field(ring, ring->params.sq_off.tail);
	unsigned int index = tail & *sq_field(ring, ring->params.sq_off.ring_mask);

	ring->sqes[index] = *sqe;
	sq_field(ring, ring->params.sq_off.array)[index] = index;
	__atomic_store_n(sq_field(ring, ring->params.sq_off.tail), tail + 1,
			 __ATOMIC_RELEASE);
	return syscall(__NR_io_uring_enter, ring->fd, 1, 0, 0, NULL, 0);
}

/* The next request that is done; waits for one if `wait`. */
static inline int reap_cqe(struct uring *ring, int wait, struct io_uring_cqe *cqe)
{
	unsigned int *head = cq_field(ring, ring->params.cq_off.head);
	struct io_uring_cqe *cqes =
		(void *)(ring->cq + ring->params.cq_off.cqes);

	syscall(__NR_io_uring_enter, ring->fd, 0, wait,
		IORING_ENTER_GETEVENTS, NULL, 0);
	if (*head == __atomic_load_n(cq_field(ring, ring->params.cq_off.tail),
				     __ATOMIC_ACQUIRE))
		return -1;
	*cqe = cqes[*head & *cq_field(ring, ring->params.cq_off.ring_mask)];
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return 0;
}

static inline int reap(struct uring *ring, int wait, int *result)
{
	struct io_uring_cqe cqe;

	if (reap_cqe(ring, wait, &cqe))
		return -1;
	*result = cqe.res;
	return 0;
}

#endif /* WATCH_QUEUE_TEST_URING_H */

// SPDX-License-Identifier: GPL-2.0
/*
 * No wake-up is missed.  One message at a time is posted when somebody is about
 * to wait for it, a little earlier or a little later.
 */

#include "source_fixture.h"
#include "uring.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#define SECONDS		2

#define miss_nothing(wait, fd)							\
	miss_nothing_from(_metadata, variant->context, self->source, self->q.rd, wait, fd)

/*
 * For how many messages somebody has waited, or is about to wait; -1 if there
 * will be no more.
 */
static atomic_int *awaited;

static atomic_int is_late;

/* Whoever misses a wake-up is woken by this, finds the message and goes on. */
static void be_late(int signal)
{
	(void)signal;
	is_late = 1;
}

static int post_when_awaited(int source, int context)
{
	struct watch_source_post args = {
		.id = ID, .type = 5, .length = 8, .count = 1, .context = context,
	};
	unsigned int seed = getpid();
	int round;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (round = 0; ; round++) {
		int idle = rand_r(&seed) % 4000;

		while (*awaited == round)
			sched_yield();
		if (*awaited == -1)
			break;
		while (*awaited && idle-- > 0)
			;
		if (post(source, &args))
			return 1;
	}
	return 0;
}

/* `wait` returns 1 when there is something to read of `fd`. */
static void miss_nothing_from(struct __test_metadata *_metadata, int context, int source,
			      int queue, int (*wait)(int fd), int fd)
{
	struct sigaction action = { .sa_handler = be_late };
	unsigned char buffer[128];
	time_t end = time(NULL) + SECONDS;
	int round, status;
	pid_t poster;

	*awaited = 0;
	poster = fork();
	ASSERT_NE(-1, poster);
	if (poster == 0)
		_exit(post_when_awaited(source, context));
	ASSERT_EQ(0, sigaction(SIGALRM, &action, NULL));
	for (round = 1; time(NULL) < end; round++) {
		alarm(20);
		*awaited = round;
		if (wait)
			ASSERT_EQ(1, wait(fd));
		ASSERT_EQ(HEADER, read(queue, buffer, sizeof(buffer)));
		ASSERT_FALSE(atomic_load(&is_late));
	}
	alarm(0);
	*awaited = -1;
	TH_LOG("%d times", round - 1);
	ASSERT_EQ(poster, waitpid(poster, &status, 0));
	EXPECT_EQ(0, status);
}

/*
 * Posts that wake by themselves; and, which is beyond mainline, those that have
 * irq_work do it, because interrupts are off.
 */
FIXTURE(wake)
{
	struct queue q;
	int source;
};

FIXTURE_VARIANT(wake)
{
	int context;
};

FIXTURE_VARIANT_ADD(wake, at_once)
{
	.context = WATCH_SOURCE_PROCESS,
};

FIXTURE_VARIANT_ADD(wake, beyond_mainline_by_irq_work)
{
	.context = WATCH_SOURCE_INTERRUPTS_OFF,
};

FIXTURE_SETUP(wake)
{
	struct watch_source_post args = {
		.id = ID, .type = 5, .length = 8, .count = 1, .context = variant->context,
	};
	char buffer[16];

	self->source = open_source();
	if (self->source == -1)
		SKIP(return, "no /dev/watch_source: load watch_source.ko");
	awaited = mmap(NULL, sizeof(*awaited), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, awaited);
	ASSERT_EQ(0, open_queue(&self->q, O_NONBLOCK));
	ASSERT_EQ(0, set_size(&self->q, 32));
	ASSERT_EQ(0, attach(self->source, self->q.rd, ID, TAG));
	/* Whether it can be done at all */
	ASSERT_EQ(0, post(self->source, &args));
	ASSERT_EQ(HEADER, read(self->q.rd, buffer, sizeof(buffer)));
}

FIXTURE_TEARDOWN(wake)
{
	close(self->q.rd);
	close(self->q.wr);
	close(self->source);
}

TEST_F_TIMEOUT(wake, none_of_read_is_missed, 120)
{
	ASSERT_EQ(0, fcntl(self->q.rd, F_SETFL, 0));
	miss_nothing(NULL, -1);
}

static int wait_with_poll(int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };

	return poll(&pollfd, 1, -1);
}

TEST_F_TIMEOUT(wake, none_of_poll_is_missed, 120)
{
	miss_nothing(wait_with_poll, self->q.rd);
}

/* Looks again and again, and never waits */
static int wait_by_looking(int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };
	int found;

	do {
		found = poll(&pollfd, 1, 0);
	} while (found == 0 && !is_late);
	return found;
}

TEST_F_TIMEOUT(wake, one_that_only_looks_sees_each_message, 120)
{
	miss_nothing(wait_by_looking, self->q.rd);
}

static int wait_with_epoll(int fd)
{
	struct epoll_event event;

	return epoll_wait(fd, &event, 1, -1);
}

static int epoll_of(int fd, uint32_t events)
{
	struct epoll_event event = { .events = EPOLLIN | events };
	int epoll = epoll_create1(0);

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) ? -1 : epoll;
}

TEST_F_TIMEOUT(wake, none_of_level_epoll_is_missed, 120)
{
	miss_nothing(wait_with_epoll, epoll_of(self->q.rd, 0));
}

TEST_F_TIMEOUT(wake, none_of_edge_epoll_is_missed, 120)
{
	miss_nothing(wait_with_epoll, epoll_of(self->q.rd, EPOLLET));
}

TEST_F_TIMEOUT(wake, none_of_exclusive_epoll_is_missed, 120)
{
	miss_nothing(wait_with_epoll, epoll_of(self->q.rd, EPOLLEXCLUSIVE));
}

static int wait_with_uring(int fd)
{
	static struct uring ring;
	struct io_uring_sqe sqe = {
		.opcode = IORING_OP_POLL_ADD,
		.fd = fd,
		.poll32_events = poll_events(POLLIN),
	};
	int result;

	if (!ring.sq && open_uring(&ring))
		return -1;
	if (submit(&ring, &sqe) != 1 || reap(&ring, 1, &result) || result < 0)
		return -1;
	return result & POLLIN;
}

TEST_F_TIMEOUT(wake, none_of_uring_is_missed, 120)
{
	struct uring ring;

	if (open_uring(&ring))
		SKIP(return, "no io_uring in this kernel");
	miss_nothing(wait_with_uring, self->q.rd);
}

static int wait_for_sigio(int fd)
{
	struct timespec timeout = { .tv_sec = 20 };
	sigset_t set;

	(void)fd;
	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	return sigtimedwait(&set, NULL, &timeout) == SIGIO;
}

TEST_F_TIMEOUT(wake, no_sigio_is_missed, 120)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	ASSERT_EQ(0, sigprocmask(SIG_BLOCK, &set, NULL));
	ASSERT_EQ(0, fcntl(self->q.rd, F_SETOWN, getpid()));
	ASSERT_EQ(0, fcntl(self->q.rd, F_SETFL, O_ASYNC | O_NONBLOCK));
	miss_nothing(wait_for_sigio, -1);
}

TEST_HARNESS_MAIN

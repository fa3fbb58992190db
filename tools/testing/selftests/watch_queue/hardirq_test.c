// SPDX-License-Identifier: GPL-2.0
/* Posting in contexts that the C implementation does not survive, or not as it should */

#include "source_fixture.h"
#include "uring.h"

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <time.h>

TEST_F(source, beyond_mainline_posting_works_in_a_hard_interrupt)
{
	struct watch_source_post args = {
		.id = ID, .length = 16, .count = 40,
		.context = WATCH_SOURCE_TIMER,
	};
	long received = 0, lost = 0;
	pid_t pid;
	int status;

	ASSERT_EQ(0, fcntl(self->q.rd, F_SETFL, 0));
	pid = fork();
	ASSERT_NE(-1, pid);
	if (pid == 0)
		_exit(read(self->q.rd, self->buffer, 16) != 16);
	usleep(30000);
	ASSERT_EQ(0, post(self->fd, &args));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	/* The reader got one of the 40, at once or after some were lost. */
	ASSERT_LT(0, count(self->q.rd, &received, &lost));
	EXPECT_EQ(40, 1 + received + lost);
}

/* So few that none is lost, as C does not count those that are */
#define POSTS		20
#define SECONDS		20

/* Those that wait, each a process of its own: all of them have to be woken. */
static int wait_in_read(int fd)
{
	char buffer[16];

	return read(fd, buffer, sizeof(buffer)) == 16;
}

static int wait_in_poll(int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };

	return poll(&pollfd, 1, -1) == 1;
}

static int wait_in_epoll(int fd, uint32_t events)
{
	struct epoll_event event = { .events = EPOLLIN | events };
	int epoll = epoll_create1(0);

	return !epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) &&
	       epoll_wait(epoll, &event, 1, -1) == 1;
}

static int wait_in_level_epoll(int fd)
{
	return wait_in_epoll(fd, 0);
}

static int wait_in_edge_epoll(int fd)
{
	return wait_in_epoll(fd, EPOLLET);
}

static int wait_in_exclusive_epoll(int fd)
{
	return wait_in_epoll(fd, EPOLLEXCLUSIVE);
}

static int wait_in_uring(int fd)
{
	struct io_uring_sqe sqe = {
		.opcode = IORING_OP_POLL_ADD,
		.fd = fd,
		.poll32_events = poll_events(POLLIN),
	};
	struct uring ring;
	int result;

	return !open_uring(&ring) && submit(&ring, &sqe) == 1 &&
	       !reap(&ring, 1, &result) && result > 0 && (result & POLLIN);
}

static int wait_for_sigio(int fd)
{
	struct timespec timeout = { .tv_sec = SECONDS };
	sigset_t set;

	(void)fd;
	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	return sigtimedwait(&set, NULL, &timeout) == SIGIO;
}

static int (*const waits[])(int fd) = {
	wait_in_read, wait_in_poll, wait_in_level_epoll, wait_in_edge_epoll,
	wait_in_exclusive_epoll, wait_in_uring, wait_for_sigio,
};

#define NR_WAITS	ARRAY_SIZE(waits)

static pid_t wait_for_news(struct __test_metadata *_metadata, int fd,
			   int (*wait)(int fd))
{
	sigset_t set;
	pid_t pid;

	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	sigprocmask(SIG_BLOCK, &set, NULL);
	pid = fork();
	if (pid == 0) {
		alarm(SECONDS);
		_exit(!wait(fd));
	}
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	if (wait == wait_for_sigio) {
		ASSERT_EQ(0, fcntl(fd, F_SETOWN, pid));
		ASSERT_EQ(0, fcntl(fd, F_SETFL, O_ASYNC));
	}
	return pid;
}

/* Each way to wait on its own, as a read that came first would leave nothing.
 * Returns the errno of a post that failed.
 */
static int all_are_woken(struct __test_metadata *_metadata, struct queue *q,
			 int source, int context)
{
	struct watch_source_post args = {
		.id = ID, .type = 5, .length = 16, .count = POSTS,
		.context = context,
	};
	unsigned int i;

	for (i = 0; i < NR_WAITS; i++) {
		long received = 0, lost = 0;
		pid_t pid;
		int status;

		ASSERT_EQ(0, fcntl(q->rd, F_SETFL, 0));
		pid = wait_for_news(_metadata, q->rd, waits[i]);
		ASSERT_NE(-1, pid);
		usleep(30000);
		if (post(source, &args)) {
			int error = errno;

			kill(pid, SIGKILL);
			waitpid(pid, NULL, 0);
			if (error == EOPNOTSUPP)
				SKIP(return 0, "the kernel has no tracepoints");
			return error;
		}
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(0, status) {
			TH_LOG("way %u to wait", i);
		}
		ASSERT_EQ(0, fcntl(q->rd, F_SETFL, O_NONBLOCK));
		count(q->rd, &received, &lost);
		EXPECT_EQ(POSTS, (waits[i] == wait_in_read) + received + lost);
	}
	return 0;
}

TEST_F_TIMEOUT(source, all_are_woken_by_posts_from_a_process, 240)
{
	EXPECT_EQ(0, all_are_woken(_metadata, &self->q, self->fd, WATCH_SOURCE_PROCESS));
}

TEST_F_TIMEOUT(source, all_are_woken_by_posts_with_softirqs_off, 240)
{
	EXPECT_EQ(0, all_are_woken(_metadata, &self->q, self->fd, WATCH_SOURCE_SOFTIRQS_OFF));
}

TEST_F_TIMEOUT(source, all_are_woken_by_posts_from_a_softirq, 240)
{
	EXPECT_EQ(0, all_are_woken(_metadata, &self->q, self->fd, WATCH_SOURCE_SOFTIRQ));
}

TEST_F_TIMEOUT(source, all_are_woken_by_posts_from_an_rcu_callback, 240)
{
	EXPECT_EQ(0, all_are_woken(_metadata, &self->q, self->fd, WATCH_SOURCE_RCU));
}

TEST_F_TIMEOUT(source, all_are_woken_by_posts_with_preemption_off, 240)
{
	EXPECT_EQ(0, all_are_woken(_metadata, &self->q, self->fd, WATCH_SOURCE_PREEMPTION_OFF));
}

TEST_F_TIMEOUT(source, all_are_woken_by_posts_with_a_raw_lock, 240)
{
	EXPECT_EQ(0, all_are_woken(_metadata, &self->q, self->fd, WATCH_SOURCE_RAW_LOCK));
}

TEST_F_TIMEOUT(source, beyond_mainline_all_are_woken_by_posts_with_interrupts_off, 240)
{
	EXPECT_EQ(0, all_are_woken(_metadata, &self->q, self->fd, WATCH_SOURCE_INTERRUPTS_OFF));
}

TEST_F_TIMEOUT(source, beyond_mainline_all_are_woken_by_posts_from_a_timer, 240)
{
	EXPECT_EQ(0, all_are_woken(_metadata, &self->q, self->fd, WATCH_SOURCE_TIMER));
}

TEST_F_TIMEOUT(source, beyond_mainline_all_are_woken_by_posts_from_a_hard_timer, 240)
{
	EXPECT_EQ(0, all_are_woken(_metadata, &self->q, self->fd, WATCH_SOURCE_HARD_TIMER));
}

TEST_F_TIMEOUT(source, beyond_mainline_all_are_woken_by_posts_from_a_probe_of_a_switch, 240)
{
	EXPECT_EQ(0, all_are_woken(_metadata, &self->q, self->fd, WATCH_SOURCE_SWITCH));
}

TEST_HARNESS_MAIN

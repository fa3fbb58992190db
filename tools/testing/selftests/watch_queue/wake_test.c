// SPDX-License-Identifier: GPL-2.0
/*
 * No wake-up is missed.  One message at a time is posted when somebody is about
 * to wait for it, a little earlier or a little later.
 */

#include "source_fixture.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#define SECONDS		3

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

static int post_when_awaited(int source)
{
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
		if (post_some(source, 5, 0, 8, 1))
			return 1;
	}
	return 0;
}

/* `wait` returns 1 when there is something to read of `fd`. */
static void miss_nothing(struct __test_metadata *_metadata, int source, int queue,
			 int (*wait)(int fd), int fd)
{
	struct sigaction action = { .sa_handler = be_late };
	unsigned char buffer[128];
	time_t end = time(NULL) + SECONDS;
	int round, status;
	pid_t poster;

	awaited = mmap(NULL, sizeof(*awaited), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, awaited);
	ASSERT_EQ(0, sigaction(SIGALRM, &action, NULL));
	poster = fork();
	ASSERT_NE(-1, poster);
	if (poster == 0)
		_exit(post_when_awaited(source));
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

TEST_F_TIMEOUT(source, no_wake_up_of_read_is_missed, 120)
{
	ASSERT_EQ(0, fcntl(self->q.rd, F_SETFL, 0));
	miss_nothing(_metadata, self->fd, self->q.rd, NULL, -1);
}

static int wait_with_poll(int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN };

	return poll(&pollfd, 1, -1);
}

TEST_F_TIMEOUT(source, no_wake_up_of_poll_is_missed, 120)
{
	miss_nothing(_metadata, self->fd, self->q.rd, wait_with_poll, self->q.rd);
}

static int wait_with_epoll(int fd)
{
	struct epoll_event event;

	return epoll_wait(fd, &event, 1, -1);
}

TEST_F_TIMEOUT(source, no_wake_up_of_epoll_is_missed, 120)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	int epoll = epoll_create1(0);

	ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, self->q.rd, &event));
	miss_nothing(_metadata, self->fd, self->q.rd, wait_with_epoll, epoll);
}

TEST_HARNESS_MAIN

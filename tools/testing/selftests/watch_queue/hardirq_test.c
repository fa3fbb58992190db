// SPDX-License-Identifier: GPL-2.0
/* Posting in a hard interrupt, where the C implementation hangs */

#include "source_fixture.h"

#include <sys/wait.h>

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

TEST_HARNESS_MAIN

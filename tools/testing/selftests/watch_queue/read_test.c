// SPDX-License-Identifier: GPL-2.0
/* Reading from a notification queue */

#include "fixture.h"

#include <signal.h>
#include <sys/uio.h>
#include <sys/wait.h>

/* Long enough for a child to be where it waits, in microseconds */
#define A_WHILE		100000

TEST_F(queue, message_says_what_happened_to_which_key)
{
	struct key_notification n;

	ASSERT_EQ(0, touch(&self->q));
	ASSERT_EQ(KEY_NOTE, read(self->q.rd, &n, sizeof(n)));
	EXPECT_EQ(WATCH_TYPE_KEY_NOTIFY, type_of(&n));
	EXPECT_EQ(NOTIFY_KEY_SETATTR, subtype_of(&n));
	EXPECT_EQ(KEY_NOTE, length_of(&n));
	EXPECT_EQ(TAG, tag_of(&n));
	EXPECT_EQ((uint32_t)self->q.ring, n.key_id);
}

TEST_F(queue, message_that_does_not_fit_stays)
{
	ASSERT_EQ(0, touch(&self->q));
	EXPECT_FAILS(ENOBUFS, read(self->q.rd, self->buffer, KEY_NOTE - 1));
	EXPECT_FAILS(ENOBUFS, read(self->q.rd, self->buffer, 1));
	EXPECT_EQ(KEY_NOTE, read(self->q.rd, self->buffer, KEY_NOTE));
}

TEST_F(queue, read_returns_whole_messages)
{
	ASSERT_EQ(0, touch_times(&self->q, 3));
	EXPECT_EQ(2 * KEY_NOTE, read(self->q.rd, self->buffer, 40));
	EXPECT_EQ(KEY_NOTE, read(self->q.rd, self->buffer, 40));
	EXPECT_FAILS(EAGAIN, read(self->q.rd, self->buffer, 40));
}

TEST_F(queue, read_of_nothing_returns_nothing)
{
	EXPECT_EQ(0, read(self->q.rd, self->buffer, 0));
	ASSERT_EQ(0, touch(&self->q));
	EXPECT_EQ(0, read(self->q.rd, self->buffer, 0));
	EXPECT_EQ(KEY_NOTE, read(self->q.rd, self->buffer, KEY_NOTE));
}

TEST_F(queue, messages_come_in_order_around_the_ring)
{
	struct key_notification notes[32];
	key_serial_t keys[4];
	int round, i;

	for (i = 0; i < 4; i++) {
		char name[8];

		snprintf(name, sizeof(name), "key%d", i);
		keys[i] = add_key("user", name, "x", 1, KEY_SPEC_SESSION_KEYRING);
		ASSERT_NE(-1, keys[i]);
	}
	/* Not a divisor of the ring's size, so that it wraps everywhere. */
	for (round = 0; round < 400; round++) {
		for (i = 0; i < 3; i++) {
			ASSERT_EQ(0, keyctl_link(keys[i], self->q.ring));
			ASSERT_EQ(0, keyctl_unlink(keys[i], self->q.ring));
		}
		ASSERT_EQ(0, keyctl_link(keys[3], self->q.ring));
		ASSERT_EQ(7 * KEY_NOTE,
			  read(self->q.rd, notes, sizeof(notes)));
		for (i = 0; i < 7; i++) {
			int linked = i % 2 == 0;

			ASSERT_EQ(linked ? NOTIFY_KEY_LINKED : NOTIFY_KEY_UNLINKED,
				  subtype_of(&notes[i]));
			ASSERT_EQ((uint32_t)self->q.ring, notes[i].key_id);
			ASSERT_EQ((uint32_t)keys[i / 2], notes[i].aux);
		}
	}
}

TEST_F(queue, bad_pointer_consumes_nothing)
{
	ASSERT_EQ(0, touch(&self->q));
	EXPECT_FAILS(EFAULT, read(self->q.rd, nowhere(), KEY_NOTE));
	EXPECT_EQ(KEY_NOTE, read(self->q.rd, self->buffer, KEY_NOTE));
	EXPECT_FAILS(EAGAIN, read(self->q.rd, self->buffer, KEY_NOTE));
}

TEST_F(queue, fault_on_the_way_returns_what_was_whole)
{
	unsigned char *end = end_of_memory();

	ASSERT_NE(NULL, end);
	ASSERT_EQ(0, touch_times(&self->q, 3));
	EXPECT_EQ(2 * KEY_NOTE, read(self->q.rd, end - 40, 80));
	EXPECT_TRUE(is_key_event(end - 40, NOTIFY_KEY_SETATTR));
	EXPECT_EQ(KEY_NOTE, read(self->q.rd, self->buffer, 80));
}

/* Of three messages, whichever byte is the first that cannot be written */
TEST_F(queue, fault_at_any_byte_loses_nothing)
{
	unsigned char *end = end_of_memory();
	ssize_t room, whole;
	int in_pieces;

	ASSERT_NE(NULL, end);
	for (in_pieces = 0; in_pieces < 2; in_pieces++) {
		for (room = 0; room < 3 * KEY_NOTE; room++) {
			/* Up to the end, and beyond it */
			struct iovec pieces[2] = {
				{ end - room, room }, { end, 3 * KEY_NOTE - room },
			};

			ASSERT_EQ(0, touch_times(&self->q, 3));
			whole = room / KEY_NOTE * KEY_NOTE;
			errno = 0;
			EXPECT_EQ(whole ?: -1,
				  in_pieces ? readv(self->q.rd, pieces, 2) :
					      read(self->q.rd, end - room, 3 * KEY_NOTE));
			EXPECT_EQ(whole ? 0 : EFAULT, errno);
			EXPECT_EQ(3 * KEY_NOTE - whole, read(self->q.rd, self->buffer, 100));
			EXPECT_TRUE(is_key_event(self->buffer, NOTIFY_KEY_SETATTR));
		}
	}
}

TEST_F(queue, readv_fills_its_pieces)
{
	struct iovec pieces[3] = {
		{ self->buffer, 5 }, { self->buffer + 5, 20 },
		{ self->buffer + 25, 100 },
	};

	ASSERT_EQ(0, touch_times(&self->q, 3));
	EXPECT_EQ(3 * KEY_NOTE, readv(self->q.rd, pieces, 3));
	EXPECT_TRUE(is_key_event(self->buffer, NOTIFY_KEY_SETATTR));
	EXPECT_TRUE(is_key_event(self->buffer + KEY_NOTE, NOTIFY_KEY_SETATTR));
	EXPECT_TRUE(is_key_event(self->buffer + 2 * KEY_NOTE, NOTIFY_KEY_SETATTR));
}

TEST_F(queue, rwf_nowait_does_not_wait)
{
	struct iovec piece = { self->buffer, 100 };

	ASSERT_EQ(0, fcntl(self->q.rd, F_SETFL, 0));
	EXPECT_FAILS(EAGAIN, preadv2(self->q.rd, &piece, 1, -1, RWF_NOWAIT));
	ASSERT_EQ(0, touch(&self->q));
	EXPECT_EQ(KEY_NOTE, preadv2(self->q.rd, &piece, 1, -1, RWF_NOWAIT));
}

TEST_F(queue, blocking_read_waits_for_a_message)
{
	int status;
	pid_t pid;

	ASSERT_EQ(0, fcntl(self->q.rd, F_SETFL, 0));
	pid = fork();
	ASSERT_NE(-1, pid);
	if (pid == 0)
		_exit(read(self->q.rd, self->buffer, 100) != KEY_NOTE);
	usleep(50000);
	EXPECT_EQ(0, waitpid(pid, &status, WNOHANG));
	ASSERT_EQ(0, touch(&self->q));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

TEST_F(queue, each_message_wakes_one_of_several_readers)
{
	int i, status;

	ASSERT_EQ(0, fcntl(self->q.rd, F_SETFL, 0));
	for (i = 0; i < 4; i++) {
		pid_t pid = fork();

		ASSERT_NE(-1, pid);
		if (pid == 0)
			_exit(read(self->q.rd, self->buffer, KEY_NOTE) != KEY_NOTE);
	}
	usleep(50000);
	ASSERT_EQ(0, touch_times(&self->q, 4));
	for (i = 0; i < 4; i++) {
		ASSERT_NE(-1, wait(&status));
		EXPECT_EQ(0, status);
	}
}

/* Whoever is woken for a message and cannot take it leaves it to the next. */
TEST_F(queue, message_that_does_not_fit_wakes_another_reader)
{
	static const ssize_t rooms[] = { HEADER, KEY_NOTE }, results[] = { -1, KEY_NOTE };
	int i, status;

	ASSERT_EQ(0, fcntl(self->q.rd, F_SETFL, 0));
	for (i = 0; i < 2; i++) {
		pid_t pid = fork();

		ASSERT_NE(-1, pid);
		if (pid == 0)
			_exit(read(self->q.rd, self->buffer, rooms[i]) != results[i]);
		/* They are woken in the order in which they wait. */
		usleep(50000);
	}
	ASSERT_EQ(0, touch(&self->q));
	for (i = 0; i < 2; i++) {
		ASSERT_NE(-1, wait(&status));
		EXPECT_EQ(0, status);
	}
}

static void ignore(int signal)
{
	(void)signal;
}

static ssize_t read_in_pieces(int fd, void *buffer, size_t room)
{
	struct iovec pieces[2] = { { buffer, 3 }, { buffer + 3, room - 3 } };

	return readv(fd, pieces, 2);
}

TEST_F(queue, signal_interrupts_a_waiting_read)
{
	ssize_t (*const ways[])(int, void *, size_t) = { read, read_in_pieces };
	struct sigaction action = { .sa_handler = ignore };
	size_t i;

	ASSERT_EQ(0, fcntl(self->q.rd, F_SETFL, 0));
	ASSERT_EQ(0, sigaction(SIGALRM, &action, NULL));
	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		ualarm(50000, 0);
		EXPECT_FAILS(EINTR, ways[i](self->q.rd, self->buffer, 100));
		ASSERT_EQ(0, touch(&self->q));
		EXPECT_EQ(KEY_NOTE, ways[i](self->q.rd, self->buffer, 100));
	}
}

TEST_F(queue, read_goes_on_after_a_signal_that_restarts)
{
	struct sigaction action = { .sa_handler = ignore, .sa_flags = SA_RESTART };
	int status;
	pid_t pid;

	ASSERT_EQ(0, fcntl(self->q.rd, F_SETFL, 0));
	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
	pid = fork();
	ASSERT_NE(-1, pid);
	if (pid == 0)
		_exit(read(self->q.rd, self->buffer, 100) != KEY_NOTE);
	usleep(A_WHILE);
	ASSERT_EQ(0, kill(pid, SIGUSR1));
	usleep(A_WHILE);
	EXPECT_EQ(0, waitpid(pid, &status, WNOHANG));
	ASSERT_EQ(0, touch(&self->q));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

TEST_F(queue, end_of_file_comes_after_the_last_message)
{
	ASSERT_EQ(0, touch(&self->q));
	ASSERT_EQ(0, close(self->q.wr));
	EXPECT_EQ(KEY_NOTE, read(self->q.rd, self->buffer, 100));
	EXPECT_EQ(0, read(self->q.rd, self->buffer, 100));
	/* The write end is nothing that posting needs. */
	ASSERT_EQ(0, touch(&self->q));
	EXPECT_EQ(KEY_NOTE, read(self->q.rd, self->buffer, 100));
	EXPECT_EQ(0, read(self->q.rd, self->buffer, 100));
}

TEST_F(queue, closing_the_write_end_wakes_a_reader)
{
	int status;
	pid_t pid;

	ASSERT_EQ(0, fcntl(self->q.rd, F_SETFL, 0));
	pid = fork();
	ASSERT_NE(-1, pid);
	if (pid == 0) {
		close(self->q.wr);
		_exit(read(self->q.rd, self->buffer, 100) != 0);
	}
	usleep(50000);
	ASSERT_EQ(0, close(self->q.wr));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

TEST_F(queue, fionread_counts_bytes)
{
	unsigned char *end = end_of_memory();
	int bytes = -1;
	size_t room;

	ASSERT_EQ(0, ioctl(self->q.rd, FIONREAD, &bytes));
	EXPECT_EQ(0, bytes);
	ASSERT_EQ(0, touch_times(&self->q, 3));
	ASSERT_EQ(0, ioctl(self->q.rd, FIONREAD, &bytes));
	EXPECT_EQ(3 * (int)KEY_NOTE, bytes);
	ASSERT_EQ(0, ioctl(self->q.wr, FIONREAD, &bytes));
	EXPECT_EQ(3 * (int)KEY_NOTE, bytes);
	ASSERT_NE(NULL, end);
	for (room = 0; room < sizeof(bytes); room++)
		EXPECT_FAILS(EFAULT, ioctl(self->q.rd, FIONREAD, end - room));
}

/* In a child: wait until what is there has been read. */
static pid_t start_sync(int fd)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(ioctl(fd, PIPE_IOC_SYNC) == -1 ? errno : 0);
	usleep(A_WHILE);
	return pid;
}

static int still_waits(pid_t pid)
{
	usleep(A_WHILE);
	return waitpid(pid, NULL, WNOHANG) == 0;
}

/* The queue of this fixture does not block, nor does that of keyctl. */
TEST_F(queue, beyond_mainline_sync_waits_for_what_was_there)
{
	int status;
	pid_t pid;

	EXPECT_EQ(0, ioctl(self->q.rd, PIPE_IOC_SYNC));
	EXPECT_EQ(0, ioctl(self->q.wr, PIPE_IOC_SYNC));
	ASSERT_EQ(0, touch_times(&self->q, 3));
	pid = start_sync(self->q.rd);
	ASSERT_NE(-1, pid);
	ASSERT_EQ(0, touch(&self->q));
	EXPECT_TRUE(still_waits(pid));
	ASSERT_EQ(2 * KEY_NOTE, read(self->q.rd, self->buffer, 2 * KEY_NOTE));
	EXPECT_TRUE(still_waits(pid));
	ASSERT_EQ(KEY_NOTE, read(self->q.rd, self->buffer, KEY_NOTE));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(KEY_NOTE, read(self->q.rd, self->buffer, sizeof(self->buffer)));
}

TEST_F(queue, beyond_mainline_sync_waits_for_a_loss)
{
	int status;
	pid_t pid;

	ASSERT_EQ(0, touch_times(&self->q, 40));
	pid = start_sync(self->q.rd);
	ASSERT_NE(-1, pid);
	ASSERT_EQ(32 * KEY_NOTE, read(self->q.rd, self->buffer, 32 * KEY_NOTE));
	EXPECT_TRUE(still_waits(pid));
	ASSERT_EQ(HEADER, read(self->q.rd, self->buffer, sizeof(self->buffer)));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

/* So many that one record does not count them all: the rest is nothing to wait for. */
TEST_F(queue, beyond_mainline_sync_does_not_wait_for_later_losses)
{
	int status, tries = 50;
	pid_t pid, ended;

	ASSERT_EQ(0, touch_times(&self->q, 40));
	pid = start_sync(self->q.rd);
	ASSERT_NE(-1, pid);
	ASSERT_EQ(0, touch_times(&self->q, 66000));
	ASSERT_EQ(32 * KEY_NOTE, read(self->q.rd, self->buffer, 32 * KEY_NOTE));
	EXPECT_TRUE(still_waits(pid));
	ASSERT_EQ(HEADER, read(self->q.rd, self->buffer, HEADER));
	EXPECT_EQ(65535, type_info_of(self->buffer));
	while (!(ended = waitpid(pid, &status, WNOHANG)) && tries--)
		usleep(A_WHILE);
	if (ended == 0)
		kill(pid, SIGKILL);
	ASSERT_EQ(pid, ended);
	EXPECT_EQ(0, status);
}

TEST_F(queue, beyond_mainline_sync_can_be_killed)
{
	int status;
	pid_t pid;

	ASSERT_EQ(0, touch(&self->q));
	pid = start_sync(self->q.rd);
	ASSERT_NE(-1, pid);
	EXPECT_TRUE(still_waits(pid));
	ASSERT_EQ(0, kill(pid, SIGTERM));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(KEY_NOTE, read(self->q.rd, self->buffer, sizeof(self->buffer)));
}

TEST_F(queue, beyond_mainline_sync_ends_when_nobody_can_read)
{
	int status;
	pid_t pid;

	ASSERT_EQ(0, touch(&self->q));
	pid = fork();
	if (pid == 0) {
		close(self->q.rd);
		_exit(ioctl(self->q.wr, PIPE_IOC_SYNC) == -1 ? errno : 0);
	}
	ASSERT_NE(-1, pid);
	EXPECT_TRUE(still_waits(pid));
	close(self->q.rd);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(EPIPE, WEXITSTATUS(status));
	EXPECT_FAILS(EPIPE, ioctl(self->q.wr, PIPE_IOC_SYNC));
}

/* Where it has to poll, it waits for what comes later, too. */
TEST_F(queue, beyond_mainline_keyctl_need_not_poll)
{
	char command[64];
	int status;
	pid_t pid;

	if (system("command -v keyctl >/dev/null"))
		SKIP(return, "no keyctl");
	snprintf(command, sizeof(command), "exec keyctl watch_sync %d", self->q.rd);
	ASSERT_EQ(0, touch(&self->q));
	pid = fork();
	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(127);
	}
	ASSERT_NE(-1, pid);
	/* It has to be started. */
	sleep(2);
	ASSERT_EQ(0, touch(&self->q));
	EXPECT_TRUE(still_waits(pid));
	ASSERT_EQ(KEY_NOTE, read(self->q.rd, self->buffer, KEY_NOTE));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

TEST_HARNESS_MAIN

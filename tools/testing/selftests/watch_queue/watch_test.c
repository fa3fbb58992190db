// SPDX-License-Identifier: GPL-2.0
/* Watches: attached, removed by hand, by the object and by the queue */

#include "fixture.h"

#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>

static uint64_t removed_id(const unsigned char *message)
{
	struct watch_notification_removal n;

	memcpy(&n, message, sizeof(n));
	return n.id;
}

TEST_F(queue, object_is_watched_once_by_a_queue)
{
	EXPECT_FAILS(EBUSY, keyctl_watch_key(self->q.ring, self->q.rd, TAG));
	EXPECT_FAILS(EBUSY, keyctl_watch_key(self->q.ring, self->q.wr, 1));
	ASSERT_EQ(0, touch(&self->q));
	EXPECT_EQ(KEY_NOTE, read(self->q.rd, self->buffer, 100));
}

TEST_F(queue, removal_by_hand_is_told_with_tag_and_id)
{
	ASSERT_EQ(0, keyctl_watch_key(self->q.ring, self->q.rd, -1));
	ASSERT_EQ(16, read(self->q.rd, self->buffer, 100));
	EXPECT_TRUE(is_removal(self->buffer));
	EXPECT_EQ(16, length_of(self->buffer));
	EXPECT_EQ(TAG, tag_of(self->buffer));
	EXPECT_EQ((uint64_t)self->q.ring, removed_id(self->buffer));
}

TEST_F(queue, nothing_comes_after_removal)
{
	ASSERT_EQ(0, keyctl_watch_key(self->q.ring, self->q.rd, -1));
	ASSERT_EQ(0, touch(&self->q));
	EXPECT_EQ(16, read(self->q.rd, self->buffer, 100));
	EXPECT_FAILS(EAGAIN, read(self->q.rd, self->buffer, 100));
}

TEST_F(queue, watch_that_is_not_there_cannot_be_removed)
{
	struct queue other;

	ASSERT_EQ(0, open_queue(&other, 0));
	EXPECT_FAILS(EBADSLT, keyctl_watch_key(self->q.ring, other.rd, -1));
	ASSERT_EQ(0, keyctl_watch_key(self->q.ring, self->q.rd, -1));
	EXPECT_FAILS(EBADSLT, keyctl_watch_key(self->q.ring, self->q.rd, -1));
	/* and after removal it can be attached again */
	EXPECT_EQ(0, keyctl_watch_key(self->q.ring, self->q.rd, TAG));
}

TEST_F(queue, death_of_the_object_is_told)
{
	struct pollfd p = { .fd = self->q.rd, .events = POLLIN };
	ssize_t have = 0;

	ASSERT_EQ(0, keyctl_revoke(self->q.ring));
	ASSERT_EQ(0, keyctl_unlink(self->q.ring, KEY_SPEC_SESSION_KEYRING));
	/* The garbage collector takes its time. */
	while (have < KEY_NOTE + 16) {
		ssize_t bytes;

		ASSERT_EQ(1, poll(&p, 1, -1));
		bytes = read(self->q.rd, self->buffer + have, 100);
		ASSERT_LT(0, bytes);
		have += bytes;
	}
	ASSERT_EQ(KEY_NOTE + 16, have);
	EXPECT_TRUE(is_key_event(self->buffer, NOTIFY_KEY_REVOKED));
	EXPECT_TRUE(is_removal(self->buffer + KEY_NOTE));
	EXPECT_EQ(TAG, tag_of(self->buffer + KEY_NOTE));
	EXPECT_EQ((uint64_t)self->q.ring, removed_id(self->buffer + KEY_NOTE));
}

TEST_F(queue, closing_the_queue_detaches_its_watches)
{
	struct queue other = { .ring = self->q.ring };
	int i;

	for (i = 0; i < 100; i++) {
		ASSERT_EQ(0, open_queue(&other, O_NONBLOCK));
		ASSERT_EQ(0, set_size(&other, 32));
		ASSERT_EQ(0, keyctl_watch_key(other.ring, other.rd, i));
		ASSERT_EQ(0, touch(&other));
		ASSERT_EQ(0, close(i % 2 ? other.rd : other.wr));
		ASSERT_EQ(0, touch(&other));
		ASSERT_EQ(0, close(i % 2 ? other.wr : other.rd));
		ASSERT_EQ(0, touch(&other));
		ASSERT_EQ(3 * KEY_NOTE, read(self->q.rd, self->buffer, 100));
	}
}

TEST_F(queue, several_queues_get_each_event_with_their_own_tag)
{
	struct queue others[8];
	int i;

	for (i = 0; i < 8; i++) {
		ASSERT_EQ(0, open_queue(&others[i], O_NONBLOCK));
		ASSERT_EQ(0, set_size(&others[i], 32));
		ASSERT_EQ(0, keyctl_watch_key(self->q.ring, others[i].rd, i));
	}
	ASSERT_EQ(0, touch(&self->q));
	for (i = 0; i < 8; i++) {
		struct key_notification n;

		ASSERT_EQ(KEY_NOTE, read(others[i].rd, &n, sizeof(n)));
		EXPECT_EQ(i, tag_of(&n));
	}
	EXPECT_EQ(KEY_NOTE, read(self->q.rd, self->buffer, 100));
}

TEST_F(queue, one_queue_can_watch_many_objects)
{
	key_serial_t keys[200];
	int i;

	for (i = 0; i < 200; i++) {
		char name[8];

		snprintf(name, sizeof(name), "key%d", i);
		keys[i] = add_key("user", name, "x", 1, KEY_SPEC_SESSION_KEYRING);
		ASSERT_NE(-1, keys[i]);
		ASSERT_EQ(0, keyctl_watch_key(keys[i], self->q.rd, i));
	}
	for (i = 0; i < 200; i++) {
		struct key_notification n;

		ASSERT_EQ(0, keyctl_update(keys[i], "y", 1));
		ASSERT_EQ(KEY_NOTE, read(self->q.rd, &n, sizeof(n)));
		EXPECT_EQ(NOTIFY_KEY_UPDATED, subtype_of(&n));
		EXPECT_EQ(i, tag_of(&n));
		EXPECT_EQ((uint32_t)keys[i], n.key_id);
	}
	/* in another order than they were attached in */
	for (i = 0; i < 200; i++) {
		ASSERT_EQ(0, keyctl_watch_key(keys[i * 77 % 200], self->q.rd, -1));
		ASSERT_EQ(16, read(self->q.rd, self->buffer, 100));
	}
}

TEST_F(queue, only_notification_pipes_can_watch)
{
	int fds[2];

	ASSERT_EQ(0, pipe(fds));
	EXPECT_FAILS(EINVAL, keyctl_watch_key(self->q.ring, fds[0], TAG));
	EXPECT_FAILS(EINVAL, keyctl_watch_key(self->q.ring, -1, TAG));
	EXPECT_FAILS(EINVAL, keyctl_watch_key(self->q.ring, 999, TAG));
	EXPECT_FAILS(EINVAL, keyctl_watch_key(self->q.ring, self->q.rd, -2));
	EXPECT_FAILS(EINVAL, keyctl_watch_key(self->q.ring, self->q.rd, 256));
}

TEST_F(queue, watches_are_limited_per_user)
{
	struct rlimit limit = { .rlim_cur = 20, .rlim_max = 20 };
	key_serial_t keys[20];
	int i, status;
	pid_t pid;

	for (i = 0; i < 20; i++) {
		char name[8];

		snprintf(name, sizeof(name), "key%d", i);
		keys[i] = add_key("user", name, "x", 1, KEY_SPEC_SESSION_KEYRING);
		ASSERT_NE(-1, keys[i]);
		ASSERT_EQ(0, keyctl_setperm(keys[i], 0x3f3f3f3f));
	}
	pid = fork();
	ASSERT_NE(-1, pid);
	if (pid == 0) {
		/* A user without watches */
		if (setrlimit(RLIMIT_NOFILE, &limit) ||
		    setresuid(4243, 4243, 4243))
			_exit(100);
		for (i = 0; i < 20; i++)
			if (keyctl_watch_key(keys[i], self->q.rd, 0))
				_exit(i);
		/* To watch something again is not one too many. */
		_exit(keyctl_watch_key(self->q.ring, self->q.rd, 0) == -1 &&
		      errno == EBUSY ? 99 : 98);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(99, WEXITSTATUS(status));

	pid = fork();
	ASSERT_NE(-1, pid);
	if (pid == 0) {
		struct queue other;

		if (open_queue(&other, 0) ||
		    setrlimit(RLIMIT_NOFILE, &limit) ||
		    setresuid(4243, 4243, 4243))
			_exit(100);
		for (i = 0; i < 5; i++)
			if (keyctl_watch_key(keys[0], other.rd, 0) != -1 || errno != EAGAIN)
				_exit(99);
		/* Those that failed do not count: removing one makes room for one. */
		if (keyctl_watch_key(keys[1], self->q.rd, -1))
			_exit(98);
		for (i = 0; keyctl_watch_key(keys[0], other.rd, 0); i++) {
			/* until the one that was removed is freed */
			if (i == 500 || errno != EAGAIN)
				_exit(97);
			usleep(10000);
		}
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, WEXITSTATUS(status));
}

static key_serial_t new_key(const char *name)
{
	return add_key("user", name, "x", 1, KEY_SPEC_SESSION_KEYRING);
}

TEST_F(queue, watching_a_key_needs_permission_to_view_it)
{
	key_serial_t key = new_key("hidden");

	ASSERT_NE(-1, key);
	ASSERT_EQ(0, keyctl_setperm(key, KEY_POS_ALL & ~KEY_POS_VIEW));
	EXPECT_FAILS(EACCES, keyctl_watch_key(key, self->q.rd, TAG));
	ASSERT_EQ(0, keyctl_setperm(key, KEY_POS_ALL));
	EXPECT_EQ(0, keyctl_watch_key(key, self->q.rd, TAG));
}

TEST_F(queue, keys_that_are_not_there_cannot_be_watched)
{
	key_serial_t key = new_key("gone");

	EXPECT_FAILS(ENOKEY, keyctl_watch_key(0x7fffffff, self->q.rd, TAG));
	ASSERT_NE(-1, key);
	ASSERT_EQ(0, keyctl_revoke(key));
	EXPECT_FAILS(EKEYREVOKED, keyctl_watch_key(key, self->q.rd, TAG));
	key = new_key("old");
	ASSERT_NE(-1, key);
	ASSERT_EQ(0, keyctl_set_timeout(key, 1));
	sleep(2);
	EXPECT_FAILS(EKEYEXPIRED, keyctl_watch_key(key, self->q.rd, TAG));
}

/* The one message that is in the queue; its subtype, or -1 */
static int told_of(const struct queue *queue, key_serial_t key)
{
	struct key_notification n[2];

	if (read(queue->rd, n, sizeof(n)) != KEY_NOTE ||
	    n[0].key_id != (uint32_t)key || n[0].aux != 0)
		return -1;
	return is_key_event(n, subtype_of(n)) ? subtype_of(n) : -1;
}

TEST_F(queue, changes_of_a_key_are_told)
{
	key_serial_t key = new_key("key"), other = new_key("other");
	const struct queue *q = &self->q;

	ASSERT_NE(-1, key);
	ASSERT_NE(-1, other);
	ASSERT_EQ(0, keyctl_watch_key(key, q->rd, TAG));
	ASSERT_EQ(0, keyctl_watch_key(other, q->rd, TAG));

	ASSERT_EQ(0, keyctl_update(key, "y", 1));
	EXPECT_EQ(NOTIFY_KEY_UPDATED, told_of(q, key));
	ASSERT_EQ(0, keyctl_setperm(key, KEY_POS_ALL));
	EXPECT_EQ(NOTIFY_KEY_SETATTR, told_of(q, key));
	ASSERT_EQ(0, keyctl_chown(key, -1, getgid()));
	EXPECT_EQ(NOTIFY_KEY_SETATTR, told_of(q, key));
	ASSERT_EQ(0, keyctl_set_timeout(key, 1000));
	EXPECT_EQ(NOTIFY_KEY_SETATTR, told_of(q, key));
	ASSERT_EQ(0, keyctl_revoke(key));
	EXPECT_EQ(NOTIFY_KEY_REVOKED, told_of(q, key));
	ASSERT_EQ(0, keyctl_invalidate(other));
	EXPECT_EQ(NOTIFY_KEY_INVALIDATED, told_of(q, other));
	ASSERT_EQ(0, keyctl_clear(q->ring));
	EXPECT_EQ(NOTIFY_KEY_CLEARED, told_of(q, q->ring));
}

/*
 * GNOME Online Accounts watches the keyring of Kerberos tickets like this.  It uses
 * the read end for everything, waits in read(), and has a buffer of an odd size.  It
 * ignores losses.
 */
TEST(gnome_online_accounts_can_watch_a_keyring)
{
	struct {
		struct watch_notification_filter head;
		struct watch_notification_type_filter rule;
	} keys = {
		.head.nr_filters = 1,
		.rule.type = WATCH_TYPE_KEY_NOTIFY,
		.rule.subtype_filter[0] = ~0u,
	};
	int i, fds[2], events = 0, losses = 0;
	struct pollfd readable = { .events = POLLIN };
	struct queue q;

	ASSERT_EQ(0, pipe2(fds, O_NOTIFICATION_PIPE));
	q.ring = new_ring();
	ASSERT_NE(-1, q.ring);
	ASSERT_EQ(0, ioctl(fds[0], IOC_WATCH_QUEUE_SET_SIZE, 256));
	ASSERT_EQ(0, ioctl(fds[0], IOC_WATCH_QUEUE_SET_FILTER, &keys));
	ASSERT_EQ(0, keyctl_watch_key(q.ring, fds[0], 1));
	readable.fd = fds[0];
	/* A few, more than there is room for, and one to make the loss readable on C */
	for (i = 0; i < 331; i++) {
		ASSERT_EQ(0, touch(&q));
		if (i >= 30 && i < 329)
			continue;
		while (poll(&readable, 1, 0) == 1) {
			unsigned char buffer[433], *p = buffer;
			ssize_t bytes = read(fds[0], buffer, sizeof(buffer));

			ASSERT_LT(0, bytes);
			for (; p < buffer + bytes; p += length_of(p)) {
				ASSERT_LT(0, length_of(p));
				ASSERT_LE(length_of(p), buffer + bytes - p);
				events += type_of(p) == WATCH_TYPE_KEY_NOTIFY;
				losses += is_loss(p);
			}
		}
		ASSERT_EQ(0, readable.revents);
	}
	EXPECT_EQ(30 + 256 + 1, events);
	EXPECT_EQ(1, losses);
	close(fds[0]);
	EXPECT_EQ(0, touch(&q));
	close(fds[1]);
}

TEST_HARNESS_MAIN

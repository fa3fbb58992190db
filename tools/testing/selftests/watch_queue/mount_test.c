// SPDX-License-Identifier: GPL-2.0
/* Messages about mounts */

#include "sources.h"

#include <linux/mount.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/syscall.h>

#ifndef NS_GET_MNTNS_ID
#define NS_GET_MNTNS_ID		_IOR(NSIO, 0x5, __u64)
#endif
#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE	0x00004000U
#endif

#define MOUNT		WATCH_TYPE_MOUNT_NOTIFY
#define DIR		"/tmp/mount_test"

/* The unique id of the mount on which a file is */
static uint64_t mount_id(const char *path)
{
	struct statx buf = { 0 };

	if (syscall(SYS_statx, AT_FDCWD, path, AT_NO_AUTOMOUNT,
		    STATX_MNT_ID_UNIQUE, &buf) == -1 ||
	    !(buf.stx_mask & STATX_MNT_ID_UNIQUE))
		return 0;
	return buf.stx_mnt_id;
}

static uint64_t namespace_id(int fd)
{
	uint64_t id = 0;

	return ioctl(fd, NS_GET_MNTNS_ID, &id) == -1 ? 0 : id;
}

/* What statmount() says of a mount */
static int stat_mount(uint64_t id, struct statmount *st)
{
	struct mnt_id_req req = {
		.size = MNT_ID_REQ_SIZE_VER0,
		.mnt_id = id,
		.param = STATMOUNT_SB_BASIC | STATMOUNT_MNT_BASIC,
	};

	return syscall(__NR_statmount, &req, st, sizeof(*st), 0);
}

/* A mount namespace of its own, with one mount in which all else happens */
FIXTURE(mount)
{
	struct stream s;
	int ns;
	uint64_t ns_id;
	uint64_t top;
};

FIXTURE_SETUP(mount)
{
	if (!has_source(MOUNT))
		SKIP(return, "no mount notifications in this kernel");
	ASSERT_EQ(0, own_mounts(DIR));
	ASSERT_EQ(0, mount("tmpfs", DIR, "tmpfs", 0, NULL));
	ASSERT_EQ(0, mkdir(DIR "/a", 0755));
	ASSERT_EQ(0, mkdir(DIR "/b", 0755));
	self->top = mount_id(DIR);
	ASSERT_NE(0, self->top);
	self->ns = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	ASSERT_NE(-1, self->ns);
	self->ns_id = namespace_id(self->ns);
	ASSERT_NE(0, self->ns_id);
	ASSERT_EQ(0, open_stream(&self->s));
}

FIXTURE_TEARDOWN(mount)
{
}

#define EXPECT_MOUNT(stream, what, id, parent)				\
	do {								\
		EXPECT_MESSAGE(stream, MOUNT, what, mount);		\
		EXPECT_EQ(id, message.mount.mnt_id);			\
		EXPECT_EQ(parent, message.mount.parent_id);		\
		EXPECT_EQ(self->ns_id, message.mount.mnt_ns_id);	\
	} while (0)

TEST_F(mount, mount_and_umount)
{
	union message message;
	uint64_t id;

	ASSERT_EQ(0, add_watch(self->s.rd, MOUNT, self->ns, 0));
	ASSERT_EQ(0, run("mount -t tmpfs -o nosuid,noexec none " DIR "/a"));
	id = mount_id(DIR "/a");
	EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_ATTACHED, id, self->top);
	EXPECT_EQ(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RELATIME,
		  message.mount.attr);
	EXPECT_EQ(MS_PRIVATE, message.mount.propagation);
	ASSERT_EQ(0, run("umount " DIR "/a"));
	EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_DETACHED, id, self->top);
	EXPECT_NOTHING(&self->s);
}

TEST_F(mount, bind_mount)
{
	union message message;

	ASSERT_EQ(0, add_watch(self->s.rd, MOUNT, self->ns, 0));
	ASSERT_EQ(0, run("mount --bind " DIR "/a " DIR "/b"));
	EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_ATTACHED, mount_id(DIR "/b"), self->top);
	EXPECT_NOTHING(&self->s);
}

TEST_F(mount, move)
{
	union message message;
	uint64_t a, moved;

	ASSERT_EQ(0, run("mount -t tmpfs none " DIR "/a && mkdir " DIR "/a/x"));
	ASSERT_EQ(0, run("mount -t tmpfs none " DIR "/b"));
	a = mount_id(DIR "/a");
	moved = mount_id(DIR "/b");
	ASSERT_EQ(0, add_watch(self->s.rd, MOUNT, self->ns, 0));
	ASSERT_EQ(0, run("mount --move " DIR "/b " DIR "/a/x"));
	EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_MOVED_FROM, moved, self->top);
	EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_MOVED_TO, moved, a);
	EXPECT_NOTHING(&self->s);
}

TEST_F(mount, remount)
{
	union message message;

	ASSERT_EQ(0, add_watch(self->s.rd, MOUNT, self->ns, 0));
	ASSERT_EQ(0, run("mount -o remount,bind,ro,nodev " DIR));
	EXPECT_MESSAGE(&self->s, MOUNT, NOTIFY_MOUNT_SETATTR, mount);
	EXPECT_EQ(self->top, message.mount.mnt_id);
	EXPECT_EQ(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_RELATIME,
		  message.mount.attr);
	EXPECT_NOTHING(&self->s);
}

TEST_F(mount, mount_setattr)
{
	struct mount_attr attr = {
		.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOATIME,
		.attr_clr = MOUNT_ATTR__ATIME,
		.propagation = MS_SHARED,
	};
	union message message;
	uint64_t a;

	ASSERT_EQ(0, run("mount -t tmpfs none " DIR "/a"));
	a = mount_id(DIR "/a");
	ASSERT_EQ(0, add_watch(self->s.rd, MOUNT, self->ns, 0));
	ASSERT_EQ(0, syscall(SYS_mount_setattr, AT_FDCWD, DIR, AT_RECURSIVE,
			     &attr, sizeof(attr)));
	EXPECT_MESSAGE(&self->s, MOUNT, NOTIFY_MOUNT_SETATTR, mount);
	EXPECT_EQ(self->top, message.mount.mnt_id);
	EXPECT_EQ(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOATIME, message.mount.attr);
	EXPECT_EQ(MS_SHARED, message.mount.propagation);
	EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_SETATTR, a, self->top);
	EXPECT_NOTHING(&self->s);
}

TEST_F(mount, propagation)
{
	union message message;

	ASSERT_EQ(0, add_watch(self->s.rd, MOUNT, self->ns, 0));
	ASSERT_EQ(0, run("mount --make-shared " DIR));
	EXPECT_MESSAGE(&self->s, MOUNT, NOTIFY_MOUNT_SETATTR, mount);
	EXPECT_EQ(MS_SHARED, message.mount.propagation);
	ASSERT_EQ(0, run("mount --make-unbindable " DIR));
	EXPECT_MESSAGE(&self->s, MOUNT, NOTIFY_MOUNT_SETATTR, mount);
	EXPECT_EQ(MS_UNBINDABLE, message.mount.propagation);
	EXPECT_NOTHING(&self->s);
}

/* The message says of the mount what statmount() does. */
#define EXPECT_AS_IT_IS()						\
	do {								\
		struct statmount st_ = { 0 };				\
									\
		ASSERT_EQ(0, stat_mount(message.mount.mnt_id, &st_));	\
		EXPECT_EQ(st_.mnt_parent_id, message.mount.parent_id);	\
		EXPECT_EQ(st_.mnt_attr, message.mount.attr);		\
		EXPECT_EQ(st_.mnt_propagation, message.mount.propagation); \
		EXPECT_EQ(st_.mnt_peer_group, message.mount.peer_group); \
		EXPECT_EQ(st_.mnt_master, message.mount.master);	\
		EXPECT_EQ(st_.sb_dev_major, message.mount.sb_dev_major); \
		EXPECT_EQ(st_.sb_dev_minor, message.mount.sb_dev_minor); \
	} while (0)

TEST_F(mount, peer_group_and_master)
{
	union message message;
	uint64_t group;

	ASSERT_EQ(0, add_watch(self->s.rd, MOUNT, self->ns, 0));
	ASSERT_EQ(0, run("mount -t tmpfs none " DIR "/a"));
	EXPECT_MESSAGE(&self->s, MOUNT, NOTIFY_MOUNT_ATTACHED, mount);
	EXPECT_EQ(0, message.mount.peer_group);
	EXPECT_EQ(0, message.mount.master);
	EXPECT_AS_IT_IS();
	ASSERT_EQ(0, run("mount --make-shared " DIR "/a"));
	EXPECT_MESSAGE(&self->s, MOUNT, NOTIFY_MOUNT_SETATTR, mount);
	group = message.mount.peer_group;
	EXPECT_NE(0, group);
	EXPECT_AS_IT_IS();
	ASSERT_EQ(0, run("mount --bind " DIR "/a " DIR "/b"));
	EXPECT_MESSAGE(&self->s, MOUNT, NOTIFY_MOUNT_ATTACHED, mount);
	EXPECT_EQ(group, message.mount.peer_group);
	EXPECT_AS_IT_IS();
	ASSERT_EQ(0, run("mount --make-slave " DIR "/b"));
	EXPECT_MESSAGE(&self->s, MOUNT, NOTIFY_MOUNT_SETATTR, mount);
	EXPECT_EQ(0, message.mount.peer_group);
	EXPECT_EQ(group, message.mount.master);
	EXPECT_AS_IT_IS();
	ASSERT_EQ(0, run("umount " DIR "/b"));
	EXPECT_MESSAGE(&self->s, MOUNT, NOTIFY_MOUNT_DETACHED, mount);
	/* As it was */
	EXPECT_EQ(MS_SLAVE, message.mount.propagation);
	EXPECT_EQ(group, message.mount.master);
	EXPECT_NOTHING(&self->s);
}

/* Directory b is where a slave of directory a is. */
static int make_slave(void)
{
	return run("mount -t tmpfs none " DIR "/a && mount --make-shared " DIR "/a") ||
	       run("mount --bind " DIR "/a " DIR "/b && mount --make-slave " DIR "/b");
}

TEST_F(mount, slave_of_a_mount_that_is_made_private)
{
	union message message;

	ASSERT_EQ(0, make_slave());
	ASSERT_EQ(0, add_watch(self->s.rd, MOUNT, self->ns, 0));
	ASSERT_EQ(0, run("mount --make-private " DIR "/a"));
	EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_SETATTR, mount_id(DIR "/b"), self->top);
	EXPECT_EQ(MS_PRIVATE, message.mount.propagation);
	EXPECT_EQ(0, message.mount.master);
	EXPECT_AS_IT_IS();
	EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_SETATTR, mount_id(DIR "/a"), self->top);
	EXPECT_AS_IT_IS();
	EXPECT_NOTHING(&self->s);
}

TEST_F(mount, slave_of_a_mount_that_is_unmounted)
{
	uint64_t id;
	union message message;

	ASSERT_EQ(0, make_slave());
	id = mount_id(DIR "/a");
	ASSERT_EQ(0, add_watch(self->s.rd, MOUNT, self->ns, 0));
	ASSERT_EQ(0, run("umount " DIR "/a"));
	EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_DETACHED, id, self->top);
	EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_SETATTR, mount_id(DIR "/b"), self->top);
	EXPECT_EQ(MS_PRIVATE, message.mount.propagation);
	EXPECT_EQ(0, message.mount.master);
	EXPECT_AS_IT_IS();
	EXPECT_NOTHING(&self->s);
}

TEST_F(mount, tree_that_becomes_shared_where_it_is_moved)
{
	uint64_t a, below, b;
	union message message;

	ASSERT_EQ(0, run("mount -t tmpfs none " DIR "/b && mount --make-shared " DIR "/b"));
	ASSERT_EQ(0, run("mkdir " DIR "/b/to && mount -t tmpfs none " DIR "/a"));
	ASSERT_EQ(0, run("mkdir " DIR "/a/c && mount -t tmpfs none " DIR "/a/c"));
	a = mount_id(DIR "/a");
	b = mount_id(DIR "/b");
	below = mount_id(DIR "/a/c");
	ASSERT_EQ(0, add_watch(self->s.rd, MOUNT, self->ns, 0));
	ASSERT_EQ(0, mount(DIR "/a", DIR "/b/to", NULL, MS_MOVE, NULL));
	EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_SETATTR, below, a);
	EXPECT_EQ(MS_SHARED, message.mount.propagation);
	EXPECT_AS_IT_IS();
	EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_MOVED_FROM, a, self->top);
	EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_MOVED_TO, a, b);
	EXPECT_EQ(MS_SHARED, message.mount.propagation);
	EXPECT_AS_IT_IS();
	EXPECT_NOTHING(&self->s);
}

TEST_F(mount, expiry)
{
	union message message;
	uint64_t a;

	ASSERT_EQ(0, run("mount -t tmpfs none " DIR "/a"));
	a = mount_id(DIR "/a");
	ASSERT_EQ(0, add_watch(self->s.rd, MOUNT, self->ns, 0));
	EXPECT_FAILS(EAGAIN, umount2(DIR "/a", MNT_EXPIRE));
	EXPECT_NOTHING(&self->s);
	ASSERT_EQ(0, umount2(DIR "/a", MNT_EXPIRE));
	EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_EXPIRED, a, self->top);
	EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_DETACHED, a, self->top);
	EXPECT_NOTHING(&self->s);
}

TEST_F(mount, pivot_root)
{
	union message message;
	uint64_t old = mount_id("/"), new;

	ASSERT_EQ(0, run("mount -t tmpfs none " DIR "/a && mkdir " DIR "/a/old"));
	new = mount_id(DIR "/a");
	ASSERT_EQ(0, add_watch(self->s.rd, MOUNT, self->ns, 0));
	if (syscall(SYS_pivot_root, DIR "/a", DIR "/a/old") == -1)
		SKIP(return, "the root of this guest cannot be pivoted away");
	EXPECT_MESSAGE(&self->s, MOUNT, NOTIFY_MOUNT_MOVED_FROM, mount);
	EXPECT_EQ(old, message.mount.mnt_id);
	EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_MOVED_FROM, new, self->top);
	EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_MOVED_TO, old, new);
	EXPECT_MESSAGE(&self->s, MOUNT, NOTIFY_MOUNT_MOVED_TO, mount);
	EXPECT_EQ(new, message.mount.mnt_id);
	EXPECT_NOTHING(&self->s);
}

TEST_F(mount, lazy_umount_of_a_tree)
{
	union message message;
	uint64_t a, x;

	ASSERT_EQ(0, run("mount -t tmpfs none " DIR "/a && mkdir " DIR "/a/x"));
	ASSERT_EQ(0, run("mount -t tmpfs none " DIR "/a/x"));
	a = mount_id(DIR "/a");
	x = mount_id(DIR "/a/x");
	ASSERT_EQ(0, add_watch(self->s.rd, MOUNT, self->ns, 0));
	ASSERT_EQ(0, run("umount -l " DIR "/a"));
	EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_DETACHED, a, self->top);
	EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_DETACHED, x, a);
	EXPECT_NOTHING(&self->s);
}

TEST_F(mount, subtree)
{
	union message message;
	int fd = open(DIR "/a", O_PATH | O_CLOEXEC);
	uint64_t a, x;

	ASSERT_NE(-1, fd);
	ASSERT_EQ(0, run("mount -t tmpfs none " DIR "/a && mkdir " DIR "/a/x"));
	a = mount_id(DIR "/a");
	close(fd);
	fd = open(DIR "/a", O_PATH | O_CLOEXEC);
	ASSERT_EQ(0, add_watch(self->s.rd, MOUNT, fd, WATCH_MOUNT_SUBTREE));
	EXPECT_FAILS(EBUSY, add_watch(self->s.rd, MOUNT, fd, WATCH_MOUNT_SUBTREE));

	/* Elsewhere */
	ASSERT_EQ(0, run("mount -t tmpfs none " DIR "/b"));
	EXPECT_NOTHING(&self->s);
	/* Into it, in it and out of it */
	x = mount_id(DIR "/b");
	ASSERT_EQ(0, run("mount --move " DIR "/b " DIR "/a/x"));
	EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_MOVED_TO, x, a);
	ASSERT_EQ(0, run("mount -o remount,bind,ro " DIR "/a/x"));
	EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_SETATTR, x, a);
	ASSERT_EQ(0, run("mount --move " DIR "/a/x " DIR "/b"));
	EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_MOVED_FROM, x, a);
	EXPECT_NOTHING(&self->s);
	/* The mount itself */
	ASSERT_EQ(0, run("mount -t tmpfs none " DIR "/a/x"));
	x = mount_id(DIR "/a/x");
	EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_ATTACHED, x, a);
	ASSERT_EQ(0, run("umount -l " DIR "/a"));
	EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_DETACHED, a, self->top);
	EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_DETACHED, x, a);
	EXPECT_REMOVAL(&self->s, a);
	EXPECT_NOTHING(&self->s);
	/* It is not in a namespace any more. */
	EXPECT_FAILS(EINVAL, add_watch(self->s.rd, MOUNT, fd, WATCH_MOUNT_SUBTREE));
}

TEST_F(mount, what_is_too_far_below_is_not_told)
{
	union message message;
	uint64_t above, id;
	int fd, i;

	ASSERT_EQ(0, mount(DIR "/a", DIR "/a", NULL, MS_BIND, NULL));
	fd = open(DIR "/a", O_PATH | O_CLOEXEC);
	ASSERT_EQ(0, add_watch(self->s.rd, MOUNT, fd, WATCH_MOUNT_SUBTREE));
	above = mount_id(DIR "/a");
	for (i = 1; i < 128; i++) {
		ASSERT_EQ(0, mount(DIR "/a", DIR "/a", NULL, MS_BIND, NULL));
		id = mount_id(DIR "/a");
		EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_ATTACHED, id, above);
		above = id;
	}
	ASSERT_EQ(0, mount(DIR "/a", DIR "/a", NULL, MS_BIND, NULL));
	EXPECT_NOTHING(&self->s);
	/* The watcher of the namespace gets it. */
	ASSERT_EQ(0, remove_watch(self->s.rd, MOUNT, fd, WATCH_MOUNT_SUBTREE));
	ASSERT_TRUE(next_message(&self->s, &message, SOON));
	ASSERT_EQ(0, add_watch(self->s.rd, MOUNT, self->ns, 0));
	id = mount_id(DIR "/a");
	ASSERT_EQ(0, umount2(DIR "/a", MNT_DETACH));
	EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_DETACHED, id, above);
}

#ifndef MOVE_MOUNT_BENEATH
#define MOVE_MOUNT_BENEATH	0x00000200
#endif

/* A mount that is put beneath another takes its place, and becomes its parent. */
TEST_F(mount, mount_beneath)
{
	union message message;
	uint64_t above;
	int fd;

	ASSERT_EQ(0, run("mount -t tmpfs none " DIR "/a"));
	above = mount_id(DIR "/a");
	fd = syscall(SYS_open_tree, AT_FDCWD, DIR "/b", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	ASSERT_NE(-1, fd);
	ASSERT_EQ(0, add_watch(self->s.rd, MOUNT, self->ns, 0));
	ASSERT_EQ(0, syscall(SYS_move_mount, fd, "", AT_FDCWD, DIR "/a",
			     MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_BENEATH));
	EXPECT_MESSAGE(&self->s, MOUNT, NOTIFY_MOUNT_ATTACHED, mount);
	EXPECT_EQ(self->top, message.mount.parent_id);
	EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_MOVED_FROM, above, self->top);
	EXPECT_MESSAGE(&self->s, MOUNT, NOTIFY_MOUNT_MOVED_TO, mount);
	EXPECT_EQ(above, message.mount.mnt_id);
	ASSERT_EQ(0, run("umount " DIR "/a"));
	/* Now it is what was put there. */
	EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_DETACHED, above, message.mount.parent_id);
	EXPECT_EQ(mount_id(DIR "/a"), message.mount.parent_id);
	EXPECT_NOTHING(&self->s);
}

TEST_F(mount, namespace_is_known_by_its_own_file)
{
	union message message;
	int other = open(DIR "/a", O_PATH | O_CLOEXEC);
	int fd = open("/proc/self/ns/mnt", O_PATH | O_CLOEXEC);

	/* Security modules are asked of the file, which is not for the caller to choose. */
	EXPECT_FAILS(EINVAL, add_watch(self->s.rd, MOUNT, other, 0));
	ASSERT_EQ(0, add_watch(self->s.rd, MOUNT, fd, 0));
	EXPECT_FAILS(EBUSY, add_watch(self->s.rd, MOUNT, self->ns, 0));
	ASSERT_EQ(0, run("mount -t tmpfs none " DIR "/b"));
	EXPECT_MOUNT(&self->s, NOTIFY_MOUNT_ATTACHED, mount_id(DIR "/b"), self->top);
	ASSERT_EQ(0, remove_watch(self->s.rd, MOUNT, self->ns, 0));
	EXPECT_REMOVAL(&self->s, self->ns_id);
	ASSERT_EQ(0, run("umount " DIR "/b"));
	EXPECT_NOTHING(&self->s);
}

TEST_F(mount, file_that_is_in_no_namespace)
{
	int fds[2];

	ASSERT_EQ(0, pipe(fds));
	EXPECT_FAILS(EINVAL, add_watch(self->s.rd, MOUNT, fds[0], 0));
	EXPECT_FAILS(EINVAL, add_watch(self->s.rd, MOUNT, fds[0], WATCH_MOUNT_SUBTREE));
	EXPECT_FAILS(EINVAL, add_watch(self->s.rd, MOUNT, self->ns, WATCH_MOUNT_SUBTREE));
}

/* A child in a mount namespace of its own, which ends on request */
static pid_t child_in_namespace(int *ready, int *end)
{
	int to[2], from[2];
	pid_t pid;
	char c;

	if (pipe2(to, O_CLOEXEC) == -1 || pipe2(from, O_CLOEXEC) == -1)
		return -1;
	pid = fork();
	if (pid == 0) {
		close(to[1]);
		if (unshare(CLONE_NEWNS) == -1 || write(from[1], "", 1) != 1)
			_exit(1);
		while (read(to[0], &c, 1) == 1)
			run("mount -t tmpfs none " DIR "/b");
		_exit(0);
	}
	close(to[0]);
	*ready = from[0];
	*end = to[1];
	return pid;
}

TEST_F(mount, namespace_of_another_process)
{
	union message message;
	char path[64], c;
	int ready, end, fd, detached = 0;
	uint64_t id;
	pid_t pid;

	ASSERT_EQ(0, add_watch(self->s.rd, MOUNT, self->ns, 0));
	pid = child_in_namespace(&ready, &end);
	ASSERT_NE(-1, pid);
	ASSERT_EQ(1, read(ready, &c, 1));
	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_NE(-1, fd);
	id = namespace_id(fd);
	EXPECT_NE(self->ns_id, id);
	/* That it was copied is nothing to who watches the original. */
	EXPECT_NOTHING(&self->s);
	ASSERT_EQ(0, remove_watch(self->s.rd, MOUNT, self->ns, 0));
	EXPECT_REMOVAL(&self->s, self->ns_id);

	ASSERT_EQ(0, add_watch(self->s.rd, MOUNT, fd, 0));
	close(fd);
	ASSERT_EQ(1, write(end, "", 1));
	EXPECT_MESSAGE(&self->s, MOUNT, NOTIFY_MOUNT_ATTACHED, mount);
	EXPECT_EQ(id, message.mount.mnt_ns_id);
	close(end);
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	for (;;) {
		ASSERT_TRUE(next_message(&self->s, &message, SOON));
		if (message.watch.type == WATCH_TYPE_META)
			break;
		EXPECT_EQ(NOTIFY_MOUNT_DETACHED, subtype_of(&message));
		EXPECT_EQ(id, message.mount.mnt_ns_id);
		detached++;
	}
	EXPECT_GT(detached, 1);
	EXPECT_EQ(id, message.removal.id);
	EXPECT_NOTHING(&self->s);
}

TEST_F(mount, propagated_mounts_are_seen_where_they_arrive)
{
	union message message;
	char path[64], c;
	int ready, end, fd;
	uint64_t id;
	pid_t pid;

	ASSERT_EQ(0, run("mount --make-shared " DIR));
	pid = child_in_namespace(&ready, &end);
	ASSERT_NE(-1, pid);
	ASSERT_EQ(1, read(ready, &c, 1));
	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_NE(-1, fd);
	ASSERT_EQ(0, add_watch(self->s.rd, MOUNT, fd, 0));
	ASSERT_EQ(0, run("mount -t tmpfs none " DIR "/a"));
	EXPECT_MESSAGE(&self->s, MOUNT, NOTIFY_MOUNT_ATTACHED, mount);
	EXPECT_EQ(namespace_id(fd), message.mount.mnt_ns_id);
	EXPECT_NE(mount_id(DIR "/a"), message.mount.mnt_id);
	id = message.mount.mnt_id;
	ASSERT_EQ(0, run("umount " DIR "/a"));
	EXPECT_MESSAGE(&self->s, MOUNT, NOTIFY_MOUNT_DETACHED, mount);
	EXPECT_EQ(id, message.mount.mnt_id);
	/* As it was */
	EXPECT_EQ(MS_SHARED, message.mount.propagation);
	EXPECT_NOTHING(&self->s);
	close(end);
	waitpid(pid, NULL, 0);
}

TEST_F(mount, who_may_not_mount_may_not_watch)
{
	union message message;
	int fd = open(DIR, O_PATH | O_CLOEXEC);

	ASSERT_NE(-1, fd);
	ASSERT_EQ(0, setresgid(65534, 65534, 65534));
	ASSERT_EQ(0, setresuid(65534, 65534, 65534));
	EXPECT_FAILS(EPERM, add_watch(self->s.rd, MOUNT, fd, WATCH_MOUNT_SUBTREE));
	EXPECT_FAILS(EPERM, add_watch(self->s.rd, MOUNT, self->ns, 0));
	/* In a user namespace that is one's own, it is another matter. */
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) == -1)
		SKIP(return, "no user namespaces in this kernel");
	EXPECT_FAILS(EPERM, add_watch(self->s.rd, MOUNT, self->ns, 0));
	fd = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	ASSERT_NE(-1, fd);
	ASSERT_EQ(0, add_watch(self->s.rd, MOUNT, fd, 0));
	ASSERT_EQ(0, mount("none", "/tmp", "tmpfs", 0, NULL));
	EXPECT_MESSAGE(&self->s, MOUNT, NOTIFY_MOUNT_ATTACHED, mount);
	EXPECT_EQ(mount_id("/tmp"), message.mount.mnt_id);
}

TEST_F(mount, filter_lets_only_some_through)
{
	struct {
		struct watch_notification_filter head;
		struct watch_notification_type_filter rule;
	} filter = {
		.head.nr_filters = 1,
		.rule.type = MOUNT,
		.rule.subtype_filter[0] = 1 << NOTIFY_MOUNT_DETACHED,
	};
	union message message;

	ASSERT_EQ(0, ioctl(self->s.rd, IOC_WATCH_QUEUE_SET_FILTER, &filter));
	ASSERT_EQ(0, add_watch(self->s.rd, MOUNT, self->ns, 0));
	ASSERT_EQ(0, run("mount -t tmpfs none " DIR "/a && umount " DIR "/a"));
	EXPECT_MESSAGE(&self->s, MOUNT, NOTIFY_MOUNT_DETACHED, mount);
	EXPECT_NOTHING(&self->s);
}

TEST_HARNESS_MAIN

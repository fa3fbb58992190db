// SPDX-License-Identifier: GPL-2.0
/*
 * Messages about mounts are complete: a table that is kept by them, and by
 * nothing else, is what listmount() and statmount() say whenever nothing is
 * going on, whatever has been done to mounts.
 */

#include "sources.h"

#include <linux/mount.h>
#include <linux/nsfs.h>
#include <sys/syscall.h>

#define DIR		"/tmp/mount_mirror_test"
#define MAX_MOUNTS	40000
/* Once there are so many, some are taken away. */
#define MANY		500
/* Mounts to which nothing happens, unless QUIET in the environment is another number */
#define QUIET		"1200"
#define ROUNDS		20
#define STEPS		25

/* A mount, as messages describe it, without the namespace */
struct entry {
	uint64_t id;
	uint64_t parent;
	uint64_t attr;
	uint64_t propagation;
	uint64_t peer_group;
	uint64_t master;
	uint32_t major;
	uint32_t minor;
};

struct table {
	struct entry mounts[MAX_MOUNTS];
	int nr;
};

static struct table mirror, scanned;
static uint64_t ns_id;
static unsigned int seed;

static unsigned int below(unsigned int limit)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 16) % limit;
}

static struct entry *find(struct table *table, uint64_t id)
{
	int i;

	for (i = 0; i < table->nr; i++) {
		if (table->mounts[i].id == id)
			return &table->mounts[i];
	}
	return NULL;
}

/* Ids ascend, so that the table is in their order. */
static int scan(struct table *table)
{
	struct mnt_id_req list = {
		.size = MNT_ID_REQ_SIZE_VER1,
		.mnt_id = LSMT_ROOT,
		.mnt_ns_id = ns_id,
	};
	uint64_t ids[256];
	long count, i;

	table->nr = 0;
	do {
		count = syscall(__NR_listmount, &list, ids, ARRAY_SIZE(ids), 0);
		if (count < 0)
			return -1;
		for (i = 0; i < count && table->nr < MAX_MOUNTS; i++) {
			struct mnt_id_req req = {
				.size = MNT_ID_REQ_SIZE_VER1,
				.mnt_id = ids[i],
				.param = STATMOUNT_SB_BASIC | STATMOUNT_MNT_BASIC,
				.mnt_ns_id = ns_id,
			};
			struct statmount st = { 0 };

			if (syscall(__NR_statmount, &req, &st, sizeof(st), 0) == -1)
				return -1;
			table->mounts[table->nr++] = (struct entry) {
				.id = st.mnt_id,
				.parent = st.mnt_parent_id,
				.attr = st.mnt_attr,
				.propagation = st.mnt_propagation,
				.peer_group = st.mnt_peer_group,
				.master = st.mnt_master,
				.major = st.sb_dev_major,
				.minor = st.sb_dev_minor,
			};
			list.param = ids[i];
		}
	} while (count == ARRAY_SIZE(ids));
	return 0;
}

/* Whether a message fits in with the ones before it */
static int apply(struct table *table, const struct mount_notification *message)
{
	struct entry now = {
		.id = message->mnt_id,
		.parent = message->parent_id,
		.attr = message->attr,
		.propagation = message->propagation,
		.peer_group = message->peer_group,
		.master = message->master,
		.major = message->sb_dev_major,
		.minor = message->sb_dev_minor,
	};
	struct entry *known = find(table, message->mnt_id);
	int fits = !!known;

	switch (message->watch.subtype) {
	case NOTIFY_MOUNT_ATTACHED:
		fits = !known;
		if (!known && table->nr < MAX_MOUNTS)
			known = &table->mounts[table->nr++];
		break;
	case NOTIFY_MOUNT_DETACHED:
		if (known) {
			fits = known->parent == now.parent;
			*known = table->mounts[--table->nr];
		}
		return fits;
	case NOTIFY_MOUNT_MOVED_FROM:
		return known && known->parent == now.parent;
	case NOTIFY_MOUNT_EXPIRED:
		return fits;
	}
	if (known)
		*known = now;
	return fits;
}

static int by_id(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

/* A directory, up to three below the top, which may or may not be there */
static const char *somewhere(char *path)
{
	int depth = 1 + below(3);

	path += sprintf(path, DIR);
	while (depth--)
		path += sprintf(path, "/%u", below(4));
	return path;
}

static void make_dirs(const char *dir)
{
	char path[128];
	int i;

	for (i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "%s/%d", dir, i);
		mkdir(path, 0755);
	}
}

static const unsigned long propagations[] = { MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE };

static void move(const char *from, const char *to, unsigned int flags)
{
	int fd = syscall(__NR_open_tree, AT_FDCWD, from,
			 OPEN_TREE_CLOEXEC | (below(2) ? OPEN_TREE_CLONE | AT_RECURSIVE : 0));

	if (fd == -1)
		return;
	syscall(__NR_move_mount, fd, "", AT_FDCWD, to, MOVE_MOUNT_F_EMPTY_PATH | flags);
	close(fd);
}

/* Do something.  Much of it is not possible, and is none the worse for that. */
static void step(int may_fork)
{
	struct mount_attr attr = { 0 };
	char a[128], b[128];
	int i, steps;

	somewhere(a);
	somewhere(b);
	switch (below(may_fork ? 15 : 14)) {
	case 0:
	case 1:
		if (mount("none", a, "tmpfs", below(2) ? MS_NOSUID | MS_NODEV : 0, NULL) == 0)
			make_dirs(a);
		break;
	case 2:
	case 3:
		mount(a, b, NULL, MS_BIND | (below(6) ? 0 : MS_REC), NULL);
		break;
	case 4:
		mount(a, b, NULL, MS_MOVE, NULL);
		break;
	case 5:
	case 6:
		umount2(a, below(2) ? MNT_DETACH : 0);
		break;
	case 7:
	case 8:
		mount(NULL, a, NULL, propagations[below(4)] | (below(3) ? 0 : MS_REC), NULL);
		break;
	case 9:
		mount(NULL, a, NULL, MS_REMOUNT | MS_BIND | (below(2) ? MS_RDONLY : MS_NOEXEC),
		      NULL);
		break;
	case 10:
		attr.attr_set = below(2) ? MOUNT_ATTR_NODIRATIME : MOUNT_ATTR_NOSYMFOLLOW;
		attr.attr_clr = MOUNT_ATTR_RDONLY;
		attr.propagation = below(2) ? propagations[below(4)] : 0;
		syscall(__NR_mount_setattr, AT_FDCWD, a, below(2) ? AT_RECURSIVE : 0, &attr,
			sizeof(attr));
		break;
	case 11:
		move(a, b, below(2) ? MOVE_MOUNT_BENEATH : 0);
		break;
	case 12:
		move(a, b, MOVE_MOUNT_SET_GROUP);
		break;
	case 13:
		/* A slave that has one master, unless what that is on is shared, too */
		if (mount("none", a, "tmpfs", 0, NULL) == -1)
			break;
		make_dirs(a);
		mount(NULL, a, NULL, MS_SHARED, NULL);
		if (mount(a, b, NULL, MS_BIND, NULL) == 0)
			mount(NULL, b, NULL, MS_SLAVE, NULL);
		mount(NULL, below(2) ? a : b, NULL, propagations[below(4)], NULL);
		break;
	case 14:
		/* In a namespace that dies; what is shared comes back from there. */
		steps = 1 + below(4);
		if (fork() == 0) {
			if (unshare(CLONE_NEWNS) == 0) {
				for (i = 0; i < steps; i++)
					step(0);
			}
			_exit(0);
		}
		wait(NULL);
		break;
	}
}

/* The number of messages of each kind, and of scans */
struct count {
	int events;
	int losses;
	int rescans;
	int misfits;
};

FIXTURE(mirror)
{
	struct stream s;
	struct count count;
	int quiet;
	int differences;
};

FIXTURE_VARIANT(mirror)
{
	int size;
	bool loses;
};

FIXTURE_VARIANT_ADD(mirror, that_loses_nothing)
{
	.size = 65536,
	.loses = false,
};

FIXTURE_VARIANT_ADD(mirror, that_loses_some)
{
	.size = 32,
	.loses = true,
};

FIXTURE_SETUP(mirror)
{
	char path[64];
	struct queue q;
	int fd, i;

	if (!has_source(WATCH_TYPE_MOUNT_NOTIFY))
		SKIP(return, "no mount notifications in this kernel");
	ASSERT_EQ(0, own_mounts(DIR));
	ASSERT_EQ(0, mount("tmpfs", DIR, "tmpfs", 0, NULL));
	make_dirs(DIR);
	for (i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), DIR "/%d", i);
		make_dirs(path);
	}
	self->quiet = atoi(getenv("QUIET") ?: QUIET);
	ASSERT_EQ(0, mkdir(DIR "/quiet", 0755));
	for (i = 0; i < self->quiet; i++) {
		snprintf(path, sizeof(path), DIR "/quiet/%d", i);
		ASSERT_EQ(0, mkdir(path, 0755));
		ASSERT_EQ(0, mount(path, path, NULL, MS_BIND, NULL));
	}

	/* First attach, then scan. */
	ASSERT_EQ(0, open_queue(&q, O_NONBLOCK | O_CLOEXEC));
	ASSERT_EQ(0, set_size(&q, variant->size));
	self->s = (struct stream) { .rd = q.rd, .wr = q.wr };
	fd = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	ASSERT_EQ(0, ioctl(fd, NS_GET_MNTNS_ID, &ns_id));
	ASSERT_EQ(0, add_watch(q.rd, WATCH_TYPE_MOUNT_NOTIFY, fd, 0));
	ASSERT_EQ(0, scan(&mirror));
	ASSERT_LT(self->quiet, mirror.nr);
}

FIXTURE_TEARDOWN(mirror)
{
	umount2(DIR, MNT_DETACH);
}

static void take_messages(struct __test_metadata *_metadata, struct stream *stream,
			  struct count *count)
{
	union message message;

	while (next_message(stream, &message, 0)) {
		if (is_loss(&message)) {
			count->losses++;
			ASSERT_EQ(0, scan(&mirror));
			count->rescans++;
			continue;
		}
		ASSERT_EQ(WATCH_TYPE_MOUNT_NOTIFY, type_of(&message));
		count->events++;
		if (!apply(&mirror, &message.mount))
			count->misfits++;
	}
}

static void log_entry(struct __test_metadata *_metadata, const char *source,
		      const struct entry *e)
{
	TH_LOG("%s: parent %llu, attr %llx, propagation %llx, group %llu, master %llu",
	       source, (unsigned long long)e->parent, (unsigned long long)e->attr,
	       (unsigned long long)e->propagation, (unsigned long long)e->peer_group,
	       (unsigned long long)e->master);
}

TEST_F_TIMEOUT(mirror, is_what_statmount_says, 900)
{
	int round, i;

	seed = 4711;
	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; i < STEPS; i++) {
			step(1);
			if (!variant->loses)
				take_messages(_metadata, &self->s, &self->count);
		}
		/* All of them that are on one of the directories */
		if (scanned.nr > self->quiet + MANY) {
			while (umount2(DIR "/0", MNT_DETACH) == 0 ||
			       umount2(DIR "/1", MNT_DETACH) == 0)
				continue;
		}
		take_messages(_metadata, &self->s, &self->count);
		ASSERT_EQ(0, scan(&scanned));
		ASSERT_GT(MAX_MOUNTS, scanned.nr);
		qsort(mirror.mounts, mirror.nr, sizeof(struct entry), by_id);
		qsort(scanned.mounts, scanned.nr, sizeof(struct entry), by_id);
		ASSERT_EQ(scanned.nr, mirror.nr) TH_LOG("round %d", round);
		for (i = 0; i < scanned.nr; i++) {
			if (memcmp(&scanned.mounts[i], &mirror.mounts[i], sizeof(struct entry))) {
				struct entry *m = &mirror.mounts[i], *s = &scanned.mounts[i];

				self->differences++;
				TH_LOG("round %d: mount %llu", round, (unsigned long long)s->id);
				log_entry(_metadata, "messages", m);
				log_entry(_metadata, "statmount", s);
				*m = *s;
			}
		}
	}
	TH_LOG("%d mounts, %d events, %d losses, %d rescans", mirror.nr, self->count.events,
	       self->count.losses, self->count.rescans);
	EXPECT_EQ(0, self->differences);
	EXPECT_LT(ROUNDS * STEPS / 4, self->count.events);
	EXPECT_EQ(self->count.losses, self->count.rescans);
	EXPECT_EQ(variant->loses, self->count.losses > 0);
	/* After a scan, the table can be ahead of what comes then. */
	if (!variant->loses)
		EXPECT_EQ(0, self->count.misfits);
}

TEST_HARNESS_MAIN

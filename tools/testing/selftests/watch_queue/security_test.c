// SPDX-License-Identifier: GPL-2.0
/*
 * The hooks by which security modules decide about sources: a probe on each
 * hook, which counts and refuses, and by Smack's rules.
 */

#include "disk.h"
#include "sources.h"

#define DIR		"/tmp/security_test"
#define PARAMETERS	"/sys/module/watch_refuse/parameters"
#define SMACKFS		"/sys/fs/smackfs"

/* Of each source something to watch, and how to make something happen to it */
FIXTURE(security)
{
	struct stream s;
	struct disk disk;
	int block;
	int dir;
	int ns;
};

FIXTURE_VARIANT(security)
{
	uint32_t source;
	uint32_t flags;
	/* The hook that attaching asks */
	const char *hook;
	/* Something that happens, once or more often */
	const char *event;
};

FIXTURE_VARIANT_ADD(security, mount_namespace)
{
	.source = WATCH_TYPE_MOUNT_NOTIFY,
	.hook = "security_path_notify",
	.event = "mount -o remount,bind,noexec " DIR,
};

FIXTURE_VARIANT_ADD(security, mount_subtree)
{
	.source = WATCH_TYPE_MOUNT_NOTIFY,
	.flags = WATCH_MOUNT_SUBTREE,
	.hook = "security_path_notify",
	.event = "mount -o remount,bind,noexec " DIR,
};

FIXTURE_VARIANT_ADD(security, superblock)
{
	.source = WATCH_TYPE_SUPERBLOCK_NOTIFY,
	.hook = "security_path_notify",
	.event = "mount -o remount,ro " DIR " && mount -o remount,rw " DIR,
};

FIXTURE_VARIANT_ADD(security, block)
{
	.source = WATCH_TYPE_BLOCK_NOTIFY,
	.hook = "security_file_permission",
	.event = "dd if=/dev/$DISK of=/dev/null bs=512 count=1 2>/dev/null; true",
};

FIXTURE_VARIANT_ADD(security, device)
{
	.source = WATCH_TYPE_DEVICE_NOTIFY,
	.hook = "security_socket_create",
	.event = "rmmod watch_source && insmod test_modules/watch_source.ko",
};

FIXTURE_SETUP(security)
{
	if (!has_source(WATCH_TYPE_MOUNT_NOTIFY) ||
	    !has_source(WATCH_TYPE_SUPERBLOCK_NOTIFY) ||
	    !has_source(WATCH_TYPE_BLOCK_NOTIFY) ||
	    !has_source(WATCH_TYPE_DEVICE_NOTIFY))
		SKIP(return, "not all sources are in this kernel");
	ASSERT_EQ(0, own_mounts(DIR));
	ASSERT_EQ(0, mount("none", DIR, "tmpfs", 0, NULL));
	ASSERT_EQ(0, make_disk(&self->disk, "security_test"));
	ASSERT_EQ(0, set_bad(&self->disk, 1, 0, 7));
	self->block = open(self->disk.node, O_RDONLY | O_DIRECT | O_CLOEXEC);
	ASSERT_NE(-1, self->block);
	self->dir = open(DIR, O_PATH | O_CLOEXEC);
	ASSERT_NE(-1, self->dir);
	self->ns = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	ASSERT_NE(-1, self->ns);
	ASSERT_EQ(0, open_stream(&self->s));
}

FIXTURE_TEARDOWN(security)
{
	run("rmmod watch_refuse 2>/dev/null");
	close(self->block);
	remove_disk(&self->disk);
}

static int load(const char *hook)
{
	run("rmmod watch_refuse 2>/dev/null");
	return run("insmod test_modules/watch_refuse.ko hook=%s", hook);
}

static int set_refuse(int yes)
{
	return write_to(PARAMETERS "/refuse", "%d", yes);
}

static int nr_calls(void)
{
	FILE *file = fopen(PARAMETERS "/calls", "r");
	int result = -1;

	if (!file || fscanf(file, "%d", &result) != 1)
		result = -1;
	if (file)
		fclose(file);
	return result;
}

#define TO_WATCH							\
	(variant->source == WATCH_TYPE_DEVICE_NOTIFY ? -1 :		\
	 variant->source == WATCH_TYPE_BLOCK_NOTIFY ? self->block :	\
	 variant->source == WATCH_TYPE_SUPERBLOCK_NOTIFY ||		\
	 variant->flags ? self->dir : self->ns)

#define HAPPEN()							\
	run("DISK=%s; %s", self->disk.node + strlen("/dev/"), variant->event)

/*
 * A policy that knows of nothing but files, fanotify and sockets for uevents is
 * asked: no hook is for this alone.
 */
TEST_F(security, each_attach_is_asked_for)
{
	uint32_t source = variant->source, flags = variant->flags;
	union message message;

	ASSERT_EQ(0, load(variant->hook));
	ASSERT_EQ(0, set_refuse(1));
	EXPECT_FAILS(EACCES, add_watch(self->s.rd, source, TO_WATCH, flags));
	EXPECT_EQ(1, nr_calls());
	/* It has changed nothing. */
	EXPECT_FAILS(EBADSLT, remove_watch(self->s.rd, source, TO_WATCH, flags));
	EXPECT_NOTHING(&self->s);
	EXPECT_EQ(1, nr_calls());
	ASSERT_EQ(0, set_refuse(0));
	EXPECT_EQ(0, add_watch(self->s.rd, source, TO_WATCH, flags));
	EXPECT_EQ(2, nr_calls());
}

static const char *const hooks[] = {
	"security_path_notify", "security_socket_create", "security_file_permission",
};

TEST_F(security, no_other_hook_is_asked)
{
	uint32_t source = variant->source, flags = variant->flags;

	for (size_t i = 0; i < ARRAY_SIZE(hooks); i++) {
		if (!strcmp(hooks[i], variant->hook))
			continue;
		ASSERT_EQ(0, load(hooks[i]));
		ASSERT_EQ(0, set_refuse(1));
		EXPECT_EQ(0, add_watch(self->s.rd, source, TO_WATCH, flags));
		EXPECT_EQ(0, nr_calls());
		ASSERT_EQ(0, set_refuse(0));
		EXPECT_EQ(0, remove_watch(self->s.rd, source, TO_WATCH, flags));
	}
}

TEST_F(security, each_delivery_is_asked_for)
{
	union message message;
	int asked, received = 0;

	ASSERT_EQ(0, load("security_post_notification"));
	ASSERT_EQ(0, add_watch(self->s.rd, variant->source, TO_WATCH, variant->flags));
	ASSERT_EQ(0, HAPPEN());
	while (next_message(&self->s, &message, NOT_AT_ALL)) {
		EXPECT_EQ(variant->source, type_of(&message));
		received++;
	}
	asked = nr_calls();
	EXPECT_LT(0, asked);
	EXPECT_EQ(asked, received);

	ASSERT_EQ(0, set_refuse(1));
	ASSERT_EQ(0, HAPPEN());
	/* Neither is it lost. */
	EXPECT_NOTHING(&self->s);
	EXPECT_LT(asked, nr_calls());
}

/* As somebody with this label; the capabilities stay. */
static int become(const char *label)
{
	return write_to("/proc/self/attr/current", "%s", label);
}

static int rule(const char *text)
{
	return write_to(SMACKFS "/load2", "%s", text);
}

TEST_F(security, smack_rules_on_who_is_told_of_whom)
{
	union message message;

	mkdir(SMACKFS, 0755);
	mount("smackfs", SMACKFS, "smackfs", 0, NULL);
	if (access(SMACKFS "/load2", W_OK))
		SKIP(return, "no Smack");
	/* Who is not a process has the label of the kernel, which is `_`. */
	ASSERT_EQ(0, rule("Poster Watcher -"));
	ASSERT_EQ(0, rule("_ Watcher -"));
	ASSERT_EQ(0, become("Watcher"));
	ASSERT_EQ(0, add_watch(self->s.rd, variant->source, TO_WATCH, variant->flags));
	ASSERT_EQ(0, become("Poster"));
	ASSERT_EQ(0, HAPPEN());
	EXPECT_NOTHING(&self->s);
	ASSERT_EQ(0, rule("Poster Watcher w"));
	ASSERT_EQ(0, rule("_ Watcher w"));
	ASSERT_EQ(0, HAPPEN());
	ASSERT_TRUE(next_message(&self->s, &message, SOON));
	EXPECT_EQ(variant->source, type_of(&message));
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: GPL-2.0
/*
 * Every allocation of a request to watch something fails once, in turn.  Then
 * there is no watch.  (Needs CONFIG_FAULT_INJECTION; leaks are for kmemleak to
 * find.)
 */

#include "disk.h"
#include "fault.h"
#include "fdinfo.h"
#include "sources.h"

#define DIR	"/tmp/faults"

FIXTURE(fault)
{
	struct stream s;
	union message message;
	uint64_t id;
};

FIXTURE_VARIANT(fault)
{
	uint32_t source;
	const char *path;	/* NULL for all objects of the source */
	int open_flags;
	uint32_t flags;
};

FIXTURE_VARIANT_ADD(fault, namespace)
{
	.source = WATCH_TYPE_MOUNT_NOTIFY,
	.path = "/proc/self/ns/mnt",
};

FIXTURE_VARIANT_ADD(fault, mount)
{
	.source = WATCH_TYPE_MOUNT_NOTIFY,
	.path = DIR,
	.open_flags = O_PATH,
	.flags = WATCH_MOUNT_SUBTREE,
};

FIXTURE_VARIANT_ADD(fault, superblock)
{
	.source = WATCH_TYPE_SUPERBLOCK_NOTIFY,
	.path = DIR,
	.open_flags = O_PATH,
};

FIXTURE_VARIANT_ADD(fault, disk)
{
	.source = WATCH_TYPE_BLOCK_NOTIFY,
	.path = "/dev/faulty",
};

FIXTURE_VARIANT_ADD(fault, all_disks)
{
	.source = WATCH_TYPE_BLOCK_NOTIFY,
};

FIXTURE_VARIANT_ADD(fault, all_devices)
{
	.source = WATCH_TYPE_DEVICE_NOTIFY,
};

FIXTURE_VARIANT_ADD(fault, class)
{
	.source = WATCH_TYPE_DEVICE_NOTIFY,
	.path = "/sys/class/block",
};

FIXTURE_VARIANT_ADD(fault, devices_below)
{
	.source = WATCH_TYPE_DEVICE_NOTIFY,
	.path = "/sys/block/faulty",
};

/* Objects that nobody has watched before */
static int make_objects(struct disk *disk)
{
	return own_mounts(DIR) || mount("none", DIR, "tmpfs", 0, NULL) ||
	       make_disk(disk, "faulty");
}

FIXTURE_SETUP(fault)
{
	if (enable_faults())
		SKIP(return, "no fault injection");
	if (!has_source(variant->source))
		SKIP(return, "not all sources are in this kernel");
	ASSERT_EQ(0, open_stream(&self->s));
}

FIXTURE_TEARDOWN(fault)
{
}

static int remove_and_read(struct stream *s, uint32_t source, int fd, uint32_t flags)
{
	union message message;

	if (remove_watch(s->rd, source, fd, flags))
		return -1;
	/* Whatever else is going on */
	while (next_message(s, &message, SOON)) {
		if (is_removal(&message))
			return 0;
	}
	return -1;
}

TEST_F(fault, adding_a_watch)
{
	struct disk disk;
	int fd = -1;

	ASSERT_EQ(0, make_objects(&disk));
	if (variant->path)
		ASSERT_NE(-1, fd = open(variant->path, variant->open_flags | O_CLOEXEC));
	FAIL_EACH(watch_object(self->s.rd, variant->source, fd, variant->flags, &self->id), ENOMEM,
		  self->id == 0 && !fdinfo_nth(self->s.rd, "watch", 0) &&
		  !next_message(&self->s, &self->message, 0),
		  ASSERT_EQ(0, remove_and_read(&self->s, variant->source, fd, variant->flags)));
	close(fd);
	remove_disk(&disk);
}

TEST_HARNESS_MAIN

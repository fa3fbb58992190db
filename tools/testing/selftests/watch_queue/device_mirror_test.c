// SPDX-License-Identifier: GPL-2.0
/*
 * Messages about devices are complete: a table that is kept by them, and by
 * nothing else, is what sysfs has whenever nothing is going on, whatever has
 * come, gone and got another name.
 */

#include "disk.h"
#include "sources.h"

#include <ftw.h>

#define DEVICE		WATCH_TYPE_DEVICE_NOTIFY
#define MAX_DEVICES	4096
#define ROUNDS		12

/* As many bytes of a name as a message has */
#define NAME		32
#define NR_DISKS	4

struct entry {
	uint64_t ino;
	uint32_t major;
	uint32_t minor;
	char subsystem[NAME];
	char type[NAME];
	char path[256];
	int is_cut;
};

struct table {
	struct entry devices[MAX_DEVICES];
	int nr;
};

static struct table mirror, scanned;
static unsigned int seed;

static unsigned int below(unsigned int limit)
{
	seed = seed * 1103515245 + 12345;
	return (seed >> 16) % limit;
}

static struct entry *find(struct table *table, uint64_t ino)
{
	int i;

	for (i = 0; i < table->nr; i++) {
		if (table->devices[i].ino == ino)
			return &table->devices[i];
	}
	return NULL;
}

/* Add a directory to the table, if it is a device, by its file `uevent`. */
static int scan_one(const char *path, const struct stat *st, int flag, struct FTW *at)
{
	struct entry *entry = &scanned.devices[scanned.nr];
	char name[512], line[256];
	ssize_t length;
	FILE *file;

	if (flag != FTW_D)
		return 0;
	snprintf(name, sizeof(name), "%s/subsystem", path);
	length = readlink(name, line, sizeof(line) - 1);
	if (length == -1)
		return 0;
	if (scanned.nr == MAX_DEVICES)
		return -1;
	line[length] = 0;
	memset(entry, 0, sizeof(*entry));
	entry->ino = st->st_ino;
	snprintf(entry->subsystem, sizeof(entry->subsystem), "%s", strrchr(line, '/') + 1);
	snprintf(entry->path, sizeof(entry->path), "%s", path + strlen("/sys"));
	snprintf(name, sizeof(name), "%s/uevent", path);
	file = fopen(name, "r");
	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file)) {
		/* One of these, or a line that tells nothing that is compared */
		if (sscanf(line, "MAJOR=%u", &entry->major) == 1 ||
		    sscanf(line, "MINOR=%u", &entry->minor) == 1 ||
		    sscanf(line, "DEVTYPE=%31s", entry->type) == 1)
			continue;
	}
	fclose(file);
	scanned.nr++;
	return 0;
}

static int scan(void)
{
	scanned.nr = 0;
	return nftw("/sys/devices", scan_one, 16, FTW_PHYS);
}

/* Whether a message fits in with the ones before it */
static int apply(struct table *table, const union message *message)
{
	uint32_t what = message->watch.subtype;
	const char *strings = (const char *)message->bytes +
			      (message->watch.info >> NOTIFY_DEVICE_STRINGS__SHIFT);
	struct entry *known, now = {
		.ino = message->device.ino,
		.major = message->device.dev_major,
		.minor = message->device.dev_minor,
		.is_cut = !!(message->watch.info & NOTIFY_DEVICE_CUT),
	};
	int fits;

	known = find(table, now.ino);
	fits = !!known;
	if (what >= NOTIFY_USB_CONNECTED)
		return fits;
	snprintf(now.subsystem, sizeof(now.subsystem), "%s", strings);
	strings += strlen(strings) + 1;
	snprintf(now.type, sizeof(now.type), "%s", strings);
	strings += strlen(strings) + 1;
	snprintf(now.path, sizeof(now.path), "%s", strings);
	switch (what) {
	case NOTIFY_DEVICE_ADDED:
		fits = !known;
		if (!known && table->nr < MAX_DEVICES)
			known = &table->devices[table->nr++];
		break;
	case NOTIFY_DEVICE_REMOVED:
		if (known)
			*known = table->devices[--table->nr];
		return fits;
	}
	if (known)
		*known = now;
	return fits;
}

static int by_ino(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return (x->ino > y->ino) - (x->ino < y->ino);
}

static int same_path(const struct entry *told, const struct entry *found)
{
	size_t length = strlen(told->path), whole = strlen(found->path);

	/* The beginning of a path is cut off, if anything. */
	return told->is_cut ? whole >= length && !strcmp(told->path, found->path + whole - length) :
			      !strcmp(told->path, found->path);
}

static int same(const struct entry *told, const struct entry *found)
{
	return told->ino == found->ino && told->major == found->major &&
	       told->minor == found->minor && !strcmp(told->subsystem, found->subsystem) &&
	       !strcmp(told->type, found->type) && same_path(told, found);
}

static void make_or_remove_disk(void)
{
	struct disk disk;
	char name[32];

	snprintf(name, sizeof(name), "mirror%u", below(NR_DISKS));
	snprintf(disk.dir, sizeof(disk.dir), CONFIGFS "/nullb/%s", name);
	if (access(disk.dir, F_OK) == 0)
		remove_disk(&disk);
	else
		make_disk(&disk, name);
}

/* A disk, to which a partition is added, or which has one that is taken away */
static void divide_disk(void)
{
	char node[32];
	int fd;

	snprintf(node, sizeof(node), "/dev/mirror%u", below(NR_DISKS));
	fd = open(node, O_RDWR | O_CLOEXEC);
	if (fd == -1)
		return;
	change_partition(fd, 1, below(2) ? BLKPG_ADD_PARTITION : BLKPG_DEL_PARTITION);
	close(fd);
}

/* Do something.  Much of it is not possible, and is none the worse for that. */
static void step(void)
{
	char path[64];

	switch (below(9)) {
	case 0:
	case 1:
		make_or_remove_disk();
		break;
	case 2:
	case 3:
		divide_disk();
		break;
	case 4:
		if (run("ip link set dummy0 name mirror0 2>/dev/null"))
			run("ip link set mirror0 name dummy0 2>/dev/null");
		break;
	case 5:
		if (run("ip link add mirror1 type dummy 2>/dev/null"))
			run("ip link del mirror1 2>/dev/null");
		break;
	case 6:
		write_to(below(2) ? "/sys/bus/usb/drivers/hub/unbind" :
				    "/sys/bus/usb/drivers/hub/bind", "1-0:1.0");
		break;
	case 7:
		if (access("/dev/watch_source", F_OK) == 0)
			run("rmmod watch_source");
		else
			run("insmod test_modules/watch_source.ko");
		break;
	case 8:
		snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu1/online");
		if (access(path, F_OK) == 0)
			write_to(path, "%u", below(2));
		break;
	}
}

/* As it was before */
static void tidy_up(void)
{
	struct disk disk;
	int i;

	for (i = 0; i < NR_DISKS; i++) {
		snprintf(disk.dir, sizeof(disk.dir), CONFIGFS "/nullb/mirror%d", i);
		remove_disk(&disk);
	}
	run("ip link set mirror0 name dummy0 2>/dev/null; ip link del mirror1 2>/dev/null");
	if (access("/dev/watch_source", F_OK) != 0)
		run("insmod test_modules/watch_source.ko 2>/dev/null");
	write_to("/sys/bus/usb/drivers/hub/bind", "1-0:1.0");
	write_to("/sys/devices/system/cpu/cpu1/online", "1");
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
};

FIXTURE_VARIANT(mirror)
{
	int size;
	int steps;
	bool loses;
};

FIXTURE_VARIANT_ADD(mirror, that_loses_nothing)
{
	.size = 16384,
	.steps = 30,
	.loses = false,
};

FIXTURE_VARIANT_ADD(mirror, that_loses_some)
{
	.size = 32,
	.steps = 60,
	.loses = true,
};

FIXTURE_SETUP(mirror)
{
	struct queue q;

	if (!has_source(DEVICE))
		SKIP(return, "no device notifications in this kernel");
	if (access("/sys/block/nullb0", F_OK) == -1)
		SKIP(return, "no null_blk in this kernel");
	/* First attach, then scan. */
	ASSERT_EQ(0, open_queue(&q, O_NONBLOCK | O_CLOEXEC));
	ASSERT_EQ(0, set_size(&q, variant->size));
	self->s = (struct stream) { .rd = q.rd, .wr = q.wr };
	ASSERT_EQ(0, add_watch(q.rd, DEVICE, -1, 0));
	ASSERT_EQ(0, scan());
	mirror = scanned;
	ASSERT_LT(20, mirror.nr);
}

FIXTURE_TEARDOWN(mirror)
{
	tidy_up();
}

static void take_messages(struct __test_metadata *_metadata, struct stream *stream,
			  struct count *count)
{
	union message message;

	while (next_message(stream, &message, NOT_AT_ALL)) {
		if (is_loss(&message)) {
			count->losses++;
			ASSERT_EQ(0, scan());
			mirror = scanned;
			count->rescans++;
			continue;
		}
		ASSERT_EQ(DEVICE, type_of(&message));
		count->events++;
		if (!apply(&mirror, &message))
			count->misfits++;
	}
}

static void log_entry(struct __test_metadata *_metadata, const char *source,
		      const struct entry *e)
{
	TH_LOG("%s: %llu %s '%s' %u:%u %s", source, (unsigned long long)e->ino, e->subsystem,
	       e->type, e->major, e->minor, e->path);
}

/* The number of devices that are not the same in both; they are logged, if asked for. */
static int differences(struct __test_metadata *_metadata, bool log)
{
	int i = 0, j = 0, count = 0;

	qsort(mirror.devices, mirror.nr, sizeof(struct entry), by_ino);
	qsort(scanned.devices, scanned.nr, sizeof(struct entry), by_ino);
	while (i < mirror.nr || j < scanned.nr) {
		struct entry *told = i < mirror.nr ? &mirror.devices[i] : NULL;
		struct entry *found = j < scanned.nr ? &scanned.devices[j] : NULL;

		if (told && found && same(told, found)) {
			i++;
			j++;
			continue;
		}
		count++;
		if (found && (!told || told->ino >= found->ino)) {
			if (log)
				log_entry(_metadata, "sysfs", found);
			j++;
		}
		if (told && (!found || told->ino <= found->ino)) {
			if (log)
				log_entry(_metadata, "messages", told);
			i++;
		}
	}
	return count;
}

TEST_F_TIMEOUT(mirror, is_what_sysfs_says, 900)
{
	int round, i, tries, most = 0;

	seed = 4711;
	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; i < variant->steps; i++)
			step();
		/* Some devices go a moment after what has been done. */
		for (tries = 100; tries; tries--) {
			take_messages(_metadata, &self->s, &self->count);
			ASSERT_EQ(0, scan());
			if (!differences(_metadata, false))
				break;
		}
		ASSERT_EQ(0, differences(_metadata, true)) TH_LOG("round %d", round);
		most = mirror.nr > most ? mirror.nr : most;
	}
	TH_LOG("%d devices, %d events, %d losses, %d rescans", most, self->count.events,
	       self->count.losses, self->count.rescans);
	EXPECT_LT(ROUNDS * variant->steps / 4, self->count.events);
	EXPECT_EQ(self->count.losses, self->count.rescans);
	EXPECT_EQ(variant->loses, self->count.losses > 0);
	/* After a scan, the table can be ahead of what comes then. */
	if (!variant->loses)
		EXPECT_EQ(0, self->count.misfits);
}

TEST_HARNESS_MAIN

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A disk that fails on request: null_blk, set up by configfs; and devices above it
 */
#ifndef WATCH_QUEUE_TEST_DISK_H
#define WATCH_QUEUE_TEST_DISK_H

#include "commands.h"

#include <linux/blkpg.h>
#include <linux/dm-ioctl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <linux/major.h>
#include <linux/raid/md_p.h>
#include <linux/raid/md_u.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#ifndef BLKGETDISKSEQ
#define BLKGETDISKSEQ	_IOR(0x12, 128, __u64)
#endif

#define CONFIGFS	"/sys/kernel/config"

struct disk {
	char dir[64];		/* Its directory in configfs */
	char node[32];		/* In /dev */
};

static inline int configure(const struct disk *disk, const char *attribute,
			    const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", disk->dir, attribute);
	return write_to(path, "%s", value);
}

static inline void remove_disk(const struct disk *disk)
{
	configure(disk, "power", "0");
	rmdir(disk->dir);
}

/* The contexts in which a disk completes requests: values of null_blk's irqmode */
#define IN_SUBMITTER		"0"
#define IN_SOFTIRQ		"1"
#define IN_HARD_INTERRUPT	"2"

/* A disk of 64 MiB, kept in memory, that has not been switched on yet */
static inline int prepare_disk(struct disk *disk, const char *name)
{
	mkdir("/sys/kernel/config", 0755);
	mount("none", CONFIGFS, "configfs", 0, NULL);
	snprintf(disk->dir, sizeof(disk->dir), CONFIGFS "/nullb/%s", name);
	snprintf(disk->node, sizeof(disk->node), "/dev/%s", name);
	/* What a test that failed left behind */
	remove_disk(disk);
	if (mkdir(disk->dir, 0755) == -1 ||
	    configure(disk, "memory_backed", "1") == -1 ||
	    configure(disk, "size", "64") == -1 ||
	    configure(disk, "blocksize", "512") == -1)
		return -1;
	return 0;
}

static inline int make_disk_completing(struct disk *disk, const char *name,
				       const char *where)
{
	if (prepare_disk(disk, name) == -1 ||
	    configure(disk, "irqmode", where) == -1)
		return -1;
	return configure(disk, "power", "1");
}

static inline int make_disk(struct disk *disk, const char *name)
{
	return make_disk_completing(disk, name, IN_SOFTIRQ);
}

/* Have the sectors from first to last fail, or work again. */
static inline int set_bad(const struct disk *disk, int bad, unsigned long first,
			  unsigned long last)
{
	char range[64];

	snprintf(range, sizeof(range), "%c%lu-%lu", bad ? '+' : '-', first, last);
	return configure(disk, "badblocks", range);
}

/*
 * Have all reads or writes fail, with a status that is named as in
 * Documentation/block/error-injection.rst, or no longer; or tell fail_make_request
 * to.  Both have bios fail before there are requests.
 */
static inline int inject(const struct disk *disk, const char *op, const char *status)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/kernel/debug/block/%s/error_injection",
		 disk->node + strlen("/dev/"));
	return write_to(path, "add,op=%s,status=%s", op, status);
}

static inline int inject_nothing(const struct disk *disk)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/kernel/debug/block/%s/error_injection",
		 disk->node + strlen("/dev/"));
	return write_to(path, "removeall");
}

static inline int fail_bios(const struct disk *disk, int yes)
{
	static const char dir[] = "/sys/kernel/debug/fail_make_request";
	char path[128];

	snprintf(path, sizeof(path), "/sys/block/%s/make-it-fail",
		 disk->node + strlen("/dev/"));
	if (write_to(path, "%d", yes) == -1)
		return -1;
	snprintf(path, sizeof(path), "%s/verbose", dir);
	if (write_to(path, "0") == -1)
		return -1;
	snprintf(path, sizeof(path), "%s/times", dir);
	if (write_to(path, "-1") == -1)
		return -1;
	snprintf(path, sizeof(path), "%s/probability", dir);
	return write_to(path, "%d", yes ? 100 : 0);
}

/*
 * A loop device above a disk or a file.  Its requests fail as what is below it
 * does.
 */
static inline int make_loop(struct disk *loop, const char *backing)
{
	struct loop_config config = {
		.fd = open(backing, O_RDWR | O_CLOEXEC),
		.info.lo_flags = LO_FLAGS_DIRECT_IO | LO_FLAGS_AUTOCLEAR,
	};
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int index = ioctl(control, LOOP_CTL_GET_FREE);
	int fd;

	close(control);
	snprintf(loop->node, sizeof(loop->node), "/dev/loop%d", index);
	fd = open(loop->node, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (index == -1 || config.fd == -1 || fd == -1 ||
	    ioctl(fd, LOOP_CONFIGURE, &config) == -1)
		return -1;
	close(config.fd);
	return fd;
}

/*
 * A device of the device mapper, with one target.  It has no requests of its own.
 * Returns it, open, or -1 with ENOENT if the kernel has none.
 */
static inline int make_mapped(struct disk *mapped, const char *name, unsigned long sectors,
			      const char *target, const char *arguments)
{
	struct {
		struct dm_ioctl header;
		struct dm_target_spec spec;
		char arguments[128];
	} command;
	static const unsigned int steps[] = {
		DM_DEV_CREATE, DM_TABLE_LOAD, DM_DEV_SUSPEND,
	};
	int control = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
	size_t i;

	if (control == -1)
		return -1;
	for (i = 0; i < ARRAY_SIZE(steps); i++) {
		memset(&command, 0, sizeof(command));
		command.header.version[0] = DM_VERSION_MAJOR;
		command.header.data_size = sizeof(command);
		snprintf(command.header.name, sizeof(command.header.name), "%s", name);
		if (steps[i] == DM_TABLE_LOAD) {
			command.header.data_start = sizeof(command.header);
			command.header.target_count = 1;
			command.spec.length = sectors;
			snprintf(command.spec.target_type, sizeof(command.spec.target_type),
				 "%s", target);
			snprintf(command.arguments, sizeof(command.arguments), "%s",
				 arguments);
		}
		/* Without DM_SUSPEND_FLAG the last step is to resume it. */
		if (ioctl(control, steps[i], &command) == -1) {
			close(control);
			return -1;
		}
	}
	close(control);
	snprintf(mapped->node, sizeof(mapped->node), "/dev/dm-%u",
		 minor(command.header.dev));
	return open(mapped->node, O_RDWR | O_DIRECT | O_CLOEXEC);
}

static inline int remove_mapped(const char *name)
{
	struct dm_ioctl command = {
		.version = { DM_VERSION_MAJOR },
		.data_size = sizeof(command),
	};
	int control = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
	int result;

	snprintf(command.name, sizeof(command.name), "%s", name);
	result = ioctl(control, DM_DEV_REMOVE, &command);
	close(control);
	return result;
}

/*
 * A mirror of two disks, without anything on them that says so.  Returns it, open, or -1
 * with ENOENT if the kernel has none.
 */
static inline int make_mirror(struct disk *mirror, const char *name,
			      const struct disk disks[2])
{
	mdu_array_info_t array = {
		.level = 1,
		.size = 32 << 10,
		.nr_disks = 2,
		.raid_disks = 2,
		.not_persistent = 1,
		.state = 1 << MD_SB_CLEAN,
	};
	struct stat st;
	int fd, i;

	/* Once it is stopped, it is gone. */
	if (write_to("/sys/module/md_mod/parameters/legacy_async_del_gendisk", "N") == -1 ||
	    write_to("/sys/module/md_mod/parameters/new_array", "%s", name) == -1)
		return -1;
	snprintf(mirror->node, sizeof(mirror->node), "/dev/%s", name);
	fd = open(mirror->node, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (fd == -1 || ioctl(fd, SET_ARRAY_INFO, &array) == -1)
		return -1;
	for (i = 0; i < 2; i++) {
		mdu_disk_info_t member = {
			.number = i,
			.raid_disk = i,
			.state = 1 << MD_DISK_ACTIVE | 1 << MD_DISK_SYNC,
		};

		if (stat(disks[i].node, &st) == -1)
			return -1;
		member.major = major(st.st_rdev);
		member.minor = minor(st.st_rdev);
		if (ioctl(fd, ADD_NEW_DISK, &member) == -1)
			return -1;
	}
	return ioctl(fd, RUN_ARRAY, NULL) == -1 ? -1 : fd;
}

/* A buffer for direct I/O: 64 KiB */
static inline void *aligned_buffer(void)
{
	static void *buffer;

	if (!buffer)
		buffer = aligned_alloc(4096, 1 << 16);
	return buffer;
}

/* Read sectors, past the page cache. */
static inline ssize_t read_sectors(int fd, unsigned long sector, size_t count)
{
	return pread(fd, aligned_buffer(), count * 512, sector * 512);
}

static inline ssize_t write_sectors(int fd, unsigned long sector, size_t count)
{
	return pwrite(fd, aligned_buffer(), count * 512, sector * 512);
}

/*
 * Add a partition of 1 MiB, which begins at 1 MiB, to a disk that is open, or delete
 * it: BLKPG_ADD_PARTITION, BLKPG_DEL_PARTITION.
 */
static inline int change_partition(int disk, int number, int op)
{
	struct blkpg_partition part = { .start = 1 << 20, .length = 1 << 20, .pno = number };
	struct blkpg_ioctl_arg arg = { .op = op, .datalen = sizeof(part), .data = &part };

	return ioctl(disk, BLKPG, &arg);
}

#endif /* WATCH_QUEUE_TEST_DISK_H */

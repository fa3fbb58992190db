/* SPDX-License-Identifier: GPL-2.0 */
/* A disk that fails where it is told to: null_blk, set up by configfs */
#ifndef WATCH_QUEUE_TEST_DISK_H
#define WATCH_QUEUE_TEST_DISK_H

#include "sources.h"

#include <linux/fs.h>
#include <sys/sysmacros.h>

#ifndef BLKGETDISKSEQ
#define BLKGETDISKSEQ	_IOR(0x12, 128, __u64)
#endif

#define CONFIGFS	"/sys/kernel/config"

struct disk {
	char dir[64];		/* Where it is configured */
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

/* A disk of 64 MiB, kept in memory */
static inline int make_disk(struct disk *disk, const char *name)
{
	char index[16] = "";
	char path[128];
	FILE *file;

	mkdir("/sys/kernel/config", 0755);
	mount("none", CONFIGFS, "configfs", 0, NULL);
	snprintf(disk->dir, sizeof(disk->dir), CONFIGFS "/nullb/%s", name);
	/* What a test that failed left behind */
	remove_disk(disk);
	if (mkdir(disk->dir, 0755) == -1 ||
	    configure(disk, "memory_backed", "1") == -1 ||
	    configure(disk, "size", "64") == -1 ||
	    configure(disk, "blocksize", "512") == -1 ||
	    configure(disk, "power", "1") == -1)
		return -1;
	snprintf(path, sizeof(path), "%s/index", disk->dir);
	file = fopen(path, "r");
	if (!file || !fgets(index, sizeof(index), file))
		return -1;
	fclose(file);
	snprintf(disk->node, sizeof(disk->node), "/dev/nullb%d", atoi(index));
	return 0;
}

/* Have the sectors from first to last fail, or work again. */
static inline int set_bad(const struct disk *disk, int bad, unsigned long first,
			  unsigned long last)
{
	char range[64];

	snprintf(range, sizeof(range), "%c%lu-%lu", bad ? '+' : '-', first, last);
	return configure(disk, "badblocks", range);
}

/* Where direct I/O may go: 64 KiB */
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

static inline uint64_t disk_id(const char *node)
{
	struct stat st;

	if (stat(node, &st) == -1)
		return 0;
	return (uint64_t)major(st.st_rdev) << 20 | minor(st.st_rdev);
}

#endif /* WATCH_QUEUE_TEST_DISK_H */

// SPDX-License-Identifier: GPL-2.0
/*
 * What it costs to be told of mounts, of I/O that fails, of file systems and of
 * devices: when nobody listens, and by each way there is.
 */

#include "bench.h"
#include "disk.h"
#include "sources.h"

#include <linux/netlink.h>
#include <sched.h>
#include <sys/fanotify.h>
#include <sys/socket.h>

#define TIMES		64
#define DIR		"/tmp/sources_bench"
#define DEVICE		"/sys/module/watch_devices/parameters/count"

#ifndef FAN_REPORT_MNT
#define FAN_REPORT_MNT		0x00004000
#endif
#ifndef FAN_MARK_MNTNS
#define FAN_MARK_MNTNS		0x00000110
#endif
#ifndef FAN_MNT_ATTACH
#define FAN_MNT_ATTACH		0x01000000
#define FAN_MNT_DETACH		0x02000000
#endif
#ifndef FAN_FS_ERROR
#define FAN_FS_ERROR		0x00008000
#endif

static struct disk disk;
static int block, device, present;

/*
 * Each is one event; those that come and go are side by side, as what is stacked
 * has as many ancestors.
 */
static int attach_mount(void)
{
	char path[64];

	snprintf(path, sizeof(path), DIR "/%d", present++);
	return mount(path, path, NULL, MS_BIND, NULL);
}

static int detach_mount(void)
{
	char path[64];

	snprintf(path, sizeof(path), DIR "/%d", --present);
	return umount2(path, MNT_DETACH);
}

static int set_attributes(void)
{
	return mount(NULL, DIR, NULL, MS_REMOUNT | MS_BIND | MS_NOSUID, NULL);
}

static int read_one(void)
{
	return read_sectors(block, 64, 1) != 512;
}

static int fail_to_read_one(void)
{
	return read_sectors(block, 0, 1) != -1;
}

static int remount(void)
{
	static int readonly;

	readonly = !readonly;
	return mount(NULL, DIR, NULL, MS_REMOUNT | (readonly ? MS_RDONLY : 0), NULL);
}

static int trigger_error(void)
{
	return write_to("/sys/fs/ext4/ram0/trigger_fs_error", "bench");
}

static int have_devices(int count)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%d", count);

	return pwrite(device, text, length, 0) != length;
}

static int add_device(void)
{
	return have_devices(++present);
}

static int remove_device(void)
{
	return have_devices(--present);
}

/* The time that each of some takes */
static double times(int (*what)(void))
{
	long start = now();
	int i;

	for (i = 0; i < TIMES; i++) {
		if (what())
			die("event");
	}
	return (now() - start) / (double)TIMES;
}

static void say(const char *name, const char *who, const char *part, double *each)
{
	sort(each, BATCHES);
	printf("%s-%s%s 1\t%.1f\t%.1f\n", name, who, part, each[0], each[BATCHES / 2]);
}

/*
 * Measure an event and, if it has a name, what undoes it, and reading what `fd`
 * is told of the former.
 */
static void measure_event(const char *who, int fd, const char *name, int (*happen)(void),
			  const char *undo_name, int (*undo)(void))
{
	double each[BATCHES], back[BATCHES], reading[BATCHES];
	int i;

	for (i = 0; i < BATCHES; i++) {
		/* Until what RCU frees can be allocated again */
		usleep(100000);
		each[i] = times(happen);
		if (fd != -1) {
			long start = now();

			drain(fd);
			reading[i] = (now() - start) / (double)TIMES;
		}
		if (undo)
			back[i] = times(undo);
		if (fd != -1)
			drain(fd);
	}
	say(name, who, "", each);
	if (undo)
		say(undo_name, who, "", back);
	if (fd != -1)
		say(name, who, "-read", reading);
}

static void measure_mounts(const char *who, int fd)
{
	measure_event(who, fd, "mount", attach_mount, "umount", detach_mount);
	measure_event(who, fd, "setattr", set_attributes, NULL, NULL);
}

static void measure_remount(const char *who, int fd)
{
	measure_event(who, fd, "remount", remount, NULL, NULL);
}

static void measure_errors(const char *who, int fd)
{
	measure_event(who, fd, "fs-error", trigger_error, NULL, NULL);
}

static void measure_block(const char *who, int fd)
{
	measure_event(who, fd, "io", read_one, NULL, NULL);
	measure_event(who, fd, "io-error", fail_to_read_one, NULL, NULL);
}

static void measure_device(const char *who, int fd)
{
	measure_event(who, fd, "device-add", add_device, "device-remove", remove_device);
}

/* With nobody, with a queue and, as the hooks are switched off late, afterwards */
static void measure_queue(void (*all)(const char *, int), uint32_t source, int fd)
{
	struct queue queue = new_queue(512);
	struct watch_queue_watch watch = { .source = source, .fd = fd };

	all("nobody", -1);
	/* Not in a kernel without sources */
	if (ioctl(queue.rd, IOC_WATCH_QUEUE_ADD_WATCH, &watch) == 0) {
		all("queue", queue.rd);
		close_queue(&queue);
		sleep(3);
		all("afterwards", -1);
	} else {
		close_queue(&queue);
	}
}

static void measure_fanotify(void (*all)(const char *, int), int init_flags,
			     int mark_flags, uint64_t mask, int fd, const char *path)
{
	int group = fanotify_init(FAN_CLASS_NOTIF | FAN_NONBLOCK | init_flags, 0);

	if (group == -1 || fanotify_mark(group, FAN_MARK_ADD | mark_flags, mask, fd, path))
		die("fanotify");
	all("fanotify", group);
	close(group);
}

static void measure_netlink(void (*all)(const char *, int))
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
	int room = 1 << 22;

	if (fd == -1 || bind(fd, (struct sockaddr *)&address, sizeof(address)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)))
		die("netlink");
	all("netlink", fd);
	close(fd);
}

int main(void)
{
	struct sched_param param = { 0 };
	int fd, i;

	/* Others do at once what they are given to do. */
	if (sched_setscheduler(0, SCHED_IDLE, &param))
		die("SCHED_IDLE");
	if (own_mounts(DIR))
		die("namespace");
	if (mount("none", DIR, "tmpfs", 0, NULL))
		die(DIR);
	for (i = 0; i < TIMES; i++) {
		char path[64];

		snprintf(path, sizeof(path), DIR "/%d", i);
		mkdir(path, 0755);
	}
	fd = open("/proc/self/ns/mnt", O_RDONLY);
	measure_queue(measure_mounts, WATCH_TYPE_MOUNT_NOTIFY, fd);
	measure_fanotify(measure_mounts, FAN_REPORT_MNT, FAN_MARK_MNTNS,
			 FAN_MNT_ATTACH | FAN_MNT_DETACH, fd, NULL);

	fd = open(DIR, O_PATH);
	measure_queue(measure_remount, WATCH_TYPE_SUPERBLOCK_NOTIFY, fd);

	if (run("mkfs.ext4 -q /dev/ram0 && mount -o errors=continue /dev/ram0 /root"))
		die("ext4");
	fd = open("/root", O_PATH);
	measure_queue(measure_errors, WATCH_TYPE_SUPERBLOCK_NOTIFY, fd);
	measure_fanotify(measure_errors, FAN_REPORT_FID, FAN_MARK_FILESYSTEM,
			 FAN_FS_ERROR, AT_FDCWD, "/root");

	if (make_disk_completing(&disk, "bench", IN_SUBMITTER) || set_bad(&disk, 1, 0, 7))
		die("null_blk");
	block = open(disk.node, O_RDONLY | O_DIRECT);
	measure_queue(measure_block, WATCH_TYPE_BLOCK_NOTIFY, block);

	device = open(DEVICE, O_WRONLY);
	if (device == -1)
		die(DEVICE);
	measure_queue(measure_device, WATCH_TYPE_DEVICE_NOTIFY, -1);
	measure_netlink(measure_device);
	return 0;
}

// SPDX-License-Identifier: GPL-2.0
/*
 * What it costs to be told of something, in guest instructions if QEMU was
 * told -icount shift=0,sleep=off.  Not a test.
 */

#include "disk.h"
#include "sources.h"

#include <linux/netlink.h>
#include <sched.h>
#include <sys/fanotify.h>
#include <sys/socket.h>
#include <time.h>

#define ROUNDS		400
#define DIR		"/tmp/sources_bench"

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

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static void drain(int fd)
{
	static char buffer[1 << 18];

	while (fd != -1 && read(fd, buffer, sizeof(buffer)) > 0)
		continue;
}

static int disk_fd = -1;

static int mount_and_umount(void)
{
	return mount("none", DIR, "tmpfs", 0, NULL) || umount2(DIR, MNT_DETACH);
}

static int failed_read(void)
{
	return read_sectors(disk_fd, 0, 1) != -1;
}

static int say_change(void)
{
	return write_to("/sys/class/mem/null/uevent", "change");
}

/* The time that one takes, on average, without what it takes to read events */
static double measure(int (*what)(void), int fd)
{
	double spent = 0, start;
	int i, j;

	for (i = 0; i < 10; i++)
		what();
	drain(fd);
	for (i = 0; i < ROUNDS / 100; i++) {
		start = now();
		for (j = 0; j < 100; j++) {
			if (what())
				return -1;
		}
		spent += now() - start;
		drain(fd);
	}
	return spent / ROUNDS;
}

static void row(const char *what, const char *who, double cost, double base)
{
	printf("%-28s %-34s %10.0f %10.0f\n", what, who, cost, cost - base);
}

int main(void)
{
	struct disk disk;
	struct stream s;
	double base;
	int fd, i;

	unshare(CLONE_NEWNS);
	mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
	mkdir(DIR, 0755);
	printf("%-28s %-34s %10s %10s\n", "what", "who watches", "each", "more");

	base = measure(mount_and_umount, -1);
	row("mount and umount, 2 events", "nobody", base, base);
	fd = open("/proc/self/ns/mnt", O_RDONLY);
	if (open_stream(&s) == 0 && add_watch(s.rd, WATCH_TYPE_MOUNT_NOTIFY, fd, 0) == 0) {
		row("", "a queue", measure(mount_and_umount, s.rd), base);
		remove_watch(s.rd, WATCH_TYPE_MOUNT_NOTIFY, fd, 0);
		sleep(3);
		row("", "nobody any more", measure(mount_and_umount, -1), base);
		for (i = 0; i < 256; i++) {
			char path[32];
			int dir;

			snprintf(path, sizeof(path), "/tmp/bench%d", i);
			mkdir(path, 0755);
			if (mount("none", path, "tmpfs", 0, NULL) == -1)
				break;
			dir = open(path, O_PATH);
			add_watch(s.rd, WATCH_TYPE_MOUNT_NOTIFY, dir, WATCH_MOUNT_SUBTREE);
			close(dir);
		}
		row("", "256 watches of other trees", measure(mount_and_umount, s.rd), base);
	}
	close(s.rd);
	close(s.wr);
	i = fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_MNT | FAN_NONBLOCK, 0);
	if (i != -1 && fanotify_mark(i, FAN_MARK_ADD | FAN_MARK_MNTNS,
				     FAN_MNT_ATTACH | FAN_MNT_DETACH, fd, NULL) == 0)
		row("", "fanotify", measure(mount_and_umount, i), base);

	if (access("/sys/block/nullb0", F_OK) == 0 && make_disk(&disk, "bench") == 0) {
		disk_fd = open(disk.node, O_RDWR | O_DIRECT);
		set_bad(&disk, 1, 0, 7);
		base = measure(failed_read, -1);
		row("read that fails, 1 event", "nobody", base, base);
		if (open_stream(&s) == 0 &&
		    add_watch(s.rd, WATCH_TYPE_BLOCK_NOTIFY, disk_fd, 0) == 0)
			row("", "a queue", measure(failed_read, s.rd), base);
		close(s.rd);
		close(s.wr);
		close(disk_fd);
		remove_disk(&disk);
	}

	base = measure(say_change, -1);
	row("uevent of a device", "nobody", base, base);
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
	if (fd != -1) {
		struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = 1 };

		if (bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
			row("", "netlink", measure(say_change, fd), base);
	}
	return 0;
}

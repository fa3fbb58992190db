// SPDX-License-Identifier: GPL-2.0
/*
 * Messages about devices.  Those on USB are plugged and
 * pulled by way of QEMU's monitor, which is behind a serial port: see
 * dev/boot.
 */

#include "disk.h"
#include "sources.h"

#include <sched.h>
#include <stdlib.h>
#include <termios.h>

#define DEVICE		WATCH_TYPE_DEVICE_NOTIFY

/* The name of QEMU's hub */
#define HUB_VENDOR	0x0409
#define HUB_PRODUCT	0x55aa

FIXTURE(device)
{
	struct stream s;
};

FIXTURE_SETUP(device)
{
	if (!has_source(DEVICE))
		SKIP(return, "no device notifications in this kernel");
	ASSERT_EQ(0, open_stream(&self->s));
	ASSERT_EQ(0, add_watch(self->s.rd, DEVICE, -1, 0));
}

FIXTURE_TEARDOWN(device)
{
}

/* One of the strings of a message: of a device, subsystem, type and path */
enum { SUBSYSTEM, TYPE, PATH };

static const char *string_of(const union message *message, int which)
{
	const char *at = (const char *)message->bytes +
			 (message->watch.info >> NOTIFY_DEVICE_STRINGS__SHIFT);

	while (which--)
		at += strlen(at) + 1;
	return at;
}

static const char *name_of(const union message *message)
{
	const char *path = string_of(message, message->watch.subtype < NOTIFY_USB_CONNECTED ?
					      PATH : 0);
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* The next message of a subtype about a device */
static int find_device(struct stream *s, union message *message, uint32_t what,
		       const char *subsystem, const char *name)
{
	while (find_message(s, message, DEVICE, what)) {
		if (!strcmp(subsystem, string_of(message, SUBSYSTEM)) &&
		    (!name || !strcmp(name, name_of(message))))
			return 1;
	}
	return 0;
}

/* The tests' own source is a device. */
TEST_F(device, module_that_comes_and_goes)
{
	union message message;
	struct stat st;

	if (access("/dev/watch_source", F_OK) == -1)
		SKIP(return, "the test module is not loaded");
	ASSERT_EQ(0, run("rmmod watch_source"));
	ASSERT_TRUE(find_device(&self->s, &message, NOTIFY_DEVICE_REMOVED, "misc",
				"watch_source"));
	ASSERT_EQ(0, run("insmod test_modules/watch_source.ko"));
	ASSERT_TRUE(find_device(&self->s, &message, NOTIFY_DEVICE_ADDED, "misc",
				"watch_source"));
	EXPECT_EQ(sizeof(message.device), message.watch.info >> NOTIFY_DEVICE_STRINGS__SHIFT);
	EXPECT_STREQ("", string_of(&message, TYPE));
	EXPECT_STREQ("/devices/virtual/misc/watch_source", string_of(&message, PATH));
	EXPECT_EQ(sizeof(message.device) + sizeof("misc\0\0/devices/virtual/misc/watch_source"),
		  length_of(&message));
	EXPECT_EQ(TAG, tag_of(&message));
	EXPECT_EQ(10, message.device.dev_major);
	ASSERT_EQ(0, stat("/dev/watch_source", &st));
	EXPECT_EQ(minor(st.st_rdev), message.device.dev_minor);
	EXPECT_EQ(0, message.watch.info & NOTIFY_DEVICE_CUT);
	ASSERT_EQ(0, stat("/sys/class/misc/watch_source", &st));
	EXPECT_EQ(st.st_ino, message.device.ino);
}

TEST_F(device, disk_that_comes_and_goes)
{
	union message message;
	struct disk disk;
	const char *name;
	struct stat st;

	if (access("/sys/block/nullb0", F_OK) == -1)
		SKIP(return, "no null_blk in this kernel");
	ASSERT_EQ(0, make_disk(&disk, "device_test"));
	name = disk.node + strlen("/dev/");
	ASSERT_TRUE(find_device(&self->s, &message, NOTIFY_DEVICE_ADDED, "block", name));
	EXPECT_STREQ("disk", string_of(&message, TYPE));
	EXPECT_EQ(TAG, tag_of(&message));
	EXPECT_EQ(0, message.watch.info & NOTIFY_DEVICE_CUT);
	ASSERT_EQ(0, stat(disk.node, &st));
	EXPECT_EQ(major(st.st_rdev), message.device.dev_major);
	EXPECT_EQ(minor(st.st_rdev), message.device.dev_minor);
	remove_disk(&disk);
	ASSERT_TRUE(find_device(&self->s, &message, NOTIFY_DEVICE_REMOVED, "block", name));
}

TEST_F(device, driver_that_is_unbound_and_bound)
{
	union message message;

	if (access("/sys/bus/usb/drivers/hub/1-0:1.0", F_OK) == -1)
		SKIP(return, "no USB in this guest");
	ASSERT_EQ(0, write_to("/sys/bus/usb/drivers/hub/unbind", "1-0:1.0"));
	EXPECT_TRUE(find_device(&self->s, &message, NOTIFY_DEVICE_UNBOUND, "usb", "1-0:1.0"));
	EXPECT_EQ(0, message.device.dev_major);
	ASSERT_EQ(0, write_to("/sys/bus/usb/drivers/hub/bind", "1-0:1.0"));
	EXPECT_TRUE(find_device(&self->s, &message, NOTIFY_DEVICE_BOUND, "usb", "1-0:1.0"));
}

/*
 * Have QEMU's monitor do something.  It echoes, and so did the port until it
 * was told not to: the first line is to end what that may have left behind.
 */
static int monitor(const char *command)
{
	struct termios raw;
	const char *port = getenv("MONITOR") ?: "/dev/ttyS1";
	int fd = open(port, O_RDWR | O_NOCTTY | O_CLOEXEC);
	int result;

	if (fd == -1 || tcgetattr(fd, &raw) == -1)
		return -1;
	cfmakeraw(&raw);
	tcsetattr(fd, TCSAFLUSH, &raw);
	if (write(fd, "\n", 1) != 1)
		return -1;
	tcdrain(fd);
	usleep(200000);
	result = write(fd, command, strlen(command)) == (ssize_t)strlen(command) ? 0 : -1;
	tcdrain(fd);
	close(fd);
	return result;
}

TEST_F(device, usb_device_that_is_plugged_and_pulled)
{
	union message message;
	char name[32];

	if (access("/sys/bus/usb/devices/usb1", F_OK) == -1)
		SKIP(return, "no USB in this guest");
	ASSERT_EQ(0, monitor("device_add usb-hub,id=plugged,port=2\n"));
	ASSERT_TRUE(find_message(&self->s, &message, DEVICE, NOTIFY_USB_CONNECTED));
	EXPECT_EQ(sizeof(message.usb), message.watch.info >> NOTIFY_DEVICE_STRINGS__SHIFT);
	EXPECT_EQ(HUB_VENDOR, message.usb.vendor);
	EXPECT_EQ(HUB_PRODUCT, message.usb.product);
	EXPECT_EQ(2, message.usb.port);
	EXPECT_LT(1, message.usb.device);
	snprintf(name, sizeof(name), "%u-2", message.usb.bus);
	EXPECT_STREQ(name, name_of(&message));
	/* Its interface has a driver. */
	ASSERT_TRUE(find_device(&self->s, &message, NOTIFY_DEVICE_BOUND, "usb", NULL));

	ASSERT_EQ(0, monitor("device_del plugged\n"));
	ASSERT_TRUE(find_message(&self->s, &message, DEVICE, NOTIFY_USB_DISCONNECTED));
	EXPECT_EQ(HUB_VENDOR, message.usb.vendor);
	EXPECT_STREQ(name, name_of(&message));
	ASSERT_TRUE(find_device(&self->s, &message, NOTIFY_DEVICE_REMOVED, "usb", name));
}

/* In a network namespace of its own: wait for the device, and send it back. */
static void return_device(int ready)
{
	int i, sent;

	if (unshare(CLONE_NEWNET) == -1 || write(ready, "", 1) != 1)
		_exit(1);
	for (i = 0; i < 100; i++) {
		sent = run("ip link set dummy0 netns %d 2>/dev/null", getppid());
		if (sent == 0)
			break;
		usleep(100000);
	}
	_exit(sent);
}

TEST_F(device, network_device_that_goes_to_another_namespace)
{
	union message message;
	int fds[2], status;
	pid_t pid;
	char c;

	if (access("/sys/class/net/dummy0", F_OK) == -1)
		SKIP(return, "no dummy0 in this guest");
	ASSERT_EQ(0, pipe(fds));
	pid = fork();
	if (pid == 0)
		return_device(fds[1]);
	ASSERT_NE(-1, pid);
	ASSERT_EQ(1, read(fds[0], &c, 1));
	ASSERT_EQ(0, run("ip link set dummy0 netns %d", pid));
	EXPECT_TRUE(find_device(&self->s, &message, NOTIFY_DEVICE_REMOVED, "net", "dummy0"));
	EXPECT_TRUE(find_device(&self->s, &message, NOTIFY_DEVICE_ADDED, "net", "dummy0"));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

TEST_F(device, network_device_that_gets_another_name)
{
	union message message;
	uint64_t seqnum;

	if (access("/sys/class/net/dummy0", F_OK) == -1)
		SKIP(return, "no dummy0 in this guest");
	ASSERT_EQ(0, run("ip link set dummy0 name renamed0"));
	ASSERT_TRUE(find_device(&self->s, &message, NOTIFY_DEVICE_MOVED, "net", "renamed0"));
	EXPECT_STREQ("/devices/virtual/net/renamed0", string_of(&message, PATH));
	seqnum = message.device.seqnum;
	EXPECT_NE(0, seqnum);
	ASSERT_EQ(0, run("ip link set renamed0 name dummy0"));
	ASSERT_TRUE(find_device(&self->s, &message, NOTIFY_DEVICE_MOVED, "net", "dummy0"));
	EXPECT_LT(seqnum, message.device.seqnum);
}

TEST_F(device, disk_that_changes)
{
	union message message;
	char name[16];
	int fd;

	fd = open("/tmp/device_test.img", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd == -1 || ftruncate(fd, 1 << 20) == -1 || access("/dev/loop-control", F_OK) == -1)
		SKIP(return, "no loop devices in this kernel");
	close(fd);
	/* It is there before it has something in it. */
	ASSERT_EQ(0, run("losetup -f /tmp/device_test.img"));
	ASSERT_TRUE(find_device(&self->s, &message, NOTIFY_DEVICE_CHANGED, "block", NULL));
	EXPECT_STREQ("disk", string_of(&message, TYPE));
	snprintf(name, sizeof(name), "%s", name_of(&message));
	EXPECT_EQ(0, strncmp(name, "loop", 4));
	EXPECT_EQ(0, run("losetup -d /dev/%s", name));
}

TEST_F(device, cpu_that_goes_offline_and_online)
{
	union message message;

	if (access("/sys/devices/system/cpu/cpu1/online", F_OK) == -1)
		SKIP(return, "no CPU that can be offline");
	ASSERT_EQ(0, write_to("/sys/devices/system/cpu/cpu1/online", "0"));
	EXPECT_TRUE(find_device(&self->s, &message, NOTIFY_DEVICE_OFFLINE, "cpu", "cpu1"));
	ASSERT_EQ(0, write_to("/sys/devices/system/cpu/cpu1/online", "1"));
	EXPECT_TRUE(find_device(&self->s, &message, NOTIFY_DEVICE_ONLINE, "cpu", "cpu1"));
}

/* The number is what a socket for uevents gets. */
TEST_F(device, sequence_number_is_that_of_the_uevent)
{
	unsigned long long before, after;
	union message message;
	FILE *file;

	if (access("/dev/watch_source", F_OK) == -1)
		SKIP(return, "the test module is not loaded");
	file = fopen("/sys/kernel/uevent_seqnum", "r");
	ASSERT_NE(NULL, file);
	ASSERT_EQ(1, fscanf(file, "%llu", &before));
	fclose(file);
	ASSERT_EQ(0, run("rmmod watch_source && insmod test_modules/watch_source.ko"));
	file = fopen("/sys/kernel/uevent_seqnum", "r");
	ASSERT_NE(NULL, file);
	ASSERT_EQ(1, fscanf(file, "%llu", &after));
	fclose(file);
	ASSERT_TRUE(find_device(&self->s, &message, NOTIFY_DEVICE_REMOVED, "misc", NULL));
	EXPECT_LT(before, message.device.seqnum);
	before = message.device.seqnum;
	ASSERT_TRUE(find_device(&self->s, &message, NOTIFY_DEVICE_ADDED, "misc", NULL));
	EXPECT_LT(before, message.device.seqnum);
	EXPECT_GE(after, message.device.seqnum);
}

TEST_F(device, uevent_that_somebody_asked_for)
{
	union message message;

	ASSERT_EQ(0, write_to("/sys/class/mem/null/uevent", "add"));
	EXPECT_NOTHING(&self->s);
}

TEST_F(device, network_device_of_another_namespace)
{
	union message message;
	int status;

	if (access("/proc/self/ns/net", F_OK) == -1)
		SKIP(return, "no network namespaces in this kernel");
	if (fork() == 0) {
		struct stream s;

		/* This makes a loopback device, and another namespace. */
		if (unshare(CLONE_NEWNET) == -1 || open_stream(&s) == -1)
			_exit(1);
		_exit(add_watch(s.rd, DEVICE, -1, 0) != -1 || errno != EPERM);
	}
	ASSERT_NE(-1, wait(&status));
	EXPECT_EQ(0, status);
	while (next_message(&self->s, &message, NOT_AT_ALL))
		EXPECT_STRNE("net", string_of(&message, SUBSYSTEM));
}

/* A directory of sysfs that is watched, apart from the queue of the fixture */
static int open_selected(struct stream *s, const char *path, uint64_t *id)
{
	int fd = open(path, O_PATH | O_CLOEXEC);
	int result;

	if (fd == -1 || open_stream(s) == -1)
		return -1;
	result = watch_object(s->rd, DEVICE, fd, 0, id);
	close(fd);
	return result;
}

#define EXPECT_ONLY(stream, what, subsystem, name)			\
	do {								\
		ASSERT_TRUE(next_message(stream, &message, SOON));	\
		EXPECT_EQ(DEVICE, type_of(&message));			\
		EXPECT_EQ(what, subtype_of(&message));			\
		EXPECT_STREQ(subsystem, string_of(&message, SUBSYSTEM)); \
		EXPECT_STREQ(name, name_of(&message));			\
	} while (0)

TEST_F(device, class_that_is_selected)
{
	struct stream net, mem;
	union message message;
	uint64_t id, other;
	struct stat st;
	int fd;

	if (access("/sys/class/net/dummy0", F_OK) == -1)
		SKIP(return, "no dummy0 in this guest");
	ASSERT_EQ(0, open_selected(&net, "/sys/class/net", &id));
	ASSERT_EQ(0, open_selected(&mem, "/sys/class/mem", &other));
	ASSERT_EQ(0, stat("/sys/class/net", &st));
	EXPECT_EQ(st.st_ino, id);
	EXPECT_NE(id, other);
	ASSERT_EQ(0, run("ip link set dummy0 name renamed0"));
	EXPECT_ONLY(&net, NOTIFY_DEVICE_MOVED, "net", "renamed0");
	ASSERT_EQ(0, run("ip link set renamed0 name dummy0"));
	EXPECT_ONLY(&net, NOTIFY_DEVICE_MOVED, "net", "dummy0");
	EXPECT_NOTHING(&mem);
	EXPECT_TRUE(find_device(&self->s, &message, NOTIFY_DEVICE_MOVED, "net", "dummy0"));

	/* A message for each watch */
	fd = open("/sys/class/net/dummy0", O_PATH | O_CLOEXEC);
	ASSERT_EQ(0, add_watch(net.rd, DEVICE, fd, 0));
	close(fd);
	ASSERT_EQ(0, run("ip link set dummy0 name renamed0"));
	EXPECT_ONLY(&net, NOTIFY_DEVICE_MOVED, "net", "renamed0");
	EXPECT_ONLY(&net, NOTIFY_DEVICE_MOVED, "net", "renamed0");
	ASSERT_EQ(0, run("ip link set renamed0 name dummy0"));
	EXPECT_ONLY(&net, NOTIFY_DEVICE_MOVED, "net", "dummy0");
	EXPECT_ONLY(&net, NOTIFY_DEVICE_MOVED, "net", "dummy0");
	EXPECT_NOTHING(&net);
}

TEST_F(device, bus_that_is_selected)
{
	union message message;
	struct stream usb;
	uint64_t id;

	if (access("/sys/bus/usb/drivers/hub/1-0:1.0", F_OK) == -1)
		SKIP(return, "no USB in this guest");
	ASSERT_EQ(0, open_selected(&usb, "/sys/bus/usb", &id));
	ASSERT_EQ(0, run("ip link set lo down && ip link set lo up"));
	ASSERT_EQ(0, write_to("/sys/bus/usb/drivers/hub/unbind", "1-0:1.0"));
	EXPECT_ONLY(&usb, NOTIFY_DEVICE_UNBOUND, "usb", "1-0:1.0");
	ASSERT_EQ(0, write_to("/sys/bus/usb/drivers/hub/bind", "1-0:1.0"));
	EXPECT_ONLY(&usb, NOTIFY_DEVICE_BOUND, "usb", "1-0:1.0");
}

/* A disk is seen by whoever watches it, and its removal; its parts by that, too. */
TEST_F(device, device_that_is_selected_with_those_below_it)
{
	struct stream disk_stream, part_stream;
	union message message;
	struct disk disk;
	uint64_t id, part;
	char path[64], name[32];
	struct stat st;
	int fd;

	if (access("/sys/block/nullb0", F_OK) == -1)
		SKIP(return, "no null_blk in this kernel");
	ASSERT_EQ(0, make_disk(&disk, "device_test"));
	snprintf(path, sizeof(path), "/sys/block/%s", disk.node + strlen("/dev/"));
	ASSERT_EQ(0, open_selected(&disk_stream, path, &id));
	ASSERT_EQ(0, stat(path, &st));
	EXPECT_EQ(st.st_ino, id);
	fd = open(disk.node, O_RDWR | O_CLOEXEC);
	ASSERT_NE(-1, fd);
	ASSERT_EQ(0, change_partition(fd, 1, BLKPG_ADD_PARTITION));
	close(fd);
	ASSERT_TRUE(find_device(&disk_stream, &message, NOTIFY_DEVICE_ADDED, "block", NULL));
	EXPECT_STREQ("partition", string_of(&message, TYPE));
	snprintf(name, sizeof(name), "%s", name_of(&message));
	snprintf(path, sizeof(path), "/sys/class/block/%s", name);
	ASSERT_EQ(0, open_selected(&part_stream, path, &part));
	EXPECT_NE(id, part);

	remove_disk(&disk);
	EXPECT_ONLY(&part_stream, NOTIFY_DEVICE_REMOVED, "block", name);
	EXPECT_REMOVAL(&part_stream, part);
	ASSERT_TRUE(find_device(&disk_stream, &message, NOTIFY_DEVICE_REMOVED, "block", name));
	ASSERT_TRUE(find_device(&disk_stream, &message, NOTIFY_DEVICE_REMOVED, "block",
				disk.node + strlen("/dev/")));
	EXPECT_REMOVAL(&disk_stream, id);
	EXPECT_NOTHING(&disk_stream);
}

TEST_F(device, what_cannot_be_selected)
{
	enum { GROUP = 8 };
	static const char *const others[] = {
		"/", "/sys", "/sys/class", "/sys/bus", "/sys/devices", "/sys/kernel",
		"/sys/class/mem/null/uevent", "/dev/null",
		[GROUP] = "/sys/class/net/lo/statistics",
	};
	struct stream s;
	unsigned int i;
	int fd;

	ASSERT_EQ(0, open_stream(&s));
	for (i = 0; i < ARRAY_SIZE(others); i++) {
		fd = open(others[i], O_PATH | O_CLOEXEC);
		/* There may be no network. */
		if (fd == -1 && i == GROUP)
			continue;
		ASSERT_NE(-1, fd) TH_LOG("%s", others[i]);
		EXPECT_FAILS(EINVAL, add_watch(s.rd, DEVICE, fd, 0));
		close(fd);
	}
	fd = open("/sys/class/mem", O_RDONLY | O_CLOEXEC);
	ASSERT_NE(-1, fd);
	EXPECT_FAILS(EINVAL, add_watch(s.rd, DEVICE, fd, 1));
	EXPECT_FAILS(EBADSLT, remove_watch(s.rd, DEVICE, fd, 0));
	EXPECT_EQ(0, add_watch(s.rd, DEVICE, fd, 0));
	EXPECT_FAILS(EBUSY, add_watch(s.rd, DEVICE, fd, 0));
	EXPECT_EQ(0, remove_watch(s.rd, DEVICE, fd, 0));
	EXPECT_FAILS(EBADSLT, remove_watch(s.rd, DEVICE, fd, 0));
}

TEST_F(device, directory_that_is_gone)
{
	union message message;
	struct stream s;
	uint64_t id;
	int fd;

	if (access("/dev/watch_source", F_OK) == -1)
		SKIP(return, "the test module is not loaded");
	fd = open("/sys/class/misc/watch_source", O_PATH | O_CLOEXEC);
	ASSERT_NE(-1, fd);
	ASSERT_EQ(0, open_stream(&s));
	ASSERT_EQ(0, watch_object(s.rd, DEVICE, fd, 0, &id));
	ASSERT_EQ(0, run("rmmod watch_source"));
	EXPECT_ONLY(&s, NOTIFY_DEVICE_REMOVED, "misc", "watch_source");
	EXPECT_REMOVAL(&s, id);
	EXPECT_FAILS(ENODEV, add_watch(s.rd, DEVICE, fd, 0));
	ASSERT_EQ(0, run("insmod test_modules/watch_source.ko"));
	EXPECT_NOTHING(&s);
}

TEST_F(device, who_may_watch)
{
	struct stream s;

	ASSERT_EQ(0, open_stream(&s));
	EXPECT_FAILS(EBUSY, add_watch(self->s.rd, DEVICE, -1, 0));
	EXPECT_FAILS(EBADF, add_watch(s.rd, DEVICE, -2, 0));
	EXPECT_FAILS(EBADSLT, remove_watch(s.rd, DEVICE, -1, 0));
	/* Everybody, as with uevents */
	ASSERT_EQ(0, setresuid(65534, 65534, 65534));
	EXPECT_EQ(0, add_watch(s.rd, DEVICE, -1, 0));
	EXPECT_EQ(0, remove_watch(s.rd, DEVICE, -1, 0));
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: GPL-2.0
/* Queues and the memory control group of who sizes them */

#include "source.h"
#include "fdinfo.h"

#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define CGROUPS	"/tmp/watch_queue-cgroups"
#define GROUP	CGROUPS "/queues"
#define MIB	(1024 * 1024)

/* A control group, of which each test's process becomes a member */
FIXTURE(memcg)
{
	struct queue q;
	int current;
	long before;
};

/* The charge of the group in bytes; it changes in steps of half a mebibyte and less */
static long in_use(int file)
{
	char text[32] = "";

	if (pread(file, text, sizeof(text) - 1, 0) <= 0)
		return -1;
	return atol(text);
}

/*
 * Returns whether all is given back.  That may take a little, as memory that was mapped
 * is freed later, be it of a queue or of an attempt to make one.
 */
static int all_is_given_back(int file, long before)
{
	int i;

	for (i = 0; i < 500; i++) {
		if (in_use(file) <= before + MIB)
			return 1;
		usleep(20000);
	}
	return 0;
}

FIXTURE_SETUP(memcg)
{
	mkdir(CGROUPS, 0700);
	if (access(CGROUPS "/cgroup.procs", F_OK) &&
	    mount("cgroups", CGROUPS, "cgroup2", 0, NULL))
		SKIP(return, "no control groups");
	if (write_file(CGROUPS "/cgroup.subtree_control", "+memory"))
		SKIP(return, "no memory control groups");
	ASSERT_TRUE(!mkdir(GROUP, 0700) || errno == EEXIST);
	ASSERT_EQ(0, write_file(GROUP "/memory.max", "max"));
	ASSERT_EQ(0, write_file(GROUP "/cgroup.procs", "0"));
	ASSERT_EQ(0, open_queue(&self->q, O_NONBLOCK));
	self->current = open(GROUP "/memory.current", O_RDONLY);
	self->before = in_use(self->current);
	ASSERT_NE(-1, self->before);
}

FIXTURE_TEARDOWN(memcg)
{
	write_file(CGROUPS "/cgroup.procs", "0");
}

TEST_F(memcg, beyond_mainline_memory_is_charged_to_who_sizes_the_queue)
{
	ASSERT_EQ(0, set_size(&self->q, 16 * MIB / 128));
	EXPECT_LE(self->before + 15 * MIB, in_use(self->current));
	close(self->q.rd);
	close(self->q.wr);
	EXPECT_TRUE(all_is_given_back(self->current, self->before));
}

TEST_F(memcg, beyond_mainline_size_beyond_the_limit_of_a_cgroup_is_refused_whole)
{
	char limit[32];
	int i;

	snprintf(limit, sizeof(limit), "%ld", self->before + 8 * MIB);
	ASSERT_EQ(0, write_file(GROUP "/memory.max", limit));
	for (i = 0; i < 3; i++) {
		EXPECT_FAILS(ENOMEM, set_size(&self->q, 64 * MIB / 128));
		ASSERT_TRUE(all_is_given_back(self->current, self->before));
		EXPECT_EQ(0, fdinfo_number(self->q.rd, "size"));
		EXPECT_EQ(65536, fcntl(self->q.rd, F_GETPIPE_SZ));
	}
	/* Nobody was killed for it, and what fits is still to be had. */
	EXPECT_EQ(0, set_size(&self->q, 1 * MIB / 128));
	EXPECT_EQ(1 * MIB / 128, fdinfo_number(self->q.rd, "size"));
}

/* 17 pages of messages and three that say where some were lost; kmalloc() takes 32 and 4. */
TEST_F(memcg, beyond_mainline_no_memory_is_lost_to_rounding)
{
	struct queue queues[100];
	int i;

	for (i = 0; i < 100; i++) {
		ASSERT_EQ(0, open_queue(&queues[i], O_NONBLOCK));
		ASSERT_EQ(0, set_size(&queues[i], 544));
	}
	/* Pages are charged in batches, and an inode and two files are, too. */
	EXPECT_LE(self->before + 7 * MIB, in_use(self->current));
	EXPECT_GE(self->before + 10 * MIB, in_use(self->current));
	for (i = 0; i < 100; i++) {
		close(queues[i].rd);
		close(queues[i].wr);
	}
	EXPECT_TRUE(all_is_given_back(self->current, self->before));
}

/* Bytes that each of some pipes takes: so many, as the charge changes in large steps */
static long cost_of_pipes(int file, int flags)
{
	enum { PIPES = 4000 };
	long before = in_use(file);
	int fds[2], i;

	for (i = 0; i < PIPES; i++) {
		if (pipe2(fds, flags))
			return -1;
	}
	return (in_use(file) - before) / PIPES;
}

/*
 * Both have an inode and two files.  An ordinary pipe has room for 16 buffers from
 * the start, C's queue as well.
 */
TEST_F(memcg, beyond_mainline_idle_queue_takes_less_than_an_idle_pipe)
{
	struct rlimit limit = { 16384, 16384 };
	long pipe, queue;

	if (!access("/proc/lockdep_stats", F_OK))
		SKIP(return, "locks are larger in this kernel");
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	/* The table of descriptors grows here. */
	ASSERT_NE(-1, dup2(0, 16383));
	queue = cost_of_pipes(self->current, O_NOTIFICATION_PIPE);
	pipe = cost_of_pipes(self->current, 0);
	TH_LOG("a queue takes %ld bytes, a pipe %ld", queue, pipe);
	ASSERT_LT(0, queue);
	EXPECT_LE(queue + 512, pipe);
}

TEST_HARNESS_MAIN

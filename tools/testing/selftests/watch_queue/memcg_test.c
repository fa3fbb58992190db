// SPDX-License-Identifier: GPL-2.0
/* Queues and the memory control group of who sizes them */

#include "source.h"
#include "fdinfo.h"

#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define CGROUPS	"/tmp/watch_queue-cgroups"
#define GROUP	CGROUPS "/queues"
#define MIB	(1 << 20)

static long in_use(void)
{
	char text[32] = "";
	int fd = open(GROUP "/memory.current", O_RDONLY);

	if (fd == -1 || read(fd, text, sizeof(text) - 1) <= 0)
		return -1;
	close(fd);
	return atol(text);
}

/* A control group, of which each test's process becomes a member */
FIXTURE(memcg)
{
	struct queue q;
};

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
}

FIXTURE_TEARDOWN(memcg)
{
	write_file(CGROUPS "/cgroup.procs", "0");
}

/* What is in use changes in steps of half a mebibyte and less. */
TEST_F(memcg, beyond_mainline_memory_is_charged_to_who_sizes_the_queue)
{
	long before = in_use();

	ASSERT_NE(-1, before);
	ASSERT_EQ(0, set_size(&self->q, 16 * MIB / 128));
	EXPECT_LE(before + 15 * MIB, in_use());
	close(self->q.rd);
	close(self->q.wr);
	/* Memory that was mapped may be freed a little later. */
	for (int i = 0; i < 100 && in_use() > before + 2 * MIB; i++)
		usleep(20000);
	EXPECT_GE(before + 2 * MIB, in_use());
}

TEST_F(memcg, beyond_mainline_size_beyond_the_limit_of_a_cgroup_is_refused_whole)
{
	char limit[32];
	int i;

	snprintf(limit, sizeof(limit), "%ld", in_use() + 8 * MIB);
	ASSERT_EQ(0, write_file(GROUP "/memory.max", limit));
	for (i = 0; i < 3; i++) {
		EXPECT_FAILS(ENOMEM, set_size(&self->q, 64 * MIB / 128));
		EXPECT_EQ(0, fdinfo_number(self->q.rd, "size"));
		EXPECT_EQ(65536, fcntl(self->q.rd, F_GETPIPE_SZ));
	}
	/* Nobody was killed for it, and what fits is still to be had. */
	EXPECT_EQ(0, set_size(&self->q, 1 * MIB / 128));
	EXPECT_EQ(1 * MIB / 128, fdinfo_number(self->q.rd, "size"));
}

TEST_HARNESS_MAIN

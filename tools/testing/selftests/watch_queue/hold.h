/* SPDX-License-Identifier: GPL-2.0 */
/* Operations that are held in the middle, see watch_hold.h */
#ifndef WATCH_QUEUE_TEST_HOLD_H
#define WATCH_QUEUE_TEST_HOLD_H

#include "queue.h"
#include "watch_hold.h"

#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static inline int open_hold(void)
{
	return open("/dev/watch_hold", O_RDWR | O_CLOEXEC);
}

static inline int hold_attach(int hold, int queue, uint64_t id, unsigned int tag)
{
	struct watch_hold_watch watch = { .id = id, .fd = queue, .tag = tag };

	return UNTIL_THERE_IS_ROOM(ioctl(hold, WATCH_HOLD_ATTACH, &watch));
}

static inline int hold_detach(int hold, int queue, uint64_t id)
{
	struct watch_hold_watch watch = { .id = id, .fd = queue };

	return ioctl(hold, WATCH_HOLD_DETACH, &watch);
}

static inline int hold_remove(int hold, uint64_t id)
{
	return ioctl(hold, WATCH_HOLD_REMOVE, &id);
}

static inline int hold_kill(int hold, uint64_t id)
{
	return ioctl(hold, WATCH_HOLD_KILL, &id);
}

static inline int hold_post(int hold, uint64_t id)
{
	return ioctl(hold, WATCH_HOLD_POST, &id);
}

static inline int run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set);
}

/*
 * As fork(), but with shared file descriptors.  Memory is not shared: a flush of
 * the TLB would wait for a CPU that is held.
 */
static inline pid_t fork_with_files(void)
{
	struct clone_args args = { .flags = CLONE_FILES, .exit_signal = SIGCHLD };

	return syscall(SYS_clone3, &args, sizeof(args));
}

#endif /* WATCH_QUEUE_TEST_HOLD_H */

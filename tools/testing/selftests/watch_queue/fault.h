/* SPDX-License-Identifier: GPL-2.0 */
/* Allocations that fail; needs CONFIG_FAULT_INJECTION */
#ifndef WATCH_QUEUE_TEST_FAULT_H
#define WATCH_QUEUE_TEST_FAULT_H

#include "source.h"

/* All allocations can fail, not only those that cannot wait. */
static inline int enable_faults(void)
{
	return write_file("/sys/kernel/debug/failslab/verbose", "0") ||
	       write_file("/sys/kernel/debug/fail_page_alloc/verbose", "0") ||
	       write_file("/sys/kernel/debug/failslab/ignore-gfp-wait", "N") ||
	       write_file("/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait", "N") ||
	       write_file("/sys/kernel/debug/fail_page_alloc/ignore-gfp-highmem", "N") ||
	       write_file("/sys/kernel/debug/fail_page_alloc/min-order", "0");
}

static int fail_fd = -1;

/* Have the nth allocation from now on fail. */
static inline void arm(int nth)
{
	char text[12];

	if (fail_fd == -1)
		fail_fd = open("/proc/thread-self/fail-nth", O_RDWR);
	snprintf(text, sizeof(text), "%d", nth);
	if (pwrite(fail_fd, text, strlen(text), 0) < 0)
		abort();
}

/* Returns whether an allocation was made to fail since arm() */
static inline int disarm(void)
{
	char text[12] = "";

	if (pread(fail_fd, text, sizeof(text) - 1, 0) <= 0 ||
	    pwrite(fail_fd, "0", 1, 0) < 0)
		abort();
	return atoi(text) == 0;
}

/*
 * Do `call` with the first allocation failing, then with the second, and so on
 * until there are no more.  Where it fails, `after` has to hold.  Some
 * allocations are made again in another way when they fail, so a call in which
 * one failed may succeed; then `undo` makes it undone.  At least one failure has
 * to be injected and reported.
 *
 * The allocators allocate now and then what they need themselves, for instance
 * for kmemleak's records.  That shifts those that follow, and one of them may be
 * passed over: so do it several times.
 */
#define SWEEPS 8

#define FAIL_EACH(call, error, after, undo)				\
	do {								\
		int sweep, nth, calls = 0, failures = 0, result, err;	\
									\
		for (sweep = 0, nth = 1; ; calls++, nth++) {		\
			arm(nth);					\
			errno = 0;					\
			result = (call);				\
			err = errno;					\
			if (!disarm()) {				\
				ASSERT_NE(-1, result);			\
				if (++sweep == SWEEPS)			\
					break;				\
				nth = 0;				\
			} else if (result == -1) {			\
				failures++;				\
				EXPECT_EQ(error, err);			\
				EXPECT_TRUE(after);			\
				continue;				\
			}						\
			undo;						\
			ASSERT_GT(1000, nth);				\
		}							\
		EXPECT_LT(0, failures);					\
		TH_LOG("%d calls, of which %d failed", calls, failures); \
	} while (0)

#endif /* WATCH_QUEUE_TEST_FAULT_H */

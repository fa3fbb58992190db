/* SPDX-License-Identifier: GPL-2.0 */
#ifndef WATCH_QUEUE_TIMED_H
#define WATCH_QUEUE_TIMED_H

#include <linux/ktime.h>

/* How many nanoseconds it takes to do something so many times */
#define timed(times, statement)						\
	({								\
		ktime_t start = ktime_get();				\
		u32 left;						\
									\
		for (left = (times); left; left--)			\
			statement;					\
		ktime_to_ns(ktime_sub(ktime_get(), start));		\
	})

#endif /* WATCH_QUEUE_TIMED_H */

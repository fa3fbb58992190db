// SPDX-License-Identifier: GPL-2.0
/*
 * Functions around the macros of per-CPU memory, for Rust
 */

#include <linux/percpu.h>
#include <linux/watch_queue.h>

u64 __percpu *watch_queue_alloc_count(void)
{
	return alloc_percpu_gfp(u64, GFP_KERNEL_ACCOUNT);
}

u64 watch_queue_sum_count(u64 __percpu *count)
{
	u64 sum = 0;
	int cpu;

	/* CPUs that have gone offline have counted, too. */
	for_each_possible_cpu(cpu)
		sum += READ_ONCE(*per_cpu_ptr(count, cpu));
	return sum;
}

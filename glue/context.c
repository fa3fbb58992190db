// SPDX-License-Identifier: GPL-2.0
/*
 * In which contexts a task can be woken
 */

#include <linux/irqflags.h>
#include <linux/preempt.h>
#include <linux/watch_queue.h>

/*
 * Whether a spinlock_t could be taken, had the caller not just taken a
 * raw_spinlock_t in an RCU read-side critical section; @flags are from that.
 *
 * With PREEMPT_RT that is so where preemption and interrupts are on.  Without, a
 * wake-up deadlocks only under the locks of the scheduler, which are held with
 * interrupts off, as by a probe of sched_switch.  But a raw_spinlock_t that is
 * held with interrupts on cannot be told from a spinlock_t, and what lockdep
 * would say of it is right for PREEMPT_RT.  So the same is asked for everywhere,
 * but that a softirq runs with preemption off here.
 */
bool watch_queue_may_wake(unsigned long flags)
{
	int own = PREEMPT_DISABLE_OFFSET;

	if (!IS_ENABLED(CONFIG_PREEMPT_RCU))
		own += PREEMPT_DISABLE_OFFSET;
	return !raw_irqs_disabled_flags(flags) &&
	       (preempt_count() & ~SOFTIRQ_MASK) == own;
}

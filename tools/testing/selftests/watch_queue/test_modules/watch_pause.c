// SPDX-License-Identifier: GPL-2.0
/*
 * Stops an attach of any source after the watch has been added.
 *
 * The trace event of that comes with interrupts off.  An interrupt that it asks
 * for is taken when all locks have been dropped, and its handler stays until
 * somebody writes to the parameter `go`.
 */

#include <linux/delay.h>
#include <linux/irq_work.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/tracepoint.h>

/* For how many seconds an attach is held at most: longer fails the test. */
#define PATIENCE	5

enum state { IDLE, ARMED, PENDING, HELD, LET_GO, EXPIRED };

static atomic_t state;
static struct task_struct *whose;
static struct tracepoint *event;

static void hold(struct irq_work *work)
{
	int left = PATIENCE * USEC_PER_SEC;

	atomic_set(&state, HELD);
	while (atomic_read(&state) == HELD) {
		udelay(1);
		if (!left--)
			atomic_cmpxchg(&state, HELD, EXPIRED);
	}
}

static struct irq_work interrupt = IRQ_WORK_INIT_HARD(hold);

static void on_attach(void *data, u64 queue, const char *source, u64 id, u8 tag)
{
	if (current == whose && atomic_cmpxchg(&state, ARMED, PENDING) == ARMED)
		irq_work_queue(&interrupt);
}

static void find_event(struct tracepoint *tracepoint, void *unused)
{
	if (!strcmp(tracepoint->name, "watch_queue_attach"))
		event = tracepoint;
}

/* The next attach of the caller is held. */
static int arm(const char *value, const struct kernel_param *param)
{
	int ret;

	if (!event) {
		for_each_kernel_tracepoint(find_event, NULL);
		ret = event ? tracepoint_probe_register(event, on_attach, NULL) : -ENOENT;
		if (ret)
			return ret;
	}
	whose = current;
	atomic_set_release(&state, ARMED);
	return 0;
}

static int let_go(const char *value, const struct kernel_param *param)
{
	return atomic_cmpxchg(&state, HELD, LET_GO) == HELD ? 0 : -EINVAL;
}

static int get_state(char *buffer, const struct kernel_param *param)
{
	static const char * const names[] = {
		"idle", "armed", "pending", "held", "let go", "expired",
	};

	return sysfs_emit(buffer, "%s\n", names[atomic_read(&state)]);
}

static const struct kernel_param_ops arm_ops = { .set = arm };
module_param_cb(arm, &arm_ops, NULL, 0200);
MODULE_PARM_DESC(arm, "Hold the next attach of the process that writes this");

static const struct kernel_param_ops go_ops = { .set = let_go };
module_param_cb(go, &go_ops, NULL, 0200);
MODULE_PARM_DESC(go, "Let go the attach that is held");

static const struct kernel_param_ops state_ops = { .get = get_state };
module_param_cb(state, &state_ops, NULL, 0444);
MODULE_PARM_DESC(state, "What has become of it");

static int __init watch_pause_init(void)
{
	return 0;
}

static void __exit watch_pause_exit(void)
{
	if (!event)
		return;
	tracepoint_probe_unregister(event, on_attach, NULL);
	tracepoint_synchronize_unregister();
	irq_work_sync(&interrupt);
}

module_init(watch_pause_init);
module_exit(watch_pause_exit);
MODULE_DESCRIPTION("Holds an attach after the watch has been added");
MODULE_LICENSE("GPL");

// SPDX-License-Identifier: GPL-2.0
/*
 * Stops an attach of any source after the watch has been added.
 *
 * The trace event of that comes with interrupts off.  An interrupt that it asks
 * for is taken when all locks have been dropped, and its handler stays until
 * somebody writes to the parameter `go`.
 *
 * And has some of what is traced take longer, by as much as the parameter `delay` says
 * at most, so that others get in between.
 */

#include <linux/delay.h>
#include <linux/hash.h>
#include <linux/irq_work.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/timekeeping.h>
#include <linux/tracepoint.h>
#include <linux/watch_queue.h>

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

/* In microseconds */
static unsigned int delay;

/* Now and then, as there may be thousands of messages in a post */
static void take_longer(void)
{
	unsigned int most = READ_ONCE(delay), now;

	if (!most)
		return;
	/* Random numbers have a lock that may not be taken here. */
	now = hash_32(ktime_get_mono_fast_ns(), 32);
	if (now % 16 == 0)
		udelay((now >> 4) % most);
}

static void delay_message(void *data, u64 queue, const struct watch_notification *n)
{
	take_longer();
}

static void delay_loss(void *data, u64 queue, const struct watch_notification *n,
		       const char *reason)
{
	take_longer();
}

static void delay_watch(void *data, u64 queue, const char *source, u64 id, u8 tag)
{
	take_longer();
}

static void delay_read(void *data, u64 queue, size_t bytes, u32 messages, u64 lost)
{
	take_longer();
}

static struct {
	const char *name;
	void *probe;
	struct tracepoint *event;
} delayed[] = {
	{ "watch_queue_deliver", delay_message },
	{ "watch_queue_filter", delay_message },
	{ "watch_queue_lose", delay_loss },
	{ "watch_queue_attach", delay_watch },
	{ "watch_queue_detach", delay_watch },
	{ "watch_queue_read", delay_read },
};

static void delay_event(struct tracepoint *tracepoint, void *unused)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(delayed); i++) {
		if (!strcmp(tracepoint->name, delayed[i].name) &&
		    !tracepoint_probe_register(tracepoint, delayed[i].probe, NULL))
			delayed[i].event = tracepoint;
	}
}

static void delay_nothing(void)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(delayed); i++) {
		if (delayed[i].event)
			tracepoint_probe_unregister(delayed[i].event, delayed[i].probe, NULL);
		delayed[i].event = NULL;
	}
}

static int set_delay(const char *value, const struct kernel_param *param)
{
	int ret = param_set_uint_minmax(value, param, 0, 1000);

	if (!ret && delay && !delayed[0].event)
		for_each_kernel_tracepoint(delay_event, NULL);
	else if (!ret && !delay)
		delay_nothing();
	return ret;
}

static const struct kernel_param_ops delay_ops = { .set = set_delay, .get = param_get_uint };
module_param_cb(delay, &delay_ops, &delay, 0644);
MODULE_PARM_DESC(delay, "By how many microseconds some of what is traced takes longer at most");

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
	delay_nothing();
	if (event)
		tracepoint_probe_unregister(event, on_attach, NULL);
	tracepoint_synchronize_unregister();
	irq_work_sync(&interrupt);
}

module_init(watch_pause_init);
module_exit(watch_pause_exit);
MODULE_DESCRIPTION("Holds an attach after the watch has been added, and delays what is traced");
MODULE_LICENSE("GPL");

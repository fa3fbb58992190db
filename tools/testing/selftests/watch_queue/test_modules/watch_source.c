// SPDX-License-Identifier: GPL-2.0
/* A source of notifications for the tests; uses only the public C interface. */

#include <linux/completion.h>
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/hrtimer.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/timer.h>
#include <linux/tracepoint.h>
#include <linux/uaccess.h>
#include <linux/watch_queue.h>

#include "../watch_source.h"
#include "timed.h"

/* An open file: an object that can be watched */
struct source {
	struct mutex		lock;	/* changes of the watch list */
	struct watch_list	*wlist;
};

#ifdef OWN_INIT_WATCH
static void own_init_watch(struct watch *watch, struct watch_queue *wqueue)
{
	kref_init(&watch->usage);
	INIT_HLIST_NODE(&watch->list_node);
	INIT_HLIST_NODE(&watch->queue_node);
	rcu_assign_pointer(watch->queue, wqueue);
}

#define init_watch own_init_watch
#endif

/* One request to post, on the way through whatever context it is for */
struct posting {
	struct source		*source;
	const struct cred	*cred;
	struct watch_source_post *args;
	struct hrtimer		timer;
	struct timer_list	softirq;
	struct rcu_head		rcu;
	bool			is_posted;
	struct completion	done;
	union {
		struct watch_notification watch;
		u32		words[32];
		u8		bytes[128];
	} n;
};

static void number_message(struct posting *posting, u32 number)
{
	const struct watch_source_post *args = posting->args;
	unsigned int i;

	posting->n.words[2] = args->poster;
	posting->n.words[3] = number;
	for (i = 16; i < args->length; i++)
		posting->n.bytes[i] = args->poster + number + i;
}

static void post_all(struct posting *posting)
{
	struct watch_source_post *args = posting->args;
	struct watch_list *wlist = posting->source->wlist;
	struct watch_notification *n = &posting->n.watch;
	const struct cred *cred = posting->cred;
	u32 number = args->number;
	u64 id = args->id;

	n->info = (args->info & ~WATCH_INFO_LENGTH) | args->length;
	if (args->numbered)
		args->elapsed = timed(args->count, ({
			number_message(posting, number++);
			post_watch_notification(wlist, n, cred, id);
		}));
	else
		/* A post changes nothing in a message but the watch's tag. */
		args->elapsed = timed(args->count, ({
			post_watch_notification(wlist, n, cred, id);
		}));
}

static enum hrtimer_restart post_from_timer(struct hrtimer *timer)
{
	struct posting *posting = container_of(timer, struct posting, timer);

	post_all(posting);
	complete(&posting->done);
	return HRTIMER_NORESTART;
}

static void post_from_softirq(struct timer_list *timer)
{
	struct posting *posting = container_of(timer, struct posting, softirq);

	post_all(posting);
	complete(&posting->done);
}

static void post_from_rcu(struct rcu_head *rcu)
{
	struct posting *posting = container_of(rcu, struct posting, rcu);

	post_all(posting);
	complete(&posting->done);
}

static void post_from_hrtimer(struct posting *posting, enum hrtimer_mode mode)
{
	hrtimer_setup(&posting->timer, post_from_timer, CLOCK_MONOTONIC, mode);
	hrtimer_start(&posting->timer, us_to_ktime(50), mode);
	wait_for_completion(&posting->done);
	hrtimer_cancel(&posting->timer);
}

#ifdef CONFIG_TRACEPOINTS
/*
 * The probe stays registered from its first use on.  To register and unregister
 * it for each post would patch the code of the scheduler a thousand times in a
 * test.  In QEMU a CPU was then seen to trap at an int3 that had been replaced.
 */
static DEFINE_MUTEX(switch_mutex);		/* of all that follows */
static struct tracepoint *sched_switch;		/* if the probe is registered */
static struct posting *posting_at_switch;
static struct task_struct *poster_at_switch;

/* The lock of the run queue is held, so nobody can be woken here. */
static void post_from_switch(void *data, bool preempt, struct task_struct *prev,
			     struct task_struct *next, unsigned int state)
{
	/* So the posting is there: its own task switches, and waits for it. */
	if (prev != READ_ONCE(poster_at_switch) || posting_at_switch->is_posted)
		return;
	post_all(posting_at_switch);
	WRITE_ONCE(posting_at_switch->is_posted, true);
}

static void find_switch(struct tracepoint *tracepoint, void *found)
{
	if (!strcmp(tracepoint->name, "sched_switch"))
		*(struct tracepoint **)found = tracepoint;
}

static int register_at_switch(void)
{
	struct tracepoint *tracepoint = NULL;
	int ret;

	if (sched_switch)
		return 0;
	for_each_kernel_tracepoint(find_switch, &tracepoint);
	if (!tracepoint)
		return -EOPNOTSUPP;
	ret = tracepoint_probe_register(tracepoint, post_from_switch, NULL);
	if (!ret)
		sched_switch = tracepoint;
	return ret;
}

static void unregister_at_switch(void)
{
	if (!sched_switch)
		return;
	tracepoint_probe_unregister(sched_switch, post_from_switch, NULL);
	tracepoint_synchronize_unregister();
}

static int post_at_switch(struct posting *posting)
{
	int ret;

	mutex_lock(&switch_mutex);
	ret = register_at_switch();
	if (!ret) {
		posting_at_switch = posting;
		WRITE_ONCE(poster_at_switch, current);
		while (!READ_ONCE(posting->is_posted))
			schedule_timeout_uninterruptible(1);
		WRITE_ONCE(poster_at_switch, NULL);
	}
	mutex_unlock(&switch_mutex);
	return ret;
}
#else
static void unregister_at_switch(void)
{
}

static int post_at_switch(struct posting *posting)
{
	return -EOPNOTSUPP;
}
#endif

static DEFINE_RAW_SPINLOCK(raw_lock);

static int post_in_context(struct posting *posting)
{
	unsigned long flags;
	int ret = 0;

	init_completion(&posting->done);
	switch (posting->args->context) {
	case WATCH_SOURCE_PROCESS:
		post_all(posting);
		if (irqs_disabled()) {
			local_irq_enable();
			ret = -EILSEQ;
		}
		break;
	case WATCH_SOURCE_SOFTIRQS_OFF:
		local_bh_disable();
		post_all(posting);
		local_bh_enable();
		break;
	case WATCH_SOURCE_INTERRUPTS_OFF:
		local_irq_save(flags);
		post_all(posting);
		if (!irqs_disabled())
			ret = -EILSEQ;
		local_irq_restore(flags);
		break;
	case WATCH_SOURCE_TIMER:
		post_from_hrtimer(posting, HRTIMER_MODE_REL);
		break;
	case WATCH_SOURCE_HARD_TIMER:
		post_from_hrtimer(posting, HRTIMER_MODE_REL_HARD);
		break;
	case WATCH_SOURCE_SOFTIRQ:
		timer_setup(&posting->softirq, post_from_softirq, 0);
		mod_timer(&posting->softirq, jiffies + 1);
		wait_for_completion(&posting->done);
		timer_delete_sync(&posting->softirq);
		break;
	case WATCH_SOURCE_RCU:
		call_rcu(&posting->rcu, post_from_rcu);
		wait_for_completion(&posting->done);
		/* The callback is code of this module. */
		rcu_barrier();
		break;
	case WATCH_SOURCE_PREEMPTION_OFF:
		preempt_disable();
		post_all(posting);
		preempt_enable();
		break;
	case WATCH_SOURCE_RAW_LOCK:
		raw_spin_lock(&raw_lock);
		post_all(posting);
		raw_spin_unlock(&raw_lock);
		break;
	case WATCH_SOURCE_SWITCH:
		ret = post_at_switch(posting);
		break;
	}
	return ret;
}

static long source_post(struct source *source, void __user *arg)
{
	struct watch_source_post *args;
	struct posting *posting;
	long ret;

	args = memdup_user(arg, sizeof(*args));
	if (IS_ERR(args))
		return PTR_ERR(args);
	ret = -EINVAL;
	if (args->length < 8 || args->length > WATCH_INFO_LENGTH ||
	    args->type >> 24 || args->subtype > 255 || args->reserved ||
	    args->context >= WATCH_SOURCE_NR_CONTEXTS ||
	    (args->numbered && args->length < 16))
		goto out_args;

	ret = -ENOMEM;
	posting = kzalloc_obj(*posting);
	if (!posting)
		goto out_args;
	posting->source = source;
	posting->cred = current_cred();
	posting->args = args;
	memcpy(posting->n.bytes, args->message, sizeof(posting->n.bytes));
	posting->n.watch.type = args->type;
	posting->n.watch.subtype = args->subtype;

	ret = post_in_context(posting);
	if (copy_to_user(arg, args, sizeof(*args)) && !ret)
		ret = -EFAULT;
	kfree(posting);
out_args:
	kfree(args);
	return ret;
}

static long source_attach(struct source *source,
			  const struct watch_source_watch *args)
{
	struct watch_queue *wqueue;
	struct watch *watch;
	long ret;

	if (args->tag > 255)
		return -EINVAL;
	wqueue = get_watch_queue(args->fd);
	if (IS_ERR(wqueue))
		return PTR_ERR(wqueue);

	ret = -ENOMEM;
	watch = kzalloc_obj(*watch);
	if (watch) {
		init_watch(watch, wqueue);
		watch->id = args->id;
		watch->info_id = args->tag << WATCH_INFO_ID__SHIFT;
		mutex_lock(&source->lock);
		ret = add_watch_to_object(watch, source->wlist);
		mutex_unlock(&source->lock);
		if (ret)
			kfree(watch);
	}
	put_watch_queue(wqueue);
	return ret;
}

static long source_detach(struct source *source,
			  const struct watch_source_watch *args)
{
	struct watch_queue *wqueue = get_watch_queue(args->fd);
	long ret;

	if (IS_ERR(wqueue))
		return PTR_ERR(wqueue);
	mutex_lock(&source->lock);
	ret = remove_watch_from_object(source->wlist, wqueue, args->id, false);
	mutex_unlock(&source->lock);
	put_watch_queue(wqueue);
	return ret;
}

/* A walk of the list under RCU may go on to use a watch that it found. */
static long source_detach_seen(struct source *source,
			       const struct watch_source_watch *args)
{
	struct watch_queue *wqueue = get_watch_queue(args->fd);
	struct watch *seen;
	long ret;

	if (IS_ERR(wqueue))
		return PTR_ERR(wqueue);
	rcu_read_lock();
	seen = hlist_entry_safe(rcu_dereference(hlist_first_rcu(&source->wlist->watchers)),
				struct watch, list_node);
	ret = remove_watch_from_object(source->wlist, wqueue, args->id, false);
	if (!ret && (!seen || seen->id != args->id))
		ret = -EILSEQ;
	rcu_read_unlock();
	put_watch_queue(wqueue);
	return ret;
}

static long source_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct source *source = file->private_data;
	void __user *user = (void __user *)arg;
	struct watch_source_watch watch;
	u64 id;
	long ret;

	switch (cmd) {
	case WATCH_SOURCE_ATTACH:
	case WATCH_SOURCE_DETACH:
	case WATCH_SOURCE_DETACH_SEEN:
		if (copy_from_user(&watch, user, sizeof(watch)))
			return -EFAULT;
		if (cmd == WATCH_SOURCE_DETACH_SEEN)
			return source_detach_seen(source, &watch);
		return cmd == WATCH_SOURCE_ATTACH ?
			source_attach(source, &watch) :
			source_detach(source, &watch);
	case WATCH_SOURCE_DETACH_ALL:
		if (copy_from_user(&id, user, sizeof(id)))
			return -EFAULT;
		mutex_lock(&source->lock);
		ret = remove_watch_from_object(source->wlist, NULL, id, true);
		mutex_unlock(&source->lock);
		return ret;
	case WATCH_SOURCE_POST:
		return source_post(source, user);
	default:
		return -ENOTTY;
	}
}

static int source_open(struct inode *inode, struct file *file)
{
	struct source *source = kzalloc_obj(*source);

	if (!source)
		return -ENOMEM;
	source->wlist = kzalloc_obj(*source->wlist);
	if (!source->wlist) {
		kfree(source);
		return -ENOMEM;
	}
	mutex_init(&source->lock);
	init_watch_list(source->wlist, NULL);
	file->private_data = source;
	return 0;
}

static int source_release(struct inode *inode, struct file *file)
{
	struct source *source = file->private_data;

	/* The short form of the removal notification */
	remove_watch_list(source->wlist, 0);
	kfree(source);
	return 0;
}

static const struct file_operations source_fops = {
	.owner		= THIS_MODULE,
	.open		= source_open,
	.release	= source_release,
	.unlocked_ioctl	= source_ioctl,
	.compat_ioctl	= compat_ptr_ioctl,
};

static struct miscdevice source_device = {
	.minor		= MISC_DYNAMIC_MINOR,
	.name		= "watch_source",
	.fops		= &source_fops,
};

static int __init source_init(void)
{
	return misc_register(&source_device);
}

static void __exit source_exit(void)
{
	misc_deregister(&source_device);
	unregister_at_switch();
}

module_init(source_init);
module_exit(source_exit);
MODULE_DESCRIPTION("Source of notifications for tests");
MODULE_LICENSE("GPL");

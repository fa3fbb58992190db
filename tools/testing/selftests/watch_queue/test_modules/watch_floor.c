// SPDX-License-Identifier: GPL-2.0
/*
 * The least that posting and reading can cost, and the kernel's own queue of
 * records.
 */

#include <linux/fs.h>
#include <linux/kfifo.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uaccess.h>
#include <linux/wait.h>
#include <linux/watch_queue.h>

#include "../watch_floor.h"
#include "timed.h"

union message {
	struct watch_notification header;
	u8 bytes[128];
};

#define ROOM	(WATCH_FLOOR_MESSAGES * sizeof(union message))

static DEFINE_SPINLOCK(lock);
static DECLARE_WAIT_QUEUE_HEAD(wait);
static u8 *ring;
static size_t head;
static struct kfifo_rec_ptr_1 fifo;

/* The buffer of read(), and its fill level in bytes */
static u8 *stored;
static size_t filled;

/* Called like a post, so that the loop around it is the same */
static noinline void floor_nothing(struct watch_list *wlist,
				   struct watch_notification *n,
				   const struct cred *cred, u64 id)
{
	barrier();
}

static noinline void floor_lock(void)
{
	unsigned long flags;

	spin_lock_irqsave(&lock, flags);
	spin_unlock_irqrestore(&lock, flags);
}

/* Without watches, filters, credentials and readers */
static noinline void floor_post(union message *n)
{
	size_t length = n->header.info & WATCH_INFO_LENGTH;
	unsigned long flags;

	spin_lock_irqsave(&lock, flags);
	memcpy(ring + head, n, length);
	head += length;
	if (head > ROOM - sizeof(*n))
		head = 0;
	/* Under the lock that whoever waits would take */
	if (waitqueue_active(&wait))
		wake_up_locked(&wait);
	spin_unlock_irqrestore(&lock, flags);
}

static noinline void floor_kfifo_in(union message *n)
{
	kfifo_in_spinlocked(&fifo, n->bytes, n->header.info & WATCH_INFO_LENGTH,
			    &lock);
}

static noinline void floor_kfifo_out(union message *n)
{
	if (!kfifo_out_spinlocked(&fifo, n->bytes, sizeof(*n), &lock))
		pr_warn_once("watch_floor: the kfifo is empty\n");
}

static long floor_run(struct watch_floor_run *run)
{
	union message n = {}, out;

	if (run->length < 8 || run->length > WATCH_INFO_LENGTH || run->reserved)
		return -EINVAL;
	n.header.info = run->length;
	switch (run->operation) {
	case WATCH_FLOOR_LOOP:
		run->elapsed = timed(run->count, floor_nothing(NULL, &n.header,
							       current_cred(), 0));
		return 0;
	case WATCH_FLOOR_LOCK:
		run->elapsed = timed(run->count, floor_lock());
		return 0;
	case WATCH_FLOOR_POST:
		run->elapsed = timed(run->count, floor_post(&n));
		return 0;
	case WATCH_FLOOR_KFIFO_IN:
		run->elapsed = timed(run->count, floor_kfifo_in(&n));
		return 0;
	case WATCH_FLOOR_KFIFO_OUT:
		run->elapsed = timed(run->count, floor_kfifo_out(&out));
		return 0;
	default:
		return -EINVAL;
	}
}

static long floor_fill(unsigned long length)
{
	union message n = {};
	int i;

	if (length < 8 || length > WATCH_INFO_LENGTH)
		return -EINVAL;
	n.header.info = length;
	for (i = 0; i < WATCH_FLOOR_MESSAGES; i++)
		memcpy(stored + i * length, &n, length);
	filled = WATCH_FLOOR_MESSAGES * length;
	return 0;
}

static long floor_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	void __user *user = (void __user *)arg;
	struct watch_floor_run run;
	long ret;

	switch (cmd) {
	case WATCH_FLOOR_RUN:
		if (copy_from_user(&run, user, sizeof(run)))
			return -EFAULT;
		ret = floor_run(&run);
		if (!ret && copy_to_user(user, &run, sizeof(run)))
			ret = -EFAULT;
		return ret;
	case WATCH_FLOOR_FILL:
		return floor_fill(arg);
	default:
		return -ENOTTY;
	}
}

/* A walk over the headers and one copy */
static ssize_t floor_read(struct file *file, char __user *to, size_t room,
			  loff_t *pos)
{
	size_t whole = 0;

	while (whole < filled) {
		const struct watch_notification *n = (void *)(stored + whole);
		size_t length = n->info & WATCH_INFO_LENGTH;

		if (whole + length > room)
			break;
		whole += length;
	}
	return copy_to_user(to, stored, whole) ? -EFAULT : whole;
}

static const struct file_operations floor_fops = {
	.owner		= THIS_MODULE,
	.unlocked_ioctl	= floor_ioctl,
	.read		= floor_read,
};

static struct miscdevice floor_device = {
	.minor		= MISC_DYNAMIC_MINOR,
	.name		= "watch_floor",
	.fops		= &floor_fops,
};

static int __init floor_init(void)
{
	int ret = -ENOMEM;

	ring = kzalloc(ROOM, GFP_KERNEL);
	stored = kzalloc(ROOM, GFP_KERNEL);
	if (!ring || !stored)
		goto out;
	/* A byte for the length of each */
	ret = kfifo_alloc(&fifo, 2 * ROOM, GFP_KERNEL);
	if (ret)
		goto out;
	ret = misc_register(&floor_device);
	if (!ret)
		return 0;
	kfifo_free(&fifo);
out:
	kfree(ring);
	kfree(stored);
	return ret;
}

static void __exit floor_exit(void)
{
	misc_deregister(&floor_device);
	kfifo_free(&fifo);
	kfree(ring);
	kfree(stored);
}

module_init(floor_init);
module_exit(floor_exit);
MODULE_DESCRIPTION("The least that a notification queue can cost");
MODULE_LICENSE("GPL");

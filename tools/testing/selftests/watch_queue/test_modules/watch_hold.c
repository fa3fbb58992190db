// SPDX-License-Identifier: GPL-2.0
/*
 * A source that can stop operations on it in the middle.
 *
 * The notification queue has no hooks for that, and neither probes nor trace
 * events are needed.  The source uses what any source has: the lock of the
 * list, release_watch(), and the wait queue behind poll().
 *
 * An operation waits for the list's lock with interrupts off.  An interrupt that
 * is sent to its CPU meanwhile is taken when the operation has changed the list
 * and has dropped all locks.  The handler stays until the operation is let go.
 */

#include <linux/cred.h>
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kref.h>
#include <linux/ktime.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/poll.h>
#include <linux/sched/user.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/uaccess.h>
#include <linux/watch_queue.h>

#include "../watch_hold.h"

/* For how many seconds anything waits at most: too long fails the test. */
#define PATIENCE	5

/* An object that can be watched; freed after the last operation on it */
struct object {
	struct kref		ref;
	struct rcu_head		rcu;
	bool			dead;
	struct watch_list	list;
};

struct hold_file {
	struct mutex		lock;	/* of all members */
	struct object __rcu	*object;
	struct object		*dead;	/* Kept until its watches are released */
	struct watch_queue	*pinned;
	struct file		*gate;
	wait_queue_head_t	*gate_head;
	wait_queue_entry_t	gate_entry;
};

enum state {
	IDLE,
	ARMED,
	AT_GATE,	/* Waits for an interrupt, with the gate locked */
	INTERRUPTED,	/* The interrupt is on its way */
	HELD,
	LET_GO,
	EXPIRED,
};

/* One operation at a time is held. */
static atomic_t state;
static atomic_t point;
static atomic_t ready;
static atomic_t started;
static int cpu_of_held;

static atomic64_t attached, released, twice, held, expired;

/* Wait until `condition`; whether it has become true. */
#define sleep_until(condition)						\
	({								\
		ktime_t end = ktime_add_ns(ktime_get(), PATIENCE * NSEC_PER_SEC); \
		bool is_true;						\
									\
		while (!(is_true = (condition)) && ktime_before(ktime_get(), end)) \
			usleep_range(50, 100);				\
		is_true;						\
	})

/* Uses no clock: that may stand still as long as interrupts are off. */
#define spin_until(condition)						\
	({								\
		int left = PATIENCE * USEC_PER_SEC;			\
		bool is_true;						\
									\
		while (!(is_true = (condition)) && left--)		\
			udelay(1);					\
		is_true;						\
	})

static bool is_let_go(void)
{
	return atomic_read(&state) != HELD;
}

static void has_been_held(void)
{
	if (atomic_cmpxchg(&state, HELD, EXPIRED) == HELD)
		atomic64_inc(&expired);
	else
		atomic64_inc(&held);
}

static bool is_armed_for(enum watch_hold_point wanted)
{
	return atomic_read(&point) == wanted && atomic_read(&state) == ARMED;
}

/* In contexts that may sleep */
static void hold_sleeping(enum watch_hold_point here)
{
	if (!is_armed_for(here) || atomic_cmpxchg(&state, ARMED, HELD) != ARMED)
		return;
	sleep_until(is_let_go());
	has_been_held();
}

static void hold_interrupted(void *unused)
{
	/* The sender changes the state after it has sent this. */
	spin_until(atomic_read(&state) == INTERRUPTED);
	if (atomic_cmpxchg(&state, INTERRUPTED, HELD) != INTERRUPTED)
		return;
	spin_until(is_let_go());
	has_been_held();
}

static call_single_data_t interrupt = CSD_INIT(hold_interrupted, NULL);

/* The state comes second: with it, the post leaves the gate. */
static void send_interrupt(void)
{
	if (!smp_call_function_single_async(cpu_of_held, &interrupt))
		atomic_set(&state, INTERRUPTED);
}

static int arrive_at_gate(wait_queue_entry_t *entry, unsigned int mode, int flags,
			  void *key)
{
	if (is_armed_for(WATCH_HOLD_WALKING) &&
	    atomic_cmpxchg(&state, ARMED, AT_GATE) == ARMED)
		spin_until(atomic_read(&state) != AT_GATE);
	return 0;
}

static void release_watch(struct watch *watch)
{
	atomic64_inc(&released);
	/* Set as long as the watch is attached */
	if (!xchg(&watch->private, NULL))
		atomic64_inc(&twice);
	hold_sleeping(WATCH_HOLD_RELEASING);
}

static void free_object(struct kref *ref)
{
	struct object *object = container_of(ref, struct object, ref);

	kfree_rcu(object, rcu);
}

static struct object *get_object(struct hold_file *file)
{
	struct object *object;

	mutex_lock(&file->lock);
	object = rcu_dereference_protected(file->object, lockdep_is_held(&file->lock));
	if (object)
		kref_get(&object->ref);
	mutex_unlock(&file->lock);
	return object;
}

static void put_object(struct object *object)
{
	kref_put(&object->ref, free_object);
}

static struct watch_queue *get_queue(struct hold_file *file, int fd)
{
	struct watch_queue *wqueue;

	if (fd != -1)
		return get_watch_queue(fd);
	mutex_lock(&file->lock);
	wqueue = file->pinned ?: ERR_PTR(-EINVAL);
	mutex_unlock(&file->lock);
	return wqueue;
}

static void put_queue(struct watch_queue *wqueue, int fd)
{
	if (fd != -1)
		put_watch_queue(wqueue);
}

static int add(struct object *object, struct watch_queue *wqueue,
	       const struct watch_hold_watch *args)
{
	struct watch *watch = kzalloc_obj(*watch);
	int ret;

	if (!watch)
		return -ENOMEM;
	init_watch(watch, wqueue);
	watch->id = args->id;
	watch->info_id = args->tag << WATCH_INFO_ID__SHIFT;
	watch->private = object;
	ret = add_watch_to_object(watch, &object->list);
	if (ret) {
		kfree(watch);
		return ret;
	}
	atomic64_inc(&attached);
	/* Pairs with that of hold_kill(): the one or the other removes it. */
	smp_mb();
	if (READ_ONCE(object->dead))
		remove_watch_from_object(&object->list, wqueue, args->id, false);
	return 0;
}

static int hold_attach(struct hold_file *file, struct object *object,
		       const struct watch_hold_watch *args)
{
	struct watch_queue *wqueue = get_queue(file, args->fd);
	int ret = -ENODEV;

	if (IS_ERR(wqueue))
		return PTR_ERR(wqueue);
	hold_sleeping(WATCH_HOLD_GOT);
	if (!READ_ONCE(object->dead))
		ret = add(object, wqueue, args);
	put_queue(wqueue, args->fd);
	return ret;
}

static int hold_detach(struct hold_file *file, struct object *object,
		       const struct watch_hold_watch *args)
{
	struct watch_queue *wqueue = get_queue(file, args->fd);
	int ret;

	if (IS_ERR(wqueue))
		return PTR_ERR(wqueue);
	ret = remove_watch_from_object(&object->list, wqueue, args->id, false);
	put_queue(wqueue, args->fd);
	return ret;
}

static int hold_kill(struct hold_file *file, struct object *object, u64 id)
{
	int ret;

	WRITE_ONCE(object->dead, true);
	/* Pairs with that of add(). */
	smp_mb();
	ret = remove_watch_from_object(&object->list, NULL, id, true);
	mutex_lock(&file->lock);
	if (rcu_access_pointer(file->object))
		file->dead = object;
	RCU_INIT_POINTER(file->object, NULL);
	mutex_unlock(&file->lock);
	return ret;
}

static int hold_post(struct hold_file *file, u64 id)
{
	struct watch_notification n = {
		.type = 5,
		.info = watch_sizeof(n),
	};
	struct object *object;
	int ret = -ENODEV;

	rcu_read_lock();
	object = rcu_dereference(file->object);
	if (object) {
		post_watch_notification(&object->list, &n, current_cred(), id);
		ret = 0;
	}
	rcu_read_unlock();
	return ret;
}

static int hold_pin(struct hold_file *file, int fd)
{
	struct watch_queue *wqueue = get_watch_queue(fd);

	if (IS_ERR(wqueue))
		return PTR_ERR(wqueue);
	mutex_lock(&file->lock);
	swap(wqueue, file->pinned);
	mutex_unlock(&file->lock);
	if (wqueue)
		put_watch_queue(wqueue);
	return 0;
}

struct gate_table {
	struct poll_table_struct table;
	struct hold_file	*file;
};

static void join_gate(struct file *unused, wait_queue_head_t *head,
		      struct poll_table_struct *table)
{
	struct hold_file *file = container_of(table, struct gate_table, table)->file;

	file->gate_head = head;
	add_wait_queue(head, &file->gate_entry);
}

static int hold_gate(struct hold_file *file, int fd)
{
	struct gate_table table = { .file = file };
	int ret = -EBUSY;

	mutex_lock(&file->lock);
	if (file->gate)
		goto out;
	ret = -EBADF;
	file->gate = fget(fd);
	if (!file->gate)
		goto out;
	init_waitqueue_func_entry(&file->gate_entry, arrive_at_gate);
	init_poll_funcptr(&table.table, join_gate);
	vfs_poll(file->gate, &table.table);
	ret = file->gate_head ? 0 : -EINVAL;
out:
	mutex_unlock(&file->lock);
	return ret;
}

/* Not all architectures can tell whether somebody waits for a spinlock. */
#ifdef arch_spin_is_contended
static const bool locks_tell = true;
#else
static const bool locks_tell;
#endif

static int hold_arm(u32 where)
{
	if (where >= WATCH_HOLD_NR_POINTS)
		return -EINVAL;
	if ((where == WATCH_HOLD_CHANGED || where == WATCH_HOLD_WALKING) &&
	    num_online_cpus() < 2)
		return -EOPNOTSUPP;
	if (where == WATCH_HOLD_CHANGED && !locks_tell)
		return -EOPNOTSUPP;
	atomic_set(&ready, 0);
	atomic_set(&started, 0);
	atomic_set(&point, where);
	atomic_set(&state, ARMED);
	return 0;
}

static int hold_ready(void)
{
	cpu_of_held = raw_smp_processor_id();
	atomic_set_release(&ready, 1);
	/* No timer runs while the starter has interrupts off. */
	if (atomic_read(&point) == WATCH_HOLD_CHANGED)
		return spin_until(atomic_read_acquire(&started)) ? 0 : -ETIMEDOUT;
	return sleep_until(atomic_read_acquire(&started)) ? 0 : -ETIMEDOUT;
}

static void interrupt_at_lock(struct watch_list *list)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&list->lock, flags);
	atomic_set_release(&started, 1);
	if (spin_until(raw_spin_is_contended(&list->lock)))
		send_interrupt();
	raw_spin_unlock_irqrestore(&list->lock, flags);
}

static int hold_start(struct object *object)
{
	if (!sleep_until(atomic_read_acquire(&ready)))
		return -ETIMEDOUT;
	switch (atomic_read(&point)) {
	case WATCH_HOLD_CHANGED:
		if (cpu_of_held == raw_smp_processor_id())
			return -EINVAL;
		interrupt_at_lock(&object->list);
		break;
	case WATCH_HOLD_WALKING:
		atomic_set_release(&started, 1);
		if (spin_until(atomic_read(&state) == AT_GATE))
			send_interrupt();
		break;
	default:
		atomic_set_release(&started, 1);
	}
	return sleep_until(atomic_read(&state) == HELD) ? 0 : -ETIMEDOUT;
}

static void hold_end(void)
{
	/* An operation that was not held in time is not held later. */
	if (atomic_cmpxchg(&state, HELD, LET_GO) != HELD)
		atomic_set(&state, IDLE);
}

/* The allocator gives out first what was freed last. */
static int reuse_memory(void)
{
	struct watch *watches[64];
	int i;

	for (i = 0; i < ARRAY_SIZE(watches); i++)
		watches[i] = kzalloc_obj(*watches[i]);
	for (i = 0; i < ARRAY_SIZE(watches); i++)
		kfree(watches[i]);
	return 0;
}

static int nr_listed(struct watch_list *list)
{
	struct watch *watch;
	int n = 0;

	guard(raw_spinlock_irqsave)(&list->lock);
	hlist_for_each_entry(watch, &list->watchers, list_node)
		n++;
	return n;
}

static int hold_counts(struct watch_hold_counts __user *user)
{
	struct watch_hold_counts counts;

	rcu_barrier();
	counts = (struct watch_hold_counts) {
		.attached = atomic64_read(&attached),
		.released = atomic64_read(&released),
		.twice = atomic64_read(&twice),
		.held = atomic64_read(&held),
		.expired = atomic64_read(&expired),
		.user_watches = atomic_read(&current_user()->nr_watches),
	};
	return copy_to_user(user, &counts, sizeof(counts)) ? -EFAULT : 0;
}

static int hold_object_ioctl(struct hold_file *file, struct object *object,
			     unsigned int cmd, void __user *user)
{
	struct watch_hold_watch watch = {};
	u64 id = 0;

	switch (cmd) {
	case WATCH_HOLD_ATTACH:
	case WATCH_HOLD_DETACH:
		if (copy_from_user(&watch, user, sizeof(watch)))
			return -EFAULT;
		if (watch.tag > 255)
			return -EINVAL;
		return cmd == WATCH_HOLD_ATTACH ?
			hold_attach(file, object, &watch) :
			hold_detach(file, object, &watch);
	case WATCH_HOLD_REMOVE:
	case WATCH_HOLD_KILL:
		if (copy_from_user(&id, user, sizeof(id)))
			return -EFAULT;
		return cmd == WATCH_HOLD_KILL ?
			hold_kill(file, object, id) :
			remove_watch_from_object(&object->list, NULL, id, false);
	case WATCH_HOLD_UNNAME:
		object->list.source = NULL;
		return 0;
	case WATCH_HOLD_START:
		return hold_start(object);
	case WATCH_HOLD_LISTED:
		return nr_listed(&object->list);
	case WATCH_HOLD_WAIT:
		wait_for_released_watches(&object->list);
		return 0;
	default:
		return -ENOTTY;
	}
}

static long hold_ioctl(struct file *filp, unsigned int cmd, unsigned long arg)
{
	struct hold_file *file = filp->private_data;
	void __user *user = (void __user *)arg;
	struct object *object;
	u32 where;
	int fd;
	u64 id;
	long ret;

	switch (cmd) {
	case WATCH_HOLD_POST:
		return copy_from_user(&id, user, sizeof(id)) ? -EFAULT :
			hold_post(file, id);
	case WATCH_HOLD_PIN:
	case WATCH_HOLD_GATE:
		if (copy_from_user(&fd, user, sizeof(fd)))
			return -EFAULT;
		return cmd == WATCH_HOLD_PIN ? hold_pin(file, fd) : hold_gate(file, fd);
	case WATCH_HOLD_ARM:
		return copy_from_user(&where, user, sizeof(where)) ? -EFAULT :
			hold_arm(where);
	case WATCH_HOLD_READY:
		return hold_ready();
	case WATCH_HOLD_IS_HELD:
		return atomic_read(&state) == HELD;
	case WATCH_HOLD_END:
		hold_end();
		return 0;
	case WATCH_HOLD_REUSE:
		return reuse_memory();
	case WATCH_HOLD_COUNTS:
		return hold_counts(user);
	}
	object = get_object(file);
	if (!object)
		return -ENODEV;
	ret = hold_object_ioctl(file, object, cmd, user);
	put_object(object);
	return ret;
}

static int hold_open(struct inode *inode, struct file *filp)
{
	struct hold_file *file = kzalloc_obj(*file);
	struct object *object = kzalloc_obj(*object);

	if (!file || !object) {
		kfree(file);
		kfree(object);
		return -ENOMEM;
	}
	mutex_init(&file->lock);
	kref_init(&object->ref);
	init_watch_list(&object->list, release_watch);
	RCU_INIT_POINTER(file->object, object);
	filp->private_data = file;
	return 0;
}

static int hold_release(struct inode *inode, struct file *filp)
{
	struct hold_file *file = filp->private_data;
	struct object *object = get_object(file);

	if (object) {
		hold_kill(file, object, 0);
		put_object(object);
	}
	wait_for_released_watches(&file->dead->list);
	put_object(file->dead);
	if (file->gate_head)
		remove_wait_queue(file->gate_head, &file->gate_entry);
	if (file->gate)
		fput(file->gate);
	if (file->pinned)
		put_watch_queue(file->pinned);
	/* hold_post() was under RCU, and is over. */
	kfree(file);
	return 0;
}

static const struct file_operations hold_fops = {
	.owner		= THIS_MODULE,
	.open		= hold_open,
	.release	= hold_release,
	.unlocked_ioctl	= hold_ioctl,
};

static struct miscdevice hold_device = {
	.minor		= MISC_DYNAMIC_MINOR,
	.name		= "watch_hold",
	.fops		= &hold_fops,
};

static int __init watch_hold_init(void)
{
	return misc_register(&hold_device);
}

static void __exit watch_hold_exit(void)
{
	misc_deregister(&hold_device);
	/* Objects are freed after a grace period. */
	rcu_barrier();
}

module_init(watch_hold_init);
module_exit(watch_hold_exit);
MODULE_DESCRIPTION("Source that holds what is done to it in the middle");
MODULE_LICENSE("GPL");

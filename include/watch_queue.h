/* SPDX-License-Identifier: GPL-2.0 */
/*
 * General notification queue: what the kernel's event sources use.
 *
 * A source hangs a &struct watch_list off each object that can be watched,
 * attaches a &struct watch to it when userspace asks, and posts notifications
 * to the list.  The queue itself lives in kernel/watch_queue/.
 */

#ifndef _LINUX_WATCH_QUEUE_H
#define _LINUX_WATCH_QUEUE_H

#include <uapi/linux/watch_queue.h>

#ifdef CONFIG_WATCH_QUEUE_C
#include <linux/watch_queue_c.h>
#endif

#include <linux/atomic.h>
#include <linux/errno.h>
#include <linux/kconfig.h>
#include <linux/lockdep.h>
#include <linux/preempt.h>
#include <linux/rbtree.h>
#include <linux/rculist.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>
#include <linux/types.h>

struct cred;
struct file;
struct inode;
struct watch_list;
struct watch_queue;

#ifdef CONFIG_WATCH_QUEUE_RUST

/**
 * struct watch - One object watched by one queue.
 * @info_id: The tag, by which userspace knows the watch, shifted into the bits
 *	%WATCH_INFO_ID; or'd into the info field of each message.
 * @id: The id of the object; matched against the id of a post.
 * @private: For the source.
 *
 * Allocated by the source with kmalloc(), as the first or only member of what
 * it allocates, and zeroed.  The source calls init_watch(), sets the members
 * named above and calls add_watch_to_object().  Once that has succeeded the
 * watch belongs to the notification queue, which frees it with kfree() after a
 * grace period; until then it is the source's to kfree().
 *
 * The other members are the notification queue's own.
 */
struct watch {
	/* private: first what a post reads, in one cache line */
	struct hlist_node	list_node;
	struct watch_queue	*queue;
	const struct cred	*cred;
	/* public: */
	u64			id;
	u32			info_id;
	/* private: its release is counted, see &watch_list.released */
	bool			counts;
	/* public: */
	void			*private;
	/* private: */
	struct watch_list	*watch_list;
	union {
		struct rb_node	queue_node;
		struct rcu_head	rcu;
	};
};

/**
 * struct watch_list - The watches on one object.
 * @rcu: For kfree_rcu() of the list by remove_watch_list().
 * @watchers: The watches, walked under RCU.
 * @release_watch: Called for each watch that leaves the list, in the context
 *	of whoever removes it and without locks held; or %NULL.
 * @source: The name of the source, for people to read; or %NULL.
 * @lock: Serialises changes of @watchers and @taken.
 * @taken: The number of watches that have been taken off.
 * @released: The number of those of them for which @release_watch has returned,
 *	if that is a module's.
 * @counts: @release_watch is a module's.
 *
 * Must stay readable for a grace period after its last watch is removed, unless
 * nobody can be posting to it by then.
 */
struct watch_list {
	struct rcu_head		rcu;
	struct hlist_head	watchers;
	void			(*release_watch)(struct watch *watch);
	const char		*source;
	raw_spinlock_t		lock;		/* of @watchers and @taken */
	u32			taken;
	atomic_t		released;
	bool			counts;
};

void __post_watch_notification(struct watch *watch, const struct cred *cred,
			       struct watch_notification *n);
u64 __percpu *watch_queue_alloc_count(void);
u64 watch_queue_sum_count(u64 __percpu *count);
bool watch_queue_may_wake(unsigned long flags);
const struct cred *watch_queue_charge(void);
void watch_queue_uncharge(const struct cred *cred);
struct watch_queue *get_watch_queue(int fd);
void put_watch_queue(struct watch_queue *wqueue);
void init_watch(struct watch *watch, struct watch_queue *wqueue);
int add_watch_to_object(struct watch *watch, struct watch_list *wlist);
int remove_watch_from_object(struct watch_list *wlist, struct watch_queue *wq,
			     u64 id, bool all);
void wait_for_released_watches(struct watch_list *wlist);
void watch_list_count_released(struct watch_list *wlist);

/* For fs/pipe.c */
int watch_queue_init_inode(struct inode *inode);
void watch_queue_put_inode(struct inode *inode);
long watch_queue_fcntl(struct file *file, unsigned int cmd);

static inline void __init_watch_list(struct watch_list *wlist,
				     void (*release_watch)(struct watch *watch),
				     const char *source, bool is_module)
{
	INIT_HLIST_HEAD(&wlist->watchers);
	raw_spin_lock_init(&wlist->lock);
	wlist->release_watch = release_watch;
	wlist->source = source;
	wlist->taken = 0;
	atomic_set(&wlist->released, 0);
	wlist->counts = is_module && release_watch;
}

/**
 * init_watch_list - Initialise a watch list.
 * @wlist: The list.
 * @release_watch: See &struct watch_list; or %NULL.
 *
 * A macro, so that KBUILD_MODNAME is that of the caller: it is what the source
 * is called.
 */
#define init_watch_list(wlist, release_watch)				\
	__init_watch_list(wlist, release_watch, KBUILD_MODNAME,		\
			  __is_defined(MODULE))

/**
 * post_watch_notification - Post a message to all that watch an object.
 * @wlist: The object's watch list, or %NULL if it was never watched.
 * @n: The message.  Its length in bytes, 8 to 127, is in the bits
 *	%WATCH_INFO_LENGTH of its info; the bits %WATCH_INFO_ID are overwritten.
 *	If it says less, the kernel warns and nobody gets it: a reader could
 *	not know where the next message begins.
 * @cred: The credentials of the task that caused the event.
 * @id: The object, as &watch.id.
 *
 * Never allocates and never sleeps.  A queue without room for the message
 * counts it as lost.
 *
 * Context: Any except NMI, also with CONFIG_PREEMPT_RT, and with any lock held.
 * Where a spinlock_t may not be taken, or preemption or interrupts are off,
 * readers are woken soon after, by irq_work.  Where security modules decide what
 * a watcher may receive, they have to be fit for the context, too.  The interrupt
 * state is preserved.
 */
static inline void post_watch_notification(struct watch_list *wlist,
					   struct watch_notification *n,
					   const struct cred *cred, u64 id)
{
	struct watch *watch;

	if (likely(!wlist))
		return;
	lockdep_assert(!in_nmi());
	rcu_read_lock();
	hlist_for_each_entry_rcu(watch, &wlist->watchers, list_node) {
		if (watch->id == id) {
			/* It goes on from there. */
			__post_watch_notification(watch, cred, n);
			break;
		}
	}
	rcu_read_unlock();
}

/**
 * remove_watch_list - Remove all watches from an object and free its list.
 * @wlist: The list, allocated with kmalloc(), or %NULL.
 * @id: The object, for the removal notifications that the watchers get.
 *
 * In a module, &watch_list.release_watch has returned for each watch when this
 * does, also for those of queues that are being closed.
 *
 * Context: In a module that has a &watch_list.release_watch, where one may
 * sleep, but not in that function.  Otherwise as that demands; without one any
 * in which a spinlock_t may be taken.
 */
static inline void remove_watch_list(struct watch_list *wlist, u64 id)
{
	if (wlist) {
		remove_watch_from_object(wlist, NULL, id, true);
		if (wlist->counts)
			wait_for_released_watches(wlist);
		kfree_rcu(wlist, rcu);
	}
}

/**
 * watch_sizeof - The size of a message, as the info field wants it.
 * @STRUCT: The message or its type.
 */
#define watch_sizeof(STRUCT) (sizeof(STRUCT) << WATCH_INFO_LENGTH__SHIFT)

#else /* !CONFIG_WATCH_QUEUE_RUST */

static inline int watch_queue_init_inode(struct inode *inode)
{
	return -ENOPKG;
}

static inline void watch_queue_put_inode(struct inode *inode)
{
}

static inline long watch_queue_fcntl(struct file *file, unsigned int cmd)
{
	return -EBADF;
}

#endif /* CONFIG_WATCH_QUEUE_RUST */

#ifndef CONFIG_WATCH_QUEUE_C
struct pipe_inode_info;

static inline int watch_queue_init(struct pipe_inode_info *pipe)
{
	return -ENOPKG;
}
#endif

#endif /* _LINUX_WATCH_QUEUE_H */

// SPDX-License-Identifier: GPL-2.0
/*
 * How many watches a user may have in a user namespace: what is static or inline
 * in C, or not to be seen by bindgen.
 */

#include <linux/atomic.h>
#include <linux/cred.h>
#include <linux/init.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/user.h>
#include <linux/user_namespace.h>
#include <linux/watch_queue.h>

/* The default of fanotify's marks: one percent of memory, between these */
#define MIN_WATCHES	8192
#define MAX_WATCHES	1048576

static bool inc_below(atomic_long_t *count, long max)
{
	long old = atomic_long_read(count);

	do {
		if (old >= max)
			return false;
	} while (!atomic_long_try_cmpxchg_relaxed(count, &old, old + 1));
	return true;
}

static void uncharge(struct ucounts *from, struct ucounts *to)
{
	struct ucounts *ucounts;

	for (ucounts = from; ucounts != to; ucounts = ucounts->ns->ucounts)
		atomic_long_dec(&ucounts->ucount[UCOUNT_WATCH_QUEUE_WATCHES]);
}

/*
 * Counts a watch for the user of the current task, and for those who made the
 * user namespaces.  Returns a reference to the task's credentials, or NULL if
 * that is one more than RLIMIT_NOFILE or one of the namespaces allows.
 *
 * As inc_ucount(), but the credentials have a reference to their ucounts, which
 * so need not be looked up.  Does not allocate.
 */
const struct cred *watch_queue_charge(void)
{
	const struct cred *cred = current_cred();
	atomic_t *nr_watches = &cred->user->nr_watches;
	struct ucounts *ucounts;

	if (atomic_fetch_inc_relaxed(nr_watches) >= rlimit(RLIMIT_NOFILE))
		goto fail;
	for (ucounts = cred->ucounts; ucounts; ucounts = ucounts->ns->ucounts) {
		long max = READ_ONCE(ucounts->ns->ucount_max[UCOUNT_WATCH_QUEUE_WATCHES]);

		if (!inc_below(&ucounts->ucount[UCOUNT_WATCH_QUEUE_WATCHES], max))
			goto fail_ucounts;
	}
	return get_cred(cred);

fail_ucounts:
	uncharge(cred->ucounts, ucounts);
fail:
	atomic_dec(nr_watches);
	return NULL;
}

/* Takes back what watch_queue_charge() did. */
void watch_queue_uncharge(const struct cred *cred)
{
	uncharge(cred->ucounts, NULL);
	atomic_dec(&cred->user->nr_watches);
	put_cred(cred);
}

static int __init watch_queue_ucounts_init(void)
{
	unsigned long memory = totalram_pages() / 100 << PAGE_SHIFT;

	init_user_ns.ucount_max[UCOUNT_WATCH_QUEUE_WATCHES] =
		clamp(memory / sizeof(struct watch), MIN_WATCHES, MAX_WATCHES);
	return 0;
}

subsys_initcall(watch_queue_ucounts_init);

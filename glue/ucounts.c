// SPDX-License-Identifier: GPL-2.0
/*
 * How many watches a user may have in a user namespace: what is static or inline
 * in C, or not to be seen by bindgen.
 */

#include <linux/cred.h>
#include <linux/init.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/user_namespace.h>
#include <linux/watch_queue.h>

/* The default of fanotify's marks: one percent of memory at most */
#define MIN_WATCHES	8192
#define MAX_WATCHES	1048576

/*
 * Charges a watch to the user to whom @cred belongs, and to those who made the
 * user namespaces.  Does not allocate, as @cred has its ucounts already.
 */
bool watch_queue_charge(const struct cred *cred)
{
	struct ucounts *ucounts = cred->ucounts;

	return inc_ucount(ucounts->ns, ucounts->uid, UCOUNT_WATCH_QUEUE_WATCHES);
}

void watch_queue_uncharge(const struct cred *cred)
{
	dec_ucount(cred->ucounts, UCOUNT_WATCH_QUEUE_WATCHES);
}

static int __init watch_queue_ucounts_init(void)
{
	unsigned long memory = totalram_pages() / 100 << PAGE_SHIFT;

	init_user_ns.ucount_max[UCOUNT_WATCH_QUEUE_WATCHES] =
		clamp(memory / sizeof(struct watch), MIN_WATCHES, MAX_WATCHES);
	return 0;
}

subsys_initcall(watch_queue_ucounts_init);

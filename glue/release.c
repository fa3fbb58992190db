// SPDX-License-Identifier: GPL-2.0
/*
 * A module waits for its watches to be released.  In C, as wait_var_event() is a
 * macro.
 */

#include <linux/atomic.h>
#include <linux/export.h>
#include <linux/spinlock.h>
#include <linux/wait_bit.h>
#include <linux/watch_queue.h>

/**
 * wait_for_released_watches - Wait until release_watch() has returned.
 * @wlist: The list, of a module, from which all watches have been removed and
 *	to which none is added any more.
 *
 * For lists that are not removed by remove_watch_list(), which calls this.
 *
 * Context: Where one may sleep, but not in release_watch().
 */
void wait_for_released_watches(struct watch_list *wlist)
{
	u32 taken;

	raw_spin_lock_irq(&wlist->lock);
	taken = wlist->taken;
	raw_spin_unlock_irq(&wlist->lock);
	wait_var_event(&wlist->released,
		       atomic_read_acquire(&wlist->released) == taken);
}
EXPORT_SYMBOL(wait_for_released_watches);

void watch_list_count_released(struct watch_list *wlist)
{
	/* With the last one the list may be gone: only its address is used. */
	atomic_inc_return(&wlist->released);
	wake_up_var(&wlist->released);
}

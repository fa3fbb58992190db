// SPDX-License-Identifier: GPL-2.0
/*
 * What the sources have to say in C: their static keys, which the hooks in
 * other people's files branch on, and locks that are initialised at build time.
 */

#include <linux/watch_sources.h>

#include "../../fs/mount.h"

void watch_source_get(struct watch_source *source)
{
	static_branch_deferred_inc(source->key);
}

/*
 * In any context: if this was the last watch, the key is disabled later, by a
 * worker.
 */
void watch_source_put(struct watch_source *source)
{
	static_branch_slow_dec_deferred(source->key);
}

static void release_watch(struct watch *watch)
{
	watch_source_put(watch->private);
}

#define DEFINE_WATCH_SOURCE(_name, _key, _shown)			\
	struct watch_source _name = {					\
		.key = &(_key),						\
		.lists = {						\
			[0 ... WATCH_SOURCE_LISTS - 1] = {		\
				.watchers = HLIST_HEAD_INIT,		\
				.release_watch = release_watch,		\
				.source = _shown,			\
				.lock = __SPIN_LOCK_UNLOCKED(watch_source.lock), \
			},						\
		},							\
	}

#ifdef CONFIG_WATCH_MOUNT
/* bindgen does not know of the extension that puts ns_id where it is. */
u64 watch_mount_ns_id(const struct mnt_namespace *ns)
{
	return ns->ns.ns_id;
}

DEFINE_STATIC_KEY_DEFERRED_FALSE(watch_mount_key, HZ);
DEFINE_WATCH_SOURCE(watch_mount_source, watch_mount_key, "mount");
DEFINE_WATCH_SOURCE(watch_mount_ns_source, watch_mount_key, "mount_ns");
#endif

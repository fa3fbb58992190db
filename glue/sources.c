// SPDX-License-Identifier: GPL-2.0
/*
 * The part of the sources that has to be C: their static keys, on which the
 * hooks in other files branch, locks that are initialised at build time, and
 * what bindgen does not see.
 */

#include <linux/cred.h>
#include <linux/export.h>
#include <linux/fsnotify_backend.h>
#include <linux/sched.h>
#include <linux/security.h>
#include <linux/slab.h>
#include <linux/watch_sources.h>

#ifdef CONFIG_WATCH_DEVICE
#include <linux/net.h>
#include <linux/netlink.h>
#include <linux/nsproxy.h>
#include <net/net_namespace.h>
#endif

/* Of what is in Rust, where there is no EXPORT_SYMBOL() yet */
#define RUST_EXPORT_GPL EXPORT_SYMBOL_GPL

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

#define DEFINE_WATCH_SOURCE(_name, _key, _shown, _release)		\
	struct watch_source _name = {					\
		.key = &(_key),						\
		.name = _shown,						\
		.release_watch = _release,				\
	}

/*
 * The watches on an object, as one is about to be added.  The object has a
 * pointer to them, which is set once, and %NULL before.
 */
struct watch_object *watch_object_get(struct watch_object **slot,
				      struct watch_source *source, u64 id)
{
	struct watch_object *object, *other;

	/* Pairs with cmpxchg(): the list has been initialised. */
	object = smp_load_acquire(slot);
	if (object)
		return object;
	object = kzalloc_obj(*object, GFP_KERNEL_ACCOUNT);
	if (!object)
		return NULL;
	__init_watch_list(&object->list, source->release_watch, source->name,
			  false);
	object->id = id;
	other = cmpxchg(slot, NULL, object);
	if (!other)
		return object;
	kfree(object);
	return other;
}

/*
 * bindgen is wrong about where the members of a task_struct are, as one of them
 * has an alignment that it does not see.
 */
const struct cred *watch_kernel_cred(void)
{
	return kernel_cred();
}

#ifdef CONFIG_WATCH_MOUNT
/*
 * As fanotify asks, of the file of a namespace or of a mount, so that a policy
 * that knows of nothing else holds
 */
int watch_mount_ask_security(struct file *file, bool is_subtree)
{
	return security_path_notify(&file->f_path, FS_MNT_ATTACH | FS_MNT_DETACH,
				    is_subtree ? FSNOTIFY_OBJ_TYPE_VFSMOUNT :
						 FSNOTIFY_OBJ_TYPE_MNTNS);
}

static void release_mount_watch(struct watch *watch)
{
	watch_mount_ns_put(watch->private);
	watch_source_put(&watch_mount_source);
}

DEFINE_STATIC_KEY_DEFERRED_FALSE(watch_mount_key, HZ);
DEFINE_WATCH_SOURCE(watch_mount_source, watch_mount_key, "mount",
		    release_mount_watch);
DEFINE_WATCH_SOURCE(watch_mount_ns_source, watch_mount_key, "mount_ns",
		    release_mount_watch);
#endif

#ifdef CONFIG_WATCH_SUPERBLOCK
/* As fanotify asks */
int watch_superblock_ask_security(struct file *file)
{
	return security_path_notify(&file->f_path, FS_ERROR,
				    FSNOTIFY_OBJ_TYPE_SB);
}

/* bindgen does not see SB_NOUSER. */
bool watch_superblock_can_be_mounted(const struct super_block *sb)
{
	return !(READ_ONCE(sb->s_flags) & SB_NOUSER);
}

DEFINE_STATIC_KEY_DEFERRED_FALSE(watch_superblock_key, HZ);
DEFINE_WATCH_SOURCE(watch_superblock_source, watch_superblock_key, "superblock",
		    release_watch);

/* For file systems that are modules */
RUST_EXPORT_GPL(watch_superblock_key);
RUST_EXPORT_GPL(__watch_superblock);
RUST_EXPORT_GPL(__watch_superblock_forced_readonly);
RUST_EXPORT_GPL(__watch_superblock_quota);
#endif

#ifdef CONFIG_WATCH_BLOCK
/* As read() asks: who may read learns of the same errors. */
int watch_block_ask_security(struct file *file)
{
	return security_file_permission(file, MAY_READ);
}

DEFINE_STATIC_KEY_DEFERRED_FALSE(watch_block_key, HZ);
DEFINE_WATCH_SOURCE(watch_block_source, watch_block_key, "block", release_watch);
/* Of all devices, which is an object of its own */
struct watch_object *watch_block_all;

/* For drivers that are modules */
EXPORT_SYMBOL_GPL(watch_block_key);
#endif

#ifdef CONFIG_WATCH_DEVICE
/* As a socket for uevents is asked for: SELinux has a class for those. */
int watch_device_ask_security(void)
{
	return security_socket_create(AF_NETLINK, SOCK_RAW,
				      NETLINK_KOBJECT_UEVENT, 0);
}

bool watch_device_is_in_init_net(void)
{
	return net_eq(current->nsproxy->net_ns, &init_net);
}

DEFINE_STATIC_KEY_DEFERRED_FALSE(watch_device_key, HZ);
DEFINE_WATCH_SOURCE(watch_device_source, watch_device_key, "device",
		    release_watch);
/* Of all devices, which is an object of its own */
struct watch_object *watch_device_all;
#endif

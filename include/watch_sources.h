/* SPDX-License-Identifier: GPL-2.0 */
/*
 * General notification queue: the hooks of its sources, for those files in
 * which things happen.
 *
 * A hook costs a static branch as long as nothing of its source is watched.
 * Those of block devices may be called in any context but NMI, all others in
 * process context, with locks held or not.
 */

#ifndef _LINUX_WATCH_SOURCES_H
#define _LINUX_WATCH_SOURCES_H

#include <linux/blk_types.h>
#include <linux/jump_label_ratelimit.h>
#include <linux/kobject.h>
#include <linux/watch_queue.h>
#include <linux/xarray.h>

struct block_device;
struct cred;
struct device;
struct fserror_event;
struct kqid;
struct list_head;
struct mnt_namespace;
struct mount;
struct request;
struct super_block;
struct usb_device;

/**
 * struct watch_source - The watches on the objects of one kind.
 * @key: Counts the watches, for the hooks to branch on.  Sources can share it.
 * @nr_watches: Counts those of this source.
 * @bits: How many lists there are: 1 << @bits.
 * @lists: The watches.  Those on one object are on the same list, which also
 *	has those on other objects; each watch has its &watch.id.
 */
struct watch_source {
	struct static_key_false_deferred *key;
	atomic_t nr_watches;
	unsigned int bits;
	struct watch_list *lists;
};

/* So that it cannot be known which objects share a list */
extern u64 watch_source_seed;

void watch_source_get(struct watch_source *source);
void watch_source_put(struct watch_source *source);
int watch_source_ask_security(u32 type, struct file *file);

/*
 * Comes after an object was marked as going away: without jump labels it is a
 * load that asks whether it is watched.
 */
static inline void watch_before_gone(void)
{
	if (!IS_ENABLED(CONFIG_JUMP_LABEL))
		smp_mb();	/* Pairs with that of Source::attach_if() */
}

#ifdef CONFIG_WATCH_MOUNT
extern struct static_key_false_deferred watch_mount_key;
extern struct watch_source watch_mount_source;
extern struct watch_source watch_mount_ns_source;

void __watch_mount(struct mount *mnt, enum mount_notification_subtype subtype);
void __watch_mount_detach(struct list_head *mounts);
void __watch_mount_ns_gone(struct mnt_namespace *ns);
u64 watch_mount_ns_id(const struct mnt_namespace *ns);
void watch_mount_attributes(struct mount *mnt, u32 *attr, u32 *propagation);

/*
 * Something happened, or is about to happen, to a mount.  The caller holds
 * namespace_sem or mount_lock, as the watchers of trees that the mount is in
 * are found by walking up.
 */
static inline void watch_mount(struct mount *mnt,
			       enum mount_notification_subtype subtype)
{
	if (static_branch_unlikely(&watch_mount_key.key))
		__watch_mount(mnt, subtype);
}

/*
 * Mounts, linked by mnt_list and marked with MNT_UMOUNT, are about to be taken
 * out of their trees.  The caller holds mount_lock for writing.
 */
static inline void watch_mount_detach(struct list_head *mounts)
{
	watch_before_gone();
	if (static_branch_unlikely(&watch_mount_key.key))
		__watch_mount_detach(mounts);
}

/* A mount namespace is going away, and its mounts are gone. */
static inline void watch_mount_ns_gone(struct mnt_namespace *ns)
{
	watch_before_gone();
	if (static_branch_unlikely(&watch_mount_key.key))
		__watch_mount_ns_gone(ns);
}
#else
static inline void watch_mount(struct mount *mnt,
			       enum mount_notification_subtype subtype)
{
}

static inline void watch_mount_detach(struct list_head *mounts)
{
}

static inline void watch_mount_ns_gone(struct mnt_namespace *ns)
{
}
#endif

#ifdef CONFIG_WATCH_SUPERBLOCK
extern struct static_key_false_deferred watch_superblock_key;
extern struct watch_source watch_superblock_source;
extern struct xarray watch_superblock_ids;

void __watch_superblock_error(const struct fserror_event *event);
void __watch_superblock_set_readonly(struct super_block *sb, bool readonly);
void __watch_superblock_quota(struct super_block *sb, const struct kqid *qid,
			      int warning);
void __watch_superblock_gone(struct super_block *sb);
bool watch_superblock_can_be_mounted(const struct super_block *sb);

/* An error has been reported. */
static inline void watch_superblock_error(const struct fserror_event *event)
{
	if (static_branch_unlikely(&watch_superblock_key.key))
		__watch_superblock_error(event);
}

/* The file system has become read-only, or writable. */
static inline void watch_superblock_set_readonly(struct super_block *sb,
						 bool readonly)
{
	if (static_branch_unlikely(&watch_superblock_key.key))
		__watch_superblock_set_readonly(sb, readonly);
}

/* A quota was exceeded; the warning is one of QUOTA_NL_*. */
static inline void watch_superblock_quota(struct super_block *sb,
					  const struct kqid *qid, int warning)
{
	if (static_branch_unlikely(&watch_superblock_key.key))
		__watch_superblock_quota(sb, qid, warning);
}

/*
 * The file system is being shut down.  Nobody has a file of it any more.  It
 * may have been watched some time ago: then its id has to go, too.
 */
static inline void watch_superblock_gone(struct super_block *sb)
{
	if (!xa_empty(&watch_superblock_ids))
		__watch_superblock_gone(sb);
}
#else
static inline void watch_superblock_error(const struct fserror_event *event)
{
}

static inline void watch_superblock_set_readonly(struct super_block *sb,
						 bool readonly)
{
}

static inline void watch_superblock_quota(struct super_block *sb,
					  const struct kqid *qid, int warning)
{
}

static inline void watch_superblock_gone(struct super_block *sb)
{
}
#endif

#ifdef CONFIG_WATCH_BLOCK
extern struct static_key_false_deferred watch_block_key;
extern struct watch_source watch_block_source;

void __watch_block_error(struct request *req, u8 status, unsigned int bytes);
void __watch_block_gone(struct block_device *bdev);
const struct cred *watch_kernel_cred(void);

/*
 * A request failed, from where it is on and for a number of bytes.  It still
 * has the bio that failed.
 */
static inline void watch_block_error(struct request *req, blk_status_t status,
				     unsigned int bytes)
{
	if (static_branch_unlikely(&watch_block_key.key))
		__watch_block_error(req, (__force u8)status, bytes);
}

/* A block device can no longer be opened. */
static inline void watch_block_gone(struct block_device *bdev)
{
	watch_before_gone();
	if (static_branch_unlikely(&watch_block_key.key))
		__watch_block_gone(bdev);
}
#elif defined(CONFIG_BLOCK)
static inline void watch_block_error(struct request *req, blk_status_t status,
				     unsigned int bytes)
{
}

static inline void watch_block_gone(struct block_device *bdev)
{
}
#endif

#ifdef CONFIG_WATCH_DEVICE
extern struct static_key_false_deferred watch_device_key;
extern struct watch_source watch_device_source;

void __watch_uevent(struct kobject *kobj, enum kobject_action action);
void __watch_usb(struct usb_device *udev, bool connected);
bool watch_is_device(const struct kobject *kobj);
bool watch_is_in_init_net(void);

/* Userspace is about to get a uevent that it has not asked for itself. */
static inline void watch_uevent(struct kobject *kobj,
				enum kobject_action action)
{
	if (static_branch_unlikely(&watch_device_key.key))
		__watch_uevent(kobj, action);
}
#else
static inline void watch_uevent(struct kobject *kobj,
				enum kobject_action action)
{
}
#endif

#endif /* _LINUX_WATCH_SOURCES_H */

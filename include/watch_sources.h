/* SPDX-License-Identifier: GPL-2.0 */
/*
 * General notification queue: the hooks of its sources, for those files in
 * which things happen.
 *
 * A hook costs a static branch as long as nothing of its source is watched; one
 * that is called when an object goes, a load, and mostly a full barrier.
 * Those of block devices, and of what errors do to file systems, may be called
 * in any context but NMI, all others in process context, with locks held or not.
 */

#ifndef _LINUX_WATCH_SOURCES_H
#define _LINUX_WATCH_SOURCES_H

#include <linux/bits.h>
#include <linux/blk_types.h>
#include <linux/fs.h>
#include <linux/fserror.h>
#include <linux/jump_label_ratelimit.h>
#include <linux/kobject.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/watch_queue.h>

struct block_device;
struct cred;
struct device;
struct gendisk;
struct kqid;
struct list_head;
struct mnt_namespace;
struct mount;
struct super_block;
struct usb_device;

#ifdef CONFIG_WATCH_SOURCES
/**
 * struct watch_source - A kind of objects that can be watched.
 * @key: Counts the watches, for the hooks to branch on.  Sources can share it.
 * @name: What it is called, for people to read.
 * @release_watch: As &watch_list.release_watch; it puts the source.
 */
struct watch_source {
	struct static_key_false_deferred *key;
	const char *name;
	void (*release_watch)(struct watch *watch);
};

/**
 * struct watch_object - The watches on one object, which points to this.
 * @list: The watches.
 * @id: What the object is called in their notifications.
 *
 * Allocated when the object is watched for the first time, and freed with it:
 * with kfree(), when its watches have been removed and nobody can post to it or
 * add another one.
 */
struct watch_object {
	struct watch_list list;
	u64 id;
};

void watch_source_get(struct watch_source *source);
void watch_source_put(struct watch_source *source);
const struct cred *watch_kernel_cred(void);
struct watch_object *watch_object_get(struct watch_object **object,
				      struct watch_source *source, u64 id);
void __watch_object_gone(struct watch_object *object);

/* Called for each place that can point to the watches on an object */
typedef void (*watch_visit_t)(struct watch_object **slot, void *data);

static inline void watch_visit(struct watch_object **slot, watch_visit_t visit,
			       void *data)
{
	if (READ_ONCE(*slot))
		visit(slot, data);
}
#endif

#ifdef CONFIG_WATCH_MOUNT
extern struct static_key_false_deferred watch_mount_key;
extern struct watch_source watch_mount_source;
extern struct watch_source watch_mount_ns_source;

/* The subtypes that are about the place where a mount was */
#define WATCH_MOUNT_LEFT	(BIT(NOTIFY_MOUNT_MOVED_FROM) |		\
				 BIT(NOTIFY_MOUNT_EXPIRED) |		\
				 BIT(NOTIFY_MOUNT_DETACHED))

/* What can change, as statmount() has it */
struct watch_mount_state {
	u64 attr;
	u32 propagation;
	u32 peer_group;
	u32 master;
};

void __watch_mount(struct mount *mnt, enum mount_notification_subtype subtype);
void __watch_mount_left(struct mount *mnt, unsigned int subtypes);
void __watch_mount_came(struct mount *mnt, unsigned int subtypes);
int watch_mount_ask_security(struct file *file, bool is_subtree);

/* In fs/namespace.c */
struct mnt_namespace *watch_mount_ns_get(struct mnt_namespace *ns);
struct mnt_namespace *watch_mount_ns_get_by_file(struct file *file);
struct mnt_namespace *watch_mount_ns_get_by_mount(struct mount *mnt);
void watch_mount_ns_put(struct mnt_namespace *ns);
bool watch_mount_ns_capable(const struct mnt_namespace *ns);
u64 watch_mount_ns_id(const struct mnt_namespace *ns);
struct watch_object **watch_mount_ns_slot(struct mnt_namespace *ns);
struct mount *watch_mount_of(struct file *file);
u64 watch_mount_id(const struct mount *mnt);
struct watch_object **watch_mount_slot(struct mount *mnt);
bool watch_mount_is_going(const struct mount *mnt);
bool watch_mount_get_note(struct mount *mnt, bool before,
			  struct mount_notification *note);
void watch_mount_visit(struct mount *mnt, bool before, watch_visit_t visit,
		       void *data);

/*
 * Something happened to a mount, or is about to if it leaves its place.  The
 * caller holds namespace_sem for writing; namespace_unlock() posts.
 */
static inline void watch_mount(struct mount *mnt,
			       enum mount_notification_subtype subtype)
{
	if (static_branch_unlikely(&watch_mount_key.key))
		__watch_mount(mnt, subtype);
}
#else
static inline void watch_mount(struct mount *mnt,
			       enum mount_notification_subtype subtype)
{
}
#endif

#ifdef CONFIG_WATCH_SUPERBLOCK
extern struct static_key_false_deferred watch_superblock_key;
extern struct watch_source watch_superblock_source;

void __watch_superblock_error(struct super_block *sb, const struct inode *inode,
			      enum fserror_type type, u64 pos, u64 len,
			      int error);
void __watch_superblock_device_gone(struct super_block *sb);
void __watch_superblock(struct super_block *sb,
			enum superblock_notification_subtype subtype);
void __watch_superblock_forced_readonly(struct super_block *sb);
void __watch_superblock_quota(struct super_block *sb, const struct kqid *qid,
			      int warning);
bool watch_superblock_can_be_mounted(const struct super_block *sb);
int watch_superblock_ask_security(struct file *file);

/* An error is reported.  Any context but NMI will do. */
static inline void watch_superblock_error(struct super_block *sb,
					  const struct inode *inode,
					  enum fserror_type type, loff_t pos,
					  u64 len, int error)
{
	if (static_branch_unlikely(&watch_superblock_key.key))
		__watch_superblock_error(sb, inode, type, pos, len, error);
}

/* A device is gone that the file system cannot do without. */
static inline void watch_superblock_device_gone(struct super_block *sb)
{
	if (static_branch_unlikely(&watch_superblock_key.key))
		__watch_superblock_device_gone(sb);
}

/* The file system is in another state, which the subtype names. */
static inline void watch_superblock(struct super_block *sb,
				    enum superblock_notification_subtype subtype)
{
	if (static_branch_unlikely(&watch_superblock_key.key))
		__watch_superblock(sb, subtype);
}

/* An error has made it read-only.  Any context but NMI will do. */
static inline void watch_superblock_forced_readonly(struct super_block *sb)
{
	if (static_branch_unlikely(&watch_superblock_key.key))
		__watch_superblock_forced_readonly(sb);
}

/* A quota limit was crossed, either way; the warning is one of QUOTA_NL_*. */
static inline void watch_superblock_quota(struct super_block *sb,
					  const struct kqid *qid, int warning)
{
	if (static_branch_unlikely(&watch_superblock_key.key))
		__watch_superblock_quota(sb, qid, warning);
}

/* The file system has been shut down, and its devices can be claimed again. */
static inline void watch_superblock_gone(struct super_block *sb)
{
	if (sb->s_watch_object)
		__watch_object_gone(sb->s_watch_object);
}

static inline void watch_superblock_free(struct super_block *sb)
{
	kfree(sb->s_watch_object);
}
#else
static inline void watch_superblock_error(struct super_block *sb,
					  const struct inode *inode,
					  enum fserror_type type, loff_t pos,
					  u64 len, int error)
{
}

static inline void watch_superblock_device_gone(struct super_block *sb)
{
}

static inline void watch_superblock(struct super_block *sb,
				    enum superblock_notification_subtype subtype)
{
}

static inline void watch_superblock_forced_readonly(struct super_block *sb)
{
}

static inline void watch_superblock_quota(struct super_block *sb,
					  const struct kqid *qid, int warning)
{
}

static inline void watch_superblock_gone(struct super_block *sb)
{
}

static inline void watch_superblock_free(struct super_block *sb)
{
}
#endif

#ifdef CONFIG_WATCH_BLOCK
extern struct static_key_false_deferred watch_block_key;
extern struct watch_source watch_block_source;
extern struct watch_object *watch_block_all;

void __watch_block_error(struct block_device *bdev, u32 opf, u8 kind,
			 int error, u64 sector, unsigned int bytes);
void __watch_block_partition_flush(struct block_device *part, u8 kind, int error);
int watch_block_ask_security(struct file *file);

/*
 * In block/blk-core.c: I/O to a device or a partition failed.  The sector is
 * counted on the whole device; no bytes are a range that is not known, or none.
 */
void watch_block_error(struct block_device *bdev, blk_opf_t opf,
		       blk_status_t status, sector_t sector, unsigned int bytes);

/* The same, where it is not known which partition of a disk the I/O was to. */
void watch_block_disk_error(struct gendisk *disk, blk_opf_t opf,
			    blk_status_t status, sector_t sector,
			    unsigned int bytes);

/*
 * A flush failed that this device had asked for.  Those who watch the whole of it
 * have been told; if it is a partition, those who watch that have not.
 */
void watch_block_partition_flush(struct block_device *bdev, blk_status_t status);

/* Returns whether it is worth computing the arguments of watch_block_error() */
static inline bool watch_block_is_watched(void)
{
	return static_branch_unlikely(&watch_block_key.key);
}

/* A block device can no longer be opened, and its last I/O has ended or failed. */
static inline void watch_block_gone(struct block_device *bdev)
{
	smp_mb();	/* Pairs with that of attach() in sources/source.rs */
	if (READ_ONCE(bdev->bd_watch_object))
		__watch_object_gone(bdev->bd_watch_object);
}

static inline void watch_block_free(struct block_device *bdev)
{
	kfree(bdev->bd_watch_object);
}
#elif defined(CONFIG_BLOCK)
static inline bool watch_block_is_watched(void)
{
	return false;
}

static inline void watch_block_error(struct block_device *bdev, blk_opf_t opf,
				     blk_status_t status, sector_t sector,
				     unsigned int bytes)
{
}

static inline void watch_block_disk_error(struct gendisk *disk, blk_opf_t opf,
					  blk_status_t status, sector_t sector,
					  unsigned int bytes)
{
}

static inline void watch_block_gone(struct block_device *bdev)
{
}

static inline void watch_block_free(struct block_device *bdev)
{
}
#endif

#ifdef CONFIG_WATCH_DEVICE
extern struct static_key_false_deferred watch_device_key;
extern struct watch_source watch_device_source;
extern struct watch_object *watch_device_all;

void __watch_uevent(struct kobject *kobj, enum kobject_action action,
		    const char *path, u64 seqnum);

/* In fs/sysfs/dir.c */
struct kobject *sysfs_dir_kobject_get(struct file *file);
u64 sysfs_dir_ino(struct kobject *kobj);

/* In drivers/base/core.c */
struct device *watch_device_of(struct kobject *kobj);
struct watch_object **watch_device_slot(struct kobject *kobj);
void watch_device_visit(struct device *dev, watch_visit_t visit, void *data);

/* In drivers/usb/core/usb.c */
struct usb_device *watch_usb_device(struct device *dev);

/* A device, a bus or a class is about to be freed. */
static inline void watch_device_free(struct watch_object *object)
{
	if (object)
		__watch_object_gone(object);
	kfree(object);
}

bool watch_device_is_in_init_net(void);
int watch_device_ask_security(void);

/*
 * Userspace is about to get a uevent.  If it has asked for that itself, by
 * writing to a file, it is no news.
 */
static inline void watch_uevent(struct kobject *kobj,
				enum kobject_action action, char *envp_ext[],
				const char *path, u64 seqnum)
{
	if (!static_branch_unlikely(&watch_device_key.key))
		return;
	if (!envp_ext || !envp_ext[0] || !strstarts(envp_ext[0], "SYNTH_UUID="))
		__watch_uevent(kobj, action, path, seqnum);
}
#else
static inline void watch_uevent(struct kobject *kobj,
				enum kobject_action action, char *envp_ext[],
				const char *path, u64 seqnum)
{
}
#endif

#endif /* _LINUX_WATCH_SOURCES_H */

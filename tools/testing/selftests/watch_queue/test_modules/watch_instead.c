// SPDX-License-Identifier: GPL-2.0
/* Other ways to carry messages to userspace, to compare with. */

#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/relay.h>
#include <linux/uaccess.h>
#include <linux/watch_queue.h>
#include <net/netlink.h>

#include "../watch_floor.h"
#include "timed.h"

static struct rchan *channel;
static struct sock *sock;

static struct dentry *create_buf_file(const char *name, struct dentry *parent,
				      umode_t mode, struct rchan_buf *buf,
				      int *is_global)
{
	return debugfs_create_file(name, mode, parent, buf,
				   &relay_file_operations);
}

static int remove_buf_file(struct dentry *dentry)
{
	debugfs_remove(dentry);
	return 0;
}

static const struct rchan_callbacks callbacks = {
	.create_buf_file	= create_buf_file,
	.remove_buf_file	= remove_buf_file,
};

static noinline void post_relay(const void *n, u32 length)
{
	relay_write(channel, n, length);
}

static noinline void post_netlink(const void *n, u32 length)
{
	struct sk_buff *skb = nlmsg_new(length, GFP_ATOMIC);
	struct nlmsghdr *nlh;

	if (!skb)
		return;
	nlh = nlmsg_put(skb, 0, 0, NLMSG_MIN_TYPE, length, 0);
	if (!nlh) {
		nlmsg_free(skb);
		return;
	}
	memcpy(nlmsg_data(nlh), n, length);
	nlmsg_multicast(sock, skb, 0, 1, GFP_ATOMIC);
}

static long instead_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	u8 n[WATCH_INFO_LENGTH] = {};
	struct watch_floor_run run;

	if (cmd != WATCH_FLOOR_RUN)
		return -ENOTTY;
	if (copy_from_user(&run, (void __user *)arg, sizeof(run)))
		return -EFAULT;
	if (run.length < 8 || run.length > WATCH_INFO_LENGTH || run.reserved)
		return -EINVAL;
	switch (run.operation) {
	case WATCH_INSTEAD_RELAY:
		run.elapsed = timed(run.count, post_relay(n, run.length));
		break;
	case WATCH_INSTEAD_NETLINK:
		run.elapsed = timed(run.count, post_netlink(n, run.length));
		break;
	default:
		return -EINVAL;
	}
	return copy_to_user((void __user *)arg, &run, sizeof(run)) ? -EFAULT : 0;
}

static const struct file_operations instead_fops = {
	.owner		= THIS_MODULE,
	.unlocked_ioctl	= instead_ioctl,
};

static struct miscdevice instead_device = {
	.minor		= MISC_DYNAMIC_MINOR,
	.name		= "watch_instead",
	.fops		= &instead_fops,
};

static int __init instead_init(void)
{
	struct netlink_kernel_cfg cfg = { .groups = 1 };
	int ret = -ENOMEM;

	channel = relay_open("watch_relay", NULL, SZ_64K, 2, &callbacks, NULL);
	if (!channel)
		return ret;
	sock = netlink_kernel_create(&init_net, WATCH_INSTEAD_PROTOCOL, &cfg);
	if (!sock)
		goto no_sock;
	ret = misc_register(&instead_device);
	if (!ret)
		return 0;
	netlink_kernel_release(sock);
no_sock:
	relay_close(channel);
	return ret;
}

static void __exit instead_exit(void)
{
	misc_deregister(&instead_device);
	netlink_kernel_release(sock);
	relay_close(channel);
}

module_init(instead_init);
module_exit(instead_exit);
MODULE_DESCRIPTION("What is used instead of a notification queue");
MODULE_LICENSE("GPL");

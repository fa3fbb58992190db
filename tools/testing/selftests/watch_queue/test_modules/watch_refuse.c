// SPDX-License-Identifier: GPL-2.0
/*
 * Counts the calls of a security hook and, on request, has them say no, as
 * a security module would that cannot be loaded.  Calls are not counted of
 * security_file_permission() for files that are not block devices: whoever says
 * that it is to say no, or looks how often it was called, calls that.
 */

#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/ptrace.h>
#include <linux/string.h>

static char *hook = "";
module_param(hook, charp, 0444);
MODULE_PARM_DESC(hook, "Function of security/security.c; none if it is empty");

static bool refuse;
module_param(refuse, bool, 0644);
MODULE_PARM_DESC(refuse, "Have it return -EACCES");

static atomic_t calls;

static int get_calls(char *buffer, const struct kernel_param *param)
{
	return sysfs_emit(buffer, "%d\n", atomic_read(&calls));
}

static const struct kernel_param_ops calls_ops = { .get = get_calls };
module_param_cb(calls, &calls_ops, NULL, 0444);
MODULE_PARM_DESC(calls, "How often it was called");

static bool is_for_file;

/* Calls for which this does not return 0 are none of ours. */
static int on_call(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	struct file *file = (void *)regs_get_kernel_argument(regs, 0);

	return is_for_file && !S_ISBLK(file_inode(file)->i_mode);
}

static int on_return(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	atomic_inc(&calls);
	if (READ_ONCE(refuse))
		regs_set_return_value(regs, -EACCES);
	return 0;
}

static struct kretprobe probe = {
	.entry_handler = on_call,
	.handler = on_return,
	.maxactive = 64,
};

static int __init watch_refuse_init(void)
{
	if (!*hook)
		return 0;
	is_for_file = !strcmp(hook, "security_file_permission");
	probe.kp.symbol_name = hook;
	return register_kretprobe(&probe);
}

static void __exit watch_refuse_exit(void)
{
	if (*hook)
		unregister_kretprobe(&probe);
}

module_init(watch_refuse_init);
module_exit(watch_refuse_exit);
MODULE_DESCRIPTION("Refuses what a security module could");
MODULE_LICENSE("GPL");

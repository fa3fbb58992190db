// SPDX-License-Identifier: GPL-2.0
/*
 * Counts the calls of a security hook and, on request, has them say no, as
 * a security module would that cannot be loaded.
 */

#include <linux/errno.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/ptrace.h>

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

static int on_return(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	atomic_inc(&calls);
	if (READ_ONCE(refuse))
		regs_set_return_value(regs, -EACCES);
	return 0;
}

static struct kretprobe probe = { .handler = on_return, .maxactive = 64 };

static int __init watch_refuse_init(void)
{
	if (!*hook)
		return 0;
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

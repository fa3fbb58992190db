// SPDX-License-Identifier: GPL-2.0
/* Devices with nothing behind them, as many as the parameter says */

#include <linux/device.h>
#include <linux/err.h>
#include <linux/module.h>
#include <linux/mutex.h>

static const struct class devices = { .name = "watch_devices" };
static DEFINE_MUTEX(lock);
static struct device *present[256];
static unsigned int count;

static int set_count(unsigned int wanted)
{
	struct device *device;

	guard(mutex)(&lock);
	while (count < wanted) {
		device = device_create(&devices, NULL, 0, NULL, "watched%u", count);
		if (IS_ERR(device))
			return PTR_ERR(device);
		present[count++] = device;
	}
	while (count > wanted)
		device_unregister(present[--count]);
	return 0;
}

static int write_count(const char *value, const struct kernel_param *param)
{
	unsigned int wanted;
	int ret = kstrtouint(value, 0, &wanted);

	if (ret)
		return ret;
	return wanted <= ARRAY_SIZE(present) ? set_count(wanted) : -EINVAL;
}

static const struct kernel_param_ops count_ops = { .set = write_count };
module_param_cb(count, &count_ops, NULL, 0200);
MODULE_PARM_DESC(count, "How many devices there are to be");

static int __init watch_devices_init(void)
{
	return class_register(&devices);
}

static void __exit watch_devices_exit(void)
{
	set_count(0);
	class_unregister(&devices);
}

module_init(watch_devices_init);
module_exit(watch_devices_exit);
MODULE_DESCRIPTION("Devices that come and go");
MODULE_LICENSE("GPL");

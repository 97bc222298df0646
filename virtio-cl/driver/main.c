// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * virtio-cl: OpenCL for a VM's programs, by a device of the host's.
 *
 * Theory of operation: the driver moves no data. A program opens /dev/virtio-cl and asks for a
 * session; the driver takes memory for the rings and later for the heap, and tells the host where
 * in the guest's memory it lies. Program and host then talk through it. What is left for the driver
 * is to ring the host's doorbell, to wake programs, and to keep account of what memory the host may
 * write to: none of it is given back before the host has said that it let go.
 */
#include <linux/module.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/virtio_config.h>

#include "vcl.h"

struct workqueue_struct *vcl_wq;

static unsigned int sessions;
module_param(sessions, uint, 0644);
MODULE_PARM_DESC(sessions, "Sessions that may be open at one time (0: as many as the host allows)");

/* A second device is refused: there is one /dev/virtio-cl. */
static atomic_t taken = ATOMIC_INIT(0);

static int config_read(struct vcl_device *device)
{
	struct virtio_device *vdev = device->vdev;
	u32 limit = READ_ONCE(sessions);

	virtio_cread_le(vdev, struct virtio_cl_config, max_sessions, &device->max_sessions);
	virtio_cread_le(vdev, struct virtio_cl_config, max_segments, &device->max_segments);
	device->max_segments = min(device->max_segments, VIRTIO_CL_SEGMENTS_MAX);
	if (limit)
		device->max_sessions = min(device->max_sessions, limit);
	/* A chunk of scattered pages must fit into one request. */
	if (device->max_segments < VCL_CHUNK_PAGES || !device->max_sessions) {
		dev_err(&vdev->dev,
			"the host allows %u sessions and %u segments: update guestcld on the host\n",
			device->max_sessions, device->max_segments);
		return -EINVAL;
	}
	return 0;
}

static struct vcl_device *vcl_device_create(struct virtio_device *vdev)
{
	struct vcl_device *device = kzalloc(sizeof(*device), GFP_KERNEL);

	if (!device)
		return NULL;
	device->event_buffers = kcalloc(VCL_EVENTS, sizeof(*device->event_buffers), GFP_KERNEL);
	if (!device->event_buffers) {
		kfree(device);
		return NULL;
	}
	kref_init(&device->ref);
	device->vdev = vdev;
	device->dev = get_device(&vdev->dev);
	device->carrier = vdev->id.device;
	device->instance = get_random_u64() | 1;
	mutex_init(&device->life);
	spin_lock_init(&device->lock);
	INIT_LIST_HEAD(&device->waiting);
	INIT_LIST_HEAD(&device->sent);
	INIT_LIST_HEAD(&device->sessions);
	init_waitqueue_head(&device->answers);
	hash_init(device->by_id);
	INIT_DELAYED_WORK(&device->work, vcl_host_work);
	INIT_DELAYED_WORK(&device->beat, vcl_host_beat);
	device->misc.minor = MISC_DYNAMIC_MINOR;
	device->misc.name = "virtio-cl";
	device->misc.mode = 0660;
	device->misc.fops = &vcl_fops;
	device->misc.parent = &vdev->dev;
	return device;
}

/* Nothing of ours runs when this returns. */
static void vcl_device_stop(struct vcl_device *device)
{
	spin_lock_irq(&device->lock);
	WRITE_ONCE(device->removed, true);
	spin_unlock_irq(&device->lock);
	cancel_delayed_work_sync(&device->beat);
	cancel_delayed_work_sync(&device->work);
	mutex_lock(&device->life);
	vcl_queues_stop(device);
	spin_lock_irq(&device->lock);
	device->host = VCL_HOST_ABSENT;
	spin_unlock_irq(&device->lock);
	mutex_unlock(&device->life);
}

static int vcl_probe(struct virtio_device *vdev)
{
	struct vcl_device *device;
	int err;

	if (atomic_cmpxchg(&taken, 0, 1)) {
		dev_err(&vdev->dev, "there is a virtio-cl device already: give the VM one only\n");
		return -EBUSY;
	}
	device = vcl_device_create(vdev);
	if (!device) {
		err = -ENOMEM;
		goto err_taken;
	}
	vdev->priv = device;
	err = config_read(device);
	if (err)
		goto err_put;
	err = vcl_queues_start(device);
	if (err)
		goto err_put;
	vcl_host_greet(device);
	err = misc_register(&device->misc);
	if (err)
		goto err_stop;
	vcl_debugfs_add(device);
	return 0;

err_stop:
	vcl_device_stop(device);
err_put:
	vdev->priv = NULL;
	vcl_device_put(device);
err_taken:
	atomic_set(&taken, 0);
	return err;
}

static void vcl_remove(struct virtio_device *vdev)
{
	struct vcl_device *device = vdev->priv;

	misc_deregister(&device->misc);
	vcl_debugfs_remove(device);
	vcl_sessions_leave(device);
	vcl_device_stop(device);
	vcl_sessions_orphan(device);
	vdev->priv = NULL;
	vcl_device_put(device);
	atomic_set(&taken, 0);
}

/* May be called in an interrupt. */
static void vcl_config_changed(struct virtio_device *vdev)
{
	vcl_host_news(vdev->priv, VCL_NEWS_CONFIG);
}

#ifdef CONFIG_PM_SLEEP
/*
 * Programs and the workqueue are frozen. The host keeps the sessions' memory, and does not touch it
 * until it is greeted by the same instance.
 */
static int vcl_freeze(struct virtio_device *vdev)
{
	struct vcl_device *device = vdev->priv;
	int err = vcl_host_drain(device);

	if (err) {
		dev_warn(device->dev, "the host is slow to answer: not suspending\n");
		return err;
	}
	mutex_lock(&device->life);
	vcl_queues_stop(device);
	spin_lock_irq(&device->lock);
	device->host = VCL_HOST_ABSENT;
	spin_unlock_irq(&device->lock);
	mutex_unlock(&device->life);
	return 0;
}

static int vcl_restore(struct virtio_device *vdev)
{
	struct vcl_device *device = vdev->priv;
	int err;

	mutex_lock(&device->life);
	err = vcl_queues_start(device);
	mutex_unlock(&device->life);
	if (err)
		return err;
	vcl_host_greet(device);
	wait_event_timeout(device->answers, READ_ONCE(device->host) != VCL_HOST_GREETING,
			   VCL_TICKS_CLOSE * VCL_TICK);
	/* What was queued when the workqueue froze is to be done now. */
	queue_delayed_work(vcl_wq, &device->work, 0);
	return 0;
}
#endif

static const struct virtio_device_id vcl_ids[] = {
	{VIRTIO_CL_ID, VIRTIO_DEV_ANY_ID},
	{VIRTIO_CL_ID_SHELL, VIRTIO_DEV_ANY_ID},
	{0},
};
MODULE_DEVICE_TABLE(virtio, vcl_ids);

static const unsigned int vcl_features[] = {VIRTIO_CL_SHELL_BIT};

static struct virtio_driver vcl_driver = {
	.driver.name = KBUILD_MODNAME,
	.driver.owner = THIS_MODULE,
	.id_table = vcl_ids,
	.feature_table = vcl_features,
	.feature_table_size = ARRAY_SIZE(vcl_features),
	.validate = vcl_carrier_validate,
	.probe = vcl_probe,
	.remove = vcl_remove,
	.config_changed = vcl_config_changed,
#ifdef CONFIG_PM_SLEEP
	.freeze = vcl_freeze,
	.restore = vcl_restore,
#endif
};

static int __init vcl_init(void)
{
	int err;

	vcl_wq = alloc_workqueue("virtio_cl", WQ_UNBOUND | WQ_FREEZABLE, 0);
	if (!vcl_wq)
		return -ENOMEM;
	vcl_debugfs_init();
	err = register_virtio_driver(&vcl_driver);
	if (err) {
		vcl_debugfs_exit();
		destroy_workqueue(vcl_wq);
	}
	return err;
}

static void __exit vcl_exit(void)
{
	unregister_virtio_driver(&vcl_driver);
	vcl_carrier_unwatch();
	vcl_debugfs_exit();
	destroy_workqueue(vcl_wq);
	vcl_orphans_forget();
}

module_init(vcl_init);
module_exit(vcl_exit);
MODULE_AUTHOR("guestcl contributors");
MODULE_DESCRIPTION("OpenCL for the programs of a VM, by a device of the host's");
MODULE_LICENSE("Dual MIT/GPL");
MODULE_VERSION(VCL_MODULE_VERSION);

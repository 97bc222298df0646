// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Is this device ours? A virtio-cl device of its own id is; a block device is if no disk can be one
 * like it.
 *
 * Whatever loads first, the other driver must find what it needs. virtio_blk declines the shell
 * (its block size is none), but leaves it half set up: we reset it and negotiate anew. A disk that
 * we looked at first is as if nobody had: the core calls a device failed whose driver declines it,
 * and there are devices that take that for the end, so it is reset before the next driver has its
 * turn.
 */
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>

#include "vcl.h"

static_assert(VIRTIO_CL_ID_SHELL == VIRTIO_ID_BLOCK);
static_assert(VIRTIO_CL_SHELL_BIT == VIRTIO_BLK_F_BLK_SIZE);
static_assert(offsetof(struct virtio_cl_config, shell_blk_size) ==
	      offsetof(struct virtio_blk_config, blk_size));
static_assert(offsetof(struct virtio_cl_config, num_queues) ==
	      offsetof(struct virtio_blk_config, num_queues));

/*
 * Reads no further than a device with VIRTIO_BLK_F_BLK_SIZE must have a configuration space:
 * virtio-pci ends the kernel when it is asked for more than there is.
 */
static bool is_shell(struct virtio_device *vdev)
{
	u64 zero;
	u32 magic, blk_size;

	if (!__virtio_test_bit(vdev, VIRTIO_F_VERSION_1) ||
	    !__virtio_test_bit(vdev, VIRTIO_CL_SHELL_BIT))
		return false;
	virtio_cread_le(vdev, struct virtio_cl_config, zero, &zero);
	virtio_cread_le(vdev, struct virtio_cl_config, magic, &magic);
	virtio_cread_le(vdev, struct virtio_cl_config, shell_blk_size, &blk_size);
	return !zero && magic == VIRTIO_CL_MAGIC && blk_size <= VIRTIO_CL_SHELL_BLK_SIZE_MAX;
}

static bool is_own(struct virtio_device *vdev)
{
	u32 magic;

	if (!__virtio_test_bit(vdev, VIRTIO_F_VERSION_1))
		return false;
	virtio_cread_le(vdev, struct virtio_cl_config, magic, &magic);
	return magic == VIRTIO_CL_MAGIC;
}

/*
 * vcl_carrier_negotiate() - reset the device and say which of its features are used
 * @vdev: its features are set to what was agreed on before
 *
 * Return: 0, -errno. What is left is to confirm (VIRTIO_CONFIG_S_FEATURES_OK).
 */
int vcl_carrier_negotiate(struct virtio_device *vdev)
{
	virtio_reset_device(vdev);
	virtio_add_status(vdev, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	virtio_add_status(vdev, VIRTIO_CONFIG_S_DRIVER);
	return vdev->config->finalize_features(vdev);
}

static int carrier_notify(struct notifier_block *block, unsigned long action, void *data)
{
	struct device *dev = data;
	struct virtio_device *vdev = dev_to_virtio(dev);

	if (action != BUS_NOTIFY_DRIVER_NOT_BOUND || !dev->driver ||
	    dev->driver->owner != THIS_MODULE)
		return NOTIFY_DONE;
	virtio_reset_device(vdev);
	virtio_add_status(vdev, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	return NOTIFY_OK;
}

static struct notifier_block carrier_block = {
	.notifier_call = carrier_notify,
};

/* The bus that is watched, known from the first device on. */
static typeof(((struct device *)NULL)->bus) carrier_bus;
static DEFINE_MUTEX(carrier_lock);

static void carrier_watch(struct virtio_device *vdev)
{
	mutex_lock(&carrier_lock);
	if (!carrier_bus && !bus_register_notifier(vdev->dev.bus, &carrier_block))
		carrier_bus = vdev->dev.bus;
	mutex_unlock(&carrier_lock);
}

/* When the driver is unregistered. */
void vcl_carrier_unwatch(void)
{
	if (carrier_bus)
		bus_unregister_notifier(carrier_bus, &carrier_block);
}

/*
 * vcl_carrier_validate() - the driver's validate(): called when features can be changed still
 * @vdev: a device of one of our ids
 *
 * Return: 0, -ENODEV if it is none of ours, -errno.
 */
int vcl_carrier_validate(struct virtio_device *vdev)
{
	bool shell = vdev->id.device == VIRTIO_CL_ID_SHELL;
	u32 version;

	carrier_watch(vdev);
	if (!vdev->config->get || !(shell ? is_shell(vdev) : is_own(vdev)))
		return -ENODEV;
	virtio_cread_le(vdev, struct virtio_cl_config, version, &version);
	if (version != VIRTIO_CL_VERSION) {
		dev_err(&vdev->dev,
			"the host speaks version %u of virtio-cl, this driver %u: update the older\n",
			version, VIRTIO_CL_VERSION);
		return -ENODEV;
	}
	/* The host is told addresses of memory as the guest sees it: no IOMMU in between. */
	__virtio_clear_bit(vdev, VIRTIO_F_ACCESS_PLATFORM);
	__virtio_clear_bit(vdev, VIRTIO_CL_SHELL_BIT);
	return vcl_carrier_negotiate(vdev);
}

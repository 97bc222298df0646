// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The device's queues: set up, torn down, rung.
 */
#include <linux/minmax.h>
#include <linux/rcupdate.h>
#include <linux/virtio_config.h>

#include "compat.h"
#include "vcl.h"

#define QUEUES_MAX (VIRTIO_CL_QUEUE_DOORBELL + VCL_DOORBELLS_MAX)

static int queues_find(struct vcl_device *device, unsigned int count)
{
	struct virtqueue *queues[QUEUES_MAX] = {};
	struct virtqueue_info info[QUEUES_MAX] = {};
	unsigned int i;
	int err;

	for (i = 0; i < count; i++)
		info[i].name = "doorbell";
	info[VIRTIO_CL_QUEUE_CONTROL].name = "control";
	info[VIRTIO_CL_QUEUE_CONTROL].callback = vcl_control_answered;
	info[VIRTIO_CL_QUEUE_EVENT].name = "event";
	info[VIRTIO_CL_QUEUE_EVENT].callback = vcl_events_came;
	err = vcl_find_vqs(device->vdev, count, queues, info);
	if (err)
		return err;
	device->control = queues[VIRTIO_CL_QUEUE_CONTROL];
	device->events = queues[VIRTIO_CL_QUEUE_EVENT];
	device->doorbell_count = count - VIRTIO_CL_QUEUE_DOORBELL;
	for (i = 0; i < device->doorbell_count; i++)
		device->doorbells[i] = queues[VIRTIO_CL_QUEUE_DOORBELL + i];
	return 0;
}

/*
 * vcl_queues_start() - set up the queues of a device whose features are negotiated
 * @device: its queues do not run
 *
 * Return: 0, -errno.
 */
int vcl_queues_start(struct vcl_device *device)
{
	u16 count;
	int err;

	virtio_cread_le(device->vdev, struct virtio_cl_config, num_queues, &count);
	count = clamp_t(u16, count, VIRTIO_CL_QUEUES_MIN, QUEUES_MAX);
	err = queues_find(device, count);
	if (err == -ENOENT && count > VIRTIO_CL_QUEUES_MIN) /* it says more than it has */
		err = queues_find(device, VIRTIO_CL_QUEUES_MIN);
	if (err)
		return err;
	virtio_device_ready(device->vdev);
	spin_lock_irq(&device->lock);
	device->running = true;
	spin_unlock_irq(&device->lock);
	vcl_events_fill(device);
	return 0;
}

/*
 * vcl_queues_stop() - reset the device and tear its queues down
 * @device: its queues run, or not
 *
 * Requests that were not answered fail with -ECONNRESET.
 */
void vcl_queues_stop(struct vcl_device *device)
{
	bool running;

	spin_lock_irq(&device->lock);
	running = device->running;
	WRITE_ONCE(device->running, false);
	spin_unlock_irq(&device->lock);
	if (!running)
		return;
	synchronize_rcu(); /* pairs with vcl_doorbell_ring() */
	virtio_reset_device(device->vdev);
	spin_lock_irq(&device->lock);
	vcl_control_fail_locked(device);
	spin_unlock_irq(&device->lock);
	while (virtqueue_detach_unused_buf(device->control))
		;
	while (virtqueue_detach_unused_buf(device->events))
		;
	device->vdev->config->del_vqs(device->vdev);
	wake_up_all(&device->answers);
}

/* The queue carries no buffers: to notify the device of it is all. */
void vcl_doorbell_ring(struct vcl_device *device, u32 doorbell)
{
	rcu_read_lock();
	if (READ_ONCE(device->running))
		virtqueue_notify(device->doorbells[doorbell]);
	rcu_read_unlock();
}

// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The event queue: the host wakes sessions, and says which have ended.
 */
#include <linux/scatterlist.h>

#include "vcl.h"

static int event_add(struct vcl_device *device, struct virtio_cl_event *event)
{
	struct scatterlist in;

	memset(event, 0, sizeof(*event));
	sg_init_one(&in, event, sizeof(*event));
	return virtqueue_add_inbuf(device->events, &in, 1, event, GFP_ATOMIC);
}

void vcl_events_fill(struct vcl_device *device)
{
	unsigned int i;

	spin_lock_irq(&device->lock);
	for (i = 0; i < VCL_EVENTS; i++)
		if (event_add(device, &device->event_buffers[i]))
			break;
	virtqueue_kick(device->events);
	spin_unlock_irq(&device->lock);
}

static void session_event(struct vcl_device *device, u32 type, u32 id)
{
	struct vcl_session *session = vcl_session_find_locked(device, id);

	if (!session) {
		/* The answer that opened it may lie in the control queue still. */
		vcl_control_collect_locked(device);
		session = vcl_session_find_locked(device, id);
	}
	if (!session)
		return; /* closed meanwhile */
	if (type == VIRTIO_CL_EVENT_WAKE)
		vcl_session_wake_locked(session);
	else
		vcl_session_end_locked(session);
}

static void event_handle(struct vcl_device *device, const struct virtio_cl_event *event)
{
	u32 type = le32_to_cpu(event->type);
	u32 id = le32_to_cpu(event->session);

	switch (type) {
	case VIRTIO_CL_EVENT_WAKE:
	case VIRTIO_CL_EVENT_SESSION_ENDED:
		session_event(device, type, id);
		break;
	case VIRTIO_CL_EVENT_ALL_ENDED:
		/* The answer to HELLO, if it is yet to come, tells as much. */
		if (!device->greeting && device->greeted_instance == device->instance &&
		    id != device->epoch)
			vcl_host_news(device, VCL_NEWS_RESET);
		break;
	default:
		dev_warn_ratelimited(device->dev, "the host sent an event of unknown type %u\n",
				     type);
	}
}

void vcl_events_came(struct virtqueue *vq)
{
	struct vcl_device *device = vq->vdev->priv;
	struct virtio_cl_event *event;
	unsigned long flags;
	unsigned int size;

	spin_lock_irqsave(&device->lock, flags);
	while (device->running && (event = virtqueue_get_buf(vq, &size)) != NULL) {
		struct virtio_cl_event copy = *event;

		device->heard = true;
		if (size >= sizeof(copy))
			event_handle(device, &copy);
		if (event_add(device, event))
			break;
	}
	if (device->running && virtqueue_is_broken(vq))
		vcl_host_news(device, VCL_NEWS_RESET);
	else if (device->running)
		virtqueue_kick(vq);
	spin_unlock_irqrestore(&device->lock, flags);
	wake_up_all(&device->answers);
}

// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Is the host there, and is it the one that was there before?
 *
 * HELLO says who we are (the instance), and is answered with the host's epoch. If both are the same
 * as before, sessions go on; else this is another life, counted by vcl_device.generation: the host
 * has let go of everything earlier before it answers.
 *
 * When the host's daemon died, the queues cannot be trusted any more (what it had taken out of them
 * is lost or comes twice). So a sign of its successor leads to a reset of the device, under a new
 * instance. While there is no sign of anybody, the device is left alone: a VMM that waits for a
 * daemon that hangs would stop the whole VM.
 */
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/virtio_config.h>

#include "vcl.h"

void vcl_host_news(struct vcl_device *device, enum vcl_news news)
{
	set_bit(news, &device->news);
	queue_delayed_work(vcl_wq, &device->work, 0);
}

static void hello_answered(struct vcl_device *device, struct vcl_request *request)
{
	const struct virtio_cl_hello_response *response = request->in;
	const struct virtio_cl_hello *hello = request->out;
	u64 instance = le64_to_cpu(hello->instance);
	u32 epoch = le32_to_cpu(response->epoch);
	bool other = instance != device->greeted_instance || epoch != device->epoch;

	device->greeting = false;
	if (request->error == -ECONNRESET)
		return;
	if (request->error) {
		dev_warn_ratelimited(device->dev, "the host refuses to talk (error %d)\n",
				     -request->error);
		device->host = VCL_HOST_ABSENT;
		return;
	}
	if (other && instance == device->greeted_instance) {
		/* It has restarted under the queues, which are not to be trusted any more. */
		device->host = VCL_HOST_ABSENT;
		vcl_host_news(device, VCL_NEWS_RESET);
		return;
	}
	if (other)
		device->generation++;
	device->greeted_instance = instance;
	device->epoch = epoch;
	device->host = VCL_HOST_PRESENT;
	vcl_host_news(device, other ? VCL_NEWS_OTHER_LIFE : VCL_NEWS_SAME_LIFE);
}

/*
 * vcl_host_greet() - say HELLO, unless one is on its way
 */
void vcl_host_greet(struct vcl_device *device)
{
	struct vcl_request *request =
		vcl_request_alloc(VIRTIO_CL_HELLO, 0, sizeof(struct virtio_cl_hello),
				  sizeof(struct virtio_cl_hello_response),
				  GFP_KERNEL | __GFP_NOFAIL);
	struct virtio_cl_hello *hello = request->out;

	request->answered = hello_answered;
	spin_lock_irq(&device->lock);
	hello->instance = cpu_to_le64(device->instance);
	if (device->running && !device->greeting) {
		device->greeting = true;
		device->silent = 0;
		if (device->host == VCL_HOST_ABSENT)
			device->host = VCL_HOST_GREETING;
		vcl_request_send_locked(device, request);
	}
	spin_unlock_irq(&device->lock);
	vcl_request_put(request);
	queue_delayed_work(vcl_wq, &device->beat, VCL_TICK);
}

static void ping_answered(struct vcl_device *device, struct vcl_request *request)
{
	device->pinging = false;
	if (request->error == -ECONNRESET)
		return;
	if (request->error && !device->greeting)
		vcl_host_news(device, VCL_NEWS_RESET); /* a host that we did not greet */
	else if (device->host == VCL_HOST_ABSENT)
		vcl_host_news(device, VCL_NEWS_BACK);
}

static void host_ping(struct vcl_device *device)
{
	struct vcl_request *request =
		vcl_request_alloc(VIRTIO_CL_PING, 0, sizeof(struct virtio_cl_request),
				  sizeof(struct virtio_cl_response), GFP_KERNEL | __GFP_NOFAIL);

	request->answered = ping_answered;
	spin_lock_irq(&device->lock);
	if (device->running && !device->pinging) {
		device->pinging = true;
		device->silent = 0;
		vcl_request_send_locked(device, request);
	}
	spin_unlock_irq(&device->lock);
	vcl_request_put(request);
}

static bool anybody_waits(struct vcl_device *device)
{
	struct vcl_session *session;

	list_for_each_entry(session, &device->sessions, link)
		if (session->state == VCL_OPEN && !session->ended && wq_has_sleeper(&session->wait))
			return true;
	return false;
}

/* Once a tick while there are sessions or a HELLO is on its way. */
void vcl_host_beat(struct work_struct *work)
{
	struct vcl_device *device = container_of(work, struct vcl_device, beat.work);
	bool lost = false, ping = false, more;

	spin_lock_irq(&device->lock);
	device->quiet = device->heard ? 0 : device->quiet + 1;
	device->silent = device->heard ? 0 : device->silent + 1;
	device->heard = false;
	if ((device->greeting || device->pinging) && device->silent >= VCL_TICKS_SILENT &&
	    device->host != VCL_HOST_ABSENT) {
		device->host = VCL_HOST_ABSENT;
		lost = true;
	}
	if (device->host == VCL_HOST_PRESENT && !device->pinging && device->quiet >= 2)
		ping = anybody_waits(device);
	if (device->host == VCL_HOST_PRESENT)
		vcl_sessions_retry_locked(device);
	more = device->running && (device->host == VCL_HOST_GREETING ||
				   (device->host == VCL_HOST_PRESENT &&
				    (device->greeting || !list_empty(&device->sessions))));
	spin_unlock_irq(&device->lock);
	if (lost) {
		dev_warn(device->dev,
			 "the host does not answer: start guestcld on it, or see its log\n");
		vcl_sessions_end(device);
		wake_up_all(&device->answers);
	}
	if (ping)
		host_ping(device);
	if (more)
		queue_delayed_work(vcl_wq, &device->beat, VCL_TICK);
}

static int host_restart(struct vcl_device *device)
{
	struct virtio_device *vdev = device->vdev;
	int err;

	vcl_queues_stop(device);
	device->instance = get_random_u64() | 1;
	err = vcl_carrier_negotiate(vdev);
	if (err)
		return err;
	virtio_add_status(vdev, VIRTIO_CONFIG_S_FEATURES_OK);
	if (!(vdev->config->get_status(vdev) & VIRTIO_CONFIG_S_FEATURES_OK))
		return -ENODEV;
	return vcl_queues_start(device);
}

static void host_reset(struct vcl_device *device)
{
	int err;

	/* A host that asks for it without end gets one a tick. */
	if (device->reset_at && time_before(jiffies, device->reset_at + VCL_TICK)) {
		set_bit(VCL_NEWS_RESET, &device->news);
		queue_delayed_work(vcl_wq, &device->work, VCL_TICK);
		return;
	}
	device->reset_at = jiffies;
	spin_lock_irq(&device->lock);
	device->host = VCL_HOST_ABSENT;
	spin_unlock_irq(&device->lock);
	vcl_sessions_end(device);
	mutex_lock(&device->life);
	err = device->removed || !device->running ? 0 : host_restart(device);
	if (err) {
		dev_err(device->dev,
			"cannot set the device up anew (error %d): reload the driver\n", -err);
		virtio_add_status(device->vdev, VIRTIO_CONFIG_S_FAILED);
	}
	mutex_unlock(&device->life);
	vcl_host_greet(device);
}

static bool needs_reset(struct vcl_device *device)
{
	bool needs = false;

	mutex_lock(&device->life);
	if (!device->removed && device->running)
		needs = device->vdev->config->get_status(device->vdev) &
			VIRTIO_CONFIG_S_NEEDS_RESET;
	mutex_unlock(&device->life);
	return needs;
}

void vcl_host_work(struct work_struct *work)
{
	struct vcl_device *device = container_of(work, struct vcl_device, work.work);

	if (test_and_clear_bit(VCL_NEWS_CONFIG, &device->news) && needs_reset(device))
		set_bit(VCL_NEWS_RESET, &device->news);
	if (test_and_clear_bit(VCL_NEWS_RESET, &device->news))
		host_reset(device);
	if (test_and_clear_bit(VCL_NEWS_BACK, &device->news))
		vcl_host_greet(device);
	if (test_and_clear_bit(VCL_NEWS_SAME_LIFE, &device->news))
		vcl_sessions_settle(device, true);
	if (test_and_clear_bit(VCL_NEWS_OTHER_LIFE, &device->news)) {
		vcl_sessions_settle(device, false);
		vcl_orphans_free();
	}
	wake_up_all(&device->answers);
}

/*
 * vcl_host_wait() - wait for an answer to HELLO, if one may come
 *
 * Return: 0 when the host is there, -EHOSTDOWN, -EINTR, -EPIPE, -ENODEV.
 */
int vcl_host_wait(struct vcl_session *session)
{
	struct vcl_device *device = session->device;
	unsigned int ticks = VCL_TICKS_SILENT;

	if (READ_ONCE(device->host) == VCL_HOST_ABSENT)
		vcl_host_greet(device);
	while (READ_ONCE(device->host) == VCL_HOST_GREETING && ticks--) {
		long left =
			wait_event_killable_timeout(device->answers,
						    READ_ONCE(device->host) != VCL_HOST_GREETING ||
							    READ_ONCE(session->leaving) ||
							    READ_ONCE(device->removed),
						    VCL_TICK);

		if (left < 0)
			return -EINTR;
		if (READ_ONCE(device->removed))
			return -ENODEV;
		if (READ_ONCE(session->leaving))
			return -EPIPE;
	}
	queue_delayed_work(vcl_wq, &device->beat, VCL_TICK);
	return READ_ONCE(device->host) == VCL_HOST_PRESENT ? 0 : -EHOSTDOWN;
}

/*
 * vcl_host_drain() - wait for the answers to all requests
 *
 * Return: 0, also when nobody is there to answer; -EBUSY.
 */
int vcl_host_drain(struct vcl_device *device)
{
	unsigned int ticks;

	for (ticks = 0; ticks < VCL_TICKS_SILENT; ticks++)
		if (device->host != VCL_HOST_PRESENT ||
		    wait_event_timeout(device->answers,
				       list_empty_careful(&device->sent) &&
					       list_empty_careful(&device->waiting),
				       VCL_TICK))
			return 0;
	return -EBUSY;
}

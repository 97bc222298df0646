// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * /dev/virtio-cl: what programs ask of the driver.
 */
#include <linux/compat.h>
#include <linux/fs.h>
#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "vcl.h"

static void device_free(struct kref *ref)
{
	struct vcl_device *device = container_of(ref, struct vcl_device, ref);

	put_device(device->dev);
	kfree(device->event_buffers);
	kfree(device);
}

void vcl_device_put(struct vcl_device *device)
{
	kref_put(&device->ref, device_free);
}

static int vcl_file_open(struct inode *inode, struct file *file)
{
	/* There is one: misc_open() keeps it from going away meanwhile. */
	struct vcl_device *device = container_of(file->private_data, struct vcl_device, misc);
	struct vcl_session *session = vcl_session_create(device, file->f_mapping);

	if (IS_ERR(session))
		return PTR_ERR(session);
	file->private_data = session;
	return stream_open(inode, file);
}

/*
 * Each close() of a descriptor ends up here, of copies in children as well: a session ends when the
 * process that opened it closes it, be it by exiting. Whatever a child does with its copy is
 * nothing to the session.
 */
static int vcl_file_flush(struct file *file, fl_owner_t id)
{
	struct vcl_session *session = file->private_data;

	if (READ_ONCE(session->opener) == task_tgid(current))
		vcl_session_leave(session, VCL_TICKS_CLOSE);
	return 0;
}

static int vcl_file_release(struct inode *inode, struct file *file)
{
	struct vcl_session *session = file->private_data;

	vcl_session_leave(session, 0);
	vcl_session_put(session);
	return 0;
}

static __poll_t vcl_file_poll(struct file *file, poll_table *table)
{
	struct vcl_session *session = file->private_data;
	__poll_t mask = 0;

	poll_wait(file, &session->wait, table);
	if (READ_ONCE(session->unread))
		mask |= EPOLLIN | EPOLLRDNORM;
	if (READ_ONCE(session->ended) || READ_ONCE(session->leaving) ||
	    READ_ONCE(session->device->removed))
		mask |= EPOLLIN | EPOLLRDHUP | EPOLLHUP;
	return mask;
}

static bool read_is_over(struct vcl_session *session)
{
	return READ_ONCE(session->unread) || vcl_session_check(session);
}

static ssize_t vcl_file_read(struct file *file, char __user *buffer, size_t size, loff_t *offset)
{
	struct vcl_session *session = file->private_data;
	u64 wakes;
	int err;

	if (size < sizeof(wakes))
		return -EINVAL;
	for (;;) {
		spin_lock_irq(&session->device->lock);
		wakes = session->unread;
		session->unread = 0;
		spin_unlock_irq(&session->device->lock);
		if (wakes)
			break;
		err = vcl_session_check(session);
		if (err)
			return err == -EPIPE ? 0 : err;
		if (file->f_flags & O_NONBLOCK)
			return -EAGAIN;
		err = wait_event_interruptible(session->wait, read_is_over(session));
		if (err)
			return err;
	}
	return copy_to_user(buffer, &wakes, sizeof(wakes)) ? -EFAULT : sizeof(wakes);
}

static long ioctl_info(struct vcl_session *session, void __user *argument)
{
	struct vcl_device *device = session->device;
	struct virtio_cl_ioc_info info = {
		.version = VIRTIO_CL_VERSION,
		.heap_max = round_down(vcl_heap_limit(), VIRTIO_CL_CHUNK),
		.pin_max = vcl_pin_limit(),
		.carrier = device->carrier,
		.sessions = READ_ONCE(device->session_count),
	};
	int err = vcl_host_wait(session);

	if (err == -EINTR)
		return err;
	if (!err)
		info.flags |= VIRTIO_CL_INFO_PRESENT;
	return copy_to_user(argument, &info, sizeof(info)) ? -EFAULT : 0;
}

/* One line for the user where the host has said nothing. */
static const char *open_text(int err)
{
	switch (err) {
	case -EHOSTDOWN:
		return "the host does not answer: start guestcld on the host";
	case -ETIMEDOUT:
		return "the host did not answer in time: see guestcld's log on the host";
	case -EMFILE:
		return "this VM has all sessions open that it may: end a program that uses OpenCL";
	case -ENOMEM:
		return "no memory for the rings: give the VM more memory";
	case -ECONNRESET:
	case -EPIPE:
		return "guestcld on the host has restarted: try again";
	case -EISCONN:
		return "this file has a session already: open the device once more";
	case -EPROTO:
		return "the host gave an answer that makes no sense: update guestcld on the host";
	case -ENODEV:
		return "the device has been removed";
	default:
		return "the session was not opened: see guestcld's log on the host";
	}
}

static long ioctl_open(struct vcl_session *session, void __user *argument)
{
	struct virtio_cl_ioc_open *open = memdup_user(argument, sizeof(*open));
	int err;

	if (IS_ERR(open))
		return PTR_ERR(open);
	memset(open->text, 0, sizeof(open->text));
	open->session = 0;
	err = mutex_lock_killable(&session->call);
	if (!err) {
		err = vcl_session_open(session, open);
		mutex_unlock(&session->call);
	}
	if (err && !open->text[0])
		strscpy(open->text, open_text(err), sizeof(open->text));
	if (copy_to_user(argument, open, sizeof(*open)))
		err = -EFAULT; /* what was opened is closed with the file */
	kfree(open);
	return err;
}

static long ioctl_range(struct vcl_session *session, void __user *argument,
			int (*function)(struct vcl_session *session,
					const struct virtio_cl_ioc_range *range))
{
	struct virtio_cl_ioc_range range;
	int err;

	if (copy_from_user(&range, argument, sizeof(range)))
		return -EFAULT;
	err = mutex_lock_killable(&session->call);
	if (err)
		return err;
	err = vcl_session_check(session);
	if (!err)
		err = function(session, &range);
	mutex_unlock(&session->call);
	return err;
}

static long ioctl_pin(struct vcl_session *session, void __user *argument)
{
	struct virtio_cl_ioc_pin pin;
	int err;

	if (copy_from_user(&pin, argument, sizeof(pin)))
		return -EFAULT;
	err = mutex_lock_killable(&session->call);
	if (err)
		return err;
	err = vcl_session_check(session);
	/* A child would pin its own memory, unknown to the opener. */
	if (!err && session->opener != task_tgid(current))
		err = -EPERM;
	if (!err)
		err = vcl_pin(session, &pin);
	mutex_unlock(&session->call);
	if (!err && copy_to_user(argument, &pin, sizeof(pin)))
		err = -EFAULT; /* it is unpinned with the session */
	return err;
}

static long ioctl_unpin(struct vcl_session *session, void __user *argument)
{
	struct virtio_cl_ioc_unpin unpin;
	int err;

	if (copy_from_user(&unpin, argument, sizeof(unpin)))
		return -EFAULT;
	err = mutex_lock_killable(&session->call);
	if (err)
		return err;
	err = vcl_session_check(session);
	if (!err)
		err = vcl_unpin(session, unpin.offset);
	mutex_unlock(&session->call);
	return err;
}

static long ioctl_doorbell(struct vcl_session *session)
{
	int err = vcl_session_check(session);

	if (err)
		return err;
	atomic64_inc(&session->doorbells);
	vcl_doorbell_ring(session->device, session->doorbell);
	return 0;
}

static long ioctl_counters(struct vcl_session *session, void __user *argument)
{
	struct virtio_cl_ioc_counters counters = {
		.doorbells = atomic64_read(&session->doorbells),
		.wakes = atomic64_read(&session->wakes),
		.requests = atomic64_read(&session->requests),
		.heap_bytes = atomic64_read(&session->heap_bytes),
		.pinned_bytes = atomic64_read(&session->pinned_bytes),
		.pins = atomic64_read(&session->pins),
	};

	return copy_to_user(argument, &counters, sizeof(counters)) ? -EFAULT : 0;
}

static long vcl_file_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	struct vcl_session *session = file->private_data;
	void __user *pointer = (void __user *)argument;

	switch (command) {
	case VIRTIO_CL_IOC_INFO:
		return ioctl_info(session, pointer);
	case VIRTIO_CL_IOC_OPEN:
		return ioctl_open(session, pointer);
	case VIRTIO_CL_IOC_POPULATE:
		return ioctl_range(session, pointer, vcl_heap_populate);
	case VIRTIO_CL_IOC_RELEASE:
		return ioctl_range(session, pointer, vcl_heap_release);
	case VIRTIO_CL_IOC_PIN:
		return ioctl_pin(session, pointer);
	case VIRTIO_CL_IOC_UNPIN:
		return ioctl_unpin(session, pointer);
	case VIRTIO_CL_IOC_DOORBELL:
		return ioctl_doorbell(session);
	case VIRTIO_CL_IOC_COUNTERS:
		return ioctl_counters(session, pointer);
	default:
		return -ENOTTY;
	}
}

const struct file_operations vcl_fops = {
	.owner = THIS_MODULE,
	.open = vcl_file_open,
	.flush = vcl_file_flush,
	.release = vcl_file_release,
	.poll = vcl_file_poll,
	.read = vcl_file_read,
	.unlocked_ioctl = vcl_file_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = vcl_mmap,
};

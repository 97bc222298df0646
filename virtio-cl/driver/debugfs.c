// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * /sys/kernel/debug/virtio-cl/: who uses the device, and how much. For people; tests use
 * VIRTIO_CL_IOC_COUNTERS.
 */
#include <linux/debugfs.h>
#include <linux/seq_file.h>

#include "vcl.h"

static struct dentry *debugfs_root;

static const char *const state_names[] = {
	[VCL_IDLE] = "idle",	   [VCL_OPENING] = "opening", [VCL_OPEN] = "open",
	[VCL_CLOSING] = "closing", [VCL_CLOSED] = "closed",
};

static const char *const host_names[] = {
	[VCL_HOST_GREETING] = "greeting",
	[VCL_HOST_PRESENT] = "present",
	[VCL_HOST_ABSENT] = "absent",
};

static int sessions_show(struct seq_file *file, void *data)
{
	struct vcl_device *device = file->private;
	struct vcl_session *session;

	spin_lock_irq(&device->lock);
	seq_printf(file, "host %s, epoch %u, generation %u\n", host_names[device->host],
		   device->epoch, device->generation);
	seq_puts(file, "session pid uid state heap pinned doorbells wakes requests program\n");
	list_for_each_entry(session, &device->sessions, link)
		seq_printf(file, "%u %u %u %s%s %lld %lld %lld %lld %lld %s\n", session->id,
			   session->pid, session->uid, state_names[session->state],
			   session->ended ? "(ended)" : "",
			   (s64)atomic64_read(&session->heap_bytes),
			   (s64)atomic64_read(&session->pinned_bytes),
			   (s64)atomic64_read(&session->doorbells),
			   (s64)atomic64_read(&session->wakes),
			   (s64)atomic64_read(&session->requests), session->program);
	spin_unlock_irq(&device->lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(sessions);

void vcl_debugfs_init(void)
{
	debugfs_root = debugfs_create_dir("virtio-cl", NULL);
}

void vcl_debugfs_exit(void)
{
	debugfs_remove(debugfs_root);
}

void vcl_debugfs_add(struct vcl_device *device)
{
	device->debugfs =
		debugfs_create_file("sessions", 0400, debugfs_root, device, &sessions_fops);
}

void vcl_debugfs_remove(struct vcl_device *device)
{
	debugfs_remove(device->debugfs);
}

/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What differs between the kernels that the driver is built for, 6.1 to 6.12 and later. All of it
 * goes when the driver moves into the kernel's tree.
 */
#ifndef _VCL_COMPAT_H
#define _VCL_COMPAT_H

#include <linux/mm.h>
#include <linux/version.h>
#include <linux/virtio_config.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
static inline void vm_flags_mod(struct vm_area_struct *vma, unsigned long set, unsigned long clear)
{
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
}
#endif

/* Before 6.2, pages that were pinned for reading alone could be replaced under the pin. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
#define VCL_PIN_READ (FOLL_WRITE | FOLL_FORCE)
#else
#define VCL_PIN_READ 0
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 11, 0)
struct virtqueue_info {
	const char *name;
	vq_callback_t *callback;
};
#endif

static inline int vcl_find_vqs(struct virtio_device *vdev, unsigned int count,
			       struct virtqueue *queues[], struct virtqueue_info *info)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 11, 0)
	vq_callback_t *callbacks[32];
	const char *names[32];
	unsigned int i;

	for (i = 0; i < count; i++) {
		callbacks[i] = info[i].callback;
		names[i] = info[i].name;
	}
	return virtio_find_vqs(vdev, count, queues, callbacks, names, NULL);
#else
	return virtio_find_vqs(vdev, count, queues, info, NULL);
#endif
}

#endif

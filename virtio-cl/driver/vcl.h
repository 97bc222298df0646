/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What the files of the driver share.
 *
 * A device has sessions, one for each open file of /dev/virtio-cl that asked for one. What a
 * session gives the host (rings, heap, pinned pages) belongs to the host until it has answered that
 * it let go: struct vcl_session says how that is kept track of.
 *
 * Locks, in the order in which they are taken:
 *   vcl_device.life	the queues are set up or torn down
 *   vcl_session.call	one ioctl at a time; held while the host is asked
 *   mmap_lock		of the program; the fault handler is called with it
 *   vcl_session.memory	what is populated, against the fault handler
 *   vcl_device.lock	queues, requests, sessions' states; taken in interrupts
 */
#ifndef _VCL_H
#define _VCL_H

#include <linux/atomic.h>
#include <linux/hashtable.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include <linux/virtio.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "virtio_cl.h"

#define VCL_DOORBELLS_MAX 16u
#define VCL_EVENTS	  64u
#define VCL_RINGS_MAX	  (64u << 20)
#define VCL_CHUNK_PAGES	  (VIRTIO_CL_CHUNK >> PAGE_SHIFT)
#define VCL_TICK	  HZ

/*
 * How long to wait for the host, in ticks. Ticks and not an end time: after the VM was stopped for
 * a while, the clock may jump, and the host shall have its time all the same.
 */
#define VCL_TICKS_OPEN	 15u /* a worker starts */
#define VCL_TICKS_CALL	 10u
#define VCL_TICKS_SILENT 5u /* no answer to PING or HELLO: nobody is there */
#define VCL_TICKS_CLOSE	 2u /* of close(); the rest is done behind its back */

enum vcl_host {
	VCL_HOST_GREETING, /* HELLO was sent just now */
	VCL_HOST_PRESENT,
	VCL_HOST_ABSENT,
};

/* What vcl_host_work has to look at. */
enum vcl_news {
	VCL_NEWS_OTHER_LIFE, /* HELLO was answered: the host knows no earlier session */
	VCL_NEWS_SAME_LIFE,  /* HELLO was answered: sessions go on */
	VCL_NEWS_BACK,	     /* the host answers again: greet it */
	VCL_NEWS_RESET,	     /* the device is to be set up anew, all sessions are lost */
	VCL_NEWS_CONFIG,
};

struct vcl_device {
	struct kref ref;
	struct virtio_device *vdev; /* while the queues run */
	struct device *dev;	    /* for messages; its reference is held */
	struct miscdevice misc;
	struct dentry *debugfs;

	u32 carrier;
	u32 max_sessions;
	u32 max_segments;

	struct mutex life; /* queues are set up or torn down */
	spinlock_t lock;   /* all that follows but the works */
	bool running;	   /* there are queues; read under RCU to ring, else under @lock */
	bool removed;
	struct virtqueue *control;
	struct virtqueue *events;
	struct virtqueue *doorbells[VCL_DOORBELLS_MAX];
	u32 doorbell_count;
	struct virtio_cl_event *event_buffers;

	struct list_head waiting; /* requests that found no room in the control queue */
	struct list_head sent;
	wait_queue_head_t answers; /* woken at every answer and when @host changes */

	struct list_head sessions;
	u32 session_count;
	DECLARE_HASHTABLE(by_id, 8);

	enum vcl_host host;
	unsigned long news;
	u64 instance;	      /* ours */
	u64 greeted_instance; /* the one that the host answered last, with @epoch */
	u32 epoch;
	u32 generation;	     /* counts what neither session nor host's memory outlives */
	bool greeting;	     /* a HELLO is on its way */
	bool pinging;	     /* a PING is */
	bool heard;	     /* something came since the last tick */
	unsigned int silent; /* ticks since HELLO or PING was sent */
	unsigned int quiet;  /* ticks in which nothing came */
	unsigned long reset_at;
	struct delayed_work work;
	struct delayed_work beat;
};

/* Pages that a session gave to the host. */
struct vcl_pages {
	struct list_head link; /* in limbo */
	unsigned int count;
	bool pinned;  /* belong to the program; else to us */
	bool written; /* by the host, if pinned */
	struct page *page[];
};

struct vcl_window {
	struct vcl_pages *pages;
	u64 offset; /* as the program knows it */
};

/*
 * A session's memory is given back only in VCL_CLOSED: the host refused to open it, has answered
 * that it is closed, or has begun a new life (the device's generation is another one) in which it
 * knows nothing of it. Until then it is kept, if need be after the file and even the device are
 * gone.
 */
enum vcl_state {
	VCL_IDLE,    /* VIRTIO_CL_IOC_OPEN has not been called */
	VCL_OPENING, /* the host was asked */
	VCL_OPEN,
	VCL_CLOSING, /* the host may use the memory still */
	VCL_CLOSED,
};

struct vcl_session {
	struct kref ref; /* the file, the device's list */
	struct vcl_device *device;
	struct list_head link;
	struct work_struct settle;

	/* Under the device's lock. */
	struct hlist_node by_id;
	enum vcl_state state;
	u32 id;
	u32 doorbell;
	u32 generation;
	bool close_sent;
	bool ended;   /* nothing more comes of it: the host says so, or isn't there */
	bool leaving; /* the file is being closed */
	u64 unread;   /* wake-ups */
	wait_queue_head_t wait;

	struct mutex call; /* one ioctl at a time */
	struct pid *opener;
	u32 pid; /* these three for people */
	u32 uid;
	char program[56];

	struct rw_semaphore memory;
	struct address_space *mapping;
	unsigned int slot; /* keeps the mappings of a device's files apart */
	u64 heap_size;
	struct vcl_pages *rings;
	struct xarray chunks;	/* of struct vcl_pages, by number */
	struct list_head limbo; /* not in use, but the host did not say that it let go */
	struct vcl_window windows[VIRTIO_CL_WINDOWS];

	atomic64_t doorbells;
	atomic64_t wakes;
	atomic64_t requests;
	atomic64_t heap_bytes;
	atomic64_t pinned_bytes;
	atomic64_t pins;
};

/*
 * A request belongs to who made it and, from vcl_request_send() until it is answered or the device
 * reset, to the queue.
 */
struct vcl_request {
	struct kref ref;
	struct list_head link;
	struct vcl_session *session;
	bool sent;
	bool done; /* @error is valid; released after it */
	int error; /* what the host answered, or why it did not: 0, -errno */
	u32 out_size;
	u32 in_size;
	void *out;
	void *in;
	/* Called with the device's lock when it is done, at times in an interrupt; may be NULL. */
	void (*answered)(struct vcl_device *device, struct vcl_request *request);
};

extern struct workqueue_struct *vcl_wq;

/* carrier.c: is it ours? */
int vcl_carrier_validate(struct virtio_device *vdev);
int vcl_carrier_negotiate(struct virtio_device *vdev);
void vcl_carrier_unwatch(void);

/* queues.c */
int vcl_queues_start(struct vcl_device *device);
void vcl_queues_stop(struct vcl_device *device);
void vcl_doorbell_ring(struct vcl_device *device, u32 doorbell);

/* control.c */
struct vcl_request *vcl_request_alloc(u32 type, u32 session, size_t out_size, size_t in_size,
				      gfp_t gfp);
void vcl_request_put(struct vcl_request *request);
int vcl_request_send_locked(struct vcl_device *device, struct vcl_request *request);
int vcl_request_call(struct vcl_session *session, struct vcl_request *request, unsigned int ticks);
bool vcl_request_is_unsure(struct vcl_request *request);
void vcl_control_answered(struct virtqueue *vq);
void vcl_control_collect_locked(struct vcl_device *device);
void vcl_control_fail_locked(struct vcl_device *device);

/* event.c */
void vcl_events_fill(struct vcl_device *device);
void vcl_events_came(struct virtqueue *vq);

/* host.c: is it there, and is it the one that was there before? */
void vcl_host_work(struct work_struct *work);
void vcl_host_beat(struct work_struct *work);
void vcl_host_greet(struct vcl_device *device);
void vcl_host_news(struct vcl_device *device, enum vcl_news news);
int vcl_host_wait(struct vcl_session *session);
int vcl_host_drain(struct vcl_device *device);

/* session.c */
struct vcl_session *vcl_session_create(struct vcl_device *device, struct address_space *mapping);
void vcl_session_put(struct vcl_session *session);
void vcl_session_queue(struct vcl_session *session);
void vcl_session_finish(struct vcl_session *session);
int vcl_session_check(struct vcl_session *session);
void vcl_session_leave(struct vcl_session *session, unsigned int ticks);
void vcl_session_wake_locked(struct vcl_session *session);
void vcl_session_end_locked(struct vcl_session *session);
struct vcl_session *vcl_session_find_locked(struct vcl_device *device, u32 id);
void vcl_sessions_end(struct vcl_device *device);
void vcl_sessions_retry_locked(struct vcl_device *device);
void vcl_sessions_settle(struct vcl_device *device, bool go_on);
void vcl_sessions_leave(struct vcl_device *device);
void vcl_sessions_orphan(struct vcl_device *device);
void vcl_orphans_free(void);
void vcl_orphans_forget(void);

/* open.c */
int vcl_session_open(struct vcl_session *session, struct virtio_cl_ioc_open *open);

/* memory.c: pages, and how they are given to the host */
struct vcl_pages *vcl_pages_alloc(unsigned int count);
void vcl_pages_free(struct vcl_pages *pages);
u32 vcl_segments_add(struct virtio_cl_segment *segments, u32 count, u32 max,
		     const struct vcl_pages *pages, unsigned int first, unsigned int *added);
int vcl_memory_add(struct vcl_session *session, u64 offset, struct vcl_pages *const *pages,
		   unsigned int count, bool *unsure);
int vcl_memory_remove(struct vcl_session *session, u64 offset, u64 length);
void vcl_memory_free(struct vcl_session *session);
void vcl_limbo_add(struct vcl_session *session, struct vcl_pages *pages);

/* heap.c */
u64 vcl_heap_limit(void);
int vcl_heap_populate(struct vcl_session *session, const struct virtio_cl_ioc_range *range);
int vcl_heap_release(struct vcl_session *session, const struct virtio_cl_ioc_range *range);

/* mmap.c */
int vcl_mmap(struct file *file, struct vm_area_struct *vma);
void vcl_unmap(struct vcl_session *session, u64 offset, u64 length);

/* pin.c */
u64 vcl_pin_limit(void);
int vcl_pin(struct vcl_session *session, struct virtio_cl_ioc_pin *pin);
int vcl_unpin(struct vcl_session *session, u64 offset);
void vcl_pages_unpin(struct vcl_pages *pages);

/* file.c */
extern const struct file_operations vcl_fops;
void vcl_device_put(struct vcl_device *device);

/* debugfs.c */
void vcl_debugfs_init(void);
void vcl_debugfs_exit(void);
void vcl_debugfs_add(struct vcl_device *device);
void vcl_debugfs_remove(struct vcl_device *device);

#endif

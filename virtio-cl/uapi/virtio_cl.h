/* SPDX-License-Identifier: ((GPL-2.0-only WITH Linux-syscall-note) OR MIT) */
/*
 * virtio-cl: what the driver and the device say to each other, and what programs ask of the driver.
 *
 * SPEC.md beside this folder is the text that goes with it. All fields of the device are
 * little-endian. Addresses and lengths of guest memory are multiples of VIRTIO_CL_PAGE.
 */
#ifndef _VIRTIO_CL_H
#define _VIRTIO_CL_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* ------------------------------------------------------------ the device */

#define VIRTIO_CL_ID	    38 /* device id with the generic carrier */
#define VIRTIO_CL_ID_SHELL  2  /* with the block shell: a block device that no disk can be */
#define VIRTIO_CL_SHELL_BIT 6  /* VIRTIO_BLK_F_BLK_SIZE, offered by the shell */

/* The shell's block size. No disk has one below 512, and every Linux declines 1: it took 0 for a
 * default from 6.9 on. */
#define VIRTIO_CL_SHELL_BLK_SIZE     1u
#define VIRTIO_CL_SHELL_BLK_SIZE_MAX 511u

#define VIRTIO_CL_MAGIC	  0x314c4356u /* "VCL1" */
#define VIRTIO_CL_VERSION 1u

/*
 * The configuration space, the same with both carriers. In the block shell it lies over struct
 * virtio_blk_config: @zero is capacity, @shell_blk_size blk_size; the VMM writes @shell_wce and
 * @num_queues itself.
 */
struct virtio_cl_config {
	__le64 zero;
	__le32 magic;
	__le32 version;
	__le32 reserved;
	__le32 shell_blk_size; /* VIRTIO_CL_SHELL_BLK_SIZE */
	__le32 max_sessions;   /* open at one time */
	__le32 max_segments;   /* in one request */
	__u8 shell_wce;
	__u8 unused;
	__le16 num_queues;
};

/* Virtqueues: control, events, and at least one doorbell. A doorbell queue carries no buffers: to
 * notify the device of it is all. */
#define VIRTIO_CL_QUEUE_CONTROL	 0
#define VIRTIO_CL_QUEUE_EVENT	 1
#define VIRTIO_CL_QUEUE_DOORBELL 2
#define VIRTIO_CL_QUEUES_MIN	 3

#define VIRTIO_CL_PAGE	       4096u
#define VIRTIO_CL_SEGMENTS_MAX 1024u /* the most that max_segments may say */

/*
 * A session's address space, in bytes: the heap, then the windows, each for one range of a
 * program's own pages. The rings have a space of their own: control blocks and data as in
 * "Rings" of SPEC.md.
 */
#define VIRTIO_CL_HEAP_MAX    (64ull << 30)
#define VIRTIO_CL_CHUNK	      (2ull << 20) /* heap memory comes and goes in these */
#define VIRTIO_CL_WINDOW_BASE VIRTIO_CL_HEAP_MAX
#define VIRTIO_CL_WINDOW_SIZE (1ull << 30)
#define VIRTIO_CL_WINDOWS     64u
#define VIRTIO_CL_SPACE_END   (VIRTIO_CL_WINDOW_BASE + VIRTIO_CL_WINDOWS * VIRTIO_CL_WINDOW_SIZE)

enum virtio_cl_request_type {
	VIRTIO_CL_HELLO = 1,	     /* struct virtio_cl_hello -> struct virtio_cl_hello_response */
	VIRTIO_CL_PING = 2,	     /* header alone -> struct virtio_cl_response */
	VIRTIO_CL_SESSION_OPEN = 3,  /* struct virtio_cl_open -> struct virtio_cl_open_response */
	VIRTIO_CL_SESSION_CLOSE = 4, /* header alone -> struct virtio_cl_response */
	VIRTIO_CL_MEMORY_ADD = 5,    /* struct virtio_cl_memory -> struct virtio_cl_response */
	VIRTIO_CL_MEMORY_REMOVE = 6, /* struct virtio_cl_memory -> struct virtio_cl_response */
};

enum virtio_cl_status {
	VIRTIO_CL_OK = 0,
	VIRTIO_CL_ERR_INVALID = 1,     /* the request breaks the rules */
	VIRTIO_CL_ERR_UNSUPPORTED = 2, /* unknown type */
	VIRTIO_CL_ERR_VERSION = 3,     /* of what guest library and host say to each other */
	VIRTIO_CL_ERR_BUSY = 4,	       /* a limit of the host's is reached */
	VIRTIO_CL_ERR_NO_MEMORY = 5,
	VIRTIO_CL_ERR_NO_SESSION = 6, /* never was, or has ended */
	VIRTIO_CL_ERR_FAILED = 7,     /* the host can't; the text says why */
};

/* In front of each request. */
struct virtio_cl_request {
	__le32 type;
	__le32 session; /* 0 where there is none */
};

/* At the front of each response. */
struct virtio_cl_response {
	__le32 status;
	__le32 reserved;
};

/* The first request after the queues are set up; nothing else is answered before. */
struct virtio_cl_hello {
	struct virtio_cl_request head;
	__le64 instance; /* random, never 0; the same after the guest was suspended: sessions go on
			  */
};

struct virtio_cl_hello_response {
	struct virtio_cl_response head;
	__le32 epoch; /* another one than before: all sessions have ended */
	__le32 reserved;
};

struct virtio_cl_segment {
	__le64 address; /* guest-physical */
	__le64 length;
};

struct virtio_cl_open {
	struct virtio_cl_request head; /* session 0 */
	__le32 protocol;      /* version of what guest library and host say to each other */
	__le32 commands_size; /* data bytes of the rings */
	__le32 completions_size;
	__le32 pid; /* for the host's log */
	__le32 uid;
	__le32 segment_count; /* of ring memory, behind this struct */
	__le64 heap_size;     /* address space wanted, a multiple of VIRTIO_CL_CHUNK */
	char program[56];     /* for the host's log */
	struct virtio_cl_segment segments[];
};

struct virtio_cl_open_response {
	struct virtio_cl_response head;
	__le32 session;	 /* not 0, and not one that is open or not yet closed */
	__le32 doorbell; /* virtqueue to notify */
	char text[240];	 /* if it failed: one line for the user, NUL-terminated */
};

struct virtio_cl_memory {
	struct virtio_cl_request head;
	__le64 offset; /* in the session's address space */
	__le64 length; /* the sum of the segments' lengths */
	__le32 flags;  /* 0 */
	__le32 segment_count;
	struct virtio_cl_segment segments[]; /* none to remove */
};

enum virtio_cl_event_type {
	VIRTIO_CL_EVENT_WAKE = 1, /* there is something in the session's completion ring, or
				     room in its command ring */
	VIRTIO_CL_EVENT_SESSION_ENDED = 2, /* on the host's side; it is to be closed still */
	VIRTIO_CL_EVENT_ALL_ENDED = 3,	   /* the device has forgotten all sessions: session is the
					      new epoch */
};

struct virtio_cl_event {
	__le32 type;
	__le32 session;
};

/* ------------------------------------------------------------ the driver: /dev/virtio-cl */

/*
 * One open file is one session: VIRTIO_CL_IOC_OPEN, then mmap() of the rings (at
 * VIRTIO_CL_MMAP_RINGS) and of the heap (at 0, the whole of it at once; memory is there once it
 * is populated). The session ends when the process that opened it closes the file or exits.
 *
 * poll(): EPOLLIN once the host has woken the session and until the next read(); every wake-up
 * wakes pollers anew, so that edge-triggered waiting needs no read(). EPOLLRDHUP and EPOLLHUP when
 * the session has ended. read() of 8 bytes: how many wake-ups there were since the last one.
 */
#define VIRTIO_CL_MMAP_RINGS (1ull << 40)

struct virtio_cl_ioc_info {
	__u32 version; /* VIRTIO_CL_VERSION */
	__u32 flags;   /* VIRTIO_CL_INFO_* */
	__u64 heap_max;
	__u64 pin_max;	/* bytes that one file may have pinned */
	__u32 carrier;	/* device id: VIRTIO_CL_ID or VIRTIO_CL_ID_SHELL */
	__u32 sessions; /* open now, of all files */
};
#define VIRTIO_CL_INFO_PRESENT 1u /* the host answers */

struct virtio_cl_ioc_open {
	__u32 protocol;
	__u32 commands_size;
	__u32 completions_size;
	__u32 session; /* out */
	__u64 heap_size;
	char program[56];
	char text[240]; /* out, when it fails: one line for the user */
};

struct virtio_cl_ioc_range {
	__u64 offset; /* of the heap, multiples of VIRTIO_CL_CHUNK */
	__u64 length;
};

struct virtio_cl_ioc_pin {
	__u64 address; /* of the program's memory, any */
	__u64 length;
	__u32 flags; /* VIRTIO_CL_PIN_* */
	__u32 reserved;
	__u64 offset; /* out: where @address is in the session's address space */
};
#define VIRTIO_CL_PIN_WRITE 1u /* the host may write to it */

struct virtio_cl_ioc_unpin {
	__u64 offset; /* as VIRTIO_CL_IOC_PIN gave it */
};

/* Of this file, since it was opened. */
struct virtio_cl_ioc_counters {
	__u64 doorbells;    /* notifications of the device */
	__u64 wakes;	    /* wake-ups that came */
	__u64 requests;	    /* on the control queue */
	__u64 heap_bytes;   /* populated now */
	__u64 pinned_bytes; /* now */
	__u64 pins;	    /* so far */
};

/*
 * Errors: EINVAL for what cannot be, ENOTCONN without a session, EPIPE when it has ended or ends
 * meanwhile, EHOSTDOWN and ETIMEDOUT when the host does not answer, ENODEV when the device is gone,
 * EINTR when the program is killed. OPEN: EISCONN for a second time, EPROTONOSUPPORT, EBUSY and
 * EMFILE for limits of the host and of the VM. POPULATE, PIN: ENOMEM also beyond the limits of
 * VIRTIO_CL_IOC_INFO; what of a range is populated then stays so. PIN: EFAULT for what cannot be
 * pinned, ENOSPC without a free window, EPERM in a child of the session's process.
 */
#define VIRTIO_CL_IOC_INFO     _IOR('c', 0x40, struct virtio_cl_ioc_info)
#define VIRTIO_CL_IOC_OPEN     _IOWR('c', 0x41, struct virtio_cl_ioc_open)
#define VIRTIO_CL_IOC_POPULATE _IOW('c', 0x42, struct virtio_cl_ioc_range)
#define VIRTIO_CL_IOC_RELEASE  _IOW('c', 0x43, struct virtio_cl_ioc_range)
#define VIRTIO_CL_IOC_PIN      _IOWR('c', 0x44, struct virtio_cl_ioc_pin)
#define VIRTIO_CL_IOC_UNPIN    _IOW('c', 0x45, struct virtio_cl_ioc_unpin)
#define VIRTIO_CL_IOC_DOORBELL _IO('c', 0x46)
#define VIRTIO_CL_IOC_COUNTERS _IOR('c', 0x47, struct virtio_cl_ioc_counters)

#endif

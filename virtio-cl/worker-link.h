/*
 * What the broker says to the worker of a virtio session about the session's memory.
 *
 * The worker has one end of a SOCK_SEQPACKET pair (the greeting's conn), the broker the other. The
 * broker sends struct gcl_link_map, with the descriptors that its segments name (SCM_RIGHTS), and
 * the worker answers each, in order, with struct gcl_link_answer. The first message maps the rings.
 * The end of the socket is the end of the session, whichever side caused it.
 *
 * The broker has checked ranges against the session's address space and guest memory; the worker
 * checks sizes again, since it is cheap.
 */
#ifndef GCL_WORKER_LINK_H
#define GCL_WORKER_LINK_H

#include <stdint.h>

#include "uapi/virtio_cl.h"

#define GCL_LINK_FDS_MAX 8u

enum gcl_link_op {
	GCL_LINK_MAP_RINGS = 1, /* offset 0: control blocks and data as in shm.h */
	GCL_LINK_MAP = 2,	/* at @offset of the heap or of a window */
	GCL_LINK_UNMAP = 3,	/* no segments: the range is gone when the answer has come */
	GCL_LINK_DOORBELL =
		4, /* one descriptor: the doorbell from now on, in place of the old one */
};

struct gcl_link_segment {
	uint32_t fd; /* index among the message's descriptors */
	uint32_t reserved;
	uint64_t offset; /* in its file, a multiple of VIRTIO_CL_PAGE, as is length */
	uint64_t length;
};

struct gcl_link_map {
	uint32_t op; /* enum gcl_link_op */
	uint32_t segment_count;
	uint64_t offset;
	uint64_t length; /* the sum of the segments' */
	struct gcl_link_segment segments[];
};

struct gcl_link_answer {
	uint32_t op;
	int32_t error; /* 0 or -errno */
};

#define GCL_LINK_SIZE_MAX                                                                          \
	(sizeof(struct gcl_link_map) + VIRTIO_CL_SEGMENTS_MAX * sizeof(struct gcl_link_segment))

#endif

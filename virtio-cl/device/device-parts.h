/* SPDX-License-Identifier: MIT */
/*
 * What the files of the device share.
 */
#ifndef GCL_DEVICE_PARTS_H
#define GCL_DEVICE_PARTS_H

#include "device.h"

/* A request of the driver's that is not answered yet, or a message to a worker of our own. */
struct gcl_request {
	struct gcl_list link;
	uint32_t type;
	bool orphan; /* no one waits for the answer */
	struct gcl_chain chain;
	enum gcl_link_op op; /* what the worker is asked */
	uint64_t offset, length;
	union {
		struct virtio_cl_response head;
		struct virtio_cl_hello_response hello;
		struct virtio_cl_open_response open;
	} response; /* deferred */
	uint32_t response_size;
	uint32_t segment_count;
	struct virtio_cl_segment segments[];
};

/* ------------------------------------------------------------ control.c */

/** gcl_control_run() - take and carry out what is in the control queue. */
void gcl_control_run(struct gcl_device *device);

/** gcl_request_answer() - answer with @size bytes that begin with struct virtio_cl_response, now or
 * when the queue runs again; takes @request over. */
void gcl_request_answer(struct gcl_device *device, struct gcl_request *request,
			const void *response, uint32_t size);

/** gcl_request_status() - the same, with a status alone. */
void gcl_request_status(struct gcl_device *device, struct gcl_request *request,
			enum virtio_cl_status status);

/** gcl_request_refuse() - the same for SESSION_OPEN, with a text. */
void gcl_request_refuse(struct gcl_device *device, struct gcl_request *request,
			enum virtio_cl_status status, const char *text);

/** gcl_control_flush() - give the deferred answers; @discard: forget them. */
void gcl_control_flush(struct gcl_device *device, bool discard);

/* ------------------------------------------------------------ session.c */

struct gcl_device_session *gcl_session_find(struct gcl_device *device, uint32_t id);

/** gcl_session_open() - SESSION_OPEN, whose size has been checked; takes @request over. */
void gcl_session_open(struct gcl_device *device, struct gcl_request *request,
		      const struct virtio_cl_open *open);

/** gcl_session_close() - SESSION_CLOSE; takes @request over. */
void gcl_session_close(struct gcl_device *device, struct gcl_request *request, uint32_t id);

/** gcl_session_kill() - the worker has failed: end it; the guest is told when it has ended. */
void gcl_session_kill(struct gcl_device_session *session);

/** gcl_sessions_forget() - end all sessions at once; no one waits for their requests. */
void gcl_sessions_forget(struct gcl_device *device);

/** gcl_sessions_orphan() - the queue that the requests came by is gone. Sessions that the guest
 * can't know of yet are ended. */
void gcl_sessions_orphan(struct gcl_device *device);

/* ------------------------------------------------------------ link.c */

/** gcl_link_memory() - MEMORY_ADD or MEMORY_REMOVE; takes @request over. */
void gcl_link_memory(struct gcl_device_session *session, struct gcl_request *request);

/** gcl_link_rings() - let the worker map the rings, as the session's request has them. */
void gcl_link_rings(struct gcl_device_session *session);

/** gcl_link_door() - let the worker have the doorbell as it is now. */
void gcl_link_door(struct gcl_device_session *session);

/** gcl_link_pump() - send what there is to send. */
void gcl_link_pump(struct gcl_device_session *session);

/** gcl_link_fini() - the worker is gone: all that was asked of it has failed. */
void gcl_link_fini(struct gcl_device_session *session);

/** gcl_segments_valid() - made of pages, in the VM's memory, @length bytes in all. */
bool gcl_segments_valid(const struct gcl_device *device, const struct gcl_request *request,
			uint64_t length);

/* ------------------------------------------------------------ events.c */

/** gcl_events_run() - send what there is to tell, as far as there are buffers. */
void gcl_events_run(struct gcl_device *device);

void gcl_events_wake(struct gcl_device_session *session);
void gcl_events_ended(struct gcl_device_session *session);

/** gcl_events_forget() - there is nothing to tell about this session. */
void gcl_events_forget(struct gcl_device_session *session);

/* ------------------------------------------------------------ device.c */

/** gcl_device_hello() - the driver's HELLO, with an instance that is not 0; takes @request over. */
void gcl_device_hello(struct gcl_device *device, struct gcl_request *request, uint64_t instance);

/** gcl_device_hellos_answer() - answer those that wait, if no old session is left. */
void gcl_device_hellos_answer(struct gcl_device *device);

/** gcl_device_resume() - the sessions go on; @again: the guest may have missed events. */
void gcl_device_resume(struct gcl_device *device, bool again);

/** gcl_device_pause_done() - one session less to wait for. Return: 0, or -errno: disconnect. */
int gcl_device_pause_done(struct gcl_device_session *session);

#endif

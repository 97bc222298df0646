/* SPDX-License-Identifier: MIT */
/*
 * The virtio-cl device of one VM: its sessions, without the processes behind them.
 *
 * Theory of operation. The VMM's messages (vhost/backend.h) start and stop the queues. The driver's
 * requests are taken from the control queue, copied, checked, and carried out; those that a worker
 * has to do something for are answered when it has (link.c passes them on), in any order. What the
 * device has to say by itself goes into the event queue, at most one event of a kind for each
 * session, as soon as there is a buffer. How a worker is started, stopped and ended is the business
 * of whoever made the device, through its ops.
 *
 * When the control queue stops, the VM may be paused, suspended, rebooted, or its driver be gone;
 * nobody says which. So all sessions are paused: nothing may write to memory that a rebooted guest
 * uses for something else. Starting just where it stopped, the queue is that of a VM that was
 * paused, and the sessions go on. Else the driver's HELLO tells: from the same instance of the
 * driver, the guest was suspended; from another one, the sessions are over.
 *
 * What ends the device's ownership of memory (an answer to SESSION_CLOSE, to HELLO of another
 * instance, to a SESSION_OPEN that failed) is not said before the worker in question has ended.
 *
 * One thread only. Must not: block, trust a guest, know of libev or processes.
 */
#ifndef GCL_DEVICE_DEVICE_H
#define GCL_DEVICE_DEVICE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/list.h"
#include "base/log.h"
#include "base/state.h"
#include "local.h"
#include "ranges.h"
#include "uapi/virtio_cl.h"
#include "vhost/backend.h"
#include "worker-link.h"

struct gcl_device;
struct gcl_request;

enum gcl_session_state {
	GCL_SESSION_WAITING, /* for a worker */
	GCL_SESSION_MAPPING, /* it is served, and the worker maps the rings */
	GCL_SESSION_OPEN,
	GCL_SESSION_ENDED,   /* the worker is gone, the guest has not closed it yet */
	GCL_SESSION_CLOSING, /* the guest waits for the worker's end */
	GCL_SESSION_DYING,   /* the guest knows nothing of it any more */
};

/* One session; part of a struct of whoever made the device. */
struct gcl_device_session {
	struct gcl_list link; /* in the device's sessions */
	struct gcl_device *device;
	uint32_t id;
	enum gcl_session_state state;
	unsigned doorbell;	     /* virtqueue */
	uint32_t pid, uid;	     /* in the guest, as it says */
	struct gcl_hello hello;	     /* what a worker is told */
	struct gcl_request *request; /* SESSION_OPEN or SESSION_CLOSE, to be answered */
	int open_error;		     /* why the rings are not mapped */
	struct gcl_ranges ranges;
	struct gcl_list unsent; /* requests for the worker that the link has no room for */
	struct gcl_list unanswered;
	bool door_stale;	 /* the worker has the wrong doorbell */
	bool pausing;		 /* has been told to pause, and has not yet */
	struct gcl_list pending; /* in the device's list of events to send */
	bool wake, ended;	 /* which */
};

struct gcl_device_ops {
	/* Memory for a session, zeroed; NULL if there is none. */
	struct gcl_device_session *(*create)(struct gcl_device *device);
	void (*destroy)(struct gcl_device_session *session);

	/* Find it a worker: gcl_device_served() or gcl_device_refused() is called when it is clear,
	 * maybe at once. @doorbell is lent. */
	void (*open)(struct gcl_device_session *session, int doorbell);

	/* End it, in good order or at once. Return: true if there is a worker, whose end
	 * gcl_device_ended() will tell. */
	bool (*end)(struct gcl_device_session *session, bool kill);

	/* Let its worker do nothing, or go on. Return: true if gcl_device_paused() will tell. */
	bool (*pause)(struct gcl_device_session *session);
	void (*resume)(struct gcl_device_session *session);

	/* Send a message to its worker. Return: 0, -EAGAIN (gcl_device_link_writable() will be
	 * called), or another -errno: the worker is as good as gone. */
	int (*send)(struct gcl_device_session *session, const struct gcl_link_map *message,
		    size_t size, const int *fds, unsigned fd_count);

	/* The control or event queue starts (@kick is to be watched, and lent) or stops (-1). */
	void (*watch)(struct gcl_device *device, unsigned queue, int kick);
};

struct gcl_device {
	struct gcl_backend backend;
	const struct gcl_device_ops *ops;
	const char *name; /* of the VM, for the log; lent */
	uint32_t sessions_max;
	uint32_t epoch;
	uint64_t instance; /* of the driver, as its HELLO said */
	bool greeted;	   /* HELLO has come since the queues were set up */
	bool announce;	   /* the driver is to be told that all sessions have ended */
	bool paused;	   /* the control queue stopped with sessions */
	bool doubtful;	   /* it starts where it stopped, but at 0, as a new one would */
	struct gcl_queue_place stopped_place;
	uint16_t stopped_base;
	unsigned pausing; /* sessions that have not paused yet */
	struct gcl_list sessions;
	unsigned session_count; /* but those that are dying */
	uint32_t last_id;
	unsigned next_doorbell;
	bool forgetting;	/* sessions are being told to end */
	struct gcl_list hellos; /* HELLO requests, to be answered when the old sessions are gone */
	struct gcl_list deferred; /* answers that came while the control queue was stopped */
	struct gcl_list pending;  /* sessions with events to send */
	struct gcl_log_limit limit;
	uint8_t buffer[sizeof(struct virtio_cl_open) +
		       VIRTIO_CL_SEGMENTS_MAX * sizeof(struct virtio_cl_segment)];
	uint8_t message[GCL_LINK_SIZE_MAX];
};

/** gcl_device_init() - of the VM @name, which is lent. */
void gcl_device_init(struct gcl_device *device, const struct gcl_device_ops *ops, const char *name,
		     uint32_t sessions_max);

/** gcl_device_fini() - the sessions have to be gone: see gcl_device_disconnected(). */
void gcl_device_fini(struct gcl_device *device);

/** gcl_device_connected() - a VMM is there. @epoch: random, of this connection. */
void gcl_device_connected(struct gcl_device *device, int socket, uint32_t epoch);

/** gcl_device_disconnected() - it is gone: end all sessions. Those that have a worker are destroyed
 * when it has ended. */
void gcl_device_disconnected(struct gcl_device *device);

/** gcl_device_kicked() - the watched queue was notified. */
void gcl_device_kicked(struct gcl_device *device, unsigned queue);

/** gcl_device_broken() - whether the VM's memory has turned out to be none: disconnect. */
bool gcl_device_broken(const struct gcl_device *device);

/* What happens to sessions, told by whoever made the device. */

/** gcl_device_served() - a worker has the session: it will answer what is sent from now on. */
void gcl_device_served(struct gcl_device_session *session);

/** gcl_device_refused() - there will be no worker. Destroys the session. */
void gcl_device_refused(struct gcl_device_session *session, enum gcl_hello_status status,
			const char *text);

/** gcl_device_wake() - the worker wants the guest to look at the session's rings. */
void gcl_device_wake(struct gcl_device_session *session);

/** gcl_device_answered() - the worker has done what it was asked to. Return: 0, or -EPROTO: end it.
 */
int gcl_device_answered(struct gcl_device_session *session, const struct gcl_link_answer *answer);

/** gcl_device_link_writable() - there is room for messages again. */
void gcl_device_link_writable(struct gcl_device_session *session);

/** gcl_device_ended() - the worker's process is gone. May destroy the session. */
void gcl_device_ended(struct gcl_device_session *session);

/** gcl_device_paused() - the session's worker has paused. Return: 0, or -errno: disconnect. */
int gcl_device_paused(struct gcl_device_session *session);

/** gcl_device_pause_expired() - some worker doesn't pause: it is killed, and the VMM told to go on.
 * Return: 0, or -errno: disconnect. */
int gcl_device_pause_expired(struct gcl_device *device);

/* When the program is replaced by another one (state.c). */

/** gcl_device_quiet() - whether nothing is half done: no request, no answer, no session that
 * begins or ends. Only then it can be saved. */
bool gcl_device_quiet(const struct gcl_device *device);

/** gcl_device_save() - a device with a VMM, with its sessions; descriptors are lent. */
void gcl_device_save(const struct gcl_device *device, struct gcl_state *state);

/** gcl_device_restore() - into one that was just initialized; @socket: the VMM's, lent. The
 * sessions are made by ops.create, and nothing is told to anybody. Return: false if it can't be:
 * gcl_device_disconnected(). */
bool gcl_device_restore(struct gcl_device *device, int socket, struct gcl_state *state);

/** gcl_device_restart() - the sessions have their workers: serve the queues again. */
void gcl_device_restart(struct gcl_device *device);

/* A warning about what a guest does, limited in rate for each VM. */
#define gcl_device_log_peer(device, format, ...)                                                   \
	do {                                                                                       \
		if (gcl_log_allow(&(device)->limit))                                               \
			gcl_log_warn(vm, "VM %s: " format, (device)->name, ##__VA_ARGS__);         \
	} while (0)

#endif

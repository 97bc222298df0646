/* SPDX-License-Identifier: MIT */
/*
 * For tests: a device between a VMM (vmm.h) and workers that are but lists of what they were told.
 */
#ifndef GCL_TESTS_DEVICE_TWIN_H
#define GCL_TESTS_DEVICE_TWIN_H

#include "device/device.h"
#include "vmm.h"

#define TWIN_SESSIONS_MAX 3u

/* What a worker was sent, but for the descriptors. */
struct twin_message {
	struct gcl_list link;
	uint32_t op;
	uint64_t offset, length;
	uint32_t segment_count;
	struct gcl_link_segment first;
	unsigned fd_count;
};

struct twin_session {
	struct gcl_device_session session;
	struct gcl_list messages; /* to be answered */
	bool waiting, served, killed, ending, paused, pausing;
};

struct twin {
	struct vmm vmm;
	struct gcl_device device;
	int kicks[2];
	/* How workers are. */
	bool busy;	/* none comes up */
	bool silent;	/* they don't answer */
	bool stubborn;	/* they don't pause */
	bool undying;	/* they don't end */
	bool choked;	/* messages don't fit */
	int32_t answer; /* error of their answers */
	const char *refusal;
	/* What happened. */
	struct twin_message last; /* sent */
	unsigned sent, doors;
	int error; /* of gcl_backend_receive() */
};

void twin_init(struct twin *twin);
void twin_fini(struct twin *twin);

/** twin_connect() - the VMM connects, starts the queues, and gives buffers for events. */
void twin_connect(struct twin *twin);

/** twin_ready() - connected, and the driver has said HELLO. */
void twin_ready(struct twin *twin);

/** twin_session() - the session with this number, or NULL. */
struct twin_session *twin_session(struct twin *twin, uint32_t id);

/** twin_worker_dies() - the session's worker ends by itself. */
void twin_worker_dies(struct twin *twin, uint32_t id);

/** twin_count() - sessions that there are, dying ones too. */
unsigned twin_count(struct twin *twin);

#endif

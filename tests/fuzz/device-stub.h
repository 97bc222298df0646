/* SPDX-License-Identifier: MIT */
/*
 * A virtio-cl device for fuzzing: its workers do what single bytes of the input say.
 */
#ifndef GCL_FUZZ_DEVICE_STUB_H
#define GCL_FUZZ_DEVICE_STUB_H

#include "device/device.h"
#include "ring.h"

#define STUB_SESSIONS_MAX 4u

struct device_stub {
	struct gcl_device device;
	bool choked; /* messages to workers don't fit */
};

/* What happens next, of what is not the guest's doing. */
enum device_stub_step {
	STUB_SERVE,    /* the sessions that wait get workers */
	STUB_REFUSE,   /* or none */
	STUB_ANSWER,   /* workers do one of the things that they were asked to */
	STUB_FAIL,     /* or fail */
	STUB_LIE,      /* an answer to what was not asked */
	STUB_DIE,      /* a worker ends */
	STUB_REAP,     /* those that were told to end have ended */
	STUB_WAKE,     /* all wake the guest */
	STUB_PAUSED,   /* those that were told to pause have paused */
	STUB_EXPIRE,   /* or don't */
	STUB_CHOKE,    /* no message fits any more */
	STUB_WRITABLE, /* they fit again */
	STUB_STEPS
};

void device_stub_init(struct device_stub *stub);
void device_stub_step(struct device_stub *stub, enum device_stub_step step);

/** device_stub_fini() - the VMM is gone, if it was there, and all that is left ends. */
void device_stub_fini(struct device_stub *stub);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * How much device memory this session may hold, and holds.
 *
 * What the runtime really holds is counted in the page. Where the account has a limit, the worker
 * allocates within the allowance that the broker has given it; the session thread, or one that
 * builds, asks for more and waits for the answer (broker/ledger.h tells the rules).
 */
#ifndef GCL_QUOTA_H
#define GCL_QUOTA_H

#define CL_TARGET_OPENCL_VERSION 300

#include <CL/cl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "messages.h"
#include "page.h"

struct gcl_worker;

struct gcl_quota {
	pthread_mutex_t lock; /* a leaf; protects what follows and the page's "held" */
	pthread_cond_t answered;
	uint64_t limit;	      /* bytes of each device; 0: none, and nobody asks */
	uint64_t granted;     /* bytes, by the last answer */
	uint64_t asked, told; /* wishes sent and answered, so far */
	bool asking;	      /* a thread waits for an answer */
	uint64_t allowed[GCL_PAGE_DEVICES_MAX];
	uint64_t watched; /* objects that the runtime is to tell the end of */
};

/* Memory that is counted: @bytes of each device whose bit is set. */
struct gcl_charge {
	uint64_t bytes;
	uint32_t devices;
};

void gcl_quota_init(struct gcl_quota *quota);

/** gcl_quota_fini() - wait until the runtime has told the end of all objects, for a second at most:
 * it does so on its own threads, which use the worker. */
void gcl_quota_fini(struct gcl_quota *quota);

/** gcl_quota_watch() - one more object's end will be told; or, with @more false, was. The worker
 * may be gone after the latter. */
void gcl_quota_watch(struct gcl_quota *quota, bool more);

/** gcl_quota_begin() - the guest is there: take the limit from the page, and have the welcome say
 * no more memory than that. */
void gcl_quota_begin(struct gcl_worker *worker);

/** gcl_quota_device_limit() - have @described say no more memory than the page's limit. */
void gcl_quota_device_limit(const struct gcl_worker *worker, Gcl__Device *described);

/** gcl_quota_devices() - the bits of a context's devices. */
uint32_t gcl_quota_devices(const struct gcl_worker *worker, const cl_device_id *devices,
			   size_t count);

/** gcl_quota_take() - count @charge; may wait for the broker, so no thread of the runtime's.
 * Return: CL_SUCCESS, or CL_MEM_OBJECT_ALLOCATION_FAILURE beyond the limit, with nothing counted.
 */
cl_int gcl_quota_take(struct gcl_worker *worker, struct gcl_charge charge);

/** gcl_quota_give() - the runtime has let go of it; any thread. */
void gcl_quota_give(struct gcl_worker *worker, struct gcl_charge charge);

#endif
